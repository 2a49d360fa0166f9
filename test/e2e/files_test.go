package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fileJob is a file job and its folders.
type fileJob struct {
	t   testing.TB
	dir string
}

// newFileJob makes a job from one folder to another; more are lines of its file.
func newFileJob(t testing.TB, more ...string) *fileJob {
	t.Helper()
	j := &fileJob{t, t.TempDir()}
	j.write(more...)
	return j
}

func (j *fileJob) path(name string) string { return filepath.Join(j.dir, name) }

func (j *fileJob) write(more ...string) {
	j.t.Helper()
	j.raw(fmt.Sprintf("name: media-move\nkind: files\nsource: {url: \"file://%s\"}\nsink: {url: \"file://%s\"}\n%s\n", j.path("in"), j.path("out"), strings.Join(more, "\n")))
}

func (j *fileJob) raw(text string) {
	j.t.Helper()
	if err := os.WriteFile(j.path("job.yaml"), []byte(text), 0o600); err != nil {
		j.t.Fatal(err)
	}
}

// fill puts n objects of random sizes into the source.
func (j *fileJob) fill(r *rand.Rand, n int) {
	j.t.Helper()
	for i := range n {
		size := r.IntN(3000)
		if r.IntN(20) == 0 {
			size = 100_000 + r.IntN(400_000)
		}
		data := make([]byte, size)
		for k := range data {
			data[k] = byte(r.Uint32())
		}
		j.put(fmt.Sprintf("in/d%d/e%d/object %04d", r.IntN(7), r.IntN(3), i), data)
	}
}

func (j *fileJob) put(name string, data []byte) {
	j.t.Helper()
	if err := os.MkdirAll(filepath.Dir(j.path(name)), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(j.path(name), data, 0o644); err != nil {
		j.t.Fatal(err)
	}
}

func (j *fileJob) args(command string, more ...string) []string {
	return append([]string{command, j.path("job.yaml"), "--state", j.path("state"), "--json"}, more...)
}

// tree reads every file below a folder, but for what is staged.
func tree(t testing.TB, root string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".godwit-staging":
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		b, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, root+"/")] = b
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

// equal compares the two folders without any help of the program; whole wants every
// object, otherwise those that are there must be whole.
func (j *fileJob) equal(whole bool) {
	j.t.Helper()
	in, out := tree(j.t, j.path("in")), tree(j.t, j.path("out"))
	for key, got := range out {
		if want, ok := in[key]; !ok || !bytes.Equal(got, want) {
			j.t.Errorf("%s: %d bytes in the target, %d in the source (there: %v)", key, len(got), len(want), ok)
		}
	}
	if whole && len(in) != len(out) {
		j.t.Errorf("%d objects in the source, %d in the target", len(in), len(out))
	}
}

func TestFiles_when_a_key_is_misspelt(t *testing.T) {
	j := newFileJob(t, "includ: [a]")
	code, said := run(t, "x", "run", j.path("job.yaml"))
	want(t, code, said, 2, "error[JOB_FIELD]", "job.yaml:5:1: includ", `did you mean "include"?`)
}

func TestFiles_when_an_endpoint_is_silent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody listens there now
	j := newFileJob(t)
	j.put("in/a", []byte("a"))
	j.raw(fmt.Sprintf("name: media-move\nkind: files\nsource: {url: \"file://%s\"}\nsink: {s3: {endpoint: \"http://%s\", bucket: media, region: here, access_key: ak, secret_key: \"${env:E2E_PASSWORD}\"}}\n", j.path("in"), addr))
	const canary = "cAnArY-4711-secret"
	for _, command := range []string{"run", "check", "plan"} {
		began := time.Now()
		p := start(t, canary, j.args(command)...)
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid)) // it may have ended
		code := p.wait(60 * time.Second)
		want(t, code, p.said(), 3, addr)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %v", command, took)
		}
		if strings.Contains(p.said(), canary) || bytes.Contains(cmdline, []byte(canary)) {
			t.Errorf("%s tells the secret", command)
		}
	}
	for name, b := range tree(t, j.path("state")) {
		if bytes.Contains(b, []byte(canary)) {
			t.Errorf("the state's %s has the secret", name)
		}
	}
}

