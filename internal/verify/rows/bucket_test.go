package rows

import (
	"encoding/binary"
	"testing"
)

// Two rows of one bucket, one on each side: it has as many on both, and they are not equal.
func TestBuckets_when_rows_of_one_differ(t *testing.T) {
	id := func(n uint64) []byte { return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 7), n) }
	other := uint64(1)
	for bucketOf(id(other)) != bucketOf(id(0)) {
		other++
	}
	for _, keyed := range []bool{true, false} {
		v := &comparison{stored: newWorld(1, keyed, false).table}
		b := newBucketed()
		of := func(n uint64) sum {
			if keyed {
				return v.sumOrID(id(n), sum{n, n})
			}
			return v.sumOrID(id(n), sum{})
		}
		b.source.add(id(0), of(0))
		b.target.add(id(other), of(other))
		if open, equal := b.settle(); open != 1 || equal != 0 || !b.isOpen(id(0)) || !b.anyOpen(int(bucketOf(id(0))>>(bucketBits-fanOutBits))) {
			t.Errorf("keyed %v: %d open, %d equal", keyed, open, equal)
		}
		b.source.add(id(other), of(other))
		b.target.add(id(0), of(0))
		if open, equal := b.settle(); open != 0 || equal != 2 || b.isOpen(id(0)) {
			t.Errorf("keyed %v: %d open, %d equal", keyed, open, equal)
		}
	}
}
