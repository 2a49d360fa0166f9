package codectest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/csv"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

// cell is a value on its way to an encoder.
type cell struct {
	kind row.Kind
	flag row.Flag
	word uint64
	data []byte
}

// mutant is a format with one planted bug.
type mutant struct {
	codec.Codec
	cell    func(c *row.Column, v *cell)                   // a wrong value
	shape   func(t *row.Table)                             // a wrong type
	rows    func(n int) int                                // rows lost or doubled
	place   func(prefix string, base uint64, i int) uint64 // a wrong place
	txn     func(t row.Txn) row.Txn                        // a wrong time
	bytes   func(p []byte) []byte                          // a wrong file
	open    func(f codec.Codec, w io.Writer) io.Writer     // a wrong use of the file
	closing func(e codec.Encoder) error                    // a wrong end
	keep    bool                                           // sections kept until Close
}

type mutantEncoder struct {
	m     *mutant
	inner codec.Encoder
	shape codec.Shape // given
	table *row.Table  // written
	file  io.Writer
	buf   *bytes.Buffer
	later []func() error
}

func (m *mutant) NewEncoder(w io.Writer, s codec.Shape) (codec.Encoder, error) {
	t := *s.Table
	t.Columns = append([]row.Column(nil), s.Table.Columns...)
	if m.shape != nil {
		m.shape(&t)
	}
	e := &mutantEncoder{m: m, shape: s, table: &t, file: w}
	out := w
	if m.bytes != nil {
		e.buf = &bytes.Buffer{}
		out = e.buf
	}
	if m.open != nil {
		out = m.open(m.Codec, w)
	}
	var err error
	e.inner, err = m.Codec.NewEncoder(out, codec.Shape{Table: &t, Meta: s.Meta})
	return e, err
}

func (e *mutantEncoder) Encode(b *row.Batch, s *row.Section) error {
	if s.Table != e.shape.Table {
		return fmt.Errorf("another table")
	}
	write := func() error { return e.write(b, s) }
	if e.m.keep {
		e.later = append(e.later, write)
		return nil
	}
	return write()
}

// write builds a batch of the wrong cells and hands it on.
func (e *mutantEncoder) write(b *row.Batch, s *row.Section) error {
	x := row.NewBuilder(&row.Pool{})
	for span := range b.Spans(s) {
		n := span.Rows
		if e.m.rows != nil {
			n = e.m.rows(n)
		}
		for k := range n {
			base, txn := span.Base+uint64(k), span.Txn
			if e.m.place != nil {
				base = e.m.place(span.Prefix, span.Base, k)
			}
			if e.m.txn != nil {
				txn = e.m.txn(txn)
			}
			x.At(span.Prefix, base, txn)
			i := span.Row + min(k, span.Rows-1)
			x.Row(e.table, b.Op(i))
			words, flags := b.Cells(s, i)
			for c := range words {
				v := cell{kind: s.Table.Columns[c].Type.Kind, flag: flags[c], word: words[c]}
				if v.kind.InBytes() && v.flag == row.Value {
					v.data = bytes.Clone(b.Data(words[c]))
				}
				if e.m.cell != nil && (v.flag == row.Value || e.m.shape == nil) {
					e.m.cell(&s.Table.Columns[c], &v)
				}
				put(x, e.table.Columns[c].Type.Kind, v)
			}
		}
	}
	out := x.Finish(position.Position{}, 0).In(b.Incarnation)
	for i := range out.Sections() {
		if err := e.inner.Encode(out, &out.Sections()[i]); err != nil {
			return err
		}
	}
	return nil
}

func put(x *row.Builder, k row.Kind, v cell) {
	switch {
	case v.flag == row.Null:
		x.Null()
	case v.flag == row.Absent:
		x.Absent()
	case k.InBytes():
		x.Bytes(v.data)
	default:
		x.Word(v.word)
	}
}

func (e *mutantEncoder) Memory() int    { return e.inner.Memory() }
func (e *mutantEncoder) Written() int64 { return e.inner.Written() }

func (e *mutantEncoder) Close() error {
	for _, f := range e.later {
		if err := f(); err != nil {
			return err
		}
	}
	e.later = nil
	if e.m.closing != nil {
		return e.m.closing(e.inner)
	}
	err := e.inner.Close()
	if e.buf != nil && err == nil {
		_, err = e.file.Write(e.m.bytes(e.buf.Bytes()))
		e.buf.Reset()
	}
	return err
}

