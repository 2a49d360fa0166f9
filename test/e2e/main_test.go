package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// godwit is the binary that the tests run, built once.
var godwit string

// beside is how many tests run side by side. They wait most of the time: for a source
// to change, for a log to be read, for somebody to come back.
const beside = 3

// TestMain builds the binary. Tests that measure time or memory, and those that are
// short, run alone and first; the others, which call t.Parallel, beside each other.
func TestMain(m *testing.M) {
	flag.Parse()
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", strconv.Itoa(beside)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	dir, err := os.MkdirTemp("", "godwit-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some tests run the binary as another user
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	godwit = filepath.Join(dir, "godwit")
	build := exec.Command("go", "build", "-o", godwit, "godwit/cmd/godwit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// given reports whether the command line has a flag.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func soak() bool { return os.Getenv("GODWIT_SOAK") == "1" }

// event is a line of --json, as far as the tests look at it.
type event struct {
	Type   string  `json:"type"`
	Phase  string  `json:"phase"`
	Status string  `json:"status"`
	Code   string  `json:"code"`
	What   string  `json:"what"`
	Done   int     `json:"done"`
	Total  int     `json:"total"`
	Exit   int     `json:"exit_code"`
	Reach  float64 `json:"log_reaches_back_s"`
	Stream *struct {
		Changes int64 `json:"changes"`
	} `json:"stream"`
	Sinks []struct {
		Sink     string `json:"sink"`
		Commits  int64  `json:"commits"`
		Rows     int64  `json:"rows"`
		Standing struct {
			Status string `json:"status"`
			Error  *struct {
				Sink string `json:"sink"`
			} `json:"error"`
		} `json:"standing"`
	} `json:"sinks"`
	Files *struct {
		Copied struct {
			Objects int `json:"objects"`
		} `json:"copied"`
		Same struct {
			Objects int `json:"objects"`
		} `json:"same"`
		Failed struct {
			Objects int `json:"objects"`
		} `json:"failed"`
	} `json:"files"`
	Outcome *struct {
		At      string `json:"at"`
		Stopped bool   `json:"stopped"`
	} `json:"outcome"`
}

// process is one running godwit. It dies with the test.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid after ended

	mu     sync.Mutex
	events []event
	moved  chan struct{} // closed and made anew at each event
	out    bytes.Buffer
	fail   bytes.Buffer
}

// start runs godwit with the password in its environment.
func start(t testing.TB, password string, args ...string) *process {
	t.Helper()
	return caller{}.start(t, password, args...)
}

func startAs(t testing.TB, who *syscall.Credential, password string, args ...string) *process {
	t.Helper()
	return caller{who: who}.start(t, password, args...)
}

// caller is who starts godwit. Tests that run side by side say here what they want in
// the environment: that of this process is everybody's.
type caller struct {
	who *syscall.Credential // nil: who runs the test
	env []string            // NAME=value, beside what this process has
}

func (c caller) start(t testing.TB, password string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(godwit, args...), ended: make(chan struct{}), moved: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), c.env...), "E2E_PASSWORD="+password)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: c.who}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = writer{p}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the starting thread ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadBytes('\n')
			p.line(line)
			if err != nil {
				break
			}
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

type writer struct{ p *process }

func (w writer) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.fail.Write(b)
}

func (p *process) line(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	var e event
	if json.Unmarshal(b, &e) == nil {
		p.events = append(p.events, e)
	}
	close(p.moved)
	p.moved = make(chan struct{})
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// wait returns the exit code, -1 for a signal's.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		p.t.Errorf("godwit does not end within %v\n%s\n%s", within, clip(p.said()), p.stacks())
	}
	return p.exit()
}

func (p *process) exit() int {
	var e *exec.ExitError
	if errors.As(p.err, &e) {
		return e.ExitCode()
	}
	if p.err != nil {
		p.t.Error(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// said is all output.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fail.String() + p.out.String()
}

// problems is the output on stderr.
func (p *process) problems() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fail.String()
}

// until waits for an event; false: the process ended first.
func (p *process) until(what string, found func(event) bool) bool {
	p.t.Helper()
	limit := time.After(90 * time.Second)
	for seen := 0; ; {
		p.mu.Lock()
		for ; seen < len(p.events); seen++ {
			if found(p.events[seen]) {
				p.mu.Unlock()
				return true
			}
		}
		moved := p.moved
		p.mu.Unlock()
		select {
		case <-moved:
		case <-p.ended:
			return false
		case <-limit:
			p.t.Fatalf("%s did not come\n%s", what, p.said())
		}
	}
}

func phase(name string) func(event) bool {
	return func(e event) bool { return e.Phase == name }
}

// run runs godwit to its end and returns the exit code and all output.
func run(t testing.TB, password string, args ...string) (int, string) {
	t.Helper()
	return caller{}.run(t, password, args...)
}

func (c caller) run(t testing.TB, password string, args ...string) (int, string) {
	t.Helper()
	p := c.start(t, password, args...)
	code := p.wait(120 * time.Second)
	return code, p.said()
}

// want fails unless the code is the one expected and the output has all the words.
func want(t testing.TB, code int, said string, expected int, words ...string) {
	t.Helper()
	if code != expected {
		t.Errorf("exit code %d, want %d\n%s", code, expected, clip(said))
	}
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("the output lacks %q:\n%s", w, clip(said))
		}
	}
}

func clip(s string) string {
	if len(s) > 2000 {
		return s[:1000] + "\n…\n" + s[len(s)-1000:]
	}
	return s
}

// stacks ends a process that hangs and returns where its goroutines were.
func (p *process) stacks() string {
	p.signal(syscall.SIGQUIT)
	<-p.ended
	_, text, _ := strings.Cut(p.problems(), "SIGQUIT")
	return text[:min(len(text), 200000)]
}
