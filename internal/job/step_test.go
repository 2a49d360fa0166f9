package job

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"godwit/internal/fault"
)

// life is a job that is stepped by hand. Whatever it says is checked by the
// simulation; these tests are for what a simulation does not tell.
type life struct {
	t     *testing.T
	now   time.Time
	state State
	did   []Action // by the last step
}

func newLife(t *testing.T, o Options) *life {
	l := &life{t: t, now: time.Unix(1e9, 0)}
	l.state, l.did = Resume(New(o, 1, l.now), l.now)
	return l
}

func (l *life) do(e Event) *life {
	l.t.Helper()
	e.Now = l.now
	if t := l.state.task(e.ID); t != nil && e.Attempt == 0 {
		e.Attempt = t.Attempt
	}
	l.state, l.did = Step(l.state, e)
	return l
}

func (l *life) planned(tasks ...Task) *life {
	return l.do(Event{Kind: Planned, ID: PlanID, Tasks: tasks})
}

// says compares the actions of the last step, e.g. "start a 1, cancel b 2".
func (l *life) says(want string) *life {
	l.t.Helper()
	got := ""
	for _, a := range l.did {
		if got != "" {
			got += ", "
		}
		switch a.Kind {
		case StartTask:
			got += fmt.Sprintf("start %s %d", a.Task.ID, a.Attempt)
		case CancelTask:
			got += fmt.Sprintf("cancel %s %d", a.Task.ID, a.Attempt)
		case WakeAt:
			got += fmt.Sprint("wake ", a.At.Sub(l.now))
		case RaiseAlarm:
			got += fmt.Sprintf("raise %s %s", a.Alarm.Kind, a.Alarm.On)
		case ResolveAlarm:
			got += fmt.Sprintf("resolve %s %s", a.Alarm.Kind, a.Alarm.On)
		case Finish:
			got += "finish"
			if a.Failure != nil {
				got += " " + string(a.Failure.Code)
			}
		}
	}
	if got != want {
		l.t.Fatalf("got  %q\nwant %q\n%+v", got, want, l.state)
	}
	return l
}

// stands compares statuses, e.g. "paused: a paused, b finished".
func (l *life) stands(want string) *life {
	l.t.Helper()
	got := l.state.Status.String() + ":"
	for i, t := range l.state.Tasks[1:] {
		if i > 0 {
			got += ","
		}
		got += " " + t.ID + " " + t.Status.String()
	}
	if got != want {
		l.t.Fatalf("got  %q\nwant %q", got, want)
	}
	return l
}

var (
	copyA  = Task{ID: "a", Kind: Copy, Table: "A"}
	copyB  = Task{ID: "b", Kind: Copy, Table: "B"}
	stream = Task{ID: "s", Kind: Stream, AfterCopies: true}
	busy   = FailureOf(fault.New(fault.SourceBusy, "busy"))
	fatal  = FailureOf(fault.New(fault.SourceProtocol, "nonsense"))
)

func TestStep_when_all_goes_well(t *testing.T) {
	l := newLife(t, Options{Parallel: 1}).says("start (plan) 1").stands("preparing:")
	l.do(Event{Kind: TaskFound, ID: PlanID, Tasks: []Task{stream, copyA}}).says("start a 1")
	l.do(Event{Kind: TaskStarted, ID: "a", Worker: "w"}).says("").stands("running: s unassigned, a running")
	l.do(Event{Kind: TaskFound, ID: PlanID, Tasks: []Task{copyB}}).says("")
	l.do(Event{Kind: TaskFinished, ID: PlanID}).says("")
	l.do(Event{Kind: TaskFinished, ID: "a"}).says("start b 1")
	l.do(Event{Kind: TaskFinished, ID: "b"}).says("start s 1")
	l.do(Event{Kind: TaskFinished, ID: "s"}).says("finish").stands("finished: s finished, a finished, b finished")
	l.do(Event{Kind: RetryAsked}).says("").do(Event{Kind: StopAsked}).says("")
	if _, actions := Resume(l.state, l.now); len(actions) != 1 || actions[0].Kind != Finish {
		t.Errorf("a job that has ended says %+v", actions)
	}
}

