package flow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// A sink that keeps rows gets each change once: as a part of a chunk, or from the log.

func newRowSink() *memSink {
	m := newMemSink()
	m.rows = true
	return m
}

// judgeRows says whether a sink's rows are the source's at the committed place of the
// stream that carries them, and how many tables it could tell of.
func judgeRows(src *logSource, m *memSink) (told int, err error) {
	states, err := (&Job{Name: "j", Sinks: []*Sink{{Sink: m, Name: "s"}}}).Find(context.Background())
	if err != nil || states[0].At.IsZero() {
		return 0, err
	}
	for _, t := range states[0].Shapes.tables {
		of := states[0]
		if p := of.part(t.Number); p != nil {
			of = p
		}
		table := tableIndex(t.Name)
		got, err := m.replay(table)
		if err != nil {
			return told, fmt.Errorf("%s: %w", t.Name, err)
		}
		now := of.Shapes.table(t.Number)
		if t.Stopped != "" || now == nil || now.Stopped != "" || of.Generation == 0 || !of.Whole {
			continue
		}
		told++
		if want := src.at(countOf(of.At))[table]; got.String() != want.String() {
			return told, fmt.Errorf("at %d of %s the rows of %s are\n%v, in the source\n%v", countOf(of.At), of.task(), t.Name, got, want)
		}
	}
	return told, nil
}

// runMixed is runAs with the tasks of all tables in any order, so that neighbouring
// chunks have marks far apart and in any order.
func runMixed(ctx context.Context, j *Job, src *logSource, claim connector.Claim, end int, r *rand.Rand) error {
	states, err := j.Find(ctx)
	if err != nil {
		return err
	}
	if err := j.Begin(ctx, states, Beginning{Snapshot: true}, claim); err != nil {
		return err
	}
	var tasks []*ChunkTask
	for _, n := range states[0].Numbers() {
		more, err := j.PlanTable(ctx, n, states)
		if err != nil {
			return err
		}
		tasks = append(tasks, more...)
	}
	r.Shuffle(len(tasks), func(i, k int) { tasks[i], tasks[k] = tasks[k], tasks[i] })
	for _, t := range tasks {
		if err := j.RunChunks(ctx, t, claim); err != nil {
			return err
		}
	}
	src.head = max(src.head, end)
	return j.Stream(ctx, &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(end)}}, claim)
}

func TestFilter_when_crashed_at_every_step(t *testing.T) {
	points, told, halted := 0, 0, 0
	for life := range uint64(6) {
		after := life%2 == 0
		crashed := true
		for n := 0; crashed; n++ {
			r := rand.New(rand.NewPCG(uint64(n), life))
			src := newLogSource(uint64(n)+100*life, 60)
			src.perRead = 2 + int(life)
			a, b := newRowSink(), newMemSink()
			a.crash = &crash{at: n, after: after}
			if err := runMixed(t.Context(), newJob(src, a, b), src, connector.Claim{Run: 1}, 50, r); err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("step %d after=%v: %v", n, after, err)
			}
			if _, err := judgeRows(src, a); err != nil {
				t.Fatalf("step %d after=%v, at the crash: %v", n, after, err)
			}
			crashed = a.crash.gone
			a.crash = &crash{at: -1}
			src.batch = 1 + r.IntN(9)
			if err := runMixed(t.Context(), newJob(src, a, b), src, connector.Claim{Run: 2}, 60, r); err != nil {
				t.Fatalf("step %d after=%v: second run: %v", n, after, err)
			}
			whole, err := judgeRows(src, a)
			if err != nil {
				t.Fatalf("step %d after=%v, at the end: %v", n, after, err)
			}
			if err := judge(src, b); err != nil {
				t.Fatalf("step %d after=%v, the changelog beside it: %v", n, after, err)
			}
			told, halted, points = told+whole, halted+2-whole, points+1
		}
	}
	t.Logf("%d crash points, %d tables compared, %d halted by a truncate", points, told, halted)
	if points < 100 || told < points || halted == 0 {
		t.Errorf("%d crash points, %d tables compared, %d halted", points, told, halted)
	}
}

