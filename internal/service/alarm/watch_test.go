package alarm

import (
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// scene is a job as Watch sees it, second by second.
type scene struct {
	*rig
	j api.Job
	p *watch.Progress // nil: none; sampled anew at each look
}

func newScene(t *testing.T, change func(*Options)) *scene {
	s := &scene{rig: newRig(t, change)}
	s.j.Wish.Desired = api.DesiredRunning
	s.j.Standing.Status = api.StatusRunning
	s.p = &watch.Progress{Phase: watch.Stream, Changes: &watch.Changes{Lag: watch.Lag{State: watch.Unknown}}}
	return s
}

// run watches once a second, for a time.
func (s *scene) run(d time.Duration) {
	for end := s.clock.read().Add(d); s.clock.read().Before(end); s.pass(time.Second) {
		s.look()
	}
}

// look watches once.
func (s *scene) look() {
	if s.p != nil {
		s.p.Sampled = s.clock.read()
	}
	s.Watch("j", s.j, s.p)
}

// hours watches every 10 s, for long times.
func (s *scene) hours(n float64) {
	for end := s.clock.read().Add(time.Duration(n * float64(time.Hour))); s.clock.read().Before(end); s.pass(10 * time.Second) {
		s.look()
	}
}

// holding compares the kinds that hold.
func (s *scene) holding(t *testing.T, kinds ...string) {
	t.Helper()
	var got []string
	for _, a := range s.list(t, api.ListAlarmsParams{Job: "j"}) {
		got = append(got, a.Kind)
		if a.What == "" || a.Hint == "" || a.On != "" {
			t.Errorf("the alarm says too little: %+v", a)
		}
	}
	if strings.Join(got, ", ") != strings.Join(kinds, ", ") {
		t.Fatalf("%q hold, want %q", got, kinds)
	}
}

func (s *scene) what(t *testing.T) string {
	t.Helper()
	all := s.list(t, api.ListAlarmsParams{Job: "j"})
	if len(all) == 0 {
		t.Fatal("nothing holds")
	}
	return all[0].What
}

func (s *scene) lags(seconds float64) {
	s.p.Changes.Lag = watch.Lag{State: watch.Behind, Seconds: &seconds, Sink: "pg"}
	if seconds == 0 {
		s.p.Changes.Lag.State = watch.CaughtUp
	}
}

func num(v float64) *float64 { return &v }

func TestWatch_when_desired_is_not_actual(t *testing.T) {
	for _, test := range []struct {
		want      api.Desired
		is        api.Status
		scheduled bool
		wrong     bool
	}{
		{api.DesiredRunning, api.StatusUnassigned, false, true},
		{api.DesiredRunning, api.StatusUnassigned, true, false},
		{api.DesiredRunning, api.StatusPreparing, false, false},
		{api.DesiredRunning, api.StatusRunning, false, false},
		{api.DesiredRunning, api.StatusRetrying, false, false},
		{api.DesiredRunning, api.StatusStopping, false, true},
		{api.DesiredRunning, api.StatusStopping, true, true},
		{api.DesiredRunning, api.StatusPaused, true, true},
		{api.DesiredRunning, api.StatusStopped, false, true},
		{api.DesiredRunning, api.StatusStopped, true, false},
		{api.DesiredRunning, api.StatusFailed, false, false}, // another alarm says so
		{api.DesiredRunning, api.StatusFinished, false, false},
		{api.DesiredPaused, api.StatusRunning, false, true},
		{api.DesiredPaused, api.StatusPreparing, false, true},
		{api.DesiredPaused, api.StatusRetrying, false, true},
		{api.DesiredPaused, api.StatusStopping, false, true},
		{api.DesiredPaused, api.StatusPaused, false, false},
		{api.DesiredPaused, api.StatusUnassigned, false, false},
		{api.DesiredStopped, api.StatusRunning, false, true},
		{api.DesiredStopped, api.StatusPaused, false, true},
		{api.DesiredStopped, api.StatusStopped, false, false},
		{api.DesiredStopped, api.StatusFinished, false, false},
	} {
		s := newScene(t, nil)
		s.j.Wish.Desired, s.j.Standing.Status = test.want, test.is
		if test.scheduled {
			s.j.Schedule = &api.Schedule{}
		}
		s.run(time.Minute)
		s.holding(t)
		s.run(2 * time.Second)
		if (s.Count("j") == 1) != test.wrong {
			t.Errorf("%+v: %d alarms", test, s.Count("j"))
		}
		s.Board.Close()
	}
}

func TestWatch_when_what_is_desired_comes_late(t *testing.T) {
	s := newScene(t, nil)
	s.j.Wish.Desired = api.DesiredPaused
	s.run(50 * time.Second)
	s.j.Standing.Status = api.StatusStopping // still not there
	s.run(12 * time.Second)
	s.holding(t, Desired)
	if what := s.what(t); !strings.Contains(what, "to be paused and is stopping, for more than 1 m") {
		t.Error(what)
	}
	s.j.Standing.Status = api.StatusPaused
	s.run(time.Second)
	s.holding(t)
	// Somebody changes his mind: that has its own minute.
	s.j.Wish.Desired = api.DesiredRunning
	s.run(50 * time.Second)
	s.j.Wish.Desired = api.DesiredStopped
	s.run(50 * time.Second)
	s.holding(t)
	s.run(12 * time.Second)
	s.holding(t, Desired)
	s.j.Wish = api.Wish{} // nobody said: it is to run
	s.j.Standing.Status = api.StatusRunning
	s.run(time.Second)
	s.holding(t)
}

func TestWatch_when_a_sink_lags(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Lag = 5 * time.Minute })
	s.lags(300)
	s.run(2 * time.Minute)
	s.holding(t)
	s.lags(301)
	s.run(time.Second)
	s.holding(t, Lag)
	if what := s.what(t); what != "pg is more than 5 m behind the source" {
		t.Error(what)
	}
	s.lags(250)
	s.run(50 * time.Second)
	s.holding(t, Lag) // it is not over after a moment
	s.lags(400)
	s.run(time.Second)
	s.lags(0)
	s.run(50 * time.Second)
	s.holding(t, Lag)
	s.p.Changes.Lag = watch.Lag{State: watch.Unknown}
	s.run(time.Hour)
	s.holding(t, Lag) // what nobody knows resolves nothing
	s.p.Changes.Lag = watch.Lag{State: watch.Behind}
	s.run(time.Hour)
	s.holding(t, Lag)
	s.lags(0)
	s.run(62 * time.Second)
	s.holding(t)
}