func TestStep_when_a_task_keeps_failing(t *testing.T) {
	for _, run := range []bool{true, false} {
		l, busy := newLife(t, Options{EndOnFailure: run}).planned(copyA), of([]string{"lake", ""}[count(run)], fault.SourceBusy)
		for n := 1; n < MaxFruitless; n++ {
			l.do(Event{Kind: TaskFailed, ID: "a", Failure: busy})
			wait := l.state.task("a").NotBefore.Sub(l.now)
			if wait < time.Second || wait > maxBackoff || l.did[0].Kind != WakeAt || !l.did[0].At.Equal(l.now.Add(wait)) {
				t.Fatalf("back-off of %v, %+v", wait, l.did)
			}
			if l.do(Event{Kind: Tick}); len(l.did) != 1 || l.did[0].Kind != WakeAt {
				t.Fatalf("an early tick: %+v", l.did)
			}
			l.now = l.now.Add(wait)
			l.do(Event{Kind: Tick}).says(fmt.Sprintf("start a %d", n+1))
		}
		l.do(Event{Kind: TaskFailed, ID: "a", Failure: busy})
		if run {
			l.says("finish SOURCE_BUSY, resolve task struggling a, raise task failed a, raise job failed ").stands("failed: a failed")
			continue
		}
		l.says("resolve task struggling a, raise task failed a, raise job failed ").stands("failed: a failed")
		l.do(Event{Kind: RetryAsked}).says(fmt.Sprintf("start a %d, resolve task failed a, resolve job failed ", MaxFruitless+1))
	}
}

func TestStep_when_a_source_stays_away(t *testing.T) {
	away := of("", fault.SourceUnreachable)
	for _, id := range []string{PlanID, "a"} {
		l := newLife(t, Options{})
		if id == "a" {
			l.planned(copyA)
		}
		var alarms []Action
		fail := func(f *Failure) {
			l.do(Event{Kind: TaskFailed, ID: id, Failure: f})
			alarms = append(alarms, slices.DeleteFunc(l.did, func(a Action) bool { return a.Kind != RaiseAlarm && a.Kind != ResolveAlarm })...)
			if status := l.state.task(id).Status; status != Retrying {
				t.Fatalf("%s is %v", id, status)
			}
			l.now = l.state.task(id).NotBefore
			l.do(Event{Kind: Tick})
		}
		for n := 1; n < 10*MaxFruitless; n++ {
			began := l.now
			if fail(away); n > MaxFruitless && l.now.Sub(began) != maxBackoff {
				t.Fatalf("%s: a pause of %v", id, l.now.Sub(began))
			}
		}
		if l.state, l.did = Resume(l.state, l.now); l.state.task(id).Status == Failed { // another life
			t.Errorf("%+v", l.state)
		}
		if id == "a" {
			l.planned(copyA)
		}
		for range MaxFruitless - 1 { // those of a sink are counted by themselves
			fail(of("lake", fault.TargetFailed))
			fail(away)
		}
		if len(alarms) != 1 || alarms[0].Kind != RaiseAlarm || alarms[0].Alarm.Kind != AlarmRetrying {
			t.Errorf("%+v", alarms)
		}
		if id == "a" {
			l.do(Event{Kind: TaskProgressed, ID: id}).says("resolve task struggling a")
			continue
		}
		l.planned(stream).says("start s 1, resolve task struggling (plan)")
		l = newLife(t, Options{EndOnFailure: true})
		l.do(Event{Kind: TaskFailed, ID: PlanID, Failure: away}).says("finish SOURCE_UNREACHABLE, raise task failed (plan), raise job failed ")
	}
}

