package flow

import (
	"context"
	"errors"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/fault"
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
// fences nobody. fault.NotVerifiable: the sink does not have table t any more as s has it.
func (j *Job) Place(ctx context.Context, s *SinkState, t *row.Table) (at position.Position, incarnation uint16, err error) {
	_, set, err := s.Sink.Positions(ctx, j.shard(s.Sink, streamTask))
	if err != nil {
		return at, 0, err
	}
	n, err := noteNumber(set, keyLog)
	if err == nil && !s.stands(set) {
		err = s.holds(ctx, set, t)
	}
	return set[keyStream], uint16(n), s.Sink.blame(ctx, err)
}

// stands reports whether the tables of a set that was committed since are those of s.
func (s *SinkState) stands(set position.Set) bool {
	return set[keySchemas].Token() == s.Shapes.id && slices.Equal(bitmapOf(set[keyApart]), s.away)
}

// holds fails unless table t is in a set that was committed since as it is in s.
func (s *SinkState) holds(ctx context.Context, set position.Set, t *row.Table) error {
	now := &SinkState{Sink: s.Sink}
	if err := now.load(ctx, set); err != nil {
		return err
	}
	is := now.Shapes.table(t.Number)
	if is != nil && is.Version == t.Version && is.Generation == t.Generation && !now.away.has(t.Number) && now.Unreadable(is) == "" {
		return nil
	}
	return fault.New(fault.NotVerifiable, "the sink began to copy it again meanwhile, or got another shape of it")
}

// Streamed returns the tables that the stream of s carries, as they are at the place it has
// reached.
func (s *SinkState) Streamed() []*row.Table { return s.Shapes.all() }

// Mend opens the stream of a sink, so that no older run can commit to it, and calls write
// with the place it has reached and with put, which releases rows and commits them there:
// each batch as one act. Rows are as the sink has them: no rules change them any more. Of a
// batch that put refuses (fault.RowRefused) nothing is written, and others may follow.
func (j *Job) Mend(ctx context.Context, s *SinkState, claim connector.Claim, write func(put func(*row.Batch) error, at position.Position, incarnation uint16) error) (err error) {
	if err := s.Sink.Prepare(ctx, s.Shapes.all()); err != nil {
		return err
	}
	w, set, err := s.Sink.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim)
	if err != nil {
		return s.Sink.blame(ctx, err)
	}
	defer func() {
		if w != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if !s.stands(set) {
		return s.Sink.blame(ctx, fault.New(fault.NotNow, "another run went on meanwhile, and the sink has other tables, or other shapes of them").Try("repair again"))
	}
	incarnation, err := noteNumber(set, keyLog)
	if err != nil {
		return s.Sink.blame(ctx, err)
	}
	put := func(b *row.Batch) (err error) {
		defer b.Release()
		if w == nil { // the one before failed
			if w, set, err = s.Sink.Sink.Open(ctx, j.shard(s.Sink, streamTask), claim); err != nil {
				w = nil
				return s.Sink.blame(ctx, err)
			}
		}
		if err = w.Apply(ctx, b); err == nil {
			err = w.Commit(ctx, set)
		}
		if err != nil {
			_ = w.Close() // it has written nothing, and is of no more use
			w = nil
		}
		return s.Sink.blame(ctx, err)
	}
	return write(put, set[keyStream], uint16(incarnation))
}
