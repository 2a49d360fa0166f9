package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// A model of a source: a log of transactions over four tables, keyed ones and ones
// without a key, whose state at every place is known.

type change struct {
	table int    // see modelTables
	op    row.Op // Insert, Update, Delete, Truncate
	id, v int64
	oldID int64 // Update: the key or row it had
	oldV  int64
}

// modelTables are the names of the model's tables. Odd ones have a key. Tests choose
// db.* unless they say otherwise.
var modelTables = []row.Name{{}, {Space: "db", Table: "keyed"}, {Space: "db", Table: "bag"}, {Space: "ex", Table: "keyed"}, {Space: "ex", Table: "bag"}}

func tableIndex(n row.Name) int { return slices.Index(modelTables, n) }

type transaction struct {
	changes []change
	ddl     int // a table that gets a column more; 0: none
	stop    int // a table that is changed by a statement, so that it is marked; 0: none
}

type logSource struct {
	mu      sync.Mutex
	rng     *rand.Rand
	log     []transaction
	head    int // transactions committed so far; grows while chunks are read
	perRead int // transactions committed by each chunk read
	batch   int // rows in a batch of the stream
	pool    row.Pool
	shape   []*row.Table // as the tables are at the beginning of the log
}

func newLogSource(seed uint64, n int) *logSource { return newStoppingSource(seed, n, nil) }

// newStoppingSource is newLogSource with transactions at which a table is marked.
func newStoppingSource(seed uint64, n int, stops map[int]int) *logSource {
	s := &logSource{rng: rand.New(rand.NewPCG(seed, 7)), perRead: 3, batch: 4, head: n / 3}
	cols := []row.Column{{Name: "id", Type: row.Type{Kind: row.Int}}, {Name: "v", Type: row.Type{Kind: row.Int}}}
	for i, n := range modelTables[1:] {
		t := &row.Table{Name: n, Columns: cols}
		if i%2 == 0 {
			t.Key = []int{0}
		}
		s.shape = append(s.shape, t)
	}
	state := newState()
	for i := range n {
		switch {
		case i == n*2/3:
			s.log = append(s.log, transaction{ddl: 1})
		case i == n/2:
			s.log = append(s.log, transaction{ddl: 3})
		case stops[i] > 0:
			s.log = append(s.log, transaction{stop: stops[i]})
		default:
			s.log = append(s.log, s.transaction(state))
		}
	}
	return s
}

// shapesAt are the tables after n transactions.
func (s *logSource) shapesAt(n int) []*row.Table {
	var out []*row.Table
	for i, t := range s.shape {
		c := *t
		for at, x := range s.log[:n] {
			if x.ddl == i+1 {
				c = *altered(&c, at)
			}
		}
		out = append(out, &c)
	}
	return out
}

func altered(t *row.Table, n int) *row.Table {
	after := *t
	after.Version++
	after.Columns = append(slices.Clone(t.Columns), row.Column{Name: fmt.Sprint("c", n), Type: row.Type{Kind: row.Int}})
	return &after
}

func (s *logSource) transaction(state *state) (t transaction) {
	for range 1 + s.rng.IntN(4) {
		c := change{table: 1 + s.rng.IntN(2), id: s.rng.Int64N(12), v: s.rng.Int64N(1000)}
		if s.rng.IntN(3) == 0 {
			c.table += 2
		}
		s.fill(&c, state[c.table])
		if s.rng.IntN(60) == 0 {
			c = change{table: c.table, op: row.Truncate}
		}
		state.do(c)
		t.changes = append(t.changes, c)
	}
	return t
}

// fill makes c a change that makes sense for the rows there are.
func (s *logSource) fill(c *change, rows *rows) {
	if c.table%2 == 1 {
		old, there := rows.keyed[c.id]
		switch {
		case !there:
			c.op = row.Insert
		case s.rng.IntN(3) == 0:
			c.op, c.v = row.Delete, old
		default:
			c.op, c.oldID, c.oldV = row.Update, c.id, old
			if other := s.rng.Int64N(12); s.rng.IntN(3) == 0 {
				if _, taken := rows.keyed[other]; !taken {
					c.id = other
				}
			}
		}
		return
	}
	c.op = row.Insert
	if len(rows.bag) > 0 && s.rng.IntN(2) == 0 {
		k := rows.sorted()[s.rng.IntN(len(rows.bag))]
		c.op = row.Delete
		var id, v int64
		fmt.Sscanf(k, "%d %d", &id, &v)
		if s.rng.IntN(2) == 0 {
			c.op, c.oldID, c.oldV = row.Update, id, v
		} else {
			c.id, c.v = id, v
		}
	}
}

// state is what the tables hold.
type state [5]*rows

// rows is what one table holds.
type rows struct {
	keyed map[int64]int64
	bag   map[string]int
}