func TestStep_when_an_attempt_was_fruitful(t *testing.T) {
	l := newLife(t, Options{}).planned(copyA)
	for range 5 * MaxFruitless {
		l.do(Event{Kind: TaskFailed, ID: "a", Failure: busy, Progressed: true})
		if got := l.state.task("a").NotBefore.Sub(l.now); got != time.Second {
			t.Fatalf("back-off of %v", got)
		}
		l.now = l.now.Add(time.Second)
		l.do(Event{Kind: Tick})
	}
	l.stands("preparing: a preparing")
}

func TestStep_when_one_fails_for_good(t *testing.T) {
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB, stream)
	l.do(Event{Kind: TaskFailed, ID: "a", Failure: fatal}).says("raise task failed a").stands("preparing: a failed, b preparing, s unassigned")
	l.do(Event{Kind: TaskFinished, ID: "b"}).says("raise job failed ").stands("failed: a failed, b finished, s unassigned")
	if l.state.Reason != "SOURCE_PROTOCOL" || *l.state.task("a").Failure != *fatal {
		t.Errorf("%+v", l.state)
	}
	l.do(Event{Kind: RetryAsked, Tables: []string{"B"}}).says("")
	l.do(Event{Kind: RetryAsked, Tables: []string{"A"}}).says("start a 2, resolve task failed a, resolve job failed ")

	l = newLife(t, Options{Parallel: 2, EndOnFailure: true}).planned(copyA, copyB, stream)
	l.do(Event{Kind: TaskFailed, ID: "a", Failure: fatal}).says("cancel b 1, raise task failed a")
	l.do(Event{Kind: TaskStopped, ID: "b"}).stands("failed: a failed, b stopped, s stopped")
}

func TestStep_when_paused(t *testing.T) {
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB, stream)
	l.do(Event{Kind: PauseAsked, By: "ana", Why: "backup"}).says("cancel a 1, cancel b 1").stands("stopping: a stopping, b stopping, s paused")
	l.do(Event{Kind: PauseAsked, By: "bob"}).says("")
	l.do(Event{Kind: TaskFinished, ID: "a"}).says("") // it was quicker
	l.do(Event{Kind: TaskStopped, ID: "b"}).says("").stands("paused: a finished, b paused, s paused")
	if l.state.Reason != "paused by ana: backup" || l.state.task("b").Reason != l.state.Reason {
		t.Errorf("%+v", l.state)
	}
	l.do(Event{Kind: ResumeAsked}).says("start b 2").do(Event{Kind: StopAsked, By: "ana"}).says("cancel b 2")
	l.do(Event{Kind: ResumeAsked}).says("").do(Event{Kind: WorkerLost, ID: "b"}).says("finish").stands("stopped: a finished, b stopped, s stopped")
}

func TestStep_when_one_task_is_paused(t *testing.T) {
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB)
	l.do(Event{Kind: PauseAsked, Only: []string{"a"}}).says("cancel a 1")
	l.do(Event{Kind: TaskStopped, ID: "a"}).says("").do(Event{Kind: TaskFinished, ID: "b"}).stands("paused: a paused, b finished")
	l.do(Event{Kind: ResumeAsked}).says("") // another pause
	l.do(Event{Kind: ResumeAsked, Only: []string{"a"}}).says("start a 2")
}

