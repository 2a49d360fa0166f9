// Package feed tells what happens to any number of followers, without ever waiting
// for one of them.
package feed

import (
	"context"
	"slices"
	"sync"
	"time"

	"godwit/internal/fault"
)

const (
	// ringSize is how many happenings are kept. A follower that was away for longer, or
	// is slower, reads everything anew.
	ringSize = 4096
	// calm is the least time between two changes of one job that are told.
	calm = time.Second
	// mostAtOnce bounds how many jobs are told of together: half of the ring, so that
	// followers have a second before what they did not read yet is gone.
	mostAtOnce = ringSize / 2
	// copied is how many happenings a follower takes at a time.
	copied = 64
)

// Types that the hub knows. All others are told as they come.
const (
	Job   = "job"   // a job changed: of several changes within a second the last is told
	Gone  = "gone"  // a job is no more: no change of it follows
	Reset = "reset" // something was missed: read everything anew
)

// happening is one thing that changed. Its id is that of its place in the ring.
type happening struct {
	typ, job string
	data     any
}

// Hub is where things are told. It is safe for concurrent use.
type Hub struct {
	mu     sync.Mutex
	ring   [ringSize]happening
	base   uint64 // the ids of this hub are above it
	last   uint64 // the newest id; base: nothing happened yet
	wake   chan struct{}
	closed chan struct{}

	pending map[string]change // of jobs, not told yet
	order   []string          // the keys of pending, the longest waiting first
	timer   *time.Timer       // nil: nothing is pending
}

// change is the newest change of a job. One that is void stands in its place in
// the order and is not told.
type change struct {
	data any
	void bool
}

// New returns a hub. Its ids begin at a number that is made of the time, a nil now
// being time.Now: they are above those of a hub of an earlier process, and below 2^53,
// up to which every reader of JSON is exact, until the year 2248.
func New(now func() time.Time) *Hub {
	if now == nil {
		now = time.Now
	}
	base := uint64(max(1, now().UnixMilli())) << 10
	return &Hub{base: base, last: base, closed: make(chan struct{}), pending: map[string]change{}}
}

// Tell says that something happened, to those who follow now and to those who come
// back soon enough. Of what is told of type Job only the newest of each job is kept,
// and told within a second. data is shared by all followers and must not change any
// more; it is best given in the form in which it is sent, so that it is put into
// that form once and not by each. Tell never waits for a follower; after Close it does
// nothing.
func (h *Hub) Tell(typ, job string, data any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch typ {
	case Job:
		h.put(job, data)
		return
	case Gone:
		h.drop(job)
	}
	h.add(happening{typ, job, data})
}

// TellNow is Tell without waiting for the second to pass: for what somebody waits to
// see, such as another status. A change of the job that was told before and has not
// gone out yet is older, and never will.
func (h *Hub) TellNow(typ, job string, data any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if typ == Job || typ == Gone {
		h.drop(job)
	}
	h.add(happening{typ, job, data})
}

// put keeps a change of a job until it may be told; h.mu is held.
func (h *Hub) put(job string, data any) {
	if h.over() {
		return
	}
	if _, waits := h.pending[job]; !waits {
		h.order = append(h.order, job)
	}
	h.pending[job] = change{data: data}
	if h.timer == nil {
		h.timer = time.AfterFunc(calm, h.release)
	}
}

// drop forgets a change that is not told yet; h.mu is held.
func (h *Hub) drop(job string) {
	if _, waits := h.pending[job]; waits {
		h.pending[job] = change{void: true}
	}
}

// release tells what was pending. It runs at most once a second, so no job is told
// of more often, and all jobs together wake the followers once.
func (h *Hub) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() {
		return
	}
	n := min(len(h.order), mostAtOnce)
	for _, job := range h.order[:n] {
		if c := h.pending[job]; !c.void {
			h.add(happening{Job, job, c.data})
		}
		delete(h.pending, job)
	}
	h.order = slices.Delete(h.order, 0, n)
	h.timer = nil
	if len(h.order) > 0 {
		h.timer = time.AfterFunc(calm, h.release)
	}
}

// add puts a happening into the ring and wakes who waits for one; h.mu is held.
func (h *Hub) add(what happening) {
	if h.over() {
		return
	}
	h.last++
	h.ring[h.last%ringSize] = what
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
}

func (h *Hub) over() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}

// Follow calls each, one call at a time and from this goroutine, with what happens
// after the id after, in order; with a job only what is told of that one. It returns
// ctx's error when ctx ends, each's error when each fails, and fault.ServerGone when
// the hub is closed.
//
// With after 0 it begins with what happens from now on. Where what follows after is
// not known any more, because it is too long ago or of an earlier process, and where a
// follower was overtaken by the ring, one happening of type Reset stands for what was
// missed. Its id is that of the newest: to follow after it misses nothing.
func (h *Hub) Follow(ctx context.Context, after uint64, job string, each func(id uint64, typ, job string, data any) error) error {
	at := after
	if after == 0 {
		at = h.newest()
	}
	buffer := make([]told, 0, copied)
	for {
		got, wait := h.take(&at, job, buffer)
		for _, t := range got {
			if err := each(t.id, t.typ, t.job, t.data); err != nil {
				return err
			}
		}
		if err := h.rest(ctx, wait); err != nil {
			return err
		}
	}
}

func (h *Hub) newest() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// told is a happening with its id.
type told struct {
	id uint64
	happening
}

// take returns what follows at, as much as buffer holds, and moves at behind it. Where
// there is nothing more it returns what to wait for as well.
func (h *Hub) take(at *uint64, job string, buffer []told) ([]told, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *at < h.base || *at > h.last || h.last-*at > ringSize {
		*at = h.last
		return append(buffer, told{h.last, happening{typ: Reset}}), nil
	}
	for *at < h.last && len(buffer) < cap(buffer) {
		*at++
		if what := h.ring[*at%ringSize]; job == "" || what.job == job {
			buffer = append(buffer, told{*at, what})
		}
	}
	if *at < h.last {
		return buffer, nil
	}
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	return buffer, h.wake
}

// rest waits until something happens, or not at all with a nil wait, and says why a
// follower ends.
func (h *Hub) rest(ctx context.Context, wait <-chan struct{}) error {
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
		case <-h.closed:
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case h.over():
		return fault.New(fault.ServerGone, "the server is stopping: there is nothing more to follow")
	}
	return nil
}

// Close ends all followers, and what is pending is not told any more. It is
// idempotent.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() {
		return
	}
	close(h.closed)
	if h.timer != nil {
		h.timer.Stop()
	}
}
