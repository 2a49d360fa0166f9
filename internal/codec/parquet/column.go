package parquet

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"

	"godwit/internal/fault"
)

const (
	// pageRows and pageBytes end a page.
	pageRows  = 16 << 10
	pageBytes = 128 << 10
	// waits is how many row groups a column is written without a dictionary before
	// one is tried again.
	waits = 8
)

// Encodings of the format.
const (
	encPlain      = 0
	encRLE        = 3
	encDictionary = 8
)

// column makes the pages of one column of a row group.
type column struct {
	*field
	pages chain // finished ones
	plain int   // row groups that go without a dictionary

	// The page under construction: which rows have a value, and the values, by
	// number while there is a dictionary.
	rows, nulls int
	valid       []byte
	values      []byte
	numbers     []uint16

	dict      dictionary
	open      bool // values go into the dictionary
	closing   bool // those of this page for the last time
	spelled   int  // bytes of the page's values, were they not numbers
	dictPages bool // some page has numbers
	rawBytes  int64
	all       int // rows of the row group
	allNulls  int
	valued    bool // least and greatest are set
	least     uint64
	greatest  uint64
	first     []byte // least and greatest of bytes
	last      []byte
}

func newColumn(f *field, from *blocks) *column {
	c := &column{field: f, pages: chain{from: from}, dict: dictionary{width: f.width}}
	c.reset(true)
	return c
}

// reset begins a row group.
func (c *column) reset(free bool) {
	c.open = c.plain == 0
	c.plain = max(c.plain-1, 0)
	c.dict.reset(free || !c.open)
	if free {
		c.valid, c.values, c.numbers, c.pages.blocks = nil, nil, nil, nil
	}
	c.closing = false
	c.dictPages, c.rawBytes, c.all, c.allNulls, c.valued = false, 0, 0, 0, false
}

// null appends a row without a value.
func (c *column) null() {
	if c.rows&7 == 0 {
		c.valid = append(c.valid, 0)
	}
	c.rows++
	c.nulls++
}

func (c *column) mark() {
	if c.rows&7 == 0 {
		c.valid = append(c.valid, 0)
	}
	c.valid[len(c.valid)-1] |= 1 << (c.rows & 7)
	c.rows++
}

// word appends a value of 4 or 8 bytes.
func (c *column) word(v uint64) {
	c.mark()
	if c.sorts {
		c.span(v)
	}
	switch {
	case c.open:
		c.numbers = append(c.numbers, c.dict.word(v))
		c.spelled += c.width
	case c.width == 4:
		c.values = binary.LittleEndian.AppendUint32(c.values, uint32(v))
	default:
		c.values = binary.LittleEndian.AppendUint64(c.values, v)
	}
}

// span widens least and greatest.
func (c *column) span(v uint64) {
	k := v
	if c.signed {
		k ^= 1 << 63
	}
	if !c.valued {
		c.valued, c.least, c.greatest = true, k, k
		return
	}
	c.least, c.greatest = min(c.least, k), max(c.greatest, k)
}

// bytes appends a value of bytes.
func (c *column) bytes(p []byte) {
	c.mark()
	if c.sorts {
		c.spanBytes(p)
	}
	if c.open {
		c.numbers = append(c.numbers, c.dict.value(p))
		c.spelled += 4 + len(p)
		return
	}
	if c.width == 0 {
		c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(p)))
	}
	c.values = append(c.values, p...)
}

func (c *column) spanBytes(p []byte) {
	if !c.valued || bytes.Compare(p, c.first) < 0 {
		c.first = append(c.first[:0], p...)
	}
	if !c.valued || bytes.Compare(p, c.last) > 0 {
		c.last = append(c.last[:0], p...)
	}
	c.valued = true
}

// full reports whether the page is to be ended.
func (c *column) full() bool {
	return c.rows >= pageRows || len(c.values) >= pageBytes || c.open && len(c.dict.data) >= maxDictionary
}

// review gives a dictionary up that does not pay.
func (c *column) review() {
	if !c.open || c.dict.n <= freeEntries && c.dict.size() < maxDictionary {
		return
	}
	used := c.all + c.rows - c.allNulls - c.nulls
	if c.dict.size() >= maxDictionary || c.dict.n >= maxEntries-pageRows || c.dict.n > used/4 {
		c.giveUp(waits)
	}
}

