package watch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func newFilesTest() (*Files, *clock) {
	c := &clock{t: time.Unix(1_700_000_000, 0)}
	return NewFiles(Options{Job: "media", Mode: "files", Now: c.now}), c
}

// simObjects moves objects one after another: each costs perObject, and its bytes
// at perByte. at is called each second with what a Snapshot says and the two terms
// of one-term models, seconds per byte and per object so far.
func simObjects(f *Files, c *clock, sizes []int64, perObject, perByte float64, at func(second int, p Progress)) (end float64) {
	var total int64
	for _, s := range sizes {
		total += s
	}
	f.Round(1)
	f.Ranges(1)
	f.Listed(len(sizes), total)
	f.AllRanges()
	f.RangeListed()
	second, budget := 0, 1.0
	step := func() {
		c.add(time.Second)
		second++
		budget = 1
		at(second, f.Snapshot())
	}
	for _, size := range sizes {
		f.Flying(1, size)
		for cost := perObject; cost > 0; {
			used := min(cost, budget)
			if cost, budget = cost-used, budget-used; budget <= 0 {
				step()
			}
		}
		for left := float64(size); left > 0; {
			n := min(left, budget/perByte)
			f.Sent(int(n))
			if left, budget = left-n, budget-n*perByte; budget <= 1e-9 {
				step()
			}
			if left < 1 {
				left = 0
			}
		}
		f.Flying(-1, -size)
		f.Ended(stateCopied, 1, size)
	}
	return float64(second) + 1 - budget
}

// TestLeft_when_objects_are_small_and_large holds predicted ends against what came,
// for objects whose sizes span five powers of ten, in three orders, and compares
// with reckoning by bytes or by objects alone.
func TestLeft_when_objects_are_small_and_large(t *testing.T) {
	up := func(a, b int64) int { return int(min(1, max(-1, a-b))) }
	for _, order := range []struct {
		name  string
		most  float64 // the error factor that is still good
		speed float64 // bytes a second
		sort  func(a, b int64) int
	}{
		{"small first", 1.5, 20e6, up}, // what the prior says is about right
		{"small first, fast network", 4.5, 250e6, up},
		{"small first, slow network", 4.5, 2e6, up},
		{"mixed", 1.1, 20e6, nil},
		{"large first", 1.3, 20e6, func(a, b int64) int { return up(b, a) }},
	} {
		r := rand.New(rand.NewPCG(7, 7))
		sizes := make([]int64, 60_000)
		for i := range sizes {
			sizes[i] = int64(math.Exp(math.Log(20e3) + 2.2*r.NormFloat64()))
		}
		if order.sort != nil {
			slices.SortFunc(sizes, order.sort)
		}
		type saying struct{ at, two, bytes, objects float64 }
		var said []saying
		f, c := newFilesTest()
		end := simObjects(f, c, sizes, 8e-3, 1/order.speed, func(second int, p Progress) {
			if p.Rows.Percent != nil && *p.Rows.Percent >= 100 && p.Files.Left.Objects > 0 {
				t.Fatalf("100 %% with %d objects left", p.Files.Left.Objects)
			}
			if p.Left == nil || p.Files.Copied.Bytes == 0 {
				return
			}
			if p.Left.Low > p.Left.Seconds || p.Left.High < p.Left.Seconds {
				t.Fatalf("%+v", p.Left)
			}
			now, o := float64(second), p.Files
			said = append(said, saying{now, p.Left.Seconds, now * float64(o.Left.Bytes) / float64(o.Copied.Bytes), now * float64(o.Left.Objects) / float64(o.Copied.Objects)})
		})
		var two, bytes, objects, n float64
		for _, s := range said {
			if left := end - s.at; left > 0.05*end {
				two, bytes, objects = two+math.Abs(math.Log(s.two/left)), bytes+math.Abs(math.Log(s.bytes/left)), objects+math.Abs(math.Log(s.objects/left))
				n++
			}
		}
		if n < 100 {
			t.Fatalf("%s: only %v predictions in %v s", order.name, n, end)
		}
		two, bytes, objects = math.Exp(two/n), math.Exp(bytes/n), math.Exp(objects/n)
		t.Logf("%s: %.0f s; error factor: two terms %.2f, bytes %.2f, objects %.2f", order.name, end, two, bytes, objects)
		if two > order.most || two > 1.05*min(bytes, objects) {
			t.Errorf("%s: two terms are off by %.2f", order.name, two)
		}
	}
}

func TestFiles_when_listing_goes_on(t *testing.T) {
	f, c := newFilesTest()
	if p := f.Snapshot(); p.Phase != Starting || p.Files.Round != 0 || p.Rows.Percent != nil {
		t.Errorf("%+v", p)
	}
	f.Round(1)
	f.Ranges(3)
	f.RangeListed()
	f.Listed(1000, 5000)
	for range 100 {
		f.Flying(1, 5)
		f.Sent(5)
		c.add(time.Second)
		f.Flying(-1, -5)
		f.Ended(stateCopied, 1, 5)
	}
	f.Ended(stateSame, 300, 1500)
	f.Listed(7, 70) // to be deleted in the target
	f.Ended(stateDeleted, 7, 70)
	p := f.Snapshot()
	if o := p.Files; p.Phase != Listing || o.ListedAll || p.Left != nil || p.Rows.Percent != nil || p.Rows.Kind != Growing ||
		o.Left != (Ended{600, 3000}) || o.Copied != (Ended{100, 500}) || o.Rate == nil || math.Abs(*o.Rate-1) > 0.02 || o.RangesListed != 1 || o.Ranges != 3 {
		t.Errorf("%+v %+v", p, p.Files)
	}
	f.AllRanges()
	f.RangeListed()
	f.RangeListed()
	p = f.Snapshot()
	if p.Phase != Copying || !p.Files.ListedAll || p.Left == nil || math.Abs(p.Left.Seconds-600) > 20 || p.Rows.Percent == nil || math.Abs(*p.Rows.Percent-100.0/7) > 1 {
		t.Errorf("%+v left %+v", p, p.Left)
	}
	f.Ended(stateCopied, 600, 3000)
	if p = f.Snapshot(); p.Rows.Percent == nil || *p.Rows.Percent != 100 || p.Left != nil {
		t.Errorf("at the end: %+v", p)
	}
	f.Round(2)
	if o := f.Snapshot().Files; o.Round != 2 || o.Copied.Objects != 0 || o.ListedAll || o.Listed.Objects != 0 {
		t.Errorf("the next round begins with %+v", o)
	}
}

func TestFiles_when_it_stalls_or_one_object_is_large(t *testing.T) {
	f, c := newFilesTest()
	f.Round(1)
	f.Ranges(1)
	f.AllRanges()
	f.RangeListed()
	f.Listed(1, 1000<<20)
	f.Flying(1, 1000<<20)
	for range 100 {
		f.Sent(1 << 20)
		c.add(time.Second)
		f.Snapshot()
	}
	p := f.Snapshot()
	if p.Left == nil || math.Abs(p.Left.Seconds-900) > 30 || math.Abs(*p.Rows.Percent-10) > 1 {
		t.Errorf("one large object: %+v %+v", p.Left, p.Rows)
	}
	for range 300 {
		c.add(time.Second)
		f.Snapshot()
	}
	if p := f.Snapshot(); p.Left != nil {
		t.Errorf("a stalled run tells an end: %+v", p.Left)
	}
}
