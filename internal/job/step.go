package job

import (
	"time"

	"godwit/internal/fault"
)

// This file and those named step_… are the life of a job as a pure function. It
// decides order, parallelism, back-off, what pauses and what ends; it knows task
// states and nothing of positions or rows. Engines deliver events and carry out
// actions. docs/decisions/0013-life-of-a-job.md says why it is so.

// MaxFruitless is how often a task may fail in a row without committing anything
// before it gives up. What a State bears is not counted.
const MaxFruitless = 8

// maxBackoff bounds the pause between attempts.
const maxBackoff = time.Minute

// New returns the state of a job that begins with a version of its job file.
// Resume gives the first actions.
func New(o Options, spec uint64, now time.Time) State {
	now = plainTime(now)
	return State{
		Options: o, Spec: spec, Desired: WantRunning, Wish: Wish{Since: now}, Status: Unassigned, Since: now,
		Tasks: []TaskState{{Task: Task{ID: PlanID, Kind: Planning}, Status: Unassigned, Since: now}},
	}
}

// Step takes one event and returns the new state and what to do about it. It
// changes nothing it is given and reads no clock. An engine keeps the state before
// it carries out the actions: what a crash then loses Resume asks for again.
func Step(s State, e Event) (State, []Action) {
	if s.Ended {
		return s, nil
	}
	e.Now = plainTime(e.Now)
	next := s.clone()
	if !next.take(e) {
		return s, nil
	}
	actions := next.decide(e.Now)
	return next, append(actions, changedAlarms(s.alarms(), next.alarms())...)
}

// Resume begins a job, or goes on with one whose engine is gone: what ran is taken
// for lost and planning begins anew, as an engine may have forgotten what the tasks
// are. All alarms that hold are raised again; an engine forgets those it knew. Of a
// job that has ended it says only that.
func Resume(s State, now time.Time) (State, []Action) {
	if s.Ended {
		return s, []Action{s.finish()}
	}
	now = plainTime(now)
	s = s.clone()
	s.Wake = time.Time{}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.live() || t.Kind == Planning && t.Status == Finished {
			t.Outdated, t.Refused = false, 0
			t.become(Unassigned, now, "the engine began again")
		}
	}
	actions := s.decide(now)
	return s, append(actions, changedAlarms(nil, s.alarms())...)
}

// plainTime is a time as its JSON form gives it back.
func plainTime(t time.Time) time.Time { return t.UTC().Round(0) }

// take records what happened; false: the event means nothing now.
func (s *State) take(e Event) bool {
	switch e.Kind {
	case Tick:
		s.Wake = time.Time{}
		return true
	case TaskStarted, TaskProgressed, TaskFinished, TaskStopped, TaskFailed, WorkerLost, CaughtUp, Regroup, Healable, TaskFound, Planned:
		t := s.task(e.ID)
		if t == nil || !t.live() || t.Attempt != e.Attempt {
			return false
		}
		return s.answered(t, e)
	}
	return s.commanded(e)
}

// answered records what is told of the attempt that lives.
func (s *State) answered(t *TaskState, e Event) bool {
	switch e.Kind {
	case TaskStarted:
		t.Worker = cut(e.Worker)
		if t.Status == Preparing {
			t.become(Running, e.Now, "")
		}
	case TaskProgressed:
		t.afresh()
	case CaughtUp:
		return s.rejoin(t, e.Now)
	case Regroup:
		s.replan(e.Now, "sinks part or come together")
	case Healable:
		return s.healable(t, e)
	case TaskFound, Planned:
		return s.found(t, e)
	default:
		s.ended(t, e)
	}
	return true
}

// ended records how a live task ended.
func (s *State) ended(t *TaskState, e Event) {
	switch {
	case t.Outdated || t.Gone:
		t.Outdated = false
		t.become(Unassigned, e.Now, "starts anew")
	case e.Kind == TaskFinished:
		s.finished(t, e.Now)
	case t.Status == Stopping && (e.Kind == TaskStopped || e.Kind == WorkerLost):
		t.become(Unassigned, e.Now, "")
	default:
		s.failed(t, e)
	}
}

func (s *State) finished(t *TaskState, now time.Time) {
	t.afresh()
	t.Refused, t.Failure = 0, nil
	t.become(Finished, now, "")
	switch t.Kind {
	case Planning:
		s.allFound()
	case Stream:
		s.rejoinAtEnd(now)
	case Resync:
		t.Gone = true
		s.replan(now, "table "+t.Table+" is read again")
	}
}

func (s *State) failed(t *TaskState, e Event) {
	f := e.Failure
	if f == nil {
		f = FailureOf(fault.New(fault.WorkerLost, "the worker %s ended or is not heard of any more", e.Worker).At("%s", t.ID))
	}
	t.Failure = f
	if f.Class == fault.Retry && t.Status == Stopping { // it may come from being cancelled
		t.become(Unassigned, e.Now, "")
		return
	}
	if e.Progressed {
		t.afresh()
	}
	borne := s.bears(f)
	t.Fruitless, t.Borne = t.Fruitless+1, t.Borne+count(borne)
	t.refused(f, e.Progressed)
	switch {
	case !borne && t.givesUp(f), t.Kind == Planning && s.EndOnFailure:
		t.become(Failed, e.Now, string(f.Code))
		if s.EndOnFailure && s.Failure == nil {
			s.Failure = f
		}
	default:
		t.become(Retrying, e.Now, string(f.Code))
		t.NotBefore = e.Now.Add(backoff(max(t.Fruitless, t.Refused)))
	}
}

// bears reports whether a failure never makes a task give up: somebody keeps the job, it
// may pass, and no sink has caused it. A source that restarts at night needs nobody to
// press a button.
func (s *State) bears(f *Failure) bool {
	return !s.EndOnFailure && f.Class == fault.Retry && f.Sink == ""
}

func backoff(failures int) time.Duration {
	return min(maxBackoff, time.Second<<min(failures-1, 10))
}
