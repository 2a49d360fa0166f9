package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/watch"
)

func newJob(src *logSource, sinks ...*memSink) *Job {
	j := &Job{Name: "j", Source: src, Tables: connector.Selector{Patterns: []string{"db.*"}}, Record: watch.New(watch.Options{}), Pool: &row.Pool{}, ChunkBytes: 1}
	for i, s := range sinks {
		j.Sinks = append(j.Sinks, &Sink{Sink: s, Name: fmt.Sprint("s", i), Every: time.Hour, Bytes: 5})
	}
	return j
}

// run does what an engine does, one task after another, from what it finds in
// the sinks.
func run(ctx context.Context, j *Job, claim connector.Claim, end int) error {
	return runAs(ctx, j, j.Source.(*logSource), claim, end)
}

// judge says whether a sink's changelog gives the source's state of each table at the
// committed place of the stream that carries it, once that is past all its marks.
func judge(src *logSource, m *memSink) error {
	if m.rows {
		_, err := judgeRows(src, m)
		return err
	}
	if err := m.unique(); err != nil {
		return err
	}
	states, err := (&Job{Name: "j", Sinks: []*Sink{{Sink: m, Name: "s"}}}).Find(context.Background())
	if err != nil || states[0].At.IsZero() {
		return err
	}
	s := states[0]
	for _, t := range s.Shapes.tables {
		of := s
		if p := s.part(t.Number); p != nil {
			of = p
		}
		if t.Stopped != "" || of.Shapes.table(t.Number) == nil || of.Shapes.table(t.Number).Stopped != "" {
			continue
		}
		if of.Generation == 0 || !of.Whole { // what was there before its stream began is nowhere
			continue
		}
		table := tableIndex(t.Name)
		got := m.fold(table, row.PlacePos(of.Incarnation, of.At))
		if want := src.at(countOf(of.At))[table]; got.String() != want.String() {
			return fmt.Errorf("at %d of %s the changelog of %s says\n%v, the source had\n%v", countOf(of.At), of.task(), t.Name, got, want)
		}
	}
	return nil
}

// A lane does one thing at a time, so its stages share one time.
func TestFlow_when_its_stages_are_measured(t *testing.T) {
	src, m := newLogSource(7, 60), newMemSink()
	j := newJob(src, m)
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 50); err != nil {
		t.Fatal(err)
	}
	of := map[string]watch.Stage{}
	for _, s := range j.Record.Snapshot().Stages {
		of[s.Stage] = s
	}
	apply, commit := of["apply"], of["commit"]
	if commit.Busy == 0 || apply.Busy == 0 || math.Abs(apply.Blocked-commit.Busy) > 0.002 || math.Abs(commit.Waiting-apply.Busy-apply.Waiting) > 0.002 {
		t.Errorf("%+v, %+v", apply, commit)
	}
}

func TestFlow_when_crashed_at_every_step(t *testing.T) {
	points := 0
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			src := newLogSource(uint64(n), 60)
			a, b := newMemSink(), newMemSink()
			a.crash, b.crash = &crash{at: n, after: after}, &crash{at: -1}
			j := newJob(src, a, b)
			err := run(t.Context(), j, connector.Claim{Run: 1}, 50)
			if err != nil && (!errors.Is(err, errCrash) || fault.Of(err).Sink != "s0") {
				t.Fatalf("step %d after=%v, blamed is %q: %v", n, after, fault.Of(err).Sink, err)
			}
			nothingWaits(t, j)
			for i, m := range []*memSink{a, b} {
				if err := judge(src, m); err != nil {
					t.Fatalf("step %d after=%v, at the crash, sink %d: %v", n, after, i, err)
				}
			}
			crashed := a.crash.gone
			a.crash = &crash{at: -1}
			if err := run(t.Context(), newJob(src, a, b), connector.Claim{Run: 2}, 60); err != nil {
				t.Fatalf("step %d after=%v: second run: %v", n, after, err)
			}
			for i, m := range []*memSink{a, b} {
				if p := m.shards[streamTask].set[keyStream]; countOf(p) != 60 {
					t.Fatalf("step %d sink %d ended at %d", n, i, countOf(p))
				}
				if err := judge(src, m); err != nil {
					t.Fatalf("step %d after=%v, at the end, sink %d: %v", n, after, i, err)
				}
				if m.columns[1] != 3 {
					t.Fatalf("step %d sink %d: the column added by the log is missing", n, i)
				}
			}
			if !crashed {
				if n < 15 {
					t.Fatalf("only %d steps were reached", n)
				}
				break
			}
			points++
		}
	}
	t.Logf("%d crash points", points)
}