func TestStep_when_a_table_is_paused(t *testing.T) {
	all := Task{ID: "s", Kind: Stream, Revision: "ABC"}
	l := newLife(t, Options{}).planned(all)
	l.do(Event{Kind: PauseAsked, Tables: []string{"B"}, By: "ana"}).says("cancel s 1")
	l.do(Event{Kind: TaskStopped, ID: "s"}).says("start (plan) 2").stands("preparing: s unassigned")
	without, own := Task{ID: "s", Kind: Stream, Revision: "AC"}, Task{ID: "s B", Kind: Stream, Table: "B"}
	l.planned(without, own).says("start s 2").stands("preparing: s preparing, s B paused")
	l.do(Event{Kind: TaskStarted, ID: "s"}).stands("running: s running, s B paused")
	if got := l.state.table("B"); got.Apart != ApartPaused || got.Paused.By != "ana" {
		t.Fatalf("%+v", got)
	}
	l.do(Event{Kind: ResumeAsked, Tables: []string{"B"}}).says("start s B 1")
	l.do(Event{Kind: CaughtUp, ID: "s B"}).says("cancel s 2, cancel s B 1").do(Event{Kind: CaughtUp, ID: "s B"}).says("")
	l.do(Event{Kind: TaskStopped, ID: "s"}).says("") // its own stream still has B
	l.do(Event{Kind: TaskStopped, ID: "s B"}).says("start (plan) 3")
	l.planned(all).says("start s 3").stands("preparing: s preparing")
	if len(l.state.Tables) > 0 {
		t.Errorf("%+v", l.state.Tables)
	}
}

func TestStep_when_all_come_to_the_end(t *testing.T) {
	all, own := Task{ID: "s", Kind: Stream, Revision: "A"}, Task{ID: "s B", Kind: Stream, Table: "B"}
	l := newLife(t, Options{}).planned(all, own)
	if b := l.state.table("B"); b.Apart != ApartAdded {
		t.Fatalf("%+v", b)
	}
	l.do(Event{Kind: TaskFinished, ID: "s B"}).says("").do(Event{Kind: TaskFinished, ID: "s"}).says("start (plan) 2")
	l.planned(Task{ID: "s", Kind: Stream, Revision: "AB"}).says("start s 2").do(Event{Kind: TaskFinished, ID: "s"}).says("finish")

	l = newLife(t, Options{}).planned(all, own).do(Event{Kind: PauseAsked, Tables: []string{"B"}}).says("cancel s B 1")
	l.do(Event{Kind: TaskFinished, ID: "s"}).do(Event{Kind: TaskFinished, ID: "s B"}).says("finish") // it was quicker
	l = newLife(t, Options{}).planned(all, own).do(Event{Kind: PauseAsked, Tables: []string{"B"}})
	l.do(Event{Kind: TaskStopped, ID: "s B"}).do(Event{Kind: TaskFinished, ID: "s"}).says("").stands("paused: s finished, s B paused")
	l.do(Event{Kind: ResumeAsked, Tables: []string{"B"}}).says("start s B 2").do(Event{Kind: TaskFinished, ID: "s B"}).says("start (plan) 2")
}

func TestStep_when_a_table_that_stands_apart_is_not_there(t *testing.T) {
	l := newLife(t, Options{}).do(Event{Kind: PauseAsked, Tables: []string{"B"}}).says("cancel (plan) 1")
	l.do(Event{Kind: TaskStopped, ID: PlanID}).planned(stream).do(Event{Kind: ResumeAsked, Tables: []string{"B"}})
	l.state, l.did = Resume(l.state, l.now)
	if l.planned(stream); len(l.state.Tables) > 0 {
		t.Errorf("%+v", l.state.Tables)
	}
}

func TestStep_when_a_table_is_read_again(t *testing.T) {
	all := Task{ID: "s", Kind: Stream, Revision: "AB"}
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB, all)
	l.do(Event{Kind: TaskFinished, ID: "a"}).do(Event{Kind: ResyncAsked, Tables: []string{"B"}}).says("cancel b 1, cancel s 1")
	l.do(Event{Kind: ResyncAsked, Tables: []string{"B"}}).says("") // the same
	l.do(Event{Kind: TaskStopped, ID: "b"}).says("")
	l.do(Event{Kind: TaskStopped, ID: "s"}).says("start (plan) 2")
	l.planned(copyA, Task{ID: "s", Kind: Stream, Revision: "A"}).says("start s 2, start (resync) B 1")
	if a := l.did[1]; a.Generation != 1 || a.Task.Table != "B" || a.Task.Kind != Resync {
		t.Errorf("%+v", a)
	}
	l.do(Event{Kind: TaskFailed, ID: "(resync) B", Failure: fatal}).says("raise task failed (resync) B")
	l.do(Event{Kind: ResyncAsked, Tables: []string{"B"}}).says("start (resync) B 2, resolve task failed (resync) B")
	l.do(Event{Kind: TaskFinished, ID: "(resync) B"}).says("start (plan) 3")
	again, own := Task{ID: "b2", Kind: Copy, Table: "B"}, Task{ID: "s B", Kind: Stream, Table: "B", AfterCopies: true}
	l.planned(copyA, again, own, Task{ID: "s", Kind: Stream, Revision: "A"}).says("start b2 3")
	l.do(Event{Kind: TaskFinished, ID: "b2"}).says("start s B 3")
	if b := l.state.table("B"); b.Apart != ApartResyncs || b.Generation != 1 {
		t.Errorf("%+v", b)
	}
}

