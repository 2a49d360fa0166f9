package job

import (
	"slices"
	"time"
)

// found adds tasks that planning found: all of them, or some. Of a plan that is
// outdated only its end counts.
func (s *State) found(plan *TaskState, e Event) bool {
	if plan.Kind != Planning {
		return false
	}
	attempt, outdated := plan.Attempt, plan.Outdated
	for _, t := range e.Tasks {
		if !outdated {
			s.add(t, attempt, e.Now) // may move the tasks: plan is not used any more
		}
	}
	if e.Kind == Planned {
		s.ended(s.plan(), Event{Kind: TaskFinished, Now: e.Now})
	}
	return true
}

// add takes up a task. One that is known goes on where it stands, unless it is
// other work than before.
func (s *State) add(task Task, plan uint64, now time.Time) {
	if task.ID == "" || task.Kind != Copy && task.Kind != Stream {
		return
	}
	if task.Kind == Stream && task.Table != "" && !s.apart(task.Table) {
		t := s.ensureTable(task.Table, now)
		t.Apart, t.Since = ApartAdded, now
	}
	t := s.task(task.ID)
	switch {
	case t == nil:
		s.Tasks = append(s.Tasks, TaskState{Task: task, Status: Unassigned, Since: now, Attempt: s.Floor, Plan: plan})
		return
	case t.Gone || t.Task != task:
		t.Task, t.Gone = task, false
		t.afresh()
		t.Refused, t.Failure = 0, nil
		if t.live() {
			t.Outdated = true
		} else {
			t.become(Unassigned, now, "planned anew")
		}
	}
	t.Plan = plan
}

// allFound drops the tasks that planning did not find again, and what is known of
// tables that nothing carries apart: they are not there.
func (s *State) allFound() {
	own := map[string]bool{}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if (t.Kind == Copy || t.Kind == Stream) && t.Plan != s.plan().Attempt {
			t.Gone = true
		} else if t.Kind == Stream || t.Kind == Resync {
			own[t.Table] = true
		}
	}
	for _, t := range slices.Clone(s.Tables) {
		if t.Apart != Together && t.Paused == nil && !own[t.Name] {
			s.table(t.Name).Apart = Together
			s.forget(t.Name)
		}
	}
}

// replan makes planning begin anew. A plan is for the State as it was when its
// attempt started.
func (s *State) replan(now time.Time, why string) {
	p := s.plan()
	if p.live() {
		p.Outdated = true
		return
	}
	p.afresh()
	p.become(Unassigned, now, why)
}

// setApart says whether a table stands apart, and why. The plan that follows
// takes it out of the stream of the others, or back into it. It begins when nothing
// runs any more that carries the table, with the others or alone.
func (s *State) setApart(t *TableState, why Apart, now time.Time) {
	if t.Apart == why {
		return
	}
	moves := t.Apart == Together || why == Together
	t.Apart, t.Since = why, now
	if !moves {
		return
	}
	for i := range s.Tasks {
		if o := &s.Tasks[i]; o.live() && o.Kind == Stream && (o.carriesAll() || o.Table == t.Name) {
			o.Outdated = true
		}
	}
	s.replan(now, "table "+t.Name+" leaves or joins the others")
}

// rejoin ends the time apart of a table whose own stream has caught up.
func (s *State) rejoin(t *TaskState, now time.Time) bool {
	table := s.table(t.Table)
	if t.Kind != Stream || t.Gone || t.Outdated || table == nil || table.Apart == Together || table.Paused != nil {
		return false
	}
	s.setApart(table, Together, now)
	s.forget(t.Table)
	return true
}

// rejoinAtEnd ends the time apart of tables when all streams have come to the end
// that was asked for, so that the job ends at one place.
func (s *State) rejoinAtEnd(now time.Time) {
	ended := s.overApart()
	if all, any := ended[""]; any && !all {
		return
	}
	for _, t := range slices.Clone(s.Tables) {
		if t.Apart != Together && t.Paused == nil && ended[t.Name] {
			s.setApart(s.table(t.Name), Together, now)
			s.forget(t.Name)
		}
	}
}

// overApart reports of tables whether all that carries each apart has come to its end; ""
// are the others.
func (s *State) overApart() map[string]bool {
	ended := map[string]bool{}
	for i := range s.Tasks {
		switch t := &s.Tasks[i]; t.Kind {
		case Copy, Stream:
			done, known := ended[t.Table]
			ended[t.Table] = (done || !known) && t.Status == Finished && !t.Gone
		case Resync:
			ended[t.Table] = false
		}
	}
	return ended
}

// forget drops a table of which nothing special is asked.
func (s *State) forget(name string) {
	i, found := s.findTable(name)
	if t := s.table(name); found && t.Apart == Together && t.Generation == 0 && t.Paused == nil {
		s.Tables = append(s.Tables[:i], s.Tables[i+1:]...)
	}
}

// resyncID is the ID of the Resync task of a table.
func resyncID(table string) string { return "(resync) " + table }

// resync has a table read again: what carries it ends, it stands apart, and when
// that is so its Resync task begins a new generation. A resync that has not ended
// serves for another one that is asked for.
func (s *State) resync(name string, now time.Time) {
	id := resyncID(name)
	if name == "" || s.task(id) != nil {
		s.retry(func(t *TaskState) bool { return t.ID == id }, now)
		return
	}
	t := s.ensureTable(name, now)
	t.Generation++
	s.setApart(t, ApartResyncs, now)
	for i := range s.Tasks {
		if t := &s.Tasks[i]; t.Table == name {
			t.Gone = true
		}
	}
	s.Tasks = append(s.Tasks, TaskState{Task: Task{ID: id, Kind: Resync, Table: name}, Status: Unassigned, Since: now, Attempt: s.Floor})
	s.replan(now, "table "+name+" is to be read again")
}
