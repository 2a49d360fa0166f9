package flow

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// choose makes the sinks follow an edit of the patterns that choose tables. First
// every sink is brought to the one place at which the source tells its tables, by the
// patterns there were: what a sink does not know there was not chosen before, and its
// shape is the right one there. Such tables begin apart; those not chosen any more
// leave for good, and what was written of them stays.
func (j *Job) choose(ctx context.Context, states []*SinkState, w Wanted, claim connector.Claim) error {
	want := patterns(j.Tables)
	if !Edited(states, j.Tables) {
		return nil
	}
	for _, s := range states {
		if err := j.complete(ctx, s, w.Discard, claim); err != nil {
			return err
		}
		if !s.done() {
			return fault.New(fault.JobEdit, "tables changed from [%s] to [%s] while sink %q is being copied", s.Patterns, want, s.Sink.Name).
				Try("take the edit back, and edit the tables once the snapshot is whole")
		}
	}
	tables, p0, err := j.meet(ctx, states, w.Discard, claim)
	if err != nil {
		return err
	}
	all, err := known(states)
	if err != nil {
		return err
	}
	at := numbered(tables, all)
	edits := slices.MaxFunc(states, func(a, b *SinkState) int { return cmp.Compare(a.edits, b.edits) }).edits + 1
	for _, s := range states {
		if err := j.follow(ctx, s, at, edits, p0, w, claim); err != nil {
			return err
		}
	}
	return nil
}

// complete streams a sink that has all its chunks past their marks.
func (j *Job) complete(ctx context.Context, s *SinkState, discard string, claim connector.Claim) error {
	if s.done() {
		return nil
	}
	for _, n := range s.Numbers() {
		if _, missing, err := j.tableMark(ctx, s, n); err != nil || missing > 0 {
			return err
		}
	}
	if err := j.Stream(ctx, &StreamTask{Sinks: []*SinkState{s}, ToMarks: true, Discard: discard}, claim); err != nil {
		return err
	}
	return j.look(ctx, s)
}

// Edited reports whether the sinks of a job have tables to take up or to leave: they do
// not follow what a selector chooses, or one missed an edit that another has followed.
func Edited(states []*SinkState, chosen connector.Selector) bool {
	return slices.ContainsFunc(states, func(s *SinkState) bool { return !s.Follows(chosen) || s.edits != states[0].edits })
}

// Follows reports whether the sink has the tables that a selector chooses. An edit that
// is taken back before all of its tables found room leaves some that it does not, and
// has removed others.
func (s *SinkState) Follows(chosen connector.Selector) bool {
	return s.Patterns == patterns(chosen) && !s.editing && !slices.ContainsFunc(s.Shapes.tables, func(t *row.Table) bool { return !chosen.Match(t.Name) })
}

// meet brings the streams of all sinks to the place at which the source tells its
// tables.
func (j *Job) meet(ctx context.Context, states []*SinkState, discard string, claim connector.Claim) ([]*row.Table, position.Position, error) {
	for range levelTries {
		tables, p0, err := j.discover(ctx)
		if err != nil {
			return nil, p0, err
		}
		for _, s := range states {
			if err := j.to(ctx, s, p0, discard, claim); err != nil {
				return nil, p0, err
			}
		}
		if !slices.ContainsFunc(states, func(s *SinkState) bool { return !same(s.At, p0) }) {
			return tables, p0, nil
		}
	}
	return nil, position.Position{}, fault.New(fault.SourceBusy, "the log does not stop where the source told its tables")
}

// known returns the tables of all sinks, which are at one place: what has a number in
// one of them has it in all. Of a table that left and came back, in edits that a sink
// missed, the number of those that did not counts. A sink that was no part of the job
// meanwhile may have given a number of an edit to a table that was made since: rows of two
// tables would get mixed.
func known(states []*SinkState) (*shapes, error) {
	out := &shapes{next: 1}
	for _, s := range slices.SortedStableFunc(slices.Values(states), func(a, b *SinkState) int { return cmp.Compare(b.edits, a.edits) }) {
		names := out.names()
		for _, t := range s.Shapes.tables {
			if other := out.table(t.Number); other != nil && other.Name != t.Name {
				return nil, fault.InSink(s.Sink.Name, fault.New(fault.JobEdit, "sink %q missed an edit of the tables, and has given the number of table %s to table %s since", s.Sink.Name, other.Name, t.Name).
					Try("give the sink a new name and a new target: it begins with a snapshot then"))
			}
			if names[t.Name] == 0 {
				out = out.with(t)
			}
		}
		out.next = max(out.next, s.Shapes.next)
	}
	return out, nil
}

