package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// objects is the store with what the protocol needs of it.
type objects struct {
	store   store.Store
	creator store.Creator
	stager  store.Stager
	log     *slog.Logger
	now     func() time.Time
	wait    func(ctx context.Context, try int) error
	// width is how many files are closed or published at once.
	width int
}

// get reads a whole object of at most limit bytes. The error is
// store.ErrNotFound when it is not there.
func (o *objects) get(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, _, err := o.store.Open(ctx, key, store.Read{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, o.fail(err, "%s cannot be read", key)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, o.fail(err, "%s cannot be read", key)
	}
	if int64(len(b)) > limit {
		return nil, at(broken("it is larger than %d bytes", limit), key)
	}
	return b, nil
}

// put stores an object, replacing one that is there.
func (o *objects) put(ctx context.Context, key string, b []byte) error {
	body := store.Body{Size: int64(len(b)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[off:])), nil
	}}
	if _, err := o.store.Put(ctx, key, body, store.PutOptions{Attributes: store.Attributes{ContentType: "application/json"}}); err != nil {
		return o.fail(err, "%s cannot be written", key)
	}
	return nil
}

// keep creates key with value and returns what is kept there: the first value
// ever given.
func (o *objects) keep(ctx context.Context, key string, value []byte, limit int64) ([]byte, error) {
	for try := 1; ; try++ {
		err := o.creator.Create(ctx, key, value)
		if err == nil {
			return value, nil
		}
		kept, rerr := o.get(ctx, key, limit)
		switch {
		case rerr == nil && errors.Is(err, store.ErrExists):
			return kept, nil
		case rerr == nil: // there, but durable only once a creation was refused
		case !errors.Is(rerr, store.ErrNotFound):
			return nil, rerr
		}
		err = o.fail(err, "%s cannot be written", key)
		if try >= createTries && !contended(err, rerr, try) || fault.ClassOf(err) != fault.Retry || o.wait(ctx, min(try, createTries)) != nil {
			return nil, err
		}
	}
}

// contended reports whether somebody else made the object and took it away again, as
// those do who try a store at the same time. Nobody does that for long.
func contended(create, get error, try int) bool {
	const most = 50
	return try < most && errors.Is(create, store.ErrExists) && errors.Is(get, store.ErrNotFound)
}

// fail gives a store's error a code when it has none. What ended because ctx did
// keeps its error.
func (o *objects) fail(err error, format string, args ...any) error {
	var coded *fault.Error
	if errors.As(err, &coded) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.New(fault.TargetFailed, format, args...).By(err).Try("the cause is the store's word: look whether it is reached and whole")
}

func (o *objects) warn(what, key string, err error) {
	o.log.Warn(what, "key", key, "error", err)
}

// at adds the key to an error about a control file.
func at(err error, key string) error {
	var e *fault.Error
	if errors.As(err, &e) && e.Where == "" {
		e.Where = key
	}
	return err
}

// sideBySide is the width of a sink.
const sideBySide = 8

// each calls do for 0 to n-1, width of them at once. After an error no more are begun;
// it returns that of the lowest number after all calls have ended: since they begin in
// order it is the error that one after another would have met.
func each(n, width int, do func(i int) error) error {
	if n == 1 || width == 1 {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	next, failed := 0, n
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == n {
			return -1
		}
		next++
		return next - 1
	}
	for range min(n, width) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				if err := do(i); err != nil {
					mu.Lock()
					if i < failed {
						first, failed = err, i
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}
