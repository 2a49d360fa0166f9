package rows

import (
	"context"
	"errors"
	"math"
	"slices"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Mended is what a repair came to, in rows of findings.
type Mended struct {
	Written int64 // rows handed to the sink
	Equal   int64 // that were equal by then
	// Left could not be mended: they have changed since, no row that is added mends
	// them, or the target refuses what they hold.
	Left int64
}

// Mend looks at rows again, some at a time, and calls write, which releases them, with rows
// that make the target what the source was at a place: the target's, which does not go on
// meanwhile but has what was written when write returns. Where write gives fault.RowRefused
// it has written nothing, and is called with parts of the rows. Rows have orders there, counted
// from row.RepairCounter(first). Rows that the source has changed after the place are left:
// the changes are still to come. After an error Mended is what was done until then.
func Mend(ctx context.Context, c Config, rows *IDs, at Place, first uint64, write func(*row.Batch) error) (Mended, error) {
	v, err := begin(ctx, c)
	if err != nil {
		return Mended{}, err
	}
	v.told = v.Most // no values for people
	m := &mending{comparison: v, at: at, next: first, write: write}
	err = rows.part.chunks(v.atOnce, func(ids [][]byte) error { return m.mend(ctx, ids) })
	return m.done, err
}

// Recheck judges rows once more.
func Recheck(ctx context.Context, c Config, rows *IDs) (Report, error) {
	v, err := begin(ctx, c)
	if err != nil {
		return Report{}, err
	}
	v.judging = true
	err = rows.part.chunks(v.atOnce, func(ids [][]byte) error { return v.judge(ctx, ids) })
	return v.report, err
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
	most  int64 // bytes of them
	index map[string]int
	batch *row.Batch
}

// errLarge are rows that are too large to be mended at once.
var errLarge = errors.New("too many values")

// mend mends rows, and halves of them where their values are too many for memory.
func (m *mending) mend(ctx context.Context, ids [][]byte) error {
	err := m.mendAtOnce(ctx, ids)
	if !errors.Is(err, errLarge) {
		return err
	}
	half := len(ids) / 2
	if err := m.mend(ctx, ids[:half]); err != nil {
		return err
	}
	return m.mend(ctx, ids[half:])
}

func (m *mending) mendAtOnce(ctx context.Context, ids [][]byte) error {
	var found *both
	err := m.again(ctx, func() error {
		found = &both{images: &images{x: row.NewBuilder(&m.pool), most: m.Memory, index: map[string]int{}}}
		if len(ids) == 1 {
			found.images.most = math.MaxInt64
		}
		err := m.look(ctx, ids, found)
		if err != nil {
			found.images.release()
		}
		return err
	})
	if err != nil {
		return err
	}
	defer found.images.release()
	return m.writeAll(ids, found)
}

// both is what both sides have of some rows.
type both struct {
	source, target map[string]*state
	changed        changes
	images         *images
}

// look looks at both sides.
func (m *mending) look(ctx context.Context, ids [][]byte, found *both) (err error) {
	im := found.images
	var r reading
	found.source, err = m.sourceStatesWith(ctx, ids, &r, func(s *seen) error {
		return im.keep(m.Table, s.id, s.origin, s.originSection, s.originSection.Row+s.originRow)
	})
	if err != nil {
		return err
	}
	m.wanted = func(*seen) error { return nil }
	if len(m.stored.Key) == 0 && !slices.Contains(m.lossy, true) { // what is taken out is named by all its values
		m.wanted = func(s *seen) error { return im.keep(m.Table, s.id, s.batch, s.section, s.row) }
	}
	if found.target, _, err = m.targetStates(ctx, ids, bound(m.at.Incarnation, m.at.At)); err != nil {
		return err
	}
	if found.changed, err = m.changed(ctx, r.greatest, ids); err != nil {
		return err
	}
	im.finish()
	return nil
}

// changed are the rows that changed between the target's place and that of the source.
func (m *mending) changed(ctx context.Context, to position.Position, ids [][]byte) (changes, error) {
	c, err := to.Compare(m.at.At)
	if err != nil || c <= 0 {
		return changes{}, err
	}
	if m.Changes == nil {
		return changes{all: true}, nil
	}
	m.rests = m.at.At
	return m.changedBetween(ctx, m.at.At, to, ids)
}

func (im *images) finish() { im.batch = im.x.Finish(noPlace, 0) }

func (im *images) release() {
	if im.batch == nil {
		im.finish()
	}
	im.batch.Release()
}

// keep takes a row over; errLarge: there is no room for it.
func (im *images) keep(t *row.Table, id []byte, b *row.Batch, s *row.Section, i int) error {
	if _, there := im.index[string(id)]; there {
		return nil
	}
	if int64(im.x.Size()) > im.most {
		return errLarge
	}
	im.index[string(id)] = im.x.Rows()
	im.x.Row(t, row.Read)
	words, flags := b.Cells(s, i)
	for c := range words {
		appendCell(im.x, t.Columns[c].Type.Kind, b, words[c], flags[c])
	}
	return nil
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
	case flag == row.Foreign:
		x.Foreign(b.Data(word))
	case kind.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(word)
	}
}

// writeAll hands on the rows that mend what differs. Those that the target refuses for what
// they hold are left: halves of what fails are tried until such a row is alone.
func (m *mending) writeAll(ids [][]byte, found *both) error {
	was := m.done
	err := m.writeAtOnce(ids, found)
	if !fault.Has(err, fault.RowRefused) {
		return err
	}
	m.done = was
	if len(ids) == 1 {
		m.done.Left++
		return nil
	}
	half := len(ids) / 2
	if err := m.writeAll(ids[:half], found); err != nil {
		return err
	}
	return m.writeAll(ids[half:], found)
}

func (m *mending) writeAtOnce(ids [][]byte, found *both) error {
	o := m.at.At.Order()
	if len(o) < 8 {
		return fault.New(fault.Internal, "a place of %d bytes has no counter", len(o))
	}
	x := row.NewBuilder(&m.pool)
	x.At(o[:len(o)-8], row.RepairCounter(m.next), row.Txn{})
	for _, id := range ids {
		s, t := found.source[string(id)], found.target[string(id)]
		switch {
		case found.changed.all || found.changed.ids[string(id)]:
			m.done.Left++
		case s.same(t):
			m.done.Equal++
		case !m.mendRow(x, id, s, t, found.images):
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
	err := m.write(b)
	if err == nil {
		m.done.Written += int64(n)
	}
	return err
}

// mendRow appends what mends a row; false: nothing does.
func (m *mending) mendRow(x *row.Builder, id []byte, s, t *state, im *images) bool {
	if len(m.stored.Key) == 0 {
		return m.mendBag(x, id, s.n-t.n, im)
	}
	i, there := im.index[string(id)]
	switch {
	case s.n > 1 || t.n > 1 && !m.History: // one key twice: what is added does not take one away
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
	keys := keysOf(m.Table, &m.pool, [][]byte{id}, false)
	defer keys.Release()
	words, flags := keys.Cells(&keys.Sections()[0], 0)
	x.Row(m.Table, row.Delete)
	for c := range words {
		appendCell(x, m.Table.Columns[c].Type.Kind, keys, words[c], flags[c])
	}
}
