package table

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/limit"
	"godwit/internal/position"
	"godwit/internal/watch"
)

// Engine acts on table jobs on this machine (engine.Engine).
type Engine struct{ Registry connector.Registry }

var _ engine.Engine = Engine{}

// budgetShare is the part of the memory ceiling that batches may take: the rest
// is for encoders, packets, the runtime and what the collector has not freed yet.
const budgetShare = 4

// runtimeShare is what the collector leaves of the memory ceiling to what it does
// not see: stacks, the binary's own pages, fragmentation.
const runtimeShare = 24 << 20

// connect opens the job's source and sinks for an act.
func (e Engine) connect(ctx context.Context, s *job.Spec, o engine.Options) (*opened, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Watch == nil {
		o.Watch = watch.New(watch.Options{Job: s.Name})
	}
	opened, err := open(ctx, s, env{
		registry: e.Registry, budget: limit.NewBudget(max(o.Memory, 64<<20) / budgetShare),
		log: o.Log, record: o.Watch, parallel: parallel(s, o), getenv: o.Getenv,
	})
	if err != nil {
		return nil, err
	}
	opened.flow.Log = o.Log
	return opened, nil
}

// parallel is how many chunks are read at once: the command line's word, else the
// job file's, else the default.
func parallel(s *job.Spec, o engine.Options) int {
	for _, n := range []int{o.Parallel, s.Parallel} {
		if n > 0 {
			return n
		}
	}
	return defaultParallel
}

// Run runs a job to its end.
func (e Engine) Run(ctx context.Context, s *job.Spec, o engine.Options) (out watch.Outcome, err error) {
	state, err := local.OpenState(o.State, s.Name, true)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if o.OpenLog != nil {
		if err := o.OpenLog(state.Dir); err != nil {
			return out, err
		}
	}
	if _, err := state.Accept(ctx, s, o.Again); err != nil {
		return out, err
	}
	// The ceiling is the process's: the collector works harder near it.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(o.Memory, 64<<20) - runtimeShare))
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return out, stoppedOr(ctx, err)
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	w := &work{
		opened: opened, again: o.Again, record: o.Watch, settled: make(chan struct{}),
		copies: map[string]*flow.ChunkTask{}, streams: map[string]*flow.StreamTask{}, left: map[string]int{},
	}
	if w.states, err = opened.flow.Find(ctx); err != nil {
		return out, err
	}
	if w.run, err = nextRun(ctx, state, w.states); err != nil {
		return out, err
	}
	out.Run = w.run
	for _, st := range w.states {
		o.Watch.Opened(st.Sink.Name, st.At, 0)
	}
	if !o.Again {
		if err := w.fits(); err != nil {
			return out, err
		}
		if done, err := w.finished(ctx); err != nil {
			return out, err
		} else if done {
			out.Nothing = true
			out.Next = "godwit run --again " + s.File
			return w.outcome(ctx, out), nil
		}
	}
	if err := e.drive(ctx, state, w, s, o); err != nil {
		return out, err
	}
	out.Stopped = ctx.Err() != nil
	return w.outcome(context.WithoutCancel(ctx), out), nil
}

// drive runs the tasks under the engine and keeps the state of the run.
func (e Engine) drive(ctx context.Context, state *local.State, w *work, s *job.Spec, o engine.Options) error {
	keep := context.WithoutCancel(ctx) // how a run ended is noted also when it was stopped
	if err := state.StartRun(keep, w.run); err != nil {
		return err
	}
	// A job file counts once something was made of it: until then it may be edited
	// as one likes.
	w.began = func() error { return state.KeepSpec(keep, s) }
	w.record.Parallel(parallel(s, o))
	w.record.Began(w.run, w.begins())
	stop := state.KeepProgress(keep, w.record.Snapshot)
	w.log, w.logLost = context.WithCancelCause(keep)
	defer w.logLost(nil)
	unwatch := w.watchLog(ctx)
	err := local.Run(ctx, w, parallel(s, o), o.Log)
	if err == nil {
		w.record.Phase(watch.Done)
	}
	unwatch()
	stop()
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	exit, outcome := local.End(ctx, err)
	return errors.Join(err, state.EndRun(keep, w.run, exit, outcome))
}

// nextRun returns a number above every run that state and sinks have seen.
func nextRun(ctx context.Context, state *local.State, states []*flow.SinkState) (uint64, error) {
	last, err := state.LastRun(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range states {
		last = max(last, s.Claim.Run)
	}
	return last + 1, nil
}

// outcome tells what the sinks hold now. What cannot be read is left out: the run
// itself is over.
func (w *work) outcome(ctx context.Context, out watch.Outcome) watch.Outcome {
	for _, s := range w.spec.Sinks {
		if l, ok := w.sinkNamed(s.Name).(connector.Placer); ok {
			out.Where = append(out.Where, l.Where())
		}
	}
	states, err := w.flow.Find(ctx)
	if err != nil {
		return out
	}
	for i, s := range states {
		if i == 0 {
			out.At = w.describe(s.At)
		}
		for _, t := range s.Tables() {
			if t.Stopped != "" && i == 0 {
				out.Marked = append(out.Marked, watch.Mark{Table: t.Name.String(), Reason: t.Stopped})
			}
		}
	}
	return out
}

func (w *work) sinkNamed(name string) connector.Sink {
	for _, s := range w.flow.Sinks {
		if s.Name == name {
			return s.Sink
		}
	}
	return nil
}

func (o *opened) describe(p position.Position) string {
	if p.IsZero() {
		return ""
	}
	if d, ok := o.source.(connector.Describer); ok {
		return d.Describe(p)
	}
	return p.Token()
}

// stoppedOr prefers that somebody stopped the run over the error it led to.
func stoppedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
