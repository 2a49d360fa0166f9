package csv

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"godwit/internal/codec"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ codec.Decoding = (*format)(nil)

// Stored implements codec.Decoding: every value has a text that reads back as itself.
func (f *format) Stored(t *row.Table) *row.Table { return t }

// Store implements codec.Decoding.
func (f *format) Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag) {
	switch {
	case flag == row.Null:
		x.Null()
	case flag == row.Absent:
		x.Absent()
	case t.Columns[column].Type.Kind.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(word)
	}
}

// decoder is a codec.Decoder.
type decoder struct {
	*format
	in    fieldReader
	shape codec.Shape
	names []string // of the table's columns, as the header has them
	close func()
	rows  int64

	// The meta columns of the next row, when next is set.
	next        bool
	op          row.Op
	pos         []byte // the order of the row
	incarnation uint16
	txn         row.Txn
	absent      []bool // nil: none
	patterns    map[string][]bool

	prefix string // of the row before
	base   uint64
	last   row.Txn
	now    uint16 // incarnation of the rows appended last
	data   []byte // scratch for binary values
}

// NewDecoder implements codec.Decoding.
func (f *format) NewDecoder(r io.ReaderAt, size int64, s codec.Shape) (codec.Decoder, error) {
	d := &decoder{format: f, shape: s, close: func() {}, patterns: map[string][]bool{}}
	var in io.Reader = io.NewSectionReader(r, 0, size)
	switch f.pack.Extension() {
	case ".gz":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, broken(0, err)
		}
		in = z
	case ".zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, broken(0, err)
		}
		in, d.close = z, z.Close
	}
	d.in = fieldReader{in: in, delimiter: f.delimiter, quote: f.quote, crlf: f.crlf}
	names := codec.Names(s)
	d.names = names[len(names)-len(s.Table.Columns):]
	if f.header {
		if err := d.header(names); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// maxWindow bounds the memory of decompression: levels that people ask for need it.
const maxWindow = 128 << 20

// header checks that the file has the columns of its shape.
func (d *decoder) header(names []string) error {
	for i, n := range names {
		v, err := d.in.next(i == len(names)-1)
		if err != nil {
			return broken(0, err)
		}
		if string(v.text) != n {
			return broken(0, fmt.Errorf("column %d is called %q and not %q", i+1, v.text, n))
		}
	}
	return nil
}

func broken(line int64, err error) error {
	return fault.New(fault.TargetBroken, "row %d of a file is not as it was written", line).By(err)
}

// Incarnation implements codec.Decoder.
func (d *decoder) Incarnation() uint16 { return d.now }

// Close implements codec.Decoder.
func (d *decoder) Close() error {
	d.close()
	return nil
}

// Decode implements codec.Decoder.
func (d *decoder) Decode(x *row.Builder, most int) error {
	for n := 0; n < most; n++ {
		if !d.in.more() {
			if d.in.err != nil {
				return broken(d.rows+1, d.in.err)
			}
			if n == 0 {
				return io.EOF
			}
			return nil
		}
		if d.shape.Meta {
			if err := d.meta(); err != nil {
				return broken(d.rows+1, err)
			}
			if n > 0 && d.incarnation != d.now {
				return nil // those have a batch of their own
			}
			d.place(x)
		} else {
			d.op = row.Read
		}
		if err := d.cells(x); err != nil {
			return broken(d.rows+1, err)
		}
		d.next = false
		d.rows++
	}
	return nil
}

// meta reads the columns of a changelog, unless they are read already.
func (d *decoder) meta() error {
	if d.next {
		return nil
	}
	var v [5]field
	for i := range v {
		f, err := d.in.next(false)
		if err != nil {
			return err
		}
		if err := d.metaField(i, f); err != nil {
			return fmt.Errorf("%s: %w", codec.MetaColumns[i], err)
		}
	}
	d.next = true
	return nil
}

func (d *decoder) metaField(i int, f field) (err error) {
	switch i {
	case 0:
		if len(f.text) != 1 {
			return errText
		}
		at := strings.IndexByte("riudt", f.text[0])
		if at < 0 {
			return errText
		}
		d.op = [...]row.Op{row.Read, row.Insert, row.Update, row.Delete, row.Truncate}[at]
	case 1:
		if d.pos, err = hex.AppendDecode(d.pos[:0], f.text); err != nil || len(d.pos) < 10 {
			return errText
		}
		d.incarnation = binary.BigEndian.Uint16(d.pos)
	case 2:
		if d.txn.Time = 0; !d.isNull(f) {
			d.txn.Time, err = parseInstant(f.text)
		}
	case 3:
		switch {
		case d.isNull(f):
			d.txn.ID = ""
		case string(f.text) != d.txn.ID:
			d.txn.ID = string(f.text)
		}
	case 4:
		d.absent, err = d.absentOf(f)
	}
	return err
}

func (d *decoder) isNull(f field) bool { return !f.quoted && string(f.text) == d.null }

// named undoes how names stand in _absent (codec.AbsentNames).
var named = strings.NewReplacer("%2C", ",", "%25", "%")

// absentOf reads the names of absent columns.
func (d *decoder) absentOf(f field) ([]bool, error) {
	if len(f.text) == 0 {
		return nil, nil
	}
	if p, ok := d.patterns[string(f.text)]; ok {
		return p, nil
	}
	p := make([]bool, len(d.names))
	for name := range strings.SplitSeq(string(f.text), ",") {
		i := slices.Index(d.names, named.Replace(name))
		if i < 0 {
			return nil, fmt.Errorf("no column is called %q", name)
		}
		p[i] = true
	}
	if len(d.patterns) < maxSeen {
		d.patterns[string(f.text)] = p
	}
	return p, nil
}

// place says where the next row stands, where that is not right after the one before.
func (d *decoder) place(x *row.Builder) {
	order := d.pos[2:]
	base := binary.BigEndian.Uint64(order[len(order)-8:])
	prefix := order[:len(order)-8]
	if x.Rows() == 0 || base != d.base+1 || string(prefix) != d.prefix || d.txn != d.last {
		if string(prefix) != d.prefix {
			d.prefix = string(prefix)
		}
		d.last = d.txn
		x.At(d.prefix, base, d.txn)
	}
	d.base, d.now = base, d.incarnation
}

func (d *decoder) cells(x *row.Builder) error {
	x.Row(d.shape.Table, d.op)
	columns := d.shape.Table.Columns
	for i := range columns {
		f, err := d.in.next(i == len(columns)-1)
		if err != nil {
			return fmt.Errorf("%s: %w", columns[i].Name, err)
		}
		switch {
		case d.op == row.Truncate || d.absent != nil && d.shape.Meta && d.absent[i]:
			x.Absent()
		case d.isNull(f):
			x.Null()
		default:
			if err := d.cell(x, columns[i].Type, f.text); err != nil {
				return fmt.Errorf("%s: %q: %w", columns[i].Name, f.text[:min(len(f.text), 80)], err)
			}
		}
	}
	return nil
}

// cell appends the value of a text.
func (d *decoder) cell(x *row.Builder, t row.Type, s []byte) (err error) {
	switch t.Kind {
	case row.Decimal, row.Text, row.JSON, row.Enum, row.Labels:
		x.Bytes(s)
		return nil
	case row.Bytes:
		if d.base64 {
			d.data, err = base64.StdEncoding.AppendDecode(d.data[:0], s)
		} else {
			d.data, err = hex.AppendDecode(d.data[:0], s)
		}
		if err != nil {
			return errText
		}
		x.Bytes(d.data)
		return nil
	}
	w, err := parseWord(t.Kind, s)
	if err == nil {
		x.Word(w)
	}
	return err
}
