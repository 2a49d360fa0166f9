package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func TestToken_when_made(t *testing.T) {
	th := newThere(t)
	r := th.try("token", "create", "carol", "--role", "operate", "--expires", "90d")
	r.want(0, "", "carol may operate until 2027-02-19T14:05:20Z; give it as GODWIT_TOKEN")
	if r.out.String() != "fresh-token-text\n" || strings.Contains(r.err.String(), "fresh-token-text") {
		t.Errorf("stdout %q, stderr %q", r.out.String(), r.err.String())
	}
	r = th.try("token", "create", "carol", "--role", "read", "--out")
	r.p.Args = append(r.p.Args, r.path("carol.token"))
	r.want(0, "", "carol may read;")
	b, err := os.ReadFile(r.path("carol.token"))
	st, _ := os.Stat(r.path("carol.token"))
	if err != nil || string(b) != "fresh-token-text\n" || st.Mode().Perm() != 0o600 || r.out.String() != "" {
		t.Errorf("%q %v %v; stdout %q", b, err, st.Mode(), r.out.String())
	}
	r.p.Args = append(r.p.Args, "--json")
	r.want(2, `"code":"USAGE"`, "the file cannot be made")
	ls := th.json(0, lineToken, "token", "create", "carol", "--role", "read")
	if len(ls) != 1 || ls[0]["text"] != "fresh-token-text" || ls[0]["name"] != "carol" {
		t.Errorf("%v", ls)
	}
	if posts := th.requests("POST"); len(posts) != 3 {
		t.Errorf("%d tokens made, 3 could be handed out", len(posts))
	}
}

func TestToken_when_refused(t *testing.T) {
	th := newThere(t)
	r := th.try("token", "create", "alice", "--role", "read", "--out")
	r.p.Args = append(r.p.Args, r.path("x"))
	r.want(2, "", "error[NAME_TAKEN]")
	if _, err := os.Stat(r.path("x")); err == nil {
		t.Error("an empty file is left")
	}
	th.try("token", "create", "bob").want(2, "", "needs --role")
	th.try("token", "create", "bob", "--role", "admin").want(2, "", "--role admin: no such word")
	th.try("token", "create", "bob", "--role", "read", "--expires", "1s").want(2, "", "--expires 1s: expected at least 1m")
	th.try("token", "revoke", "nobody").want(2, "", "error[JOB_UNKNOWN]")
	th.try("token", "revoke", "alice").want(0, "", "alice is worth nothing now")
	th.json(0, lineTokenGone, "token", "revoke", "alice")
}

func TestToken_when_listed(t *testing.T) {
	th := newThere(t)
	th.try("token", "list").want(0, "alice\toperate\t2026-11-21T13:05:20Z\tlocal\t2027-02-19T14:05:20Z\t2026-11-21T14:04:20Z\t\nold\tread\t2026-11-19T14:05:20Z\t\t\t\t2026-11-20T14:05:20Z\n", "")
	if ls := th.json(0, lineToken, "token", "list"); len(ls) != 2 || ls[0]["text"] != nil {
		t.Errorf("%v", ls)
	}
	out, _ := onTerminal(t, th.try("token", "list"), pty.Winsize{Rows: 24, Cols: 120}, "", "")
	if !strings.Contains(out, "revoked") || !strings.Contains(out, "until 2027-02-19") || !strings.Contains(out, "never") {
		t.Error(out)
	}
}