// nothingWaits checks that a run that has ended tells of no queues.
func nothingWaits(t *testing.T, j *Job) {
	t.Helper()
	for _, s := range j.Record.Snapshot().Sinks {
		if s.Queue != 0 {
			t.Errorf("%d bytes wait for sink %s", s.Queue, s.Name)
		}
	}
}

// failing is a source that fails after a number of batches.
type failing struct {
	*logSource
	left int
}

func (f *failing) Read(ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
	return f.logSource.Read(ctx, s, from, func(b *row.Batch) error {
		if f.left--; f.left < 0 {
			b.Release()
			return fault.New(fault.SourceUnreachable, "gone")
		}
		return emit(b)
	})
}

func TestFlow_when_the_source_fails(t *testing.T) {
	for n := range 20 {
		src := newLogSource(uint64(n), 60)
		j := newJob(src, newMemSink(), newMemSink())
		j.Source = &failing{src, n}
		err := runAs(t.Context(), j, src, connector.Claim{Run: 1}, 60)
		if e := fault.Of(err); e.Code != fault.SourceUnreachable || e.Sink != "" {
			t.Errorf("after %d batches sink %q is blamed: %v", n, e.Sink, err)
		}
		nothingWaits(t, j)
	}
}

func TestFlow_when_a_sink_is_cancelled(t *testing.T) {
	s := &Sink{Name: "s"}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.blame(ctx, errCrash); fault.Of(err).Sink != "s" || s.blame(ctx, nil) != nil {
		t.Error(err)
	}
	cancel()
	if err := s.blame(ctx, ctx.Err()); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func TestFlow_when_paused_at_random(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		src, a, b := newLogSource(seed, 60), newMemSink(), newMemSink()
		for i := uint64(1); ; i++ {
			ctx, cancel := context.WithCancel(t.Context())
			src.batch = 1 + r.IntN(9)
			j := newJob(src, a, b)
			j.Source = &pausing{logSource: src, left: 1 + r.IntN(12), pause: cancel}
			err := runAs(ctx, j, src, connector.Claim{Run: i}, 60)
			cancel()
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, m := range []*memSink{a, b} {
				if err := judge(src, m); err != nil {
					t.Fatalf("seed %d run %d: %v", seed, i, err)
				}
			}
			if err == nil {
				break
			}
			if i > 500 {
				t.Fatalf("seed %d: no progress", seed)
			}
		}
	}
}

// pausing cancels after a number of batches.
type pausing struct {
	*logSource
	left  int
	pause func()
}

func (p *pausing) Read(ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
	return p.logSource.Read(ctx, s, from, func(b *row.Batch) error {
		if p.left--; p.left == 0 {
			p.pause()
		}
		return emit(b)
	})
}

func TestFlow_when_started_again(t *testing.T) {
	src, a := newLogSource(5, 60), newMemSink()
	j := newJob(src, a)
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 40); err != nil {
		t.Fatal(err)
	}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// An attempt of the first generation is still alive somewhere.
	zombie, _, err := a.Open(t.Context(), connector.Shard{Task: "1.1.0"}, connector.Claim{Run: 1, Attempt: 9})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Again(t.Context(), states, connector.Claim{Run: 2}); err != nil {
		t.Fatal(err)
	}
	if err := zombie.Commit(t.Context(), position.Set{}); !fault.Has(err, fault.FencedOff) {
		t.Fatalf("an attempt of the old generation could commit: %v", err)
	}
	if err := run(t.Context(), j, connector.Claim{Run: 2, Attempt: 1}, 40); err != nil {
		t.Fatal(err)
	}
	if err := judge(src, a); err != nil {
		t.Fatal(err)
	}
	set := a.shards[streamTask].set
	if set[keyGeneration].Token() != "2" || set[keyLog].Token() != "1" || set[keyWhole].IsZero() {
		t.Fatalf("set after the second generation: %v", set)
	}
}

