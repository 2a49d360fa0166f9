package job

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func (s *simulation) checkStart(a Action) {
	id := a.Task.ID
	if s.live[id] != nil {
		s.fail("%s starts while it lives", id)
	}
	if a.Attempt <= s.most[id] {
		s.fail("%s starts with attempt %d after %d", id, a.Attempt, s.most[id])
	}
	s.most[id] = a.Attempt
	if a.Spec != s.spec {
		s.fail("%s starts with version %d, asked for is %d", id, a.Spec, s.spec)
	}
	if s.unwanted(a.Task) || s.finishes > 0 {
		s.fail("%s starts and should not", id)
	}
	if wait := s.earliest[id].Sub(s.now); wait > 0 && wait <= maxBackoff || s.fails[id] >= MaxFruitless {
		s.fail("%s starts after %d failures, %v before it should", id, s.fails[id], wait)
	}
	delete(s.earliest, id)
	switch a.Task.Kind {
	case Planning:
		for _, run := range s.live {
			if run.outdated || run.gone {
				s.fail("planning starts before %s has ended", run.Task.ID)
			}
		}
		s.found, s.complete, s.from, s.parting = map[string]Task{}, false, s.look(), false
		return
	case Resync:
		if a.Generation != s.state.table(a.Task.Table).Generation || a.Generation == 0 {
			s.fail("generation %d of table %s", a.Generation, a.Task.Table)
		}
	default:
		if plan := s.live[PlanID]; s.found[id] != a.Task || plan != nil && plan.cancelled > 0 {
			s.fail("%s starts and was not found", id)
		}
		if s.state.task("(resync) "+a.Task.Table) != nil {
			s.fail("%s starts before its table is made ready to be read again", id)
		}
	}
	for _, table := range carries(a.Task) {
		if s.tables[table] {
			s.fail("%s starts with table %s, which is paused", id, table)
		}
	}
	s.checkCopies(a.Task)
	s.checkShared(a.Task)
}

func (s *simulation) checkCopies(t Task) {
	if !t.AfterCopies {
		return
	}
	if !s.complete {
		s.fail("%s starts before everything is found", t.ID)
	}
	for _, c := range s.found {
		if c.Kind == Copy && !s.done[c] && shared(c.Sinks, t.Sinks) && (c.Table == t.Table || t.Table == "" && !s.from.apart[c.Table]) {
			s.fail("%s starts before copy %s", t.ID, c.ID)
		}
	}
}

// shared reports whether two tasks have a sink in common.
func shared(a, b string) bool {
	return a == "" || b == "" || slices.ContainsFunc(strings.Fields(a), func(n string) bool { return slices.Contains(strings.Fields(b), n) })
}

func (s *simulation) checkShared(t Task) {
	for _, other := range s.live {
		o := other.Task
		if o.Kind == Planning || o.ID == t.ID {
			continue
		}
		all := func(t Task) bool { return t.Kind == Stream && t.Table == "" }
		if (other.outdated || other.gone) && (o.Table == t.Table || all(o) || all(t)) {
			s.fail("%s starts before %s has ended", t.ID, o.ID)
		}
		for _, table := range carries(o) {
			if slices.Contains(carries(t), table) && shared(o.Sinks, t.Sinks) || t.Kind == Resync && t.Table == table {
				s.fail("%s starts while %s carries %s", t.ID, o.ID, table)
			}
		}
	}
}

func (s *simulation) checkRoom() {
	copies := 0
	for _, run := range s.live {
		copies += count(run.Task.Kind == Copy)
	}
	if copies > max(1, s.parallel) {
		s.fail("%d copies live, allowed are %d", copies, s.parallel)
	}
}

func (s *simulation) checkCancel(a Action) {
	run := s.live[a.Task.ID]
	if run == nil || run.Attempt != a.Attempt {
		s.fail("%s %d is cancelled and does not live", a.Task.ID, a.Attempt)
		return
	}
	if run.cancelled++; run.cancelled > 1 {
		s.fail("%s is cancelled twice", a.Task.ID)
	}
	if !s.unwanted(run.Task) && !run.outdated && !run.gone && run.Task.Kind != Planning {
		s.fail("%s is cancelled without a reason", a.Task.ID)
	}
}

func (s *simulation) checkAlarm(a Action) {
	name := Alarm{Kind: a.Alarm.Kind, On: a.Alarm.On}
	if raise := a.Kind == RaiseAlarm; s.alarms[name] == raise {
		s.fail("alarm %v raised or resolved twice", name)
	} else {
		s.alarms[name] = raise
	}
}

