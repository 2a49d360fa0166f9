package csv

import (
	"encoding/binary"
	"encoding/hex"

	"godwit/internal/codec"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// plan is how the cells of one column are written.
type plan struct {
	kind  row.Kind
	scale int
	day   int64 // Timestamp: the day that date holds
	date  [dateSize]byte
	known bool // day and date are set
}

func (f *format) plan(c *row.Column) (plan, error) {
	p := plan{kind: c.Type.Kind, scale: c.Type.Scale}
	switch p.kind {
	case row.Time, row.DateTime, row.Timestamp:
		if p.scale < 0 || p.scale > 6 {
			return p, fault.New(fault.Internal, "column %s has %d digits of fraction", c.Name, p.scale)
		}
	case row.Int, row.Uint, row.Float32, row.Float64, row.Decimal, row.Text, row.Bytes, row.JSON,
		row.Enum, row.Labels, row.Date, row.Year, row.Bits:
	default:
		return p, fault.New(fault.Internal, "column %s has the unknown kind %d", c.Name, p.kind)
	}
	return p, nil
}

// encoder is a codec.Encoder. Every field is followed by the delimiter; that of
// the last one becomes the line end.
type encoder struct {
	*format
	shape  codec.Shape
	plans  []plan
	meta   meta
	out    output
	closed bool
}

// maxScalar is the room that any scalar's text, a null text and a delimiter need.
const maxScalar = 48

// Encode implements codec.Encoder.
func (e *encoder) Encode(b *row.Batch, s *row.Section) error {
	if e.closed {
		return fault.New(fault.Internal, "rows for a file that is closed")
	}
	if s.Table != e.shape.Table && !s.Table.SameShape(e.shape.Table) {
		return fault.New(fault.Internal, "rows of version %d of %s in a file of version %d", s.Table.Version, s.Table.Name, e.shape.Table.Version)
	}
	if !e.shape.Meta {
		for i := s.Row; i < s.Row+s.Rows && e.out.err == nil; i++ {
			words, flags := b.Cells(s, i)
			e.cells(b, words, flags)
		}
		return e.out.err
	}
	for span := range b.Spans(s) {
		e.startSpan(b.Incarnation, &span)
		for i := span.Row; i < span.Row+span.Rows && e.out.err == nil; i++ {
			words, flags := b.Cells(s, i)
			e.metaCells(b.Op(i), flags)
			e.cells(b, words, flags)
		}
	}
	return e.out.err
}

// cells appends one row's cells and ends the line. The buffer is in a local
// variable while scalars are written: that is a third of the time.
func (e *encoder) cells(b *row.Batch, words []uint64, flags []row.Flag) {
	buf, delimiter := e.out.buf, e.delimiter
	flags = flags[:len(words)]
	for i := range e.plans {
		if cap(buf)-len(buf) < maxScalar {
			e.out.buf = buf
			e.out.reserve(maxScalar)
			buf = e.out.buf
		}
		if flags[i] != row.Value {
			buf = append(append(buf, e.null...), delimiter)
			continue
		}
		p, w := &e.plans[i], words[i]
		switch p.kind {
		case row.Int:
			buf = appendInt(buf, int64(w))
		case row.Uint, row.Bits:
			buf = appendUint(buf, w)
		case row.Date:
			buf = appendDate(buf, w)
		case row.DateTime:
			buf = appendDateTime(buf, w, p.scale)
		case row.Timestamp:
			buf = p.appendTimestamp(buf, int64(w))
		case row.Decimal:
			e.out.buf = buf
			e.out.write(b.Data(w))
			buf = e.out.buf
		case row.Time:
			buf = appendTime(buf, int64(w), p.scale)
		case row.Float64:
			buf = appendFloat64(buf, w)
		case row.Float32:
			buf = appendFloat32(buf, w)
		case row.Year:
			buf = appendYear(buf, int(w))
		case row.Bytes:
			e.out.buf = buf
			e.binary(b.Data(w))
			buf = e.out.buf
			continue
		default:
			e.out.buf = buf
			e.text(b.Data(w))
			buf = e.out.buf
			continue
		}
		if len(buf) == cap(buf) {
			e.out.buf = buf
			e.out.reserve(1)
			buf = e.out.buf
		}
		buf = append(buf, delimiter)
	}
	e.out.buf = buf
	e.endLine()
}

// endLine turns the delimiter after the last field into the line end. A
// delimiter is always still in the buffer: nothing flushes after appending one.
func (e *encoder) endLine() {
	buf := e.out.buf
	if !e.crlf {
		buf[len(buf)-1] = '\n'
		return
	}
	buf[len(buf)-1] = '\r'
	e.out.reserveKeeping(1)
	e.out.buf = append(e.out.buf, '\n')
}

// text appends a field of text and a delimiter.
func (e *encoder) text(p []byte) {
	if len(p) == 0 || len(p) == len(e.null) && string(p) == e.null || e.scan.found(p) {
		e.quoted(p)
		return
	}
	o := &e.out
	if cap(o.buf)-len(o.buf) <= len(p) {
		if len(p) >= direct {
			o.write(p)
			o.delimit(e.delimiter)
			return
		}
		o.reserve(len(p) + 1)
	}
	o.buf = append(append(o.buf, p...), e.delimiter)
}

// binary appends a field of bytes and a delimiter.
func (e *encoder) binary(p []byte) {
	if len(p) == 0 || e.clash && e.isNull(p) {
		e.out.delimit(e.quote)
		e.encoded(p)
		e.out.delimit(e.quote)
	} else {
		e.encoded(p)
	}
	e.out.delimit(e.delimiter)
}

// isNull reports whether the text of bytes p is the null text.
func (e *encoder) isNull(p []byte) bool {
	if len(p) > maxNull {
		return false
	}
	return string(e.appendBinary(make([]byte, 0, 2*maxNull), p)) == e.null
}

// pieceSize is how many bytes become text at once: divisible by 3, so that
// pieces of base64 join without padding.
const pieceSize = 3 << 12

func (e *encoder) encoded(p []byte) {
	for len(p) > 0 {
		n := min(len(p), pieceSize)
		e.out.reserve(2*n + 4)
		e.out.buf = e.appendBinary(e.out.buf, p[:n])
		p = p[n:]
	}
}

func (e *encoder) appendBinary(b, p []byte) []byte {
	if e.base64 {
		return base64Std.AppendEncode(b, p)
	}
	return hex.AppendEncode(b, p)
}

// Memory implements codec.Encoder.
func (e *encoder) Memory() int {
	return e.out.memory() + e.meta.memory() + len(e.plans)*int(planSize)
}

// Written implements codec.Encoder.
func (e *encoder) Written() int64 { return e.out.written + int64(len(e.out.buf)) }

// Close implements codec.Encoder.
func (e *encoder) Close() error {
	if e.closed {
		return e.out.err
	}
	e.closed = true
	e.out.close()
	return e.out.err
}

// anyAbsent reports whether a flag says so.
func anyAbsent(flags []row.Flag) bool {
	var all uint64
	for ; len(flags) >= 8; flags = flags[8:] {
		all |= binary.LittleEndian.Uint64(flags)
	}
	for _, f := range flags {
		all |= uint64(f)
	}
	return all&(uint64(row.Absent)*ones) != 0
}
