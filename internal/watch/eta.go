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

// The paces that an end is reckoned with: the mean since the snapshot began, of
// the last two minutes, and of the window of all rates.
const (
	paceMean = iota
	paceShort
	paceChosen
	paces
)

// windows are the stretches that the paces are measured over; j.mu is held.
func (j *Job) windows(now time.Time) (w [paces]time.Duration) {
	if j.snapHist == nil {
		return w
	}
	elapsed := now.Sub(j.snapHist.start)
	return [paces]time.Duration{paceMean: elapsed, paceShort: min(shortWindow, elapsed), paceChosen: min(window(elapsed), elapsed)}
}

// left tells when the snapshot will be done at the present rate; j.mu is held.
// It is nil while nothing can be said: too early, it stalls, or a table has more
// rows than estimated, or unknown many.
func (j *Job) left(ts []tally, c Count, now time.Time) *Left {
	h := j.snapHist
	if h == nil || j.phase != Snapshot || c.Kind != Estimate || c.Total <= 0 {
		return nil
	}
	elapsed := now.Sub(h.start)
	if elapsed < etaAfter || float64(c.Done) < etaShare*float64(c.Total) {
		return nil
	}
	if h.rate(now, cRows, j.values()[cRows], window(elapsed)) <= 0 {
		return nil
	}
	var ends [paces]float64
	for i := range ends {
		ends[i] = modelSeconds(ts, j.parallel, i)
	}
	if ends[paceChosen] < 0 {
		return nil
	}
	return &Left{Seconds: ends[paceChosen], Low: 0.9 * min(ends[0], ends[1], ends[2]), High: 1.1 * max(ends[0], ends[1], ends[2]), Basis: "at this rate"}
}

// modelSeconds is the time that the rows left need when every table goes on at
// its own pace: the work of all divided among the readers, but no less than any
// one table needs with as many readers as it has chunks left. It is negative
// when nothing is known.
func modelSeconds(ts []tally, parallel, pace int) float64 {
	cost := costOf(ts, pace)
	if cost == nil {
		return -1
	}
	var sum, longest, chunk float64
	for _, t := range ts {
		if t.done {
			continue
		}
		work := float64(max(t.total-t.rows, 0)) * cost(t)
		sum += work
		chunk = max(chunk, work/float64(max(t.chunks-t.finished, 1)))
		longest = max(longest, work/float64(min(parallel, max(t.chunks-t.finished, 1))))
	}
	// Readers do not end together: the last chunk keeps one of them, half of its
	// time on the mean, while the others have nothing left.
	n := float64(max(parallel, 1))
	return max(sum/n+chunk/2*(1-1/n), longest)
}

// paceTime is how long a table must have been read for its pace to count.
const paceTime = 5.0

// costOf returns how long a reader needs for a row of a table: as long as it did
// lately; for a table not read yet, as long as the others did for such rows, at
// the speed they have now. It is nil when nothing is known.
func costOf(ts []tally, pace int) func(tally) float64 {
	var seen []spent
	var now, then float64 // seconds of what was read lately, and what it took on the mean
	for _, t := range ts {
		whole := spent{float64(t.runRows), t.busy.Seconds(), float64(t.runBytes)}
		if whole.busy <= 0 || whole.rows <= 0 || whole.bytes <= 0 {
			continue
		}
		seen = append(seen, whole)
		if s := t.recent[pace]; s.rows > 0 {
			now, then = now+s.busy, then+s.rows*whole.busy/whole.rows
		}
	}
	if len(seen) == 0 {
		return nil
	}
	perRow, perByte, mean := fit(seen)
	slower := 1.0
	if now > 0 && then > 0 {
		slower = now / then
	}
	return func(t tally) float64 {
		s := t.recent[pace]
		switch {
		case s.busy >= paceTime && s.rows > 0:
			return s.busy / s.rows
		case t.busy.Seconds() >= paceTime && t.runRows > 0:
			return slower * t.busy.Seconds() / float64(t.runRows)
		case t.runRows > 0:
			return slower * (perRow + perByte*float64(t.runBytes)/float64(t.runRows))
		case t.estimated > 0 && t.estBytes > 0:
			return slower * (perRow + perByte*float64(t.estBytes)/float64(t.estimated))
		}
		return slower * mean
	}
}

// fit finds what a row costs for itself and for each of its bytes, by least
// squares of seconds = perRow·rows + perByte·bytes over tables; both are never
// negative. With one table all is put down to the bytes. mean is the cost of a
// row of unknown size.
func fit(seen []spent) (perRow, perByte, mean float64) {
	var all spent
	var rr, rb, bb, rs, bs float64
	for _, s := range seen {
		all = spent{all.rows + s.rows, all.busy + s.busy, all.bytes + s.bytes}
		rr, rb, bb = rr+s.rows*s.rows, rb+s.rows*s.bytes, bb+s.bytes*s.bytes
		rs, bs = rs+s.rows*s.busy, bs+s.bytes*s.busy
	}
	mean = all.busy / all.rows
	det := rr*bb - rb*rb
	if len(seen) < 2 || det <= 1e-6*rr*bb { // as good as one table
		return 0, all.busy / all.bytes, mean
	}
	perRow, perByte = (rs*bb-bs*rb)/det, (bs*rr-rs*rb)/det
	switch {
	case perRow < 0:
		return 0, all.busy / all.bytes, mean
	case perByte < 0:
		return mean, 0, mean
	}
	return perRow, perByte, mean
}

// follow tells how the stream gains on the head or falls behind; j.mu is held.
func (j *Job) follow(c *Changes, now time.Time) {
	if c.Lag.State != Behind || c.Lag.Seconds == nil {
		return
	}
	val := j.values()[cCommitTime]
	h := j.hist
	from := now.Add(-window(now.Sub(h.start)))
	for _, s := range h.samples { // not before the place is known
		if s.vals[cCommitTime] > 0 {
			if s.at.After(from) {
				from = s.at
			}
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
