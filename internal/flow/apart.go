package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// This file takes tables out of the stream of all, and back into it: it changes
// which tables stand apart. It does so while no stream that carries all runs, in
// commits without rows. What the shard of the stream of all says is so; all else is
// made ready before and is nothing until then, so that a crash between any two
// commits leaves a table carried once (docs/decisions/0020-a-table-apart.md).

// near is how far apart two streams may be, in time of the log, to come together:
// the one behind catches up while the other waits.
const near = 5 * time.Second

// place is how far a stream that runs has come.
type place struct {
	at   position.Position
	time int64
	done bool // no chunk is waited for
}

// moved tells how far the stream is.
func (a *streamApplier) moved() {
	j, s := a.lane.job, a.state
	j.places.Store(j.shard(s.Sink, s.task()), place{a.at, a.time, s.done()})
}

// CaughtUp reports whether the streams of a part and of all, which both run, are so
// close together that they can become one.
func (j *Job) CaughtUp(part *SinkState) bool {
	return j.near(j.shard(part.Sink, part.task()), j.shard(part.Sink, streamTask))
}

// Streaming are the names of the sinks whose stream of all tables runs.
func (j *Job) Streaming() (names []string) {
	for _, s := range j.sinks() {
		if _, runs := j.places.Load(j.shard(s, streamTask)); runs {
			names = append(names, s.Name)
		}
	}
	return names
}

// Near reports whether the streams of all tables of two sinks, which both run, are so
// close together that they can become one.
func (j *Job) Near(sink, other string) bool {
	return j.near(connector.Shard{Job: j.Name, Sink: sink, Task: streamTask}, connector.Shard{Job: j.Name, Sink: other, Task: streamTask})
}

func (j *Job) near(a, b connector.Shard) bool {
	own, runs := j.places.Load(a)
	all, run := j.places.Load(b)
	if !runs || !run {
		return false
	}
	p, q := own.(place), all.(place)
	if c, err := p.at.Compare(q.at); !p.done || !q.done || err != nil {
		return false
	} else if c == 0 {
		return true
	}
	behind := time.Duration(p.time-q.time) * time.Microsecond
	return p.time > 0 && q.time > 0 && behind.Abs() <= near
}

// Together groups the streams of sinks, of all tables or parts of one, by who can share
// a reader: one reads the same tables for all of them.
func Together(states []*SinkState) (groups [][]*SinkState) {
	for _, s := range states {
		i := slices.IndexFunc(groups, func(g []*SinkState) bool { return alike(g[0], s) })
		if i < 0 {
			groups = append(groups, []*SinkState{s})
		} else {
			groups[i] = append(groups[i], s)
		}
	}
	return groups
}

// alike reports whether the same tables flow to two sinks, under the same numbers. A
// table that one has read anew may have stopped in the other. A sink that began when others
// were far behind may have numbered what they had not come to otherwise.
func alike(a, b *SinkState) bool {
	if a.Number != b.Number || a.Patterns != b.Patterns || a.edits != b.edits || !slices.Equal(a.away.numbers(), b.away.numbers()) {
		return false
	}
	numbers := b.Shapes.names()
	return !slices.ContainsFunc(a.Shapes.tables, func(t *row.Table) bool {
		if number, has := numbers[t.Name]; has && number != t.Number {
			return true
		}
		o := b.Shapes.table(t.Number)
		return o != nil && ((o.Stopped == "") != (t.Stopped == "") || a.Number > 0 && o.Name != t.Name)
	})
}

// Wanted says which tables are to stand apart.
type Wanted struct {
	// Apart chooses them by name, at the place they have reached.
	Apart func(row.Name) bool
	// Caught chooses the parts that have been close to the others: they join, the
	// rest goes on alone.
	Caught func(part *SinkState) bool
	// Snapshot says that tables which an edit adds are copied.
	Snapshot bool
	// Most is how many tables may stand apart in a sink at once: each reads the log
	// over a connection of its own. More that an edit adds wait for their turn.
	Most int
	// Discard is that of a ChunkTask: rows lie between the places of those that come
	// together.
	Discard string
}

// Arrange makes the sinks follow what is wanted: tables leave the others, join them,
// are added and removed. No stream of these sinks may run. It fences what older
// attempts may still run, changes nothing where all is so already, and may be done
// again from wherever it ended.
func (j *Job) Arrange(ctx context.Context, states []*SinkState, w Wanted, claim connector.Claim) error {
	if err := j.choose(ctx, states, w, claim); err != nil {
		return err
	}
	for _, s := range states {
		if err := j.joinAll(ctx, s, w, claim); err != nil {
			return err
		}
		if err := j.leaveAll(ctx, s, w, claim); err != nil {
			return err
		}
	}
	return nil
}

