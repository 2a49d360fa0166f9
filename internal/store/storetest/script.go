package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/store"
)

// act is one call of the script.
type act struct {
	kind, key, data string
	slot            int
	part            int
}

func (a act) String() string { return fmt.Sprintf("%s %q", a.kind, a.key) }

func script() []act {
	long := func(s string) string { return strings.Repeat(s, 100) }
	return []act{
		{kind: "put", key: "d/p", data: long("one")},
		{kind: "put", key: "d/p", data: long("two!")},
		{kind: "create", key: "c/1", data: long("created")},
		{kind: "create again", key: "c/1", data: long("another")},
		{kind: "stage", key: "t/x/1", data: long("staged 1"), slot: 1},
		{kind: "stage", key: "t/x/2", data: long("staged 2"), slot: 2},
		{kind: "create", key: "c/2", data: long("names both")},
		{kind: "publish", key: "t/x/1", data: long("staged 1"), slot: 1},
		{kind: "publish", key: "t/x/2", data: long("staged 2"), slot: 2},
		{kind: "publish", key: "t/x/1", data: long("staged 1"), slot: 1},
		{kind: "stage", key: "t/y", data: long("in vain"), slot: 3},
		{kind: "discard", key: "t/y", slot: 3},
		{kind: "stage", key: "u", data: "", slot: 4},
		{kind: "delete", key: "d/p"},
		{kind: "put", key: "d/p", data: long("three")},
		{kind: "create", key: "e/deep/er/z", data: ""},
		{kind: "publish", key: "u", data: "", slot: 4},
		{kind: "delete", key: "t/x/1"},
		{kind: "delete", key: "c/1"},
		{kind: "create", key: "c/1", data: long("anew")},
	}
}

// scripts are run each on a disk of its own: a batch may sync the whole disk, and
// would so hide what the others forgot.
func scripts() [][]act {
	data := strings.Repeat("parts", 100)
	part := func(kind string, n int) act { return act{kind: kind, key: "p/x/k", data: data, slot: 1, part: n} }
	vain := act{kind: "begin", key: "p/x/k", data: "in vain", slot: 2}
	return [][]act{
		script(),
		{
			{kind: "put", key: "p/x/k", data: "replaced"},
			part("begin", 0), part("part", 3), part("part", 1), vain,
			{kind: "part", key: vain.key, data: vain.data, slot: vain.slot, part: 1},
			part("other part", 1), part("part", 1), part("part", 2), part("complete", 0),
			{kind: "abandon", key: vain.key, slot: vain.slot},
		},
		{
			{kind: "put", key: "d/p", data: "replaced"},
			{kind: "batch", key: "b/x/1 b/y/2 d/p u", data: strings.Repeat("batch ", 100)},
			{kind: "batch", key: "b/x/1 new", data: strings.Repeat("again ", 100)},
		},
	}
}

// all does the acts from at on. Again: the first may have been tried before.
func (w *world) all(s store.Store, acts []act, at *int, again bool) error {
	for ; *at < len(acts); *at++ {
		if err := w.do(s, acts[*at], again); err != nil {
			return fmt.Errorf("%s: %w", acts[*at], err)
		}
		again = false
	}
	return nil
}

func (w *world) do(s store.Store, a act, again bool) error {
	ctx := context.Background()
	stager, isStager := s.(store.Stager)
	creator, isCreator := s.(store.Creator)
	v := value{true, a.data}
	switch a.kind {
	case "put":
		w.mayBe(a.key, v)
		if _, err := s.Put(ctx, a.key, body([]byte(a.data)), store.PutOptions{}); err != nil {
			return err
		}
		w.may[a.key] = []value{v}
	case "delete":
		w.mayBe(a.key, value{})
		if err := s.Delete(ctx, a.key); err != nil {
			return err
		}
		w.may[a.key] = []value{{}}
	case "create", "create again":
		if isCreator {
			return w.create(ctx, creator, a, again)
		}
	case "batch":
		if batcher, ok := s.(store.Batcher); ok {
			return w.batch(ctx, s, batcher, a)
		}
	case "begin", "part", "other part", "complete", "abandon":
		if parter, ok := s.(store.Parter); ok {
			return w.parting(ctx, s, parter, a, again)
		}
	default:
		if isStager {
			return w.staging(ctx, stager, a)
		}
	}
	return nil
}

