package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
)

func stageChecks() []check {
	return []check{
		{"StagePublish", (*env).stagePublish},
		{"StageWrites", (*env).stageWrites},
		{"StagedExactKey", (*env).stagedExact},
		{"Discard", (*env).discard},
		{"Abort", (*env).abort},
		{"PublishTaken", (*env).publishTaken},
		{"PublishOverOther", (*env).publishOverOther},
		{"PublishRace", (*env).publishRace},
		{"DamagedReceipts", (*env).damagedReceipts},
	}
}

func (e *env) stager() (first, second store.Stager) {
	first, ok := e.s.(store.Stager)
	second, ok2 := e.second.(store.Stager)
	if !ok || !ok2 {
		e.fail("Stager: %w", errLacks)
	}
	return first, second
}

// stage stages b, and checks the receipt and that nothing is to be seen.
func (e *env) stage(c store.Stager, key string, b []byte) store.Receipt {
	g, err := c.Stage(e.ctx, key, store.PutOptions{})
	e.ok(err, "Stage(%q)", key)
	_, err = g.Write(b)
	e.ok(err, "Write")
	r, err := g.Close()
	e.ok(err, "Close")
	if r.Key != key || r.Size != int64(len(b)) || r.Checksum != checksum(b) || r.Staged == "" {
		e.fail("receipt %+v, want key %q, size %d, checksum %s", r, key, len(b), checksum(b))
	}
	return r
}

func (e *env) publishes(c store.Stager, r store.Receipt, want store.Outcome) {
	got, err := c.Publish(e.ctx, r)
	e.ok(err, "Publish(%q)", r.Key)
	if got != want {
		e.fail("Publish(%q): %d, want %d", r.Key, got, want)
	}
}

func (e *env) stagePublish() {
	first, second := e.stager()
	for _, key := range e.goodKeys() {
		b := []byte("staged for " + key)
		r := e.stage(first, key, b)
		e.absent(e.s, key)
		if got := e.keys(e.s.List(e.ctx, key, "")); len(got) > 0 {
			e.fail("List shows %q while only staged", got)
		}
		data, err := json.Marshal(r)
		e.ok(err, "Marshal")
		var sent store.Receipt
		e.ok(json.Unmarshal(data, &sent), "Unmarshal")
		e.publishes(second, sent, store.Published)
		e.holds(e.s, key, b)
		e.publishes(first, r, store.Already)
		e.publishes(second, sent, store.Already)
		e.holds(e.second, key, b)
		e.ok(e.s.Delete(e.ctx, key), "Delete")
	}
	if got := e.keys(e.s.List(e.ctx, "", "")); len(got) > 0 {
		e.fail("List: %q is left over", got)
	}
}

// stageWrites cuts the bytes into writes of many sizes, and takes the memory back
// after each.
func (e *env) stageWrites() {
	c, _ := e.stager()
	for round, size := range []int{1, 100, 65_535, 65_536, 65_537, 300_000} {
		key := fmt.Sprintf("w/%d", round)
		b := e.bytes(size)
		g, err := c.Stage(e.ctx, key, store.PutOptions{})
		e.ok(err, "Stage")
		for rest := b; len(rest) > 0; {
			n := []int{0, 1, 17, 4096, 65_536, 100_000}[e.rng.IntN(6)]
			piece := bytes.Clone(rest[:min(n, len(rest))])
			got, err := g.Write(piece)
			if err != nil || got != len(piece) {
				e.fail("Write of %d bytes: %d, %v", len(piece), got, err)
			}
			clear(piece)
			rest = rest[len(piece):]
			e.absent(e.s, key)
		}
		r, err := g.Close()
		e.ok(err, "Close")
		if r.Checksum != checksum(b) {
			e.fail("checksum %s, want %s", r.Checksum, checksum(b))
		}
		again, err := g.Close()
		if err != nil || again != r {
			e.fail("Close again: %+v, %v", again, err)
		}
		if _, err := g.Write([]byte("x")); err == nil {
			e.fail("Write after Close succeeds")
		}
		e.publishes(c, r, store.Published)
		e.holds(e.s, key, b)
	}
}

