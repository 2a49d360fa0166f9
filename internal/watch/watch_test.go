package watch

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/position"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newTest(parallel int) (*Job, *clock) {
	c := &clock{t: time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)}
	return New(Options{Job: "j", Mode: "snapshot_and_changes", Now: c.now, Parallel: parallel}), c
}

func at(order string) position.Position { return position.New("log", order, "place "+order) }

// near says whether got is want within a share.
func near(got *float64, want, share float64) bool {
	return got != nil && math.Abs(*got-want) <= share*math.Abs(want)
}

func show(p *float64) string {
	if p == nil {
		return "none"
	}
	return fmt.Sprint(*p)
}

// steady reads rows of a table for some seconds at rowsPerSecond of 100 bytes.
func steady(j *Job, c *clock, table string, seconds, rowsPerSecond int) {
	for range seconds {
		c.add(time.Second)
		j.Rows(table, rowsPerSecond, int64(rowsPerSecond*100))
	}
}

func TestWindow_when_time_goes_by(t *testing.T) {
	for elapsed, want := range map[time.Duration]time.Duration{0: 120 * time.Second, time.Minute: 120 * time.Second, 8 * time.Minute: 120 * time.Second, time.Hour: 15 * time.Minute, 24 * time.Hour: 6 * time.Hour} {
		if got := window(elapsed); got != want {
			t.Errorf("after %v: %v, want %v", elapsed, got, want)
		}
	}
}

func TestRate_when_it_changes(t *testing.T) {
	j, c := newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("a", 1_000_000, 100_000_000, 10)
	steady(j, c, "a", 60, 1000)
	if p := j.Snapshot(); !near(p.Rate, 1000, 0.02) || !near(p.ByteRate, 100_000, 0.02) {
		t.Errorf("rate %s, bytes %s", show(p.Rate), show(p.ByteRate))
	}
	steady(j, c, "a", 120, 100) // the window has these only
	if p := j.Snapshot(); !near(p.Rate, 100, 0.05) {
		t.Errorf("rate after a window %s", show(p.Rate))
	}
	c.add(120 * time.Second) // a stall
	if p := j.Snapshot(); !near(p.Rate, 0, 0) && *p.Rate > 1 {
		t.Errorf("rate of a stall %s", show(p.Rate))
	}
	// An hour later the window is a quarter of it.
	steady(j, c, "a", 3300, 100)
	steady(j, c, "a", 450, 300)
	if p := j.Snapshot(); !near(p.Rate, 100+200*450/1000.0, 0.1) {
		t.Errorf("rate over a quarter of the time %s", show(p.Rate))
	}
}

func TestHistory_when_a_run_is_long(t *testing.T) {
	start := time.Unix(0, 0)
	h := newHistory(start, 1)
	for s := 1; s <= 10*86400; s += 1 {
		now := start.Add(time.Duration(s) * time.Second)
		if h.due(now) {
			h.add(now, []float64{float64(s) * 7})
		}
	}
	if n := len(h.samples); n > 3000 {
		t.Errorf("%d samples kept", n)
	}
	if r := h.rate(start.Add(10*86400*time.Second), 0, 10*86400*7, 60*time.Hour); math.Abs(r-7) > 0.01 {
		t.Errorf("rate %v", r)
	}
}

// A history that leaves out what does not rise says the same as one that keeps all.
func TestHistory_when_it_rests(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	start := time.Unix(0, 0)
	h, all := newHistory(start, 2), newHistory(start, 2)
	a, b, moves := 0.0, 0.0, true
	for s := 1; s <= 600; s++ {
		now := start.Add(time.Duration(s) * time.Second)
		if r.IntN(40) == 0 {
			moves = !moves
		}
		if moves {
			a, b = a+float64(r.IntN(3)), b+float64(r.IntN(2))
		}
		h.add(now, []float64{a, b})
		all.samples = append(all.samples, sample{now, []float64{a, b}})
		for range 5 {
			back := now.Add(-time.Duration(r.Int64N(int64(min(now.Sub(start), stageWindow)))))
			if i := r.IntN(2); math.Abs(h.at(back, i)-all.at(back, i)) > 1e-9 {
				t.Fatalf("at %v of %v counter %d is %v, not %v", back.Sub(start), now.Sub(start), i, h.at(back, i), all.at(back, i))
			}
		}
	}
	still := newHistory(start, 2)
	for s := 1; s <= 86400; s++ {
		still.add(start.Add(time.Duration(s)*time.Second), []float64{a, b})
	}
	if n := len(still.samples); n > 3 {
		t.Errorf("%d samples of a day of nothing", n)
	}
}

