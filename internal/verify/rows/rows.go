// Package rows compares the rows of a table with those that a target has, while both
// may change, and never calls a difference what is only on its way.
//
// Both sides are read once. Of each row its key and the sum of its cells are kept, in
// files divided by key (spill), and added up by a hash of the key (buckets), so that what is
// the same as a whole is not looked at row by row; keys whose sums differ are judged again,
// with their values, until it is certain (judge). Of a table too large to be kept only rows
// of buckets that differ are, when both sides are read once more.
package rows

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// Kind is what was found of a row.
type Kind string

// Kinds. Rows of which nothing is found are equal.
const (
	Missing   Kind = "missing"   // not in the target
	Extra     Kind = "extra"     // in the target only
	Different Kind = "different" // both have it, with other values
	Doubled   Kind = "doubled"   // the target has it more often than the source
	Unknown   Kind = "unknown"   // it changed each time it was looked at, or the target lags: Reason
)

// Finding is a row that is not equal, or not proven to be.
type Finding struct {
	Kind   Kind
	Key    []Cell // columns of the key; of a table without one, all columns
	Reason string // of Unknown, one clause
	// Cells are the columns that differ, with both values; of a row that one side alone
	// has, none.
	Cells []Difference
	// Source and Target are how many such rows each side has.
	Source, Target int64
	// SourceAt and TargetAt are the places at which the sides were looked at. Where
	// the target keeps history, it is judged as it was at SourceAt.
	SourceAt, TargetAt position.Position
}

// Cell is a named value, as text for people.
type Cell struct{ Column, Value string }

// Difference is a column whose values differ, as text for people.
type Difference struct{ Column, Source, Target string }

// Lossy is a column that the target does not hold exactly.
type Lossy struct{ Column, Source, Target string }

// Place is how far a target is.
type Place struct {
	At position.Position
	// Incarnation is that of the log that At is a place in.
	Incarnation uint16
}

// Progress is how far a comparison is.
type Progress struct {
	Source, Target int64 // rows read of each side
	Again          int64 // keys to be judged again
	Judged         int64 // of them
}

// Config says what to compare. Source, Target, Table, Place and Folder are needed.
type Config struct {
	Source connector.Source
	// Whole: the source does not know keys of Target, and emits all rows whichever are
	// looked up.
	Whole  bool
	Target connector.Readable
	// History: the target keeps the history of its rows.
	History bool
	// Table is the table as the target has it, with its number.
	Table *row.Table
	// Place returns how far the target is now. It is asked often, and fences nobody.
	Place func(context.Context) (Place, error)
	// Changes calls visit, which releases them, with the changes that the log has after one
	// place and up to another. May be nil: what differs is then certain where both sides were
	// read at one place alone.
	Changes func(ctx context.Context, from, to position.Position, visit func(*row.Batch) error) error
	// Folder is an empty place on disk: what does not fit into memory is there until
	// Verify returns. Files have no names, so that nothing is left by a crash.
	Folder string
	// Disk is about how much of one side is kept there before only rows are that may
	// differ, which takes another pass; 0: 1 GiB. A history is kept whatever its size.
	Disk int64
	// Memory is the ceiling of what is held at once, beside batches; 0: 32 MiB.
	Memory int64
	// Chunk is the size of the parts in which the source is read; 0: 64 MiB.
	Chunk int64
	// Patience is how long the target may stand still while it is waited for; 0: 30 s.
	Patience time.Duration
	// Wait is how long it is waited before what broke in passing (fault.Retry) is read once
	// more, and twice as long each further time; 0: 250 ms. After some two minutes the error
	// of it ends Verify.
	Wait time.Duration
	// Broke is told of what broke and is read again after a while, by more than one goroutine;
	// may be nil.
	Broke func(err error, wait time.Duration)
	// Seed of the sums. IDs hold for calls with the same one.
	Seed [2]uint64
	// Differs takes the id of every row that is not equal, or not proven to be, one at a
	// time and lent; may be nil. An error of it ends Verify.
	Differs func(id []byte) error
	// Most is how many findings have values; 0: 1,000. All are counted.
	Most int
	// Found takes findings, one at a time; may be nil. An error of it ends Verify.
	Found func(Finding) error
	// Progress is told of what was done, after each batch; may be nil.
	Progress func(Progress)
	Now      func() time.Time // nil: time.Now
}

