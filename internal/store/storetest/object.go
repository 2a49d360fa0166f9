package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

func objectChecks() []check {
	return []check{
		{"Keys", (*env).goodKeysWork},
		{"BadKeys", (*env).badKeysRefused},
		{"Missing", (*env).missing},
		{"Ranges", (*env).ranges},
		{"Match", (*env).match},
		{"Replace", (*env).replace},
		{"PutAtomicForReader", (*env).putAtomic},
		{"BadBodies", (*env).badBodies},
		{"Delete", (*env).delete},
		{"ZeroBytes", (*env).zeroBytes},
		{"Large", (*env).large},
		{"ContextCancelled", (*env).cancelled},
		{"CloseTwice", (*env).closeTwice},
	}
}

func (e *env) goodKeysWork() {
	keys := e.goodKeys()
	for _, k := range keys {
		b := []byte("contents of " + k)
		o := e.put(k, b)
		if o.Key != k || o.Size != int64(len(b)) {
			e.fail("Put(%q) returned %+v", k, o)
		}
	}
	for _, k := range keys {
		e.holds(e.second, k, []byte("contents of "+k))
		for i := 0; i <= len(k); i++ {
			if !slices.Contains(e.keys(e.s.List(e.ctx, k[:i], "")), k) {
				e.fail("List(%q) lacks %q", k[:i], k)
			}
		}
	}
	slices.Sort(keys)
	if got := e.keys(e.s.List(e.ctx, "", "")); !slices.Equal(got, keys) {
		e.fail("List: %q, want %q", got, keys)
	}
}

func (e *env) badKeysRefused() {
	for _, k := range e.badKeys() {
		_, err := e.s.Put(e.ctx, k, body([]byte("x")), store.PutOptions{})
		e.refused(err, "Put", k)
		_, _, err = e.s.Open(e.ctx, k, store.Read{})
		e.refused(err, "Open", k)
		e.refused(e.s.Delete(e.ctx, k), "Delete", k)
		if c, ok := e.s.(store.Creator); ok {
			e.refused(c.Create(e.ctx, k, []byte("x")), "Create", k)
		}
		if c, ok := e.s.(store.Stat); ok {
			_, err := c.Stat(e.ctx, k)
			e.refused(err, "Stat", k)
		}
		if c, ok := e.s.(store.Stager); ok {
			_, err := c.Stage(e.ctx, k, store.PutOptions{})
			e.refused(err, "Stage", k)
		}
	}
	if got := e.keys(e.s.List(e.ctx, "", "")); len(got) > 0 {
		e.fail("List: %q after refusals", got)
	}
}

// refused wants the error of a key that cannot be one.
func (e *env) refused(err error, what, key string) {
	if err == nil {
		e.fail("%s(%q) is not refused", what, key)
	}
	if f := fault.Of(err); f.Code != fault.NameRefused || f.What == "" {
		e.fail("%s(%q): not a refusal of the name: %w", what, key, err)
	}
}

func (e *env) missing() {
	e.absent(e.s, "nothing/here")
	e.ok(e.s.Delete(e.ctx, "nothing/here"), "Delete of a missing object")
	e.put("folder/x", []byte("x"))
	for _, k := range []string{"folder", "fold", "folder/x/y", "folder/y"} {
		_, _, err := read(e.ctx, e.s, k)
		e.is(err, store.ErrNotFound, "Open(%q)", k)
		e.ok(e.s.Delete(e.ctx, k), "Delete(%q)", k)
	}
	e.holds(e.s, "folder/x", []byte("x"))
	e.ok(e.s.Delete(e.ctx, "folder/x"), "Delete")
	e.absent(e.s, "folder/x")
	e.ok(e.s.Delete(e.ctx, "folder"), "Delete of what may be an empty folder")
	e.put("folder/x", []byte("again"))
	e.holds(e.s, "folder/x", []byte("again"))
}

