package local

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// opened is the state of a job, locked.
func opened(t *testing.T, root, name string) *State {
	t.Helper()
	s, err := OpenState(root, name, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// specOf is a job that reads tables.
func specOf(tables string, parallel int) *job.Spec {
	s := &job.Spec{Name: "shop", File: "job.yaml", Kind: job.KindTables, Mode: job.Snapshot, Parallel: parallel}
	s.Tables.Patterns = []string{tables}
	return s
}

func TestAccept_when_the_job_file_was_edited(t *testing.T) {
	s := opened(t, t.TempDir(), "shop")
	if edits, err := s.Accept(t.Context(), specOf("a.*", 1), false); err != nil || len(edits) > 0 {
		t.Fatalf("nothing is kept: %v, %v", edits, err)
	}
	if err := s.KeepSpec(t.Context(), specOf("a.*", 1)); err != nil {
		t.Fatal(err)
	}
	if edits, err := s.Accept(t.Context(), specOf("a.*", 2), false); err != nil || len(edits) != 1 || edits[0].Field != "parallel" {
		t.Errorf("%v, %v", edits, err)
	}
	other := specOf("a.*", 1)
	other.Mode = job.Changes
	_, err := s.Accept(t.Context(), other, false)
	if e := fault.Of(err); e.Code != fault.JobEdit || e.Where != "job.yaml" || !strings.Contains(e.Hint, "--again job.yaml") {
		t.Errorf("%+v", e)
	}
	if edits, err := s.Accept(t.Context(), other, true); err != nil || len(edits) != 1 {
		t.Errorf("again: %v, %v", edits, err)
	}
	if _, err := s.db.ExecContext(t.Context(), "UPDATE kept SET value = 'x'"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(t.Context(), specOf("a.*", 1), false); !fault.Has(err, fault.StateBroken) {
		t.Errorf("what is kept cannot be read: %v", err)
	}
}

func TestJobFile_when_looked_for(t *testing.T) {
	root := t.TempDir()
	s := opened(t, root, "shop")
	if err := s.KeepSpec(t.Context(), specOf("a.*", 1)); err != nil {
		t.Fatal(err)
	}
	want, err := filepath.Abs("job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"shop": want, "other": "", "": "", "../shop": "", "shop/": ""} {
		if file, err := JobFile(t.Context(), root, name); err != nil || file != want {
			t.Errorf("%q: %q, %v", name, file, err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "broken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "broken", "state.db"), []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := JobFile(t.Context(), root, "broken"); !fault.Has(err, fault.StateBroken) {
		t.Error("a file that is no state was read")
	}
}

func TestAudit_when_it_is_long(t *testing.T) {
	s := opened(t, t.TempDir(), "shop")
	for i := range maxAudit + 3 {
		if err := s.Note(t.Context(), uint64(i), "edited"); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := s.Audit(t.Context())
	if err != nil || len(entries) != maxAudit || entries[0].Run != 3 || entries[maxAudit-1].Run != maxAudit+2 || entries[0].What != "edited" || entries[0].At.IsZero() {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if _, err := s.db.ExecContext(t.Context(), "UPDATE kept SET value = 'x'"); err != nil {
		t.Fatal(err)
	}
	if err := s.Note(t.Context(), 1, "edited"); !fault.Has(err, fault.StateBroken) {
		t.Errorf("an audit log that cannot be read: %v", err)
	}
}

func TestKeepProgress_while_a_run_goes_on(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, t.TempDir(), "shop")
		defer s.Close()
		if p, err := s.Progress(t.Context()); p != nil || err != nil {
			t.Fatalf("%+v, %v", p, err)
		}
		begin, rows := time.Now(), atomic.Int64{}
		stop := s.KeepProgress(t.Context(), false, func() watch.Progress {
			return watch.Progress{Elapsed: time.Since(begin).Seconds(), Rows: watch.Count{Done: rows.Load()}}
		})
		kept := func(after time.Duration) float64 {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			p, err := s.Progress(t.Context())
			if err != nil || p == nil {
				t.Fatalf("%+v, %v", p, err)
			}
			return p.Elapsed
		}
		if at := kept(keepEvery); at != 2 {
			t.Errorf("the first is of %v s", at)
		}
		if at := kept(5 * keepEvery); at != 2 {
			t.Errorf("nothing moved, and kept is that of %v s", at)
		}
		if at := kept(keepIdle); at != 32 {
			t.Errorf("after a while without news kept is that of %v s", at)
		}
		rows.Store(1)
		if at := kept(keepEvery); at != 44 {
			t.Errorf("something moved, and kept is that of %v s", at)
		}
		<-time.After(time.Millisecond)
		stop()
		if p, err := s.Progress(t.Context()); err != nil || p.Elapsed != 44.001 {
			t.Errorf("at the end: %+v, %v", p, err)
		}
	})
}

func TestEnd_of_a_run(t *testing.T) {
	for _, c := range []struct {
		stopped bool
		err     error
		exit    int
		outcome string
	}{
		{false, nil, fault.ExitDone, "done"},
		{true, nil, 130, "stopped"},
		{true, fault.New(fault.TargetFull, "no space"), fault.ExitEnvironment, "TARGET_FULL: no space"},
	} {
		if exit, outcome := End(c.stopped, c.err); exit != c.exit || outcome != c.outcome {
			t.Errorf("%+v: %d, %q", c, exit, outcome)
		}
	}
}

func TestStatuses_of_all_jobs(t *testing.T) {
	root := t.TempDir()
	for name, exit := range map[string]int{"done": 0, "partly": fault.ExitNotWhole, "killed": -1, "refused": 3, "stopped": 130, "signalled": 143} {
		s := opened(t, root, name)
		if err := s.StartRun(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		if exit >= 0 {
			if err := s.EndRun(t.Context(), 7, exit, "how it ended"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Keep(t.Context(), keptProgress, watch.Progress{Run: 7}); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	opened(t, root, "fresh")
	running := opened(t, root, "running")
	if err := running.StartRun(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Statuses(t.Context(), root, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, j := range r.Jobs {
		got = append(got, strings.TrimSpace(j.Job+" "+j.State+" "+j.Error))
		switch j.Job {
		case "fresh":
			if j.Run != 0 || j.Since != nil {
				t.Errorf("%+v", j)
			}
		case "running":
			if j.Process != os.Getpid() || j.Run != 9 || j.Since == nil || j.Progress != nil {
				t.Errorf("%+v", j)
			}
		default:
			if j.Process != 0 || j.Run != 7 || j.Since == nil || time.Since(*j.Since) > time.Minute || j.Progress == nil || j.Progress.Run != 7 {
				t.Errorf("%+v", j)
			}
		}
	}
	want := []string{
		"done finished", "fresh new", "killed failed the process ended without a word (killed, or the machine went down); run again to go on",
		"partly finished", "refused failed how it ended", "running running", "signalled stopped", "stopped stopped",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if r, err := Statuses(t.Context(), root, "done"); err != nil || len(r.Jobs) != 1 || r.Jobs[0].State != "finished" {
		t.Errorf("one alone: %+v, %v", r, err)
	}
	if r, err := Statuses(t.Context(), filepath.Join(root, "nowhere"), ""); err != nil || len(r.Jobs) > 0 {
		t.Errorf("no folder: %+v, %v", r, err)
	}
	if _, err := Statuses(t.Context(), filepath.Join(root, "a file"), ""); !fault.Has(err, fault.StateBroken) {
		t.Errorf("no folder but a file: %v", err)
	}
}

// A target keeps the form it was made in, whatever is read again: the hint must not send
// there.
func TestRefusal_when_only_another_target_helps(t *testing.T) {
	where, form := job.Edit{Field: "sinks.lake.files.address", Effect: job.Refused}, job.Edit{Field: "sinks.lake.files.format", Effect: job.Refused, Elsewhere: true}
	live := job.Edit{Field: "parallel", Effect: job.Applies}
	for _, c := range []struct {
		edits       []job.Edit
		field, hint string
	}{
		{[]job.Edit{live, where}, where.Field, "take the edit back, or read everything again: godwit run --again job.yaml"},
		{[]job.Edit{live, form}, form.Field, "another target (an empty folder) as well and read everything again: godwit run --again job.yaml"},
		{[]job.Edit{where, live, form}, form.Field, "another target"},
	} {
		e := fault.Of(refusal(refused(c.edits), "job.yaml"))
		if e.Code != fault.JobEdit || !strings.HasPrefix(e.What, c.field) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%+v", e)
		}
	}
	if e := refused([]job.Edit{live}); e != nil {
		t.Errorf("%+v is refused", e)
	}
}
