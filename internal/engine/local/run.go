// Package local is the engine for one machine: goroutines, and a cache of
// progress in SQLite. Deleting its folder loses nothing but history.
package local

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// Run drives work until all its tasks are done, one of them fails for good, or
// ctx is done. It returns nil, the failure, or ctx's error when the job was
// stopped. Nothing it started is left running. note is told every state that a
// step leads to; it may be nil.
func Run(ctx context.Context, work engine.Work, parallel int, log *slog.Logger, note func(job.State)) error {
	r := &runner{work: work, log: log, note: note, events: make(chan job.Event), cancels: map[string]context.CancelFunc{}}
	r.state.Parallel = parallel
	r.finding, r.stopFinding = context.WithCancel(ctx)
	defer r.stopFinding()
	left := 1 // goroutines that will still send an event
	go r.find()
	stop := ctx.Done()
	for left > 0 || !r.finished {
		select {
		case e := <-r.events:
			if e.Kind != job.TaskFound && e.Kind != job.Tick {
				left--
			}
			left += r.step(e)
		case <-stop:
			stop = nil
			left += r.step(job.Event{Kind: job.StopAsked})
		}
	}
	if r.code != "" {
		return r.failure
	}
	return context.Cause(ctx)
}

// runner is one run of a job.
type runner struct {
	work        engine.Work
	log         *slog.Logger
	note        func(job.State)
	state       job.State
	events      chan job.Event
	cancels     map[string]context.CancelFunc
	finding     context.Context
	stopFinding context.CancelFunc
	finished    bool
	code        fault.Code
	failure     error
}

// find sends the tasks, and last AllFound or FailAsked.
func (r *runner) find() {
	err := r.work.Find(r.finding, func(t job.Task) { r.events <- job.Event{Kind: job.TaskFound, Task: t} })
	switch {
	case r.finding.Err() != nil:
		r.events <- job.Event{Kind: job.AllFound}
	case err != nil:
		r.events <- failed(job.Event{Kind: job.FailAsked}, err)
	default:
		r.events <- job.Event{Kind: job.AllFound}
	}
}

func failed(e job.Event, err error) job.Event {
	f := fault.Of(err)
	e.Code, e.Class, e.Cause = f.Code, f.Class(), err
	return e
}

// step takes an event and carries out the actions. It returns how many goroutines
// it started that will send an event.
func (r *runner) step(e job.Event) (started int) {
	e.Now = time.Now()
	if e.Cause != nil && e.ID != "" {
		r.log.Warn("task failed", "task", e.ID, "error", e.Cause)
	}
	was := r.state.Failure
	next, actions := job.Step(r.state, e)
	if r.state = next; was == "" && next.Failure != "" {
		r.failure = e.Cause
	}
	if r.note != nil {
		r.note(next)
	}
	if next.Stop || next.Failure != "" {
		r.stopFinding()
	}
	for _, a := range actions {
		switch a.Kind {
		case job.StartTask:
			r.start(a.ID, a.Attempt)
			started++
		case job.CancelTask:
			r.cancels[a.ID]()
		case job.WakeAt:
			time.AfterFunc(time.Until(a.At), func() {
				select {
				case r.events <- job.Event{Kind: job.Tick}:
				case <-r.finding.Done(): // the run is over or ending
				}
			})
		case job.Finish:
			r.finished, r.code = true, a.Code
		}
	}
	return started
}

func (r *runner) start(id string, attempt uint64) {
	// Tasks are cancelled by Step alone, so that it knows what it waits for.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.finding))
	r.cancels[id] = cancel
	go func() {
		defer cancel()
		progressed, err := r.work.RunTask(ctx, id, attempt)
		e := job.Event{Kind: job.TaskFinished, ID: id, Progressed: progressed}
		switch {
		case err == nil:
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			e.Kind = job.TaskStopped
		default:
			e.Kind = job.TaskFailed
			e = failed(e, err)
		}
		r.events <- e
	}()
}
