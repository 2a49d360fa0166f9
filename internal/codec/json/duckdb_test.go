package json_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	jsonlines "godwit/internal/codec/json"
	"godwit/internal/row"
	"godwit/test/judge"
)

// gap tells which documents cannot be values. It shares no code with the codec.
func gap(t row.Type, _ uint64, data []byte) bool {
	var v any
	return t.Kind == row.JSON && (json.Unmarshal(data, &v) != nil || v == nil)
}

// column returns the SQL that gives a column as codectest.Text does; in is the value
// as DuckDB reads it, which is a text or JSON.
func column(n string, t row.Type, base64 bool) string {
	in := "(j->>" + judge.Literal("$."+strings.ReplaceAll(judge.Name(n), `""`, `\"`)) + ")"
	switch t.Kind {
	case row.Bytes:
		if base64 {
			return "lower(hex(from_base64(" + in + ")))"
		}
	case row.DateTime, row.Timestamp:
		return "replace(rtrim(" + in + ", 'Z'), 'T', ' ')"
	case row.Year:
		return "lpad(" + in + ", 4, '0')"
	}
	return in
}

func duck(d *judge.Duck, name string, set map[string]any) codectest.Variant {
	v := codectest.Variant{Name: name, Options: set, Unfit: codec.Nullify}
	if set["documents"] != "text" {
		v.Gap = gap
	}
	v.Read = func(path string, s codec.Shape) ([][]string, error) {
		var list []string
		names := codec.Names(s)
		meta := len(names) - len(s.Table.Columns)
		for i, n := range names {
			t := row.Type{Kind: row.Text}
			if i >= meta {
				t = s.Table.Columns[i-meta].Type
			}
			list = append(list, column(n, t, set["binary"] != "hex"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return d.Rows(ctx, fmt.Sprintf("SELECT %s FROM (SELECT json AS j FROM read_json_objects(%s, format = 'newline_delimited', maximum_object_size = 67108864))",
			strings.Join(list, ", "), judge.Literal(path)))
	}
	return v
}

// std reads files as encoding/json does, with numbers as they are written.
func std(name string, set map[string]any) codectest.Variant {
	v := duck(nil, name, set)
	v.Read = func(path string, s codec.Shape) ([][]string, error) { return readStd(path, s, set) }
	return v
}

func TestFormat_when_DuckDB_reads_it_back(t *testing.T) {
	d := judge.DuckDB(t)
	codectest.Run(t, jsonlines.Format, []codectest.Variant{
		duck(d, "texts, hex, zstd", map[string]any{"documents": "text", "binary": "hex", "compression": "zstd", "big_numbers": "text"}),
	})
}

func TestFormat_when_encoding_json_reads_it_back(t *testing.T) {
	codectest.Run(t, jsonlines.Format, []codectest.Variant{
		std("defaults", nil),
		std("numbers", map[string]any{"decimals": "number", "compression": "gzip"}),
	})
}