func TestWatch_when_a_lagging_job_is_paused(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Lag = time.Minute })
	s.lags(61)
	s.run(time.Second)
	s.holding(t, Lag)
	s.j.Wish.Desired, s.j.Standing.Status, s.p = api.DesiredPaused, api.StatusPaused, nil
	s.run(62 * time.Second)
	s.holding(t)
}

func TestWatch_when_there_is_no_limit_of_lag(t *testing.T) {
	s := newScene(t, nil)
	s.lags(1e6)
	s.hours(1)
	s.holding(t)
}

func TestWatch_when_it_falls_behind_until_the_log_is_lost(t *testing.T) {
	s := newScene(t, nil)
	s.lags(3600)
	s.p.KeptFor, s.p.Reach = num(7*86400), num(7*86400)
	s.p.Changes.Falling, s.p.Changes.LostIn = num(30), num(80*3600)
	s.hours(1)
	s.holding(t) // that is far away
	s.p.Changes.LostIn = num(50*3600 + 100)
	s.run(9 * time.Minute)
	s.holding(t) // perhaps it was a peak
	s.run(2 * time.Minute)
	s.holding(t, Lag)
	if what := s.what(t); what != "pg falls behind: at this rate the source's log loses what it needs in about 2 d 2 h" {
		t.Error(what)
	}
	s.p.Changes.Falling, s.p.Changes.LostIn, s.p.Changes.CatchUp = nil, nil, num(600)
	s.run(62 * time.Second)
	s.holding(t)
}

func TestWatch_when_the_log_is_about_to_be_lost(t *testing.T) {
	s := newScene(t, nil)
	s.p.KeptFor, s.p.Reach = num(48*3600), num(48*3600)
	s.lags(41 * 3600)
	s.run(2 * time.Minute)
	s.holding(t)
	s.lags(42*3600 + 30)
	s.run(time.Second)
	s.holding(t, Retention)
	if what := s.what(t); what != "the source's log loses what the job needs next in about 5 h" {
		t.Error(what)
	}
	s.p.Changes.CatchUp = num(600) // it gets away from there
	s.run(62 * time.Second)
	s.holding(t)
	s.p.Changes.CatchUp = nil
	s.p.Changes.Falling, s.p.Changes.LostIn = num(1), num(400*3600) // slower than the log goes
	s.run(62 * time.Second)
	s.holding(t)
	s.p.Changes.LostIn = num(5 * 3600)
	s.run(time.Second)
	s.holding(t, Retention)
	s.p.KeptFor, s.p.Changes.LostIn = nil, nil // somebody lifted the limit
	s.run(62 * time.Second)
	s.holding(t)
}

func TestWatch_when_the_limit_of_retention_is_set(t *testing.T) {
	s := newScene(t, func(o *Options) { o.RetentionLeft = 12 * time.Hour })
	s.p.KeptFor = num(72 * 3600)
	s.lags(61 * 3600)
	s.run(time.Second)
	s.holding(t, Retention)
}

// Of a log that is kept for an hour, six hours are never left.
func TestWatch_when_the_log_is_kept_for_a_short_time(t *testing.T) {
	s := newScene(t, nil)
	s.p.KeptFor = num(3600)
	s.lags(40 * 60)
	s.run(2 * time.Minute)
	s.holding(t)
	s.lags(46 * 60)
	s.run(time.Second)
	s.holding(t, Retention)
}

