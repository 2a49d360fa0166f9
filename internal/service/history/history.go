// Package history keeps how fast jobs were, how far behind and how large, for charts:
// a second apart for 15 minutes, 15 seconds for 6 hours, 5 minutes for 7 days. It is
// in memory only and gone with the process; longer and safer is the work of what
// scrapes /metrics.
package history

import (
	"math"
	"slices"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

// The series, by index.
const (
	rows = iota
	bytes
	changes
	lag
	memory
	queue
	seriesCount
)

// catalogue says what the series are. Where a step has several samples, it has their
// mean; but of lag and memory their peak: they are looked at to see whether a limit
// was reached, and a mean hides just that.
var catalogue = [seriesCount]struct {
	name api.HistorySeriesName
	unit api.HistorySeriesUnit
	peak bool
}{
	rows:    {name: api.HistorySeriesNameRows, unit: api.N1S},
	bytes:   {name: api.HistorySeriesNameBytes, unit: api.BS},
	changes: {name: api.HistorySeriesNameChanges, unit: api.N1S},
	lag:     {name: api.HistorySeriesNameLag, unit: api.S, peak: true},
	memory:  {name: api.HistorySeriesNameMemory, unit: api.B, peak: true},
	queue:   {name: api.HistorySeriesNameQueue, unit: api.B},
}

// spans are what can be asked for. Together they have 4,356 points of 24 bytes.
var spans = [...]struct {
	name       api.HistoryParamsSpan
	step, size int64 // seconds, points
}{
	{api.N15M, 1, 900},
	{api.N6H, 15, 1440},
	{api.N7D, 300, 2016},
}

// Keeper keeps the histories of all jobs, some 106 kB for each once a week is full. It is safe for
// concurrent use.
type Keeper struct {
	now func() time.Time

	mu   sync.RWMutex
	jobs map[string]*past
}

// past is the history of one job.
type past struct {
	mu     sync.Mutex
	seen   time.Time // when the last progress was sampled, as it says itself
	tracks [len(spans)]track
}

// New returns a keeper of nothing. A nil now is time.Now.
func New(now func() time.Time) *Keeper {
	if now == nil {
		now = time.Now
	}
	return &Keeper{now: now, jobs: map[string]*past{}}
}

// Sample notes how a job is at this moment; it is called about once a second while
// the job runs, and does not keep p. What p does not know is no sample, nor is a p
// that was given before.
func (k *Keeper) Sample(job string, p *watch.Progress) {
	if p == nil {
		return
	}
	now, sample := k.now().Round(0), pointOf(p) // by the wall's clock alone: charts are about that
	h := k.past(job)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !p.Sampled.IsZero() && p.Sampled.Equal(h.seen) {
		return
	}
	h.seen = p.Sampled
	for i := range h.tracks {
		h.tracks[i].put(now, sample)
	}
}

// past returns the history of a job, making it if there is none.
func (k *Keeper) past(job string) *past {
	k.mu.RLock()
	h := k.jobs[job]
	k.mu.RUnlock()
	if h != nil {
		return h
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if h = k.jobs[job]; h == nil {
		h = &past{}
		for i, s := range spans {
			h.tracks[i] = newTrack(s.step, s.size)
		}
		k.jobs[job] = h
	}
	return h
}

// pointOf reads the series from a progress. Of a file job, rows are objects.
func pointOf(p *watch.Progress) point {
	out := none()
	set := func(series int, v *float64) {
		// What float32 cannot hold is infinite, and JSON cannot hold that.
		if v != nil && !math.IsInf(float64(float32(*v)), 0) {
			out[series] = float32(*v)
		}
	}
	set(rows, p.Rate)
	if p.Files != nil {
		set(rows, p.Files.Rate)
	}
	set(bytes, p.ByteRate)
	if p.Changes != nil {
		set(changes, p.Changes.Rate)
		set(lag, p.Changes.Lag.Seconds)
	}
	if p.Memory.Used > 0 {
		out[memory] = float32(p.Memory.Used)
	}
	if len(p.Sinks) > 0 {
		out[queue] = 0
	}
	for i := range p.Sinks {
		out[queue] += float32(p.Sinks[i].Queue)
	}
	return out
}

// Of returns a job's history over a span, 15m (also if it is empty), 6h or 7d; another
// gives fault.BadRequest. All series have a value for each step of the span, value i
// for the time from From + i·StepS on; nil: no sample. A job of which nothing was
// sampled has nothing but those: which jobs there are others know.
func (k *Keeper) Of(job, span string) (api.History, error) {
	if span == "" {
		span = string(api.N15M)
	}
	for i, s := range spans {
		if string(s.name) == span {
			return k.show(job, i), nil
		}
	}
	return api.History{}, fault.New(fault.BadRequest, "%.40q is no span of a history", span).At("span").Try("it is 15m, 6h or 7d")
}

func (k *Keeper) show(job string, span int) api.History {
	now := k.now()
	k.mu.RLock()
	h := k.jobs[job]
	k.mu.RUnlock()
	t := &track{step: spans[span].step}
	if h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		t = &h.tracks[span]
	}
	size := spans[span].size
	first := t.end(now) - size + 1
	out := api.History{StepS: int(t.step), From: time.Unix(first*t.step, 0).UTC()}
	out.Series = slices.Grow(out.Series, seriesCount)[:seriesCount]
	values := make([]float32, seriesCount*size)
	for i := range out.Series {
		out.Series[i].Name, out.Series[i].Unit = catalogue[i].name, catalogue[i].unit
		out.Series[i].Values = make([]*float32, size)
	}
	for n := range size {
		for i, v := range t.at(first + n) {
			if known(v) {
				at := &values[int64(i)*size+n]
				*at = v
				out.Series[i].Values[n] = at
			}
		}
	}
	return out
}

// Forget drops the history of a job. A Sample of it that comes later begins a new one.
func (k *Keeper) Forget(job string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.jobs, job)
}
