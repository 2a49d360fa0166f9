package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// folder is the state folder of a server that comes and goes.
type folder struct {
	t     *testing.T
	who   *syscall.Credential // whose it is
	s     *mariadb.Server
	state string
	table *job
	files *fileJob
}

// newFolder is a folder of an ordinary user, with a table job and a file job beside it.
func newFolder(t *testing.T) *folder {
	f := &folder{t: t, who: nobody(), s: one(t), state: filepath.Join(t.TempDir(), "state")}
	f.table = newJob(t, f.s, "until", "")
	f.files = newFileJob(t)
	f.files.fill(rand.New(rand.NewPCG(1, 2)), 20)
	f.files.write("every: 1s")
	for _, dir := range []string{filepath.Dir(f.state), f.table.dir, f.files.dir} {
		give(t, f.who, dir)
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // a test's folder is its user's alone
			t.Fatal(err)
		}
	}
	return f
}

// serve starts a server and waits until it takes requests.
func (f *folder) serve() *process {
	f.t.Helper()
	p := startAs(f.t, f.who, f.s.Password, "serve", "--json", "--listen", "127.0.0.1:0", "--state", f.state, "--allow-env", "E2E_PASSWORD", "--data", f.table.dir+","+f.files.dir)
	if !p.until("the server's word", func(e event) bool { return e.Type == "server" && e.Status == "ok" }) {
		f.t.Fatalf("the server ended\n%s", clip(p.said()))
	}
	return p
}

// ask is a command on the folder.
func (f *folder) ask(args ...string) *process {
	f.t.Helper()
	p := startAs(f.t, f.who, f.s.Password, append(args, "--state", f.state)...)
	p.wait(time.Minute)
	return p
}

// gets wants an exit code and words of a command.
func (f *folder) gets(code int, args string, words ...string) {
	f.t.Helper()
	p := f.ask(strings.Fields(args)...)
	want(f.t, p.exit(), "godwit "+args+"\n"+p.said(), code, words...)
}

const noServer = "no server has "

