// Package transfer carries out file jobs: it lists the source by key ranges,
// compares with an ordered listing of the target, writes what is to be done into
// pages on disk, has it done, and records how each object ended.
package transfer

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/transfer/name"
	"godwit/internal/transfer/page"
	"godwit/internal/transfer/selection"
	"godwit/internal/watch"
)

// Overwrite says what happens to an object that the target has already.
type Overwrite string

// Rules for what is there. A target that stores the time of the upload is taken at
// that time.
const (
	Never       Overwrite = "never"
	IfNewer     Overwrite = "if_newer"     // the source is newer
	IfDifferent Overwrite = "if_different" // sizes or checksums of the listings differ, or the source is newer
	Always      Overwrite = "always"
)

// Only says which objects a run is about.
type Only string

// What a run is about.
const (
	All    Only = ""
	Failed Only = "failed" // those that the last round could not copy or delete
)

// Extraneous says what happens to objects that only the target has, among the names
// that keys of the job get. With rename it needs rules by which each name comes from
// one key at most (selection.Distinct): under others a name without the one key may
// be there for the other.
type Extraneous struct {
	// Delete deletes them, once everything is listed. DryRun only records them.
	Delete, DryRun bool
	// Count and Percent (of the objects the target has) bound how many: when there
	// are more, none is deleted. 0: no bound. Under a bound of less than 100 percent an
	// empty source deletes nothing.
	Count   int64
	Percent float64
}

// Config says what to transfer. Source, Target, Dir, Carry and Record are needed.
type Config struct {
	Source, Target store.Store
	// Dir is the folder of the round's pages. It is a cache: deleting it costs a new
	// comparison and nothing else.
	Dir       string
	Selection selection.Rules
	// List names the objects instead of a listing, in any order; their keys count,
	// and a key twice is two objects. An error ends it.
	List       iter.Seq2[store.Object, error]
	Overwrite  Overwrite // empty: IfDifferent
	Extraneous Extraneous
	// Erase has objects of the source deleted that are in the target, verified.
	Erase bool
	// Carry does what an item asks and returns how it ended. It is called by up to
	// InFlight goroutines; 0: 128. An error ends the run: the object then has no outcome.
	Carry    func(context.Context, page.Item) (page.Outcome, error)
	InFlight int
	Only     Only
	// DryRun decides and records, and carries nothing.
	DryRun bool
	// Parallel is how many key ranges the caller runs at once; 0: 8.
	Parallel int
	// Undivided is how many keys are listed in one go before the rest is divided into
	// ranges; 0: 32,000. Dividing costs requests that fewer keys do not pay back.
	Undivided int
	Record    *watch.Files
	Log       *slog.Logger     // nil: none
	Now       func() time.Time // nil: time.Now
}

// Range is a task: a stretch of the source's keys.
type Range = page.Range

// Transfer is one run over a round's pages.
type Transfer struct {
	Config
	folder   *page.Folder
	selected *selection.Selection
	distinct bool      // no two keys can get one name
	names    *name.Set // that this round has given, unless distinct
	hands    *hands
	ledger   *ledger
	held     atomic.Int32 // pages whose entries are in memory

	front *front // of the first range

	// gate is held for reading by each range that runs, and for writing while objects
	// are deleted: that rewrites pages of all ranges.
	gate sync.RWMutex

	mu      sync.Mutex
	ranges  []Range
	found   bool         // all ranges are known
	whole   map[int]bool // ranges that are listed and carried, but for what is to be deleted
	deleted bool         // what is to be deleted is
}

