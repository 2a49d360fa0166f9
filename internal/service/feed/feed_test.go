package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follow is a follower whose happenings are kept as texts.
type follow struct {
	mu   sync.Mutex
	seen []string
	ids  []uint64
	end  chan error
	stop context.CancelFunc
}

// start lets a follower follow; it waits for gate before each happening, if there is
// one.
func start(t *testing.T, h *Hub, after uint64, job string, gate chan struct{}) *follow {
	ctx, stop := context.WithCancel(t.Context())
	f := &follow{end: make(chan error, 1), stop: stop}
	go func() {
		f.end <- h.Follow(ctx, after, job, func(id uint64, typ, job string, data any) error {
			if gate != nil {
				<-gate
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.seen = append(f.seen, fmt.Sprint(typ, " ", job, " ", data))
			f.ids = append(f.ids, id)
			return nil
		})
	}()
	synctest.Wait()
	return f
}

// took compares what was seen since took was called last.
func (f *follow) took(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.seen, want) {
		t.Fatalf("got %q\nwant %q", f.seen, want)
	}
	f.seen = nil
	for i := 1; i < len(f.ids); i++ {
		if f.ids[i] <= f.ids[i-1] {
			t.Fatalf("ids do not rise: %v", f.ids)
		}
	}
}

func (f *follow) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids[len(f.ids)-1]
}

func TestFollow_when_things_happen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		h.Tell("alarm", "a", "before")
		all, one := start(t, h, 0, "", nil), start(t, h, 0, "b", nil)
		h.Tell("alarm", "a", 1)
		h.Tell("audit", "", 2)
		h.Tell("alarm", "b", 3)
		all.took(t, "alarm a 1", "audit  2", "alarm b 3")
		one.took(t, "alarm b 3")
		back := start(t, h, all.ids[0], "", nil)
		back.took(t, "audit  2", "alarm b 3")
		nothing := start(t, h, all.last(), "", nil)
		nothing.took(t)
		h.Close()
		h.Close()
		for _, f := range []*follow{all, one, back, nothing} {
			if err := <-f.end; !fault.Has(err, fault.ServerGone) {
				t.Error(err)
			}
		}
		h.Tell("alarm", "a", 4)
		h.Tell(Job, "a", 4)
		if err := h.Follow(t.Context(), 0, "", nil); !fault.Has(err, fault.ServerGone) {
			t.Error(err)
		}
	})
}

func TestFollow_when_it_ends_by_itself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		defer h.Close()
		f := start(t, h, 0, "", nil)
		f.stop()
		if err := <-f.end; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		broken := errors.New("the line is cut")
		first := h.newest()
		h.Tell("alarm", "a", 1)
		h.Tell("alarm", "a", 2)
		calls := 0
		err := h.Follow(t.Context(), first, "", func(uint64, string, string, any) error { calls++; return broken })
		if err != broken || calls != 1 {
			t.Error(err, calls)
		}
	})
}

func TestTell_when_a_job_changes_often(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		defer h.Close()
		f := start(t, h, 0, "", nil)
		begin, times := time.Now(), 0
		for i := range 100 { // 10 s, ten times a second
			h.Tell(Job, "a", i)
			if i%2 == 0 {
				h.Tell(Job, "b", i)
			}
			<-time.After(100 * time.Millisecond)
			synctest.Wait()
			f.mu.Lock()
			if n := len(f.seen); n > 0 {
				times++
				if want := []string{fmt.Sprint("job a ", i), fmt.Sprint("job b ", i-i%2)}; !slices.Equal(f.seen, want) {
					t.Errorf("at %s: %q, want %q", time.Since(begin), f.seen, want)
				}
				f.seen = nil
			}
			f.mu.Unlock()
		}
		if times < 8 || times > 10 {
			t.Errorf("told %d times in 10 s", times)
		}
	})
}

func TestTellNow_when_a_change_is_pending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		defer h.Close()
		f := start(t, h, 0, "", nil)
		h.Tell(Job, "a", "running, 1")
		h.Tell(Job, "b", "running, 1")
		h.TellNow(Job, "a", "paused")
		f.took(t, "job a paused") // at once, and what is older never
		h.Tell(Gone, "b", nil)
		f.took(t, "gone b <nil>")
		<-time.After(2 * calm)
		f.took(t)
		h.TellNow(Job, "a", "running")
		h.Tell(Job, "a", "running, 2")
		f.took(t, "job a running")
		<-time.After(2 * calm)
		f.took(t, "job a running, 2")
	})
}

