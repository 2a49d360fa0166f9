package service

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childVerifies) != "":
		verifyingChild()
	case os.Getenv(childRolls) != "":
		rollingChild()
		return
	case os.Getenv(childDir) != "":
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

func copies(ids ...string) []job.Task {
	var out []job.Task
	for _, id := range ids {
		out = append(out, job.Task{ID: id, Kind: job.Copy, Table: "shop." + id})
	}
	return out
}

func done(context.Context, string, uint64) error { return nil }

func TestSubmit_when_all_goes_well(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{tasks: copies("a", "b"), run: done})
	v := w.submit(snapshotFile("shop"))
	if v.Name != "shop" || v.Kind != api.Tables || v.Version != 1 || v.Wish.Desired != api.DesiredRunning || v.Wish.By != "ana" {
		t.Errorf("%+v", v)
	}
	if v.Way != "mysql 127.0.0.1:3306 → lake (files file:///lake)" {
		t.Errorf("way %q", v.Way)
	}
	v = w.stands("shop", api.StatusFinished)
	if v.Health != api.JobHealthIdle || v.Tasks.Finished != 3 || v.Tasks.Total != 3 {
		t.Errorf("%+v", v)
	}
	w.await("shop", "noted as finished", func(api.Job) bool {
		return slices.Equal(w.whats("shop"), []string{"ana submit done", "server finished done"})
	})
	if _, err := w.Show(t.Context(), "other"); !fault.Has(err, fault.JobUnknown) {
		t.Error(err)
	}
	versions, err := w.Versions(t.Context(), "shop")
	if err != nil || len(versions) != 1 || versions[0].By != "ana" || versions[0].File != "" {
		t.Errorf("%+v, %v", versions, err)
	}
	one, err := w.Version(t.Context(), "shop", 1)
	if err != nil || one.File != snapshotFile("shop") || strings.Contains(one.File, canary) {
		t.Errorf("%+v, %v", one, err)
	}
	_, err = w.Version(t.Context(), "shop", 2)
	wantCode(t, err, fault.VersionUnknown)
}

func TestSubmit_when_it_is_refused(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	_, err := w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("shop")})
	wantCode(t, err, fault.NameTaken)
	_, err = w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("x") + "nonsense: 1\nmore: 2\n"})
	wantCode(t, err, fault.JobField)
	if ps := FileProblems(err); len(ps) != 2 || ps[0].Line == 0 || ps[0].Field != "nonsense" {
		t.Errorf("%+v", ps)
	}
	_, err = w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("x"), Schedule: "* * * * *"})
	wantCode(t, err, fault.BadRequest)
	w.secret("SECRET", "")
	_, err = w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("x")})
	wantCode(t, err, fault.JobSecret)
	w.secret("SECRET", canary)
	w.o.Allow = func(*job.Spec) error { return fault.New(fault.NotAllowed, "not that") }
	_, err = w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("x")})
	wantCode(t, err, fault.NotAllowed)
	page, err := w.Audit(t.Context(), api.AuditParams{Q: "refused"})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("%+v, %v", page, err) // the outcome is no text to look for
	}
	page, err = w.Audit(t.Context(), api.AuditParams{Q: "SUBMIT"})
	if err != nil || len(page.Items) != 6 || page.Items[0].Code != string(fault.NotAllowed) || page.Items[0].Outcome != api.EntryOutcomeRefused || page.Items[0].Request != "r-1" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestSubmit_when_it_is_sent_again(t *testing.T) {
	w := newWorld(t)
	in := api.Submission{File: tableFile("shop"), Note: "a"}
	first, err := w.Submit(t.Context(), ana, "key-1", in)
	if err != nil {
		t.Fatal(err)
	}
	w.again()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			again, err := w.Submit(t.Context(), ana, "key-1", in)
			if err != nil || !again.Created.Equal(first.Created) || again.Standing.Status != first.Standing.Status {
				t.Errorf("%+v, %v", again, err)
			}
		})
	}
	all.Wait()
	in.Note = "b"
	_, err = w.Submit(t.Context(), ana, "key-1", in)
	wantCode(t, err, fault.BadRequest)
	_, err = w.Submit(t.Context(), Who{Name: "ben"}, "key-1", in)
	wantCode(t, err, fault.NameTaken) // a key is of those who made it up
}

