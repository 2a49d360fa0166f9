package job

import (
	"encoding/json"
	"testing"
	"time"
)

// Details of Step that neither its simulation nor its other tests tell apart.

func TestStep_keeps_times_as_they_are_read_again(t *testing.T) {
	east := time.FixedZone("east", 3600)
	now := func() time.Time { return time.Now().In(east) } // with a monotonic reading
	s := New(Options{}, 1, now())
	check := func(what string) {
		t.Helper()
		b, _ := json.Marshal(s)
		var read State
		if err := json.Unmarshal(b, &read); err != nil || !same(read, s) {
			t.Errorf("%s: %v\n%+v\nread again\n%+v", what, err, s, read)
		}
	}
	check("New")
	s, _ = Resume(s, now())
	check("Resume")
	s, _ = Step(s, Event{Kind: PauseAsked, Now: now()})
	check("Step")
}

func TestStep_when_a_task_makes_progress_after_failures(t *testing.T) {
	l := newLife(t, Options{}).planned(copyA)
	for range 2 {
		l.do(Event{Kind: TaskFailed, ID: "a", Failure: busy}).do(Event{Kind: RetryAsked, Only: []string{"b"}})
		l.now = l.now.Add(maxBackoff)
		l.do(Event{Kind: Tick})
	}
	if l.do(Event{Kind: TaskProgressed, ID: "a"}); l.state.task("a").Fruitless != 0 {
		t.Errorf("%+v", l.state.task("a"))
	}
	l.do(Event{Kind: TaskFailed, ID: "a", Failure: busy})
	if a := l.state.task("a"); a.Fruitless != 1 || a.Failure == nil {
		t.Errorf("%+v", a)
	}
	l.now = l.now.Add(maxBackoff)
	l.do(Event{Kind: Tick}).do(Event{Kind: TaskFinished, ID: "a"})
	if a := l.state.task("a"); a.Fruitless != 0 || a.Failure != nil {
		t.Errorf("it has finished, and is told as %+v", a)
	}
}

func TestStep_when_a_task_is_other_work_now(t *testing.T) {
	l := newLife(t, Options{}).planned(copyA).do(Event{Kind: TaskFailed, ID: "a", Failure: busy})
	other := copyA
	other.Revision = "2"
	l.do(Event{Kind: EditAsked, Spec: 2, Changed: []Change{{Consequence: Replans}}}).planned(other)
	if a := l.state.task("a"); a.Fruitless != 0 || a.Failure != nil {
		t.Errorf("failures of other work count: %+v", a)
	}
}

func TestStep_when_an_edit_plans_anew(t *testing.T) {
	l := newLife(t, Options{}).planned(copyA).do(Event{Kind: TaskFailed, ID: "a", Failure: fatal})
	l.do(Event{Kind: EditAsked, Spec: 2, Changed: []Change{{Consequence: Replans}}}).planned(copyA).stands("preparing: a preparing")
}

func TestStep_when_planning_is_asked_for_after_failures(t *testing.T) {
	l := newLife(t, Options{}).do(Event{Kind: TaskFailed, ID: PlanID, Failure: busy})
	l.do(Event{Kind: PauseAsked, Tables: []string{"A"}})
	if p := l.state.plan(); p.Fruitless != 0 || !p.NotBefore.IsZero() {
		t.Errorf("%+v", p)
	}
}

func TestStep_when_what_is_found_or_asked_has_no_name(t *testing.T) {
	l := newLife(t, Options{}).planned(copyA, Task{Kind: Copy}, Task{ID: "r", Kind: Resync, Table: "A"}, Task{ID: "p", Kind: Planning})
	l.stands("preparing: a preparing").do(Event{Kind: PauseAsked, Tables: []string{""}}).says("")
	if len(l.state.Tables) > 0 {
		t.Errorf("%+v", l.state.Tables)
	}
}

func TestStep_when_a_table_is_found_with_a_stream_of_its_own(t *testing.T) {
	own := Task{ID: "s B", Kind: Stream, Table: "B"}
	l := newLife(t, Options{}).planned(stream, own)
	if b := l.state.table("B"); b == nil || b.Apart != ApartAdded || !b.Since.Equal(l.now.UTC()) {
		t.Fatalf("%+v", b)
	}
	l.do(Event{Kind: CaughtUp, ID: "s B"}).says("cancel s 1, cancel s B 1")
	l.do(Event{Kind: TaskStopped, ID: "s"}).do(Event{Kind: TaskStopped, ID: "s B"}).says("start (plan) 2")
	if b := l.state.table("B"); b != nil {
		t.Errorf("%+v", b)
	}
}

// tells compares the status of the job and why.
func (l *life) tells(status Status, reason string) *life {
	l.t.Helper()
	if s := l.state; s.Status != status || s.Reason != reason {
		l.t.Fatalf("it is %v, %q; not %v, %q", s.Status, s.Reason, status, reason)
	}
	return l
}

func TestStep_when_the_job_ends(t *testing.T) {
	l := newLife(t, Options{Parallel: 2}).do(Event{Kind: TaskStarted, ID: PlanID}).tells(Preparing, "").planned(copyA, copyB)
	l.do(Event{Kind: TaskFailed, ID: "a", Failure: fatal}).do(Event{Kind: StopAsked, By: "ana"}).tells(Stopping, "stopped by ana")
	l.do(Event{Kind: TaskStopped, ID: "b"}).tells(Stopped, "stopped by ana")

	l = newLife(t, Options{Parallel: 2, EndOnFailure: true}).planned(copyA, copyB)
	l.do(Event{Kind: TaskFailed, ID: "a", Failure: fatal}).tells(Stopping, "SOURCE_PROTOCOL")
	l.do(Event{Kind: TaskStopped, ID: "b"}).tells(Failed, "SOURCE_PROTOCOL")
}
