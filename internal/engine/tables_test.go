package engine

import (
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/job"
)

// planned is a job in its snapshot: two tables are copied, and a stream waits.
func planned(t *testing.T) job.State {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	s, _ := job.Resume(job.New(job.Options{Parallel: 9}, 1, now), now)
	s = answer(s, job.Event{Kind: job.TaskStarted, ID: job.PlanID})
	return answer(s, job.Event{Kind: job.Planned, ID: job.PlanID, Tasks: []job.Task{
		{ID: "stream", Kind: job.Stream, AfterCopies: true},
		{ID: "1", Kind: job.Copy, Table: "db.a"}, {ID: "2", Kind: job.Copy, Table: "db.a"}, {ID: "3", Kind: job.Copy, Table: "db.b"},
	}})
}

func task(s job.State, id string) job.TaskState {
	for _, t := range s.Tasks {
		if t.ID == id {
			return t
		}
	}
	return job.TaskState{}
}

// answer is a step by what a task's last attempt says.
func answer(s job.State, e job.Event) job.State {
	e.Attempt, e.Now = task(s, e.ID).Attempt, s.Since.Add(time.Minute)
	next, _ := job.Step(s, e)
	return next
}

func command(t *testing.T, s job.State, kind job.EventKind, tables ...string) job.State {
	t.Helper()
	c, err := ForCopies(s, job.Event{Kind: kind, Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	c.Now = s.Since.Add(time.Minute)
	next, _ := job.Step(s, c)
	return next
}

func TestForCopies_when_a_table_is_paused(t *testing.T) {
	s := command(t, planned(t), job.PauseAsked, "db.a")
	for _, id := range []string{"1", "2"} {
		s = answer(s, job.Event{Kind: job.TaskStopped, ID: id})
	}
	s = answer(s, job.Event{Kind: job.TaskFinished, ID: "3"})
	if now, _ := s.TableStatus("db.a"); now != job.Paused || task(s, "stream").Attempt > 0 {
		t.Fatalf("the table is %v, the stream %v", now, task(s, "stream").Status)
	}
	s = command(t, s, job.ResumeAsked, "db.a")
	for _, id := range []string{"1", "2"} {
		if task(s, "stream").Attempt > 0 || task(s, id).Attempt != 2 {
			t.Fatalf("%+v", s.Tasks)
		}
		s = answer(s, job.Event{Kind: job.TaskFinished, ID: id})
	}
	if got := task(s, "stream"); got.Attempt != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestForCopies_when_it_cannot_be(t *testing.T) {
	s := planned(t)
	begun, _ := job.Resume(s, s.Since)
	done := answer(s, job.Event{Kind: job.TaskFinished, ID: "3"})
	for name, c := range map[string]struct {
		s job.State
		e job.Event
	}{
		"a table that is not copied": {s, job.Event{Kind: job.PauseAsked, Tables: []string{"db.b", "db.c"}}},
		"a table that is copied":     {done, job.Event{Kind: job.PauseAsked, Tables: []string{"db.b"}}},
		"before all is found":        {begun, job.Event{Kind: job.PauseAsked, Tables: []string{"db.a"}}},
		"a resync":                   {s, job.Event{Kind: job.ResyncAsked, Tables: []string{"db.a"}}},
	} {
		if _, err := ForCopies(c.s, c.e); !fault.Has(err, fault.NotNow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := job.Event{Kind: job.PauseAsked, By: "ana"}
	if got, err := ForCopies(begun, whole); err != nil || got.Kind != whole.Kind || len(got.Only) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