func TestStep_when_copies_make_tables_whole(t *testing.T) {
	all, others := Task{ID: "s", Kind: Stream, Revision: "AB"}, Task{ID: "s", Kind: Stream, Revision: "A"}
	own := Task{ID: "s B", Kind: Stream, Table: "B"}
	l := newLife(t, Options{}).planned(all)
	tell := func() *life { return l.do(Event{Kind: Healable, ID: "s", Tables: []string{"B"}}) }
	for _, seconds := range []int{5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600} {
		pause := time.Duration(seconds) * time.Second
		if len(tell().did) != 1 {
			t.Fatalf("before a pause of %v: %v", pause, l.did)
		}
		tell().says("") // it is at work
		l.do(Event{Kind: TaskStopped, ID: "s"}).planned(others).do(Event{Kind: TaskFinished, ID: "(resync) B"}).planned(others, own)
		l.now = l.now.Add(pause)
		tell().says("") // of one that took the name once more: the one before comes back first
		l.now = l.now.Add(-pause)
		l.do(Event{Kind: CaughtUp, ID: "s B"}).do(Event{Kind: TaskStopped, ID: "s B"}).do(Event{Kind: TaskStopped, ID: "s"}).planned(all)
		l.now = l.now.Add(pause - time.Second)
		tell().says("")
		l.now = l.now.Add(time.Second)
	}
	l.now = l.now.Add(25 * time.Hour)
	if tell(); l.state.table("B").Heals != 1 {
		t.Errorf("%+v", l.state.table("B"))
	}
	l = newLife(t, Options{}).planned(all)
	var names []string
	for i := range MostApart + 1 {
		names = append(names, fmt.Sprint("t", i))
	}
	if l.do(Event{Kind: Healable, ID: "s", Tables: names}); len(l.state.Apart()) != MostApart {
		t.Errorf("%d tables stand apart", len(l.state.Apart()))
	}
}

func TestStep_when_edited(t *testing.T) {
	edit := func(version uint64, c Consequence, tables ...string) Event {
		return Event{Kind: EditAsked, Spec: version, Changed: []Change{{Field: "f", Consequence: c, Tables: tables}}}
	}
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB).do(Event{Kind: TaskFinished, ID: "a"})
	l.do(edit(2, TakenOver)).says("").do(edit(2, Restarts)).says("").do(edit(1, Restarts)).says("")
	l.do(edit(3, Restarts)).says("cancel b 1").do(Event{Kind: TaskFinished, ID: "b"}).says("start b 2") // finished under the old one
	if l.did[0].Spec != 3 {
		t.Errorf("started with version %d", l.did[0].Spec)
	}
	l.do(edit(4, Replans)).says("start (plan) 2").do(edit(5, Replans)).says("cancel (plan) 2")
	l.planned(copyA).says("start (plan) 3") // b is not gone: that plan was for the version before
	other := copyB
	other.Revision = "2"
	l.planned(copyA, other).says("cancel b 2").do(Event{Kind: TaskStopped, ID: "b"}).says("start b 3")
	l.do(edit(6, Replans)).planned(copyA).says("cancel b 3").do(Event{Kind: TaskStopped, ID: "b"}).says("finish")

	l = newLife(t, Options{}).planned(copyA).do(Event{Kind: TaskFailed, ID: "a", Failure: fatal})
	l.do(edit(2, Restarts)).says("start a 2, resolve task failed a, resolve job failed ")
	l.do(edit(3, Resyncs, "A")).says("cancel a 2").do(Event{Kind: TaskStopped, ID: "a"}).says("start (plan) 2")
}

