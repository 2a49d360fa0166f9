package watch

import (
	"math"
	"time"
)

// objectModel reckons the time that objects take as a·objects + b·bytes. The two
// are fitted by least squares to what each second or so has brought; older seconds
// count less. Where all objects seen are alike the two cannot be told apart: then a
// prior says how many bytes cost as much as an object.
type objectModel struct {
	start, last    time.Time
	objects, bytes float64 // at last
	fits           [modelFits]squares
}

// The three memories of a model: everything, two minutes, and the window of all
// rates.
const (
	fitAll = iota
	fitShort
	fitChosen
	modelFits
)

// What the prior says: an object costs as much as this many bytes; and how much it
// weighs against what was seen.
const (
	priorBytes  = 256 << 10
	priorWeight = 1e-3
)

// squares keeps the weighted sums of a least-squares fit of seconds = a·n + b·m.
type squares struct{ nn, nm, mm, nt, mt float64 }

func newObjectModel(now time.Time) objectModel { return objectModel{start: now, last: now} }

// add takes the counters of a moment.
func (m *objectModel) add(now time.Time, objects, bytes float64) {
	took := now.Sub(m.last).Seconds()
	if took < 0.9 {
		return
	}
	n, b := math.Max(0, objects-m.objects), math.Max(0, bytes-m.bytes)
	for i, memory := range [modelFits]time.Duration{fitShort: shortWindow, fitChosen: window(now.Sub(m.start))} {
		keep := 1.0
		if memory > 0 {
			keep = math.Exp(-took / memory.Seconds())
		}
		f := &m.fits[i]
		// A bucket counts by its length: three short ones as one long.
		f.nn, f.nm, f.mm = keep*f.nn+n*n/took, keep*f.nm+n*b/took, keep*f.mm+b*b/took
		f.nt, f.mt = keep*f.nt+n, keep*f.mt+b
	}
	m.last, m.objects, m.bytes = now, objects, bytes
}

// solve returns the seconds of an object and of a byte, none negative; both 0 when
// nothing is known.
func (f squares) solve() (a, b float64) {
	if f.nn == 0 && f.mm == 0 {
		return 0, 0
	}
	// The prior is (a − priorBytes·b)² with a weight in the unit of the sums.
	w := priorWeight * (f.nn + f.mm/(priorBytes*priorBytes))
	nn, nm, mm := f.nn+w, f.nm-w*priorBytes, f.mm+w*priorBytes*priorBytes
	det := nn*mm - nm*nm
	if det > 1e-12*nn*mm {
		a, b = (f.nt*mm-f.mt*nm)/det, (f.mt*nn-f.nt*nm)/det
	}
	switch {
	case b <= 0 && f.nn > 0:
		return f.nt / f.nn, 0
	case a <= 0 && f.mm > 0:
		return 0, f.mt / f.mm
	}
	return math.Max(0, a), math.Max(0, b)
}

// both returns the seconds that what is done stands for, and what is left, by the
// model as it is now.
func (m *objectModel) both(objects, bytes float64, left Ended) (done, rest float64) {
	a, b := m.fits[fitChosen].solve()
	return a*objects + b*bytes, a*float64(left.Objects) + b*float64(left.Bytes)
}

// left tells when what is left will be done at this rate; nil: nothing is known.
func (m *objectModel) left(left Ended) *Left {
	var ends [modelFits]float64
	for i, f := range m.fits {
		a, b := f.solve()
		ends[i] = a*float64(left.Objects) + b*float64(left.Bytes)
	}
	if ends[fitChosen] <= 0 {
		return nil
	}
	return &Left{Seconds: ends[fitChosen], Low: 0.9 * min(ends[0], ends[1], ends[2]), High: 1.1 * max(ends[0], ends[1], ends[2]), Basis: "at this rate"}
}
