package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/connector/all"
	"godwit/internal/engine"
	"godwit/internal/engine/enginetest"
	"godwit/internal/fault"
	spec "godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/table"
	"godwit/internal/watch"
)

// capable is what a source of MySQL can.
type capable interface {
	connector.Source
	connector.Rebaser
	connector.Header
	connector.Locator
	connector.Describer
	connector.Checker
	connector.Retainer
}

// gated is a source of which one table's chunks are not read before a gate opens.
type gated struct {
	capable
	table string
	gate  <-chan struct{}
}

func (g gated) Read(ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if s.Bounded && s.Tables[0].Name.String() == g.table {
		select {
		case <-g.gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return g.capable.Read(ctx, s, from, emit)
}

// driven is a table job that is driven in this process.
type driven struct {
	*enginetest.Keeper
	t        *testing.T
	ctx      context.Context
	j        *job
	password string
	systems  connector.Registry
}

// spec reads the job file as it is.
func (d *driven) spec() *spec.Spec {
	d.t.Helper()
	text, err := os.ReadFile(d.j.file())
	if err != nil {
		d.t.Fatal(err)
	}
	s, problems := spec.Parse(d.j.file(), text, spec.Systems{Registry: d.systems, Stores: all.Stores()},
		option.Resolver{Env: func(string) (string, bool) { return d.password, true }})
	if len(problems) > 0 {
		d.t.Fatal(problems)
	}
	return s
}

type driveEnd struct {
	watch.Outcome
	err error
}

// run drives the job on from where it is kept.
func (d *driven) run(ctx context.Context) <-chan driveEnd {
	d.t.Helper()
	driving, err := d.Driving()
	if err != nil {
		d.t.Fatal(err)
	}
	s, ended := d.spec(), make(chan driveEnd, 1)
	go func() {
		// More at once than the gated table has chunks: they must not take all the places.
		o := engine.Options{State: d.j.state(), Memory: 256 << 20, Parallel: 8, Driving: driving}
		out, err := table.Engine{Registry: d.systems}.Run(ctx, s, o)
		ended <- driveEnd{out, err}
	}()
	return ended
}

func (d *driven) await(which func(spec.State) bool) spec.State {
	d.t.Helper()
	if err := d.Await(d.ctx, which); err != nil {
		d.t.Fatal(err)
	}
	return d.Kept()
}

// ask gives a command as a server does.
func (d *driven) ask(e spec.Event) {
	d.t.Helper()
	if err := engine.Allowed(d.Kept(), e); err != nil {
		d.t.Fatal(err)
	}
	d.Tell(d.ctx, e)
}

// pause pauses and resumes the whole job.
func (d *driven) pause() {
	d.t.Helper()
	d.ask(spec.Event{Kind: spec.PauseAsked, By: "ana"})
	d.await(func(s spec.State) bool { return s.Status == spec.Paused })
	d.ask(spec.Event{Kind: spec.ResumeAsked, By: "ana"})
}

// over waits for the end of a run.
func (d *driven) over(ended <-chan driveEnd) driveEnd {
	d.t.Helper()
	select {
	case e := <-ended:
		if e.err != nil {
			d.t.Fatal(e.err)
		}
		return e
	case <-d.ctx.Done():
		d.t.Fatalf("no end; the job is %v: %+v", d.Kept().Status, d.Kept().Tasks)
		return driveEnd{}
	}
}

func taskOf(s spec.State, id string) (out spec.TaskState) {
	for _, t := range s.Tasks {
		if t.ID == id {
			out = t
		}
	}
	return out
}

// TestDriven_when_all_happens_to_it is the life of a job under a server: its source is
// down at first, it is paused in its snapshot and in its stream, one table for a while,
// and it is drained, while the source changes. What arrives is exact.
func TestDriven_when_all_happens_to_it(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newWorld(t, 11)
	j := newJob(t, w.server, "until", "", "chunk_size", "32KiB")
	gate := make(chan struct{})
	systems := all.Registry()
	open := systems.Sources[0].Open
	systems.Sources[0].Open = func(ctx context.Context, v option.Values, env connector.Env) (connector.Source, error) {
		s, err := open(ctx, v, env)
		if err != nil {
			return nil, err
		}
		return gated{s.(capable), "app.grown", gate}, nil
	}
	d := &driven{Keeper: enginetest.NewKeeper(spec.New(spec.Options{}, 1, time.Now())), t: t, ctx: ctx, j: j, password: w.server.Password, systems: systems}

	w.server.Stop(t)
	life, drain := context.WithCancel(ctx)
	defer drain()
	ended := d.run(life)
	d.await(func(s spec.State) bool {
		return s.Tasks[0].Status == spec.Retrying && s.Tasks[0].Failure.Code == fault.SourceUnreachable
	})
	w.server.Restart(t)
	w.write()
	d.ask(spec.Event{Kind: spec.RetryAsked})
	onlyGrown := func(s spec.State) bool {
		return s.Tasks[0].Status == spec.Finished && !slices.ContainsFunc(s.Tasks, func(t spec.TaskState) bool {
			return t.Kind == spec.Copy && t.Status != spec.Finished && t.Table != "app.grown"
		})
	}
	d.await(func(s spec.State) bool {
		return slices.ContainsFunc(s.Tasks, func(t spec.TaskState) bool { return t.Kind == spec.Copy && t.Status == spec.Running })
	})
	d.pause()
	d.await(onlyGrown)

	d.ask(spec.Event{Kind: spec.PauseAsked, Tables: []string{"app.grown"}, By: "ana"})
	streaming := func(s spec.State) bool { return taskOf(s, "stream after copies").Status == spec.Running }
	paused := func(s spec.State) bool {
		now, _ := s.TableStatus("app.grown")
		return now == spec.Paused && streaming(s)
	}
	s := d.await(paused) // the others go on
	planned := s.Tasks[0].Attempt
	drain() // and it is still paused after that
	if e := d.over(ended); !e.Stopped {
		t.Fatalf("%+v", e.Outcome)
	}
	life, drain = context.WithCancel(ctx)
	defer drain()
	ended = d.run(life)
	streaming = func(s spec.State) bool {
		return taskOf(s, "stream").Status == spec.Running || taskOf(s, "stream after copies").Status == spec.Running
	}
	d.await(func(s spec.State) bool { return s.Tasks[0].Attempt > planned && paused(s) })
	close(gate)
	d.ask(spec.Event{Kind: spec.ResumeAsked, Tables: []string{"app.grown"}, By: "ana"})
	together := func(s spec.State) bool { return len(s.Tables) == 0 && streaming(s) }
	d.await(together)
	d.apart(w, streaming)
	d.pause()
	d.await(streaming)
	drain()
	if e := d.over(ended); !e.Stopped || d.Kept().Desired != spec.WantRunning || d.Kept().Ended {
		t.Fatalf("%+v, %v", e.Outcome, d.Kept().Desired)
	}

	w.halt()
	j.set("until", "head")
	if e := d.over(d.run(ctx)); e.Stopped || e.Run != 3 || !d.Kept().Ended || d.Kept().Status != spec.Finished {
		t.Fatalf("%+v, %v", e.Outcome, d.Kept().Status)
	}
	if wrong := w.judgeEnd(j); wrong != "" {
		t.Fatal(wrong)
	}
}

// apart has two tables leave the stream of all and join it again, the second time as
// one of them is to be healed.
func (d *driven) apart(w *world, streaming func(spec.State) bool) {
	for _, again := range []bool{false, true} {
		d.ask(spec.Event{Kind: spec.PauseAsked, Tables: []string{"app.ints", "app.bag"}, By: "ana"})
		d.await(func(s spec.State) bool { now, _ := s.TableStatus("app.bag"); return now == spec.Paused && streaming(s) })
		if again { // what its stream passed over
			w.server.Exec(d.t, "SET SESSION binlog_format = STATEMENT; UPDATE app.bag SET y = 'statement' WHERE x = 3")
			d.ask(spec.Event{Kind: spec.ResyncAsked, Tables: []string{"app.bag"}, By: "ana"})
		}
		d.ask(spec.Event{Kind: spec.ResumeAsked, Tables: []string{"app.ints", "app.bag"}, By: "ana"})
		d.await(func(s spec.State) bool { return len(s.Apart()) == 0 && streaming(s) })
	}
}

// TestDriven_when_somebody_stops_it: it ends without an error, and is Stopped.
func TestDriven_when_somebody_stops_it(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := newWorld(t, 12)
	d := &driven{Keeper: enginetest.NewKeeper(spec.New(spec.Options{}, 1, time.Now())), t: t, ctx: ctx,
		j: newJob(t, w.server, "until", ""), password: w.server.Password, systems: all.Registry()}
	ended := d.run(ctx)
	d.await(func(s spec.State) bool { return taskOf(s, "stream after copies").Status == spec.Running })
	d.ask(spec.Event{Kind: spec.StopAsked, By: "ana"})
	if e := d.over(ended); !e.Stopped || d.Kept().Status != spec.Stopped {
		t.Fatalf("%+v, %v", e.Outcome, d.Kept().Status)
	}
	if e := d.over(d.run(ctx)); !e.Stopped || e.Run != 0 { // it has ended: nothing is done
		t.Fatalf("%+v", e.Outcome)
	}
}

// without are the systems there are, of which one sink cannot be opened while it is away.
func without(sink string, away *atomic.Bool) connector.Registry {
	systems := all.Registry()
	for i := range systems.Sinks {
		open := systems.Sinks[i].Open
		systems.Sinks[i].Open = func(ctx context.Context, v option.Values, env connector.Env) (connector.Sink, error) {
			if env.Name == sink && away.Load() {
				return nil, fault.New(fault.TargetUnreachable, "away")
			}
			return open(ctx, v, env)
		}
	}
	return systems
}

// TestDriven_when_a_late_sink_does_not_fit: what is refused at the beginning of a job is
// refused of a sink that comes later, and the other one goes on.
func TestDriven_when_a_late_sink_does_not_fit(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := one(t)
	j := newJob(t, server, "name", "two", "mode", "changes", "until", "head", "sinks", "second", "roll", "{size: 64KiB, every: 1s}")
	code, said := run(t, server.Password, "run", j.file(), "--state", filepath.Join(j.dir, "state of before"))
	want(t, code, said, 0)
	if err := os.RemoveAll(j.lake()); err != nil {
		t.Fatal(err)
	}
	j.set("mode", "snapshot_and_changes")
	j.set("until", "")
	var away atomic.Bool
	away.Store(true)
	d := &driven{Keeper: enginetest.NewKeeper(spec.New(spec.Options{}, 1, time.Now())), t: t, ctx: ctx, j: j, password: server.Password, systems: without("second", &away)}
	life, drain := context.WithCancel(ctx)
	defer drain()
	ended := d.run(life)
	d.await(func(s spec.State) bool { return taskOf(s, "stream after copies").Status == spec.Running })
	away.Store(false)
	d.ask(spec.Event{Kind: spec.RetryAsked})
	late := func(s spec.State) spec.TaskState { return taskOf(s, "stream of second") }
	s := d.await(func(s spec.State) bool {
		return late(s).Status == spec.Failed || late(s).Status == spec.Running && s.Tasks[0].Attempt > 1
	})
	if f := late(s).Failure; late(s).Status != spec.Failed || f.Code != fault.JobEdit || f.Sink != "second" {
		t.Errorf("%+v", late(s))
	}
	drain()
	d.over(ended)
}

// TestDriven_when_a_table_is_read_again_while_a_sink_is_away: that is not done before the
// sink is back, and then it is read again for it too.
func TestDriven_when_a_table_is_read_again_while_a_sink_is_away(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server := one(t)
	j := newJob(t, server, "name", "two", "until", "", "sinks", "second", "roll", "{size: 64KiB, every: 1s}")
	var away atomic.Bool
	d := &driven{Keeper: enginetest.NewKeeper(spec.New(spec.Options{}, 1, time.Now())), t: t, ctx: ctx, j: j, password: server.Password, systems: without("second", &away)}
	life, drain := context.WithCancel(ctx)
	defer drain()
	ended := d.run(life)
	d.await(func(s spec.State) bool { return taskOf(s, "stream after copies").Status == spec.Running })
	server.Exec(t, "SET SESSION binlog_format = STATEMENT; DELETE FROM app.u")
	drain()
	d.over(ended)

	away.Store(true)
	life, drain = context.WithCancel(ctx)
	defer drain()
	ended = d.run(life)
	settled := func(s spec.State) bool {
		return s.Tasks[0].Status == spec.Finished && len(s.Apart()) == 0 && slices.ContainsFunc(s.Tasks, func(t spec.TaskState) bool {
			return t.Kind == spec.Stream && t.Status == spec.Running
		})
	}
	d.await(settled)
	d.ask(spec.Event{Kind: spec.ResyncAsked, Tables: []string{"app.u"}, By: "ana"})
	d.await(func(s spec.State) bool { return len(s.Apart()) > 0 }) // it is heard before it is kept
	d.await(func(s spec.State) bool {
		again := taskOf(s, "(resync) app.u")
		return again.Status == spec.Retrying && again.Failure.Sink == "second" || len(s.Apart()) == 0
	})
	if len(d.Kept().Apart()) == 0 {
		t.Fatal("it is told as done")
	}
	away.Store(false)
	d.ask(spec.Event{Kind: spec.RetryAsked})
	d.await(settled)
	drain()
	d.over(ended)
	j.set("until", "head")
	if e := d.over(d.run(ctx)); len(e.Marked) > 0 {
		t.Errorf("%+v", e.Outcome)
	}
	for _, sink := range []string{"lake", "second"} {
		j.equalIn(filepath.Join(j.dir, sink), server, "t", "u")
	}
}
