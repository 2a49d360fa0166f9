package job

import "time"

// EventKind says what happened.
type EventKind uint8

// Answers. Each is about the task ID in its Attempt; one that is about another
// attempt than the one that lives comes late, or twice, and changes nothing.
const (
	TaskStarted    EventKind = iota + 1 // Worker has begun it
	TaskProgressed                      // it has committed something since it began; need not be told more than once
	TaskFinished                        // it is done; of PlanID: every task has been found
	TaskStopped                         // it ended because it was cancelled
	TaskFailed                          // Failure, Progressed
	WorkerLost                          // nothing is heard of its worker any more; it may still work, sinks fence it off
	CaughtUp                            // the stream of a table that stands apart is where the others are, and goes on
	Regroup                             // sinks are to part, or to come together: planning tells which tasks carry which
	Healable                            // Tables that a copy makes whole are marked: each is read again when its back-off lets it
	TaskFound                           // ID is PlanID; Tasks: some that it found
	Planned                             // ID is PlanID; Tasks: all that there are, and it is finished
)

// Commands, By somebody who says Why. Without Tables and Tasks they are for the
// whole job. What is asked for twice is done once.
const (
	PauseAsked  EventKind = iota + 101 // Tables and Tasks, or the whole job
	ResumeAsked                        // takes back the pause of the same things
	RetryAsked                         // what failed begins again at once
	ResyncAsked                        // Tables are read again
	StopAsked                          // the job ends
	EditAsked                          // Spec, Changed: a newer version of the job file is carried out
	Tick        EventKind = 201        // time has passed
)

// Event is one thing that happened, at Now. It is plain data.
type Event struct {
	Kind    EventKind
	Now     time.Time
	ID      string
	Attempt uint64
	Worker  string
	Tasks   []Task
	Failure *Failure
	// Progressed says that the attempt had committed something.
	Progressed bool

	By, Why string
	Tables  []string // names
	Only    []string // IDs of tasks
	// Of an edit: Spec is above that of the State; Parallel 0 leaves it as it is.
	Spec     uint64
	Parallel int
	Changed  []Change
}

// Consequence is what an edit of one field asks of a job that runs.
type Consequence string

// Consequences.
const (
	TakenOver Consequence = "taken over" // the tasks that run take the value over by themselves, or the next start does
	Restarts  Consequence = "restarts"   // tasks end after a commit and start anew
	Replans   Consequence = "re-plans"   // what there is to do is found anew
	Resyncs   Consequence = "resyncs"    // Tables are read again
)

// Change is one field of an edit. A refused edit is no event.
type Change struct {
	Field       string
	Consequence Consequence
	Tables      []string
}

// Consequence returns what an edit of this effect asks of a job that runs. An
// edit that is Refused must not be asked for.
func (e Effect) Consequence() Consequence {
	switch e {
	case Follows:
		return TakenOver
	case Applies, Checked:
		return Restarts
	}
	return Replans
}

// ActionKind says what to do.
type ActionKind uint8

// Actions.
const (
	StartTask    ActionKind = iota + 1 // Task, Attempt, Spec, and of a Resync Generation
	CancelTask                         // Task, Attempt: it is to end after a commit, and is waited for
	WakeAt                             // At: send a Tick then; it replaces the wake-up asked for before
	RaiseAlarm                         // Alarm
	ResolveAlarm                       // Alarm: the one that was raised with this Kind and On
	Finish                             // the job has ended: Failure is nil when all is done, or it was stopped
)

// Action is one thing to do.
type Action struct {
	Kind       ActionKind
	Task       Task
	Attempt    uint64
	Spec       uint64
	Generation uint64
	Discard    string // of a StartTask: names of sinks, with a blank between, that put aside the rows they refuse
	At         time.Time
	Alarm      Alarm
	Failure    *Failure
}
