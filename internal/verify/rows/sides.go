package rows

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

var noPlace position.Position

// reading is one pass over the source: the marks of its chunks.
type reading struct {
	marks           []position.Position
	least, greatest position.Position
}

// note takes over the mark of the chunk that follows.
func (r *reading) note(mark position.Position) error {
	if n := len(r.marks); n > 0 && r.marks[n-1] == mark {
		return nil
	}
	if mark.IsZero() {
		return fault.New(fault.SourceSettings, "the source keeps no log of changes, so that nobody knows at which place it was read").
			Try("switch the log on; godwit check says how")
	}
	r.marks = append(r.marks, mark)
	for _, end := range []struct {
		at   *position.Position
		sign int
	}{{&r.least, -1}, {&r.greatest, 1}} {
		c, err := mark.Compare(*end.at)
		if err != nil {
			return err
		}
		if end.at.IsZero() || c*end.sign > 0 {
			*end.at = mark
		}
	}
	return nil
}

// last is the index of the mark of the rows that are read now.
func (r *reading) last() int { return len(r.marks) - 1 }

// readSource calls visit with each row of the source as the target can hold it.
func (v *comparison) readSource(ctx context.Context, splits []connector.Split, r *reading, visit func(*seen) error) error {
	take := v.sourceBatch(r, visit)
	for _, s := range splits {
		if err := v.Source.Read(ctx, s, noPlace, take); err != nil {
			return err
		}
	}
	return nil
}

// lookUp calls visit with the rows of the source that have the keys of ids; it may be
// called with others as well.
func (v *comparison) lookUp(ctx context.Context, ids [][]byte, r *reading, visit func(*seen) error) error {
	looker, ok := v.Source.(connector.Looker)
	if !ok {
		return v.readSource(ctx, v.whole, r, visit)
	}
	var keys *row.Batch
	if v.byKey() {
		keys = keysOf(v.Table, &v.pool, ids, true)
		defer keys.Release()
	}
	return looker.Look(ctx, v.Table, keys, v.sourceBatch(r, visit))
}

// byKey reports whether rows of the source are looked up by their keys.
func (v *comparison) byKey() bool {
	_, looks := v.Source.(connector.Looker)
	return looks && v.exact && !v.Whole
}

// sourceBatch returns what to do with batches of the source.
func (v *comparison) sourceBatch(r *reading, visit func(*seen) error) func(*row.Batch) error {
	l, x := v.sums.lens(), row.NewBuilder(&v.pool)
	return func(b *row.Batch) error {
		defer b.Release()
		if b.Rows() == 0 {
			if b.End.IsZero() {
				return nil
			}
			return r.note(b.End)
		}
		stored, err := v.store(x, b)
		if err != nil {
			return err
		}
		defer stored.Release()
		v.count(b, true)
		k, i := 0, 0 // where the row of stored is in b
		return l.rows(stored, func(r *seen) error {
			for i == b.Sections()[k].Rows {
				k, i = k+1, 0
			}
			r.origin, r.originRow = b, i
			r.originSection = &b.Sections()[k]
			i++
			v.compromised(r)
			return visit(r)
		})
	}
}

// compromised notes columns of which the target holds a value as another one.
func (v *comparison) compromised(r *seen) {
	words, flags := r.origin.Cells(r.originSection, r.originSection.Row+r.originRow)
	held, heldFlags := r.batch.Cells(r.section, r.row)
	for c := range words {
		if v.lossy[c] {
			continue
		}
		switch kind := v.Table.Columns[c].Type.Kind; {
		case flags[c] != heldFlags[c]:
			v.lossy[c] = true
		case flags[c] != row.Value || kind != v.stored.Columns[c].Type.Kind:
		case kind.InBytes():
			v.lossy[c] = !bytes.Equal(r.origin.Data(words[c]), r.batch.Data(held[c]))
		default:
			v.lossy[c] = words[c] != held[c]
		}
		if v.lossy[c] && slices.Contains(v.Table.Key, c) {
			v.exact = false
		}
	}
}