func TestAct_when_it_is_asked_for(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	v := w.stands("shop", api.StatusRunning)
	if v.Health != api.JobHealthOk {
		t.Errorf("%+v", v)
	}
	v = w.act("shop", api.ActActPause)
	if v.Wish.Desired != api.DesiredPaused || v.Wish.Reason != "test" || v.Wish.By != "ana" {
		t.Errorf("%+v", v.Wish)
	}
	if v = w.stands("shop", api.StatusPaused); v.Health != api.JobHealthIdle || !strings.Contains(v.Standing.Reason, "paused by ana: test") {
		t.Errorf("%+v", v)
	}
	w.act("shop", api.ActActPause) // asked twice, done once
	_, err := w.Act(t.Context(), ana, "shop", api.Act{Act: api.ActActStart})
	wantCode(t, err, fault.NotNow)
	w.act("shop", api.ActActResume)
	w.stands("shop", api.StatusRunning)
	_, err = w.Act(t.Context(), ana, "shop", api.Act{Act: api.ActActRetry})
	wantCode(t, err, fault.NotNow)
	w.act("shop", api.ActActStop)
	v = w.await("shop", "stopped and over", func(v api.Job) bool { return v.Standing.Status == api.StatusStopped && w.jobs["shop"].lifeNow() == nil })
	if v.Wish.Desired != api.DesiredStopped || v.Health != api.JobHealthIdle {
		t.Errorf("%+v", v)
	}
	for _, act := range []api.ActAct{api.ActActPause, api.ActActResume, api.ActActRetry} {
		_, err := w.Act(t.Context(), ana, "shop", api.Act{Act: act})
		wantCode(t, err, fault.NotNow)
	}
	w.act("shop", api.ActActStop)
	w.act("shop", api.ActActStart)
	w.stands("shop", api.StatusRunning)
	want := []string{
		"ana submit done", "ana pause done", "ana start refused NOT_NOW", "ana resume done", "ana retry refused NOT_NOW", "ana stop done", "server stopped done",
		"ana pause refused NOT_NOW", "ana resume refused NOT_NOW", "ana retry refused NOT_NOW", "ana start done",
	}
	if got := w.whats("shop"); !slices.Equal(got, want) {
		t.Errorf("%q\n%q", got, want)
	}
	if ran := w.engine.work("shop").names(); len(ran) != 3 || !rises(ran) {
		t.Errorf("attempts: %q", ran)
	}
}

// rises reports whether attempts of one task only ever rise.
func rises(ran []string) bool {
	last := map[string]int{}
	for _, r := range ran {
		var id string
		var n int
		fmt.Sscan(r, &id, &n)
		if n <= last[id] {
			return false
		}
		last[id] = n
	}
	return true
}

