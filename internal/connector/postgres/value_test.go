package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// rig is a sink of a real server with a table and one open writer.
type rig struct {
	testing.TB
	s    *postgres.Server
	sink *sink
	w    connector.Writer
	pool row.Pool
	n    uint64
}

func newRig(t testing.TB, s *postgres.Server, given map[string]any, tables ...*row.Table) *rig {
	t.Helper()
	r := &rig{TB: t, s: s, sink: newSink(testConfig(t, s, given), connector.Env{Job: "shop", Name: "lake"})}
	t.Cleanup(func() { _ = r.sink.Close() })
	r.must(r.sink.Prepare(context.Background(), tables))
	r.open(1)
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) open(run uint64) position.Set {
	r.Helper()
	w, set, err := r.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: connector.StreamSplit}, connector.Claim{Run: run, Attempt: 1})
	r.must(err)
	r.w = w
	return set
}

// change is a row to be written: cells are int64, uint64, float64, float32, string,
// nil for null and absent{}.
type change struct {
	op    row.Op
	cells []any
}

type absent struct{}

func cells(of ...any) []any { return of }

func (r *rig) batch(t *row.Table, changes ...change) *row.Batch {
	x := row.NewBuilder(&r.pool)
	r.n++
	x.At(fmt.Sprintf("log%08d", r.n), 1, row.Txn{ID: "1-1-1"})
	for _, c := range changes {
		x.Row(t, c.op)
		for i := range t.Columns {
			if c.op == row.Truncate {
				x.Absent()
				continue
			}
			switch v := c.cells[i].(type) {
			case nil:
				x.Null()
			case absent:
				x.Absent()
			case int:
				x.Int(int64(v))
			case int64:
				x.Int(v)
			case uint64:
				x.Word(v)
			case float64:
				x.Float64(v)
			case float32:
				x.Float32(v)
			case string:
				x.String(v)
			default:
				r.Fatalf("a cell of %T", v)
			}
		}
	}
	return x.Finish(position.New("log", fmt.Sprint(r.n), ""), 0)
}

// write applies changes and commits them.
func (r *rig) write(t *row.Table, changes ...change) error {
	b := r.batch(t, changes...)
	defer b.Release()
	if err := r.w.Apply(context.Background(), b); err != nil {
		return err
	}
	return r.w.Commit(context.Background(), position.Set{connector.StreamSplit: b.End})
}

func (r *rig) wants(sql string, want ...string) {
	r.Helper()
	var got []string
	for _, row := range r.s.Query(r, sql) {
		got = append(got, strings.ReplaceAll(strings.Join(row, "|"), postgres.Null, "∅"))
	}
	if d := cmp.Diff(want, got); d != "" {
		r.Errorf("%s\n%s", sql, d)
	}
}

// valueCase is a type with values and what the server's client prints for them.
type valueCase struct {
	t      row.Type
	sql    string
	values []any
	texts  []string
}

func dateTime(year, month, day int, micros int64) uint64 {
	return row.PackDateTime(year, month, day, micros)
}

