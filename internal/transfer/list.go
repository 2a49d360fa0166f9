package transfer

import (
	"context"
	"errors"
	"iter"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/transfer/page"
	"godwit/internal/transfer/pair"
	"godwit/internal/transfer/selection"
	"godwit/internal/watch"
)

// sealAfter bounds how long the first item of a page waits for others.
const sealAfter = 200 * time.Millisecond

// seen is one step of a listing.
type seen struct {
	last    string // where listing goes on after it
	taken   int64  // lines of a list file up to it
	entry   *page.Entry
	there   bool // the target has an object
	unsound bool // the source could not be listed whole
}

// list lists a range from where its last page ends, seals pages and has them
// carried. Listing never waits for carrying.
func (t *Transfer) list(ctx context.Context, r Range, rg int, end *page.Header, w *work) error {
	steps := make(chan seen, 256)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	upto := t.front.bound(rg, r)
	emit := func(s seen) bool {
		if rg == 0 && !t.front.pass(s.last) {
			return false
		}
		select {
		case steps <- s:
			return true
		case <-ctx.Done():
			return false
		}
	}
	listed := make(chan error, 1)
	go func() {
		defer close(steps)
		after := max(r.After, end.Last)
		switch {
		case t.List != nil:
			listed <- t.listFile(ctx, end.Taken, emit)
		case t.selected.KeepsOrder():
			listed <- t.join(ctx, after, upto, emit)
		default:
			listed <- t.lookUp(ctx, after, upto, emit)
		}
	}()
	s := &sealer{t: t, w: w, header: page.Header{Range: rg, Seq: end.Seq, Last: end.Last, Taken: end.Taken}}
	err := s.seal(steps)
	if err != nil {
		fail(err)
		for range steps {
		}
	}
	if lerr := <-listed; err == nil {
		err = lerr
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return s.flush(true)
}

// sealer makes pages of steps.
type sealer struct {
	t       *Transfer
	w       *work
	header  page.Header
	entries []page.Entry
}

func (s *sealer) seal(steps <-chan seen) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case step, more := <-steps:
			if !more {
				return nil
			}
			s.header.Last, s.header.Taken = step.last, step.taken
			s.header.Unsound = s.header.Unsound || step.unsound
			if step.there {
				s.header.There++
			}
			if step.entry == nil {
				continue
			}
			if len(s.entries) == 0 {
				timer.Reset(sealAfter)
			}
			s.entries = append(s.entries, *step.entry)
			if len(s.entries) < page.Most {
				continue
			}
		case <-timer.C:
		}
		if err := s.flush(false); err != nil {
			return err
		}
	}
}

// flush seals what there is as a page; the last page of a range may be empty.
func (s *sealer) flush(end bool) error {
	if len(s.entries) == 0 && !end {
		return nil
	}
	if err := s.t.give(s.entries); err != nil {
		return err
	}
	h := s.header
	h.Seq++
	h.End = end
	if err := s.t.folder.Seal(&h, s.entries); err != nil {
		return err
	}
	s.t.ledger.found(h.Range, len(s.entries), h.Items.Bytes)
	for state, c := range h.States {
		s.t.ledger.ended(h.Range, string(state), int(c.Objects), c.Bytes)
	}
	s.header = page.Header{Range: h.Range, Seq: h.Seq, Last: h.Last, Taken: h.Taken}
	if h.Open > h.Deletes && !s.t.DryRun && s.w.add(&h, s.entries) {
		s.entries = nil
	}
	s.entries = s.entries[:0]
	return nil
}

// join compares the two listings of a range: in each stretch the names in the target
// are in the order of the keys they come from.
func (t *Transfer) join(ctx context.Context, after string, upto func() string, emit func(seen) bool) error {
	a := pair.Listing{Name: "the source", Objects: selection.List(ctx, t.Source, t.selected.Keys(), after, upto)}
	b := pair.Listing{Name: "the target", Objects: blamed(selection.List(ctx, t.Target, t.selected.Stretches(), after, upto))}
	for p, err := range pair.Join(ctx, a, b) {
		if err != nil {
			return err
		}
		step := seen{last: p.Key, there: p.B != nil, unsound: p.AErr != nil && !fault.Has(p.AErr, fault.NotAFile)}
		switch {
		case p.A != nil:
			step.entry = t.decide(*p.A, p.AErr, p.B, p.BErr)
		case p.BErr == nil:
			step.entry = t.onlyThere(*p.B)
		}
		if !emit(step) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// blamed lists the target: what goes wrong is its fault.
func blamed(objects iter.Seq2[store.Object, error]) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for o, err := range objects {
			if !yield(o, fault.InSink(watch.Target, err)) {
				return
			}
		}
	}
}

