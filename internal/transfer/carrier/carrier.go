// Package carrier carries single objects from one store to another: small ones
// with one request, large ones in parallel parts that are taken up again after a
// crash, between places of one service without their bytes. What arrived is
// compared with what left before an object counts as copied.
package carrier

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// Verify says how a copy is checked.
type Verify string

// Ways to check a copy. With both, a source that gives a checksum is held to it
// while it is read.
const (
	// Strongest compares the strongest checksum that the target gives for what it
	// stored with that of the bytes that were read; where it gives none, the size.
	Strongest Verify = ""
	// ReadBack also reads the copy again and compares its checksum.
	ReadBack Verify = "read_back"
)

// Config is what a Carrier works with. Source, Target and Dir must be set.
type Config struct {
	Source, Target store.Store
	Dir            string        // for what must survive a crash: uploads of large objects
	Budget         *limit.Budget // memory of bodies and parts; nil: 64 MiB
	Limits         *limit.Rates  // of bytes read; nil: none
	Lanes          int           // most objects and parts under way at once; 0: adaptive, 4 to 64
	PartSize       int64         // 0: 16 MiB, more for objects of many parts. Larger objects go in parts
	Class          string        // storage class of the copies; empty: the target's usual one
	Owner          bool          // keep who a file belongs to
	Verify         Verify
	Erase          bool // delete an object in the source after its copy was verified
	Record         *watch.Files
	Log            *slog.Logger
	Now            func() time.Time // nil: time.Now
	Rand           func() float64   // spreads retries, in [0,1); nil: math/rand
}

const (
	partDefault = 16 << 20
	small       = 1 << 20 // objects up to this size are held whole
	// streaming is what a body takes of the budget that is not held whole: the
	// buffers between source and target.
	streaming = 256 << 10
)

// Carrier carries objects. It is safe for concurrent use.
type Carrier struct {
	Config
	copier  store.Copier // nil: not possible
	parter  store.Parter
	batches *batches
	lanes   *lanes
	buffers buffers
	objects kinds // which checksums the target gives for an object
	parts   kinds // and for a part

	sync func(*os.File) error

	mu       sync.Mutex
	finished []string // upload files of objects that have arrived lately

	notHere   atomic.Int64 // copies inside the service refused in a row
	succeeded atomic.Bool
	refused   atomic.Int64 // objects refused in a row
}

