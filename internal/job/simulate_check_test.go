package job

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
)

// model is what must be so, worked out from what happened and not from the state.
type model struct {
	spec            uint64
	parallel        int
	stopped, paused bool
	failing         bool            // a task gave up, and that ends the job
	tables          map[string]bool // paused
	tasks           map[string]bool // paused
	most            map[string]uint64
	found           map[string]Task // by the planning that began last
	complete        bool            // it has found everything
	from            view            // it was made from
	done            map[Task]bool
	fails           map[string]int // fruitless, in a row, and nobody asked for another try
	earliest        map[string]time.Time
	finishes        int
}

func newModel() model {
	return model{tables: map[string]bool{}, tasks: map[string]bool{}, most: map[string]uint64{}, found: map[string]Task{},
		done: map[Task]bool{}, fails: map[string]int{}, earliest: map[string]time.Time{}}
}

func (s *simulation) fail(format string, args ...any) {
	if s.breach == "" {
		s.breach = fmt.Sprintf(format, args...)
	}
}

func (s *simulation) unwait() { s.earliest = map[string]time.Time{} }

// accept takes an event into the model; false: it is an answer of an attempt that
// does not live.
func (s *simulation) accept(e Event) bool {
	if e.Kind > Planned {
		s.obey(e)
		return true
	}
	run := s.live[e.ID]
	if run == nil || run.Attempt != e.Attempt {
		return false
	}
	s.seen.note("event", e.Kind)
	planning := run.Task.Kind == Planning && !s.state.Tasks[0].Outdated
	switch e.Kind {
	case CaughtUp:
		s.replans()
	case TaskProgressed:
		s.fails[e.ID] = 0
	case TaskFound, Planned:
		if planning {
			s.learn(e.Tasks)
		}
	}
	if e.Kind == Planned || e.Kind >= TaskFinished && e.Kind <= WorkerLost {
		delete(s.live, e.ID)
		s.over(run, e, planning)
	}
	return true
}

// replans lets a plan that failed begin again.
func (s *simulation) replans() {
	s.fails[PlanID] = 0
	delete(s.earliest, PlanID)
}

// learn takes up what planning found.
func (s *simulation) learn(tasks []Task) {
	for _, t := range tasks {
		s.found[t.ID] = t
		if run := s.live[t.ID]; run != nil && (run.Task != t || run.gone) {
			run.outdated, run.gone = true, false
		}
		if known := s.state.task(t.ID); known == nil || known.Task != t || known.Gone {
			s.fails[t.ID] = 0
			delete(s.earliest, t.ID)
		}
	}
}

// over takes into the model how an attempt ended.
func (s *simulation) over(run *attempt, e Event, planning bool) {
	id := run.Task.ID
	switch {
	case run.outdated || run.gone || run.Task.Kind == Planning && !planning:
	case e.Kind == TaskFinished || e.Kind == Planned:
		s.fails[id] = 0
		if run.Task.Kind == Resync {
			s.replans()
		}
		if s.done[run.Task] = true; planning {
			s.complete = true
			for id, run := range s.live {
				_, known := s.found[id]
				run.gone = run.gone || !known && run.Task.Kind != Resync && run.Task.Kind != Planning
			}
		}
	case run.cancelled > 0 && e.Kind != TaskFailed:
	default:
		s.failed(run, e)
	}
}

func (s *simulation) failed(run *attempt, e Event) {
	id := run.Task.ID
	retry := e.Failure == nil || e.Failure.Class == fault.Retry
	if retry && run.cancelled > 0 {
		return
	}
	s.fails[id]++
	if e.Progressed {
		s.fails[id] = 1
	}
	if !retry {
		s.fails[id] = MaxFruitless
	}
	s.earliest[id] = s.now.Add(time.Second)
	if s.fails[id] >= MaxFruitless || run.Task.Kind == Planning {
		s.failing = s.failing || s.state.EndOnFailure
	}
}

// obey takes a command into the model.
func (s *simulation) obey(e Event) {
	if s.stopped || e.Kind == Tick {
		return
	}
	s.seen.note("command", e.Kind)
	switch e.Kind {
	case PauseAsked, ResumeAsked:
		s.unwait()
		s.pauses(e, e.Kind == PauseAsked)
	case RetryAsked:
		s.again(func(t Task) bool {
			return e.whole() || t.Table != "" && slices.Contains(e.Tables, t.Table) || slices.Contains(e.Only, t.ID)
		})
	case StopAsked:
		s.stopped = true
	case ResyncAsked:
		s.resyncs(e.Tables[0])
	case EditAsked:
		if e.Spec > s.spec {
			s.edited(e)
		}
	}
}

