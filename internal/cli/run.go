package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/watch"
)

// runFlags are the flags of run alone.
type runFlags struct {
	again    bool
	confirm  string
	every    string
	parallel int
	dry      bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run JOB",
		Short: "Run a job to its end, or until it is stopped",
		Example: `  godwit run job.yaml
  godwit run job.yaml --json --state /var/lib/godwit`,
		Long: `Run moves what the job file says, and goes on where the target stands. Ctrl-C (or SIGTERM) finishes the commit and
stops; a second one stops at once. Either way the next run goes on exactly there. SIGUSR1 prints how it stands.`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.dry {
				return a.dryRun(c.Context(), args[0])
			}
			return a.run(c.Context(), args[0], f)
		},
	}
	c.Flags().BoolVar(&f.dry, "dry-run", false, "read what a snapshot would read, apply rules, encode, write nothing; say what would be written, how fast, and what a target cannot hold")
	c.Flags().BoolVar(&f.again, "again", false, "read everything again, as a new generation (asks; or --confirm)")
	c.Flags().StringVar(&f.confirm, "confirm", "", "the job's `NAME`, to confirm --again")
	c.Flags().StringVar(&f.every, "progress-every", "", "a timed line every `DURATION` when stderr is no terminal (default: 10s, after a minute 60s)")
	c.Flags().IntVar(&f.parallel, "parallel", 0, fmt.Sprintf("how many chunks are read at once (default: the job file's, else %d)", job.DefaultParallel))
	a.actFlags(c)
	return c
}

func (a *app) run(ctx context.Context, path string, f runFlags) error {
	spec, err := a.readJob(ctx, path)
	if err != nil {
		return err
	}
	o, err := a.options(f.parallel, spec)
	if err != nil {
		return err
	}
	every, err := interval("progress-every", f.every)
	if err != nil {
		return err
	}
	if f.again {
		if err := a.confirmAgain(f.confirm, spec); err != nil {
			return err
		}
	}
	o.Again = f.again
	r := a.newRunner(spec, o, every)
	return r.run(ctx)
}

// interval reads a duration flag; empty is 0.
func interval(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := option.ParseDuration(text)
	if err == nil && d < time.Second {
		err = fmt.Errorf("expected at least 1s")
	}
	if err != nil {
		return 0, fault.New(fault.Usage, "--%s %s: %v", flag, text, err)
	}
	return d, nil
}

// recorder is what a run writes down, as displays see it.
type recorder interface {
	Snapshot() watch.Progress
	Changed() <-chan struct{}
}

// runner is one run and its display.
type runner struct {
	a     *app
	spec  *job.Spec
	o     Options
	act   func(context.Context, *job.Spec, Options) (watch.Outcome, error)
	w     recorder
	log   *local.Log
	show  display
	mu    sync.Mutex // serialises the display's methods
	marks map[string]bool
	phase string
	done  int
	muted bool // stopped at once: whatever the engine still says is not shown
}

// display shows a run in one of its forms. Its methods are not called
// concurrently.
type display interface {
	start(p watch.Progress)
	phase(p watch.Progress) // a new phase
	tables(p watch.Progress)
	mark(m watch.Mark)
	log(level slog.Level, line string)
	status(p watch.Progress) // asked for
	// tick shows p if it is time, and returns when to call again.
	tick(p watch.Progress, now time.Time) time.Duration
	end(p watch.Progress, o watch.Outcome, err error)
}

func (a *app) newRunner(spec *job.Spec, o Options, every time.Duration) *runner {
	r := &runner{a: a, spec: spec, o: o, act: a.engine.Run, marks: map[string]bool{}}
	w := watch.Options{Job: spec.Name, Mode: modeOf(spec), Now: a.p.Now, ProcessStart: a.p.Start,
		Parallel: o.Parallel, Resident: watch.Resident, MemoryLimit: o.Memory, Hide: a.hide}
	if spec.Kind == job.KindFiles {
		r.o.Files = watch.NewFiles(w)
		r.w = r.o.Files
	} else {
		r.o.Watch = watch.New(w)
		r.w = r.o.Watch
	}
	switch {
	case a.json:
		r.show = &jsonDisplay{a: a, spec: spec}
	case a.scr.terminal() && !a.accessible() && a.getenv("TERM") != "dumb":
		r.show = &blockDisplay{a: a}
	default:
		r.show = &lineDisplay{a: a, every: every}
	}
	r.o.Log, r.log = newLog(func(l slog.Level, line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.muted {
			r.show.log(l, line)
		}
	}, a.hide)
	r.o.OpenLog = r.log.Open
	return r
}

func (a *app) accessible() bool {
	return on(a.getenv("GODWIT_ACCESSIBLE")) || on(a.getenv("ACCESSIBLE"))
}

func on(v string) bool { return v != "" && v != "0" && !strings.EqualFold(v, "false") }

type ended struct {
	outcome watch.Outcome
	err     error
}

