package limit

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// flow takes chunks of n until the duration is over and returns how many units
// passed in each second.
func flow(ctx context.Context, take func(context.Context, int) error, n int, d time.Duration) []int64 {
	seconds := make([]int64, int(d/time.Second)+1)
	began := time.Now()
	for {
		if take(ctx, n) != nil {
			return seconds
		}
		i := int(time.Since(began) / time.Second)
		if i >= len(seconds)-1 {
			return seconds
		}
		seconds[i] += int64(n)
	}
}

func near(t *testing.T, what string, got, want, percent int64) {
	t.Helper()
	if math.Abs(float64(got-want)) > float64(want*percent)/100 {
		t.Errorf("%s: %d, not %d within %d%%", what, got, want, percent)
	}
}

func TestRates_when_bytes_are_limited(t *testing.T) {
	for _, c := range []struct {
		rate  int64
		chunk int
	}{{1 << 20, 32 << 10}, {100_000, 1000}, {50 << 20, 64 << 10}, {1000, 1}} {
		synctest.Test(t, func(t *testing.T) {
			r := NewRates(Rate{PerSecond: c.rate}, Rate{}, nil)
			for i, n := range flow(t.Context(), r.Bytes, c.chunk, 5*time.Second)[:5] {
				near(t, "bytes of a second", n, c.rate, 4)
				if i == 0 && n > c.rate*104/100 {
					t.Errorf("a burst of %d at %d per second", n, c.rate)
				}
			}
		})
	}
}

func TestRates_when_nobody_asked_for_long(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(Rate{PerSecond: 1 << 20}, Rate{PerSecond: 10}, nil)
		_ = r.Bytes(t.Context(), 1)
		<-time.After(time.Hour)
		near(t, "bytes after an hour's rest", flow(t.Context(), r.Bytes, 1024, time.Second)[0], 1<<20, 4)
		began := time.Now()
		for range 11 {
			_ = r.Request(t.Context())
		}
		if d := time.Since(began); d < 900*time.Millisecond || d > 1100*time.Millisecond {
			t.Errorf("11 requests at 10 per second took %v", d)
		}
	})
}

func TestRates_when_large_and_small_wait_together(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(Rate{PerSecond: 1 << 20}, Rate{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var took [8]int64
		for i := range took {
			go func() {
				for n := 16 << 10; r.Bytes(ctx, n) == nil; {
					took[i] += int64(n)
				}
			}()
		}
		small := 0
		for r.Bytes(ctx, 100) == nil {
			small++
		}
		synctest.Wait()
		for i, n := range took {
			near(t, "share of taker "+string(rune('0'+i)), n, 10<<20/8, 8)
		}
		if small < 75 { // each round of the others is 128 KiB
			t.Errorf("the small taker passed %d times in 10 s", small)
		}
	})
}

func TestRates_when_changed_while_one_waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(Rate{}, Rate{PerSecond: 1}, nil)
		began := time.Now()
		go func() {
			<-time.After(2500 * time.Millisecond)
			r.Set(Rate{}, Rate{PerSecond: 100})
		}()
		for range 103 {
			_ = r.Request(t.Context())
		}
		if d := time.Since(began); d < 3300*time.Millisecond || d > 3700*time.Millisecond {
			t.Errorf("took %v: 3 at 1 per second, 100 at 100", d)
		}
		r.Set(Rate{}, Rate{})
		began = time.Now()
		for range 1000 {
			_ = r.Request(t.Context())
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("without a limit: %v", d)
		}
	})
}

func TestRates_when_the_time_table_says_so(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, err := ParseHours("00:00-00:01")
		if err != nil {
			t.Fatal(err)
		}
		// The clock of a bubble begins at midnight.
		now := func() time.Time { return time.Now().UTC() }
		r := NewRates(Rate{PerSecond: 5 << 20, Hours: []Hours{{from, to, 1 << 20}}}, Rate{}, now)
		seconds := flow(t.Context(), r.Bytes, 4096, 62*time.Second)
		near(t, "in its hours", seconds[58], 1<<20, 4)
		near(t, "after them", seconds[61], 5<<20, 4)
	})
}

func TestRates_when_takers_give_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(Rate{}, Rate{PerSecond: 1}, nil)
		for range 2 {
			_ = r.Request(t.Context())
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := 0
		for range 10 {
			go func() {
				if errors.Is(r.Request(ctx), context.Canceled) {
					failed++
				}
			}()
			synctest.Wait()
		}
		began := time.Now()
		done := make(chan struct{})
		go func() { defer close(done); _ = r.Request(t.Context()) }()
		synctest.Wait()
		cancel()
		<-done
		if d := time.Since(began); d > time.Second || failed != 10 {
			t.Errorf("%d gave up; the one behind them waited %v", failed, d)
		}
		if r.requests.held || len(r.requests.waiting) > 0 {
			t.Error("somebody still holds the gate")
		}
	})
}

func TestParseHours_when_written_so(t *testing.T) {
	for text, want := range map[string]Hours{
		"08:00-18:00": {From: 8 * time.Hour, To: 18 * time.Hour},
		"22:30-06:00": {From: 22*time.Hour + 30*time.Minute, To: 6 * time.Hour},
		"18:00-24:00": {From: 18 * time.Hour, To: 24 * time.Hour},
	} {
		from, to, err := ParseHours(text)
		if err != nil || from != want.From || to != want.To {
			t.Errorf("%s: %v %v %v", text, from, to, err)
		}
	}
	for _, text := range []string{"", "8", "08:00", "08:00-", "25:00-26:00", "08:00-08:00", "24:00-08:00", "a-b"} {
		if _, _, err := ParseHours(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	night := Rate{PerSecond: 1, Hours: []Hours{{22 * time.Hour, 6 * time.Hour, 9}}}
	for hour, want := range map[int]int64{21: 1, 22: 9, 0: 9, 5: 9, 6: 1} {
		if got := night.at(time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("at %d: %d, not %d", hour, got, want)
		}
	}
}
