package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"godwit/internal/store/mem"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// cancelledAt carries out a round until the n-th object is to be carried, and waits
// for what runs.
func cancelledAt(t *testing.T, tr *Transfer, p *porter, n int64) (done bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var carried atomic.Int64
	tr.Carry = func(ctx context.Context, i page.Item) (page.Outcome, error) {
		if carried.Add(1) >= n {
			cancel()
			return page.Outcome{}, context.Canceled
		}
		return p.Carry(ctx, i)
	}
	var wg sync.WaitGroup
	var failed atomic.Bool
	note := func(err error) {
		if err != nil {
			failed.Store(true)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	note(tr.Ranges(ctx, func(r Range) {
		wg.Go(func() {
			_, err := tr.Run(ctx, r)
			note(err)
		})
	}))
	wg.Wait()
	return !failed.Load()
}

// A round that is paused again and again in one life comes to the same end and the
// same counts, also where it is paused while it deletes.
func TestRun_when_it_is_cancelled_and_run_again(t *testing.T) {
	const copies, deletes = 60, 20
	for _, n := range []int64{1, 7, copies + deletes/2} {
		source, target := mem.New(mem.Options{}), mem.New(mem.Options{})
		for i := range copies {
			put(t, source, fmt.Sprintf("k%03d", i), "new")
		}
		for i := range deletes {
			put(t, target, fmt.Sprintf("x%03d", i), "old")
		}
		p := &porter{source: source, target: target}
		c := Config{Source: source, Target: target, Dir: t.TempDir(), Carry: p.Carry, InFlight: 1, Undivided: 10,
			Extraneous: Extraneous{Delete: true, Percent: 100}, Record: watch.NewFiles(watch.Options{})}
		tr, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		lives := 1
		for at := n; !cancelledAt(t, tr, p, at); lives++ {
			if lives > 100 {
				t.Fatalf("after %d lives it is not done", lives)
			}
			if n == 1 && lives == 3 {
				at = copies + deletes + 1 // until then nothing was carried
			}
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		o := c.Record.Snapshot().Files
		if lives < 2 || o.Listed.Objects != copies+deletes || o.Copied.Objects != copies || o.Deleted.Objects != deletes || o.Left.Objects != 0 ||
			o.RangesListed != o.Ranges || o.Copied.Bytes != 3*copies {
			t.Errorf("cancelled at %d, %d lives: %+v", n, lives, *o)
		}
		if got := contents(t, target); len(got) != copies || got["k000"] != "new" {
			t.Errorf("cancelled at %d: the target has %d objects", n, len(got))
		}
	}
}