// A sink that is stuck falls behind, however long nothing of it has moved.
func TestFollow_when_a_sink_is_stuck(t *testing.T) {
	j, k := newTest(1)
	j.Phase(Stream)
	j.Retention(7*24*time.Hour, time.Hour)
	j.Committed("s", 10, at("5"), k.now().UnixMicro())
	for range 1800 {
		k.add(time.Second)
		j.Streamed(0, 0, at("5"))
		j.Head(at("9"), 1000, k.now())
		j.Snapshot()
	}
	if p := j.Snapshot(); !near(p.Changes.Falling, 60, 0.01) || !near(p.Changes.Lag.Seconds, 1800, 0.01) {
		t.Errorf("falling %s s a minute, lag %s s", show(p.Changes.Falling), show(p.Changes.Lag.Seconds))
	}
}

func TestResidentWithin_when_many_ask(t *testing.T) {
	c := &clock{t: time.Unix(1000, 0)}
	f := ResidentWithin(time.Second, c.now)
	first := f()
	if first <= 0 {
		t.Fatal(first)
	}
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = byte(i)
	}
	if n := f(); n != first {
		t.Errorf("%d was measured again", n)
	}
	c.add(time.Second)
	if n := f(); n < first+32<<20 {
		t.Errorf("%d after %d, and 64 MiB more", n, first)
	}
	runtime.KeepAlive(ballast)
}

