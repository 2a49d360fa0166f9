package job

import "fmt"

// AlarmKind says what an alarm is about.
type AlarmKind string

// Alarms.
const (
	AlarmTask     AlarmKind = "task failed"     // a task gave up; others may go on
	AlarmJob      AlarmKind = "job failed"      // a task gave up and nothing else can run
	AlarmRetrying AlarmKind = "task struggling" // a task has failed several times and committed nothing
)

// alarmAfter is how many fruitless attempts in a row make an alarm: one or two are
// a server that restarts.
const alarmAfter = 3

// Alarm is something a person should look at. Kind and On together name it.
type Alarm struct {
	Kind AlarmKind
	On   string // a task's ID; empty: the job
	What string
}

// alarms returns those that hold, in the order of the tasks. They follow from the
// state, so none can be forgotten.
func (s State) alarms() (out []Alarm) {
	for i := range s.Tasks {
		t := &s.Tasks[i]
		switch {
		case t.Failure == nil:
		case t.Status == Failed:
			out = append(out, Alarm{AlarmTask, t.ID, t.Failure.text()})
		case max(t.Fruitless, t.Refused) >= alarmAfter:
			out = append(out, Alarm{AlarmRetrying, t.ID, t.Failure.text()})
		}
	}
	if s.Status == Failed {
		out = append(out, Alarm{Kind: AlarmJob, What: s.Reason})
	}
	return out
}

func (f *Failure) text() string { return fmt.Sprintf("%s: %s", f.Code, f.What) }

// changedAlarms says which alarms to resolve and to raise. One that stays is not
// raised again, though its text may be another.
func changedAlarms(before, after []Alarm) (out []Action) {
	has := func(as []Alarm, a Alarm) bool {
		for _, b := range as {
			if a.Kind == b.Kind && a.On == b.On {
				return true
			}
		}
		return false
	}
	for _, a := range before {
		if !has(after, a) {
			out = append(out, Action{Kind: ResolveAlarm, Alarm: a})
		}
	}
	for _, a := range after {
		if !has(before, a) {
			out = append(out, Action{Kind: RaiseAlarm, Alarm: a})
		}
	}
	return out
}
