package csv_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/csv"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

// decoded reads a file with our own decoder, a few rows at a time.
func decoded(f codec.Codec, r io.ReaderAt, size int64, s codec.Shape) (out [][]string, err error) {
	d, err := f.(codec.Decoding).NewDecoder(r, size, s)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	x := row.NewBuilder(&row.Pool{})
	for {
		if !s.Meta { // rows without a place: Expect asks for one all the same
			x.At("", 0, row.Txn{})
		}
		err := d.Decode(x, 3)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		b := x.Finish(position.Position{}, 0).In(d.Incarnation())
		out = append(out, codectest.Expect(b, s)...)
		b.Release()
	}
}

// What the encoder wrote the decoder reads, to the same rows: the whole suite of formats,
// with our own reader in place of another's.
func TestDecode_when_it_reads_what_was_written(t *testing.T) {
	var variants []codectest.Variant
	for name, options := range map[string]map[string]any{
		"default": {}, "another": {"header": false, "null": "", "line_end": "crlf", "binary": "base64", "delimiter": ";", "quote": "'"},
		"gzip": {"compression": "gzip"}, "zstd": {"compression": "zstd"},
	} {
		f := open(t, options)
		variants = append(variants, codectest.Variant{Name: name, Options: options, Read: func(path string, s codec.Shape) ([][]string, error) {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			return decoded(f, bytes.NewReader(b), int64(len(b)), s)
		}})
	}
	codectest.Run(t, csv.Format, variants)
}

// A file of which a part is gone, or that is of another shape, is refused and never read
// as something else.
func TestDecode_when_a_file_is_broken(t *testing.T) {
	f := open(t, nil)
	s := codec.Shape{Meta: true, Table: table(row.Column{Name: "id", Type: row.Type{Kind: row.Int}}, row.Column{Name: "t", Type: row.Type{Kind: row.Text}})}
	x := row.NewBuilder(&row.Pool{})
	x.At("prefix", 7, row.Txn{ID: "0-1-5", Time: 1_795_269_920_123_456})
	for i := range 3 {
		x.Row(s.Table, row.Insert)
		x.Int(int64(i))
		x.String("a \"b\"\n, c")
	}
	whole := write(t, f, s, x.Finish(position.Position{}, 0))
	read := func(text string, s codec.Shape) ([][]string, error) {
		return decoded(f, bytes.NewReader([]byte(text)), int64(len(text)), s)
	}
	rows, err := read(whole, s)
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	for n := range len(whole) {
		rows, err := read(whole[:n], s)
		if err == nil && !bytes.HasSuffix([]byte(whole[:n]), []byte("\n")) {
			t.Fatalf("cut at %d it was read as %v", n, rows)
		}
		if err != nil && fault.Of(err).Code != fault.TargetBroken {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	other := codec.Shape{Meta: true, Table: table(row.Column{Name: "id", Type: row.Type{Kind: row.Int}}, row.Column{Name: "u", Type: row.Type{Kind: row.Text}})}
	if rows, err := read(whole, other); err == nil {
		t.Fatalf("read as another shape: %v", rows)
	}
	for _, bad := range []string{"x", "1.5", "", "99999999999999999999", "--1"} {
		text := fmt.Sprintf("_op,_pos,_ts,_txn,_absent,id,t\ni,00000000000000000000000000000000,\\N,\\N,,%s,x\n", bad)
		if rows, err := read(text, s); err == nil {
			t.Errorf("%q was read as %v", bad, rows)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c, err := csv.Format.New(option.Of(csv.Format.Options, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("_op,_pos,_ts,_txn,_absent,a,b\ni,00000000000000000000000000000000,\\N,\\N,,\"a\"\"b\",\\N\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := codec.Shape{Meta: true, Table: texts("a", "b")}
		if _, err := decoded(c, bytes.NewReader(b), int64(len(b)), s); err != nil && fault.Of(err).Code != fault.TargetBroken {
			t.Fatal(err)
		}
	})
}