func (e *env) ranges() {
	b := e.bytes(1000)
	e.put("k", b)
	at := []int64{0, 1, 499, 999, 1000, 1001, 5000}
	for _, off := range at {
		for _, n := range at {
			want := b[min(off, 1000):]
			if n > 0 {
				want = want[:min(n, int64(len(want)))]
			}
			got, o, err := readPart(e.ctx, e.s, "k", store.Read{Off: off, N: n})
			e.ok(err, "Open from %d, %d bytes", off, n)
			if !bytes.Equal(got, want) || o.Size != 1000 {
				e.fail("Open from %d, %d bytes: %s of size %d, want %s of 1000", off, n, brief(got), o.Size, brief(want))
			}
		}
	}
	for _, r := range []store.Read{{Off: -1}, {N: -1}} {
		if rc, _, err := e.s.Open(e.ctx, "k", r); err == nil {
			rc.Close()
			e.fail("Open of %+v is not refused", r)
		}
	}
}

func (e *env) match() {
	e.put("k", []byte("first"))
	_, o, err := read(e.ctx, e.s, "k")
	e.ok(err, "Open")
	for _, r := range []store.Read{{Match: &o}, {Off: 2, N: 2, Match: &o}} {
		_, _, err = readPart(e.ctx, e.second, "k", r)
		e.ok(err, "Open of the version there")
	}
	for l, err := range e.s.List(e.ctx, "k", "") {
		e.ok(err, "List")
		_, _, err = readPart(e.ctx, e.s, "k", store.Read{Match: &l})
		e.ok(err, "Open of the version listed")
	}
	e.put("k", []byte("other")) // of the same size
	_, _, err = readPart(e.ctx, e.s, "k", store.Read{Match: &o})
	e.is(err, store.ErrChanged, "Open of a replaced version")
	e.put("k", []byte("longer than before"))
	bare := store.Object{Key: "k", Size: o.Size, Modified: o.Modified}
	_, _, err = readPart(e.ctx, e.s, "k", store.Read{Match: &bare})
	e.is(err, store.ErrChanged, "Open of a replaced version known by size and time")
	e.ok(e.s.Delete(e.ctx, "k"), "Delete")
	_, _, err = readPart(e.ctx, e.s, "k", store.Read{Match: &o})
	if !errors.Is(err, store.ErrChanged) && !errors.Is(err, store.ErrNotFound) {
		e.fail("Open of a version that is gone: %v", err)
	}
	if _, isCreator := e.s.(store.Creator); !isCreator {
		return
	}
	// A version is of contents: it does not move while nobody writes.
	e.ok(e.s.(store.Creator).Create(e.ctx, "c", []byte("c")), "Create")
	_, a, err := read(e.ctx, e.s, "c")
	e.ok(err, "Open")
	e.put("d", nil)
	_, b, err := read(e.ctx, e.second, "c")
	e.ok(err, "Open")
	if a.Version != b.Version {
		e.fail("the version of an object nobody touched went from %q to %q", a.Version, b.Version)
	}
}

func (e *env) replace() {
	for _, v := range []string{"one", "two two", "", "four"} {
		e.put("k", []byte(v))
		e.holds(e.s, "k", []byte(v))
		e.holds(e.second, "k", []byte(v))
	}
	// What is open goes on with what it began.
	old := bytes.Repeat([]byte("old "), 100_000)
	e.put("k", old)
	rc, _, err := e.s.Open(e.ctx, "k", store.Read{})
	e.ok(err, "Open")
	defer rc.Close()
	head := make([]byte, 10)
	_, err = io.ReadFull(rc, head)
	e.ok(err, "read")
	e.put("k", bytes.Repeat([]byte("new "), 50_000))
	rest, err := io.ReadAll(rc)
	if got := append(head, rest...); err == nil && !bytes.Equal(got, old) {
		e.fail("a reader got a mixture of two versions")
	} else if err != nil && !errors.Is(err, store.ErrChanged) {
		e.fail("a reader whose object was replaced: %v", err)
	}
}

