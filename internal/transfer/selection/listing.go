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
		for _, st := range stretches {
			if st.High != "" && st.High <= after {
				continue
			}
			if end := upto(); end != "" && st.Low > end {
				return
			}
			past, whole := st.End(), st.From == st.To && st.Low == st.From
			for o, err := range s.List(ctx, st.To, st.Start(after)) {
				if past != "" && o.Key >= past {
					break
				}
				listed := err == nil || o.Key != ""
				if listed && !whole {
					key, ok := st.Key(o.Key)
					if !ok || key <= after {
						continue
					}
					o.Key = key
				}
				if end := upto(); end != "" && o.Key > end {
					return
				}
				if !yield(o, err) || !listed {
					return
				}
			}
		}
	}
}
