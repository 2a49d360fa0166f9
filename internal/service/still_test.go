package service

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

// openStill opens the folder for a command.
func (w *world) openStill() {
	w.t.Helper()
	o := w.options()
	o.Still = true
	s, err := Open(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

// died ends the service as kill -9 would; nothing is opened after it.
func (w *world) died() {
	w.t.Helper()
	w.folder.gone.Store(true)
	w.close()
}

func TestStill_when_jobs_are_asked_for_things(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.engine.set(name, &script{tasks: copies("x", "y")})
		w.submit(tableFile(name))
		w.stands(name, api.StatusRunning)
	}
	w.died()
	w.openStill()
	if v, err := w.Show(t.Context(), "a"); err != nil || v.Standing.Status != api.StatusUnassigned || v.Standing.Reason != "is taken up when a server starts" || v.Tasks.Running != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if v := w.act("a", api.ActActPause); v.Standing.Status != api.StatusPaused || v.Health != api.JobHealthIdle {
		t.Errorf("%+v", v)
	}
	if v := w.act("b", api.ActActStop); v.Standing.Status != api.StatusStopped {
		t.Errorf("%+v", v)
	}
	if _, err := w.Act(t.Context(), ana, "c", api.Act{Act: api.ActActPause, Tables: []string{"shop.x"}}); err != nil {
		t.Error(err)
	}
	w.act("d", api.ActActStop)
	w.act("d", api.ActActStart)
	if _, err := w.Edit(t.Context(), ana, "c", api.EditRequest{Version: 1, File: tableFile("c") + "parallel: 2\n"}); err != nil {
		t.Error(err)
	}
	if err := w.Delete(t.Context(), ana, "e", "moved"); err != nil {
		t.Error(err)
	}
	w.submit(tableFile("f"))
	if len(w.engine.lived("a")) != 1 || len(w.engine.lived("f")) != 0 {
		t.Error("a job lives because somebody looked")
	}
	w.close()
	w.openStill() // another command sees it so
	if v, err := w.Show(t.Context(), "a"); err != nil || v.Standing.Status != api.StatusPaused || v.Wish.Reason != "test" {
		t.Errorf("%+v, %v", v, err)
	}
	w.close()
	w.open()
	w.stands("a", api.StatusPaused)
	w.stands("b", api.StatusStopped)
	w.stands("d", api.StatusRunning)
	w.stands("f", api.StatusRunning)
	v := w.await("c", "at version 2 with a table paused", func(v api.Job) bool { return v.Version == 2 && v.Tasks.Paused == 1 && v.Tasks.Running == 1 })
	if v.Wish.Desired != api.DesiredRunning {
		t.Errorf("%+v", v)
	}
	if _, err := w.Show(t.Context(), "e"); !fault.Has(err, fault.JobUnknown) {
		t.Error(err)
	}
	if got := w.whats("e"); !slices.Equal(got, []string{"ana submit done", "ana delete done"}) {
		t.Errorf("%q", got)
	}
}

// TestStill_when_a_job_had_failed says that why a job cannot live is known without a
// life, and that it is tried again by a server.
func TestStill_when_a_job_had_failed(t *testing.T) {
	w := newWorld(t)
	w.engine.set("shop", &script{before: func(context.Context, engine.Options) (watch.Outcome, error) { return watch.Outcome{}, errDown }})
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusFailed)
	w.died()
	w.openStill()
	if v, err := w.Show(t.Context(), "shop"); err != nil || v.Standing.Status != api.StatusFailed || v.Standing.Error.Code != string(errDown.Code) || v.Alarms != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	w.act("shop", api.ActActRetry)
	if v, err := w.Show(t.Context(), "shop"); err != nil || v.Standing.Status != api.StatusUnassigned {
		t.Errorf("%+v, %v", v.Standing, err)
	}
	w.close()
	w.engine.set("shop", &script{tasks: copies("x")})
	w.open()
	w.stands("shop", api.StatusRunning)
}

