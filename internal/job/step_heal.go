package job

import "time"

// A table that takes the place of another, as online schema changes and rebuilt tables
// do it, is read again by itself: at once, and when it happens again and again after
// pauses that grow, as each copy costs the source. After a day without the pauses begin
// anew. It is marked for as long as it waits.
const (
	firstHealPause = 5 * time.Second
	mostHealPause  = time.Hour
	healsForgotten = 24 * time.Hour
)

// healable has tables read again whose pause is over; false: there is none. The stream
// tells again of the others.
func (s *State) healable(t *TaskState, e Event) (begun bool) {
	if t.Kind != Stream || t.Outdated || t.Gone || s.ending() {
		return false
	}
	for _, name := range e.Tables {
		if name == "" || s.task(resyncID(name)) != nil {
			continue
		}
		if s.apart(name) && t.Table == "" { // one that had the name before: to begin that anew would help neither
			begun = s.rejoinOver(name, e.Now) || begun
			continue
		}
		if !s.roomApart(name) || !s.table(name).mayHeal(e.Now) {
			continue
		}
		table := s.ensureTable(name, e.Now)
		if e.Now.Sub(table.HealedAt) > healsForgotten {
			table.Heals = 0
		}
		table.Heals, table.HealedAt = table.Heals+1, e.Now
		s.resync(name, e.Now)
		begun = true
	}
	return begun
}

// rejoinOver ends the time apart of a table that has come to the end that was asked for.
func (s *State) rejoinOver(name string, now time.Time) bool {
	if t := s.table(name); t.Paused != nil || !s.overApart()[name] {
		return false
	}
	s.setApart(s.table(name), Together, now)
	s.forget(name)
	return true
}

// mayHeal reports whether the pause is over. A clock that was set back must not make it
// longer.
func (t *TableState) mayHeal(now time.Time) bool {
	if t == nil || t.Heals == 0 {
		return true
	}
	since := now.Sub(t.HealedAt)
	return since < 0 || since >= min(mostHealPause, firstHealPause<<min(t.Heals-1, 10))
}

// roomApart reports whether one more table may stand apart, or this one does.
func (s *State) roomApart(name string) bool { return s.apart(name) || len(s.Apart()) < MostApart }
