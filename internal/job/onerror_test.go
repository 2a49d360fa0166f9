package job

import (
	"fmt"
	"testing"

	"godwit/internal/fault"
)

// failing is a task whose sinks have modes, and what they fail with.
func failing(modes string) Task {
	return Task{ID: "s", Kind: Stream, Sinks: "a b", OnError: modes}
}

func of(sink string, code fault.Code) *Failure {
	return &Failure{Code: code, Class: code.Info().Class, What: "no", Sink: sink}
}

func TestStep_when_sinks_fail(t *testing.T) {
	refused, passes, wrong := of("a", fault.RowRefused), of("a", fault.TargetFailed), of("a", fault.TargetRefused)
	for _, c := range []struct {
		what, modes string
		failure     *Failure
		progressed  bool
		attempts    int // until it fails; 0: never
	}{
		{"nothing said, refused", "", refused, false, 1},
		{"nothing said, passes", "", passes, false, MaxFruitless},
		{"another sink's mode", "b:always:3", refused, false, 1},
		{"always, refused", "a:always:3", refused, false, 0},
		{"always, passes", "a:always:3", passes, false, 0},
		{"always, wrong", "a:always:3", wrong, false, 1},
		{"fail, passes", "b:always:3 a:fail:3", passes, false, 1},
		{"fail after, refused", "a:fail_after:4", refused, false, 4},
		{"fail after, refused while others go on", "a:fail_after:4", refused, true, 4},
		{"fail after, passes", "a:fail_after:4", passes, false, 4},
		{"fail after, passes while something goes on", "a:fail_after:4", passes, true, 0},
		{"discard after, refused still", "a:discard_after:2", refused, false, 3},
		{"discard after, passes", "a:discard_after:2", passes, false, 0},
	} {
		l := newLife(t, Options{}).planned(failing(c.modes))
		for n := 1; ; n++ {
			l.do(Event{Kind: TaskFailed, ID: "s", Failure: c.failure, Progressed: c.progressed})
			if l.state.task("s").Status == Failed {
				if n != c.attempts {
					t.Errorf("%s: failed after %d attempts, expected %d", c.what, n, c.attempts)
				}
				break
			}
			if n > 30 {
				if c.attempts != 0 {
					t.Errorf("%s: never failed, expected after %d", c.what, c.attempts)
				}
				if len(l.state.alarms()) == 0 && !c.progressed {
					t.Errorf("%s: no alarm", c.what)
				}
				break
			}
			l.now = l.now.Add(maxBackoff)
			l.do(Event{Kind: Tick})
		}
	}
}

func TestStep_when_rows_are_to_be_put_aside(t *testing.T) {
	refused := of("a", fault.RowRefused)
	l := newLife(t, Options{}).planned(failing("a:discard_after:2 b:discard_after:2 c:fail:3"))
	fail := func(f *Failure, progressed bool) string {
		l.do(Event{Kind: TaskFailed, ID: "s", Failure: f, Progressed: progressed})
		l.now = l.now.Add(maxBackoff)
		l.do(Event{Kind: Tick})
		if len(l.did) == 0 || l.did[0].Kind != StartTask {
			t.Fatalf("%+v", l.did)
		}
		return l.did[0].Discard
	}
	got := fmt.Sprintf("%q", []string{
		fail(refused, true),                   // the other sink went on: that is no fruit of this one
		fail(of("", fault.SourceBusy), false), // says nothing of the row
		fail(refused, false),
		fail(of("", fault.SourceBusy), true), // it lies behind
		fail(refused, false),
		fail(refused, false),
	})
	if want := `["" "" "a b" "" "" "a b"]`; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	l.state, l.did = Resume(l.state, l.now) // the next life tries again first
	l.planned(failing("a:discard_after:2 b:discard_after:2 c:fail:3"))
	for _, a := range l.did {
		if a.Kind == StartTask && a.Discard != "" {
			t.Errorf("%+v", a)
		}
	}
}

func TestErrorModesOf(t *testing.T) {
	sinks := []Sink{{Name: "a", OnError: OnError{DiscardAfter, 3}}, {Name: "b"}, {Name: "c", OnError: OnError{FailAtOnce, 3}}}
	task := Task{OnError: ErrorModesOf(sinks)}
	for _, s := range sinks {
		if got := task.onError(s.Name); got != s.OnError {
			t.Errorf("%s: %+v", s.Name, got)
		}
	}
}