func (e *env) stagedIs(c store.Stager, key string, want ...store.Receipt) {
	got, err := c.Staged(e.ctx, key)
	e.ok(err, "Staged(%q)", key)
	order := func(a, b store.Receipt) int { return strings.Compare(a.Staged, b.Staged) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if e.o.Objects {
		got, want = bare(got), bare(want)
	}
	if !slices.Equal(got, want) {
		e.fail("Staged(%q): %+v, want %+v", key, got, want)
	}
}

// bare drops what the receipts of a service's objects do not have in common.
func bare(receipts []store.Receipt) []store.Receipt {
	var out []store.Receipt
	for _, r := range receipts {
		r.Checksum, r.Token = "", ""
		out = append(out, r)
	}
	return out
}

func (e *env) stagedExact() {
	first, second := e.stager()
	e.stagedIs(first, "t/k")
	a := e.stage(first, "t/k", []byte("a"))
	b := e.stage(first, "t/k", []byte("a")) // the same bytes again
	others := []string{"t/k2", "t/k/x", "t", "k", "T/k", "t/K"}
	for _, o := range others {
		r := e.stage(first, o, []byte("a"))
		e.stagedIs(second, o, r)
	}
	e.stagedIs(second, "t/k", a, b)
	e.publishes(second, a, store.Published)
	e.stagedIs(first, "t/k", b)
	e.stagedIs(first, "none")
}

func (e *env) discard() {
	first, second := e.stager()
	a, b := e.stage(first, "k", []byte("a")), e.stage(first, "k", []byte("b"))
	e.ok(second.Discard(e.ctx, a), "Discard")
	e.ok(first.Discard(e.ctx, a), "Discard again")
	e.stagedIs(first, "k", b)
	e.absent(e.s, "k")
	e.publishes(first, b, store.Published)
	e.ok(first.Discard(e.ctx, b), "Discard of a published one")
	e.holds(e.s, "k", []byte("b"))
	e.publishes(first, b, store.Already)
}

func (e *env) abort() {
	c, _ := e.stager()
	g, err := c.Stage(e.ctx, "k", store.PutOptions{})
	e.ok(err, "Stage")
	_, err = g.Write(make([]byte, 200_000))
	e.ok(err, "Write")
	g.Abort()
	g.Abort()
	if _, err := g.Close(); err == nil {
		e.fail("Close after Abort gives a receipt")
	}
	if _, err := g.Write([]byte("x")); err == nil {
		e.fail("Write after Abort succeeds")
	}
	e.stagedIs(c, "k")
	e.absent(e.s, "k")

	g, err = c.Stage(e.ctx, "k", store.PutOptions{})
	e.ok(err, "Stage")
	_, err = g.Write([]byte("kept"))
	e.ok(err, "Write")
	r, err := g.Close()
	e.ok(err, "Close")
	g.Abort()
	e.stagedIs(c, "k", r)
	e.publishes(c, r, store.Published)
	g.Abort()
	e.holds(e.s, "k", []byte("kept"))
}

func (e *env) publishTaken() {
	first, second := e.stager()
	r := e.stage(first, "d/k", []byte("x"))
	e.publishes(first, r, store.Published)
	e.ok(e.s.Delete(e.ctx, "d/k"), "Delete, as a reader does that takes it")
	e.taken(second, r)
	e.absent(e.s, "d/k")
	r = e.stage(first, "e/k", []byte("x"))
	e.ok(first.Discard(e.ctx, r), "Discard")
	e.taken(second, r)
}

// taken publishes what is neither staged nor there any more.
func (e *env) taken(c store.Stager, r store.Receipt) {
	if !e.o.Objects {
		e.publishes(c, r, store.Taken)
		return
	}
	if o, err := c.Publish(e.ctx, r); !fault.Has(err, fault.TargetLost) {
		e.fail("Publish of what is gone: outcome %d, %w", o, err)
	}
}

func (e *env) publishOverOther() {
	c, _ := e.stager()
	r := e.stage(c, "k", []byte("mine!"))
	for _, other := range []string{"other", "longer than mine", ""} {
		e.put("k", []byte(other))
		_, err := c.Publish(e.ctx, r)
		if !fault.Has(err, fault.TargetBroken) {
			e.fail("Publish over other contents: %v", err)
		}
		e.holds(e.s, "k", []byte(other))
		e.stagedIs(c, "k", r)
	}
	e.put("k", []byte("mine!")) // the same bytes by another way
	e.publishes(c, r, store.Already)
	e.holds(e.s, "k", []byte("mine!"))
	e.stagedIs(c, "k")
}

func (e *env) publishRace() {
	first, second := e.stager()
	const publishers = 8
	for round := range e.o.Rounds {
		key := fmt.Sprintf("race/%d/k", round)
		b := bytes.Repeat([]byte("r"), 10_000+round)
		r := e.stage(first, key, b)
		outcomes := make(chan store.Outcome, publishers)
		errs := make(chan error, publishers)
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range publishers {
			c := first
			if i%2 == 1 {
				c = second
			}
			all.Go(func() {
				<-start
				o, err := c.Publish(e.ctx, r)
				if err != nil {
					errs <- err
				}
				outcomes <- o
			})
		}
		close(start)
		all.Wait()
		close(outcomes)
		close(errs)
		for err := range errs {
			e.ok(err, "Publish by %d at once", publishers)
		}
		published := 0
		for o := range outcomes {
			switch o {
			case store.Published:
				published++
			case store.Already:
			default:
				e.fail("Publish by %d at once: outcome %d", publishers, o)
			}
		}
		if published == 0 {
			e.fail("Publish by %d at once: none published", publishers)
		}
		e.holds(e.s, key, b)
		e.stagedIs(first, key)
	}
}

// damagedReceipts: what comes out of a record must not name what it should not.
func (e *env) damagedReceipts() {
	c, _ := e.stager()
	e.put("other", []byte("other"))
	r := e.stage(c, "k", []byte("x"))
	change := map[string]func(*store.Receipt){
		"key":            func(r *store.Receipt) { r.Key = "k2" },
		"key outside":    func(r *store.Receipt) { r.Key = "../k" },
		"no key":         func(r *store.Receipt) { r.Key = "" },
		"no staged name": func(r *store.Receipt) { r.Staged = "" },
		"an object":      func(r *store.Receipt) { r.Staged = "other" },
		"outside":        func(r *store.Receipt) { r.Staged = "../" + r.Staged },
		"size":           func(r *store.Receipt) { r.Size++ },
		"negative size":  func(r *store.Receipt) { r.Size = -1 },
		"checksum":       func(r *store.Receipt) { r.Checksum = checksum([]byte("y")) },
		"other sum":      func(r *store.Receipt) { r.Checksum = strings.TrimPrefix(r.Checksum, "xxh3:") },
	}
	for name, damage := range change {
		bad := r
		damage(&bad)
		if _, err := c.Publish(e.ctx, bad); fault.ClassOf(err) != fault.Fatal || err == nil {
			e.fail("Publish of a receipt with a wrong %s: %v", name, err)
		}
		if err := c.Discard(e.ctx, bad); err == nil {
			e.fail("Discard of a receipt with a wrong %s succeeds", name)
		}
		e.stagedIs(c, "k", r)
		e.absent(e.s, "k")
		e.holds(e.s, "other", []byte("other"))
	}
	e.publishes(c, r, store.Published)
}
