package csv_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// drain reads a file to its end and returns the rows it had.
func drain(f codec.Codec, s codec.Shape, p []byte) (int, error) {
	d, err := f.(codec.Decoding).NewDecoder(bytes.NewReader(p), int64(len(p)), s)
	if err != nil {
		return 0, err
	}
	x := row.NewBuilder(&row.Pool{})
	n := 0
	for {
		err := d.Decode(x, 100)
		n += x.Rows()
		x.Finish(position.Position{}, 0).Release()
		if errors.Is(err, io.EOF) {
			return n, d.Close()
		}
		if err != nil {
			return n, err
		}
	}
}

func TestDecode_when_a_file_is_damaged(t *testing.T) {
	s := codec.Shape{Table: texts("a", "b")}
	for _, c := range []struct {
		dialect, text string
		rows          int
	}{
		{"rfc4180", "a,b\n1,2\n", 1},
		{"rfc4180", "a,b\n", 0},
		{"rfc4180", "a,b\n1,\"2\n,\"\"\"\n", 1},
		{"rfc4180", "", -1},
		{"rfc4180", "a,c\n1,2\n", -1},
		{"rfc4180", "a,b\n1,2", -1},
		{"rfc4180", "a,b\n1\n", -1},
		{"rfc4180", "a,b\n1,2,3\n", -1},
		{"rfc4180", "a,b\n1,\"2\n", -1},
		{"rfc4180", "a,b\n1,\"2\"x\n", -1},
		{"spark", "1,\"\\\"\\\\\"\n", 1},
		{"spark", "1,\"\\", -1},
		{"hive", "1\x01\\\n", -1},
		{"hive", "1\x01\\N\n", 1},
	} {
		n, err := drain(open(t, map[string]any{"dialect": c.dialect}), s, []byte(c.text))
		if c.rows < 0 && !fault.Has(err, fault.TargetBroken) || c.rows >= 0 && (err != nil || n != c.rows) {
			t.Errorf("%s %q: %d rows, %v", c.dialect, c.text, n, err)
		}
	}
}

func TestOptions_when_a_dialect_is_given(t *testing.T) {
	s := codec.Shape{Table: texts("a", "b")}
	x := row.NewBuilder(&row.Pool{})
	x.At("", 0, row.Txn{})
	x.Row(s.Table, row.Read)
	x.String("é\n\"\\/")
	x.Null()
	b := x.Finish(position.Position{}, 0)
	for _, c := range []struct {
		set  map[string]any
		want string
	}{
		{map[string]any{"dialect": "spark"}, "\"é\n\\\"\\\\/\",\\N\n"},
		{map[string]any{"dialect": "spark", "header": true, "delimiter": ";"}, "a;b\n\"é\n\\\"\\\\/\";\\N\n"},
		{map[string]any{"dialect": "hive"}, "é\\n\"\\\\/\x01\\N\n"},
		{map[string]any{"dialect": "openmldb"}, "\"é\n\\\"\\\\/\",null\n"},
		{map[string]any{"dialect": "openmldb", "null": ""}, "\"é\n\\\"\\\\/\",\n"},
	} {
		if got := write(t, open(t, c.set), s, b); got != c.want {
			t.Errorf("%v: %q, not %q", c.set, got, c.want)
		}
	}
}

// FuzzDecode reads files that are anything.
func FuzzDecode(f *testing.F) {
	s := codec.Shape{Table: codectest.Wide(), Meta: true}
	for i, p := range []string{"", "a", "\"\n", "_op,_pos\n", "\\N\x01\\", "i,00000000000000000000000000,,,\n"} {
		f.Add([]byte(p), uint8(i))
	}
	codecs := []codec.Codec{open(f, nil), open(f, map[string]any{"dialect": "spark"}), open(f, map[string]any{"dialect": "hive"}),
		open(f, map[string]any{"header": false}), open(f, map[string]any{"compression": "zstd"}), open(f, map[string]any{"compression": "gzip", "line_end": "crlf"})}
	f.Fuzz(func(t *testing.T, p []byte, how uint8) {
		for _, s := range []codec.Shape{s, {Table: codectest.Texts()}} {
			if n, err := drain(codecs[int(how)%len(codecs)], s, p); n > len(p)*1000+1 {
				t.Fatalf("%d rows in %d bytes, %v", n, len(p), err)
			}
		}
	})
}
