package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"godwit/internal/codec/text"
	"godwit/internal/row"
)

const (
	maxHeader = 4 << 10 // of a page; ours have some 30 bytes
	maxPage   = 1 << 30
	// maxPageRows is far beyond pageRows: a page must not say that it has more rows
	// than its bytes could.
	maxPageRows = 1 << 20
)

// cursor reads one column, a page at a time.
type cursor struct {
	*field
	r       io.ReaderAt
	pack    *packer
	at, end int64 // of what is not read yet of the row group
	rows    int64 // to come, of the row group

	raw      []byte // the page
	values   []byte // what is left of its values
	valid    []byte // which rows have a value
	numbers  []uint16
	numbered bool // values are numbers
	row, n   int  // of the page

	dict dictionary

	// The value that next found.
	null  bool
	word  uint64
	value []byte

	held bool // next gives the same one again
}

func (c *cursor) begin(at, size int64) {
	c.at, c.end = at, at+size
	c.row, c.n, c.held = 0, 0, false
	c.dict = dictionary{width: c.width}
}

// back lets next give the same value again.
func (c *cursor) back() { c.held = true }

// next reads the next value.
func (c *cursor) next() error {
	if c.held {
		c.held = false
		return nil
	}
	for c.row == c.n {
		if err := c.nextPage(); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	c.null = c.valid[c.row>>3]>>(c.row&7)&1 == 0
	c.row++
	c.word, c.value = 0, nil
	if c.null {
		return nil
	}
	if !c.take() {
		return fmt.Errorf("column %s: a page has fewer values than it says", c.name)
	}
	return nil
}

// take takes the next value of the page.
func (c *cursor) take() bool {
	if c.numbered {
		if len(c.numbers) == 0 {
			return false
		}
		i := c.numbers[0]
		c.numbers = c.numbers[1:]
		if int(i) >= c.dict.n {
			return false
		}
		if c.width == 4 || c.width == 8 {
			c.word = c.extend(c.dict.words[i])
		} else {
			c.value = c.dict.at(i)
		}
		return true
	}
	ok := false
	c.word, c.value, c.values, ok = c.plainValue(c.values)
	c.word = c.extend(c.word)
	return ok
}

// plainValue takes a value off p.
func (f *field) plainValue(p []byte) (uint64, []byte, []byte, bool) {
	n := f.width
	if n == 0 {
		if len(p) < 4 {
			return 0, nil, p, false
		}
		n = int(binary.LittleEndian.Uint32(p))
		p = p[4:]
	}
	if n > len(p) {
		return 0, nil, p, false
	}
	switch f.width {
	case 4:
		return uint64(binary.LittleEndian.Uint32(p)), nil, p[4:], true
	case 8:
		return binary.LittleEndian.Uint64(p), nil, p[8:], true
	}
	return 0, p[:n:n], p[n:], true
}

// extend makes 64 bits of a signed value of 32.
func (f *field) extend(v uint64) uint64 {
	if f.width == 4 && f.signed {
		return uint64(int64(int32(v)))
	}
	return v
}

// page is what the header of a page says.
type page struct {
	kind, raw, packed int64
	rows, encoding    int64
	sum               int64
	summed            bool
}

func (c *cursor) nextPage() error {
	for {
		p, err := c.header()
		if err != nil {
			return err
		}
		if err := c.load(p); err != nil {
			return err
		}
		if p.kind == 2 {
			if err := c.readDictionary(p); err != nil {
				return err
			}
			continue
		}
		if p.kind != 0 || p.rows <= 0 || p.rows > maxPageRows || p.rows > c.rows {
			return fmt.Errorf("a page of kind %d with %d rows, where %d are left", p.kind, p.rows, c.rows)
		}
		c.rows -= p.rows
		return c.readData(p)
	}
}

// header reads the header of the next page.
func (c *cursor) header() (page, error) {
	var p page
	if c.at >= c.end {
		return p, errors.New("its pages end too early")
	}
	b := make([]byte, min(maxHeader, c.end-c.at))
	if err := readAt(c.r, b, c.at); err != nil {
		return p, err
	}
	r := thriftReader{b: b}
	r.fields(func(id, kind int) {
		switch {
		case id == 1:
			p.kind = r.want(kind)
		case id == 2:
			p.raw = r.want(kind)
		case id == 3:
			p.packed = r.want(kind)
		case id == 4:
			p.sum, p.summed = r.want(kind), true
		case (id == 5 || id == 7) && kind == thriftStruct:
			r.fields(func(id, kind int) {
				switch id {
				case 1:
					p.rows = r.want(kind)
				case 2:
					p.encoding = r.want(kind)
				default:
					r.skip(kind)
				}
			})
		default:
			r.skip(kind)
		}
	})
	c.at += int64(r.at)
	if r.err != nil {
		return p, r.err
	}
	if p.packed < 0 || p.packed > c.end-c.at || p.raw < 0 || p.raw > maxPage {
		return p, fmt.Errorf("a page of %d bytes, %d compressed, where %d are left", p.raw, p.packed, c.end-c.at)
	}
	return p, nil
}

// load reads a page and opens its compression.
func (c *cursor) load(p page) error {
	b := make([]byte, p.packed)
	if err := readAt(c.r, b, c.at); err != nil {
		return err
	}
	c.at += p.packed
	if p.summed && uint32(p.sum) != crc32.ChecksumIEEE(b) {
		return errors.New("a page is not what its checksum says")
	}
	var err error
	if c.raw, err = c.pack.unpack(b, int(p.raw)); err != nil {
		return err
	}
	if int64(len(c.raw)) != p.raw {
		return fmt.Errorf("a page has %d bytes and says %d", len(c.raw), p.raw)
	}
	return nil
}

// unpack returns the page of n bytes that b is compressed from.
func (p *packer) unpack(b []byte, n int) ([]byte, error) {
	var r io.Reader
	switch p.id {
	case packNone:
		return b, nil
	case packSnappy:
		if size, err := s2.DecodedLen(b); err != nil || size != n {
			return nil, fmt.Errorf("a page has %d bytes and says %d", size, n)
		}
		return s2.Decode(nil, b)
	case packGzip:
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		r = z
	default:
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxPage))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	}
	var out bytes.Buffer
	if n < 1<<20 {
		out.Grow(n + bytes.MinRead)
	}
	_, err := out.ReadFrom(io.LimitReader(r, int64(n)+1))
	return out.Bytes(), err
}

