// Package local is the engine for one machine: goroutines, and a cache of
// progress in SQLite. Deleting its folder loses nothing but history.
package local

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"godwit/internal/engine"
	"godwit/internal/job"
)

// Run drives work as given says; nil: from its beginning until all its tasks are
// done or one of them fails for good. parallel is how many Copy tasks run at once
// until an edit says otherwise. It reports whether the work ended before it was done
// because ctx ended or somebody asked for it, which is no error. Nothing it started
// is left running.
func Run(ctx context.Context, work engine.Work, given *engine.Driving, parallel int, log *slog.Logger) (stopped bool, err error) {
	d := engine.Driving{From: job.New(job.Options{EndOnFailure: true}, 1, time.Now())}
	if given != nil {
		d = *given
	}
	d.From.Parallel = parallel
	if d.Log == nil {
		d.Log = log
	}
	last, err := drive(ctx, work, d)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return true, nil
	}
	return err == nil && last.Desired == job.WantStopped, err
}

// Drive drives work until the job ends. It returns nil, the failure the job ended
// with, ctx's error when ctx ended, or the error of Save. A job that was stopped by
// a command ends with nil. Nothing it started is left running.
//
// When ctx ends and nothing is kept, the job is stopped. Where states are kept it
// is drained instead: what runs is cancelled and waited for, nothing more is kept,
// and Drive goes on from the state kept last as after a crash.
func Drive(ctx context.Context, work engine.Work, d engine.Driving) error {
	_, err := drive(ctx, work, d)
	return err
}

// drive is Drive; it also returns the state it came to.
func drive(ctx context.Context, work engine.Work, d engine.Driving) (job.State, error) {
	r := &runner{Driving: d, work: work, answers: make(chan answer), done: make(chan struct{}), cancels: map[string]context.CancelFunc{}}
	r.wakeUp = time.NewTimer(0)
	r.ctx, r.cancelAll = context.WithCancel(context.WithoutCancel(ctx))
	r.state = d.From
	err := r.loop(ctx)
	r.wakeUp.Stop()
	close(r.done) // what is on its way finds nobody
	r.cancelAll()
	for r.left > 0 {
		r.left -= (<-r.answers).last
	}
	switch {
	case err != nil:
		return r.state, err
	case r.failure != nil:
		return r.state, r.failure
	}
	return r.state, context.Cause(ctx)
}

// runner is one run of a job.
type runner struct {
	engine.Driving
	work      engine.Work
	state     job.State
	answers   chan answer
	done      chan struct{}
	left      int // goroutines that will still send an answer that is their last
	ctx       context.Context
	cancelAll context.CancelFunc
	// cancels end tasks that run. They are cancelled by Step alone, so that it knows
	// what it waits for.
	cancels  map[string]context.CancelFunc
	wakeUp   *time.Timer
	finished bool
	failure  error // of the task that gave up and ended the job
}

// answer is an event with the error it tells of.
type answer struct {
	job.Event
	err  error
	last int // 1 when its sender has ended
}

// loop takes one event after another until the job has ended, or is to be drained.
func (r *runner) loop(ctx context.Context) error {
	next, actions := job.Resume(r.state, time.Now())
	if err := r.follow(next, actions); err != nil {
		return err
	}
	stop := ctx.Done()
	for !r.finished {
		var a answer
		select {
		case a = <-r.answers:
			r.left -= a.last
		case c, more := <-r.Commands:
			if !more {
				r.Commands = nil
				continue
			}
			a.Event = c
		case <-stop:
			if r.Save != nil {
				return context.Cause(ctx)
			}
			stop = nil
			a.Kind = job.StopAsked
		}
		if err := r.step(a); err != nil {
			return err
		}
	}
	return nil
}

// step takes an event and carries out what follows from it.
func (r *runner) step(a answer) error {
	a.Now = time.Now()
	if a.err != nil && (a.ID != job.PlanID || !r.state.EndOnFailure) { // else it is told at the end
		r.Log.Warn("task failed", "task", a.ID, "error", a.err)
	}
	next, actions := job.Step(r.state, a.Event)
	if r.state.Failure == nil && next.Failure != nil {
		r.failure = a.err
	}
	return r.follow(next, actions)
}

// follow keeps a state and carries out the actions that led to it.
func (r *runner) follow(next job.State, actions []job.Action) error {
	r.state = next
	if r.Save != nil {
		if err := r.Save(next); err != nil {
			return err
		}
	}
	if f, ok := r.work.(engine.Follower); ok {
		f.Follow(next)
	}
	for _, a := range actions {
		switch a.Kind {
		case job.StartTask:
			r.start(a)
		case job.CancelTask:
			r.cancels[a.Task.ID]()
		case job.WakeAt:
			r.wakeUp.Stop()
			r.wakeUp = time.AfterFunc(time.Until(a.At), func() { r.send(answer{Event: job.Event{Kind: job.Tick}}) })
		case job.RaiseAlarm, job.ResolveAlarm:
			if r.Alarm != nil {
				r.Alarm(a)
			}
		case job.Finish:
			r.finished = true
			if a.Failure != nil && r.failure == nil { // an earlier life knew the error itself
				r.failure = a.Failure.Err()
			}
		}
	}
	return nil
}

// send gives an answer that nobody waits for to the loop, if it goes on.
func (r *runner) send(a answer) {
	select {
	case r.answers <- a:
	case <-r.done:
	}
}

// start runs a task in a goroutine of its own, whose last answer is how it ended.
func (r *runner) start(a job.Action) {
	ctx, cancel := context.WithCancel(r.ctx)
	r.cancels[a.Task.ID] = cancel
	r.left++
	apart := r.state.Apart()
	about := job.Event{ID: a.Task.ID, Attempt: a.Attempt, Worker: here}
	go func() {
		defer cancel()
		about.Kind = job.TaskStarted
		r.send(answer{Event: about})
		progressed, err := r.carryOut(ctx, a, apart)
		about.Progressed = progressed
		switch {
		case err == nil:
			about.Kind = job.TaskFinished
		case ctx.Err() != nil && (errors.Is(err, ctx.Err()) || a.Task.Kind == job.Planning):
			about.Kind, err = job.TaskStopped, nil
		default:
			about.Kind, about.Failure = job.TaskFailed, job.FailureOf(err)
		}
		r.answers <- answer{Event: about, err: err, last: 1}
	}()
}

// here is the worker's name where there is one process.
const here = "this process"

func (r *runner) carryOut(ctx context.Context, a job.Action, apart map[string]job.Apart) (progressed bool, err error) {
	tell := func(kind job.EventKind, tasks ...job.Task) {
		r.send(answer{Event: job.Event{Kind: kind, ID: a.Task.ID, Attempt: a.Attempt, Tasks: tasks}})
	}
	if a.Task.Kind == job.Planning {
		return false, r.work.Find(ctx, apart, func(t job.Task) { tell(job.TaskFound, t) })
	}
	return r.work.RunTask(ctx, engine.Run{
		Task: a.Task, Attempt: a.Attempt, Discard: a.Discard,
		Progressed: func() { tell(job.TaskProgressed) },
		CaughtUp:   func() { tell(job.CaughtUp) }, Regroup: func() { tell(job.Regroup) },
		Healable: func(tables []string) {
			r.send(answer{Event: job.Event{Kind: job.Healable, ID: a.Task.ID, Attempt: a.Attempt, Tables: tables}})
		},
	})
}
