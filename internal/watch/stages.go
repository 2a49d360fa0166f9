package watch

import (
	"sync/atomic"
	"time"
)

type stageKey struct{ sink, stage string }

type stage struct{ busy, blocked, waiting atomic.Int64 } // nanoseconds

func (s *stage) values() []float64 {
	return []float64{float64(s.busy.Load()), float64(s.blocked.Load()), float64(s.waiting.Load())}
}

// Stage adds how a stage spent its time: at work, blocked by the next stage,
// waiting for the previous one. sinkName is empty for stages before the fan-out.
// Stages are source, decode, select, queue, encode, apply, commit.
func (j *Job) Stage(sinkName, name string, busy, blocked, waiting time.Duration) {
	k := stageKey{sinkName, name}
	v, ok := j.stages.Load(k)
	if !ok {
		var known bool
		if v, known = j.stages.LoadOrStore(k, &stage{}); !known {
			j.mu.Lock()
			j.stageSeq = append(j.stageSeq, k)
			j.stageHist[k] = newHistory(j.o.Now(), 3)
			j.mu.Unlock()
		}
	}
	s := v.(*stage)
	s.busy.Add(int64(busy))
	s.blocked.Add(int64(blocked))
	s.waiting.Add(int64(waiting))
}

// fresh is how old a change may be when it arrives so that the source has waited for it.
const fresh = 2 * time.Second

// Fresh reports whether something that was committed at a time by the source's clock,
// microseconds UTC, has only just been. It is false while nothing is known of the end of
// the log.
func (j *Job) Fresh(at int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.head != nil && j.o.Now().Add(-j.head.skew).Sub(time.UnixMicro(at)) < fresh
}

// brakeShare is the least share of its time a stage must be busy to be named:
// below it nothing here is the brake, the source has nothing more.
const brakeShare = 0.5

// brakeTime is the least time a stage must have been measured for: what a second
// showed is no brake.
const brakeTime = 3 * time.Second

// stageList returns the shares of the last five minutes, in the order in which
// stages were first seen, and the brake; j.mu is held.
func (j *Job) stageList(now time.Time) (out []Stage, brake *Brake) {
	for _, k := range j.stageSeq {
		v, _ := j.stages.Load(k)
		vals := v.(*stage).values()
		var d [3]float64
		for i := range d {
			d[i] = max(0, vals[i]-j.stageHist[k].at(now.Add(-stageWindow), i))
		}
		sum := d[0] + d[1] + d[2]
		if sum <= 0 {
			continue
		}
		s := Stage{Sink: k.sink, Stage: k.stage, Busy: d[0] / sum, Blocked: d[1] / sum, Waiting: d[2] / sum}
		out = append(out, s)
		if s.Busy >= brakeShare && sum >= float64(brakeTime) && (brake == nil || s.Busy > brake.Share) {
			brake = &Brake{Sink: s.Sink, Stage: s.Stage, Share: s.Busy}
		}
	}
	return out, brake
}
