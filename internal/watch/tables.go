package watch

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxActive is how many tables a Progress lists.
const MaxActive = 20

// priorChunks is how many chunks' worth of weight the source's estimate has
// against chunks that are finished.
const priorChunks = 3

// table is what is counted of one table's snapshot.
type table struct {
	name  string
	rows  atomic.Int64 // this run
	bytes atomic.Int64

	mu        sync.Mutex
	planned   bool
	estRows   int64 // the source's estimate, -1 unknown
	estBytes  int64
	chunks    int
	before    int64 // rows that earlier runs had finished
	beforeN   int   // and chunks
	finished  int   // chunks, earlier runs' included
	finRows   int64 // rows of finished chunks
	active    int
	busy      time.Duration // sum over chunks of the time they were read
	busySince time.Time
	first     time.Time
	done      bool
	hist      *history // of runRows, busy seconds and bytes, while it is being read
}

// Counters of a table's hist.
const (
	tRows = iota
	tBusy
	tBytes
	tableCounters
)

// tally is a table's counters read together.
type tally struct {
	name                    string
	done                    bool
	rows, runRows, runBytes int64
	chunks, finished        int
	active                  int
	total                   int64 // corrected; -1 unknown
	estimated               int64
	exceeded                bool
	estBytes                int64
	busy                    time.Duration
	first                   time.Time
	recent                  [paces]spent
}

// spent is what a stretch of time has brought.
type spent struct{ rows, busy, bytes float64 }

func (j *Job) table(name string) *table {
	if t, ok := j.tables.Load(name); ok {
		return t.(*table)
	}
	v, known := j.tables.LoadOrStore(name, &table{name: name, estRows: -1, estBytes: -1})
	if !known {
		j.mu.Lock()
		j.order = append(j.order, v.(*table))
		j.mu.Unlock()
	}
	return v.(*table)
}

// TablePlanned announces a table of the snapshot: estimates of rows and bytes
// (-1 unknown) and the number of chunks.
func (j *Job) TablePlanned(name string, rows, bytes int64, chunks int) {
	t := j.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.planned, t.estRows, t.estBytes, t.chunks = true, rows, bytes, max(chunks, 1)
}

// Resumed says what earlier runs have finished of a table: it counts as done but
// not for rates.
func (j *Job) Resumed(name string, rows int64, chunks int) {
	t := j.table(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before, t.beforeN = rows, chunks
	t.finished += chunks
	t.finRows += rows
}

// ChunkStarted says that a chunk of the table is being read.
func (j *Job) ChunkStarted(name string) {
	t, now := j.table(name), j.o.Now()
	t.mu.Lock()
	t.settle(now)
	t.active++
	first := t.first.IsZero()
	if first {
		t.first, t.hist = now, newHistory(now, tableCounters)
	}
	t.mu.Unlock()
	if first {
		j.mu.Lock()
		j.reading[t] = true
		j.mu.Unlock()
	}
}

// ChunkDone says that a chunk is committed, with the rows it has.
func (j *Job) ChunkDone(name string, rows int64) {
	t, now := j.table(name), j.o.Now()
	t.mu.Lock()
	t.settle(now)
	t.active = max(0, t.active-1)
	t.finished++
	t.finRows += rows
	t.mu.Unlock()
}

// ChunkAgain says that a chunk ended without success and will be read again;
// rows and bytes counted for it are taken back.
func (j *Job) ChunkAgain(name string, rows int, bytes int64) {
	t, now := j.table(name), j.o.Now()
	t.mu.Lock()
	t.settle(now)
	t.active = max(0, t.active-1)
	t.mu.Unlock()
	t.rows.Add(-int64(rows))
	t.bytes.Add(-bytes)
	j.rows.Add(-int64(rows))
	j.rowBytes.Add(-bytes)
}

// TableDone says that the snapshot of a table is whole.
func (j *Job) TableDone(name string) {
	t := j.table(name)
	t.mu.Lock()
	t.done, t.hist = true, nil
	t.mu.Unlock()
	j.mu.Lock()
	delete(j.reading, t)
	j.mu.Unlock()
	j.notify()
}

// Rows counts rows of a table's snapshot and their payload.
func (j *Job) Rows(name string, rows int, bytes int64) {
	t := j.table(name)
	t.rows.Add(int64(rows))
	t.bytes.Add(bytes)
	j.rows.Add(int64(rows))
	j.rowBytes.Add(bytes)
	j.tick()
}

// settle brings busy up to now; t.mu is held.
func (t *table) settle(now time.Time) {
	if t.active > 0 {
		t.busy += time.Duration(t.active) * now.Sub(t.busySince)
	}
	t.busySince = now
}

// values are the counters of hist; t.mu is held and busy is settled.
func (t *table) values() []float64 {
	return []float64{float64(t.rows.Load()), t.busy.Seconds(), float64(t.bytes.Load())}
}

// sample keeps the counters of now.
func (t *table) sample(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hist != nil && t.active > 0 && t.hist.due(now) {
		t.settle(now)
		t.hist.add(now, t.values())
	}
}

// since returns what the time after from has brought; t.mu is held.
func (t *table) since(from time.Time) spent {
	if t.hist == nil { // done, or not begun
		return spent{}
	}
	v := t.values()
	return spent{v[tRows] - t.hist.at(from, tRows), v[tBusy] - t.hist.at(from, tBusy), v[tBytes] - t.hist.at(from, tBytes)}
}

// tally reads the counters at now; recent is filled for windows back from now.
func (t *table) tally(now time.Time, windows [paces]time.Duration) tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	y := tally{
		name: t.name, done: t.done, runRows: t.rows.Load(), runBytes: t.bytes.Load(),
		chunks: t.chunks, finished: t.finished, active: t.active,
		estimated: t.estRows, estBytes: t.estBytes, busy: t.busy, first: t.first,
	}
	y.rows = t.before + y.runRows
	for i, w := range windows {
		y.recent[i] = t.since(now.Add(-w))
	}
	y.total = t.total()
	switch {
	case t.done:
		y.total = y.rows
	case y.total >= 0 && y.rows > y.total:
		y.exceeded = true
	}
	return y
}

