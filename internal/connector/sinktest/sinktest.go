// Package sinktest proves exactly-once sinks. It runs them over a synthetic change
// log whose state at every place is known, crashes them before and after every
// step, lets errors strike, cuts the power, lets several writers race, and compares
// the target with the log at each of these moments, not only at the end.
package sinktest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Run is the whole suite, with so many random interleavings, ten times as many
// when GODWIT_SOAK=1.
func Run(t *testing.T, h Harness, interleavings int) {
	t.Run("Crashes", func(t *testing.T) { t.Parallel(); crashes(t, h) })
	t.Run("Errors", func(t *testing.T) { t.Parallel(); errorsAnywhere(t, h) })
	t.Run("SpaceRunsOut", func(t *testing.T) { t.Parallel(); spaceRunsOut(t, h) })
	t.Run("Interleavings", func(t *testing.T) { t.Parallel(); Interleavings(t, h, interleavings) })
	t.Run("Fenced", func(t *testing.T) { fenced(t, h) })
	t.Run("Positions", func(t *testing.T) { positions(t, h) })
	t.Run("Claims", func(t *testing.T) { claims(t, h) })
	t.Run("Once", func(t *testing.T) { once(t, h) })
	t.Run("SameEnd", func(t *testing.T) { sameEnd(t, h) })
	t.Run("Poisoned", func(t *testing.T) { poisoned(t, h) })
	t.Run("Closed", func(t *testing.T) { closed(t, h) })
}