// run starts the engine and shows the run until it ends.
func (r *runner) run(parent context.Context) error {
	ctx, again, stop := r.a.signals(parent, "stopping: finishing the commit", func() { r.with(func(p watch.Progress) { r.show.status(p) }) })
	defer stop()
	if r.spec.Kind == job.KindFiles {
		reload, ended := r.a.reloads(r.spec, r.o.Log)
		defer ended()
		r.o.Reload = reload
	}
	defer r.log.Close()
	r.log.Line(jsonLine(map[string]any{"t": stamp(r.a.p.Now()), "level": "info", "what": "run begins", "job": r.spec.Name, "version": r.a.version(), "pid": os.Getpid()}))
	r.with(func(p watch.Progress) { r.show.start(p) })
	result := make(chan ended, 1)
	go func() { result <- r.engineRun(ctx) }()
	end, stopped := r.follow(result, again)
	if stopped {
		r.with(r.abandon)
		return errStopped
	}
	return r.finish(end)
}

// engineRun runs the engine. A panic in it ends the run like any other failure:
// the terminal is left in order, the exit code is right and the log has the
// stack.
func (r *runner) engineRun(ctx context.Context) (e ended) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Line(jsonLine(map[string]any{"t": stamp(r.a.p.Now()), "level": "error", "what": "panic", "stack": r.a.hide(string(debug.Stack()))}))
			e = ended{err: fault.New(fault.Internal, "panic: %v", p)}
		}
	}()
	o, err := r.act(ctx, r.spec, r.o)
	return ended{o, err}
}

// with calls f with a Progress, one caller at a time.
func (r *runner) with(f func(watch.Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.w.Snapshot())
}

// follow shows the run until it ends, or is stopped by a second signal.
func (r *runner) follow(result <-chan ended, again <-chan struct{}) (ended, bool) {
	timer, rest := time.NewTimer(0), time.NewTimer(time.Hour)
	defer timer.Stop()
	defer rest.Stop()
	changed := r.w.Changed()
	for {
		select {
		case e := <-result:
			return e, false
		case <-again:
			return ended{}, true
		case <-changed:
			r.with(r.news)
			// Thousands of small tables end in a second: news rest a moment.
			changed = nil
			rest.Reset(frame / 2)
		case <-rest.C:
			changed = r.w.Changed()
		case <-timer.C:
			var wait time.Duration
			r.with(func(p watch.Progress) {
				r.news(p)
				wait = r.show.tick(p, r.a.p.Now())
			})
			timer.Reset(wait)
		}
	}
}

// news tells the display of what is worth showing at once.
func (r *runner) news(p watch.Progress) {
	if p.Phase != r.phase {
		r.phase = p.Phase
		r.show.phase(p)
	}
	for _, m := range p.Marked {
		if !r.marks[m.Table] {
			r.marks[m.Table] = true
			m.Reason = r.a.hide(m.Reason)
			r.show.mark(m)
		}
	}
	if p.Tables.Done != r.done {
		r.done = p.Tables.Done
		r.show.tables(p)
	}
}

// abandon ends the display after a second signal.
func (r *runner) abandon(p watch.Progress) {
	r.muted = true
	r.sum(p, nil)
	r.a.scr.paint(nil)
	if !r.a.json {
		r.a.scr.print("stopped at once; the next run goes on from the last commit")
	}
}

// sum notes what the summary has of p.
func (r *runner) sum(p watch.Progress, o *watch.Outcome) {
	r.a.summary = &summaryLine{FirstRow: p.FirstRow, Outcome: o, Tables: &p.Tables, Memory: &p.Memory, Rows: &p.Rows.Done, Bytes: &p.Bytes, Files: p.Files}
	if p.Changes != nil {
		r.a.summary.Changes = &p.Changes.Rows
	}
}

// finish shows the end and makes the run's error.
func (r *runner) finish(e ended) error {
	err := e.err
	signalled := r.a.stopped.Load() != nil
	switch {
	case signalled && (err == nil && e.outcome.Stopped || errors.Is(err, context.Canceled) && fault.Of(err).Code == fault.Internal):
		e.outcome.Stopped, err = true, errStopped
	case err == nil && len(e.outcome.Marked) > 0:
		err = resyncNeeded(e.outcome, r.spec)
	case err == nil && e.outcome.Failed > 0:
		err = objectsFailed(e.outcome, r.spec)
	}
	for i := range e.outcome.Marked {
		e.outcome.Marked[i].Reason = r.a.hide(e.outcome.Marked[i].Reason)
	}
	r.logEnd(e.outcome, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.w.Snapshot()
	r.news(p)
	r.sum(p, &e.outcome)
	r.show.end(p, e.outcome, err)
	return err
}

func (r *runner) logEnd(o watch.Outcome, err error) {
	fields := map[string]any{"t": stamp(r.a.p.Now()), "level": "info", "what": "run ended", "job": r.spec.Name, "stopped": o.Stopped}
	if err != nil && !errors.Is(err, errStopped) {
		e := masked(fault.Of(err), r.a.hide)
		fields["level"], fields["code"], fields["error"] = "error", string(e.Code), e.Error()
		if e.Hint != "" {
			fields["hint"] = e.Hint
		}
	}
	r.log.Line(jsonLine(fields))
}

func resyncNeeded(o watch.Outcome, s *job.Spec) error {
	names := make([]string, len(o.Marked))
	for i, m := range o.Marked {
		names[i] = m.Table
	}
	needs := "tables need"
	if len(names) == 1 {
		needs = "table needs"
	}
	return fault.New(fault.ResyncNeeded, "finished, but %d %s a resync: %s", len(names), needs, strings.Join(names[:min(len(names), 20)], ", ")).
		At("%s", s.Name).Try("godwit run %s --again", s.File)
}
