package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/route"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// DryRun reads every row that a snapshot would read, makes of it what each sink would
// get, and writes nothing.
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
		return r, fault.New(fault.NoTables, "no table of the source matches %s", strings.Join(s.Tables.Patterns, " "))
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
	rows, bytes, refusals atomic.Int64
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

func (d *dry) chunk(ctx context.Context, source connector.Source, split connector.Split) error {
	sessions := make([]*route.Session, len(d.sinks))
	for i, s := range d.sinks {
		sessions[i] = s.router.Open()
	}
	return source.Read(ctx, split, position.Position{}, func(b *row.Batch) error {
		defer b.Release()
		d.rows.Add(int64(b.Rows()))
		d.bytes.Add(int64(b.Payload()))
		for i, s := range d.sinks {
			routed, err := sessions[i].Batch(b, func(_ *row.Section, _ int, why *fault.Error) error {
				s.refusals.Add(1)
				s.first.CompareAndSwap(nil, why)
				return nil
			})
			if err != nil {
				return err
			}
			if routed.Rows() > 0 {
				s.rows.Add(int64(routed.Rows()))
				s.bytes.Add(int64(routed.Payload()))
			}
			routed.Release()
		}
		return nil
	})
}

func (d *dry) report() watch.DryTable {
	out := watch.DryTable{Table: d.table.Name.String(), Rows: d.rows.Load(), Bytes: d.bytes.Load()}
	for _, s := range d.sinks {
		t := watch.DrySink{Sink: s.name, Table: s.target, Rows: s.rows.Load(), Bytes: s.bytes.Load(), Refused: s.refusals.Load()}
		if why := s.first.Load(); why != nil {
			t.Reason = why.What
		}
		out.Sinks = append(out.Sinks, t)
	}
	return out
}
