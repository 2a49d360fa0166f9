package rows

import (
	"encoding/binary"
	"math/bits"
	"time"

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
	case flag == row.Foreign:
		return xxh3.HashSeed(b.Data(word), ^s.seed)
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
	r.id = l.appendID(r.id[:0], b, words, flags, r.cells)
	return r
}

// appendID appends what tells rows apart: the values of the key, each so that the next
// one cannot run into it. Foreign ones are behind all others: few ids have any.
func (l *lens) appendID(id []byte, b *row.Batch, words []uint64, flags []row.Flag, cells []byte) []byte {
	if len(l.table.Key) == 0 {
		u := l.row(cells)
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(id, u.hi), u.lo)
	}
	for _, k := range l.table.Key {
		switch foreign, inBytes := flags[k] == row.Foreign, l.table.Columns[k].Type.Kind.InBytes(); {
		case inBytes && foreign:
			id = append(id, 0)
		case inBytes:
			id = appendCounted(id, b.Data(words[k]))
		case foreign:
			id = binary.BigEndian.AppendUint64(id, 0)
		default:
			id = binary.BigEndian.AppendUint64(id, words[k])
		}
	}
	for i, k := range l.table.Key {
		if flags[k] == row.Foreign {
			id = appendCounted(binary.AppendUvarint(id, uint64(i)), b.Data(words[k]))
		}
	}
	return id
}

func appendCounted(id, v []byte) []byte {
	return append(binary.AppendUvarint(id, uint64(len(v))), v...)
}

// keysOf returns a batch of rows of t that have the keys of ids and nothing else, for
// whoever looks rows up. A source, which knows no foreign values, is given others for them:
// rows that it has for these are not asked for.
func keysOf(t *row.Table, pool *row.Pool, ids [][]byte, source bool) *row.Batch {
	x := row.NewBuilder(pool)
	at := make([]int, len(t.Columns)) // 1 + the place in the key
	for i, k := range t.Key {
		at[k] = i + 1
	}
	for _, id := range ids {
		key := keyOf(t, id)
		x.Row(t, row.Read)
		for c := range t.Columns {
			if at[c] == 0 {
				x.Absent()
				continue
			}
			key[at[c]-1].append(x, t.Columns[c].Type.Kind, source)
		}
	}
	return x.Finish(noPlace, 0)
}

// keyCell is a value of a key, as ids have it.
type keyCell struct {
	value   []byte
	foreign []byte // nil: it is none
}

// keyOf undoes appendID. What it returns is part of id.
func keyOf(t *row.Table, id []byte) []keyCell {
	key := make([]keyCell, len(t.Key))
	for i, k := range t.Key {
		if t.Columns[k].Type.Kind.InBytes() {
			key[i].value, id = counted(id)
		} else {
			key[i].value, id = id[:8], id[8:]
		}
	}
	for len(id) > 0 {
		i, w := binary.Uvarint(id)
		key[i].foreign, id = counted(id[w:])
	}
	return key
}

func (k keyCell) append(x *row.Builder, kind row.Kind, source bool) {
	switch {
	case k.foreign != nil && source:
		appendOrdinary(x, kind)
	case k.foreign != nil:
		x.Foreign(k.foreign)
	case kind.InBytes():
		x.Bytes(k.value)
	default:
		x.Word(binary.BigEndian.Uint64(k.value))
	}
}

// appendOrdinary appends a value that every server takes for one of that kind.
func appendOrdinary(x *row.Builder, kind row.Kind) {
	switch {
	case kind.InBytes():
		x.String("0")
	case kind == row.Date:
		x.Word(row.PackDate(2000, 1, 1))
	case kind == row.DateTime:
		x.Word(row.PackDateTime(2000, 1, 1, 0))
	case kind == row.Timestamp:
		x.Word(uint64(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()))
	default:
		x.Word(0)
	}
}
