package row

import (
	"encoding/binary"
	"iter"
	"sort"
	"sync/atomic"

	"godwit/internal/position"
)

// Op says what a row does to its key.
type Op uint8

// Ops. A Before row is the old image of the Update that follows it at once; it is
// there whenever the update changes the key or the table has none, and means
// "the old row is gone".
const (
	Read     Op = iota + 1 // a row seen by a snapshot
	Insert                 // a new row
	Update                 // the new image of a row
	Delete                 // the last image of a row that is gone
	Before                 // the old image of the Update that follows
	Truncate               // no cells have values: every earlier row of the table is gone
)

// Txn is what is known of an upstream transaction.
type Txn struct {
	ID   string // the source's name for it, e.g. a GTID
	Time int64  // commit time, microseconds since 1970 UTC; 0 unknown
}

// Section is a run of neighbouring rows of one table version within a batch.
type Section struct {
	Table *Table
	Row   int // first row
	Rows  int
	cell  int // index of the first cell
}

// run gives consecutive rows their order: prefix, then base+i as 8 bytes.
type run struct {
	row    int
	prefix string
	base   uint64
	txn    Txn
}

// Batch is a sequence of rows in log order. It is immutable once emitted: every
// sink of a job gets the same cells. Rows lie in sections, one per run of
// neighbouring rows of one table version.
//
// A batch has either rows, or a Change (a barrier), or neither: then only End
// moves (a heartbeat, a chunk's mark, a foreign transaction).
type Batch struct {
	// End is the place after the batch, to be committed with it. It is zero when
	// the batch ends inside an upstream transaction: nothing may be committed
	// there.
	End position.Position
	// EndTime is the commit time of the last transaction at or before End, or
	// the upstream's clock for a heartbeat; microseconds UTC, 0 unknown.
	EndTime int64
	// Incarnation counts the physical logs a job has followed. Orders of a later
	// one sort after all of an earlier one: together they are what a changelog
	// writes as _pos. A source leaves it 0; whoever knows the job sets it (In).
	Incarnation uint16
	// Change is a barrier; At is its own place in the log (its order, as a row's).
	Change *SchemaChange
	At     string

	sections []Section
	rows     int
	*store
}

// store is what views of a batch share.
type store struct {
	ops     []Op
	words   []uint64
	flags   []Flag
	arena   []byte
	runs    []run
	refs    atomic.Int32
	release func(*store)
}

// Rows returns the number of rows.
func (b *Batch) Rows() int { return b.rows }

// Sections returns the sections in log order; the slice is lent.
func (b *Batch) Sections() []Section { return b.sections }

// Bytes returns the memory the batch and all its views hold together.
func (b *Batch) Bytes() int {
	if b.store == nil {
		return 0
	}
	return cap(b.arena) + 8*cap(b.words) + cap(b.flags) + cap(b.ops)
}

// Payload returns the bytes of values in the batch, for rates and roll sizes:
// 8 for each scalar and the length of each text.
func (b *Batch) Payload() int {
	if b.store == nil {
		return 0
	}
	return len(b.arena) + 8*len(b.words)
}

// Op returns the op of row i, an index from a Section.
func (b *Batch) Op(i int) Op { return b.ops[i] }

// Cells returns the words and flags of row i of section s, one per column. Both
// are lent and must not be changed.
func (b *Batch) Cells(s *Section, i int) ([]uint64, []Flag) {
	n := len(s.Table.Columns)
	at := s.cell + (i-s.Row)*n
	return b.words[at : at+n : at+n], b.flags[at : at+n : at+n]
}

// Data returns the bytes behind the word of a cell whose kind is InBytes. They
// are lent and must not be changed.
func (b *Batch) Data(word uint64) []byte {
	off, n := word>>32, word&(1<<32-1)
	return b.arena[off : off+n : off+n]
}

// Span is a run of rows with one transaction whose orders count up by one.
type Span struct {
	Row, Rows int
	Prefix    string // leading bytes of the order
	Base      uint64 // row Row+i has order Prefix ‖ bigEndian(Base+i)
	Txn       Txn
}

// Spans yields the runs of section s.
func (b *Batch) Spans(s *Section) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		end := s.Row + s.Rows
		k := sort.Search(len(b.runs), func(k int) bool { return b.runs[k].row > s.Row }) - 1
		for at := s.Row; at < end; k++ {
			r := &b.runs[k]
			next := end
			if k+1 < len(b.runs) {
				next = min(end, b.runs[k+1].row)
			}
			if !yield(Span{at, next - at, r.prefix, r.base + uint64(at-r.row), r.txn}) {
				return
			}
			at = next
		}
	}
}

