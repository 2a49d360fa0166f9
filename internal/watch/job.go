package watch

import (
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/position"
)

// Options say what a Job cannot know by itself.
type Options struct {
	Job  string
	Mode string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// ProcessStart is when the process began; zero: when the Job was made.
	ProcessStart time.Time
	// Parallel is how many chunks are read at once; 0 counts as 1.
	Parallel int
	// Resident returns the process's resident memory in bytes, 0 unknown; nil:
	// unknown. MemoryLimit is its ceiling.
	Resident    func() int64
	MemoryLimit int64
	// Hide masks what must not be shown in the texts of errors; nil: nothing.
	Hide func(string) string
}

// Job records what a run does. All methods may be called concurrently; those
// called for each batch (Rows, Streamed, Queue, Stage) take no lock that a
// Snapshot holds for long.
type Job struct {
	o       Options
	started time.Time
	changed chan struct{}

	firstRow atomic.Int64 // nanoseconds after ProcessStart; 0 not yet
	rows     atomic.Int64 // of the snapshot, this run
	rowBytes atomic.Int64
	changes  atomic.Int64
	changeB  atomic.Int64
	readAt   atomic.Pointer[position.Position]
	nextTick atomic.Int64 // unix nanoseconds of the next sample
	tables   sync.Map     // name → *table
	sinks    sync.Map     // name → *sink
	stages   sync.Map     // stageKey → *stage

	mu        sync.Mutex
	run       uint64
	note      string
	phase     string
	since     time.Time
	parallel  int
	order     []*table // as planned
	reading   map[*table]bool
	marks     map[string]string
	carried   []string         // tables whose snapshot was whole before this run
	buried    map[string]int64 // rows put aside in this run, by table of the source
	stageSeq  []stageKey
	describe  func(position.Position) string
	texts     map[position.Position]string // that describe gave
	head      *head
	keptFor   time.Duration
	reach     time.Duration
	hist      *history // counters: see values
	snapHist  *history // the same since the snapshot began
	stageHist map[stageKey]*history
}

// Counters of hist, by index.
const (
	cRows = iota
	cBytes
	cChanges
	cCommitTime // seconds of log time that all sinks have reached, 0 unknown
	counters
)

type head struct {
	at    position.Position
	ahead int64
	read  time.Time     // by our clock
	skew  time.Duration // our clock minus the source's
}

// New returns a recorder in phase Starting.
func New(o Options) *Job {
	if o.Now == nil {
		o.Now = time.Now
	}
	now := o.Now()
	if o.ProcessStart.IsZero() {
		o.ProcessStart = now
	}
	return &Job{
		o: o, started: now, changed: make(chan struct{}, 1),
		phase: Starting, since: now, parallel: max(o.Parallel, 1),
		marks: map[string]string{}, buried: map[string]int64{}, reading: map[*table]bool{}, hist: newHistory(now, counters), stageHist: map[stageKey]*history{},
	}
}

// Changed receives after something happened that is worth showing at once: a new
// phase, a table done or marked. It is never closed.
func (j *Job) Changed() <-chan struct{} { return j.changed }

func (j *Job) notify() {
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// Began says which run this is and how it began, e.g. "went on at chunk 812 of
// 2,104 after a stop at 14:01:07"; note may be empty.
func (j *Job) Began(run uint64, note string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.run, j.note = run, note
}

// Parallel says how many chunks are read at once, when Options did not know.
func (j *Job) Parallel(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.parallel = max(n, 1)
}

// Describe sets how places are printed (connector.Describer).
func (j *Job) Describe(f func(position.Position) string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.describe, j.texts = f, map[position.Position]string{}
}

// Phase enters a phase. Rates of the snapshot count from its beginning.
func (j *Job) Phase(name string) {
	j.mu.Lock()
	if j.phase != name {
		j.phase, j.since = name, j.o.Now()
		if name == Snapshot {
			j.snapHist = newHistory(j.since, counters)
			j.snapHist.samples[0].vals = j.values()
		}
	}
	j.mu.Unlock()
	j.notify()
}

// Retention says how long the source keeps its log (0: no limit, or unknown) and
// how far back it reaches now (0 unknown).
func (j *Job) Retention(kept, reach time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keptFor, j.reach = kept, reach
}

// FirstRow is called when a row is handed to a sink; only the first call counts.
func (j *Job) FirstRow() {
	if j.firstRow.Load() == 0 {
		j.firstRow.CompareAndSwap(0, max(1, int64(j.o.Now().Sub(j.o.ProcessStart))))
	}
}

// Streamed counts changes read from the log and the place after them. at may be
// zero inside a transaction: the place then stays.
func (j *Job) Streamed(rows int, bytes int64, at position.Position) {
	j.changes.Add(int64(rows))
	j.changeB.Add(bytes)
	if !at.IsZero() {
		j.readAt.Store(&at)
	}
	j.tick()
}

// Head says where the log ends: the place, how many bytes of log lie between the
// place read and it (negative: unknown), and the source's clock when it was read
// (zero: unknown).
func (j *Job) Head(at position.Position, ahead int64, clock time.Time) {
	now := j.o.Now()
	h := &head{at: at, ahead: ahead, read: now}
	if !clock.IsZero() {
		h.skew = now.Sub(clock)
		j.wholeAt(at, clock)
	}
	j.mu.Lock()
	j.head = h
	j.mu.Unlock()
}

// Marked says that a table needs a resync; a later reason does not replace the
// first.
func (j *Job) Marked(table, reason string) {
	j.mu.Lock()
	if _, known := j.marks[table]; !known {
		j.marks[table] = reason
	}
	j.mu.Unlock()
	j.notify()
}

// Healed says that a table that needed a resync is read again.
func (j *Job) Healed(table string) {
	j.mu.Lock()
	delete(j.marks, table)
	j.mu.Unlock()
	j.notify()
}

// tick keeps a sample when it is time, so that rates are right however seldom
// snapshots are taken.
func (j *Job) tick() {
	now := j.o.Now()
	next := j.nextTick.Load()
	if now.UnixNano() < next || !j.nextTick.CompareAndSwap(next, now.Add(minSpacing).UnixNano()) {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sample(now)
}

// sample keeps the counters of this moment; j.mu is held.
func (j *Job) sample(now time.Time) {
	vals := j.values()
	j.hist.add(now, vals)
	if j.snapHist != nil {
		j.snapHist.add(now, vals)
	}
	for t := range j.reading {
		t.sample(now)
	}
	for k, h := range j.stageHist {
		if s, ok := j.stages.Load(k); ok && h.due(now) {
			h.add(now, s.(*stage).values())
		}
	}
}

func (j *Job) values() []float64 {
	v := make([]float64, counters)
	v[cRows] = float64(j.rows.Load())
	v[cBytes] = float64(j.rowBytes.Load() + j.changeB.Load())
	v[cChanges] = float64(j.changes.Load())
	v[cCommitTime] = float64(j.leastCommitTime()) / 1e6
	return v
}