// store returns b as the target can hold it.
func (v *comparison) store(x *row.Builder, b *row.Batch) (*row.Batch, error) {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		if s.Table != v.Table && !s.Table.SameShape(v.Table) {
			return nil, ErrShape
		}
		v.storeSection(x, b, s)
	}
	return x.Finish(noPlace, 0), nil
}

func (v *comparison) storeSection(x *row.Builder, b *row.Batch, s *row.Section) {
	for i := range s.Rows {
		words, flags := b.Cells(s, s.Row+i)
		x.Row(v.stored, b.Op(s.Row+i))
		for c := range words {
			if flags[c] == row.Absent {
				x.Absent()
				continue
			}
			v.Target.Store(x, b, v.Table, c, words[c], flags[c])
		}
	}
}

// readTarget calls visit with each row that the target has, or with those of ids and
// perhaps others, and returns its place.
func (v *comparison) readTarget(ctx context.Context, ids [][]byte, visit func(*seen) error) (at position.Position, err error) {
	var keys *row.Batch
	if ids != nil && v.exact {
		keys = keysOf(v.Table, &v.pool, ids, false)
		defer keys.Release()
	}
	l := v.sums.lens()
	err = v.Target.ReadBack(ctx, v.Table, keys, func(b *row.Batch) error {
		defer b.Release()
		if b.Rows() == 0 {
			if !b.End.IsZero() {
				at = b.End
			}
			return nil
		}
		v.count(b, false)
		if v.History {
			return l.history(b, visit)
		}
		return l.rows(b, visit)
	})
	return at, err
}

// count tells how far the comparison is.
func (v *comparison) count(b *row.Batch, source bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Bytes += int64(b.Payload())
	if v.judging {
		return
	}
	if source {
		v.done.Source += int64(b.Rows())
	} else {
		v.done.Target += int64(b.Rows())
	}
	v.progress()
}

// progress tells; v.mu is held.
func (v *comparison) progress() {
	if v.Progress != nil {
		v.Progress(v.done)
	}
}

// spillSource keeps ids and sums of all rows of the source, with the mark of each. A chunk
// that breaks is read again, under a mark of its own.
func (v *comparison) spillSource(ctx context.Context, to *side) error {
	for i := range v.splits {
		err := v.againInto(ctx, to, true, func() error {
			return v.readSource(ctx, v.splits[i:i+1], &v.first, func(r *seen) error { return to.add(r, v.first.last()) })
		})
		if err != nil {
			return err
		}
	}
	v.report.SourceAt = v.first.greatest
	return nil
}

func readSum(b []byte) sum {
	return sum{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// spillTarget keeps ids and sums of all rows of the target. They are of one moment: when
// that breaks all are read again, of another.
func (v *comparison) spillTarget(ctx context.Context, to *side) error {
	return v.againInto(ctx, to, false, func() (err error) {
		v.report.TargetAt, err = v.readTarget(ctx, nil, func(r *seen) error { return to.add(r, 0) })
		return err
	})
}

// spillHistory keeps every entry of the target's history.
func (v *comparison) spillHistory(ctx context.Context, out *spill) error {
	var rest []byte
	return v.againInto(ctx, &side{v: v, out: out}, false, func() (err error) {
		v.emptied = nil
		v.report.TargetAt, err = v.readTarget(ctx, nil, func(r *seen) error {
			if r.op == row.Truncate {
				v.emptied.add(r.pos)
				return nil
			}
			rest = appendEntry(rest[:0], r)
			return out.add(r.id, rest)
		})
		return err
	})
}

// truncates are the places at which a table was emptied.
type truncates [][]byte

func (t *truncates) add(pos []byte) { *t = append(*t, slices.Clone(pos)) }

// before returns the last place at or before bound at which the table was emptied; nil:
// none.
func (t truncates) before(bound []byte) (last []byte) {
	for _, p := range t {
		if string(p) <= string(bound) && string(p) > string(last) {
			last = p
		}
	}
	return last
}

// bound returns the last place that belongs to the state at a mark.
func bound(incarnation uint16, mark position.Position) []byte {
	o := mark.Order()
	b := binary.BigEndian.AppendUint16(nil, incarnation)
	b = append(b, o[:max(0, len(o)-8)]...)
	return append(b, "\xff\xff\xff\xff\xff\xff\xff\xff"...)
}
