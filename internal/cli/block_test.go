package cli

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"godwit/internal/watch"
)

func f(x float64) *float64 { return &x }
func i64(x int64) *int64   { return &x }

var now = time.Date(2026, 11, 21, 14, 5, 20, 0, time.UTC)

func moment(ago time.Duration) *time.Time {
	t := now.Add(-ago)
	return &t
}

// inSnapshot is the job of the documentation's picture, more or less.
func inSnapshot() watch.Progress {
	return watch.Progress{
		Job: "shop-to-lake", Run: 3, Note: "went on at chunk 812 of 2,104 after a stop at 14:01:07", Mode: "snapshot_and_changes", Phase: watch.Snapshot,
		Sampled: now, Elapsed: 1531, Rows: watch.Count{Done: 128_120_000, Total: 210_000_000, Kind: watch.Estimate, Percent: f(61)},
		Rate: f(84_100), ByteRate: f(32_715_571), Left: &watch.Left{Seconds: 975, Low: 840, High: 1200, Basis: "at this rate"}, KeptFor: f(273_600),
		Tables: watch.TableCounts{Total: 24, Done: 19, Active: 2, Waiting: 3},
		Active: []watch.Table{
			{Name: "shop.orders", Rows: watch.Count{Done: 70_200_000, Total: 121_000_000, Kind: watch.Estimate, Percent: f(58)}, Rate: f(52_000), ChunksDone: 401, Chunks: 690},
			{Name: "shop.items", Rows: watch.Count{Done: 1_310_000, Total: 1_310_000, Kind: watch.Growing, Estimated: 1_210_000}, ChunksDone: 0, Chunks: 1},
		},
		Sinks: []watch.Sink{{Name: "lake", CommittedAt: moment(2 * time.Second), Queue: 12 << 20, QueueLimit: 64 << 20}, {Name: "pg"}},
		Brake: &watch.Brake{Sink: "lake", Stage: "commit", Share: 0.714}, Stages: []watch.Stage{{}}, Memory: watch.Memory{Used: 96 << 20, Limit: 128 << 20},
	}
}

func inStream() watch.Progress {
	return watch.Progress{
		Job: "shop-to-lake", Run: 3, Mode: "snapshot_and_changes", Phase: watch.Stream, Sampled: now, Elapsed: 90,
		Rows: watch.Count{Done: 1000, Total: 1000, Kind: watch.Exact, Percent: f(100)}, Tables: watch.TableCounts{Total: 24, Done: 24, Marked: 1},
		Marked:  []watch.Mark{{Table: "shop.x\x1b[2J", Reason: "logged as a statement"}},
		Changes: &watch.Changes{Rows: 7000, Rate: f(1204), Position: "bin.000007:8467", Ahead: i64(41 << 10), Lag: watch.Lag{State: watch.Behind, Seconds: f(1.2), Sink: "lake"}, Falling: f(12), LostIn: f(172_800)},
		Sinks:   []watch.Sink{{Name: "lake", CommittedAt: moment(400 * time.Millisecond)}},
	}
}

