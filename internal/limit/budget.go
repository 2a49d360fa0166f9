// Package limit bounds what a process takes: memory, bytes and requests per second. It imports
// only std.
package limit

import (
	"context"
	"sync"
)

// Budget is a number of bytes that many takers share. It is safe for concurrent
// use; takers are served in the order they came.
type Budget struct {
	size    func() int64
	mu      sync.Mutex
	taken   int64
	waiting []*taker
}

type taker struct {
	n     int64
	ready chan struct{}
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget { return NewShare(func() int64 { return size }) }

// NewShare returns a budget of as many bytes as size says at each moment. size is called
// often, by any goroutine, and returns at once. Where it has become less, nothing more is
// given out until so much was given back.
func NewShare(size func() int64) *Budget { return &Budget{size: size} }

// Take waits until n bytes are free and takes them. A taker of more than the
// whole budget passes alone: it waits until nothing else is taken.
func (b *Budget) Take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(n) {
		b.taken += n
		b.mu.Unlock()
		return nil
	}
	t := &taker{n, make(chan struct{})}
	b.waiting = append(b.waiting, t)
	b.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, w := range b.waiting {
			if w == t {
				b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
				b.serve()
				return context.Cause(ctx)
			}
		}
		b.taken -= n // it was served meanwhile
		b.serve()
		return context.Cause(ctx)
	}
}

// Add takes n bytes without waiting, even beyond the size: for memory that is
// already held. Negative n gives bytes back.
func (b *Budget) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken += n; b.taken < 0 {
		panic("limit: more given back than taken")
	}
	b.serve()
}

// Give returns n bytes.
func (b *Budget) Give(n int64) { b.Add(-n) }

// Size returns the whole budget in bytes, as it is now.
func (b *Budget) Size() int64 { return b.size() }

// Taken returns the bytes taken now.
func (b *Budget) Taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}

func (b *Budget) fits(n int64) bool { return b.taken == 0 || b.taken+n <= b.size() }

func (b *Budget) serve() {
	for len(b.waiting) > 0 && b.fits(b.waiting[0].n) {
		t := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.taken += t.n
		close(t.ready)
	}
}
