package rows

import (
	"context"
	"slices"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Bounds of what is judged at once, and how often a row is looked at that changes each
// time.
const (
	judgedAtOnce      = 1_000
	judgedAtOnceWhole = 20_000
	rounds            = 8
)

// trial is a row that differs until it is certain.
type trial struct {
	id             []byte
	source, target state
}

// judgeAll judges every suspect again.
func (v *comparison) judgeAll(ctx context.Context, suspects *part) error {
	v.mu.Lock()
	v.judging, v.done.Again = true, suspects.n
	v.progress()
	v.mu.Unlock()
	return suspects.chunks(v.atOnce, func(ids [][]byte) error {
		err := v.judge(ctx, ids)
		v.mu.Lock()
		v.done.Judged += int64(len(ids))
		v.progress()
		v.mu.Unlock()
		return err
	})
}

// atOnce is how many rows are looked at in one go: many, where one of the sides is read
// as a whole for it, or the log from where the target rests.
func (v *comparison) atOnce() int {
	if v.byKey() && !v.History && v.rests.IsZero() {
		return judgedAtOnce
	}
	return judgedAtOnceWhole
}

// look is one look at both sides.
type look struct {
	source, target map[string]*state
	// The source was read at places from first to sourceAt, the target at at.
	first, sourceAt, at position.Position
	one                 bool // both are of one place, as a history may be of any that it has passed
}

// span returns the places between which both sides were read, and whether the target was
// read at one before the source's: it did not come there, then.
func (l *look) span() (from, to position.Position, behind bool, err error) {
	from, to = l.first, l.at
	c, err := l.at.Compare(l.first)
	if err != nil {
		return from, to, false, err
	}
	if c < 0 {
		from = l.at
	}
	if c, err = l.at.Compare(l.sourceAt); c < 0 {
		to = l.sourceAt
	}
	return from, to, c < 0, err
}

// judge looks at rows until each is found equal or certainly is not.
//
// A target that keeps history is judged at the very place at which the source was read.
// Of one that has rows alone, what differs is certain when both sides were at one place, or
// when the log has no change of it between the two.
func (v *comparison) judge(ctx context.Context, ids [][]byte) error {
	open := make([]*trial, len(ids))
	for i, id := range ids {
		open[i] = &trial{id: id}
	}
	var at look
	for range rounds {
		err := v.again(ctx, func() (err error) {
			at, err = v.lookBoth(ctx, open)
			return err
		})
		if err != nil {
			return err
		}
		var left []*trial
		for _, t := range open {
			t.source, t.target = *at.source[string(t.id)], *at.target[string(t.id)]
			if t.source.same(&t.target) {
				v.report.Equal += t.source.n
				continue
			}
			left = append(left, t)
		}
		open = left
		if len(open) == 0 {
			return nil
		}
		if at.one {
			return v.sentence(open, at)
		}
		from, to, behind, err := at.span()
		if err != nil {
			return err
		}
		if open, err = v.unchanged(ctx, open, at, from, to); err != nil || len(open) == 0 {
			return err
		}
		if behind {
			return v.doubt(open, at, "the source has changed it since, and the target is not as far and does not go on")
		}
	}
	return v.doubt(open, at, "it changed each time it was looked at")
}

// unchanged tells of the rows of which the log has no change between two places, and returns
// the others. Should the log not be read nothing is certain of any.
func (v *comparison) unchanged(ctx context.Context, open []*trial, at look, from, to position.Position) (left []*trial, err error) {
	if v.Changes == nil {
		return open, nil
	}
	var changed changes
	err = v.again(ctx, func() (err error) {
		changed, err = v.changedBetween(ctx, from, to, idsOf(open))
		return err
	})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, v.doubt(open, at, "the source and the target were read at different places, and what happened between these cannot be read: "+fault.Of(err).What)
	}
	var certain []*trial
	for _, t := range open {
		if changed.all || changed.ids[string(t.id)] {
			left = append(left, t)
		} else {
			certain = append(certain, t)
		}
	}
	return left, v.sentence(certain, at)
}

// changes are which of some rows changed.
type changes struct {
	ids map[string]bool
	all bool // the table was emptied, or has another shape
}

// changedBetween reads which rows changed after one place and up to another.
func (v *comparison) changedBetween(ctx context.Context, from, to position.Position, ids [][]byte) (out changes, err error) {
	out.ids = make(map[string]bool, len(ids))
	for _, id := range ids {
		out.ids[string(id)] = false
	}
	l, x := v.sums.lens(), row.NewBuilder(&v.pool)
	err = v.Changes(ctx, from, to, func(b *row.Batch) error {
		defer b.Release()
		if c := b.Change; c != nil {
			for _, t := range []*row.Table{c.Before, c.After} {
				out.all = out.all || t != nil && t.Number == v.Table.Number
			}
			return nil
		}
		for k := range b.Sections() {
			s := &b.Sections()[k]
			if out.all || s.Table.Number != v.Table.Number {
				continue
			}
			if out.all = !s.Table.SameShape(v.Table) || b.Op(s.Row) == row.Truncate; out.all {
				continue
			}
			v.storeSection(x, b, s)
		}
		if x.Rows() == 0 {
			return nil
		}
		stored := x.Finish(noPlace, 0)
		defer stored.Release()
		return l.rows(stored, func(r *seen) error {
			if _, wanted := out.ids[string(r.id)]; wanted {
				out.ids[string(r.id)] = true
			}
			return nil
		})
	})
	return out, err
}

