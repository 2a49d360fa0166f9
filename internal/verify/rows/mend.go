package rows

import (
	"context"
	"slices"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Mended is what a repair came to, in rows of findings.
type Mended struct {
	Written int64 // rows handed to the sink
	Equal   int64 // that were equal by then
	// Left could not be mended: they have changed since, or no row that is added mends
	// them.
	Left int64
}

// Mend looks at the rows of ids again and calls write, which releases them, with rows that
// make the target what the source was at a place: the target's, which does not go on
// meanwhile. Rows have orders there, counted from row.RepairCounter(first). Rows that the
// source has changed after the place are left: the changes are still to come.
func Mend(ctx context.Context, c Config, ids [][]byte, at Place, first uint64, write func(*row.Batch) error) (Mended, error) {
	v, err := begin(ctx, c)
	if err != nil {
		return Mended{}, err
	}
	v.told = v.Most // no values for people
	m := &mending{comparison: v, at: at, next: first, write: write}
	for part := range slices.Chunk(ids, judgedAtOnce) {
		if err := m.mend(ctx, part); err != nil {
			return m.done, err
		}
	}
	return m.done, nil
}

// Recheck judges the rows of ids once more.
func Recheck(ctx context.Context, c Config, ids [][]byte) (Report, error) {
	v, err := begin(ctx, c)
	if err != nil {
		return Report{}, err
	}
	v.judging = true
	for part := range slices.Chunk(ids, judgedAtOnce) {
		if err := v.judge(ctx, part); err != nil {
			return v.report, err
		}
	}
	return v.report, nil
}

type mending struct {
	*comparison
	at    Place
	next  uint64
	write func(*row.Batch) error
	done  Mended
}

// images are rows in the source's shape, by id.
type images struct {
	x     *row.Builder
	index map[string]int
	batch *row.Batch
}

func (m *mending) mend(ctx context.Context, ids [][]byte) error {
	im := &images{x: row.NewBuilder(&m.pool), index: map[string]int{}}
	var r reading
	source := empty(ids)
	err := m.lookUp(ctx, ids, &r, func(s *seen) error {
		if st := source[string(s.id)]; st != nil {
			m.addRow(st, s)
			im.keep(m.Table, s.id, s.origin, s.originSection, s.originSection.Row+s.originRow)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(m.stored.Key) == 0 && !slices.Contains(m.lossy, true) { // what is taken out is named by all its values
		m.wanted = func(s *seen) { im.keep(m.Table, s.id, s.batch, s.section, s.row) }
	}
	target, _, err := m.targetStates(ctx, ids, bound(m.at.Incarnation, m.at.At))
	if err != nil {
		return err
	}
	changed, err := m.changed(ctx, r.greatest)
	if err != nil {
		return err
	}
	im.batch = im.x.Finish(noPlace, 0)
	defer im.batch.Release()
	return m.writeAll(ids, source, target, changed, im)
}

// changed are the rows that changed between the target's place and that of the source.
func (m *mending) changed(ctx context.Context, to position.Position) (changes, error) {
	c, err := to.Compare(m.at.At)
	if err != nil || c <= 0 {
		return changes{}, err
	}
	if m.Changes == nil {
		return changes{all: true}, nil
	}
	return m.changedSince(ctx, look{at: m.at.At, sourceAt: to})
}

func (im *images) keep(t *row.Table, id []byte, b *row.Batch, s *row.Section, i int) {
	if _, there := im.index[string(id)]; there {
		return
	}
	im.index[string(id)] = im.x.Rows()
	im.x.Row(t, row.Read)
	words, flags := b.Cells(s, i)
	for c := range words {
		appendCell(im.x, t.Columns[c].Type.Kind, b, words[c], flags[c])
	}
}

// append appends row i of the images.
func (im *images) append(x *row.Builder, t *row.Table, op row.Op, i int) {
	x.Row(t, op)
	words, flags := im.batch.Cells(&im.batch.Sections()[0], i)
	for c := range words {
		appendCell(x, t.Columns[c].Type.Kind, im.batch, words[c], flags[c])
	}
}

func appendCell(x *row.Builder, kind row.Kind, b *row.Batch, word uint64, flag row.Flag) {
	switch {
	case flag == row.Null:
		x.Null()
	case flag == row.Absent:
		x.Absent()
	case kind.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(word)
	}
}

// writeAll hands on the rows that mend what differs.
func (m *mending) writeAll(ids [][]byte, source, target map[string]*state, changed changes, im *images) error {
	o := m.at.At.Order()
	if len(o) < 8 {
		return fault.New(fault.Internal, "a place of %d bytes has no counter", len(o))
	}
	x := row.NewBuilder(&m.pool)
	x.At(o[:len(o)-8], row.RepairCounter(m.next), row.Txn{})
	for _, id := range ids {
		s, t := source[string(id)], target[string(id)]
		switch {
		case changed.all || changed.ids[string(id)]:
			m.done.Left++
		case s.same(t):
			m.done.Equal++
		case !m.mendRow(x, id, s, t, im):
			m.done.Left++
		}
	}
	n := x.Rows()
	b := x.Finish(noPlace, 0).In(m.at.Incarnation)
	if n == 0 {
		b.Release()
		return nil
	}
	m.next += uint64(n)
	m.done.Written += int64(n)
	return m.write(b)
}

// mendRow appends what mends a row; false: nothing does.
func (m *mending) mendRow(x *row.Builder, id []byte, s, t *state, im *images) bool {
	if len(m.stored.Key) == 0 {
		return m.mendBag(x, id, s.n-t.n, im)
	}
	i, there := im.index[string(id)]
	switch {
	case t.n > 1 || s.n > 1: // one key twice: what is added does not take one away
		return false
	case s.n == 0 && m.exact:
		m.appendKey(x, id)
		return true
	case s.n == 0 || !there:
		return false
	case m.History: // a row as a snapshot sees it: it counts whatever was before
		im.append(x, m.Table, row.Read, i)
	case t.n == 0:
		im.append(x, m.Table, row.Insert, i)
	default:
		im.append(x, m.Table, row.Update, i)
	}
	return true
}

// mendBag puts n equal rows in, or takes them out.
func (m *mending) mendBag(x *row.Builder, id []byte, n int64, im *images) bool {
	i, there := im.index[string(id)]
	if !there {
		return false
	}
	put := row.Insert
	if m.History {
		put = row.Read
	}
	for ; n > 0; n-- {
		im.append(x, m.Table, put, i)
	}
	for ; n < 0; n++ {
		im.append(x, m.Table, row.Delete, i)
	}
	return true
}

// appendKey appends the end of a row of which the key is known.
func (m *mending) appendKey(x *row.Builder, id []byte) {
	keys := keysOf(m.Table, &m.pool, [][]byte{id})
	defer keys.Release()
	words, flags := keys.Cells(&keys.Sections()[0], 0)
	x.Row(m.Table, row.Delete)
	for c := range words {
		appendCell(x, m.Table.Columns[c].Type.Kind, keys, words[c], flags[c])
	}
}
