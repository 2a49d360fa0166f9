package service

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// begun is a job that streams and has begun.
func begun(t *testing.T, w *world) {
	t.Helper()
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusRunning)
}

func TestEdit_when_it_needs_a_new_life(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	file := tableFile("shop") + "parallel: 3\n"
	out, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file, Preview: true})
	if err != nil || out.Version != 1 || len(out.Changes) != 1 || out.Changes[0].Field != "parallel" || out.Changes[0].Does != api.ChangeDoesRestarts || out.Changes[0].Effect != "applies" {
		t.Errorf("%+v, %v", out, err)
	}
	if len(w.engine.lived("shop")) != 1 {
		t.Error("a preview did something")
	}
	out, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file, Reason: "more"})
	if err != nil || out.Version != 2 || len(out.Changes) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	w.await("shop", "running with the new file", func(v api.Job) bool {
		lives := w.engine.lived("shop")
		return v.Standing.Status == api.StatusRunning && v.Version == 2 && len(lives) == 2 && lives[1].Parallel == 3
	})
	if s := w.jobs["shop"].stateNow(); s.Spec != 2 || s.Parallel != 3 {
		t.Errorf("%+v", s)
	}
	if ran := w.engine.work("shop").names(); len(ran) != 2 || !rises(ran) {
		t.Errorf("attempts: %q", ran)
	}
	_, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file})
	wantCode(t, err, fault.VersionChanged)
	out, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 2, BackTo: 1})
	if err != nil || out.Version != 3 || len(out.Changes) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	w.await("shop", "as it was", func(v api.Job) bool {
		lives := w.engine.lived("shop")
		return v.Standing.Status == api.StatusRunning && len(lives) == 3 && lives[2].Parallel == 0
	})
	versions, err := w.Versions(t.Context(), "shop")
	if err != nil || len(versions) != 3 || versions[0].Version != 3 || versions[1].Reason != "more" || len(versions[1].Changes) != 1 {
		t.Errorf("%+v, %v", versions, err)
	}
	want := []string{"ana submit done", "ana edit done", "ana edit refused VERSION_CHANGED", "ana edit done"}
	if got := w.whats("shop"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestEdit_when_it_is_refused(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	file := strings.Replace(tableFile("shop"), "file:///lake", "file:///other", 1)
	_, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file})
	wantCode(t, err, fault.JobEdit)
	out, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file, Preview: true})
	if err != nil || len(out.Changes) != 1 || out.Changes[0].Does != api.ChangeDoesRefused {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: tableFile("other")})
	wantCode(t, err, fault.JobEdit)
	_, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: "nonsense"})
	if FileProblems(err) == nil {
		t.Error(err)
	}
	_, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file, BackTo: 1})
	wantCode(t, err, fault.BadRequest)
	_, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, BackTo: 7})
	wantCode(t, err, fault.VersionUnknown)
	if v, err := w.Show(t.Context(), "shop"); err != nil || v.Version != 1 || len(w.engine.lived("shop")) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestEdit_when_nothing_was_found_yet(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{find: func(context.Context) error { return fault.New(fault.NoTables, "no table matches") }})
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusFailed)
	w.engine.set("shop", &script{tasks: copies("a")})
	file := strings.Replace(tableFile("shop"), "shop.*", "store.*", 1)
	out, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: file})
	if err != nil || len(out.Changes) != 1 || out.Changes[0].Does != api.ChangeDoesRePlans {
		t.Errorf("%+v, %v", out, err)
	}
	w.stands("shop", api.StatusRunning)
}

func TestEdit_when_only_words_change(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	group, note, none := "g", "n", ""
	out, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, Group: &group, Note: &note})
	if err != nil || out.Version != 1 || len(out.Changes) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: "# why\n" + tableFile("shop")})
	if err != nil || out.Version != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	v := w.await("shop", "at version 2", func(api.Job) bool { return w.jobs["shop"].stateNow().Spec == 2 })
	if v.Group != "g" || v.Note != "n" || len(w.engine.lived("shop")) != 1 {
		t.Errorf("%+v", v)
	}
	if _, err = w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 2, Group: &none}); err != nil {
		t.Error(err)
	}
	if v, _ = w.Show(t.Context(), "shop"); v.Group != "" || v.Note != "n" {
		t.Errorf("group %q, note %q", v.Group, v.Note)
	}
}

func TestEdit_when_many_edit_at_once(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	var all sync.WaitGroup
	var won, late atomic.Int32
	for n := range 12 {
		all.Go(func() {
			_, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: tableFile("shop") + "parallel: " + string(rune('1'+n%9)) + "\n"})
			switch {
			case err == nil:
				won.Add(1)
			case fault.Has(err, fault.VersionChanged):
				late.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || late.Load() != 11 {
		t.Errorf("%d won, %d came late", won.Load(), late.Load())
	}
	w.await("shop", "at version 2", func(v api.Job) bool {
		return v.Version == 2 && v.Standing.Status == api.StatusRunning && w.jobs["shop"].stateNow().Spec == 2
	})
}

func TestEdit_when_the_job_is_paused_or_dies(t *testing.T) {
	w := newWorld(t)
	begun(t, w)
	w.act("shop", api.ActActPause)
	w.stands("shop", api.StatusPaused)
	w.again()
	if _, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: tableFile("shop") + "parallel: 2\n"}); err != nil {
		t.Fatal(err)
	}
	w.crash()
	if s := w.jobs["shop"].stateNow(); s.Status != job.Paused {
		w.stands("shop", api.StatusPaused)
	}
	w.act("shop", api.ActActResume)
	w.await("shop", "running with the new file", func(v api.Job) bool {
		lives := w.engine.lived("shop")
		return v.Standing.Status == api.StatusRunning && len(lives) == 2 && lives[1].Parallel == 2 && w.jobs["shop"].stateNow().Spec == 2
	})
}

func TestEdit_when_a_file_job_takes_it_over(t *testing.T) {
	w := newWorld(t)
	reloads := make(chan *job.Spec, 1)
	w.engine.set("media", reloading(reloads))
	w.submit(everyFile("media", "5m"))
	w.stands("media", api.StatusRunning)
	out, err := w.Edit(t.Context(), ana, "media", api.EditRequest{Version: 1, File: everyFile("media", "10m")})
	if err != nil || len(out.Changes) != 1 || out.Changes[0].Does != api.ChangeDoesTakenOver {
		t.Fatalf("%+v, %v", out, err)
	}
	if spec := <-reloads; spec.Files.Every.Minutes() != 10 {
		t.Errorf("%+v", spec.Files)
	}
	v := w.await("media", "at version 2", func(api.Job) bool { return w.jobs["media"].stateNow().Spec == 2 })
	if v.Schedule == nil || v.Schedule.Text != "every 10m" || len(w.engine.lived("media")) != 1 {
		t.Errorf("%+v", v.Schedule)
	}
}
