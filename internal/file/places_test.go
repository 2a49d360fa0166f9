package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/watch"
)

// site is a job between places of this machine.
type site struct {
	t    *testing.T
	base string
	spec *job.Spec
	e    Engine
	o    engine.Options
}

// newSite makes files and reads a job whose stores are URLs or paths below the base.
func newSite(t *testing.T, source, sink, more string, files ...string) *site {
	t.Helper()
	s := &site{t: t, base: t.TempDir(), e: Engine{Stores: store.Registry{local.Driver()}}, o: engine.Options{State: t.TempDir(), Memory: 64 << 20}}
	for _, f := range files {
		s.write(f, f)
	}
	text := fmt.Sprintf("name: placed\nkind: files\nsource: {url: \"file://%s\"}\nsink: {local: {path: %q}}\n%s",
		filepath.Join(s.base, source), filepath.Join(s.base, sink), more)
	var problems option.Problems
	s.spec, problems = job.Parse(filepath.Join(s.base, "job.yaml"), []byte(text), job.Systems{Stores: s.e.Stores}, option.Resolver{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.base, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// files lists what is there, folders with nothing in them too.
func (s *site) files() (out []string) {
	s.t.Helper()
	err := filepath.WalkDir(s.base, func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".godwit") {
			return filepath.SkipDir
		}
		if rest, _ := filepath.Rel(s.base, p); err == nil && !d.IsDir() {
			out = append(out, rest)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) run() (watch.Outcome, error) {
	o := s.o
	o.Files = watch.NewFiles(watch.Options{})
	return s.e.Run(s.t.Context(), s.spec, o)
}

func (s *site) plan() (*watch.PlanFiles, error) {
	r, err := s.e.Plan(s.t.Context(), s.spec, s.o)
	return r.Files, err
}

// failed returns what a check finds amiss.
func (s *site) failed() (out []string) {
	s.t.Helper()
	r, err := s.e.Check(s.t.Context(), s.spec, s.o)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Fault != nil {
			out = append(out, fmt.Sprintf("%s %s %s: %s; %s", f.On, f.Name, f.Fault.Code, f.Fault.What, f.Fault.Hint))
		}
	}
	return out
}

// Nothing is written or deleted by a job whose source and sink overlap.
func TestJob_when_source_and_sink_overlap(t *testing.T) {
	const move, mirror = "delete_source: after_verify", "delete_extraneous: within_limit\ndelete_limit: 100%"
	for name, c := range map[string]struct {
		source, sink, more, what, hint string
	}{
		"a move onto itself":          {"a", "a", move, "one place", "another place"},
		"a mirror of itself":          {"a", "a", mirror, "one place", ""},
		"a link to the source":        {"a", "link", move, "one place", ""},
		"a sink in the source":        {"a", "a/out", "", "lies in the source", `exclude: ["/out/"]`},
		"a sink that is there":        {"a", "a/b", move, "lies in the source", `exclude: ["/b/"]`},
		"a sink behind a link":        {"a", "link/b/new", "", "lies in the source", `exclude: ["/b/new/"]`},
		"a source in the sink":        {"a/b", "a", mirror, "lies in the sink", `exclude: ["/b/"]`},
		"a source in the sink's link": {"a/b", "link", mirror, "lies in the sink", `exclude: ["/b/"]`},
		"the wrong thing is left out": {"a", "a/b", "exclude: [\"*.tmp\"]", "lies in the source", ""},
		"names lead to the source":    {"a/b", "a", "rename: [{from: \"2\", to: \"b/2\"}]", "lies in the sink", `"b/"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.source, c.sink, c.more, "a/1", "a/b/2")
			if err := os.Symlink("a", filepath.Join(s.base, "link")); err != nil {
				t.Fatal(err)
			}
			before := s.files()
			failed := s.failed()
			if len(failed) != 1 || !strings.Contains(failed[0], c.what) || !strings.Contains(failed[0], c.hint) {
				t.Errorf("check: %q", failed)
			}
			_, err := s.plan()
			_, runErr := s.run()
			for what, err := range map[string]error{"plan": err, "run": runErr} {
				f := fault.Of(err)
				if err == nil || f.Code != fault.JobValue || f.Code.Info().Exit != fault.ExitRequest || !strings.Contains(f.What, s.base) || !strings.Contains(f.Hint, c.hint) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if now := s.files(); !slices.Equal(now, before) {
				t.Errorf("what was %q is %q", before, now)
			}
		})
	}
}

// A job may work beside itself where its rules keep source and sink apart.
func TestJob_when_rules_keep_source_and_sink_apart(t *testing.T) {
	for name, c := range map[string]struct {
		source, sink, more string
		want               []string
	}{
		"a sink in the source":   {"a", "a/out", "exclude: [\"/out/\"]", []string{"a/1", "a/b/2", "a/out/1", "a/out/b/2"}},
		"a source in the sink":   {"a/b", "a", "exclude: [\"/b/\"]\ndelete_extraneous: within_limit\ndelete_limit: 100%", []string{"a/2", "a/b/2"}},
		"a move to another name": {"a", "a", "prefixes: [\"b/\"]\nrename: [{from: \"b/\", to: \"old/\"}]\ndelete_source: after_verify", []string{"a/1", "a/old/2"}},
		"places side by side":    {"a", "ab", "", []string{"a/1", "a/b/2", "ab/1", "ab/b/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.source, c.sink, c.more, "a/1", "a/b/2")
			if failed := s.failed(); len(failed) > 0 {
				t.Errorf("check: %q", failed)
			}
			for range 2 {
				if out, err := s.run(); err != nil || out.Failed > 0 {
					t.Fatalf("%+v, %v", out, err)
				}
			}
			if got := s.files(); !slices.Equal(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

// What is no file fails by itself, wherever in a listing it stands.
func TestJob_when_the_first_entry_is_no_file(t *testing.T) {
	odd := map[string]func(string) error{
		"a link":          func(p string) error { return os.Symlink("k", p) },
		"a dangling link": func(p string) error { return os.Symlink("nowhere", p) },
		"a pipe":          func(p string) error { return syscall.Mkfifo(p, 0o600) },
	}
	for name, make := range odd {
		for _, where := range []string{"a", "out"} {
			t.Run(name+" in "+where, func(t *testing.T) {
				s := newSite(t, "a", "out", "", "a/k", "out/other")
				if err := make(filepath.Join(s.base, where, "0")); err != nil {
					t.Fatal(err)
				}
				if failed := s.failed(); len(failed) > 0 {
					t.Errorf("check: %q", failed)
				}
				if _, err := s.plan(); err != nil {
					t.Errorf("plan: %v", err)
				}
				failed := int64(0)
				if where == "a" {
					failed = 1
				}
				if out, err := s.run(); err != nil || out.Failed != failed {
					t.Errorf("%+v, %v", out, err)
				}
				if !slices.Contains(s.files(), "out/k") {
					t.Error("nothing was copied")
				}
			})
		}
	}
	t.Run("left out", func(t *testing.T) {
		s := newSite(t, "a", "out", "exclude: [\"0\"]", "a/k")
		if err := odd["a link"](filepath.Join(s.base, "a/0")); err != nil {
			t.Fatal(err)
		}
		if out, err := s.run(); err != nil || out.Failed > 0 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// A source that is not there is no empty one.
func TestJob_when_the_source_is_not_there(t *testing.T) {
	s := newSite(t, "a", "out", "delete_extraneous: within_limit\ndelete_limit: 100%", "out/1", "out/2")
	if failed := s.failed(); len(failed) != 1 || !strings.HasPrefix(failed[0], "source list STORE_MISSING") || !strings.Contains(failed[0], "mounted") {
		t.Errorf("check: %q", failed)
	}
	_, err := s.plan()
	_, runErr := s.run()
	for what, err := range map[string]error{"plan": err, "run": runErr} {
		if f := fault.Of(err); err == nil || f.Code != fault.StoreMissing || f.Where != filepath.Join(s.base, "a") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := s.files(); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
}

// A job that goes on in rounds ends when its source is gone.
func TestRun_when_the_source_vanishes_between_rounds(t *testing.T) {
	s := newSite(t, "a", "out", "every: 1s", "a/k")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := s.o
	o.Files = watch.NewFiles(watch.Options{})
	ended := make(chan error, 1)
	go func() {
		_, err := s.e.Run(ctx, s.spec, o)
		ended <- err
	}()
	for o.Files.Snapshot().Phase != watch.Resting {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := os.RemoveAll(filepath.Join(s.base, "a")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !fault.Has(err, fault.StoreMissing) {
		t.Error(err)
	}
}

// An empty source deletes nothing, unless everything may be deleted; plan says so before.
func TestJob_when_the_source_is_empty(t *testing.T) {
	for limit, left := range map[string]int{"10%": 2, "1000": 2, "100%": 0} {
		t.Run(strings.ReplaceAll(limit, "%", " percent"), func(t *testing.T) {
			s := newSite(t, "a", "out", "delete_extraneous: within_limit\ndelete_limit: "+limit, "out/1", "out/2")
			if err := os.Mkdir(filepath.Join(s.base, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
			p, err := s.plan()
			if err != nil || len(p.Dangers) != 1 || strings.Contains(p.Dangers[0], string(fault.TooManyDeletes)) != (left > 0) {
				t.Errorf("%+v, %v", p, err)
			}
			out, err := s.run()
			if fault.Has(err, fault.TooManyDeletes) != (left > 0) || left == 0 && err != nil || left > 0 && out.Nothing {
				t.Errorf("%+v, %v", out, err)
			}
			if got := s.files(); len(got) != left {
				t.Errorf("left: %q", got)
			}
		})
	}
}

func TestPlan_when_objects_would_be_deleted(t *testing.T) {
	for limit, want := range map[string]string{
		"3":  "3 objects are deleted in ",
		"2":  "the run would end with TOO_MANY_DELETES: 3 of the target's 4 objects",
		"1%": "the run would end with TOO_MANY_DELETES: 3 of the target's 4 objects",
	} {
		s := newSite(t, "a", "out", "delete_extraneous: within_limit\ndelete_limit: "+limit, "a/0", "out/0", "out/1", "out/2", "out/3")
		p, err := s.plan()
		if err != nil || len(p.Dangers) != 1 || !strings.HasPrefix(p.Dangers[0], want) {
			t.Errorf("%s: %+v, %v", limit, p, err)
		}
		deletes := slices.ContainsFunc(p.Objects, func(o watch.PlanObjects) bool { return o.Action == "delete" })
		if deletes != (limit == "3") {
			t.Errorf("%s: %+v", limit, p.Objects)
		}
	}
	s := newSite(t, "a", "out", "delete_extraneous: within_limit\ndelete_limit: 5", "a/0", "out/0", "out/1")
	if p, err := s.plan(); err != nil || len(p.Dangers) != 1 || !strings.HasPrefix(p.Dangers[0], "1 object is deleted in ") || !strings.HasSuffix(p.Dangers[0], "does not have it") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCheck_when_the_list_file_is_missing(t *testing.T) {
	s := newSite(t, "a", "out", "list: {file: wanted.txt}", "a/k")
	if failed := s.failed(); len(failed) != 1 || !strings.HasPrefix(failed[0], "source list file JOB_VALUE") {
		t.Errorf("%q", failed)
	}
	s.write("wanted.txt", "k\n")
	if failed := s.failed(); len(failed) > 0 {
		t.Errorf("%q", failed)
	}
}
