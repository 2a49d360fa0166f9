package carrier

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/mem"
)

// mishap is what happens at one step of a run.
type mishap string

const (
	none        mishap = "none"
	errBefore   mishap = "an error before the effect"
	errAfter    mishap = "an error after the effect"
	slowDown    mishap = "asked to slow down"
	stalls      mishap = "stall"
	shortBody   mishap = "short body"
	flipped     mishap = "flipped byte"
	changes     mishap = "the source changes"
	vanishes    mishap = "the source vanishes"
	crashBefore mishap = "crash before the effect"
	crashAfter  mishap = "crash after the effect"
)

var errCrash = errors.New("the process is dead")

// world is a source and a target with one mishap at step n of all calls.
type world struct {
	key, dir       string
	source, target *mem.Store
	versions       [][]byte // of the source, the last is the current one
	erases         bool

	mu       sync.Mutex
	what     mishap
	n        int
	steps    int
	reached  string // the call that had the mishap
	dead     bool
	kill     context.CancelCauseFunc
	received int64 // bytes that the target read
	problems []string
}

func (w *world) problem(text string) {
	w.problems = append(w.problems, text)
}

// contents reads an object past all faults; nil: none.
func contents(s *mem.Store, key string) []byte {
	r, _, err := s.Open(context.Background(), key, store.Read{})
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(r)
	if b == nil {
		b = []byte{}
	}
	return b
}

// look checks what must hold at all times: the target has nothing, or one version
// whole; the current version is somewhere.
func (w *world) look(when string) {
	have := contents(w.target, w.key)
	whole := have == nil
	for _, v := range w.versions {
		whole = whole || bytes.Equal(have, v)
	}
	if !whole {
		w.problem(when + ": the target has what no version of the source is")
	}
	if w.erases && contents(w.source, w.key) == nil && !bytes.Equal(have, w.versions[len(w.versions)-1]) {
		w.problem(when + ": the current version was deleted and is not in the target")
	}
}

// call counts a call and makes its mishap happen. quirk is what the caller has to
// do itself; after is called after the effect.
func (w *world) call(ctx context.Context, name string) (quirk mishap, after func(error) error, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return none, nil, errCrash
	}
	i := w.steps
	w.steps++
	after = func(err error) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.look("after " + name)
		return err
	}
	if i != w.n {
		return none, after, nil
	}
	w.reached = name
	switch w.what {
	case errBefore:
		return none, nil, fault.New(fault.StoreFailed, "a fault before %s", name)
	case slowDown:
		return none, nil, fault.New(fault.StoreBusy, "slow down")
	case errAfter:
		return none, func(error) error { return errors.New("connection reset") }, nil
	case crashBefore:
		w.dead = true
		w.kill(errCrash)
		return none, nil, errCrash
	case crashAfter:
		return none, func(error) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dead = true
			w.kill(errCrash)
			return errCrash
		}, nil
	case changes:
		if name == "source delete" {
			return none, after, nil // between the last look and this nothing can be noticed
		}
		w.write(byte(len(w.versions)))
	case vanishes:
		w.erases = false
		_ = w.source.Delete(ctx, w.key)
	}
	return w.what, after, nil
}

// write makes a new version of the source, of the same size.
func (w *world) write(seed byte) {
	b := bytes.Clone(w.versions[0])
	for i := range b {
		b[i] ^= seed
	}
	w.versions = append(w.versions, b)
	_, _ = w.source.Put(context.Background(), w.key, bodyOf(b), store.PutOptions{})
}

func bodyOf(b []byte) store.Body {
	return store.Body{Size: int64(len(b)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[off:])), nil
	}}
}

// faulty is a store of a world, with every capability of the one it wraps.
type faulty struct {
	*mem.Store
	w    *world
	name string
}

// through is a call without a body.
func through[T any](ctx context.Context, f *faulty, name string, do func() (T, error)) (T, error) {
	var zero T
	_, after, err := f.w.call(ctx, f.name+" "+name)
	if err != nil {
		return zero, err
	}
	v, err := do()
	if err := after(err); err != nil {
		return zero, err
	}
	return v, nil
}

func (f *faulty) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	quirk, after, err := f.w.call(ctx, f.name+" open")
	if err != nil {
		return nil, store.Object{}, err
	}
	in, o, err := f.Store.Open(ctx, key, r)
	if err := after(err); err != nil {
		return nil, o, err
	}
	return &body{ctx: ctx, in: in, f: f, quirk: quirk, checked: r.Match != nil}, o, nil
}

