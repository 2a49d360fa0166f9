package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
)

func partChecks() []check {
	return []check{
		{"Parts", (*env).partsMakeObject},
		{"PartsResumed", (*env).partsResumed},
		{"PartsSmall", (*env).partsSmall},
		{"PartsAgain", (*env).partAgain},
		{"PartsWrong", (*env).partsWrong},
		{"PartsAbandoned", (*env).partsAbandoned},
		{"PartsBadBody", (*env).partsBadBody},
		{"PartsDamagedUpload", (*env).partsDamaged},
		{"PartsKeys", (*env).partsKeys},
	}
}

// parting is an upload of contents b in parts of one size.
type parting struct {
	e      *env
	key    string
	b      []byte
	size   int64
	upload string
}

func (e *env) parters() (first, second store.Parter) {
	first, ok := e.s.(store.Parter)
	second, ok2 := e.second.(store.Parter)
	if !ok || !ok2 {
		e.fail("Parter: %w", errLacks)
	}
	return first, second
}

// parting begins an upload of three parts and a bit.
func (e *env) parting(key string, o store.PutOptions) *parting {
	c, _ := e.parters()
	size := c.PartSize(256<<10, 64<<10)
	if size < 64<<10 {
		e.fail("PartSize: %d is less than the least", size)
	}
	p := &parting{e: e, key: key, b: e.bytes(int(size)*3 + int(size)/3 + 1), size: size}
	upload, err := c.Begin(e.ctx, key, int64(len(p.b)), o)
	e.ok(err, "Begin")
	p.upload = upload
	return p
}

func (p *parting) part(n int) (int64, []byte) {
	off := (n - 1) * int(p.size)
	return int64(off), p.b[off:min(off+int(p.size), len(p.b))]
}

func (p *parting) send(c store.Parter, n int) (store.Part, error) {
	off, b := p.part(n)
	part, err := c.PutPart(p.e.ctx, p.key, p.upload, n, off, body(b))
	if err != nil {
		return part, fmt.Errorf("PutPart %d: %w", n, err)
	}
	if part.N != n || part.Size != int64(len(b)) {
		return part, fmt.Errorf("PutPart %d of %d bytes: %+v", n, len(b), part)
	}
	if h := part.Sum.Algorithm.New(); part.Sum != (store.Sum{}) && h != nil && part.Sum != sumOf(part.Sum.Algorithm, b) {
		return part, fmt.Errorf("PutPart %d: sum %+v, want %+v", n, part.Sum, sumOf(part.Sum.Algorithm, b))
	}
	return part, nil
}

// sendAll sends parts from both stores at once, in a random order.
func (p *parting) sendAll(numbers ...int) {
	first, second := p.e.parters()
	p.e.rng.Shuffle(len(numbers), func(i, j int) { numbers[i], numbers[j] = numbers[j], numbers[i] })
	errs := make([]error, len(numbers))
	var all sync.WaitGroup
	for i, n := range numbers {
		c := first
		if i%2 == 1 {
			c = second
		}
		all.Go(func() { _, errs[i] = p.send(c, n) })
	}
	all.Wait()
	p.e.ok(errors.Join(errs...), "parts at once")
}

// stored returns what Parts says, which must be the parts of these numbers.
func (p *parting) stored(c store.Parter, numbers ...int) []store.Part {
	parts, err := c.Parts(p.e.ctx, p.key, p.upload)
	p.e.ok(err, "Parts")
	var got []int
	for _, part := range parts {
		got = append(got, part.N)
		if _, b := p.part(part.N); part.Size != int64(len(b)) {
			p.e.fail("Parts: %+v, want %d bytes", part, len(b))
		}
	}
	if !slices.Equal(got, numbers) {
		p.e.fail("Parts: %v, want %v", got, numbers)
	}
	return parts
}

func (p *parting) gone(c store.Parter, parts []store.Part) {
	e := p.e
	_, err := c.Complete(e.ctx, p.key, p.upload, parts)
	e.is(err, store.ErrNotFound, "Complete of an upload that is gone")
	_, err = c.Parts(e.ctx, p.key, p.upload)
	e.is(err, store.ErrNotFound, "Parts of an upload that is gone")
	if _, err = p.send(c, 1); !errors.Is(err, store.ErrNotFound) {
		e.fail("PutPart of an upload that is gone: %v", err)
	}
	e.ok(c.Abandon(e.ctx, p.key, p.upload), "Abandon of an upload that is gone")
}

func (e *env) nothingListed() {
	if got := e.keys(e.second.List(e.ctx, "", "")); len(got) > 0 {
		e.fail("List: %q while nothing is complete", got)
	}
}

