package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// errDone ends a stream that has reached its end.
var errDone = errors.New("the end asked for is reached")

// markEvery is how often a place that moves without rows is told.
const markEvery = time.Second

// foreignMost is how many bytes of the log may pass without rows before the
// place is told.
const foreignMost = 16 << 20

// streamer reads the log for one Read. Its fields belong to the reader goroutine
// except where it is parked: then, under mu, the timer may hand the open unit
// over.
type streamer struct {
	s      *source
	ctx    context.Context
	split  connector.Split
	pipe   *pipe
	shapes *shapes
	reader statementReader

	cur      cursor
	format   *format // of the file that is read, shared with the workers
	place    place   // after the last group, or after what stands between groups
	gtids    gtidState
	began    bool // a dump was opened: this server has the place
	resolved bool // unknown gtids were asked for: the server has none
	last     lastTxn
	time     uint32 // commit time of the last group
	group    group
	maps     map[uint64]*mapped
	clock    time.Duration // the server's clock less ours
	// prepares are XA transactions that are open where the reader is.
	prepares prepares
	// again takes the events of a prepared group that is read again; nil: none is.
	again func(h header, body []byte) error

	until   until
	told    place // of the last End handed over
	foreign int   // bytes since then
	size    int   // of the open unit, see unitSize
	quiet   bool  // a heartbeat came: nothing else does for now

	mu     sync.Mutex
	open   *unit
	parked bool
	closed bool
	due    atomic.Bool // the timer has run out while the reader was busy
	armed  bool
	since  time.Time
	timer  *time.Timer
}

// readStream reads the log strictly after from. It is the unbounded half of
// Read.
func (s *source) readStream(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if done, err := reachedBefore(from, split.Until); err != nil || done {
		return err
	}
	at, err := parsePosition(from)
	if err != nil {
		return err
	}
	r := &streamer{s: s, split: split, shapes: newShapes(s, split), place: at.place, gtids: at.gtids, last: at.last, told: at.place, maps: map[uint64]*mapped{}}
	r.group.skip = at.changes
	r.prepares = newPrepares(s, at.place)
	r.pipe = newPipe(ctx, s.env, &s.pool)
	r.ctx = r.pipe.ctx
	r.until = until{place: split.Until.Place.Order(), time: split.Until.Time}
	r.timer = time.AfterFunc(time.Hour, r.expired)
	r.pipe.group.Go(r.run)
	if !split.Until.Time.IsZero() {
		r.pipe.group.Go(r.watchClock)
	}
	err = r.pipe.run(emit)
	r.pipe.cancel(context.Canceled)
	r.mu.Lock()
	r.closed = true
	r.timer.Stop()
	r.mu.Unlock()
	r.pipe.stop()
	r.prepares.close()
	switch {
	case err == errDone:
		return nil
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return context.Cause(ctx)
	}
	return err
}

// reachedBefore reports whether from is at the end already.
func reachedBefore(from position.Position, u connector.Until) (bool, error) {
	if u.Place.IsZero() {
		return false, nil
	}
	c, err := from.Compare(u.Place)
	if err != nil {
		return false, fault.New(fault.SourceDiverged, "the end asked for lies in another log than the start").By(err)
	}
	return c >= 0, nil
}

// run is the reader goroutine. Its last unit carries why it ended.
func (r *streamer) run() {
	err := r.read()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	u := r.open
	if u == nil || len(u.items) > 0 {
		var e error
		if u, e = r.pipe.get(); e != nil {
			return
		}
	}
	u.err, u.batch = err, nil
	_ = r.pipe.put(u)
}

// Waits between attempts to connect again.
const (
	retryFirst = 200 * time.Millisecond
	retryMost  = 10 * time.Second
	retryQuery = 8 // attempts after which a refused dump is no longer tried
)