// lookBoth reads the source, and then the target as it is at a later place.
func (v *comparison) lookBoth(ctx context.Context, open []*trial) (out look, err error) {
	ids := idsOf(open)
	var r reading
	v.room = v.Memory / 2
	if out.source, err = v.sourceStates(ctx, ids, &r); err != nil {
		return out, err
	}
	out.first, out.sourceAt = r.least, r.greatest
	p, passed, err := v.await(ctx, r.greatest)
	if err != nil {
		return out, err
	}
	if !passed {
		v.rests = p.At
	}
	v.room = v.Memory / 2
	out.target, out.at, err = v.targetStates(ctx, ids, bound(p.Incarnation, r.greatest))
	out.one = r.least == r.greatest && (v.History && passed || out.at == out.sourceAt)
	return out, err
}

func idsOf(open []*trial) [][]byte {
	ids := make([][]byte, len(open))
	for i, t := range open {
		ids[i] = t.id
	}
	return ids
}

func empty(ids [][]byte) map[string]*state {
	out := make(map[string]*state, len(ids))
	for _, id := range ids {
		out[string(id)] = &state{}
	}
	return out
}

// sourceStates reads what the source has under ids.
func (v *comparison) sourceStates(ctx context.Context, ids [][]byte, r *reading) (map[string]*state, error) {
	return v.sourceStatesWith(ctx, ids, r, func(*seen) error { return nil })
}

// sourceStatesWith does so and calls visit with each row.
func (v *comparison) sourceStatesWith(ctx context.Context, ids [][]byte, r *reading, visit func(*seen) error) (map[string]*state, error) {
	out := empty(ids)
	once := v.byKey() // the source has a key once, however often its row comes
	return out, v.lookUp(ctx, ids, r, func(s *seen) error {
		st := out[string(s.id)]
		if st == nil || once && st.n > 0 {
			return nil
		}
		v.addRow(st, s)
		return visit(s)
	})
}

// addRow adds a row to what is under its id.
func (v *comparison) addRow(st *state, s *seen) {
	st.n++
	if len(v.stored.Key) > 0 {
		st.sum = st.sum.plus(v.sums.row(s.cells))
	}
	st.cells = append(st.cells[:0], s.cells...)
	st.texts = v.texts(s)
}

// texts returns the values of a row for people; nil: nobody is told of them any more, or
// there is no room for them.
func (v *comparison) texts(s *seen) []string {
	if v.told >= v.Most || v.room <= 0 {
		return nil
	}
	out := textsOf(s)
	for _, text := range out {
		v.room -= int64(len(text)) + textBytes
	}
	return out
}

// textBytes is what a text takes beside its bytes.
const textBytes = 16

// targetStates reads what the target has under ids; of a history, up to a place.
func (v *comparison) targetStates(ctx context.Context, ids [][]byte, to []byte) (map[string]*state, position.Position, error) {
	out := empty(ids)
	if !v.History {
		at, err := v.readTarget(ctx, ids, func(s *seen) error {
			if st := out[string(s.id)]; st != nil {
				v.addRow(st, s)
				return v.wanted(s)
			}
			return nil
		})
		return out, at, err
	}
	var emptied truncates
	kept := map[string][]entry{}
	at, err := v.readTarget(ctx, ids, func(s *seen) error {
		switch {
		case s.op == row.Truncate:
			emptied.add(s.pos)
		case out[string(s.id)] != nil:
			e := entry{op: s.op, pos: slices.Clone(s.pos), cells: slices.Clone(s.cells)}
			if s.absent != nil {
				e.absent = appendAbsent(nil, s.absent)
			}
			e.texts = v.texts(s)
			kept[string(s.id)] = append(kept[string(s.id)], e)
			return v.wanted(s)
		}
		return nil
	})
	for id, entries := range kept {
		f := &fold{keyed: len(v.stored.Key) > 0, bound: to, after: emptied.before(to)}
		for _, e := range entries {
			f.add(e)
		}
		*out[id] = f.state(v.sums)
	}
	return out, at, err
}

// sentence tells of rows that certainly differ.
func (v *comparison) sentence(found []*trial, at look) error {
	for _, t := range found {
		f := Finding{Source: t.source.n, Target: t.target.n, SourceAt: at.sourceAt, TargetAt: at.at}
		switch {
		case t.source.unsure || t.target.unsure:
			f.Kind, f.Reason = Unknown, "the log did not carry all values of it, and the history does not have them either"
			v.report.Unknown++
		case t.target.n < t.source.n:
			f.Kind = Missing
			v.report.Missing += max(t.source.n-max(t.target.n, 0), 1) // a row may be taken out that was never put in
			v.report.Equal += max(t.target.n, 0)
		case t.source.n == 0:
			f.Kind = Extra
			v.report.Extra += t.target.n
		case t.target.n > t.source.n:
			f.Kind = Doubled
			v.report.Doubled += t.target.n - t.source.n
		default:
			f.Kind = Different
			v.report.Different += t.source.n
		}
		if err := v.tell(f, t); err != nil {
			return err
		}
	}
	return nil
}

// doubt tells of rows of which nothing is certain.
func (v *comparison) doubt(open []*trial, at look, reason string) error {
	for _, t := range open {
		f := Finding{Kind: Unknown, Reason: reason, Source: t.source.n, Target: t.target.n, SourceAt: at.sourceAt, TargetAt: at.at}
		v.report.Unknown += max(t.source.n, t.target.n, 1)
		if err := v.tell(f, t); err != nil {
			return err
		}
	}
	return nil
}

// tell hands a finding on, with the values of both sides as long as there are few.
func (v *comparison) tell(f Finding, t *trial) error {
	if v.Differs != nil {
		if err := v.Differs(t.id); err != nil {
			return err
		}
	}
	if v.Found == nil || v.told >= v.Most || v.room <= 0 && (t.source.untold() || t.target.untold()) {
		return nil
	}
	v.told++
	v.describe(&f, t)
	return v.Found(f)
}