func TestCount_when_totals_are_known_more_or_less(t *testing.T) {
	type step func(*Job)
	rows := func(n int) step { return func(j *Job) { j.Rows("a", n, int64(n)) } }
	chunk := func(n int64) step { return func(j *Job) { j.ChunkStarted("a"); j.ChunkDone("a", n) } }
	plan := func(n int64, chunks int) step { return func(j *Job) { j.TablePlanned("a", n, n*100, chunks) } }
	done := func(j *Job) { j.TableDone("a") }
	for _, c := range []struct {
		what  string
		steps []step
		want  string
	}{
		{"nothing read", []step{plan(1000, 10)}, "0/1000 estimate 0"},
		{"half", []step{plan(1000, 10), rows(500)}, "500/1000 estimate 50"},
		{"unknown", []step{plan(-1, 10), rows(500)}, "500/0 none -"},
		{"unknown, a chunk finished", []step{plan(-1, 10), rows(500), chunk(400)}, "500/4000 estimate 12.5"},
		{"chunks are twice as large", []step{plan(1000, 10), rows(1000), chunk(200), chunk(200), chunk(200), chunk(200), chunk(200)}, "1000/1812 estimate 55.188"},
		{"chunks are half as large", []step{plan(1000, 10), rows(250), chunk(50), chunk(50), chunk(50), chunk(50), chunk(50)}, "250/593 estimate 42.159"},
		{"more than estimated", []step{plan(1000, 1), rows(1310)}, "1310/1310 growing - of 1000"},
		{"all but done", []step{plan(1000, 1), rows(1000)}, "1000/1000 estimate 99.9"},
		{"done", []step{plan(1000, 1), rows(1310), chunk(1310), done}, "1310/1310 exact 100"},
		{"resumed", []step{plan(1000, 10), func(j *Job) { j.Resumed("a", 300, 3) }, rows(100)}, "400/1000 estimate 40"},
		{"a chunk read again", []step{plan(1000, 10), rows(100), func(j *Job) { j.ChunkStarted("a"); j.ChunkAgain("a", 60, 60) }}, "40/1000 estimate 4"},
		{"no tables", nil, "0/0 exact -"},
	} {
		j, _ := newTest(1)
		for _, s := range c.steps {
			s(j)
		}
		r := j.Snapshot().Rows
		got := fmt.Sprintf("%d/%d %s ", r.Done, r.Total, r.Kind)
		if r.Percent == nil {
			got += "-"
		} else {
			got += fmt.Sprintf("%.6g", *r.Percent)
		}
		if r.Estimated > 0 {
			got += fmt.Sprintf(" of %d", r.Estimated)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestLeft_when_it_is_too_early(t *testing.T) {
	j, c := newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("a", 10_000, 1_000_000, 1)
	j.ChunkStarted("a")
	steady(j, c, "a", 29, 10)
	if l := j.Snapshot().Left; l != nil {
		t.Errorf("an end after 29 s: %+v", l)
	}
	steady(j, c, "a", 2, 10)
	if l := j.Snapshot().Left; l == nil {
		t.Error("no end after 31 s and 3 %")
	}
	j, c = newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("a", 1_000_000, 100_000_000, 1)
	j.ChunkStarted("a")
	steady(j, c, "a", 60, 10)
	if l := j.Snapshot().Left; l != nil {
		t.Errorf("an end before 1 %%: %+v", l)
	}
}

func TestLeft_when_the_pace_is_steady(t *testing.T) {
	j, c := newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("a", 100_000, 10_000_000, 100)
	j.ChunkStarted("a")
	steady(j, c, "a", 250, 100)
	l := j.Snapshot().Left
	if l == nil || math.Abs(l.Seconds-750) > 8 || math.Abs(l.Low-675) > 8 || math.Abs(l.High-825) > 8 || l.Basis != "at this rate" {
		t.Errorf("%+v, want 750 (675 to 825)", l)
	}
}

func TestLeft_when_the_pace_changes(t *testing.T) {
	j, c := newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("a", 100_000, 10_000_000, 100)
	j.ChunkStarted("a")
	steady(j, c, "a", 200, 200)
	steady(j, c, "a", 120, 100)
	l := j.Snapshot().Left // 48,000 left, the last 120 s at 100, the average 162.5
	if l == nil || math.Abs(l.Seconds-480) > 10 || l.Low > 0.9*48000/162.5+5 || l.High < 1.1*480-10 {
		t.Errorf("%+v, want 480 (266 to 528)", l)
	}
	c.add(5 * time.Minute)
	if l := j.Snapshot().Left; l != nil {
		t.Errorf("an end while it stalls: %+v", l)
	}
}

func TestLeft_when_one_table_is_large(t *testing.T) {
	j, c := newTest(4)
	j.Phase(Snapshot)
	j.TablePlanned("big", 60_000, 6_000_000, 1) // no key: one reader
	for i := range 3 {
		name := fmt.Sprint("small", i)
		j.TablePlanned(name, 3000, 300_000, 3)
		j.ChunkStarted(name)
	}
	j.ChunkStarted("big")
	for range 30 {
		c.add(time.Second)
		j.Rows("big", 100, 10_000)
		for i := range 3 {
			j.Rows(fmt.Sprint("small", i), 100, 10_000)
		}
	}
	for i := range 3 {
		j.ChunkDone(fmt.Sprint("small", i), 3000)
		j.TableDone(fmt.Sprint("small", i))
	}
	p := j.Snapshot()
	// 57,000 rows at 100 a second by one reader: 570 s, however many readers.
	if p.Left == nil || p.Left.Seconds < 560 || p.Left.Seconds > 580 {
		t.Errorf("%+v, want 570", p.Left)
	}
}

func TestLeft_when_a_table_has_more_rows_than_estimated(t *testing.T) {
	j, c := newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("a", 1000, 100_000, 1)
	j.TablePlanned("b", 100_000, 100_000, 10)
	j.ChunkStarted("a")
	steady(j, c, "a", 60, 50)
	p := j.Snapshot()
	if p.Left != nil || p.Rows.Percent != nil || p.Rows.Kind != Growing {
		t.Errorf("left %+v, rows %+v", p.Left, p.Rows)
	}
}

// TestLeft_when_rows_are_of_unlike_size has a table of wide rows after one of
// narrow rows: rows alone would tell a tenth of the time.
func TestLeft_when_rows_are_of_unlike_size(t *testing.T) {
	j, c := newTest(1)
	j.Phase(Snapshot)
	j.TablePlanned("narrow", 6000, 600_000, 1)
	j.TablePlanned("wide", 6000, 6_000_000, 1)
	j.ChunkStarted("narrow")
	steady(j, c, "narrow", 60, 100)
	j.ChunkDone("narrow", 6000)
	j.TableDone("narrow")
	if l := j.Snapshot().Left; l == nil || math.Abs(l.Seconds-600) > 15 {
		t.Errorf("%+v, want 600", l)
	}
}

func TestLag_when_read(t *testing.T) {
	base := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	micro := func(d time.Duration) int64 { return base.Add(d).UnixMicro() }
	for _, c := range []struct {
		what  string
		steps func(j *Job, c *clock)
		want  string
	}{
		{"nothing committed", func(j *Job, c *clock) { j.Queue("s", 0, 1); j.Head(at("5"), 0, c.now()) }, "unknown none"},
		{"no head", func(j *Job, c *clock) { j.Committed("s", 1, at("5"), micro(0)) }, "unknown none"},
		{"at the head", func(j *Job, c *clock) { j.Committed("s", 1, at("5"), micro(-time.Hour)); j.Head(at("5"), 0, c.now()) }, "caught_up 0"},
		{"beyond the head", func(j *Job, c *clock) { j.Head(at("4"), 0, c.now()); j.Committed("s", 1, at("5"), micro(0)) }, "caught_up 0"},
		{"at a head of long ago", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(0))
			j.Head(at("5"), 0, c.now())
			c.add(11 * time.Second)
		}, "unknown none"},
		{"behind", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(-90*time.Second))
			j.Head(at("6"), 1, c.now())
		}, "behind 90"},
		{"behind, our clock ahead", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(-90*time.Second))
			j.Head(at("6"), 1, c.now().Add(-30*time.Second))
		}, "behind 60"},
		{"behind, our clock late", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(30*time.Second))
			j.Head(at("6"), 1, c.now().Add(40*time.Second))
		}, "behind 10"},
		{"behind, time unknown", func(j *Job, c *clock) { j.Committed("s", 1, at("5"), 0); j.Head(at("6"), 1, c.now()) }, "behind none"},
		{"another log", func(j *Job, c *clock) {
			j.Committed("s", 1, position.New("old", "9", ""), micro(0))
			j.Head(at("6"), 1, c.now())
		}, "unknown none"},
		{"a chunk after the stream", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(-90*time.Second))
			j.Committed("s", 100, position.Position{}, 0)
			j.Head(at("6"), 1, c.now())
		}, "behind 90"},
		{"behind after an hour of nothing", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(0))
			c.add(time.Hour)
			j.Head(at("5"), 0, c.now())
			c.add(9 * time.Second)
			j.Head(at("6"), 1, c.now())
		}, "behind 10"}, // that is 9, and the second that a head may be old
		{"behind, and at the head before another log", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(-90*time.Second))
			j.Head(position.New("old", "4", ""), 1, c.now())
			j.Head(at("6"), 1, c.now())
		}, "behind 90"},
		{"opened at the head", func(j *Job, c *clock) { j.Opened("s", at("5"), 0); j.Head(at("5"), 0, c.now()) }, "caught_up 0"},
		{"opened after a commit", func(j *Job, c *clock) {
			j.Committed("s", 1, at("5"), micro(0))
			j.Opened("s", at("3"), 0)
			j.Head(at("5"), 0, c.now())
		}, "caught_up 0"},
		{"two sinks", func(j *Job, c *clock) {
			j.Committed("r", 1, at("6"), micro(0))
			j.Committed("s", 1, at("5"), micro(-90*time.Second))
			j.Head(at("6"), 1, c.now())
		}, "behind 90"},
	} {
		j, k := newTest(1)
		c.steps(j, k)
		p := j.Snapshot()
		s := p.Sinks[len(p.Sinks)-1]
		if got := s.Lag.State + " " + show(s.Lag.Seconds); s.Name != "s" || got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		if p.Changes != nil && (p.Changes.Lag.State != s.Lag.State || p.Changes.Lag.Sink != "s") {
			t.Errorf("%s: the worst is %+v", c.what, p.Changes.Lag)
		}
	}
}