func TestStill_when_the_folder_is_held(t *testing.T) {
	w := newWorld(t)
	pid := strconv.Itoa(os.Getpid())
	if h, held, err := Held(w.dir); err != nil || !held || h != (Holder{Process: pid}) {
		t.Errorf("%+v %v %v", h, held, err)
	}
	o := w.options()
	o.Still = true
	_, err := Open(t.Context(), o)
	wantCode(t, err, fault.StateLocked)
	w.close()
	if _, held, err := Held(w.dir); err != nil || held {
		t.Errorf("%v %v", held, err)
	}
	w.openStill()
	if h, held, err := Held(w.dir); err != nil || !held || h != (Holder{Process: pid, Command: true}) {
		t.Errorf("%+v %v %v", h, held, err)
	}
	// Whoever comes waits, and who does not want to wait any more does not.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	opened := make(chan error, 2)
	for _, still := range []bool{true, false} {
		go func() {
			o := w.options()
			o.Still = still
			s, err := Open(t.Context(), o)
			if err == nil {
				err = s.Close(context.Background())
			}
			opened <- err
		}()
	}
	select {
	case err := <-opened:
		t.Errorf("two at once: %v", err)
		opened <- err // both are waited for below
	case <-time.After(50 * time.Millisecond): // nothing tells that somebody waits
	}
	w.close()
	for range 2 {
		if err := <-opened; err != nil && !fault.Has(err, fault.StateLocked) {
			t.Error(err) // the command may have met the server
		}
	}
	if _, held, err := Held(filepath.Join(w.dir, "none")); err != nil || held {
		t.Errorf("%v %v", held, err)
	}
	w.open()
}

func TestStill_when_no_server_had_the_folder(t *testing.T) {
	w := newWorld(t)
	w.close()
	o := w.options()
	o.Dir, o.Still = filepath.Join(t.TempDir(), "none"), true
	_, err := Open(t.Context(), o)
	wantCode(t, err, fault.StateBroken)
	if _, err := os.Stat(o.Dir); !errors.Is(err, os.ErrNotExist) || Keeps(o.Dir) {
		t.Error("a look made a folder")
	}
	o.Begin = true
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil || !Keeps(o.Dir) {
		t.Error(err)
	}
	if st, _ := os.Stat(o.Dir); st.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v", st.Mode())
	}
	w.open()
}

func TestStill_when_a_newer_version_wrote_the_folder(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	if _, err := w.folder.firm.Exec("PRAGMA user_version = 7"); err != nil {
		t.Fatal(err)
	}
	w.close()
	path := filepath.Join(w.dir, databaseName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := w.options()
	o.Still, o.Begin = true, true
	_, err = Open(t.Context(), o)
	wantCode(t, err, fault.FormatNewer)
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("it was touched (%v)", err)
	}
	entries, _ := os.ReadDir(w.dir)
	for _, e := range entries {
		if !slices.Contains([]string{databaseName, lockName, "shop"}, e.Name()) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// TestStill_when_a_newer_version_was_killed has the change of version in a log that no
// process has put into the database yet.
func TestStill_when_a_newer_version_was_killed(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	if _, err := w.folder.firm.Exec("PRAGMA user_version = 7"); err != nil {
		t.Fatal(err)
	}
	left := t.TempDir()
	before := map[string][]byte{}
	for _, name := range []string{databaseName, databaseName + "-wal"} {
		b, err := os.ReadFile(filepath.Join(w.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(left, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		before[name] = b
	}
	o := w.options()
	o.Dir, o.Still = left, true
	_, err := Open(t.Context(), o)
	wantCode(t, err, fault.FormatNewer)
	entries, _ := os.ReadDir(left)
	for _, e := range entries {
		b, _ := os.ReadFile(filepath.Join(left, e.Name()))
		if e.Name() != lockName && !bytes.Equal(b, before[e.Name()]) {
			t.Errorf("%s was changed", e.Name())
		}
		delete(before, e.Name())
	}
	if len(before) > 0 {
		t.Errorf("gone: %v", slices.Collect(maps.Keys(before)))
	}
}

func TestStill_when_progress_is_known(t *testing.T) {
	rate, ahead := 12.5, int64(7)
	p := still(watch.Progress{
		Rows: watch.Count{Done: 5}, Rate: &rate, ByteRate: &rate, Left: &watch.Left{}, Memory: watch.Memory{Used: 1},
		Changes: &watch.Changes{Rows: 3, Position: "7", Rate: &rate, Ahead: &ahead, Lag: watch.Lag{State: watch.CaughtUp, Seconds: &rate}},
		Sinks:   []watch.Sink{{Name: "lake", Rows: 8, Lag: watch.Lag{State: watch.Behind}}},
		Files:   &watch.Objects{Round: 2, Rate: &rate},
	})
	if p.Rate != nil || p.ByteRate != nil || p.Left != nil || p.Changes.Rate != nil || p.Changes.Lag.State != watch.Unknown || p.Sinks[0].Lag.State != watch.Unknown || p.Files.Rate != nil {
		t.Errorf("what was true of a moment is shown: %+v", p)
	}
	if p.Rows.Done != 5 || p.Changes.Rows != 3 || p.Changes.Position != "7" || p.Sinks[0].Rows != 8 || p.Files.Round != 2 {
		t.Errorf("what was counted is lost: %+v", p)
	}
}