// A table that a truncate between its marks has halted is whole again after a resync.
func TestFilter_when_a_halted_table_is_read_again(t *testing.T) {
	seen := 0
	for seed := range uint64(60) {
		src, m := newLogSource(seed, 60), newRowSink()
		j := newJob(src, m)
		r := rand.New(rand.NewPCG(seed, 2))
		if err := runMixed(t.Context(), j, src, connector.Claim{Run: 1}, 50, r); err != nil {
			t.Fatal(err)
		}
		states, err := j.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		halted := false
		for _, s := range states[0].Shapes.tables {
			halted = halted || strings.Contains(s.Stopped, "truncated")
		}
		if !halted {
			continue
		}
		seen++
		if err := j.Again(t.Context(), states, connector.Claim{Run: 2}); err != nil {
			t.Fatal(err)
		}
		src.perRead = 0
		if err := runMixed(t.Context(), j, src, connector.Claim{Run: 2, Attempt: 1}, 60, r); err != nil {
			t.Fatal(err)
		}
		if told, err := judgeRows(src, m); err != nil || told != 2 {
			t.Fatalf("seed %d: %d tables, %v", seed, told, err)
		}
	}
	if seen == 0 {
		t.Error("no history halted a table")
	}
}

// misled are sources that say another chunk than the one in which a key lies.
type misled struct {
	*logSource
	how func(b *row.Batch, s *row.Section, rows, out []int, parts int)
}

func (s misled) Chunks(ctx context.Context, splits []connector.Split, b *row.Batch, sec *row.Section, rows []int, out []int) error {
	err := s.logSource.Chunks(ctx, splits, b, sec, rows, out)
	s.how(b, sec, rows, out, len(splits))
	return err
}

func TestFilter_sees_planted_defects(t *testing.T) {
	plain := func(s *logSource) connector.Source { return s }
	for name, bug := range map[string]struct {
		source func(*logSource) connector.Source
		sink   func(*memSink) connector.Sink
	}{
		"no filter": {plain, func(m *memSink) connector.Sink { return historian{m} }},
		"an update that moves a row is judged by its old key": {func(s *logSource) connector.Source {
			return misled{s, func(b *row.Batch, _ *row.Section, rows, out []int, _ int) {
				for k := 1; k < len(rows); k++ {
					if b.Op(rows[k-1]) == row.Before {
						out[k] = out[k-1]
					}
				}
			}}
		}, nil},
		"an update that moves a row is judged by its new key": {func(s *logSource) connector.Source {
			return misled{s, func(b *row.Batch, _ *row.Section, rows, out []int, _ int) {
				for k := 1; k < len(rows); k++ {
					if b.Op(rows[k-1]) == row.Before {
						out[k-1] = out[k]
					}
				}
			}}
		}, nil},
		"the neighbouring chunk": {func(s *logSource) connector.Source {
			return misled{s, func(_ *row.Batch, _ *row.Section, _, out []int, parts int) {
				for k := range out {
					out[k] = min(out[k]+1, parts-1)
				}
			}}
		}, nil},
		"the first chunk": {func(s *logSource) connector.Source {
			return misled{s, func(_ *row.Batch, _ *row.Section, _, out []int, _ int) { clear(out) }}
		}, nil},
		"marks too late":  {func(s *logSource) connector.Source { return chunkSkewed{skewed{s, 1}} }, nil},
		"marks too early": {func(s *logSource) connector.Source { return chunkSkewed{skewed{s, -1}} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				src, m := newLogSource(seed, 90), newRowSink()
				src.perRead = 12 // marks far apart
				j := newJob(src, m)
				j.Source = bug.source(src)
				if bug.sink != nil {
					j.Sinks[0].Sink = bug.sink(m)
				}
				if err := runMixed(t.Context(), j, src, connector.Claim{Run: 1}, 90, rand.New(rand.NewPCG(seed, 1))); err != nil {
					t.Fatal(err)
				}
				if _, err := judgeRows(src, m); err != nil {
					return
				}
			}
			t.Fatal("no history showed it")
		})
	}
}

// historian is a sink that says it keeps history and does not.
type historian struct{ *memSink }

func (historian) History() bool { return true }

// chunkSkewed is skewed, and tells chunks.
type chunkSkewed struct{ skewed }

