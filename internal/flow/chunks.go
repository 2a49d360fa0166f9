package flow

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// ChunkTask is a run of neighbouring chunks of one table, for the sinks that keep
// the same plan of it.
type ChunkTask struct {
	ID     string // unique in a run of the job
	Shard  string // "<table number>.<generation>.<run>"
	Table  *row.Table
	Splits []connector.Split
	Sinks  []*SinkState
	// Discard names the sinks, with a blank between, that put aside the rows they
	// refuse.
	Discard string
	// Committed is called after each commit, by sinks side by side; nil: nobody wants to
	// know.
	Committed func()
}

// RunChunks copies every chunk of t that a sink lacks. A chunk is committed whole
// with its mark, or not at all. It returns nil when all sinks have all chunks; a
// done ctx ends it after the chunk commits that are already under way.
func (j *Job) RunChunks(ctx context.Context, t *ChunkTask, claim connector.Claim) (err error) {
	var lanes []*lane
	var appliers []applier
	defer func() { closeLanes(lanes, &err) }()
	for _, s := range t.Sinks {
		l := &lane{job: j, sink: s.Sink, committed: t.Committed}
		if l.writer, l.set, err = s.Sink.Open(ctx, j.shard(s.Sink, t.Shard), claim); err != nil {
			return err
		}
		lanes = append(lanes, l)
		if err := l.discard(t.Discard); err != nil {
			return err
		}
		done, err := s.Sink.chunks(l.set)
		if err != nil {
			return err
		}
		appliers = append(appliers, &chunkApplier{lane: l, had: done, done: done, incarnation: s.Incarnation, table: t.Table})
	}
	g := startGroup(ctx, lanes, appliers, false)
	return g.finish(j.readChunks(g.reading(ctx), g, t, appliers))
}

// closeLanes closes writers; when the task went well, a failing close fails it.
func closeLanes(lanes []*lane, err *error) {
	for _, l := range lanes {
		if cerr := l.writer.Close(); *err == nil {
			*err = cerr
		}
	}
}

func (j *Job) readChunks(ctx context.Context, g *group, t *ChunkTask, appliers []applier) error {
	for _, split := range t.Splits {
		var lacking []*lane
		for i, a := range appliers {
			if !a.(*chunkApplier).had.has(split.Chunk) {
				lacking = append(lacking, g.lanes[i])
			}
		}
		if len(lacking) == 0 {
			continue // told to the record when the table was planned
		}
		if err := j.readChunk(ctx, g, split, lacking, appliers); err != nil {
			return err
		}
	}
	return nil
}

// readChunk reads one chunk into the lanes that lack it and queues their commits.
func (j *Job) readChunk(ctx context.Context, g *group, split connector.Split, lacking []*lane, appliers []applier) error {
	var mark position.Position
	name := split.Tables[0].Name.String()
	rows, bytes := int64(0), int64(0)
	j.Record.ChunkStarted(name)
	emitted := time.Now()
	err := j.Source.Read(ctx, split, position.Position{}, func(b *row.Batch) error {
		defer b.Release()
		if mark.IsZero() {
			mark = b.End
		}
		if b.Rows() == 0 {
			return nil
		}
		j.Record.FirstRow()
		j.Record.Rows(name, b.Rows(), int64(b.Payload()))
		j.Record.Stage("", "source", time.Since(emitted), 0, 0)
		defer func() { emitted = time.Now() }()
		rows, bytes = rows+int64(b.Rows()), bytes+int64(b.Payload())
		for _, l := range lacking {
			if err := g.put(ctx, l, item{batch: b}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		j.Record.ChunkAgain(name, int(rows), bytes)
		return err
	}
	if mark.IsZero() {
		return fault.New(fault.SourceProtocol, "chunk %s was read without a mark", split.ID)
	}
	var left atomic.Int32
	left.Store(int32(len(lacking)))
	for i, l := range g.lanes {
		a := appliers[i].(*chunkApplier)
		if a.had.has(split.Chunk) {
			continue
		}
		last := func() { // lanes run side by side: the one that ends last reports
			if left.Add(-1) == 0 {
				j.Record.ChunkDone(name, rows)
			}
		}
		if err := g.put(ctx, l, item{act: func(ctx context.Context) error { return a.commit(ctx, split.Chunk, mark, last) }}); err != nil {
			return err
		}
	}
	return nil
}

// chunkApplier applies chunks to one sink.
type chunkApplier struct {
	lane        *lane
	had         chunks // committed when the task began; the reader looks at it too
	done        chunks
	incarnation uint16
	table       *row.Table // the shape the target is prepared for
}

func (a *chunkApplier) due() time.Time                { return time.Time{} }
func (a *chunkApplier) idle(context.Context) error    { return nil }
func (a *chunkApplier) drained(context.Context) error { return nil }

func (a *chunkApplier) apply(ctx context.Context, b *row.Batch) error {
	for _, s := range b.Sections() {
		if s.Table == a.table || s.Table.SameShape(a.table) {
			continue
		}
		// The table was altered after the plan was made. A chunk has one shape,
		// so this is its first batch and the writer stands between commits.
		if err := a.lane.writer.Evolve(ctx, &row.SchemaChange{Kind: row.Alter, Before: a.table, After: s.Table}); err != nil {
			return err
		}
		a.table = s.Table
	}
	return a.lane.writer.Apply(ctx, b.In(a.incarnation))
}

func (a *chunkApplier) commit(ctx context.Context, n uint32, mark position.Position, last func()) error {
	next := a.done.with(n, mark)
	if err := a.lane.commit(ctx, next.set(), position.Position{}, 0); err != nil {
		return fmt.Errorf("chunk %d: %w", n, err)
	}
	a.done = next
	last()
	return nil
}
