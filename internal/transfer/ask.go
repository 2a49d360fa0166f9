package transfer

import (
	"context"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/transfer/page"
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

// ask takes an object of the source, or the key of one when a list named it in
// line. False: it is of no use to go on.
func (a *asker) ask(o store.Object, err error, line int64) bool {
	turn := make(chan answer, 1)
	select {
	case a.turns <- turn:
	case <-a.ctx.Done():
		return false
	}
	go func() { turn <- a.answer(o, err, line) }()
	return true
}

// wait returns the first error, after all answers have come.
func (a *asker) wait() error {
	close(a.turns)
	return <-a.ended
}

func (a *asker) answer(o store.Object, oerr error, line int64) answer {
	step := seen{last: o.Key, taken: line}
	if line > 0 {
		step.last = ""
		found, err := store.Find(a.ctx, a.t.Source, o.Key)
		switch {
		case wide(a.ctx, err):
			return answer{err: err}
		case err == nil && found == nil:
			out := a.t.ended(page.Gone)
			out.Code, out.Error = fault.SourceGone, "the list names it, but the source has it not"
			step.entry = &page.Entry{Item: page.Item{Key: o.Key, Action: page.Refuse, Code: fault.SourceGone, Reason: "not in the source"}, Outcome: out}
			return answer{step: step}
		case err == nil:
			o = *found
			o.Attributes = nil
		}
		oerr = err
	}
	name, ok := a.t.selected.Name(o.Key)
	if oerr != nil || !ok || !a.t.selected.Chosen(o) {
		step.entry = a.t.decide(o, oerr, nil, nil)
		return answer{step: step}
	}
	there, err := store.Find(a.ctx, a.t.Target, name)
	switch {
	case wide(a.ctx, err):
		return answer{err: err}
	case fault.Has(err, fault.NameRefused):
		err = nil // carrying says so
	}
	step.there = there != nil
	step.entry = a.t.decide(o, nil, there, err)
	return answer{step: step}
}

// wide reports whether an error ends the listing.
func wide(ctx context.Context, err error) bool {
	return err != nil && (store.Wide(err) || ctx.Err() != nil)
}
