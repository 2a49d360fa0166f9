package carrier

import (
	"context"
	"sync"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Bounds of a batch.
const (
	batchObjects = 1024
	batchBytes   = 16 << 20
	// batchQuiet is how long a batch waits for another object when none is on its
	// way, batchOld when some are.
	batchQuiet = 2 * time.Millisecond
	batchOld   = 100 * time.Millisecond
)

// batches put small objects together that are made durable at once.
type batches struct {
	from store.Batcher
	now  func() time.Time
	life context.Context // of commits: they are for many callers
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	open   *batch // takes objects
	coming int    // objects that are being read
}

// batch is one batch. Its counters are guarded by batches.mu.
type batch struct {
	b       store.Batch
	began   time.Time
	timer   *time.Timer
	objects int
	seen    int // objects when the timer last fired
	bytes   int64
	putting int  // objects that the store has not taken yet
	closed  bool // takes no more
	spoiled bool // the store took something wrong
	done    chan struct{}
	err     error // of all, after done
	errs    map[string]error
}

func newBatches(from store.Batcher, now func() time.Time) *batches {
	life, end := context.WithCancel(context.Background())
	return &batches{from: from, now: now, life: life, end: end}
}

// announce says that an object is on its way; the result must be called when it is
// in a batch or will not be.
func (bs *batches) announce() func() {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	bs.coming++
	return func() {
		bs.mu.Lock()
		defer bs.mu.Unlock()
		bs.coming--
	}
}

// join enters an object of size bytes into the open batch. After its Put the
// caller leaves and waits.
func (bs *batches) join(ctx context.Context, size int64) (*batch, error) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if bs.open == nil {
		b, err := bs.from.Batch(bs.life)
		if err != nil {
			return nil, err
		}
		n := &batch{b: b, began: bs.now(), done: make(chan struct{})}
		n.timer = time.AfterFunc(batchQuiet, func() { bs.idle(n) })
		bs.open = n
	}
	b := bs.open
	b.objects++
	b.putting++
	b.bytes += size
	if b.objects >= batchObjects || b.bytes >= batchBytes {
		bs.shut(b)
	}
	return b, nil
}

// leave says that the store has the object, or does not take it. spoiled: it took
// something else, and the batch must not become visible.
func (bs *batches) leave(b *batch, spoiled bool) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b.putting--
	b.spoiled = b.spoiled || spoiled
	bs.finish(b)
}

// idle is called when nothing may have come for a while.
func (bs *batches) idle(b *batch) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if b.closed {
		return
	}
	if more := bs.coming > 0 || b.objects > b.seen; more && bs.now().Sub(b.began) < batchOld {
		b.seen = b.objects
		b.timer.Reset(batchQuiet)
		return
	}
	bs.shut(b)
	bs.finish(b)
}

func (bs *batches) shut(b *batch) {
	b.closed = true
	b.timer.Stop()
	if bs.open == b {
		bs.open = nil
	}
}

// finish commits b if it is closed and whole.
func (bs *batches) finish(b *batch) {
	if b.closed && b.putting == 0 {
		bs.work.Go(func() { bs.commit(b) })
	}
}

func (bs *batches) commit(b *batch) {
	defer close(b.done)
	if b.spoiled {
		b.b.Abort()
		b.err = fault.New(fault.StoreFailed, "the objects written together with this one were dropped, as one of them was not what was sent")
		return
	}
	b.errs = b.b.Commit(bs.life)
}

// close ends what goes on.
func (bs *batches) close() {
	bs.mu.Lock()
	if b := bs.open; b != nil {
		bs.shut(b)
		bs.finish(b)
	}
	bs.mu.Unlock()
	bs.work.Wait()
	bs.end()
}

// wait returns when the batch is committed, with what has become of key.
func (b *batch) wait(ctx context.Context, key string) error {
	select {
	case <-b.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := b.err
	if err == nil {
		err = b.errs[key]
	}
	if err != nil {
		return ofTarget(err)
	}
	return nil
}
