package flow

import (
	"context"
	"errors"
	"maps"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// tableMark is the greatest mark of a table's chunks.
type tableMark struct {
	number uint32
	mark   position.Position
}

// eachChunk tells every chunk of a table that a sink has committed, in key order, with
// its mark. missing is the number of those that it has not.
func (j *Job) eachChunk(ctx context.Context, s *SinkState, t *row.Table, tell func(connector.Split, position.Position)) (missing int, err error) {
	p, _, err := planOf(ctx, s.Sink, s.Generation, t.Number)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return 1, nil
	}
	for r, run := range p.Runs {
		_, set, err := s.Sink.Positions(ctx, j.shard(s.Sink, p.task(r)))
		if err != nil {
			return 0, err
		}
		done, err := s.Sink.chunks(set)
		if err != nil {
			return 0, err
		}
		first := p.firstChunk(r)
		for i, keys := range run {
			if mark, ok := done.mark(first + uint32(i)); ok {
				tell(p.split(t, first+uint32(i), keys), mark)
			} else {
				missing++
			}
		}
	}
	return missing, nil
}

// tableMark reads the marks of all chunks of a table from a sink and returns the
// greatest. missing is the number of chunks without one.
func (j *Job) tableMark(ctx context.Context, s *SinkState, number uint32) (greatest position.Position, missing int, err error) {
	t := s.snapshot.table(number)
	if t == nil {
		t = &row.Table{Number: number}
	}
	greatest, _, missing, err = j.tableMarks(ctx, s, t)
	return greatest, missing, err
}

// tableMarks is tableMark with the chunks.
func (j *Job) tableMarks(ctx context.Context, s *SinkState, t *row.Table) (greatest position.Position, c *copied, missing int, err error) {
	c = &copied{}
	var wrong error
	missing, err = j.eachChunk(ctx, s, t, func(split connector.Split, mark position.Position) {
		c.add(split, mark.Order())
		o, err := mark.Compare(greatest)
		if wrong = errors.Join(wrong, err); o > 0 {
			greatest = mark
		}
	})
	if wrong != nil {
		wrong = movedOn(s)
	}
	return greatest, c, missing, errors.Join(err, wrong)
}

// loadMarks learns where each table's snapshot ends, as long as the stream has
// not passed all of them.
func (a *streamApplier) loadMarks(ctx context.Context, j *Job) error {
	s := a.state
	if s.Generation == 0 || s.Whole {
		return nil
	}
	filtered := map[uint32]*copied{}
	for _, t := range s.snapshot.tables {
		mark, chunks, missing, err := j.tableMarks(ctx, s, t)
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
			return movedOn(s)
		} else if c > 0 {
			s.Copied = mark
		}
		if s.complete.has(t.Number) {
			continue
		}
		a.passing = append(a.passing, tableMark{t.Number, mark})
		if len(t.Key) > 0 {
			filtered[t.Number] = chunks
		}
	}
	a.filter = j.filter(s.Sink, filtered)
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
			return 0, movedOn(a.state)
		}
		if c > 0 {
			return i, nil
		}
	}
	return len(a.passing), nil
}

// movedOn says that the source became another server, with a log of its own, before the
// stream had passed all marks: they cannot be compared with its places.
func movedOn(s *SinkState) error {
	f := fault.New(fault.SourceDiverged, "the source's log changed while the snapshot of sink %q was not complete", s.Sink.Name)
	if s.Number > 0 {
		return f.At("%s", s.Name()).Try("read the table again: godwit job resync")
	}
	return f.Try("godwit run --again")
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
		a.filter.passed(m.number)
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
