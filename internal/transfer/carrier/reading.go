package carrier

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

const (
	// stall is how long a body may give no byte.
	stall = time.Minute
	// answer is how long a store may take after it has the whole body.
	answer = 5 * time.Minute
)

// reading is a range of one version of an object that is read, perhaps more than
// once, and hashed on the way.
type reading struct {
	c     *Carrier
	st    store.Store
	o     store.Object // the version
	off   int64
	size  int64
	kinds []kind            // to be computed over the range
	want  []store.Sum       // of the range, where known: other bytes are fault.Corrupt
	sent  func(n int)       // is told of bytes given on; may be nil
	side  func(error) error // gives errors of st their codes
	watch *watchdog

	mu    sync.Mutex
	first *pass // was opened ahead
	sums  []store.Sum
	err   error // of st or of the checks: what a reader of the body was given
}

// body is the range as a store takes it. A body that has other bytes than the
// version's ends with an error instead of its last bytes, so that no store
// can take it for whole.
func (r *reading) body(ctx context.Context) store.Body {
	sums := func() []store.Sum {
		sums, _ := r.result()
		return sums
	}
	return store.Body{Size: r.size, Sums: sums, Open: func(off int64) (io.ReadCloser, error) {
		r.mu.Lock()
		p := r.first
		r.first = nil
		r.mu.Unlock()
		if p == nil {
			var err error
			if p, _, err = r.open(ctx); err != nil {
				return nil, err
			}
		}
		// What is skipped is read and hashed all the same: only so do the sums
		// speak of one pass over the whole.
		if off > 0 {
			p.quiet = true
			if _, err := io.CopyN(io.Discard, p, off); err != nil {
				p.Close()
				return nil, err
			}
			p.quiet = false
		}
		return p, nil
	}}
}

// open begins a pass over the range.
func (r *reading) open(ctx context.Context) (*pass, store.Object, error) {
	read := store.Read{Off: r.off, Match: &r.o}
	if r.off+r.size < r.o.Size {
		read.N = r.size
	}
	r.watch.touch(stall)
	in, o, err := r.st.Open(ctx, r.o.Key, read)
	if err != nil {
		return nil, o, r.fail(err)
	}
	if o.Size != r.o.Size {
		in.Close()
		return nil, o, r.fail(fmt.Errorf("it has %d bytes, not %d: %w", o.Size, r.o.Size, store.ErrChanged))
	}
	return &pass{r: r, ctx: ctx, in: in, left: r.size, hashes: newHashes(r.kinds)}, o, nil
}

// ahead opens the range before a store asks for it, and returns what the opened
// object is.
func (r *reading) ahead(ctx context.Context) (store.Object, error) {
	p, o, err := r.open(ctx)
	if err != nil {
		return o, err
	}
	r.mu.Lock()
	r.first = p
	r.mu.Unlock()
	return o, nil
}

// close drops what was opened ahead and not used.
func (r *reading) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first != nil {
		r.first.in.Close()
		r.first = nil
	}
}

func (r *reading) fail(err error) error {
	err = r.side(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	return err
}

// result returns the sums of the last whole pass, or its error.
func (r *reading) result() ([]store.Sum, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums, r.err
}

// pass is one pass over a reading.
type pass struct {
	r      *reading
	ctx    context.Context
	in     io.ReadCloser
	left   int64
	hashes hashes
	ended  error // io.EOF or why the pass failed; nil: it goes on
	quiet  bool  // not given on
}

// Read implements io.Reader.
func (p *pass) Read(b []byte) (int, error) {
	if p.ended == nil && p.left == 0 {
		p.ended = p.end()
	}
	if p.ended != nil {
		return 0, p.ended
	}
	b = b[:min(int64(len(b)), p.left)]
	n, err := p.in.Read(b)
	if n == 0 && err == nil {
		return 0, nil
	}
	p.hashes.write(b[:n])
	p.left -= int64(n)
	switch {
	case p.left == 0:
		p.ended = p.end()
	case err == io.EOF:
		p.ended = p.r.fail(fault.New(fault.StoreFailed, "the object ended %d bytes early", p.left))
	case err != nil:
		p.ended = p.r.fail(err)
	}
	if p.ended != nil && p.ended != io.EOF {
		return 0, p.ended
	}
	if p.quiet {
		return n, nil
	}
	if p.r.c.Limits != nil {
		p.r.watch.rest() // waiting for one's share is no stall
		if err := p.r.c.Limits.Bytes(p.ctx, n); err != nil {
			return 0, err
		}
	}
	if p.r.sent != nil {
		p.r.sent(n)
	}
	if p.left == 0 {
		p.r.watch.touch(answer)
	} else {
		p.r.watch.touch(stall)
	}
	return n, nil
}

// end looks past the last byte, where a source says that it changed, and
// compares the sums: io.EOF when all is well.
func (p *pass) end() error {
	var more [1]byte
	n, err := p.in.Read(more[:])
	for n == 0 && err == nil {
		n, err = p.in.Read(more[:])
	}
	switch {
	case n > 0:
		return p.r.fail(fmt.Errorf("it is longer than it was: %w", store.ErrChanged))
	case err != io.EOF:
		return p.r.fail(err)
	}
	sums := p.hashes.sums()
	if likeness, sum := store.Compare(p.r.want, sums); likeness == store.Unlike {
		return p.r.fail(fault.New(fault.Corrupt, "the bytes that were read do not have the %s checksum %s", sum.Algorithm, sum.Value).
			At("bytes %d to %d", p.r.off, p.r.off+p.r.size))
	}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.r.sums, p.r.err = sums, nil
	return io.EOF
}

// Close implements io.Closer.
func (p *pass) Close() error { return p.in.Close() }

// watchdog ends a context when a body gives no byte for too long.
type watchdog struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// watched returns a context that ends when the watchdog is not touched in time.
// The caller calls done.
func watched(ctx context.Context) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{cancel: cancel}
	w.timer = time.AfterFunc(stall, func() {
		cancel(fault.New(fault.StoreFailed, "no byte came for too long; the request was cut"))
	})
	return ctx, w
}

func (w *watchdog) touch(d time.Duration) { w.timer.Reset(d) }
func (w *watchdog) rest()                 { w.timer.Stop() }
func (w *watchdog) done()                 { w.timer.Stop(); w.cancel(context.Canceled) }