func TestAct_when_it_is_for_tables_and_tasks(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{tasks: copies("a", "b")})
	w.submit(snapshotFile("shop"))
	w.await("shop", "at both", func(v api.Job) bool { return v.Tasks.Running == 2 && v.Standing.Status == api.StatusRunning })
	for _, c := range []struct {
		act  api.Act
		code fault.Code
	}{
		{api.Act{Act: api.ActActPause, Tables: []string{"other.x"}}, fault.TableUnknown},
		{api.Act{Act: api.ActActPause, Tasks: []string{"x"}}, fault.TaskUnknown},
		{api.Act{Act: api.ActActStop, Tables: []string{"shop.a"}}, fault.BadRequest},
		{api.Act{Act: api.ActActResync}, fault.BadRequest},
	} {
		_, err := w.Act(t.Context(), ana, "shop", c.act)
		wantCode(t, err, c.code)
	}
	if _, err := w.Act(t.Context(), ana, "shop", api.Act{Act: api.ActActPause, Tasks: []string{"a"}, Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	w.await("shop", "paused at a", func(v api.Job) bool { return v.Tasks.Paused == 1 })
	page, err := w.Tasks(t.Context(), "shop", api.ListTasksParams{Status: []api.Status{api.StatusPaused}})
	if err != nil || page.Total != 1 || page.Items[0].ID != "a" || page.Items[0].Wish == nil || page.Items[0].Wish.Reason != "why" {
		t.Errorf("%+v, %v", page, err)
	}
	w.crash() // and the wish lives on
	w.await("shop", "at b and paused at a", func(v api.Job) bool {
		return v.Tasks.Paused == 1 && v.Tasks.Running == 1 && v.Standing.Status == api.StatusRunning
	})
	page, err = w.Tasks(t.Context(), "shop", api.ListTasksParams{Limit: 2})
	if err != nil || page.Total != 3 || len(page.Items) != 2 || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	page, err = w.Tasks(t.Context(), "shop", api.ListTasksParams{Limit: 2, After: page.Next})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != "b" || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
	tables, err := w.Tables(t.Context(), "shop", api.ListTablesParams{})
	if err != nil || tables.Total != 2 || tables.Items[0].Name != "shop.a" || tables.Items[0].Standing.Status != api.StatusPaused || tables.Items[1].Standing.Status != api.StatusRunning {
		t.Errorf("%+v, %v", tables, err)
	}
}

// deaf is an engine that never takes a command, and lives until it is drained.
func deaf(ctx context.Context, _ engine.Options) (watch.Outcome, error) {
	<-ctx.Done()
	return watch.Outcome{Stopped: true}, nil
}

func TestAct_when_the_process_dies_between_saved_and_sent(t *testing.T) {
	for _, end := range []string{"closed", "crashed"} {
		t.Run(end, func(t *testing.T) {
			w := newWorld(t)
			for _, name := range []string{"pause", "stop", "table"} {
				w.engine.set(name, &script{before: deaf})
				w.submit(tableFile(name))
			}
			w.act("pause", api.ActActPause)
			w.act("stop", api.ActActStop)
			if _, err := w.Act(t.Context(), ana, "table", api.Act{Act: api.ActActPause, Tables: []string{"shop.a"}, Reason: "why"}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"pause", "stop", "table"} {
				w.engine.set(name, &script{tasks: append(copies("a"), job.Task{ID: "stream", Kind: job.Stream})})
			}
			if end == "closed" {
				w.again()
			} else {
				w.crash()
			}
			w.stands("pause", api.StatusPaused)
			w.stands("stop", api.StatusStopped)
			w.stands("table", api.StatusRunning)
			if tables, err := w.Tables(t.Context(), "table", api.ListTablesParams{}); err != nil || tables.Items[0].Apart != string(job.ApartPaused) || tables.Items[0].Wish.Reason != "why" {
				t.Errorf("%+v, %v", tables, err)
			}
			if ran := append(w.engine.work("pause").names(), w.engine.work("stop").names()...); len(ran) > 0 {
				t.Errorf("ran %q", ran)
			}
			for i := range 3 { // and nothing is done a second time
				w.again()
				if n, err := w.folder.commands("pause"); err != nil || len(n) > 0 && i > 0 {
					t.Errorf("%v, %v", n, err)
				}
			}
			w.act("pause", api.ActActResume)
			w.act("stop", api.ActActStart)
			w.stands("pause", api.StatusRunning)
			w.stands("stop", api.StatusRunning)
		})
	}
}

func TestOpen_when_jobs_were_running(t *testing.T) {
	w := newWorld(t)
	w.engine.set("finished", &script{tasks: copies("a"), run: done})
	w.submit(snapshotFile("finished"))
	w.submit(tableFile("running"))
	w.submit(tableFile("paused"))
	w.stands("finished", api.StatusFinished)
	w.stands("running", api.StatusRunning)
	w.stands("paused", api.StatusRunning)
	w.act("paused", api.ActActPause)
	w.stands("paused", api.StatusPaused)
	for i, end := range []func(){w.again, w.crash, w.again} {
		end()
		w.await("running", "running anew", func(v api.Job) bool {
			return v.Standing.Status == api.StatusRunning && len(w.engine.work("running").names()) == i+2
		})
		w.stands("finished", api.StatusFinished)
		w.stands("paused", api.StatusPaused)
		o, err := w.Overview(t.Context())
		if err != nil || o.TakenUp != 1 || o.Counts["running"] != 1 || o.Counts["paused"] != 1 || o.Counts["finished"] != 1 || o.NeedsYou != 0 {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if ran := w.engine.work("running").names(); !rises(ran) {
		t.Errorf("attempts: %q", ran)
	}
	if len(w.engine.lived("paused")) != 1 || len(w.engine.lived("finished")) != 1 {
		t.Error("jobs that are not wanted were taken up")
	}
}

func TestStart_when_a_job_has_ended(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{tasks: copies("a"), run: done})
	w.submit(snapshotFile("shop"))
	for n := range 3 {
		w.await("shop", "finished", func(v api.Job) bool {
			return v.Standing.Status == api.StatusFinished && w.jobs["shop"].lifeNow() == nil && len(w.engine.lived("shop")) == n+1
		})
		w.act("shop", api.ActActStart)
	}
	w.await("shop", "finished", func(v api.Job) bool {
		return v.Standing.Status == api.StatusFinished && len(w.engine.lived("shop")) == 4
	})
	if ran := w.engine.work("shop").names(); len(ran) != 4 || !rises(ran) {
		t.Errorf("attempts: %q", ran)
	}
}

func TestStart_when_it_still_stops(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.engine.set("shop", &script{tasks: copies("a"), run: func(ctx context.Context, _ string, _ uint64) error {
		<-ctx.Done()
		<-release // a long commit
		return ctx.Err()
	}})
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusRunning)
	w.act("shop", api.ActActStop)
	w.stands("shop", api.StatusStopping)
	w.act("shop", api.ActActStart)
	close(release)
	w.await("shop", "running anew", func(v api.Job) bool {
		return v.Standing.Status == api.StatusRunning && len(w.engine.lived("shop")) == 2
	})
	w.again()
	w.await("shop", "running anew", func(v api.Job) bool {
		return v.Standing.Status == api.StatusRunning && len(w.engine.lived("shop")) == 3
	})
}

func TestLife_when_an_engine_panics(t *testing.T) {
	w := newWorld(t)
	w.engine.set("bad", &script{before: func(context.Context, engine.Options) (watch.Outcome, error) { panic("at the disco, with " + canary) }})
	w.submit(tableFile("good"))
	w.submit(tableFile("bad"))
	v := w.await("bad", "failed with an alarm", func(v api.Job) bool { return v.Standing.Status == api.StatusFailed && v.Alarms == 1 })
	if v.Standing.Error == nil || v.Standing.Error.Code != string(fault.Internal) || v.Health != api.JobHealthFailed || v.Tasks.Running != 0 {
		t.Errorf("%+v", v)
	}
	if strings.Contains(fmt.Sprintf("%+v", *v.Standing.Error), canary) {
		t.Errorf("a secret shows: %+v", v.Standing.Error)
	}
	w.stands("good", api.StatusRunning)
	w.engine.set("bad", &script{tasks: copies("a")})
	w.act("bad", api.ActActRetry)
	w.await("bad", "well", func(v api.Job) bool {
		return v.Standing.Status == api.StatusRunning && v.Alarms == 0 && v.Standing.Error == nil
	})
}

func TestLife_when_its_file_cannot_be_read_any_more(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusRunning)
	w.secret("SECRET", "")
	w.again()
	v := w.stands("shop", api.StatusFailed)
	if v.Standing.Error == nil || v.Standing.Error.Code != string(fault.JobSecret) {
		t.Errorf("%+v", v.Standing)
	}
	w.act("shop", api.ActActStart)
	w.stands("shop", api.StatusFailed)
	w.secret("SECRET", canary)
	w.act("shop", api.ActActStart)
	w.stands("shop", api.StatusRunning)
	w.secret("SECRET", "")
	w.again()
	w.stands("shop", api.StatusFailed)
	w.secret("SECRET", canary)
	w.again() // by itself
	w.stands("shop", api.StatusRunning)
}

