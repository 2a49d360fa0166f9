// Package connector has the contracts of what godwit reads rows from and writes
// them to, and the registry of systems. It imports only leaves.
package connector

import (
	"context"
	"time"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Source reads one upstream. Its methods may be called concurrently.
type Source interface {
	// Discover returns the tables that match, with shapes, keys and size
	// estimates, ordered by name, and a place in the log at which these shapes
	// hold: shapes are read, the place is taken, shapes are read again until
	// both agree. Everything committed before that place is seen by
	// any snapshot taken afterwards. A source without a log returns the zero
	// place. No match is not an error.
	Discover(ctx context.Context, sel Selector) ([]*row.Table, position.Position, error)

	// Splits divides r.Table into bounded splits in key order that cover the
	// whole key space, the first and last open-ended; at least one.
	Splits(ctx context.Context, r Request) ([]Split, error)

	// Read emits batches of s strictly after from, in log order, each with one
	// hold that emit owns (it releases it). emit blocks: that is the whole of
	// back-pressure, and the upstream connection lives while it does. An error
	// of emit ends Read, which returns it unchanged.
	//
	// Bounded: from is ignored. The first batch has no rows and its End is the
	// chunk's mark: exactly the transactions before that place are in the rows
	// that follow, whose orders lie after everything the mark contains and
	// before everything it does not. Read returns nil at the end. The rows may
	// have a newer shape than s.Tables[0]: the sections say which.
	//
	// Unbounded: decoding starts with the shapes in s.Tables, never with the
	// catalogue's, at any place that this interface gave, a chunk's mark among them.
	// Read goes on until s.Until is reached (nil) or ctx ends; it
	// returns within a second of that. While the log is idle a batch without
	// rows moves End at least every 10 seconds. from no longer in the log gives
	// fault.SourceLost, another history fault.SourceDiverged, before anything is
	// emitted: never "from now". Broken connections are mended inside, at the
	// place reached, for as long as the class of the error is fault.Retry and
	// ctx lives; where the source is another one by then, with a log of its own,
	// Read gives fault.SourceMoved and the place must be rebased.
	Read(ctx context.Context, s Split, from position.Position, emit func(*row.Batch) error) error

	// Close ends all connections.
	Close() error
}

// Request says what to split.
type Request struct {
	Table      *row.Table
	Generation uint32
	// ChunkBytes is the size aimed at; chunks much larger than it are made only
	// where the table cannot be divided.
	ChunkBytes int64
}

// StreamSplit is the ID of the unbounded split of a source with one log.
const StreamSplit = "stream"

// Split is a part of a source that one task reads: a bounded chunk of a table,
// or an unbounded partition of the change log.
type Split struct {
	ID      string
	Bounded bool
	// Tables: bounded, the one table as planned; unbounded, every table with its
	// shape at the place where Read starts.
	Tables []*row.Table
	// Bounded: which chunk of which generation, for the orders of its rows.
	Generation, Chunk uint32
	Range             []byte // bounded: the source's own durable form of the key range
	// Unbounded: tables created later join when they match.
	Selector Selector
	Until    Until
}

// Until says where an unbounded Read ends. The zero Until is never reached.
type Until struct {
	// Place: Read ends nil after a batch whose End is at or beyond it.
	Place position.Position
	// Time: Read ends nil before the first transaction committed after it, or
	// when the server's clock is past it and the head read after that is reached.
	Time time.Time
}

// IsZero reports whether there is no end.
func (u Until) IsZero() bool { return u.Place.IsZero() && u.Time.IsZero() }

// Rebaser translates places to the log that the source has now.
type Rebaser interface {
	// Rebase returns, for each place, the same place in the present log. It
	// fails with fault.SourceLost when the log no longer reaches back to one of
	// them and fault.SourceDiverged when its history is not the present log's.
	Rebase(ctx context.Context, places []position.Position) ([]position.Position, error)
}

// Header tells the end of the log.
type Header interface {
	// Head returns the place after the last committed transaction, as it was at a
	// moment that is no longer than age before the call, and the server's clock now.
	// With an age several jobs that follow one server may share one question.
	Head(ctx context.Context, age time.Duration) (position.Position, time.Time, error)
}

// Locator finds the place where mode changes starts.
type Locator interface {
	// Locate returns the place of text, a form that Describe prints, or of the
	// first transaction committed at or after at, when text is empty.
	Locate(ctx context.Context, text string, at time.Time) (position.Position, error)
}

// Describer prints places for people.
type Describer interface {
	// Describe returns a short form, such as "bin.000007:8467 (0-1-88412)".
	Describe(p position.Position) string
}

// Finding is one line of godwit check.
type Finding struct {
	Name   string       // what was checked, e.g. "binlog format"
	Detail string       // what was found
	Fault  *fault.Error // nil: fine. Its Hint has the command that mends it
	Warn   bool         // with Fault: does not stop a run
}

// Checker looks at everything a run will need, beforehand.
type Checker interface {
	// Check returns a finding for each thing it looked at. It changes nothing on
	// a source; on a sink it may leave what Prepare would.
	Check(ctx context.Context, tables []*row.Table) []Finding
}

// Chunker tells in which chunk of a snapshot a key lies.
type Chunker interface {
	// Chunks sets out[k] to the index in splits, of the last one that begins at or
	// before the key of row rows[k] of section s of b. splits are chunks of one table
	// in key order: its first one, and any others. They are the same slice in every
	// call for one table, as long as it is asked about. Where only the source can
	// compare keys it is asked, for all rows at once.
	Chunks(ctx context.Context, splits []Split, b *row.Batch, s *row.Section, rows []int, out []int) error
}

// Looker reads single rows, for verification.
type Looker interface {
	// Look emits the rows of t, as it is now, whose keys are those of the rows of
	// keys, or all rows where keys is nil, as Read emits a chunk: the mark first, which
	// is never before the call. Keys without a row are left out. A row may come more
	// than once, where several keys are one to the source.
	Look(ctx context.Context, t *row.Table, keys *row.Batch, emit func(*row.Batch) error) error
}