// New returns a Carrier. It begins nothing by itself.
func New(c Config) *Carrier {
	if c.Budget == nil {
		c.Budget = limit.NewBudget(64 << 20)
	}
	if c.Record == nil {
		c.Record = watch.NewFiles(watch.Options{})
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	k := &Carrier{Config: c, sync: (*os.File).Sync, lanes: newLanes(c.Lanes, c.Now, c.Record.Lanes)}
	k.copier, _ = c.Target.(store.Copier)
	k.parter, _ = c.Target.(store.Parter)
	if b, ok := c.Target.(store.Batcher); ok {
		k.batches = newBatches(b, c.Now)
	}
	return k
}

// InFlight returns how many objects are best given to Carry at once: more than lanes,
// so that some that wait for their next try keep no lane empty; where objects become
// durable together, enough for a batch that is committed and one that fills.
func (c *Carrier) InFlight() int {
	if c.batches != nil {
		return 2 * batchObjects
	}
	return 2 * lanesMost
}

// Close waits for what was begun for several objects together. Every Carry must
// have returned.
func (c *Carrier) Close() error {
	if c.batches != nil {
		c.batches.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed error
	for _, path := range c.finished {
		failed = errors.Join(failed, removeUpload(path))
	}
	c.finished = nil
	return failed
}

// Slow is to be called for each answer of a store that asks to slow down, such as
// by store.Env.Slow: fewer requests are sent at once.
func (c *Carrier) Slow() { c.lanes.busy() }

// partSize is the least size of parts; larger objects go in parts.
func (c *Carrier) partSize() int64 {
	if c.PartSize > 0 {
		return c.PartSize
	}
	return partDefault
}

// Carry does what item asks (Copy, Delete, Erase) and returns how it ended. It is
// called from many goroutines; the carrier itself bounds what is under way by
// lanes and memory. An error means that the job cannot go on (credentials, target
// full or read-only, ctx ended): then the object has no outcome.
func (c *Carrier) Carry(ctx context.Context, item page.Item) (page.Outcome, error) {
	began := c.Now()
	w := &work{c: c, item: item, o: item.Object(), key: item.Target()}
	var done page.State
	var err error
	switch item.Action {
	case page.Copy:
		c.Record.Flying(1, item.Size)
		defer c.Record.Flying(-1, -item.Size)
		done, err = page.Copied, w.copy(ctx)
	case page.Delete:
		done, err = page.Deleted, w.delete(ctx)
	case page.Erase:
		done, err = page.Unchanged, w.erase(ctx)
	default:
		return page.Outcome{}, fault.New(fault.Internal, "%q is nothing to be carried out", item.Action)
	}
	if ctx.Err() != nil {
		return page.Outcome{}, context.Cause(ctx)
	}
	if stop := c.stops(err); stop != nil {
		return page.Outcome{}, stop
	}
	out := page.Outcome{
		State: done, Bytes: w.sent.Load(), Attempts: int(w.attempts.Load()), How: w.how, Checked: w.checked, Sum: w.sum, Erased: w.erased,
		At: c.Now(),
	}
	out.Millis = out.At.Sub(began).Milliseconds()
	if err != nil {
		e := fault.Of(err)
		out.State, out.Code, out.Error, out.Checked = page.Failed, e.Code, text(e), ""
		switch {
		case e.Code == fault.SourceGone:
			out.State = page.Gone
		case e.Code == fault.NameRefused && marksFolder(item):
			out.State, out.Code, out.Error = page.Skipped, "", "it has no contents and marks a folder; the target has folders of its own"
		}
	}
	return out, nil
}

// marksFolder reports whether an object stands for a folder, as consoles of buckets
// make them. A target with folders cannot hold one and needs none.
func marksFolder(item page.Item) bool {
	return item.Action == page.Copy && item.Size == 0 && strings.HasSuffix(item.Key, "/") && strings.HasSuffix(item.Target(), "/")
}

// text is an error for a record: on one line, with what to do, of bounded length.
func text(e *fault.Error) string {
	const most = 2000
	s := e.Error()
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	if len(s) > most {
		s = s[:most]
	}
	return s
}

// work is one object on its way.
type work struct {
	c    *Carrier
	item page.Item
	key  string       // in the target
	o    store.Object // the version of the source that is carried

	attempts atomic.Int64
	sent     atomic.Int64
	how      string
	checked  string
	sum      store.Sum
	erased   bool
}

// copy carries the object until it has arrived, and deletes it in the source
// where that is asked for.
func (w *work) copy(ctx context.Context) error {
	t := &tries{refresh: w.refresh}
	err := w.c.persist(ctx, &w.attempts, t, func(ctx context.Context) error {
		if done, err := w.server(ctx); done {
			return err
		}
		if w.c.parter != nil && w.o.Size > w.c.partSize() {
			return w.inParts(ctx)
		}
		return w.whole(ctx)
	})
	if err != nil || !w.c.Erase {
		return err
	}
	return w.eraseSource(ctx)
}

// refresh takes the version that the source has now.
func (w *work) refresh(ctx context.Context) error {
	o, err := store.Look(ctx, w.c.Source, w.item.Key)
	if err != nil {
		return ofSource(err)
	}
	w.o = o
	return nil
}

// same reports whether two objects of one key of a store are one version.
func same(a, b store.Object) bool {
	if a.Version != "" && b.Version != "" {
		return a.Version == b.Version
	}
	likeness, _ := store.Compare(a.Sums, b.Sums)
	return a.Size == b.Size && a.Modified.Equal(b.Modified) && likeness != store.Unlike
}

// options are what the copy is stored with. o was opened or asked for.
func (w *work) options(o store.Object) store.PutOptions {
	var p store.PutOptions
	if o.Attributes != nil {
		p.Attributes = *o.Attributes
	}
	p.Class = w.c.Class
	if !w.c.Owner {
		p.Attributes.Owner = nil
	}
	if t, ok := w.c.Target.(store.Timed); p.Modified.IsZero() || ok && t.KeepsTimes() {
		// What the source's listing shows, so that the next one finds both alike
		// without asking for each object, even where the source remembers an
		// earlier time.
		p.Modified = o.Modified
	}
	return p
}
