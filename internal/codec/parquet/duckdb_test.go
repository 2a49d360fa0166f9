package parquet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/parquet"
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
