package watch

import (
	"time"

	"godwit/internal/job"
)

// Objects is what a Progress has of a file job, of the round that is going on.
type Objects struct {
	Round        int    `json:"round"`
	Listed       Ended  `json:"listed"` // found and chosen so far, in the source or to be deleted in the target
	ListedAll    bool   `json:"listed_all"`
	Ranges       int    `json:"ranges"`
	RangesListed int    `json:"ranges_listed"`
	Copied       Ended  `json:"copied"`
	Same         Ended  `json:"same"`
	Skipped      Ended  `json:"skipped"`
	Deleted      Ended  `json:"deleted"` // in the target
	Failed       Ended  `json:"failed"`
	Gone         Ended  `json:"gone"`
	Left         Ended  `json:"left"`      // at least this while listing goes on
	Flying       Ended  `json:"in_flight"` // the objects' whole sizes
	Lanes        int    `json:"lanes"`     // requests that may be under way at once
	FirstMillis  *int64 `json:"first_object_ms,omitempty"`
	// LandedAt is when an object was done last, however it ended.
	LandedAt *time.Time `json:"landed_at,omitempty"`
	// Target is where the target stands, and why; nil: no engine has said so.
	Target *job.Standing `json:"target,omitempty"`

	ListRate *float64 `json:"listed_s,omitempty"`  // objects listed a second
	Rate     *float64 `json:"objects_s,omitempty"` // objects landed a second
}

// States that are counted by name; they are page.States.
const (
	stateCopied  = "copied"
	stateSame    = "same"
	stateSkipped = "skipped"
	stateDeleted = "deleted"
	stateFailed  = "failed"
	stateGone    = "gone"
)

// Counters of Files.hist, by index.
const (
	fListed = iota
	fLanded
	fBytes
	fileCounters
)

// landed are the objects that have landed in this round, and the bytes that were
// moved for them and for those in flight.
func (f *Files) landed() (objects, bytes int64) {
	done := f.flownB.Load()
	// What was sent for objects in flight is not known for each. Sent includes
	// repetitions, and nothing of what a service copies by itself.
	part := min(max(0, f.sent.Load()-f.sentB-done), max(0, f.flyingB.Load()))
	return f.flown.Load(), done + part
}

func (f *Files) values() []float64 {
	objects, bytes := f.landed()
	v := make([]float64, fileCounters)
	v[fListed], v[fLanded], v[fBytes] = float64(f.listed.Load()), float64(objects), float64(bytes)
	return v
}

// tick keeps a sample when it is time.
func (f *Files) tick() {
	now := f.o.Now()
	next := f.nextTick.Load()
	if now.UnixNano() < next || !f.nextTick.CompareAndSwap(next, now.Add(minSpacing).UnixNano()) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sample(now)
}

// sample keeps the counters of this moment; f.mu is held.
func (f *Files) sample(now time.Time) {
	f.hist.add(now, f.values())
	objects, bytes := f.landed()
	f.model.add(now, float64(objects), float64(bytes))
}

// Snapshot returns the run as it is now.
func (f *Files) Snapshot() Progress {
	all := f.listedAll()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.o.Now()
	f.sample(now)
	p := Progress{
		Job: f.o.Job, Run: f.run, Note: f.note, Mode: f.o.Mode, Phase: f.phase, Since: f.since.UTC(), Started: f.started.UTC(),
		Sampled: now.UTC(), Elapsed: now.Sub(f.started).Seconds(), Bytes: f.sent.Load(),
		Memory: Memory{Limit: f.o.MemoryLimit}, Files: f.objects(all),
	}
	if f.o.Resident != nil {
		p.Memory.Used = f.o.Resident()
	}
	f.fileRates(&p, now)
	f.count(&p, now)
	p.round()
	return p
}

// objects counts by state; f.mu is held.
func (f *Files) objects(all bool) *Objects {
	o := &Objects{
		Target: f.stands.last.Load(), Round: f.round, ListedAll: all,
		Listed: Ended{f.listed.Load(), f.listedB.Load()},
		Ranges: int(f.ranges.Load()), RangesListed: int(f.rangeDone.Load()),
		Copied: f.ended[stateCopied], Same: f.ended[stateSame], Skipped: f.ended[stateSkipped],
		Deleted: f.ended[stateDeleted], Failed: f.ended[stateFailed], Gone: f.ended[stateGone],
		Flying: Ended{max(0, f.flying.Load()), max(0, f.flyingB.Load())}, Lanes: int(f.lanes.Load()),
	}
	for _, e := range []Ended{o.Copied, o.Same, o.Skipped, o.Deleted, o.Failed, o.Gone} {
		o.Left.Objects += e.Objects
		o.Left.Bytes += e.Bytes
	}
	o.Left = Ended{max(0, o.Listed.Objects-o.Left.Objects), max(0, o.Listed.Bytes-o.Left.Bytes)}
	if f.first > 0 {
		ms := (int64(f.first) + int64(time.Millisecond) - 1) / int64(time.Millisecond)
		o.FirstMillis = &ms
	}
	if n := f.landedAt.Load(); n > 0 {
		at := time.Unix(0, n).UTC()
		o.LandedAt = &at
	}
	return o
}

// fileRates fills the rates of the round; f.mu is held.
func (f *Files) fileRates(p *Progress, now time.Time) {
	w := window(now.Sub(f.hist.start))
	v := f.values()
	p.Files.Rate = known(f.hist.rate(now, fLanded, v[fLanded], w))
	p.ByteRate = known(f.hist.rate(now, fBytes, v[fBytes], w))
	if !p.Files.ListedAll {
		p.Files.ListRate = known(f.hist.rate(now, fListed, v[fListed], w))
	}
}

// count fills how much is done of how much, and when it ends: neither a share nor
// an end is told while listing goes on. f.mu is held.
func (f *Files) count(p *Progress, now time.Time) {
	o := p.Files
	p.Rows = Count{Done: o.Listed.Objects - o.Left.Objects, Total: o.Listed.Objects, Kind: Growing}
	if !o.ListedAll || f.phase == Starting {
		return
	}
	p.Rows.Kind = Exact
	if o.Left.Objects == 0 {
		full := 100.0
		p.Rows.Percent = &full
		return
	}
	objects, bytes := f.landed()
	left := Ended{o.Left.Objects, max(0, o.Left.Bytes-(bytes-f.flownB.Load()))}
	done, rest := f.model.both(float64(objects), float64(bytes), left)
	if rest <= 0 {
		return
	}
	share := min(100*done/(done+rest), 99.9)
	p.Rows.Percent = &share
	if elapsed := now.Sub(f.hist.start); elapsed < etaAfter || share < 100*etaShare || f.phase != Copying {
		return
	}
	if f.hist.rate(now, fBytes, float64(bytes), shortWindow)+f.hist.rate(now, fLanded, float64(objects), shortWindow) <= 0 {
		return // it stalls
	}
	p.Left = f.model.left(left)
}