// deaf takes everything and hides errors.
type deaf struct{ io.Writer }

func (d deaf) Write(p []byte) (int, error) {
	_, _ = d.Writer.Write(p)
	return len(p), nil
}

func replace(old, by string) func([]byte) []byte {
	return func(p []byte) []byte { return bytes.ReplaceAll(p, []byte(old), []byte(by)) }
}

func on(k row.Kind, f func(v *cell)) func(*row.Column, *cell) {
	return func(c *row.Column, v *cell) {
		if c.Type.Kind == k && v.flag == row.Value {
			f(v)
		}
	}
}

func bugs() map[string]mutant {
	return map[string]mutant{
		"null is written as the empty text": {cell: func(c *row.Column, v *cell) {
			if c.Type.Kind == row.Text && v.flag == row.Null {
				v.flag, v.data = row.Value, nil
			}
		}},
		"the empty text is written as null": {cell: on(row.Text, func(v *cell) {
			if len(v.data) == 0 {
				v.flag = row.Null
			}
		})},
		"the null text is not quoted":     {bytes: replace(`"\N"`, `\N`)},
		"a quote is escaped by backslash": {bytes: replace(`a""b`, `a\"b`)},
		"a quote is not doubled":          {bytes: replace(`a""b`, `a"b`)},
		"CR LF becomes LF":                {bytes: replace("\r\n", "\n")},
		"CR is not quoted":                {bytes: replace("\"\r\"", "\r")},
		"texts are trimmed":               {cell: on(row.Text, func(v *cell) { v.data = bytes.TrimSpace(v.data) })},
		"NUL ends a text":                 {cell: on(row.Text, func(v *cell) { v.data, _, _ = bytes.Cut(v.data, []byte{0}) })},
		"text beyond 64 KiB is cut":       {cell: on(row.Text, func(v *cell) { v.data = v.data[:min(len(v.data), 64<<10)] })},
		"-0.01 loses its sign":            {cell: on(row.Decimal, func(v *cell) { v.data = bytes.Replace(v.data, []byte("-0."), []byte("0."), 1) })},
		"0.10 loses its zero":             {cell: on(row.Decimal, func(v *cell) { v.data = bytes.TrimSuffix(v.data, []byte("0")) })},
		"a TIME under an hour loses its sign": {cell: on(row.Time, func(v *cell) {
			if t := int64(v.word); t < 0 && t > -3_600_000_000 {
				v.word = uint64(-t)
			}
		})},
		"TIME wraps after 99 hours": {cell: on(row.Time, func(v *cell) { v.word = uint64(int64(v.word) % 360_000_000_000) })},
		"the fraction is one off":   {cell: on(row.DateTime, func(v *cell) { v.word++ })},
		"the fraction is too short": {shape: func(t *row.Table) { retype(t, row.Timestamp, func(x *row.Type) { x.Scale = max(0, x.Scale-1) }) }},
		"the fraction is too long":  {shape: func(t *row.Table) { retype(t, row.Time, func(x *row.Type) { x.Scale = min(6, x.Scale+1) }) }},
		"timestamps are in local time": {cell: on(row.Timestamp, func(v *cell) {
			if int64(v.word) != row.ZeroTimestamp {
				v.word += 3_600_000_000
			}
		})},
		"the zero timestamp is the epoch": {cell: on(row.Timestamp, func(v *cell) {
			if int64(v.word) == row.ZeroTimestamp {
				v.word = 0
			}
		})},
		"partial dates become null": {cell: on(row.Date, func(v *cell) {
			if v.word>>5&15 == 0 {
				v.flag = row.Null
			}
		})},
		"unsigned numbers become signed": {shape: func(t *row.Table) { retype(t, row.Uint, func(x *row.Type) { x.Kind = row.Int }) }},
		"bits become signed":             {shape: func(t *row.Table) { retype(t, row.Bits, func(x *row.Type) { x.Kind = row.Int }) }},
		"the year 0 has one digit":       {shape: func(t *row.Table) { retype(t, row.Year, func(x *row.Type) { x.Kind = row.Uint }) }},
		"floats lose digits":             {cell: on(row.Float64, func(v *cell) { v.word &^= 7 })},
		"singles lose digits":            {cell: on(row.Float32, func(v *cell) { v.word &^= 3 })},
		"bytes are written as capital hex": {
			shape: func(t *row.Table) { retype(t, row.Bytes, func(x *row.Type) { x.Kind = row.Text }) },
			cell:  on(row.Bytes, func(v *cell) { v.data = []byte(strings.ToUpper(hex.EncodeToString(v.data))) }),
		},
		"JSON is normalised": {cell: on(row.JSON, func(v *cell) { v.data = bytes.ReplaceAll(v.data, []byte(": "), []byte(":")) })},
		"absent is null": {cell: func(_ *row.Column, v *cell) {
			if v.flag == row.Absent {
				v.flag = row.Null
			}
		}},
		"null is absent": {cell: func(_ *row.Column, v *cell) {
			if v.flag == row.Null {
				v.flag = row.Absent
			}
		}},
		"places do not carry":                       {place: func(_ string, base uint64, i int) uint64 { return base&^0xff | (base+uint64(i))&0xff }},
		"a transaction's time is kept for the next": {txn: func(x row.Txn) row.Txn { x.Time = 1; return x }},
		"an unknown time is 1970": {txn: func(x row.Txn) row.Txn {
			x.Time = max(x.Time, 1)
			return x
		}},
		"the last row of a span is lost":   {rows: func(n int) int { return max(n-1, min(n, 1)) }},
		"the last row of a span is twice":  {rows: func(n int) int { return n + 1 }},
		"rows are kept until Close":        {keep: true},
		"errors of the file are swallowed": {open: func(_ codec.Codec, w io.Writer) io.Writer { return deaf{w} }},
		"Close writes nothing":             {closing: func(codec.Encoder) error { return nil }},
	}
}

