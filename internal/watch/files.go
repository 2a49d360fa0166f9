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
)

// Files records what a run of a file job does. All methods may be called
// concurrently.
type Files struct {
	o       Options
	started time.Time
	changed chan struct{}

	listed, listedB   atomic.Int64
	ranges, rangeDone atomic.Int64
	sent              atomic.Int64
	flying, flyingB   atomic.Int64
	lanes             atomic.Int64

	mu    sync.Mutex
	run   uint64
	note  string
	phase string
	since time.Time
	ended map[string]Ended // by state
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
	return &Files{o: o, started: now, since: now, phase: Starting, changed: make(chan struct{}, 1), ended: map[string]Ended{}}
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

// RangeListed says that one of them was listed to its end.
func (f *Files) RangeListed() { f.rangeDone.Add(1) }

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
	e := f.ended[state]
	e.Objects += int64(objects)
	e.Bytes += bytes
	f.ended[state] = e
}

// Sent counts bytes on their way to the target as they are sent, repetitions
// included.
func (f *Files) Sent(bytes int) { f.sent.Add(int64(bytes)) }

// Flying adds to what is being copied right now.
func (f *Files) Flying(objects int, bytes int64) {
	f.flying.Add(int64(objects))
	f.flyingB.Add(bytes)
}

// Lanes says how many requests may be under way at once.
func (f *Files) Lanes(n int) { f.lanes.Store(int64(n)) }