// Order returns the order of row i.
func (b *Batch) Order(i int) string {
	k := sort.Search(len(b.runs), func(k int) bool { return b.runs[k].row > i }) - 1
	r := &b.runs[k]
	return string(binary.BigEndian.AppendUint64([]byte(r.prefix), r.base+uint64(i-r.row)))
}

// From returns the rest of b after p: rows at or before p are cut out, and a
// Change at or before p is dropped. It shares b's cells. The result may be b
// itself or have no rows. Positions of different logs give ErrOtherLog.
func (b *Batch) From(p position.Position) (*Batch, error) {
	if p.IsZero() {
		return b, nil
	}
	if !b.End.IsZero() {
		c, err := b.End.Compare(p)
		if err != nil {
			return nil, err
		}
		if c <= 0 {
			return b.view(nil), nil
		}
	}
	if b.Change != nil {
		if b.At <= p.Order() {
			return b.view(nil), nil
		}
		return b, nil
	}
	return b.After(func(*Table) string { return p.Order() }), nil
}

// After returns b without the rows of each table whose order is at or before
// floor(table); "" keeps all. It shares b's cells.
func (b *Batch) After(floor func(*Table) string) *Batch {
	var kept []Section
	cut := false
	for _, s := range b.sections {
		f := floor(s.Table)
		if f == "" || b.Order(s.Row) > f {
			kept = append(kept, s)
			continue
		}
		cut = true
		n := sort.Search(s.Rows, func(i int) bool { return b.Order(s.Row+i) > f })
		if n < s.Rows {
			kept = append(kept, s.Part(s.Row+n, s.Row+s.Rows))
		}
	}
	if !cut {
		return b
	}
	return b.view(kept)
}

// Select returns b with the rows that keep says, in runs of neighbours. It shares b's
// cells, and is b itself when all are kept. keep is called once for each row, in order.
func (b *Batch) Select(keep func(s *Section, row int) bool) *Batch {
	var kept []Section
	cut := false
	for i := range b.sections {
		s := &b.sections[i]
		at := -1 // first row of the run that is open
		for r := s.Row; r < s.Row+s.Rows; r++ {
			switch want := keep(s, r); {
			case want && at < 0:
				at = r
			case !want:
				cut = true
				kept = s.run(kept, at, r)
				at = -1
			}
		}
		kept = s.run(kept, at, s.Row+s.Rows)
	}
	if !cut {
		return b
	}
	return b.view(kept)
}

// run appends the part of s from row from to before row to; none when from is below 0.
func (s *Section) run(kept []Section, from, to int) []Section {
	if from < 0 {
		return kept
	}
	return append(kept, s.Part(from, to))
}

// Part returns the rows of s from row from to before row to.
func (s *Section) Part(from, to int) Section {
	return Section{s.Table, from, to - from, s.cell + (from-s.Row)*len(s.Table.Columns)}
}

func (b *Batch) view(sections []Section) *Batch {
	v := &Batch{End: b.End, EndTime: b.EndTime, Incarnation: b.Incarnation, sections: sections, store: b.store}
	for _, s := range sections {
		v.rows += s.Rows
	}
	return v
}

// As returns b with the rows of each table as those of another one that has as many
// columns, and without the rows of tables for which that is nil. It shares b's cells.
func (b *Batch) As(table func(*Table) *Table) *Batch {
	kept := make([]Section, 0, len(b.sections))
	for _, s := range b.sections {
		if s.Table = table(s.Table); s.Table != nil {
			kept = append(kept, s)
		}
	}
	return b.view(kept)
}

// Only returns the rows of one Part of b, sharing its cells.
func (b *Batch) Only(s Section) *Batch { return b.view([]Section{s}) }

// In returns b as part of the given incarnation of the log, sharing its cells.
func (b *Batch) In(incarnation uint16) *Batch {
	if b.Incarnation == incarnation {
		return b
	}
	v := *b
	v.Incarnation = incarnation
	return &v
}

// Retain keeps the batch's memory until one more Release. Whoever receives a
// batch and wants it after returning retains it.
func (b *Batch) Retain() {
	if b.store != nil {
		b.refs.Add(1)
	}
}

// Release gives up one hold. After the last one the cells may be used again for
// another batch: nobody may read them any more.
func (b *Batch) Release() {
	if b.store == nil {
		return
	}
	switch n := b.refs.Add(-1); {
	case n < 0:
		panic("row: batch released more often than retained")
	case n == 0 && b.store.release != nil:
		b.store.release(b.store)
	}
}

// Mark returns a batch without rows that only moves End, such as a heartbeat or
// the mark of a chunk.
func Mark(end position.Position, time int64) *Batch { return &Batch{End: end, EndTime: time} }

// Barrier returns a batch that carries a schema change at order at; end is the
// place after it.
func Barrier(c *SchemaChange, at string, end position.Position, time int64) *Batch {
	return &Batch{Change: c, At: at, End: end, EndTime: time}
}