// A key that lies in a chunk read before it came there, and came from one read after it
// left: with only a part of the row in the log nobody knows the rest.
func TestFilter_when_a_moved_row_is_logged_in_part(t *testing.T) {
	tab := &row.Table{Name: row.Name{Space: "db", Table: "keyed"}, Number: 1, Columns: newLogSource(1, 3).shape[0].Columns, Key: []int{0}}
	for _, c := range []struct {
		from, to int64 // keys; below 4 the mark is late, from 4 on it is early
		rows     int
		refused  bool
	}{{1, 2, 0, false}, {5, 6, 2, false}, {5, 1, 1, false}, {1, 5, 1, true}} {
		f := &filter{chunker: &logSource{}, halted: map[uint32]string{}, tables: map[uint32]*copied{1: {}}}
		f.tables[1].add(connector.Split{Range: []byte("0 4")}, placeAfter(9).Order())
		f.tables[1].add(connector.Split{Range: []byte("4 8")}, placeAfter(2).Order())
		x := row.NewBuilder(&row.Pool{})
		x.At(prefixOf(50, 1), 0, row.Txn{})
		for _, r := range []struct {
			op row.Op
			id int64
		}{{row.Before, c.from}, {row.Update, c.to}} {
			x.Row(tab, r.op)
			x.Int(r.id)
			x.Absent()
		}
		b, err := f.rest(t.Context(), x.Finish(position.Position{}, 0))
		if fault.Has(err, fault.ResyncNeeded) != c.refused || err == nil && b.Rows() != c.rows {
			t.Errorf("from %d to %d: %v", c.from, c.to, err)
		}
	}
}

// A transaction that begins where a mark stands is not in the chunk, the one before is.
func TestFilter_when_a_change_stands_at_a_mark(t *testing.T) {
	src := newLogSource(3, 9)
	tab := src.shape[0]
	f := &filter{chunker: src, halted: map[uint32]string{}, tables: map[uint32]*copied{tab.Number: {}}}
	f.tables[0].add(connector.Split{Range: []byte("0 4")}, prefixOf(20, 7)+string(make([]byte, 7))+"\x05")
	f.tables[0].add(connector.Split{Range: []byte("4 8")}, placeAfter(9).Order())
	x := row.NewBuilder(&row.Pool{})
	x.At(prefixOf(20, 7), 4, row.Txn{})
	for range 3 { // counters 4, 5 and 6
		x.Row(tab, row.Insert)
		x.Int(1)
		x.Int(1)
	}
	b, err := f.rest(t.Context(), x.Finish(position.Position{}, 0))
	if err != nil || b.Rows() != 1 || row.Counter(b.Order(b.Sections()[0].Row)) != 6 {
		t.Errorf("%d rows, %v", b.Rows(), err)
	}
}

// With one mark, or none of the marks between the rows, nobody is asked.
func TestFilter_asks_only_between_marks(t *testing.T) {
	src := newLogSource(3, 9)
	tab := src.shape[0]
	f := &filter{halted: map[uint32]string{}, tables: map[uint32]*copied{0: {}}} // no chunker
	f.tables[0].add(connector.Split{}, placeAfter(3).Order())
	f.tables[0].add(connector.Split{}, placeAfter(5).Order())
	for n, want := range map[int]int{1: 0, 7: 2} {
		x := row.NewBuilder(&row.Pool{})
		x.At(prefixOf(uint64(10*n), 1), 0, row.Txn{})
		for range 2 {
			x.Row(tab, row.Insert)
			x.Int(1)
			x.Int(1)
		}
		if b, err := f.rest(t.Context(), x.Finish(position.Position{}, 0)); err != nil || b.Rows() != want {
			t.Errorf("transaction %d: %d rows, %v", n, b.Rows(), err)
		}
	}
}

// Tables leave, are read again and join, in sinks that keep rows.
func TestFilter_when_tables_come_and_go(t *testing.T) {
	seen := map[string]int{}
	for _, seed := range []uint64{0, 1, 2, 3, 5, 6, 7} {
		l := newApartLife(seed)
		l.mode.Snapshot = true // without one nobody knows what rows there were
		for _, m := range l.sinks {
			m.rows = true
		}
		err := l.live(t.Context(), seed%4 > 0)
		for k, n := range l.seen {
			seen[k] += n
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Log(seen)
	for _, k := range []string{"4 tables", "crashes", "fenced", "resync", "heal", "read again", "hangs"} {
		if seen[k] == 0 {
			t.Errorf("never: %s", k)
		}
	}
}