func TestFiles_when_run_twice(t *testing.T) {
	j := newFileJob(t)
	j.fill(rand.New(rand.NewPCG(1, 1)), 300)
	code, said := run(t, "x", j.args("check")...)
	want(t, code, said, 0)
	code, said = run(t, "x", j.args("plan")...)
	want(t, code, said, 0, `"action":"copy"`, `"objects":300`)
	if n := len(tree(t, j.path("out"))); n != 0 {
		t.Errorf("check and plan left %d objects in the target", n)
	}
	code, said = run(t, "x", j.args("run")...)
	want(t, code, said, 0, `"copied":{"objects":300`)
	j.equal(true)
	code, said = run(t, "x", "run", j.path("job.yaml"), "--state", j.path("state"))
	want(t, code, said, 0, "nothing left to do", "same 300")
	j.put("in/d0/another", []byte("new"))
	j.put("in/d0/e0/changed", []byte("new"))
	code, said = run(t, "x", "run", "media-move", "--state", j.path("state"), "--json")
	want(t, code, said, 0, `"copied":{"objects":2`, `"same":{"objects":300`)
	j.equal(true)
	code, said = run(t, "x", "status", "media-move", "--state", j.path("state"), "--json")
	want(t, code, said, 0, `"state":"finished"`, `"run":3`)
	code, said = run(t, "x", "report", "media-move", "--state", j.path("state"), "--format", "csv")
	want(t, code, said, 0, "key,target,size", "d0/another,,3,")
	if n := strings.Count(said, "\n"); n != 303 {
		t.Errorf("a report of %d lines", n)
	}
}

func TestFiles_when_objects_fail(t *testing.T) {
	j := newFileJob(t)
	j.fill(rand.New(rand.NewPCG(2, 2)), 50)
	j.put("in/name", []byte("a file"))
	j.put("out/name/below", []byte("where a folder is"))
	code, said := run(t, "x", "run", j.path("job.yaml"), "--state", j.path("state"))
	want(t, code, said, 4, "error[OBJECTS_FAILED]", "1 object failed", "godwit report", "godwit retry")
	code, said = run(t, "x", "report", j.path("job.yaml"), "--state", j.path("state"), "--failed")
	want(t, code, said, 0, "name", "failed")
	page := j.path("report.html")
	code, said = run(t, "x", "report", "media-move", "--state", j.path("state"), "--format", "html", "--output", page)
	want(t, code, said, 0, "written to")
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("1 object failed")) || bytes.Contains(b, []byte("<script")) {
		t.Errorf("the page: %v\n%s", err, clip(string(b)))
	}
	if err := os.RemoveAll(j.path("out/name")); err != nil {
		t.Fatal(err)
	}
	code, said = run(t, "x", j.args("retry")...)
	want(t, code, said, 0)
	j.equal(true)
	code, said = run(t, "x", j.args("report", "--failed")...)
	want(t, code, said, 0, `"failed":{"objects":0`)
	if strings.Contains(said, `"type":"object"`) {
		t.Errorf("something failed still:\n%s", clip(said))
	}
}

// TestFiles_when_killed kills runs at random progress and goes on; at each stop
// nothing in the target is half there, and at the end everything is.
func TestFiles_when_killed(t *testing.T) {
	t.Parallel()
	rounds := 10
	if soak() {
		rounds = 200
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	for round := range rounds {
		j := newFileJob(t, "limits: {bytes: 8MiB}")
		j.fill(r, 400)
		kills := 1 + r.IntN(3)
		for range kills {
			p := start(t, "x", j.args("run")...)
			p.until("listing", func(e event) bool { return e.Phase == "listing" || e.Phase == "copying" })
			wait := time.NewTimer(time.Duration(r.IntN(600)) * time.Millisecond)
			select {
			case <-wait.C:
			case <-p.ended:
			}
			p.kill()
			j.equal(false)
		}
		code, said := run(t, "x", j.args("run")...)
		want(t, code, said, 0)
		j.equal(true)
		if t.Failed() {
			t.Fatalf("round %d, %d kills", round, kills)
		}
	}
}

func TestFiles_when_stopped_by_a_signal(t *testing.T) {
	for signal, exit := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		j := newFileJob(t, "limits: {bytes: 256KiB}")
		j.fill(rand.New(rand.NewPCG(4, 4)), 300)
		p := start(t, "x", j.args("run")...)
		p.until("listing", phase("listing"))
		p.signal(signal)
		code := p.wait(20 * time.Second)
		want(t, code, p.said(), exit, `"stopped":true`)
		j.equal(false)
		code, said := run(t, "x", j.args("status")...)
		want(t, code, said, 0, `"state":"stopped"`)
		j.write()
		code, said = run(t, "x", j.args("run")...)
		want(t, code, said, 0)
		j.equal(true)
	}
}

