// Package expression computes with the cells of rows. Its grammar is that of the
// language Expr, without loops; its meaning is that of SQL: values are typed by their
// columns, whole numbers and decimals are exact, and null is what is not known. An
// expression is checked once for each shape of a table and then costs no more than its
// own length, for each row.
package expression

import (
	"math"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// Expression is an expression on rows of one shape. It is immutable; its Rows are not
// to be shared.
type Expression struct {
	typ      Type
	eval     func(*Row) value
	columns  []int // that it reads, each once
	column   int   // that it is, with nothing done to it; -1: it is none
	constant bool
}

// value is what an expression comes to for one row. Which field counts the class of
// its type says.
type value struct {
	null bool
	word uint64 // truth (0 or 1), floating (bits), and what is a cell's word
	num  number
	data []byte // text and binary
}

// Row is one row that expressions are computed for. It is used by one goroutine.
type Row struct {
	batch   *row.Batch
	words   []uint64
	flags   []row.Flag
	absent  bool // a cell that the log did not carry was needed
	failure *fault.Error
	scratch []byte // of texts that were made for this row
}

// At moves r to row i of section s of b.
func (r *Row) At(b *row.Batch, s *row.Section, i int) {
	r.batch, r.absent, r.failure, r.scratch = b, false, nil, r.scratch[:0]
	r.words, r.flags = b.Cells(s, i)
}

// Column returns column i of t as an expression.
func Column(t *row.Table, i int) *Expression {
	typ, ok := typeOf(&t.Columns[i])
	e := &Expression{typ: typ, columns: []int{i}, column: i}
	if ok {
		e.eval = reader(i, t.Columns[i].Type.Kind)
	}
	return e
}

// reader returns what reads the cells of a column.
func reader(i int, k row.Kind) func(*Row) value {
	return func(r *Row) value {
		switch r.flags[i] {
		case row.Null:
			return value{null: true}
		case row.Absent:
			r.absent = true
			return value{null: true}
		}
		w := r.words[i]
		switch k {
		case row.Int:
			return value{num: whole(int64(w))}
		case row.Uint, row.Year, row.Bits:
			return value{num: unsigned(w)}
		case row.Decimal:
			n, ok := parseNumber(r.batch.Data(w))
			if !ok {
				return r.fail("%q is no decimal", r.batch.Data(w))
			}
			return value{num: n}
		case row.Float32:
			return value{word: math.Float64bits(float64(math.Float32frombits(uint32(w))))}
		}
		if k.InBytes() {
			return value{data: r.batch.Data(w)}
		}
		return value{word: w}
	}
}

// fail notes the first thing that is wrong with a row and stands for its value.
func (r *Row) fail(format string, args ...any) value {
	if r.failure == nil {
		r.failure = fault.New(fault.RowRefused, format, args...)
	}
	return value{null: true}
}

// Type is what a column with the values of e is typed.
func (e *Expression) Type() row.Type { return e.typ.row() }

// Nullable reports whether a value can be null.
func (e *Expression) Nullable() bool { return e.typ.nullable }

// Column returns the column that e is, with nothing done to it; -1: it is none.
func (e *Expression) Column() int { return e.column }

// Columns are the columns that e reads; the slice is lent.
func (e *Expression) Columns() []int { return e.columns }

// Known tells what a condition comes to for a row.
type Known uint8

// What a condition comes to. Unknown is null, as in SQL.
const (
	Unknown Known = iota
	True
	False
	Absent // the log did not carry what it needs
)

// Holds computes a condition (Condition) for r. An error is a fault.RowRefused.
func (e *Expression) Holds(r *Row) (Known, error) {
	v := e.eval(r)
	switch {
	case r.failure != nil:
		return Unknown, r.failure
	case r.absent:
		return Absent, nil
	case v.null:
		return Unknown, nil
	case v.word == 1:
		return True, nil
	}
	return False, nil
}

// Append computes e for r and appends its cell to x. Where all that it reads is absent
// so is the cell: the row keeps what it had. Where only a part is nothing can be said,
// and whole is false.
func (e *Expression) Append(x *row.Builder, r *Row) (whole bool, err error) {
	if e.column >= 0 {
		e.copyCell(x, r)
		return true, nil
	}
	r.absent = false
	v := e.eval(r)
	switch {
	case r.failure != nil:
		return true, r.failure
	case r.absent && e.allAbsent(r):
		x.Absent()
	case r.absent:
		return false, nil
	case v.null:
		x.Null()
	default:
		e.appendValue(x, r, v)
	}
	return true, nil
}

func (e *Expression) allAbsent(r *Row) bool {
	for _, c := range e.columns {
		if r.flags[c] != row.Absent {
			return false
		}
	}
	return true
}

func (e *Expression) copyCell(x *row.Builder, r *Row) {
	switch w := r.words[e.column]; {
	case r.flags[e.column] == row.Null:
		x.Null()
	case r.flags[e.column] == row.Absent:
		x.Absent()
	case e.typ.own != nil && e.typ.own.Kind.InBytes():
		x.Bytes(r.batch.Data(w))
	default:
		x.Word(w)
	}
}

// appendValue appends a value that is not null as a cell of e.Type.
func (e *Expression) appendValue(x *row.Builder, r *Row, v value) {
	switch t := e.Type(); {
	case t.Kind.InBytes() && e.typ.class == exact:
		r.scratch = r.scratch[:0]
		r.scratch = v.num.at(t.Scale).appendTo(r.scratch)
		x.Bytes(r.scratch)
	case t.Kind.InBytes():
		x.Bytes(v.data)
	case e.typ.class == exact && v.num.big != nil:
		x.Word(v.num.big.Uint64())
	case e.typ.class == exact:
		x.Int(v.num.small)
	case t.Kind == row.Float32:
		x.Float32(float32(math.Float64frombits(v.word)))
	default:
		x.Word(v.word)
	}
}
