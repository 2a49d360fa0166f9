package table

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/watch"
)

// work is one run of a table job as its engine sees it (engine.Work).
type work struct {
	*opened
	run     uint64
	again   bool
	record  *watch.Job
	states  []*flow.SinkState
	until   connector.Until
	began   func() error  // called once every sink has the place this run starts from
	settled chan struct{} // closed then
	// log is done once the log has lost what the snapshot needs; logLost does it.
	log     context.Context
	logLost context.CancelCauseFunc

	mu      sync.Mutex
	copies  map[string]*flow.ChunkTask
	streams map[string]*flow.StreamTask
	left    map[string]int // copy tasks of a table that have not finished
}

// Task ids of streams: sinks whose snapshot is whole stream at once, the others
// after their chunks.
const (
	streamNow   = "stream"
	streamAfter = "stream after copies"
)

// finished reports whether every sink has come to the end that the spec asks for,
// so that there is nothing to do. A run that was killed within its last commit
// still has that to finish.
func (w *work) finished(ctx context.Context) (bool, error) {
	end := w.reached()
	if end == "" {
		return false, nil
	}
	for _, s := range w.states {
		if !w.over(s) {
			return false, nil
		}
		if settled, err := w.flow.Settled(ctx, s); err != nil || !settled {
			return false, err
		}
	}
	return true, nil
}

