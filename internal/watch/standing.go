package watch

import (
	"errors"
	"sync/atomic"

	"godwit/internal/fault"
	"godwit/internal/job"
)

// Target is the name of the one sink that a file job has.
const Target = "target"

// stands is where a sink stood when that was told last.
type stands struct{ last atomic.Pointer[job.Standing] }

// tell takes a standing over; hide masks what must not be shown in it, nil: nothing.
func (s *stands) tell(now job.Standing, hide func(string) string) {
	if f := now.Failure; f != nil && hide != nil {
		hidden := &fault.Error{Code: f.Code, What: hide(f.What), Where: hide(f.Where), Hint: hide(f.Hint), Sink: f.Sink}
		if f.Cause != "" {
			hidden.Cause = errors.New(hide(f.Cause))
		}
		now.Failure = job.FailureOf(hidden)
	}
	if was := s.last.Load(); was != nil {
		now = now.After(*was)
	}
	s.last.Store(&now)
}

// SinkStands says where a sink stands (job.State.SinkStanding).
func (j *Job) SinkStands(name string, now job.Standing) {
	j.sink(name).stands.tell(now, j.o.Hide)
}

// TargetStands says where the target stands (job.State.SinkStanding of Target).
func (f *Files) TargetStands(now job.Standing) { f.stands.tell(now, f.o.Hide) }