func TestLife_when_a_system_is_away(t *testing.T) {
	w := newWorld(t)
	tries := make(chan struct{}, 10)
	w.engine.set("shop", &script{before: func(context.Context, engine.Options) (watch.Outcome, error) {
		tries <- struct{}{}
		return watch.Outcome{}, fault.New(fault.SourceUnreachable, "no route; the password is %s", canary)
	}})
	w.submit(tableFile("shop"))
	v := w.await("shop", "tried again", func(v api.Job) bool { return v.Standing.Status == api.StatusRetrying })
	if v.Standing.NextRetryAt.IsZero() || v.Standing.Error == nil || strings.Contains(v.Standing.Error.What, canary) || v.Health != api.JobHealthRetrying {
		t.Errorf("%+v", v)
	}
	for range 2 {
		<-tries
	}
	w.engine.set("shop", &script{tasks: copies("a")})
	w.stands("shop", api.StatusRunning)
}

func TestLife_when_tasks_fail(t *testing.T) {
	w := newWorld(t)
	var once sync.Once
	w.engine.set("shop", &script{tasks: copies("a", "b"), run: func(ctx context.Context, id string, _ uint64) (err error) {
		once.Do(func() { err = fault.New(fault.SourceProtocol, "nonsense near %s", canary) })
		if err == nil {
			<-ctx.Done()
			err = ctx.Err()
		}
		return err
	}})
	w.submit(snapshotFile("shop"))
	v := w.await("shop", "half failed", func(v api.Job) bool {
		return v.Tasks.Failed == 1 && v.Tasks.Running == 1 && v.Standing.Status == api.StatusRunning && v.Alarms > 0
	})
	if v.Health != api.JobHealthAlarm || v.Standing.Error == nil || strings.Contains(v.Standing.Error.What, canary) {
		t.Errorf("%+v", v)
	}
	alarms, err := w.Alarms(t.Context(), api.ListAlarmsParams{Job: "shop"})
	if err != nil || len(alarms) != 1 || strings.Contains(alarms[0].What, canary) {
		t.Errorf("%+v, %v", alarms, err)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "server.db-wal"))
	if err != nil || bytes.Contains(b, []byte(canary)) {
		t.Errorf("a secret is in the database, %v", err)
	}
	w.act("shop", api.ActActRetry)
	w.await("shop", "whole again", func(v api.Job) bool { return v.Tasks.Running == 2 && v.Alarms == 0 })
}

