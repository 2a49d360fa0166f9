package judge_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/csv"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

// entry is one row of a changelog; a cell is a text, judge.Null, or absent.
type entry struct {
	op    row.Op
	place place
	shape int
	cells []string
}

const absent = "\xfeabsent"

// place is a row's order: (event, counter).
type place struct{ event, counter uint64 }

func (p place) prefix() string { return fmt.Sprintf("\x00\x00\x00\x01%08d", p.event) }

func (p place) pos() string {
	var at [8]byte
	for i := range at {
		at[i] = byte(p.counter >> (56 - 8*i))
	}
	return string(row.AppendPos(nil, 0, p.prefix()+string(at[:])))
}

// state is a place and what the table holds there.
type state struct {
	upto  string
	rows  [][]string
	shape int
}

// model makes a history and knows what comes of it.
type model struct {
	r       *rand.Rand
	event   uint64
	keys    int // columns 0 to keys-1 are the key; 0: none
	minimal bool
	changes bool // of the columns
	shapes  []*row.Table
	columns []*column  // of the present shape
	rows    [][]string // the table now, in no order
	log     []entry
	states  []state
}

// column is a column's life, as the status file tells it.
type column struct {
	name, since string
	initial     *string
	former      [][2]string // name, until
}

func newModel(seed uint64) *model {
	m := &model{r: rand.New(rand.NewPCG(seed, 99)), event: 1}
	m.keys = []int{1, 2, 0, 1}[seed%4]
	m.minimal = m.keys > 0 && seed%3 != 0
	m.changes = seed%2 == 1
	for _, n := range []string{"k1", "k,2", "a", "B b", `c"'%2C`} {
		m.columns = append(m.columns, &column{name: n})
	}
	m.shape()
	return m
}

// shape notes the present columns as a version.
func (m *model) shape() {
	t := &row.Table{Name: row.Name{Space: "s", Table: "it's"}, Number: 1, Version: uint32(len(m.shapes) + 1)}
	for i := range m.keys {
		t.Key = append(t.Key, i)
	}
	for _, c := range m.columns {
		t.Columns = append(t.Columns, row.Column{Name: c.name, Type: row.Type{Kind: row.Text}, Nullable: true})
	}
	m.shapes = append(m.shapes, t)
}

func (m *model) value() string {
	switch m.r.IntN(8) {
	case 0:
		return judge.Null
	case 1:
		return ""
	case 2:
		return `\N`
	}
	return fmt.Sprint(m.r.IntN(20))
}

// fresh returns a row whose key is not there yet, or nil.
func (m *model) fresh() []string {
	out := make([]string, len(m.columns))
	for i := range out {
		out[i] = m.value()
	}
	for range 20 {
		for i := range m.keys {
			out[i] = fmt.Sprint(m.r.IntN(6))
		}
		if m.keys == 0 || !slices.ContainsFunc(m.rows, func(o []string) bool { return slices.Equal(o[:m.keys], out[:m.keys]) }) {
			return out
		}
	}
	return nil
}

func (m *model) write(op row.Op, p place, cells []string) {
	m.log = append(m.log, entry{op, p, len(m.shapes) - 1, slices.Clone(cells)})
}

// image returns what the log has of a row: all of it, or the key and some cells.
func (m *model) image(cells []string, must func(i int) bool, partial bool) []string {
	out := slices.Clone(cells)
	for i := range out {
		if partial && i >= m.keys && !must(i) && m.r.IntN(3) > 0 {
			out[i] = absent
		}
	}
	return out
}

// transaction is some changes, in events of their own or together.
func (m *model) transaction(whole bool) {
	for range 1 + m.r.IntN(4) {
		m.event++
		n := uint64(0)
		for range 1 + m.r.IntN(3) {
			n = m.change(n, whole)
		}
	}
	m.event++
}

// change makes one change, whose first row has the counter n+1 or more.
func (m *model) change(n uint64, whole bool) uint64 {
	partial := m.minimal && !whole && m.r.IntN(4) > 0
	never := func(int) bool { return false }
	what := m.r.IntN(100)
	if len(m.rows) == 0 {
		what = 0
	}
	n++
	p := place{m.event, n}
	i := 0
	if len(m.rows) > 0 {
		i = m.r.IntN(len(m.rows))
	}
	switch {
	case what < 40:
		if f := m.fresh(); f != nil {
			m.rows = append(m.rows, f)
			m.write(row.Insert, p, f)
		}
	case what < 55:
		m.write(row.Delete, p, m.image(m.rows[i], never, partial))
		m.rows = slices.Delete(m.rows, i, i+1)
	case what < 57:
		m.rows = nil
		cells := make([]string, len(m.columns))
		for k := range cells {
			cells[k] = absent
		}
		m.write(row.Truncate, p, cells)
	default:
		return m.update(n, i, partial, what > 85)
	}
	// A gap: neighbouring places within an event mean an update of a key.
	return n + 1
}

func (m *model) update(n uint64, i int, partial, moves bool) uint64 {
	old, now := m.rows[i], slices.Clone(m.rows[i])
	for k := m.keys; k < len(now); k++ {
		if m.r.IntN(3) == 0 {
			now[k] = m.value()
		}
	}
	if f := m.fresh(); moves && m.keys > 0 && f != nil {
		copy(now[:m.keys], f[:m.keys])
	}
	changed := func(k int) bool { return old[k] != now[k] }
	if m.keys == 0 || !slices.Equal(old[:m.keys], now[:m.keys]) {
		m.write(row.Before, place{m.event, n}, m.image(old, func(int) bool { return false }, partial))
		n++
	}
	m.write(row.Update, place{m.event, n}, m.image(now, changed, partial))
	m.rows[i] = now
	return n + 1
}