// total is the estimate corrected by the chunks that are finished: they count as
// they are, the others as their mean, to which the source's estimate gives the
// first values.
func (t *table) total() int64 {
	left := max(t.chunks-t.finished, 0)
	switch {
	case t.estRows < 0 && t.finished == 0:
		return -1
	case t.estRows < 0:
		return t.finRows + int64(left)*t.finRows/int64(t.finished)
	case left == 0:
		return t.finRows
	}
	prior := float64(t.estRows) / float64(max(t.chunks, 1))
	mean := (prior*priorChunks + float64(t.finRows)) / float64(priorChunks+t.finished)
	return t.finRows + int64(mean*float64(left))
}

// tallies reads all tables; j.mu is held.
func (j *Job) tallies(now time.Time) []tally {
	windows := j.windows(now)
	out := make([]tally, 0, len(j.order))
	for _, t := range j.order {
		out = append(out, t.tally(now, windows))
	}
	return out
}

// count sums what is done of all tables.
func count(ts []tally) Count {
	c := Count{Kind: Exact}
	allDone := true
	for _, t := range ts {
		c.Done += t.rows
		allDone = allDone && t.done
		switch {
		case t.done:
			c.Total += t.rows
			c.Estimated += t.rows
		case t.total < 0:
			c.Kind = None
		case t.exceeded:
			c.Total += t.rows
			c.Estimated += max(t.estimated, 0)
			if c.Kind != None {
				c.Kind = Growing
			}
		default:
			c.Total += t.total
			c.Estimated += t.total
			if c.Kind == Exact {
				c.Kind = Estimate
			}
		}
	}
	if c.Kind == None {
		c.Total = 0
	}
	if c.Kind != Growing {
		c.Estimated = 0
	}
	c.percent(allDone && len(ts) > 0)
	return c
}

// percent is told only of totals that are not exceeded, and is 100 only when all
// is done.
func (c *Count) percent(done bool) {
	var p float64
	switch {
	case done:
		p = 100
	case c.Kind != Estimate && c.Kind != Exact || c.Total <= 0:
		return
	default:
		p = min(100*float64(c.Done)/float64(c.Total), 99.9)
	}
	c.Percent = &p
}

// activeList returns the tables being read, those with most left first.
func activeList(ts []tally, now time.Time) []Table {
	var out []Table
	for _, t := range ts {
		if t.done || t.active == 0 {
			continue
		}
		one := count([]tally{t})
		o := Table{Name: t.name, Rows: one, ChunksDone: t.finished, Chunks: t.chunks}
		if took := now.Sub(t.first).Seconds(); took >= 1 {
			r := float64(t.runRows) / took
			o.Rate = &r
		}
		out = append(out, o)
	}
	slices.SortStableFunc(out, func(a, b Table) int { return cmp.Compare(b.Rows.Total-b.Rows.Done, a.Rows.Total-a.Rows.Done) })
	return out[:min(len(out), MaxActive)]
}
