package flow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// queueLength bounds the batches that wait for one sink. Their bytes are bounded
// by the budget that the source takes them from.
const queueLength = 64

// lonelyLength is the same for a sink that has a reader of its own beside others: all
// readers take from one budget, and what waits for a sink that is slow must leave the rest
// enough of it.
const lonelyLength = 4

// lane is one sink's way through a task: a queue and the goroutine that owns the
// writer.
type lane struct {
	job        *Job
	sink       *Sink
	writer     connector.Writer
	set        position.Set // what is committed
	queue      chan item
	rows       int64         // applied since the last commit
	committing time.Duration // spent in commits so far
	committed  func()        // ChunkTask.Committed
	idle       atomic.Bool   // it waits for something to do
	items      atomic.Int64  // taken from the queue so far
}

// item is a batch to apply, or an act to carry out in its place in the order.
type item struct {
	batch *row.Batch
	act   func(context.Context) error
}

// applier takes batches in order. Its methods are called by one goroutine.
type applier interface {
	apply(ctx context.Context, b *row.Batch) error
	// due returns when idle should be called if nothing arrives until then; the
	// zero time: never.
	due() time.Time
	idle(ctx context.Context) error
	// drained is called after the last item of a task that was not failed.
	drained(ctx context.Context) error
}

// group runs lanes side by side.
type group struct {
	work   context.Context
	fail   context.CancelCauseFunc
	wg     sync.WaitGroup
	lanes  []*lane
	cancel context.CancelFunc
	// endless: what is applied comes from the log, and does not end.
	endless bool
	watched chan struct{} // closed when nobody watches the lanes any more
}

// grace is how long a paused task may take to finish its last commit.
const grace = 5 * time.Minute

// startGroup starts a goroutine for each lane. ctx ends reading only: what is in
// the queues is still applied and committed.
func startGroup(ctx context.Context, lanes []*lane, appliers []applier, endless bool) *group {
	work, cancel := uncancelled(ctx, grace)
	work, fail := context.WithCancelCause(work)
	g := &group{work: work, fail: fail, lanes: lanes, cancel: cancel, endless: endless, watched: make(chan struct{})}
	length := queueLength
	if len(lanes) == 1 && len(lanes[0].job.sinks()) > 1 {
		length = lonelyLength
	}
	for i, l := range lanes {
		l.queue = make(chan item, length)
		g.wg.Go(func() {
			if err := l.consume(work, appliers[i]); err != nil {
				fail(err) // first of all: it is what ends the reader
			}
			for it := range l.queue { // finish closes it
				l.drop(it)
			}
		})
	}
	go g.watch(lanes[0].job.Patience)
	return g
}

// behindFor is how many times its patience a job bears a sink that goes on, but more
// slowly than its changes come.
const behindFor = 5

// watch fails the group when one sink alone keeps all others waiting: with one thing
// it does not get done, or, where changes are applied, because it cannot keep up.
func (g *group) watch(patience time.Duration) {
	defer close(g.watched)
	if len(g.lanes) < 2 || patience <= 0 {
		return
	}
	tick := time.NewTicker(patience / 10)
	defer tick.Stop()
	var slow *lane
	var item int64
	var behind, hangs time.Time
	for {
		select {
		case <-g.work.Done():
			return
		case <-tick.C:
		}
		now := g.onlyBusy()
		if now == nil {
			slow = nil
			continue
		}
		if at := now.items.Load(); now != slow || at != item {
			if hangs = time.Now(); now != slow {
				behind = hangs
			}
			slow, item = now, at
		}
		if time.Since(hangs) >= patience || g.endless && time.Since(behind) >= behindFor*patience {
			name := slow.sink.Name
			g.fail(fault.InSink(name, fault.New(fault.SinkSlow, "sink %q has kept the others waiting since %s", name, behind.UTC().Format(time.TimeOnly))))
			return
		}
	}
}

// onlyBusy returns the one lane that has something to do, if all others wait; else nil.
func (g *group) onlyBusy() (busy *lane) {
	for _, l := range g.lanes {
		switch {
		case l.idle.Load() && len(l.queue) == 0:
		case busy != nil:
			return nil
		default:
			busy = l
		}
	}
	return busy
}

// reading returns the context of the group's reader: it ends with ctx, and when a
// lane fails, also while the source has nothing to emit.
func (g *group) reading(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(g.work, func() { cancel(context.Cause(g.work)) })
	return ctx
}

