package table

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
)

// This file has what a run does for sinks that go alone: those that cannot be reached,
// that failed or kept the others waiting, and those that were added later. They have
// tasks, and a reader, of their own until they are where the others are
// (docs/decisions/0031-a-sink-goes-alone.md).

// leaveAgain is for how long a sink that has left stays alone at least, twice as long
// each time, and longest how long that gets: coming together and parting makes all
// begin anew.
const (
	leaveAgain = 5 * time.Second
	longest    = 10 * time.Minute
)

// aside is a sink that goes alone.
type aside struct {
	until time.Time // it does not come back before
	times int       // it has left so often in this run
	alone bool
}

// bears reports whether the run goes on without a sink that fails. What begins it, and
// what begins everything again, needs them all; a server begins a job with those there
// are.
func (w *work) bears() bool { return w.begun || w.options.Driving != nil && !w.again }

// goesAlone reports whether a sink has tasks of its own.
func (w *work) goesAlone(sink string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asides[sink].alone
}

// partSink has a sink go alone; false: it does already.
func (w *work) partSink(sink string, hold bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.asides[sink]
	if a.alone {
		return false
	}
	a.alone = true
	if hold {
		a.until = time.Now().Add(min(longest, leaveAgain<<min(a.times, 10)))
		a.times++
	}
	w.asides[sink] = a
	return true
}

// joinSink has a sink go with the others again, if it may by now.
func (w *work) joinSink(sink string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.asides[sink]
	if !a.alone || time.Now().Before(a.until) {
		return false
	}
	a.alone = false
	w.asides[sink] = a
	return true
}

// anyAlone reports whether some sink is not with the others, or not there.
func (w *work) anyAlone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asides {
		if a.alone {
			return true
		}
	}
	return len(w.unreached) > 0
}

// groups divides sinks, or parts of them, into those that have tasks together, and
// names what tells their tasks from the others'.
func (w *work) groups(sinks []*flow.SinkState) (groups [][]*flow.SinkState, suffixes []string) {
	together := slices.DeleteFunc(slices.Clone(sinks), func(s *flow.SinkState) bool { return w.goesAlone(s.Sink.Name) })
	for n, g := range flow.Together(together) {
		suffix := ""
		if n > 0 {
			suffix = fmt.Sprintf(" (%d)", n+1)
		}
		groups, suffixes = append(groups, g), append(suffixes, suffix)
	}
	for _, s := range sinks {
		if w.goesAlone(s.Sink.Name) {
			groups, suffixes = append(groups, []*flow.SinkState{s}), append(suffixes, ofSink(s.Sink.Name))
		}
	}
	return groups, suffixes
}

// ofSink is how the IDs of the tasks of a sink that goes alone end.
func ofSink(name string) string { return " of " + name }

// blames looks at how a task of several sinks failed: the one that caused it goes alone
// from now on.
func (w *work) blames(ctx context.Context, sinks []*flow.SinkState, err error, regroup func()) {
	if err == nil || ctx.Err() != nil || len(sinks) < 2 {
		return
	}
	f := fault.Of(err)
	if f.Sink == "" || fault.ClassOf(err) == fault.Fenced || !w.partSink(f.Sink, true) {
		return
	}
	w.flow.Log.Warn("a sink goes alone", "sink", f.Sink, "code", string(f.Code))
	regroup()
}

// watchAlone tells when the stream of a sink that goes alone is where another sink's
// is, until stop is called: then they come together.
func (w *work) watchAlone(s *flow.SinkState, regroup func()) (stop func()) {
	return repeated(watchEvery, func() bool {
		if !slices.ContainsFunc(w.opened.flow.Streaming(), func(o string) bool { return o != s.Sink.Name && !w.goesAlone(o) && w.flow.Near(s.Sink.Name, o) }) {
			return false
		}
		if !w.joinSink(s.Sink.Name) {
			return false
		}
		regroup()
		return true
	})
}

// repeated calls f again and again until it says that it is done, or stop is called,
// which waits for it.
func repeated(every time.Duration, f func() (done bool)) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-end:
				return
			}
			if f() {
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// openAll opens the source and the sinks, those that can be: of the others it keeps why
// not.
func (w *work) openAll(ctx context.Context) error {
	if w.opened == nil {
		o, err := w.connect(ctx)
		if err != nil {
			return err
		}
		w.opened = o
	}
	for i := range w.spec.Sinks {
		if err := w.openSink(ctx, &w.spec.Sinks[i]); err != nil {
			if !w.bears() {
				return err
			}
			w.lacks(w.spec.Sinks[i].Name, err)
		}
	}
	return nil
}

// lacks notes that a sink cannot be asked.
func (w *work) lacks(sink string, err error) {
	w.mu.Lock()
	_, known := w.unreached[sink]
	w.unreached[sink] = err
	w.mu.Unlock()
	if !known {
		w.partSink(sink, true)
		w.flow.Log.Warn("a sink cannot be reached", "sink", sink, "error", err)
	}
}

// reached are the states of the sinks that can be asked.
func (w *work) reached(ctx context.Context) ([]*flow.SinkState, error) {
	if err := w.openAll(ctx); err != nil {
		return nil, err
	}
	states, failed := w.flow.Reach(ctx)
	for _, s := range w.spec.Sinks {
		if err := failed[s.Name]; err != nil {
			if !w.bears() || ctx.Err() != nil {
				return nil, err
			}
			w.lacks(s.Name, err)
		}
	}
	if len(states) == 0 {
		return nil, w.why()
	}
	return states, ctx.Err()
}

// why is why the first sink that is not there is not there.
func (w *work) why() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.spec.Sinks {
		if err := w.unreached[s.Name]; err != nil {
			return err
		}
	}
	return fault.New(fault.Internal, "a job without sinks")
}

// findLacking finds a stream for each sink that could not be asked, which tries again.
func (w *work) findLacking(found func(job.Task)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.spec.Sinks {
		if w.unreached[s.Name] != nil {
			found(job.Task{ID: streamNow + ofSink(s.Name), Kind: job.Stream, Sinks: s.Name, Revision: fmt.Sprint(notReached, w.reaches)})
		}
	}
}

// notReached begins the revision of a stream whose sink was not to be asked.
const notReached = "not reached "

// reach asks a sink again, and begins it if that was never done in this run. Then
// planning finds what there is to do for it.
func (w *work) reach(ctx context.Context, r engine.Run, claim connector.Claim) error {
	name := r.Task.Sinks
	i := slices.IndexFunc(w.spec.Sinks, func(s job.Sink) bool { return s.Name == name })
	if i < 0 {
		return fault.New(fault.Internal, "the engine started a task for the unknown sink %q", name)
	}
	if err := w.openSink(ctx, &w.spec.Sinks[i]); err != nil {
		return err
	}
	states, failed := w.flow.Reach(ctx)
	if failed[name] != nil {
		return failed[name]
	}
	var own, others []*flow.SinkState
	for _, s := range states {
		if s.Sink.Name == name {
			own = append(own, s)
		} else {
			others = append(others, s)
		}
	}
	if !w.isReady(name) {
		if err := w.fits(own); err != nil {
			return fault.InSink(name, err)
		}
		if err := w.beginSinks(ctx, own, others, claim); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.reaches++
	delete(w.unreached, name)
	w.mu.Unlock()
	r.Regroup()
	return nil
}

func (w *work) isReady(sink string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ready[sink]
}

// isReach reports whether a task is one that findLacking found.
func isReach(t job.Task) bool {
	return t.Kind == job.Stream && strings.HasPrefix(t.Revision, notReached)
}
