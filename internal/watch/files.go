package watch

import (
	"sync"
	"sync/atomic"
	"time"
)

// Phases of a run of a file job besides those of all jobs.
const (
	Listing = "listing" // copying goes on meanwhile
	Copying = "copying" // everything is listed
	Resting = "resting" // until the next round
)

// Files records what a run of a file job does. All methods may be called
// concurrently.
type Files struct {
	o       Options
	started time.Time
	changed chan struct{}

	listed, listedB   atomic.Int64
	ranges, rangeDone atomic.Int64
	allRanges         atomic.Bool
	sent              atomic.Int64
	flying, flyingB   atomic.Int64
	flown, flownB     atomic.Int64 // what has landed in this round
	lanes             atomic.Int64
	landedAt          atomic.Int64 // unix nanoseconds; 0: nothing has
	nextTick          atomic.Int64 // unix nanoseconds of the next sample
	stands            stands

	mu    sync.Mutex
	run   uint64
	round int
	note  string
	phase string
	since time.Time
	sentB int64            // sent when the round began
	first time.Duration    // from the start of the process to the first copy; 0: none yet
	ended map[string]Ended // by state
	hist  *history         // of the round; see values
	model objectModel
}

// Ended is how many objects ended in one state, and their size.
type Ended struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// NewFiles returns a recorder in phase Starting.
func NewFiles(o Options) *Files {
	if o.Now == nil {
		o.Now = time.Now
	}
	now := o.Now()
	if o.ProcessStart.IsZero() {
		o.ProcessStart = now
	}
	f := &Files{o: o, started: now, since: now, phase: Starting, changed: make(chan struct{}, 1)}
	f.begin(now)
	return f
}

// begin forgets what the last round counted; f.mu is held, or f is new.
func (f *Files) begin(now time.Time) {
	f.ended = map[string]Ended{}
	f.sentB = f.sent.Load()
	f.hist = newHistory(now, fileCounters)
	f.model = newObjectModel(now)
	f.allRanges.Store(false)
	for _, n := range []*atomic.Int64{&f.listed, &f.listedB, &f.ranges, &f.rangeDone, &f.flown, &f.flownB} {
		n.Store(0)
	}
}

// Round begins round n, from 1: everything is counted from nothing. No object is in
// flight then.
func (f *Files) Round(n int) {
	f.mu.Lock()
	f.round = n
	f.begin(f.o.Now())
	f.mu.Unlock()
	f.Phase(Listing)
}

// Changed receives after something happened that is worth showing at once.
func (f *Files) Changed() <-chan struct{} { return f.changed }

// Began says which run this is and how it began; note may be empty.
func (f *Files) Began(run uint64, note string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run, f.note = run, note
}

// Phase enters a phase.
func (f *Files) Phase(name string) {
	f.mu.Lock()
	if f.phase != name {
		f.phase, f.since = name, f.o.Now()
	}
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Ranges says that n more key ranges are to be listed.
func (f *Files) Ranges(n int) { f.ranges.Add(int64(n)) }

// AllRanges says that there are no more ranges than were said.
func (f *Files) AllRanges() {
	f.allRanges.Store(true)
	f.listedAll()
}

// RangeListed says that one of them was listed to its end.
func (f *Files) RangeListed() {
	f.rangeDone.Add(1)
	f.listedAll()
}

// listedAll enters Copying once everything is listed, and reports whether it is.
func (f *Files) listedAll() bool {
	all := f.allRanges.Load() && f.rangeDone.Load() >= f.ranges.Load()
	if all {
		f.mu.Lock()
		listing := f.phase == Listing
		f.mu.Unlock()
		if listing {
			f.Phase(Copying)
		}
	}
	return all
}

// Listed counts objects that a listing found and the job's rules chose.
func (f *Files) Listed(objects int, bytes int64) {
	f.listed.Add(int64(objects))
	f.listedB.Add(bytes)
}

// Ended counts objects that came to their final state (a page.State) in this run,
// or that earlier runs had brought there.
func (f *Files) Ended(state string, objects int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == stateCopied && f.first == 0 && objects > 0 {
		f.first = max(1, f.o.Now().Sub(f.o.ProcessStart))
	}
	e := f.ended[state]
	e.Objects += int64(objects)
	e.Bytes += bytes
	f.ended[state] = e
}

// Sent counts bytes on their way to the target as they are sent, repetitions
// included.
func (f *Files) Sent(bytes int) { f.sent.Add(int64(bytes)) }

// Flying adds to what is being copied right now. An object that lands, however it
// ended, is taken away again, with its whole size.
func (f *Files) Flying(objects int, bytes int64) {
	f.flying.Add(int64(objects))
	f.flyingB.Add(bytes)
	if objects < 0 {
		f.flown.Add(int64(-objects))
		f.flownB.Add(-bytes)
		f.landedAt.Store(f.o.Now().UnixNano())
		f.tick()
	}
}

// Lanes says how many requests may be under way at once.
func (f *Files) Lanes(n int) { f.lanes.Store(int64(n)) }