// put hands b to a lane, which gets its own hold on it. It waits while the queue
// is full.
func (g *group) put(ctx context.Context, l *lane, it item) error {
	if it.batch != nil {
		it.batch.Retain()
		l.waits(int64(it.batch.Payload()))
	}
	select {
	case l.queue <- it:
		return nil
	default:
	}
	start := time.Now()
	defer func() { l.job.Record.Stage("", "source", 0, time.Since(start), 0) }()
	select {
	case l.queue <- it:
		return nil
	case <-g.work.Done():
		l.drop(it)
		return context.Cause(g.work)
	case <-ctx.Done():
		l.drop(it)
		return context.Cause(ctx)
	}
}

// drop lets go of an item that is not carried out.
func (l *lane) drop(it item) {
	if it.batch != nil {
		l.waits(-int64(it.batch.Payload()))
		it.batch.Release()
	}
}

// waits notes that so many bytes more wait for the sink, in whichever task.
func (l *lane) waits(bytes int64) {
	l.job.Record.Queue(l.sink.Name, l.sink.waiting.Add(bytes), l.job.QueueBytes)
}

// finish ends the queues, waits for the lanes and returns the task's error: a
// lane's before the reader's, because the reader ends when a lane does.
func (g *group) finish(readErr error) error {
	if readErr != nil && !errors.Is(readErr, context.Canceled) {
		g.fail(readErr) // nothing half-read is committed
	}
	for _, l := range g.lanes {
		close(l.queue)
	}
	g.wg.Wait()
	defer func() { g.cancel(); <-g.watched }()
	if err := context.Cause(g.work); err != nil {
		return err
	}
	g.fail(nil)
	return readErr
}

func (l *lane) consume(ctx context.Context, a applier) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	defer l.idle.Store(true) // it has come to its end
	for {
		began := time.Now()
		wake := time.Hour
		if d := a.due(); !d.IsZero() {
			wake = max(0, time.Until(d))
		}
		timer.Reset(wake)
		l.idle.Store(true)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			l.idle.Store(false)
			if err := a.idle(ctx); err != nil {
				return err
			}
		case it, more := <-l.queue:
			l.idle.Store(false)
			l.items.Add(1)
			if !more {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return a.drained(ctx)
			}
			l.spent(0, 0, time.Since(began))
			if err := l.handle(ctx, a, it); err != nil {
				return err
			}
		}
	}
}

func (l *lane) handle(ctx context.Context, a applier, it item) error {
	if it.act != nil {
		return it.act(ctx)
	}
	defer it.batch.Release()
	l.waits(-int64(it.batch.Payload()))
	l.rows += int64(it.batch.Rows())
	start := time.Now()
	committing := l.committing
	err := a.apply(ctx, it.batch)
	l.spent(time.Since(start)-(l.committing-committing), 0, 0)
	return err
}

// spent tells what the lane did: it applies, commits or waits, one at a time. While it
// commits nothing is applied, and while it applies the commit waits.
func (l *lane) spent(applying, committing, waiting time.Duration) {
	l.job.Record.Stage(l.sink.Name, "apply", applying, committing, waiting)
	l.job.Record.Stage(l.sink.Name, "commit", committing, 0, applying+waiting)
}

// discard makes the lane put refused rows aside, where its sink is among those named.
func (l *lane) discard(sinks string) error {
	if !slices.Contains(strings.Fields(sinks), l.sink.Name) {
		return nil
	}
	return l.writer.(*writer).putAside(func(table row.Name, letter connector.Letter) { l.job.buried(l.sink, table, letter) })
}

// buried tells of a row of a table of the source that was put aside.
func (j *Job) buried(s *Sink, table row.Name, l connector.Letter) {
	j.Record.Buried(s.Name, table.String())
	if j.Log != nil {
		j.Log.Warn("a row was put aside", "sink", s.Name, "table", l.Table.Name.String(), "pos", l.Order, "error", l.Reason)
	}
}

// commit commits set and keeps it as what is committed.
func (l *lane) commit(ctx context.Context, set position.Set, at position.Position, commitTime int64) error {
	start := time.Now()
	if err := l.writer.Commit(ctx, set); err != nil {
		return err
	}
	l.set = set
	took := time.Since(start)
	l.committing += took
	l.spent(0, took, 0)
	l.job.Record.Committed(l.sink.Name, l.rows, at, commitTime)
	l.rows = 0
	l.job.commits.Add(1)
	if l.committed != nil {
		l.committed()
	}
	return nil
}
