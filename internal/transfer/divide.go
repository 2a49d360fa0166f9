package transfer

import (
	"context"
	"slices"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// partsPerRange: more ranges than are listed at once, so that an uneven division
// does not leave one of them for the end.
const partsPerRange = 4

// Ranges finds the key ranges of the round: those of an earlier run, or one of all
// keys. When that one turns out to be long, what is left of it is divided into more
// while it is listed: Run must be called beside Ranges. It may be called again after
// it failed or was cancelled, also while ranges run, and finds the same ones.
func (t *Transfer) Ranges(ctx context.Context, found func(Range)) error {
	ranges, err := t.folder.Ranges()
	if err != nil {
		return err
	}
	if ranges == nil {
		if err := t.folder.KeepRanges(nil); err != nil {
			return err
		}
		ranges = []Range{{}}
	}
	if err := t.nameAll(len(ranges)); err != nil {
		return err
	}
	t.find(ranges, 0, found)
	if len(ranges) == 1 {
		if ranges, err = t.divide(ctx); err != nil {
			return err
		}
		t.find(ranges, 1, found)
	}
	t.mu.Lock()
	t.found = true
	t.mu.Unlock()
	return t.extraneous(ctx)
}

// find makes the ranges known and reports those from number first on.
func (t *Transfer) find(ranges []Range, first int, found func(Range)) {
	t.mu.Lock()
	more := len(ranges) - len(t.ranges)
	t.ranges = ranges
	t.mu.Unlock()
	t.Record.Ranges(more)
	for _, r := range ranges[first:] {
		found(r)
	}
}

// known returns the number of a range, and how long it is by now: the first was
// perhaps divided since it was found.
func (t *Transfer) known(r Range) (int, Range, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, k := range t.ranges {
		if k.After == r.After {
			return n, k, nil
		}
	}
	return 0, r, fault.New(fault.Internal, "the key range after %q is not of this round", r.After)
}

// divide waits until the only range is listed, or is found to be long; then it
// divides what is left of it. It returns all ranges there are.
func (t *Transfer) divide(ctx context.Context) ([]Range, error) {
	all := []Range{{}}
	d, ok := t.Source.(store.Divider)
	if !ok || t.List != nil {
		return all, nil
	}
	select {
	case <-t.front.over:
		return all, nil
	case <-t.front.long:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	prefix := ""
	if ps := t.selected.Prefixes(); len(ps) == 1 {
		prefix = ps[0]
	}
	bounds, err := d.Divide(ctx, prefix, t.front.at(), t.Parallel*partsPerRange)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		t.Log.Info("the source's keys are listed in one go: it did not say how to divide them", "error", err)
		return all, nil
	}
	slices.Sort(bounds)
	if cut, err := t.front.cut(slices.Compact(bounds), t.folder.KeepRanges); err != nil || !cut {
		return all, err
	}
	return t.folder.Ranges()
}

// front is how far the listing of the first range has come, and where it ends once
// the rest is divided. Whatever is listed of it passes here, so that no key is both
// in it and in the ranges that the rest is divided into.
type front struct {
	long, over chan struct{} // closed: many keys have passed, the range is listed
	most       int

	mu   sync.Mutex
	keys int
	last string // that passed
	upto string // "": no bound
	done bool
}

func newFront(most int) *front {
	return &front{long: make(chan struct{}), over: make(chan struct{}), most: most}
}

// pass reports whether a key that is listed belongs to the first range.
func (f *front) pass(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.upto != "" && key > f.upto {
		return false
	}
	f.last = max(f.last, key)
	if f.keys++; f.keys == f.most {
		close(f.long)
	}
	return true
}

// at returns the last key that has passed.
func (f *front) at() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// bound returns what tells where a range ends by now.
func (f *front) bound(n int, r Range) func() string {
	if n > 0 || r.Upto != "" {
		return func() string { return r.Upto }
	}
	return func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.upto
	}
}

// listed notes that a range is listed to its end.
func (f *front) listed(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == 0 && !f.done {
		f.done = true
		close(f.over)
	}
}

// cut ends the first range at the first of bounds that is still ahead, after keep
// has made those ahead durable; meanwhile no key passes. False: none is ahead.
func (f *front) cut(bounds []string, keep func([]string) error) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bounds = slices.DeleteFunc(bounds, func(b string) bool { return b <= f.last })
	if f.done || len(bounds) == 0 {
		return false, nil
	}
	if err := keep(bounds); err != nil {
		return false, err
	}
	f.upto = bounds[0]
	return true, nil
}
