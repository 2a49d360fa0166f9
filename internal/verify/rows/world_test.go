package rows

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// line is a row of the world's table: its cells are texts, nil is NULL.
type line []*string

func lineOf(cells ...string) line {
	var out line
	for _, c := range cells {
		out = append(out, &c)
	}
	return out
}

// foreign begins cells of the target that no source has.
const foreign = "foreign "

// event is one change, in a transaction of its own.
type event struct {
	op      row.Op
	cells   line
	partial bool // only the key and the last column are in the log
}

// world is a source and a target of one table, both of which go on while they are read.
type world struct {
	table *row.Table
	mu    sync.Mutex
	r     *rand.Rand
	busy  bool // the source changes whenever it is looked at
	pools bool // chunks are read in the snapshot of the first one:
	at0   *int
	times int // rows that are looked up by key come so often; 0: once
	disk  int64

	start []line // rows before the log
	log   []event
	at    int // how far the target is
	halt  bool
	late  bool // it goes on only while it is read, and then to the end

	history bool
	first   int           // where the history's snapshot was taken
	damage  func(*[]kept) // what is wrong in the target
	mended  []kept        // what repairs wrote after it
	asked   int

	breaks func() error // nil: nothing that is read breaks
}

// pieces gives a batch to emit in several, between which it may break.
func (w *world) pieces(b *row.Batch, emit func(*row.Batch) error) error {
	if w.breaks == nil {
		return emit(b)
	}
	defer b.Release()
	for _, s := range b.Sections() {
		for at := s.Row; at < s.Row+s.Rows; at += 17 {
			if err := w.breaks(); err != nil {
				return err
			}
			b.Retain()
			if err := emit(b.Only(s.Part(at, min(at+17, s.Row+s.Rows)))); err != nil {
				return err
			}
		}
	}
	return w.breaks()
}

func (w *world) broken() error {
	if w.breaks == nil {
		return nil
	}
	return w.breaks()
}

// kept is a row as the target has it.
type kept struct {
	event
	place   int
	begins  int // 1: it is a change that begins there
	counter uint64
}

func newWorld(seed uint64, keyed, history bool) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), history: history}
	w.table = &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Number: 1, Columns: []row.Column{
		{Name: "id", Type: row.Type{Kind: row.Text}}, {Name: "a", Type: row.Type{Kind: row.Text}, Nullable: true}, {Name: "b", Type: row.Type{Kind: row.Text}, Nullable: true},
	}}
	if keyed {
		w.table.Key = []int{0}
	}
	return w
}

func place(n int) position.Position {
	return position.New("log", prefix(n, 0)+"\x00\x00\x00\x00\x00\x00\x00\x00", "")
}

// prefix is all of an order but the counter: the place, and 1 for what begins there.
func prefix(n, event int) string {
	return string(append(binary.BigEndian.AppendUint64(nil, uint64(n)), byte(event)))
}

// state is the rows of the source at place n, by key.
func (w *world) state(n int) map[string]line {
	out := map[string]line{}
	for _, l := range w.start {
		out[*l[0]] = l
	}
	for _, e := range w.log[:n] {
		switch e.op {
		case row.Truncate:
			clear(out)
		case row.Delete:
			delete(out, *e.cells[0])
		default:
			out[*e.cells[0]] = e.cells
		}
	}
	return out
}

// move changes rows of a part of the keys, so that others are certain.
func (w *world) move() {
	if !w.busy {
		return
	}
	for range w.r.IntN(4) {
		key := fmt.Sprintf("hot%d", w.r.IntN(20))
		old, there := w.state(len(w.log))[key]
		switch {
		case !there:
			w.log = append(w.log, event{row.Insert, lineOf(key, "x", fmt.Sprint(w.r.IntN(5))), false})
		case w.r.IntN(3) == 0:
			w.log = append(w.log, event{row.Delete, old, false})
		default:
			now := slices.Clone(old)
			now[2] = new(fmt.Sprint(w.r.IntN(5)))
			w.log = append(w.log, event{row.Update, now, len(w.table.Key) > 0 && w.r.IntN(2) == 0})
		}
	}
}

func (w *world) follow() {
	if !w.halt && !w.late {
		w.at = min(len(w.log), w.at+w.r.IntN(4))
	}
}

// Splits divides by the first letter of the key.
func (w *world) Splits(_ context.Context, r connector.Request) ([]connector.Split, error) {
	var out []connector.Split
	for i, part := range []string{"", "h", "p"} {
		if r.ChunkBytes > 1<<40 {
			part = "*"
		}
		out = append(out, connector.Split{ID: fmt.Sprint(i), Bounded: true, Tables: []*row.Table{w.table}, Range: []byte(part)})
		if part == "*" {
			break
		}
	}
	return out, w.broken()
}

func (w *world) Discover(context.Context, connector.Selector) ([]*row.Table, position.Position, error) {
	return nil, position.Position{}, nil
}

func (w *world) Close() error { return nil }

func (w *world) Read(_ context.Context, s connector.Split, _ position.Position, emit func(*row.Batch) error) error {
	part := string(s.Range)
	n := len(w.log)
	if w.pools && w.at0 == nil {
		w.at0 = &n
	}
	if w.pools {
		n = *w.at0
	}
	return w.snapshot(n, 1, func(key string) bool {
		return part == "*" || part == "" && key < "h" || part == "h" && key >= "h" && key < "p" || part == "p" && key >= "p"
	}, emit)
}

