package job

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"godwit/internal/fault"
)

// Status is where a job, a table or a task stands: what is. What is wanted is
// told by Desired and by the Wishes.
type Status uint8

// Statuses.
const (
	Unassigned Status = iota + 1 // waits for its turn
	Preparing                    // given to a worker that has not begun; of a job: nothing but planning goes on
	Running
	Retrying // has failed and is tried again, by itself, not before NotBefore
	Stopping // asked to end, has not ended yet
	Paused
	Stopped  // ended before it was done
	Failed   // gave up; retry, or an edit that restarts it, begins again
	Finished // done
)

// TaskKind says what a task does.
type TaskKind uint8

// Kinds of tasks. Everything that takes an engine longer than a moment is a task,
// so that each can fail, wait, be paused and be told in the same way.
const (
	Copy     TaskKind = iota + 1 // chunks of a table's snapshot, or a key range of a file job
	Stream                       // changes, for ever or to an end
	Planning                     // finds the other tasks; each job has one, PlanID
	Resync                       // begins a new generation of a table, before it is planned anew
)

// PlanID is the ID of the Planning task.
const PlanID = "(plan)"

// Task is what an engine runs.
type Task struct {
	ID   string   `json:"id"`
	Kind TaskKind `json:"kind"`
	// Table is the one table the task is for. A Stream without one carries all
	// tables that do not stand apart.
	Table string `json:"table,omitempty"`
	// Revision tells works under one ID apart: a task that is found again with
	// another one is started anew, even if it had finished.
	Revision string `json:"revision,omitempty"`
	// AfterCopies makes a task wait until every Copy task has finished and no
	// more are to be found: the copies of its table, or of all that do not stand
	// apart; of both, those for a sink of its own.
	AfterCopies bool `json:"after_copies,omitempty"`
	// Sinks are the names of the sinks that the task carries, with a blank between;
	// empty: all that the job has.
	Sinks string `json:"sinks,omitempty"`
	// OnError is what becomes of the task when a sink fails it (ErrorModesOf).
	OnError string `json:"on_error,omitempty"`
}

// Wish is who asked for something, and why.
type Wish struct {
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
}

// TaskState is a task and what has happened to it.
type TaskState struct {
	Task
	Status Status    `json:"status"`
	Since  time.Time `json:"since"`            // of Status
	Reason string    `json:"reason,omitempty"` // why it has Status, for people
	// Attempt is the number of the last start. It rises for as long as the job
	// lives, also over a task that was gone for a while.
	Attempt   uint64    `json:"attempt"`
	Worker    string    `json:"worker,omitempty"`    // who runs it
	Fruitless int       `json:"fruitless,omitempty"` // failed attempts in a row that committed nothing
	Borne     int       `json:"borne,omitempty"`     // those of Fruitless that never make it give up
	Refused   int       `json:"refused,omitempty"`   // failed attempts in a row in which a sink refused a row
	NotBefore time.Time `json:"not_before,omitzero"` // back-off, of a Retrying task
	Failure   *Failure  `json:"failure,omitempty"`   // of the last attempt that failed, until one finishes
	Paused    *Wish     `json:"paused,omitempty"`    // this task alone is to be paused
	// Plan is the attempt of the Planning task that found it last: a task starts
	// only if that is the last one.
	Plan uint64 `json:"plan,omitempty"`
	// Outdated: what runs is not what is asked for any more. It is cancelled and,
	// however it ends, starts anew. Gone: nobody asks for it; it is cancelled and
	// dropped.
	Outdated bool `json:"outdated,omitempty"`
	Gone     bool `json:"gone,omitempty"`
}

// Apart says why a table stands apart: tasks of its own carry it, and the stream
// of the others does not.
type Apart string

// Reasons to stand apart.
const (
	Together     Apart = ""         // it does not
	ApartPaused  Apart = "paused"   // it was paused, and has not caught up since
	ApartAdded   Apart = "added"    // it was found with a stream of its own
	ApartResyncs Apart = "resynced" // it is read again
)

// MostApart is how many tables may stand apart at once.
const MostApart = 16

// TableState is a table of which something is asked that is not asked of all.
type TableState struct {
	Name string `json:"name"`
	// Apart is what the next plan must follow; Since is when it changed.
	Apart Apart     `json:"apart,omitempty"`
	Since time.Time `json:"since"`
	// Generation counts the resyncs asked for in this job's life. What it is in a
	// sink the sink knows.
	Generation uint64 `json:"generation,omitempty"`
	Paused     *Wish  `json:"paused,omitempty"`
	// Heals is how often in a row it was read again by itself, the last time at HealedAt.
	Heals    int       `json:"heals,omitempty"`
	HealedAt time.Time `json:"healed_at,omitzero"`
}

// Desired is what a job is to do.
type Desired string

// Desires.
const (
	WantRunning Desired = "running"
	WantPaused  Desired = "paused"
	WantStopped Desired = "stopped" // for good: the job ends
)