// change opens the shard of s, reads it again and commits what edit makes of its
// Set; nil: nothing. Older owners of the shard are fenced before edit is called.
func (j *Job) change(ctx context.Context, s *SinkState, claim connector.Claim, edit func(connector.Writer, position.Set) (position.Set, error)) (err error) {
	w, set, err := s.Sink.Open(ctx, j.shard(s.Sink, s.task()), claim)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := s.load(ctx, set); err != nil {
		return err
	}
	next, err := edit(w, set)
	if err != nil || next == nil {
		return err
	}
	if err := w.Commit(ctx, next); err != nil {
		return err
	}
	return s.load(ctx, next)
}

// leaveAll takes tables out of the stream of all.
func (j *Job) leaveAll(ctx context.Context, s *SinkState, w Wanted, claim connector.Claim) error {
	var leaving []*row.Table
	for _, t := range s.Shapes.tables {
		if w.Apart(t.Name) && !s.away.has(t.Number) && len(s.Parts)+len(leaving) < w.Most {
			leaving = append(leaving, t)
		}
	}
	if len(leaving) == 0 {
		return nil
	}
	err := j.change(ctx, s, claim, func(_ connector.Writer, set position.Set) (position.Set, error) {
		away, snapshot := s.away, s.snapshot
		for _, t := range leaving {
			if err := j.beginPart(ctx, s, t.Number, claim); err != nil {
				return nil, err
			}
			away = away.with(t.Number)
			if snapshot.table(t.Number) != nil {
				snapshot = snapshot.without(t.Number)
			}
		}
		return j.edit(ctx, s, set, s.Shapes, snapshot, away, func(position.Set) {})
	})
	return errors.Join(err, j.lookParts(ctx, s))
}

// edit returns set with other shapes, tables of the snapshot and tables apart, and
// with what more changes.
func (j *Job) edit(ctx context.Context, s *SinkState, set position.Set, now, snapshot *shapes, away bitmap, more func(position.Set)) (position.Set, error) {
	for _, x := range []*shapes{now, snapshot} {
		if x != nil && x.id == "" {
			if err := x.keep(ctx, s.Sink, nil); err != nil {
				return nil, err
			}
		}
	}
	return edited(set, func(set position.Set) {
		set[keySchemas] = position.Note(now.id)
		if snapshot != nil {
			set[keySnapshot] = position.Note(snapshot.id)
		}
		delete(set, keyApart)
		if len(away.numbers()) > 0 {
			set[keyApart] = away.note()
		}
		delete(set, keyReached) // what was asked for before is not all any more
		more(set)
	}), nil
}

// beginPart gives a table of s a stream of its own that begins where s stands. As
// long as s does not say that the table is apart it means nothing, and the next one
// takes its place.
func (j *Job) beginPart(ctx context.Context, s *SinkState, number uint32, claim connector.Claim) error {
	part := &SinkState{Sink: s.Sink, Number: number}
	return j.change(ctx, part, claim, func(_ connector.Writer, old position.Set) (position.Set, error) {
		now := s.Shapes.only(number)
		chosen, err := patternsNote(ctx, s.Sink, s.Patterns)
		if err != nil {
			return nil, err
		}
		set := position.Set{
			keyStream: s.At,
			keyLog:    numberNote(uint64(s.Incarnation)),
			keyTables: chosen,
			keyNewest: numberNote(uint64(max(s.greatest(), part.greatest()))),
		}
		var snapshot *shapes
		if s.snapshot.table(number) != nil {
			snapshot = s.snapshot.only(number)
			set[keyGeneration] = numberNote(uint64(s.Generation))
			if s.Whole || s.complete.has(number) {
				set[keyCopied], set[keyWhole] = s.Copied, s.Copied
			}
		}
		return j.edit(ctx, part, set, now, snapshot, nil, func(position.Set) {})
	})
}