func newState() *state {
	var s state
	for i := range s {
		s[i] = &rows{map[int64]int64{}, map[string]int{}}
	}
	return &s
}

func (s *rows) sorted() []string { return slices.Sorted(maps.Keys(s.bag)) }

func (s *rows) add(id, v int64, n int) {
	k := fmt.Sprint(id, " ", v)
	if s.bag[k] += n; s.bag[k] == 0 {
		delete(s.bag, k)
	}
}

func (st *state) do(c change) {
	s := st[c.table]
	switch keyed := c.table%2 == 1; {
	case c.op == row.Truncate:
		clear(s.keyed)
		clear(s.bag)
	case keyed && c.op == row.Delete:
		delete(s.keyed, c.id)
	case keyed:
		if c.op == row.Update {
			delete(s.keyed, c.oldID)
		}
		s.keyed[c.id] = c.v
	case c.op == row.Delete:
		s.add(c.id, c.v, -1)
	default:
		if c.op == row.Update {
			s.add(c.oldID, c.oldV, -1)
		}
		s.add(c.id, c.v, 1)
	}
}

func (s *rows) String() string { return fmt.Sprint(s.keyed, s.bag) }

// at returns the state after n transactions.
func (s *logSource) at(n int) *state {
	st := newState()
	for _, t := range s.log[:n] {
		for _, c := range t.changes {
			st.do(c)
		}
	}
	return st
}

// Places: transaction i starts at offset 10*i; the place after it is 10*(i+1).
func prefixOf(offset uint64, event uint32) string {
	b := binary.BigEndian.AppendUint64(nil, offset)
	return string(binary.BigEndian.AppendUint32(b, event))
}

func placeAfter(n int) position.Position {
	return position.New("log", prefixOf(uint64(10*n), 0)+"\x00\x00\x00\x00\x00\x00\x00\x00", fmt.Sprint(n))
}

func countOf(p position.Position) int {
	var n int
	fmt.Sscan(p.Token(), &n)
	return n
}

func (s *logSource) Close() error { return nil }

func (s *logSource) Discover(_ context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.DeleteFunc(s.shapesAt(s.head), func(t *row.Table) bool { return !sel.Match(t.Name) })
	return out, placeAfter(s.head), nil
}

func (s *logSource) Splits(_ context.Context, r connector.Request) ([]connector.Split, error) {
	var out []connector.Split
	bounds := []string{"0 4", "4 8", "8 99"}
	if len(r.Table.Key) == 0 {
		bounds = []string{"0 99"}
	}
	for _, b := range bounds {
		out = append(out, connector.Split{Range: []byte(b)})
	}
	return out, nil
}

// Chunks implements connector.Chunker.
func (s *logSource) Chunks(_ context.Context, splits []connector.Split, b *row.Batch, sec *row.Section, rows []int, out []int) error {
	for k, i := range rows {
		words, _ := b.Cells(sec, i)
		out[k] = 0
		for n, split := range splits {
			var lo, hi int64
			fmt.Sscanf(string(split.Range), "%d %d", &lo, &hi)
			if lo <= int64(words[0]) {
				out[k] = n
			}
		}
	}
	return nil
}

func (s *logSource) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if split.Bounded {
		return s.chunk(split, emit)
	}
	return s.stream(ctx, split, from, emit)
}

func (s *logSource) chunk(split connector.Split, emit func(*row.Batch) error) error {
	s.mu.Lock()
	s.head = min(s.head+s.perRead, len(s.log))
	mark := s.head
	s.mu.Unlock()
	if err := emit(row.Mark(placeAfter(mark), 0)); err != nil {
		return err
	}
	var lo, hi int64
	fmt.Sscanf(string(split.Range), "%d %d", &lo, &hi)
	t := split.Tables[0]
	st, now := s.at(mark)[tableIndex(t.Name)], s.shapesAt(mark)[tableIndex(t.Name)-1]
	if len(now.Columns) > len(t.Columns) {
		c := *now
		c.Number, c.Version = t.Number, t.Version+1
		t = &c
	}
	x := row.NewBuilder(&s.pool)
	ordinal := uint64(1)
	put := func(id, v int64) error {
		x.At(prefixOf(uint64(10*mark), 0), row.ChunkCounter(split.Generation, split.Chunk, ordinal), row.Txn{})
		x.Row(t, row.Read)
		x.Int(id)
		x.Int(v)
		for range t.Columns[2:] {
			x.Null()
		}
		if ordinal++; ordinal%3 == 0 {
			return emit(x.Finish(position.Position{}, 0))
		}
		return nil
	}
	if len(t.Key) > 0 {
		for _, id := range slices.Sorted(maps.Keys(st.keyed)) {
			if lo <= id && id < hi {
				if err := put(id, st.keyed[id]); err != nil {
					return err
				}
			}
		}
	} else {
		for _, k := range st.sorted() {
			for range st.bag[k] {
				var id, v int64
				fmt.Sscanf(k, "%d %d", &id, &v)
				if err := put(id, v); err != nil {
					return err
				}
			}
		}
	}
	return emit(x.Finish(position.Position{}, 0))
}

