package service

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/watch"
)

// twoSinks is the file of a job that streams into two sinks.
func twoSinks(name string) string {
	return strings.Replace(tableFile(name), "}}]\n", "}}, {name: pg, files: {url: \"file:///pg\"}}]\n", 1)
}

// sinkOf is one sink of a job as it is shown.
func sinkOf(t *testing.T, v api.Job, name string) api.Sink {
	t.Helper()
	for _, s := range v.Sinks {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no sink %s: %+v", name, v.Sinks)
	return api.Sink{}
}

// sinksAre waits until the sinks stand so, e.g. "lake running, pg running".
func (w *world) sinksAre(name, want string) api.Job {
	w.t.Helper()
	return w.await(name, want, func(v api.Job) bool {
		var stand []string
		for _, s := range v.Sinks {
			stand = append(stand, s.Name+" "+string(s.Standing.Status))
		}
		return strings.Join(stand, ", ") == want
	})
}

func TestSinks_when_one_fails(t *testing.T) {
	w := newWorld(t)
	mended := make(chan struct{})
	full := fault.InSink("pg", fault.New(fault.TargetFull, "no space; the password is %s", canary).Try("free some"))
	w.engine.set("shop", &script{tasks: []job.Task{{ID: "stream", Kind: job.Stream}}, run: func(ctx context.Context, _ string, _ uint64) error {
		select {
		case <-mended:
			<-ctx.Done()
			return ctx.Err()
		default:
			return full
		}
	}})
	w.submit(twoSinks("shop"))
	v := w.sinksAre("shop", "lake unassigned, pg failed")
	lake, pg := sinkOf(t, v, "lake").Standing, sinkOf(t, v, "pg").Standing
	if lake.Error != nil || lake.Reason != "waits: sink pg, TARGET_FULL" {
		t.Errorf("%+v", lake)
	}
	if pg.Error == nil || pg.Error.Code != "TARGET_FULL" || pg.Error.Sink != "pg" || pg.Error.Hint != "free some" || pg.Attempt != 1 || pg.Since.IsZero() {
		t.Errorf("%+v", pg)
	}
	if e := v.Standing.Error; e == nil || e.Sink != "pg" || strings.Contains(fmt.Sprint(*e, *pg.Error), canary) {
		t.Errorf("%+v", e)
	}
	w.again() // what is kept says the same
	w.sinksAre("shop", "lake unassigned, pg failed")
	close(mended)
	w.act("shop", api.ActActRetry)
	v = w.sinksAre("shop", "lake running, pg running")
	if s := sinkOf(t, v, "pg").Standing; s.Error != nil || s.Worker == "" || s.Attempt < 2 {
		t.Errorf("%+v", s)
	}
	w.act("shop", api.ActActPause)
	v = w.sinksAre("shop", "lake paused, pg paused")
	if s := sinkOf(t, v, "pg").Standing; s.Reason != "paused by ana: test" || s.Worker != "" {
		t.Errorf("%+v", s)
	}
}

func TestSinks_when_measured(t *testing.T) {
	w := newWorld(t)
	told := make(chan struct{})
	at := position.New("log", "7", "bin.7")
	w.engine.set("shop", &script{tasks: []job.Task{{ID: "stream", Kind: job.Stream}}, around: func(ctx context.Context, o engine.Options) {
		o.Watch.Head(at, -1, time.Time{})
		o.Watch.Committed("lake", 3, at, 0)
		o.Watch.Queue("lake", 5, 10)
		o.Watch.Opened("pg", position.Position{}, 0)
		close(told)
		<-ctx.Done()
	}})
	w.submit(twoSinks("shop"))
	<-told
	v := w.sinksAre("shop", "lake running, pg running")
	lake, pg := sinkOf(t, v, "lake"), sinkOf(t, v, "pg")
	if lake.Lag == nil || lake.Lag.State != watch.CaughtUp || *lake.Lag.Seconds != 0 || lake.Position == "" || lake.CommittedAt.IsZero() || *lake.Rows != 3 || *lake.Commits != 1 || *lake.QueueBytes != 5 || lake.QueueLimitBytes != 10 {
		t.Errorf("%+v", lake)
	}
	if pg.Lag == nil || pg.Lag.State != watch.Unknown || pg.Lag.Seconds != nil || *pg.Rows != 0 || !pg.CommittedAt.IsZero() {
		t.Errorf("what is not known is told: %+v", pg)
	}
	w.act("shop", api.ActActPause)
	if lake = sinkOf(t, w.sinksAre("shop", "lake paused, pg paused"), "lake"); lake.Lag.State != watch.Idle || lake.Lag.Seconds != nil || *lake.Rows != 3 {
		t.Errorf("%+v", lake)
	}
	w.again()
	if lake = sinkOf(t, w.sinksAre("shop", "lake paused, pg paused"), "lake"); lake.Lag != nil || lake.Rows != nil || lake.QueueBytes != nil {
		t.Errorf("nothing was measured in this life: %+v", lake)
	}
}

func TestSinks_of_a_file_job(t *testing.T) {
	w := newWorld(t)
	told := make(chan struct{})
	w.engine.set("docs", &script{tasks: []job.Task{{ID: "range 1", Kind: job.Copy}}, around: func(ctx context.Context, o engine.Options) {
		o.Files.Ended("copied", 2, 10)
		o.Files.Flying(3, 30)
		o.Files.Flying(-1, -10)
		close(told)
		<-ctx.Done()
	}})
	w.submit(everyFile("docs", "1h"))
	<-told
	target := sinkOf(t, w.sinksAre("docs", "target running"), watch.Target)
	if target.Lag != nil || target.Commits != nil || *target.Rows != 2 || *target.QueueBytes != 20 || target.CommittedAt.IsZero() {
		t.Errorf("%+v", target)
	}
}

func TestSinks_when_the_job_is_edited(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	w.sinksAre("shop", "lake running")
	if _, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: twoSinks("shop")}); err != nil {
		t.Fatal(err)
	}
	w.sinksAre("shop", "lake running, pg running")
}

func TestSinks_when_the_job_cannot_live(t *testing.T) {
	w := newWorld(t)
	w.submit(twoSinks("shop"))
	w.sinksAre("shop", "lake running, pg running")
	w.secret("SECRET", "")
	w.again()
	v := w.stands("shop", api.StatusFailed)
	for _, name := range []string{"lake", "pg"} {
		if s := sinkOf(t, v, name).Standing; s.Status != api.StatusUnassigned || s.Worker != "" || s.Error != nil || s.Reason != "waits: "+v.Standing.Error.Code {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