// joinAll brings parts back that are not wanted apart any more.
func (j *Job) joinAll(ctx context.Context, s *SinkState, w Wanted, claim connector.Claim) error {
	var joining []*SinkState
	for _, p := range s.Parts {
		if !wantedApart(p, w) && (w.Caught(p) || same(p.At, s.At)) && fits(s, p) {
			joining = append(joining, p)
		}
	}
	if len(joining) == 0 {
		return nil
	}
	if even, err := j.level(ctx, append([]*SinkState{s}, joining...), w.Discard, claim); err != nil || !even {
		return err
	}
	err := j.change(ctx, s, claim, func(_ connector.Writer, set position.Set) (position.Set, error) {
		return j.joined(ctx, s, set, joining, claim)
	})
	return errors.Join(err, j.lookParts(ctx, s))
}

// wantedApart reports whether the table of a part, under any name it has, is to stay
// apart.
func wantedApart(p *SinkState, w Wanted) bool {
	return slices.ContainsFunc(p.Shapes.tables, func(t *row.Table) bool { return w.Apart(t.Name) })
}

// fits reports whether a part can become one with the others where they meet: both
// have passed their marks, or both are where their snapshot began and it is the same.
func fits(s, p *SinkState) bool {
	if s.At.Log() != p.At.Log() {
		return false
	}
	return s.done() && p.done() || !s.done() && same(p.At, s.At) && (p.Generation == 0 || p.Generation == s.Generation)
}

// levelTries bounds how often streams are brought to one place.
const levelTries = 5

// level brings streams to the place of the one that is ahead, exactly; false: a log
// has no such place.
func (j *Job) level(ctx context.Context, states []*SinkState, discard string, claim connector.Claim) (even bool, err error) {
	for range levelTries {
		ahead := states[0].At
		for _, s := range states {
			if s.At.Log() != ahead.Log() {
				return false, nil // the source is another server by now, and not all have read it
			}
			if c, err := s.At.Compare(ahead); err != nil {
				return false, err
			} else if c > 0 {
				ahead = s.At
			}
		}
		even = true
		for _, s := range states {
			if err := j.to(ctx, s, ahead, discard, claim); err != nil {
				return false, err
			}
			even = even && same(s.At, ahead)
		}
		if even {
			return true, nil
		}
	}
	return false, nil
}

// same reports whether two places are one, however it was come to.
func same(a, b position.Position) bool { return a.Log() == b.Log() && a.Order() == b.Order() }

// to streams one sink, or one part, to a place.
func (j *Job) to(ctx context.Context, s *SinkState, end position.Position, discard string, claim connector.Claim) error {
	if same(s.At, end) {
		return nil
	}
	if err := j.Stream(ctx, &StreamTask{Sinks: []*SinkState{s}, Until: connector.Until{Place: end}, Discard: discard}, claim); err != nil {
		return err
	}
	return j.look(ctx, s)
}

// joined returns the Set of s with the tables of parts in it that are at the same
// place. Their shards are opened first: what still runs of them is fenced when s
// begins to carry the tables.
func (j *Job) joined(ctx context.Context, s *SinkState, set position.Set, parts []*SinkState, claim connector.Claim) (position.Set, error) {
	now, snapshot, away, complete, copied := s.Shapes, s.snapshot, s.away, s.complete, s.Copied
	last := usedBy(s)
	for _, p := range parts {
		if err := j.takeOver(ctx, p, claim); err != nil {
			return nil, err
		}
		if !same(p.At, s.At) || !fits(s, p) {
			continue // somebody else was there
		}
		now, away = merged(now, p), away.without(p.Number)
		last = last.and(p)
		if snapshot != nil && p.snapshot.table(p.Number) != nil {
			snapshot = snapshot.with(p.snapshot.table(p.Number))
		}
		if complete = complete.without(p.Number); p.Whole {
			complete = complete.with(p.Number)
		}
		if s.Whole {
			copied = later(copied, p.Copied, s.At)
		}
	}
	return j.edit(ctx, s, set, now, snapshot, away, func(set position.Set) {
		last.put(set)
		switch {
		case s.Whole:
			set[keyCopied], set[keyWhole] = copied, copied
		case s.Generation > 0:
			set[keyComplete] = complete.note()
		}
	})
}

// later is the greater of two marks that a stream at a place has passed. Where the source
// was another server before, marks of that one's log lie before all of this one's.
func later(a, b, at position.Position) position.Position {
	if c, err := a.Compare(b); err == nil && c < 0 || err != nil && b.Log() == at.Log() {
		return b
	}
	return a
}

