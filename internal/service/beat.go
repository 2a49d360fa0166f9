package service

import (
	"time"

	"godwit/internal/api"
	"godwit/internal/job"
)

// beat does what is done once a second, and once an hour, until the service closes.
func (s *Service) beat() {
	second, hour := time.NewTicker(time.Second), time.NewTicker(time.Hour)
	defer second.Stop()
	defer hour.Stop()
	for {
		select {
		case <-second.C:
			s.reckonShare()
			for _, j := range s.all() {
				j.second()
			}
		case <-hour.C:
			s.tidy()
		case <-s.quit:
			return
		}
	}
}

// idleNews is how often followers are told of a job that runs and of which nothing
// moves.
const idleNews = 10 * time.Second

// second samples a job, tells followers of it, and begins what is due.
func (j *living) second() {
	l, moved := j.lifeNow(), false
	if l != nil {
		planned := !l.cleared && j.planned() // asked first: planning tells of marks before it ends
		p := l.record.Snapshot()
		j.mu.Lock()
		before := j.progress
		j.progress = &p
		moved = j.toldOf == nil || p.Moved(j.toldOf) || j.s.o.Now().Sub(j.toldAt) >= idleNews
		j.mu.Unlock()
		j.s.parts.keeper.Sample(j.name, &p)
		j.marked(p.Marked)
		j.healed(before, p.Marked)
		if planned {
			l.cleared = true
			j.unmarked(p.Marked)
		}
	}
	j.mu.Lock()
	news, unkept := j.news || moved && j.told == api.StatusRunning, j.unkept
	j.mu.Unlock()
	if unkept {
		j.settle()
	}
	view := j.view(false)
	j.s.parts.board.Watch(j.name, view, view.Progress)
	if news {
		j.tell()
	}
	if x := j.verifyingNow(); x != nil {
		x.second()
	}
	j.recovered(j.s.o.Now())
	j.newSecrets(j.s.o.Now())
	j.begins(j.s.o.Now())
	j.verifyWhenDue(j.s.o.Now())
}

// begins begins what has to begin by now: a run that is scheduled, or another try of
// one that could not begin. Nobody else may be at it; else the next second will do.
func (j *living) begins(now time.Time) {
	j.mu.Lock()
	again, r, idle := j.again, j.card, j.life == nil || j.state.Status == job.Failed
	start := idle && j.due.passed(r, now)
	try := j.life == nil && !again.IsZero() && !now.Before(again)
	j.mu.Unlock()
	if r.leaving || r.wish.Desired != api.DesiredRunning || !try && !start || !j.turn.TryLock() {
		return
	}
	defer j.turn.Unlock()
	err := j.tryAgain()
	switch {
	case err == nil && start:
		err = j.start(Who{Name: bySchedule}, "")
	case err == nil:
		j.follow()
	}
	if err != nil {
		j.s.o.Log.Error("a run that is due cannot begin", "job", j.name, "error", err)
	}
}