func TestWatch_when_the_log_was_purged(t *testing.T) {
	s := newScene(t, nil)
	s.p.Reach = num(3600) // nothing limits it, so somebody removed it by hand
	s.lags(3650)
	s.run(2 * time.Minute)
	s.holding(t)
	s.lags(3700)
	s.run(time.Second)
	s.holding(t, Retention)
	if what := s.what(t); !strings.Contains(what, "may have lost") {
		t.Error(what)
	}
}

// A log goes on losing things while a job is paused, and while its source does not
// answer.
func TestWatch_when_a_job_rests_for_days(t *testing.T) {
	for name, rest := range map[string]func(*scene){
		"paused": func(s *scene) { s.j.Wish.Desired, s.j.Standing.Status, s.p = api.DesiredPaused, api.StatusPaused, nil },
		"unreachable": func(s *scene) {
			s.j.Standing.Status, s.p.Changes.Lag = api.StatusRetrying, watch.Lag{State: watch.Unknown}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			s.p.KeptFor = num(48 * 3600)
			s.lags(0)
			s.run(time.Second)
			rest(s)
			s.hours(41.9)
			s.holding(t)
			s.hours(0.2)
			s.holding(t, Retention)
			s.hours(7)
			if what := s.what(t); !strings.Contains(what, "may have lost") {
				t.Error(what)
			}
			if n := len(s.told); n > 20 {
				t.Errorf("told %d times: its text changes too often", n)
			}
			s.j.Wish.Desired, s.j.Standing.Status = api.DesiredStopped, api.StatusStopped // who stops it knows
			s.run(62 * time.Second)
			s.holding(t)
		})
	}
}

// A progress of the past says nothing of now: it neither keeps an alarm nor ends it.
func TestWatch_when_the_progress_is_stale(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Lag = time.Minute })
	s.lags(0)
	s.p.KeptFor = num(48 * 3600)
	s.run(time.Second)
	old := *s.p
	for end := s.now().Add(43 * time.Hour); s.now().Before(end); s.pass(10 * time.Second) {
		s.Watch("j", s.j, &old)
	}
	s.holding(t, Retention)
}

func TestWatch_when_the_snapshot_takes_too_long(t *testing.T) {
	s := newScene(t, nil)
	s.p = &watch.Progress{Phase: watch.Snapshot, Started: s.now(), KeptFor: num(24 * 3600), Left: &watch.Left{Seconds: 20 * 3600}}
	s.hours(2)
	s.holding(t)
	s.p.Left.Seconds = 23 * 3600
	s.run(time.Second)
	s.holding(t, Retention)
	if what := s.what(t); what != "the snapshot needs the source's log for about 23 h more, and it loses what is needed in about 22 h" &&
		what != "the snapshot needs the source's log for about 23 h more, and it loses what is needed in about 21 h" {
		t.Error(what)
	}
	s.p.Left.Seconds = 10 * 3600
	s.run(62 * time.Second)
	s.holding(t)
	s.p.Left = nil
	s.hours(16.1)
	s.holding(t, Retention)
	s.j.Standing.Status = api.StatusFinished
	s.run(62 * time.Second)
	s.holding(t)
}

func TestWatch_when_nothing_is_known(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Lag = time.Second })
	s.hours(1)
	s.p = nil
	s.hours(100)
	s.p = &watch.Progress{Files: &watch.Objects{}}
	s.hours(1)
	s.holding(t)
}

func TestWatch_when_the_clock_is_put_back(t *testing.T) {
	s := newScene(t, nil)
	s.j.Wish.Desired = api.DesiredPaused
	s.run(30 * time.Second)
	s.pass(-time.Hour)
	s.run(62 * time.Second)
	s.holding(t, Desired)
}

// An alarm of an earlier process is resolved by what is seen now.
func TestWatch_when_the_server_started_again(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Lag = time.Minute })
	s.lags(100)
	s.run(time.Second)
	s.again(t)
	s.run(time.Second)
	s.holding(t, Lag)
	s.lags(0)
	s.run(62 * time.Second)
	s.holding(t)
}

func TestForget_when_a_job_was_watched(t *testing.T) {
	s := newScene(t, nil)
	s.p.KeptFor = num(48 * 3600)
	s.lags(43 * 3600)
	s.run(time.Second)
	s.holding(t, Retention)
	s.Forget("j")
	s.holding(t)
	s.p = nil // another job of this name: nothing is known of it
	s.run(2 * time.Minute)
	s.holding(t)
}

func TestSpan_when_read(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", time.Minute: "1 m", 90 * time.Second: "1 m 30 s", time.Hour: "1 h",
		25*time.Hour + 59*time.Minute: "1 d 1 h", 52 * time.Hour: "2 d 4 h", 48 * time.Hour: "2 d",
		20 * time.Hour: "20 h", 20 * time.Minute: "20 m",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		50*time.Hour + 59*time.Minute: "about 2 d 2 h", 119 * time.Minute: "about 1 h 50 m", 10 * time.Minute: "about 10 m", 9 * time.Minute: "less than 10 m",
	} {
		if got := about(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
