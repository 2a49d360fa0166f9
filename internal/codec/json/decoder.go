package json

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// decoder is a codec.Decoder: it reads what encoder writes, key by key. It holds one
// line.
type decoder struct {
	*encoder // what a file of the shape looks like
	in       io.ReadCloser
	lines    *bufio.Reader
	line     []byte
	held     bool // line is the next row
	meta     text.Meta
	table    *row.Table
	head     [5][]byte // values of a changelog's columns; nil: null
	rest     []byte    // of line
	value    []byte    // scratch
}

// maxLine bounds one row.
const maxLine = 4 << 30

// NewDecoder implements codec.Decoding.
func (f *format) NewDecoder(r io.ReaderAt, size int64, s codec.Shape) (codec.Decoder, error) {
	e, err := f.NewEncoder(io.Discard, s)
	if err != nil {
		return nil, err
	}
	in, err := f.pack.Reader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, broken(err)
	}
	d := &decoder{encoder: e.(*encoder), in: in, lines: bufio.NewReaderSize(in, 64<<10), table: s.Table}
	d.meta = text.NewMeta(s.Table, d.names)
	return d, nil
}

func broken(err error) error {
	var coded *fault.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return fault.New(fault.TargetBroken, "a file of JSON lines cannot be read back").By(err)
}

// Stored implements codec.Decoding: a text holds everything.
func (f *format) Stored(t *row.Table) *row.Table { return t }

// Store implements codec.Decoding.
func (f *format) Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag) {
	k := t.Columns[column].Type.Kind
	document := k == row.JSON && f.formOf(t, column) == formDocument
	switch {
	case flag == row.Absent:
		x.Absent()
	case flag == row.Null, document && codec.UnfitOf(f.unfit, t, column) == codec.Nullify && !holds(b.Data(word)):
		x.Null()
	case document:
		x.Bytes(bytes.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, b.Data(word)))
	case k.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(text.Stored(k, word))
	}
}

