package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ codec.Decoding = (*format)(nil)

// maxFooter bounds the description of a file.
const maxFooter = 64 << 20

// decoder is a codec.Decoder. It holds the footer, and a page and a dictionary of
// each column.
type decoder struct {
	r       io.ReaderAt
	size    int64
	shape   codec.Shape
	stored  *row.Table
	fields  []field
	cursors []*cursor
	cells   []*cursor
	meta    text.Meta
	footer  thriftReader // at the next row group
	groups  int          // to come
	left    int64        // rows of the row group
	total   int64        // rows to come, as the footer says
	form    []byte
}

// NewDecoder implements codec.Decoding.
func (f *format) NewDecoder(r io.ReaderAt, size int64, s codec.Shape) (codec.Decoder, error) {
	fields, err := f.fields(s)
	if err != nil {
		return nil, err
	}
	d := &decoder{r: r, size: size, shape: s, stored: f.Stored(s.Table), fields: fields}
	if err := d.open(); err != nil {
		return nil, broken(err)
	}
	for i := range d.fields {
		d.cursors = append(d.cursors, &cursor{field: &d.fields[i], r: r, pack: f.pack})
	}
	d.cells = d.cursors[len(fields)-len(s.Table.Columns):]
	d.meta = text.NewMeta(d.stored, codec.Names(s)[len(fields)-len(d.cells):])
	return d, nil
}

// broken is an error about what a file holds.
func broken(err error) error {
	var coded *fault.Error
	if err == nil || errors.As(err, &coded) || errors.Is(err, io.EOF) {
		return err
	}
	return fault.New(fault.TargetBroken, "a Parquet file cannot be read back").By(err)
}

// open reads the footer.
func (d *decoder) open() error {
	var end [8]byte
	if d.size < int64(len(magic)+len(end)) {
		return fmt.Errorf("it has %d bytes only", d.size)
	}
	if err := readAt(d.r, end[:], d.size-int64(len(end))); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != magic || n > maxFooter || n > d.size-int64(len(magic)+len(end)) {
		return errors.New("it does not end as such files do")
	}
	b := make([]byte, n)
	if err := readAt(d.r, b, d.size-int64(len(end))-n); err != nil {
		return err
	}
	d.footer = thriftReader{b: b}
	return d.readFooter()
}

