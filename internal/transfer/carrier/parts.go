package carrier

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// errUploadGone: the target does not know the upload any more.
var errUploadGone = errors.New("the target has dropped the unfinished upload")

// inParts carries a large object in parts, going on with those that are there.
func (w *work) inParts(ctx context.Context) error {
	w.how = "parts"
	u, gone, err := w.resume(ctx)
	if err != nil {
		return err
	}
	defer u.close()
	if !gone {
		err = w.sendParts(ctx, u)
	}
	var stored store.Object
	if err == nil {
		stored, err = w.complete(ctx, u, gone)
	}
	if err == nil {
		err = w.arrived(ctx, u, stored)
	}
	switch {
	case errors.Is(err, errUploadGone):
		if err := u.remove(); err != nil {
			return err
		}
		return fault.New(fault.StoreFailed, "the upload is begun again").By(errUploadGone)
	case fault.Has(err, fault.SourceChanged), fault.Has(err, fault.SourceGone), fault.Has(err, fault.Corrupt):
		// These parts will never make an object.
		if aerr := w.c.abandon(ctx, u); aerr != nil {
			w.c.Log.Warn("an unfinished upload could not be dropped", "key", w.key, "cause", aerr)
		}
	case err == nil:
		return w.c.finish(u)
	}
	return err
}

// finish keeps the file of an object that has arrived for a while: should the
// process die before that is recorded, the object is carried again, and found to
// be there.
func (c *Carrier) finish(u *upload) error {
	const most = 256
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = append(c.finished, u.path)
	if len(c.finished) <= most {
		return nil
	}
	oldest := c.finished[0]
	c.finished = c.finished[1:]
	return removeUpload(oldest)
}

func (c *Carrier) abandon(ctx context.Context, u *upload) error {
	if err := c.parter.Abandon(ctx, u.Name, u.Upload); err != nil && !errors.Is(err, store.ErrNotFound) {
		return ofTarget(err)
	}
	return u.remove()
}

// resume returns the upload that an earlier attempt has begun, or a new one. gone:
// all parts were sent, and the upload is not there: it may have been completed.
func (w *work) resume(ctx context.Context) (u *upload, gone bool, err error) {
	path := uploadPath(w.c.Dir, w.item.Key, w.key)
	u, err = openUpload(path)
	if err != nil {
		return nil, false, err
	}
	if u == nil {
		u, err = w.begin(ctx, path)
		return u, false, err
	}
	if !same(u.Source.object(), w.o) || u.Name != w.key {
		u.close()
		if err := w.c.abandon(ctx, u); err != nil {
			return nil, false, err
		}
		u, err = w.begin(ctx, path)
		return u, false, err
	}
	there, err := w.c.parter.Parts(ctx, w.key, u.Upload)
	switch {
	case errors.Is(err, errors.ErrUnsupported): // the file alone knows
	case errors.Is(err, store.ErrNotFound) && len(u.todo()) == 0:
		return u, true, nil
	case errors.Is(err, store.ErrNotFound):
		u.close()
		u, err = w.begin(ctx, path)
		return u, false, err
	case err != nil:
		u.close()
		return nil, false, ofTarget(err)
	default:
		u.keep(there)
	}
	return u, false, nil
}

func (w *work) begin(ctx context.Context, path string) (*upload, error) {
	o, err := store.Look(ctx, w.c.Source, w.o.Key)
	if err != nil {
		return nil, ofSource(err)
	}
	if !same(o, w.o) {
		return nil, ofSource(store.ErrChanged)
	}
	options := w.options(o)
	if w.c.objects.checks() {
		options.Sums = ofContents(w.o.Sums)
	}
	// The size first: where it needs a size of its own, Begin may depend on it.
	size := w.partSize()
	text, err := w.c.parter.Begin(ctx, w.key, w.o.Size, options)
	if err != nil {
		return nil, ofTarget(err)
	}
	return createUpload(path, uploadHead{
		Key: w.item.Key, Name: w.key, Upload: text, PartSize: size, Begun: w.c.Now().UTC(),
		Source: source{w.o.Size, w.o.Modified, w.o.Version, w.o.Sums},
	}, w.c.sync)
}

// partsAimed is how many parts an object has at most where nothing else decides:
// more of them would be more requests without being quicker.
const partsAimed = 1000

// partSize returns the size of the object's parts: that of the source's, where it
// gives a checksum by parts, so that the checksums can be compared.
func (w *work) partSize() int64 {
	const step = 1 << 20
	for _, s := range w.o.Sums {
		if s.Parts > 1 && s.PartSize > 0 && w.c.parter.PartSize(w.o.Size, s.PartSize) == s.PartSize {
			return s.PartSize
		}
	}
	least := w.c.partSize()
	if w.c.PartSize == 0 {
		least = max(least, (w.o.Size/partsAimed+step-1)/step*step)
	}
	return max(1, w.c.parter.PartSize(w.o.Size, least))
}

