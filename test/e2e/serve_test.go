package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const serveRounds = 10

// TestServe_when_killed kills a server of 20 jobs again and again, in a soak in many
// lives. After each kill a target is exact, jobs go on by themselves at the next start,
// and what was wanted of them still is; at the end every target is what its source is.
func TestServe_when_killed(t *testing.T) {
	t.Parallel()
	lives := 1
	if soak() {
		lives = 200 / serveRounds
	}
	seed := uint64(time.Now().UnixNano())
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), func(t *testing.T) { serveAndDie(t, seed+uint64(n)) })
	}
}

// served is a server and the jobs on it.
type served struct {
	t      *testing.T
	r      *rand.Rand
	w      *world
	state  string
	tables []*job
	files  []*fileJob
	data   []string
	flags  []string // more of the server's
	p      *process
	slow   time.Duration // the longest time until it answered
}

func serveAndDie(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	s := &served{t: t, r: rand.New(rand.NewPCG(seed, 3)), w: newWorld(t, seed), state: filepath.Join(t.TempDir(), "state")}
	s.jobs(4, 16)
	s.w.write()
	stop := s.feed()
	var seen verdict
	paused := ""
	for n := range serveRounds {
		s.start()
		if n == 0 {
			s.submit()
		}
		if paused != "" {
			s.wanted(paused, "paused")
			s.ask("job", "resume", paused)
		}
		paused = fmt.Sprintf("files-%d", s.r.IntN(len(s.files)))
		if n%2 == 1 {
			paused = fmt.Sprintf("tables-%d", s.r.IntN(len(s.tables)))
		}
		s.ask("job", "pause", paused, "--reason", fmt.Sprint("round ", n))
		<-time.After(time.Duration(s.r.IntN(1500)) * time.Millisecond)
		s.p.kill()
		j := s.tables[n%len(s.tables)]
		v, _, wrong := s.w.judgeQuietly(j.lake())
		if wrong != "" {
			t.Fatalf("round %d: %s\nkept: %s\n%s", n, wrong, keep(t, j), clip(s.p.said()))
		}
		seen.add(v)
	}
	stop()
	s.w.halt()
	s.start()
	s.ask("job", "resume", paused)
	s.lists("tables-0")
	s.p.signal(syscall.SIGTERM)
	if code := s.p.wait(time.Minute); code != 143 {
		t.Errorf("exit code %d\n%s", code, clip(s.p.said()))
	}
	s.finish()
	t.Logf("%d kills: %+v; answered within %v", serveRounds, seen, s.slow)
	if seen.tables == 0 {
		t.Error("nothing was judged")
	}
}

// jobs makes the job files.
func (s *served) jobs(tables, files int) {
	for i := range tables {
		j := newJob(s.t, s.w.server, "name", fmt.Sprint("tables-", i), "until", "", "roll", "{size: 64KiB, every: 1s}", "chunk_size", []string{"32KiB", "64MiB"}[i%2])
		s.tables, s.data = append(s.tables, j), append(s.data, j.dir)
	}
	for i := range files {
		j := newFileJob(s.t)
		j.fill(s.r, 40)
		j.raw(s.fileJob(j, i, "every: 1s"))
		s.files, s.data = append(s.files, j), append(s.data, j.dir)
	}
}

func (s *served) fileJob(j *fileJob, i int, more string) string {
	return fmt.Sprintf("name: files-%d\nkind: files\nsource: {url: \"file://%s\"}\nsink: {url: \"file://%s\"}\n%s\n", i, j.path("in"), j.path("out"), more)
}

// feed puts objects into the sources of file jobs until it is stopped.
func (s *served) feed() (stop func()) {
	r, ended := rand.New(rand.NewPCG(s.r.Uint64(), 9)), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
			s.files[r.IntN(len(s.files))].put(fmt.Sprintf("in/new/%d", n), fmt.Append(nil, "object ", n))
		}
	})
	return func() { close(ended); all.Wait() }
}

// start starts the server and waits until it answers.
func (s *served) start() {
	s.t.Helper()
	began := time.Now()
	_ = os.Remove(filepath.Join(s.state, "serve.json")) // of the one before
	args := []string{"serve", "--listen", "127.0.0.1:0", "--state", s.state, "--allow-env", "E2E_PASSWORD", "--data", strings.Join(s.data, ",")}
	s.p = start(s.t, s.w.server.Password, append(args, s.flags...)...)
	for end := time.After(time.Minute); ; {
		var f struct{ URL string }
		if b, err := os.ReadFile(filepath.Join(s.state, "serve.json")); err == nil && json.Unmarshal(b, &f) == nil {
			if resp, err := http.Get(f.URL + "/healthz"); err == nil {
				_ = resp.Body.Close()
				break
			}
		}
		select {
		case <-end:
			s.t.Fatalf("the server does not answer\n%s", clip(s.p.said()))
		case <-s.p.ended:
			s.t.Fatalf("the server ended\n%s", clip(s.p.said()))
		case <-time.After(5 * time.Millisecond):
		}
	}
	s.slow = max(s.slow, time.Since(began))
}

// ask is a command that must succeed.
func (s *served) ask(args ...string) string {
	s.t.Helper()
	code, said := run(s.t, s.w.server.Password, append(args, "--state", s.state)...)
	want(s.t, code, said, 0)
	return said
}

func (s *served) submit() {
	for _, j := range s.tables {
		s.ask("job", "submit", j.file())
	}
	for _, j := range s.files {
		s.ask("job", "submit", j.path("job.yaml"))
	}
}

// wanted checks that somebody still wants of a job what he did.
func (s *served) wanted(name, desired string) {
	s.t.Helper()
	if said := s.ask("job", "show", name, "--json"); !strings.Contains(said, `"desired":"`+desired+`"`) {
		s.t.Errorf("%s is not wanted %s any more: %s", name, desired, said)
	}
}

// lists waits until all tables of a job are known, whether they are copied or carried on.
func (s *served) lists(name string) {
	s.t.Helper()
	for end := time.After(time.Minute); ; {
		said := s.ask("tables", name)
		if strings.Count(said, "app.") >= len(tables()) {
			return
		}
		select {
		case <-end:
			s.t.Errorf("the tables of %s are %s", name, said)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// finish runs each job to the end of its source, where the server left it, and compares.
func (s *served) finish() {
	for _, j := range s.tables {
		j.set("until", "head")
		code, said := run(s.t, s.w.server.Password, "run", j.file(), "--state", s.state, "--json")
		want(s.t, code, said, 0)
		if wrong := s.w.judgeEnd(j); wrong != "" {
			s.t.Errorf("at the end: %s\nkept: %s", wrong, keep(s.t, j))
		}
	}
	for i, j := range s.files {
		if len(tree(s.t, j.path("out"))) < 40 {
			s.t.Errorf("files-%d: the server moved only %d objects", i, len(tree(s.t, j.path("out"))))
		}
		j.raw(s.fileJob(j, i, ""))
		code, said := run(s.t, s.w.server.Password, "run", j.path("job.yaml"), "--state", s.state, "--json")
		want(s.t, code, said, 0)
		j.equal(true)
	}
}
