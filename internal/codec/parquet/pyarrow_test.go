package parquet_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/parquet"
	"godwit/internal/row"
	"godwit/test/judge"
)

// arrowText makes of what pyarrow reads the text of codectest.Text.
func arrowText(t row.Type, v string) (string, error) {
	if v == judge.Null {
		return codectest.Null, nil
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
	a := judge.PyArrow(t)
	read := func(path string, s codec.Shape) ([][]string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, rows, err := a.Parquet(ctx, path)
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
				if r[i], err = arrowText(kind, v); err != nil {
					return nil, err
				}
			}
		}
		return rows, err
	}
	codectest.Run(t, parquet.Format, []codectest.Variant{{Name: "null", Unfit: codec.Nullify, Gap: gap, Read: read}})
}