// readAt fills p.
func readAt(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (d *decoder) readFooter() error {
	r := &d.footer
	groups, columns, wrote := -1, 0, version
	r.fields(func(id, kind int) {
		switch {
		case id == 2 && kind == thriftList:
			columns = d.readSchema()
		case id == 3:
			d.total = r.want(kind)
		case id == 4 && kind == thriftList:
			groups = r.at
			elements, n := r.list()
			if elements != thriftStruct && n > 0 {
				r.fail()
			}
			d.groups = n
			r.at = groups
			r.skip(kind)
		case id == 5 && kind == thriftList:
			wrote = r.version()
		default:
			r.skip(kind)
		}
	})
	switch {
	case r.err != nil:
		return r.err
	case wrote != version:
		return fault.New(fault.FormatNewer, "a Parquet file has version %.20q, and this godwit knows %s", wrote, version).
			Try("use the version of the program that wrote it")
	case columns < 0:
		return fmt.Errorf("it has %d columns, not %d", ^columns, len(d.fields))
	case columns != len(d.fields):
		return fmt.Errorf("it has other columns than the table, as they were named: %d fit, of %d", columns, len(d.fields))
	case groups < 0:
		return errors.New("its footer has no row groups")
	}
	r.at = groups
	r.list()
	return r.err
}

// version returns the version that a file's metadata has.
func (r *thriftReader) version() string {
	out := version
	kind, n := r.list()
	if kind != thriftStruct && n > 0 {
		r.fail()
	}
	for range n {
		var key, value string
		r.fields(func(id, kind int) {
			switch {
			case id == 1 && kind == thriftBinary:
				key = string(r.bytes())
			case id == 2 && kind == thriftBinary:
				value = string(r.bytes())
			default:
				r.skip(kind)
			}
		})
		if key == versionKey {
			out = value
		}
	}
	return out
}

// readSchema compares the file's columns with the expected ones, and returns how many
// are equal; where it has more or fewer, ^ of how many it has.
func (d *decoder) readSchema() int {
	r := &d.footer
	kind, n := r.list()
	if kind != thriftStruct {
		r.fail()
	}
	same := 0
	for i := range n {
		var name []byte
		physical, width := 0, 0
		r.fields(func(id, kind int) {
			switch {
			case id == 1:
				physical = int(r.want(kind))
			case id == 2:
				width = int(r.want(kind))
			case id == 4 && kind == thriftBinary:
				name = r.bytes()
			default:
				r.skip(kind)
			}
		})
		if i == 0 || i > len(d.fields) {
			continue
		}
		if f := &d.fields[i-1]; string(name) == f.name && (f.is(physical, width) || f.turn(physical, width)) {
			same++
		}
	}
	if n != len(d.fields)+1 {
		return ^max(n-1, 0)
	}
	return same
}

// is reports whether the field has this physical type.
func (f *field) is(physical, width int) bool {
	return physical == f.physical && (physical != physFixed || width == f.width)
}

// turn makes the field what it was when the choice of what becomes of values that it
// cannot hold was another one, if that has this physical type.
func (f *field) turn(physical, width int) bool {
	other := codec.AsText
	if f.texted {
		other = codec.Refuse
	}
	was, err := newField(f.name, f.source, other)
	if f.how == asMeta || err != nil || !was.is(physical, width) {
		return false
	}
	was.turned = true
	*f = was
	return true
}

// Decode implements codec.Decoder.
func (d *decoder) Decode(x *row.Builder, most int) error {
	n := 0
	for n < most {
		if d.left == 0 {
			more, err := d.nextGroup()
			if err != nil {
				return broken(err)
			}
			if !more {
				break
			}
			continue
		}
		k, err := d.decode(x, min(int64(most-n), d.left), n > 0)
		if err != nil {
			return broken(err)
		}
		d.left -= k
		n += int(k)
		if k == 0 {
			break // another incarnation, or enough
		}
	}
	if n > 0 {
		return nil
	}
	if d.total != 0 {
		return broken(fmt.Errorf("its row groups and its footer differ by %d rows", d.total))
	}
	return io.EOF
}

// Incarnation implements codec.Decoder.
func (d *decoder) Incarnation() uint16 { return d.meta.Incarnation() }

// Close implements codec.Decoder.
func (d *decoder) Close() error {
	d.cursors, d.cells, d.footer = nil, nil, thriftReader{}
	return nil
}

// nextGroup begins the next row group; false after the last.
func (d *decoder) nextGroup() (bool, error) {
	if d.groups == 0 {
		return false, nil
	}
	d.groups--
	r := &d.footer
	at := 0
	r.fields(func(id, kind int) {
		switch {
		case id == 1 && kind == thriftList:
			elements, n := r.list()
			if elements != thriftStruct || n != len(d.cursors) {
				r.fail()
				return
			}
			for ; at < n && r.err == nil; at++ {
				d.readChunk(d.cursors[at])
			}
		case id == 3:
			d.left = r.want(kind)
		default:
			r.skip(kind)
		}
	})
	if r.err != nil {
		return false, r.err
	}
	if at != len(d.cursors) || d.left < 0 || d.left > d.total {
		return false, errors.New("a row group has not the columns or rows of its file")
	}
	d.total -= d.left
	for _, c := range d.cursors {
		if c.at < int64(len(magic)) || c.end < c.at || c.end > d.size {
			return false, fmt.Errorf("column %s lies outside of its file", c.name)
		}
		c.rows = d.left
	}
	return true, nil
}

// readChunk reads where a column of a row group lies.
func (d *decoder) readChunk(c *cursor) {
	r := &d.footer
	data, dict, size := int64(0), int64(0), int64(0)
	r.fields(func(id, kind int) {
		if id != 3 || kind != thriftStruct {
			r.skip(kind)
			return
		}
		r.fields(func(id, kind int) {
			switch id {
			case 7:
				size = r.want(kind)
			case 9:
				data = r.want(kind)
			case 11:
				dict = r.want(kind)
			default:
				r.skip(kind)
			}
		})
	})
	if dict == 0 {
		dict = data
	}
	c.begin(dict, size)
}

// decode appends up to n rows, until their incarnation changes, or there are enough, unless
// they are the first.
func (d *decoder) decode(x *row.Builder, n int64, begun bool) (int64, error) {
	for i := range n {
		if begun && x.Size() >= codec.BatchBytes {
			return i, nil
		}
		for _, c := range d.cursors {
			if err := c.next(); err != nil {
				return i, err
			}
		}
		var absent []bool
		if d.shape.Meta {
			m := d.cursors
			if begun && !m[1].null && d.meta.Other(m[1].value) {
				for _, c := range d.cursors {
					c.back()
				}
				return i, nil
			}
			ts := int64(0)
			if !m[2].null {
				ts = int64(m[2].word)
			}
			var err error
			if absent, err = d.meta.Row(x, m[0].value, m[1].value, ts, m[3].value, m[4].value); err != nil {
				return i, err
			}
		} else {
			d.meta.Plain(x, i == 0 && !begun)
		}
		begun = true
		for k, c := range d.cells {
			switch {
			case absent != nil && absent[k]:
				x.Absent()
			case c.null:
				x.Null()
			default:
				var err error
				if d.form, err = c.cell(x, d.form[:0]); err != nil {
					return i, fmt.Errorf("column %s: %w", c.name, err)
				}
			}
		}
	}
	return n, nil
}