// giveUp writes values themselves from this page on, or from the next one if those of
// this one are few and long, and in as many row groups to come.
func (c *column) giveUp(groups int) {
	c.plain = groups
	if c.spelled > 2*pageBytes {
		c.closing = true
		return
	}
	c.open = false
	for _, i := range c.numbers {
		c.values = c.dict.appendValue(c.values, i)
	}
	c.numbers = c.numbers[:0]
	if !c.dictPages {
		c.dict.reset(true)
	}
}

// endPage compresses the page and keeps it.
func (c *column) endPage(s *scratch) error {
	if c.rows == 0 {
		return nil
	}
	raw := binary.LittleEndian.AppendUint32(s.raw[:0], 0)
	raw = c.appendLevels(raw)
	binary.LittleEndian.PutUint32(raw, uint32(len(raw)-4))
	encoding := encPlain
	if c.open && len(c.numbers) > 0 {
		encoding = encDictionary
		c.dictPages = true
		width := bits.Len(uint(c.dict.n - 1))
		raw = appendIndexes(append(raw, byte(width)), c.numbers, width)
	} else {
		raw = append(raw, c.values...)
	}
	s.raw = raw
	if err := s.page(raw, c.rows, encoding, &c.pages); err != nil {
		return err
	}
	c.rawBytes += s.raised
	c.all += c.rows
	c.allNulls += c.nulls
	c.rows, c.nulls, c.spelled = 0, 0, 0
	c.open, c.closing = c.open && !c.closing, false
	c.valid, c.numbers = c.valid[:0], c.numbers[:0]
	if c.values = c.values[:0]; cap(c.values) > 4*pageBytes {
		c.values = nil
	}
	return nil
}

// appendLevels appends which rows have a value.
func (c *column) appendLevels(b []byte) []byte {
	switch c.nulls {
	case 0:
		return append(binary.AppendUvarint(b, uint64(c.rows)<<1), 1)
	case c.rows:
		return append(binary.AppendUvarint(b, uint64(c.rows)<<1), 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(c.valid))<<1|1), c.valid...)
}

// memory returns the bytes held.
func (c *column) memory() int {
	return len(c.pages.blocks)*blockSize + cap(c.valid) + cap(c.values) + 2*cap(c.numbers) + c.dict.memory() + cap(c.first) + cap(c.last)
}

// scratch is where the columns of a file make their pages, one at a time.
type scratch struct {
	pack   *packer
	raw    []byte
	packed []byte
	head   thrift
	raised int64 // the page's bytes, were it not compressed
}

// page appends a page of data to out.
func (s *scratch) page(raw []byte, rows, encoding int, out *chain) error {
	return s.seal(raw, out, 0, func(t *thrift) {
		t.begin(5)
		t.int32(1, int64(rows))
		t.int32(2, int64(encoding))
		t.int32(3, encRLE)
		t.int32(4, encRLE)
		t.end()
	})
}

// dictionary appends a dictionary's page to out.
func (s *scratch) dictionary(d *dictionary, out *chain) error {
	s.raw = s.raw[:0]
	for i := range d.n {
		s.raw = d.appendValue(s.raw, uint16(i))
	}
	return s.seal(s.raw, out, 2, func(t *thrift) {
		t.begin(7)
		t.int32(1, int64(d.n))
		t.int32(2, encPlain)
		t.end()
	})
}

// seal compresses a page, puts its header before it and appends both to out.
func (s *scratch) seal(raw []byte, out *chain, kind int, more func(*thrift)) error {
	if len(raw) > math.MaxInt32 {
		return fault.New(fault.RowRefused, "a value of %d bytes is too long for a page of Parquet", len(raw))
	}
	var err error
	if s.packed, err = s.pack.pack(s.packed[:0], raw); err != nil {
		return err
	}
	t := &s.head
	t.b, t.last = t.b[:0], 0
	t.element()
	t.int32(1, int64(kind))
	t.int32(2, int64(len(raw)))
	t.int32(3, int64(len(s.packed)))
	t.int32(4, int64(int32(crc32.ChecksumIEEE(s.packed))))
	more(t)
	t.end()
	out.append(t.b)
	out.append(s.packed)
	s.raised = int64(len(t.b) + len(raw))
	if cap(s.raw) > 8*pageBytes {
		s.raw = nil
	}
	if cap(s.packed) > 8*pageBytes {
		s.packed = nil
	}
	return nil
}
