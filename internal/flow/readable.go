package flow

import (
	"context"
	"errors"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Unreadable says why the rows that the sink has of a table are not those of a place of
// the stream; empty: they are.
func (s *SinkState) Unreadable(t *row.Table) string {
	switch {
	case t.Stopped != "":
		return t.Stopped
	case s.part(t.Number) != nil:
		return "it stands apart until it has caught up with the other tables"
	case s.Generation > 0 && !s.Whole && s.snapshot.table(t.Number) != nil && !s.complete.has(t.Number):
		return "its snapshot is not complete in the sink"
	}
	return ""
}

// Place reads how far the stream of a sink is, and in which incarnation of the log. It
// fences nobody.
func (j *Job) Place(ctx context.Context, s *Sink) (at position.Position, incarnation uint16, err error) {
	_, set, err := s.Positions(ctx, j.shard(s, streamTask))
	if err != nil {
		return at, 0, err
	}
	n, err := noteNumber(set, keyLog)
	return set[keyStream], uint16(n), s.blame(ctx, err)
}

// Streamed returns the tables that the stream of s carries, as they are at the place it has
// reached.
func (s *SinkState) Streamed() []*row.Table { return s.Shapes.all() }

// Mend opens the stream of a sink, so that no older run can commit to it, and calls write
// with the place it has reached and with put, which releases rows and commits them there:
// each batch as one act. Rows are as the sink has them: no rules change them any more.
func (j *Job) Mend(ctx context.Context, s *SinkState, claim connector.Claim, write func(put func(*row.Batch) error, at position.Position, incarnation uint16) error) (err error) {
	if err := s.Sink.Prepare(ctx, s.Shapes.all()); err != nil {
		return err
	}
	w, set, err := s.Sink.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim)
	if err != nil {
		return s.Sink.blame(ctx, err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	incarnation, err := noteNumber(set, keyLog)
	if err != nil {
		return s.Sink.blame(ctx, err)
	}
	put := func(b *row.Batch) error {
		defer b.Release()
		if err := w.Apply(ctx, b); err != nil {
			return s.Sink.blame(ctx, err)
		}
		return s.Sink.blame(ctx, w.Commit(ctx, set))
	}
	return write(put, set[keyStream], uint16(incarnation))
}
