package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/watch"
)

// Each alarm is raised by what it is about, and resolved when that is over. Differences
// are in verify_test.go and verify_real_test.go.

// kindsOf are the kinds of alarms of a job that hold.
func (w *world) kindsOf(name string) (out []string) {
	w.t.Helper()
	for _, a := range w.alarmsOf(name) {
		kind, _, _ := strings.Cut(a, ": ")
		out = append(out, kind)
	}
	return out
}

func (w *world) holdsNow(name string, want ...string) {
	w.t.Helper()
	if got := w.kindsOf(name); !slices.Equal(got, want) {
		w.t.Errorf("at %s the alarms of %s are %q, expected %q", time.Now().UTC().Format(time.TimeOnly), name, w.alarmsOf(name), want)
	}
}

// stream is a job whose source writes once a second, and whose sink commits that unless
// it is stuck.
func stream(stuck *atomic.Bool, kept time.Duration) *script {
	s := &script{tasks: []job.Task{{ID: "stream", Kind: job.Stream}}}
	s.around = func(ctx context.Context, o engine.Options) {
		o.Watch.Phase(watch.Stream)
		o.Watch.Retention(kept, kept)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		began := time.Now()
		for n := 1; ; n++ {
			at := position.New("log", fmt.Sprintf("%08d", int(time.Since(began).Seconds())), "")
			o.Watch.Streamed(1, 100, at)
			o.Watch.Head(at, 0, time.Now())
			if !stuck.Load() || n == 1 {
				o.Watch.Committed("lake", 1, at, time.Now().UnixMicro())
			}
			select {
			case <-second.C:
			case <-ctx.Done():
				return
			}
		}
	}
	return s
}

func TestAlarm_when_a_job_does_not_become_what_it_is_to_be(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		commit := make(chan struct{})
		w.engine.set("shop", &script{tasks: copies("a"), run: func(ctx context.Context, _ string, _ uint64) error {
			<-ctx.Done()
			<-commit // that takes its time
			return ctx.Err()
		}})
		w.submit(tableFile("shop"))
		pass(t, time.Minute)
		w.act("shop", api.ActActPause)
		pass(t, 55*time.Second)
		w.holdsNow("shop")
		pass(t, 10*time.Second)
		w.holdsNow("shop", "desired is not actual")
		close(commit)
		pass(t, 3*time.Second)
		w.holdsNow("shop")
	})
}

func TestAlarm_when_a_sink_is_stuck(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.close()
		w.tune = func(o *Options) { o.Alarms.Lag = 5 * time.Minute }
		w.open()
		var stuck atomic.Bool
		w.engine.set("shop", stream(&stuck, 0))
		w.submit(tableFile("shop"))
		pass(t, 10*time.Minute)
		w.holdsNow("shop")
		stuck.Store(true)
		pass(t, 4*time.Minute)
		w.holdsNow("shop")
		pass(t, 2*time.Minute)
		w.holdsNow("shop", "lag")
		w.crash() // it holds on
		w.holdsNow("shop", "lag")
		stuck.Store(false)
		pass(t, 2*time.Minute)
		w.holdsNow("shop")
	})
}

func TestAlarm_when_the_log_is_about_to_be_lost(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		var stuck atomic.Bool
		w.engine.set("shop", stream(&stuck, 4*time.Hour)) // the alarm is raised when one is left
		w.submit(tableFile("shop"))
		pass(t, 10*time.Minute)
		stuck.Store(true)
		w.act("shop", api.ActActPause) // what is paused falls behind, too
		pass(t, 170*time.Minute)
		w.holdsNow("shop")
		pass(t, 20*time.Minute)
		w.holdsNow("shop", "retention")
		stuck.Store(false)
		w.act("shop", api.ActActResume)
		pass(t, 2*time.Minute)
		w.holdsNow("shop")
	})
}

func TestAlarm_when_a_task_fails(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		var broken atomic.Bool
		broken.Store(true)
		w.engine.set("shop", &script{tasks: append(copies("a"), copies("b")...), run: func(ctx context.Context, id string, _ uint64) error {
			if id == "a" && broken.Load() {
				return fault.New(fault.SourceProtocol, "planted")
			}
			<-ctx.Done()
			return ctx.Err()
		}})
		w.submit(snapshotFile("shop"))
		pass(t, 5*time.Second)
		w.holdsNow("shop", string(job.AlarmTask))
		broken.Store(false)
		w.act("shop", api.ActActRetry)
		pass(t, 5*time.Second)
		w.holdsNow("shop")
	})
}

func TestAlarm_when_a_job_fails(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		var down atomic.Bool
		down.Store(true)
		w.engine.set("shop", &script{tasks: copies("a"), find: func(context.Context) error {
			if down.Load() {
				return errDown
			}
			return nil
		}})
		w.submit(tableFile("shop"))
		pass(t, 10*time.Second)
		w.holdsNow("shop", string(job.AlarmJob), string(job.AlarmTask))
		down.Store(false)
		w.act("shop", api.ActActRetry)
		pass(t, 10*time.Second)
		w.holdsNow("shop")
	})
}

// A job that cannot begin is tried again; after some tries that is an alarm, which holds
// through further ones, and is over when the job has lived for a while.
func TestAlarm_when_a_job_cannot_live(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		w.engine.set("shop", &script{before: func(context.Context, engine.Options) (watch.Outcome, error) {
			return watch.Outcome{}, fault.New(fault.SourceUnreachable, "no route")
		}})
		w.submit(tableFile("shop"))
		pass(t, time.Second)
		w.holdsNow("shop")
		for range 20 {
			pass(t, 30*time.Second)
			w.holdsNow("shop", string(job.AlarmJob))
		}
		w.engine.set("shop", &script{tasks: copies("a")})
		pass(t, 3*time.Minute)
		w.holdsNow("shop")
		if v, err := w.Show(t.Context(), "shop"); err != nil || v.Standing.Status != api.StatusRunning || v.Standing.Fruitless > 0 {
			t.Errorf("%+v, %v", v.Standing, err)
		}
	})
}

func TestAlarm_when_a_task_struggles(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		var down atomic.Bool
		down.Store(true)
		w.engine.set("shop", &script{tasks: copies("a"), fruitless: true, run: func(ctx context.Context, _ string, _ uint64) error {
			if down.Load() {
				return fault.New(fault.TargetFailed, "planted")
			}
			<-ctx.Done()
			return ctx.Err()
		}})
		w.submit(tableFile("shop"))
		pass(t, 20*time.Second)
		w.holdsNow("shop", string(job.AlarmRetrying))
		down.Store(false)
		w.act("shop", api.ActActRetry)
		pass(t, 10*time.Minute)
		w.holdsNow("shop")
	})
}

func TestAlarm_when_tables_need_a_resync(t *testing.T) {
	scheduled(t, func(t *testing.T, w *world) {
		marked := &script{tasks: copies("a"), run: done, marked: []watch.Mark{{Table: "shop.a", Reason: "logged as a statement"}}}
		w.engine.set("shop", marked)
		w.submit(snapshotFile("shop"))
		pass(t, 5*time.Second)
		w.holdsNow("shop", alarmResync)
		w.engine.set("shop", &script{tasks: copies("a"), run: done})
		w.act("shop", api.ActActStart)
		pass(t, 5*time.Second)
		w.holdsNow("shop")
	})
}