var valueCases = []valueCase{
	{row.Type{Kind: row.Int, Size: 1, Native: "tinyint(4)"}, "smallint", []any{-128, 0, 127}, []string{"-128", "0", "127"}},
	{row.Type{Kind: row.Uint, Size: 1, Native: "tinyint(3) unsigned"}, "smallint", []any{uint64(255)}, []string{"255"}},
	{row.Type{Kind: row.Int, Size: 2, Native: "smallint(6)"}, "smallint", []any{-32768, 32767}, []string{"-32768", "32767"}},
	{row.Type{Kind: row.Uint, Size: 2, Native: "smallint(5) unsigned"}, "integer", []any{uint64(65535)}, []string{"65535"}},
	{row.Type{Kind: row.Int, Size: 3, Native: "mediumint(9)"}, "integer", []any{-8388608, 8388607}, []string{"-8388608", "8388607"}},
	{row.Type{Kind: row.Uint, Size: 3, Native: "mediumint(8) unsigned"}, "integer", []any{uint64(16777215)}, []string{"16777215"}},
	{row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}, "integer", []any{math.MinInt32, math.MaxInt32}, []string{"-2147483648", "2147483647"}},
	{row.Type{Kind: row.Uint, Size: 4, Native: "int(10) unsigned"}, "bigint", []any{uint64(math.MaxUint32)}, []string{"4294967295"}},
	{row.Type{Kind: row.Int, Size: 8, Native: "bigint(20)"}, "bigint", []any{int64(math.MinInt64), int64(math.MaxInt64)}, []string{"-9223372036854775808", "9223372036854775807"}},
	{row.Type{Kind: row.Uint, Size: 8, Native: "bigint(20) unsigned"}, "numeric(20,0)", []any{uint64(0), uint64(9), uint64(10000), uint64(100000000), uint64(math.MaxUint64)},
		[]string{"0", "9", "10000", "100000000", "18446744073709551615"}},
	{row.Type{Kind: row.Float32, Native: "float"}, "real", []any{float32(0), float32(1.5), float32(3.4028235e38), float32(1e-45)}, []string{"0", "1.5", "3.4028235e+38", "1e-45"}},
	{row.Type{Kind: row.Float64, Native: "double"}, "double precision", []any{0.0, -0.1, math.MaxFloat64, 5e-324}, []string{"0", "-0.1", "1.7976931348623157e+308", "5e-324"}},
	{row.Type{Kind: row.Decimal, Digits: 65, Scale: 30, Native: "decimal(65,30)"}, "numeric(65,30)",
		[]any{"0.000000000000000000000000000000", "-99999999999999999999999999999999999.999999999999999999999999999999", "12345.000000000000000000000000000001", "0.000100000000000000000000000000", "0.000010000000000000000000000000"},
		[]string{"0.000000000000000000000000000000", "-99999999999999999999999999999999999.999999999999999999999999999999", "12345.000000000000000000000000000001", "0.000100000000000000000000000000", "0.000010000000000000000000000000"}},
	{row.Type{Kind: row.Decimal, Digits: 10, Scale: 2, Native: "decimal(10,2)"}, "numeric(10,2)", []any{"0.00", "-0.01", "99999999.99", "10000.10", "-10000.00", "1.00"}, []string{"0.00", "-0.01", "99999999.99", "10000.10", "-10000.00", "1.00"}},
	{row.Type{Kind: row.Decimal, Digits: 20, Native: "decimal(20,0)"}, "numeric(20,0)", []any{"0", "-1", "10000000000000000000", "12345678"}, []string{"0", "-1", "10000000000000000000", "12345678"}},
	{row.Type{Kind: row.Text, Native: "text"}, "text", []any{"", "NULL", "é🐦\t\n\\", strings.Repeat("x", 100000)}, []string{"", "NULL", "é🐦\t\n\\", strings.Repeat("x", 100000)}},
	{row.Type{Kind: row.Bytes, Native: "blob"}, "bytea", []any{"", "\x00\xff\\"}, []string{`\x`, `\x00ff5c`}},
	{row.Type{Kind: row.JSON, Native: "json"}, "json", []any{`{"b": 1,  "a":[null, 1.50]}`}, []string{`{"b": 1,  "a":[null, 1.50]}`}},
	{row.Type{Kind: row.Enum, Labels: []string{"a"}, Native: "enum('a')"}, "text", []any{"a", ""}, []string{"a", ""}},
	{row.Type{Kind: row.Labels, Labels: []string{"a", "b"}, Native: "set('a','b')"}, "text", []any{"a,b", ""}, []string{"a,b", ""}},
	{row.Type{Kind: row.Date, Native: "date"}, "date", []any{row.PackDate(1, 1, 1), row.PackDate(1999, 12, 31), row.PackDate(2000, 1, 1), row.PackDate(2024, 2, 29), row.PackDate(9999, 12, 31)},
		[]string{"0001-01-01", "1999-12-31", "2000-01-01", "2024-02-29", "9999-12-31"}},
	{row.Type{Kind: row.Time, Scale: 6, Native: "time(6)"}, "interval", []any{0, int64(-(838*3600 + 59*60 + 59) * 1_000_000), 3_723_000_001}, []string{"00:00:00", "-838:59:59", "01:02:03.000001"}},
	{row.Type{Kind: row.DateTime, Scale: 6, Native: "datetime(6)"}, "timestamp(6) without time zone", []any{dateTime(1000, 1, 1, 0), dateTime(1999, 12, 31, 86399_999999), dateTime(9999, 12, 31, 86399_999999)},
		[]string{"1000-01-01 00:00:00", "1999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"}},
	{row.Type{Kind: row.DateTime, Native: "datetime"}, "timestamp(0) without time zone", []any{dateTime(2026, 11, 26, 0)}, []string{"2026-11-26 00:00:00"}},
	{row.Type{Kind: row.Timestamp, Scale: 3, Native: "timestamp(3)"}, "timestamp(3) with time zone", []any{int64(1_000_000), int64(1_795_651_199_999_000)}, []string{"1970-01-01 00:00:01+00", "2026-11-25 23:59:59.999+00"}},
	{row.Type{Kind: row.Year, Native: "year(4)"}, "smallint", []any{uint64(0), uint64(1901), uint64(2155)}, []string{"0", "1901", "2155"}},
	{row.Type{Kind: row.Bits, Size: 1, Native: "bit(1)"}, "bit(1)", []any{uint64(0), uint64(1)}, []string{"0", "1"}},
	{row.Type{Kind: row.Bits, Size: 10, Native: "bit(10)"}, "bit(10)", []any{uint64(513)}, []string{"1000000001"}},
	{row.Type{Kind: row.Bits, Size: 64, Native: "bit(64)"}, "bit(64)", []any{uint64(math.MaxUint64 - 1)}, []string{strings.Repeat("1", 63) + "0"}},
	{row.Type{Kind: row.Text, Native: "uuid"}, "uuid", []any{"123e4567-e89b-12d3-a456-426655440000"}, []string{"123e4567-e89b-12d3-a456-426655440000"}},
}

