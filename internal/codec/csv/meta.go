package csv

import (
	"encoding/binary"
	"encoding/hex"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/row"
)

const hexDigits = "0123456789abcdef"

// meta holds the texts of a changelog's columns that rows have in common.
type meta struct {
	names []string // of the table's columns, as the header has them
	place []byte   // delimiter and _pos of the next row
	order uint64   // its last eight bytes
	tail  []byte   // delimiter, _ts, _txn and a delimiter
	txn   row.Txn  // what tail says
	known bool     // tail is set

	pattern []byte            // scratch: one byte for each column, 1 = absent
	last    string            // the pattern absent is for
	absent  []byte            // _absent of the last pattern
	seen    map[string][]byte // pattern → _absent
}

// maxSeen bounds the remembered patterns.
const maxSeen = 64

// startSpan prepares for the rows of span. What place holds is what row.AppendPos
// makes of each row's order.
func (e *encoder) startSpan(incarnation uint16, span *row.Span) {
	m := &e.meta
	m.place = append(m.place[:0], e.delimiter)
	m.place = hex.AppendEncode(m.place, []byte{byte(incarnation >> 8), byte(incarnation)})
	m.place = appendHex(m.place, span.Prefix)
	m.order = span.Base
	var base [8]byte
	binary.BigEndian.PutUint64(base[:], span.Base)
	m.place = hex.AppendEncode(m.place, base[:])
	if m.known && m.txn == span.Txn {
		return
	}
	m.txn, m.known = span.Txn, true
	m.tail = append(m.tail[:0], e.delimiter)
	if m.txn.Time == 0 {
		m.tail = append(m.tail, e.null...)
	} else {
		m.tail = text.AppendInstant(m.tail, m.txn.Time)
	}
	m.tail = append(m.tail, e.delimiter)
	if m.txn.ID == "" {
		m.tail = append(m.tail, e.null...)
	} else {
		m.tail = e.appendText(m.tail, m.txn.ID)
	}
	m.tail = append(m.tail, e.delimiter)
}

func appendHex(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, hexDigits[s[i]>>4], hexDigits[s[i]&15])
	}
	return b
}

// metaCells appends a row's meta columns and moves on to the next row's place.
func (e *encoder) metaCells(op row.Op, flags []row.Flag) {
	m := &e.meta
	absent := e.none
	if op != row.Truncate && text.AnyAbsent(flags) {
		absent = e.absentNames(flags)
	}
	o := &e.out
	o.Reserve(len(m.place) + len(m.tail) + len(absent) + 2)
	buf := append(o.Buf, codec.OpLetter(op))
	buf = append(buf, m.place...)
	buf = append(buf, m.tail...)
	o.Buf = append(append(buf, absent...), e.delimiter)
	m.advance()
}

// advance counts place up by one.
func (m *meta) advance() {
	m.order++
	end := m.place[len(m.place)-16:]
	if low := m.order & 0xff; low != 0 {
		end[14], end[15] = hexDigits[low>>4], hexDigits[low&15]
		return
	}
	var order [8]byte
	binary.BigEndian.PutUint64(order[:], m.order)
	hex.Encode(end, order[:])
}

// absentNames returns the field _absent of a row.
func (e *encoder) absentNames(flags []row.Flag) []byte {
	m := &e.meta
	m.pattern = m.pattern[:0]
	for _, f := range flags {
		m.pattern = append(m.pattern, f>>1&1)
	}
	if string(m.pattern) == m.last {
		return m.absent
	}
	field, ok := m.seen[string(m.pattern)]
	if !ok {
		field = e.appendText(nil, codec.AbsentNames(m.names, flags))
		if m.seen == nil || len(m.seen) >= maxSeen {
			m.seen = map[string][]byte{}
		}
		m.seen[string(m.pattern)] = field
	}
	m.last, m.absent = string(m.pattern), field
	return field
}

func (m *meta) memory() int {
	n := cap(m.place) + cap(m.tail) + cap(m.pattern) + len(m.last)
	if len(m.seen) > 0 {
		n += len(m.seen) * (len(m.absent) + len(m.last) + 64)
	}
	return n
}