func (s *logSource) stream(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	tables := map[int]*row.Table{}
	for _, t := range split.Tables {
		tables[tableIndex(t.Name)] = t
	}
	x := row.NewBuilder(&s.pool)
	for n := countOf(from); ; n++ {
		s.mu.Lock()
		head := s.head
		s.mu.Unlock()
		if done, _ := atOrBeyond(placeAfter(n), split.Until.Place); done && !split.Until.IsZero() {
			return emit(x.Finish(placeAfter(n), int64(n)))
		}
		if n == head || ctx.Err() != nil {
			if err := emit(x.Finish(placeAfter(n), int64(n))); err != nil || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			return errors.New("the model's stream came to its end without an until")
		}
		if table := s.log[n].ddl + s.log[n].stop; table > 0 {
			if tables[table] == nil || tables[table].Stopped != "" {
				continue
			}
			if err := s.barrier(x, tables, n, emit); err != nil {
				return err
			}
			continue
		}
		if err := s.rows(x, tables, n, emit); err != nil {
			return err
		}
	}
}

func (s *logSource) barrier(x *row.Builder, tables map[int]*row.Table, n int, emit func(*row.Batch) error) error {
	if err := emit(x.Finish(placeAfter(n), int64(n))); err != nil {
		return err
	}
	table := s.log[n].ddl + s.log[n].stop
	c := &row.SchemaChange{Kind: row.Alter, Before: tables[table]}
	if s.log[n].stop > 0 {
		after := *c.Before
		after.Version++
		after.Stopped = "a statement"
		c.Kind, c.After = row.Stop, &after
	} else {
		c.After = altered(c.Before, n)
	}
	tables[table] = c.After
	return emit(row.Barrier(c, prefixOf(uint64(10*n), 1)+strings.Repeat("\x00", 8), placeAfter(n+1), int64(n)))
}

func (s *logSource) rows(x *row.Builder, tables map[int]*row.Table, n int, emit func(*row.Batch) error) error {
	for e, c := range s.log[n].changes {
		t := tables[c.table]
		if t == nil || t.Stopped != "" {
			continue
		}
		x.At(prefixOf(uint64(10*n), uint32(e+1)), 0, row.Txn{ID: fmt.Sprint("t", n), Time: int64(n)})
		one := func(op row.Op, id, v int64) {
			x.Row(t, op)
			for i := range t.Columns {
				switch {
				case op == row.Truncate:
					x.Absent()
				case i == 0:
					x.Int(id)
				case i == 1:
					x.Int(v)
				default:
					x.Null()
				}
			}
		}
		if c.op == row.Update && (len(t.Key) == 0 || c.oldID != c.id) {
			one(row.Before, c.oldID, c.oldV)
		}
		one(c.op, c.id, c.v)
		if x.Rows() >= s.batch && e+1 < len(s.log[n].changes) {
			if err := emit(x.Finish(position.Position{}, 0)); err != nil { // ends inside the transaction
				return err
			}
		}
	}
	if x.Rows() >= s.batch {
		return emit(x.Finish(placeAfter(n+1), int64(n)))
	}
	return nil
}

// A model of a sink: a changelog in memory whose every durable act is one step
// that a crash may come before or after.

var errCrash = errors.New("crash")

type crash struct {
	mu    sync.Mutex
	at    int // step; -1: never
	after bool
	steps int
	gone  bool
}

func (c *crash) step(do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return errCrash
	}
	n := c.steps
	c.steps++
	if n == c.at && !c.after {
		c.gone = true
		return errCrash
	}
	if err := do(); err != nil {
		return err
	}
	if n == c.at {
		c.gone = true
		return errCrash
	}
	return nil
}

type entry struct {
	table int
	op    row.Op
	pos   string
	id, v int64
}

type memShard struct {
	claim connector.Claim
	epoch int
	set   position.Set
}

type memSink struct {
	mu      sync.Mutex
	crash   *crash
	shards  map[string]*memShard
	once    map[string][]byte
	entries []entry // in the order of commits
	columns map[int]int
	rows    bool // it keeps rows, not their history
}

func newMemSink() *memSink {
	return &memSink{crash: &crash{at: -1}, shards: map[string]*memShard{}, once: map[string][]byte{}, columns: map[int]int{}}
}

func (m *memSink) Close() error                                { return nil }
func (m *memSink) History() bool                               { return !m.rows }
func (m *memSink) Prepare(context.Context, []*row.Table) error { return nil }

