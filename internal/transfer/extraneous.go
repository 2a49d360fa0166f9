package transfer

import (
	"context"

	"godwit/internal/fault"
	"godwit/internal/store"
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
	c, err := t.considered()
	if err != nil || c.Deletes == 0 {
		return err
	}
	if err := t.mayDelete(ctx, c.Considered); err != nil {
		for rg, headers := range c.pages {
			if serr := t.skipDeletes(rg, headers, err.Error()); serr != nil {
				return serr
			}
		}
		return err
	}
	for rg, headers := range c.pages {
		var err error
		if c.unsound[rg] {
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

// mayDelete refuses what is too much, and where the source has vanished meanwhile: it
// has listed nothing then.
func (t *Transfer) mayDelete(ctx context.Context, c Considered) error {
	if r, ok := t.Source.(store.Rooted); ok {
		if err := r.There(ctx); err != nil {
			return err
		}
	}
	return t.Extraneous.Refuse(c)
}

// Considered counts what decides whether anything is deleted in the target.
type Considered struct {
	Deletes int64 // objects of the target that the source does not have
	There   int64 // objects of the target
	Source  int64 // objects of the source that the job chooses
}

// Considered counts what has been listed.
func (t *Transfer) Considered() (Considered, error) {
	c, err := t.considered()
	return c.Considered, err
}

// considered is Considered, with the pages that have something to delete and the ranges
// of which the source could not be listed whole.
type considered struct {
	Considered
	pages   map[int][]*page.Header
	unsound map[int]bool
}

func (t *Transfer) considered() (considered, error) {
	t.mu.Lock()
	ranges := len(t.ranges)
	t.mu.Unlock()
	c := considered{pages: map[int][]*page.Header{}, unsound: map[int]bool{}}
	for rg := range ranges {
		headers, err := t.folder.Pages(rg)
		if err != nil {
			return c, err
		}
		for _, h := range headers {
			c.There += h.There
			c.Deletes += h.Deletes
			c.Source += h.Items.Objects - h.Deletes
			c.unsound[rg] = c.unsound[rg] || h.Unsound
			if h.Deletes > 0 {
				c.pages[rg] = append(c.pages[rg], h)
			}
		}
	}
	return c, nil
}

// Refuse returns fault.TooManyDeletes where c is more than may be deleted. A source of
// which nothing is listed is more likely one that is not mounted, or another one than
// was meant, than one that was emptied: there a bound that lets everything be deleted
// must have been asked for.
func (x Extraneous) Refuse(c Considered) error {
	switch {
	case c.Deletes == 0:
		return nil
	case c.Source == 0 && (x.Count > 0 || x.Percent > 0 && x.Percent < 100):
		return fault.New(fault.TooManyDeletes, "the source has no object that the job chooses, and so all %d of the target would be deleted; none is", c.Deletes).
			Try("look whether the source is the right one, and mounted; delete_limit: 100%% lets an empty source empty the target")
	case x.Count > 0 && c.Deletes > x.Count || x.Percent > 0 && float64(c.Deletes)*100 > x.Percent*float64(c.There):
		return fault.New(fault.TooManyDeletes, "%d of the target's %d objects are not in the source: more than delete_limit allows; none is deleted", c.Deletes, c.There).
			Try("look at them with godwit plan; raise the limit if it is meant")
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
