package table

import (
	"context"
	"errors"
	"log/slog"
	"slices"

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

// leastMemory is what a run that has the process to itself takes at least.
const leastMemory = 64 << 20

// budget is what the batches of a job may take. Under a Driving many jobs share the
// process: there is no least then, as a batch that is larger than the budget passes alone.
func budget(o engine.Options) *limit.Budget {
	switch {
	case o.Driving == nil:
		return limit.NewBudget(max(o.Memory, leastMemory) / budgetShare)
	case o.Share == nil:
		return limit.NewBudget(o.Memory / budgetShare)
	}
	return limit.NewShare(func() int64 { return o.Share() / budgetShare })
}

// whole fills in what an act can do without.
func whole(s *job.Spec, o engine.Options) engine.Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Watch == nil {
		o.Watch = watch.New(watch.Options{Job: s.Name})
	}
	return o
}

// connect opens the job's source and sinks for an act.
func (e Engine) connect(ctx context.Context, s *job.Spec, o engine.Options) (*opened, error) {
	o = whole(s, o)
	return open(ctx, s, e.env(s, o))
}

func (e Engine) env(s *job.Spec, o engine.Options) env {
	return env{
		registry: e.Registry, budget: budget(o),
		log: o.Log, record: o.Watch, parallel: parallel(s, o), getenv: o.Getenv,
	}
}

// parallel is how many chunks are read at once: the command line's word, else the
// job file's, else the default.
func parallel(s *job.Spec, o engine.Options) int {
	for _, n := range []int{o.Parallel, s.Parallel} {
		if n > 0 {
			return n
		}
	}
	return job.DefaultParallel
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
	if o.Driving == nil {
		defer limit.Memory(max(o.Memory, leastMemory))()
	}
	o = whole(s, o)
	o.Driving = bearingSinks(s, o.Driving)
	w := newWork(ctx, s, o, state)
	w.connect = func(ctx context.Context) (*opened, error) { return openSource(ctx, s, e.env(s, o)) }
	defer func() { err = errors.Join(err, w.close()) }()
	out.Stopped, err = local.Run(ctx, w, o.Driving, parallel(s, o), o.Log)
	return w.ended(ctx, out, err)
}

// bearingSinks has planning bear what the sinks do as other tasks do: it asks them all.
func bearingSinks(s *job.Spec, d *engine.Driving) *engine.Driving {
	if d == nil {
		return nil
	}
	own := *d
	own.From.Tasks = slices.Clone(own.From.Tasks)
	own.From.Tasks[0].OnError = job.ErrorModesOf(s.Sinks)
	return &own
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

// ended keeps how the run ended, and tells what the sinks hold then.
func (w *work) ended(ctx context.Context, out watch.Outcome, err error) (watch.Outcome, error) {
	keep := context.WithoutCancel(ctx) // how a run ended is noted also when it was stopped
	out.Run, out.Nothing = w.run, w.nothing
	if w.started {
		if err == nil && !out.Stopped {
			w.record.Phase(watch.Done)
		}
		w.unwatch()
		w.stopKeeping()
		exit, outcome := local.End(out.Stopped, err)
		err = errors.Join(err, w.state.EndRun(keep, w.run, exit, outcome))
	}
	if out.Nothing {
		out.Next = "godwit run --again " + w.spec.File
	}
	if err != nil || w.opened == nil {
		return out, err
	}
	return w.outcome(keep, out), nil
}

// outcome tells what the sinks hold now. What cannot be read is left out: the run
// itself is over.
func (w *work) outcome(ctx context.Context, out watch.Outcome) watch.Outcome {
	for _, s := range w.spec.Sinks {
		if l, ok := w.sinkNamed(s.Name).(connector.Placer); ok {
			out.Where = append(out.Where, l.Where())
		}
	}
	states, _ := w.flow.Reach(ctx)
	if len(states) > 0 {
		out.At = w.describe(states[0].At)
	}
	out.Marked = flow.Marked(states)
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
