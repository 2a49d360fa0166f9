package job

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Defects of Step and Resume that the simulation must find. Each is a real Step
// with something done wrong around it.

// onActions changes what is said.
func onActions(change func(next *State, e Event, as []Action) []Action) machine {
	return machine{
		func(s State, e Event) (State, []Action) {
			next, as := Step(s, e)
			next = next.clone()
			as = change(&next, e, as)
			return next, as
		},
		Resume,
	}
}

// onEvents changes what is heard; nothing at all when ok is false.
func onEvents(change func(s State, e *Event) (ok bool)) machine {
	return machine{
		func(s State, e Event) (State, []Action) {
			if !change(s, &e) {
				return s, nil
			}
			return Step(s, e)
		},
		Resume,
	}
}

// without says nothing of a kind.
func without(kind ActionKind) machine {
	return onActions(func(_ *State, _ Event, as []Action) []Action {
		return slices.DeleteFunc(as, func(a Action) bool { return a.Kind == kind })
	})
}

// deaf does not hear events of a kind, with a condition.
func deaf(kind EventKind, when func(Event) bool) machine {
	return onEvents(func(_ State, e *Event) bool { return e.Kind != kind || when != nil && !when(*e) })
}

func defects() map[string]machine {
	return map[string]machine{
		"answers count whatever attempt they are of": onEvents(func(s State, e *Event) bool {
			if t := s.task(e.ID); t != nil && e.Kind <= Planned {
				e.Attempt = t.Attempt
			}
			return true
		}),
		"sinks part or come together without a plan": deaf(Regroup, nil),
		"streams wait for the copies of other sinks": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range next.Tasks {
				if t := &next.Tasks[i]; t.Kind == Copy {
					t.Sinks = ""
				}
			}
			return as
		}),
		"a task keeps its attempt": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range as {
				if a := &as[i]; a.Kind == StartTask && a.Attempt > 1 {
					a.Attempt--
					next.task(a.Task.ID).Attempt--
				}
			}
			return as
		}),
		"attempts begin again with a task that was gone": onActions(func(next *State, _ Event, as []Action) []Action {
			next.Floor = 0
			return as
		}),
		"one copy too many": {func(s State, e Event) (State, []Action) {
			s.Parallel = max(1, s.Parallel) + 1
			next, as := Step(s, e)
			if next.Parallel == s.Parallel {
				next.Parallel--
			}
			return next, as
		}, Resume},
		"streams do not wait for copies": onEvents(func(_ State, e *Event) bool {
			e.Tasks = slices.Clone(e.Tasks)
			for i := range e.Tasks {
				e.Tasks[i].AfterCopies = false
			}
			return true
		}),
		"streams wait for what was found so far": {func(s State, e Event) (State, []Action) {
			next, as := Step(s, e)
			if p := next.plan(); p.Status == Running && e.Kind == TaskFound {
				next = next.clone()
				p = next.plan()
				p.Status = Finished
				as = append(as, next.start(e.Now)...)
				p.Status = Running
			}
			return next, as
		}, Resume},
		"nothing is cancelled":        without(CancelTask),
		"nobody is woken":             without(WakeAt),
		"the end is not told":         without(Finish),
		"alarms stay":                 without(ResolveAlarm),
		"failures are silent":         without(RaiseAlarm),
		"a lost worker is waited for": deaf(WorkerLost, nil),
		"a table cannot be paused":    deaf(PauseAsked, func(e Event) bool { return len(e.Tables) > 0 }),
		"a job cannot be paused":      deaf(PauseAsked, func(e Event) bool { return e.whole() }),
		"a job cannot be stopped":     deaf(StopAsked, nil),
		"an edit changes nothing":     deaf(EditAsked, nil),
		"a table is never read again": deaf(ResyncAsked, nil),
		"a table does not heal":       deaf(Healable, nil),
		"a table heals without a pause": onEvents(func(s State, e *Event) bool {
			if e.Kind == Healable {
				for i := range s.Tables {
					s.Tables[i].Heals = 0 // the test's own: nobody else has this state
				}
			}
			return true
		}),
		"everything is cancelled twice": onActions(func(_ *State, _ Event, as []Action) []Action {
			for _, a := range as {
				if a.Kind == CancelTask {
					as = append(as, a)
				}
			}
			return as
		}),
		"what finished begins again": onActions(func(next *State, e Event, as []Action) []Action {
			if e.Kind == ResumeAsked && !next.Ended {
				for i := range next.Tasks {
					if t := &next.Tasks[i]; t.Status == Finished && t.Kind == Copy {
						t.Status = Unassigned
					}
				}
			}
			return as
		}),
		"what is gone is kept": {func(s State, e Event) (State, []Action) {
			next, as := Step(s, e)
			for _, t := range s.Tasks {
				if next.task(t.ID) == nil && t.Kind == Copy {
					t.Gone, t.Status = false, Finished
					next.Tasks = append(next.Tasks, t)
				}
			}
			return next, as
		}, Resume},
		"an outdated attempt counts": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range next.Tasks {
				next.Tasks[i].Outdated = false
			}
			return as
		}),
		"nobody is blamed": onEvents(func(_ State, e *Event) bool {
			if e.Failure != nil {
				f := *e.Failure
				f.Sink, e.Failure = "", &f
			}
			return true
		}),
		"another sink is blamed": onEvents(func(_ State, e *Event) bool {
			if e.Failure != nil && e.Failure.Sink != "" {
				f := *e.Failure
				f.Sink, e.Failure = "c", &f
			}
			return true
		}),
		"a sink is forgotten": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range next.Tasks {
				if t := &next.Tasks[i]; t.live() {
					t.Sinks = strings.TrimSuffix(t.Sinks, " a")
				}
			}
			return as
		}),
		"no back-off": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range next.Tasks {
				if t := &next.Tasks[i]; t.Status == Retrying {
					t.NotBefore = t.NotBefore.Add(-time.Second)
				}
			}
			return as
		}),
		"it never gives up": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range next.Tasks {
				next.Tasks[i].Fruitless = min(next.Tasks[i].Fruitless, MaxFruitless-2)
			}
			return as
		}),
		"what is borne counts": onActions(func(next *State, _ Event, as []Action) []Action {
			for i := range next.Tasks {
				next.Tasks[i].Borne = 0
			}
			return as
		}),
		"back-off has no bound": onActions(func(_ *State, _ Event, as []Action) []Action {
			for i := range as {
				as[i].At = as[i].At.Add(maxBackoff)
			}
			return as
		}),
		"it goes on after its end": {func(s State, e Event) (State, []Action) {
			s.Ended = false
			return Step(s, e)
		}, Resume},
		"the version is that of the beginning": onActions(func(_ *State, _ Event, as []Action) []Action {
			for i := range as {
				as[i].Spec = min(as[i].Spec, 1)
			}
			return as
		}),
		"tasks are cancelled when another fails": onActions(func(next *State, e Event, as []Action) []Action {
			for i := range next.Tasks {
				if t := &next.Tasks[i]; e.Kind == TaskFailed && t.Status == Running && t.ID != e.ID {
					t.Status = Stopping
					as = append(as, Action{Kind: CancelTask, Task: t.Task, Attempt: t.Attempt})
				}
			}
			return as
		}),
		"two tasks hold one table": onActions(func(next *State, e Event, as []Action) []Action {
			for i := range next.Tasks {
				t := &next.Tasks[i]
				if t.Outdated && t.Status == Stopping && t.Kind == Stream && next.Desired == WantRunning {
					t.Kind, t.Table = Copy, "elsewhere" // so that nothing waits for it
					as = append(as, next.start(e.Now)...)
					t.Kind, t.Table = Stream, ""
				}
			}
			return as
		}),
		"planning begins while the stream of all runs": onActions(func(next *State, e Event, as []Action) []Action {
			for i := range next.Tasks {
				t := &next.Tasks[i]
				if t.Outdated && t.carriesAll() && next.plan().Status == Unassigned && !next.Ended {
					t.Outdated = false
					as = append(as, next.start(e.Now)...)
					t.Outdated = true
				}
			}
			return as
		}),
		"a table that leaves stays in the stream of all": onActions(func(next *State, e Event, as []Action) []Action {
			if e.Kind != PauseAsked || e.whole() {
				return as
			}
			for i := range next.Tasks {
				if t := &next.Tasks[i]; t.carriesAll() && t.Outdated {
					t.Outdated, t.Status = false, Running
				}
			}
			as = slices.DeleteFunc(as, func(a Action) bool { return a.Kind == CancelTask && a.Task.Kind == Stream && a.Task.Table == "" })
			return append(as, next.start(e.Now)...)
		}),
		"Step changes what it is given": {func(s State, e Event) (State, []Action) {
			if e.Kind == TaskStarted {
				s.Tasks[0].Reason += "."
			}
			return Step(s, e)
		}, Resume},
		"a state that cannot be read again": onActions(func(next *State, _ Event, as []Action) []Action {
			next.Since = next.Since.In(time.FixedZone("", 3601))
			return as
		}),
		"after a crash what ran is waited for": {Step, func(s State, _ time.Time) (State, []Action) { return s, nil }},
		"after a crash planning is not begun again": {Step, func(s State, now time.Time) (State, []Action) {
			next, as := Resume(s, now)
			if s.plan().Status != Finished {
				return next, as
			}
			next.plan().Status = Finished
			next.plan().Attempt = s.plan().Attempt
			return next, slices.DeleteFunc(as, func(a Action) bool { return a.Task.Kind == Planning })
		}},
		"after a crash a pause is forgotten": {Step, func(s State, now time.Time) (State, []Action) {
			s.Desired = WantRunning
			return Resume(s, now)
		}},
		"after a crash attempts are forgotten": {Step, func(s State, now time.Time) (State, []Action) {
			s = s.clone()
			for i := range s.Tasks {
				s.Tasks[i].Attempt = 0
			}
			return Resume(s, now)
		}},
		"after a crash nobody is woken": {Step, func(s State, now time.Time) (State, []Action) {
			next, as := Resume(s, now)
			return next, slices.DeleteFunc(as, func(a Action) bool { return a.Kind == WakeAt })
		}},
	}
}

func TestStep_when_a_defect_is_planted(t *testing.T) {
	for name, m := range defects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(200) {
				if breach := caught(m, seed); breach != "" {
					t.Logf("seed %d: %s", seed, breach)
					return
				}
			}
			t.Error("the simulation found nothing wrong")
		})
	}
}

// caught is simulate for a machine that may even panic.
func caught(m machine, seed uint64) (breach string) {
	defer func() {
		if r := recover(); r != nil {
			breach = "panic"
		}
	}()
	return simulate(m, seed, 1000, &coverage{})
}
