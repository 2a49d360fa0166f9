package parquet

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"

	"godwit/internal/codec"
	"godwit/internal/codec/text"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// encoder is a codec.Encoder.
type encoder struct {
	*format
	shape     codec.Shape
	fields    []field
	columns   []*column // the changelog's, then the table's
	cells     []*column // the table's
	names     []string  // of cells
	scratch   scratch
	out       out
	footer    thrift // row groups so far
	groups    int
	total     int64 // rows of finished row groups
	rows      int64 // of the row group under construction
	nullified int64
	meta      meta
	form      []byte // scratch: a value's text
	err       error
	closed    bool
}

var (
	_ codec.Refuser  = (*encoder)(nil)
	_ codec.Shrinker = (*encoder)(nil)
)

// out counts what is written.
type out struct {
	w io.Writer
	n int64
}

func (o *out) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// NewEncoder implements codec.Codec.
func (f *format) NewEncoder(w io.Writer, s codec.Shape) (codec.Encoder, error) {
	fields, err := f.fields(s)
	if err != nil {
		return nil, err
	}
	e := &encoder{format: f, shape: s, fields: fields, scratch: scratch{pack: f.pack}, out: out{w: w}}
	for i := range e.fields {
		e.columns = append(e.columns, newColumn(&e.fields[i], &f.blocks))
	}
	e.cells = e.columns[len(fields)-len(s.Table.Columns):]
	e.names = codec.Names(s)[len(fields)-len(e.cells):]
	return e, nil
}

// begin writes what a file starts with, once.
func (e *encoder) begin() error {
	if e.out.n > 0 {
		return nil
	}
	_, err := io.WriteString(&e.out, magic)
	return err
}

const magic = "PAR1"

// tile is how many rows are taken column by column: so many that their cells stay in
// the processor's nearest memory.
const tile = 256

// Encode implements codec.Encoder.
func (e *encoder) Encode(b *row.Batch, s *row.Section) error {
	if e.closed {
		return fault.New(fault.Internal, "rows for a file that is closed")
	}
	if e.err != nil {
		return e.err
	}
	if s.Table != e.shape.Table && !s.Table.SameShape(e.shape.Table) {
		return fault.New(fault.Internal, "rows of version %d of %s in a file of version %d", s.Table.Version, s.Table.Name, e.shape.Table.Version)
	}
	e.err = e.encode(b, s)
	return e.err
}

func (e *encoder) encode(b *row.Batch, s *row.Section) error {
	if e.shape.Meta {
		if err := e.encodeMeta(b, s); err != nil {
			return err
		}
	}
	var words [tile][]uint64
	var flags [tile][]row.Flag
	for first := 0; first < s.Rows; first += tile {
		n := min(tile, s.Rows-first)
		for i := range n {
			words[i], flags[i] = b.Cells(s, s.Row+first+i)
		}
		for k, c := range e.cells {
			at, err := e.fill(c, b, k, words[:n], flags[:n])
			if err != nil {
				return err
			}
			if at < n {
				return e.refusal(b, s, s.Row+first+at, k)
			}
		}
	}
	e.rows += int64(s.Rows)
	if e.groups < maxGroups && (e.encoded() >= e.group || e.rows >= maxGroupRows) {
		return e.endGroup(false)
	}
	return nil
}

// maxGroups is how many row groups end before the file does: readers count them in
// 16 bits.
const maxGroups = math.MaxInt16 - 1

// maxGroupRows bounds a row group of rows that compress to almost nothing.
const maxGroupRows = 4 << 20

// fill appends the cells k of rows to c, up to the first one that it must refuse,
// and returns how many it took.
func (e *encoder) fill(c *column, b *row.Batch, k int, words [][]uint64, flags [][]row.Flag) (int, error) {
	for i, w := range words {
		if flags[i][k] != row.Value {
			c.null()
		} else if !e.value(c, b, w[k]) {
			if c.unfit != codec.Nullify {
				return i, nil
			}
			e.nullified++
			c.null()
		}
		if c.full() {
			if err := e.endPage(c); err != nil {
				return i, err
			}
		}
	}
	return len(words), nil
}

func (e *encoder) endPage(c *column) error {
	c.review()
	return c.endPage(&e.scratch)
}

// value appends the value of a cell, if the column can hold it.
func (e *encoder) value(c *column, b *row.Batch, w uint64) bool {
	switch c.how {
	case asBytes:
		c.bytes(b.Data(w))
		return true
	case asJSON:
		if !json.Valid(b.Data(w)) {
			return false
		}
		c.bytes(b.Data(w))
		return true
	case asText:
		e.form = text.Append(e.form[:0], c.source, w, nil)
	case asBigDecimal, asUUID:
		var ok bool
		if e.form, ok = c.packed(e.form[:0], b.Data(w)); !ok {
			return false
		}
	default:
		v, ok := c.fixed(b, w)
		if ok {
			c.word(v)
		}
		return ok
	}
	c.bytes(e.form)
	return true
}