// Decode implements codec.Decoder.
func (d *decoder) Decode(x *row.Builder, most int) error {
	for n := 0; n < most && (n == 0 || x.Size() < codec.BatchBytes); n++ {
		if err := d.read(); errors.Is(err, io.EOF) {
			if n > 0 {
				return nil
			}
			return io.EOF
		} else if err != nil {
			return broken(err)
		}
		d.rest = d.line
		if d.shape.Meta {
			if err := d.readMeta(); err != nil {
				return broken(err)
			}
			if n > 0 && d.meta.Other(d.head[1]) {
				return nil
			}
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
	d.line, d.value = nil, nil
	return d.in.Close()
}

// read reads a line, unless one is held; io.EOF after the last.
func (d *decoder) read() error {
	if d.held {
		return nil
	}
	if d.line = d.line[:0]; cap(d.line) > 1<<20 {
		d.line = nil
	}
	for {
		p, err := d.lines.ReadSlice('\n')
		d.line = append(d.line, p...)
		switch {
		case err == nil:
			d.line, d.held = d.line[:len(d.line)-1], true
			return nil
		case errors.Is(err, io.EOF) && len(d.line) > 0:
			return errors.New("the last row is cut off")
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		case len(d.line) > maxLine:
			return errors.New("a row is too long")
		}
	}
}

func (d *decoder) readMeta() error {
	for i := range d.head {
		null, err := d.key(d.keys[i])
		if d.head[i] = nil; err == nil && !null {
			d.head[i], err = d.text()
			d.head[i] = bytes.Clone(d.head[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// row appends the line as a row.
func (d *decoder) row(x *row.Builder, first bool) error {
	var absent []bool
	if d.shape.Meta {
		ts, ok := int64(0), true
		if d.head[2] != nil {
			ts, ok = text.ParseInstant(d.head[2])
		}
		if !ok {
			return fmt.Errorf("%.40q is no time", d.head[2])
		}
		var err error
		if absent, err = d.meta.Row(x, d.head[0], d.head[1], ts, d.head[3], d.head[4]); err != nil {
			return err
		}
	} else {
		d.meta.Plain(x, first)
	}
	for i := range d.columns {
		null, err := d.key(d.columns[i].key)
		switch {
		case err != nil:
			return err
		case !null:
			err = d.readCell(x, &d.columns[i])
		case absent != nil && absent[i]:
			x.Absent()
		default:
			x.Null()
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", d.table.Columns[i].Name, err)
		}
	}
	if string(d.rest) != "}" {
		return fmt.Errorf("%.40q is behind the last column", d.rest)
	}
	return nil
}

// key takes a key off the line, and null if that is its value.
func (d *decoder) key(k []byte) (bool, error) {
	rest, ok := bytes.CutPrefix(d.rest, k)
	if !ok {
		return false, fmt.Errorf("%.40q is where %.40q is expected", d.rest, k)
	}
	d.rest = rest
	after, null := bytes.CutPrefix(rest, []byte("null"))
	if null {
		d.rest = after
	}
	return null, nil
}

// text takes a text off the line; what it returns is used again.
func (d *decoder) text() ([]byte, error) {
	p, ok := bytes.CutPrefix(d.rest, []byte{'"'})
	if !ok {
		return nil, fmt.Errorf("%.40q is no text", d.rest)
	}
	d.value = d.value[:0]
	for {
		n := 0
		for n < len(p) && p[n] != '"' && p[n] != '\\' {
			n++
		}
		d.value = append(d.value, p[:n]...)
		if n == len(p) {
			return nil, errors.New("a text has no end")
		}
		if p[n] == '"' {
			d.rest = p[n+1:]
			return d.value, nil
		}
		n, err := d.unescape(p[n:])
		if err != nil {
			return nil, err
		}
		p = p[len(p)-n:]
	}
}

// unescape appends what the escape at the start of p stands for and returns how much of
// p is behind it.
func (d *decoder) unescape(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, errors.New("an escape is cut off")
	}
	switch c := p[1]; c {
	case '"', '\\':
		d.value = append(d.value, c)
	case 'n':
		d.value = append(d.value, '\n')
	case 'r':
		d.value = append(d.value, '\r')
	case 't':
		d.value = append(d.value, '\t')
	default:
		var b [2]byte
		if len(p) < 6 || c != 'u' {
			return 0, fmt.Errorf("%.10q is no escape", p)
		}
		if _, err := hex.Decode(b[:], p[2:6]); err != nil || b[0] != 0 {
			return 0, fmt.Errorf("%.10q is no escape", p)
		}
		d.value = append(d.value, b[1])
		return len(p) - 6, nil
	}
	return len(p) - 2, nil
}

// bare takes a value that is no text off the line.
func (d *decoder) bare() []byte {
	n := bytes.IndexAny(d.rest, ",}")
	if n < 0 {
		n = len(d.rest)
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

func (d *decoder) readCell(x *row.Builder, c *column) error {
	if c.form == formDocument {
		p, err := d.document()
		x.Bytes(p)
		return err
	}
	p := d.rest
	if len(p) > 0 && p[0] == '"' {
		var err error
		if p, err = d.text(); err != nil {
			return err
		}
	} else {
		p = d.bare()
	}
	var ok bool
	switch c.form {
	case formDateTime:
		var w uint64
		w, ok = text.ParseDateTime(p)
		x.Word(w)
	case formMoment:
		var v int64
		v, ok = text.ParseInstant(p)
		x.Int(v)
	case formBytes:
		b, err := d.unpack(p)
		x.Bytes(b)
		return err
	default:
		return text.Parse(x, c.t, p)
	}
	if !ok {
		return fmt.Errorf("%.40q is no %s", p, c.t.Kind)
	}
	return nil
}

func (d *decoder) unpack(p []byte) ([]byte, error) {
	if d.base64 {
		return base64.StdEncoding.AppendDecode(nil, p)
	}
	return hex.AppendDecode(nil, p)
}

// document takes a value of JSON off the line, as it stands there.
func (d *decoder) document() ([]byte, error) {
	depth, quoted := 0, false
	for i := 0; i < len(d.rest); i++ {
		switch c := d.rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			depth--
		case depth == 0 && (c == ',' || c == '}'):
			p := d.rest[:i]
			d.rest = d.rest[i:]
			if !json.Valid(p) {
				return nil, fmt.Errorf("%.40q is no JSON", p)
			}
			return p, nil
		}
	}
	return nil, errors.New("a value has no end")
}
