package csv

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ codec.Decoding = (*format)(nil)

// maxRecord bounds the texts of one row.
const maxRecord = 4 << 30

// span is a field of a record.
type span struct {
	first, end int
	null       bool
}

// decoder is a codec.Decoder. It holds one record.
type decoder struct {
	*format
	in     io.ReadCloser
	window []byte // read and not parsed yet: [at:n]
	at, n  int
	ended  bool
	record []byte
	fields []span
	held   bool // record is the next row
	meta   text.Meta
	shape  codec.Shape
	table  *row.Table
	first  int // of the table's columns
}

// windowSize is how much is read at once.
const windowSize = 64 << 10

// NewDecoder implements codec.Decoding.
func (f *format) NewDecoder(r io.ReaderAt, size int64, s codec.Shape) (codec.Decoder, error) {
	in, err := f.pack.Reader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, broken(err)
	}
	names := codec.Names(s)
	first := len(names) - len(s.Table.Columns)
	d := &decoder{format: f, in: in, window: make([]byte, windowSize), shape: s, table: f.Stored(s.Table), first: first}
	d.meta = text.NewMeta(d.table, names[first:])
	if !f.header {
		return d, nil
	}
	err = d.read()
	if err == nil && len(d.fields) != len(names) {
		err = fmt.Errorf("it has %d columns, not %d", len(d.fields), len(names))
	}
	for i := 0; err == nil && i < len(names); i++ {
		if got := d.field(i); string(got) != names[i] {
			err = fmt.Errorf("column %d is %.40q, not %.40q", i+1, got, names[i])
		}
	}
	if err != nil {
		return nil, broken(errors.Join(err, in.Close()))
	}
	d.held = false
	return d, nil
}

func broken(err error) error {
	var coded *fault.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.TargetBroken, "a CSV file cannot be read back").By(err)
}

// Stored implements codec.Decoding: text holds everything.
func (f *format) Stored(t *row.Table) *row.Table { return t }

// Store implements codec.Decoding.
func (f *format) Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag) {
	k := t.Columns[column].Type.Kind
	switch {
	case flag == row.Absent:
		x.Absent()
	case flag == row.Null, f.gap(k) && codec.UnfitOf(f.unfit, t, column) == codec.Nullify && !f.holds(k, b.Data(word)):
		x.Null()
	case k.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(text.Stored(k, word))
	}
}

// Decode implements codec.Decoder.
func (d *decoder) Decode(x *row.Builder, most int) error {
	for n := 0; n < most && (n == 0 || x.Size() < codec.BatchBytes); n++ {
		if err := d.read(); errors.Is(err, io.EOF) && len(d.fields) == 0 {
			if n > 0 {
				return nil
			}
			return io.EOF
		} else if err != nil {
			return broken(err)
		}
		if n > 0 && d.first > 0 && len(d.fields) > 1 && d.meta.Other(d.field(1)) {
			return nil
		}
		if err := d.row(x, n == 0); err != nil {
			return broken(err)
		}
		d.held = false
	}
	return nil
}

// Incarnation implements codec.Decoder.
func (d *decoder) Incarnation() uint16 { return d.meta.Incarnation() }

// Close implements codec.Decoder.
func (d *decoder) Close() error {
	d.window, d.record = nil, nil
	return d.in.Close()
}

func (d *decoder) field(i int) []byte { return d.record[d.fields[i].first:d.fields[i].end] }

// row appends the record as a row.
func (d *decoder) row(x *row.Builder, first bool) error {
	if len(d.fields) != d.first+len(d.table.Columns) {
		return fmt.Errorf("a row has %d fields, not %d", len(d.fields), d.first+len(d.table.Columns))
	}
	var absent []bool
	if d.first == 0 {
		d.meta.Plain(x, first)
	} else {
		var txn []byte
		ts, ok := int64(0), true
		if !d.fields[2].null {
			ts, ok = text.ParseInstant(d.field(2))
		}
		if !d.fields[3].null {
			txn = d.field(3)
		}
		if !ok {
			return fmt.Errorf("%.40q is no time", d.field(2))
		}
		var err error
		if absent, err = d.meta.Row(x, d.field(0), d.field(1), ts, txn, d.field(4)); err != nil {
			return err
		}
	}
	for i := range d.table.Columns {
		switch {
		case absent != nil && absent[i]:
			x.Absent()
		case d.fields[d.first+i].null:
			x.Null()
		default:
			if err := d.cell(x, d.table.Columns[i].Type, d.field(d.first+i)); err != nil {
				return fmt.Errorf("column %s: %w", d.table.Columns[i].Name, err)
			}
		}
	}
	return nil
}

