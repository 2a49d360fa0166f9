package flow

import (
	"context"

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
