package file

import (
	"context"
	"fmt"
	"sync"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/transfer"
	"godwit/internal/watch"
)

// rangesAtOnce is how many key ranges are listed side by side.
const rangesAtOnce = 8

// work is one round as its engine sees it (engine.Work): a task for each key range.
type work struct {
	// open opens the round, before anything is found in it. It is called again until
	// it succeeds.
	open   func(context.Context) (*transfer.Transfer, error)
	record *watch.Files
	// revision is another one in each run: what is left of a range, and how its objects
	// ended, a run learns by running it.
	revision string

	mu       sync.Mutex
	transfer *transfer.Transfer // nil: it is not open yet
	ranges   []transfer.Range
}

// Find finds the key ranges. The first is found before the rest is divided.
func (w *work) Find(ctx context.Context, _ map[string]job.Apart, found func(job.Task)) error {
	t, err := w.opened(ctx)
	if err != nil {
		return err
	}
	n := 0
	err = t.Ranges(ctx, func(r transfer.Range) {
		n++
		w.know(n, r)
		found(job.Task{ID: fmt.Sprintf("range %d", n), Kind: job.Copy, Revision: w.revision})
	})
	if err == nil {
		w.record.AllRanges()
	}
	return err
}

func (w *work) opened(ctx context.Context) (*transfer.Transfer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.transfer == nil {
		w.transfer, err = w.open(ctx)
	}
	return w.transfer, err
}

// Follow tells the record how the target stands.
func (w *work) Follow(s job.State) { w.record.TargetStands(s.SinkStanding(watch.Target)) }

// know notes which range has a number, from 1. It is the same one whenever it is
// found.
func (w *work) know(n int, r transfer.Range) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > len(w.ranges) {
		w.ranges = append(w.ranges, r)
	}
}

// RunTask lists a key range and moves what it holds.
func (w *work) RunTask(ctx context.Context, run engine.Run) (progressed bool, err error) {
	var n int
	if _, err := fmt.Sscanf(run.Task.ID, "range %d", &n); err != nil || n < 1 {
		return false, fault.New(fault.Internal, "the engine started the unknown task %q", run.Task.ID)
	}
	w.mu.Lock()
	t, r := w.transfer, w.ranges[n-1]
	w.mu.Unlock()
	return t.Run(ctx, r)
}
