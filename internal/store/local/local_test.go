package local_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
	"godwit/internal/store/storetest"
)

var background = context.Background()

func TestStore_on_the_machine(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return openDir(t, t.TempDir()+"/new/lake")
	}, storetest.Options{
		Second: func(t *testing.T, first store.Store) store.Store {
			return openDir(t, first.(*local.Store).Path())
		},
		Keys: []string{"tab\tnew\nline"}, ListObjects: 200, Rounds: 4, Keeps: fileKeeps, DivideObjects: 400,
	})
}

func TestStore_when_power_is_cut(t *testing.T) {
	open := func(fsys local.FS) (store.Store, error) {
		return local.New(fsys, "/srv/lake", local.Options{Staging: "_godwit/staging", BufferBytes: 256})
	}
	without := func(f powerfs.Feature) func() *powerfs.Disk {
		return func() *powerfs.Disk {
			d := powerfs.New()
			d.Without(f)
			return d
		}
	}
	for name, f := range map[string]powerfs.Feature{"no links": powerfs.Links, "no exclusive rename": powerfs.ExclusiveMove} {
		t.Run(name, func(t *testing.T) {
			storetest.RunPower(t, open, storetest.PowerOptions{Disk: without(f), Samples: 3, Rounds: 100})
		})
	}
}

