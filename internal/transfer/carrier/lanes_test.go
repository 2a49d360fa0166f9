package carrier

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// settle lets a climber measure a system for a while and returns the lanes it came
// to and the least and most of the second half.
func settle(k *climber, throughput func(lanes int) float64, steps int) (now, least, most int) {
	at := time.Unix(0, 0)
	least, most = 1<<30, 0
	for i := range steps {
		// One measurement: enough pieces, and as long as it takes.
		rate := throughput(k.n)
		k.done(at, 0, true)
		for range 2 * k.n {
			k.pieces++
		}
		at = at.Add(measure)
		k.work = 0
		k.done(at, int64(rate*measure.Seconds())-perPiece, true)
		if i >= steps/2 {
			least, most = min(least, k.n), max(most, k.n)
		}
	}
	return k.n, least, most
}

func TestClimber_when_more_lanes_pay_up_to_a_number(t *testing.T) {
	for _, knee := range []int{1, 6, 12, 24, 48, 100} {
		linear := func(lanes int) float64 { return 1e8 * float64(min(lanes, knee)) }
		_, least, most := settle(newClimber(lanesFirst), linear, 200)
		low, high := max(lanesLeast, knee*6/10), min(lanesMost, max(lanesLeast+2, knee*17/10))
		if knee >= lanesMost {
			low = lanesMost * 7 / 10
		}
		if least < low || most > high {
			t.Errorf("best are %d: between %d and %d", knee, least, most)
		}
	}
}

func TestClimber_when_more_lanes_harm(t *testing.T) {
	// Past 10 everything becomes slower.
	harm := func(lanes int) float64 { return 1e8 * float64(min(lanes, 10)) / (1 + 0.05*float64(max(0, lanes-10))) }
	_, least, most := settle(newClimber(lanesFirst), harm, 200)
	if least < 6 || most > 16 {
		t.Errorf("between %d and %d", least, most)
	}
}

func TestClimber_when_asked_to_slow_down(t *testing.T) {
	k := newClimber(32)
	at := time.Unix(100, 0)
	if n := k.busy(at); n != 16 {
		t.Fatalf("%d lanes", n)
	}
	if n := k.busy(at.Add(time.Millisecond)); n != 16 {
		t.Fatalf("%d lanes: one burst of answers counts once", n)
	}
	for i := range 10 {
		at = at.Add(time.Second)
		k.busy(at)
		if k.n < 4 {
			t.Fatalf("%d lanes after %d", k.n, i)
		}
	}
	for range 9 { // calm
		k.judge(at, 1e9)
		if k.n > 4 {
			t.Fatal("it grew at once")
		}
	}
}

func TestClimber_when_nobody_waits(t *testing.T) {
	k := newClimber(16)
	at := time.Unix(0, 0)
	for range 1000 {
		at = at.Add(100 * time.Millisecond)
		k.done(at, 1000, false)
	}
	if k.n != 16 {
		t.Errorf("%d lanes, without any evidence", k.n)
	}
}

func TestLanes_when_large_and_small_wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(8, time.Now, func(int) {})
		a, b := &rider{large: true}, &rider{large: true}
		for range 20 { // parts that never end
			go func() { _ = l.take(t.Context(), a) }()
		}
		synctest.Wait()
		if l.used != 4 {
			t.Fatalf("one large object has %d of 8 lanes", l.used)
		}
		if err := l.take(t.Context(), l.small); err != nil {
			t.Fatal("a small object waited for a large one")
		}
		got := make(chan string, 10)
		go func() { _ = l.take(t.Context(), l.small); got <- "small" }()
		go func() { _ = l.take(t.Context(), b); got <- "other large" }()
		synctest.Wait()
		l.give(a, 0)
		l.give(a, 0)
		synctest.Wait()
		first, second := <-got, <-got
		if first == second {
			t.Errorf("served %s and %s: a large object with many lanes goes behind", first, second)
		}
		for l.used > 0 || len(a.waiting) > 0 {
			r := a
			switch {
			case a.held > 0:
			case b.held > 0:
				r = b
			default:
				r = l.small
			}
			l.give(r, 0)
			synctest.Wait()
		}
	})
}

func TestLanes_when_takers_give_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, time.Now, func(int) {})
		r := &rider{large: true}
		_ = l.take(t.Context(), l.small)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan string, 10)
		for i, who := range []*rider{r, l.small, r} {
			go func() {
				if l.take(ctx, who) != nil {
					failed <- fmt.Sprint(i)
				}
			}()
		}
		synctest.Wait()
		cancel()
		for range 3 {
			<-failed
		}
		l.give(l.small, 0)
		if l.used != 0 || l.large != 0 || len(l.riders) != 0 || len(l.small.waiting) != 0 {
			t.Errorf("left: %+v", l)
		}
		if err := l.take(t.Context(), r); err != nil || l.n != 1 {
			t.Error("with one lane, a large object takes it")
		}
	})
}
