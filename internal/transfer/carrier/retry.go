package carrier

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"syscall"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/watch"
)

// How often something is tried, by what went wrong.
const (
	transientTries = 8
	corruptTries   = 3
	changedTries   = 3

	waitFirst = 200 * time.Millisecond
	waitMost  = 15 * time.Second

	// rowOfRefusals is how many objects are refused one after the other before the
	// cause is taken to lie with the job.
	rowOfRefusals = 20
)

// ofSource gives an error of the source the code that it has for an object.
func ofSource(err error) error {
	var e *fault.Error
	coded := errors.As(err, &e)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fault.New(fault.SourceGone, "the object vanished before it was copied").By(err)
	case errors.Is(err, store.ErrChanged):
		return fault.New(fault.SourceChanged, "the object changed while it was copied").By(err)
	case coded && (e.Code == fault.StoreRefused || e.Code == fault.TargetRefused), errors.Is(err, fs.ErrPermission):
		return fault.New(fault.SourceRefused, "the object may not be read").By(err).Try("let it be read, then run `godwit retry`")
	case coded && e.Code == fault.TargetFailed, !coded:
		return fault.New(fault.StoreFailed, "reading the source failed").By(err)
	}
	return err
}

// ofTarget gives an error of the target a code, and blames the target for it.
func ofTarget(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		err = fault.New(fault.StoreFailed, "writing to the target failed").By(err)
	}
	return fault.InSink(watch.Target, err)
}

// stops returns err where the whole job cannot go on, nil where other objects may
// fare better.
func (c *Carrier) stops(err error) error {
	if err == nil {
		c.succeeded.Store(true)
		c.refused.Store(0)
		return nil
	}
	switch fault.Of(err).Code {
	case fault.StoreAuth, fault.StoreMissing, fault.TargetFull, fault.StateBroken, fault.FormatNewer:
		return err
	case fault.TargetRefused:
		if errors.Is(err, syscall.EROFS) || c.refused.Add(1) >= rowOfRefusals && !c.succeeded.Load() {
			return err
		}
	case fault.StoreRefused, fault.SourceRefused:
		if c.refused.Add(1) >= rowOfRefusals && !c.succeeded.Load() {
			return err
		}
	case fault.StoreUnreachable: // it was tried for half a minute each time
		if c.refused.Add(1) >= rowOfRefusals {
			return err
		}
	}
	return nil
}

// spent is an error of something that was tried often enough already.
type spent struct{ error }

func (s spent) Unwrap() error { return s.error }

// tries counts what went wrong with one thing that is tried.
type tries struct {
	transient, corrupt, changed int
	// refresh takes the source's version of now; nil: a change ends the trying.
	refresh func(context.Context) error
}

// again says whether to try once more after err, and how long to wait before.
func (t *tries) again(err error, spread float64) (time.Duration, bool) {
	e := fault.Of(err)
	var done spent
	switch {
	case e.Code == fault.SourceChanged:
		t.changed++
		return 0, t.refresh != nil && t.changed <= changedTries
	case errors.As(err, &done):
		return 0, false
	case e.Code == fault.Corrupt:
		t.corrupt++
		return 0, t.corrupt < corruptTries
	case e.Class() != fault.Retry:
		return 0, false
	}
	t.transient++
	wait := min(waitMost, waitFirst<<(t.transient-1))
	return wait/2 + time.Duration(spread*float64(wait)/2), t.transient < transientTries
}

// persist does step until it succeeds or there is no use in trying. While it
// waits it holds nothing.
func (c *Carrier) persist(ctx context.Context, attempts *atomic.Int64, t *tries, step func(context.Context) error) error {
	for {
		attempts.Add(1)
		err := step(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if fault.Has(err, fault.StoreBusy) {
			c.lanes.busy()
		}
		wait, again := t.again(err, c.Rand())
		if !again {
			return err
		}
		c.Log.Debug("tried again", "cause", err, "after", wait)
		if err := pause(ctx, wait); err != nil {
			return err
		}
		if fault.Of(err).Code == fault.SourceChanged {
			if err := c.persist(ctx, attempts, &tries{}, t.refresh); err != nil {
				return err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
