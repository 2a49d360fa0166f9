package table

import (
	"context"
	"time"

	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/watch"
)

// lookEvery is how often a run looks how long the log will still reach back to
// what it needs, and againAfter how long it is silent about it after a warning.
const (
	lookEvery  = 10 * time.Second
	againAfter = time.Hour
)

// logWatch looks after the log while a job runs.
type logWatch struct {
	w       *work
	states  []*flow.SinkState // as of that many commits of this run; nil: not read yet
	commits int64
	removed int       // parts that were gone at the first look
	looked  bool      // there was one
	warned  time.Time // zero: not yet, or all is well again
}

// watchLog looks after the log until stop is called. When the log has lost what a
// snapshot of a sink needs it ends the copies for that: hours of copying would end in the same
// error.
func (w *work) watchLog(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		l := &logWatch{w: w}
		for {
			l.look(ctx, time.Now())
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// look looks once. What cannot be read now is looked at the next time: a source or
// sink that fails for good ends the run elsewhere.
func (l *logWatch) look(ctx context.Context, now time.Time) {
	if err := l.find(ctx); err != nil {
		return
	}
	o, err := l.w.outlook(ctx, l.states)
	if err != nil || !o.known {
		return
	}
	l.w.record.Retention(o.Kept, o.Reach)
	if !l.looked {
		l.looked, l.removed = true, o.Removed
	}
	o.purged = o.Removed > l.removed
	if p := l.w.record.Snapshot(); p.Left != nil && p.Phase == watch.Snapshot {
		o.takes, o.basis = time.Duration(p.Left.Seconds*float64(time.Second)), p.Left.Basis
	}
	f := o.verdict()
	switch {
	case f == nil:
		if now.Sub(l.warned) > againAfter {
			l.warned = time.Time{}
		}
	case f.Code == fault.SourceLost && len(o.lost) > 0 && !o.apart:
		for _, sink := range o.lost {
			l.w.logOf(sink).lose(f)
		}
	case f.Code == fault.SourceLost && !o.apart: // a stream that reads is ahead of what it has committed, and finds out itself
	case l.warned.IsZero():
		l.warned = now
		l.w.flow.Log.Warn(f.What, "hint", f.Hint)
	}
}

// find reads what the sinks hold, if this run has committed since it was read last:
// nobody else does while it lives.
func (l *logWatch) find(ctx context.Context) error {
	commits := l.w.flow.Commits()
	if l.states != nil && commits == l.commits {
		return nil
	}
	states, failed := l.w.flow.Reach(ctx)
	if len(states) == 0 {
		for _, err := range failed {
			return err
		}
	}
	l.states, l.commits = states, commits
	return nil
}

// sinkLog is done once the log has lost what the snapshot of a sink needs; lose does it.
type sinkLog struct {
	context.Context
	lose context.CancelCauseFunc
}

func (w *work) logOf(sink string) sinkLog {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, known := w.logs[sink]
	if !known {
		l.Context, l.lose = context.WithCancelCause(context.Background())
		w.logs[sink] = l
	}
	return l
}

// untilLost returns a context for a copy that ends when the log has lost what the
// snapshot of one of its sinks needs, and why it ended then. A table that is read again
// has a place of its own.
func (w *work) untilLost(ctx context.Context, sinks []*flow.SinkState) (context.Context, func(error) error, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var stops []func() bool
	for _, s := range sinks {
		if s.Number > 0 {
			continue
		}
		log := w.logOf(s.Sink.Name)
		stops = append(stops, context.AfterFunc(log, func() { cancel(context.Cause(log)) }))
	}
	why := func(err error) error {
		if lost := context.Cause(ctx); err != nil && fault.Has(lost, fault.SourceLost) {
			return lost
		}
		return err
	}
	return ctx, why, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}