// TestFiles_when_limits_change_while_it_runs gives a run so little that it would take
// hours, and then more.
func TestFiles_when_limits_change_while_it_runs(t *testing.T) {
	j := newFileJob(t, "limits: {bytes: 1KiB}")
	j.fill(rand.New(rand.NewPCG(5, 5)), 200)
	p := start(t, "x", j.args("run")...)
	p.until("listing", phase("listing"))
	j.write("limits: {bytes: 1GiB}", "exclude: ['*.x']")
	p.signal(syscall.SIGHUP)
	code := p.wait(60 * time.Second)
	want(t, code, p.said(), 0)
	j.equal(true)
	log, err := os.ReadFile(filepath.Join(j.path("state"), "media-move", "godwit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{`taken over: limits.bytes changed from \"1KiB\" to \"1GiB\"`, "exclude changed", "not while the job runs"} {
		if !strings.Contains(string(log), w) {
			t.Errorf("the log lacks %q:\n%s", w, clip(string(log)))
		}
	}
}

func TestFiles_when_rounds_follow_each_other(t *testing.T) {
	j := newFileJob(t, "every: 1s")
	j.put("in/a", []byte("first"))
	p := start(t, "x", j.args("run")...)
	p.until("the first round's end", phase("resting"))
	j.put("in/b", []byte("second"))
	p.until("the second object", func(event) bool { _, err := os.Stat(j.path("out/b")); return err == nil })
	p.signal(syscall.SIGTERM)
	want(t, p.wait(20*time.Second), p.said(), 143)
	j.equal(true)
}

// TestFiles_when_it_is_a_mirror deletes what only the target has: not in a dry run,
// not above the limit, and never what the rules leave out.
func TestFiles_when_it_is_a_mirror(t *testing.T) {
	j := newFileJob(t, "delete_extraneous: dry_run", "exclude: ['kept/']")
	j.fill(rand.New(rand.NewPCG(6, 6)), 100)
	j.put("out/kept/a", []byte("the rules leave this out"))
	for i := range 20 {
		j.put(fmt.Sprintf("out/old/%d", i), []byte("old"))
	}
	code, said := run(t, "x", j.args("run")...)
	want(t, code, said, 0, `"copied":{"objects":100`)
	if n := len(tree(t, j.path("out"))); n != 121 {
		t.Errorf("a dry run left %d objects of 121", n)
	}
	j.write("delete_extraneous: within_limit", "delete_limit: 19", "exclude: ['kept/']")
	code, said = run(t, "x", "run", j.path("job.yaml"), "--state", j.path("state"))
	want(t, code, said, 4, "error[TOO_MANY_DELETES]")
	if n := len(tree(t, j.path("out"))); n != 121 {
		t.Errorf("above the limit %d objects of 121 are left", n)
	}
	j.write("delete_extraneous: within_limit", "delete_limit: 20%", "exclude: ['kept/']")
	code, said = run(t, "x", "plan", j.path("job.yaml"), "--state", j.path("state"))
	want(t, code, said, 0, "- delete   20 objects", "! danger", "delete_limit: 19 → 20%")
	code, said = run(t, "x", j.args("run")...)
	want(t, code, said, 0, `"deleted":{"objects":20`)
	if err := os.RemoveAll(j.path("out/kept")); err != nil {
		t.Errorf("what the rules leave out: %v", err)
	}
	j.equal(true)
}

func TestFiles_when_a_list_names_them(t *testing.T) {
	j := newFileJob(t, "list: {file: wanted.csv, format: csv}", "rename: [{from: 'd', to: 'moved/d'}]")
	for _, name := range []string{"in/d/a", "in/d/b", "in/d/c,\"d\"", "in/e"} {
		j.put(name, []byte(name))
	}
	j.put("wanted.csv", []byte("note,key\nx,d/a\ny,\"d/c,\"\"d\"\"\"\nz,e\n,d/none\n"))
	code, said := run(t, "x", j.args("run")...)
	want(t, code, said, 0, `"copied":{"objects":3`)
	got := tree(t, j.path("out"))
	if len(got) != 3 || string(got["moved/d/a"]) != "in/d/a" || string(got["moved/d/c,\"d\""]) != "in/d/c,\"d\"" || string(got["e"]) != "in/e" {
		t.Errorf("%q", got)
	}
}
