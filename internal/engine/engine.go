// Package engine has the contract between the life of a job and what schedules
// it. An engine delivers events to job.Step and carries out its actions; it
// never sees data.
package engine

import (
	"context"
	"log/slog"

	"godwit/internal/job"
)

// Work is an opened job as an engine sees it: tasks that can be found and run.
type Work interface {
	// Find calls found for each task there is, in the order in which they should
	// start, and returns when there are no more. Tasks may run meanwhile. It may be
	// called again, never twice at once: what is found again under the same ID goes
	// on if it is equal, what is not found again is ended.
	//
	// apart are the tables that are to stand apart (job.State.Apart, of the state in
	// which planning starts). A stream that carries all, or one that carries a table of
	// which that has changed, does not run when Find is called, and does not start
	// before Find has found it: until then Find may take tables out of what carries all,
	// and back.
	Find(ctx context.Context, apart map[string]job.Apart, found func(job.Task)) error
	// RunTask runs a task to its end: one that Find found, or a Resync. A done ctx ends
	// it early, after what it has read is committed, with ctx's error. progressed tells
	// whether it committed anything.
	RunTask(ctx context.Context, r Run) (progressed bool, err error)
}

// Run is one attempt of a task.
type Run struct {
	Task    job.Task
	Attempt uint64
	// Discard names the sinks, with a blank between, that put aside the rows they refuse.
	Discard string
	// Progressed may be called once the task has committed something and goes on: what
	// failed before is over.
	Progressed func()
	// CaughtUp is called by the stream of a table that stands apart once it is where the
	// others are; it goes on meanwhile. It may be called more than once.
	CaughtUp func()
	// Regroup has planning begin anew, as it will find other tasks: sinks are to part,
	// or to come together. What is found again and carries other sinks than before
	// starts anew.
	Regroup func()
	// Healable is called by a stream with tables that are marked and that a copy makes
	// whole: they are read again, each when its back-off lets it. The stream calls it
	// again for those that were not.
	Healable func(tables []string)
}

// Follower is Work that wants to know how its job stands.
type Follower interface {
	// Follow is told of each state after it was kept, by one goroutine. It must be
	// quick.
	Follow(job.State)
}

// Driving says how work is driven, by whoever keeps the life of a job. Such a keeper
// hands on what is wanted in one of two ways, never in both at once: to work that is
// driven by Commands, and while none is by job.Step, on the state that was kept last.
type Driving struct {
	// From is the state to go on from: that of job.New, or the last one that Save
	// was given.
	From job.State
	// Commands are carried out as they come; nil: there are none. It may be closed.
	// A command that was received is in a state that Save is given before the driving
	// ends. One that nobody received by then is not carried out, and its sender must
	// not wait for longer: it belongs to the keeper again. A keeper that is to
	// survive its own end writes down what is wanted before it sends it, and strikes
	// it out after the Save that follows; to ask for a thing twice does it once.
	Commands <-chan job.Event
	// Save keeps a state before what follows from it is done; nil: nothing is kept.
	// When it fails the work is given up where it stands, as in a crash. It is called
	// by one goroutine; Commands are not received meanwhile.
	//
	// Where states are kept a ctx that ends is a server that drains, and not
	// somebody's wish: what runs is cancelled, commits and ends, and nothing more is
	// kept. The job goes on from the last state when it is driven again.
	Save func(job.State) error
	// Alarm is told of alarms that are raised and resolved; nil: nobody is.
	Alarm func(job.Action)
	Log   *slog.Logger
}
