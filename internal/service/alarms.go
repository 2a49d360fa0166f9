package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"godwit/internal/api"
	"godwit/internal/job"
	"godwit/internal/service/alarm"
	"godwit/internal/watch"
)

// Alarms besides those of a state.
const (
	alarmResync  = "resync needed"
	alarmObjects = "objects failed"
)

// heldAlarms resolves the alarms of a job that do not hold when it begins, by what
// its resumption says. Those that do are raised again by its first step. That it cannot
// live holds until it does: it has been tried before.
func (j *living) heldAlarms(actions []job.Action) {
	j.mu.Lock()
	struggles := j.tries >= mostTries
	j.mu.Unlock()
	held := map[job.Alarm]bool{}
	for _, a := range actions {
		held[job.Alarm{Kind: a.Alarm.Kind, On: a.Alarm.On}] = a.Kind == job.RaiseAlarm
	}
	j.resolve(func(a api.Alarm) bool {
		switch a.Kind {
		case alarmResync, alarmVerify, alarm.Desired, alarm.Lag, alarm.Retention, alarm.Differences:
			return false // those who raise them resolve them
		case string(job.AlarmJob):
			if struggles {
				return false
			}
		}
		return !held[job.Alarm{Kind: job.AlarmKind(a.Kind), On: a.On}]
	})
}

// livesAgain is how long a life must go on until what kept the job from living is over.
const livesAgain = time.Minute

// recovered sees to it that a job that lives again struggles no more.
func (j *living) recovered(now time.Time) {
	j.mu.Lock()
	is := j.tries > 0 && j.life != nil && now.Sub(j.life.began) >= livesAgain
	loud := is && j.tries >= mostTries && j.state.Status != job.Failed
	if is {
		j.tries = 0
	}
	j.mu.Unlock()
	if loud {
		j.s.parts.board.Resolve(j.name, string(job.AlarmJob), "")
	}
}

// allClear resolves all alarms of a job that has ended, but those about what it left
// behind.
func (j *living) allClear() {
	j.resolve(func(a api.Alarm) bool {
		switch a.Kind {
		case alarmResync, alarmObjects, alarmVerify, alarm.Differences:
			return false
		}
		return true
	})
}

func (j *living) resolve(which func(api.Alarm) bool) {
	held, err := j.s.parts.board.List(context.Background(), api.ListAlarmsParams{Job: j.name})
	if err != nil {
		j.s.o.Log.Error("alarms cannot be read", "job", j.name, "error", err)
		return
	}
	for _, a := range held {
		if which(a) {
			j.s.parts.board.Resolve(j.name, a.Kind, a.On)
		}
	}
}

// marked raises alarms for tables that cannot go on.
func (j *living) marked(marks []watch.Mark) {
	for _, m := range marks {
		j.s.parts.board.Raise(j.name, alarmResync, m.Table, m.Reason, fmt.Sprintf("read it again: godwit job resync %s %s", j.name, m.Table))
	}
}

// healed resolves the alarms of tables that were marked and are read again.
func (j *living) healed(before *watch.Progress, now []watch.Mark) {
	if before == nil {
		return
	}
	for _, m := range before.Marked {
		if !slices.ContainsFunc(now, func(n watch.Mark) bool { return n.Table == m.Table }) {
			j.s.parts.board.Resolve(j.name, alarmResync, m.Table)
		}
	}
}

// unmarked resolves the alarms of tables that are not marked: all others were read again,
// left out or dropped, be it that nothing lived meanwhile.
func (j *living) unmarked(now []watch.Mark) {
	j.resolve(func(a api.Alarm) bool {
		return a.Kind == alarmResync && !slices.ContainsFunc(now, func(m watch.Mark) bool { return m.Table == a.On })
	})
}

// planned reports whether a life has told of all tables that are marked: it has planned,
// and all sinks could be asked.
func (j *living) planned() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Tasks[0].Status == job.Finished && j.counts.Failed+j.counts.Retrying == 0
}

// readAgain says how everything of a job is read again.
func readAgain(job string) string { return "read all tables again: " + again(job) }

// leftOver raises alarms about what a run left undone, and resolves those of the run
// before.
func (j *living) leftOver(out watch.Outcome) {
	j.marked(out.Marked)
	j.unmarked(out.Marked)
	if out.Failed > 0 {
		j.s.parts.board.Raise(j.name, alarmObjects, "", fmt.Sprintf("%d objects were not moved", out.Failed), fmt.Sprintf("godwit job retry %s", j.name))
	}
	j.resolve(func(a api.Alarm) bool { return a.Kind == alarmObjects && out.Failed == 0 })
}
