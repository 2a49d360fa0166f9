// Package enginetest proves that an engine does what job.Step says: it delivers
// what happens, carries out what follows, keeps the state before it does, and goes
// on from the state it kept. An engine's test is a few lines: Run with a Drive.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// Drive is an engine under test: it drives work on from a state until the job ends.
// It delivers commands as they come, and calls save with every state, one after
// another, before it does what follows from it. When save fails the engine is to
// vanish as in a crash, and to return that error; nothing it started may be left
// running. Else it returns nil, the failure the job ended with, or ctx's error when
// ctx ended: then it waits for what runs and calls save no more.
type Drive func(ctx context.Context, work engine.Work, from job.State, commands <-chan job.Event, save func(job.State) error) error

// Case is one thing that an engine must do.
type Case struct {
	Name string
	// Check returns what the engine did wrong.
	Check func(ctx context.Context, d Drive) error
}

// patience bounds what a case waits for.
const patience = time.Minute

// Run proves everything. around runs each test and may give it a clock of its own
// (synctest.Test); nil: real time, some seconds of it.
func Run(t *testing.T, d Drive, around func(*testing.T, func(*testing.T))) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			test := func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := c.Check(ctx, d); err != nil {
					t.Error(err)
				}
			}
			if around == nil {
				test(t)
			} else {
				around(t, test)
			}
		})
	}
}

// Cases are what Run runs.
func Cases() []Case {
	return []Case{
		{"all goes well", allGoesWell},
		{"a task fails for a while", failsForAWhile},
		{"a task fails for good and the job ends", failsForGood},
		{"a task fails for good and the job goes on", failsAndIsRetried},
		{"nothing can be found", nothingFound},
		{"drained", drained},
		{"drained while it is paused", drainedWhilePaused},
		{"stopped by a command", stoppedByCommand},
		{"paused and resumed", pausedAndResumed},
		{"one task is paused", onePaused},
		{"edited while it runs", edited},
		{"its work follows", followed},
		{"a table is read again", readAgain},
		{"a table is read again by itself", healed},
		{"crashes after each step was kept", func(ctx context.Context, d Drive) error { return crashes(ctx, d, true, nil) }},
		{"crashes before each step was kept", func(ctx context.Context, d Drive) error { return crashes(ctx, d, false, nil) }},
		{"crashes while it fails, after each step was kept", func(ctx context.Context, d Drive) error { return crashes(ctx, d, true, fatal) }},
		{"crashes while it fails, before each step was kept", func(ctx context.Context, d Drive) error { return crashes(ctx, d, false, fatal) }},
	}
}

var (
	copies   = []job.Task{{ID: "a", Kind: job.Copy, Table: "A"}, {ID: "b", Kind: job.Copy, Table: "B"}, {ID: "c", Kind: job.Copy, Table: "C"}}
	stream   = job.Task{ID: "stream", Kind: job.Stream, AfterCopies: true}
	busy     = fault.New(fault.SourceBusy, "busy")
	fatal    = fault.New(fault.SourceProtocol, "nonsense")
	asRun    = job.Options{Parallel: 2, EndOnFailure: true}
	asServer = job.Options{Parallel: 2}
)

