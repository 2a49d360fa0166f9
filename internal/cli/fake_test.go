package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/connector"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "cAnArY77xy"

var testRegistry = job.Systems{Registry: testConnectors, Stores: testStores}

var testConnectors = connector.Registry{
	Sources: []connector.SourceDriver{{Name: "mysql", Help: "MariaDB.", Options: []option.Field{
		{Name: "address", Kind: option.Text, Default: "127.0.0.1:3306", Help: "Host and port."},
		{Name: "user", Kind: option.Text, Required: true},
		{Name: "password", Kind: option.Secret},
	}}},
	Sinks: []connector.SinkDriver{{Name: "files", Options: []option.Field{
		{Name: "url", Kind: option.Text, Required: true},
		{Name: "format", Kind: option.Enum, Values: []string{"csv"}, Default: "csv"},
		{Name: "layout", Kind: option.Enum, Values: []string{"changelog", "append"}, Default: "changelog"},
		{Name: "roll", Kind: option.Object, Live: true, Fields: []option.Field{
			{Name: "size", Kind: option.Size, Default: int64(128 << 20)},
			{Name: "rows", Kind: option.Int},
			{Name: "every", Kind: option.Duration, Default: 30 * time.Second},
		}},
	}}},
}

const example = `name: shop-to-lake
source:
  mysql: {address: 127.0.0.1:3306, user: godwit, password: "${env:SHOP_PASSWORD}"}
tables: ["shop.*", "!shop.tmp_*"]
mode: snapshot_and_changes
until: head
sinks:
  - name: lake
    files: {url: "file:///data/lake", format: csv, layout: changelog, roll: {size: 128MiB, every: 30s}}
`

// fake is an Engine whose acts are functions; those not given panic.
type fake struct {
	run       func(context.Context, *job.Spec, Options) (watch.Outcome, error)
	check     func(context.Context) (watch.CheckReport, error)
	plan      func() (watch.PlanReport, error)
	status    func(*job.Spec) (watch.StatusReport, error)
	positions func() (watch.PositionReport, error)
	reset     func() error
}

func (f fake) Run(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
	return f.run(ctx, s, o)
}
func (f fake) Check(ctx context.Context, _ *job.Spec, _ Options) (watch.CheckReport, error) {
	return f.check(ctx)
}
func (f fake) Plan(context.Context, *job.Spec, Options) (watch.PlanReport, error) { return f.plan() }
func (f fake) Status(_ context.Context, s *job.Spec, _ Options) (watch.StatusReport, error) {
	return f.status(s)
}
func (f fake) Positions(context.Context, *job.Spec, Options) (watch.PositionReport, error) {
	return f.positions()
}
func (f fake) ResetPositions(context.Context, *job.Spec, Options) error { return f.reset() }

// buffer is a writer that may be read, and waited for, while it is written.
type buffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more sync.Cond
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.more.L != nil {
		b.more.Broadcast()
	}
	return b.b.Write(p)
}

// await returns when enough was written.
func (b *buffer) await(enough func(string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.more.L = &b.mu
	for !enough(b.b.String()) {
		b.more.Wait()
	}
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// try is one command line in a folder of its own.
type try struct {
	t        *testing.T
	dir      string
	out, err buffer
	p        Process
	engine   fake
}

func newTry(t *testing.T, args ...string) *try {
	t.Helper()
	r := &try{t: t, dir: t.TempDir()}
	r.file("job.yaml", example)
	for i, a := range args {
		if a == "job.yaml" {
			args[i] = r.path(a)
		}
	}
	r.p = Process{
		Args: args, In: strings.NewReader(""), Out: &r.out, Err: &r.err, Version: "1.2.3",
		Env:     []string{"SHOP_PASSWORD=" + canary, "HOME=" + r.dir, "TERM=xterm"},
		Signals: make(chan os.Signal),
	}
	return r
}

func (r *try) path(name string) string { return filepath.Join(r.dir, name) }

func (r *try) file(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *try) main() int {
	r.t.Helper()
	code := Main(r.p, testRegistry, r.engine)
	for what, s := range map[string]string{"stdout": r.out.String(), "stderr": r.err.String()} {
		if strings.Contains(s, canary) {
			r.t.Errorf("%s shows the secret:\n%s", what, s)
		}
	}
	return code
}

// want runs and compares the exit code and what is in stdout and stderr.
func (r *try) want(code int, inOut, inErr string) {
	r.t.Helper()
	if got := r.main(); got != code {
		r.t.Errorf("exit code %d, want %d", got, code)
	}
	if !strings.Contains(r.out.String(), inOut) {
		r.t.Errorf("stdout lacks %q", inOut)
	}
	if !strings.Contains(r.err.String(), inErr) {
		r.t.Errorf("stderr lacks %q", inErr)
	}
	if r.t.Failed() {
		r.t.Logf("stdout:\n%s\nstderr:\n%s", r.out.String(), r.err.String())
	}
}

// lines parses JSON lines.
func lines(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("not JSON: %q: %v", l, err)
		}
		out = append(out, m)
	}
	return out
}
