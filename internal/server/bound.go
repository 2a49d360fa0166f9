package server

import (
	"sync"
	"time"
)

// buckets let each name through at a rate, and some at once after a pause. They are
// safe for concurrent use.
type buckets struct {
	perSecond, burst float64
	now              func() time.Time

	mu    sync.Mutex
	level map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// bucketsMost is how many names are known before those with nothing to remember are
// forgotten; tokens are few.
const bucketsMost = 1024

func newBuckets(perSecond, burst float64, now func() time.Time) *buckets {
	return &buckets{perSecond: perSecond, burst: burst, now: now, level: map[string]bucket{}}
}

// take takes one, or returns how long to wait for it.
func (b *buckets) take(name string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	left := b.leftOf(name, now)
	if left < 1 {
		return time.Duration((1 - left) / b.perSecond * float64(time.Second))
	}
	if len(b.level) >= bucketsMost {
		b.forget(now)
	}
	b.level[name] = bucket{left - 1, now}
	return 0
}

func (b *buckets) leftOf(name string, now time.Time) float64 {
	last, ok := b.level[name]
	if !ok {
		return b.burst
	}
	return min(b.burst, last.left+max(0, now.Sub(last.at).Seconds())*b.perSecond)
}

func (b *buckets) forget(now time.Time) {
	for name := range b.level {
		if b.leftOf(name, now) >= b.burst {
			delete(b.level, name)
		}
	}
}

// counts bounds how many of something each name has at a time. It is safe for
// concurrent use.
type counts struct {
	most int

	mu   sync.Mutex
	have map[string]int
	all  int
}

func newCounts(most int) *counts { return &counts{most: most, have: map[string]int{}} }

// enter reports whether a name may have one more; leave gives it back.
func (c *counts) enter(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have[name] >= c.most {
		return false
	}
	c.have[name]++
	c.all++
	return true
}

func (c *counts) leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.have[name]--; c.have[name] == 0 {
		delete(c.have, name)
	}
}

func (c *counts) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}
