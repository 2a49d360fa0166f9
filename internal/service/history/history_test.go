package history

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

// rig is a keeper with a clock that the test sets.
type rig struct {
	*Keeper
	at time.Time
}

func newRig() *rig {
	r := &rig{at: time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)}
	r.Keeper = New(func() time.Time { return r.at })
	return r
}

func num(v float64) *float64 { return &v }

// progress is one whose series are all v.
func progress(v float64) *watch.Progress {
	return &watch.Progress{
		Rate: num(v), ByteRate: num(v), Memory: watch.Memory{Used: int64(v)},
		Changes: &watch.Changes{Rate: num(v), Lag: watch.Lag{Seconds: num(v)}},
		Sinks:   []watch.Sink{{Queue: int64(v)}},
	}
}

// values are those of one series; NaN: no sample.
func (r *rig) values(t *testing.T, span string, series int) []float64 {
	t.Helper()
	h, err := r.Of("j", span)
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for _, v := range h.Series[series].Values {
		if v == nil {
			out = append(out, math.NaN())
		} else {
			out = append(out, float64(*v))
		}
	}
	return out
}

// tail compares the last values of a series with want; -1 stands for no sample.
func (r *rig) tail(t *testing.T, span string, series int, want ...float64) {
	t.Helper()
	got := r.values(t, span, series)
	got = got[len(got)-len(want):]
	for i := range want {
		if w := want[i]; w == -1 && !math.IsNaN(got[i]) || w != -1 && got[i] != w {
			t.Fatalf("%s of %s: got %v, want %v", catalogue[series].name, span, got, want)
		}
	}
}

func TestOf_when_sampled_each_second(t *testing.T) {
	r := newRig()
	for i := range 1000 {
		r.Sample("j", progress(float64(i+1)))
		r.at = r.at.Add(time.Second)
	}
	h, err := r.Of("j", "")
	if err != nil || h.StepS != 1 || len(h.Series) != 6 || !h.From.Equal(r.at.Add(-900*time.Second)) {
		t.Fatalf("%v %v %v", h.StepS, h.From, err)
	}
	for i, s := range h.Series {
		if s.Name != catalogue[i].name || len(s.Values) != 900 || *s.Values[0] != 101 || *s.Values[899] != 1000 {
			t.Errorf("%s: %v … %v", s.Name, *s.Values[0], *s.Values[899])
		}
	}
	// 1000 s are 66 whole steps of 15 s and 10 s of the next, in which 991 to 1000 were seen.
	r.tail(t, "6h", rows, 968, 983, 995.5)
	r.tail(t, "6h", lag, 975, 990, 1000)
	r.tail(t, "6h", memory, 975, 990, 1000)
	r.tail(t, "7d", queue, -1, 150.5, 450.5, 750.5, 950.5)
	r.tail(t, "7d", lag, -1, 300, 600, 900, 1000)
}

func TestOf_when_nothing_was_sampled(t *testing.T) {
	r := newRig()
	r.tail(t, "15m", rows, -1, -1, -1)
	for i := range 12 { // as it is at the end of a step, and in it
		r.at = r.at.Add(250 * time.Millisecond)
		if i%4 == 0 && i != 4 {
			r.Sample("j", progress(7))
		}
	}
	// 0.25 s, then nothing in the next second, then 2.25 s
	r.tail(t, "15m", lag, -1, 7, -1, 7)
	r.at = r.at.Add(2 * time.Second)
	r.tail(t, "15m", lag, 7, -1, -1, -1)
	if got := r.values(t, "15m", lag); len(got) != 900 {
		t.Errorf("%d values", len(got))
	}
	text, err := json.Marshal(must(r.Of("j", "7d")))
	if err != nil || !strings.Contains(string(text), "null,7]") || strings.Contains(string(text), "0,7]") {
		t.Errorf("%.300s, %v", text, err)
	}
}

func must(h api.History, err error) api.History {
	if err != nil {
		panic(err)
	}
	return h
}

func TestOf_when_the_span_is_none(t *testing.T) {
	if _, err := newRig().Of("j", "1h"); !fault.Has(err, fault.BadRequest) {
		t.Fatal(err)
	}
}

// A ticker fires a little early and a little late. That is no gap; a second without
// a sample is one.
func TestSample_when_the_ticker_wavers(t *testing.T) {
	r := newRig()
	start := r.at
	for _, ms := range []int{2000, 3001, 3999, 5001, 5998, 8001} {
		r.at = start.Add(time.Duration(ms) * time.Millisecond)
		r.Sample("j", progress(float64(ms)))
	}
	// 3001 and 3999 are in one second; 5001 stands for second 4 as well; seconds 6 and 7 are missed.
	r.tail(t, "15m", lag, 2000, 3999, 5001, 5998, -1, -1, 8001)
	r.tail(t, "15m", rows, 2000, 3500, 5001, 5499.5, -1, -1, 8001)
}

func TestSample_when_little_is_known(t *testing.T) {
	r := newRig()
	r.Sample("j", nil)
	r.Sample("j", &watch.Progress{Rate: num(math.NaN()), ByteRate: num(1e300), Changes: &watch.Changes{}})
	for i := range seriesCount {
		r.tail(t, "15m", i, -1)
	}
	r.Sample("j", &watch.Progress{Rate: num(0), Changes: &watch.Changes{Lag: watch.Lag{Seconds: num(0)}}})
	r.tail(t, "15m", rows, 0)
	r.tail(t, "15m", lag, 0)
	r.tail(t, "15m", changes, -1)
	if _, err := json.Marshal(must(r.Of("j", ""))); err != nil {
		t.Error(err)
	}
}