// TestFolder_when_its_server_was_killed says that every command of job and tables does in
// the folder what it does at a server, that nothing runs before a server does, and that
// what was asked for has its effect then.
func TestFolder_when_its_server_was_killed(t *testing.T) {
	f := newFolder(t)
	p := f.serve()
	f.gets(0, "job submit "+f.table.file())
	f.gets(0, "job submit "+f.files.path("job.yaml"))
	f.until("crossing", `"phase":"stream"`)
	f.until("media-move", `"status":"finished"`)
	p.kill()
	table, other := f.table.file(), f.table.path("other.yaml", "other")
	asked := []struct {
		code  int
		args  string
		words string
	}{
		{0, "job list", "crossing\tunassigned\trunning\t"},
		{0, "job list --status failed", ""},
		{0, "job show crossing --json", `"reason":"is taken up when a server starts"`},
		{0, "job watch", "media-move status="},
		{0, "job watch crossing --json", `"exit_code":0`},
		{0, "job tasks crossing", "stream\t"},
		{0, "job positions crossing", "lake\tstream\t"},
		{0, "job versions crossing", "1\t"},
		{0, "job diff crossing", "the versions are equal"},
		{0, "job audit crossing", "\tsubmit\tdone"},
		{0, "job alarms", ""},
		{2, "job alarms --silence none --for 1h", "ALARM_UNKNOWN"},
		{0, "job check " + table + " --deep", "all fits"},
		{0, "job plan " + table, "Nothing has been done"},
		{0, "tables crossing", ""},
		{2, "tables pause crossing other.x", "TABLE_UNKNOWN"},
		{2, "tables pause none app.t", "JOB_UNKNOWN"},
		{2, "tables resume none app.t", "JOB_UNKNOWN"},
		{2, "tables retry none app.t", "JOB_UNKNOWN"},
		{0, "job resync crossing app.t", "asked to resync"},
		{2, "job verify media-move --last", "no verification of media-move has ended yet"},
		{2, "job verify media-move", "start the server"},
		{2, "job retry crossing", "NOT_NOW"},
		{0, "job pause crossing --reason moved", "asked to pause"},
		{0, "job list", "crossing\tpaused\tpaused\t"},
		{2, "job start crossing", "NOT_NOW"},
		{0, "job resume crossing", "asked to resume"},
		{0, "job stop crossing media-move", "2 done, 0 skipped, 0 failed"},
		{0, "job stop --all --yes", "no job is chosen that this would change"},
		{2, "job reset crossing", "CONFIRM_NEEDED"},
		{0, "job reset crossing --confirm crossing", "reads everything again when it starts"},
		{0, "job edit crossing " + table + " --yes --group shop", "has version 1 now"},
		{2, "job rollback crossing 7 --yes", "VERSION_UNKNOWN"},
		{0, "job rollback crossing 1 --preview", ""},
		{0, "job start crossing", "asked to start"},
		{0, "job delete media-move --confirm", "is gone"},
		{0, "job submit " + other + " --paused", "is taken in as version 1 and wanted paused"},
		{2, "job submit " + other, "NAME_TAKEN"},
		{0, "token create alice --role read", "alice may read"},
		{0, "token list", "alice\tread\t"},
	}
	given := map[string]bool{}
	for _, c := range asked {
		says := noServer
		if c.words == "CONFIRM_NEEDED" { // before anything is asked
			says = ""
		}
		f.gets(c.code, c.args, says, c.words)
		if strings.HasPrefix(c.args, "tables crossing") {
			continue
		}
		given[strings.Join(strings.Fields(c.args)[:2], " ")] = true
	}
	for _, group := range []string{"job", "tables"} {
		for _, word := range f.commands(group) {
			if !given[group+" "+word] {
				t.Errorf("godwit %s %s was not given", group, word)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(f.state, "other")); err == nil {
		t.Error("a job ran without a server")
	}
	f.clean()
	p = f.serve()
	f.until("crossing", `"phase":"stream"`)
	f.until("crossing", `"group":"shop"`)
	f.gets(0, "job list", "other\tpaused\tpaused\t")
	f.gets(2, "job show media-move", "JOB_UNKNOWN")
	f.gets(0, "token revoke alice", "worth nothing now")
	p.signal(syscall.SIGTERM)
	if code := p.wait(time.Minute); code != 143 {
		t.Errorf("exit code %d\n%s", code, clip(p.said()))
	}
	f.gets(0, "job stop crossing", noServer)
	f.table.set("until", "head")
	give(t, f.who, f.table.dir)
	f.gets(0, "run "+table)
	f.table.equal(f.s)
}

// TestFolder_when_many_are_at_it says that commands wait for each other, and a server
// that starts for them.
func TestFolder_when_many_are_at_it(t *testing.T) {
	f := newFolder(t)
	f.gets(0, "job submit "+f.files.path("job.yaml")+" --paused", "is taken in", noServer)
	var all sync.WaitGroup
	for n := range 6 {
		all.Go(func() {
			f.gets(0, "job list", "media-move\t")
			f.gets(0, fmt.Sprintf("job edit media-move %s --yes --note n%d", f.files.path("job.yaml"), n), "has version 1 now")
		})
	}
	p := f.serve()
	all.Wait()
	f.gets(1, "serve --listen 127.0.0.1:0", "STATE_LOCKED", "it listens at http://127.0.0.1:")
	f.gets(0, "job show media-move --json", `"note":"n`)
	if said := f.ask("job", "list").said(); strings.Contains(said, noServer) {
		t.Errorf("a server runs: %s", said)
	}
	p.signal(syscall.SIGTERM)
	p.wait(time.Minute)
	f.clean()
}

// TestFolder_when_somebody_watches says that who watches a server that is killed does not
// take its folder, and goes on with the next one.
func TestFolder_when_somebody_watches(t *testing.T) {
	f := newFolder(t)
	p := f.serve()
	f.gets(0, "job submit "+f.files.path("job.yaml")+" --paused")
	w := startAs(t, f.who, "", "job", "watch", "media-move", "--json", "--state", f.state)
	w.shows(`"desired":"paused"`)
	p.kill()
	f.gets(0, "job list", noServer) // the folder is free
	p = f.serve()
	f.gets(0, "job resume media-move", "asked to resume")
	w.shows(`"desired":"running"`)
	w.kill()
	p.signal(syscall.SIGTERM)
	p.wait(time.Minute)
}

// TestFolder_when_it_is_not_ours says what is said of folders that cannot be asked, and
// that nothing is changed in them.
func TestFolder_when_it_is_not_ours(t *testing.T) {
	f := newFolder(t)
	none := filepath.Join(t.TempDir(), "none")
	for _, args := range []string{"job list", "job watch", "tables x", "job pause x", "token list"} {
		code, said := run(t, "", append(strings.Fields(args), "--state", none)...)
		want(t, code, said, 3, "STATE_BROKEN", "no server has this folder")
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a look made a folder")
	}
	f.gets(0, "token create alice --role operate")
	if f.who != nil { // root may everything: another user has it
		p := startAs(t, &syscall.Credential{Uid: 65533, Gid: 65533}, "", "job", "list", "--state", f.state)
		want(t, p.wait(time.Minute), p.said(), 3, "STATE_BROKEN", "another user's", "permission denied")
		code, said := run(t, "", "job", "list", "--state", f.state) // what root makes there, the server could not read
		want(t, code, said, 3, "STATE_BROKEN", "another user's")
	}
	path := filepath.Join(f.state, "server.db")
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(db[60:], []byte{0, 0, 0, 9}) // user_version
	if err := os.WriteFile(path, db, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"job list", "job watch", "tables x", "job submit " + f.table.file()} {
		f.gets(3, args, "FORMAT_NEWER", "use the newer godwit")
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, db) {
		t.Errorf("a folder of a newer version was changed (%v)", err)
	}
	f.clean()
}

// until waits until a job is shown with some words by the server.
func (f *folder) until(name, words string) {
	f.t.Helper()
	p := startAs(f.t, f.who, "", "job", "watch", name, "--json", "--state", f.state)
	p.shows(words)
	p.kill()
}

// shows waits until a process has printed some words.
func (p *process) shows(words string) {
	p.t.Helper()
	for end := time.After(time.Minute); ; {
		p.mu.Lock()
		moved, found := p.moved, bytes.Contains(p.out.Bytes(), []byte(words))
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-moved:
		case <-p.ended:
			p.t.Fatalf("it ended before it showed %s\n%s", words, clip(p.said()))
		case <-end:
			p.t.Fatalf("it never showed %s\n%s", words, clip(p.said()))
		}
	}
}

// commands are those of a group, as its help lists them.
func (f *folder) commands(group string) (out []string) {
	f.t.Helper()
	_, said := run(f.t, "", group, "--help")
	_, list, _ := strings.Cut(said, "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(list, -1) {
		out = append(out, m[1])
	}
	if len(out) < 3 {
		f.t.Fatalf("no commands in\n%s", said)
	}
	return out
}

// clean checks that commands left nothing in the folder that is not kept there.
func (f *folder) clean() {
	f.t.Helper()
	entries, err := os.ReadDir(f.state)
	if err != nil {
		f.t.Fatal(err)
	}
	kept := []string{"server.db", "server.lock", "serve.json", "local.token", "godwit.log", "crossing", "media-move"}
	for _, e := range entries {
		if !slices.Contains(kept, e.Name()) {
			f.t.Errorf("left behind: %s", e.Name())
		}
	}
}

// path writes the job file under another name, as a job of another name.
func (j *job) path(file, name string) string {
	j.t.Helper()
	was := j.fields["name"]
	j.fields["name"] = name
	path := j.write(file)
	j.fields["name"] = was
	return path
}