func (w *world) mayBe(key string, v value) {
	if w.may[key] == nil {
		w.may[key] = []value{{}}
	}
	w.may[key] = append(w.may[key], v)
}

func (w *world) create(ctx context.Context, s store.Creator, a act, again bool) error {
	v := value{true, a.data}
	if a.kind == "create again" {
		if err := s.Create(ctx, a.key, []byte(a.data)); !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("over an object: %w", errors.Join(errors.New("ErrExists is wanted"), err))
		}
		return nil
	}
	w.mayBe(a.key, v)
	err := s.Create(ctx, a.key, []byte(a.data))
	if err != nil && !(again && errors.Is(err, store.ErrExists)) {
		return err
	}
	w.may[a.key] = []value{v} // ErrExists: it is ours, from before
	return nil
}

func (w *world) staging(ctx context.Context, s store.Stager, a act) error {
	sl := w.slots[a.slot]
	switch a.kind {
	case "stage":
		r, err := stageIn(ctx, s, a.key, a.data)
		if err != nil {
			return err
		}
		w.slots[a.slot] = slot{r, staged}
		return nil
	case "publish":
		if sl.state == staged {
			w.slots[a.slot] = slot{sl.receipt, unsure}
		}
		v := value{true, a.data}
		w.mayBe(a.key, v)
		o, err := s.Publish(ctx, sl.receipt)
		if err != nil {
			return err
		}
		if o != store.Published && o != store.Already {
			return fmt.Errorf("outcome %d", o)
		}
		w.may[a.key] = []value{v}
	case "discard":
		w.slots[a.slot] = slot{sl.receipt, unsure}
		if err := s.Discard(ctx, sl.receipt); err != nil {
			return err
		}
	}
	w.slots[a.slot] = slot{sl.receipt, ended}
	return nil
}

func stageIn(ctx context.Context, s store.Stager, key, data string) (store.Receipt, error) {
	g, err := s.Stage(ctx, key, store.PutOptions{})
	if err != nil {
		return store.Receipt{}, err
	}
	for part := range slices.Chunk([]byte(data), 300) {
		if _, err := g.Write(part); err != nil {
			g.Abort()
			return store.Receipt{}, err
		}
	}
	return g.Close()
}

// verify checks that the store has what was promised, and nothing else.
func (w *world) verify(s store.Store) error {
	ctx := context.Background()
	var there []string
	for key, may := range w.may {
		got, _, err := read(ctx, s, key)
		v := value{err == nil, string(got)}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if !slices.Contains(may, v) {
			return fmt.Errorf("%q: there %v, %s; promised is one of %s", key, v.there, brief(got), promises(may))
		}
		if v.there {
			there = append(there, key)
		}
	}
	slices.Sort(there)
	var listed []string
	for o, err := range s.List(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("List: %w", err)
		}
		listed = append(listed, o.Key)
	}
	if !slices.Equal(listed, there) {
		return fmt.Errorf("List: %q, but there are %q", listed, there)
	}
	if err := w.verifyUploads(ctx, s); err != nil {
		return err
	}
	return w.verifyStaged(ctx, s)
}

func promises(may []value) string {
	var out []string
	for _, v := range may {
		if v.there {
			out = append(out, brief([]byte(v.data)))
		} else {
			out = append(out, "nothing")
		}
	}
	return strings.Join(out, ", ")
}

func (w *world) verifyStaged(ctx context.Context, s store.Store) error {
	stager, ok := s.(store.Stager)
	if !ok {
		return nil
	}
	for _, sl := range w.slots {
		list, err := stager.Staged(ctx, sl.receipt.Key)
		if err != nil {
			return fmt.Errorf("Staged(%q): %w", sl.receipt.Key, err)
		}
		found := slices.Contains(list, sl.receipt)
		if sl.state == staged && !found {
			return fmt.Errorf("%q was staged and is gone", sl.receipt.Key)
		}
		if sl.state == ended && found {
			return fmt.Errorf("%q was published or discarded and is staged again", sl.receipt.Key)
		}
	}
	return nil
}