// snapshot reads the table in chunks, while it changes. Tables without a key are
// read at once.
func (m *model) snapshot(generation uint32) {
	chunks := 1
	if m.keys > 0 {
		chunks = 1 + m.r.IntN(3)
	}
	if generation > 1 {
		m.write(row.Truncate, place{m.event, row.ChunkCounter(generation, 0, 0)}, make([]string, len(m.columns)))
		for k := range m.columns {
			m.log[len(m.log)-1].cells[k] = absent
		}
	}
	for c := range chunks {
		ordinal := uint64(0)
		for _, cells := range m.rows {
			if m.keys == 0 || int(cells[0][0])%chunks == c {
				ordinal++
				m.write(row.Read, place{m.event, row.ChunkCounter(generation, uint32(c), ordinal)}, cells)
			}
		}
		if c < chunks-1 {
			m.transaction(true)
		}
	}
}

// alter changes the columns between two transactions.
func (m *model) alter() {
	m.event++
	since := place{m.event, 0}.pos()
	i := m.keys
	if len(m.columns) > m.keys {
		i += m.r.IntN(len(m.columns) - m.keys)
	}
	switch what := m.r.IntN(3); {
	case what == 0 || len(m.columns) < m.keys+2:
		var initial *string
		text := judge.Null
		if m.r.IntN(2) == 0 {
			text = []string{"it's", "", "7"}[m.r.IntN(3)]
			initial = &text
		}
		name := fmt.Sprintf("n%d", m.r.IntN(4))
		if slices.ContainsFunc(m.columns, func(c *column) bool { return c.name == name }) {
			name += fmt.Sprint("_", len(m.shapes))
		}
		at := m.keys + m.r.IntN(len(m.columns)-m.keys+1)
		m.columns = slices.Insert(m.columns, at, &column{name: name, since: since, initial: initial})
		for k := range m.rows {
			m.rows[k] = slices.Insert(slices.Clone(m.rows[k]), at, text)
		}
	case what == 1:
		c := *m.columns[i]
		c.former = append(slices.Clone(c.former), [2]string{c.name, since})
		c.name = fmt.Sprintf("r%d", len(m.shapes))
		m.columns[i] = &c
	default:
		m.columns = slices.Delete(slices.Clone(m.columns), i, i+1)
		for k := range m.rows {
			m.rows[k] = slices.Delete(slices.Clone(m.rows[k]), i, i+1)
		}
	}
	m.shape()
}

// note remembers the state here.
func (m *model) note() {
	var rows [][]string
	for _, cells := range m.rows {
		rows = append(rows, slices.Clone(cells))
	}
	at := place{m.event, 1<<64 - 1}.pos()
	m.states = append(m.states, state{at, rows, len(m.shapes) - 1})
}

func (m *model) run() {
	for range m.r.IntN(6) {
		m.transaction(false)
	}
	// What was before the log's start is not in it.
	m.log = nil
	m.event++
	if m.keys > 0 && m.r.IntN(2) == 0 {
		m.transaction(true)
	}
	m.snapshot(1)
	m.note()
	for n := range 25 {
		m.transaction(false)
		if m.changes && m.r.IntN(6) == 0 {
			m.alter()
		}
		if n == 12 && m.r.IntN(3) == 0 {
			m.snapshot(2)
		}
		if m.r.IntN(8) == 0 {
			m.note()
		}
	}
	m.note()
}

// files writes the log into files, whose names and order of rows say nothing.
func (m *model) files(t *testing.T, dir string) {
	t.Helper()
	f, err := csv.Format.New(option.Of(csv.Format.Options, nil))
	if err != nil {
		t.Fatal(err)
	}
	left := slices.Clone(m.log)
	m.r.Shuffle(len(left), func(i, k int) { left[i], left[k] = left[k], left[i] })
	for n := 0; len(left) > 0; n++ {
		size := min(len(left), 1+m.r.IntN(90))
		parts := map[int][]entry{}
		for _, e := range left[:size] {
			parts[e.shape] = append(parts[e.shape], e)
		}
		left = left[size:]
		for s, es := range parts {
			path := filepath.Join(dir, fmt.Sprintf("%d-%d.csv", n, s))
			if err := writeFile(path, f, m.shapes[s], es); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func writeFile(path string, f codec.Codec, t *row.Table, es []entry) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	e, err := f.NewEncoder(out, codec.Shape{Table: t, Meta: true})
	if err != nil {
		return err
	}
	x := row.NewBuilder(&row.Pool{})
	for _, en := range es {
		x.At(en.place.prefix(), en.place.counter, row.Txn{ID: "x"})
		x.Row(t, en.op)
		for _, c := range en.cells {
			switch c {
			case absent:
				x.Absent()
			case judge.Null:
				x.Null()
			default:
				x.String(c)
			}
		}
	}
	b := x.Finish(position.Position{}, 0)
	for i := range b.Sections() {
		if err := e.Encode(b, &b.Sections()[i]); err != nil {
			return err
		}
	}
	return e.Close()
}

// names returns what the files call the columns of a shape.
func (m *model) names(shape int) []string {
	return codec.Names(codec.Shape{Table: m.shapes[shape], Meta: true})[len(codec.MetaColumns):]
}

// compare tells how the rows read differ from the state, or "".
func compare(got, want [][]string) string {
	count := map[string]int{}
	for _, r := range want {
		count[strings.Join(r, "\xfd")]++
	}
	for _, r := range got {
		count[strings.Join(r, "\xfd")]--
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		if n := count[k]; n != 0 {
			out = append(out, fmt.Sprintf("%+d %q", -n, strings.Split(k, "\xfd")))
		}
	}
	return strings.Join(out, "\n")
}
