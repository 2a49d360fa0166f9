package connector

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Shard is one task's seat in one sink: one epoch, one writer, one position set.
type Shard struct {
	Job  string
	Sink string
	Task string // "stream", "stream.<table number>", or "<table number>.<generation>.<run>"
}

// Claim orders attempts to own a shard: by run, then attempt. Runs are allocated
// above every claim found in state and sinks.
type Claim struct {
	Run     uint64 `json:"run"`
	Attempt uint64 `json:"attempt"`
}

// Less reports whether c is older than o.
func (c Claim) Less(o Claim) bool {
	return c.Run < o.Run || c.Run == o.Run && c.Attempt < o.Attempt
}

func (c Claim) String() string { return fmt.Sprintf("run %d attempt %d", c.Run, c.Attempt) }

// Sink writes one downstream. Its methods may be called concurrently.
type Sink interface {
	// Prepare makes the targets of tables and probes what the sink's guarantee
	// rests on. It is idempotent. A target that is not empty and not this job's
	// gives fault.TargetNotOurs and is not touched.
	Prepare(ctx context.Context, tables []*row.Table) error

	// Open takes the shard over: its first act is a durable raise of the epoch,
	// after which no older writer's commit succeeds; then it reads what was
	// committed, finishes what a commit left to do, and cleans up last. A claim
	// lower than the stored one gives fault.FencedOff.
	Open(ctx context.Context, s Shard, c Claim) (Writer, position.Set, error)

	// Positions returns what is committed and by whom; it fences nobody and
	// changes nothing. A shard never opened gives the zero Claim and an empty
	// Set.
	Positions(ctx context.Context, s Shard) (Claim, position.Set, error)

	// Once keeps the first value given for key, for good, and returns the kept
	// one. A nil value only asks: the result is nil when nothing is kept. Keys
	// are paths of [a-z0-9._/-].
	Once(ctx context.Context, key string, value []byte) ([]byte, error)

	Close() error
}

// Writer is one fenced session of a shard. It is used by one goroutine. After
// any error it is poisoned: only Close may follow, then Open again, and the
// source is read again from what was committed.
type Writer interface {
	// Apply stages the rows of b. It may keep b until Commit (retaining it) and
	// must not change it.
	Apply(ctx context.Context, b *row.Batch) error
	// Evolve makes the target fit after c. It is called between commits only and
	// is idempotent.
	Evolve(ctx context.Context, c *row.SchemaChange) error
	// Commit makes everything applied since the last Commit durable together
	// with set, as one act; set is the whole new Set of the shard, not a
	// difference. Without rows it commits the set alone. A newer owner gives
	// fault.FencedOff and nothing is committed.
	Commit(ctx context.Context, set position.Set) error
	// Staged returns the bytes staged since the last Commit, to decide when to
	// commit.
	Staged() int64
	// Close drops what is not committed. It is idempotent.
	Close() error
}

// Guarantee is what a sink promises for a table, and why.
type Guarantee struct {
	Level  string // "exactly-once", "effectively-once", "at-least-once"
	Reason string // one sentence
}

// Target is what plan shows of a table in a sink.
type Target struct {
	Name      string   // e.g. "shop/orders/"
	Columns   []string // "name type" as the target will have them
	Guarantee Guarantee
}

// Planner tells what Prepare and writing would make of a table; it does nothing.
type Planner interface {
	Plan(ctx context.Context, t *row.Table) (Target, error)
}

// Completion is how far a table is complete in a sink, for plain readers.
type Completion struct {
	Table    *row.Table
	Complete bool              // the snapshot is whole
	From     position.Position // S: the state at a place P is right for P >= From
	Stopped  string            // why the table left the stream, empty while it flows
}

// Announcer tells plain readers how far each table is complete: after the commit
// that made it so, and at most once a second otherwise. It is information, never
// an authority.
type Announcer interface {
	Announce(ctx context.Context, at position.Position, described string, tables []Completion) error
}

// Roller says how often a sink wants to commit; without it the engine chooses.
type Roller interface {
	// Roll returns the longest time from the first uncommitted row to the commit,
	// and the staged bytes at which one is due.
	Roll() (every time.Duration, bytes int64)
}

// Placer tells people where a sink's target is.
type Placer interface{ Where() string }

// Settler tells whether a shard has a commit that its next Open must finish.
// Without it, shards of a snapshot that is not complete are opened to be sure.
type Settler interface {
	// Settled reports whether the last owner closed the shard in order. It fences
	// nobody and changes nothing.
	Settled(ctx context.Context, s Shard) (bool, error)
}

// Omitter tells what a target lacks because the job asks for it.
type Omitter interface {
	// LeftOut says in words what was left out of the target by a shard since it
	// began; empty: nothing. It fences nobody and changes nothing.
	LeftOut(ctx context.Context, s Shard) (string, error)
}

// Historian tells whether a target keeps the history of its rows. A sink without
// it keeps rows themselves: a change that a chunk has already must not reach it
// again, and flow leaves such changes out (Chunker).
type Historian interface {
	// History reports whether readers order the rows by their places, so that a
	// change which a chunk contains as well does no harm.
	History() bool
}

// Letter is a row that a sink was not able to take, and why.
type Letter struct {
	Table  *row.Table
	Order  string // of the row, with the incarnation of the log (row.AppendPos)
	Op     row.Op
	Reason *fault.Error // code ROW_REFUSED
}

// Discarder is a Writer that can put rows aside as dead letters: they are committed
// with the position that passes them, or not at all.
type Discarder interface {
	// Discard makes Apply and Commit put aside, as dead letters, the rows that the
	// target refuses for what they hold, instead of failing with fault.RowRefused.
	// buried is told of each when the commit that passes it is made. It is called
	// once, before the first Apply, and makes writing slower.
	Discard(buried func(Letter))
	// Bury puts row i of section s of b aside, which something before the sink
	// was not able to make, to be committed as Apply's rows are.
	Bury(ctx context.Context, b *row.Batch, s *row.Section, i int, reason *fault.Error) error
}

// Appending is a sink that may be one whose targets take new rows only.
type Appending interface {
	// Appends reports whether it is: nothing that the target has is ever changed or taken
	// out, so that no row can be mended.
	Appends() bool
}

// Readable is a sink whose tables can be read back, for verification.
type Readable interface {
	// Stored returns t as the target is able to hold it: types whose values come
	// back as another kind, or with fewer digits, have that one. It does nothing
	// else, and is called for each version of a table.
	Stored(t *row.Table) *row.Table
	// Store changes the cell of a value of column c of t into the one that the
	// target gives back for it, appended to x. It is the identity where the target
	// holds the value exactly.
	Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag)
	// ReadBack emits what the target has of t, in no order, in the shape that
	// Stored gives. The first batch has no rows and its End is the place of the
	// stream at which the target has the rows that follow: all are of one moment.
	// Where the target keeps history, rows have ops and orders, and those of every
	// place up to End are there; else every op is Read. keys, when not nil, has
	// rows of t: only rows with one of their keys are wanted (more may come). A value
	// that was not written by godwit, and that the type of its column does not have, is a
	// row.Foreign cell; keys, and rows that a Writer takes away, may have it as well.
	ReadBack(ctx context.Context, t *row.Table, keys *row.Batch, emit func(*row.Batch) error) error
}
