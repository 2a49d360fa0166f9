package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/route"
	"godwit/internal/row"
)

func router(t *testing.T, text string) *route.Router {
	t.Helper()
	v, ps := option.Parse("job.yaml", []byte(text), []option.Field{{Name: "rules", Kind: option.Objects, Fields: route.Fields()}}, option.Resolver{})
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	return route.New(route.Rules(v.Objects("rules")))
}

const someRules = `rules:
  - {tables: ["db.*"], rename: "ex.{table}", where: "v > 300", set: {v: "int(v * 2)"}}
`

// ruled says whether a sink has what someRules make of the source's state.
func ruled(src *logSource, m *memSink) error {
	if err := m.unique(); err != nil {
		return err
	}
	states, err := (&Job{Name: "j", Sinks: []*Sink{{Sink: m, Name: "s"}}}).Find(context.Background())
	if err != nil || states[0].At.IsZero() || !states[0].Whole {
		return err
	}
	s := states[0]
	for table, target := range map[int]int{1: 3, 2: 4} {
		source, want := src.at(countOf(s.At))[table], newState()[0]
		for id, v := range source.keyed {
			if v > 300 {
				want.keyed[id] = v * 2
			}
		}
		for k, n := range source.bag {
			var id, v int64
			fmt.Sscanf(k, "%d %d", &id, &v)
			if v > 300 {
				want.add(id, v*2, n)
			}
		}
		if got := m.fold(target, row.PlacePos(s.Incarnation, s.At)); got.String() != want.String() {
			return fmt.Errorf("at %d %s has\n%v, by the rules\n%v", countOf(s.At), modelTables[target], got, want)
		}
	}
	return nil
}

func TestFlow_when_rules_change_what_arrives(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			src := newLogSource(uint64(n), 60)
			a, b := newMemSink(), newMemSink()
			a.crash = &crash{at: n, after: after}
			job := func() *Job {
				j := newJob(src, a, b)
				j.Sinks[0].Route = router(t, someRules)
				return j
			}
			if err := run(t.Context(), job(), connector.Claim{Run: 1}, 50); err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			crashed := a.crash.gone
			a.crash = &crash{at: -1}
			if err := run(t.Context(), job(), connector.Claim{Run: 2}, 60); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(ruled(src, a), judge(src, b)); err != nil {
				t.Fatalf("step %d after=%v: %v", n, after, err)
			}
			if p := a.shards[streamTask].set[keyStream]; countOf(p) != 60 || a.columns[3] != 3 || a.columns[1] != 0 {
				t.Fatalf("step %d: ended at %d, columns %v", n, countOf(p), a.columns)
			}
			if !crashed {
				break
			}
		}
	}
}

// told is a sink that notes the tables that it is told of.
type told struct {
	*memSink
	names *[]string
}

func (s told) Prepare(_ context.Context, tables []*row.Table) error {
	for _, t := range tables {
		*s.names = append(*s.names, "prepared "+t.Name.String())
	}
	return nil
}

func (s told) Announce(_ context.Context, _ position.Position, _ string, tables []connector.Completion) error {
	for _, c := range tables {
		*s.names = append(*s.names, "told of "+c.Table.Name.String())
	}
	return nil
}

func TestFlow_when_rules_leave_tables_out(t *testing.T) {
	src, m := newLogSource(1, 60), newMemSink()
	j := newJob(src, m)
	var names []string
	j.Sinks[0].Sink = told{m, &names}
	j.Sinks[0].Route = router(t, "rules:\n  - {tables: [\"*.bag\"], omit: true}\n  - {rename: \"ex.{table}\"}\n")
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 60); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n != "prepared ex.keyed" && n != "told of ex.keyed" {
			t.Errorf("the sink was %s", n)
		}
	}
	for _, e := range m.entries {
		if e.table != 3 {
			t.Errorf("it got a row of %s", modelTables[e.table])
		}
	}
	if len(names) == 0 || len(m.entries) == 0 {
		t.Error("it got nothing")
	}
}

// burying is a sink that keeps dead letters.
type burying struct {
	*memSink
	letters *[]string
}

type buryingWriter struct {
	*memWriter
	letters *[]string
	buried  func(connector.Letter)
	waiting []connector.Letter
}