// follow makes one sink follow the tables that are chosen now. While not all of them
// find room apart, the patterns stay the ones there were and the next time goes on. (A
// table that has left and is made again meanwhile comes, and leaves the next time.)
func (j *Job) follow(ctx context.Context, s *SinkState, at *shapes, edits uint64, p0 position.Position, w Wanted, claim connector.Claim) error {
	if err := j.leave(ctx, s, at, claim); err != nil {
		return err
	}
	added := slices.DeleteFunc(slices.Clone(at.tables), func(t *row.Table) bool { return s.Shapes.table(t.Number) != nil })
	whole := true
	if room := w.Most - len(s.Parts); w.Snapshot && len(added) > room {
		added, whole = added[:max(0, room)], false
	}
	if err := s.Sink.Prepare(ctx, added); err != nil {
		return err
	}
	err := j.change(ctx, s, claim, func(_ connector.Writer, set position.Set) (position.Set, error) {
		now, away := s.Shapes, s.away
		for _, t := range added {
			now = now.with(t)
			if w.Snapshot {
				away = away.with(t.Number)
				if err := j.addPart(ctx, s, t, p0, claim); err != nil {
					return nil, err
				}
			}
		}
		now = &shapes{next: max(now.next, at.next), tables: now.tables}
		rest, last, err := j.removed(ctx, s, now, func(t *row.Table) bool { return j.Tables.Match(t.Name) }, claim)
		if err != nil {
			return nil, err
		}
		chosen, err := patternsNote(ctx, s.Sink, patterns(j.Tables))
		if err != nil {
			return nil, err
		}
		left, away := s.left(now, rest, away)
		return j.edit(ctx, s, set, rest, left, away, func(set position.Set) {
			last.put(set)
			set[keyEdits] = numberNote(edits)
			if !whole {
				set[keyEditing] = chosen
				return
			}
			set[keyTables] = chosen
			delete(set, keyEditing)
		})
	})
	return errors.Join(err, j.lookParts(ctx, s))
}

// leave has a sink give up the tables that have another number by now. They come back
// with it in a commit of their own: the truncate row they begin with must not be there
// while the sink still says that it has them.
func (j *Job) leave(ctx context.Context, s *SinkState, at *shapes, claim connector.Claim) error {
	numbers := at.names()
	stays := func(t *row.Table) bool { number, has := numbers[t.Name]; return !has || number == t.Number }
	if !slices.ContainsFunc(s.Shapes.tables, func(t *row.Table) bool { return !stays(t) }) {
		return nil
	}
	err := j.change(ctx, s, claim, func(_ connector.Writer, set position.Set) (position.Set, error) {
		rest, last, err := j.removed(ctx, s, s.Shapes, stays, claim)
		if err != nil {
			return nil, err
		}
		left, away := s.left(s.Shapes, rest, s.away)
		return j.edit(ctx, s, set, rest, left, away, last.put)
	})
	return errors.Join(err, j.lookParts(ctx, s))
}

// left are the tables of the snapshot, and those apart, once of the tables there are the
// rest is left.
func (s *SinkState) left(now, rest *shapes, away bitmap) (*shapes, bitmap) {
	snapshot := s.snapshot
	for _, t := range now.tables {
		if rest.table(t.Number) != nil {
			continue
		}
		if away = away.without(t.Number); snapshot.table(t.Number) != nil {
			snapshot = snapshot.without(t.Number)
		}
	}
	return snapshot, away
}

// used are the greatest incarnation and generation that rows of a sink may have.
type used struct {
	incarnation uint16
	generation  uint32
}

func usedBy(s *SinkState) used { return used{s.Incarnation, s.greatest()} }

func (u used) and(p *SinkState) used {
	return used{max(u.incarnation, p.Incarnation), max(u.generation, p.greatest())}
}

func (u used) put(set position.Set) {
	set[keyLog], set[keyNewest] = numberNote(uint64(u.incarnation)), numberNote(uint64(u.generation))
}

// removed returns shapes without the tables that do not stay, and what was used. What
// stands apart of them is fenced.
func (j *Job) removed(ctx context.Context, s *SinkState, now *shapes, stays func(*row.Table) bool, claim connector.Claim) (*shapes, used, error) {
	last := usedBy(s)
	for _, t := range now.tables {
		if stays(t) {
			continue
		}
		if p := s.part(t.Number); p != nil {
			if err := errors.Join(j.takeOver(ctx, p, claim), j.fence(ctx, p, claim)); err != nil {
				return nil, last, err
			}
			last = last.and(p)
		}
		now = now.without(t.Number)
	}
	return now, last, nil
}

// addPart begins a part for a table that the sink does not know: with a truncate row,
// as the target may have had a table of that name, and a snapshot.
func (j *Job) addPart(ctx context.Context, s *SinkState, t *row.Table, p0 position.Position, claim connector.Claim) error {
	part := &SinkState{Sink: s.Sink, Number: t.Number}
	return j.change(ctx, part, claim, func(w connector.Writer, _ position.Set) (position.Set, error) {
		chosen, err := patternsNote(ctx, s.Sink, s.Patterns)
		if err != nil {
			return nil, err
		}
		own := *t
		last := usedBy(s).and(part)
		own.Generation = last.generation + 1
		inc, err := follows(last.incarnation, own.Generation, false)
		if err != nil {
			return nil, err
		}
		set := position.Set{
			keyStream: p0,
			keyLog:    numberNote(uint64(inc)),
			keyTables: chosen,
		}
		if err := s.Sink.Prepare(ctx, []*row.Table{&own}); err != nil {
			return nil, err
		}
		// The target may have the table as it was when it was left out.
		if err := w.Evolve(ctx, &row.SchemaChange{Kind: row.Alter, Before: &own, After: &own, Anew: true}); err != nil {
			return nil, err
		}
		return j.startPart(ctx, part, w, &own, set, inc, own.Generation)
	})
}
