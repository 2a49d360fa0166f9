// Package table carries out table jobs: it joins a Spec, its source and sinks,
// the flow between them and the engine.
package table

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/limit"
	"godwit/internal/route"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// sinkPatience is how long a sink may keep the others waiting with one thing.
const sinkPatience = time.Minute

// opened is a job with its connections.
type opened struct {
	spec   *job.Spec
	env    env
	source connector.Source // nil: it is not needed
	flow   *flow.Job

	mu    sync.Mutex                // guards what follows
	sinks map[string]connector.Sink // by name; those that could be opened
}

// env is what a process gives a job.
type env struct {
	registry connector.Registry
	budget   *limit.Budget
	log      *slog.Logger
	record   *watch.Job
	parallel int
	getenv   func(name string) (string, bool)
}

// open connects the source and the sinks. The caller closes.
func open(ctx context.Context, spec *job.Spec, e env) (*opened, error) {
	o, err := openSource(ctx, spec, e)
	if err != nil {
		return nil, err
	}
	for i := range spec.Sinks {
		if err := o.openSink(ctx, &spec.Sinks[i]); err != nil {
			return nil, errors.Join(err, o.close())
		}
	}
	return o, nil
}

// openSource connects the source alone.
func openSource(ctx context.Context, spec *job.Spec, e env) (*opened, error) {
	driver, _ := e.registry.Source(spec.Source.Driver) // Parse knows only registered ones
	source, err := driver.Open(ctx, spec.Source.Values, connector.Env{Budget: e.budget, Log: e.log, Job: spec.Name, Getenv: e.getenv, Parallel: e.parallel})
	if err != nil {
		return nil, err
	}
	o := &opened{spec: spec, env: e, source: source, sinks: map[string]connector.Sink{}}
	o.flow = &flow.Job{
		Name: spec.Name, Source: source, Tables: spec.Tables, Patience: sinkPatience,
		Record: e.record, Log: e.log, Pool: &row.Pool{}, ChunkBytes: spec.Chunk, QueueBytes: e.budget.Size(),
	}
	if d, ok := source.(connector.Describer); ok && e.record != nil {
		e.record.Describe(d.Describe)
	}
	return o, nil
}

// withoutSource is a job none of whose connections is made: what its sinks have can be
// told without the source.
func withoutSource(spec *job.Spec, e env) *opened {
	return &opened{spec: spec, env: e, sinks: map[string]connector.Sink{}, flow: &flow.Job{Name: spec.Name}}
}

// openSinks connects all sinks that can be, and returns why the others, by their
// names, cannot.
func (o *opened) openSinks(ctx context.Context) map[string]error {
	refused := map[string]error{}
	for i := range o.spec.Sinks {
		s := &o.spec.Sinks[i]
		if err := o.openSink(ctx, s); err != nil {
			refused[s.Name] = err
		}
	}
	return refused
}

// sink is the one of a name, if it could be opened.
func (o *opened) sink(name string) connector.Sink {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sinks[name]
}

// openSink connects a sink, if that is not done. Planning and the tasks that ask for sinks
// again may be at it side by side: one of them has done it then.
func (o *opened) openSink(ctx context.Context, s *job.Sink) error {
	if o.sink(s.Name) != nil {
		return nil
	}
	driver, _ := o.env.registry.Sink(s.Driver)
	sink, err := driver.Open(ctx, s.Values, connector.Env{Budget: o.env.budget, Log: o.env.log, Job: o.spec.Name, Name: s.Name, Getenv: o.env.getenv, Parallel: o.env.parallel})
	if err != nil {
		return fault.InSink(s.Name, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sinks[s.Name] != nil {
		return fault.InSink(s.Name, sink.Close())
	}
	o.sinks[s.Name] = sink
	f := &flow.Sink{Sink: sink, Name: s.Name, Route: route.New(s.Rules), Rules: s.RulesSum, Every: 10 * time.Second, Bytes: 64 << 20}
	if r, ok := sink.(connector.Roller); ok {
		f.Every, f.Bytes = r.Roll()
	}
	o.flow.Add(f)
	return nil
}

func (o *opened) close() error {
	var errs []error
	for _, s := range o.sinks {
		errs = append(errs, s.Close())
	}
	if o.source != nil {
		errs = append(errs, o.source.Close())
	}
	return errors.Join(errs...)
}
