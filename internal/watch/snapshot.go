package watch

import (
	"maps"
	"slices"
	"time"
)

// Snapshot returns the job as it is now.
func (j *Job) Snapshot() Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.o.Now()
	ts := j.tallies(now)
	p := Progress{
		Job: j.o.Job, Run: j.run, Note: j.note, Mode: j.o.Mode, Phase: j.phase, Since: j.since.UTC(), Started: j.started.UTC(),
		Sampled: now.UTC(), Elapsed: now.Sub(j.started).Seconds(),
		Rows:  count(ts),
		Bytes: j.rowBytes.Load() + j.changeB.Load(),
	}
	if n := j.firstRow.Load(); n > 0 {
		ms := (n + int64(time.Millisecond) - 1) / int64(time.Millisecond)
		p.FirstRow = &ms
	}
	p.Tables, p.Marked = j.tableCounts(ts)
	p.Active = activeList(ts, now)
	j.rates(&p, now)
	p.Left = j.left(ts, p.Rows, now)
	var worst Lag
	p.Sinks, worst = j.sinkList(now)
	p.Changes = j.stream(worst, now)
	p.Stages, p.Brake = j.stageList(now)
	p.Memory.Limit = j.o.MemoryLimit
	if j.o.Resident != nil {
		p.Memory.Used = j.o.Resident()
	}
	if j.keptFor > 0 {
		s := j.keptFor.Seconds()
		p.KeptFor = &s
	}
	if j.reach > 0 {
		s := j.reach.Seconds()
		p.Reach = &s
	}
	j.sample(now)
	p.round()
	return p
}

func (j *Job) tableCounts(ts []tally) (c TableCounts, marks []Mark) {
	for _, t := range ts {
		c.Total++
		switch {
		case t.done:
			c.Done++
		case t.active > 0:
			c.Active++
		default:
			c.Waiting++
		}
	}
	marks = j.markList()
	c.Marked = len(marks)
	return c, marks
}

// Marks returns the tables that need a resync, by name.
func (j *Job) Marks() []Mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.markList()
}

// markList is Marks; j.mu is held.
func (j *Job) markList() (marks []Mark) {
	for _, name := range slices.Sorted(maps.Keys(j.marks)) {
		marks = append(marks, Mark{Table: name, Reason: j.marks[name]})
	}
	return marks
}

// rates fills the rates of the phase; j.mu is held.
func (j *Job) rates(p *Progress, now time.Time) {
	h := j.hist
	if j.snapHist != nil && j.phase == Snapshot {
		h = j.snapHist
	}
	w := window(now.Sub(h.start))
	vals := j.values()
	if j.phase == Snapshot {
		p.Rate = known(h.rate(now, cRows, vals[cRows], w))
	}
	p.ByteRate = known(h.rate(now, cBytes, vals[cBytes], w))
}

func known(rate float64) *float64 {
	if rate < 0 {
		return nil
	}
	return &rate
}

// stream fills what is known of the log; nil when it is not read. j.mu is held.
func (j *Job) stream(worst Lag, now time.Time) *Changes {
	at := j.readAt.Load()
	if at == nil && j.head == nil && j.phase != Stream {
		return nil
	}
	c := &Changes{Rows: j.changes.Load(), Lag: worst}
	c.Rate = known(j.hist.rate(now, cChanges, float64(c.Rows), window(now.Sub(j.hist.start))))
	if at != nil {
		c.Position = j.text(*at)
	}
	if j.head != nil {
		read := j.head.read.UTC()
		c.Head, c.HeadAt = j.text(j.head.at), &read
		if j.head.ahead >= 0 {
			n := j.head.ahead
			c.Ahead = &n
		}
	}
	j.follow(c, now)
	return c
}
