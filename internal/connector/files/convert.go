package files

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

var zero position.Position

// converter brings rows of an earlier version of a table into the shape it has now: what
// was renamed is found again, and a column that came later has its default.
type converter struct {
	table    *row.Table // as the target has it
	from     []int      // for each column that of the earlier version; -1: it has none
	defaults *row.Batch // one row
	x        *row.Builder
}

// conversion is a converter, or why there can be none.
type conversion struct {
	*converter
	err  error
	same bool // rows are as they are to be
}

// keeps reports whether every column is the one that was in its place. One that was dropped
// and came back under its name is another.
func (c *converter) keeps() bool {
	for i, k := range c.from {
		if k != i {
			return false
		}
	}
	return true
}

func (r *readBack) newConverter(v *version) (*converter, error) {
	t := r.table
	if v.Table.Number != t.Number {
		same := slices.IndexFunc(r.versions, func(own *version) bool { return own.Table.SameShape(v.Table) })
		if same < 0 {
			return nil, fault.New(fault.NotVerifiable, "a file has rows of the table that was called %s before, from after its end", t.Name).Try("resync the table")
		}
		v = r.versions[same]
	}
	c := &converter{table: r.sink.Stored(t), from: r.columnsFrom(v), x: row.NewBuilder(&r.pool)}
	was := r.sink.Stored(v.Table)
	for i, k := range c.from {
		if k >= 0 && was.Columns[k].Type.Kind != c.table.Columns[i].Type.Kind {
			return nil, fault.New(fault.NotVerifiable, "column %s of %s was %s and is %s: rows from before cannot be compared",
				t.Columns[i].Name, t.Name, v.Table.Columns[k].Type.Native, t.Columns[i].Type.Native).Try("resync the table")
		}
	}
	x := row.NewBuilder(&r.pool)
	x.Row(t, row.Read)
	for i := range t.Columns {
		if err := appendDefault(x, &t.Columns[i]); c.from[i] < 0 && err != nil {
			return nil, err
		}
	}
	plain := x.Finish(zero, 0)
	defer plain.Release()
	words, flags := plain.Cells(&plain.Sections()[0], 0)
	x.Row(c.table, row.Read)
	for i := range t.Columns {
		r.sink.Store(x, plain, t, i, words[i], flags[i])
	}
	c.defaults = x.Finish(zero, 0)
	return c, nil
}

// columnsFrom follows each column of the table back to version v.
func (r *readBack) columnsFrom(v *version) []int {
	out := make([]int, len(r.table.Columns))
	for i := range r.table.Columns {
		name := r.table.Columns[i].Name
		for k := len(r.versions) - 1; k >= 0 && r.versions[k] != v; k-- {
			later, earlier := r.versions[k], r.versions[k-1].Table
			if old, ok := later.Renamed[name]; ok {
				name = old
			} else if earlier.Column(name) < 0 {
				name = ""
				break
			}
		}
		if out[i] = -1; name != "" {
			out[i] = v.Table.Column(name)
		}
	}
	return out
}

func (c *converter) convert(b *row.Batch) *row.Batch {
	words0, flags0 := c.defaults.Cells(&c.defaults.Sections()[0], 0)
	for k := range b.Sections() {
		s := &b.Sections()[k]
		for span := range b.Spans(s) {
			c.x.At(span.Prefix, span.Base, span.Txn)
			for i := range span.Rows {
				op := b.Op(span.Row + i)
				words, flags := b.Cells(s, span.Row+i)
				c.x.Row(c.table, op)
				for j, from := range c.from {
					kind := c.table.Columns[j].Type.Kind
					switch {
					case op == row.Truncate:
						c.x.Absent()
					case from < 0:
						copyCell(c.x, c.defaults, kind, words0[j], flags0[j])
					default:
						copyCell(c.x, b, kind, words[from], flags[from])
					}
				}
			}
		}
	}
	return c.x.Finish(zero, 0).In(b.Incarnation)
}

// copyCell appends a cell of b as it is.
func copyCell(x *row.Builder, b *row.Batch, kind row.Kind, word uint64, flag row.Flag) {
	switch {
	case flag == row.Null:
		x.Null()
	case flag == row.Absent:
		x.Absent()
	case kind.InBytes():
		x.Bytes(b.Data(word))
	default:
		x.Word(word)
	}
}

// appendDefault appends the value that rows from before a column have in it.
func appendDefault(x *row.Builder, c *row.Column) error {
	if c.Default == nil {
		x.Null()
		return nil
	}
	text := *c.Default
	if c.Type.Kind.InBytes() {
		x.String(text)
		return nil
	}
	w, ok := wordOf(c.Type.Kind, text)
	if !ok {
		x.Null()
		return fault.New(fault.NotVerifiable, "the default %q of column %s, which rows from before it have, cannot be read as %s", text, c.Name, c.Type.Native).
			Try("resync the table")
	}
	x.Word(w)
	return nil
}

// wordOf reads the text of a value whose kind is no text.
func wordOf(kind row.Kind, text string) (w uint64, ok bool) {
	var err error
	switch kind {
	case row.Int:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		w = uint64(n)
	case row.Uint, row.Year, row.Bits:
		w, err = strconv.ParseUint(text, 10, 64)
	case row.Float32:
		var f float64
		f, err = strconv.ParseFloat(text, 32)
		w = uint64(math.Float32bits(float32(f)))
	case row.Float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		w = math.Float64bits(f)
	case row.Date:
		var d time.Time
		d, err = time.Parse(time.DateOnly, text)
		w = row.PackDate(d.Year(), int(d.Month()), d.Day())
	case row.DateTime, row.Timestamp:
		var d time.Time
		d, err = time.Parse(time.DateTime, text)
		if w = uint64(d.UnixMicro()); kind == row.DateTime {
			midnight := time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.UTC)
			w = row.PackDateTime(d.Year(), int(d.Month()), d.Day(), d.Sub(midnight).Microseconds())
		}
	case row.Time:
		h, rest, _ := strings.Cut(text, ":")
		var d time.Duration
		d, err = time.ParseDuration(h + "h" + strings.Replace(rest, ":", "m", 1) + "s")
		w = uint64(d.Microseconds())
	default:
		return 0, false
	}
	return w, err == nil
}
