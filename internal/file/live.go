package file

import (
	"context"
	"fmt"
	"sync"
	"time"

	"godwit/internal/job"
	"godwit/internal/watch"
)

// live is what of a job may change while it runs.
type live struct {
	mu      sync.Mutex
	every   time.Duration
	kept    job.Kept      // of the job file as it was read last
	changed chan struct{} // closed when it did
}

func newLive(s *job.Spec) *live {
	return &live{every: s.Files.Every, kept: s.Kept(), changed: make(chan struct{})}
}

func (l *live) interval() time.Duration {
	every, _ := l.get()
	return every
}

func (l *live) get() (every time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.every, l.changed
}

// set takes over a job file and returns what was kept of the one before.
func (l *live) set(s *job.Spec) job.Kept {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.kept
	l.every, l.kept = s.Files.Every, s.Kept()
	close(l.changed)
	l.changed = make(chan struct{})
	return was
}

// rest waits until the next round is due; false: ctx ended before. An edit of every
// counts at once.
func (r *run) rest(ctx context.Context, began time.Time) bool {
	r.record.Phase(watch.Resting)
	for {
		every, changed := r.live.get()
		timer := time.NewTimer(time.Until(began.Add(every)))
		select {
		case <-timer.C:
			return true
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// follow takes over edits of the job file until stop is called.
func (r *run) follow(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-r.options.Reload:
				r.take(context.WithoutCancel(ctx), s)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// take applies what may change while the job runs and says of the rest why it waits.
func (r *run) take(ctx context.Context, now *job.Spec) {
	if now.Name != r.spec.Name || now.Kind != job.KindFiles {
		r.log.Warn("the job file was read again and is not taken over: it is another job now", "name", now.Name, "kind", string(now.Kind))
		return
	}
	taken := 0
	for _, e := range now.Diff(r.live.set(now)) {
		edit := fmt.Sprintf("%s changed from %q to %q", e.Field, e.From, e.To)
		if e.Effect != job.Follows {
			r.log.Warn(edit+": not while the job runs; "+e.Why, "field", e.Field)
			continue
		}
		taken++
		r.log.Info("taken over: " + edit)
		if err := r.state.Note(ctx, r.number, "taken over while running: "+edit); err != nil {
			r.log.Warn("the audit log cannot be written", "error", err)
		}
	}
	if taken == 0 {
		r.log.Info("the job file was read again: nothing to take over")
		return
	}
	r.limits.Set(now.Files.Limits.Bytes, now.Files.Limits.Requests)
}
