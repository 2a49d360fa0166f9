package json

import (
	"encoding/base64"
	"encoding/hex"
	"math"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// encoder is a codec.Encoder.
type encoder struct {
	*format
	shape   codec.Shape
	columns []column
	keys    [][]byte // of the columns of a changelog
	names   []string // of the table's columns
	out     text.Output
	pos     []byte
	tail    []byte // _ts and _txn
	closed  bool

	nullified int64
}

var _ codec.Refuser = (*encoder)(nil)

// Encode implements codec.Encoder.
func (e *encoder) Encode(b *row.Batch, s *row.Section) error {
	if e.closed {
		return fault.New(fault.Internal, "rows for a file that is closed")
	}
	if s.Table != e.shape.Table && !s.Table.SameShape(e.shape.Table) {
		return fault.New(fault.Internal, "rows of version %d of %s in a file of version %d", s.Table.Version, s.Table.Name, e.shape.Table.Version)
	}
	for span := range b.Spans(s) {
		if e.shape.Meta {
			e.startSpan(&span)
		}
		for i := span.Row; i < span.Row+span.Rows && e.out.Err == nil; i++ {
			if err := e.Refuse(b, s, i); err != nil {
				return err
			}
			words, flags := b.Cells(s, i)
			if e.shape.Meta {
				e.metaCells(b, i, flags)
			}
			for k := range e.columns {
				e.cell(&e.columns[k], b, words[k], flags[k])
			}
			e.out.Reserve(2)
			e.out.Buf = append(e.out.Buf, '}', '\n')
		}
	}
	return e.out.Err
}

// startSpan prepares what the rows of a span have in common.
func (e *encoder) startSpan(span *row.Span) {
	e.tail = append(append(e.tail[:0], '"'), e.keys[2]...)
	if span.Txn.Time == 0 {
		e.tail = append(e.tail, "null"...)
	} else {
		e.tail = append(text.AppendInstant(append(e.tail, '"'), span.Txn.Time), '"')
	}
	e.tail = append(e.tail, e.keys[3]...)
	if span.Txn.ID == "" {
		e.tail = append(e.tail, "null"...)
	} else {
		e.tail = appendText(e.tail, []byte(span.Txn.ID))
	}
	e.tail = append(e.tail, e.keys[4]...)
}

func (e *encoder) metaCells(b *row.Batch, i int, flags []row.Flag) {
	e.pos = row.AppendPos(e.pos[:0], b.Incarnation, b.Order(i))
	o := &e.out
	o.Reserve(len(e.keys[0]) + 4 + len(e.keys[1]) + len(e.pos) + len(e.tail) + 2)
	o.Buf = append(append(o.Buf, e.keys[0]...), '"', codec.OpLetter(b.Op(i)), '"')
	o.Buf = append(append(append(o.Buf, e.keys[1]...), '"'), e.pos...)
	o.Buf = append(o.Buf, e.tail...)
	if b.Op(i) == row.Truncate || !text.AnyAbsent(flags) {
		o.Byte('"')
		o.Byte('"')
		return
	}
	o.Append(appendText(nil, []byte(codec.AbsentNames(e.names, flags))))
}

func (e *encoder) cell(c *column, b *row.Batch, w uint64, flag row.Flag) {
	o := &e.out
	o.Append(c.key)
	if flag == row.Value && c.form == formDocument && c.unfit == codec.Nullify && !holds(b.Data(w)) {
		e.nullified++
		flag = row.Null
	}
	o.Reserve(text.MaxScalar)
	if flag != row.Value {
		o.Buf = append(o.Buf, "null"...)
		return
	}
	switch c.form {
	case formNumber:
		o.Buf = text.Append(o.Buf, c.number(), w, nil)
	case formFloat:
		e.float(c, w)
	case formDecimal:
		o.Append(b.Data(w))
	case formQuoted:
		o.Buf = append(text.Append(append(o.Buf, '"'), c.number(), w, nil), '"')
	case formDateTime:
		at := len(o.Buf) + 1
		o.Buf = append(text.AppendDateTime(append(o.Buf, '"'), w, c.t.Scale), '"')
		for ; o.Buf[at] != ' '; at++ {
		}
		o.Buf[at] = 'T'
	case formMoment:
		o.Buf = append(c.at.AppendInstant(append(o.Buf, '"'), int64(w)), '"')
	case formBytes:
		e.binary(b.Data(w))
	case formDocument:
		e.document(b.Data(w))
	default:
		e.text(b.Data(w))
	}
}

// number is the type whose text form is a number of JSON: years without zeros before
// them.
func (c *column) number() row.Type {
	if c.t.Kind == row.Year {
		return row.Type{Kind: row.Uint}
	}
	return c.t
}

func (e *encoder) float(c *column, w uint64) {
	v, size := math.Float64frombits(w), 64
	if c.t.Kind == row.Float32 {
		v, size = float64(math.Float32frombits(uint32(w))), 32
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		e.out.Buf = append(text.AppendFloat(append(e.out.Buf, '"'), v, size), '"')
		return
	}
	e.out.Buf = text.AppendFloat(e.out.Buf, v, size)
	if v == 0 && math.Signbit(v) {
		e.out.Buf = append(e.out.Buf, ".0"...) // as an integer it would lose its sign
	}
}

// plain says which bytes stand for themselves in a text.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// text appends a text in quotes.
func (e *encoder) text(p []byte) {
	o := &e.out
	o.Byte('"')
	first := 0
	for i, c := range p {
		if plain[c] {
			continue
		}
		o.Append(p[first:i])
		o.Reserve(6)
		o.Buf = appendEscape(o.Buf, c)
		first = i + 1
	}
	o.Append(p[first:])
	o.Byte('"')
}

// appendText appends p in quotes; for texts that are kept.
func appendText(b, p []byte) []byte {
	b = append(b, '"')
	for _, c := range p {
		if plain[c] {
			b = append(b, c)
		} else {
			b = appendEscape(b, c)
		}
	}
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// document appends a value as it is, on one line.
func (e *encoder) document(p []byte) {
	first := 0
	for i, c := range p {
		if c == '\n' || c == '\r' { // only between values: in texts they are escaped
			e.out.Append(p[first:i])
			e.out.Byte(' ')
			first = i + 1
		}
	}
	e.out.Append(p[first:])
}

// pieceSize is how many bytes become text at once: divisible by 3, so that pieces of
// base64 join without padding.
const pieceSize = 3 << 12

func (e *encoder) binary(p []byte) {
	e.out.Byte('"')
	for len(p) > 0 {
		n := min(len(p), pieceSize)
		e.out.Reserve(2*n + 4)
		if e.base64 {
			e.out.Buf = base64.StdEncoding.AppendEncode(e.out.Buf, p[:n])
		} else {
			e.out.Buf = hex.AppendEncode(e.out.Buf, p[:n])
		}
		p = p[n:]
	}
	e.out.Byte('"')
}

// Refuse implements codec.Refuser.
func (e *encoder) Refuse(b *row.Batch, s *row.Section, i int) error {
	var words []uint64
	var flags []row.Flag
	for k := range e.columns {
		c := &e.columns[k]
		if c.form != formDocument || c.unfit == codec.Nullify {
			continue
		}
		if words == nil {
			words, flags = b.Cells(s, i)
		}
		if flags[k] == row.Value && !holds(b.Data(words[k])) {
			return text.Refusal(b, s, i, k, "JSON as a value")
		}
	}
	return nil
}

// Nullified implements codec.Refuser.
func (e *encoder) Nullified() int64 { return e.nullified }

// Memory implements codec.Encoder.
func (e *encoder) Memory() int {
	return e.out.Memory() + cap(e.pos) + cap(e.tail) + len(e.columns)*columnBytes
}

// columnBytes is what a column takes.
const columnBytes = 200

// Written implements codec.Encoder.
func (e *encoder) Written() int64 { return e.out.Written() }

// Close implements codec.Encoder.
func (e *encoder) Close() error {
	if e.closed {
		return e.out.Err
	}
	e.closed = true
	e.out.Close()
	return e.out.Err
}
