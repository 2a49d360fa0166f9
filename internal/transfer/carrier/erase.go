package carrier

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// delete removes the object in the target.
func (w *work) delete(ctx context.Context) error {
	return w.c.persist(ctx, &w.attempts, &tries{}, func(ctx context.Context) error {
		return w.c.remove(ctx, w.c.Target, w.key, ofTarget)
	})
}

func (c *Carrier) remove(ctx context.Context, st store.Store, key string, side func(error) error) error {
	if err := c.lanes.take(ctx, c.lanes.small); err != nil {
		return err
	}
	defer c.lanes.give(c.lanes.small, 0)
	if err := st.Delete(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
		return side(err)
	}
	return nil
}

// erase deletes the object in the source when the target has the same contents.
func (w *work) erase(ctx context.Context) error {
	err := w.c.persist(ctx, &w.attempts, &tries{}, w.alike)
	if err != nil {
		return err
	}
	return w.eraseSource(ctx)
}

// alike compares source and target as they are: by checksums that both give, else
// by reading both.
func (w *work) alike(ctx context.Context) error {
	s, err := store.Look(ctx, w.c.Source, w.o.Key)
	if err != nil {
		return ofSource(err)
	}
	if !same(s, w.o) {
		return ofSource(store.ErrChanged)
	}
	w.o = s
	t, err := store.Look(ctx, w.c.Target, w.key)
	if err != nil {
		return ofCopy(err)
	}
	sums := slices.Concat(s.Sums, w.item.Sums)
	if w.checked, err = confirm(t, s.Size, sums); err != nil {
		return err
	}
	if w.checked != "size" && w.c.Verify != ReadBack {
		w.sum = best(sums)
		return nil
	}
	return w.verifyBoth(ctx)
}

// eraseSource deletes the object in the source, if it is still the version that
// was verified.
func (w *work) eraseSource(ctx context.Context) error {
	var tried atomic.Int64
	err := w.c.persist(ctx, &tried, &tries{}, func(ctx context.Context) error {
		now, err := store.Look(ctx, w.c.Source, w.o.Key)
		switch {
		case errors.Is(err, store.ErrNotFound): // the answer of an earlier request was lost
			return nil
		case err != nil:
			return ofSource(err)
		case !same(now, w.o):
			return ofSource(store.ErrChanged)
		}
		return w.c.remove(ctx, w.c.Source, w.o.Key, ofSource)
	})
	w.attempts.Add(tried.Load() - 1)
	if err != nil && ctx.Err() == nil {
		return fault.New(fault.Of(err).Code, "the target has the object, but it was not deleted in the source").By(err)
	}
	w.erased = err == nil
	return err
}
