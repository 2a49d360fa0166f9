package file

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/engine"
	"godwit/internal/engine/enginetest"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/watch"
)

// doors are two folders that can be out of reach, and of which no more objects than
// are let through can be read.
type doors struct {
	shut  atomic.Bool
	opens atomic.Int32 // stores that were opened

	mu   sync.Mutex
	left int // objects that may be read; less than 0: all
	held chan struct{}
	put  chan struct{} // objects that arrived
}

func newDoors(left int) *doors {
	return &doors{left: left, held: make(chan struct{}, 1000), put: make(chan struct{}, 1000)}
}

// let lets so many more objects through.
func (d *doors) let(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// pass lets an object through or says so and waits for the end.
func (d *doors) pass(ctx context.Context) error {
	d.mu.Lock()
	open := d.left != 0
	if d.left > 0 {
		d.left--
	}
	d.mu.Unlock()
	if open {
		return nil
	}
	d.held <- struct{}{}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (d *doors) stores() store.Registry {
	driver := local.Driver()
	open := driver.Open
	driver.Open = func(ctx context.Context, v option.Values, env store.Env) (store.Store, error) {
		if d.opens.Add(1); d.shut.Load() {
			return nil, fault.New(fault.StoreUnreachable, "the door is shut")
		}
		s, err := open(ctx, v, env)
		return guarded{s, d}, err
	}
	return store.Registry{driver}
}

// guarded is a store behind doors.
type guarded struct {
	store.Store
	d *doors
}

func (g guarded) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	if err := g.d.pass(ctx); err != nil {
		return nil, store.Object{}, err
	}
	return g.Store.Open(ctx, key, r)
}

func (g guarded) Put(ctx context.Context, key string, b store.Body, o store.PutOptions) (store.Object, error) {
	out, err := g.Store.Put(ctx, key, b, o)
	if err == nil {
		g.d.put <- struct{}{}
	}
	return out, err
}

const driven = 40 // objects

// place is a job between two folders of this machine, and the keeper of its life.
type place struct {
	*doors
	*enginetest.Keeper
	t              *testing.T
	ctx            context.Context
	source, target string
	spec           *job.Spec
	o              engine.Options
}

func newPlace(t *testing.T, left int, more string) *place {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p := &place{doors: newDoors(left), t: t, ctx: ctx, source: t.TempDir(), target: t.TempDir()}
	for i := range driven {
		if err := os.WriteFile(filepath.Join(p.source, fmt.Sprintf("k%02d", i)), fmt.Appendf(nil, "object %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("name: moved\nkind: files\nsource: {url: \"file://%s\"}\nsink: {url: \"file://%s\"}\n%s", p.source, p.target, more)
	var problems option.Problems
	p.spec, problems = job.Parse(filepath.Join(t.TempDir(), "job.yaml"), []byte(text), job.Systems{Stores: p.stores()}, option.Resolver{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p.o = engine.Options{State: t.TempDir(), Memory: 64 << 20}
	p.Keeper = enginetest.NewKeeper(job.New(job.Options{}, 1, time.Now()))
	return p
}

type end struct {
	watch.Outcome
	err error
}

// run runs the job as it is kept.
func (p *place) run(ctx context.Context) <-chan end {
	p.t.Helper()
	d, err := p.Driving()
	if err != nil {
		p.t.Fatal(err)
	}
	o := p.o
	o.Driving, o.Files = d, watch.NewFiles(watch.Options{})
	ended := make(chan end, 1)
	go func() {
		out, err := Engine{Stores: p.stores()}.Run(ctx, p.spec, o)
		ended <- end{out, err}
	}()
	return ended
}

func (p *place) await(which func(job.State) bool) {
	p.t.Helper()
	if err := p.Await(p.ctx, which); err != nil {
		p.t.Fatal(err)
	}
}

// hold waits until an object has arrived and another is held at the door.
func (p *place) hold() {
	p.t.Helper()
	for _, c := range []chan struct{}{p.held, p.put} {
		select {
		case <-c:
		case <-p.ctx.Done():
			p.t.Fatalf("nothing is moved: %+v", p.Kept())
		}
	}
}

// over waits for the end of a run and checks it.
func (p *place) over(ended <-chan end, stopped bool) watch.Outcome {
	p.t.Helper()
	e := <-ended
	if e.err != nil || e.Stopped != stopped {
		p.t.Fatalf("%+v, %v", e.Outcome, e.err)
	}
	return e.Outcome
}

// whole checks that the target has what the source has.
func (p *place) whole() {
	p.t.Helper()
	for i := range driven {
		key := fmt.Sprintf("k%02d", i)
		if b, err := os.ReadFile(filepath.Join(p.target, key)); string(b) != fmt.Sprintf("object %d", i) {
			p.t.Errorf("%s: %q, %v", key, b, err)
		}
	}
}

func is(s job.Status) func(job.State) bool { return func(j job.State) bool { return j.Status == s } }

// counted is what the report tells of the last round.
func (p *place) counted() watch.Objects {
	p.t.Helper()
	seen := map[string]bool{}
	r, err := Engine{Stores: p.stores()}.Report(p.ctx, p.spec, p.o, false, func(o watch.Object) error {
		if seen[o.Key] {
			p.t.Errorf("%s is reported twice", o.Key)
		}
		seen[o.Key] = true
		return nil
	})
	if err != nil || len(seen) != driven {
		p.t.Fatalf("%d objects are reported, %v", len(seen), err)
	}
	return r.Counts
}

// A round whose store is out of reach at first, that is paused, resumed and drained,
// and goes on in another process, moves every object and counts it once.
func TestRun_when_it_is_driven(t *testing.T) {
	p := newPlace(t, 10, "parallel: 4\n")
	p.shut.Store(true)
	ctx, drain := context.WithCancel(p.ctx)
	ended := p.run(ctx)
	p.await(func(s job.State) bool {
		return s.Tasks[0].Status == job.Retrying && s.Tasks[0].Failure.Code == fault.StoreUnreachable
	})
	p.shut.Store(false)
	p.Tell(ctx, job.Event{Kind: job.RetryAsked})

	p.hold()
	p.Tell(ctx, job.Event{Kind: job.PauseAsked, By: "ana"})
	p.await(is(job.Paused))
	moved, err := filepath.Glob(filepath.Join(p.target, "k*"))
	if err != nil || len(moved) == 0 || len(moved) >= driven {
		t.Fatalf("%d objects are there when it is paused, %v", len(moved), err)
	}
	for len(p.held) > 0 {
		<-p.held
	}
	p.let(10)
	p.Tell(ctx, job.Event{Kind: job.ResumeAsked})
	p.hold()
	drain()
	p.over(ended, true)
	if s := p.Kept(); s.Ended || s.Desired != job.WantRunning || s.Status != job.Running {
		t.Fatalf("what was drained is kept as %v, %v", s.Desired, s.Status)
	}

	p.let(-1)
	if out := p.over(p.run(p.ctx), false); out.Failed > 0 || out.Nothing || !p.Kept().Ended || p.Kept().Status != job.Finished {
		t.Fatalf("%+v, %v", out, p.Kept().Status)
	}
	p.whole()
	if o := p.counted(); o.Round != 1 || o.Copied.Objects != driven || o.Left.Objects != 0 || o.Ranges != o.RangesListed {
		t.Errorf("%+v", o)
	}
	if n := p.opens.Load(); n < 5 || n > 6 { // each failed once, both were opened in each life
		t.Errorf("stores were opened %d times", n)
	}
}

// A round that is driven ends; the next one is another Run, and every: does not
// make it rest.
func TestRun_when_the_next_round_is_driven(t *testing.T) {
	p := newPlace(t, -1, "every: 1h\n")
	if out := p.over(p.run(p.ctx), false); out.Nothing || out.Run != 1 {
		t.Fatalf("%+v", out)
	}
	p.over(p.run(p.ctx), false) // it has ended: nothing is done
	if p.counted().Round != 1 {
		t.Error("a job that has ended was run")
	}
	p.Keeper = enginetest.NewKeeper(job.New(job.Options{}, 1, time.Now()))
	if out := p.over(p.run(p.ctx), false); !out.Nothing || out.Run != 2 {
		t.Fatalf("%+v", out)
	}
	if o := p.counted(); o.Round != 2 || o.Same.Objects != driven {
		t.Errorf("%+v", o)
	}
}

func TestRun_when_somebody_stops_a_driven_round(t *testing.T) {
	p := newPlace(t, 10, "")
	ended := p.run(p.ctx)
	p.hold()
	p.Tell(p.ctx, job.Event{Kind: job.StopAsked, By: "ana"})
	p.over(ended, true)
	if s := p.Kept(); !s.Ended || s.Status != job.Stopped {
		t.Fatalf("%v", s.Status)
	}
	p.let(-1)
	p.Keeper = enginetest.NewKeeper(job.New(job.Options{}, 1, time.Now()))
	began := time.Now()
	out := p.over(p.run(p.ctx), false)
	p.whole()
	if o := p.counted(); o.Round != 1 || o.Copied.Objects != driven || !out.Began.Before(began) { // it went on with the round
		t.Errorf("%+v, begun at %v", o, out.Began)
	}
}

// A run that finds an unfinished round carries it to its end, and then looks for what
// came since: an exit code of 0 is for all that was there when it was called.
func TestRun_when_objects_came_since_the_round_began(t *testing.T) {
	p := newPlace(t, 10, "")
	run := func(ctx context.Context) end {
		o := p.o
		o.Files = watch.NewFiles(watch.Options{})
		out, err := Engine{Stores: p.stores()}.Run(ctx, p.spec, o)
		return end{out, err}
	}
	ctx, stop := context.WithCancel(p.ctx)
	ended := make(chan end, 1)
	go func() { ended <- run(ctx) }()
	p.hold()
	stop()
	p.over(ended, true)

	late := filepath.Join(p.source, "a") // sorts before all that is listed
	if err := os.WriteFile(late, []byte("late"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.let(-1)
	ended <- run(p.ctx)
	if out := p.over(ended, false); out.Nothing || out.Run != 2 {
		t.Errorf("%+v", out)
	}
	p.whole()
	if b, err := os.ReadFile(filepath.Join(p.target, "a")); string(b) != "late" {
		t.Errorf("%q, %v", b, err)
	}
	ended <- run(p.ctx)
	if out := p.over(ended, false); !out.Nothing {
		t.Errorf("%+v", out)
	}
}

// A job that is to be paused touches no store.
func TestRun_when_it_is_paused_before_it_begins(t *testing.T) {
	p := newPlace(t, -1, "")
	paused, _ := job.Step(p.Kept(), job.Event{Kind: job.PauseAsked, Now: time.Now()})
	p.Keeper = enginetest.NewKeeper(paused)
	ctx, drain := context.WithCancel(p.ctx)
	ended := p.run(ctx)
	p.Tell(ctx, job.Event{Kind: job.Tick}) // it is received once the job was taken up
	drain()
	p.over(ended, true)
	if n := p.opens.Load(); n > 0 || p.Kept().Desired != job.WantPaused {
		t.Errorf("%d stores were opened, %v", n, p.Kept().Desired)
	}
	if jobs, err := (Engine{}).Status(p.ctx, p.spec, p.o); err != nil || jobs.Jobs[0].State != "new" {
		t.Errorf("%+v, %v", jobs, err)
	}
}

// Edits of the job file are taken over while a round is driven.
func TestRun_when_a_driven_job_is_edited(t *testing.T) {
	p := newPlace(t, 10, "")
	edited := newPlace(t, 0, "limits: {requests: 500}\n")
	edited.spec.Name = p.spec.Name
	reload := make(chan *job.Spec)
	p.o.Reload = reload
	ended := p.run(p.ctx)
	p.hold()
	select {
	case reload <- edited.spec:
	case <-p.ctx.Done():
		t.Fatal("the job file is not read again")
	}
	p.Tell(p.ctx, job.Event{Kind: job.StopAsked})
	p.over(ended, true)
	r, err := Engine{Stores: p.stores()}.Report(p.ctx, p.spec, p.o, false, func(watch.Object) error { return nil })
	if err != nil || !slices.ContainsFunc(r.Audit, func(e watch.Entry) bool { return e.Run == 1 && len(e.What) > 11 && e.What[:11] == "taken over " }) {
		t.Errorf("%+v, %v", r.Audit, err)
	}
}
