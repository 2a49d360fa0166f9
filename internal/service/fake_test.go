package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/watch"
)

const canary = "cAnArY77xy"

var systems = job.Systems{
	Registry: connector.Registry{
		Sources: []connector.SourceDriver{{Name: "mysql", Options: []option.Field{
			{Name: "address", Kind: option.Text, Default: "127.0.0.1:3306"},
			{Name: "user", Kind: option.Text, Required: true},
			{Name: "password", Kind: option.Secret},
		}}},
		Sinks: []connector.SinkDriver{{Name: "files", Options: []option.Field{
			{Name: "url", Kind: option.Text, Required: true},
			{Name: "layout", Kind: option.Enum, Values: []string{"changelog", "append"}, Default: "changelog"},
			{Name: "roll", Kind: option.Object, Live: true, Fields: []option.Field{{Name: "size", Kind: option.Size, Default: int64(128 << 20)}}},
		}}},
	},
	Stores: store.Registry{{Name: "disk", Schemes: []string{"file"}, Options: []option.Field{{Name: "path", Kind: option.Text, Required: true}, {Name: "key", Kind: option.Secret}}}},
}

// tableFile is the file of a job that streams.
func tableFile(name string) string {
	return fmt.Sprintf("name: %s\nsource: {mysql: {user: u, password: \"${env:SECRET}\"}}\ntables: [shop.*]\nsinks: [{name: lake, files: {url: \"file:///lake\"}}]\n", name)
}

// snapshotFile is the file of a job that ends.
func snapshotFile(name string) string { return tableFile(name) + "mode: snapshot\n" }

// everyFile is the file of a file job in rounds.
func everyFile(name, every string) string {
	return fmt.Sprintf("name: %s\nkind: files\nsource: {disk: {path: /a}}\nsink: {disk: {path: /b}}\nevery: %s\n", name, every)
}

// script is the work of one job: what its tasks do.
type script struct {
	tasks []job.Task
	find  func(ctx context.Context) error
	run   func(ctx context.Context, id string, attempt uint64) error
	// before is called instead of driving anything when it is set.
	before func(ctx context.Context, o engine.Options) (watch.Outcome, error)
	around func(ctx context.Context, o engine.Options) // goes on beside the tasks
	failed int64                                       // objects, of the outcome
	round  func() time.Time                            // of the outcome: when its round began
	marked []watch.Mark                                // of the outcome

	fruitless bool // its attempts commit nothing

	mu  sync.Mutex
	ran []string // "id attempt"
}

func (w *script) Find(ctx context.Context, _ map[string]job.Apart, found func(job.Task)) error {
	if w.find != nil {
		if err := w.find(ctx); err != nil {
			return err
		}
	}
	for _, t := range w.tasks {
		found(t)
	}
	return nil
}

func (w *script) RunTask(ctx context.Context, r engine.Run) (bool, error) {
	id, attempt := r.Task.ID, r.Attempt
	w.mu.Lock()
	w.ran = append(w.ran, fmt.Sprint(id, " ", attempt))
	w.mu.Unlock()
	if w.run != nil {
		return !w.fruitless, w.run(ctx, id, attempt)
	}
	<-ctx.Done()
	return true, ctx.Err()
}

func (w *script) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.ran...)
}

// fake is an engine whose jobs do what scripts say; one without a script streams for
// ever.
type fake struct {
	mu      sync.Mutex
	works   map[string]*script
	lives   map[string][]*job.Spec // the job files that were run
	reset   []string
	letters []engine.LetterQuery
	tried   []string // jobs of which what had failed was tried again
	// verify is what a verification does; nil: all is equal.
	verify func(ctx context.Context, s *job.Spec, o engine.Options, each func(watch.Difference) error) (watch.VerifyReport, error)
}

var (
	_ engine.Engine = (*fake)(nil)
	_ engine.Files  = (*fake)(nil)
)

func (f *fake) work(name string) *script {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.works == nil {
		f.works = map[string]*script{}
	}
	if f.works[name] == nil {
		f.works[name] = &script{tasks: []job.Task{{ID: "stream", Kind: job.Stream}}}
	}
	return f.works[name]
}

func (f *fake) set(name string, w *script) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.works == nil {
		f.works = map[string]*script{}
	}
	f.works[name] = w
}

func (f *fake) lived(name string) []*job.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*job.Spec(nil), f.lives[name]...)
}