// Report sums up a comparison. All rows of both sides are in exactly one of its counts.
type Report struct {
	Equal, Missing, Extra, Different, Doubled, Unknown int64
	// Bytes of values that were read, of both sides.
	Bytes int64
	// Lossy are columns that were compared as the target can hold them.
	Lossy []Lossy
	// SourceAt is the last place at which the source was read, TargetAt that of the target.
	SourceAt, TargetAt position.Position
}

// Whole reports whether all rows are equal.
func (r Report) Whole() bool {
	return r.Missing+r.Extra+r.Different+r.Doubled+r.Unknown == 0
}

const (
	defaultDisk     = 1 << 30
	defaultMemory   = 32 << 20
	defaultChunk    = 64 << 20
	defaultPatience = 30 * time.Second
	defaultWait     = 250 * time.Millisecond
	defaultMost     = 1000
)

// ErrShape is a table whose shape in the source is not that in the target, or changed
// while it was compared.
var ErrShape = errors.New("the table has another shape in the source than in the target")

// comparison is one Verify.
type comparison struct {
	Config
	stored  *row.Table
	sums    *summer
	pool    row.Pool
	splits  []connector.Split
	lossy   []bool            // columns of which the target holds something else
	exact   bool              // keys of the target are keys of the source
	first   reading           // that of the whole source
	buckets *bucketed         // nil: of a history
	whole   []connector.Split // the table in as few parts as can be, to be read again
	bounds  [][]byte          // of a history: the last place that belongs to each of its marks
	end     []byte            // and to the last of them
	emptied truncates         // of a history
	rests   position.Position // where the target was last waited for in vain: it is not for long again
	told    int               // findings
	room    int64             // bytes that texts of values may still take
	wanted  func(*seen) error // is called with rows of the target that are looked at again

	mu      sync.Mutex // guards what follows
	judging bool
	done    Progress
	report  Report
}

// Verify compares a table. An error means that it could not be carried through.
func Verify(ctx context.Context, c Config) (r Report, err error) {
	v, err := begin(ctx, c)
	if err != nil {
		return r, err
	}
	source, target := newSpill(v.Folder, 0), newSpill(v.Folder, 0)
	defer func() { err = errors.Join(err, source.close(), target.close()) }()
	if err := v.readWhole(ctx, source, target); err != nil {
		return v.report, err
	}
	suspects := &part{dir: v.Folder}
	defer func() { err = errors.Join(err, suspects.close()) }()
	if err := v.join(source, target, 0, suspects); err != nil {
		return v.report, err
	}
	err = v.judgeAll(ctx, suspects)
	v.report.Lossy = v.lossyColumns()
	return v.report, err
}

func begin(ctx context.Context, c Config) (*comparison, error) {
	v := &comparison{Config: c, wanted: func(*seen) error { return nil }}
	if v.Disk == 0 {
		v.Disk = defaultDisk
	}
	if v.Memory == 0 {
		v.Memory = defaultMemory
	}
	if v.Chunk == 0 {
		v.Chunk = defaultChunk
	}
	if v.Patience == 0 {
		v.Patience = defaultPatience
	}
	if v.Wait == 0 {
		v.Wait = defaultWait
	}
	if v.Most == 0 {
		v.Most = defaultMost
	}
	if v.Now == nil {
		v.Now = time.Now
	}
	if err := os.MkdirAll(v.Folder, 0o700); err != nil {
		return nil, spillFault(err, v.Folder)
	}
	v.stored = c.Target.Stored(c.Table)
	v.sums = newSummer(v.stored, c.Seed)
	v.lossy, v.exact = lossy(c.Table, v.stored)
	return v, v.again(ctx, func() (err error) {
		if v.splits, err = c.Source.Splits(ctx, connector.Request{Table: c.Table, ChunkBytes: v.Chunk}); err != nil {
			return err
		}
		v.whole, err = c.Source.Splits(ctx, connector.Request{Table: c.Table, ChunkBytes: math.MaxInt64})
		return err
	})
}

// NewSeed returns a seed for Config, another one each time.
func NewSeed() [2]uint64 { return [2]uint64{rand.Uint64(), rand.Uint64()} }

