package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget_when_many_take(t *testing.T) {
	b := NewBudget(100)
	var now, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for k := range 100 {
				n := int64((i*7+k)%60 + 1)
				if err := b.Take(t.Context(), n); err != nil {
					t.Error(err)
					return
				}
				if v := now.Add(n); v > most.Load() {
					most.Store(v)
				}
				now.Add(-n)
				b.Give(n)
			}
		})
	}
	wg.Wait()
	if most.Load() > 100 || b.Taken() != 0 {
		t.Fatalf("%d bytes were out at once, %d are left", most.Load(), b.Taken())
	}
}

func TestBudget_when_one_wants_more_than_all(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		_ = b.Take(t.Context(), 4)
		var order []string
		go func() { _ = b.Take(t.Context(), 50); order = append(order, "giant") }()
		synctest.Wait()
		go func() { _ = b.Take(t.Context(), 1); order = append(order, "small") }()
		synctest.Wait()
		if len(order) != 0 {
			t.Fatalf("%v did not wait", order)
		}
		b.Give(4)
		synctest.Wait()
		if len(order) != 1 || order[0] != "giant" {
			t.Fatalf("served %v: the giant passes alone, in its turn", order)
		}
		b.Give(50)
		synctest.Wait()
		if len(order) != 2 {
			t.Fatal("the small one was forgotten")
		}
	})
}

func TestBudget_when_a_taker_gives_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		_ = b.Take(t.Context(), 10)
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		go func() { err = b.Take(ctx, 5) }()
		served := false
		synctest.Wait()
		go func() { _ = b.Take(t.Context(), 3); served = true }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Take returned %v", err)
		}
		b.Give(10)
		synctest.Wait()
		if !served || b.Taken() != 3 {
			t.Fatalf("served=%v taken=%d", served, b.Taken())
		}
	})
}

func TestShare_when_it_becomes_less_and_more(t *testing.T) {
	var size atomic.Int64
	size.Store(100)
	b := NewShare(size.Load)
	take := func(n int64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		return b.Take(ctx, n)
	}
	if err := take(80); err != nil {
		t.Fatal(err)
	}
	size.Store(50)
	if take(10) == nil || b.Size() != 50 {
		t.Error("more is given out than there is by now")
	}
	b.Give(60)
	if err := take(30); err != nil {
		t.Errorf("20 of 50 are taken, and 30 more are not given: %v", err)
	}
	b.Give(50)
	if err := take(1000); err != nil {
		t.Errorf("what is larger than all does not pass alone: %v", err)
	}
}
