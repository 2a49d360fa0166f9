package job

import "time"

// decide makes everything follow what is wanted, and says what is to be done for
// it.
func (s *State) decide(now time.Time) []Action {
	out := s.cancel(now)
	s.settle(now)
	if s.over() {
		s.Ended = true
		out = append(out, s.finish())
	} else if !s.ending() {
		out = append(out, s.start(now)...)
	}
	s.judge(now)
	return out
}

// ending reports whether everything is to end.
func (s *State) ending() bool { return s.Desired == WantStopped || s.Failure != nil }

func (s *State) finish() Action { return Action{Kind: Finish, Failure: s.Failure} }

// over reports whether nothing is left: all is done, or all that is to end has.
func (s *State) over() bool {
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.live() || t.Status != Finished && !s.ending() {
			return false
		}
	}
	return true
}

// cancel cancels what runs and should not.
func (s *State) cancel(now time.Time) (out []Action) {
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.Status != Preparing && t.Status != Running {
			continue
		}
		if why := s.unwanted(t); why != "" {
			t.become(Stopping, now, why)
			out = append(out, Action{Kind: CancelTask, Task: t.Task, Attempt: t.Attempt})
		}
	}
	return out
}

// unwanted says why a task should not run; empty: it may.
func (s *State) unwanted(t *TaskState) string {
	switch w := s.pausedBy(t); {
	case s.Failure != nil:
		return "the job ends: " + string(s.Failure.Code)
	case s.Desired == WantStopped:
		return s.Wish.text("stopped")
	case t.Gone:
		return "no longer asked for"
	case t.Outdated:
		return "starts anew"
	case w != nil:
		return w.text("paused")
	}
	return ""
}

// text says who asked for what was done.
func (w *Wish) text(done string) string {
	if w.By != "" {
		done += " by " + w.By
	}
	if w.Why != "" {
		done += ": " + w.Why
	}
	return done
}

// settle makes the tasks that do not run what is wanted of them, and drops those
// that nobody asks for.
func (s *State) settle(now time.Time) {
	kept := 0
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.Gone && !t.live() {
			s.Floor = max(s.Floor, t.Attempt)
			continue
		}
		if t.Status == Unassigned || t.Status == Retrying || t.Status == Paused {
			s.settleWaiting(t, now)
		}
		if kept < i {
			s.Tasks[kept] = *t
		}
		kept++
	}
	s.Tasks = s.Tasks[:kept]
}

func (s *State) settleWaiting(t *TaskState, now time.Time) {
	switch w := s.pausedBy(t); {
	case s.ending():
		t.become(Stopped, now, s.unwanted(t))
	case w != nil:
		t.become(Paused, now, w.text("paused"))
	case t.Status == Paused:
		t.become(Unassigned, now, "resumed")
	}
}

// start starts what may start, and asks to be woken for what must wait.
func (s *State) start(now time.Time) (out []Action) {
	var wake time.Time
	g := s.gates()
	for i := range s.Tasks {
		t := &s.Tasks[i]
		switch {
		case t.Status != Unassigned && t.Status != Retrying, !g.open(t):
			continue
		case t.due(now):
			t.Attempt++
			t.become(Preparing, now, "")
			g.copying += count(t.Kind == Copy)
			a := Action{Kind: StartTask, Task: t.Task, Attempt: t.Attempt, Spec: s.Spec, Discard: t.discards()}
			if t.Kind == Resync {
				a.Generation = s.table(t.Table).Generation
			}
			out = append(out, a)
		case wake.IsZero() || t.NotBefore.Before(wake):
			wake = t.NotBefore
		}
	}
	if !wake.IsZero() && !wake.Equal(s.Wake) {
		out = append(out, Action{Kind: WakeAt, At: wake})
	}
	s.Wake = wake
	return out
}

// due reports whether the back-off is over. A clock that was set back must not
// make it longer than it can be.
func (t *TaskState) due(now time.Time) bool {
	return !now.Before(t.NotBefore) || t.NotBefore.Sub(now) > maxBackoff
}

// gates are what tasks wait for besides their time.
type gates struct {
	s         *State
	copying   int          // copies that live
	leaving   []*TaskState // what lives and is to end
	resyncing []string     // tables whose Resync is not done
}

func (s *State) gates() *gates {
	g := &gates{s: s}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.live() {
			g.copying += count(t.Kind == Copy)
			if t.Outdated || t.Gone {
				g.leaving = append(g.leaving, t)
			}
		}
		if t.Kind == Resync {
			g.resyncing = append(g.resyncing, t.Table)
		}
	}
	return g
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// open reports whether nothing but its time keeps a task from starting.
func (g *gates) open(t *TaskState) bool {
	plan := g.s.plan()
	switch {
	case t.Kind == Planning:
		return len(g.leaving) == 0 // tables may leave or join while nothing runs that carries them
	case g.stillHeld(t):
		return false
	case t.Kind == Resync:
		return plan.Status == Finished // what carried the table is gone, so stillHeld
	case t.Plan != plan.Attempt || plan.Status != Running && plan.Status != Preparing && plan.Status != Finished:
		return false
	case t.Kind == Copy && g.copying >= max(1, g.s.Parallel):
		return false
	case t.AfterCopies && (plan.Status != Finished || g.copiesLeft(t)):
		return false
	}
	for _, table := range g.resyncing {
		if t.Table == table {
			return false
		}
	}
	return true
}

// stillHeld reports whether a table of t may be carried by a task that is to end:
// two tasks never write one table.
func (g *gates) stillHeld(t *TaskState) bool {
	for _, other := range g.leaving {
		if other.Kind != Planning && (other.Table == t.Table || other.carriesAll() || t.carriesAll()) {
			return true
		}
	}
	return false
}

// carriesAll reports whether t is the stream of all tables that do not stand
// apart.
func (t *TaskState) carriesAll() bool { return t.Kind == Stream && t.Table == "" }

// copiesLeft reports whether a copy that t waits for has not finished.
func (g *gates) copiesLeft(t *TaskState) bool {
	for i := range g.s.Tasks {
		c := &g.s.Tasks[i]
		if c.Kind == Copy && c.Status != Finished && c.sharesSink(t.Sinks) && (c.Table == t.Table || t.Table == "" && !g.s.apart(c.Table)) {
			return true
		}
	}
	return false
}