// lossy tells which columns the target holds as another type, and whether those of the key
// are not among them.
func lossy(t, stored *row.Table) (out []bool, exact bool) {
	out, exact = make([]bool, len(t.Columns)), len(t.Key) > 0
	for i := range t.Columns {
		a, b := t.Columns[i].Type, stored.Columns[i].Type
		out[i] = a.Kind != b.Kind || a.Digits != b.Digits || a.Scale != b.Scale
		exact = exact && !(out[i] && slices.Contains(t.Key, i))
	}
	return out, exact
}

// lossyColumns lists the columns that were compared as the target holds them.
func (v *comparison) lossyColumns() (out []Lossy) {
	for i, is := range v.lossy {
		a, b := v.Table.Columns[i].Type, v.stored.Columns[i].Type
		switch {
		case !is:
		case a.Kind == b.Kind && a.Scale == b.Scale && a.Digits == b.Digits:
			out = append(out, Lossy{v.Table.Columns[i].Name, typeText(a), "another value, or NULL, where it cannot hold one"})
		default:
			out = append(out, Lossy{v.Table.Columns[i].Name, typeText(a), b.Kind.String()})
		}
	}
	return out
}

func typeText(t row.Type) string {
	if t.Native != "" {
		return t.Native
	}
	return t.Kind.String()
}

// readWhole reads both sides into spills. A target that keeps history is read after the
// source, when it has passed what was read there: its state is then known at each mark.
// One that has rows alone is read beside it, and once more where it is too large.
func (v *comparison) readWhole(ctx context.Context, source, target *spill) error {
	if v.History {
		return v.readHistory(ctx, source, target)
	}
	v.buckets = newBucketed()
	b := v.buckets
	if err := v.readBoth(ctx, &side{v: v, buckets: b.source, out: source}, &side{v: v, buckets: b.target, out: target}); err != nil {
		return err
	}
	open, equal := b.settle()
	v.report.Equal += equal
	if open == 0 || !b.large.Load() {
		return nil
	}
	v.mu.Lock()
	v.judging = true
	v.mu.Unlock()
	if err := errors.Join(source.close(), target.close()); err != nil {
		return err
	}
	return v.readBoth(ctx, &side{v: v, out: source}, &side{v: v, out: target})
}

func (v *comparison) readHistory(ctx context.Context, source, target *spill) error {
	if err := v.spillSource(ctx, &side{v: v, out: source}); err != nil {
		return err
	}
	var p Place
	err := v.again(ctx, func() (err error) {
		p, _, err = v.await(ctx, v.first.greatest)
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range v.first.marks {
		v.bounds = append(v.bounds, bound(p.Incarnation, m))
	}
	v.end = bound(p.Incarnation, v.first.greatest)
	return v.spillHistory(ctx, target)
}

// readBoth reads both sides, one beside the other.
func (v *comparison) readBoth(ctx context.Context, source, target *side) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	beside := make(chan error, 1)
	go func() {
		err := v.spillTarget(ctx, target)
		if err != nil {
			cancel(err)
		}
		beside <- err
	}()
	err := v.spillSource(ctx, source)
	if err != nil {
		cancel(err)
	}
	other := <-beside
	if cause := context.Cause(ctx); cause != nil {
		return cause // the one that came first
	}
	return errors.Join(err, other)
}

// It is asked again how far the target is soon, and then more and more seldom.
const (
	asksSoon   = 2 * time.Millisecond
	asksSeldom = 250 * time.Millisecond
)

// await waits until the target has passed a place, for as long as it moves.
func (v *comparison) await(ctx context.Context, at position.Position) (p Place, passed bool, err error) {
	pause := asksSoon
	for moved, last := v.Now(), noPlace; ; {
		if p, err = v.Place(ctx); err != nil {
			return p, false, err
		}
		c, err := p.At.Compare(at)
		if err != nil {
			return p, false, err
		}
		if c >= 0 {
			return p, true, nil
		}
		if p.At != last {
			moved, last = v.Now(), p.At
		}
		patience := v.Patience
		if p.At == v.rests {
			patience /= rounds
		}
		if v.Now().Sub(moved) >= patience {
			return p, false, nil
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, asksSeldom)
		case <-ctx.Done():
			return p, false, context.Cause(ctx)
		}
	}
}

func spillFault(err error, folder string) error {
	return fault.New(fault.StateBroken, "what is compared cannot be kept on disk").At("%s", folder).By(err).
		Try("free space there, or give another --state")
}