func openDir(t testing.TB, dir string) *local.Store {
	t.Helper()
	s, err := local.New(local.OS{}, dir, local.Options{Staging: "_godwit/staging", ListBytes: 2 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openDisk(t testing.TB, fsys local.FS) *local.Store {
	t.Helper()
	s, err := local.New(fsys, "/lake", local.Options{BufferBytes: 256})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(s store.Store, key, data string) error {
	_, err := s.Put(background, key, store.Body{Size: int64(len(data)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(data[off:])), nil
	}}, store.PutOptions{})
	return err
}

func get(s store.Store, key string) (string, error) {
	r, _, err := s.Open(background, key, store.Read{})
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func listed(t testing.TB, s store.Store) (keys []string) {
	t.Helper()
	for o, err := range s.List(background, "", "") {
		if err != nil {
			t.Fatalf("List at %q: %v", o.Key, err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNew_when_only_reading_writes_nothing(t *testing.T) {
	disk := powerfs.New()
	fsys := disk.Process()
	s := openDisk(t, fsys)
	if _, err := get(s, "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	must(t, s.Delete(background, "k"))
	if keys := listed(t, s); len(keys) > 0 {
		t.Errorf("List: %q", keys)
	}
	if r, err := s.Staged(background, "k"); err != nil || len(r) > 0 {
		t.Errorf("Staged: %v, %v", r, err)
	}
	if n, err := s.Sweep(background, 0); n != 0 || err != nil {
		t.Errorf("Sweep: %d, %v", n, err)
	}
	if steps := fsys.Steps(); len(steps) > 0 {
		t.Errorf("steps %v", steps)
	}
}

func TestNew_when_the_root_is_wrong(t *testing.T) {
	for _, root := range []string{"", "relative", "/a/../b", "/a\x00"} {
		if _, err := local.New(powerfs.New().Process(), root, local.Options{}); !fault.Has(err, fault.JobValue) {
			t.Errorf("%q: %v", root, err)
		}
	}
	disk := powerfs.New()
	must(t, put(openDisk(t, disk.Process()), "file", "x"))
	if _, err := local.New(disk.Process(), "/lake/file", local.Options{}); !fault.Has(err, fault.TargetRefused) {
		t.Errorf("a file as root: %v", err)
	}
}

func TestCreate_when_the_answer_of_link_is_lost(t *testing.T) {
	for _, lost := range []error{syscall.EEXIST, syscall.ETIMEDOUT} {
		fsys := powerfs.New().Process()
		s := openDisk(t, fsys)
		f := &powerfs.Fault{Op: powerfs.Link, After: true, Err: lost}
		fsys.Inject(f)
		must(t, s.Create(background, "k", []byte("mine")))
		if _, ok := fsys.Reached(f); !ok {
			t.Fatal("not reached")
		}
		if err := s.Create(background, "k", []byte("other")); !errors.Is(err, store.ErrExists) {
			t.Error(err)
		}
		if got, err := get(s, "k"); got != "mine" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestCreate_when_nothing_is_exclusive(t *testing.T) {
	disk := powerfs.New()
	disk.Without(powerfs.Links | powerfs.ExclusiveMove)
	s := openDisk(t, disk.Process())
	if err := s.Create(background, "k", nil); !fault.Has(err, fault.TargetNoExclusive) {
		t.Error(err)
	}
	if keys := listed(t, s); len(keys) > 0 {
		t.Errorf("%q", keys)
	}
}

func TestStage_when_the_disk_is_full_leaves_nothing_and_goes_on_later(t *testing.T) {
	for space := int64(0); space <= 1000; space += 250 {
		disk := powerfs.New()
		s := openDisk(t, disk.Process())
		must(t, put(s, "kept", "kept"))
		disk.SetSpace(space)
		_, err := stage(s, "k", strings.Repeat("x", 1001))
		if !fault.Has(err, fault.TargetFull) || !strings.Contains(err.Error(), "/lake/k") || fault.Of(err).Hint == "" {
			t.Fatalf("space %d: %v", space, err)
		}
		if err := put(s, "k", strings.Repeat("x", 1001)); !fault.Has(err, fault.TargetFull) {
			t.Fatalf("space %d: %v", space, err)
		}
		if err := s.Create(background, "k", []byte(strings.Repeat("x", 1001))); !fault.Has(err, fault.TargetFull) {
			t.Fatalf("space %d: %v", space, err)
		}
		if keys := listed(t, s); len(keys) != 1 || keys[0] != "kept" {
			t.Fatalf("%q", keys)
		}
		if n := len(inStaging(t, disk)); n > 0 {
			t.Fatalf("%d files left in the staging folder", n)
		}
		disk.SetSpace(1001) // all space is back
		r, err := stage(s, "k", strings.Repeat("x", 1001))
		must(t, err)
		_, err = s.Publish(background, r)
		must(t, err)
	}
}

func stage(s store.Stager, key, data string) (store.Receipt, error) {
	g, err := s.Stage(background, key, store.PutOptions{})
	if err != nil {
		return store.Receipt{}, err
	}
	if _, err := g.Write([]byte(data)); err != nil {
		g.Abort()
		return store.Receipt{}, err
	}
	return g.Close()
}

// inStaging lists the staging folder by a store that does not know it as one.
func inStaging(t testing.TB, disk *powerfs.Disk) (keys []string) {
	t.Helper()
	s, err := local.New(disk.Process(), "/lake/.godwit-staging", local.Options{})
	must(t, err)
	return listed(t, s)
}

func TestSweep_removes_what_the_dead_left_and_nothing_else(t *testing.T) {
	disk := powerfs.New()
	dead, live := disk.Process(), disk.Process()
	zombie, s := openDisk(t, dead), openDisk(t, live)
	staged, err := stage(zombie, "staged", "whole")
	must(t, err)
	left, err := zombie.Stage(background, "left", store.PutOptions{})
	must(t, err)
	_, err = left.Write(make([]byte, 1000))
	must(t, err)
	working, err := s.Stage(background, "working", store.PutOptions{})
	must(t, err)

	sweeper := openDisk(t, disk.Process())
	sweep := func(grace time.Duration, want int) {
		t.Helper()
		if n, err := sweeper.Sweep(background, grace); n != want || err != nil {
			t.Fatalf("swept %d (%v), want %d", n, err, want)
		}
	}
	disk.Pass(2 * time.Hour)
	sweep(time.Hour, 0) // both live
	dead.Kill()
	sweep(3*time.Hour, 0) // too young
	disk.Without(powerfs.Locks)
	sweep(time.Hour, 0) // cannot tell
	disk.Without(0)
	sweep(time.Hour, 1)
	sweep(time.Hour, 0)
	r, err := working.Close()
	must(t, err)
	for _, r := range []store.Receipt{r, staged} {
		if o, err := sweeper.Publish(background, r); o != store.Published || err != nil {
			t.Errorf("Publish(%q): %d, %v", r.Key, o, err)
		}
	}
	if n := len(inStaging(t, disk)); n > 0 {
		t.Errorf("%d files left in the staging folder", n)
	}
}

// Should a sweep take a live writer's file all the same, the writer must fail.
func TestWriters_when_their_file_is_swept(t *testing.T) {
	disk := powerfs.New()
	fsys := disk.Process()
	s := openDisk(t, fsys)
	must(t, put(s, "k", "old"))
	raw, err := disk.Process().OpenRoot("/lake/.godwit-staging")
	must(t, err)
	steal := func(powerfs.Step) {}
	fsys.Before(func(step powerfs.Step) { steal(step) })
	steal = func(step powerfs.Step) {
		if step.Op == powerfs.Sync {
			must(t, raw.Remove(step.Path[strings.LastIndexByte(step.Path, '/')+1:]))
		}
	}
	if err := s.Create(background, "new", []byte("x")); fault.ClassOf(err) != fault.Retry || err == nil {
		t.Errorf("Create: %v", err)
	}
	if err := put(s, "k", "new"); fault.ClassOf(err) != fault.Retry || err == nil {
		t.Errorf("Put: %v", err)
	}
	if _, err := stage(s, "staged", "x"); fault.ClassOf(err) != fault.Retry || err == nil {
		t.Errorf("Stage: %v", err)
	}
	if got, _ := get(s, "k"); got != "old" {
		t.Errorf("%q", got)
	}
	if keys := listed(t, s); len(keys) != 1 {
		t.Errorf("%q", keys)
	}
}

func TestParseURL(t *testing.T) {
	good := map[string]string{
		"file:///data/lake": "/data/lake", "FILE:///data/lake/": "/data/lake", "file://localhost/x": "/x", "file:///": "/",
		"file:///a%20b/%C3%BC%25%3F%23": "/a b/ü%?#", "file:///a b": "/a b", "file:///a//b": "/a/b", "file:///a+b": "/a+b",
	}
	for raw, want := range good {
		if got, err := local.ParseURL(raw); got != want || err != nil {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"", "/data", "data", "file:", "file://", "file:/data", "file:data", "file://host/x", "file:///a?b", "file:///a#b",
		"file:///a%", "file:///a%zz", "file:///a%00", "file:///a/../b", "file:///a/%2e%2e/b", "file:///./a", "s3://b/k",
	} {
		if got, err := local.ParseURL(raw); !fault.Has(err, fault.JobValue) || fault.Of(err).Hint == "" {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

// fileKeeps is what a file keeps of attributes.
func fileKeeps(a *store.Attributes) {
	*a = store.Attributes{Mode: a.Mode, Owner: a.Owner, Modified: a.Modified}
}
