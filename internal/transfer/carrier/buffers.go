package carrier

import "sync"

// buffers are memory for objects that are held whole, in a few sizes so that
// small ones do not take what large ones need.
type buffers struct {
	pools [len(sizes)]sync.Pool
}

var sizes = [...]int{16 << 10, 128 << 10, small}

// sizeFor returns how much memory an object of n bytes takes.
func sizeFor(n int64) int64 {
	for _, s := range sizes {
		if n <= int64(s) {
			return int64(s)
		}
	}
	return n
}

// get returns n bytes, at most small; put gives them back.
func (b *buffers) get(n int) *[]byte {
	for i, s := range sizes {
		if n > s {
			continue
		}
		p, ok := b.pools[i].Get().(*[]byte)
		if !ok {
			fresh := make([]byte, s)
			p = &fresh
		}
		*p = (*p)[:n]
		return p
	}
	fresh := make([]byte, n)
	return &fresh
}

func (b *buffers) put(p *[]byte) {
	for i, s := range sizes {
		if cap(*p) == s {
			b.pools[i].Put(p)
			return // it is another's now
		}
	}
}