// TestFollow_when_behind lets the sink handle log seconds at some speed.
func TestFollow_when_behind(t *testing.T) {
	for _, c := range []struct {
		speed       float64
		catch, fall float64 // seconds, 0: none
		lost        float64
	}{
		{3, (400 - 240) / 2.0, 0, 0},
		{0.8, 0, 12, (167_400 - 424) / 0.2},
		{1, 0, 0, 0},
	} {
		j, k := newTest(1)
		j.Phase(Stream)
		j.Retention(167_400*time.Second, time.Hour)
		log := k.now().Add(-400 * time.Second)
		for range 120 {
			k.add(time.Second)
			log = log.Add(time.Duration(c.speed * float64(time.Second)))
			j.Streamed(10, 100, at("5"))
			j.Committed("s", 10, at("5"), log.UnixMicro())
			j.Head(at("9"), 1000, k.now())
		}
		p := j.Snapshot()
		check := func(what string, got *float64, want float64) {
			if want == 0 && got != nil || want != 0 && !near(got, want, 0.05) {
				t.Errorf("speed %v: %s %s, want %v", c.speed, what, show(got), want)
			}
		}
		check("catch up", p.Changes.CatchUp, c.catch)
		check("falling", p.Changes.Falling, c.fall)
		check("lost in", p.Changes.LostIn, c.lost)
	}
}

