package transfer

import (
	"context"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// askAtOnce is how many objects are asked for side by side.
const askAtOnce = 32

// asker asks stores for objects one by one, side by side, and emits in order.
type asker struct {
	ctx   context.Context
	t     *Transfer
	turns chan chan answer // in order
	ended chan error
}

type answer struct {
	step seen
	err  error // ends the listing
}

// after says where listing goes on after the answer.
func (a answer) after(last string, taken int64) answer {
	a.step.last, a.step.taken = last, taken
	return a
}

func newAsker(ctx context.Context, t *Transfer, emit func(seen) bool) *asker {
	a := &asker{ctx: ctx, t: t, turns: make(chan chan answer, askAtOnce), ended: make(chan error, 1)}
	go func() {
		var first error
		for turn := range a.turns {
			got := <-turn
			switch {
			case first != nil:
			case got.err != nil:
				first = got.err
			case !emit(got.step):
				first = context.Cause(ctx)
			}
		}
		a.ended <- first
	}()
	return a
}

// ask has find called beside others. False: it is of no use to go on.
func (a *asker) ask(find func() answer) bool {
	turn := make(chan answer, 1)
	select {
	case a.turns <- turn:
	case <-a.ctx.Done():
		return false
	}
	go func() { turn <- find() }()
	return true
}

// wait returns the first error, after all answers have come.
func (a *asker) wait() error {
	close(a.turns)
	return <-a.ended
}

// named looks an object of the source up by its key.
func (a *asker) named(key string) answer {
	found, err := store.Find(a.ctx, a.t.Source, key)
	o := store.Object{Key: key}
	switch {
	case wide(a.ctx, err):
		return answer{err: err}
	case err == nil && found == nil:
		out := a.t.ended(page.Gone)
		out.Code, out.Error = fault.SourceGone, "the source has it not"
		return answer{step: seen{entry: &page.Entry{Item: page.Item{Key: key, Action: page.Refuse, Code: fault.SourceGone, Reason: "not in the source"}, Outcome: out}}}
	case err == nil:
		o = *found
		o.Attributes = nil
	}
	return a.listed(o, err)
}

// listed looks up what the target has under the name of an object of the source.
func (a *asker) listed(o store.Object, oerr error) answer {
	name, ok := a.t.selected.Name(o.Key)
	if oerr != nil || !ok || !a.t.selected.Chosen(o) {
		return answer{step: seen{entry: a.t.decide(o, oerr, nil, nil)}}
	}
	there, err := store.Find(a.ctx, a.t.Target, name)
	switch {
	case wide(a.ctx, err):
		return answer{err: fault.InSink(watch.Target, err)}
	case fault.Has(err, fault.NameRefused):
		err = nil // carrying says so
	}
	return answer{step: seen{there: there != nil, entry: a.t.decide(o, nil, there, err)}}
}

// wide reports whether an error ends the listing.
func wide(ctx context.Context, err error) bool {
	return err != nil && (store.Wide(err) || ctx.Err() != nil)
}

// reconsider looks anew at what was refused when it was listed, and decides: somebody
// may have mended the cause. What was in a folder that could not be read is not known;
// only a listing tells.
func (t *Transfer) reconsider(ctx context.Context, entries []page.Entry) error {
	var places []int
	for i, e := range entries {
		if e.Action == page.Refuse && e.Outcome != nil && e.Outcome.State == page.Failed {
			places = append(places, i)
		}
	}
	var anew []page.Entry
	asked := newAsker(ctx, t, func(s seen) bool {
		old := entries[places[len(anew)]]
		if s.entry == nil || s.entry.Code == fault.SourceGone && !ofItself(old.Code) {
			s.entry = &old
		}
		anew = append(anew, *s.entry)
		return true
	})
	for _, i := range places {
		if !asked.ask(func() answer { return asked.named(entries[i].Key) }) {
			break
		}
	}
	err := asked.wait()
	if err == nil && len(anew) < len(places) {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = t.give(anew)
	}
	if err != nil {
		return err
	}
	for i, place := range places {
		entries[place] = anew[i]
	}
	return nil
}

// ofItself reports whether an object was refused for what it is, and not for what
// could not be read.
func ofItself(c fault.Code) bool {
	return c == fault.NotAFile || c == fault.NameRefused || c == fault.NameClash
}
