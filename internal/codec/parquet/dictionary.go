package parquet

import (
	"bytes"
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

const (
	// freeEntries is how many different values a dictionary may have in any case;
	// beyond, each must be used four times on the average.
	freeEntries = 4096
	maxEntries  = 32 << 10
	// maxDictionary bounds the bytes of its values.
	maxDictionary = 256 << 10
)

// dictionary gives values numbers, in the order in which they come.
type dictionary struct {
	width  int      // bytes of a value; 0: they differ
	n      int      // values
	words  []uint64 // values of up to 8 bytes
	data   []byte   // others
	ends   []uint32 // of each in data
	table  []uint16 // number+1 by hash; 0: free
	recent uint16   // the number given last
}

// room grows the table before a value is added.
func (d *dictionary) room(hash func(i int) uint64) {
	if 2*(d.n+1) <= len(d.table) {
		return
	}
	d.table = make([]uint16, max(64, 2*len(d.table)))
	for i := range d.n {
		at := d.slot(hash(i))
		for d.table[at] != 0 {
			at = (at + 1) & (len(d.table) - 1)
		}
		d.table[at] = uint16(i + 1)
	}
}

func (d *dictionary) slot(hash uint64) int { return int(hash>>32) & (len(d.table) - 1) }

func hashWord(v uint64) uint64 {
	v *= 0x9e3779b97f4a7c15
	return v ^ v>>29 ^ v<<32
}

// word returns the number of v.
func (d *dictionary) word(v uint64) uint16 {
	if d.n > 0 && d.words[d.recent] == v {
		return d.recent
	}
	d.room(func(i int) uint64 { return hashWord(d.words[i]) })
	at := d.slot(hashWord(v))
	for ; d.table[at] != 0; at = (at + 1) & (len(d.table) - 1) {
		if i := d.table[at] - 1; d.words[i] == v {
			d.recent = i
			return i
		}
	}
	d.words = append(d.words, v)
	return d.add(at)
}

// value returns the number of p.
func (d *dictionary) value(p []byte) uint16 {
	if d.n > 0 && bytes.Equal(d.at(d.recent), p) {
		return d.recent
	}
	d.room(func(i int) uint64 { return xxh3.Hash(d.at(uint16(i))) })
	at := d.slot(xxh3.Hash(p))
	for ; d.table[at] != 0; at = (at + 1) & (len(d.table) - 1) {
		if i := d.table[at] - 1; bytes.Equal(d.at(i), p) {
			d.recent = i
			return i
		}
	}
	d.data = append(d.data, p...)
	d.ends = append(d.ends, uint32(len(d.data)))
	return d.add(at)
}

func (d *dictionary) add(slot int) uint16 {
	d.n++
	d.table[slot] = uint16(d.n)
	d.recent = uint16(d.n - 1)
	return d.recent
}

// at returns the value in bytes with number i.
func (d *dictionary) at(i uint16) []byte {
	first := uint32(0)
	if i > 0 {
		first = d.ends[i-1]
	}
	return d.data[first:d.ends[i]]
}

// appendValue appends value i as plain pages have it.
func (d *dictionary) appendValue(b []byte, i uint16) []byte {
	switch d.width {
	case 4:
		return binary.LittleEndian.AppendUint32(b, uint32(d.words[i]))
	case 8:
		return binary.LittleEndian.AppendUint64(b, d.words[i])
	case 0:
		p := d.at(i)
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return append(b, d.at(i)...)
}

// size is how many bytes the values have.
func (d *dictionary) size() int { return len(d.words)*d.width + len(d.data) + 4*len(d.ends) }

// reset forgets the values; it keeps memory unless told to free it.
func (d *dictionary) reset(free bool) {
	if free {
		*d = dictionary{width: d.width}
		return
	}
	clear(d.table)
	d.n, d.recent, d.words, d.data, d.ends = 0, 0, d.words[:0], d.data[:0], d.ends[:0]
}

func (d *dictionary) memory() int {
	return 8*cap(d.words) + cap(d.data) + 4*cap(d.ends) + 2*cap(d.table)
}