// sendParts sends what is missing, as many parts at once as there are lanes for.
func (w *work) sendParts(ctx context.Context, u *upload) error {
	todo := u.todo()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &rider{large: true}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(len(todo), lanesMost) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(todo) {
					return
				}
				if err := w.part(ctx, u, r, todo[i]); err != nil {
					cancel(err) // the first one counts
				}
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// part sends one part until it is there.
func (w *work) part(ctx context.Context, u *upload, r *rider, n int) error {
	var tried atomic.Int64
	err := w.c.persist(ctx, &tried, &tries{}, func(ctx context.Context) error {
		p, err := w.sendPart(ctx, u, r, n)
		if err != nil {
			return err
		}
		return u.add(p)
	})
	w.attempts.Add(tried.Load() - 1)
	if err != nil && ctx.Err() == nil {
		return spent{err}
	}
	return err
}

func (w *work) sendPart(ctx context.Context, u *upload, r *rider, n int) (p donePart, err error) {
	c := w.c
	size := u.size(n)
	if err := c.lanes.take(ctx, r); err != nil {
		return p, err
	}
	defer c.lanes.give(r, size)
	if err := c.Budget.Take(ctx, streaming); err != nil {
		return p, err
	}
	defer c.Budget.Give(streaming)
	ctx, watch := watched(ctx)
	defer watch.done()
	read := w.reading(u.off(n), size, watch)
	// CRC32C can be put together to that of the whole object.
	read.kinds = append(c.parts.wanted(store.CRC32C), kind{algorithm: store.CRC32C})
	defer read.close()
	p.Part, err = c.parter.PutPart(ctx, w.key, u.Upload, n, u.off(n), read.body(ctx))
	if err != nil {
		if err = why(ctx, read, err); errors.Is(err, store.ErrNotFound) && !fault.Has(err, fault.SourceGone) {
			return p, errUploadGone
		}
		return p, err
	}
	c.parts.learn(size, p.Sum)
	if p.Sums, err = read.result(); err != nil {
		return p, err
	}
	if p.Sums == nil {
		return p, fault.New(fault.StoreFailed, "the target did not read part %d to its end", n)
	}
	p.N = n
	_, err = confirm(store.Object{Size: p.Size, Sums: []store.Sum{p.Sum}}, size, p.Sums)
	return p, err
}

// complete makes the object of its parts.
func (w *work) complete(ctx context.Context, u *upload, gone bool) (store.Object, error) {
	done := u.parts()
	sums := ofParts(done, u.PartSize)
	if likeness, sum := store.Compare(w.o.Sums, sums); likeness == store.Unlike {
		return store.Object{}, fault.New(fault.Corrupt, "the bytes that were read do not have the %s checksum %s", sum.Algorithm, sum.Value)
	}
	if gone {
		return w.completed(ctx, u, sums)
	}
	parts := make([]store.Part, 0, len(done))
	for _, p := range done {
		parts = append(parts, p.Part)
	}
	stored, err := w.c.parter.Complete(ctx, w.key, u.Upload, parts)
	switch {
	case errors.Is(err, store.ErrNotFound): // completed, and the answer was lost?
		return w.completed(ctx, u, sums)
	case err != nil:
		return stored, ofTarget(err)
	}
	return stored, nil
}

// completed finds out whether the target has the object that the upload was for.
func (w *work) completed(ctx context.Context, u *upload, sums []store.Sum) (store.Object, error) {
	o, err := store.Look(ctx, w.c.Target, w.key)
	if errors.Is(err, store.ErrNotFound) {
		return o, errUploadGone
	}
	if err != nil {
		return o, ofTarget(err)
	}
	likeness, _ := store.Compare(o.Sums, sums)
	if o.Size == w.o.Size && likeness == store.Unknown {
		_, err = w.readBack(ctx, u.spans())
		if err == nil {
			return o, nil
		}
		if !fault.Has(err, fault.Corrupt) {
			return o, err
		}
		likeness = store.Unlike
	}
	if o.Size != w.o.Size || likeness != store.Alike {
		return o, errUploadGone
	}
	return o, nil
}

func (u *upload) spans() []span {
	var out []span
	for _, p := range u.parts() {
		out = append(out, span{u.off(p.N), p.Size, p.Sums})
	}
	return out
}

// arrived compares what the target made of the parts.
func (w *work) arrived(ctx context.Context, u *upload, stored store.Object) (err error) {
	done := u.parts()
	sums := ofParts(done, u.PartSize)
	w.sum = best(sums)
	if w.checked, err = confirm(stored, w.o.Size, sums); err != nil {
		w.drop(ctx)
		return err
	}
	if w.checked == "size" {
		w.checked = byParts(done)
	}
	return w.verify(ctx, u.spans())
}

// byParts is how the parts were compared, one by one, when they were sent.
func byParts(parts []donePart) string {
	how := "size"
	for _, p := range parts {
		likeness, sum := store.Compare([]store.Sum{p.Sum}, p.Sums)
		if likeness != store.Alike {
			return "size"
		}
		how = string(sum.Algorithm)
	}
	return how
}

// Sweep drops all unfinished uploads of which Dir knows. It is for the end of a run
// that has carried everything: nobody will go on with them. No Carry may be under
// way.
func (c *Carrier) Sweep(ctx context.Context) error {
	if c.parter == nil {
		return nil
	}
	paths, err := uploadFiles(c.Dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		u, err := openUpload(path)
		if err != nil {
			return err
		}
		if u == nil || uploadPath(c.Dir, u.Key, u.Name) != path {
			continue // torn, or a name that JSON does not keep: left to the target's own rules
		}
		u.close()
		if err := c.abandon(ctx, u); err != nil {
			return err
		}
	}
	return nil
}
