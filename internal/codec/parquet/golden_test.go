package parquet_test

import (
	"bytes"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/parquet"
	"godwit/internal/fault"
	"godwit/internal/row"
	"godwit/test/golden"
	"godwit/test/judge"
)

// goldenFiles are the files of every kind of value that stand in testdata, one of each
// way to compress and of each choice for values that Parquet lacks.
func goldenFiles(t testing.TB) map[string]codectest.Variant {
	d := judge.DuckDB(t)
	return map[string]codectest.Variant{
		"none":   duck(d, "none", codec.Nullify, map[string]any{"compression": "none"}),
		"text":   duck(d, "text", codec.AsText, map[string]any{"compression": "none"}),
		"zstd":   duck(d, "zstd", codec.Nullify, nil),
		"snappy": duck(d, "snappy", codec.Nullify, map[string]any{"compression": "snappy"}),
		"gzip":   duck(d, "gzip", codec.Nullify, map[string]any{"compression": "gzip"}),
	}
}

func TestFormat_when_an_earlier_version_wrote_the_file(t *testing.T) {
	arrow := judge.PyArrow(t)
	for name, v := range goldenFiles(t) {
		file, own := "testdata/v1-"+name+".parquet", v.Options["compression"] == "none" // what packs the others may pack better one day
		codectest.Golden(t, parquet.Format, v, file, own, golden.Write)
		v.Read = arrowRead(arrow.Parquet, func(of row.Type, value string) (string, error) {
			if v.Unfit == codec.AsText && value != judge.Null && (gapType(of) || of.Native == "uuid") {
				return value, nil
			}
			return arrowText(of, value)
		})
		codectest.Golden(t, parquet.Format, v, file, own, golden.Write)
	}
}

// A file of a newer version is not read, and one from before versions were written is.
func TestDecode_when_the_version_is_another(t *testing.T) {
	tab, b := numbered(3)
	f, s := open(t, codec.Refuse, nil), codec.Shape{Table: tab}
	whole := file(t, f, s, b)
	const key = "godwit.version\x18\x01"
	for _, c := range []struct{ from, to, code string }{
		{key + "1", key + "1", ""},
		{key + "1", "godwit_version\x18\x011", ""},
		{key + "1", key + "2", string(fault.FormatNewer)},
		{key + "1", key + "0", string(fault.FormatNewer)},
	} {
		if bytes.Count(whole, []byte(c.from)) != 1 {
			t.Fatalf("%q is not in the file", c.from)
		}
		n, err := drain(f, s, bytes.Replace(whole, []byte(c.from), []byte(c.to), 1))
		if got := string(fault.Of(err).Code); err == nil && (c.code != "" || n != 3) || err != nil && got != c.code {
			t.Errorf("%q: %d rows, %v", c.to, n, err)
		}
		if err != nil && !strings.Contains(err.Error(), "version") {
			t.Error(err)
		}
	}
}