func TestBrake_when_stages_wait(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		what  string
		spend map[string][3]time.Duration // busy, blocked, waiting
		want  string
	}{
		{"the sink", map[string][3]time.Duration{"/source": {1, 9, 0}, "/decode": {2, 8, 0}, "pg/commit": {7, 0, 3}, "lake/commit": {1, 0, 9}}, "pg/commit 0.7"},
		{"the source reads", map[string][3]time.Duration{"/source": {9, 0, 1}, "/decode": {1, 0, 9}, "pg/commit": {1, 0, 9}}, "/source 0.9"},
		{"idle", map[string][3]time.Duration{"/source": {1, 0, 9}, "/decode": {1, 0, 9}, "pg/commit": {1, 0, 9}}, "none"},
		{"balanced low", map[string][3]time.Duration{"/source": {4, 3, 3}, "/decode": {4, 3, 3}}, "none"},
		{"nothing measured", nil, "none"},
		{"measured for less than a moment", map[string][3]time.Duration{"pg/commit": {1, 0, 0}}, "none"},
	} {
		j, k := newTest(1)
		for range 10 {
			for name, d := range c.spend {
				sink, stage, _ := strings.Cut(name, "/")
				j.Stage(sink, stage, d[0]*second/10, d[1]*second/10, d[2]*second/10)
			}
			k.add(second)
		}
		p := j.Snapshot()
		got := "none"
		if p.Brake != nil {
			got = fmt.Sprintf("%s/%s %.1f", p.Brake.Sink, p.Brake.Stage, p.Brake.Share)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		for _, s := range p.Stages {
			if sum := s.Busy + s.Blocked + s.Waiting; math.Abs(sum-1) > 1e-9 {
				t.Errorf("%s: %+v add up to %v", c.what, s, sum)
			}
		}
	}
}

func TestBrake_when_it_was_long_ago(t *testing.T) {
	j, k := newTest(1)
	for range 600 {
		j.Stage("a", "commit", time.Second, 0, 0)
		j.Stage("", "source", 0, time.Second, 0)
		k.add(time.Second)
		j.Streamed(1, 1, at("1"))
	}
	for range 400 {
		j.Stage("a", "commit", 0, 0, time.Second)
		j.Stage("", "source", time.Second, 0, 0)
		k.add(time.Second)
		j.Streamed(1, 1, at("1"))
	}
	if b := j.Snapshot().Brake; b == nil || b.Stage != "source" {
		t.Errorf("the brake of the last five minutes is %+v", b)
	}
}

func TestFirstRow_when_called_often(t *testing.T) {
	c := &clock{t: time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)}
	j := New(Options{Now: c.now, ProcessStart: c.now().Add(-20 * time.Millisecond)})
	if j.Snapshot().FirstRow != nil {
		t.Error("there was no row yet")
	}
	c.add(230*time.Millisecond + time.Microsecond)
	j.FirstRow()
	c.add(time.Second)
	j.FirstRow()
	if ms := j.Snapshot().FirstRow; ms == nil || *ms != 251 {
		t.Errorf("%v, want 251", ms)
	}
}

