package table

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/route"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// DryRun reads every row that a snapshot would read, makes of it what each sink would
// write, as far as that can be told without its target, and writes nothing.
func (e Engine) DryRun(ctx context.Context, s *job.Spec, o engine.Options) (r watch.DryRunReport, err error) {
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	tables, _, err := opened.source.Discover(ctx, s.Tables)
	if err != nil {
		return r, err
	}
	if len(tables) == 0 {
		return r, flow.NoTables(s.Tables.Patterns)
	}
	began := time.Now()
	for _, t := range tables {
		d, err := opened.dryTable(ctx, t, parallel(s, o))
		if err != nil {
			return r, err
		}
		r.Tables = append(r.Tables, d.report())
	}
	r.Elapsed = time.Since(began).Seconds()
	return r, nil
}

// dry counts what becomes of one table.
type dry struct {
	table       *row.Table
	rows, bytes atomic.Int64
	sinks       []*drySink
}

type drySink struct {
	name, target          string
	router                *route.Router
	rehearser             connector.Rehearser // nil: what it would refuse is not known
	rows, bytes, refusals atomic.Int64
	written               atomic.Int64
	first                 atomic.Pointer[fault.Error]
}

// dryTable reads the chunks of t, some at once.
func (o *opened) dryTable(ctx context.Context, t *row.Table, width int) (*dry, error) {
	d := &dry{table: t}
	for _, s := range o.flow.Sinks {
		to, err := s.Route.Table(t)
		if err != nil {
			return nil, err
		}
		sink := &drySink{name: s.Name, router: s.Route}
		sink.rehearser, _ = s.Sink.(connector.Rehearser)
		if to != nil {
			sink.target = to.Name.String()
		}
		d.sinks = append(d.sinks, sink)
	}
	splits, err := o.source.Splits(ctx, connector.Request{Table: t, Generation: 1, ChunkBytes: o.spec.Chunk})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := atomic.Int64{}
	var wg sync.WaitGroup
	for range min(width, len(splits)) {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(splits)) && ctx.Err() == nil; n = next.Add(1) - 1 {
				split := connector.Split{ID: fmt.Sprint("dry.", n), Bounded: true, Tables: []*row.Table{t}, Generation: 1, Chunk: uint32(n), Range: splits[n].Range} //nolint:gosec // fewer than row.MaxChunk
				if err := d.chunk(ctx, o.source, split); err != nil {
					cancel(fmt.Errorf("table %s: %w", t.Name, err))
				}
			}
		})
	}
	wg.Wait()
	return d, context.Cause(ctx)
}

func (d *dry) chunk(ctx context.Context, source connector.Source, split connector.Split) (err error) {
	takers := make([]*dryTaker, len(d.sinks))
	for i, s := range d.sinks {
		takers[i] = s.open()
		defer func() { err = errors.Join(err, takers[i].close()) }()
	}
	return source.Read(ctx, split, position.Position{}, func(b *row.Batch) error {
		defer b.Release()
		d.rows.Add(int64(b.Rows()))
		d.bytes.Add(int64(b.Payload()))
		for _, t := range takers {
			if err := t.take(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// dryTaker takes the rows of a chunk as a writer of the sink would.
type dryTaker struct {
	sink      *drySink
	route     *route.Session
	rehearsal connector.Rehearsal // nil: none
}

func (s *drySink) open() *dryTaker {
	t := &dryTaker{sink: s, route: s.router.Open()}
	if s.rehearser != nil {
		t.rehearsal = s.rehearser.Rehearse()
	}
	return t
}

func (t *dryTaker) take(b *row.Batch) error {
	s := t.sink
	routed, err := t.route.Batch(b, func(_ *row.Section, _ int, why *fault.Error) error {
		s.refuse(why)
		return nil
	})
	if err != nil {
		return err
	}
	defer routed.Release()
	if routed.Rows() == 0 {
		return nil
	}
	s.rows.Add(int64(routed.Rows()))
	s.bytes.Add(int64(routed.Payload()))
	if t.rehearsal == nil {
		return nil
	}
	return t.rehearsal.Apply(routed, s.refuse)
}

func (t *dryTaker) close() error {
	if t.rehearsal == nil {
		return nil
	}
	n, err := t.rehearsal.Close()
	t.sink.written.Add(n)
	return err
}

func (s *drySink) refuse(why *fault.Error) {
	s.refusals.Add(1)
	s.first.CompareAndSwap(nil, why)
}

func (d *dry) report() watch.DryTable {
	out := watch.DryTable{Table: d.table.Name.String(), Rows: d.rows.Load(), Bytes: d.bytes.Load()}
	for _, s := range d.sinks {
		t := watch.DrySink{Sink: s.name, Table: s.target, Rows: s.rows.Load(), Bytes: s.bytes.Load(), Written: s.written.Load(), Refused: s.refusals.Load()}
		if why := s.first.Load(); why != nil {
			t.Reason = why.What
		}
		out.Sinks = append(out.Sinks, t)
	}
	return out
}