func allGoesWell(ctx context.Context, d Drive) error {
	awhile := func(ctx context.Context, _ string, _ uint64) error { // so that all that may run at once does
		select {
		case <-time.After(100 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t := begin(ctx, d, asRun, &script{tasks: append([]job.Task{stream}, copies...), run: awhile})
	if err := t.end(ctx); err != nil {
		return err
	}
	if last := t.ran[len(t.ran)-1]; len(t.ran) != 4 || last != "stream 1" || t.most != asRun.Parallel {
		return fmt.Errorf("ran %q, %d at once", t.ran, t.most)
	}
	return t.stands(job.Finished)
}

func failsForAWhile(ctx context.Context, d Drive) error {
	t := begin(ctx, d, asRun, &script{tasks: copies, run: func(_ context.Context, id string, attempt uint64) error {
		if id == "b" && attempt < 3 {
			return busy
		}
		return nil
	}})
	if err := t.end(ctx); err != nil {
		return err
	}
	if !slices.Contains(t.ran, "b 3") {
		return fmt.Errorf("ran %q", t.ran)
	}
	return t.stands(job.Finished)
}

// blocked is what a task does that ends only when it is told to; bad fails at once.
func blocked(bad string, with error) func(context.Context, string, uint64) error {
	return func(ctx context.Context, id string, _ uint64) error {
		if id == bad {
			return with
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func failsForGood(ctx context.Context, d Drive) error {
	t := begin(ctx, d, asRun, &script{tasks: copies, run: blocked("a", fatal)})
	if err := t.end(ctx); !fault.Has(err, fatal.Code) {
		return fmt.Errorf("ended with %w, the task failed with %w", err, fatal)
	}
	return t.stands(job.Failed)
}

func failsAndIsRetried(ctx context.Context, d Drive) error {
	t := begin(ctx, d, asServer, &script{tasks: append([]job.Task{stream}, copies...), run: func(_ context.Context, id string, attempt uint64) error {
		if id == "a" && attempt == 1 {
			return fatal
		}
		return nil
	}})
	if err := t.Await(ctx, func(s job.State) bool { return s.Status == job.Failed }); err != nil {
		return err
	}
	if !slices.Contains(t.names(), "c 1") || slices.Contains(t.names(), "stream 1") {
		return fmt.Errorf("the others were to go on, and the stream to wait: ran %q", t.names())
	}
	t.Tell(ctx, job.Event{Kind: job.RetryAsked, Only: []string{"a"}})
	return errors.Join(t.end(ctx), t.stands(job.Finished))
}

func nothingFound(ctx context.Context, d Drive) error {
	find := func(n int) error {
		if n == 1 {
			return busy
		}
		return nil
	}
	t := begin(ctx, d, asRun, &script{tasks: copies, find: find})
	if err := t.end(ctx); !fault.Has(err, busy.Code) {
		return fmt.Errorf("a run ended with %v", err)
	}
	t = begin(ctx, d, asServer, &script{tasks: copies, find: find})
	return errors.Join(t.end(ctx), t.stands(job.Finished))
}

// firstBlocked is how tasks end only when they are told to, with a commit that takes
// a moment; later attempts end well.
func firstBlocked(ctx context.Context, _ string, attempt uint64) error {
	if attempt > 1 {
		return nil
	}
	<-ctx.Done()
	<-time.After(100 * time.Millisecond)
	return ctx.Err()
}

func drained(ctx context.Context, d Drive) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &script{tasks: copies[:2], run: firstBlocked}
	t := begin(inner, d, asServer, w)
	if err := t.Await(ctx, running(2)); err != nil {
		return err
	}
	kept, heard, err := t.drain(ctx, cancel)
	switch {
	case err != nil:
		return err
	case kept.Ended || kept.Desired == job.WantStopped:
		return fmt.Errorf("it was drained and is kept as %v, %v", kept.Desired, kept.Status)
	case heard != (kept.Desired == job.WantPaused):
		return fmt.Errorf("a command that came meanwhile was heard: %v, and what is wanted is kept as %v", heard, kept.Desired)
	case !heard && !running(2)(kept):
		return fmt.Errorf("what ran when it was drained is kept as %+v", kept.Tasks)
	}
	t = takeUp(ctx, d, kept, w)
	if heard {
		t.Tell(ctx, job.Event{Kind: job.ResumeAsked})
	}
	return errors.Join(t.end(ctx), t.stands(job.Finished))
}

func drainedWhilePaused(ctx context.Context, d Drive) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &script{tasks: copies[:2], run: firstBlocked}
	t := begin(inner, d, asServer, w)
	if err := t.Await(ctx, running(2)); err != nil {
		return err
	}
	paused := func(s job.State) bool { return s.Status == job.Paused && s.Wish.By == "ana" }
	t.Tell(ctx, job.Event{Kind: job.PauseAsked, By: "ana"})
	if err := t.Await(ctx, paused); err != nil {
		return err
	}
	kept, _, err := t.drain(ctx, cancel)
	if err != nil {
		return err
	}
	t = takeUp(ctx, d, kept, w)
	t.Tell(ctx, job.Event{Kind: job.PauseAsked, By: "ben"}) // it is heard once the job was taken up
	if err := t.Await(ctx, paused); err != nil {
		return err
	}
	if n := len(t.names()); n > 2 || t.searched() > 1 {
		return fmt.Errorf("a job that is paused was begun when it was taken up: ran %q", t.names())
	}
	t.Tell(ctx, job.Event{Kind: job.ResumeAsked})
	return errors.Join(t.end(ctx), t.stands(job.Finished))
}

func stoppedByCommand(ctx context.Context, d Drive) error {
	t := begin(ctx, d, asServer, &script{tasks: copies, run: blocked("", nil)})
	if err := t.Await(ctx, running(2)); err != nil {
		return err
	}
	t.Tell(ctx, job.Event{Kind: job.StopAsked, By: "ana"})
	return errors.Join(t.end(ctx), t.stands(job.Stopped))
}

func pausedAndResumed(ctx context.Context, d Drive) error {
	first := func(ctx context.Context, _ string, attempt uint64) error {
		if attempt > 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	t := begin(ctx, d, asServer, &script{tasks: copies[:2], run: first})
	if err := t.Await(ctx, running(2)); err != nil {
		return err
	}
	t.Tell(ctx, job.Event{Kind: job.PauseAsked, By: "ana", Why: "backup"})
	if err := t.Await(ctx, func(s job.State) bool { return s.Status == job.Paused }); err != nil {
		return err
	}
	if n := t.now(); n > 0 {
		return fmt.Errorf("%d tasks run while the job is paused", n)
	}
	t.Tell(ctx, job.Event{Kind: job.ResumeAsked})
	return errors.Join(t.end(ctx), t.stands(job.Finished))
}

func onePaused(ctx context.Context, d Drive) error {
	release := make(chan struct{})
	t := begin(ctx, d, asServer, &script{tasks: copies[:2], run: func(ctx context.Context, id string, attempt uint64) error {
		if attempt > 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-release:
			return nil
		}
	}})
	if err := t.Await(ctx, running(2)); err != nil {
		return err
	}
	t.Tell(ctx, job.Event{Kind: job.PauseAsked, Only: []string{"a"}})
	if err := t.Await(ctx, func(s job.State) bool { return stands(s, "a") == job.Paused }); err != nil {
		return err
	}
	close(release)
	if err := t.Await(ctx, func(s job.State) bool { return stands(s, "b") == job.Finished }); err != nil {
		return err
	}
	t.Tell(ctx, job.Event{Kind: job.ResumeAsked, Only: []string{"a"}})
	if err := errors.Join(t.end(ctx), t.stands(job.Finished)); err != nil {
		return err
	}
	if slices.Contains(t.ran, "b 2") {
		return fmt.Errorf("the pause of another task began b anew: ran %q", t.ran)
	}
	return nil
}

func edited(ctx context.Context, d Drive) error {
	t := begin(ctx, d, asServer, &script{tasks: copies[:1], run: func(ctx context.Context, _ string, attempt uint64) error {
		if attempt == 1 {
			<-ctx.Done() // and it had just finished
		}
		return nil
	}})
	if err := t.Await(ctx, running(1)); err != nil {
		return err
	}
	t.Tell(ctx, job.Event{Kind: job.EditAsked, Spec: 2, Changed: []job.Change{{Field: "until", Consequence: job.Restarts}}})
	if err := errors.Join(t.end(ctx), t.stands(job.Finished)); err != nil {
		return err
	}
	if !slices.Equal(t.ran, []string{"a 1", "a 2"}) {
		return fmt.Errorf("ran %q", t.ran)
	}
	return nil
}

// following is work that follows how its job stands.
type following struct {
	*script
	kept, told []job.Status
}

func (f *following) Follow(s job.State) { f.told = append(f.told, s.Status) }

// followed is a job whose work is told of each state, after it was kept.
func followed(ctx context.Context, d Drive) error {
	w := &following{script: &script{tasks: copies}}
	early := false
	err := d(ctx, w, job.New(asRun, 1, time.Now()), nil, func(s job.State) error {
		early = early || len(w.told) != len(w.kept)
		w.kept = append(w.kept, s.Status)
		return nil
	})
	if err != nil || early || len(w.kept) == 0 || !slices.Equal(w.kept, w.told) {
		return fmt.Errorf("ended with %v; kept were %v, told %v, one before it was kept: %v", err, w.kept, w.told, early)
	}
	return nil
}

// readAgain has a table leave the stream of all, read again, and join it, as somebody
// asks for it.
func readAgain(ctx context.Context, d Drive) error { return apartAndBack(ctx, d, false) }

// healed is readAgain of a table of which the stream says it.
func healed(ctx context.Context, d Drive) error { return apartAndBack(ctx, d, true) }

func apartAndBack(ctx context.Context, d Drive, byItself bool) error {
	var heals []string
	if byItself {
		heals = []string{"A"}
	}
	together, others, own := stream, stream, job.Task{ID: "stream A", Kind: job.Stream, Table: "A", AfterCopies: true}
	together.Revision, others.Revision = "AB", "B"
	t := begin(ctx, d, asServer, &script{
		plan: func(apart map[string]job.Apart) []job.Task {
			if apart["A"] == job.ApartResyncs {
				return []job.Task{others, own}
			}
			return []job.Task{together}
		},
		run: func(ctx context.Context, id string, attempt uint64) error {
			if id == "(resync) A" || id == stream.ID && attempt > 2 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		},
		heals: heals,
	})
	if !byItself {
		if err := t.Await(ctx, running(1)); err != nil {
			return err
		}
		t.Tell(ctx, job.Event{Kind: job.ResyncAsked, Tables: []string{"A"}})
	}
	if err := errors.Join(t.end(ctx), t.stands(job.Finished)); err != nil {
		return err
	}
	ran := slices.DeleteFunc(t.names(), func(what string) bool { return what == "stream 2" || what == "stream 3" })
	if !slices.Equal(ran, []string{"stream 1", "(resync) A 1", "stream A 1"}) || len(t.Kept().Apart()) > 0 {
		return fmt.Errorf("ran %q, apart are %v", t.ran, t.Kept().Apart())
	}
	return nil
}

// crashes runs a job again and again, each time with a crash one step further than
// the time before, until it comes to its end before that. It must end as it does
// without a crash: well, or with the failure of copy c.
func crashes(ctx context.Context, d Drive, kept bool, failure *fault.Error) error {
	for step := 1; ; step++ {
		w := &script{tasks: append([]job.Task{stream}, copies...), run: func(_ context.Context, id string, attempt uint64) error {
			switch {
			case id == "b" && attempt == 1:
				return busy
			case id == "c" && failure != nil:
				return failure
			}
			return nil
		}}
		crashed, err := crashAt(ctx, d, w, step, kept, failure)
		switch {
		case err != nil:
			return fmt.Errorf("crashed at step %d: %w", step, err)
		case !crashed && step < 8:
			return fmt.Errorf("a life of %d steps: states are not kept one by one", step)
		case !crashed:
			return nil
		}
	}
}

var errCrash = errors.New("the engine died")

// crashAt lets the engine die at a step and begin again from what was kept.
func crashAt(ctx context.Context, d Drive, w *script, step int, kept bool, failure *fault.Error) (crashed bool, err error) {
	state := job.New(asRun, 1, time.Now())
	n := 0
	save := func(s job.State) error {
		n++
		if n != step || kept {
			state = s
		}
		if n == step {
			return errCrash
		}
		return nil
	}
	err = d(ctx, w, state, nil, save)
	if crashed = errors.Is(err, errCrash); crashed {
		if w.now() > 0 {
			return true, errors.New("tasks run on after the engine died")
		}
		if state, err = reread(state); err != nil {
			return true, err
		}
		err = d(ctx, w, state, nil, save)
	}
	want := job.Finished
	if failure != nil {
		want = job.Failed
	}
	switch {
	case failure == nil && err != nil, failure != nil && !fault.Has(err, failure.Code):
		return crashed, fmt.Errorf("ended with %v", err)
	case state.Status != want || !state.Ended:
		return crashed, fmt.Errorf("in the end it is %v", state.Status)
	}
	return crashed, w.wrong()
}
