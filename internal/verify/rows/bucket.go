package rows

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// bucketBits say how many buckets there are; a part of a spill has some of them.
const bucketBits = 16

// bucket is how many rows there are and what their sums come to.
type bucket struct {
	n   int64
	sum sum
}

// buckets divide the rows of one side by a hash of their ids. Rows of a bucket that is the
// same on both sides are equal.
type buckets []bucket

func bucketOf(id []byte) uint64 { return xxh3.Hash(id) >> (64 - bucketBits) }

// bucketed is what is known of both sides by buckets; of a target that keeps history
// nothing is, as its entries say what a row is only together.
type bucketed struct {
	source, target buckets
	open           []bool // buckets that are not the same; nil: not known, every one is
	large          atomic.Bool
}

func newBucketed() *bucketed {
	return &bucketed{source: make(buckets, 1<<bucketBits), target: make(buckets, 1<<bucketBits)}
}

// settle finds the buckets that are not the same, how many there are, and how many rows the
// others have.
func (b *bucketed) settle() (open int, equal int64) {
	b.open = make([]bool, 1<<bucketBits)
	for i := range b.open {
		if b.open[i] = b.source[i] != b.target[i]; b.open[i] {
			open++
		} else {
			equal += b.source[i].n
		}
	}
	return open, equal
}

// isOpen reports whether a row may differ.
func (b *bucketed) isOpen(id []byte) bool {
	return b == nil || b.open == nil || b.open[bucketOf(id)]
}

// anyOpen reports whether a row of a part may.
func (b *bucketed) anyOpen(part int) bool {
	if b == nil || b.open == nil {
		return true
	}
	const each = 1 << (bucketBits - fanOutBits)
	for _, open := range b.open[part*each : (part+1)*each] {
		if open {
			return true
		}
	}
	return false
}

// side takes the ids and sums of the rows of one side. It is used by one goroutine.
type side struct {
	v       *comparison
	buckets buckets // nil: they are known, or nobody asks
	out     *spill
	dropped bool
	filled  bool // buckets have rows
	rest    []byte
	was     buckets // what it had when mark was called last
}

// add takes a row, read at the mark of that index. It keeps it unless the table is so large
// that only the rows of buckets that differ are kept, in another pass.
func (s *side) add(r *seen, mark int) error {
	sum := s.v.rowSum(r)
	if s.buckets == nil {
		if !s.v.buckets.isOpen(r.id) {
			return nil
		}
		return s.keep(r.id, sum, mark)
	}
	s.filled = true
	s.buckets.add(r.id, s.v.sumOrID(r.id, sum))
	large := &s.v.buckets.large
	switch {
	case s.dropped:
		return nil
	case s.out.bytes > s.v.Disk || large.Load():
		s.dropped = true
		large.Store(true)
		return s.out.close()
	}
	return s.keep(r.id, sum, mark)
}

func (s *side) keep(id []byte, sum sum, mark int) error {
	s.rest = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(s.rest[:0], sum.hi), sum.lo)
	s.rest = binary.LittleEndian.AppendUint32(s.rest, uint32(mark))
	return s.out.add(id, s.rest)
}

func (b buckets) add(id []byte, sum sum) {
	at := &b[bucketOf(id)]
	at.n, at.sum = at.n+1, at.sum.plus(sum)
}

// rowSum is the sum of a row; of a table without a key it is zero, as the id says it all.
func (v *comparison) rowSum(r *seen) (s sum) {
	if len(v.stored.Key) > 0 {
		s = v.sums.row(r.cells)
	}
	return s
}

// sumOrID is what stands for a row among others: its sum, or its id if that is one.
func (v *comparison) sumOrID(id []byte, s sum) sum {
	if len(v.stored.Key) > 0 {
		return s
	}
	return sum{binary.BigEndian.Uint64(id), binary.BigEndian.Uint64(id[8:])}
}