// packed appends the value of a cell in bytes that has another form in the file, and
// reports whether the file can hold it.
func (f *field) packed(b, p []byte) ([]byte, bool) {
	if f.how == asUUID {
		return appendUUID(b, p)
	}
	return appendDecimal(b, p, f.digits, f.scale, f.width)
}

// Refuse implements codec.Refuser.
func (e *encoder) Refuse(b *row.Batch, s *row.Section, i int) error {
	words, flags := b.Cells(s, i)
	for k, c := range e.cells {
		if flags[k] == row.Value && c.unfit == codec.Refuse && !c.holds(b, words[k]) {
			return e.refusal(b, s, i, k)
		}
	}
	return nil
}

func (e *encoder) refusal(b *row.Batch, s *row.Section, i, k int) error {
	return text.Refusal(b, s, i, k, "Parquet's "+e.cells[k].label)
}

// Nullified implements codec.Refuser.
func (e *encoder) Nullified() int64 { return e.nullified }

// encoded returns the bytes of finished pages.
func (e *encoder) encoded() int {
	n := 0
	for _, c := range e.columns {
		n += c.pages.n
	}
	return n
}

// Shrink implements codec.Shrinker.
func (e *encoder) Shrink() error {
	if e.err == nil && !e.closed && e.groups < maxGroups {
		e.err = e.endGroup(true)
		e.scratch.raw, e.scratch.packed = nil, nil
	}
	return e.err
}

// Memory implements codec.Encoder.
func (e *encoder) Memory() int {
	n := cap(e.scratch.raw) + cap(e.scratch.packed) + cap(e.footer.b) + e.meta.memory() + len(e.columns)*columnBytes
	for _, c := range e.columns {
		n += c.memory()
	}
	return n
}

// columnBytes is what a column takes that has no rows.
const columnBytes = 512

// Written implements codec.Encoder.
func (e *encoder) Written() int64 {
	n := e.out.n
	if !e.closed {
		for _, c := range e.columns {
			n += int64(c.pages.n + len(c.values) + 2*len(c.numbers) + len(c.valid))
		}
	}
	return n
}

// Close implements codec.Encoder.
func (e *encoder) Close() error {
	if e.closed {
		return e.err
	}
	e.closed = true
	if e.err == nil {
		e.err = e.end()
	}
	e.columns, e.cells = nil, nil
	return e.err
}

func (e *encoder) end() error {
	if err := e.endGroup(true); err != nil {
		return err
	}
	if err := e.begin(); err != nil {
		return err
	}
	_, err := e.out.Write(e.trailer())
	return err
}

// endGroup writes the row group under construction.
func (e *encoder) endGroup(free bool) error {
	if e.rows == 0 {
		return nil
	}
	if err := e.begin(); err != nil {
		return err
	}
	t := &e.footer
	t.element()
	t.list(1, thriftStruct, len(e.columns))
	start, raw := e.out.n, int64(0)
	for _, c := range e.columns {
		n, err := e.endChunk(c, t)
		if err != nil {
			return err
		}
		raw += n
		c.reset(free)
	}
	t.int64(2, raw)
	t.int64(3, e.rows)
	t.int64(5, start)
	t.int64(6, e.out.n-start)
	t.end()
	e.groups++
	e.total += e.rows
	e.rows = 0
	return nil
}

// endChunk writes a column of a row group and describes it in the footer; it returns
// its bytes, were they not compressed.
func (e *encoder) endChunk(c *column, t *thrift) (int64, error) {
	c.review()
	if c.open && !c.dictPages && c.dict.n > (c.rows-c.nulls)/2 {
		c.giveUp(0) // a small row group says little
	}
	if err := c.endPage(&e.scratch); err != nil {
		return 0, err
	}
	start, first := e.out.n, e.out.n
	if c.dictPages {
		d := chain{from: &e.blocks}
		if err := e.scratch.dictionary(&c.dict, &d); err != nil {
			return 0, err
		}
		c.rawBytes += e.scratch.raised
		first += int64(d.n)
		if err := d.drain(&e.out); err != nil {
			return 0, err
		}
	}
	if err := c.pages.drain(&e.out); err != nil {
		return 0, err
	}
	t.element()
	t.int64(2, start)
	t.begin(3)
	e.describeChunk(c, t, start, first)
	t.end()
	t.end()
	return c.rawBytes, nil
}

