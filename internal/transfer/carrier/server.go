package carrier

import (
	"context"
	"errors"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// refusalsOfCopy is after how many refusals in a row no more copies inside the
// service are tried.
const refusalsOfCopy = 3

// server has the service copy the object, without its bytes coming here. done:
// nothing else is to be tried.
func (w *work) server(ctx context.Context) (done bool, err error) {
	c := w.c
	if c.copier == nil || c.notHere.Load() >= refusalsOfCopy {
		return false, nil
	}
	if err := c.lanes.take(ctx, c.lanes.small); err != nil {
		return true, err
	}
	stored, err := w.askServer(ctx)
	c.lanes.give(c.lanes.small, 0)
	switch {
	case errors.Is(err, errors.ErrUnsupported), fault.Has(err, fault.StoreRefused):
		c.notHere.Add(1)
		return false, nil
	case errors.Is(err, store.ErrChanged), errors.Is(err, store.ErrNotFound):
		return true, ofSource(err)
	case err != nil:
		return true, ofTarget(err)
	}
	c.notHere.Store(0)
	w.how = "server"
	if w.checked, err = confirm(stored, w.o.Size, w.o.Sums); err != nil {
		w.drop(ctx)
		return true, err
	}
	w.sum = best(w.o.Sums)
	if c.Verify != ReadBack && (!c.Erase || w.checked != "size") {
		return true, nil
	}
	err = w.verifyBoth(ctx)
	if fault.Has(err, fault.SourceGone) { // it was copied before, and there is nothing to be deleted
		w.checked, err = "size", nil
	}
	return true, err
}

func (w *work) askServer(ctx context.Context) (store.Object, error) {
	if w.c.Class == "" {
		return w.c.copier.Copy(ctx, w.c.Source, w.o, w.key, nil)
	}
	o, err := store.Look(ctx, w.c.Source, w.o.Key)
	if err != nil {
		return o, err
	}
	p := w.options(o)
	return w.c.copier.Copy(ctx, w.c.Source, w.o, w.key, &p)
}

// verifyBoth reads source and target, for a copy whose bytes never came here.
func (w *work) verifyBoth(ctx context.Context) error {
	r := &reading{c: w.c, st: w.c.Source, o: w.o, size: w.o.Size, want: w.o.Sums, side: ofSource}
	r.kinds = append([]kind{{algorithm: store.XXH3}}, computable(w.o.Sums, w.o.Size)...)
	sums, err := w.c.hash(ctx, r)
	if err != nil {
		return err
	}
	w.sum = best(sums)
	w.checked, err = w.readBack(ctx, []span{{0, w.o.Size, sums}})
	if fault.Has(err, fault.Corrupt) && w.how == "server" {
		w.drop(ctx)
	}
	return err
}
