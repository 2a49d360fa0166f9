package rows

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"

	"godwit/internal/row"
)

// sum stands for the values of a row, or of several: then they are added. A change of
// values leaves it as it was once in 2^64 changes; its seed is another in each run.
type sum struct{ hi, lo uint64 }

func (s sum) plus(o sum) sum {
	lo, carry := bits.Add64(s.lo, o.lo, 0)
	hi, _ := bits.Add64(s.hi, o.hi, carry)
	return sum{hi, lo}
}

// summer makes the sums of rows of a table, as the target has them.
type summer struct {
	table      *row.Table
	seed, null uint64
}

func newSummer(t *row.Table, seed [2]uint64) *summer { return &summer{t, seed[0], seed[1]} }

// cell is the sum of one value. Kinds need not be part of it: both sides have one shape.
func (s *summer) cell(c int, b *row.Batch, word uint64, flag row.Flag) uint64 {
	switch {
	case flag == row.Null:
		return s.null
	case flag == row.Absent:
		return 0
	case s.table.Columns[c].Type.Kind.InBytes():
		return xxh3.HashSeed(b.Data(word), s.seed)
	}
	var w [8]byte
	binary.LittleEndian.PutUint64(w[:], word)
	return xxh3.HashSeed(w[:], s.seed)
}

// row is the sum of a row, of those of its cells.
func (s *summer) row(cells []byte) sum {
	u := xxh3.Hash128Seed(cells, s.seed)
	return sum{u.Hi, u.Lo}
}

// seen is a row of one side. All of it is lent.
type seen struct {
	id     []byte // its key, or the sum of a row of a table without one
	op     row.Op
	pos    []byte // its place, as bytes that sort; of a target that keeps history
	cells  []byte // the sums of its cells, 8 bytes each
	absent []bool // cells that the log did not carry; nil: none

	batch   *row.Batch
	section *row.Section
	row     int
	// Of the source: the row as it was read.
	origin        *row.Batch
	originSection *row.Section
	originRow     int // in the section
}

// lens looks at the rows of batches, one after another. It is used by one goroutine.
type lens struct {
	*summer
	seen   seen
	absent []bool
}

func (s *summer) lens() *lens { return &lens{summer: s, absent: make([]bool, len(s.table.Columns))} }

// history calls visit with each row of b and its place.
func (l *lens) history(b *row.Batch, visit func(*seen) error) error {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for span := range b.Spans(s) {
			for i := range span.Rows {
				p := binary.BigEndian.AppendUint16(l.seen.pos[:0], b.Incarnation)
				p = append(p, span.Prefix...)
				l.seen.pos = binary.BigEndian.AppendUint64(p, span.Base+uint64(i))
				if err := visit(l.look(b, s, span.Row+i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// rows calls visit with each row of b.
func (l *lens) rows(b *row.Batch, visit func(*seen) error) error {
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for i := range s.Rows {
			if err := visit(l.look(b, s, s.Row+i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lens) look(b *row.Batch, s *row.Section, i int) *seen {
	r := &l.seen
	r.batch, r.section, r.row, r.op, r.absent = b, s, i, b.Op(i), nil
	words, flags := b.Cells(s, i)
	r.cells = r.cells[:0]
	for c := range words {
		r.cells = binary.LittleEndian.AppendUint64(r.cells, l.cell(c, b, words[c], flags[c]))
		if l.absent[c] = flags[c] == row.Absent; l.absent[c] {
			r.absent = l.absent
		}
	}
	r.id = l.appendID(r.id[:0], b, words, r.cells)
	return r
}

// appendID appends what tells rows apart: the values of the key, each so that the next
// one cannot run into it.
func (l *lens) appendID(id []byte, b *row.Batch, words []uint64, cells []byte) []byte {
	if len(l.table.Key) == 0 {
		u := l.row(cells)
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(id, u.hi), u.lo)
	}
	for _, k := range l.table.Key {
		if l.table.Columns[k].Type.Kind.InBytes() {
			v := b.Data(words[k])
			id = append(binary.AppendUvarint(id, uint64(len(v))), v...)
			continue
		}
		id = binary.BigEndian.AppendUint64(id, words[k])
	}
	return id
}

// keysOf returns a batch of rows of t that have the keys of ids and nothing else, for
// whoever looks rows up.
func keysOf(t *row.Table, pool *row.Pool, ids [][]byte) *row.Batch {
	x := row.NewBuilder(pool)
	at := make([]int, len(t.Columns)) // 1 + the place in the key
	for i, k := range t.Key {
		at[k] = i + 1
	}
	values := make([][]byte, len(t.Key))
	for _, id := range ids {
		for i, k := range t.Key {
			n := uint64(8)
			if t.Columns[k].Type.Kind.InBytes() {
				var w int
				n, w = binary.Uvarint(id)
				id = id[w:]
			}
			values[i], id = id[:n], id[n:]
		}
		x.Row(t, row.Read)
		for c := range t.Columns {
			switch {
			case at[c] == 0:
				x.Absent()
			case t.Columns[c].Type.Kind.InBytes():
				x.Bytes(values[at[c]-1])
			default:
				x.Word(binary.BigEndian.Uint64(values[at[c]-1]))
			}
		}
	}
	return x.Finish(noPlace, 0)
}