func (s *simulation) checkFinish(a Action) {
	if s.finishes++; s.finishes > 1 || len(s.live) > 0 {
		s.fail("ended %d times, %d live", s.finishes, len(s.live))
	}
	if (a.Failure != nil) != s.failing {
		s.fail("ended with %v", a.Failure)
	}
	if s.failing || s.stopped {
		return
	}
	for _, t := range s.found {
		if !s.done[t] {
			s.fail("ended before %s was done", t.ID)
		}
	}
	if now := s.look(); !s.complete || s.parting || !reflect.DeepEqual(s.from, now) {
		s.fail("ended before everything was found: planned for %v, it is %v", s.from, now)
	}
}

// checkState checks what a step may make of a state.
func (s *simulation) checkState(before, next State) {
	for _, t := range before.Tasks {
		now := next.task(t.ID)
		if now == nil {
			delete(s.tasks, t.ID)
			continue
		}
		s.seen.note("task", now.Status)
		if t.Status == Finished && t.Kind != Planning && now.Task == t.Task && now.Status != Finished {
			s.fail("%s was finished and is %v", t.ID, now.Status)
		}
	}
	for _, t := range next.Tasks {
		_, found := s.found[t.ID]
		if s.complete && !found && s.live[t.ID] == nil && t.Kind != Planning && t.Kind != Resync {
			s.fail("%s is kept and nobody asks for it", t.ID)
		}
	}
	if seen := map[string]bool{}; len(next.Tables) > s.made {
		s.fail("%d tables of %d", len(next.Tables), s.made)
	} else {
		for _, t := range next.Tasks {
			if seen[t.ID] {
				s.fail("%s is there twice", t.ID)
			}
			seen[t.ID] = true
		}
	}
	s.seen.note("job", next.Status)
	if s.IntN(64) == 0 || s.rewrites {
		s.roundTrip()
	}
}

// checkLife checks what must hold once the actions are carried out.
func (s *simulation) checkLife(next State) {
	for id, run := range s.live {
		if run.cancelled == 0 && (s.unwanted(run.Task) || run.outdated || run.gone) {
			s.fail("%s lives and should not", id)
		}
	}
	stuck := !next.Ended && !s.stopped && !s.paused && len(s.live) == 0 && s.wake.IsZero()
	for _, t := range next.Tasks {
		stuck = stuck && t.Status != Failed && t.Status != Paused
		if failed := t.Status == Failed; s.alarms[Alarm{Kind: AlarmTask, On: t.ID}] != failed {
			s.fail("%s is %v and its alarm does not say so", t.ID, t.Status)
		} else if failed && (s.borne[t.ID] || t.Kind != Planning && s.fails[t.ID] < MaxFruitless) {
			s.fail("%s gave up after %d failures that count", t.ID, s.fails[t.ID])
		}
		s.checkIdle(t)
	}
	if stuck {
		s.fail("stuck: %s", describe(next))
	}
	if failed := slices.ContainsFunc(next.Tasks, func(t TaskState) bool { return t.Status == Failed }); failed && len(s.live) == 0 && s.wake.IsZero() && !s.paused && !next.Ended && next.Status != Failed {
		s.fail("failed, and is %v", next.Status)
	}
	if paused := s.paused && !s.stopped && !s.failing && len(s.live) == 0 && !next.Ended; paused != (next.Status == Paused) && s.paused {
		s.fail("paused, and is %v", next.Status)
	}
	s.checkSinks(next)
}

// checkSinks checks how sinks stand, one at a time.
func (s *simulation) checkSinks(next State) {
	name := [...]string{"a", "b"}[s.IntN(2)]
	caused, lives, alone := false, false, true
	for _, t := range next.Tasks {
		if t.Sinks != "" && !slices.Contains(strings.Fields(t.Sinks), name) {
			continue
		}
		failed := t.Status == Failed || t.Status == Retrying
		caused = caused || failed && s.blamed[t.ID] == name
		lives = lives || s.live[t.ID] != nil
		alone = alone && (failed || t.Status == Finished || t.Status == Unassigned)
	}
	got := next.SinkStanding(name)
	s.seen.note("sink", got.Status)
	switch failed := got.Status == Failed || got.Status == Retrying; {
	case failed && !caused, (got.Failure != nil) != caused, caused && got.Failure.Sink != name:
		s.fail("sink %s is %v by %+v, caused something: %v: %s", name, got.Status, got.Failure, caused, describe(next))
	case caused && alone && !failed:
		s.fail("sink %s is %v, though it failed: %s", name, got.Status, describe(next))
	case lives != (got.Status == Running || got.Status == Preparing || got.Status == Stopping):
		s.fail("sink %s is %v, something lives: %v: %s", name, got.Status, lives, describe(next))
	}
}

