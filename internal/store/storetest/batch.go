package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"godwit/internal/store"
)

func batchChecks() []check {
	return []check{
		{"Batch", (*env).batchAppears},
		{"BatchAborted", (*env).batchAborted},
		{"BatchErrors", (*env).batchErrors},
		{"BatchEnded", (*env).batchEnded},
		{"BatchCancelled", (*env).batchCancelled},
	}
}

func (e *env) batch() store.Batch {
	c, ok := e.s.(store.Batcher)
	if !ok {
		e.fail("Batcher: %w", errLacks)
	}
	b, err := c.Batch(e.ctx)
	e.ok(err, "Batch")
	return b
}

func (e *env) commits(b store.Batch) {
	if errs := b.Commit(e.ctx); errs != nil {
		e.fail("Commit: %v", errs)
	}
}

// batchAppears puts objects of many folders and sizes at once, some over others.
func (e *env) batchAppears() {
	b, other := e.batch(), e.batch()
	want := map[string][]byte{}
	for i := range 60 {
		want[fmt.Sprintf("b%d/%d/f", i%4, i%9*100+i)] = e.bytes(i * i * 20)
	}
	e.put("b0/0/f", []byte("what was there"))
	errs := make(chan error, len(want))
	var all sync.WaitGroup
	for key, data := range want {
		all.Go(func() {
			o, err := b.Put(e.ctx, key, body(data), store.PutOptions{Attributes: attributes()})
			if err == nil && (o.Key != key || o.Size != int64(len(data))) {
				err = fmt.Errorf("Put(%q) of %d bytes: %+v", key, len(data), o)
			}
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		e.ok(err, "Put at once")
	}
	_, err := other.Put(e.ctx, "other", body([]byte("of another batch")), store.PutOptions{})
	e.ok(err, "Put")
	for _, v := range []string{"one", "two two"} {
		_, err := b.Put(e.ctx, "again", body([]byte(v)), store.PutOptions{})
		e.ok(err, "Put")
	}
	e.holds(e.second, "b0/0/f", []byte("what was there"))
	if got := e.keys(e.second.List(e.ctx, "", "")); !slices.Equal(got, []string{"b0/0/f"}) {
		e.fail("List before Commit: %q", got)
	}
	e.commits(b)
	want["again"] = []byte("two two")
	for key, data := range want {
		e.holds(e.second, key, data)
	}
	e.keeps(e.second, "b0/0/f", attributes())
	if got := e.keys(e.s.List(e.ctx, "", "")); len(got) != len(want) {
		e.fail("List after Commit: %d keys, want %d", len(got), len(want))
	}
	e.commits(other)
	e.holds(e.s, "other", []byte("of another batch"))
	e.commits(e.batch()) // of nothing
}

func (e *env) batchAborted() {
	b := e.batch()
	e.put("k", []byte("kept"))
	for _, key := range []string{"k", "new", "d/new"} {
		_, err := b.Put(e.ctx, key, body([]byte("in vain")), store.PutOptions{})
		e.ok(err, "Put")
	}
	b.Abort()
	e.holds(e.s, "k", []byte("kept"))
	if got := e.keys(e.second.List(e.ctx, "", "")); !slices.Equal(got, []string{"k"}) {
		e.fail("List after Abort: %q", got)
	}
}

// batchErrors: what cannot be stored does not stop the others.
func (e *env) batchErrors() {
	b := e.batch()
	e.put("file", []byte("a file"))
	refusedKey := e.badKeys()[0]
	_, err := b.Put(e.ctx, refusedKey, body(nil), store.PutOptions{})
	e.refused(err, "Put", refusedKey)
	short := store.Body{Size: 5, Open: body([]byte("four")).Open}
	if _, err := b.Put(e.ctx, "short", short, store.PutOptions{}); err == nil {
		e.fail("Put of a body that is shorter than said succeeds")
	}
	wrong := store.PutOptions{Sums: []store.Sum{sumOf(e.o.Checks[0], []byte("other"))}}
	if _, err := b.Put(e.ctx, "wrong", body([]byte("bytes")), wrong); err == nil {
		e.fail("Put of contents with another sum succeeds")
	}
	// A file system cannot have "file" and "file/x".
	_, putErr := b.Put(e.ctx, "file/x", body([]byte("below a file")), store.PutOptions{})
	_, err = b.Put(e.ctx, "good", body([]byte("good")), store.PutOptions{})
	e.ok(err, "Put")
	errs := b.Commit(e.ctx)
	if errs["good"] != nil || len(errs) > 1 {
		e.fail("Commit: %v", errs)
	}
	if err := errs["file/x"]; err != nil {
		putErr = err
	} else if len(errs) > 0 {
		e.fail("Commit: %v", errs)
	}
	if putErr != nil {
		e.refused(putErr, "Batch", "file/x")
		e.absent(e.s, "file/x")
	} else {
		e.holds(e.s, "file/x", []byte("below a file"))
	}
	e.holds(e.second, "good", []byte("good"))
	e.holds(e.second, "file", []byte("a file"))
	for _, key := range []string{"short", "wrong"} {
		e.absent(e.s, key)
	}
}

func (e *env) batchEnded() {
	for _, end := range []func(store.Batch){e.commits, store.Batch.Abort} {
		b := e.batch()
		_, err := b.Put(e.ctx, "k", body([]byte("x")), store.PutOptions{})
		e.ok(err, "Put")
		end(b)
		if _, err := b.Put(e.ctx, "late", body([]byte("x")), store.PutOptions{}); err == nil {
			e.fail("Put into a batch that ended succeeds")
		}
		b.Abort()
		e.absent(e.s, "late")
	}
	e.holds(e.s, "k", []byte("x"))
}

func (e *env) batchCancelled() {
	b := e.batch()
	ctx, cancel := context.WithCancel(e.ctx)
	_, err := b.Put(ctx, "k", body([]byte("x")), store.PutOptions{})
	e.ok(err, "Put")
	cancel()
	_, err = b.Put(ctx, "late", body([]byte("x")), store.PutOptions{})
	e.is(err, context.Canceled, "Put")
	if errs := b.Commit(ctx); errs["k"] != nil {
		e.is(errs["k"], context.Canceled, "Commit")
		e.absent(e.s, "k")
	} else {
		e.holds(e.s, "k", []byte("x"))
	}
	e.absent(e.s, "late")
}