func (s burying) Open(ctx context.Context, sh connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := s.memSink.Open(ctx, sh, c)
	return &buryingWriter{memWriter: w.(*memWriter), letters: s.letters}, set, err
}

func (w *buryingWriter) Discard(buried func(connector.Letter)) { w.buried = buried }

func (w *buryingWriter) Bury(_ context.Context, b *row.Batch, s *row.Section, i int, why *fault.Error) error {
	w.waiting = append(w.waiting, connector.Letter{Table: s.Table, Order: b.Order(i), Op: b.Op(i), Reason: why})
	return nil
}

func (w *buryingWriter) Commit(ctx context.Context, set position.Set) error {
	if err := w.memWriter.Commit(ctx, set); err != nil {
		return err
	}
	for _, l := range w.waiting {
		*w.letters = append(*w.letters, l.Table.Name.String()+" "+string(l.Reason.Code))
		w.buried(l)
	}
	w.waiting = nil
	return nil
}

func TestFlow_when_rows_are_put_aside(t *testing.T) {
	src, m := newLogSource(3, 60), newMemSink()
	j := newJob(src, m)
	var letters []string
	j.Sinks[0].Sink = burying{m, &letters}
	j.Sinks[0].Route = router(t, "rules:\n  - {tables: [db.keyed], set: {v: \"v % 3 == 0 ? int('x') : v\"}}\n")
	err := run(t.Context(), j, connector.Claim{Run: 1}, 60)
	if f := fault.Of(err); f.Code != fault.RowRefused || f.Sink != "s0" {
		t.Fatal(err)
	}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range states[0].Numbers() {
		tasks, err := j.PlanTable(t.Context(), n, states)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			task.Discard = "other s0"
			if err := j.RunChunks(t.Context(), task, connector.Claim{Run: 2}); err != nil {
				t.Fatal(err)
			}
		}
	}
	src.head = 60
	task := &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(60)}, Discard: "s0"}
	if err := j.Stream(t.Context(), task, connector.Claim{Run: 2}); err != nil {
		t.Fatal(err)
	}
	for _, e := range m.entries {
		if e.table == 1 && e.v%3 == 0 && e.op != row.Delete && e.op != row.Truncate {
			t.Errorf("%+v was written", e)
		}
	}
	if n := j.Record.Snapshot().Sinks[0].Buried; n == 0 || int(n) != len(letters) || letters[0] != "db.keyed ROW_REFUSED" {
		t.Errorf("%d told of, %q", n, letters)
	}
}

func TestFlow_when_a_sink_cannot_put_rows_aside(t *testing.T) {
	src, m := newLogSource(3, 60), newMemSink()
	j := newJob(src, m)
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 50); err != nil {
		t.Fatal(err)
	}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	task := &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(60)}, Discard: "s0"}
	if err := j.Stream(t.Context(), task, connector.Claim{Run: 2}); fault.Of(err).Code != fault.JobValue {
		t.Error(err)
	}
}

// Rows that lie between the places of what comes together may be refused as well.
func TestArrange_when_rows_are_put_aside(t *testing.T) {
	src, m := newLogSource(3, 60), newMemSink()
	j := newJob(src, m)
	var letters []string
	j.Sinks[0].Sink = burying{m, &letters}
	j.Sinks[0].Route = router(t, "rules:\n  - {tables: [db.keyed], set: {v: \"v % 3 == 0 ? int('x') : v\"}}\n")
	src.head, src.perRead = 0, 0 // nothing is there yet
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 0); err != nil {
		t.Fatal(err)
	}
	src.head = 50
	j.Tables.Patterns = []string{"*.*"}
	for attempt, discard := range []string{"", "s0"} {
		states, err := j.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = j.Arrange(t.Context(), states, Wanted{
			Apart: func(row.Name) bool { return false }, Caught: func(*SinkState) bool { return false }, Snapshot: true, Most: 9, Discard: discard,
		}, connector.Claim{Run: 2, Attempt: uint64(attempt)})
		if refused := fault.Has(err, fault.RowRefused); refused != (discard == "") || err != nil && fault.Of(err).Sink != "s0" {
			t.Fatalf("attempt %d: %v", attempt, err)
		}
	}
	if len(letters) == 0 {
		t.Error("no row was put aside")
	}
}