func (m *memSink) Open(_ context.Context, s connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w := &memWriter{sink: m, task: s.Task}
	var set position.Set
	err := m.crash.step(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		sh := m.shards[s.Task]
		if sh == nil {
			sh = &memShard{}
			m.shards[s.Task] = sh
		}
		if c.Less(sh.claim) {
			return fault.New(fault.FencedOff, "older claim")
		}
		sh.claim = c
		sh.epoch++
		w.epoch = sh.epoch
		set = sh.set.Clone()
		return nil
	})
	return w, set, err
}

func (m *memSink) Positions(_ context.Context, s connector.Shard) (connector.Claim, position.Set, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sh := m.shards[s.Task]; sh != nil {
		return sh.claim, sh.set.Clone(), nil
	}
	return connector.Claim{}, position.Set{}, nil
}

func (m *memSink) Once(_ context.Context, key string, value []byte) (kept []byte, err error) {
	if value == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.once[key], nil
	}
	err = m.crash.step(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, there := m.once[key]; !there {
			m.once[key] = value
		}
		kept = m.once[key]
		return nil
	})
	return kept, err
}

type memWriter struct {
	sink   *memSink
	task   string
	epoch  int
	staged []entry
}

func (w *memWriter) Close() error  { return nil }
func (w *memWriter) Staged() int64 { return int64(len(w.staged)) }
func (w *memWriter) Apply(_ context.Context, b *row.Batch) error {
	for _, s := range b.Sections() {
		for i := s.Row; i < s.Row+s.Rows; i++ {
			words, _ := b.Cells(&s, i)
			pos := string(row.AppendPos(nil, b.Incarnation, b.Order(i)))
			w.staged = append(w.staged, entry{tableIndex(s.Table.Name), b.Op(i), pos, int64(words[0]), int64(words[1])})
		}
	}
	return nil
}

func (w *memWriter) Evolve(_ context.Context, c *row.SchemaChange) error {
	if len(w.staged) > 0 {
		return errors.New("evolve with staged rows")
	}
	return w.sink.crash.step(func() error {
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		if c.After != nil {
			w.sink.columns[tableIndex(c.After.Name)] = len(c.After.Columns)
		}
		return nil
	})
}

func (w *memWriter) Commit(_ context.Context, set position.Set) error {
	return w.sink.crash.step(func() error {
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		sh := w.sink.shards[w.task]
		if sh.epoch != w.epoch {
			return fault.New(fault.FencedOff, "older epoch")
		}
		if _, err := set.MarshalBinary(); err != nil {
			return err
		}
		sh.set = set.Clone()
		w.sink.entries = append(w.sink.entries, w.staged...)
		w.staged = nil
		return nil
	})
}

// replay carries out what was committed to a table, one after another, as a target
// without history does: it has no use for places. What does not fit is an error.
func (m *memSink) replay(table int) (*rows, error) {
	st := newState()
	now := st[table]
	for _, e := range m.entries {
		if e.table != table {
			continue
		}
		_, there := now.keyed[e.id]
		if table%2 == 0 {
			there = now.bag[fmt.Sprint(e.id, " ", e.v)] > 0
		}
		switch e.op {
		case row.Before, row.Delete:
			if !there {
				return nil, fmt.Errorf("%v is taken out at %x and is not there", e, e.pos)
			}
			e.op = row.Delete
		case row.Read, row.Insert:
			if there && table%2 == 1 {
				return nil, fmt.Errorf("%v comes at %x and is there", e, e.pos)
			}
			e.op = row.Insert
		case row.Update:
			e.op = row.Insert
		}
		st.do(change{table: e.table, op: e.op, id: e.id, v: e.v})
	}
	return now, nil
}

// unique fails when two entries of a table have one place.
func (m *memSink) unique() error {
	seen := map[entry]bool{}
	for _, e := range m.entries {
		k := entry{table: e.table, pos: e.pos}
		if seen[k] {
			return fmt.Errorf("two entries of %s at %x", modelTables[e.table], e.pos)
		}
		seen[k] = true
	}
	return nil
}

// fold returns what the changelog says that a table holds at p: the rule of the
// documentation, written again.
func (m *memSink) fold(table int, p string) *rows {
	st := newState()
	all := slices.Clone(m.entries)
	sort.Slice(all, func(i, j int) bool { return all[i].pos < all[j].pos })
	for _, e := range all {
		if e.table != table || e.pos > p {
			continue
		}
		switch e.op {
		case row.Before:
			e.op = row.Delete
		case row.Read, row.Update:
			e.op = row.Insert
		}
		st.do(change{table: e.table, op: e.op, id: e.id, v: e.v})
	}
	return st[table]
}
