package job

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
)

// A simulation of a job's life under a model engine: workers that answer late,
// twice or never, that are lost and go on all the same; an engine that dies at any
// moment and begins again from the state it kept; people who ask for anything at
// any time; a world in which tables come and go. What must hold after each step
// (simulate_check_test.go checks it, from what the model of simulate_model_test.go has seen):
//
//  1. At most one attempt of a task lives, unless its worker was lost or the engine died.
//  2. Attempts of a task rise, for as long as the job lives.
//  3. Never more than Parallel copies live.
//  4. AfterCopies tasks start when everything has been found and every copy that they wait for has finished.
//  5. What is paused, or to be stopped, does not start, and what of it lives is cancelled: once, and nothing else is.
//  6. While the job is to run, nothing has failed and nothing is paused, something lives or a wake-up is set. No copy waits while there is room for it.
//  7. What has finished stays so.
//  8. A job ends once, when nothing lives; it is finished only when everything has been done. After that it does nothing.
//  9. A state is the same after it was written and read.
//  10. A state does not grow: it has what is planned, what still lives and what somebody asked for.
//  11. An answer of an attempt that does not live changes nothing.
//  12. Step changes nothing that it is given, and gives the same again.
//  13. A task is not tried again before its back-off is over, and no more than MaxFruitless times, unless somebody asks. Where the job does not end on failure, what may pass and no sink caused does not count.
//  14. Each failed task has an alarm; alarms are raised once and resolved when they no longer hold.
//  15. What starts is told the version of the job file that is carried out.
//  16. Two streams never carry one table for one sink, and nothing starts on a table that is still held by what is to end.
//  17. When a table leaves the others or joins them, what carries it ends, and planning starts only when it has.
//  18. A sink has failed only by a failure that it caused, and one that caused it has no other way to stand while nothing else carries it. It runs while something that carries it does.
//  19. A table that a copy makes whole is read again, and again only after its pause.
//  20. Whatever happened before: when all goes well again and everything is resumed and retried, the job ends and everything is done.

// machine is Step and Resume, or a defect of them.
type machine struct {
	step   func(State, Event) (State, []Action)
	resume func(State, time.Time) (State, []Action)
}

// attempt is a task that a worker has.
type attempt struct {
	Action
	cancelled int
	ended     bool // at the worker: it says no more
	outdated  bool // whatever it has done must be done again
	gone      bool // nobody asks for it
	view      view // what was planned for: of a Planning attempt the state it started from
	mail      []Event
}

// view is what a plan is made from.
type view struct{ apart, resyncing map[string]bool }

// simulation is one job, its engine and the world.
type simulation struct {
	machine
	*rand.Rand
	seen   *coverage
	now    time.Time
	state  State
	breach string // the first; empty: none

	// what the engine knows
	live   map[string]*attempt // by task
	wake   time.Time
	alarms map[Alarm]bool // without What

	// what is under way or can still come
	zombies []*attempt
	echoes  []Event

	world
	model
	rewrites bool // the state is written and read after every step, not only at times
	calm     bool // nothing goes wrong any more
}

// world is what there is to do.
type world struct {
	files       bool // a file job: no tables, no streams
	cursed      bool // nothing ever comes of a copy
	alone       bool // people seldom ask for anything
	names       []string
	revision    map[string]int // of a table's copies
	copies      map[string]int
	generations map[string]uint64
	settled     map[Task]bool // done in the sinks
	streamRev   int
	made        int // tables made so far
	hidden      map[string]bool
	clings      map[string]bool // tables that planning keeps apart, whatever is wanted
	parted      bool            // sinks have streams of their own
}

func newSimulation(m machine, seed uint64, seen *coverage) *simulation {
	s := &simulation{machine: m, Rand: rand.New(rand.NewPCG(seed, 13)), now: time.Unix(1e9, 0), seen: seen, rewrites: seed%40 == 7}
	s.begin(seed)
	return s
}

