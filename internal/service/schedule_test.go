package service

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/job"
)

func TestCron_when_the_next_start_is_asked_for(t *testing.T) {
	for _, c := range []struct{ text, after, want string }{
		{"* * * * *", "2026-11-21T14:00:00Z", "2026-11-21T14:01:00Z"},
		{"* * * * *", "2026-11-21T14:00:59Z", "2026-11-21T14:01:00Z"},
		{"*/15 * * * *", "2026-11-21T14:46:00Z", "2026-11-21T15:00:00Z"},
		{"5/20 * * * *", "2026-11-21T14:06:00Z", "2026-11-21T14:25:00Z"},
		{"30 2 * * *", "2026-11-21T02:30:00Z", "2026-11-22T02:30:00Z"},
		{"0 9-17/4 * * *", "2026-11-21T09:00:00Z", "2026-11-21T13:00:00Z"},
		{"0 0 1 * *", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 * * mon-fri", "2026-11-20T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"0 0 * * 7", "2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z"},
		{"0 0 * * sat,SUN", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
		{"0 0 13 * fri", "2026-11-14T00:00:00Z", "2026-11-20T00:00:00Z"}, // either day will do
		{"0 0 */13 * fri", "2026-11-14T00:00:00Z", "2026-11-27T00:00:00Z"},
		{"59 23 31 dec *", "2026-11-21T00:00:00Z", "2026-12-31T23:59:00Z"},
		{"CRON_TZ=Europe/Berlin 0 6 * * *", "2026-07-01T00:00:00Z", "2026-07-01T04:00:00Z"},
		{"CRON_TZ=Europe/Berlin 0 6 * * *", "2026-12-01T00:00:00Z", "2026-12-01T05:00:00Z"},
		{"CRON_TZ=Asia/Kolkata 0 0 * * *", "2026-12-01T00:00:00Z", "2026-12-01T18:30:00Z"},
		// Summer begins on 2026-03-29: 02:00 to 03:00 is skipped.
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		{"CRON_TZ=Europe/Berlin */30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
		{"CRON_TZ=Europe/Berlin */30 * * * *", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"},
		// It ends on 2026-10-25: 02:00 to 03:00 comes twice.
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"CRON_TZ=Europe/Berlin 30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"CRON_TZ=Europe/Berlin 30 * * * *", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"},
		{"CRON_TZ=America/Havana 30 0 * * *", "2026-03-07T12:00:00Z", "2026-03-08T05:30:00Z"}, // midnight itself is skipped
		{"CRON_TZ=Australia/Lord_Howe 45 1 * * *", "2026-04-04T13:00:00Z", "2026-04-04T14:45:00Z"},
		{"CRON_TZ=Australia/Lord_Howe 45 1 * * *", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}, // half an hour came twice
	} {
		s, err := parseCron(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		after, _ := time.Parse(time.RFC3339, c.after)
		if got := s.next(after).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s after %s: %s, expected %s", c.text, c.after, got, c.want)
		}
	}
}

// A schedule is as it is said to be: every minute is looked at, one by one.
func TestCron_when_every_minute_is_looked_at(t *testing.T) {
	for _, text := range []string{"*/7 1-5,20 * * *", "0 0 1,15 * mon", "CRON_TZ=America/New_York 0 */6 * * *", "13 * */10 11,dec *"} {
		c, err := parseCron(text)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		want := c.next(at)
		for range 60 * 24 * 40 {
			at = at.Add(time.Minute)
			shown := at.In(c.zone)
			is := c.minute>>shown.Minute()&1 == 1 && c.hour>>shown.Hour()&1 == 1 && c.onDay(shown)
			if is != at.Equal(want) {
				t.Fatalf("%s at %s: %v, next said %s", text, shown, is, want)
			}
			if is {
				want = c.next(at)
			}
		}
	}
}

func TestCron_when_it_is_wrong(t *testing.T) {
	for _, text := range []string{
		"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "a * * * *", "1-a * * * *", "5-1 * * * *",
		"*/0 * * * *", "*/61 * * * *", "*/x * * * *", ", * * * *", "1,,2 * * * *", "-1 * * * *", "+1 * * * *", "0 0 31 2 *", "0 0 30 feb *", "@daily",
		"CRON_TZ=Nowhere/Land * * * * *", "CRON_TZ=Local * * * * *", "CRON_TZ= * * * * *", "CRON_TZ=../../etc/passwd * * * * *", "* * * jan-x *", "fri * * * *",
	} {
		if c, err := parseCron(text); err == nil {
			t.Errorf("%q was taken as %+v", text, c)
		}
	}
}

// reloading is work that gives on what it is told of its job file.
func reloading(to chan *job.Spec) *script {
	w := &script{tasks: []job.Task{{ID: "range", Kind: job.Copy}}}
	w.around = func(ctx context.Context, o engine.Options) {
		select {
		case spec := <-o.Reload:
			to <- spec
		case <-ctx.Done():
		}
	}
	return w
}

// scheduled runs a test in a bubble with a clock of its own, from 2000-01-01.
func scheduled(t *testing.T, test func(*testing.T, *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir + "/state", engine: &fake{}, secrets: map[string]string{"SECRET": canary}}
		w.open()
		defer func() { w.close() }()
		test(t, w)
	})
}

