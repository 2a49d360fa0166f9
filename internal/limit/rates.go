package limit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Rate is a limit per second that may differ by the time of day.
type Rate struct {
	PerSecond int64   // 0 or less: no limit
	Hours     []Hours // the first that has the time of day counts instead
}

// Hours is a part of the day, in the clock's own zone, with a limit of its own.
type Hours struct {
	From, To  time.Duration // since midnight; To is not in it; To <= From: over midnight
	PerSecond int64         // 0 or less: no limit
}

// ParseHours reads a part of the day such as "08:00-18:00" or "22:30-06:00"; the
// day ends at 24:00.
func ParseHours(text string) (from, to time.Duration, err error) {
	a, b, ok := strings.Cut(text, "-")
	if ok {
		from, ok = clock(a)
	}
	if ok {
		to, ok = clock(b)
	}
	if !ok || from == to || from == 24*time.Hour {
		return 0, 0, fmt.Errorf("%q is not a part of the day such as 08:00-18:00", text)
	}
	return from, to, nil
}

func clock(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if text == "24:00" {
		return 24 * time.Hour, true
	}
	t, err := time.Parse("15:04", text)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err == nil
}

// at returns the limit at a time; 0: none.
func (r Rate) at(now time.Time) int64 {
	hour, minute, second := now.Clock()
	day := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	for _, h := range r.Hours {
		in := h.From <= day && day < h.To
		if h.To <= h.From {
			in = h.From <= day || day < h.To
		}
		if in {
			return max(h.PerSecond, 0)
		}
	}
	return max(r.PerSecond, 0)
}

// Rates bounds bytes and requests per second over all who ask. It is safe for
// concurrent use; those who wait are served in the order they came, large and
// small in turn. After a pause at most a 32nd of a second's worth passes at once.
// A nil *Rates limits nothing.
type Rates struct {
	bytes, requests gate
}

// NewRates returns limits; now tells the time of day and how time passes, nil:
// time.Now.
func NewRates(bytes, requests Rate, now func() time.Time) *Rates {
	if now == nil {
		now = time.Now
	}
	r := &Rates{bytes: gate{now: now}, requests: gate{now: now}}
	r.Set(bytes, requests)
	return r
}

// Set changes the limits; who waits now goes by the new ones.
func (r *Rates) Set(bytes, requests Rate) {
	r.bytes.set(bytes)
	r.requests.set(requests)
}

// Bytes waits until n bytes may pass; the error is that of ctx.
func (r *Rates) Bytes(ctx context.Context, n int) error {
	if r == nil {
		return nil
	}
	return r.bytes.pass(ctx, int64(n))
}

// Request waits until a request may be sent; the error is that of ctx.
func (r *Rates) Request(ctx context.Context) error {
	if r == nil {
		return nil
	}
	return r.requests.pass(ctx, 1)
}

// slack is a part of a second: what may pass at once after a pause, and the most
// that one takes before the next has his turn.
const slack = 32

// gate lets units pass at a rate. free is when the next may pass: the past while
// there is something to spare, the future while what passed is not paid for.
type gate struct {
	now func() time.Time

	mu      sync.Mutex
	rate    Rate
	free    time.Time
	changed chan struct{} // closed when the rate is set
	waiting []chan struct{}
	held    bool // one is at the gate, waiting for its time
}

func (g *gate) set(r Rate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	// What is owed was taken at the old rate and is paid for at the new one.
	if before, after := g.rate.at(now), r.at(now); before > 0 && after > 0 && g.free.After(now) {
		owed := float64(g.free.Sub(now)) * float64(before) / float64(after)
		g.free = now.Add(min(time.Duration(owed), time.Second))
	}
	g.rate = r
	if g.changed != nil {
		close(g.changed)
	}
	g.changed = make(chan struct{})
}

// pass takes n units, at most a slack's worth at a time.
func (g *gate) pass(ctx context.Context, n int64) error {
	for n > 0 {
		took, err := g.turn(ctx, n)
		if err != nil {
			return err
		}
		n -= took
	}
	return nil
}

// turn waits for its turn at the gate and there for its time.
func (g *gate) turn(ctx context.Context, n int64) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	g.mu.Lock()
	if g.held {
		if err := g.queue(ctx); err != nil {
			return 0, err
		}
	} else {
		// Time that nobody waited for is lost but for the slack.
		if earliest := g.now().Add(-time.Second / slack); g.free.Before(earliest) {
			g.free = earliest
		}
	}
	g.held = true
	for {
		now := g.now()
		per := g.rate.at(now)
		if per == 0 {
			g.free = now
			g.leave()
			return n, nil
		}
		wait := g.free.Sub(now)
		if wait <= 0 {
			n = min(n, max(1, per/slack))
			// A timer that fired late is made up for, up to a second.
			if earliest := now.Add(-time.Second); g.free.Before(earliest) {
				g.free = earliest
			}
			g.free = g.free.Add(time.Duration(float64(n) / float64(per) * float64(time.Second)))
			g.leave()
			return n, nil
		}
		changed := g.changed
		g.mu.Unlock()
		err := sleep(ctx, wait, changed)
		g.mu.Lock()
		if err != nil {
			g.leave()
			return 0, err
		}
	}
}

// queue waits behind others. It is called with mu held, and returns holding it
// unless there is an error.
func (g *gate) queue(ctx context.Context) error {
	me := make(chan struct{})
	g.waiting = append(g.waiting, me)
	g.mu.Unlock()
	select {
	case <-me:
		g.mu.Lock()
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	for i, w := range g.waiting {
		if w == me {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			g.mu.Unlock()
			return context.Cause(ctx)
		}
	}
	g.leave() // it was called to the gate meanwhile
	return context.Cause(ctx)
}

// leave gives the gate to the next and unlocks mu.
func (g *gate) leave() {
	g.held = len(g.waiting) > 0
	if g.held {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
	}
	g.mu.Unlock()
}

// sleep waits for a duration, or less when changed is closed.
func sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
