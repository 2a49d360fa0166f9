package watch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// simTable is a table of a simulated snapshot: chunks left, and how fast one
// reader reads it.
type simTable struct {
	name     string
	rows     int // of a chunk
	width    int // bytes of a row
	perSec   int // rows a second by one reader
	chunks   int
	estimate float64 // of the source's statistics, as a share of the truth
	next     int
	done     int
}

type simReader struct {
	t    *simTable
	left int
}

// simulate runs a snapshot by parallel readers, second by second, and calls at
// with what a Snapshot says then. It returns how long it took.
func simulate(j *Job, c *clock, tables []*simTable, parallel int, at func(second int, p Progress)) int {
	j.Phase(Snapshot)
	for _, t := range tables {
		rows := int64(float64(t.rows*t.chunks) * t.estimate)
		j.TablePlanned(t.name, rows, rows*int64(t.width), t.chunks)
	}
	readers := make([]simReader, parallel)
	for second := 1; ; second++ {
		busy := false
		for i := range readers {
			r := &readers[i]
			if r.t == nil {
				*r = claim(j, tables)
			}
			if r.t == nil {
				continue
			}
			busy = true
			n := min(r.left, r.t.perSec)
			j.Rows(r.t.name, n, int64(n*r.t.width))
			if r.left -= n; r.left == 0 {
				j.ChunkDone(r.t.name, int64(r.t.rows))
				if r.t.done++; r.t.done == r.t.chunks {
					j.TableDone(r.t.name)
				}
				r.t = nil
			}
		}
		if !busy {
			return second - 1
		}
		c.add(time.Second)
		at(second, j.Snapshot())
	}
}

func claim(j *Job, tables []*simTable) simReader {
	for _, t := range tables {
		if t.next < t.chunks {
			t.next++
			j.ChunkStarted(t.name)
			return simReader{t, t.rows}
		}
	}
	return simReader{}
}

// TestLeft_when_whole_snapshots_are_simulated predicts the end of many steady
// snapshots of tables unlike in size, width and pace, and holds the predictions
// against what came.
func TestLeft_when_whole_snapshots_are_simulated(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var errorSum float64
	var told, held, runs int
	for range 30 {
		j, c := newTest(4)
		tables := randomTables(rng)
		type saying struct {
			second int
			l      Left
		}
		var said []saying
		var last *float64
		end := simulate(j, c, tables, 4, func(second int, p Progress) {
			if p.Rows.Percent != nil && *p.Rows.Percent >= 100 && p.Tables.Done < p.Tables.Total {
				t.Errorf("100 %% before all is done")
			}
			if p.Left != nil {
				if p.Left.Low > p.Left.Seconds || p.Left.High < p.Left.Seconds || p.Left.Low < 0 {
					t.Fatalf("%+v", p.Left)
				}
				said = append(said, saying{second, *p.Left})
			}
			last = p.Rows.Percent
		})
		if last == nil || *last != 100 {
			t.Errorf("ends at %s %%", show(last))
		}
		if end < 120 {
			continue
		}
		runs++
		for _, s := range said {
			if s.second < end/2 {
				continue // the second half, when most tables have been seen
			}
			left := float64(end - s.second)
			told++
			errorSum += math.Abs(s.l.Seconds-left) / float64(end)
			if s.l.Low-2 <= left && left <= s.l.High+2 {
				held++
			}
		}
	}
	if runs < 10 || told < 500 {
		t.Fatalf("only %d runs and %d predictions", runs, told)
	}
	mean, share := errorSum/float64(told), float64(held)/float64(told)
	t.Logf("%d runs, mean error %.1f %% of the whole, the range held %.0f %% of the time", runs, 100*mean, 100*share)
	if mean > 0.07 {
		t.Errorf("mean error %.1f %%", 100*mean)
	}
}

func randomTables(rng *rand.Rand) []*simTable {
	var out []*simTable
	for i := range 3 + rng.IntN(10) {
		width := 40 + rng.IntN(400)
		cost := (1e-4 + 1e-6*float64(width)) * (0.8 + 0.45*rng.Float64()) // of a row: some for itself, more for its bytes
		out = append(out, &simTable{
			name: fmt.Sprint("t", i), rows: 2000 + rng.IntN(40_000), width: width, perSec: int(1 / cost),
			chunks: 1 + rng.IntN(30), estimate: 0.7 + 0.6*rng.Float64(),
		})
	}
	return out
}