// putAtomic reads while objects are put: in the middle of a body, and all the time.
func (e *env) putAtomic() {
	values := [][]byte{bytes.Repeat([]byte("A"), 50_000), bytes.Repeat([]byte("B"), 90_001), bytes.Repeat([]byte("C"), 10)}
	e.put("k", values[0])
	for i, v := range values {
		was := values[max(i-1, 0)]
		_, err := e.s.Put(e.ctx, "k", watched(v, func() { e.holds(e.second, "k", was) }), store.PutOptions{})
		e.ok(err, "Put")
		e.holds(e.second, "k", v)
	}
	stop, read, result := make(chan struct{}), make(chan struct{}, 1), make(chan error, 1)
	go func() { result <- e.readAlways(values, stop, read) }()
	for i := range 5 * e.o.Rounds {
		select {
		case <-read: // each Put meets a reader that is at work
		case err := <-result:
			e.ok(err, "reader")
		case <-time.After(10 * time.Second):
			e.fail("no read within 10 s")
		}
		e.put("k", values[i%len(values)])
	}
	close(stop)
	e.ok(<-result, "reader")
}

// watched is a body that calls look between two reads of it.
func watched(b []byte, look func()) store.Body {
	return store.Body{Size: int64(len(b)), Open: func(int64) (io.ReadCloser, error) {
		half := len(b) / 2
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:half]), calls{look}, bytes.NewReader(b[half:]), calls{look})), nil
	}}
}

type calls struct{ look func() }

func (c calls) Read([]byte) (int, error) {
	c.look()
	return 0, io.EOF
}

// readAlways reads k until stop; each time it must be one of values, whole.
func (e *env) readAlways(values [][]byte, stop, done chan struct{}) error {
	for {
		got, _, err := read(e.ctx, e.second, "k")
		whole := slices.ContainsFunc(values, func(v []byte) bool { return bytes.Equal(v, got) })
		if err == nil && !whole {
			err = errors.New("a reader saw " + brief(got))
		}
		if err != nil && !errors.Is(err, store.ErrChanged) && !(e.o.Mixes && fault.Has(err, fault.Corrupt)) {
			return err
		}
		select {
		case <-stop:
			return nil
		case done <- struct{}{}:
		default:
		}
	}
}

