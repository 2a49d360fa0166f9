package watch

import (
	"math"
	"time"
)

// No end is told before this much time and this share of the rows.
const (
	etaAfter = 30 * time.Second
	etaShare = 0.01
)

// left tells when the snapshot will be done at the present rate; j.mu is held.
// It is nil while nothing can be said: too early, or a table has more rows than
// estimated, or unknown many.
func (j *Job) left(ts []tally, c Count, now time.Time) *Left {
	h := j.snapHist
	if h == nil || j.phase != Snapshot || c.Kind != Estimate || c.Total <= 0 {
		return nil
	}
	elapsed := now.Sub(h.start)
	if elapsed < etaAfter || float64(c.Done) < etaShare*float64(c.Total) {
		return nil
	}
	base := modelSeconds(ts, j.parallel)
	if base < 0 {
		return nil
	}
	val := j.values()[cBytes]
	average := h.rate(now, cBytes, val, elapsed)
	short := h.rate(now, cBytes, val, shortWindow)
	chosen := h.rate(now, cBytes, val, window(elapsed))
	if average <= 0 || chosen <= 0 {
		return nil // it stalls: no end at this rate
	}
	// The model counts with each table's mean since the start; the windows say
	// how much faster or slower everything goes now.
	end := base * average / chosen
	low, high := min(base, end), max(base, end)
	if short > 0 {
		low, high = min(low, base*average/short), max(high, base*average/short)
	}
	return &Left{Seconds: end, Low: 0.9 * low, High: 1.1 * high, Basis: "at this rate"}
}

// modelSeconds is the time that the rows left need when every table goes on at
// its own pace: the work of all divided among the readers, but no less than any
// one table needs with as many readers as it has chunks left. It is negative
// when nothing is known.
func modelSeconds(ts []tally, parallel int) float64 {
	var busy, bytes float64
	for _, t := range ts {
		busy += t.busy.Seconds()
		bytes += float64(t.runBytes)
	}
	if busy <= 0 || bytes <= 0 {
		return -1
	}
	perByte := busy / bytes
	var sum, longest float64
	for _, t := range ts {
		if t.done {
			continue
		}
		rows := float64(max(t.total-t.rows, 0))
		work := rows * secondsPerRow(t, perByte)
		readers := min(parallel, max(t.chunks-t.finished, 1))
		sum += work
		longest = math.Max(longest, work/float64(readers))
	}
	return math.Max(sum/float64(max(parallel, 1)), longest)
}

// secondsPerRow is a table's own pace once it has been read for some seconds;
// before that its bytes per row at the pace of all.
func secondsPerRow(t tally, perByte float64) float64 {
	if t.runRows > 0 && t.busy >= 5*time.Second {
		return t.busy.Seconds() / float64(t.runRows)
	}
	width := 64.0
	switch {
	case t.runRows > 0:
		width = float64(t.runBytes) / float64(t.runRows)
	case t.estimated > 0 && t.estBytes > 0:
		width = float64(t.estBytes) / float64(t.estimated)
	}
	return width * perByte
}

// follow tells how the stream gains on the head or falls behind; j.mu is held.
func (j *Job) follow(c *Changes, now time.Time) {
	if c.Lag.State != Behind || c.Lag.Seconds == nil {
		return
	}
	val := j.values()[cCommitTime]
	h := j.hist
	from := now.Add(-window(now.Sub(h.start)))
	for _, s := range h.samples { // the first with a known place in the window
		if s.vals[cCommitTime] > 0 && !s.at.Before(from) {
			from = s.at
			break
		}
	}
	took := now.Sub(from).Seconds()
	if took < etaAfter.Seconds() || h.at(from, cCommitTime) <= 0 || val <= 0 {
		return
	}
	speed := (val - h.at(from, cCommitTime)) / took
	lag := *c.Lag.Seconds
	switch {
	case speed > 1.02:
		s := lag / (speed - 1)
		c.CatchUp = &s
	case speed < 0.98 && lag > 10:
		f := (1 - speed) * 60
		c.Falling = &f
		if j.keptFor > 0 {
			lost := math.Max(0, j.keptFor.Seconds()-lag) / (1 - speed)
			c.LostIn = &lost
		}
	}
}
