package service

import (
	"godwit/internal/api"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// sinkNames are the sinks of a job file as it is kept, by name.
func sinkNames(kind string, k job.Kept) []string {
	if job.Kind(kind) == job.KindFiles {
		return []string{watch.Target}
	}
	return k.Sinks()
}

// newSinks takes over which sinks a job has.
func (j *living) newSinks(names []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sinks = names
	j.stands = standings(names, &j.state, j.stands)
}

// standings are where sinks stand in a state that follows on others.
func standings(names []string, s *job.State, before map[string]job.Standing) map[string]job.Standing {
	out := make(map[string]job.Standing, len(names))
	for _, name := range names {
		out[name] = s.SinkStanding(name).After(before[name])
	}
	return out
}

// viewSinks shows the sinks of a job, the whole of which stands so; j.mu is held.
func (j *living) viewSinks(whole api.Standing) []api.Sink {
	out := make([]api.Sink, len(j.sinks))
	for i, name := range j.sinks {
		s := &out[i]
		s.Name, s.Standing = name, viewStanding(j.stands[name])
		if j.life == nil {
			lifeless(&s.Standing, whole)
		}
		if j.progress == nil {
			continue
		}
		if f := j.progress.Files; f != nil {
			measureTarget(s, f)
		}
		for k := range j.progress.Sinks {
			if w := &j.progress.Sinks[k]; w.Name == name {
				measureSink(s, w, j.life != nil)
			}
		}
	}
	return out
}

func viewStanding(s job.Standing) api.Standing {
	return api.Standing{
		Status: api.Status(s.Status.String()), Since: s.Since, Reason: s.Reason, Attempt: int64(s.Attempt), Fruitless: s.Fruitless, //nolint:gosec // attempts are few
		NextRetryAt: s.NotBefore, Worker: s.Worker, Error: faultOf(s.Failure),
	}
}

// lifeless is where a sink stands whose job has no life: nothing carries it, whatever
// did in an earlier one.
func lifeless(s *api.Standing, whole api.Standing) {
	switch s.Status {
	case api.StatusPreparing, api.StatusRunning, api.StatusStopping, api.StatusUnassigned:
		s.Status, s.Worker, s.Reason = api.StatusUnassigned, "", whole.Reason
		if whole.Error != nil {
			s.Reason = "waits: " + whole.Error.Code
		}
	}
}

// measureSink fills in what was measured of a sink of a table job; lives: it goes on.
func measureSink(s *api.Sink, w *watch.Sink, lives bool) {
	s.Position, s.Rows, s.Commits, s.QueueBytes, s.QueueLimitBytes = w.Position, &w.Rows, &w.Commits, &w.Queue, w.QueueLimit
	s.DeadLetters = w.Buried
	if w.CommittedAt != nil {
		s.CommittedAt = *w.CommittedAt
	}
	s.Lag = &api.Lag{State: api.LagState(w.Lag.State), Seconds: w.Lag.Seconds}
	switch st := s.Standing.Status; {
	case st == api.StatusPaused, st == api.StatusStopped, st == api.StatusFinished:
		s.Lag = &api.Lag{State: watch.Idle}
	case !lives: // it was measured then
		s.Lag = &api.Lag{State: watch.Unknown}
	}
}

// measureTarget fills in what was measured of the target of a file job.
func measureTarget(s *api.Sink, f *watch.Objects) {
	s.Rows, s.QueueBytes = &f.Copied.Objects, &f.Flying.Bytes
	if f.LandedAt != nil {
		s.CommittedAt = *f.LandedAt
	}
}
