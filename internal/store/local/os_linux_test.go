package local_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
)

func TestOS_when_the_file_system_is_full(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("godwit-test", dir, "tmpfs", 0, "size=1m,nr_inodes=64"); err != nil {
		t.Skipf("no right to mount a small file system (%v); the same is tested on a modelled disk", err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	s, err := local.New(local.OS{}, dir, local.Options{})
	must(t, err)
	defer s.Close()
	must(t, put(s, "kept", "kept"))
	big := strings.Repeat("x", 2<<20)
	if _, err := stage(s, "k", big); !fault.Has(err, fault.TargetFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Stage: %v", err)
	}
	if err := put(s, "k", big); !fault.Has(err, fault.TargetFull) {
		t.Errorf("Put: %v", err)
	}
	if err := s.Create(background, "k", []byte(big)); !fault.Has(err, fault.TargetFull) {
		t.Errorf("Create: %v", err)
	}
	if keys := listed(t, s); len(keys) != 1 {
		t.Errorf("%q", keys)
	}
	left, err := os.ReadDir(filepath.Join(dir, ".godwit-staging"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the staging folder: %v, %v", left, err)
	}
	r, err := stage(s, "k", big[:800<<10]) // the space is back
	must(t, err)
	_, err = s.Publish(background, r)
	must(t, err)
	err = nil
	for i := 0; i < 100 && err == nil; i++ {
		err = s.Create(background, "many/"+strings.Repeat("d/", i)+"f", nil)
	}
	if !fault.Has(err, fault.TargetFull) {
		t.Errorf("without inodes: %v", err)
	}
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if err := put(s, "k", "x"); !fault.Has(err, fault.TargetRefused) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only: %v", err)
	}
	if got, err := get(s, "kept"); got != "kept" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// asNobody calls with the rights of a user who owns nothing.
func asNobody(t *testing.T, call func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const nobody = 65534
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = unix.SetfsuidRetUid(0) }()
		if now, _ := unix.SetfsuidRetUid(-1); now != nobody {
			t.Skip("no right to act as another user")
		}
	}
	call()
}

func TestOS_when_the_user_may_not_write(t *testing.T) {
	dir := t.TempDir()
	for p := dir; p != "/" && p != os.TempDir(); p = filepath.Dir(p) {
		must(t, os.Chmod(p, 0o755))
	}
	s := openDir(t, dir)
	must(t, put(s, "d/k", "kept"))
	must(t, put(s, "closed/k", "hidden"))
	r, err := stage(s, "d/new", "x")
	must(t, err)
	for p, mode := range map[string]os.FileMode{"": 0o555, "d": 0o555, "_godwit": 0o555, "_godwit/staging": 0o555, "closed": 0} {
		must(t, os.Chmod(filepath.Join(dir, p), mode))
		defer func() { _ = os.Chmod(filepath.Join(dir, p), 0o755) }()
	}
	asNobody(t, func() {
		s := openDir(t, dir)
		_, stageErr := stage(s, "d/k2", "x")
		_, publishErr := s.Publish(background, r)
		for what, err := range map[string]error{
			"Put": put(s, "d/k", "x"), "Create": s.Create(background, "c", nil), "Delete": s.Delete(background, "d/k"),
			"Stage": stageErr, "Publish": publishErr, "Discard": s.Discard(background, r),
		} {
			if !fault.Has(err, fault.TargetRefused) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got, err := get(s, "d/k"); got != "kept" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		var keys, refused []string
		for o, err := range s.List(background, "", "") {
			if err == nil {
				keys = append(keys, o.Key)
			} else if fault.Has(err, fault.TargetRefused) {
				refused = append(refused, o.Key)
			}
		}
		if strings.Join(keys, " ") != "d/k" || strings.Join(refused, " ") != "closed" {
			t.Errorf("listed %q, refused %q", keys, refused)
		}
		under, err := local.New(local.OS{}, filepath.Join(dir, "new", "folder"), local.Options{})
		must(t, err)
		if err := put(under, "k", "x"); !fault.Has(err, fault.TargetRefused) {
			t.Errorf("root that cannot be made: %v", err)
		}
	})
}

func TestOS_when_symbolic_links_lead_about(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	s := openDir(t, dir)
	must(t, put(s, "in/real", "real"))
	for name, to := range map[string]string{
		"out": outside, "outfile": filepath.Join(outside, "secret"), "up": "../..", "inside": "in/real", "infolder": "in", "nowhere": "gone", "self": "self",
	} {
		must(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	for _, key := range []string{"out/secret", "outfile", "up/x", "out/new", "self"} {
		if got, err := get(s, key); err == nil || errors.Is(err, store.ErrNotFound) && key != "up/x" {
			t.Errorf("Open(%q): %q, %v", key, got, err)
		}
	}
	for _, key := range []string{"out/new", "up/new"} {
		r, err := stage(s, key, "x")
		must(t, err)
		_, publishErr := s.Publish(background, r)
		for what, err := range map[string]error{
			"Put": put(s, key, "x"), "Create": s.Create(background, key, nil), "Publish": publishErr, "Delete": s.Delete(background, "out/secret"),
		} {
			if !fault.Has(err, fault.NameRefused) {
				t.Errorf("%s(%q): %v", what, key, err)
			}
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside: %v, %v", left, err)
	}
	if got, err := get(s, "inside"); got != "real" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := get(s, "pipe"); !fault.Has(err, fault.NotAFile) {
		t.Errorf("pipe: %v", err)
	}
	for links, want := range map[local.Links]string{
		local.LinksSkip:    "in/real | infolder inside nowhere out outfile pipe self up",
		local.LinksFollow:  "in/real inside | infolder nowhere out outfile pipe self up",
		local.LinksOutside: "in/real inside outfile | infolder nowhere out pipe self up",
	} {
		l, err := local.New(local.OS{}, dir, local.Options{Links: links, Staging: "_godwit/staging"})
		must(t, err)
		var keys, bad []string
		for o, err := range l.List(background, "", "") {
			if err == nil {
				keys = append(keys, o.Key)
				continue
			}
			bad = append(bad, o.Key)
			if !fault.Has(err, fault.NotAFile) {
				t.Errorf("%q: %v", o.Key, err)
			}
		}
		if got := strings.Join(keys, " ") + " | " + strings.Join(bad, " "); got != want {
			t.Errorf("links %d: %q, want %q", links, got, want)
		}
	}
	must(t, put(s, "outfile", "replaces the link, not what it leads to"))
	if b, _ := os.ReadFile(filepath.Join(outside, "secret")); string(b) != "secret" {
		t.Errorf("%q", b)
	}
}

func TestOS_Sweep_leaves_a_live_writer_alone(t *testing.T) {
	dir := t.TempDir()
	s, other := openDir(t, dir), openDir(t, dir)
	g, err := s.Stage(background, "k", store.PutOptions{})
	must(t, err)
	_, err = io.WriteString(g, "whole")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "_godwit/staging/t-000000000000000000000000"), []byte("left"), 0o600))
	if n, err := other.Sweep(background, 0); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	r, err := g.Close()
	must(t, err)
	if o, err := other.Publish(background, r); o != store.Published || err != nil {
		t.Errorf("%d, %v", o, err)
	}
}

func TestOS_when_a_file_is_cut_while_it_is_read(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	must(t, put(s, "k", strings.Repeat("x", 1000)))
	o, err := s.Stat(background, "k")
	must(t, err)
	for _, match := range []*store.Object{nil, &o} {
		must(t, put(s, "k", strings.Repeat("x", 1000)))
		if match != nil {
			o, err = s.Stat(background, "k")
			must(t, err)
		}
		r, _, err := s.Open(background, "k", store.Read{Match: match})
		must(t, err)
		must(t, os.Truncate(filepath.Join(dir, "k"), 10))
		if _, err := io.ReadAll(r); !errors.Is(err, store.ErrChanged) {
			t.Errorf("match %v: %v", match != nil, err)
		}
		r.Close()
	}
}

// foldingDirs returns folders of this machine where names fold, if there are any:
// the one for temporary files, or one in memory where the kernel can do that.
func foldingDirs(t *testing.T) (dirs []string) {
	t.Helper()
	const fold = 0x40000000 // FS_CASEFOLD_FL
	plain, mounted := t.TempDir(), t.TempDir()
	if err := unix.Mount("godwit-test", mounted, "tmpfs", 0, "size=16m,casefold"); err == nil {
		t.Cleanup(func() { _ = unix.Unmount(mounted, 0) })
		if d, err := os.Open(mounted); err == nil {
			_ = unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, fold)
			_ = d.Close()
		}
	}
	for _, dir := range []string{plain, mounted} {
		must(t, os.WriteFile(filepath.Join(dir, "Probe"), nil, 0o600))
		if _, err := os.Stat(filepath.Join(dir, "pROBE")); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func TestOS_when_names_fold(t *testing.T) {
	for _, dir := range foldingDirs(t) {
		for name, write := range join(writers, creators) {
			for i, pair := range pairs {
				root := filepath.Join(dir, name+strconv.Itoa(i))
				s := openDir(t, root)
				must(t, put(s, pair[0], "first"))
				clash := false
				for k, c := range pair[1] + "/" {
					if part := pair[1][:min(k, len(pair[1]))]; c == '/' && !strings.HasPrefix(pair[0]+"/", part+"/") {
						_, err := os.Lstat(filepath.Join(root, part))
						clash = clash || err == nil
					}
				}
				err := write(s, pair[1:], "second")[pair[1]]
				if clash != fault.Has(err, fault.NameClash) || !clash && err != nil && writers[name] != nil { // not all can create
					t.Errorf("%s of %q beside %q, which are one name (%v): %v", name, pair[1], pair[0], clash, err)
				}
				if got, err := get(s, pair[0]); got != "first" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			}
		}
	}
}

func TestOS_when_names_fold_and_two_are_under_way(t *testing.T) {
	for _, dir := range foldingDirs(t) {
		for name, write := range writers {
			s := openDir(t, filepath.Join(dir, name))
			keys := []string{"Folder/Name", "Folder/nAME"}
			errs := write(s, keys, "data")
			won := slices.IndexFunc(keys, func(k string) bool { return errs[k] == nil })
			if won < 0 || !fault.Has(errs[keys[1-won]], fault.NameClash) || !slices.Equal(listed(t, s), keys[won:won+1]) {
				t.Errorf("%s: %v, there is %q", name, errs, listed(t, s))
			}
		}
	}
}