// Every type, by COPY and by the stream, with null, is what the server's own client
// prints.
func TestTypes_when_written_both_ways(t *testing.T) { typesBothWays(t, postgres.Start(t)) }

func TestTypes_when_the_server_is_of_another_version(t *testing.T) {
	for _, major := range versions() {
		t.Run(major, func(t *testing.T) { typesBothWays(t, postgres.StartVersion(t, major)) })
	}
}

func typesBothWays(t *testing.T, s *postgres.Server) {
	t.Helper()
	var tables []*row.Table
	for i, c := range valueCases {
		tables = append(tables, &row.Table{Name: row.Name{Space: "shop", Table: fmt.Sprintf("t%d", i)}, Number: uint32(i + 1), Version: 1, Key: []int{0},
			Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint(20)"}}, {Name: "v", Type: c.t, Nullable: true}}})
	}
	r := newRig(t, s, nil, tables...)
	for i, c := range valueCases {
		var read, stream []change
		for k, v := range append(c.values, nil) {
			read = append(read, change{row.Read, cells(k, v)})
			stream = append(stream, change{row.Insert, cells(1000+k, v)})
		}
		if err := r.write(tables[i], append(read, stream...)...); err != nil {
			t.Errorf("%s: %v", c.t.Native, err)
			r.open(uint64(i + 2))
			continue
		}
		name := fmt.Sprintf("shop.t%d", i)
		r.wants("SELECT v FROM "+name+" WHERE id < 1000 ORDER BY id", append(c.texts, "∅")...)
		r.wants("SELECT v FROM "+name+" WHERE id >= 1000 ORDER BY id", append(c.texts, "∅")...)
		r.wants("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '"+name+"'::regclass AND attname = 'v'", c.sql)
	}
}

// What is read back is what was written, cell by cell, and of one moment.
func TestReadBack_when_types_are_all(t *testing.T) {
	s := postgres.Start(t)
	for i, c := range valueCases {
		table := &row.Table{Name: row.Name{Space: "shop", Table: fmt.Sprintf("t%d", i)}, Number: uint32(i + 1), Version: 1, Key: []int{0},
			Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint(20)"}}, {Name: "v", Type: c.t, Nullable: true}}}
		r := newRig(t, s, nil, table)
		var rows []change
		for k, v := range append(c.values, nil) {
			rows = append(rows, change{row.Insert, cells(k, v)})
		}
		r.must(r.write(table, rows...))
		want := dump(t, r.sink, r.batch(table, rows...))
		var got []string
		var end position.Position
		read := func(b *row.Batch) error {
			defer b.Release()
			if b.Rows() == 0 {
				end = b.End
			}
			got = append(got, dump(t, r.sink, b)...)
			return nil
		}
		r.must(r.sink.ReadBack(context.Background(), table, nil, read))
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" || end.Order() != "1" {
			t.Errorf("%s, at %q: %.1000s", c.t.Native, end.Order(), d)
		}
		got = nil
		r.must(r.sink.ReadBack(context.Background(), table, r.batch(table, rows[0], change{row.Delete, cells(77, nil)}), read))
		if len(got) != 1 || !strings.HasPrefix(got[0], "0 ") {
			t.Errorf("%s, by its key: %q", c.t.Native, got)
		}
		r.must(r.w.Close())
	}
}

// dump has the rows of a batch as the target stores them.
func dump(t *testing.T, s *sink, b *row.Batch) (out []string) {
	t.Helper()
	for _, sec := range b.Sections() {
		for i := sec.Row; i < sec.Row+sec.Rows; i++ {
			words, flags := b.Cells(&sec, i)
			x := row.NewBuilder(&row.Pool{})
			x.At("", 0, row.Txn{})
			x.Row(s.Stored(sec.Table), row.Read)
			for k := range words {
				s.Store(x, b, sec.Table, k, words[k], flags[k])
			}
			y := x.Finish(position.Position{}, 0)
			ys := y.Sections()[0]
			w, f := y.Cells(&ys, 0)
			line := fmt.Sprint(int64(w[0]), " ", f[1], " ")
			if ys.Table.Columns[1].Type.Kind.InBytes() && f[1] == row.Value {
				line += string(y.Data(w[1]))
			} else {
				line += fmt.Sprint(w[1])
			}
			out = append(out, line)
		}
	}
	return out
}

// What PostgreSQL has no form for.
var unrepresentable = []struct {
	t    row.Type
	v    any
	text string
}{
	{row.Type{Kind: row.Date, Native: "date"}, row.PackDate(0, 0, 0), "0000-00-00"},
	{row.Type{Kind: row.Date, Native: "date"}, row.PackDate(2024, 2, 30), "2024-02-30"},
	{row.Type{Kind: row.DateTime, Scale: 3, Native: "datetime(3)"}, dateTime(2024, 0, 1, 1_500_000), "2024-00-01 00:00:01.500"},
	{row.Type{Kind: row.Timestamp, Native: "timestamp"}, int64(row.ZeroTimestamp), "0000-00-00 00:00:00"},
}

func TestUnrepresentable_when_it_says_what_to_do(t *testing.T) {
	s := postgres.Start(t)
	for _, policy := range []string{unrepresentableError, unrepresentableNull, unrepresentableText} {
		table := &row.Table{Name: row.Name{Space: "u_" + policy, Table: "t"}, Number: 1, Version: 1, Key: []int{0},
			Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}}}}
		given := cells(1)
		var texts []string
		for i, u := range unrepresentable {
			table.Columns = append(table.Columns, row.Column{Name: fmt.Sprint("c", i), Type: u.t, Nullable: true})
			given, texts = append(given, u.v), append(texts, u.text)
		}
		r := newRig(t, s, map[string]any{"unrepresentable": policy, "control_schema": "g_" + policy}, table)
		err := r.write(table, change{row.Insert, given})
		switch policy {
		case unrepresentableError:
			if !fault.Has(err, fault.RowRefused) || !strings.Contains(err.Error(), "u_error.t, column c0: PostgreSQL has no such date: 0000-00-00 (row id=1)") {
				t.Errorf("%v", err)
			}
		case unrepresentableNull:
			r.must(err)
			r.wants("SELECT c0, c1, c2, c3 FROM u_"+policy+".t", "∅|∅|∅|∅")
		default:
			r.must(err)
			r.wants("SELECT c0, c1, c2, c3 FROM u_"+policy+".t", strings.Join(texts, "|"))
		}
	}
}

func TestText_when_it_has_a_zero(t *testing.T) {
	table := &row.Table{Name: row.Name{Space: "shop", Table: "t"}, Number: 1, Version: 1, Key: []int{0}, Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Text, Native: "varchar(9)"}}}}
	r := newRig(t, postgres.Start(t), nil, table)
	if err := r.write(table, change{row.Insert, cells("a\x00b")}); !fault.Has(err, fault.RowRefused) {
		t.Errorf("%v", err)
	}
}