// Open makes a Transfer of the round in c.Dir, going on where an earlier one stopped.
func Open(c Config) (*Transfer, error) {
	selected, err := selection.New(c.Selection)
	if err != nil {
		return nil, err
	}
	distinct := selected.Distinct()
	if (c.Extraneous.Delete || c.Extraneous.DryRun) && (!distinct || c.List != nil) {
		return nil, fault.New(fault.JobValue, "delete_extraneous must tell from a name in the target which key it would come from: it goes neither with a list nor with rename by patterns or to names that other keys may have")
	}
	if c.Overwrite == "" {
		c.Overwrite = IfDifferent
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	if c.InFlight <= 0 {
		c.InFlight = 128
	}
	if c.Undivided <= 0 {
		c.Undivided = 32_000
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	folder, err := page.Open(c.Dir)
	if err != nil {
		return nil, err
	}
	return &Transfer{Config: c, folder: folder, selected: selected, distinct: distinct,
		hands: newHands(c.InFlight), ledger: newLedger(c.Record), whole: map[int]bool{}, front: newFront(c.Undivided)}, nil
}

// Close ends the use of the Transfer. Every Run must have returned.
func (t *Transfer) Close() error {
	t.hands.end()
	if t.names != nil {
		return t.names.Close()
	}
	return nil
}

// Walk calls each for every item of the round in dir, in order of ranges, with how it
// ended; nil: it has not. It may run beside a Transfer.
func Walk(dir string, each func(Range, page.Item, *page.Outcome) error) error {
	return page.Walk(dir, each)
}

// Run lists what is left of a range, decides, has it carried, and records how each
// object ended. nil: every object of the range has its one state, but those to be
// deleted in the target: these wait until everything is listed, and the last Run
// (or Ranges) deletes them. A range that failed or was cancelled may be run again,
// once its Run has returned.
func (t *Transfer) Run(ctx context.Context, r Range) (progressed bool, err error) {
	if progressed, err = t.run(ctx, r); err != nil {
		return progressed, err
	}
	return progressed, t.extraneous(ctx)
}

// run is Run but for what is to be deleted.
func (t *Transfer) run(ctx context.Context, r Range) (progressed bool, err error) {
	t.gate.RLock()
	defer t.gate.RUnlock()
	n, r, err := t.known(r)
	if err != nil {
		return false, err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	t.mu.Lock()
	delete(t.whole, n) // it is run again
	t.mu.Unlock()
	t.ledger.takeBack(n)
	headers, err := t.folder.Pages(n)
	if err != nil {
		return false, err
	}
	w := t.work(ctx, fail, n, false)
	if headers, err = t.takeUp(headers, w); err == nil {
		if end := last(headers); !end.End {
			err = t.list(ctx, r, n, end, w)
		}
	}
	if err != nil {
		fail(err)
	} else {
		t.front.listed(n)
		t.ledger.listed(n)
	}
	err = w.wait()
	progressed = w.progressed.Load()
	if err != nil {
		return progressed, err
	}
	t.mu.Lock()
	t.whole[n] = true
	t.mu.Unlock()
	return progressed, nil
}

// takeUp counts what earlier runs have brought to an end, and has the rest carried;
// with Only Failed also what failed. It returns the pages that hold: one that turns
// out not to be whole is dropped with those after it.
func (t *Transfer) takeUp(headers []*page.Header, w *work) ([]*page.Header, error) {
	for i, h := range headers {
		failed := h.States[page.Failed]
		again := t.Only == Failed && failed != nil && failed.Objects > 0
		if again || h.Open > 0 {
			var err error
			h, err = t.resume(w.ctx, h, again)
			if errors.Is(err, page.ErrTorn) {
				return headers[:i], t.folder.Drop(headers[i].Range, headers[i].Seq)
			}
			if err != nil {
				return nil, err
			}
			headers[i] = h
		}
		t.ledger.found(h.Range, int(h.Items.Objects), h.Items.Bytes)
		for s, c := range h.States {
			t.ledger.ended(h.Range, string(s), int(c.Objects), c.Bytes)
		}
		if h.Open > h.Deletes && !t.DryRun {
			w.add(h, nil)
		}
	}
	return headers, nil
}

// resume writes what a page's log had into the page; again takes back what failed,
// so that it is carried once more, or decided anew.
func (t *Transfer) resume(ctx context.Context, h *page.Header, again bool) (*page.Header, error) {
	h, entries, err := t.folder.Resume(h.Range, h.Seq)
	if err != nil || !again {
		return h, err
	}
	for i := range entries {
		if o := entries[i].Outcome; o != nil && o.State == page.Failed && entries[i].Action != page.Refuse {
			entries[i].Outcome = nil
		}
	}
	if err := t.reconsider(ctx, entries); err != nil {
		return nil, err
	}
	return h, t.folder.Finish(h, entries)
}

// last returns the header where listing goes on.
func last(headers []*page.Header) *page.Header {
	if len(headers) == 0 {
		return &page.Header{}
	}
	return headers[len(headers)-1]
}