func (e *env) badBodies() {
	boom := errors.New("boom")
	e.put("k", []byte("kept"))
	b := []byte("0123456789")
	bodies := map[string]store.Body{
		"shorter than said": {Size: 11, Open: body(b).Open},
		"longer than said":  {Size: 9, Open: body(b).Open},
		"does not open":     {Size: 10, Open: func(int64) (io.ReadCloser, error) { return nil, boom }},
		"breaks off": {Size: 10, Open: func(int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(b[:5]), broken{boom})), nil
		}},
	}
	for name, bad := range bodies {
		for _, key := range []string{"k", "new"} {
			_, err := e.s.Put(e.ctx, key, bad, store.PutOptions{})
			if err == nil {
				e.fail("Put of a body that is %s succeeds", name)
			}
			if bad.Size == 10 && !errors.Is(err, boom) {
				e.fail("Put of a body that %s: %v does not tell the cause", name, err)
			}
		}
		e.holds(e.s, "k", []byte("kept"))
		e.absent(e.s, "new")
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func (e *env) delete() {
	for _, k := range []string{"a", "a.b", "d/a", "d/b"} {
		e.put(k, []byte(k))
	}
	e.ok(e.s.Delete(e.ctx, "d/a"), "Delete")
	e.ok(e.second.Delete(e.ctx, "d/a"), "Delete again")
	e.absent(e.s, "d/a")
	if got := e.keys(e.s.List(e.ctx, "", "")); !slices.Equal(got, []string{"a", "a.b", "d/b"}) {
		e.fail("List after Delete: %q", got)
	}
	if c, ok := e.s.(store.Creator); ok {
		e.ok(c.Create(e.ctx, "d/a", []byte("new")), "Create of a deleted key")
		e.holds(e.s, "d/a", []byte("new"))
	}
}

func (e *env) zeroBytes() {
	e.put("put", nil)
	e.holds(e.s, "put", nil)
	if c, ok := e.s.(store.Creator); ok {
		e.ok(c.Create(e.ctx, "create", nil), "Create")
		e.holds(e.s, "create", nil)
		e.is(c.Create(e.ctx, "create", []byte("x")), store.ErrExists, "Create over an empty object")
	}
	if c, ok := e.s.(store.Stager); ok {
		r := e.stage(c, "stage", nil)
		e.publishes(c, r, store.Published)
		e.holds(e.s, "stage", nil)
		e.publishes(c, r, store.Already)
	}
}

func (e *env) large() {
	b := e.bytes(e.o.LargeBytes)
	e.put("put", b)
	e.holds(e.second, "put", b)
	mid := int64(len(b) / 2)
	got, _, err := readPart(e.ctx, e.s, "put", store.Read{Off: mid, N: mid / 2})
	e.ok(err, "Open of a part")
	if !bytes.Equal(got, b[mid:mid+mid/2]) {
		e.fail("Open of a part: other bytes")
	}
	if c, ok := e.s.(store.Stager); ok {
		r := e.stage(c, "staged", b)
		e.publishes(c, r, store.Published)
		e.holds(e.second, "staged", b)
	}
}

func (e *env) cancelled() {
	e.put("k", []byte("kept"))
	ctx, cancel := context.WithCancel(e.ctx)
	rc, _, err := e.s.Open(ctx, "k", store.Read{})
	e.ok(err, "Open")
	defer rc.Close()
	cancel()
	if _, err := io.ReadAll(rc); err != nil {
		e.is(err, context.Canceled, "read")
	}
	_, err = e.s.Put(ctx, "k", body([]byte("new")), store.PutOptions{})
	e.is(err, context.Canceled, "Put")
	_, _, err = e.s.Open(ctx, "k", store.Read{})
	e.is(err, context.Canceled, "Open")
	e.is(e.s.Delete(ctx, "k"), context.Canceled, "Delete")
	listed := errors.New("nothing")
	for _, err := range e.s.List(ctx, "", "") {
		listed = err
	}
	e.is(listed, context.Canceled, "List")
	if c, ok := e.s.(store.Creator); ok {
		e.is(c.Create(ctx, "new", []byte("x")), context.Canceled, "Create")
	}
	if c, ok := e.s.(store.Stager); ok {
		e.cancelledStage(ctx, c)
	}
	// A body that is cut off in the middle.
	ctx, cancel = context.WithCancel(e.ctx)
	endless := store.Body{Size: 1 << 40, Open: func(int64) (io.ReadCloser, error) {
		return io.NopCloser(&zeros{left: 1 << 20, then: cancel}), nil
	}}
	_, err = e.s.Put(ctx, "k", endless, store.PutOptions{})
	e.is(err, context.Canceled, "Put of an endless body")
	e.holds(e.s, "k", []byte("kept"))
	e.absent(e.s, "new")
}

func (e *env) cancelledStage(ctx context.Context, c store.Stager) {
	_, err := c.Stage(ctx, "new", store.PutOptions{})
	e.is(err, context.Canceled, "Stage")
	r := e.stage(c, "new", []byte("x"))
	_, err = c.Publish(ctx, r)
	e.is(err, context.Canceled, "Publish")
	_, err = c.Staged(ctx, "new")
	e.is(err, context.Canceled, "Staged")
	e.is(c.Discard(ctx, r), context.Canceled, "Discard")
	e.ok(c.Discard(e.ctx, r), "Discard")

	ctx, cancel := context.WithCancel(e.ctx)
	g, err := c.Stage(ctx, "new", store.PutOptions{})
	e.ok(err, "Stage")
	_, err = g.Write([]byte("some"))
	e.ok(err, "Write")
	cancel()
	_, werr := g.Write(make([]byte, 1<<20))
	_, cerr := g.Close()
	if werr == nil || cerr == nil {
		e.fail("a staging whose context ended: Write %v, Close %v", werr, cerr)
	}
	left, err := c.Staged(e.ctx, "new")
	e.ok(err, "Staged")
	if len(left) > 0 {
		e.fail("a staging whose context ended left %v", left)
	}
}

// zeros gives bytes, calls then after the first of them, and has patience for as
// many again.
type zeros struct {
	left int
	then func()
}

func (z *zeros) Read(p []byte) (int, error) {
	const patience = 8 << 20
	if z.left -= len(p); z.left < -patience {
		return 0, errors.New("read on although the context had ended")
	} else if z.left < 0 {
		z.then()
	}
	clear(p)
	return len(p), nil
}

func (e *env) closeTwice() {
	e.ok(e.s.Close(), "Close")
	e.ok(e.s.Close(), "Close again")
}
