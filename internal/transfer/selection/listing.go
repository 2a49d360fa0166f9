package selection

import (
	"context"
	"iter"

	"godwit/internal/store"
)

// List lists what a store has under the names of stretches, one after another, each
// object under the key that its name comes from: keys after after, up to and with what
// upto returns, which may become known meanwhile (empty: no bound). Of one store with
// Keys and another with Stretches the two listings can be joined.
func List(ctx context.Context, s store.Store, stretches []Stretch, after string, upto func() string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for _, t := range stretches {
			if end := upto(); end != "" && t.Low > end {
				return
			}
			if (t.High == "" || t.High > after) && !t.list(ctx, s, after, upto, yield) {
				return
			}
		}
	}
}

// list lists one stretch. False: nothing is wanted of the next ones.
func (t Stretch) list(ctx context.Context, s store.Store, after string, upto func() string, yield func(store.Object, error) bool) bool {
	past := t.End()
	for o, err := range s.List(ctx, t.To, t.Start(after)) {
		if err != nil && o.Key == "" {
			yield(o, err)
			return false
		}
		if past != "" && o.Key >= past {
			break
		}
		key, ok := t.listed(o.Key, after)
		if !ok {
			continue
		}
		o.Key = key
		if end := upto(); end != "" && key > end || !yield(o, err) {
			return false
		}
	}
	return true
}

// listed returns the key of a name that is listed; false: it is not wanted. Where a
// store lists keys themselves all are: it may tell of a folder above the prefix that
// it cannot read.
func (t Stretch) listed(name, after string) (string, bool) {
	if t.From == t.To && t.Low == t.From {
		return name, true
	}
	key, ok := t.Key(name)
	return key, ok && key > after
}
