package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// nobody is the user that the tests run the binary as when they run as root, who
// may do anything: nil for an ordinary user, who is one.
func nobody() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: 65534, Gid: 65534}
}

// give makes a folder and all in it the user's own.
func give(t *testing.T, who *syscall.Credential, folder string) {
	t.Helper()
	if who == nil {
		return
	}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(who.Uid), int(who.Gid))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shut makes a folder that a user who is not root cannot write to.
func shut(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(folder, 0o755) }) // to be removed with the test
}

// TestRun_when_as_an_ordinary_user runs the binary without any privilege: in
// folders of its own, and where it may not write.
func TestRun_when_as_an_ordinary_user(t *testing.T) {
	s := one(t)
	who := nobody()
	j := newJob(t, s)
	give(t, who, j.dir)
	if err := os.Chmod(filepath.Dir(j.dir), 0o755); err != nil { // a test's folder is its user's alone
		t.Fatal(err)
	}
	as := func(code int, args []string, words ...string) {
		t.Helper()
		p := startAs(t, who, s.Password, args...)
		want(t, p.wait(60*time.Second), p.said(), code, words...)
	}
	closed := filepath.Join(t.TempDir(), "closed")
	shut(t, closed)
	as(3, []string{"run", j.file(), "--state", filepath.Join(closed, "state"), "--json"}, "STATE_BROKEN", "permission denied", "--state")

	j.set("url", "file://"+filepath.Join(closed, "lake"))
	as(3, j.args(), "permission denied", filepath.Join(closed, "lake"))
	as(3, []string{"check", j.file(), "--json"}, "permission denied", filepath.Join(closed, "lake"))
	j.set("url", "")

	as(0, j.args())
	j.equal(s)
	s.Exec(t, "INSERT INTO app.t VALUES (3000, 'more'); DELETE FROM app.u WHERE id < 10")
	as(0, j.args())
	j.equal(s)
	as(0, []string{"status", "crossing", "--state", j.state()}, "finished")
	for path, mode := range map[string]fs.FileMode{"crossing": 0o700, "crossing/lock": 0o600, "crossing/godwit.log": 0o600} {
		i, err := os.Stat(filepath.Join(j.state(), path))
		if err != nil {
			t.Fatal(err)
		}
		if i.Mode().Perm() != mode {
			t.Errorf("%s: %v, want %v", path, i.Mode(), mode)
		}
		if owner := i.Sys().(*syscall.Stat_t).Uid; who != nil && owner != who.Uid {
			t.Errorf("%s belongs to %d", path, owner)
		}
	}
}