func crashes(t *testing.T, h Harness) {
	s, err := Crashes(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes: %v", s.Points, s.Hit)
	for _, e := range s.Caught[:min(3, len(s.Caught))] {
		t.Error(e)
	}
	for _, want := range h.Steps {
		if s.Hit[want] == 0 {
			t.Errorf("no crash hit a step %q: %v", want, s.Hit)
		}
	}
}

// errorsAnywhere lets the errors of full disks and missing rights strike at every
// step, once and for good, before and after the step has its effect.
func errorsAnywhere(t *testing.T, h Harness) {
	var all Sweep
	for name, y := range h.histories() {
		for _, f := range h.faults() {
			if f.Late && !h.Delays {
				continue
			}
			s, err := y.sweep(f, false)
			if err != nil {
				t.Fatalf("%s, %v: %v", name, f.Err, err)
			}
			for _, e := range s.Caught[:min(2, len(s.Caught))] {
				t.Errorf("%s: %v", name, e)
			}
			all.add(s)
		}
	}
	t.Logf("%d errors: %v", all.Points, all.Hit)
}

// faults are the errors that strike.
func (h Harness) faults() []Fault {
	if h.Faults != nil {
		return h.Faults
	}
	return []Fault{
		{Err: storeError(syscall.ENOSPC)}, {Err: storeError(syscall.ENOSPC), Lasts: true}, {Err: storeError(syscall.EACCES)},
		{Err: storeError(syscall.EROFS), Lasts: true}, {Err: storeError(syscall.EIO)}, {Err: storeError(syscall.EIO), After: true}, {Err: storeError(syscall.EIO), Late: true},
	}
}

// storeError gives an error of the system the code that a store gives it.
func storeError(errno syscall.Errno) error {
	code := fault.TargetFailed
	switch errno {
	case syscall.ENOSPC:
		code = fault.TargetFull
	case syscall.EACCES, syscall.EROFS:
		code = fault.TargetRefused
	}
	return fault.New(code, "an injected error").By(errno)
}

// spaceRunsOut lets the space end at many sizes and come back.
func spaceRunsOut(t *testing.T, h Harness) {
	if _, ok := h.New().(Filler); !ok {
		t.Skip("space cannot run out in this world")
	}
	full := 0
	for name, y := range h.histories() {
		for space := int64(0); ; space += 97 {
			log, world := h.newLog(y.seed, y.shape), h.New()
			d := &driver{Harness: h, log: log, world: world}
			if y.before.claim.Run > 0 {
				if err := y.begin(d); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			world.(Filler).Fill(space)
			err := d.run(&Process{Name: "full"}, y.work)
			if err == nil {
				break
			}
			full++
			if !fault.Has(err, fault.TargetFull) {
				t.Fatalf("%s, %d bytes left: %v", name, space, err)
			}
			if _, err := judge(world, log); err != nil {
				t.Fatalf("%s, %d bytes left: %v", name, space, err)
			}
			world.(Filler).Fill(-1)
			if err := y.recover(d); err != nil {
				t.Fatalf("%s, %d bytes left, then: %v", name, space, err)
			}
		}
	}
	t.Logf("the space ran out %d times", full)
}

// Soak reports whether the long versions of tests are asked for.
func Soak() bool { return os.Getenv("GODWIT_SOAK") == "1" }

// Interleavings plays n random histories, ten times as many in a soak, from a seed
// that is printed.
func Interleavings(t *testing.T, h Harness, n int) {
	if Soak() {
		n *= 10
	}
	tally, failures := Play(h, 1, n)
	t.Logf("seeds 1 to %d: %+v", n, tally)
	for _, err := range failures[:min(3, len(failures))] {
		t.Error(err)
	}
	for what, count := range map[string]int{"kills": tally.Kills, "power cuts": tally.Cuts, "errors": tally.Faults,
		"commits": tally.Commits, "fenced writers": tally.Fenced, "zombies": tally.Raced} {
		if count < n/10 {
			t.Errorf("only %d %s in %d histories: the kit does not reach what it is for", count, what, n)
		}
	}
}

// Play plays the histories of n seeds from first on, on all processors.
func Play(h Harness, first uint64, n int) (Tally, []error) {
	var mu sync.Mutex
	var all Tally
	var failures []error
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < uint64(n); i = next.Add(1) - 1 {
				tally, err := Interleave(h, first+i)
				mu.Lock()
				all.Add(tally)
				if err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(failures, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all, failures
}

// room is one world with two processes and a short log.
type room struct {
	*testing.T
	h     Harness
	log   *Log
	world World
}

func newRoom(t *testing.T, h Harness) *room {
	return &room{t, h, h.newLog(11, Shape{Txns: 6, Rows: 4, Long: 4}), h.New()}
}

func (r *room) sink(name string) connector.Sink {
	r.Helper()
	s, err := r.world.Start(&Process{Name: name})
	if err != nil {
		r.Fatal(err)
	}
	if err := s.Prepare(context.Background(), r.log.Tables); err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *room) open(s connector.Sink, run uint64) (connector.Writer, position.Set) {
	r.Helper()
	w, set, err := s.Open(context.Background(), r.h.shard(connector.StreamSplit), connector.Claim{Run: run, Attempt: 1})
	if err != nil {
		r.Fatal(err)
	}
	return w, set
}

// put applies the transactions from one to another and commits the place after.
func (r *room) put(w connector.Writer, from, to int) error {
	err := r.log.read(from, to, 100, func(b *row.Batch) error { return w.Apply(context.Background(), b) })
	if err != nil {
		return err
	}
	return w.Commit(context.Background(), position.Set{connector.StreamSplit: place(to)})
}

func (r *room) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *room) judge(at int) {
	r.Helper()
	sets, err := judge(r.world, r.log)
	r.must(err)
	if got := sets[connector.StreamSplit][connector.StreamSplit]; got != place(at) {
		r.Fatalf("the target is at %q, not %d", got.Token(), at)
	}
}

// fenced has an older writer go on after a newer one opened, before and after that
// one committed, and open late.
func fenced(t *testing.T, h Harness) {
	for _, committed := range []bool{false, true} {
		r := newRoom(t, h)
		a, b := r.sink("old"), r.sink("new")
		old, _ := r.open(a, 1)
		r.must(r.put(old, 0, 2))
		fresh, set := r.open(b, 2)
		if set[connector.StreamSplit] != place(2) {
			t.Fatalf("the newer writer starts at %v", set)
		}
		if committed {
			r.must(r.put(fresh, 2, 3))
		}
		if err := r.put(old, 2, 4); !fault.Has(err, fault.FencedOff) {
			t.Fatalf("an older writer's commit: %v", err)
		}
		if err := r.put(old, 2, 4); !fault.Has(err, fault.FencedOff) {
			t.Fatalf("fenced is final: %v", err)
		}
		r.must(old.Close())
		at := 2
		if committed {
			at = 3
		}
		r.judge(at)
		r.must(r.put(fresh, at, 5))
		if _, _, err := a.Open(context.Background(), h.shard(connector.StreamSplit), connector.Claim{Run: 1, Attempt: 2}); !fault.Has(err, fault.FencedOff) {
			t.Fatalf("an older claim opens: %v", err)
		}
		r.must(r.put(fresh, 5, 6))
		r.must(fresh.Close())
		r.judge(6)
	}
}

func positions(t *testing.T, h Harness) {
	r := newRoom(t, h)
	ctx, shard := context.Background(), h.shard(connector.StreamSplit)
	a, b := r.sink("writer"), r.sink("reader")
	c, set, err := b.Positions(ctx, shard)
	if err != nil || c != (connector.Claim{}) || len(set) != 0 || set == nil {
		t.Fatalf("a shard never opened: %v %v %v", c, set, err)
	}
	w, _ := r.open(a, 7)
	for n := range 4 {
		r.must(r.put(w, n, n+1))
		c, set, err = b.Positions(ctx, shard)
		if err != nil || c.Run != 7 || set[connector.StreamSplit] != place(n+1) {
			t.Fatalf("after %d commits: %v %v %v", n+1, c, set, err)
		}
	}
	r.must(w.Close())
	r.judge(4)
}

func claims(t *testing.T, h Harness) {
	r := newRoom(t, h)
	s := r.sink("one")
	for _, run := range []uint64{3, 3, 5} { // the same attempt may open again
		w, _ := r.open(s, run)
		r.must(w.Commit(context.Background(), position.Set{connector.StreamSplit: place(0)}))
		r.must(w.Close())
		r.must(w.Close())
	}
	for _, c := range []connector.Claim{{Run: 4, Attempt: 9}, {Run: 5, Attempt: 0}} {
		if _, _, err := s.Open(context.Background(), h.shard(connector.StreamSplit), c); !fault.Has(err, fault.FencedOff) {
			t.Errorf("%v after run 5 attempt 1: %v", c, err)
		}
	}
	w, _, err := s.Open(context.Background(), h.shard(connector.StreamSplit), connector.Claim{Run: 5, Attempt: 2})
	r.must(err)
	r.must(w.Close())
}

func once(t *testing.T, h Harness) {
	r := newRoom(t, h)
	ctx := context.Background()
	const key = "plan/1.2"
	sinks := []connector.Sink{r.sink("a"), r.sink("b"), r.sink("c")}
	if got, err := sinks[0].Once(ctx, key, nil); err != nil || got != nil {
		t.Fatalf("nothing is kept yet: %q %v", got, err)
	}
	var first []byte
	for i, s := range sinks {
		got, err := s.Once(ctx, key, fmt.Appendf(nil, "value %d", i))
		r.must(err)
		if i == 0 {
			first = got
		}
		if string(got) != "value 0" || string(first) != string(got) {
			t.Fatalf("sink %d: %q", i, got)
		}
	}
	got, err := sinks[2].Once(ctx, key, nil)
	if err != nil || string(got) != "value 0" {
		t.Fatalf("asked: %q %v", got, err)
	}
	for _, other := range []string{"plan", "plan/1.2/3", "plan/1"} {
		if got, err := sinks[0].Once(ctx, other, []byte(other)); err != nil || string(got) != other {
			t.Errorf("key %q beside %q: %q %v", other, key, got, err)
		}
	}
	if got, err := sinks[1].Once(ctx, "empty", []byte{}); err != nil || got == nil || len(got) != 0 {
		t.Errorf("an empty value: %v %v", got, err)
	}
	if got, err := sinks[1].Once(ctx, "empty", nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("an empty value, asked: %v %v", got, err)
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", "../a", "a/./b", "A", "ä", "a b", strings.Repeat("a", 1000)} {
		if _, err := sinks[0].Once(ctx, bad, []byte("x")); err == nil {
			t.Errorf("key %q was taken", bad)
		}
	}
}

// sameEnd has the same history come to the same target whatever the batches and
// commits are, and one of it all in one commit.
func sameEnd(t *testing.T, h Harness) {
	var want []string
	for _, s := range []script{{batch: 1, every: 1}, {batch: 3, every: 2}, {batch: 1000, every: 1000}, {batch: 2, every: 5, again: 3}} {
		s.claim, s.closes = connector.Claim{Run: 1, Attempt: 1}, true
		log, world := h.newLog(21, Shape{Txns: 30, Rows: 6, Long: 60, Chunks: 3, Schema: true}), h.New()
		d := &driver{Harness: h, log: log, world: world}
		if err := d.run(&Process{Name: "one"}, s); err != nil {
			t.Fatal(err)
		}
		if _, err := judge(world, log); err != nil {
			t.Fatal(err)
		}
		v, err := world.Look(log.tasks())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(v.Final)
		if want == nil {
			want = v.Final
		}
		if !slices.Equal(v.Final, want) || len(v.Pending) > 0 || len(want) == 0 {
			t.Fatalf("batches of %d: %d rows, not %d", s.batch, len(v.Final), len(want))
		}
	}
}

// poisoned has a writer meet an error: after it everything fails, nothing is
// committed, and Close is still right.
func poisoned(t *testing.T, h Harness) {
	struck := 0
	for n := range 60 {
		if h.Sample > 1 && n%h.Sample > 0 {
			continue
		}
		r := newRoom(t, h)
		prep := r.sink("prepared")
		r.must(prep.Close())
		p := &Process{Name: "struck", Fault: &Fault{N: n, Err: h.faults()[0].Err}}
		s, err := r.world.Start(p)
		r.must(err)
		w, _, err := s.Open(context.Background(), h.shard(connector.StreamSplit), connector.Claim{Run: 1, Attempt: 1})
		if err != nil {
			continue
		}
		if err := r.put(w, 0, 3); err != nil {
			struck++
			if err := r.put(w, 0, 3); err == nil {
				t.Fatalf("a poisoned writer went on after an error at step %d (%s)", n, p.struck)
			}
			if err := w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Create, After: r.log.Tables[0]}); err == nil {
				t.Fatalf("a poisoned writer evolved after an error at step %d (%s)", n, p.struck)
			}
		}
		_ = w.Close()
		_, err = judge(r.world, r.log)
		r.must(err)
	}
	if struck == 0 {
		t.Fatal("no error came up to the writer")
	}
}

// closed has a writer go on after Close, which commits nothing.
func closed(t *testing.T, h Harness) {
	r := newRoom(t, h)
	s := r.sink("one")
	w, _ := r.open(s, 1)
	r.must(r.put(w, 0, 2))
	r.must(r.log.read(2, 4, 2, func(b *row.Batch) error { return w.Apply(context.Background(), b) }))
	r.must(w.Close())
	r.judge(2)
	if err := r.put(w, 2, 4); err == nil {
		t.Fatal("a closed writer went on")
	}
	r.judge(2)
	w, set := r.open(s, 1)
	if set[connector.StreamSplit] != place(2) {
		t.Fatalf("opened again at %v", set)
	}
	r.must(r.put(w, 2, 6))
	r.must(w.Close())
	r.judge(6)
}
