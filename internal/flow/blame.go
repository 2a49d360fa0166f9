package flow

import (
	"context"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/route"
	"godwit/internal/row"
)

// What a sink says when it fails names it (fault.Error.Sink), so that a failure is told
// as that sink's and not as the source's or that of the sinks beside it. And what a sink
// is told of tables and rows goes by its rules (Sink.Route): it knows none as the source
// has them.

// blame is err as one that the sink caused. What it says once ctx is done may come from
// that alone.
func (s *Sink) blame(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fault.InSink(s.Name, err)
}

// Prepare is connector.Sink's, of tables as the source has them.
func (s *Sink) Prepare(ctx context.Context, tables []*row.Table) error {
	tables, err := s.Route.Tables(tables)
	if err != nil {
		return fault.InSink(s.Name, err)
	}
	return s.blame(ctx, s.Sink.Prepare(ctx, tables))
}

// Open is connector.Sink's.
func (s *Sink) Open(ctx context.Context, shard connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := s.Sink.Open(ctx, shard, c)
	if err != nil {
		return nil, nil, s.blame(ctx, err)
	}
	return &writer{w, s, s.Route.Open(), nil, nil}, set, nil
}

// Positions is connector.Sink's.
func (s *Sink) Positions(ctx context.Context, shard connector.Shard) (connector.Claim, position.Set, error) {
	claim, set, err := s.Sink.Positions(ctx, shard)
	return claim, set, s.blame(ctx, err)
}

// Once is connector.Sink's.
func (s *Sink) Once(ctx context.Context, key string, value []byte) ([]byte, error) {
	kept, err := s.Sink.Once(ctx, key, value)
	return kept, s.blame(ctx, err)
}

// settled is connector.Settler's; true for a sink that cannot tell.
func (s *Sink) settled(ctx context.Context, shard connector.Shard) (bool, error) {
	q, ok := s.Sink.(connector.Settler)
	if !ok {
		return true, nil
	}
	settled, err := q.Settled(ctx, shard)
	return settled, s.blame(ctx, err)
}

// chunks are those that a shard has committed.
func (s *Sink) chunks(set position.Set) (chunks, error) {
	done, err := chunksOf(set)
	return done, fault.InSink(s.Name, err)
}

// announce is connector.Announcer's, of tables as the source has them.
func (s *Sink) announce(ctx context.Context, at position.Position, described string, tables []connector.Completion) error {
	a, ok := s.Sink.(connector.Announcer)
	if !ok {
		return nil
	}
	told := make([]connector.Completion, 0, len(tables))
	for _, c := range tables {
		var err error
		if c.Table, err = s.Route.Table(c.Table); err != nil {
			return fault.InSink(s.Name, err)
		}
		if c.Table != nil {
			told = append(told, c)
		}
	}
	return s.blame(ctx, a.Announce(ctx, at, described, told))
}

// writer is a sink's writer, for tables and rows as the source has them.
type writer struct {
	connector.Writer
	sink  *Sink
	route *route.Session
	aside connector.Discarder // nil: a row that is refused fails
	// names are those that tables have in the source, by number, where rows are put aside.
	names map[uint32]row.Name
}

// putAside makes w put aside, as dead letters, rows that its sink or its rules refuse.
// buried is told of each when it is committed, and whose table in the source it is.
func (w *writer) putAside(buried func(row.Name, connector.Letter)) error {
	d, ok := w.Writer.(connector.Discarder)
	if !ok {
		return fault.InSink(w.sink.Name, fault.New(fault.JobValue, "a sink of this kind cannot put rows aside").
			Try("on_error: always, or fail_after"))
	}
	w.aside, w.names = d, map[uint32]row.Name{}
	d.Discard(func(l connector.Letter) { buried(w.nameOf(l.Table), l) })
	return nil
}

// nameOf is the name of a table in the source.
func (w *writer) nameOf(t *row.Table) row.Name {
	if name, known := w.names[t.Number]; known {
		return name
	}
	return t.Name
}

// noteNames notes the tables of a batch, as rules may name them otherwise.
func (w *writer) noteNames(b *row.Batch) {
	if w.aside == nil {
		return
	}
	for i := range b.Sections() {
		if t := b.Sections()[i].Table; t.Number != 0 {
			w.names[t.Number] = t.Name
		}
	}
}

func (w *writer) Apply(ctx context.Context, b *row.Batch) error {
	w.noteNames(b)
	routed, err := w.route.Batch(b, w.bury(ctx, b))
	if err != nil {
		return w.sink.blame(ctx, err)
	}
	defer routed.Release()
	if routed.Rows() == 0 {
		return nil
	}
	return w.sink.blame(ctx, w.Writer.Apply(ctx, routed))
}

// bury returns what is done with rows of b that rules cannot make; nil: they fail.
func (w *writer) bury(ctx context.Context, b *row.Batch) func(*row.Section, int, *fault.Error) error {
	if w.aside == nil {
		return nil
	}
	return func(s *row.Section, i int, why *fault.Error) error { return w.aside.Bury(ctx, b, s, i, why) }
}

func (w *writer) Evolve(ctx context.Context, c *row.SchemaChange) error {
	c, err := w.route.Change(c)
	if err != nil || c == nil {
		return w.sink.blame(ctx, err)
	}
	return w.sink.blame(ctx, w.Writer.Evolve(ctx, c))
}

func (w *writer) Commit(ctx context.Context, set position.Set) error {
	return w.sink.blame(ctx, w.Writer.Commit(ctx, set))
}

func (w *writer) Close() error { return fault.InSink(w.sink.Name, w.Writer.Close()) }
