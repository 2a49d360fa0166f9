package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/test/golden"
)

// full is a failure that a sink caused.
func full(sink string) *Failure {
	return FailureOf(fault.InSink(sink, fault.New(fault.TargetFull, "no space").At("/data").By(errors.New("ENOSPC")).Try("free some")))
}

// sinks compares how sinks a and b stand, e.g. "running: ; unassigned: waits: BUSY".
func (l *life) sinks(want string) *life {
	l.t.Helper()
	a, b := l.state.SinkStanding("a"), l.state.SinkStanding("b")
	if got := fmt.Sprintf("%v: %s; %v: %s", a.Status, a.Reason, b.Status, b.Reason); got != want {
		l.t.Fatalf("got  %q\nwant %q\n%+v", got, want, l.state)
	}
	return l
}

func TestSinkStanding(t *testing.T) {
	l := newLife(t, Options{}).sinks("preparing: ; preparing: ")
	l.do(Event{Kind: TaskStarted, ID: PlanID}).sinks("preparing: ; preparing: ")
	l.planned(stream).do(Event{Kind: TaskStarted, ID: "s", Worker: "w"}).sinks("running: ; running: ")
	l.now = l.now.Add(time.Hour)
	l.do(Event{Kind: TaskFailed, ID: "s", Failure: busy}).sinks("unassigned: waits: SOURCE_BUSY; unassigned: waits: SOURCE_BUSY")
	l.do(Event{Kind: RetryAsked}).do(Event{Kind: TaskFailed, ID: "s", Failure: FailureOf(fault.InSink("b", fault.New(fault.TargetFailed, "away")))})
	l.sinks("unassigned: waits: sink b, TARGET_FAILED; retrying: TARGET_FAILED")
	b := l.state.SinkStanding("b")
	if b.Failure == nil || b.Failure.What != "away" || b.Attempt != 2 || b.Fruitless != 1 || b.NotBefore.IsZero() || !b.Since.Equal(l.now) {
		t.Errorf("%+v", b)
	}
	if a := l.state.SinkStanding("a"); a.Failure != nil || a.Fruitless != 0 {
		t.Errorf("%+v", a)
	}
	l.do(Event{Kind: RetryAsked}).do(Event{Kind: TaskStarted, ID: "s", Worker: "w"}).sinks("running: ; running: ")
	if b := l.state.SinkStanding("b"); b.Failure != nil || b.Worker != "w" {
		t.Errorf("what is over is told: %+v", b)
	}
	l.do(Event{Kind: PauseAsked, By: "ana"}).do(Event{Kind: TaskStopped, ID: "s"}).sinks("paused: paused by ana; paused: paused by ana")
}

func TestSinkStanding_when_tasks_carry_some(t *testing.T) {
	both, one := copyA, copyB
	both.Sinks, one.Sinks = "a b", "a"
	l := newLife(t, Options{Parallel: 2}).planned(both, one)
	l.do(Event{Kind: TaskStarted, ID: "b"}).sinks("running: ; preparing: ")
	l.do(Event{Kind: TaskFailed, ID: "a", Failure: full("b")}).sinks("running: ; failed: TARGET_FULL")
	l.do(Event{Kind: TaskFailed, ID: "b", Failure: FailureOf(fault.InSink("a", fault.New(fault.TargetFailed, "away")))})
	l.sinks("retrying: TARGET_FAILED; failed: TARGET_FULL")
	l.do(Event{Kind: RetryAsked, Only: []string{"a"}}).do(Event{Kind: TaskFailed, ID: "a", Failure: full("a")})
	if a := l.state.SinkStanding("a"); a.Status != Retrying || a.Failure.Code != fault.TargetFull {
		t.Errorf("what failed for good is not told first: %+v", a)
	}
}

func TestSinkStanding_when_the_job_ends(t *testing.T) {
	l := newLife(t, Options{EndOnFailure: true}).planned(stream).do(Event{Kind: TaskFailed, ID: "s", Failure: full("b")})
	l.sinks("stopped: the job ends: sink b, TARGET_FULL; failed: TARGET_FULL")
	newLife(t, Options{}).planned(stream).do(Event{Kind: TaskFinished, ID: "s"}).sinks("finished: ; finished: ")
}

func TestSinkStanding_since(t *testing.T) {
	l := newLife(t, Options{Parallel: 2}).planned(copyA, copyB)
	began := l.now
	l.do(Event{Kind: TaskStarted, ID: "a"})
	l.now = l.now.Add(time.Minute)
	l.do(Event{Kind: TaskStarted, ID: "b"})
	first := l.state.SinkStanding("a")
	if !first.Since.Equal(began) {
		t.Errorf("two run, since %v", first.Since)
	}
	l.do(Event{Kind: TaskFinished, ID: "a"})
	if now := l.state.SinkStanding("a"); !now.Since.Equal(l.now) || !now.After(first).Since.Equal(began) {
		t.Errorf("it runs since %v, and after what was before since %v", now.Since, now.After(first).Since)
	}
	l.do(Event{Kind: TaskFailed, ID: "b", Failure: full("a")})
	failed := l.state.SinkStanding("a")
	if !failed.After(first).Since.Equal(l.now) || !failed.After(Standing{}).Since.Equal(l.now) {
		t.Errorf("it failed at %v", failed.After(first).Since)
	}
	if later := (Standing{Status: Failed, Since: began}); !later.After(failed).Since.Equal(began) {
		t.Error("a standing since then is one since later")
	}

	l = newLife(t, Options{Parallel: 2}).planned(copyA, copyB).do(Event{Kind: TaskFailed, ID: "a", Failure: full("a")})
	l.now = l.now.Add(time.Minute)
	l.do(Event{Kind: TaskFailed, ID: "b", Failure: full("a")})
	if s := l.state.SinkStanding("a"); !s.Since.Equal(l.now) {
		t.Errorf("nothing runs since %v, not since %v", l.now, s.Since)
	}
}

// TestState_golden_with_sinks: sinks came into the form later, and states without them
// are read as before (TestState_golden).
func TestState_golden_with_sinks(t *testing.T) {
	some := stream
	some.Sinks = "a b"
	l := newLife(t, Options{EndOnFailure: true}).planned(some).do(Event{Kind: TaskFailed, ID: "s", Failure: full("b")})
	got, err := json.MarshalIndent(l.state, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/state-v1-sinks.json", append(got, '\n'))
	var read State
	if err := json.Unmarshal(got, &read); err != nil || !same(read, l.state) {
		t.Errorf("%v: %+v", err, read)
	}
	if back := FailureOf(read.Failure.Err()); *back != *read.Failure || back.Sink != "b" {
		t.Errorf("%+v", back)
	}
}