// begin begins a job in a new world.
func (s *simulation) begin(seed uint64) {
	s.world = world{hidden: map[string]bool{}, clings: map[string]bool{}, files: seed%7 == 3, cursed: seed%5 == 2, alone: seed%3 == 2, revision: map[string]int{}, copies: map[string]int{}, generations: map[string]uint64{}, settled: map[Task]bool{}}
	for range 1 + s.IntN(4) {
		s.addTable()
	}
	s.model = newModel()
	s.live, s.zombies, s.echoes = map[string]*attempt{}, nil, nil
	o := Options{Parallel: s.IntN(5), EndOnFailure: seed%2 == 1}
	s.state = New(o, 1, s.now)
	s.spec, s.parallel = 1, o.Parallel
	s.restart()
}

func (s *simulation) addTable() {
	s.made++
	name := fmt.Sprint("t", s.made)
	s.names = append(s.names, name)
	s.copies[name] = s.IntN(5)
}

// restart is an engine that begins, for the first time or again.
func (s *simulation) restart() {
	for _, id := range s.ids() {
		s.zombies = append(s.zombies, s.live[id])
	}
	s.live, s.wake, s.alarms = map[string]*attempt{}, time.Time{}, map[Alarm]bool{}
	s.found, s.complete = map[string]Task{}, false
	s.roundTrip()
	before := s.state
	next, actions := s.resume(before, s.now)
	s.follow(before, Event{}, next, actions)
}