func (s *simulation) pauses(e Event, on bool) {
	if e.whole() {
		s.paused = on
	}
	for _, t := range e.Tables {
		s.tables[t] = on
		s.replans()
	}
	for _, id := range e.Only {
		s.tasks[id] = on
	}
}

func (s *simulation) again(which func(Task) bool) {
	s.unwait()
	for _, t := range s.state.Tasks {
		if (t.Status == Failed || t.Status == Retrying) && which(t.Task) {
			s.fails[t.ID] = 0
		}
	}
}

func (s *simulation) resyncs(table string) {
	id := "(resync) " + table
	s.again(func(t Task) bool { return t.ID == id || t.Kind == Planning })
	if s.state.task(id) != nil {
		return
	}
	for _, run := range s.live {
		run.gone = run.gone || run.Task.Table == table
	}
	for t := range s.done {
		if t.Table == table {
			delete(s.done, t)
		}
	}
}

func (s *simulation) edited(e Event) {
	s.spec = e.Spec
	if e.Parallel > 0 {
		s.parallel = e.Parallel
	}
	if e.Changed[0].Consequence == TakenOver {
		return
	}
	s.again(func(Task) bool { return true })
	for _, run := range s.live {
		run.outdated = run.outdated || e.Changed[0].Consequence == Restarts
	}
}

// unwanted reports whether a task must not run.
func (s *simulation) unwanted(t Task) bool {
	return s.stopped || s.paused || s.failing || s.tables[t.Table] || s.tasks[t.ID]
}

// carries returns the tables of a stream.
func carries(t Task) []string {
	switch {
	case t.Kind != Stream:
		return nil
	case t.Table != "":
		return []string{t.Table}
	}
	return strings.Fields(t.Revision)[1:]
}

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
		s.found, s.complete, s.from = map[string]Task{}, false, s.look()
		return
	case Resync:
		if a.Generation != s.state.table(a.Task.Table).Generation || a.Generation == 0 {
			s.fail("generation %d of table %s", a.Generation, a.Task.Table)
		}
	default:
		if s.found[id] != a.Task {
			s.fail("%s starts and was not found", id)
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
		if c.Kind == Copy && !s.done[c] && (c.Table == t.Table || t.Table == "" && !s.from.apart[c.Table]) {
			s.fail("%s starts before copy %s", t.ID, c.ID)
		}
	}
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
			if slices.Contains(carries(t), table) || t.Kind == Resync && t.Table == table {
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
	if !s.complete {
		s.fail("ended before everything was found")
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
	if s.IntN(64) == 0 {
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
		if failed := t.Status == Failed; s.alarms[Alarm{Kind: AlarmTask, On: t.ID}] != failed && !t.Gone {
			s.fail("%s is %v and its alarm does not say so", t.ID, t.Status)
		}
		if t.Status == Unassigned && !next.Ended {
			s.checkIdle(t)
		}
	}
	if stuck {
		s.fail("stuck: %s", describe(next))
	}
	if paused := s.paused && !s.stopped && !s.failing && len(s.live) == 0 && !next.Ended; paused != (next.Status == Paused) && s.paused {
		s.fail("paused, and is %v", next.Status)
	}
}

// checkIdle: no copy waits while there is room for it.
func (s *simulation) checkIdle(t TaskState) {
	if t.Kind != Copy || !s.complete || s.unwanted(t.Task) || s.state.task("(resync) "+t.Table) != nil || s.found[t.ID] != t.Task {
		return
	}
	copies := 0
	for _, run := range s.live {
		copies += count(run.Task.Kind == Copy)
		if run.outdated || run.gone || run.Task.Kind == Planning {
			return
		}
	}
	if plan := s.state.plan(); plan.Status == Finished && copies < max(1, s.parallel) {
		s.fail("%s waits though %d of %d copies live: %s", t.ID, copies, s.parallel, describe(s.state))
	}
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
	want := []string{"died", "died before it acted", "late or twice", "endedfinished", "endedfailed", "endedstopped"}
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
		want = append(want, fmt.Sprint("task", k))
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