// reached is the note of the end that is asked for; empty when the next run has
// more to do.
func (o *opened) reached() string {
	switch {
	case o.spec.Mode == job.Snapshot:
		return "snapshot"
	case !o.spec.Until.Time.IsZero():
		return "time " + o.spec.Until.Time.UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// fits refuses a job file that asks for something else than what the sinks hold.
func (w *work) fits() error {
	want := strings.Join(w.spec.Tables.Patterns, " ")
	for _, s := range w.states {
		switch {
		case s.At.IsZero():
		case s.Patterns != want:
			return fault.New(fault.JobEdit, "tables changed from [%s] to [%s] after sink %q was begun", s.Patterns, want, s.Sink.Name).
				Try("take the edit back, or read everything again: godwit run --again %s", w.spec.File)
		case w.spec.Mode != job.Changes && s.Generation == 0:
			return fault.New(fault.JobEdit, "mode %s needs a snapshot, but sink %q was begun with mode changes", w.spec.Mode, s.Sink.Name).
				Try("take the edit back, or begin with a snapshot: godwit run --again %s", w.spec.File)
		}
	}
	return nil
}

// begins says in words where the run goes on.
func (w *work) begins() string {
	if w.again {
		return "begins again"
	}
	for _, s := range w.states {
		switch {
		case s.At.IsZero():
		case s.Generation > 0 && !s.Whole:
			return "goes on with the snapshot"
		default:
			return "goes on at " + w.describe(s.At)
		}
	}
	return ""
}

// prepare fixes where the run ends and makes sure every sink has a place to start
// from.
func (w *work) prepare(ctx context.Context) error {
	if err := w.checkSource(ctx); err != nil {
		return err
	}
	if err := w.fixUntil(ctx); err != nil {
		return err
	}
	claim := connector.Claim{Run: w.run}
	if w.again {
		if err := w.flow.Again(ctx, w.states, claim); err != nil {
			return err
		}
	}
	b := flow.Beginning{Snapshot: w.spec.Mode != job.Changes}
	if !b.Snapshot && !w.spec.Start.Head {
		at, err := w.locate(ctx)
		if err != nil {
			return err
		}
		b.Start = at
	}
	return w.flow.Begin(ctx, w.states, b, claim)
}

// checkSource refuses a source that would let changes pass unseen, such as one that
// logs statements.
func (w *work) checkSource(ctx context.Context) error {
	c, ok := w.source.(connector.Checker)
	if !ok {
		return nil
	}
	for _, f := range c.Check(ctx, w.states[0].Tables()) {
		if f.Fault != nil && !f.Warn {
			return f.Fault
		}
	}
	return nil
}

func (w *work) fixUntil(ctx context.Context) error {
	w.until.Time = w.spec.Until.Time
	if !w.spec.Until.Head {
		return nil
	}
	h, ok := w.source.(connector.Header)
	if !ok {
		return fault.New(fault.JobValue, "source %s cannot tell the end of its log: until: head is not possible", w.spec.Source.Driver)
	}
	head, clock, err := h.Head(ctx)
	if err != nil {
		return err
	}
	w.until.Place = head
	w.record.Head(head, -1, clock)
	return nil
}

func (w *work) locate(ctx context.Context) (position.Position, error) {
	for _, s := range w.states {
		if s.At.IsZero() {
			l, ok := w.source.(connector.Locator)
			if !ok {
				return position.Position{}, fault.New(fault.JobValue, "source %s can only start at head", w.spec.Source.Driver)
			}
			return l.Locate(ctx, w.spec.Start.Place, w.spec.Start.Time)
		}
	}
	return position.Position{}, nil
}

// Find finds the streams first, then the chunks that some sink lacks.
func (w *work) Find(ctx context.Context, found func(job.Task)) error {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	if err := w.began(); err != nil {
		return err
	}
	close(w.settled)
	var whole, copying []*flow.SinkState
	for _, s := range w.states {
		if s.Generation > 0 && !s.Whole {
			copying = append(copying, s)
		} else {
			whole = append(whole, s)
		}
	}
	w.addStream(streamNow, whole, found)
	w.addStream(streamAfter, copying, found)
	if len(copying) == 0 {
		w.record.Phase(watch.Stream)
		return nil
	}
	w.record.Phase(watch.Planning)
	return w.findCopies(ctx, copying, found)
}

func (w *work) addStream(id string, sinks []*flow.SinkState, found func(job.Task)) {
	if len(sinks) == 0 {
		return
	}
	w.mu.Lock()
	w.streams[id] = &flow.StreamTask{Sinks: sinks, Until: w.until, ToMarks: w.spec.Mode == job.Snapshot, Reached: w.reached()}
	w.mu.Unlock()
	found(job.Task{ID: id, Kind: job.Stream, AfterCopies: id == streamAfter})
}

// planners is how many tables are divided at once: planning is many small waits.
const planners = 4

func (w *work) findCopies(ctx context.Context, sinks []*flow.SinkState, found func(job.Task)) error {
	numbers := make(chan uint32)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range planners {
		wg.Go(func() {
			for n := range numbers {
				if err := w.findTable(ctx, n, sinks, found); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, n := range tableNumbers(sinks) {
		select {
		case numbers <- n:
		case <-ctx.Done():
		}
	}
	close(numbers)
	wg.Wait()
	return context.Cause(ctx)
}

func tableNumbers(sinks []*flow.SinkState) []uint32 {
	seen := map[uint32]bool{}
	var out []uint32
	for _, s := range sinks {
		for _, n := range s.Numbers() {
			if !seen[n] {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	return out
}

func (w *work) findTable(ctx context.Context, number uint32, sinks []*flow.SinkState, found func(job.Task)) error {
	tasks, err := w.flow.PlanTable(ctx, number, sinks)
	if err != nil || len(tasks) == 0 {
		return err
	}
	t := tasks[0].Table
	name := t.Name.String()
	chunks, resumed := 0, 0
	var open []*flow.ChunkTask
	for _, task := range tasks {
		lacking, settled, err := w.flow.Lacking(ctx, task)
		if err != nil {
			return err
		}
		chunks += len(task.Splits)
		resumed += len(task.Splits) - lacking
		if !settled {
			open = append(open, task)
		}
	}
	w.record.TablePlanned(name, t.Rows, t.Bytes, chunks)
	if resumed > 0 {
		w.record.Resumed(name, max(0, t.Rows)*int64(resumed)/int64(chunks), resumed)
	}
	if len(open) == 0 {
		w.record.TableDone(name)
		return nil
	}
	w.mu.Lock()
	w.left[name] = len(open)
	for _, task := range open {
		w.copies[task.ID] = task
	}
	w.mu.Unlock()
	w.record.Phase(watch.Snapshot)
	for _, task := range open {
		found(job.Task{ID: task.ID, Kind: job.Copy})
	}
	return nil
}

// RunTask runs chunks or a stream.
func (w *work) RunTask(ctx context.Context, id string, attempt uint64) (progressed bool, err error) {
	before := w.flow.Commits()
	defer func() { progressed = w.flow.Commits() > before }()
	claim := connector.Claim{Run: w.run, Attempt: attempt}
	w.mu.Lock()
	task, stream := w.copies[id], w.streams[id]
	w.mu.Unlock()
	switch {
	case task != nil:
		ctx, why, done := w.untilLost(ctx)
		defer done()
		if err := why(w.flow.RunChunks(ctx, task, claim)); err != nil {
			return false, fmt.Errorf("table %s: %w", task.Table.Name, err)
		}
		w.copied(task.Table.Name.String())
		return false, nil
	case stream != nil:
		if id == streamAfter {
			w.record.Phase(watch.Stream)
		}
		stop := w.watchHead(ctx)
		defer stop()
		return false, w.flow.Stream(ctx, stream, claim)
	}
	return false, fault.New(fault.Internal, "the engine started the unknown task %q", id)
}

func (w *work) copied(table string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left[table]--; w.left[table] == 0 {
		w.record.TableDone(table)
	}
}

// headEvery is how often the end of the log is read while streaming, so that a lag
// of nothing can be told from not knowing.
const headEvery = 5 * time.Second

func (w *work) watchHead(ctx context.Context) (stop func()) {
	h, ok := w.source.(connector.Header)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(headEvery)
		defer tick.Stop()
		for {
			if at, clock, err := h.Head(ctx); err == nil {
				w.record.Head(at, -1, clock)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}
