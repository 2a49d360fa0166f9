package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/store"
)

func divideChecks() []check {
	return []check{
		{"Divide", (*env).divide},
		{"DivideNothing", (*env).divideNothing},
	}
}

func copyChecks() []check {
	return []check{{"Copy", (*env).copies}, {"CopyRefused", (*env).copyRefused}}
}
func removeChecks() []check { return []check{{"Remove", (*env).removes}} }

func (e *env) divider() store.Divider {
	d, ok := e.s.(store.Divider)
	if !ok {
		e.fail("Divider: %w", errLacks)
	}
	return d
}

// divide cuts a flat folder, one of many folders, and a deep one.
func (e *env) divide() {
	e.divider()
	third := e.o.DivideObjects / 3
	var keys []string
	for i := range third {
		keys = append(keys, fmt.Sprintf("flat/%05d", i*7919%100_003), fmt.Sprintf("many/%03d/%d", i/8, i%8), fmt.Sprintf("z/y/x/%d/%05d", i%3, i))
	}
	for _, k := range keys {
		e.put(k, nil)
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "flat/", "many/", "z/y/", "fl", "many/00"} {
		for _, after := range []string{"", keys[third/2], "many/005/3", "z/y/x/2"} {
			for _, n := range []int{1, 2, 4, 50} {
				e.dividesWell(keys, prefix, after, n)
			}
		}
	}
}

func (e *env) dividesWell(keys []string, prefix, after string, n int) {
	asked := 0
	if e.o.Requests != nil {
		asked = e.o.Requests()
	}
	cuts, err := e.divider().Divide(e.ctx, prefix, after, n)
	e.ok(err, "Divide(%q, %q, %d)", prefix, after, n)
	if e.o.Requests != nil && e.o.Requests()-asked > 100 {
		e.fail("Divide(%q, %q, %d) asked %d times", prefix, after, n, e.o.Requests()-asked)
	}
	if len(cuts) > max(n-1, 0) {
		e.fail("Divide(%q, %q, %d) returned %d keys", prefix, after, n, len(cuts))
	}
	last := after
	for _, c := range cuts {
		if c <= last || !strings.HasPrefix(c, prefix) {
			e.fail("Divide(%q, %q, %d): %q follows %q", prefix, after, n, c, last)
		}
		last = c
	}
	var want, got []string
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) && k > after {
			want = append(want, k)
		}
	}
	most, from := 0, after
	for _, upto := range append(slices.Clone(cuts), "") {
		part := e.rangeOf(prefix, from, upto)
		most, got, from = max(most, len(part)), append(got, part...), upto
	}
	if !slices.Equal(got, want) {
		e.fail("the ranges of Divide(%q, %q, %d) have %d keys, want %d", prefix, after, n, len(got), len(want))
	}
	if e.o.worthDividing && n > 1 && len(want) >= e.o.DivideObjects/4 && most > len(want)*4/5 {
		e.fail("Divide(%q, %q, %d): a part has %d of %d keys", prefix, after, n, most, len(want))
	}
}

func (e *env) rangeOf(prefix, from, upto string) (out []string) {
	for o, err := range e.second.List(e.ctx, prefix, from) {
		e.ok(err, "List")
		if upto != "" && o.Key > upto {
			break
		}
		out = append(out, o.Key)
	}
	return out
}

func (e *env) divideNothing() {
	d := e.divider()
	e.put("a/only", nil)
	for _, at := range [][2]string{{"", ""}, {"none/", ""}, {"a/", "a/only"}, {"", "zz"}, {"..", ""}, {"/", ""}} {
		cuts, err := d.Divide(e.ctx, at[0], at[1], 8)
		e.ok(err, "Divide(%q, %q)", at[0], at[1])
		for _, c := range cuts {
			if c <= at[1] || !strings.HasPrefix(c, at[0]) {
				e.fail("Divide(%q, %q): %q", at[0], at[1], c)
			}
		}
	}
}

