package json_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	jsonlines "godwit/internal/codec/json"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

func open(t testing.TB, set map[string]any) codec.Codec {
	t.Helper()
	f, err := jsonlines.Format.New(option.Of(jsonlines.Format.Options, set))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// order is a table of some kinds, and a row of it with the given document.
func order(document string) (*row.Table, *row.Batch) {
	c := func(n string, t row.Type) row.Column { return row.Column{Name: n, Type: t} }
	t := &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Version: 1, Key: []int{0}, Columns: []row.Column{
		c("id", row.Type{Kind: row.Uint, Size: 8}), c(`a "b"`, row.Type{Kind: row.Text}), c("sum", row.Type{Kind: row.Decimal, Digits: 9, Scale: 2}),
		c("at", row.Type{Kind: row.DateTime, Scale: 3}), c("seen", row.Type{Kind: row.Timestamp}), c("x", row.Type{Kind: row.Bytes}), c("doc", row.Type{Kind: row.JSON})}}
	x := row.NewBuilder(&row.Pool{})
	x.At("", 0, row.Txn{})
	x.Row(t, row.Insert)
	x.Word(1<<64 - 1)
	x.String("tab\t \"q\" \\ \x01 é")
	x.String("-0.10")
	x.Word(row.PackDateTime(2024, 0, 0, 1000))
	x.Int(0)
	x.String("\xff\x00")
	x.String(document)
	return t, x.Finish(position.Position{}, 0)
}

func write(t testing.TB, f codec.Codec, s codec.Shape, b *row.Batch) (string, error) {
	t.Helper()
	var out bytes.Buffer
	e, err := f.NewEncoder(&out, s)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Encode(b, &b.Sections()[0])
	return out.String(), errors.Join(err, e.Close())
}

// The forms are durable.
func TestEncode_when_every_form_is_shown(t *testing.T) {
	tab, b := order("{\"n\": 1e400,\r\n\"a\":[null]}")
	for _, c := range []struct {
		set  map[string]any
		want string
	}{
		{nil, `{"id":18446744073709551615,"a \"b\"":"tab\t \"q\" \\ \u0001 é","sum":"-0.10","at":"2024-00-00T00:00:00.001","seen":"1970-01-01T00:00:00Z","x":"/wA=","doc":{"n": 1e400,  "a":[null]}}`},
		{map[string]any{"big_numbers": "text", "decimals": "number", "documents": "text", "binary": "hex"},
			`{"id":"18446744073709551615","a \"b\"":"tab\t \"q\" \\ \u0001 é","sum":-0.10,"at":"2024-00-00T00:00:00.001","seen":"1970-01-01T00:00:00Z","x":"ff00","doc":"{\"n\": 1e400,\r\n\"a\":[null]}"}`},
	} {
		var out bytes.Buffer
		e, err := open(t, c.set).NewEncoder(&out, codec.Shape{Table: tab})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Encode(b, &b.Sections()[0]), e.Close()); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != c.want+"\n" {
			t.Errorf("%v:\n%s\nnot\n%s", c.set, got, c.want)
		}
	}
}

func TestEncode_when_a_document_is_no_value(t *testing.T) {
	for _, document := range []string{"", "{", "null", " null\n", "NaN", "{} {}", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)} {
		tab, b := order(document)
		_, err := write(t, open(t, nil), codec.Shape{Table: tab}, b)
		if !fault.Has(err, fault.RowRefused) || !strings.Contains(err.Error(), "id 18446744073709551615") || len(err.Error()) > 1000 {
			t.Errorf("%.20q: %v", document, err)
		}
		if _, err := write(t, open(t, map[string]any{"documents": "text"}), codec.Shape{Table: tab}, b); err != nil {
			t.Errorf("%.20q as text: %v", document, err)
		}
	}
}

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
	s := codec.Shape{Table: &row.Table{Columns: []row.Column{{Name: "n", Type: row.Type{Kind: row.Int}}, {Name: "d", Type: row.Type{Kind: row.JSON}}}}}
	for text, rows := range map[string]int{
		"":                                       0,
		"{\"n\":1,\"d\":[1,\"}\"]}\n":            1,
		"{\"n\":null,\"d\":null}\n":              1,
		"{\"n\":1,\"d\":[1]}":                    -1,
		"{\"n\":1}\n":                            -1,
		"{\"d\":1,\"n\":1}\n":                    -1,
		"{\"n\":\"x\",\"d\":1}\n":                -1,
		"{\"n\":1,\"d\":[1}\n":                   -1,
		"{\"n\":1,\"d\":1}x\n":                   -1,
		"{\"n\":99999999999999999999,\"d\":1}\n": -1,
	} {
		n, err := drain(open(t, nil), s, []byte(text))
		if rows < 0 && !fault.Has(err, fault.TargetBroken) || rows >= 0 && (err != nil || n != rows) {
			t.Errorf("%q: %d rows, %v", text, n, err)
		}
	}
}

// FuzzDecode reads files that are anything.
func FuzzDecode(f *testing.F) {
	tab, b := order("[{}]")
	whole, err := write(f, open(f, nil), codec.Shape{Table: tab}, b)
	if err != nil {
		f.Fatal(err)
	}
	for i, p := range []string{whole, "{", "{\"id\":\"\\u00", "\n\n", "{\"_op\":\"i\",\"_pos\":\"00\""} {
		f.Add([]byte(p), uint8(i))
	}
	codecs := []codec.Codec{open(f, nil), open(f, map[string]any{"binary": "hex"}), open(f, map[string]any{"compression": "zstd"})}
	f.Fuzz(func(t *testing.T, p []byte, how uint8) {
		for _, s := range []codec.Shape{{Table: tab}, {Table: codectest.Texts(), Meta: true}} {
			if n, err := drain(codecs[int(how)%len(codecs)], s, p); n > len(p)*1000+1 {
				t.Fatalf("%d rows in %d bytes, %v", n, len(p), err)
			}
		}
	})
}
