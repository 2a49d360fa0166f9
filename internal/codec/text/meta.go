package text

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"godwit/internal/row"
)

// Meta makes rows of the columns of a changelog, as they are read back.
type Meta struct {
	table  *row.Table
	names  map[string]int // of the table's columns, as _absent has them
	absent map[string][]bool

	incarnation uint16
	place       []byte // scratch: the order of the row that is read
	prefix      string // of the row before
	counter     uint64 // the one that follows it without a new place
	txn         row.Txn
	builder     *row.Builder
	rows        int // in builder after the row before
}

// NewMeta returns one for rows of t, whose columns the file calls names.
func NewMeta(t *row.Table, names []string) Meta {
	m := Meta{table: t, names: map[string]int{}, absent: map[string][]bool{}}
	escape := strings.NewReplacer("%", "%25", ",", "%2C")
	for i, n := range names {
		m.names[escape.Replace(n)] = i
	}
	return m
}

// Incarnation is that of the rows read last.
func (m *Meta) Incarnation() uint16 { return m.incarnation }

// maxPlace bounds the text of a place.
const maxPlace = 64 << 10

// Other reports whether a row of place pos has another incarnation than the one
// before.
func (m *Meta) Other(pos []byte) bool {
	var b [2]byte
	_, err := hex.Decode(b[:], pos[:min(len(pos), 4)])
	return err == nil && binary.BigEndian.Uint16(b[:]) != m.incarnation
}

// ops are what _op says; the old image of an update is a row that is gone.
func opOf(op []byte) (row.Op, error) {
	if len(op) == 1 {
		switch op[0] {
		case 'r':
			return row.Read, nil
		case 'i':
			return row.Insert, nil
		case 'u':
			return row.Update, nil
		case 'd':
			return row.Delete, nil
		case 't':
			return row.Truncate, nil
		}
	}
	return 0, fmt.Errorf("%.10q is no op of a row", op)
}

// Row begins a row of x, whose cells follow, and returns which of them are absent;
// nil: none. An empty txn and a ts of 0 are unknown.
func (m *Meta) Row(x *row.Builder, op, pos []byte, ts int64, txn, absent []byte) ([]bool, error) {
	o, err := opOf(op)
	if err != nil {
		return nil, err
	}
	gone, err := m.absentOf(o, absent)
	if err != nil {
		return nil, err
	}
	if len(pos) < 20 || len(pos) > maxPlace {
		return nil, errors.New("a row has no place")
	}
	if m.place, err = hex.AppendDecode(m.place[:0], pos); err != nil {
		return nil, errors.New("the place of a row is not in hexadecimal digits")
	}
	m.incarnation = binary.BigEndian.Uint16(m.place)
	prefix, counter := m.place[2:len(m.place)-8], binary.BigEndian.Uint64(m.place[len(m.place)-8:])
	if m.builder != x || m.rows != x.Rows() || x.Rows() == 0 || counter != m.counter || ts != m.txn.Time || string(txn) != m.txn.ID || string(prefix) != m.prefix {
		m.txn = row.Txn{ID: string(txn), Time: ts}
		m.prefix = string(prefix)
		x.At(m.prefix, counter, m.txn)
	}
	x.Row(m.table, o)
	m.builder, m.rows, m.counter = x, x.Rows(), counter+1
	return gone, nil
}

// maxSeen bounds the remembered patterns of absent cells.
const maxSeen = 64

func (m *Meta) absentOf(op row.Op, names []byte) ([]bool, error) {
	if len(names) == 0 && op != row.Truncate {
		return nil, nil
	}
	key := string(names)
	if op == row.Truncate {
		key = "," // no list of names
	}
	if known, ok := m.absent[key]; ok {
		return known, nil
	}
	gone := make([]bool, len(m.table.Columns))
	for i := range gone {
		gone[i] = op == row.Truncate
	}
	if op != row.Truncate {
		for n := range strings.SplitSeq(string(names), ",") {
			i, ok := m.names[n]
			if !ok {
				return nil, fmt.Errorf("the absent column %.40q is none of the table", n)
			}
			gone[i] = true
		}
	}
	if len(m.absent) >= maxSeen {
		clear(m.absent)
	}
	m.absent[key] = gone
	return gone, nil
}

// Plain begins a row of a file without those columns, which has no place; first says
// that it is the first of a batch.
func (m *Meta) Plain(x *row.Builder, first bool) {
	if first && x.Rows() == 0 {
		x.At("", 0, row.Txn{})
	}
	x.Row(m.table, row.Read)
}