// ids are the tasks that live, in order: a map has none, and seeds must repeat.
func (s *simulation) ids() []string {
	var out []string
	for id := range s.live {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// send gives Step an event, unless the engine dies just before.
func (s *simulation) send(e Event) {
	e.Now = s.now
	before := s.state
	lives := s.accept(e)
	next, actions := s.step(before, e)
	s.checkPure(before, e, next)
	if answer := e.Kind <= Planned; answer && !lives && (len(actions) > 0 || !same(before, next)) {
		s.fail("an answer that came late, or twice, had an effect: %+v", e)
	}
	s.follow(before, e, next, actions)
}

// follow keeps the state and carries out the actions, or dies before it has.
func (s *simulation) follow(before State, e Event, next State, actions []Action) {
	s.state = next
	s.checkState(before, next)
	s.regroup()
	if !s.calm && s.IntN(400) == 0 && e.Kind != 0 && !next.Ended {
		s.seen.note("died before it acted")
		s.restart()
		return
	}
	for _, a := range actions {
		s.seen.note("action", a.Kind)
		s.act(a)
	}
	s.checkLife(next)
}

func (s *simulation) act(a Action) {
	switch a.Kind {
	case StartTask:
		s.checkStart(a)
		run := &attempt{Action: a, view: s.from}
		if s.live[a.Task.ID] = run; a.Task.Kind == Copy {
			s.checkRoom()
		}
	case CancelTask:
		s.checkCancel(a)
	case WakeAt:
		s.wake = a.At
		if d := a.At.Sub(s.now); d <= 0 || d > maxBackoff {
			s.fail("a wake-up in %v", d)
		}
	case RaiseAlarm, ResolveAlarm:
		s.checkAlarm(a)
	case Finish:
		s.checkFinish(a)
	}
}

func (s *simulation) look() view {
	v := view{map[string]bool{}, map[string]bool{}}
	for _, t := range s.state.Tables {
		if t.Apart != Together {
			v.apart[t.Name] = true
		}
		s.generations[t.Name] = t.Generation
	}
	for _, t := range s.state.Tasks {
		if t.Kind == Resync {
			v.resyncing[t.Table] = true
		}
	}
	return v
}

// plan is what a planner finds.
func (s *simulation) plan(v view) (out []Task) {
	var together []string
	for _, name := range s.names {
		if s.hidden[name] || v.resyncing[name] && s.streamRev%2 == 0 { // other planners give what must wait
			continue
		}
		own := name
		if s.files {
			own = ""
		}
		for i := range s.copies[name] {
			t := Task{ID: fmt.Sprintf("%s.%d.%d", name, s.generations[name], i), Kind: Copy, Table: own, Revision: fmt.Sprint(s.revision[name]), Sinks: [...]string{"", "a", "b a", "b"}[(i+len(s.names))%4]}
			if !s.settled[t] || i%2 == 0 { // some planners tell what is done already, others do not
				out = append(out, t)
			}
		}
		if v.apart[name] || s.clings[name] {
			out = append(out, Task{ID: "stream " + name, Kind: Stream, Table: name, AfterCopies: true})
		} else {
			together = append(together, name)
		}
	}
	if s.files {
		return slices.DeleteFunc(out, func(t Task) bool { return t.Kind == Stream })
	}
	all := Task{ID: "stream", Kind: Stream, AfterCopies: true, Revision: fmt.Sprintf("%d %s", s.streamRev, strings.Join(together, " "))}
	if s.parted {
		own := all
		all.Sinks, own.Sinks, own.ID = "a", "b", "stream of b"
		return append(out, all, own)
	}
	return append(out, all)
}

// turn lets one thing happen.
func (s *simulation) turn() {
	switch n := s.IntN(1000); {
	case n < 500:
		s.work()
	case n < 820:
		s.deliver()
	case n < 920:
		s.pass()
	case n < 923 && len(s.live) > 0:
		s.lose()
	case n < 924:
		s.seen.note("died")
		s.restart()
	case n < 930:
		s.change()
	case n < 970 && len(s.echoes) > 0:
		i := s.IntN(len(s.echoes))
		s.seen.note("late or twice")
		s.send(s.echoes[i])
		s.echoes = slices.Delete(s.echoes, i, i+1)
	case n >= 970 && (!s.alone || s.IntN(50) == 0):
		s.command()
	}
}

// pass lets time pass, and wakes the engine when it is due, and sometimes when it
// is not.
func (s *simulation) pass() {
	s.now = s.now.Add(time.Duration(s.IntN(s.IntN(10_000)+1)) * time.Millisecond) // most of it within a short pause
	if !s.calm && s.IntN(500) == 0 {
		s.now = s.now.Add(-time.Hour)
		s.unwait()
	}
	if due := !s.wake.IsZero() && !s.now.Before(s.wake); due || s.IntN(20) == 0 {
		s.wake = time.Time{}
		s.send(Event{Kind: Tick})
	}
}

// lose makes the engine give up on a worker, who knows nothing of it.
func (s *simulation) lose() {
	ids := s.ids()
	run := s.live[ids[s.IntN(len(ids))]]
	s.zombies = append(s.zombies, run)
	s.send(Event{Kind: WorkerLost, ID: run.Task.ID, Attempt: run.Attempt})
}

// change changes the world.
func (s *simulation) change() {
	switch i := s.IntN(len(s.names) + 1); {
	case i == len(s.names):
		s.streamRev++
	case s.IntN(3) == 0:
		s.revision[s.names[i]]++
	case len(s.names) < 5 && s.IntN(2) == 0:
		s.addTable()
	case s.IntN(2) == 0:
		s.clings[s.names[i]] = !s.clings[s.names[i]]
	default:
		s.hidden[s.names[i]] = !s.hidden[s.names[i]]
	}
}

// work lets a worker do something, also one whom the engine has forgotten.
func (s *simulation) work() {
	if len(s.zombies) > 0 && s.IntN(4) == 0 {
		i := s.IntN(len(s.zombies))
		s.labour(s.zombies[i])
		s.echoes = append(s.echoes, s.zombies[i].mail...)
		if s.zombies[i].mail = nil; s.zombies[i].ended || len(s.zombies) > 20 {
			s.zombies = slices.Delete(s.zombies, i, i+1)
		}
		s.echoes = s.echoes[max(0, len(s.echoes)-50):]
		return
	}
	if ids := s.ids(); len(ids) > 0 {
		s.labour(s.live[ids[s.IntN(len(ids))]])
	}
}

func (s *simulation) labour(run *attempt) {
	if run.ended {
		return
	}
	say := func(e Event) {
		e.ID, e.Attempt, e.Worker = run.Task.ID, run.Attempt, "w"
		run.mail = append(run.mail, e)
		run.ended = e.Kind == TaskFinished || e.Kind == TaskStopped || e.Kind == TaskFailed || e.Kind == Planned
	}
	n := s.IntN(100)
	switch {
	case n < 30:
		say(Event{Kind: TaskStarted})
	case run.cancelled > 0 && (n < 90 || s.calm):
		say(Event{Kind: TaskStopped})
	case n < 40 && run.Task.Kind != Planning && !s.cursed:
		say(Event{Kind: TaskProgressed})
	case n < 45 && run.Task.Kind == Stream && run.Task.Table != "" && !s.calm:
		say(Event{Kind: Healable, Tables: []string{run.Task.Table}})
	case n < 50 && run.Task.Kind == Stream && run.Task.Table != "":
		say(Event{Kind: CaughtUp})
	case n == 50 && run.Task.Kind != Planning && !s.calm:
		s.parted = !s.parted
		say(Event{Kind: Regroup})
	case n < 54 && run.Task.Kind == Stream && !s.calm:
		say(Event{Kind: Healable, Tables: []string{s.names[s.IntN(1+s.IntN(len(s.names)))]}}) // some again and again
	case n < 60 && !s.calm:
		say(s.failure())
	case s.cursed && run.Task.Kind == Copy && !s.calm:
		say(Event{Kind: TaskFailed, Failure: [...]*Failure{busy, of("a", fault.TargetFailed)}[s.IntN(2)]})
	case run.Task.Kind == Planning:
		s.labourPlanning(run, say)
	case run.Task.Kind == Stream && n < 90 && !s.calm:
	default:
		s.settled[run.Task] = true
		say(Event{Kind: TaskFinished, Progressed: true})
	}
}

func (s *simulation) labourPlanning(run *attempt, say func(Event)) {
	tasks := s.plan(run.view)
	if s.IntN(2) == 0 {
		say(Event{Kind: Planned, Tasks: tasks})
		return
	}
	for _, t := range tasks {
		say(Event{Kind: TaskFound, Tasks: []Task{t}})
	}
	say(Event{Kind: TaskFinished})
}

func (s *simulation) failure() Event {
	e := Event{Kind: TaskFailed, Failure: busy, Progressed: s.IntN(3) == 0}
	switch s.IntN(40) {
	case 0:
		if s.state.EndOnFailure && s.IntN(4) > 0 {
			break // else few jobs would live long
		}
		e.Failure = fatal
	case 1:
		e.Failure = FailureOf(fault.New(fault.FencedOff, "another one"))
	case 2:
		e.Kind, e.Failure = TaskStopped, nil // though nobody asked
	}
	if e.Failure != nil {
		f := *e.Failure
		f.Sink = [...]string{"", "a", "b"}[s.IntN(3)]
		e.Failure = &f
	}
	return e
}

// deliver brings the engine the next word of a worker.
func (s *simulation) deliver() {
	ids := s.ids()
	if len(ids) == 0 {
		return
	}
	run := s.live[ids[s.IntN(len(ids))]]
	if len(run.mail) == 0 {
		return
	}
	e := run.mail[0]
	run.mail = run.mail[1:]
	if s.IntN(8) == 0 {
		s.echoes = append(s.echoes, e)
	}
	s.send(e)
}

// command lets somebody ask for something.
func (s *simulation) command() {
	kinds := []EventKind{PauseAsked, ResumeAsked, ResumeAsked, RetryAsked, RetryAsked, ResyncAsked, EditAsked}
	e := Event{Kind: kinds[s.IntN(len(kinds))], By: "ana", Why: "because"}
	if s.IntN(400) == 0 {
		e.Kind = StopAsked
	}
	switch s.IntN(4) {
	case 0:
		if s.paused {
			e.Kind = ResumeAsked
		}
	case 1:
		e.Tables = []string{s.names[s.IntN(len(s.names))]}
	default:
		e.Only = []string{s.state.Tasks[s.IntN(len(s.state.Tasks))].ID}
	}
	switch {
	case e.Kind == ResyncAsked && s.files:
		return
	case e.Kind == ResyncAsked:
		e.Tables, e.Only = []string{s.names[s.IntN(len(s.names))]}, nil
	case e.Kind == EditAsked:
		e.Tables, e.Only = nil, nil
		e.Spec, e.Parallel = s.spec-1+uint64(s.IntN(4)), s.IntN(5)
		what := []Consequence{TakenOver, Restarts, Replans}
		e.Changed = []Change{{Field: "f", Consequence: what[s.IntN(len(what))]}}
	}
	s.send(e)
}

// quieten takes back all that was asked for and lets the job come to its end.
func (s *simulation) quieten() {
	s.calm = true
	for turns := 0; !s.state.Ended && s.breach == ""; turns++ {
		if turns > 20000 {
			s.fail("no end, though all goes well again: %s", describe(s.state))
			return
		}
		if turns%1000 == 0 {
			s.release()
		}
		switch n := s.IntN(100); {
		case n < 45:
			s.work()
		case n < 90:
			s.deliver()
		case n < 99:
			s.pass()
		case turns < 2000:
			s.restart()
		}
	}
}

func (s *simulation) release() {
	all := Event{Kind: ResumeAsked}
	for _, t := range s.state.Tables {
		all.Tables = append(all.Tables, t.Name)
	}
	for _, t := range s.state.Tasks {
		all.Only = append(all.Only, t.ID)
	}
	s.send(Event{Kind: ResumeAsked})
	s.send(all)
	s.send(Event{Kind: RetryAsked})
}

// run lives through so many events; jobs that end are followed by others.
func (s *simulation) run(seed uint64, events int) {
	for n := 0; n < events && s.breach == ""; n++ {
		s.turn()
		if s.state.Ended {
			s.afterEnd()
			if s.breach != "" {
				return
			}
			seed++
			s.begin(seed)
		}
	}
	s.quieten()
	if s.breach == "" {
		s.afterEnd()
	}
}

// afterEnd asks a job that has ended for all kinds of things.
func (s *simulation) afterEnd() {
	s.seen.note("ended", s.state.Status)
	if s.finishes != 1 {
		s.fail("ended, and that was told %d times", s.finishes)
	}
	for _, kind := range []EventKind{TaskStarted, TaskFinished, TaskFailed, Planned, ResumeAsked, RetryAsked, StopAsked, Tick} {
		e := Event{Kind: kind, ID: PlanID, Attempt: s.state.Tasks[0].Attempt, Now: s.now.Add(time.Hour)}
		if next, actions := s.step(s.state, e); len(actions) > 0 || !same(next, s.state) {
			s.fail("a job that has ended acts: %+v", actions)
		}
	}
	if _, actions := s.resume(s.state, s.now); len(actions) != 1 || actions[0].Kind != Finish {
		s.fail("a job that has ended says at a new beginning: %+v", actions)
	}
}

// simulate returns the first breach of seed's life; empty: there was none.
func simulate(m machine, seed uint64, events int, seen *coverage) string {
	s := newSimulation(m, seed, seen)
	s.run(seed, events)
	return s.breach
}

func TestStep_when_simulated(t *testing.T) {
	seeds, events := uint64(100), 10_000
	if os.Getenv("GODWIT_SOAK") == "1" {
		seeds, events = 1000, 20_000
	}
	seen := &coverage{}
	for seed := range seeds {
		if breach := simulate(machine{Step, Resume}, seed, events, seen); breach != "" {
			t.Fatalf("seed %d: %s", seed, breach)
		}
	}
	seen.check(t)
}
