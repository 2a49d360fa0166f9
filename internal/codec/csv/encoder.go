package csv

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"unsafe"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// plan is how the cells of one column are written.
type plan struct {
	kind  row.Kind
	scale int
	at    text.Timestamps
	unfit codec.Unfit
}

func (f *format) plan(c *row.Column) (plan, error) {
	p := plan{kind: c.Type.Kind, scale: c.Type.Scale, at: text.Timestamps{Scale: c.Type.Scale}}
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

const planSize = unsafe.Sizeof(plan{})

// encoder is a codec.Encoder. Every field is followed by the delimiter; that of
// the last one becomes the line end.
type encoder struct {
	*format
	shape  codec.Shape
	plans  []plan
	meta   meta
	out    text.Output
	gaps   []int // columns with values that readers may take for null
	closed bool

	nullified int64
}

// Encode implements codec.Encoder.
func (e *encoder) Encode(b *row.Batch, s *row.Section) error {
	if e.closed {
		return fault.New(fault.Internal, "rows for a file that is closed")
	}
	if s.Table != e.shape.Table && !s.Table.SameShape(e.shape.Table) {
		return fault.New(fault.Internal, "rows of version %d of %s in a file of version %d", s.Table.Version, s.Table.Name, e.shape.Table.Version)
	}
	if len(e.gaps) > 0 {
		for i := s.Row; i < s.Row+s.Rows; i++ {
			if err := e.Refuse(b, s, i); err != nil {
				return err
			}
		}
	}
	if !e.shape.Meta {
		for i := s.Row; i < s.Row+s.Rows && e.out.Err == nil; i++ {
			words, flags := b.Cells(s, i)
			e.cells(b, words, flags)
		}
		return e.out.Err
	}
	for span := range b.Spans(s) {
		e.startSpan(b.Incarnation, &span)
		for i := span.Row; i < span.Row+span.Rows && e.out.Err == nil; i++ {
			words, flags := b.Cells(s, i)
			e.metaCells(b.Op(i), flags)
			e.cells(b, words, flags)
		}
	}
	return e.out.Err
}

// cells appends one row's cells and ends the line. The buffer is in a local
// variable while scalars are written: that is a third of the time.
func (e *encoder) cells(b *row.Batch, words []uint64, flags []row.Flag) {
	buf, delimiter := e.out.Buf, e.delimiter
	flags = flags[:len(words)]
	for i := range e.plans {
		if cap(buf)-len(buf) < text.MaxScalar {
			e.out.Buf = buf
			e.out.Reserve(text.MaxScalar)
			buf = e.out.Buf
		}
		if flags[i] != row.Value {
			buf = append(append(buf, e.null...), delimiter)
			continue
		}
		p, w := &e.plans[i], words[i]
		if p.unfit == codec.Nullify && e.gap(p.kind) && !e.holds(p.kind, b.Data(w)) {
			e.nullified++
			buf = append(append(buf, e.null...), delimiter)
			continue
		}
		switch p.kind {
		case row.Int:
			buf = text.AppendInt(buf, int64(w))
		case row.Uint, row.Bits:
			buf = text.AppendUint(buf, w)
		case row.Date:
			buf = text.AppendDate(buf, w)
		case row.DateTime:
			buf = text.AppendDateTime(buf, w, p.scale)
		case row.Timestamp:
			if e.instants {
				buf = p.at.AppendInstant(buf, int64(w))
			} else {
				buf = p.at.Append(buf, int64(w))
			}
		case row.Decimal:
			e.out.Buf = buf
			e.out.Append(b.Data(w))
			buf = e.out.Buf
		case row.Time:
			buf = text.AppendTime(buf, int64(w), p.scale)
		case row.Float64:
			buf = e.float(buf, math.Float64frombits(w), 64)
		case row.Float32:
			buf = e.float(buf, float64(math.Float32frombits(uint32(w))), 32)
		case row.Year:
			buf = text.AppendYear(buf, int(w))
		case row.Bytes:
			e.out.Buf = buf
			e.binary(b.Data(w))
			buf = e.out.Buf
			continue
		default:
			e.out.Buf = buf
			e.text(b.Data(w))
			buf = e.out.Buf
			continue
		}
		if len(buf) == cap(buf) {
			e.out.Buf = buf
			e.out.Reserve(1)
			buf = e.out.Buf
		}
		buf = append(buf, delimiter)
	}
	e.out.Buf = buf
	e.endLine()
}

// float appends a number, or how the dialect writes what is none.
func (f *format) float(b []byte, v float64, size int) []byte {
	switch {
	case !math.IsInf(v, 0):
		return text.AppendFloat(b, v, size)
	case v < 0:
		b = append(b, '-')
	}
	return append(b, f.infinity...)
}

// endLine turns the delimiter after the last field into the line end. A
// delimiter is always still in the buffer: nothing flushes after appending one.
func (e *encoder) endLine() {
	buf := e.out.Buf
	if !e.crlf {
		buf[len(buf)-1] = '\n'
		return
	}
	buf[len(buf)-1] = '\r'
	e.out.ReserveKeeping(1)
	e.out.Buf = append(e.out.Buf, '\n')
}

// title appends the name of a column and a delimiter.
func (e *encoder) title(p []byte) {
	all := e.allText
	e.allText = false
	e.text(p)
	e.allText = all
}

// text appends a field of text and a delimiter.
func (e *encoder) text(p []byte) {
	if e.bare {
		e.escaped(p)
		e.out.Byte(e.delimiter)
		return
	}
	if e.allText || len(p) == 0 || len(p) == len(e.null) && string(p) == e.null || e.scan.found(p) {
		e.quoted(p)
		return
	}
	o := &e.out
	if cap(o.Buf)-len(o.Buf) <= len(p) {
		if len(p) >= text.Direct {
			o.Append(p)
			o.Byte(e.delimiter)
			return
		}
		o.Reserve(len(p) + 1)
	}
	o.Buf = append(append(o.Buf, p...), e.delimiter)
}

// binary appends a field of bytes and a delimiter.
func (e *encoder) binary(p []byte) {
	if !e.bare && (len(p) == 0 || e.clash && e.isNull(p)) {
		e.out.Byte(e.quote)
		e.encoded(p)
		e.out.Byte(e.quote)
	} else {
		e.encoded(p)
	}
	e.out.Byte(e.delimiter)
}

// isNull reports whether the text of bytes p is the null text.
func (f *format) isNull(p []byte) bool {
	if len(p) > maxNull {
		return false
	}
	return string(f.appendBinary(make([]byte, 0, 2*maxNull), p)) == f.null
}

// pieceSize is how many bytes become text at once: divisible by 3, so that
// pieces of base64 join without padding.
const pieceSize = 3 << 12

func (e *encoder) encoded(p []byte) {
	for len(p) > 0 {
		n := min(len(p), pieceSize)
		e.out.Reserve(2*n + 4)
		e.out.Buf = e.appendBinary(e.out.Buf, p[:n])
		p = p[n:]
	}
}

func (f *format) appendBinary(b, p []byte) []byte {
	if f.base64 {
		return base64.StdEncoding.AppendEncode(b, p)
	}
	return hex.AppendEncode(b, p)
}

// Memory implements codec.Encoder.
func (e *encoder) Memory() int {
	return e.out.Memory() + e.meta.memory() + len(e.plans)*int(planSize)
}

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