func (c *cursor) readDictionary(p page) error {
	c.dict = dictionary{width: c.width}
	if p.rows < 0 || p.rows > maxEntries*2 {
		return fmt.Errorf("a dictionary of %d values", p.rows)
	}
	b := c.raw
	for range p.rows {
		w, v, rest, ok := c.plainValue(b)
		if !ok {
			return errors.New("a dictionary is cut off")
		}
		b = rest
		if c.width == 4 || c.width == 8 {
			c.dict.words = append(c.dict.words, w)
		} else {
			c.dict.data = append(c.dict.data, v...)
			c.dict.ends = append(c.dict.ends, uint32(len(c.dict.data)))
		}
		c.dict.n++
	}
	return nil
}

func (c *cursor) readData(p page) error {
	if len(c.raw) < 4 {
		return errors.New("a page is cut off")
	}
	n := binary.LittleEndian.Uint32(c.raw)
	if uint64(n) > uint64(len(c.raw)-4) {
		return errors.New("a page is cut off")
	}
	levels, values := c.raw[4:4+n], c.raw[4+n:]
	c.row, c.n = 0, int(p.rows)
	bitmap := make([]byte, (c.n+7)/8)
	have := 0
	err := readHybrid(levels, 1, c.n, func(i int, v uint16) {
		if v == 1 {
			bitmap[i>>3] |= 1 << (i & 7)
			have++
		}
	})
	if err != nil {
		return err
	}
	c.valid = bitmap
	switch p.encoding {
	case encPlain:
		c.numbered, c.values = false, values
		return nil
	case encDictionary:
		c.numbered = true
		return c.readNumbers(values, have)
	}
	return fmt.Errorf("a page has the unknown encoding %d", p.encoding)
}

func (c *cursor) readNumbers(b []byte, n int) error {
	if len(b) == 0 || int(b[0]) > bits.Len(maxEntries*2) {
		return errors.New("the numbers of a page are too wide")
	}
	c.numbers = make([]uint16, n)
	return readHybrid(b[1:], int(b[0]), n, func(i int, v uint16) { c.numbers[i] = v })
}

// readHybrid reads n numbers of so many bits as appendIndexes writes them.
func readHybrid(b []byte, width, n int, f func(i int, v uint16)) error {
	cut := errors.New("the runs of a page are cut off")
	for i := 0; i < n; {
		h, k := binary.Uvarint(b)
		if k <= 0 {
			return cut
		}
		b = b[k:]
		if h&1 == 0 {
			size := (width + 7) / 8
			if len(b) < size || h>>1 == 0 {
				return cut
			}
			v := uint16(0)
			for k := range size {
				v |= uint16(b[k]) << (8 * k)
			}
			b = b[size:]
			for end := i + int(min(h>>1, uint64(n-i))); i < end; i++ {
				f(i, v)
			}
			continue
		}
		groups := h >> 1
		if groups == 0 || width > 0 && groups > uint64(len(b)/width) {
			return cut
		}
		acc, have, at := uint64(0), 0, 0
		for end := i + int(min(groups*8, uint64(n-i))); i < end; i++ {
			for have < width {
				acc |= uint64(b[at]) << have
				at++
				have += 8
			}
			f(i, uint16(acc&(1<<width-1)))
			acc >>= width
			have -= width
		}
		b = b[int(groups)*width:]
	}
	return nil
}

// cell appends the cell of the value that next found; form is scratch.
func (c *cursor) cell(x *row.Builder, form []byte) []byte {
	switch c.how {
	case asWord, asTime, asTimestamp:
		x.Word(c.word)
	case asDate:
		y, m, d := text.Civil(int64(c.word))
		x.Word(row.PackDate(y, m, d))
	case asDateTime:
		micros := int64(c.word)
		day := micros / dayMicros
		if micros < day*dayMicros {
			day--
		}
		y, m, d := text.Civil(day)
		x.Word(row.PackDateTime(y, m, d, micros-day*dayMicros))
	case asDecimal:
		form = appendDigits(form, int64(c.word) < 0, 0, magnitude(c.word), c.scale)
		x.Bytes(form)
	case asBigDecimal:
		form = appendWide(form, c.value, c.scale)
		x.Bytes(form)
	case asUUID:
		form = text.AppendUUID(form, c.value)
		x.Bytes(form)
	default:
		x.Bytes(c.value)
	}
	return form
}
