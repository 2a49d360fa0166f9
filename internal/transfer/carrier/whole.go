package carrier

import (
	"bytes"
	"context"
	"errors"
	"io"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// span is a range of an object with the sums of the bytes that left.
type span struct {
	off, size int64
	sums      []store.Sum
}

// whole carries the object with one request.
func (w *work) whole(ctx context.Context) error {
	s, err := w.send(ctx)
	if err != nil {
		return err
	}
	w.how = "put"
	if s.batch != nil {
		w.how = "batch"
		if err := s.batch.wait(ctx, w.key); err != nil {
			return err
		}
	}
	w.checked, w.sum = s.checked, best(s.sums)
	return w.verify(ctx, []span{{0, w.o.Size, s.sums}})
}

// sending is an object that the target has taken.
type sending struct {
	sums    []store.Sum // of what left
	checked string
	batch   *batch // not nil: it is not there before that is committed
}

// send gives the object to the target, holding a lane and memory meanwhile.
func (w *work) send(ctx context.Context) (s sending, err error) {
	c := w.c
	held := w.o.Size <= small
	need := int64(streaming)
	if held {
		need = sizeFor(w.o.Size)
	}
	if w.batched() {
		done := c.batches.announce()
		defer done()
	}
	if err := c.lanes.take(ctx, c.lanes.small); err != nil {
		return s, err
	}
	defer c.lanes.give(c.lanes.small, w.o.Size)
	if err := c.Budget.Take(ctx, need); err != nil {
		return s, err
	}
	defer c.Budget.Give(need)
	ctx, watch := watched(ctx)
	defer watch.done()
	r := w.reading(0, w.o.Size, watch)
	r.kinds = append(c.objects.wanted(store.XXH3), computable(w.o.Sums, w.o.Size)...)
	r.want = w.o.Sums
	defer r.close()
	if held {
		return w.sendHeld(ctx, r)
	}
	return w.sendStream(ctx, r)
}

// batched reports whether the object is made durable together with others.
func (w *work) batched() bool { return w.c.batches != nil && w.o.Size <= small }

// reading is a range of the source object.
func (w *work) reading(off, size int64, watch *watchdog) *reading {
	return &reading{c: w.c, st: w.c.Source, o: w.o, off: off, size: size, watch: watch, side: ofSource, sent: w.count}
}

// count counts bytes on their way to the target.
func (w *work) count(n int) {
	w.sent.Add(int64(n))
	w.c.Record.Sent(n)
}

// why is the reason why a store did not take a body: what the source said, that
// the body stood still, or what the store says.
func why(ctx context.Context, r *reading, err error) error {
	if _, rerr := r.result(); rerr != nil {
		return rerr
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return ofTarget(err)
}

// sendHeld reads the object whole, so that its sums are known before it is sent.
func (w *work) sendHeld(ctx context.Context, r *reading) (s sending, err error) {
	c := w.c
	r.sent = nil
	p, o, err := r.open(ctx)
	if err != nil {
		return s, why(ctx, r, err)
	}
	buffer := c.buffers.get(int(w.o.Size))
	whole := *buffer
	_, err = io.ReadFull(p, whole)
	if err == nil {
		if _, err = p.Read(make([]byte, 1)); err == io.EOF {
			err = nil
		}
	}
	p.Close()
	if err != nil {
		c.buffers.put(buffer)
		return s, why(ctx, r, err)
	}
	s.sums, _ = r.result()
	options := w.options(o)
	if c.objects.checks() {
		options.Sums = ofContents(s.sums)
	}
	r.watch.touch(answer)
	body := store.Body{Size: w.o.Size, Open: func(off int64) (io.ReadCloser, error) {
		w.count(int(w.o.Size - off))
		return io.NopCloser(bytes.NewReader(whole[off:])), nil
	}}
	put := c.Target.Put
	if w.batched() {
		if s.batch, err = c.batches.join(ctx, w.o.Size); err != nil {
			return s, why(ctx, r, err)
		}
		put = s.batch.b.Put
	}
	spoiled := false
	stored, err := put(ctx, w.key, body, options)
	if err != nil {
		// The buffer is not used again: a transport may still be reading it.
		err = why(ctx, r, err)
	} else {
		c.objects.learn(w.o.Size, stored.Sums...)
		s.sums = append(s.sums, missing(stored.Sums, s.sums, whole)...)
		s.checked, err = confirm(stored, w.o.Size, s.sums)
		c.buffers.put(buffer)
		if spoiled = err != nil; spoiled && s.batch == nil {
			w.drop(ctx)
		}
	}
	if s.batch != nil {
		c.batches.leave(s.batch, spoiled)
	}
	return s, err
}

// missing computes what the target gives and was not expected of it.
func missing(theirs, ours []store.Sum, b []byte) []store.Sum {
	if likeness, _ := store.Compare(theirs, ours); likeness != store.Unknown {
		return nil
	}
	h := newHashes(computable(theirs, int64(len(b))))
	h.write(b)
	return h.sums()
}

// sendStream sends the object as it is read.
func (w *work) sendStream(ctx context.Context, r *reading) (s sending, err error) {
	o, err := r.ahead(ctx)
	if err != nil {
		return s, why(ctx, r, err)
	}
	options := w.options(o)
	if w.c.objects.checks() {
		options.Sums = ofContents(w.o.Sums)
	}
	stored, err := w.c.Target.Put(ctx, w.key, r.body(ctx), options)
	if err != nil {
		return s, why(ctx, r, err)
	}
	w.c.objects.learn(w.o.Size, stored.Sums...)
	if s.sums, err = r.result(); err == nil {
		s.checked, err = confirm(stored, w.o.Size, s.sums)
	}
	if err != nil {
		w.drop(ctx)
	}
	return s, err
}

// drop takes a copy away that is not what it should be.
func (w *work) drop(ctx context.Context) {
	if err := w.c.Target.Delete(ctx, w.key); err != nil {
		w.c.Log.Warn("a copy that is not whole could not be deleted", "key", w.key, "cause", err)
	}
}

// verify reads the copy again where that is asked for, or where the source is to
// be deleted and nothing but the size was compared.
func (w *work) verify(ctx context.Context, spans []span) error {
	if w.c.Verify != ReadBack && (!w.c.Erase || w.checked != "size") {
		return nil
	}
	how, err := w.readBack(ctx, spans)
	if fault.Has(err, fault.Corrupt) {
		w.drop(ctx)
	}
	if err == nil {
		w.checked = how
	}
	return err
}

// readBack compares the copy with the sums of what left, and returns the weakest
// algorithm that was used.
func (w *work) readBack(ctx context.Context, spans []span) (string, error) {
	o, err := store.Look(ctx, w.c.Target, w.key)
	if err != nil {
		return "", ofCopy(err)
	}
	if o.Size != w.o.Size {
		return "", fault.New(fault.Corrupt, "the target has %d bytes of %d", o.Size, w.o.Size)
	}
	how := ""
	for _, s := range spans {
		sum := best(s.sums)
		if how, err = string(sum.Algorithm), w.c.holds(ctx, o, s, sum); err != nil {
			return "", err
		}
	}
	return how, nil
}

// ofCopy gives an error of reading a copy a code: one that is not there, or another
// one by now, is not what was sent.
func ofCopy(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrChanged) {
		return fault.New(fault.Corrupt, "the copy is not what was stored").By(err)
	}
	return ofTarget(err)
}

// holds reads a range of the target's object o and compares its sum.
func (c *Carrier) holds(ctx context.Context, o store.Object, s span, sum store.Sum) error {
	r := &reading{c: c, st: c.Target, o: o, off: s.off, size: s.size, kinds: computable([]store.Sum{sum}, s.size), want: []store.Sum{sum}, side: ofCopy}
	_, err := c.hash(ctx, r)
	return err
}

// hash reads a range to its end, gives no byte of it on and returns its sums.
func (c *Carrier) hash(ctx context.Context, r *reading) ([]store.Sum, error) {
	if err := c.lanes.take(ctx, c.lanes.small); err != nil {
		return nil, err
	}
	defer c.lanes.give(c.lanes.small, r.size)
	if err := c.Budget.Take(ctx, streaming); err != nil {
		return nil, err
	}
	defer c.Budget.Give(streaming)
	ctx, watch := watched(ctx)
	defer watch.done()
	r.watch = watch
	p, _, err := r.open(ctx)
	if err != nil {
		return nil, why(ctx, r, err)
	}
	defer p.Close()
	buffer := c.buffers.get(128 << 10)
	defer c.buffers.put(buffer)
	for err == nil {
		_, err = p.Read(*buffer)
	}
	if err != io.EOF {
		return nil, why(ctx, r, err)
	}
	return r.result()
}