func (e *encoder) describeChunk(c *column, t *thrift, start, first int64) {
	t.int32(1, int64(c.physical))
	encodings := []int64{encPlain, encRLE}
	if c.dictPages {
		encodings = append(encodings, encDictionary)
	}
	t.list(2, thriftI32, len(encodings))
	for _, n := range encodings {
		t.number(n)
	}
	t.list(3, thriftBinary, 1)
	t.item(c.name)
	t.int32(4, int64(e.pack.id))
	t.int64(5, int64(c.all))
	t.int64(6, c.rawBytes)
	t.int64(7, e.out.n-start)
	t.int64(9, first)
	if c.dictPages {
		t.int64(11, start)
	}
	t.begin(12)
	t.int64(3, int64(c.allNulls))
	if c.valued {
		t.text(5, c.bound(c.greatest, c.last))
		t.text(6, c.bound(c.least, c.first))
	}
	t.end()
}

// bound is the least or greatest value as the footer has it.
func (c *column) bound(k uint64, p []byte) string {
	if c.physical == physBytes {
		return string(p)
	}
	if c.signed {
		k ^= 1 << 63
	}
	return string(binary.LittleEndian.AppendUint64(nil, k)[:c.width])
}

// trailer is the end of the file.
func (e *encoder) trailer() []byte {
	var t thrift
	t.element()
	t.int32(1, 2)
	t.list(2, thriftStruct, 1+len(e.fields))
	t.element()
	t.text(4, "schema")
	t.int32(5, int64(len(e.fields)))
	t.end()
	for i := range e.fields {
		e.fields[i].schema(&t)
	}
	t.int64(3, e.total)
	t.list(4, thriftStruct, e.groups)
	t.b = append(t.b, e.footer.b...)
	t.list(5, thriftStruct, 1)
	t.element()
	t.text(1, versionKey)
	t.text(2, version)
	t.end()
	t.text(6, "godwit")
	t.list(7, thriftStruct, len(e.fields))
	for range e.fields {
		t.element()
		t.begin(1) // by the order of the type
		t.end()
		t.end()
	}
	t.end()
	t.b = binary.LittleEndian.AppendUint32(t.b, uint32(len(t.b)))
	return append(t.b, magic...)
}

// meta makes the columns of a changelog.
type meta struct {
	place []byte // _pos of the next row
	order uint64 // its last eight bytes
	seen  map[string][]byte
}

func (m *meta) memory() int { return cap(m.place) + 64*len(m.seen) }

// maxSeen bounds the remembered patterns of absent cells.
const maxSeen = 64

func (e *encoder) encodeMeta(b *row.Batch, s *row.Section) error {
	op, pos, ts, txn, absent := e.columns[0], e.columns[1], e.columns[2], e.columns[3], e.columns[4]
	for span := range b.Spans(s) {
		e.meta.start(b.Incarnation, &span)
		id := []byte(span.Txn.ID)
		for i := span.Row; i < span.Row+span.Rows; i++ {
			l := codec.OpLetter(b.Op(i))
			op.bytes([]byte{l})
			pos.bytes(e.meta.place)
			e.meta.advance()
			if span.Txn.Time == 0 {
				ts.null()
			} else {
				ts.word(uint64(span.Txn.Time))
			}
			if len(id) == 0 {
				txn.null()
			} else {
				txn.bytes(id)
			}
			_, flags := b.Cells(s, i)
			absent.bytes(e.absent(b.Op(i), flags))
			if !op.full() && !pos.full() && !txn.full() && !absent.full() {
				continue
			}
			for _, c := range e.columns[:len(codec.MetaColumns)] {
				if !c.full() {
					continue
				}
				if err := e.endPage(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// start prepares for the rows of span. What place holds is what row.AppendPos makes of
// each row's order.
func (m *meta) start(incarnation uint16, span *row.Span) {
	m.place = hex.AppendEncode(m.place[:0], []byte{byte(incarnation >> 8), byte(incarnation)})
	m.place = hex.AppendEncode(m.place, []byte(span.Prefix))
	m.order = span.Base
	m.place = hex.AppendEncode(m.place, binary.BigEndian.AppendUint64(nil, span.Base))
}

// advance counts place up by one.
func (m *meta) advance() {
	const digits = "0123456789abcdef"
	m.order++
	end := m.place[len(m.place)-16:]
	if low := m.order & 0xff; low != 0 {
		end[14], end[15] = digits[low>>4], digits[low&15]
		return
	}
	hex.Encode(end, binary.BigEndian.AppendUint64(nil, m.order))
}

// absent returns _absent of a row.
func (e *encoder) absent(op row.Op, flags []row.Flag) []byte {
	if op == row.Truncate || !text.AnyAbsent(flags) {
		return nil
	}
	if v, ok := e.meta.seen[string(flags)]; ok {
		return v
	}
	v := []byte(codec.AbsentNames(e.names, flags))
	if len(e.meta.seen) >= maxSeen || e.meta.seen == nil {
		e.meta.seen = map[string][]byte{}
	}
	e.meta.seen[string(flags)] = v
	return v
}