func (e *env) partsMakeObject() {
	first, second := e.parters()
	p := e.parting("d/k", store.PutOptions{Attributes: attributes()})
	other := e.parting("d/k", store.PutOptions{}) // of the same key, at the same time
	p.stored(first)
	p.sendAll(1, 2, 3, 4)
	e.absent(e.s, "d/k")
	e.nothingListed()
	parts := p.stored(second, 1, 2, 3, 4)
	o, err := second.Complete(e.ctx, "d/k", p.upload, parts)
	e.ok(err, "Complete")
	if o.Key != "d/k" || o.Size != int64(len(p.b)) {
		e.fail("Complete: %+v", o)
	}
	e.right("Complete", o, p.b)
	e.holds(e.s, "d/k", p.b)
	e.keeps(e.s, "d/k", attributes())
	_, _, err = readPart(e.ctx, e.s, "d/k", store.Read{Match: &o})
	e.ok(err, "Open of what Complete returned")
	p.gone(first, parts)
	e.holds(e.s, "d/k", p.b)
	other.sendAll(1, 2, 3, 4)
	e.holds(e.s, "d/k", p.b)
	_, err = first.Complete(e.ctx, "d/k", other.upload, other.stored(first, 1, 2, 3, 4))
	e.ok(err, "Complete over an object")
	e.holds(e.second, "d/k", other.b)
}

// partsResumed goes on with nothing but the text of the upload.
func (e *env) partsResumed() {
	first, second := e.parters()
	p := e.parting("k", store.PutOptions{Attributes: attributes()})
	p.sendAll(2, 4)
	resumed := &parting{e: e, key: "k", b: p.b, size: p.size, upload: strings.Clone(p.upload)}
	resumed.stored(second, 2, 4)
	for _, n := range []int{1, 3} {
		_, err := resumed.send(second, n)
		e.ok(err, "a part after a restart")
	}
	parts := resumed.stored(second, 1, 2, 3, 4)
	_, err := second.Complete(e.ctx, "k", resumed.upload, parts)
	e.ok(err, "Complete")
	e.holds(e.s, "k", p.b)
	e.keeps(e.s, "k", attributes())
	p.gone(first, parts)
}

func (e *env) partsSmall() {
	c, _ := e.parters()
	for _, b := range [][]byte{nil, []byte("x"), []byte("one part")} {
		key := fmt.Sprintf("small/%d", len(b))
		upload, err := c.Begin(e.ctx, key, int64(len(b)), store.PutOptions{})
		e.ok(err, "Begin")
		part, err := c.PutPart(e.ctx, key, upload, 1, 0, body(b))
		e.ok(err, "PutPart of %d bytes", len(b))
		e.absent(e.s, key)
		_, err = c.Complete(e.ctx, key, upload, []store.Part{part})
		e.ok(err, "Complete of one part of %d bytes", len(b))
		e.holds(e.second, key, b)
	}
}

// partAgain sends a part a second time, first with other bytes.
func (e *env) partAgain() {
	first, second := e.parters()
	p := e.parting("k", store.PutOptions{})
	off, b := p.part(2)
	_, err := first.PutPart(e.ctx, "k", p.upload, 2, off, body(bytes.Repeat([]byte("?"), len(b))))
	e.ok(err, "PutPart")
	p.sendAll(1, 3, 4)
	part, err := p.send(second, 2)
	e.ok(err, "PutPart again")
	parts := p.stored(first, 1, 2, 3, 4)
	if parts[1] != part {
		e.fail("Parts: %+v, but PutPart said %+v", parts[1], part)
	}
	_, err = p.send(first, 2) // the same bytes
	e.ok(err, "PutPart again")
	_, err = first.Complete(e.ctx, "k", p.upload, p.stored(second, 1, 2, 3, 4))
	e.ok(err, "Complete")
	e.holds(e.s, "k", p.b)
}

func (e *env) partsWrong() {
	c, _ := e.parters()
	e.put("k", []byte("kept"))
	p := e.parting("k", store.PutOptions{})
	p.sendAll(1, 2, 3, 4)
	right := p.stored(c, 1, 2, 3, 4)
	other := slices.Clone(right)
	other[1].Sum, other[1].Token = other[2].Sum, other[2].Token
	twice := []store.Part{right[0], right[1], right[1], right[3]}
	for name, wrong := range map[string][]store.Part{
		"none": nil, "without the last": right[:3], "without the first": right[1:], "out of order": {right[1], right[0], right[2], right[3]},
		"with one twice": twice, "of another sum": other,
	} {
		_, err := c.Complete(e.ctx, "k", p.upload, wrong)
		if err == nil || errors.Is(err, store.ErrNotFound) {
			e.fail("Complete with parts %s: %v", name, err)
		}
		e.holds(e.s, "k", []byte("kept"))
	}
	_, err := c.Complete(e.ctx, "k", p.upload, right)
	e.ok(err, "Complete after refusals")
	e.holds(e.s, "k", p.b)
	beyond := e.parting("beyond", store.PutOptions{})
	if _, err := c.PutPart(e.ctx, "beyond", beyond.upload, 4, int64(len(beyond.b)), body([]byte("x"))); err == nil {
		e.fail("a part beyond the end is not refused")
	}
}