// read connects again and again until something cannot be mended.
func (r *streamer) read() error {
	wait, failed := retryFirst, 0
	for {
		reached := r.cur.at
		err := r.session()
		if err == errDone {
			return err
		}
		if cause := context.Cause(r.ctx); cause != nil {
			return cause
		}
		if r.cur.at != reached {
			wait, failed = retryFirst, 0
		}
		failed++
		f := fault.Of(err)
		if f.Class() != fault.Retry || f.Code == fault.SourceShape || f.Code == fault.SourceMoved || f.Code == fault.SourceQuery && failed > retryQuery {
			return err
		}
		r.s.warn("the log is read again from the place reached", "place", r.place.String(), "after", wait.Round(time.Millisecond).String(), "error", err.Error())
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
		wait = min(2*wait, retryMost)
	}
}

// session reads the log over one connection until it breaks.
func (r *streamer) session() error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	defer c.close()
	began := r.cur.at
	c.in.split = true
	err = c.guard(r.ctx, func() error {
		for {
			event, err := r.next(c)
			if err == errLarge {
				err = r.large(c)
			} else if err != nil {
				err = r.s.dumpFault(err)
			} else {
				err = r.event(event)
			}
			if err != nil && r.cur.at == began {
				return r.s.asDiverged(began, err)
			}
			if err != nil {
				return err
			}
		}
	})
	r.interrupt()
	return err
}

// interrupt makes ready to read the open group again: what was handed over of it
// is left out then.
func (r *streamer) interrupt() {
	g := &r.group
	if !g.open {
		return
	}
	if g.prepares == nil { // else its rows are still held
		g.taken = max(g.taken, g.events)
	}
	g.open, g.skip = false, max(g.skip, g.changes)
}

// next returns the next event. Before it waits for one it parks the open unit.
func (r *streamer) next(c *conn) ([]byte, error) {
	if c.in.whole() {
		return c.nextEvent()
	}
	if r.quiet {
		c.in.rest()
		r.quiet = false
	}
	if err := c.raw.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return nil, err
	}
	if err := r.park(); err != nil {
		return nil, err
	}
	event, err := c.nextEvent()
	r.mu.Lock()
	r.parked = false
	r.mu.Unlock()
	return event, err
}

// whole reports whether the next message is in the buffer and next will not wait.
func (p *packetReader) whole() bool {
	n := p.w - p.r
	if n < 4 {
		return false
	}
	h := p.buf[p.r : p.r+4]
	size := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	return size < maxPayload && n >= 4+size
}

// event takes one event of the log.
func (r *streamer) event(raw []byte) error {
	h, body, start, err := r.cur.step(raw)
	if err != nil {
		return r.broken(err)
	}
	switch h.kind {
	case evHeartbeat:
		return r.heartbeat(h, body)
	case evFormat:
		f := r.cur.format
		r.format = &f
		if !h.artificial() && r.group.open {
			return r.broken(errGroupCut)
		}
	case evRotate:
		if r.group.open {
			return r.broken(errGroupCut)
		}
		if err := r.cur.rotate(body); err != nil {
			return r.broken(err)
		}
	case evGTID, evMySQLGTID, evAnonymous:
		if err := r.begin(h, body, start); err != nil {
			return err
		}
	case evTaggedGTID:
		return fault.New(fault.SourceSettings, "a transaction has a GTID with a tag, which this version cannot read").At("%s", r.cur.at).
			Try("let nobody set gtid_next to a tagged GTID, and read everything again with `godwit run --again`")
	case evGTIDList, evCheckpoint, evStop, evStartEncryption, evAnnotate, evPreviousGTIDs:
	case evIncident:
		return fault.New(fault.SourceLost, "the server noted in its log that events are missing").At("%s", r.cur.at)
	default:
		if !r.group.open {
			if h.artificial() {
				return nil
			}
			return r.broken(fmt.Errorf("event type %d stands outside of a group", h.kind))
		}
		if err := r.member(h, body); err != nil {
			return err
		}
	}
	if !r.group.open {
		return r.between()
	}
	return nil
}

// inside reports whether part of a group was handed over and the rest was not,
// also while a broken connection is mended: no place may be told then.
func (r *streamer) inside() bool {
	return r.group.open || r.group.taken > 0 || r.group.skip > 0
}

