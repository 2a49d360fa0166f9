package job

import (
	"time"

	"godwit/internal/fault"
)

// This file is the life of a job as a pure function. It decides order,
// parallelism, back-off and the end; it knows task states and nothing of
// positions or rows. Engines deliver events and carry out actions.

// TaskKind says what a task does.
type TaskKind uint8

// Kinds of tasks.
const (
	Copy   TaskKind = iota + 1 // chunks of a table's snapshot
	Stream                     // changes, for ever or to an end
)

// Status is where a task stands.
type Status uint8

// Statuses of a task.
const (
	Waiting Status = iota + 1
	Running
	Stopping // asked to end, not ended yet
	Finished
	Stopped // ended because it was asked to
)

// Task is what an engine runs.
type Task struct {
	ID   string
	Kind TaskKind
	// AfterCopies makes a task wait until every Copy task has finished and no
	// more are to be found.
	AfterCopies bool
}

// TaskState is a task and what has happened to it.
type TaskState struct {
	Task
	Status    Status
	Attempt   uint64    // of the last start, from 1
	Fruitless int       // failed attempts in a row that committed nothing
	NotBefore time.Time // back-off
}

// State is everything Step knows. It is plain data: what is lost is found again.
type State struct {
	Parallel int // Copy tasks at once, at least 1
	Tasks    []TaskState
	Listed   bool       // no more tasks will be found
	Stop     bool       // somebody asked to stop
	Failure  fault.Code // why the job is failing; empty: it is not
	Ended    bool
}

// EventKind says what happened.
type EventKind uint8

// Events.
const (
	TaskFound    EventKind = iota + 1 // Task
	AllFound                          // every task has been found
	TaskFinished                      // ID
	TaskStopped                       // ID: ended early because it was cancelled
	TaskFailed                        // ID, Code, Class, Progressed
	StopAsked                         //
	FailAsked                         // Code: something outside the tasks failed
	Tick                              // time has passed
)

// Event is one thing that happened, at Now.
type Event struct {
	Kind EventKind
	Now  time.Time
	Task Task
	ID   string
	Code fault.Code
	// Class is the failure's class; Progressed says that the attempt had
	// committed something.
	Class      fault.Class
	Progressed bool
	Cause      error // for the engine; Step does not look at it
}

// ActionKind says what to do.
type ActionKind uint8

// Actions.
const (
	StartTask  ActionKind = iota + 1 // ID, Attempt
	CancelTask                       // ID
	WakeAt                           // At: send a Tick then
	Finish                           // the job ends: Code empty when all is done, or stopped
)

// Action is one thing to do.
type Action struct {
	Kind    ActionKind
	ID      string
	Attempt uint64
	At      time.Time
	Code    fault.Code
}

// MaxFruitless is how often a task may fail in a row without committing anything
// before the job gives up.
const MaxFruitless = 8

// maxBackoff bounds the pause between attempts.
const maxBackoff = time.Minute

// Step takes one event and returns the new state and what to do about it. It
// changes nothing it is given and reads no clock.
func Step(s State, e Event) (State, []Action) {
	s.Tasks = append([]TaskState(nil), s.Tasks...)
	if s.Ended {
		return s, nil
	}
	s.take(e)
	if s.Stop || s.Failure != "" {
		return s.wind()
	}
	return s.advance(e.Now)
}

// take records what happened.
func (s *State) take(e Event) {
	switch e.Kind {
	case TaskFound:
		s.Tasks = append(s.Tasks, TaskState{Task: e.Task, Status: Waiting})
	case AllFound:
		s.Listed = true
	case StopAsked:
		s.Stop = true
	case FailAsked:
		s.fail(e.Code)
	case TaskFinished, TaskStopped, TaskFailed:
		for i := range s.Tasks {
			if t := &s.Tasks[i]; t.ID == e.ID && (t.Status == Running || t.Status == Stopping) {
				s.ended(t, e)
			}
		}
	}
}

func (s *State) fail(code fault.Code) {
	if s.Failure == "" {
		s.Failure = code
	}
}

// ended records how a running task ended.
func (s *State) ended(t *TaskState, e Event) {
	switch {
	case e.Kind == TaskFinished:
		t.Status = Finished
	case e.Kind == TaskStopped && t.Status == Stopping:
		t.Status = Stopped
	case e.Class == fault.Retry || e.Kind == TaskStopped:
		t.Fruitless++
		if e.Progressed {
			t.Fruitless = 1
		}
		if t.Status == Stopping {
			t.Status = Stopped
			return
		}
		t.Status = Waiting
		t.NotBefore = e.Now.Add(backoff(t.Fruitless))
		if t.Fruitless >= MaxFruitless {
			s.fail(e.Code)
		}
	default:
		t.Status = Stopped
		s.fail(e.Code)
	}
}

func backoff(failures int) time.Duration {
	return min(maxBackoff, time.Second<<min(failures-1, 10))
}

// wind cancels what runs and finishes when nothing does.
func (s State) wind() (State, []Action) {
	var out []Action
	left := false
	for i := range s.Tasks {
		t := &s.Tasks[i]
		switch t.Status {
		case Waiting:
			t.Status = Stopped
		case Running:
			t.Status = Stopping
			out = append(out, Action{Kind: CancelTask, ID: t.ID})
			left = true
		case Stopping:
			left = true
		}
	}
	if !left {
		s.Ended = true
		out = append(out, Action{Kind: Finish, Code: s.Failure})
	}
	return s, out
}

// advance starts what may start, and finishes when all is done.
func (s State) advance(now time.Time) (State, []Action) {
	copying, copiesLeft, left := 0, false, false
	for _, t := range s.Tasks {
		if t.Status == Finished {
			continue
		}
		left = true
		if t.Kind == Copy {
			copiesLeft = true
			if t.Status == Running {
				copying++
			}
		}
	}
	if !left && s.Listed {
		s.Ended = true
		return s, []Action{{Kind: Finish}}
	}
	var out []Action
	var wake time.Time
	for i := range s.Tasks {
		t := &s.Tasks[i]
		switch {
		case t.Status != Waiting,
			t.Kind == Copy && copying >= max(1, s.Parallel),
			t.AfterCopies && (copiesLeft || !s.Listed):
			continue
		case now.Before(t.NotBefore):
			if wake.IsZero() || t.NotBefore.Before(wake) {
				wake = t.NotBefore
			}
			continue
		}
		t.Status = Running
		t.Attempt++
		if t.Kind == Copy {
			copying++
		}
		out = append(out, Action{Kind: StartTask, ID: t.ID, Attempt: t.Attempt})
	}
	if !wake.IsZero() {
		out = append(out, Action{Kind: WakeAt, At: wake})
	}
	return s, out
}