// wider is a source whose first table has a column more.
type wider struct{ *logSource }

func (s wider) Discover(ctx context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	tables, p0, err := s.logSource.Discover(ctx, sel)
	for i, t := range tables {
		if tableIndex(t.Name) == 1 {
			now := *t
			now.Columns = append(slices.Clone(t.Columns), row.Column{Name: "more", Type: row.Type{Kind: row.Int}})
			tables[i] = &now
		}
	}
	return tables, p0, err
}

// Nothing tells of what happened to tables in a part of the log that is gone: a new
// generation begins with the shapes there are.
func TestFlow_when_tables_changed_before_it_is_started_again(t *testing.T) {
	src, a := newLogSource(5, 60), newMemSink()
	j := newJob(src, a)
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 40); err != nil {
		t.Fatal(err)
	}
	before, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	was := map[uint32]*row.Table{}
	for _, table := range unionTables(before[0]) {
		was[table.Number] = table
	}
	j.Source = wider{src}
	if err := j.Again(t.Context(), before, connector.Claim{Run: 2}); err != nil {
		t.Fatal(err)
	}
	after, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, table := range after[0].Shapes.tables {
		old := was[table.Number]
		if old == nil {
			continue
		}
		want := old.Version
		if !table.SameShape(old) {
			want, changed = want+1, changed+1
			if n := a.columns[tableIndex(table.Name)]; n != len(table.Columns) {
				t.Errorf("%s has %d columns in the target, not %d", table.Name, n, len(table.Columns))
			}
		}
		if table.Version != want || table.Generation != 2 {
			t.Errorf("%s: version %d, not %d, generation %d", table.Name, table.Version, want, table.Generation)
		}
	}
	if changed == 0 {
		t.Error("no table changed")
	}
}

func TestFlow_when_a_newer_run_takes_over(t *testing.T) {
	src, a := newLogSource(5, 60), newMemSink()
	if err := run(t.Context(), newJob(src, a), connector.Claim{Run: 3}, 30); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), newJob(src, a), connector.Claim{Run: 2}, 60)
	if !fault.Has(err, fault.FencedOff) {
		t.Fatalf("an older run was let in: %v", err)
	}
}

// endless emits heartbeats until emit or ctx ends it.
type endless struct{ *logSource }

func (s endless) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if split.Bounded {
		return s.logSource.Read(ctx, split, from, emit)
	}
	for n := countOf(from); ; n++ {
		if err := emit(row.Mark(placeAfter(n), 0)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func TestFlow_when_a_sink_fails_under_an_endless_source(t *testing.T) {
	src, m := newLogSource(1, 60), newMemSink()
	j := newJob(src, m)
	j.Source = endless{src}
	j.Sinks[0].Every = 0 // commits at every place
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Begin(t.Context(), states, Beginning{}, connector.Claim{Run: 1}); err != nil {
		t.Fatal(err)
	}
	m.crash = &crash{at: 5}
	if err := j.Stream(t.Context(), &StreamTask{Sinks: states}, connector.Claim{Run: 1}); !errors.Is(err, errCrash) {
		t.Fatalf("the stream ended with %v", err)
	}
}

func TestTasks_tell_of_their_commits(t *testing.T) {
	src := newLogSource(1, 60)
	j := newJob(src, newMemSink())
	claim := connector.Claim{Run: 1}
	states, err := j.Find(t.Context())
	if err == nil {
		err = j.Begin(t.Context(), states, Beginning{Snapshot: true}, claim)
	}
	if err != nil {
		t.Fatal(err)
	}
	var told atomic.Int64
	check := func(what string, err error) {
		if err != nil || told.Load() == 0 || told.Load() != j.Commits() {
			t.Fatalf("%s told of %d commits of %d: %v", what, told.Load(), j.Commits(), err)
		}
	}
	told.Store(j.Commits())
	tell := func() { told.Add(1) }
	for _, n := range states[0].Numbers() {
		tasks, err := j.PlanTable(t.Context(), n, states)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			task.Committed = tell
			check("a copy", j.RunChunks(t.Context(), task, claim))
		}
	}
	src.head = 60
	before := told.Load()
	check("the stream", j.Stream(t.Context(), &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(60)}, Committed: tell}, claim))
	if before == told.Load() {
		t.Error("the stream committed nothing")
	}
}