func retype(t *row.Table, k row.Kind, f func(*row.Type)) {
	for i := range t.Columns {
		if t.Columns[i].Type.Kind == k {
			f(&t.Columns[i].Type)
		}
	}
}

func read(d *judge.Duck) func(string, codec.Shape) ([][]string, error) {
	return func(path string, s codec.Shape) ([][]string, error) {
		var list []string
		names := codec.Names(s)
		for i, n := range names {
			c := judge.Name(n)
			list = append(list, c)
			if k := i - len(names) + len(s.Table.Columns); k >= 0 && s.Table.Columns[k].Type.Kind == row.Bytes {
				list[i] = "CASE WHEN regexp_matches(" + c + ", '^[0-9a-f]*$') OR " + c + " IS NULL THEN " + c + " ELSE error('not hex') END"
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return d.Rows(ctx, "SELECT "+strings.Join(list, ", ")+" FROM read_csv("+judge.Literal(path)+`, all_varchar = true, header = true, delim = ',',
			quote = '"', escape = '"', nullstr = '\N', allow_quoted_nulls = false, comment = '', new_line = '\n', max_line_size = 33554432, buffer_size = 67108864)`)
	}
}

// TestRun_when_bugs_are_planted: the suite must find every one of them, and none
// where there is none.
func TestRun_when_bugs_are_planted(t *testing.T) {
	d := judge.DuckDB(t)
	v := codectest.Variant{Name: "defaults", Read: read(d)}
	f, err := csv.Format.New(option.Of(csv.Format.Options, nil))
	if err != nil {
		t.Fatal(err)
	}
	run := func(m mutant) (found []string) {
		m.Codec = f
		defer func() {
			if p := recover(); p != nil { // the batch was gone
				found = append(found, fmt.Sprint(p))
			}
		}()
		for _, c := range codectest.Checks() {
			if err := c.Run(t.TempDir(), &m, v); err != nil {
				return append(found, fmt.Sprintf("%s: %.100v", c.Name, err))
			}
		}
		return found
	}
	if found := run(mutant{}); found != nil {
		t.Fatalf("found without a bug: %v", found)
	}
	for name, m := range bugs() {
		found := run(m)
		if found == nil {
			t.Errorf("not found: %s", name)
			continue
		}
		t.Logf("%s: %s", name, found[0])
	}
}