func TestLife_when_nothing_goes_on(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{find: func(context.Context) error { return fault.New(fault.SourceGrants, "a grant is missing") }})
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusFailed)
	w.await("shop", "noted as given up", func(api.Job) bool {
		return slices.Equal(w.whats("shop"), []string{"ana submit done", "server gave up failed SOURCE_GRANTS"})
	})
}

func TestLife_when_there_was_nothing_to_do(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{before: func(context.Context, engine.Options) (watch.Outcome, error) { return watch.Outcome{Nothing: true}, nil }})
	w.submit(snapshotFile("shop"))
	w.stands("shop", api.StatusFinished)
}

// A run that only carried an older round to its end is followed by another one.
func TestLife_when_a_round_began_before_its_run(t *testing.T) {
	w := newWorld(t)
	w.engine.set("media", &script{tasks: copies("a"), run: done, round: func() time.Time {
		return time.Now().Add(time.Duration(len(w.engine.lived("media"))*2-3) * time.Hour) // the first is old
	}})
	w.submit(strings.Replace(everyFile("media", "5m"), "every: 5m\n", "", 1))
	w.await("media", "finished again", func(v api.Job) bool {
		return len(w.engine.lived("media")) == 2 && v.Standing.Status == api.StatusFinished
	})
	if what := w.whats("media"); !slices.Contains(what, "server start done") {
		t.Errorf("%q", what)
	}
}

func TestRetry_when_objects_failed(t *testing.T) {
	w := newWorld(t)
	w.engine.set("media", &script{tasks: copies("a"), run: done, failed: 2})
	w.submit(strings.Replace(everyFile("media", "5m"), "every: 5m\n", "", 1))
	v := w.await("media", "finished with an alarm", func(v api.Job) bool { return v.Standing.Status == api.StatusFinished && v.Alarms == 1 })
	if v.Health != api.JobHealthAlarm || v.Kind != api.Files || v.Progress.Mode != "files" || len(w.engine.tried) > 0 {
		t.Errorf("%+v, tried again before anybody asked: %q", v, w.engine.tried)
	}
	w.again()
	w.engine.set("media", &script{tasks: copies("a"), run: done})
	w.act("media", api.ActActRetry)
	w.await("media", "finished well", func(v api.Job) bool {
		return v.Standing.Status == api.StatusFinished && v.Alarms == 0 && len(w.engine.lived("media")) == 2
	})
	if !slices.Equal(w.engine.tried, []string{"media"}) {
		t.Errorf("%q", w.engine.tried)
	}
	w.await("media", "noted", func(api.Job) bool { return w.jobs["media"].show().failed == 0 })
	_, err := w.Act(t.Context(), ana, "media", api.Act{Act: api.ActActRetry})
	wantCode(t, err, fault.NotNow)
}

