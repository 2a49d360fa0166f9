package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"godwit/internal/row"
)

// Types of columns in a table map.
const (
	tyDecimal           = 0
	tyTiny              = 1
	tyShort             = 2
	tyLong              = 3
	tyFloat             = 4
	tyDouble            = 5
	tyTimestamp         = 7
	tyLongLong          = 8
	tyInt24             = 9
	tyDate              = 10
	tyTime              = 11
	tyDateTime          = 12
	tyYear              = 13
	tyVarchar           = 15
	tyBit               = 16
	tyTimestamp2        = 17
	tyDateTime2         = 18
	tyTime2             = 19
	tyBlobCompressed    = 140
	tyVarcharCompressed = 141
	tyJSON              = 245
	tyNewDecimal        = 246
	tyEnum              = 247
	tySet               = 248
	tyTinyBlob          = 249
	tyMediumBlob        = 250
	tyLongBlob          = 251
	tyBlob              = 252
	tyVarString         = 253
	tyString            = 254
	tyGeometry          = 255
)

// how says how a value lies in a row image and what becomes of it.
type how uint8

const (
	howInt            how = iota + 1 // size bytes, little-endian, signed
	howUint                          // the same, unsigned
	howFloat32                       //
	howFloat64                       //
	howDecimal                       // big-endian groups of nine digits
	howText                          // length of prefix bytes, text of conv
	howBytes                         // length of prefix bytes, as it is
	howPadded                        // the same, filled with zeros to pad bytes
	howDate                          // three bytes of bits
	howTimeOld                       // three bytes, decimal hhmmss
	howTimeHires                     // big-endian units of the fraction, from a zero point
	howTime2                         // three bytes and a fraction, from a zero point
	howDateTimeOld                   // eight bytes, decimal yyyymmddhhmmss
	howDateTimeHires                 // big-endian mixed radix
	howDateTime2                     // five bytes of bits and a fraction
	howTimestampOld                  // four bytes, little-endian seconds
	howTimestampHires                // four bytes, big-endian seconds, and a fraction
	howTimestamp2                    // the same
	howYear                          // one byte from 1900
	howBits                          // size bytes, big-endian
	howEnum                          // size bytes, an index from 1
	howLabels                        // size bytes, a bit for each label
	howUUID                          // prefix, sixteen bytes
	howInet4                         // prefix, four bytes
	howInet6                         // prefix, sixteen bytes
	howJSON                          // prefix, MySQL's binary form
	howPackedText                    // prefix, a compressed text of conv
	howPackedBytes                   // prefix, compressed bytes
	howHidden                        // size bytes that are no column of the table
)

// field is how one column of a table lies in the row images that a table map
// announces.
type field struct {
	how    how
	prefix uint8 // bytes of the length before a value; 0: it has size bytes
	scale  uint8 // digits of fraction
	whole  uint8 // decimal: digits before the point
	size   int
	pad    int
	// document is the number of a column among those of JSON.
	document int
	conv     *charset // nil: UTF-8 already
	labels   []string
}

// length returns how many bytes the value at the front of b takes, its prefix
// included, or -1 when b is too short.
func (f *field) length(b []byte) int {
	n := f.size
	if f.prefix != 0 {
		if len(b) < int(f.prefix) {
			return -1
		}
		switch f.prefix {
		case 1:
			n = 1 + int(b[0])
		case 2:
			n = 2 + int(binary.LittleEndian.Uint16(b))
		case 3:
			n = 3 + int(b[0]) + int(b[1])<<8 + int(b[2])<<16
		default:
			n = 4 + int(binary.LittleEndian.Uint32(b))
		}
	}
	if n > len(b) {
		return -1
	}
	return n
}

// layout is what a worker needs to decode the rows of one table map: it is
// immutable and shared.
type layout struct {
	table     *row.Table
	fields    []field
	key       []int
	documents int // columns of JSON
}

var (
	errImage    = errors.New("a row image does not fit its table map")
	errLogValue = errors.New("a value has a form that its type cannot have")
)

// span is where a column of a scanned image lies: [at, end) of the image, end 0
// for null, -1 for not there.
type span struct{ at, end int32 }

// decoder turns row events into rows. It is used by one goroutine.
type decoder struct {
	x      *row.Builder
	before []span
	diffs  []byte // a bit for each document of the row: what changed of it is logged; nil: none
	text   []byte // scratch of conversions
	packed unpacker
	rows   []byte // scratch of compressed events
	err    error  // first bad value of the row
}

// bit reports whether bit i of a little-endian bitmap is set.
func bit(b []byte, i int) bool { return b[i>>3]&(1<<(i&7)) != 0 }

// count returns how many of the first n bits are set.
func count(b []byte, n int) int {
	c := 0
	for i := range n {
		if bit(b, i) {
			c++
		}
	}
	return c
}

