package postgres

import (
	"context"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// writer implements connector.Writer. Its transaction begins with the first row after
// a commit and holds the shard's row from there on: an older writer that hangs is
// found by it, and a newer one waits for it.
type writer struct {
	sink   *sink
	shard  connector.Shard
	claim  connector.Claim
	c      *session // nil: closed, or given up
	epoch  int64
	seq    int64
	err    error // the first one; poisons the writer
	closed bool

	copying *copying
	folds   map[*row.Table]*fold
	order   []*fold                // in the order in which they were begun
	held    int                    // bytes of rows in folds
	posted  *fold                  // what the server is at
	spare   *fold                  // to be used again
	staged  int64                  // bytes since the last commit
	known   map[*row.Table]*target // that the catalogue was seen to have
	dropped map[row.Name]bool      // by a schema change of this transaction

	buried      func(connector.Letter) // nil: a row that is refused is an error
	letters     []letter               // of this transaction
	lettersSent int
}

// mostHeld is how many bytes of rows wait as a rule before they are sent, inside the
// transaction. The server works on as many while the next are folded.
const mostHeld = 2 << 20

func (w *writer) usable() error {
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return fault.New(fault.Internal, "the writer is closed").At("%s", w.sink.Where())
	}
	return nil
}

// poison ends the writer with err. When the session was ended from outside, or waits
// in vain, it may be because a newer owner is there: then that is the error.
func (w *writer) poison(ctx context.Context, err error) error {
	if w.c != nil {
		w.c.close()
		w.c = nil
	}
	if class := fault.ClassOf(err); class == fault.Retry && ctx.Err() == nil {
		if epoch, claim, lookErr := w.sink.owner(ctx, w.shard); lookErr == nil && epoch != w.epoch {
			err = fault.New(fault.FencedOff, "shard %s belongs to %v now, this is %v", w.shard.Task, claim, w.claim).At("%s", w.sink.Where()).By(err)
		}
	}
	w.err = err
	return err
}

// owner returns the epoch of a shard and whose it is.
func (s *sink) owner(ctx context.Context, sh connector.Shard) (int64, connector.Claim, error) {
	r, err := s.ask(ctx, "SELECT epoch, run, attempt FROM "+s.control.position+" WHERE job = $1 AND sink = $2 AND shard = $3", s.mine(sh.Task)...)
	if err != nil {
		return 0, connector.Claim{}, err
	}
	if len(r.rows) == 0 {
		return 0, connector.Claim{}, fault.New(fault.TargetLost, "the row of shard %s is gone", sh.Task).At("%s", s.Where())
	}
	epoch, err := strconv.ParseInt(string(r.rows[0][0]), 10, 64)
	if err != nil {
		return 0, connector.Claim{}, s.damaged(sh, err)
	}
	claim, err := claimOf(r.rows[0][1], r.rows[0][2])
	return epoch, claim, err
}

// streams reports whether the writer is that of a stream, not of chunks.
func (w *writer) streams() bool {
	return w.shard.Task == connector.StreamSplit || strings.HasPrefix(w.shard.Task, connector.StreamSplit+".")
}

// mineNow is the condition of the shard's row under this writer's epoch.
const mineNow = " WHERE job = $1 AND sink = $2 AND shard = $3 AND epoch = $4"

func (w *writer) args() []arg {
	return append(w.sink.mine(w.shard.Task), text(strconv.FormatInt(w.epoch, 10)))
}

// begin begins the transaction, unless there is one, by taking the shard's row.
func (w *writer) begin(ctx context.Context) error {
	if w.c.inTransaction() {
		return nil
	}
	w.c.queue("BEGIN")
	w.c.queue("SELECT 1 FROM "+w.sink.control.position+mineNow+" FOR UPDATE", w.args()...)
	all, err := w.c.sync(ctx)
	if err != nil {
		return err
	}
	if len(all[1].rows) != 1 {
		return w.sink.fenced(ctx, w.shard, w.claim)
	}
	if !w.streams() {
		w.known = nil // the writer of other chunks of the table may have altered it
	}
	return nil
}