func TestDelete_when_it_runs(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusRunning)
	folder := filepath.Join(w.dir, "shop")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Delete(t.Context(), ana, "shop", "done with it"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Error("its folder is left", err)
	}
	wantCode(t, w.Delete(t.Context(), ana, "shop", ""), fault.JobUnknown)
	w.again()
	if _, err := w.Show(t.Context(), "shop"); !fault.Has(err, fault.JobUnknown) {
		t.Error(err)
	}
	w.submit(tableFile("shop")) // the name is free
	w.stands("shop", api.StatusRunning)
}

func TestDelete_when_the_process_dies_meanwhile(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.engine.set("shop", &script{before: func(ctx context.Context, _ engine.Options) (watch.Outcome, error) {
		<-ctx.Done()
		<-hold
		return watch.Outcome{}, nil
	}})
	w.submit(tableFile("shop"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantCode(t, w.Delete(ctx, ana, "shop", ""), fault.NotNow)
	_, err := w.Act(t.Context(), ana, "shop", api.Act{Act: api.ActActStart})
	wantCode(t, err, fault.NotNow)
	w.folder.gone.Store(true) // it died
	close(hold)
	w.close()
	w.open()
	w.awaitGone("shop")
}

// awaitGone waits until a job is forgotten.
func (w *world) awaitGone(name string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	gone := errors.New("gone")
	err := w.Follow(ctx, 1, name, func(Happening) error { // 1 is too long ago: it looks at once, and at each change
		if _, err := w.Show(ctx, name); fault.Has(err, fault.JobUnknown) {
			return gone
		}
		return nil
	})
	if err != gone {
		w.t.Fatal(err)
	}
}

func TestClose_when_a_job_does_not_end(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	over := make(chan struct{})
	w.engine.set("shop", &script{before: func(context.Context, engine.Options) (watch.Outcome, error) {
		<-hold
		close(over)
		return watch.Outcome{}, nil
	}})
	w.submit(tableFile("shop"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantCode(t, w.Service.Close(ctx), fault.ServerGone)
	_, err := w.Show(t.Context(), "shop")
	wantCode(t, err, fault.ServerGone)
	_, err = w.Submit(t.Context(), ana, "", api.Submission{File: tableFile("x")})
	wantCode(t, err, fault.ServerGone)
	close(hold)
	<-over
	w.engine.set("shop", &script{tasks: copies("a")})
	w.open()
	w.stands("shop", api.StatusRunning)
}

func TestOpen_when_another_has_the_folder(t *testing.T) {
	w := newWorld(t)
	_, err := Open(t.Context(), w.options())
	wantCode(t, err, fault.StateLocked)
	if !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Error(err)
	}
}

func TestOpen_when_a_newer_one_wrote_it(t *testing.T) {
	w := newWorld(t)
	w.close()
	path := filepath.Join(w.dir, databaseName)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(fmt.Sprintf("PRAGMA user_version = %d", folderVersion+1)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, _ := os.ReadFile(path)
	_, err = Open(t.Context(), w.options())
	wantCode(t, err, fault.FormatNewer)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) || len(after) == 0 {
		t.Error("it was touched")
	}
}

func TestOpen_when_modes_are_looked_at(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What is asked for quickly counts before the engine has heard of it: else more tables would
// stand apart than may, or be told as paused and not be.
func TestAct_when_many_tables_are_paused_one_after_another(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{before: deaf})
	w.submit(tableFile("shop"))
	pause := func(table string) error {
		_, err := w.Act(t.Context(), ana, "shop", api.Act{Act: api.ActActPause, Tables: []string{table}})
		return err
	}
	for n := range job.MostApart {
		if err := pause(fmt.Sprint("shop.t", n)); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, pause("shop.more"), fault.NotNow)
	if err := pause("shop.t0"); err != nil {
		t.Error(err)
	}
}