func (e *env) copier() store.Copier {
	c, ok := e.s.(store.Copier)
	if !ok {
		e.fail("Copier: %w", errLacks)
	}
	return c
}

func (e *env) copies() {
	c := e.copier()
	for i, b := range [][]byte{nil, []byte("x"), e.bytes(e.o.LargeBytes)} {
		from, to := fmt.Sprintf("from/%d", i), fmt.Sprintf("to/%d", i)
		_, err := e.s.Put(e.ctx, from, body(b), store.PutOptions{Attributes: attributes()})
		e.ok(err, "Put")
		_, o, err := read(e.ctx, e.s, from)
		e.ok(err, "Open")
		e.put(to, []byte("what was there"))
		made, err := c.Copy(e.ctx, e.s, o, to, nil)
		e.ok(err, "Copy")
		if made.Key != to || made.Size != o.Size {
			e.fail("Copy: %+v", made)
		}
		e.holds(e.second, to, b)
		e.keeps(e.second, to, attributes())
		e.holds(e.s, from, b)
		_, err = c.Copy(e.ctx, e.s, o, to, &store.PutOptions{Attributes: store.Attributes{ContentType: "image/png"}})
		e.ok(err, "Copy with other attributes")
		e.holds(e.s, to, b)
		e.keeps(e.s, to, store.Attributes{ContentType: "image/png"})
		if _, err = c.Copy(e.ctx, e.second, o, "second/"+to, nil); !errors.Is(err, errors.ErrUnsupported) {
			e.ok(err, "Copy from another store")
			e.holds(e.s, "second/"+to, b)
		}
	}
}

// foreign is a store of another service.
type foreign struct{ store.Store }

func (e *env) copyRefused() {
	c := e.copier()
	e.put("k", []byte("one"))
	_, o, err := read(e.ctx, e.s, "k")
	e.ok(err, "Open")
	_, err = c.Copy(e.ctx, foreign{e.s}, o, "to", nil)
	e.is(err, errors.ErrUnsupported, "Copy from another service")
	for _, key := range e.badKeys() {
		_, err := c.Copy(e.ctx, e.s, o, key, nil)
		e.refused(err, "Copy", key)
	}
	e.put("k", []byte("two"))
	_, err = c.Copy(e.ctx, e.s, o, "to", nil)
	e.is(err, store.ErrChanged, "Copy of a replaced version")
	e.ok(e.s.Delete(e.ctx, "k"), "Delete")
	_, err = c.Copy(e.ctx, e.s, o, "to", nil)
	e.is(err, store.ErrNotFound, "Copy of what is gone")
	e.absent(e.s, "to")
}

func (e *env) removes() {
	r, ok := e.s.(store.Remover)
	if !ok {
		e.fail("Remover: %w", errLacks)
	}
	var keys []string
	for i := range 30 {
		keys = append(keys, fmt.Sprintf("d%d/%d", i%3, i))
		e.put(keys[i], []byte("x"))
	}
	e.put("kept", []byte("kept"))
	if errs := r.Remove(e.ctx, append(slices.Clone(keys[:20]), "missing", "d0")); errs != nil {
		e.fail("Remove: %v", errs)
	}
	for _, k := range keys[:20] {
		e.absent(e.second, k)
	}
	bad := e.badKeys()[0]
	errs := r.Remove(e.ctx, append([]string{bad}, keys[20:]...))
	if len(errs) != 1 {
		e.fail("Remove with a bad key: %v", errs)
	}
	e.refused(errs[bad], "Remove", bad)
	if got := e.keys(e.s.List(e.ctx, "", "")); !slices.Equal(got, []string{"kept"}) {
		e.fail("List after Remove: %q", got)
	}
	if errs := r.Remove(e.ctx, nil); errs != nil {
		e.fail("Remove of nothing: %v", errs)
	}
}
