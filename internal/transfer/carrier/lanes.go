package carrier

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of adaptive lanes.
const (
	lanesLeast = 4
	lanesFirst = 32
	lanesMost  = 64
)

// lanes bound how many objects and parts are under way at once. Those who wait are
// served in the order they came, but in turn between small objects on the one side
// and large ones on the other, and among large ones that first which has the
// fewest lanes: so no object, however slow, keeps the others waiting.
type lanes struct {
	now  func() time.Time
	tell func(int) // how many there are

	mu     sync.Mutex
	climb  *climber // nil: their number is fixed
	n      int
	used   int // by all
	large  int // by large objects
	small  *rider
	riders []*rider // large ones that wait
}

// rider is who takes lanes: a large object, or all small ones together.
type rider struct {
	large   bool
	held    int
	waiting []chan struct{}
}

func newLanes(fixed int, now func() time.Time, tell func(int)) *lanes {
	l := &lanes{now: now, tell: tell, n: fixed, small: &rider{}}
	if fixed <= 0 {
		l.climb = newClimber(lanesFirst)
		l.n = lanesFirst
	}
	tell(l.n)
	return l
}

// take waits for a lane.
func (l *lanes) take(ctx context.Context, r *rider) error {
	l.mu.Lock()
	if len(r.waiting) == 0 && l.open(r) && len(l.small.waiting) == 0 && len(l.riders) == 0 {
		l.grant(r)
		l.mu.Unlock()
		return nil
	}
	me := make(chan struct{})
	if r.large && len(r.waiting) == 0 {
		l.riders = append(l.riders, r)
	}
	r.waiting = append(r.waiting, me)
	l.serve()
	l.mu.Unlock()
	select {
	case <-me:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(r.waiting, me); i >= 0 {
		l.drop(r, i)
	} else { // it was served meanwhile
		l.free(r)
	}
	l.serve()
	return context.Cause(ctx)
}

// give gives a lane back after work: bytes that passed.
func (l *lanes) give(r *rider, work int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waited := len(l.small.waiting) > 0 || len(l.riders) > 0
	l.free(r)
	if l.climb != nil {
		l.set(l.climb.done(l.now(), work, waited))
	}
	l.serve()
}

// busy takes note that a store asked to slow down.
func (l *lanes) busy() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.climb != nil {
		l.set(l.climb.busy(l.now()))
	}
}

func (l *lanes) set(n int) {
	if n != l.n {
		l.n = n
		l.tell(n)
	}
}

// open reports whether r may have one more. Large objects, whose parts take long and
// gain little by being many, leave half of the lanes to small ones.
func (l *lanes) open(r *rider) bool {
	if l.used >= l.n {
		return false
	}
	return !r.large || l.n == 1 || l.large < l.n/2
}

func (l *lanes) grant(r *rider) {
	r.held++
	l.used++
	if r.large {
		l.large++
	}
}

func (l *lanes) free(r *rider) {
	r.held--
	l.used--
	if r.large {
		l.large--
	}
}

// drop takes the i-th of r's waiters away.
func (l *lanes) drop(r *rider, i int) {
	r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
	if r.large && len(r.waiting) == 0 {
		l.riders = slices.DeleteFunc(l.riders, func(o *rider) bool { return o == r })
	}
}

// serve gives free lanes to those who wait.
func (l *lanes) serve() {
	for {
		r := l.next()
		if r == nil {
			return
		}
		l.grant(r)
		me := r.waiting[0]
		l.drop(r, 0)
		close(me)
	}
}

func (l *lanes) next() *rider {
	var r *rider
	for _, o := range l.riders {
		if r == nil || o.held < r.held {
			r = o
		}
	}
	if r != nil && !l.open(r) {
		r = nil
	}
	if len(l.small.waiting) > 0 && l.open(l.small) && (r == nil || l.small.held <= l.large) {
		r = l.small
	}
	return r
}

// climber finds how many lanes carry the most: it takes more while that pays and
// fewer when fewer do as well. It is told of each piece of work that is done and
// has no clock of its own.
type climber struct {
	n int

	since  time.Time // of the measurement
	pieces int
	work   int64
	waited bool

	step     int     // the last change that is being judged; 0: none
	rate     float64 // before it
	still    int     // measurements without a change
	tryFewer bool    // what is tried next after standing still
	slowed   time.Time
	asked    bool // a store has asked to slow down
}

const (
	// measure is the least time over which work is measured.
	measure = 500 * time.Millisecond
	// perPiece is what a request counts besides its bytes, so that small objects
	// count too.
	perPiece = 256 << 10
	// stand is how many measurements pass before another number is tried.
	stand = 8
	// calm is how long nothing is added after a store asked to slow down.
	calm = 10 * time.Second
)

func newClimber(first int) *climber {
	return &climber{n: first, still: stand}
}

// done counts a piece of work and returns how many lanes there should be. waited:
// somebody waits for a lane.
func (k *climber) done(now time.Time, work int64, waited bool) int {
	if k.since.IsZero() {
		k.since = now
	}
	k.pieces++
	k.work += work + perPiece
	k.waited = k.waited || waited
	d := now.Sub(k.since)
	if d < measure || k.pieces < 2*k.n && d < 10*measure {
		return k.n
	}
	rate := float64(k.work) / d.Seconds()
	waited = k.waited
	k.since, k.pieces, k.work, k.waited = now, 0, 0, false
	if !waited { // more lanes would change nothing, and the rate says nothing
		k.step, k.still = 0, stand
		return k.n
	}
	k.judge(now, rate)
	return k.n
}

func (k *climber) judge(now time.Time, rate float64) {
	gain := rate / max(k.rate, 1)
	switch {
	case k.step > 0 && gain >= 1.05, k.step < 0 && gain >= 0.97:
		k.move(now, rate, k.step > 0)
		return
	case k.step != 0: // it did not pay
		k.n -= k.step
		k.step, k.still = 0, 0
		return
	}
	k.still++
	if k.still >= stand {
		fewer := k.tryFewer
		k.tryFewer = !k.tryFewer
		k.move(now, rate, !fewer)
	}
}

// move changes the number by a quarter, to be judged by the next measurement.
func (k *climber) move(now time.Time, rate float64, more bool) {
	k.rate, k.step, k.still = rate, 0, 0
	to := max(lanesLeast, k.n-max(1, k.n/4))
	if more {
		if k.asked && now.Sub(k.slowed) < calm {
			return
		}
		to = min(lanesMost, k.n+max(1, k.n/4))
	}
	k.step = to - k.n
	k.n = to
}

// busy halves the number, at most once a second.
func (k *climber) busy(now time.Time) int {
	if k.asked && now.Sub(k.slowed) < time.Second {
		return k.n
	}
	k.asked, k.slowed = true, now
	k.n = max(lanesLeast, k.n/2)
	k.step, k.still = 0, 0
	k.since, k.pieces, k.work, k.waited = now, 0, 0, false
	return k.n
}
