package job

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Standing is where a sink stands, and why. Its JSON form is that of the API.
type Standing struct {
	Status Status    `json:"status"`
	Since  time.Time `json:"since"` // of the task that speaks for the sink
	Reason string    `json:"reason,omitempty"`
	// Attempt, Worker, Fruitless and NotBefore are of that task too.
	Attempt   uint64    `json:"attempt,omitempty"`
	Worker    string    `json:"worker,omitempty"`
	Fruitless int       `json:"fruitless,omitempty"`
	NotBefore time.Time `json:"next_retry_at,omitzero"`
	Failure   *Failure  `json:"error,omitempty"` // that the sink caused and that holds its tasks up
}

// SinkStanding tells how a sink stands by the tasks that carry it: the liveliest one
// speaks for it. A task that failed, but not because of the sink, is no failure of the
// sink: it waits for what is to blame.
func (s State) SinkStanding(name string) Standing {
	out := Standing{Since: s.Since}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if !t.carries(name) {
			continue
		}
		now := s.seenFrom(t, name)
		failure := out.Failure
		if now.Failure != nil && (failure == nil || now.Status == Failed) {
			failure = now.Failure
		}
		if now.speaksBefore(out) {
			out = now
		}
		out.Failure = failure
	}
	return out
}

// After is a standing that follows on another one of the same sink: it has stood so
// since then where the status is the same.
func (a Standing) After(before Standing) Standing {
	if a.Status == before.Status && before.Since.Before(a.Since) {
		a.Since = before.Since
	}
	return a
}

// Sinks are the names of the sinks of a job file that was kept, in order; of a file
// job there are none.
func (k Kept) Sinks() []string { return slices.Sorted(maps.Keys(sinkNames(k))) }

// carries reports whether a sink gets what the task moves.
func (t *Task) carries(sink string) bool {
	if t.Sinks == "" || t.Sinks == sink {
		return true
	}
	for name := range strings.SplitSeq(t.Sinks, " ") {
		if name == sink {
			return true
		}
	}
	return false
}

// sharesSink reports whether the task carries one of some sinks (Task.Sinks).
func (t *Task) sharesSink(sinks string) bool {
	if t.Sinks == "" || sinks == "" {
		return true
	}
	for name := range strings.SplitSeq(sinks, " ") {
		if t.carries(name) {
			return true
		}
	}
	return false
}

// seenFrom is a task as one of its sinks stands by it.
func (s *State) seenFrom(t *TaskState, sink string) Standing {
	out := Standing{
		Status: t.Status, Since: t.Since, Reason: t.Reason,
		Attempt: t.Attempt, Worker: t.Worker, Fruitless: t.Fruitless, NotBefore: t.NotBefore,
	}
	switch {
	case t.Kind == Planning && t.Status == Running:
		out.Status = Preparing
	case t.Status != Failed && t.Status != Retrying || t.Failure == nil:
	case t.Failure.Sink == sink:
		out.Failure = t.Failure
	case s.ending():
		out.Status, out.Fruitless, out.Reason = Stopped, 0, "the job ends: "+t.Failure.blamed()
	default:
		out.Status, out.Fruitless, out.Reason = Unassigned, 0, "waits: "+t.Failure.blamed()
	}
	return out
}

// blamed says who is to blame, and for what.
func (f *Failure) blamed() string {
	if f.Sink == "" {
		return string(f.Code)
	}
	return "sink " + f.Sink + ", " + string(f.Code)
}

// speaksBefore reports whether a task speaks for a sink rather than another one. Of
// those that live it is the first one, of the others the last.
func (a Standing) speaksBefore(b Standing) bool {
	if b.Status == 0 || a.Status != b.Status {
		return b.Status == 0 || slices.Index(lively, a.Status) < slices.Index(lively, b.Status)
	}
	if a.Status == Running || a.Status == Preparing {
		return a.Since.Before(b.Since)
	}
	return a.Since.After(b.Since)
}