func TestStep_when_planning_fails(t *testing.T) {
	l := newLife(t, Options{EndOnFailure: true})
	l.do(Event{Kind: TaskFound, ID: PlanID, Tasks: []Task{copyA}}).do(Event{Kind: TaskFailed, ID: PlanID, Failure: busy}).says("cancel a 1, raise task failed (plan)")
	l.do(Event{Kind: TaskStopped, ID: "a"})
	if l.did[0].Kind != Finish || l.did[0].Failure.Code != fault.SourceBusy {
		t.Errorf("%+v", l.did)
	}
	l = newLife(t, Options{}).do(Event{Kind: TaskFailed, ID: PlanID, Failure: busy}).says("wake 1s").stands("retrying:")
	l.now = l.now.Add(time.Second)
	l.do(Event{Kind: Tick}).says("start (plan) 2").do(Event{Kind: TaskFailed, ID: PlanID, Failure: fatal}).stands("failed:")
}

func TestStep_when_the_clock_is_set_back(t *testing.T) {
	l := newLife(t, Options{}).planned(copyA).do(Event{Kind: TaskFailed, ID: "a", Failure: busy}).says("wake 1s")
	l.now = l.now.Add(-24 * time.Hour)
	l.do(Event{Kind: Tick}).says("start a 2")
}

func TestResume_when_the_engine_is_gone(t *testing.T) {
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB, stream)
	l.do(Event{Kind: TaskFinished, ID: "a"}).do(Event{Kind: TaskStarted, ID: "b", Worker: "w"})
	l.state, l.did = Resume(l.state, l.now)
	l.says("start (plan) 2").stands("preparing: a finished, b unassigned, s unassigned")
	l.do(Event{Kind: TaskFinished, ID: "b", Attempt: 1}).says("") // of the life before
	l.planned(copyA, copyB, stream).says("start b 2")
	l.do(Event{Kind: PauseAsked}).state, l.did = Resume(l.state, l.now)
	l.says("").stands("paused: a finished, b paused, s paused")
}

func TestTableStatus(t *testing.T) {
	l := newLife(t, Options{Parallel: 1}).planned(copyA, copyB).do(Event{Kind: TaskFailed, ID: "a", Failure: fatal})
	for name, want := range map[string]Status{"A": Failed, "B": Preparing, "C": Finished} {
		if got, _ := l.state.TableStatus(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestConsequence_of_every_effect(t *testing.T) {
	for e, want := range map[Effect]Consequence{Follows: TakenOver, Applies: Restarts, Checked: Restarts, Lists: Replans, Adds: Replans, Leaves: Replans, Chooses: Replans} {
		if got := e.Consequence(); got != want {
			t.Errorf("%s: %s", e, got)
		}
	}
}

// BenchmarkStep is a step of a job of ten thousand tasks.
func BenchmarkStep(b *testing.B) {
	now := time.Unix(1e9, 0)
	s, _ := Resume(New(Options{Parallel: 4}, 1, now), now)
	e := Event{Kind: Planned, ID: PlanID, Attempt: 1, Now: now}
	for i := range 10_000 {
		e.Tasks = append(e.Tasks, Task{ID: fmt.Sprint("copy ", i), Kind: Copy, Table: fmt.Sprint("shop.t", i/4)})
	}
	s, _ = Step(s, e)
	for b.Loop() {
		if _, actions := Step(s, Event{Kind: TaskFinished, ID: "copy 0", Attempt: 1, Now: now}); len(actions) != 1 {
			b.Fatal(actions)
		}
	}
}
