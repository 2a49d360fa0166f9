package watch

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"godwit/internal/position"
)

// sink is what is counted of one sink.
type sink struct {
	name          string
	rows, commits atomic.Int64
	buried        atomic.Int64
	queue, limit  atomic.Int64
	last          atomic.Pointer[commit]
	whole         atomic.Int64 // until when nothing is missing in it: microseconds UTC by the source; 0 unknown
	stands        stands
}

type commit struct {
	when time.Time         // by our clock
	at   position.Position // zero for a commit of a chunk
	log  int64             // commit time of the last change in the sink, microseconds UTC by the source; 0 unknown
}

func (j *Job) sink(name string) *sink {
	if s, ok := j.sinks.Load(name); ok {
		return s.(*sink)
	}
	s, _ := j.sinks.LoadOrStore(name, &sink{name: name})
	return s.(*sink)
}

// Committed says that a sink committed rows. at is the stream's place reached
// and logTime its commit time at the source (row.Batch.EndTime; 0 unknown); both
// are zero for a commit of a chunk.
func (j *Job) Committed(sinkName string, rows int64, at position.Position, logTime int64) {
	s := j.sink(sinkName)
	s.rows.Add(rows)
	s.commits.Add(1)
	c := &commit{when: j.o.Now(), at: at, log: logTime}
	for {
		old := s.last.Load()
		if at.IsZero() && old != nil {
			c.at, c.log = old.at, old.log
		}
		if s.last.CompareAndSwap(old, c) {
			break
		}
	}
	j.tick()
}

// Buried says that a sink has put a row of a table of the source aside, as a dead letter.
func (j *Job) Buried(sinkName, table string) {
	j.sink(sinkName).buried.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buried[table]++
}

// Opened says at which place of the stream a sink was found, committed by earlier
// runs, and its commit time at the source (microseconds UTC, 0 unknown): its lag
// is known before this run has committed anything.
func (j *Job) Opened(sinkName string, at position.Position, logTime int64) {
	j.sink(sinkName).last.CompareAndSwap(nil, &commit{at: at, log: logTime})
}

// Queue says how many bytes wait for a sink, of how many that may.
func (j *Job) Queue(sinkName string, bytes, limit int64) {
	s := j.sink(sinkName)
	s.queue.Store(bytes)
	s.limit.Store(limit)
}

// leastCommitTime is the commit time that every sink's stream has reached,
// microseconds; 0 unknown.
func (j *Job) leastCommitTime() int64 {
	var least int64
	j.sinks.Range(func(_, v any) bool {
		c := v.(*sink).last.Load()
		if c == nil || c.log == 0 {
			least = 0
			return false
		}
		if least == 0 || c.log < least {
			least = c.log
		}
		return true
	})
	return least
}

// freshHead is how old a reading of the head may be to say that nothing is
// missing.
const freshHead = 10 * time.Second

// lag tells how far a sink is behind; j.mu is held.
func (j *Job) lag(s *sink, now time.Time) Lag {
	c := s.last.Load()
	if c == nil || c.at.IsZero() || j.head == nil || now.Sub(j.head.read) > freshHead {
		return Lag{State: Unknown}
	}
	order, err := c.at.Compare(j.head.at)
	if err != nil {
		return Lag{State: Unknown}
	}
	if order >= 0 {
		zero := 0.0
		return Lag{State: CaughtUp, Seconds: &zero}
	}
	l := Lag{State: Behind}
	if upTo := max(c.log, s.whole.Load()); upTo != 0 {
		// The source's clock, so that a wrong clock of ours is no lag.
		behind := max(now.Add(-j.head.skew).Sub(time.UnixMicro(upTo)).Seconds(), 0)
		l.Seconds = &behind
	}
	return l
}

// headSlack is how long before it is told a head may have been read.
const headSlack = time.Second

// wholeAt notes which sinks have all that lies before a head: after hours without a change
// the first one that comes has not been missing for hours.
func (j *Job) wholeAt(at position.Position, clock time.Time) {
	upTo := clock.Add(-headSlack).UnixMicro()
	j.sinks.Range(func(_, v any) bool {
		s := v.(*sink)
		if c := s.last.Load(); c != nil && !c.at.IsZero() {
			if order, err := c.at.Compare(at); err == nil && order >= 0 {
				s.whole.Store(upTo)
			}
		}
		return true
	})
}

// sinkList returns all sinks by name and the worst lag; j.mu is held.
func (j *Job) sinkList(now time.Time) (out []Sink, worst Lag) {
	j.sinks.Range(func(_, v any) bool {
		s := v.(*sink)
		c := s.last.Load()
		o := Sink{Name: s.name, Rows: s.rows.Load(), Commits: s.commits.Load(), Buried: s.buried.Load(), Queue: s.queue.Load(), QueueLimit: s.limit.Load(), Lag: j.lag(s, now), Standing: s.stands.last.Load()}
		if c != nil {
			o.Position = j.text(c.at)
			if !c.when.IsZero() {
				when := c.when.UTC()
				o.CommittedAt = &when
			}
		}
		out = append(out, o)
		return true
	})
	slices.SortFunc(out, func(a, b Sink) int { return cmp.Compare(a.Name, b.Name) })
	worst = Lag{State: Unknown}
	for i, s := range out {
		if i == 0 || worse(s.Lag, worst) {
			worst = s.Lag
			worst.Sink = s.Name
		}
	}
	return out, worst
}

// worse orders lags: unknown is worse than any that is known.
func worse(a, b Lag) bool {
	rank := func(l Lag) float64 {
		switch {
		case l.State == Unknown:
			return 1e18
		case l.Seconds == nil:
			return 1e17
		}
		return *l.Seconds
	}
	return rank(a) > rank(b)
}

// textsMost is how many texts of places are remembered: those that are shown together,
// and some that were.
const textsMost = 16

// text is a place for people; j.mu is held.
func (j *Job) text(p position.Position) string {
	switch {
	case p.IsZero():
		return ""
	case j.describe == nil:
		return p.Token()
	}
	text, known := j.texts[p]
	if !known {
		if len(j.texts) >= textsMost {
			clear(j.texts)
		}
		text = j.describe(p)
		j.texts[p] = text
	}
	return text
}