// Options are what a job is begun with.
type Options struct {
	Parallel int `json:"parallel"` // Copy tasks at once; less than 1 counts as 1
	// EndOnFailure ends the job when a task gives up, and does not try planning
	// twice. Without it the task is Failed and everything else goes on, and what may
	// pass and no sink has caused is tried again for ever.
	EndOnFailure bool `json:"end_on_failure,omitempty"`
}

// State is everything Step knows of a job. It is plain data and immutable: only
// Step and Resume make one out of another. It has no positions and no rows: where
// data is the sinks know, and what is lost of it is found again. Its JSON form is
// docs/formats/job-state.md.
type State struct {
	Options
	Spec    uint64  `json:"spec"` // the version of the job file that is carried out
	Desired Desired `json:"desired"`
	Wish    Wish    `json:"wish"` // who desired it
	// Status is derived from those of the tasks.
	Status Status    `json:"status"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
	// Failure is why the job ends (EndOnFailure).
	Failure *Failure     `json:"failure,omitempty"`
	Tasks   []TaskState  `json:"tasks"`            // Planning first, the others as found
	Tables  []TableState `json:"tables,omitempty"` // by name
	// Floor is no less than any attempt of a task that was dropped.
	Floor uint64 `json:"floor,omitempty"`
	// Wake is the wake-up that was asked for and has not come.
	Wake  time.Time `json:"wake,omitzero"`
	Ended bool      `json:"ended,omitempty"`
}

// Failure is an error as data.
type Failure struct {
	Class fault.Class `json:"class"`
	Code  fault.Code  `json:"code"`
	What  string      `json:"what"`
	Where string      `json:"where,omitempty"`
	Cause string      `json:"cause,omitempty"`
	Hint  string      `json:"hint,omitempty"`
	Sink  string      `json:"sink,omitempty"` // that caused it; empty: something else did
}

// FailureOf returns err as data. Its texts are cut where they are longer than a
// State should keep.
func FailureOf(err error) *Failure {
	f := fault.Of(err)
	out := &Failure{Class: f.Class(), Code: f.Code, What: cut(f.What), Where: cut(f.Where), Hint: cut(f.Hint), Sink: cut(f.Sink)}
	if f.Cause != nil {
		out.Cause = cut(f.Cause.Error())
	}
	return out
}

// Err returns the failure as an error again.
func (f *Failure) Err() *fault.Error {
	out := &fault.Error{Code: f.Code, What: f.What, Where: f.Where, Hint: f.Hint, Sink: f.Sink}
	if f.Cause != "" {
		out.Cause = errors.New(f.Cause)
	}
	return out
}

// maxText bounds each text of a State, in bytes.
const maxText = 1000

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-len("…")], "") + "…"
}

// live reports whether a worker has the task, or is to have it.
func (t *TaskState) live() bool {
	return t.Status == Preparing || t.Status == Running || t.Status == Stopping
}

// afresh forgets what was fruitless.
func (t *TaskState) afresh() { t.Fruitless, t.Borne = 0, 0 }

// become gives the task a status; since stays when it has it already.
func (t *TaskState) become(s Status, now time.Time, reason string) {
	if t.Status != s {
		t.Status, t.Since = s, now
	}
	t.Reason = cut(reason)
	if s != Retrying {
		t.NotBefore = time.Time{}
	}
	if !t.live() {
		t.Worker = ""
	}
}

// clone returns a State that can be changed without changing s.
func (s State) clone() State {
	s.Tasks = slices.Clone(s.Tasks)
	s.Tables = slices.Clone(s.Tables)
	return s
}

// plan is the Planning task.
func (s *State) plan() *TaskState { return &s.Tasks[0] }

func (s *State) task(id string) *TaskState {
	for i := range s.Tasks {
		if s.Tasks[i].ID == id {
			return &s.Tasks[i]
		}
	}
	return nil
}

func (s *State) findTable(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Tables, name, func(t TableState, name string) int { return cmp.Compare(t.Name, name) })
}

// table returns what is asked of a table; nil: nothing but what is asked of all.
func (s *State) table(name string) *TableState {
	if i, found := s.findTable(name); found {
		return &s.Tables[i]
	}
	return nil
}

// ensureTable is table, adding it when it is not there.
func (s *State) ensureTable(name string, now time.Time) *TableState {
	i, found := s.findTable(name)
	if !found {
		s.Tables = slices.Insert(s.Tables, i, TableState{Name: name, Since: now})
	}
	return &s.Tables[i]
}

// Apart returns the tables that are to stand apart, and why.
func (s State) Apart() map[string]Apart {
	out := map[string]Apart{}
	for _, t := range s.Tables {
		if t.Apart != Together {
			out[t.Name] = t.Apart
		}
	}
	return out
}

func (s *State) apart(table string) bool {
	t := s.table(table)
	return t != nil && t.Apart != Together
}

// pausedBy returns the wish that a task be paused; nil: it may run.
func (s *State) pausedBy(t *TaskState) *Wish {
	if s.Desired == WantPaused {
		return &s.Wish
	}
	if table := s.table(t.Table); table != nil && table.Paused != nil {
		return table.Paused
	}
	return t.Paused
}