func TestSnapshot_when_tables_come_and_go(t *testing.T) {
	j, c := newTest(2)
	j.Began(3, "went on")
	j.Phase(Snapshot)
	for i := range 30 {
		name := fmt.Sprintf("t%02d", i)
		j.TablePlanned(name, int64(1000*(i+1)), -1, 2)
		if i < 25 {
			j.ChunkStarted(name)
		}
		if i < 3 {
			j.TableDone(name)
		}
	}
	j.Marked("t01", "first")
	j.Marked("t01", "second")
	j.Marked("a", "x")
	c.add(time.Second)
	p := j.Snapshot()
	if p.Tables != (TableCounts{Total: 30, Done: 3, Active: 22, Waiting: 5, Marked: 2}) {
		t.Errorf("%+v", p.Tables)
	}
	if len(p.Active) != MaxActive || p.Active[0].Name != "t24" {
		t.Errorf("%d active, first %+v", len(p.Active), p.Active[0])
	}
	if len(p.Marked) != 2 || p.Marked[0].Table != "a" || p.Marked[1].Reason != "first" {
		t.Errorf("%+v", p.Marked)
	}
	if p.Run != 3 || p.Note != "went on" || p.Phase != Snapshot {
		t.Errorf("%+v", p)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"sampled_at"`, `"progress":{"done"`, `"total_kind"`, `"tables":{"total":30`, `"phase":"snapshot"`, `"bytes"`} {
		if !strings.Contains(string(b), field) {
			t.Errorf("JSON lacks %s: %s", field, b)
		}
	}
}

func TestChanged_when_something_happens(t *testing.T) {
	j, _ := newTest(1)
	told := func() bool {
		select {
		case <-j.Changed():
			return true
		default:
			return false
		}
	}
	for what, f := range map[string]func(){
		"phase": func() { j.Phase(Stream) }, "mark": func() { j.Marked("a", "b") }, "table": func() { j.TableDone("a") },
	} {
		f()
		f() // twice does not block
		if !told() || told() {
			t.Errorf("%s is not told once", what)
		}
	}
	j.Rows("a", 1, 1)
	if told() {
		t.Error("rows are not news")
	}
}

func TestJob_when_used_by_many(t *testing.T) {
	j := New(Options{Job: "j", Parallel: 4})
	j.Phase(Snapshot)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				name := fmt.Sprint("t", (g+i)%7)
				j.TablePlanned(name, 100, 100, 10)
				j.ChunkStarted(name)
				j.Rows(name, 1, 10)
				j.ChunkDone(name, 1)
				j.Streamed(1, 1, at("1"))
				j.Committed("s", 1, at("1"), 1)
				j.Queue("s", 1, 2)
				j.Stage("s", "commit", 1, 1, 1)
				j.Head(at("2"), 1, time.Now())
				j.FirstRow()
				if i%500 == 0 {
					j.Snapshot()
				}
			}
		})
	}
	wg.Wait()
	p := j.Snapshot()
	if p.Rows.Done != 8000 || p.Changes.Rows != 8000 || p.Sinks[0].Rows != 8000 || p.Bytes != 88000 {
		t.Errorf("%d rows, %d changes, %d committed, %d bytes", p.Rows.Done, p.Changes.Rows, p.Sinks[0].Rows, p.Bytes)
	}
}

func BenchmarkRows(b *testing.B) {
	j := New(Options{})
	j.TablePlanned("shop.orders", 1, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		j.Rows("shop.orders", 100, 10_000)
	}
}

func BenchmarkSnapshotOfManyTables(b *testing.B) {
	j := New(Options{})
	for i := range 10_000 {
		j.TablePlanned(fmt.Sprint("t", i), 1000, 1000, 10)
	}
	for b.Loop() {
		j.Snapshot()
	}
}

// Tables that were copied by an earlier run are known too.
func TestTables_when_the_stream_carries_some(t *testing.T) {
	j, _ := newTest(1)
	j.Carried([]string{"app.a", "app.b"})
	j.TablePlanned("app.b", 10, 100, 1)
	got := j.Tables()
	if len(got) != 2 || got[0].Name != "app.b" || got[0].Rows != 10 || got[1].Name != "app.a" || got[1].Rows != -1 || !got[1].Whole {
		t.Errorf("%+v", got)
	}
	if n := j.Snapshot().Tables.Total; n != 1 {
		t.Errorf("%d tables of the snapshot", n)
	}
}

func TestMoved_when_time_goes_by(t *testing.T) {
	j, c := newTest(1)
	j.TablePlanned("app.a", 1000, 100_000, 1)
	before := j.Snapshot()
	c.add(time.Minute)
	if now := j.Snapshot(); now.Moved(&before) {
		t.Error("nothing but time moved")
	}
	steady(j, c, "app.a", 1, 10)
	now := j.Snapshot()
	if !now.Moved(&before) {
		t.Error("rows were read")
	}
	j.Phase(Stream)
	if next := j.Snapshot(); !next.Moved(&now) {
		t.Error("the phase is another one")
	}
}

func TestFresh_when_something_was_just_committed(t *testing.T) {
	j, k := newTest(1)
	theirs := k.now().Add(-time.Minute) // the clock of the source is behind
	if j.Fresh(theirs.UnixMicro()) {
		t.Error("nothing is known of that clock")
	}
	j.Head(at("7"), -1, theirs)
	for ago, want := range map[time.Duration]bool{0: true, fresh - time.Millisecond: true, fresh: false, time.Hour: false} {
		if got := j.Fresh(theirs.Add(-ago).UnixMicro()); got != want {
			t.Errorf("%v ago: %v", ago, got)
		}
	}
}