func (f *fake) Run(ctx context.Context, s *job.Spec, o engine.Options) (watch.Outcome, error) {
	w := f.work(s.Name)
	f.mu.Lock()
	if f.lives == nil {
		f.lives = map[string][]*job.Spec{}
	}
	f.lives[s.Name] = append(f.lives[s.Name], s)
	f.mu.Unlock()
	if w.before != nil {
		return w.before(ctx, o)
	}
	if w.around != nil {
		inner, cancel := context.WithCancel(ctx)
		var beside sync.WaitGroup
		beside.Go(func() { w.around(inner, o) })
		defer beside.Wait()
		defer cancel()
	}
	err := local.Drive(ctx, w, *o.Driving)
	out := watch.Outcome{Stopped: ctx.Err() != nil, Failed: w.failed, Marked: w.marked}
	if w.round != nil {
		began := w.round()
		out.Began = &began
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	return out, err
}

func (f *fake) Retry(ctx context.Context, s *job.Spec, o engine.Options) (watch.Outcome, error) {
	f.mu.Lock()
	f.tried = append(f.tried, s.Name)
	f.mu.Unlock()
	return f.Run(ctx, s, o)
}

func (f *fake) Report(context.Context, *job.Spec, engine.Options, bool, func(watch.Object) error) (watch.FilesReport, error) {
	return watch.FilesReport{}, nil
}

func (f *fake) Verify(ctx context.Context, s *job.Spec, o engine.Options, each func(watch.Difference) error) (watch.VerifyReport, error) {
	if f.verify == nil {
		return watch.VerifyReport{}, nil
	}
	return f.verify(ctx, s, o, each)
}

func (f *fake) Check(context.Context, *job.Spec, engine.Options) (watch.CheckReport, error) {
	return watch.CheckReport{Findings: []watch.Finding{
		{On: "source", Name: "grants", Detail: "all there"},
		{On: "lake", Name: "space", Fault: fault.New(fault.TargetFull, "no space; the password is %s", canary)},
	}}, nil
}

func (f *fake) Plan(context.Context, *job.Spec, engine.Options) (watch.PlanReport, error) {
	return watch.PlanReport{Run: 1}, nil
}

func (f *fake) Status(context.Context, *job.Spec, engine.Options) (watch.StatusReport, error) {
	return watch.StatusReport{}, nil
}

func (f *fake) Positions(context.Context, *job.Spec, engine.Options) (watch.PositionReport, error) {
	return watch.PositionReport{Positions: []watch.SinkPosition{{Sink: "lake", At: "7"}}}, nil
}

func (f *fake) Letters(_ context.Context, _ *job.Spec, _ engine.Options, q engine.LetterQuery) (watch.LetterReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letters = append(f.letters, q)
	return watch.LetterReport{Letters: []watch.Letter{{Sink: "lake", Table: "shop.orders", What: "it says " + canary}}, Next: "lake/7"}, nil
}

func (f *fake) ResetPositions(_ context.Context, s *job.Spec, _ engine.Options) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reset = append(f.reset, s.Name)
	return nil
}

// world is a state folder with an engine, and the service that is open there.
type world struct {
	t       *testing.T
	dir     string
	engine  *fake
	secrets map[string]string
	mu      sync.Mutex
	tune    func(*Options) // nil: nothing is otherwise
	*Service
}

var errDown = fault.New(fault.SourceGrants, "not allowed in")

var ana = Who{Name: "ana", Request: "r-1"}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir() + "/state of 100% #1", engine: &fake{}, secrets: map[string]string{"SECRET": canary}}
	w.open()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) env(name string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, set := w.secrets[name]
	return v, set
}

func (w *world) secret(name, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.secrets[name] = value; value == "" {
		delete(w.secrets, name)
	}
}

func (w *world) options() Options {
	return Options{
		Dir: w.dir, Engine: w.engine, Systems: systems, Memory: 1 << 30, Resolver: option.Resolver{Env: w.env},
		Log: slog.New(slog.DiscardHandler),
	}
}

func (w *world) open() {
	w.t.Helper()
	o := w.options()
	if w.tune != nil {
		w.tune(&o)
	}
	s, err := Open(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

func (w *world) close() {
	w.t.Helper()
	if err := w.Service.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// again closes the service and opens it anew.
func (w *world) again() {
	w.t.Helper()
	w.close()
	w.open()
}

// crash ends the service as the death of its process would: nothing of what it hears
// while it ends is kept.
func (w *world) crash() {
	w.t.Helper()
	w.folder.gone.Store(true)
	w.close()
	w.open()
}

func (w *world) submit(file string) api.Job {
	w.t.Helper()
	v, err := w.Submit(w.t.Context(), ana, "", api.Submission{File: file})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) act(name string, act api.ActAct) api.Job {
	w.t.Helper()
	v, err := w.Act(w.t.Context(), ana, name, api.Act{Act: act, Reason: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// await waits until a job is as it should be.
func (w *world) await(name string, what string, which func(api.Job) bool) api.Job {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	enough := errors.New("enough")
	var last api.Job
	look := func() error {
		v, err := w.Show(ctx, name)
		if err != nil {
			return err
		}
		if last = v; which(v) {
			return enough
		}
		return nil
	}
	err := look()
	for err == nil && ctx.Err() == nil { // what happens before it follows is seen a little later
		short, done := context.WithTimeout(ctx, time.Second)
		err = w.Follow(short, 0, name, func(Happening) error { return look() })
		if done(); err != enough {
			err = look()
		}
	}
	if err != enough {
		w.t.Fatalf("%s never was %s (%v): %+v, wanted %+v, error %+v", name, what, err, last.Standing, last.Wish, last.Standing.Error)
	}
	return last
}

func is(status api.Status) func(api.Job) bool {
	return func(v api.Job) bool { return v.Standing.Status == status }
}

func (w *world) stands(name string, status api.Status) api.Job {
	w.t.Helper()
	return w.await(name, string(status), is(status))
}

// whats are the entries of the audit log about a job, oldest first, as "who what
// outcome".
func (w *world) whats(name string) []string {
	w.t.Helper()
	page, err := w.Audit(w.t.Context(), api.AuditParams{Job: name, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range page.Items {
		out = append([]string{strings.TrimSpace(e.By + " " + e.What + " " + string(e.Outcome) + " " + e.Code)}, out...)
	}
	return out
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if fault.Of(err).Code != code || err == nil {
		t.Errorf("got %v, expected %s", err, code)
	}
}
