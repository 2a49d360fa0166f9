package job

import (
	"slices"
	"time"
)

// commanded does what somebody asked for. A job that is to stop takes no more
// commands.
func (s *State) commanded(e Event) bool {
	if s.Desired == WantStopped {
		return false
	}
	wish := Wish{By: cut(e.By), Why: cut(e.Why), Since: e.Now}
	switch e.Kind {
	case PauseAsked:
		s.pause(e, wish)
	case ResumeAsked:
		s.resume(e, wish)
	case RetryAsked:
		s.retry(meant(e), e.Now)
	case ResyncAsked:
		for _, name := range e.Tables {
			s.resync(name, e.Now)
		}
	case StopAsked:
		s.Desired, s.Wish = WantStopped, wish
	case EditAsked:
		return s.edit(e)
	default:
		return false
	}
	return true
}

func (e Event) whole() bool { return len(e.Tables)+len(e.Only) == 0 }

// meant reports which tasks a command is for.
func meant(e Event) func(*TaskState) bool {
	return func(t *TaskState) bool {
		return e.whole() || t.Table != "" && slices.Contains(e.Tables, t.Table) || slices.Contains(e.Only, t.ID)
	}
}

// pause keeps the first wish of several.
func (s *State) pause(e Event, w Wish) {
	if e.whole() && s.Desired == WantRunning {
		s.Desired, s.Wish = WantPaused, w
	}
	for _, name := range e.Tables {
		if name == "" {
			continue
		}
		t := s.ensureTable(name, e.Now)
		if t.Paused == nil {
			t.Paused = &w
		}
		if t.Apart == Together {
			s.setApart(t, ApartPaused, e.Now)
		}
	}
	for i := range s.Tasks {
		if t := &s.Tasks[i]; slices.Contains(e.Only, t.ID) && t.Paused == nil {
			t.Paused = &w
		}
	}
}

// resume takes back a pause. A table stays apart until it has caught up.
func (s *State) resume(e Event, w Wish) {
	if e.whole() && s.Desired == WantPaused {
		s.Desired, s.Wish = WantRunning, w
	}
	for _, name := range e.Tables {
		if t := s.table(name); t != nil {
			t.Paused = nil
		}
	}
	for i := range s.Tasks {
		if t := &s.Tasks[i]; slices.Contains(e.Only, t.ID) {
			t.Paused = nil
		}
	}
}

// retry lets tasks that failed begin again at once.
func (s *State) retry(which func(*TaskState) bool, now time.Time) {
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if (t.Status == Failed || t.Status == Retrying) && which(t) {
			t.afresh()
			t.Refused = 0
			t.become(Unassigned, now, "tried again because somebody asked")
		}
	}
}

// edit carries out a newer version of the job file.
func (s *State) edit(e Event) bool {
	if e.Spec <= s.Spec {
		return false
	}
	s.Spec = e.Spec
	if e.Parallel > 0 {
		s.Parallel = e.Parallel
	}
	for _, c := range e.Changed {
		switch c.Consequence {
		case Restarts:
			s.restart(e.Now)
		case Replans:
			s.retry(meant(Event{}), e.Now)
			s.replan(e.Now, c.Field+" was edited")
		case Resyncs:
			for _, name := range c.Tables {
				s.resync(name, e.Now)
			}
		}
	}
	return true
}

// restart makes every task that runs start anew, and gives those that failed
// another chance: the edit may be what mends them. What has finished stays so.
func (s *State) restart(now time.Time) {
	for i := range s.Tasks {
		if t := &s.Tasks[i]; t.live() {
			t.Outdated = true
		}
	}
	s.retry(meant(Event{}), now)
}
