package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"godwit/internal/fault"
)

// folderTry is a command on a state folder that no server has.
func folderTry(t *testing.T, live *livesHere, args ...string) *try {
	t.Helper()
	r := newTry(t, append(args, "--state")...)
	r.p.Args, r.p.Serve = append(r.p.Args, r.dir), live.open
	return r
}

func TestFolder_when_no_server_has_it(t *testing.T) {
	live := newLivesHere()
	r := folderTry(t, live, "job", "list")
	r.p.Env = append(r.p.Env, envServer+"=http://127.0.0.1:1", envToken+"=of-that-one")
	r.want(0, "nightly\t", "no server has "+r.dir+": this is what is kept there")
	if o := live.o; !o.Still || o.Begin || o.Dir != r.dir || o.Resolver.Env == nil {
		t.Errorf("opened with %+v", o)
	}
	if strings.Join(live.said, " ") != "closed" {
		t.Errorf("the folder is not given back: %q", live.said)
	}
	r = folderTry(t, live, "job", "list", "--json")
	r.want(0, `"type":"warning"`, "")
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
	if r.err.String() != "" {
		t.Error(r.err.String())
	}
	folderTry(t, live, "token", "create", "alice", "--role", "read", "--out", filepath.Join(t.TempDir(), "alice")).want(0, "", "alice may read")
	if !live.o.Begin {
		t.Error("tokens are made before the first start")
	}
	out, code := onTerminal(t, folderTry(t, live, "job", "watch", "--color", "never"), pty.Winsize{Rows: 24, Cols: 160}, "", "")
	if code != 0 || !strings.Contains(out, "nightly") || !strings.Contains(out, "no server has") {
		t.Errorf("%d\n%s", code, out)
	}
	live.err = fault.New(fault.StateBroken, "no such folder")
	folderTry(t, live, "job", "list").want(3, "", "error[STATE_BROKEN]: no such folder")
}

// TestFolder_when_a_server_takes_it_meanwhile says that it is asked then.
func TestFolder_when_a_server_takes_it_meanwhile(t *testing.T) {
	th := newThere(t)
	live := newLivesHere()
	r := folderTry(t, live, "job", "list")
	live.opening = make(chan struct{})
	live.err = fault.New(fault.StateLocked, "another server has this folder")
	if err := (serveFile{URL: th.URL, Token: operator, PID: os.Getpid(), Started: now}).write(r.dir); err != nil {
		t.Fatal(err)
	}
	close(live.opening) // it takes the lock, and refuses
	r.want(0, "shop-to-lake\t", "")
	if strings.Contains(r.err.String(), "no server has") {
		t.Error(r.err.String())
	}
	live.lock()
}
