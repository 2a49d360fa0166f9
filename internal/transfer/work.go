package transfer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/transfer/page"
)

// work has the pages of one range carried while it is listed. Only numbers of pages
// wait in memory; a page is read when its turn comes, and pages go on beside one
// that waits for a slow object.
type work struct {
	t          *Transfer
	rg         int
	deletes    bool // what is to be deleted is carried, and nothing else
	ctx        context.Context
	fail       context.CancelCauseFunc
	progressed atomic.Bool
	holds      atomic.Int32 // pages whose entries are in memory
	carrying   sync.WaitGroup
	dispatcher sync.WaitGroup
	recorder   sync.WaitGroup
	log        chan noted

	mu    sync.Mutex
	come  sync.Cond // pages or ended changed
	pages []waiting
	ended bool // no more will come
}

// waiting is a page whose turn has not come yet.
type waiting struct {
	seq     int
	header  *page.Header
	entries []page.Entry // nil: to be read from the page
}

// maxHeld bounds the pages of a run whose entries stay in memory until they are
// finished; others are read again when they are needed.
const maxHeld = 6

// hold reports whether one more page may stay in memory.
func (w *work) hold() bool {
	if w.t.held.Add(1) <= maxHeld {
		w.holds.Add(1)
		return true
	}
	w.t.held.Add(-1)
	return false
}

// release undoes n holds.
func (w *work) release(n int32) {
	w.holds.Add(-n)
	w.t.held.Add(-n)
}

// opened is a page with objects in flight.
type opened struct {
	header  *page.Header
	entries []page.Entry // nil: not held
	left    int          // to be noted yet; the recorder's
	log     *page.Log    // nil: nothing is in it yet
}

// noted is an outcome on its way to the page.
type noted struct {
	page *opened
	size int64
	done page.Done
}

func (t *Transfer) work(ctx context.Context, fail context.CancelCauseFunc, rg int, deletes bool) *work {
	w := &work{t: t, rg: rg, deletes: deletes, ctx: ctx, fail: fail, log: make(chan noted, t.InFlight)}
	w.come.L = &w.mu
	w.dispatcher.Go(func() {
		if err := w.dispatch(); err != nil {
			fail(err)
		}
	})
	w.recorder.Go(func() {
		if err := w.record(); err != nil {
			fail(err)
		}
		for range w.log { // who waits to note something must not wait for ever
		}
	})
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.come.Broadcast()
	})
	return w
}

// add has a page carried. It reports whether it keeps entries, which may be nil: the
// caller must not use them again then.
func (w *work) add(h *page.Header, entries []page.Entry) bool {
	p := waiting{seq: h.Seq}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Of pages that wait only the next one: listing runs far ahead of carrying.
	if entries != nil && len(w.pages) == 0 && w.hold() {
		p.header, p.entries = h, entries
	}
	w.pages = append(w.pages, p)
	w.come.Broadcast()
	return p.entries != nil
}

// wait ends the work when all pages that were added are carried, or ctx is done.
func (w *work) wait() error {
	w.mu.Lock()
	w.ended = true
	w.come.Broadcast()
	w.mu.Unlock()
	w.dispatcher.Wait()
	w.carrying.Wait()
	close(w.log)
	w.recorder.Wait()
	w.release(w.holds.Load()) // of a run that ends early
	return context.Cause(w.ctx)
}

// next returns the page whose turn it is; false: there is none any more.
func (w *work) next() (waiting, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pages) == 0 && !w.ended && w.ctx.Err() == nil {
		w.come.Wait()
	}
	if len(w.pages) == 0 || w.ctx.Err() != nil {
		return waiting{}, false
	}
	p := w.pages[0]
	w.pages = w.pages[1:]
	return p, true
}

// ours reports whether an entry is to be carried now.
func (w *work) ours(e page.Entry) bool {
	return e.Outcome == nil && (e.Action == page.Delete) == w.deletes
}

func (w *work) dispatch() error {
	for {
		next, ok := w.next()
		if !ok {
			return nil
		}
		p, entries, err := w.open(next)
		if err != nil {
			return err
		}
		for i, e := range entries {
			if !w.ours(e) {
				continue
			}
			w.carrying.Add(1)
			if !w.t.hands.give(w.ctx, func() { defer w.carrying.Done(); w.carry(p, i, e.Item) }) {
				w.carrying.Done()
				return nil
			}
		}
	}
}

// open returns a page whose turn has come, and its entries.
func (w *work) open(next waiting) (*opened, []page.Entry, error) {
	h, entries, held := next.header, next.entries, next.entries != nil
	if !held {
		var err error
		if h, entries, err = w.t.folder.Load(w.rg, next.seq); err != nil {
			return nil, nil, err
		}
		held = w.hold()
	}
	p := &opened{header: h}
	for _, e := range entries {
		if w.ours(e) {
			p.left++
		}
	}
	if held {
		p.entries = entries
	}
	return p, entries, nil
}

func (w *work) carry(p *opened, index int, item page.Item) {
	if w.ctx.Err() != nil {
		return
	}
	out, err := w.t.Carry(w.ctx, item)
	if err != nil {
		w.fail(err)
		return
	}
	w.log <- noted{p, item.Size, page.Done{Index: index, Outcome: out}}
}

// gather is how long an outcome waits for others, to be written down with them.
const gather = 5 * time.Millisecond

// record writes outcomes down as they come, a few milliseconds' together.
func (w *work) record() error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	begun := map[*opened]bool{}
	defer func() {
		for p := range begun {
			_ = p.close() // of a run that ends early; what was written is with the system
		}
	}()
	batch := map[*opened][]page.Done{}
	for first := range w.log {
		clear(batch)
		w.take(batch, first)
		timer.Reset(gather)
		for more := true; more; {
			select {
			case n, ok := <-w.log:
				if ok {
					w.take(batch, n)
				}
				more = ok
			case <-timer.C:
				more = false
			}
		}
		for p, done := range batch {
			begun[p] = true
			if err := w.note(p, done); err != nil {
				return err
			}
			if p.left == 0 {
				delete(begun, p)
			}
		}
	}
	return nil
}

func (w *work) take(batch map[*opened][]page.Done, n noted) {
	batch[n.page] = append(batch[n.page], n.done)
	w.progressed.Store(true)
	w.t.ledger.ended(w.rg, string(n.done.Outcome.State), 1, n.size)
}

// note keeps outcomes of a page: in its log, or in the page itself when they are the
// last.
func (w *work) note(p *opened, done []page.Done) error {
	p.left -= len(done)
	for _, d := range done {
		if p.entries != nil {
			p.entries[d.Index].Outcome = &d.Outcome
		}
	}
	if p.left > 0 || p.entries == nil {
		if err := w.append(p, done); err != nil {
			return err
		}
	}
	if p.left > 0 {
		return nil
	}
	if err := p.close(); err != nil {
		return err
	}
	h, entries := p.header, p.entries
	if entries != nil {
		w.release(1)
	} else {
		var err error
		if h, entries, err = w.t.folder.Load(w.rg, h.Seq); err != nil {
			return err
		}
	}
	p.entries = nil
	return w.t.folder.Finish(h, entries)
}

func (w *work) append(p *opened, done []page.Done) (err error) {
	if p.log == nil {
		if p.log, err = w.t.folder.Log(p.header); err != nil {
			return err
		}
	}
	return p.log.Append(done)
}

func (p *opened) close() error {
	if p.log == nil {
		return nil
	}
	err := p.log.Close()
	p.log = nil
	return err
}
