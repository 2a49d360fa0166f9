package parquet_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/row"
	"godwit/test/judge"
)

// arrowText makes of what pyarrow reads the text of codectest.Text.
func arrowText(t row.Type, v string) (string, error) {
	if v == judge.Null {
		return codectest.Null, nil
	}
	if t.Native == "uuid" {
		return v[:8] + "-" + v[8:12] + "-" + v[12:16] + "-" + v[16:20] + "-" + v[20:], nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	at := time.UnixMicro(n).UTC()
	form := "2006-01-02 15:04:05"
	switch t.Kind {
	case row.Date:
		return time.Unix(n*24*3600, 0).UTC().Format(time.DateOnly), err
	case row.Time:
		form = "15:04:05"
	case row.DateTime, row.Timestamp:
	case row.Year:
		return fmt.Sprintf("%04s", v), nil
	default:
		return v, nil
	}
	if t.Scale > 0 {
		form += ".000000"[:1+t.Scale]
	}
	return at.Format(form), err
}

func TestFormat_when_pyarrow_reads_it_back(t *testing.T) {
	v := codectest.Variant{Name: "null", Unfit: codec.Nullify, Gap: gap, Read: arrowRead(judge.PyArrow(t).Parquet, arrowText)}
	few := []string{"every kind in a changelog", "every kind without meta columns", "texts that need care", "all ops and absent cells", "no rows"}
	for _, c := range codectest.Checks() { // a process of Python for each file: those that DuckDB alone need not judge
		if slices.Contains(few, c.Name) {
			if err := c.Run(t.TempDir(), open(t, codec.Nullify, nil), v); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}

// arrowRead makes a Variant's Read of a reader whose values text turns into texts.
func arrowRead(parquet func(context.Context, string) ([]string, [][]string, error), text func(row.Type, string) (string, error)) func(string, codec.Shape) ([][]string, error) {
	return func(path string, s codec.Shape) ([][]string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		_, rows, err := parquet(ctx, path)
		meta := len(codec.Names(s)) - len(s.Table.Columns)
		for _, r := range rows {
			for i, v := range r {
				kind := row.Type{Kind: row.Text}
				if i >= meta {
					kind = s.Table.Columns[i-meta].Type
				} else if codec.MetaColumns[i] == "_ts" && v != judge.Null {
					n, err := strconv.ParseInt(v, 10, 64)
					if err != nil {
						return nil, err
					}
					r[i] = time.UnixMicro(n).UTC().Format("2006-01-02T15:04:05.000000Z")
					continue
				}
				if r[i], err = text(kind, v); err != nil {
					return nil, err
				}
			}
		}
		return rows, err
	}
}