func TestSample_when_the_progress_was_seen_before(t *testing.T) {
	r := newRig()
	p := progress(5)
	p.Sampled = r.at
	for range 3 {
		r.Sample("j", p)
		r.at = r.at.Add(time.Second)
	}
	r.tail(t, "15m", rows, 5, -1, -1, -1)
}

func TestSample_when_of_files_and_many_sinks(t *testing.T) {
	r := newRig()
	r.Sample("j", &watch.Progress{Files: &watch.Objects{Rate: num(12)}, Sinks: []watch.Sink{{Queue: 3}, {Queue: 4}}})
	r.tail(t, "15m", rows, 12)
	r.tail(t, "15m", queue, 7)
}

func TestSample_when_the_clock_is_put_back_and_forth(t *testing.T) {
	r := newRig()
	each := func(from float64, n int) {
		for i := range n {
			r.Sample("j", progress(from+float64(i)))
			r.at = r.at.Add(time.Second)
		}
	}
	each(1, 5)
	r.at = r.at.Add(-2 * time.Second) // what came after is in the future, and gone
	each(10, 2)
	r.tail(t, "15m", rows, -1, 1, 2, 3, 7, 11) // second 3 was seen twice: 4 and 10
	r.at = r.at.Add(time.Hour)
	each(20, 2)
	r.tail(t, "15m", rows, -1, -1, 20, 21)
	r.at = r.at.Add(-time.Hour)
	each(30, 2)
	r.tail(t, "15m", rows, -1, -1, 30, 31)
	for _, at := range []time.Time{time.Unix(-1, 0), {}, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)} {
		r.at = at
		each(40, 3)
		r.tail(t, "15m", rows, 40, 41, 42)
	}
}

func TestSample_when_it_is_before_1970(t *testing.T) {
	r := newRig()
	for i := range 3 {
		r.at = time.Unix(int64(i-1), 0)
		r.Sample("j", progress(float64(i)))
	}
	r.tail(t, "6h", lag, -1, 0, 2) // a step ends at 1970
}

// TestSample_when_anything_happens_to_the_clock compares with a simple model: a map
// of seconds.
func TestSample_when_anything_happens_to_the_clock(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRig()
	model := map[int64]float64{}
	for i := range 5000 {
		switch random.IntN(40) {
		case 0:
			r.at = r.at.Add(time.Duration(2+random.IntN(1500)-1500*random.IntN(2)) * time.Second)
		case 1:
			r.at = r.at.Add(time.Duration(random.IntN(20)-20) * time.Second)
		default:
			r.at = r.at.Add(2 * time.Second) // too far apart to stand for what is between
		}
		at := r.at.Unix()
		v := float64(i)
		if old, again := model[at]; again { // both count
			v = (old + v) / 2
		}
		for s := range model {
			if s >= at || s <= at-900 {
				delete(model, s)
			}
		}
		model[at] = v
		before := r.values(t, "15m", rows)
		r.Sample("j", progress(float64(i)))
		got := r.values(t, "15m", rows)
		if len(got) != len(before) {
			t.Fatal("the length changes")
		}
		for n, v := range got {
			want, there := model[at-899+int64(n)]
			if there != !math.IsNaN(v) || there && want != v {
				t.Fatalf("step %d, second %d before now: got %v, want %v (%v)", i, 899-n, v, want, there)
			}
		}
	}
}

func TestKeeper_when_memory_is_counted(t *testing.T) {
	r := newRig()
	size := func() (n int) {
		h := r.past("j")
		n = int(unsafe.Sizeof(*h))
		for i := range h.tracks {
			n += len(h.tracks[i].blocks) * 8
			for _, b := range h.tracks[i].blocks {
				if b != nil {
					n += int(unsafe.Sizeof(*b))
				}
			}
		}
		return n
	}
	for range 30 {
		r.Sample("j", progress(1))
		r.at = r.at.Add(time.Second)
	}
	if n := size(); n > 6_000 {
		t.Errorf("%d bytes after half a minute", n)
	}
	for range 8 * 24 * 60 * 6 { // eight days, each 10 s
		r.Sample("j", progress(1))
		r.at = r.at.Add(10 * time.Second)
	}
	for range 900 {
		r.Sample("j", progress(1))
		r.at = r.at.Add(time.Second)
	}
	if n := size(); n < 100_000 || n > 107_000 {
		t.Errorf("%d bytes after a week", n)
	}
	p := progress(1)
	if n := testing.AllocsPerRun(100, func() { r.Sample("j", p) }); n > 0 {
		t.Errorf("%v allocations a sample", n)
	}
}

func TestForget_when_it_is_sampled_again(t *testing.T) {
	r := newRig()
	r.Sample("j", progress(1))
	r.Sample("k", progress(1))
	r.Forget("j")
	r.Forget("never seen")
	r.tail(t, "15m", rows, -1)
	r.Sample("j", progress(2))
	r.tail(t, "15m", rows, 2)
	if len(r.jobs) != 2 {
		t.Error(len(r.jobs))
	}
}

func TestKeeper_when_many_use_it(t *testing.T) {
	k := New(nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				job := fmt.Sprint("j", n%3)
				k.Sample(job, progress(float64(n)))
				if _, err := k.Of(job, "6h"); err != nil {
					t.Error(err)
				}
				if i == 0 && n%50 == 0 {
					k.Forget(job)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkSample(b *testing.B) {
	r, p := newRig(), progress(1)
	b.ReportAllocs()
	for b.Loop() {
		r.at = r.at.Add(time.Second)
		r.Sample("j", p)
	}
}
