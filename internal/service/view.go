package service

import (
	"context"
	"time"

	"godwit/internal/api"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// noTime is no time.
var noTime time.Time

// Show shows a job.
func (s *Service) Show(_ context.Context, name string) (api.Job, error) {
	j, err := s.job(name)
	if err != nil {
		return api.Job{}, err
	}
	return j.view(true), nil
}

// view is a job as it is shown. fresh measures its progress anew; else it may be a
// second old.
func (j *living) view(fresh bool) api.Job {
	alarms := 0
	if j.s.parts.board != nil {
		alarms = j.s.parts.board.Count(j.name)
	}
	if l := j.lifeNow(); l != nil && fresh {
		p := l.record.Snapshot()
		j.mu.Lock()
		j.progress = &p
		j.mu.Unlock()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r, l := j.card, j.life
	out := api.Job{
		Name: j.name, Kind: api.Kind(r.kind), Way: r.way, Group: r.group, Note: r.note, Version: r.version, Created: r.created, Updated: r.updated, UpdatedBy: r.updatedBy,
		Standing: j.standing(), Wish: r.wish, Tasks: j.counts, Progress: j.progress, Alarms: alarms,
	}
	if l == nil { // what lived in an earlier life does not any more
		out.Tasks.Waiting, out.Tasks.Running = out.Tasks.Waiting+out.Tasks.Running, 0
	}
	if j.progress != nil {
		out.Run = int64(j.progress.Run)
	}
	if r.schedule != "" {
		out.Schedule = &api.Schedule{Text: r.schedule, Next: []time.Time{}}
		if fresh {
			out.Schedule.Next = nextStarts(r, j.s.o.Now())
		}
	}
	out.Sinks = j.viewSinks(out.Standing)
	j.viewProof(&out, fresh)
	j.made.show(&out, &j.s.shelf)
	out.Health = health(out)
	return out
}

// starts is how many of the next starts are told.
const starts = 3

func nextStarts(r card, now time.Time) []time.Time {
	out := []time.Time{}
	s, err := parseSchedule(r.schedule)
	if err != nil || s == nil {
		return out
	}
	at := now
	if e, is := s.(every); is && !r.began.IsZero() && e > 0 { // counted from the last one
		at = r.began.Add(now.Sub(r.began) / time.Duration(e) * time.Duration(e))
	}
	for range starts {
		if at = s.next(at); at.IsZero() {
			break
		}
		out = append(out, at.UTC())
	}
	return out
}

// standing is what is of the whole job; j.mu is held.
func (j *living) standing() api.Standing {
	r, s := j.card, j.state
	out := api.Standing{Status: api.Status(s.Status.String()), Since: s.Since, Reason: s.Reason}
	var failing *job.Failure
	for i := range s.Tasks {
		t := &s.Tasks[i]
		out.Fruitless = max(out.Fruitless, t.Fruitless)
		if t.Failure != nil && (t.Status == job.Failed || t.Status == job.Retrying && failing == nil) {
			failing = t.Failure
			if t.Status == job.Failed {
				break
			}
		}
	}
	if s.Status == job.Retrying {
		out.NextRetryAt = s.Wake
	}
	switch {
	case r.trouble != nil && r.wish.Desired == api.DesiredRunning:
		failing = r.trouble
		out.Status, out.Reason, out.NextRetryAt = api.StatusFailed, string(r.trouble.Code), j.again
		if !j.again.IsZero() {
			out.Status, out.Fruitless = api.StatusRetrying, j.tries
		}
	case j.life != nil || s.Ended || s.Status == job.Paused:
	case r.schedule != "" && r.began.IsZero():
		out.Status, out.Reason = api.StatusUnassigned, "waits for its schedule"
	case j.s.o.Still:
		out.Status, out.Reason = api.StatusUnassigned, "is taken up when a server starts"
	default: // what was running when an earlier process died does not any more
		out.Status, out.Reason = api.StatusUnassigned, "is about to be taken up"
	}
	out.Error = faultOf(failing)
	return out
}

// faultOf is a failure as it is shown.
func faultOf(f *job.Failure) *api.Fault {
	if f == nil {
		return nil
	}
	return &api.Fault{Class: api.FaultClass(f.Class.String()), Code: string(f.Code), What: f.What, Where: f.Where, Cause: f.Cause, Hint: f.Hint, Sink: f.Sink}
}

// health is how much a job needs somebody to look at it.
func health(v api.Job) api.JobHealth {
	desired, status := v.Wish.Desired, v.Standing.Status
	switch {
	case status == api.StatusFailed:
		return api.JobHealthFailed
	case v.Alarms > 0 || v.Tasks.Failed > 0:
		return api.JobHealthAlarm
	case status == api.StatusRetrying || v.Tasks.Retrying > 0 && status == api.StatusRunning:
		return api.JobHealthRetrying
	case status == api.StatusRunning && desired == api.DesiredRunning:
		return api.JobHealthOk
	case status == api.StatusFinished, status == api.StatusPaused && desired == api.DesiredPaused, status == api.StatusStopped && desired == api.DesiredStopped:
		return api.JobHealthIdle
	case status == api.StatusUnassigned && v.Schedule != nil && v.Progress == nil:
		return api.JobHealthIdle
	}
	return api.JobHealthChanging
}

// countTasks counts tasks by how they stand; those that plan count too.
func countTasks(s job.State) (c api.TaskCounts) {
	for i := range s.Tasks {
		c.Total++
		switch s.Tasks[i].Status {
		case job.Preparing, job.Running, job.Stopping:
			c.Running++
		case job.Retrying:
			c.Retrying++
		case job.Paused:
			c.Paused++
		case job.Failed:
			c.Failed++
		case job.Finished, job.Stopped:
			c.Finished++
		default:
			c.Waiting++
		}
	}
	return c
}

// viewTask is a task as it is shown; lives: its job has a life.
func viewTask(t *job.TaskState, lives bool) api.Task {
	out := api.Task{ID: t.ID, Kind: api.TaskKind(t.Kind.String()), Table: t.Table, Wish: viewWish(t.Paused)}
	out.Standing = api.Standing{
		Status: api.Status(t.Status.String()), Since: t.Since, Reason: t.Reason, Attempt: int64(t.Attempt), Fruitless: t.Fruitless,
		NextRetryAt: t.NotBefore, Worker: t.Worker, Error: faultOf(t.Failure),
	}
	if !lives && (t.Status == job.Preparing || t.Status == job.Running || t.Status == job.Stopping) {
		out.Standing.Status, out.Standing.Worker = api.StatusUnassigned, ""
	}
	return out
}

// viewWish is a pause of one thing as it is shown; nil: there is none.
func viewWish(w *job.Wish) *api.Wish {
	if w == nil {
		return nil
	}
	return &api.Wish{Desired: api.DesiredPaused, By: w.By, Reason: w.Why, Since: w.Since}
}

// rate is how much of what counts a job moves in a second; negative: unknown.
func rate(p *watch.Progress) float64 {
	out := -1.0
	if p == nil {
		return out
	}
	for _, r := range []*float64{p.Rate, changesRate(p), objectsRate(p)} {
		if r != nil {
			out = max(out, 0) + *r
		}
	}
	return out
}

func changesRate(p *watch.Progress) *float64 {
	if p.Changes == nil {
		return nil
	}
	return p.Changes.Rate
}

func objectsRate(p *watch.Progress) *float64 {
	if p.Files == nil {
		return nil
	}
	return p.Files.Rate
}

// lag is how far a job is behind, seconds; false: it is not known, or has none.
func lag(p *watch.Progress) (float64, bool) {
	if p == nil || p.Changes == nil || p.Changes.Lag.Seconds == nil {
		return 0, false
	}
	return *p.Changes.Lag.Seconds, true
}
