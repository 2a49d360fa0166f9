package job

import (
	"fmt"
	"slices"
	"strings"
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
	blamed          map[string]string // tasks: the sink that caused their last failure
	borne           map[string]bool   // tasks: their last failure never makes them give up
	finishes        int
	heals           map[string][]time.Time // when tables were read again by themselves, in a row
	parting         bool                   // sinks were to part or come together, and nothing was planned since
}

func newModel() model {
	return model{tables: map[string]bool{}, tasks: map[string]bool{}, most: map[string]uint64{}, found: map[string]Task{},
		done: map[Task]bool{}, fails: map[string]int{}, earliest: map[string]time.Time{}, blamed: map[string]string{}, borne: map[string]bool{}, heals: map[string][]time.Time{}}
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
	case CaughtUp, Regroup:
		s.parting = s.parting || e.Kind == Regroup
		s.replans()
	case Healable:
		s.healable(run, e.Tables[0])
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
		if t.Kind == Stream && t.Table != "" {
			s.from.apart[t.Table] = true
		}
		if run := s.live[t.ID]; run != nil && (run.Task != t || run.gone) {
			run.outdated, run.gone = true, false
		} else if run != nil {
			run.view = s.from
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
	if finished := e.Kind == TaskFinished || e.Kind == Planned; run.Task.Kind == Planning && !finished {
		s.found = map[string]Task{} // a plan counts as a whole
	}
	switch {
	case run.outdated || run.gone || run.Task.Kind == Planning && !planning:
	case e.Kind == TaskFinished || e.Kind == Planned:
		s.fails[id] = 0
		if run.Task.Kind == Resync || run.Task.Kind == Stream {
			s.replans()
		}
		if s.done[run.Task] = true; planning {
			s.complete = true
			s.lost()
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

// lost forgets of tables of which nothing was found that they stand apart.
func (s *simulation) lost() {
	own := map[string]bool{}
	for _, t := range s.found {
		own[t.Table] = own[t.Table] || t.Kind == Stream
	}
	for name := range s.from.apart {
		if !own[name] && !s.tables[name] && s.state.task("(resync) "+name) == nil {
			delete(s.from.apart, name)
		}
	}
}

// regroup notes which streams carry what they should not any more, as tables have left
// or joined.
func (s *simulation) regroup() {
	for _, run := range s.live {
		run.outdated = run.outdated || s.moved(run)
	}
}

// moved reports whether a table has left a stream or is to join it since that was
// planned.
func (s *simulation) moved(run *attempt) bool {
	if run.Task.Kind != Stream {
		return false
	}
	for _, name := range s.names {
		now := Together
		if t := s.state.table(name); t != nil {
			now = t.Apart
		}
		if was := run.view.apart[name]; (run.Task.Table == "" || run.Task.Table == name) && (was && now == Together || !was && (now == ApartPaused || now == ApartResyncs)) {
			return true
		}
	}
	return false
}

func (s *simulation) failed(run *attempt, e Event) {
	id := run.Task.ID
	retry := e.Failure == nil || e.Failure.Class == fault.Retry
	if retry && run.cancelled > 0 {
		return
	}
	s.blamed[id] = ""
	if e.Failure != nil {
		s.blamed[id] = e.Failure.Sink
	}
	if e.Progressed {
		s.fails[id] = 0
	}
	if s.borne[id] = retry && s.blamed[id] == "" && !s.state.EndOnFailure; !s.borne[id] {
		s.fails[id]++
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

// healable has a table read again that a copy makes whole, if its pause is over.
func (s *simulation) healable(run *attempt, table string) {
	at := s.heals[table]
	last := len(at) - 1
	pause := []int{5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600} // seconds
	if s.stopped || s.failing || run.outdated || run.gone || s.state.task("(resync) "+table) != nil {
		return
	}
	if last >= 0 {
		if since := s.now.Sub(at[last]); since >= 0 && since < time.Duration(pause[min(last, len(pause)-1)])*time.Second {
			s.seen.note("healed too soon")
			return
		} else if since > 24*time.Hour {
			at = nil
		}
	}
	if run.Task.Table == "" && s.state.apart(table) {
		s.replans() // if it has come to its end
		return
	}
	s.heals[table] = append(at, s.now)
	s.resyncs(table)
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