// Look implements connector.Looker.
func (w *world) Look(_ context.Context, t *row.Table, keys *row.Batch, emit func(*row.Batch) error) error {
	w.asked++
	if keys == nil {
		return w.snapshot(len(w.log), 1, func(string) bool { return true }, emit)
	}
	s := &keys.Sections()[0]
	wanted := map[string]bool{}
	for i := range s.Rows {
		words, _ := keys.Cells(s, i)
		wanted[string(keys.Data(words[0]))] = true
	}
	return w.snapshot(len(w.log), max(w.times, 1), func(key string) bool { return wanted[key] }, emit)
}

func (w *world) snapshot(n, times int, wanted func(string) bool, emit func(*row.Batch) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := emit(row.Mark(place(n), 0)); err != nil {
		return err
	}
	x := row.NewBuilder(&row.Pool{})
	for key, l := range w.state(n) {
		for range times {
			if wanted(key) {
				w.put(x, row.Read, l, false)
			}
		}
	}
	w.move()
	if x.Rows() == 0 {
		return nil
	}
	return w.pieces(x.Finish(position.Position{}, 0), emit)
}

func (w *world) put(x *row.Builder, op row.Op, l line, partial bool) {
	x.Row(w.table, op)
	for c := range w.table.Columns {
		switch {
		case op == row.Truncate || partial && c == 1:
			x.Absent()
		case l[c] == nil:
			x.Null()
		case strings.HasPrefix(*l[c], foreign):
			x.Foreign(row.AppendForeign(nil, *l[c], []byte(*l[c])))
		default:
			x.String(*l[c])
		}
	}
}

func (w *world) Stored(t *row.Table) *row.Table { return t }

func (w *world) Store(x *row.Builder, b *row.Batch, _ *row.Table, _ int, word uint64, flag row.Flag) {
	if flag == row.Null {
		x.Null()
		return
	}
	x.Bytes(b.Data(word))
}

func (w *world) where(context.Context) (Place, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follow()
	return Place{place(w.at), 3}, w.broken()
}

// ReadBack implements connector.Readable.
func (w *world) ReadBack(_ context.Context, _ *row.Table, _ *row.Batch, emit func(*row.Batch) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follow()
	if w.late {
		w.at = len(w.log)
	}
	var rows []kept
	if w.history {
		rows = w.entries()
	} else {
		for _, l := range w.state(w.at) {
			rows = append(rows, kept{event: event{row.Read, l, false}})
		}
		slices.SortFunc(rows, func(a, b kept) int { return cmpText(*a.cells[0], *b.cells[0]) })
	}
	if w.damage != nil {
		w.damage(&rows)
	}
	rows = w.repaired(rows)
	w.r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	if err := emit(row.Mark(place(w.at), 0)); err != nil {
		return err
	}
	x := row.NewBuilder(&row.Pool{})
	for _, k := range rows {
		x.At(prefix(k.place, k.begins), k.counter, row.Txn{})
		w.put(x, k.op, k.cells, k.partial)
	}
	if x.Rows() == 0 {
		return nil
	}
	return w.pieces(x.Finish(position.Position{}, 0).In(3), emit)
}

func cmpText(a, b string) int { return slices.Compare([]byte(a), []byte(b)) }

// entries is the history of the target: a snapshot, and the changes from before it on.
func (w *world) entries() []kept {
	var out []kept
	state := w.state(w.first)
	for i, key := range slices.Sorted(maps.Keys(state)) {
		out = append(out, kept{event{row.Read, state[key], false}, w.first, 0, row.ChunkCounter(1, 0, uint64(i+1))})
	}
	from := w.first
	if len(w.table.Key) > 0 {
		from = max(0, w.first-3) // what a chunk has already does no harm
	}
	for n, e := range w.log[from:max(from, w.at)] {
		if len(w.table.Key) == 0 && e.op == row.Update {
			out = append(out, kept{event{row.Before, w.state(from + n)[*e.cells[0]], false}, from + n, 1, 1})
		}
		out = append(out, kept{e, from + n, 1, 2})
	}
	return out
}

// changes yields the events between two places.
func (w *world) changes(_ context.Context, from, to position.Position, visit func(*row.Batch) error) error {
	x := row.NewBuilder(&row.Pool{})
	at := func(p position.Position) uint64 { return binary.BigEndian.Uint64([]byte(p.Order())) }
	for n := at(from); n < at(to); n++ {
		e := w.log[n]
		if old, there := w.state(int(n))[*e.cells[0]]; there && len(w.table.Key) == 0 {
			w.put(x, row.Before, old, false)
		}
		w.put(x, e.op, e.cells, e.partial)
	}
	return w.pieces(x.Finish(position.Position{}, 0), visit)
}

func (w *world) config(t *testing.T) Config {
	return Config{
		Source: w, Target: w, History: w.history, Table: w.table, Place: w.where, Folder: t.TempDir(), Patience: 20 * time.Millisecond, Changes: w.changes, Disk: w.disk, Wait: 1,
	}
}

func (w *world) verify(t *testing.T) (Report, []Finding) {
	t.Helper()
	var found []Finding
	c := w.config(t)
	c.Found = func(f Finding) error { found = append(found, f); return nil }
	r, err := Verify(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r, found
}