func (d *decoder) cell(x *row.Builder, t row.Type, p []byte) error {
	switch {
	case t.Kind == row.Bytes && d.base64:
		b, err := base64.StdEncoding.AppendDecode(nil, p)
		if err != nil {
			return err
		}
		x.Bytes(b)
		return nil
	case t.Kind == row.Timestamp && d.instants:
		v, ok := text.ParseInstant(p)
		if !ok {
			return fmt.Errorf("%.40q is no time", p)
		}
		x.Int(v)
		return nil
	}
	return text.Parse(x, t, p)
}

// next returns the next byte.
func (d *decoder) next() (byte, error) {
	if d.at == d.n {
		if err := d.fill(); err != nil {
			return 0, err
		}
	}
	d.at++
	return d.window[d.at-1], nil
}

func (d *decoder) fill() error {
	for !d.ended {
		n, err := d.in.Read(d.window)
		d.at, d.n = 0, n
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		d.ended = err != nil
		if n > 0 {
			return nil
		}
	}
	return io.EOF
}

var errCut = errors.New("the last row is cut off")

// read reads a record, unless one is held. io.EOF without fields is the end.
func (d *decoder) read() error {
	if d.held {
		return nil
	}
	d.record, d.fields = d.record[:0], d.fields[:0]
	if cap(d.record) > 1<<20 {
		d.record = nil
	}
	for {
		last, err := d.readField()
		if errors.Is(err, io.EOF) && len(d.fields)+len(d.record) > 0 {
			err = errCut
		}
		if err != nil {
			return err
		}
		if len(d.record) > maxRecord {
			return errors.New("a row is too long")
		}
		if last {
			d.held = true
			return nil
		}
	}
}

// readField reads a field, and reports whether it is the last of its record.
func (d *decoder) readField() (bool, error) {
	first := len(d.record)
	c, err := d.next()
	if err != nil {
		return false, err
	}
	quoted, null := c == d.quote && !d.bare, false
	if quoted {
		c, err = d.readQuoted()
	}
	for ; err == nil && c != d.delimiter && c != '\n'; c, err = d.next() {
		if quoted && c != '\r' {
			return false, fmt.Errorf("%q stands behind a quote", c)
		}
		if d.bare && c == '\\' {
			if c, err = d.next(); err != nil {
				break
			}
			null = c == 'N'
			c = unescaped(c)
		}
		d.record = append(d.record, c)
	}
	if err != nil {
		return false, cut(err)
	}
	end := len(d.record)
	if c == '\n' && d.crlf {
		if end == first || d.record[end-1] != '\r' {
			return false, errors.New("a line ends with LF alone")
		}
		end--
	}
	text := d.record[first:end]
	if d.bare {
		null = null && string(text) == "N"
	} else {
		null = !quoted && string(text) == d.null
	}
	d.fields = append(d.fields, span{first, end, null})
	return c == '\n', nil
}

// unescaped is what a letter behind a backslash stands for, where nothing is quoted.
func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	return c
}

// cut is err, at a place where a file does not end.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return errCut
	}
	return err
}

// readQuoted reads up to the quote that ends a field, and returns what is behind it.
func (d *decoder) readQuoted() (byte, error) {
	for {
		c, err := d.next()
		if err != nil {
			return 0, err
		}
		switch {
		case c == '\\' && d.backslash:
			if c, err = d.next(); err != nil {
				return 0, err
			}
		case c == d.quote:
			if c, err = d.next(); err != nil || c != d.quote || d.backslash {
				return c, err
			}
		}
		d.record = append(d.record, c)
	}
}