// merged returns shapes with the table of a part as the part has it. A table that one
// of both has lost, by a rename that an edit of the patterns let in or out, is marked:
// nobody knows its rows.
func merged(now *shapes, p *SinkState) *shapes {
	mine, own := now.table(p.Number), p.Shapes.table(p.Number)
	switch {
	case mine == nil:
		return now
	case own != nil:
		return now.with(own)
	}
	lost := *mine
	lost.Version++
	lost.Stopped = "resync needed: it was renamed while it stood apart and the tables chosen were edited"
	return now.with(&lost)
}

// Resync begins a new generation of tables that stand apart in all sinks: a truncate
// row, then a snapshot from a new place. Copies of the old one are fenced first. No
// task of these tables may run. A table that is not there, or was left out by an edit
// since, has nothing to be read again. In a sink that has
// the table with the others (Joined) it is not read again.
func (j *Job) Resync(ctx context.Context, states []*SinkState, name row.Name, claim connector.Claim) error {
	tables, p0, err := j.Source.Discover(ctx, connector.Selector{Patterns: []string{name.String()}})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(tables, func(t *row.Table) bool { return t.Name == name })
	parts, generation := partsNamed(states, name)
	if i < 0 || len(parts) == 0 {
		if j.Log != nil {
			j.Log.Warn("a table that was to be read again is not there", "table", name.String(), "in the source", i >= 0, "in sinks", len(parts))
		}
		return nil
	}
	for _, p := range parts {
		if err := j.fence(ctx, p, claim); err != nil {
			return err
		}
		if err := j.regenerate(ctx, p, tables[i], p0, generation+1, claim); err != nil {
			return err
		}
	}
	j.Record.Healed(name.String())
	return nil
}

// Joined reports whether a table of a name is with the others, and none of that name
// stands apart.
func (s *SinkState) Joined(name row.Name) bool {
	parts, _ := partsNamed([]*SinkState{s}, name)
	return len(parts) == 0 && slices.ContainsFunc(s.Shapes.all(), func(t *row.Table) bool { return t.Name == name && !s.away.has(t.Number) })
}

// partsNamed returns the parts of a table's name and the greatest generation there
// is of any table.
func partsNamed(states []*SinkState, name row.Name) (parts []*SinkState, generation uint32) {
	for _, s := range states {
		generation = max(generation, s.greatest())
		for _, p := range s.Parts {
			if slices.ContainsFunc(p.Shapes.tables, func(t *row.Table) bool { return t.Name == name }) {
				parts = append(parts, p)
			}
		}
	}
	return parts, generation
}

// regenerate commits the truncate row from which a generation of a part starts, and
// where it starts.
func (j *Job) regenerate(ctx context.Context, p *SinkState, t *row.Table, p0 position.Position, generation uint32, claim connector.Claim) error {
	before := p.Shapes.tables[0]
	now := *t
	now.Number, now.Version, now.Generation = p.Number, before.Version+1, generation
	if err := p.Sink.Prepare(ctx, []*row.Table{&now}); err != nil {
		return err
	}
	return j.change(ctx, p, claim, func(w connector.Writer, set position.Set) (position.Set, error) {
		if err := w.Evolve(ctx, &row.SchemaChange{Kind: row.Alter, Before: before, After: &now, Anew: true}); err != nil {
			return nil, err
		}
		inc, err := follows(p.Incarnation, generation, p0.Log() != p.At.Log())
		if err != nil {
			return nil, err
		}
		return j.startPart(ctx, p, w, &now, edited(set, func(set position.Set) {
			set[keyStream], set[keyLog] = p0, numberNote(uint64(inc))
		}), inc, generation)
	})
}

// startPart stages the truncate row of a generation of a part and returns set as the
// Set from which that begins.
func (j *Job) startPart(ctx context.Context, p *SinkState, w connector.Writer, t *row.Table, set position.Set, inc uint16, generation uint32) (position.Set, error) {
	b := row.TruncateAt(j.Pool, t, set[keyStream], generation).In(inc)
	err := w.Apply(ctx, b)
	b.Release()
	if err != nil {
		return nil, err
	}
	only := &shapes{next: max(t.Number+1, p.next()), tables: []*row.Table{t}}
	return j.edit(ctx, p, set, only, only, nil, func(set position.Set) {
		set[keyGeneration] = numberNote(uint64(generation))
		for _, k := range []string{keyCopied, keyComplete, keyWhole} {
			delete(set, k)
		}
	})
}

// next is the number that the next new table gets.
func (s *SinkState) next() uint32 {
	if s.Shapes == nil {
		return 1
	}
	return s.Shapes.next
}
