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
	before         *trial // what it was the round before
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
	sourceAt, at   position.Position
	one            bool // both are of one place
}

// judge looks at rows until each is found equal or certainly is not.
//
// A target that keeps history is judged at the very place at which the source was read.
// Of one that has rows alone, what differs is certain when both sides were at one place;
// or when the source had the same before and after the target was read, twice in a row.
func (v *comparison) judge(ctx context.Context, ids [][]byte) error {
	open := make([]*trial, len(ids))
	for i, id := range ids {
		open[i] = &trial{id: id}
	}
	var lagging bool
	var at look
	for range rounds {
		err := v.again(ctx, func() (err error) {
			at, lagging, err = v.lookBoth(ctx, open)
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
		if lagging {
			return v.judgeLagging(ctx, open, at)
		}
		if !at.one {
			if open, err = v.lookAgain(ctx, open, at); err != nil || len(open) == 0 {
				return err
			}
			continue
		}
		return v.sentence(open, at)
	}
	return v.doubt(open, at, "it changed each time it was looked at")
}

// judgeLagging judges rows of a target that does not go on to where the source was read.
// What the log has no change of in between is certain.
func (v *comparison) judgeLagging(ctx context.Context, open []*trial, at look) error {
	const lags = "the source has changed it since, and the target is not as far and does not go on"
	if v.Changes == nil {
		return v.doubt(open, at, lags)
	}
	var changed changes
	err := v.again(ctx, func() (err error) {
		changed, err = v.changedSince(ctx, at, idsOf(open))
		return err
	})
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		return v.doubt(open, at, "the target is not as far as the source, and what happened since cannot be read: "+fault.Of(err).What)
	}
	var certain, doubtful []*trial
	for _, t := range open {
		if changed.all || changed.ids[string(t.id)] {
			doubtful = append(doubtful, t)
		} else {
			certain = append(certain, t)
		}
	}
	if err := v.sentence(certain, at); err != nil {
		return err
	}
	return v.doubt(doubtful, at, lags)
}

// changes are which of some rows changed.
type changes struct {
	ids map[string]bool
	all bool // the table was emptied, or has another shape
}

// changedSince reads which rows changed between the place of the target and that of the
// source.
func (v *comparison) changedSince(ctx context.Context, at look, ids [][]byte) (out changes, err error) {
	out.ids = make(map[string]bool, len(ids))
	for _, id := range ids {
		out.ids[string(id)] = false
	}
	l, x := v.sums.lens(), row.NewBuilder(&v.pool)
	err = v.Changes(ctx, at.at, at.sourceAt, func(b *row.Batch) error {
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
func (v *comparison) lookBoth(ctx context.Context, open []*trial) (out look, lagging bool, err error) {
	ids := idsOf(open)
	var r reading
	v.room = v.Memory / 2
	if out.source, err = v.sourceStates(ctx, ids, &r); err != nil {
		return out, false, err
	}
	out.sourceAt = r.greatest
	p, passed, err := v.await(ctx, r.greatest)
	if err != nil {
		return out, false, err
	}
	if !passed {
		v.rests = p.At
	}
	v.room = v.Memory / 2
	out.target, out.at, err = v.targetStates(ctx, ids, bound(p.Incarnation, r.greatest))
	out.one = r.least == r.greatest && (v.History || out.at == out.sourceAt)
	return out, !passed, err
}

// lookAgain reads the source once more. What it has as before is certain the second
// time that it is found so, with the target the same; it is told of, and the rest is
// returned.
func (v *comparison) lookAgain(ctx context.Context, open []*trial, at look) (left []*trial, err error) {
	var r reading
	var again map[string]*state
	err = v.again(ctx, func() (err error) {
		r = reading{}
		again, err = v.sourceStates(ctx, idsOf(open), &r)
		return err
	})
	if err != nil {
		return nil, err
	}
	later, err := r.least.Compare(at.at)
	if err != nil {
		return nil, err
	}
	var found []*trial
	for _, t := range open {
		still := later >= 0 && t.source.same(again[string(t.id)])
		if still && t.before != nil && t.before.source.same(&t.source) && t.before.target.same(&t.target) {
			found = append(found, t)
			continue
		}
		t.before = nil
		if still {
			t.before = &trial{source: t.source, target: t.target}
		}
		left = append(left, t)
	}
	return left, v.sentence(found, at)
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