// Apply implements connector.Writer. It keeps nothing of b.
func (w *writer) Apply(ctx context.Context, b *row.Batch) error {
	if err := w.usable(); err != nil {
		return err
	}
	if b.Rows() == 0 {
		return nil
	}
	if err := w.apply(ctx, b); err != nil {
		return w.poison(ctx, err)
	}
	w.staged += int64(b.Payload())
	return nil
}

func (w *writer) apply(ctx context.Context, b *row.Batch) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	sections := b.Sections()
	for i := range sections {
		s := &sections[i]
		if w.dropped[s.Table.Name] {
			continue // flow empties what is dropped
		}
		if err := w.fits(ctx, s.Table); err != nil {
			if err = w.empty(ctx, b, s, err); err != nil {
				return err
			}
			continue
		}
		if err := w.section(ctx, b, s); err != nil {
			return err
		}
	}
	if w.held >= w.sink.held {
		return w.pour(ctx)
	}
	return nil
}

// empty truncates a table in which rows of this shape have no place, for why, where that
// is all that they ask for: it is one that was dropped, with its rows, and another one
// may have its name.
func (w *writer) empty(ctx context.Context, b *row.Batch, s *row.Section, why error) error {
	for i := s.Row; i < s.Row+s.Rows; i++ {
		if b.Op(i) != row.Truncate {
			return why
		}
	}
	if !fault.Has(why, fault.TargetLost) && !fault.Has(why, fault.TargetBroken) || w.c.status != 'T' {
		return why
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	g := w.sink.target(s.Table)
	st, err := w.sink.stateOf(ctx, w.c, g)
	switch {
	case err != nil:
		return err
	case !st.owned:
		return nil
	case !st.exists:
		return why
	}
	return w.c.script(ctx, "TRUNCATE TABLE "+g.qualified)
}

// section takes rows of one table: those of a snapshot are copied, all others folded.
func (w *writer) section(ctx context.Context, b *row.Batch, s *row.Section) error {
	end := s.Row + s.Rows
	for i := s.Row; i < end; {
		n := i
		reads := b.Op(i) == row.Read
		for n < end && (b.Op(n) == row.Read) == reads {
			n++
		}
		if reads && w.buried == nil && w.known[s.Table].exact && !w.sink.clashes(s.Table) {
			if err := w.copy(ctx, b, s, i, n); err != nil {
				return err
			}
		} else if err := w.fold(ctx, b, s, i, n); err != nil {
			return err
		}
		i = n
	}
	return nil
}

// fold puts rows of the stream with those that wait for the commit.
func (w *writer) fold(ctx context.Context, b *row.Batch, s *row.Section, from, to int) error {
	f := w.begun(s.Table)
	for i := from; i < to; i++ {
		had := f.weight()
		act, err := f.take(b, s, i)
		if err != nil {
			if err := w.asideRefused(b, s, i, err); err != nil {
				return err
			}
			continue
		}
		w.held += f.weight() - had
		if w.buried != nil && act == nil && len(f.slots) > 0 && f.moved == nil {
			f.slots[f.last].pos, f.slots[f.last].of = posOf(b.Incarnation, b.Order(i)), b.Op(i)
		}
		if act == nil {
			continue
		}
		// The row needs what the table has: everything before it first.
		if err := w.flush(ctx); err != nil {
			return err
		}
		f = w.begun(s.Table)
		if err := w.act(ctx, f.g, act, b, s, i); err != nil {
			return err
		}
	}
	return nil
}

// begun returns the fold that takes rows of a table now.
func (w *writer) begun(t *row.Table) *fold {
	if f := w.folds[t]; f != nil {
		return f
	}
	if w.folds == nil {
		w.folds = map[*row.Table]*fold{}
	}
	f := w.freshFold(w.known[t])
	w.folds[t] = f
	w.order = append(w.order, f)
	return f
}

// act carries out what one row needs.
func (w *writer) act(ctx context.Context, g *target, act func(*session), b *row.Batch, s *row.Section, i int) error {
	do := func() error {
		act(w.c)
		_, err := w.c.sync(ctx)
		return err
	}
	if w.buried == nil {
		return rowsFault(do(), g, g.describe(b, s, i))
	}
	refused, err := w.attempt(ctx, g, do)
	if err != nil || refused == nil {
		return err
	}
	return w.asideRefused(b, s, i, refused)
}

// flush sends all rows that wait, inside the transaction, and returns when the target
// has taken them.
func (w *writer) flush(ctx context.Context) error {
	for _, f := range w.order {
		f.leave()
	}
	if err := w.pour(ctx); err != nil {
		return err
	}
	return w.settle(ctx)
}

// pour sends all rows that wait. The server may be at the last of them still.
func (w *writer) pour(ctx context.Context) error {
	if err := w.endCopy(ctx); err != nil {
		return err
	}
	order := w.order
	w.folds, w.order, w.held = nil, nil, 0
	for _, f := range order {
		moved, at, in, t := f.moved, f.movedAt, f.movedIn, f.g.table
		if err := w.send(ctx, f); err != nil {
			return err
		}
		if moved != nil { // a batch may end between both images of a row
			next := w.begun(t)
			next.moved, next.movedAt, next.movedIn = moved, at, in
		}
	}
	return w.sendLetters(ctx)
}

func (w *writer) send(ctx context.Context, f *fold) error {
	if w.buried != nil {
		defer w.keep(f)
		return w.sendAside(ctx, f)
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	if !f.send(w.c) {
		w.keep(f)
		return nil
	}
	w.posted = f
	return w.c.post(ctx)
}

// settle waits for the target to have taken what was sent.
func (w *writer) settle(ctx context.Context) error {
	f := w.posted
	if f == nil {
		return nil
	}
	w.posted = nil
	defer w.keep(f)
	if err := w.c.settle(ctx); err != nil {
		return w.refused(ctx, f, err)
	}
	return nil
}

// freshFold returns an empty fold.
func (w *writer) freshFold(g *target) *fold {
	f := w.spare
	if f == nil {
		return newFold(g)
	}
	f.g, w.spare = g, nil
	return f
}

// keep has a fold that was sent be used again, unless it was a very large one.
func (w *writer) keep(f *fold) {
	f.reset()
	if cap(f.arena) <= 2*mostHeld {
		w.spare = f
	}
}

// Commit implements connector.Writer.
func (w *writer) Commit(ctx context.Context, set position.Set) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.commit(ctx, set); err != nil {
		return w.poison(ctx, err)
	}
	w.staged = 0
	w.folds, w.order, w.dropped = nil, nil, nil
	w.told()
	return nil
}

func (w *writer) commit(ctx context.Context, set position.Set) error {
	raw, err := set.MarshalBinary()
	if err != nil {
		return fault.New(fault.Internal, "the positions of shard %s cannot be written", w.shard.Task).By(err)
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	r, err := w.c.query(ctx, "UPDATE "+w.sink.control.position+" SET positions = $5, seq = seq + 1, changed = now()"+mineNow+" RETURNING seq", append(w.args(), bytea(raw))...)
	if err != nil {
		return err
	}
	if len(r.rows) != 1 {
		return w.sink.fenced(ctx, w.shard, w.claim)
	}
	seq, err := strconv.ParseInt(string(r.rows[0][0]), 10, 64)
	if err != nil {
		return w.sink.damaged(w.shard, err)
	}
	// A transaction that failed answers ROLLBACK, which is no error of the protocol.
	if r, err = w.c.query(ctx, "COMMIT"); err != nil {
		return err
	}
	if r.tag != "COMMIT" {
		return fault.New(fault.TargetFailed, "the target answered %s to a commit", r.tag).At("%s", w.sink.Where()).
			Try("the server rolled it back: its log says why")
	}
	w.seq = seq
	w.sink.committed(w)
	return nil
}

// Staged implements connector.Writer.
func (w *writer) Staged() int64 { return w.staged }

// Close implements connector.Writer.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if w.c != nil {
		w.sink.done(w.c) // one that is inside a transaction is closed, which rolls it back
		w.c = nil
	}
	return nil
}
