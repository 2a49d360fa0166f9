// Package table carries out table jobs: it joins a Spec, its source and sinks,
// the flow between them and the engine.
package table

import (
	"context"
	"errors"
	"log/slog"
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

// defaultParallel is how many chunks are read at once when nobody says.
const defaultParallel = 2

// opened is a job with its connections.
type opened struct {
	spec   *job.Spec
	source connector.Source
	sinks  []connector.Sink
	flow   *flow.Job
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
	o := &opened{spec: spec}
	driver, _ := e.registry.Source(spec.Source.Driver) // Parse knows only registered ones
	source, err := driver.Open(ctx, spec.Source.Values, connector.Env{Budget: e.budget, Log: e.log, Job: spec.Name, Getenv: e.getenv, Parallel: e.parallel})
	if err != nil {
		return nil, err
	}
	o.source = source
	o.flow = &flow.Job{
		Name: spec.Name, Source: source, Tables: spec.Tables,
		Record: e.record, Log: e.log, Pool: &row.Pool{}, ChunkBytes: spec.Chunk, QueueBytes: e.budget.Size(),
	}
	if d, ok := source.(connector.Describer); ok && e.record != nil {
		e.record.Describe(d.Describe)
	}
	for _, s := range spec.Sinks {
		driver, _ := e.registry.Sink(s.Driver)
		sink, err := driver.Open(ctx, s.Values, connector.Env{Budget: e.budget, Log: e.log, Job: spec.Name, Name: s.Name, Getenv: e.getenv, Parallel: e.parallel})
		if err != nil {
			return nil, errors.Join(fault.InSink(s.Name, err), o.close())
		}
		o.sinks = append(o.sinks, sink)
		f := &flow.Sink{Sink: sink, Name: s.Name, Route: route.New(s.Rules), Every: 10 * time.Second, Bytes: 64 << 20}
		if r, ok := sink.(connector.Roller); ok {
			f.Every, f.Bytes = r.Roll()
		}
		o.flow.Sinks = append(o.flow.Sinks, f)
	}
	return o, nil
}

func (o *opened) close() error {
	var errs []error
	for _, s := range o.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, o.source.Close())...)
}
