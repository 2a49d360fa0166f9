package job

import "time"

// judge derives the job's status from those of its tasks.
func (s *State) judge(now time.Time) {
	status, reason := s.combined(func(*TaskState) bool { return true })
	if status == Retrying && s.Wake.IsZero() { // they wait for others, not for their time
		status, reason = s.combined(func(t *TaskState) bool { return t.Status != Retrying })
	}
	if status == Stopping { // to start anew, or never again, while the job goes on
		status = Preparing
	}
	switch {
	case s.Ended && s.Failure != nil:
		status, reason = Failed, string(s.Failure.Code)
	case s.Ended && s.Desired == WantStopped:
		status, reason = Stopped, s.Wish.text("stopped")
	case s.Ended:
		status, reason = Finished, ""
	case s.Failure != nil:
		status, reason = Stopping, string(s.Failure.Code)
	case s.Desired == WantStopped:
		status, reason = Stopping, s.Wish.text("stopped")
	case s.Desired == WantPaused:
		status, reason = Paused, s.Wish.text("paused")
		if s.anyLive() {
			status = Stopping
		}
	}
	if s.Status != status {
		s.Status, s.Since = status, now
	}
	s.Reason = cut(reason)
}

func (s *State) anyLive() bool {
	for i := range s.Tasks {
		if s.Tasks[i].live() {
			return true
		}
	}
	return false
}

// TableStatus tells how a table stands by the tasks that are for it alone, and
// why; Finished when there are none, or none any more.
func (s State) TableStatus(name string) (Status, string) {
	return s.combined(func(t *TaskState) bool { return t.Table == name })
}

// StreamStatus tells how the streams of all tables that do not stand apart stand, and why;
// Finished when there are none, or none any more.
func (s State) StreamStatus() (Status, string) {
	return s.combined(func(t *TaskState) bool { return t.Kind == Stream && t.Table == "" })
}

// lively has all statuses, the liveliest first.
var lively = []Status{Running, Preparing, Stopping, Retrying, Failed, Paused, Unassigned, Stopped, Finished}

// combined is the status of several tasks together: the liveliest counts, and
// failures of some do not hide that others go on.
func (s *State) combined(which func(*TaskState) bool) (Status, string) {
	var reasons [Finished + 1]string
	var seen [Finished + 1]bool
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if !which(t) {
			continue
		}
		status := t.Status
		if status == Running && t.Kind == Planning {
			status = Preparing
		}
		if !seen[status] {
			seen[status], reasons[status] = true, t.Reason
		}
	}
	for _, status := range lively {
		if seen[status] {
			return status, reasons[status]
		}
	}
	return Finished, ""
}
