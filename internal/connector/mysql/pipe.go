package mysql

import (
	"context"
	"runtime"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Sizes of the units that the log is cut into.
const (
	unitBytes  = 256 << 10 // a unit ends at the first end of a group beyond it
	unitLeast  = 32 << 10  // the same where memory is scarce
	unitShare  = 16        // … which it is below so many units
	unitLinger = 2 * time.Millisecond
)

// rowItem is one row event of a unit.
type rowItem struct {
	layout   *layout
	format   *format
	at, size int // its body in the unit's bytes
	kind     byte
	prefix   int // its order in the unit's prefixes
	txn      int
}

// unitSize is at which size a unit ends at the first end of a group; inside a group it ends
// at twice that.
func unitSize(b *limit.Budget) int {
	if b == nil {
		return unitBytes
	}
	return int(min(max(b.Size()/unitShare, unitLeast), unitBytes))
}

// unit is a run of whole row events of chosen tables, or one batch that is
// already made. It passes from the reader to a worker to the emitter.
type unit struct {
	bytes    []byte
	items    []rowItem
	prefixes []byte
	txns     []row.Txn
	inflated int // bytes that compressed events say they grow by

	end     position.Position
	endTime int64
	batch   *row.Batch
	taken   int64 // of the budget
	err     error
	ready   chan struct{} // one word: batch or err is there
	emitted chan struct{} // closed when emit returned; nil: nobody waits
}

// reset makes the unit ready for other rows. One that brought none gives its memory back:
// a stream that waits has no use for it, and there may be many.
func (u *unit) reset() {
	if len(u.items) == 0 {
		*u = unit{ready: u.ready}
		return
	}
	*u = unit{bytes: u.bytes[:0], items: u.items[:0], prefixes: u.prefixes[:0], txns: u.txns[:0], ready: u.ready}
	if cap(u.bytes) > 8*unitBytes {
		u.bytes = nil
	}
}

// add appends a row event.
func (u *unit) add(l *layout, f *format, kind byte, body []byte, group place, event uint32) {
	u.items = append(u.items, rowItem{l, f, len(u.bytes), len(body), kind, len(u.prefixes), len(u.txns) - 1})
	u.bytes = append(u.bytes, body...)
	u.prefixes = group.appendPrefix(u.prefixes, event)
}

// pipe decodes units in parallel and puts them out in order. The reader hands
// units over, in order; run emits them in the caller's goroutine.
type pipe struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	env    connector.Env
	pool   *row.Pool
	free   chan *unit
	feed   chan *unit
	order  chan *unit
	work   chan *unit
	held   *unit // taken from order when the end came
	group  sync.WaitGroup
}

// workers is how many goroutines decode.
func workers() int { return max(1, min(4, runtime.GOMAXPROCS(0))) }

func newPipe(ctx context.Context, env connector.Env, pool *row.Pool) *pipe {
	n := workers()
	p := &pipe{env: env, pool: pool, free: make(chan *unit, 2*n+2), feed: make(chan *unit), order: make(chan *unit, 2*n+2), work: make(chan *unit, 2*n+2)}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for range cap(p.free) {
		p.free <- &unit{ready: make(chan struct{}, 1)}
	}
	p.group.Go(p.meter)
	for range n {
		p.group.Go(p.decode)
	}
	return p
}

// get returns an empty unit; it waits while all are in flight.
func (p *pipe) get() (*unit, error) {
	select {
	case u := <-p.free:
		return u, nil
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
}

// put hands a unit over.
func (p *pipe) put(u *unit) error {
	select {
	case p.feed <- u:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// meter takes memory for each unit in the order of the log: a later one must
// never hold what an earlier one waits for.
func (p *pipe) meter() {
	for {
		select {
		case u := <-p.feed:
			if len(u.items) > 0 && p.env.Budget != nil {
				u.taken = int64(4*len(u.bytes) + 2*u.inflated)
				if err := p.env.Budget.Take(p.ctx, u.taken); err != nil {
					return
				}
			}
			p.order <- u // has room for every unit there is
			p.work <- u
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *pipe) decode() {
	d := &decoder{x: row.NewBuilder(p.pool)}
	for {
		select {
		case u := <-p.work:
			if len(u.items) > 0 {
				u.err = d.unit(u)
				u.batch = d.x.Finish(u.end, u.endTime)
				if p.env.Budget != nil {
					p.env.Budget.Add(int64(u.batch.Bytes()) - u.taken)
					u.taken = 0
				}
			}
			u.ready <- struct{}{}
		case <-p.ctx.Done():
			return
		}
	}
}

// unit decodes all row events of a unit into the builder.
func (d *decoder) unit(u *unit) error {
	prefixes := string(u.prefixes)
	d.err = nil
	for i := range u.items {
		it := &u.items[i]
		e, err := it.format.parseRows(it.kind, u.bytes[it.at:it.at+it.size])
		if err == nil {
			d.x.At(prefixes[it.prefix:it.prefix+prefixBytes], 0, u.txns[it.txn])
			err = d.event(it.layout, e)
		}
		if err != nil {
			return fault.New(fault.SourceProtocol, "a row event of %s cannot be read", it.layout.table.Name).At("transaction %s", u.txns[it.txn].ID).By(err)
		}
	}
	return nil
}

// run emits batches in order until a unit carries an error, errDone at the end.
func (p *pipe) run(emit func(*row.Batch) error) error {
	for {
		select {
		case u := <-p.order:
			select {
			case <-u.ready:
			case <-p.ctx.Done():
				p.held = u
				return context.Cause(p.ctx)
			}
			if err := p.emit(u, emit); err != nil {
				return err
			}
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
}

func (p *pipe) emit(u *unit, emit func(*row.Batch) error) error {
	err, batch, emitted := u.err, u.batch, u.emitted
	u.reset()
	p.free <- u
	if err != nil {
		if batch != nil {
			batch.Release()
		}
		return err
	}
	if batch != nil {
		if err := emit(batch); err != nil {
			return err
		}
	}
	if emitted != nil {
		close(emitted)
	}
	return nil
}

// stop ends all goroutines and gives back what units in flight hold.
func (p *pipe) stop() {
	p.cancel(context.Canceled)
	p.group.Wait()
	if p.held != nil {
		p.drop(p.held)
	}
	for {
		select {
		case u := <-p.order:
			p.drop(u)
		default:
			return
		}
	}
}

func (p *pipe) drop(u *unit) {
	switch {
	case u.batch != nil:
		u.batch.Release()
	case u.taken > 0:
		p.env.Budget.Give(u.taken)
	}
}
