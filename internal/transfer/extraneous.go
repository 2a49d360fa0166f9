package transfer

import (
	"context"

	"godwit/internal/fault"
	"godwit/internal/transfer/page"
)

// extraneous deletes what only the target has, once all ranges are listed and
// carried. Whoever ends the last of them does it.
func (t *Transfer) extraneous(ctx context.Context) (err error) {
	if !t.Extraneous.Delete || t.DryRun || !t.toDelete() {
		return nil
	}
	t.gate.Lock()
	defer t.gate.Unlock()
	if !t.toDelete() { // a range runs again, or somebody else was quicker
		return nil
	}
	defer func() { // after a failure who is run again deletes the rest
		t.mu.Lock()
		defer t.mu.Unlock()
		t.deleted = err == nil
	}()
	t.mu.Lock()
	ranges := len(t.ranges)
	t.mu.Unlock()
	pages := map[int][]*page.Header{}
	unsound := map[int]bool{}
	deletes, there := int64(0), int64(0)
	for rg := range ranges {
		headers, err := t.folder.Pages(rg)
		if err != nil {
			return err
		}
		for _, h := range headers {
			there += h.There
			unsound[rg] = unsound[rg] || h.Unsound
			if h.Deletes > 0 {
				deletes += h.Deletes
				pages[rg] = append(pages[rg], h)
			}
		}
	}
	x := t.Extraneous
	if x.Count > 0 && deletes > x.Count || x.Percent > 0 && float64(deletes)*100 > x.Percent*float64(there) {
		err := fault.New(fault.TooManyDeletes, "%d of the target's %d objects are not in the source: more than delete_extraneous allows; none was deleted", deletes, there).
			Try("look at them with godwit plan; raise the limit if it is meant")
		for rg, headers := range pages {
			if serr := t.skipDeletes(rg, headers, err.Error()); serr != nil {
				return serr
			}
		}
		return err
	}
	for rg, headers := range pages {
		var err error
		if unsound[rg] {
			err = t.skipDeletes(rg, headers, "the source could not be listed whole, so it may be there after all")
		} else {
			err = t.delete(ctx, rg, headers)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// toDelete reports whether all ranges are listed and carried, and nobody has deleted
// what is to be deleted.
func (t *Transfer) toDelete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.found && len(t.whole) == len(t.ranges) && !t.deleted
}

// skipDeletes records that nothing is deleted, and why.
func (t *Transfer) skipDeletes(rg int, headers []*page.Header, why string) error {
	for _, header := range headers {
		h, entries, err := t.folder.Load(rg, header.Seq)
		if err != nil {
			return err
		}
		for i, e := range entries {
			if e.Outcome == nil && e.Action == page.Delete {
				out := t.ended(page.Skipped)
				out.Error = why
				entries[i].Outcome = out
				t.ledger.ended(rg, string(page.Skipped), 1, e.Size)
			}
		}
		if err := t.folder.Finish(h, entries); err != nil {
			return err
		}
	}
	return nil
}

func (t *Transfer) delete(ctx context.Context, rg int, headers []*page.Header) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w := t.work(ctx, fail, rg, true)
	for _, h := range headers {
		w.add(h, nil)
	}
	return w.wait()
}