// lookUp lists the source and asks the target for each name, as their order is not
// that of the keys.
func (t *Transfer) lookUp(ctx context.Context, after string, upto func() string, emit func(seen) bool) error {
	asked := newAsker(ctx, t, emit)
	for o, err := range selection.List(ctx, t.Source, t.selected.Keys(), after, upto) {
		if err != nil && o.Key == "" {
			return errors.Join(err, asked.wait())
		}
		if !asked.ask(func() answer { return asked.listed(o, err).after(o.Key, 0) }) {
			break
		}
	}
	return asked.wait()
}

// listFile takes the objects that a list names, from line taken on.
func (t *Transfer) listFile(ctx context.Context, taken int64, emit func(seen) bool) error {
	asked := newAsker(ctx, t, emit)
	line := int64(0)
	for o, err := range t.List {
		if line++; line <= taken {
			continue
		}
		if err != nil {
			return errors.Join(err, asked.wait())
		}
		at := line
		if !asked.ask(func() answer { return asked.named(o.Key).after("", at) }) {
			break
		}
	}
	return asked.wait()
}

// decide says what is to be done with an object of the source; nil: it is not
// chosen.
func (t *Transfer) decide(o store.Object, oerr error, there *store.Object, terr error) *page.Entry {
	if oerr == nil && !t.selected.Chosen(o) || oerr != nil && !t.selected.Takes(o.Key) {
		return nil
	}
	name, ok := t.selected.Name(o.Key)
	item := page.Item{Key: o.Key, Size: o.Size, Modified: o.Modified, Version: o.Version, Sums: o.Sums}
	if name != o.Key {
		item.Name = name
	}
	switch {
	case oerr != nil:
		return t.refuse(item, oerr)
	case !ok:
		return t.refuse(item, fault.New(fault.NameRefused, "rename leaves %q without a name", o.Key))
	case terr != nil:
		return t.refuse(item, terr)
	}
	item.Action, item.Reason = t.compare(o, there)
	if item.Action == page.Copy && there != nil && t.mayBeAnothers() {
		return t.refuse(item, fault.New(fault.NameClash, "the target has another object under this name, and it may be another key's that was moved there").
			At("%s", item.Target()).Try("rename one of them; overwrite: always replaces what is there"))
	}
	if item.Action == page.Same && t.Erase {
		item.Action = page.Erase
	}
	e := &page.Entry{Item: item}
	switch item.Action {
	case page.Same:
		e.Outcome = t.ended(page.Unchanged)
	case page.Skip:
		e.Outcome = t.ended(page.Skipped)
	}
	return e
}

func (t *Transfer) ended(s page.State) *page.Outcome {
	return &page.Outcome{State: s, At: t.Now().UTC()}
}

func (t *Transfer) refuse(item page.Item, err error) *page.Entry {
	e := fault.Of(err)
	item.Action, item.Code, item.Reason = page.Refuse, e.Code, e.What
	out := t.ended(page.Failed)
	out.Code, out.Error = e.Code, e.Error()
	if e.Hint != "" {
		out.Error += "; " + e.Hint
	}
	return &page.Entry{Item: item, Outcome: out}
}

// compare compares an object with what the target has under its name.
func (t *Transfer) compare(o store.Object, there *store.Object) (page.Action, string) {
	if there == nil {
		return page.Copy, "new"
	}
	newer := newer(o.Modified, there.Modified)
	switch t.Overwrite {
	case Always:
		return page.Copy, "always"
	case Never:
		return page.Skip, "the target has one"
	case IfNewer:
		if newer {
			return page.Copy, "the source is newer"
		}
		return page.Same, "the target is as new"
	}
	likeness, _ := store.Compare(o.Sums, there.Sums)
	switch {
	case o.Size != there.Size:
		return page.Copy, "size differs"
	case likeness == store.Unlike:
		return page.Copy, "checksum differs"
	case likeness == store.Unknown && newer:
		return page.Copy, "the source is newer"
	}
	return page.Same, ""
}

// newer compares times as far as both stores keep them: one that keeps whole seconds
// only would else make every object newer for ever.
func newer(source, target time.Time) bool {
	if source.IsZero() || target.IsZero() {
		return false
	}
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if source.Nanosecond()%int(unit) == 0 || target.Nanosecond()%int(unit) == 0 {
			return source.Truncate(unit).After(target.Truncate(unit))
		}
	}
	return source.After(target)
}

// onlyThere says what is to be done with an object that only the target has, listed
// under the key that its name would come from.
func (t *Transfer) onlyThere(o store.Object) *page.Entry {
	if !t.Extraneous.Delete && !t.Extraneous.DryRun || !t.selected.Chosen(o) {
		return nil
	}
	name, ok := t.selected.Name(o.Key)
	if !ok {
		return nil
	}
	e := &page.Entry{Item: page.Item{Name: name, Size: o.Size, Modified: o.Modified, Version: o.Version, Action: page.Delete, Reason: "only in the target"}}
	if !t.Extraneous.Delete {
		e.Outcome = t.ended(page.Skipped)
	}
	return e
}
