package file

import (
	"context"
	"fmt"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/transfer"
	"godwit/internal/watch"
)

// rangesAtOnce is how many key ranges are listed side by side.
const rangesAtOnce = 8

// work is one round as its engine sees it (engine.Work): a task for each key range.
type work struct {
	transfer *transfer.Transfer
	record   *watch.Files

	mu     sync.Mutex
	ranges []transfer.Range
}

// Find finds the key ranges. The first is found before the rest is divided.
func (w *work) Find(ctx context.Context, found func(job.Task)) error {
	err := w.transfer.Ranges(ctx, func(r transfer.Range) {
		w.mu.Lock()
		id := fmt.Sprintf("range %d", len(w.ranges)+1)
		w.ranges = append(w.ranges, r)
		w.mu.Unlock()
		found(job.Task{ID: id, Kind: job.Copy})
	})
	if err == nil {
		w.record.AllRanges()
	}
	return err
}

// RunTask lists a key range and moves what it holds.
func (w *work) RunTask(ctx context.Context, id string, _ uint64) (progressed bool, err error) {
	var n int
	if _, err := fmt.Sscanf(id, "range %d", &n); err != nil || n < 1 {
		return false, fault.New(fault.Internal, "the engine started the unknown task %q", id)
	}
	w.mu.Lock()
	r := w.ranges[n-1]
	w.mu.Unlock()
	return w.transfer.Run(ctx, r)
}
