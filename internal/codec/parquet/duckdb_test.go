package parquet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/parquet"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

// gap tells which values the types of Parquet do not have. It shares no code with the
// codec.
func gap(t row.Type, word uint64, data []byte) bool {
	day := func(w uint64) bool {
		y, m, d := row.UnpackDate(w)
		at := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
		return y == 0 || m == 0 || d == 0 || at.Day() != d
	}
	switch t.Kind {
	case row.Date:
		return day(word)
	case row.DateTime:
		return day(word >> 37)
	case row.Time:
		return int64(word) < 0 || int64(word) >= 24*3600*1_000_000
	case row.Timestamp:
		return int64(word) == row.ZeroTimestamp
	case row.JSON:
		return !json.Valid(data)
	case row.Decimal:
		return len(strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(string(data)), "0")) > 38
	}
	return false
}

// gapType reports whether a type has values that Parquet does not.
func gapType(t row.Type) bool {
	switch t.Kind {
	case row.Date, row.DateTime, row.Time, row.Timestamp, row.JSON:
		return true
	case row.Decimal:
		return t.Digits > 38
	}
	return false
}

// column returns the SQL that gives column n of type t as codectest.Text does.
func column(n string, t row.Type, text bool) string {
	n = judge.Name(n)
	if text && gapType(t) {
		return n
	}
	// moment cuts what DuckDB prints to the digits of the column.
	moment := func(what, form string, width int) string {
		if t.Scale > 0 {
			width += 1 + t.Scale
		}
		return fmt.Sprintf("left(lpad(strftime(%s, '%s.%%f'), %d, '0'), %d)", what, form, len("2006-01-02 15:04:05.000000"), width)
	}
	switch t.Kind {
	case row.Bytes:
		return "lower(hex(" + n + "))"
	case row.Date:
		return "lpad(strftime(" + n + ", '%Y-%m-%d'), 10, '0')"
	case row.Time:
		return "substr(" + moment("(DATE '2000-01-01' + "+n+")", "%Y-%m-%d %H:%M:%S", 19) + ", 12)"
	case row.DateTime:
		return moment(n, "%Y-%m-%d %H:%M:%S", 19)
	case row.Timestamp:
		return moment(n+" AT TIME ZONE 'UTC'", "%Y-%m-%d %H:%M:%S", 19)
	case row.Decimal: // DuckDB leaves out the digit before the point where there is only room behind it
		return "regexp_replace(" + n + "::VARCHAR, '^(-?)[.]', '\\10.')"
	case row.Year:
		return "lpad(" + n + "::VARCHAR, 4, '0')"
	}
	return n + "::VARCHAR"
}

func duck(d *judge.Duck, name string, unfit codec.Unfit, set map[string]any) codectest.Variant {
	v := codectest.Variant{Name: name, Options: set, Unfit: unfit}
	if unfit == codec.Nullify {
		v.Gap = gap
	}
	v.Read = func(path string, s codec.Shape) ([][]string, error) {
		var list []string
		names := codec.Names(s)
		meta := len(names) - len(s.Table.Columns)
		for i, n := range names {
			switch {
			case i >= meta:
				list = append(list, column(n, s.Table.Columns[i-meta].Type, unfit == codec.AsText))
			case n == "_ts":
				list = append(list, "strftime(_ts AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')")
			default:
				list = append(list, n)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return d.Rows(ctx, fmt.Sprintf("SELECT %s FROM read_parquet(%s)", strings.Join(list, ", "), judge.Literal(path)))
	}
	return v
}

func TestFormat_when_DuckDB_reads_it_back(t *testing.T) {
	d := judge.DuckDB(t)
	vs := []codectest.Variant{
		duck(d, "null", codec.Nullify, nil),
		duck(d, "text, no compression", codec.AsText, map[string]any{"compression": "none"}),
		duck(d, "snappy, small row groups", codec.Nullify, map[string]any{"compression": "snappy", "row_group": int64(4 << 10)}),
	}
	if os.Getenv("GODWIT_SOAK") == "1" {
		vs = append(vs, duck(d, "gzip", codec.Nullify, map[string]any{"compression": "gzip"}),
			duck(d, "zstd 19", codec.AsText, map[string]any{"level": int64(19)}))
	}
	codectest.Run(t, parquet.Format, vs)
}

// TestFormat_when_dictionaries_are_given_up: columns of one value, of few, of more than
// pay off, of long ones, and with nulls here and there, over many pages and row groups.
func TestFormat_when_dictionaries_are_given_up(t *testing.T) {
	d := judge.DuckDB(t)
	const rows = 120_000
	c := func(n string, k row.Kind) row.Column { return row.Column{Name: n, Type: row.Type{Kind: k, Size: 8}} }
	tab := table(c("id", row.Int), c("one", row.Text), c("few", row.Int), c("late", row.Int), c("mid", row.Text), c("long", row.Text), c("gaps", row.Float64))
	write := func(x *row.Builder, i int) {
		x.Row(tab, row.Insert)
		x.Int(int64(i))
		x.String("same")
		x.Int(int64(i % 4000))
		x.Int(int64(max(0, i-60_000))) // constant at first
		x.String(fmt.Sprintf("value %d", i%9000))
		x.String(strings.Repeat("long ", i%3*i/rows*4000) + fmt.Sprint(i%5))
		if i%7 < 3 || i/20_000 == 2 {
			x.Null()
		} else {
			x.Float64(float64(i % 50))
		}
	}
	f, s := open(t, codec.Refuse, map[string]any{"row_group": int64(256 << 10)}), codec.Shape{Table: tab}
	var out bytes.Buffer
	e, err := f.NewEncoder(&out, s)
	if err != nil {
		t.Fatal(err)
	}
	for first := 0; first < rows; first += 3000 {
		x := row.NewBuilder(&row.Pool{})
		x.At("", 0, row.Txn{})
		for i := first; i < first+3000; i++ {
			write(x, i)
		}
		b := x.Finish(position.Position{}, 0)
		if err := e.Encode(b, &b.Sections()[0]); err != nil {
			t.Fatal(err)
		}
		if m := e.Memory(); m > 8<<20 {
			t.Fatalf("%d bytes are held", m)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "big.parquet")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got := d.Query(t, fmt.Sprintf(`SELECT count(*) FROM read_parquet(%s) WHERE one = 'same' AND few = id %% 4000 AND late = greatest(0, id - 60000) AND mid = 'value ' || (id %% 9000)
		AND long = repeat('long ', id %% 3 * id // %d * 4000) || (id %% 5) AND gaps IS NOT DISTINCT FROM (CASE WHEN id %% 7 < 3 OR id // 20000 = 2 THEN NULL ELSE (id %% 50)::DOUBLE END)`,
		judge.Literal(path), rows))
	groups := d.Query(t, "SELECT num_row_groups FROM parquet_file_metadata("+judge.Literal(path)+")")
	if got[0][0] != fmt.Sprint(rows) || groups[0][0] == "1" {
		t.Fatalf("%s of %d rows are right, in %s row groups", got[0][0], rows, groups[0][0])
	}
	if n, err := drain(f, s, out.Bytes()); n != rows || err != nil {
		t.Fatalf("%d rows are read back: %v", n, err)
	}
	if min := d.Query(t, "SELECT min(stats_min_value::BIGINT), max(stats_max_value::BIGINT) FROM parquet_metadata("+judge.Literal(path)+") WHERE path_in_schema = 'id'"); fmt.Sprint(min) != fmt.Sprintf("[[0 %d]]", rows-1) {
		t.Errorf("least and greatest are %v", min)
	}
}