func TestFollow_when_the_id_is_not_known(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		earlier := New(func() time.Time { return time.Now().Add(-time.Millisecond) })
		for range 1000 {
			earlier.Tell("alarm", "a", 0)
		}
		old := earlier.newest()
		earlier.Close()
		h := New(nil)
		defer h.Close()
		first := h.newest()
		if old >= first || first >= 1<<53 {
			t.Fatalf("ids of an earlier process: %d, of this one: %d", old, first)
		}
		for _, after := range []uint64{first + 1, 1, old, first - 1, 1 << 63} {
			f := start(t, h, after, "a", nil)
			f.took(t, "reset  <nil>")
			// Who was away goes on behind the reset and misses nothing.
			back := start(t, h, f.last(), "", nil)
			back.took(t)
			h.Tell("alarm", "a", after)
			f.took(t, fmt.Sprint("alarm a ", after))
			back.took(t, fmt.Sprint("alarm a ", after))
			first = h.newest()
			f.stop()
			back.stop()
		}
		for i := range ringSize {
			h.Tell("alarm", "a", i)
		}
		all := start(t, h, first, "", nil) // just what the ring holds
		synctest.Wait()
		if len(all.seen) != ringSize || all.seen[0] != "alarm a 0" {
			t.Fatalf("%d happenings, first %q", len(all.seen), all.seen[0])
		}
		h.Tell("alarm", "a", "one more")
		late := start(t, h, first, "", nil)
		late.took(t, "reset  <nil>")
		if late.last() != h.newest() {
			t.Error(late.last(), h.newest())
		}
		all.stop()
		late.stop()
	})
}

func TestFollow_when_overtaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		defer h.Close()
		gate := make(chan struct{})
		slow, quick := start(t, h, 0, "", gate), start(t, h, 0, "", nil)
		h.Tell("alarm", "a", "first")
		synctest.Wait() // slow is at it and does not go on
		for i := range 3 * ringSize {
			h.Tell("alarm", "a", i)
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if n := len(quick.seen); n != 1+3*ringSize {
			t.Errorf("the quick one saw %d", n)
		}
		close(gate)
		slow.took(t, "alarm a first", "reset  <nil>")
		h.Tell("alarm", "a", "last")
		slow.took(t, "alarm a last")
		slow.stop()
		quick.stop()
	})
}

func TestTell_when_there_are_more_jobs_than_places(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		defer h.Close()
		f := start(t, h, 0, "", nil)
		const jobs = 3 * ringSize
		for i := range jobs {
			h.Tell(Job, fmt.Sprint(i), 1)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		told := map[string]bool{}
		for _, s := range f.seen {
			told[s] = true
		}
		if len(told) != jobs || told["reset  <nil>"] {
			t.Errorf("%d of %d jobs told", len(told), jobs)
		}
	})
}

func TestTell_when_many_tell_and_follow(t *testing.T) {
	h := New(nil)
	var followers, tellers sync.WaitGroup
	for i := range 20 {
		followers.Go(func() {
			var last uint64
			err := h.Follow(t.Context(), uint64(i%2), "", func(id uint64, _, _ string, _ any) error {
				if id <= last {
					t.Errorf("%d after %d", id, last)
				}
				last = id
				return nil
			})
			if !fault.Has(err, fault.ServerGone) {
				t.Error(err)
			}
		})
	}
	for i := range 4 {
		tellers.Go(func() {
			for n := range 5000 {
				switch n % 3 {
				case 0:
					h.Tell(Job, fmt.Sprint(i), n)
				case 1:
					h.TellNow(Job, fmt.Sprint(i), n)
				default:
					h.Tell("audit", "", n)
				}
			}
		})
	}
	tellers.Wait()
	h.Close()
	followers.Wait()
}

// BenchmarkSecond is what a second of 500 jobs costs with 200 followers.
func BenchmarkSecond(b *testing.B) {
	h := New(nil)
	var all sync.WaitGroup
	var seen atomic.Int64
	const followers, jobs = 200, 500
	for range followers {
		all.Go(func() {
			_ = h.Follow(context.Background(), 0, "", func(uint64, string, string, any) error { seen.Add(1); return nil })
		})
	}
	names := make([]string, jobs)
	for i := range names {
		names[i] = fmt.Sprint("job-", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, name := range names {
			h.Tell(Job, name, name)
		}
		h.release()
	}
	h.Close()
	all.Wait()
	b.ReportMetric(float64(seen.Load())/float64(b.N), "seen/op")
}

func TestTellNow_when_something_else_of_the_job_waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		defer h.Close()
		f := start(t, h, 0, "", nil)
		h.Tell(Job, "a", 1)
		h.TellNow("audit", "a", 2)
		f.took(t, "audit a 2")
		<-time.After(calm)
		f.took(t, "job a 1")
		h.Tell(Job, "a", 3)
		h.TellNow(Gone, "a", 4)
		<-time.After(calm)
		f.took(t, "gone a 4")
		f.stop()
		<-f.end
	})
}