func (f *faulty) Stat(ctx context.Context, key string) (store.Object, error) {
	return through(ctx, f, "stat", func() (store.Object, error) { return f.Store.Stat(ctx, key) })
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	_, err := through(ctx, f, "delete", func() (struct{}, error) { return struct{}{}, f.Store.Delete(ctx, key) })
	return err
}

func (f *faulty) Copy(ctx context.Context, from store.Store, o store.Object, key string, p *store.PutOptions) (store.Object, error) {
	return through(ctx, f, "copy", func() (store.Object, error) {
		return f.Store.Copy(ctx, from.(interface{ inner() *mem.Store }).inner(), o, key, p)
	})
}

func (f *faulty) inner() *mem.Store { return f.Store }

func (f *faulty) Begin(ctx context.Context, key string, size int64, p store.PutOptions) (string, error) {
	return through(ctx, f, "begin", func() (string, error) { return f.Store.Begin(ctx, key, size, p) })
}

func (f *faulty) Parts(ctx context.Context, key, upload string) ([]store.Part, error) {
	return through(ctx, f, "parts", func() ([]store.Part, error) { return f.Store.Parts(ctx, key, upload) })
}

func (f *faulty) Complete(ctx context.Context, key, upload string, parts []store.Part) (store.Object, error) {
	return through(ctx, f, "complete", func() (store.Object, error) { return f.Store.Complete(ctx, key, upload, parts) })
}

func (f *faulty) Abandon(ctx context.Context, key, upload string) error {
	_, err := through(ctx, f, "abandon", func() (struct{}, error) { return struct{}{}, f.Store.Abandon(ctx, key, upload) })
	return err
}

// sends is a call with a body.
func sends[T any](ctx context.Context, f *faulty, name string, b store.Body, do func(store.Body) (T, error)) (T, error) {
	var zero T
	quirk, after, err := f.w.call(ctx, f.name+" "+name)
	if err != nil {
		return zero, err
	}
	if quirk == stalls {
		<-ctx.Done()
		return zero, ctx.Err()
	}
	v, err := do(store.Body{Size: b.Size, Open: func(off int64) (io.ReadCloser, error) {
		r, err := b.Open(off)
		if err != nil {
			return nil, err
		}
		if quirk == shortBody {
			r.Close()
			return nil, errors.New("broken pipe")
		}
		return &body{ctx: ctx, in: r, f: f, quirk: quirk, counts: true}, nil
	}})
	if err := after(err); err != nil {
		return zero, err
	}
	return v, nil
}

func (f *faulty) Put(ctx context.Context, key string, b store.Body, p store.PutOptions) (store.Object, error) {
	return sends(ctx, f, "put", b, func(b store.Body) (store.Object, error) { return f.Store.Put(ctx, key, b, p) })
}

func (f *faulty) PutPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	return sends(ctx, f, "putpart", b, func(b store.Body) (store.Part, error) { return f.Store.PutPart(ctx, key, upload, n, off, b) })
}

func (f *faulty) Batch(ctx context.Context) (store.Batch, error) {
	b, err := through(ctx, f, "batch", func() (store.Batch, error) { return f.Store.Batch(ctx) })
	return &faultyBatch{b, f}, err
}

type faultyBatch struct {
	store.Batch
	f *faulty
}

func (b *faultyBatch) Put(ctx context.Context, key string, body store.Body, p store.PutOptions) (store.Object, error) {
	return sends(ctx, b.f, "batchput", body, func(body store.Body) (store.Object, error) { return b.Batch.Put(ctx, key, body, p) })
}

func (b *faultyBatch) Commit(ctx context.Context) map[string]error {
	errs, err := through(ctx, b.f, "commit", func() (map[string]error, error) { return b.Batch.Commit(ctx), nil })
	if err != nil {
		b.Abort()
		return map[string]error{b.f.w.key: err}
	}
	return errs
}

// body is a body with a mishap, on its way from a source or to a target.
type body struct {
	ctx     context.Context
	in      io.ReadCloser
	f       *faulty
	quirk   mishap
	counts  bool
	checked bool
	read    int
}

func (b *body) Read(p []byte) (int, error) {
	w := b.f.w
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	switch {
	case dead:
		return 0, errCrash
	case b.quirk == stalls && b.read > 0:
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	case b.quirk == shortBody && b.read > 0:
		return 0, io.EOF
	}
	if b.quirk != none && b.read == 0 && len(p) > 100 {
		p = p[:100]
	}
	n, err := b.in.Read(p)
	if b.quirk == flipped && b.read == 0 && n > 0 {
		p[n/2] ^= 4
	}
	b.read += n
	if b.counts {
		w.mu.Lock()
		w.received += int64(n)
		w.mu.Unlock()
	}
	return n, err
}

func (b *body) Close() error { return b.in.Close() }
