package history

import (
	"math"
	"time"
)

// point is a value of each series; NaN: no sample.
type point [seriesCount]float32

// known reports whether a value is a sample.
func known(v float32) bool { return v == v }

// none is a point without a sample.
func none() (p point) {
	for i := range p {
		p[i] = float32(math.NaN())
	}
	return p
}

// blockSize divides the lengths of all tracks. A block comes into being with the
// first sample in it, so that a job that has just begun takes little.
const blockSize = 36

type block [blockSize]point

// track is a ring of points at one distance. A moment belongs to the slot that is
// its Unix time divided by step, and a slot to its place modulo the track's length:
// whatever the clock does, a sample costs a bounded time and lands in the ring. The
// slots are those up to newest; a place that holds none of them is empty.
type track struct {
	step   int64 // seconds
	begun  bool  // there was a sample; all below counts only then
	newest int64
	last   time.Time // of the last sample
	counts [seriesCount]uint32
	blocks []*block
}

func newTrack(step, size int64) track {
	return track{step: step, blocks: make([]*block, size/blockSize)}
}

func (t *track) size() int64 { return int64(len(t.blocks)) * blockSize }

// slot is rounded down, before 1970 too.
func (t *track) slot(at time.Time) int64 {
	s := at.Unix()
	if s < 0 {
		s -= t.step - 1
	}
	return s / t.step
}

// place is the block of a slot and where in it the slot is.
func (t *track) place(slot int64) (**block, int64) {
	i := (slot%t.size() + t.size()) % t.size()
	return &t.blocks[i/blockSize], i % blockSize
}

// put takes in a sample.
func (t *track) put(at time.Time, p point) {
	slot := t.slot(at)
	// Samples come about once a step. When they come a little before and a little
	// after a whole step there is one in it all the same: no gap is shown where
	// nothing was missed.
	if t.begun && slot == t.newest+2 && at.Sub(t.last) < time.Duration(t.step)*time.Second*3/2 {
		t.merge(slot-1, p)
	}
	t.merge(slot, p)
	t.last = at
}

// merge adds a sample to a slot, which is the newest from now on.
func (t *track) merge(slot int64, p point) {
	t.move(slot)
	b, i := t.place(slot)
	if *b == nil {
		*b = new(block)
		for k := range *b {
			(*b)[k] = none()
		}
	}
	at := &(*b)[i]
	for k, v := range p {
		if !known(v) {
			continue
		}
		t.counts[k]++
		switch {
		case t.counts[k] == 1:
			at[k] = v
		case catalogue[k].peak:
			at[k] = max(at[k], v)
		default:
			at[k] += (v - at[k]) / float32(t.counts[k])
		}
	}
}

// move makes a slot the newest. What is between it and the one before is empty: when
// time went on, because nothing was sampled; when the clock was put back, because
// it would be in the future.
func (t *track) move(slot int64) {
	switch {
	case !t.begun:
	case slot == t.newest:
		return
	case slot > t.newest:
		t.empty(t.newest, slot)
	default:
		t.empty(slot, t.newest)
	}
	t.begun, t.newest = true, slot
	at := t.at(slot)
	for k := range t.counts {
		t.counts[k] = 0
		if known(at[k]) { // the clock was put back to it: what is there counts as one sample
			t.counts[k] = 1
		}
	}
}

// empty takes away the slots after one up to another.
func (t *track) empty(after, to int64) {
	if to-after >= t.size() {
		clear(t.blocks)
		return
	}
	for s := after + 1; s <= to; s++ {
		if b, i := t.place(s); *b != nil {
			(*b)[i] = none()
		}
	}
}

// at returns the point of a slot.
func (t *track) at(slot int64) point {
	if !t.begun || slot > t.newest || slot <= t.newest-t.size() {
		return none()
	}
	if b, i := t.place(slot); *b != nil {
		return (*b)[i]
	}
	return none()
}

// end is the last slot that is shown at a moment. One that has only begun and has no
// sample yet is left out: it would be a gap that comes and goes.
func (t *track) end(now time.Time) int64 {
	slot := t.slot(now)
	if t.begun && t.newest == slot-1 {
		return t.newest
	}
	return slot
}