func TestBlock_when_in_snapshot(t *testing.T) {
	got := strings.Join(view{width: 150}.block(inSnapshot()), "\n")
	want := `shop-to-lake  snapshot, then stream   running 0:25:31   run 3: went on at chunk 812 of 2,104 after a stop at 14:01:07
 snapshot  [#########.......]  61 %   128 M of ~210 M rows   ~16 m 15 s left at this rate (14 m to 20 m)   84.1 k rows/s   31.2 MiB/s
 stream    waits for the snapshot; the log is kept for 3 d 4 h
   shop.orders           58 %   70.2 M of ~121 M rows   chunk 401/690   52 k rows/s
   shop.items                   1.31 M rows, more than estimated (1.21 M)   chunk 0/1
   + 19 tables done, 3 waiting
 sinks     lake  committed 2 s ago, queue 12 MiB of 64 MiB   pg  nothing committed in this run
 brake     lake: commit 71 % of the time   memory 96 MiB of 128 MiB   Ctrl-C stops cleanly; run again to go on`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBlock_when_nothing_limits_the_log(t *testing.T) {
	p := inSnapshot()
	p.KeptFor, p.Reach = nil, f(7200)
	got := strings.Join(view{width: 150}.block(p), "\n")
	if want := " stream    waits for the snapshot; the log reaches back 2 h, no limit is set\n"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBlock_when_in_stream(t *testing.T) {
	got := strings.Join(view{width: 200}.block(inStream()), "\n")
	want := `shop-to-lake  snapshot, then stream   running 0:01:30   run 3
 snapshot  done   1 k rows   24 tables
 stream    lag 1.2 s   1.20 k changes/s   falling behind by 12 s a minute; the log is lost in ~2 d   at bin.000007:8467   head 41 KiB ahead
 ! shop.x?[2J needs a resync: logged as a statement
 sinks     lake  committed 0.4 s ago
 brake     not measured yet   Ctrl-C stops cleanly; run again to go on`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBlock_when_of_any_width(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(20, 220).Draw(t, "width")
		p := inSnapshot()
		if rapid.Bool().Draw(t, "stream") {
			p = inStream()
		}
		p.Note = rapid.String().Draw(t, "note")
		if len(p.Active) > 0 {
			p.Active[0].Name = rapid.String().Draw(t, "table")
		}
		for _, l := range (view{colours{rapid.Bool().Draw(t, "colour")}, n}).block(p) {
			if cells(l) > n {
				t.Fatalf("%d columns of %d: %q", cells(l), n, l)
			}
			if strings.ContainsAny(strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "").Replace(l), "\x1b\n\r\t") {
				t.Fatalf("a control character: %q", l)
			}
		}
	})
}

func TestTimedLine_when_in_snapshot(t *testing.T) {
	if got, want := timedLine(inSnapshot()), "2026-11-21T14:05:20Z shop-to-lake phase=snapshot tables=19/24 rows=128120000/~210000000 pct=61 rows_s=84100 bytes_s=32715571 left=975s left_low=840s left_high=1200s brake=lake.commit mem=96MiB"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := timedLine(inStream()), "2026-11-21T14:05:20Z shop-to-lake phase=stream tables=24/24 rows=1000/1000 changes=7000 changes_s=1204 lag=1.2s at=bin.000007:8467 head_ahead=41984 falling_s_per_min=12.0 resync_needed=1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLineDisplay_when_time_goes_by(t *testing.T) {
	r := newTry(t)
	d := &lineDisplay{a: newApp(r.p, testRegistry, r.engine)}
	for s := range 301 {
		p := watch.Progress{Job: "j", Phase: watch.Stream, Elapsed: float64(s), Sampled: now.Add(time.Duration(s) * time.Second)}
		if s == 0 {
			d.start(p)
		}
		d.tick(p, p.Sampled)
	}
	var at []string
	for _, l := range strings.Split(strings.TrimSpace(r.err.String()), "\n") {
		at = append(at, l[11:19])
	}
	if got, want := strings.Join(at, " "), "14:05:20 14:05:30 14:05:40 14:05:50 14:06:00 14:06:10 14:07:10 14:08:10 14:09:10 14:10:10"; got != want {
		t.Errorf("lines at %s, want %s", got, want)
	}
	if got := d.interval(0); got != 10*time.Second {
		t.Error(got)
	}
	d.every = 3 * time.Second
	if got := d.interval(1000); got != 3*time.Second {
		t.Error(got)
	}
	r.p.Env = append(r.p.Env, "ACCESSIBLE=1")
	if got := (&lineDisplay{a: newApp(r.p, testRegistry, r.engine)}).interval(1000); got != 30*time.Second {
		t.Error(got)
	}
}