var errGroupCut = errors.New("a transaction is cut off by the end of its file")

// broken says that the log cannot be understood at the present place.
func (r *streamer) broken(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	return fault.New(fault.SourceProtocol, "the log cannot be understood").At("%s", r.cur.at).By(err)
}

// between is called after each event outside of groups and at the end of each
// group: the place has moved.
func (r *streamer) between() error {
	if r.inside() {
		return nil
	}
	r.place = r.cur.at
	u := r.open
	if u != nil && (len(u.bytes) >= r.size || len(u.items) >= r.size/16) {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if r.until.reached(r.place) {
		return r.finish()
	}
	if r.foreign >= foreignMost && r.place != r.told {
		return r.flush()
	}
	if r.due.Load() && r.overdue() {
		return r.flush()
	}
	return nil
}

// overdue reports whether a unit that should have gone out must not wait for
// more any longer, though more keeps coming.
func (r *streamer) overdue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.since) > 25*unitLinger
}

// finish hands over what there is and ends the stream.
func (r *streamer) finish() error {
	r.told = place{} // the last End is told even when it did not move
	if err := r.flush(); err != nil {
		return err
	}
	return errDone
}

// end returns the position of the present place.
func (r *streamer) end() (position.Position, int64) {
	return r.s.position(r.place, r.gtids.String(), r.last), int64(r.time) * 1_000_000
}

// unit returns the open unit.
func (r *streamer) unit() (*unit, error) {
	if r.open != nil {
		return r.open, nil
	}
	u, err := r.pipe.get()
	r.size = unitSize(r.s.env.Budget)
	r.open, r.group.told = u, false
	return u, err
}

// flush hands the open unit over with the present place as its end. It is called
// between groups.
func (r *streamer) flush() error {
	end, at := r.end()
	return r.flushTo(end, at)
}

// flushTo hands over the open unit, or a batch without rows when it is empty and
// the place has moved.
func (r *streamer) flushTo(end position.Position, at int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.send(end, at)
}

// send is flushTo with mu held.
func (r *streamer) send(end position.Position, at int64) error {
	u := r.open
	if u == nil || len(u.items) == 0 {
		if end.IsZero() || r.told == r.place {
			return nil
		}
		if u == nil {
			var err error
			if u, err = r.pipe.get(); err != nil {
				return err
			}
		}
		u.batch = row.Mark(end, at)
	}
	u.end, u.endTime = end, at
	r.open, r.group.told = nil, false
	r.due.Store(false)
	r.armed, r.foreign = false, 0
	if !end.IsZero() {
		r.told = r.place
	}
	return r.pipe.put(u)
}

// park is called before the reader waits for the server: from then on the timer
// may hand the open unit over.
func (r *streamer) park() error {
	if r.inside() {
		return nil
	}
	rows := r.open != nil && len(r.open.items) > 0
	if !rows && r.told == r.place {
		return nil
	}
	if r.due.Load() {
		return r.flush()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parked = true
	r.arm(rows)
	return nil
}

// arm starts the timer for the open unit, mu held.
func (r *streamer) arm(rows bool) {
	if r.armed || r.closed {
		return
	}
	wait := unitLinger
	if !rows {
		wait = markEvery
	}
	r.armed, r.since = true, time.Now()
	r.timer.Reset(wait)
}

// expired is the timer's function.
func (r *streamer) expired() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.armed {
		return
	}
	if !r.parked {
		r.due.Store(true)
		return
	}
	end, at := r.end()
	_ = r.send(end, at) // fails only when the stream ends
}

// heartbeat tells the place, and with it the time up to which it is complete.
func (r *streamer) heartbeat(h header, body []byte) error {
	if r.inside() {
		return nil
	}
	r.cur.heartbeat(h, body)
	r.place, r.quiet = r.cur.at, true
	if r.until.reached(r.place) {
		return r.finish()
	}
	end, _ := r.end()
	r.told = place{}
	return r.flushTo(end, time.Now().Add(r.clock).UnixMicro())
}
