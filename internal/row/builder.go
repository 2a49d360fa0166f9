package row

import (
	"math"
	"sync"

	"godwit/internal/position"
)

// Pool lends the memory of batches and counts what is lent. The zero Pool works
// and counts nothing.
type Pool struct {
	// Freed, when set, is told the bytes that a released batch gives back
	// (the Bytes it had when it was emitted).
	Freed func(bytes int)
	free  sync.Pool
}

func (p *Pool) get() *store {
	if s, _ := p.free.Get().(*store); s != nil {
		return s
	}
	return &store{}
}

// maxKept is the largest arena that goes back to the pool: one giant row must
// not be held for ever.
const maxKept = 4 << 20

func (p *Pool) put(s *store) {
	if p.Freed != nil {
		p.Freed(cap(s.arena) + 8*cap(s.words) + cap(s.flags) + cap(s.ops))
	}
	if cap(s.arena) > maxKept {
		s.arena = nil
	}
	clear(s.runs)
	s.ops, s.words, s.flags, s.arena, s.runs = s.ops[:0], s.words[:0], s.flags[:0], s.arena[:0], s.runs[:0]
	p.free.Put(s)
}

// Builder makes one batch after another. It is used by one goroutine. Calls come
// in this order: At, then for each row Row and as many cell calls as the table
// has columns; Finish ends the batch.
type Builder struct {
	pool *Pool
	s    *store
	secs []Section
	from int // of the arena, where the last row begins
}

// NewBuilder returns a builder that takes memory from pool.
func NewBuilder(pool *Pool) *Builder { return &Builder{pool: pool} }

// At says where the following rows stand: the next row has order
// prefix ‖ bigEndian(base), those after it count up.
func (x *Builder) At(prefix string, base uint64, txn Txn) {
	x.hold()
	x.s.runs = append(x.s.runs, run{len(x.s.ops), prefix, base, txn})
}

// hold takes memory from the pool, when the first row of a batch comes: between batches
// a builder has none.
func (x *Builder) hold() {
	if x.s == nil {
		x.s = x.pool.get()
	}
}

// Row starts a row of t; len(t.Columns) cell calls follow.
func (x *Builder) Row(t *Table, op Op) {
	n := len(x.secs)
	if n == 0 || x.secs[n-1].Table != t {
		x.hold()
		x.secs = append(x.secs, Section{Table: t, Row: len(x.s.ops), cell: len(x.s.words)})
		n++
	}
	x.secs[n-1].Rows++
	x.from = len(x.s.arena)
	x.s.ops = append(x.s.ops, op)
}

// Undo takes the last Row back, with the cells it has so far; it may be called once
// after each. At must come before the next Row.
func (x *Builder) Undo() {
	n := len(x.secs) - 1
	s := &x.secs[n]
	s.Rows--
	at := s.cell + s.Rows*len(s.Table.Columns)
	x.s.ops, x.s.words, x.s.flags, x.s.arena = x.s.ops[:len(x.s.ops)-1], x.s.words[:at], x.s.flags[:at], x.s.arena[:x.from]
	if s.Rows == 0 {
		x.secs = x.secs[:n]
	}
	if k := len(x.s.runs) - 1; k >= 0 && x.s.runs[k].row == len(x.s.ops) {
		x.s.runs = x.s.runs[:k]
	}
}

// Null appends a null cell.
func (x *Builder) Null() { x.cell(0, Null) }

// Absent appends a cell the log did not carry.
func (x *Builder) Absent() { x.cell(0, Absent) }

// Word appends a scalar cell by its word.
func (x *Builder) Word(w uint64) { x.cell(w, Value) }

// Int appends the word of a signed scalar.
func (x *Builder) Int(v int64) { x.cell(uint64(v), Value) }

// Float64 appends a Float64 cell.
func (x *Builder) Float64(v float64) { x.cell(math.Float64bits(v), Value) }

// Float32 appends a Float32 cell.
func (x *Builder) Float32(v float32) { x.cell(uint64(math.Float32bits(v)), Value) }

// Bytes appends a cell in bytes; p is copied.
func (x *Builder) Bytes(p []byte) {
	at := len(x.s.arena)
	x.s.arena = append(x.s.arena, p...)
	x.cell(uint64(at)<<32|uint64(len(p)), Value)
}

// String appends a cell in bytes.
func (x *Builder) String(p string) {
	at := len(x.s.arena)
	x.s.arena = append(x.s.arena, p...)
	x.cell(uint64(at)<<32|uint64(len(p)), Value)
}

// Foreign appends a cell that the type has no value for, made by AppendForeign; p is copied.
func (x *Builder) Foreign(p []byte) {
	x.Bytes(p)
	x.s.flags[len(x.s.flags)-1] = Foreign
}

func (x *Builder) cell(w uint64, f Flag) {
	x.s.words = append(x.s.words, w)
	x.s.flags = append(x.s.flags, f)
}

// Rows returns the rows so far.
func (x *Builder) Rows() int {
	if x.s == nil {
		return 0
	}
	return len(x.s.ops)
}

// Size returns the payload bytes so far.
func (x *Builder) Size() int {
	if x.s == nil {
		return 0
	}
	return len(x.s.arena) + 8*len(x.s.words)
}

// Finish ends the batch and returns it with one hold, and starts the next. end is
// zero when the batch ends inside a transaction.
func (x *Builder) Finish(end position.Position, time int64) *Batch {
	x.hold()
	b := &Batch{End: end, EndTime: time, sections: x.secs, rows: len(x.s.ops), store: x.s}
	b.refs.Store(1)
	b.store.release = x.pool.put
	x.s, x.secs = nil, nil
	return b
}