// event appends the rows of a row event. The caller has called At for its first
// row.
func (d *decoder) event(l *layout, e rowsEvent) error {
	if e.width != len(l.fields) {
		return errImage
	}
	rows := e.rows
	if e.compressed {
		var err error
		if d.rows, err = inflate(d.rows[:0], rows); err != nil {
			return err
		}
		rows = d.rows
	}
	n := count(e.present, e.width)
	if n == 0 {
		return errImage // rows of no bytes cannot be counted
	}
	m := 0
	if e.op == opUpdate {
		m = count(e.after, e.width)
	}
	for len(rows) > 0 {
		var err error
		switch e.op {
		case opWrite:
			rows, err = d.image(l, row.Insert, e.present, n, rows, nil, nil)
		case opDelete:
			rows, err = d.image(l, row.Delete, e.present, n, rows, nil, nil)
		default:
			rows, err = d.update(l, e, n, m, rows)
		}
		if err == nil {
			err = d.err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// update appends an update, preceded by its old image when the key changed or
// there is none.
func (d *decoder) update(l *layout, e rowsEvent, n, m int, rows []byte) ([]byte, error) {
	size, err := d.scan(l, e.present, n, rows)
	if err != nil {
		return nil, err
	}
	old, rows := rows[:size], rows[size:]
	var diffs []byte
	if e.partial {
		if diffs, rows, err = l.diffs(rows); err != nil {
			return nil, err
		}
	}
	if len(l.key) == 0 || d.moved(l, e, m, old, rows) {
		if _, err := d.image(l, row.Before, e.present, n, old, nil, nil); err != nil {
			return nil, err
		}
	}
	d.diffs = diffs
	rows, err = d.image(l, row.Update, e.after, m, rows, d.before, old)
	d.diffs = nil
	return rows, err
}

// scan notes where each column of the image at the front of b lies and returns
// the bytes it takes.
func (d *decoder) scan(l *layout, present []byte, n int, b []byte) (int, error) {
	if cap(d.before) < len(l.fields) {
		d.before = make([]span, len(l.fields))
	}
	d.before = d.before[:len(l.fields)]
	at := (n + 7) / 8
	if len(b) < at || len(b) > math.MaxInt32 {
		return 0, errImage
	}
	k := 0
	for i := range l.fields {
		switch {
		case !bit(present, i):
			d.before[i] = span{0, -1}
			continue
		case bit(b, k):
			d.before[i] = span{0, 0}
		default:
			w := l.fields[i].length(b[at:])
			if w < 0 {
				return 0, errImage
			}
			d.before[i] = span{int32(at), int32(at + w)}
			at += w
		}
		k++
	}
	return at, nil
}

// moved reports whether the image at the front of b has another key than the
// scanned one in old. Bytes are compared: a key that only changes its case moves.
func (d *decoder) moved(l *layout, e rowsEvent, m int, old, b []byte) bool {
	at, k, left := (m+7)/8, 0, len(l.key)
	if len(b) < at {
		return false // image reports it
	}
	for i := range l.fields {
		if left == 0 {
			return false
		}
		key := isKey(l.key, i)
		if key {
			left--
		}
		if !bit(e.after, i) {
			continue
		}
		null := bit(b, k)
		k++
		w := 0
		if !null {
			if w = l.fields[i].length(b[at:]); w < 0 {
				return false
			}
		}
		if key && !d.same(i, old, b[at:at+w], null) {
			return true
		}
		at += w
	}
	return false
}

func isKey(key []int, i int) bool {
	for _, k := range key {
		if k == i {
			return true
		}
	}
	return false
}

// same compares column i of the scanned image with a value.
func (d *decoder) same(i int, old, v []byte, null bool) bool {
	s := d.before[i]
	switch {
	case s.end < 0:
		return false
	case s.end == 0 || null:
		return s.end == 0 && null
	}
	return bytes.Equal(old[s.at:s.end], v)
}

// image appends one row from the image at the front of b and returns what is
// behind it. A column that is not in it comes from the image old, scanned into
// before; else it is absent.
func (d *decoder) image(l *layout, op row.Op, present []byte, n int, b []byte, before []span, old []byte) ([]byte, error) {
	nulls := (n + 7) / 8
	if len(b) < nulls {
		return nil, errImage
	}
	d.x.Row(l.table, op)
	rest, k := b[nulls:], 0
	for i := range l.fields {
		f := &l.fields[i]
		if f.how == howHidden { // they come last
			if bit(present, i) {
				if !bit(b, k) {
					if len(rest) < f.size {
						return nil, errImage
					}
					rest = rest[f.size:]
				}
				k++
			}
			continue
		}
		if !bit(present, i) {
			d.absent(f, i, before, old)
			continue
		}
		null := b[k>>3]&(1<<(k&7)) != 0
		k++
		if null {
			d.x.Null()
			continue
		}
		w := f.length(rest)
		if w < 0 {
			return nil, errImage
		}
		if f.how == howJSON && d.diffs != nil && bit(d.diffs, f.document) {
			d.changed(before[i], old, rest[f.prefix:w])
		} else {
			d.value(f, rest[:w])
		}
		rest = rest[w:]
	}
	return rest, nil
}

func (d *decoder) absent(f *field, i int, before []span, old []byte) {
	switch {
	case before == nil || before[i].end < 0:
		d.x.Absent()
	case before[i].end == 0:
		d.x.Null()
	default:
		d.value(f, old[before[i].at:before[i].end])
	}
}

// value appends a cell; v has exactly the bytes that length told.
func (d *decoder) value(f *field, v []byte) {
	switch f.how {
	case howInt:
		d.x.Int(littleInt(v))
	case howUint:
		d.x.Word(littleEndian(v))
	case howFloat32:
		d.x.Word(uint64(binary.LittleEndian.Uint32(v)))
	case howFloat64:
		d.x.Word(binary.LittleEndian.Uint64(v))
	case howText:
		d.string(f, v[f.prefix:])
	case howBytes:
		d.x.Bytes(v[f.prefix:])
	case howEnum:
		d.enum(f, littleEndian(v))
	case howYear:
		d.year(v[0])
	case howBits:
		d.x.Word(bigEndian(v))
	default:
		d.rarer(f, v)
	}
}

func (d *decoder) rarer(f *field, v []byte) {
	var ok bool
	switch f.how {
	case howDecimal:
		d.text, ok = appendDecimal(d.text[:0], v, int(f.whole), int(f.scale))
		d.x.Bytes(d.text)
	case howPadded:
		d.padded(v[f.prefix:], f.pad)
		ok = true
	case howLabels:
		ok = d.labels(f, littleEndian(v))
	case howJSON:
		var err error
		d.text, err = appendJSON(d.text[:0], v[f.prefix:])
		ok = err == nil
		d.x.Bytes(d.text)
	case howPackedText:
		var plain []byte
		plain, ok = d.packed.value(v[f.prefix:])
		d.string(f, plain)
	case howPackedBytes:
		var plain []byte
		plain, ok = d.packed.value(v[f.prefix:])
		d.x.Bytes(plain)
	case howUUID, howInet4, howInet6:
		d.text, ok = appendAddress(d.text[:0], f.how, v[f.prefix:])
		d.x.Bytes(d.text)
	default:
		var w uint64
		w, ok = temporal(f, v)
		d.x.Word(w)
	}
	if !ok && d.err == nil {
		d.err = errLogValue
	}
}

func littleEndian(v []byte) uint64 {
	switch len(v) {
	case 1:
		return uint64(v[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(v))
	case 3:
		return uint64(v[0]) | uint64(v[1])<<8 | uint64(v[2])<<16
	case 4:
		return uint64(binary.LittleEndian.Uint32(v))
	case 8:
		return binary.LittleEndian.Uint64(v)
	}
	var w uint64
	for i, c := range v {
		w |= uint64(c) << (8 * i)
	}
	return w
}

func littleInt(v []byte) int64 {
	shift := 64 - 8*len(v)
	return int64(littleEndian(v)<<shift) >> shift
}

func bigEndian(v []byte) uint64 {
	var w uint64
	for _, c := range v {
		w = w<<8 | uint64(c)
	}
	return w
}

func (d *decoder) year(b byte) {
	if b == 0 {
		d.x.Word(0)
		return
	}
	d.x.Word(1900 + uint64(b))
}

func (d *decoder) enum(f *field, i uint64) {
	switch {
	case i == 0:
		d.x.String("")
	case i > uint64(len(f.labels)):
		d.x.Null()
		d.err = errLogValue
	default:
		d.x.String(f.labels[i-1])
	}
}

// labels appends the chosen labels in declared order, joined by commas.
func (d *decoder) labels(f *field, set uint64) bool {
	t := d.text[:0]
	for i, l := range f.labels {
		if set&(1<<i) == 0 {
			continue
		}
		if len(t) > 0 {
			t = append(t, ',')
		}
		t = append(t, l...)
		set &^= 1 << i
	}
	d.text = t
	d.x.Bytes(t)
	return set == 0
}

func (d *decoder) string(f *field, v []byte) {
	if f.conv == nil {
		d.x.Bytes(v)
		return
	}
	d.text = f.conv.append(d.text[:0], v)
	d.x.Bytes(d.text)
}

// padded gives back the zeros that the log leaves off the end of BINARY(n).
func (d *decoder) padded(v []byte, pad int) {
	d.text = append(d.text[:0], v...)
	for len(d.text) < pad {
		d.text = append(d.text, 0)
	}
	d.x.Bytes(d.text)
}
