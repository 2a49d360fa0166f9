package watch

import (
	"math"
	"slices"
	"time"
)

// Windows of rates.
const (
	shortWindow = 120 * time.Second
	stageWindow = 5 * time.Minute
	minSpacing  = time.Second
)

// sample is a set of rising counters at one moment.
type sample struct {
	at   time.Time
	vals []float64
}

// history keeps samples of rising counters, so that their rate over a window can
// be told. Samples are spaced so that a run of any length needs a bounded number
// of them. It is not safe for concurrent use.
type history struct {
	start   time.Time
	samples []sample // the first is at start
}

func newHistory(start time.Time, n int) *history {
	return &history{start: start, samples: []sample{{start, make([]float64, n)}}}
}

// window is the length over which rates are measured after elapsed: long enough
// not to jump, short enough to notice.
func window(elapsed time.Duration) time.Duration { return max(shortWindow, elapsed/4) }

// spacing between samples: 2,000 in a window at most.
func spacing(elapsed time.Duration) time.Duration { return max(minSpacing, elapsed/2048) }

// due reports whether a sample at now would be kept.
func (h *history) due(now time.Time) bool {
	last := h.samples[len(h.samples)-1].at
	return now.Sub(last) >= spacing(now.Sub(h.start))
}

// add keeps a sample when one is due. Of a time in which nothing rises only the ends
// are kept: most jobs wait most of the time.
func (h *history) add(now time.Time, vals []float64) {
	if !h.due(now) {
		return
	}
	if n := len(h.samples); n > 1 && slices.Equal(vals, h.samples[n-1].vals) && slices.Equal(vals, h.samples[n-2].vals) {
		h.samples[n-1].at = now
		return
	}
	h.samples = append(h.samples, sample{now, vals})
	keep := now.Add(-max(window(now.Sub(h.start)), stageWindow) - time.Minute)
	drop := 0
	for drop+1 < len(h.samples) && h.samples[drop+1].at.Before(keep) {
		drop++
	}
	if drop > 64 { // rarely, so that it costs nothing
		h.samples = append(h.samples[:0:0], h.samples[drop:]...)
	}
}

// at returns counter i at t, between samples by a straight line.
func (h *history) at(t time.Time, i int) float64 {
	lo, hi := 0, len(h.samples)-1
	if !t.After(h.samples[lo].at) {
		return h.samples[lo].vals[i]
	}
	if !t.Before(h.samples[hi].at) {
		return h.samples[hi].vals[i]
	}
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if h.samples[mid].at.After(t) {
			hi = mid
		} else {
			lo = mid
		}
	}
	a, b := h.samples[lo], h.samples[hi]
	part := float64(t.Sub(a.at)) / float64(b.at.Sub(a.at))
	return a.vals[i] + part*(b.vals[i]-a.vals[i])
}

// rate is the mean rise of counter i per second over w before now, where it has
// the value val. It is negative when there is less than a second to measure over.
func (h *history) rate(now time.Time, i int, val float64, w time.Duration) float64 {
	from := now.Add(-w)
	if from.Before(h.samples[0].at) {
		from = h.samples[0].at
	}
	took := now.Sub(from).Seconds()
	if took < 1 {
		return -1
	}
	return math.Max(0, val-h.at(from, i)) / took
}
