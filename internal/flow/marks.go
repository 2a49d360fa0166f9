package flow

import (
	"context"
	"maps"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
)

// tableMark is the greatest mark of a table's chunks.
type tableMark struct {
	number uint32
	mark   position.Position
}

// tableMark reads the marks of all chunks of a table from a sink and returns the
// greatest. missing is the number of chunks without one.
func (j *Job) tableMark(ctx context.Context, s *SinkState, number uint32) (greatest position.Position, missing int, err error) {
	p, _, err := planOf(ctx, s.Sink, s.Generation, number)
	if err != nil {
		return greatest, 0, err
	}
	if p == nil {
		return greatest, 1, nil
	}
	for r, run := range p.Runs {
		_, set, err := s.Sink.Positions(ctx, j.shard(s.Sink, p.task(r)))
		if err != nil {
			return greatest, 0, err
		}
		done, err := s.Sink.chunks(set)
		if err != nil {
			return greatest, 0, err
		}
		first := p.firstChunk(r)
		for i := range run {
			if !done.has(first + uint32(i)) {
				missing++
			}
		}
		mark, err := done.greatest()
		if err != nil {
			return greatest, 0, err
		}
		if c, err := mark.Compare(greatest); err != nil {
			return greatest, 0, err
		} else if c > 0 {
			greatest = mark
		}
	}
	return greatest, missing, nil
}

// loadMarks learns where each table's snapshot ends, as long as the stream has
// not passed all of them.
func (a *streamApplier) loadMarks(ctx context.Context, j *Job) error {
	s := a.state
	if s.Generation == 0 || s.Whole {
		return nil
	}
	for _, t := range s.snapshot.tables {
		mark, missing, err := j.tableMark(ctx, s, t.Number)
		if err != nil {
			return err
		}
		if missing > 0 {
			return fault.New(fault.Internal, "the stream of sink %q was started while %d chunks of %s are missing", s.Sink.Name, missing, t.Name)
		}
		if len(t.Key) == 0 && a.floors[t.Number] == "" {
			a.floors[t.Number] = mark.Order()
		}
		s.marks[t.Number] = mark
		if c, err := mark.Compare(s.Copied); err != nil {
			return err
		} else if c > 0 {
			s.Copied = mark
		}
		if !s.complete.has(t.Number) {
			a.passing = append(a.passing, tableMark{t.Number, mark})
		}
	}
	slices.SortStableFunc(a.passing, func(x, y tableMark) int {
		c, _ := x.mark.Compare(y.mark) // one log: marks were compared above
		return c
	})
	return nil
}

// passed returns how many of the tables still ahead the stream has passed.
func (a *streamApplier) passed() (int, error) {
	for i, m := range a.passing {
		c, err := m.mark.Compare(a.at)
		if err != nil {
			return 0, err
		}
		if c > 0 {
			return i, nil
		}
	}
	return len(a.passing), nil
}

// noteComplete puts into s that the first n tables of passing are complete. When
// none is left, one entry says so for all.
func (a *streamApplier) noteComplete(s position.Set, n int) {
	st := a.state
	if st.Generation == 0 || st.Whole {
		return
	}
	for _, m := range a.passing[:n] {
		st.complete = st.complete.with(m.number)
	}
	if n < len(a.passing) {
		s[keyComplete] = st.complete.note()
		return
	}
	delete(s, keyComplete)
	s[keyWhole] = st.Copied
	st.Whole = true
	maps.DeleteFunc(a.floors, func(_ uint32, floor string) bool { return floor != beyond })
}

// completions tells plain readers how far each table is.
func (a *streamApplier) completions() []connector.Completion {
	st := a.state
	out := make([]connector.Completion, 0, len(a.shapes.tables))
	for _, t := range a.shapes.tables {
		c := connector.Completion{Table: t, Complete: true, Stopped: t.Stopped}
		if st.away.has(t.Number) {
			c.Complete, c.Stopped = false, "" // it is somewhere else, until it has joined the others
			out = append(out, c)
			continue
		}
		if st.Generation > 0 && st.snapshot.table(t.Number) != nil {
			if c.From = st.Copied; c.From.Log() != a.at.Log() {
				c.From = position.Position{} // marks of a former log lie before all of this one
			}
			if m, ok := st.marks[t.Number]; ok {
				c.From = m
			}
			c.Complete = st.Whole || st.complete.has(t.Number)
		}
		out = append(out, c)
	}
	return out
}
