package flow

import (
	"context"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// What a sink says when it fails names it (fault.Error.Sink), so that a failure is told
// as that sink's and not as the source's or that of the sinks beside it.

// blame is err as one that the sink caused. What it says once ctx is done may come from
// that alone.
func (s *Sink) blame(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fault.InSink(s.Name, err)
}

// Prepare is connector.Sink's.
func (s *Sink) Prepare(ctx context.Context, tables []*row.Table) error {
	return s.blame(ctx, s.Sink.Prepare(ctx, tables))
}

// Open is connector.Sink's.
func (s *Sink) Open(ctx context.Context, shard connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := s.Sink.Open(ctx, shard, c)
	if err != nil {
		return nil, nil, s.blame(ctx, err)
	}
	return writer{w, s}, set, nil
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

// writer is a sink's writer.
type writer struct {
	connector.Writer
	sink *Sink
}

func (w writer) Apply(ctx context.Context, b *row.Batch) error {
	return w.sink.blame(ctx, w.Writer.Apply(ctx, b))
}

func (w writer) Evolve(ctx context.Context, c *row.SchemaChange) error {
	return w.sink.blame(ctx, w.Writer.Evolve(ctx, c))
}

func (w writer) Commit(ctx context.Context, set position.Set) error {
	return w.sink.blame(ctx, w.Writer.Commit(ctx, set))
}

func (w writer) Close() error { return fault.InSink(w.sink.Name, w.Writer.Close()) }
