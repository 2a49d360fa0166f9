package storetest

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/store"
)

func listChecks() []check {
	return []check{
		{"ListOrder", (*env).listOrder},
		{"ListLarge", (*env).listLarge},
		{"ListEmpty", (*env).listEmpty},
	}
}

// listTree has neighbours whose order changes with the rule by which folders sort.
func listTree() []string {
	return []string{
		"a", "a b", "a!", "a-/x", "a./y", "a.b", "a0", "aa", "ab/1", "ab/2/z", "ab!", "ab.csv", "ab0",
		"b/c/d/e", "b/c.d", "b/c-d/e", "b/c0", "bb", "B", "ü", "z/\u00e9", "z/e\u0301", "z/e", "~",
	}
}

func (e *env) listOrder() {
	keys := e.apart(listTree())
	e.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, k := range keys {
		e.put(k, []byte(k))
	}
	slices.Sort(keys)
	places := append([]string{"", "\x00", "zz", "ab", "ab/", "ab/2", "ab/2/", "b/c", "b/c/", "b/c/d", "a/", "/", "..", "../x"}, keys...)
	for _, prefix := range places {
		for _, after := range places {
			e.lists(keys, prefix, after)
		}
	}
	for o, err := range e.s.List(e.ctx, "", "") {
		e.ok(err, "List")
		if o.Size != int64(len(o.Key)) || o.Modified.IsZero() {
			e.fail("List: %+v", o)
		}
		_, _, err := readPart(e.ctx, e.s, o.Key, store.Read{Match: &o})
		e.ok(err, "Open of %q as listed", o.Key)
	}
}

// lists checks a listing against the sorted keys.
func (e *env) lists(keys []string, prefix, after string) {
	var want []string
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) && k > after {
			want = append(want, k)
		}
	}
	if got := e.keys(e.s.List(e.ctx, prefix, after)); !slices.Equal(got, want) {
		e.fail("List(%q, %q): %q, want %q", prefix, after, got, want)
	}
}

func (e *env) listLarge() {
	var keys []string
	for i := range e.o.ListObjects {
		k := fmt.Sprintf("flat/%x-%d", e.rng.Uint32(), i)
		if i%10 == 0 {
			k += "/below"
		}
		keys = append(keys, k)
		e.put(k, nil)
	}
	slices.Sort(keys)
	e.lists(keys, "", "")
	e.lists(keys, "flat/8", "")
	// Started again after every few keys, each time by a new caller.
	var got []string
	for after := ""; ; {
		n := 0
		for o, err := range e.second.List(e.ctx, "flat/", after) {
			e.ok(err, "List")
			if o.Key <= after {
				e.fail("List after %q: %q", after, o.Key)
			}
			got, after = append(got, o.Key), o.Key
			if n++; n == 1+e.o.ListObjects/20 {
				break
			}
		}
		if n == 0 {
			break
		}
	}
	if !slices.Equal(got, keys) {
		e.fail("List in pieces: %d keys, want %d, in order", len(got), len(keys))
	}
}

func (e *env) listEmpty() {
	if got := e.keys(e.s.List(e.ctx, "", "")); len(got) > 0 {
		e.fail("List of an empty store: %q", got)
	}
	e.put("a/b", nil)
	e.ok(e.s.Delete(e.ctx, "a/b"), "Delete")
	if got := e.keys(e.s.List(e.ctx, "", "")); len(got) > 0 {
		e.fail("List of a store emptied: %q", got)
	}
}