// checkIdle: nothing waits that could run, or without being woken.
func (s *simulation) checkIdle(t TaskState) {
	if s.state.Ended || !s.free(t) {
		return
	}
	switch {
	case t.Status == Unassigned:
		s.fail("%s waits for nothing: %s", t.ID, describe(s.state))
	case t.Status == Retrying && (s.wake.IsZero() || s.wake.After(t.NotBefore)):
		s.fail("%s may be tried again at %v, the wake-up is at %v", t.ID, t.NotBefore, s.wake)
	}
}

// free reports whether nothing but its own back-off keeps a task from running.
func (s *simulation) free(t TaskState) bool {
	if t.Kind == Planning {
		for _, run := range s.live {
			if run.Task.Kind != Planning && (run.outdated || run.gone) {
				return false
			}
		}
		return !s.unwanted(t.Task)
	}
	if !s.complete || s.unwanted(t.Task) || s.state.plan().Status != Finished || s.found[t.ID] != t.Task || s.state.task("(resync) "+t.Table) != nil {
		return false
	}
	copies := 0
	for _, run := range s.live {
		if run.outdated || run.gone {
			return false
		}
		copies += count(run.Task.Kind == Copy)
	}
	if t.Kind == Copy {
		return copies < max(1, s.parallel)
	}
	for _, c := range s.state.Tasks {
		if c.Kind == Copy && c.Status != Finished && shared(c.Sinks, t.Sinks) && (c.Table == t.Table || t.Table == "" && !s.from.apart[c.Table]) {
			return false
		}
	}
	return true
}

// checkPure steps once more and looks at what was given.
func (s *simulation) checkPure(before State, e Event, next State) {
	if s.IntN(64) > 0 {
		return
	}
	given := written(before)
	again, _ := s.step(before, e)
	if written(again) != written(next) {
		s.fail("Step gives another state the second time")
	}
	if written(before) != given {
		s.fail("Step changed the state it was given")
	}
}

// roundTrip goes on with the state as it is read after it was written.
func (s *simulation) roundTrip() {
	text := written(s.state)
	var read State
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		s.fail("a state cannot be read: %v", err)
		return
	}
	if written(read) != text || len(text) > 32<<10 {
		s.fail("written\n%s\nread\n%s", text, written(read))
	}
	s.state = read
}

func written(s State) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func same(a, b State) bool { return reflect.DeepEqual(a, b) }

func describe(s State) string {
	out := fmt.Sprintf("%s, desired %s, wake %v", s.Status, s.Desired, s.Wake)
	for _, t := range s.Tasks {
		out += fmt.Sprintf("\n  %s %v %d plan %d outdated %v gone %v %s", t.ID, t.Status, t.Attempt, t.Plan, t.Outdated, t.Gone, t.Reason)
	}
	return out
}

// coverage counts what a simulation has come by.
type coverage struct{ times map[string]int }

func (c *coverage) note(what ...any) {
	if c.times == nil {
		c.times = map[string]int{}
	}
	c.times[fmt.Sprint(what...)]++
}

// check fails where the simulation never came by something it is to show.
func (c *coverage) check(t *testing.T) {
	want := []string{"died", "died before it acted", "late or twice", "healed too soon", "endedfinished", "endedfailed", "endedstopped"}
	for k := TaskStarted; k <= Planned; k++ {
		want = append(want, fmt.Sprint("event", k))
	}
	for k := PauseAsked; k <= EditAsked; k++ {
		want = append(want, fmt.Sprint("command", k))
	}
	for k := StartTask; k <= Finish; k++ {
		want = append(want, fmt.Sprint("action", k))
	}
	for k := Unassigned; k <= Finished; k++ {
		want = append(want, fmt.Sprint("task", k), fmt.Sprint("sink", k))
		if k != Unassigned {
			want = append(want, fmt.Sprint("job", k))
		}
	}
	for _, w := range want {
		if c.times[w] == 0 {
			t.Errorf("never: %s", w)
		}
	}
	t.Logf("%v", c.times)
}