func (e *env) partsAbandoned() {
	first, second := e.parters()
	e.put("k", []byte("kept"))
	p := e.parting("k", store.PutOptions{})
	p.sendAll(1, 2, 3, 4)
	parts := p.stored(first, 1, 2, 3, 4)
	e.ok(second.Abandon(e.ctx, "k", p.upload), "Abandon")
	p.gone(first, parts)
	e.holds(e.s, "k", []byte("kept"))
}

func (e *env) partsBadBody() {
	c, _ := e.parters()
	p := e.parting("k", store.PutOptions{})
	p.sendAll(1, 2, 4)
	off, b := p.part(3)
	short := store.Body{Size: int64(len(b)), Open: body(b[1:]).Open}
	if _, err := c.PutPart(e.ctx, "k", p.upload, 3, off, short); err == nil {
		e.fail("PutPart of a body that is shorter than said succeeds")
	}
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := c.PutPart(ctx, "k", p.upload, 3, off, body(b))
	e.is(err, context.Canceled, "PutPart")
	_, err = c.Begin(ctx, "k", 1, store.PutOptions{})
	e.is(err, context.Canceled, "Begin")
	if e.o.BrokenParts {
		p.tellsBroken(c, 3)
	} else {
		p.stored(c, 1, 2, 4)
	}
	_, err = p.send(c, 3)
	e.ok(err, "PutPart")
	_, err = c.Complete(e.ctx, "k", p.upload, p.stored(c, 1, 2, 3, 4))
	e.ok(err, "Complete")
	e.holds(e.s, "k", p.b)
}

// tellsBroken checks that part n, if it is counted though its body broke off, has not
// the sum of what it should be.
func (p *parting) tellsBroken(c store.Parter, n int) {
	parts, err := c.Parts(p.e.ctx, p.key, p.upload)
	p.e.ok(err, "Parts")
	_, b := p.part(n)
	for _, got := range parts {
		if got.N != n {
			continue
		}
		h := got.Sum.Algorithm.New()
		if h == nil {
			p.e.fail("Parts: the broken part %d has no sum: %+v", n, got)
		}
		_, _ = h.Write(b)
		if want := store.SumOf(got.Sum.Algorithm, h); want.Value == got.Sum.Value {
			p.e.fail("Parts: part %d, whose body broke off, passes for whole", n)
		}
	}
}

// partsDamaged: a text that is no upload of this key harms nothing.
func (e *env) partsDamaged() {
	c, _ := e.parters()
	e.put("other", []byte("other"))
	p := e.parting("k", store.PutOptions{})
	p.sendAll(1, 2, 3, 4)
	parts := p.stored(c, 1, 2, 3, 4)
	for _, text := range []string{"", "x", "other", "../other", p.upload + "x", p.upload[:len(p.upload)-1], "../" + p.upload} {
		if _, err := c.PutPart(e.ctx, "k", text, 1, 0, body([]byte("?"))); err == nil {
			e.fail("PutPart of upload %q succeeds", text)
		}
		if _, err := c.Complete(e.ctx, "k", text, parts); err == nil {
			e.fail("Complete of upload %q succeeds", text)
		}
		_ = c.Abandon(e.ctx, "k", text)
	}
	if _, err := c.Complete(e.ctx, "other", p.upload, parts); err == nil {
		e.fail("Complete of another key's upload succeeds")
	}
	e.holds(e.s, "other", []byte("other"))
	_, err := c.Complete(e.ctx, "k", p.upload, p.stored(c, 1, 2, 3, 4))
	e.ok(err, "Complete")
	e.holds(e.s, "k", p.b)
}

func (e *env) partsKeys() {
	c, _ := e.parters()
	for _, key := range e.badKeys() {
		_, err := c.Begin(e.ctx, key, 1, store.PutOptions{})
		e.refused(err, "Begin", key)
	}
	for _, key := range e.goodKeys() {
		upload, err := c.Begin(e.ctx, key, 1, store.PutOptions{})
		e.ok(err, "Begin(%q)", key)
		part, err := c.PutPart(e.ctx, key, upload, 1, 0, body([]byte("x")))
		e.ok(err, "PutPart(%q)", key)
		_, err = c.Complete(e.ctx, key, upload, []store.Part{part})
		e.ok(err, "Complete(%q)", key)
		e.holds(e.second, key, []byte("x"))
	}
	if c.PartSize(1<<42, 1) < 1<<42/100_000 {
		e.fail("PartSize makes more than 100,000 parts of 4 TiB")
	}
	if _, err := c.Begin(e.ctx, "negative", -1, store.PutOptions{}); err == nil || fault.ClassOf(err) == fault.Retry {
		e.fail("Begin of an object of -1 bytes: %v", err)
	}
}
