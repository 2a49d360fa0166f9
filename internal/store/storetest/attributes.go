package storetest

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

func attributeChecks() []check {
	return []check{
		{"Attributes", (*env).attributesKept},
		{"AttributesReplaced", (*env).attributesReplaced},
		{"Sums", (*env).sumsRight},
		{"SumsRefused", (*env).wrongSumsRefused},
	}
}

func attributes() store.Attributes {
	mode := fs.FileMode(0o640)
	return store.Attributes{
		ContentType: "text/csv", Encoding: "gzip", Language: "de", Disposition: `attachment; filename="a.csv"`,
		CacheControl: "max-age=60", Metadata: map[string]string{"origin": "here", "two-words": "a b"},
		Tags: map[string]string{"team": "red"}, Mode: &mode, Owner: &store.Owner{UID: os.Getuid(), GID: os.Getgid()},
		Modified: time.Date(2011, 12, 13, 14, 15, 16, 171819200, time.UTC),
	}
}

// keeps checks that an object has the attributes want, as far as the store keeps
// them.
func (e *env) keeps(s store.Store, key string, want store.Attributes) {
	e.o.Keeps(&want)
	_, o, err := read(e.ctx, s, key)
	e.ok(err, "Open(%q)", key)
	e.sameAttributes("Open", key, o, want)
	if st, ok := s.(store.Stat); ok {
		o, err := st.Stat(e.ctx, key)
		e.ok(err, "Stat(%q)", key)
		e.sameAttributes("Stat", key, o, want)
	}
	for o, err := range s.List(e.ctx, key, "") {
		e.ok(err, "List")
		if o.Attributes != nil {
			e.fail("List: %q has attributes %+v", o.Key, *o.Attributes)
		}
	}
}

func (e *env) sameAttributes(what, key string, o store.Object, want store.Attributes) {
	got := store.Attributes{}
	if o.Attributes != nil {
		got = *o.Attributes
	}
	for name, pair := range map[string][2]string{
		"content type": {got.ContentType, want.ContentType}, "encoding": {got.Encoding, want.Encoding},
		"language": {got.Language, want.Language}, "disposition": {got.Disposition, want.Disposition},
		"cache control": {got.CacheControl, want.CacheControl},
	} {
		if name == "content type" && pair[1] == "" {
			continue // a store may have one for those that have none
		}
		if pair[0] != pair[1] {
			e.fail("%s(%q): %s %q, want %q", what, key, name, pair[0], pair[1])
		}
	}
	switch {
	case !maps.Equal(got.Metadata, want.Metadata):
		e.fail("%s(%q): metadata %q, want %q", what, key, got.Metadata, want.Metadata)
	case !maps.Equal(got.Tags, want.Tags):
		e.fail("%s(%q): tags %q, want %q", what, key, got.Tags, want.Tags)
	case want.Mode != nil && (got.Mode == nil || *got.Mode != *want.Mode):
		e.fail("%s(%q): mode %v, want %v", what, key, got.Mode, *want.Mode)
	case want.Owner != nil && (got.Owner == nil || *got.Owner != *want.Owner):
		e.fail("%s(%q): owner %v, want %v", what, key, got.Owner, *want.Owner)
	case !want.Modified.IsZero() && !got.Modified.Equal(want.Modified):
		e.fail("%s(%q): modified %v, want %v", what, key, got.Modified, want.Modified)
	}
}

func (e *env) attributesKept() {
	mine := attributes()
	o, err := e.s.Put(e.ctx, "d/k", body([]byte("x")), store.PutOptions{Attributes: mine})
	e.ok(err, "Put")
	mine.Metadata["origin"], *mine.Mode = "the caller's again", 0
	e.keeps(e.s, "d/k", attributes())
	e.keeps(e.second, "d/k", attributes())
	_, _, err = readPart(e.ctx, e.second, "d/k", store.Read{Match: &o})
	e.ok(err, "Open of what Put returned")
	if c, ok := e.s.(store.Stager); ok {
		g, err := c.Stage(e.ctx, "staged", store.PutOptions{Attributes: attributes()})
		e.ok(err, "Stage")
		_, err = g.Write([]byte("x"))
		e.ok(err, "Write")
		r, err := g.Close()
		e.ok(err, "Close")
		e.publishes(c, r, store.Published)
		e.keeps(e.second, "staged", attributes())
	}
}

// attributesReplaced: those of an object that was replaced do not come back, and
// contents of the same time and size are another version.
func (e *env) attributesReplaced() {
	was, err := e.s.Put(e.ctx, "k", body([]byte("one")), store.PutOptions{Attributes: attributes()})
	e.ok(err, "Put")
	_, err = e.s.Put(e.ctx, "k", body([]byte("two")), store.PutOptions{Attributes: store.Attributes{Modified: attributes().Modified}})
	e.ok(err, "Put")
	e.keeps(e.s, "k", store.Attributes{Modified: attributes().Modified})
	_, _, err = readPart(e.ctx, e.s, "k", store.Read{Match: &was})
	e.is(err, store.ErrChanged, "Open of a replaced version of the same time and size")
}

// right checks the sums that are given of contents b.
func (e *env) right(what string, o store.Object, b []byte) {
	for _, s := range o.Sums {
		h := s.Algorithm.New()
		if s.Value == "" || s.Value != strings.ToLower(s.Value) {
			e.fail("%s(%q): sum %+v", what, o.Key, s)
		}
		if h == nil || s.Parts != 0 {
			continue
		}
		_, _ = h.Write(b)
		if want := store.SumOf(s.Algorithm, h); s != want {
			e.fail("%s(%q): sum %+v, want %+v", what, o.Key, s, want)
		}
	}
}

func (e *env) sumsRight() {
	for _, b := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("sums"), 100_000)} {
		e.right("Put", e.put("k", b), b)
		_, o, err := read(e.ctx, e.second, "k")
		e.ok(err, "Open")
		e.right("Open", o, b)
		if st, ok := e.s.(store.Stat); ok {
			o, err := st.Stat(e.ctx, "k")
			e.ok(err, "Stat")
			e.right("Stat", o, b)
		}
		for o, err := range e.s.List(e.ctx, "", "") {
			e.ok(err, "List")
			e.right("List", o, b)
		}
	}
}

func sumOf(a store.Algorithm, b []byte) store.Sum {
	h := a.New()
	_, _ = h.Write(b)
	return store.SumOf(a, h)
}

func (e *env) wrongSumsRefused() {
	e.put("k", []byte("kept"))
	good, bad := []byte("the contents"), []byte("other contents")
	for _, a := range e.o.Checks {
		for _, key := range []string{"k", "new"} {
			_, err := e.s.Put(e.ctx, key, body(good), store.PutOptions{Sums: []store.Sum{sumOf(a, bad)}})
			if !fault.Has(err, fault.Corrupt) {
				e.fail("Put of contents with another %s: %v", a, err)
			}
		}
		e.holds(e.s, "k", []byte("kept"))
		e.absent(e.second, "new")
	}
	var all []store.Sum
	for _, a := range e.o.Checks {
		all = append(all, sumOf(a, good))
	}
	all = append(all, store.Sum{Algorithm: "of the future", Value: "00"}, store.Sum{Algorithm: store.MD5, Value: "00", Parts: 2})
	_, err := e.s.Put(e.ctx, "new", body(good), store.PutOptions{Sums: all})
	e.ok(err, "Put with right sums, and such as cannot be compared")
	e.holds(e.s, "new", good)
}