// pass lets time pass.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func (w *world) runs(name string, want int) {
	w.t.Helper()
	if got := len(w.engine.lived(name)); got != want {
		w.t.Errorf("at %s %s has run %d times, expected %d", time.Now().UTC().Format(time.TimeOnly), name, got, want)
	}
}

func TestSchedule_when_runs_are_due(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.engine.set("shop", &script{tasks: copies("a"), run: done})
		if _, err := w.Submit(t.Context(), ana, "", api.Submission{File: snapshotFile("shop"), Schedule: "0 * * * *"}); err != nil {
			t.Fatal(err)
		}
		pass(t, 30*time.Minute)
		v, err := w.Show(t.Context(), "shop")
		if err != nil || v.Standing.Status != api.StatusUnassigned || v.Health != api.JobHealthIdle || len(v.Schedule.Next) != 3 || !v.Schedule.Next[2].Equal(time.Date(2000, 1, 1, 3, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v, %v", v, err)
		}
		w.runs("shop", 0)
		pass(t, 31*time.Minute)
		w.runs("shop", 1)
		pass(t, 2*time.Hour)
		w.runs("shop", 3)
		w.act("shop", api.ActActStart) // now
		pass(t, time.Minute)
		w.runs("shop", 4)
		w.close()
		pass(t, 5*time.Hour)
		w.open()
		pass(t, 5*time.Second)
		w.runs("shop", 5) // five starts were missed; one is made up for
		w.act("shop", api.ActActPause)
		pass(t, 3*time.Hour)
		w.runs("shop", 5)
		w.act("shop", api.ActActResume)
		pass(t, 5*time.Second)
		w.runs("shop", 6)
		w.act("shop", api.ActActStop)
		pass(t, 3*time.Hour)
		w.runs("shop", 6)
		if ran := w.engine.work("shop").names(); !rises(ran) {
			t.Errorf("attempts: %q", ran)
		}
		if got := strings.Join(w.whats("shop"), "\n"); strings.Count(got, "schedule start done") != 5 {
			t.Error(got)
		}
	})
}

func TestSchedule_when_a_run_is_longer_than_its_interval(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.engine.set("shop", &script{tasks: copies("a"), run: func(ctx context.Context, _ string, _ uint64) error {
			select {
			case <-time.After(90 * time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		if _, err := w.Submit(t.Context(), ana, "", api.Submission{File: snapshotFile("shop"), Schedule: "0 * * * *"}); err != nil {
			t.Fatal(err)
		}
		pass(t, 61*time.Minute)
		w.runs("shop", 1)
		pass(t, 100*time.Minute) // 02:41: the start at 02:00 came while it ran
		w.runs("shop", 1)
		pass(t, 20*time.Minute)
		w.runs("shop", 2)
	})
}

func TestSchedule_when_a_file_job_goes_in_rounds(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.engine.set("media", &script{tasks: copies("a"), run: done})
		w.submit(everyFile("media", "10m"))
		pass(t, 5*time.Second)
		w.runs("media", 1)
		pass(t, 35*time.Minute)
		w.runs("media", 4)
		v, err := w.Show(t.Context(), "media")
		if err != nil || v.Schedule == nil || v.Schedule.Text != "every 10m" || len(v.Schedule.Next) != 3 {
			t.Errorf("%+v, %v", v.Schedule, err)
		}
		w.crash()
		pass(t, 10*time.Minute)
		w.runs("media", 5)
		_, err = w.Edit(t.Context(), ana, "media", api.EditRequest{Version: 1, Schedule: new(string)})
		if err != nil {
			t.Error(err)
		}
		every := "0 0 * * *"
		if _, err = w.Edit(t.Context(), ana, "media", api.EditRequest{Version: 1, Schedule: &every}); err == nil {
			t.Error("a job has two schedules")
		}
	})
}

func TestSchedule_when_a_round_fails(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		var down atomic.Bool
		down.Store(true)
		w.engine.set("media", &script{tasks: copies("a"), run: done, find: func(context.Context) error {
			if down.Load() {
				return errDown
			}
			return nil
		}})
		w.submit(everyFile("media", "10m"))
		pass(t, time.Minute)
		if v, err := w.Show(t.Context(), "media"); err != nil || v.Standing.Status != api.StatusFailed {
			t.Errorf("%+v, %v", v, err)
		}
		down.Store(false)
		pass(t, 10*time.Minute)
		if v, err := w.Show(t.Context(), "media"); err != nil || v.Standing.Status != api.StatusFinished {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestFollow_when_a_job_runs(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.submit(tableFile("shop"))
		pass(t, 2*time.Second) // it has begun, and followers would know
		var jobs []api.Job
		ctx, cancel := context.WithTimeout(t.Context(), 3*idleNews+time.Second)
		defer cancel()
		_ = w.Follow(ctx, 0, "shop", func(h Happening) error {
			if h.Type == "job" {
				jobs = append(jobs, jobOf(h.Data))
			}
			return nil
		})
		running := 0
		for _, v := range jobs {
			if v.Standing.Status == api.StatusRunning {
				running++
			}
		}
		// Nothing moves.
		if running != 3 || jobs[len(jobs)-1].Progress == nil {
			t.Errorf("%d of %d events tell that it runs", running, len(jobs))
		}
	})
}

// jobOf is a job as followers are told of it.
func jobOf(data any) (j api.Job) {
	if err := json.Unmarshal(data.(json.RawMessage), &j); err != nil {
		panic(err)
	}
	return j
}
