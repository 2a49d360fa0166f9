package csv_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/csv"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

// reader reads files by DuckDB, with the options of docs/reading-a-changelog.md.
type reader struct {
	duck *judge.Duck
	null string
	base64,
	noHeader, crlf, instants bool
	delimiter, quote, escape string
	// quotedNulls: the reader does not see quotes.
	quotedNulls bool
}

func (r reader) read(path string, s codec.Shape) ([][]string, error) {
	names := codec.Names(s)
	meta := len(names) - len(s.Table.Columns)
	var list, types []string
	for i, n := range names {
		column := judge.Name(n)
		if r.quotedNulls {
			column = "nullif(" + column + ", " + judge.Literal(r.null) + ")"
		}
		if r.noHeader {
			types = append(types, judge.Literal(n)+": 'VARCHAR'")
		}
		if i >= meta && s.Table.Columns[i-meta].Type.Kind == row.Bytes {
			from := "unhex"
			if r.base64 {
				from = "from_base64"
			}
			column = fmt.Sprintf("lower(hex(%s(%s)))", from, column)
		}
		if i >= meta && s.Table.Columns[i-meta].Type.Kind == row.Timestamp && r.instants {
			column = fmt.Sprintf("replace(rtrim(%s, 'Z'), 'T', ' ')", column)
		}
		list = append(list, column)
	}
	newLine := `'\n'`
	if r.crlf {
		newLine = `'\r\n'`
	}
	null := r.null
	if r.quotedNulls {
		null = "no text of ours" // DuckDB refuses one with its escape
	}
	how := "header = true"
	if r.noHeader {
		how = "header = false, auto_detect = false, columns = {" + strings.Join(types, ", ") + "}"
	}
	sql := fmt.Sprintf(`SELECT %s FROM read_csv(%s, all_varchar = true, delim = %s, quote = %s, escape = %s, nullstr = %s,
	allow_quoted_nulls = %t, comment = '', new_line = %s, max_line_size = 33554432, buffer_size = 67108864, %s)`,
		strings.Join(list, ", "), judge.Literal(path), judge.Literal(r.delimiter), judge.Literal(r.quote), judge.Literal(r.escape),
		judge.Literal(null), r.quotedNulls, newLine, how)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return r.duck.Rows(ctx, sql)
}

func variant(d *judge.Duck, name string, set map[string]any) codectest.Variant {
	text := func(k, otherwise string) string {
		if v, ok := set[k]; ok {
			return v.(string)
		}
		return otherwise
	}
	r := reader{duck: d, null: text("null", `\N`), base64: text("binary", "") == "base64", noHeader: set["header"] == false, crlf: set["line_end"] == "crlf",
		delimiter: text("delimiter", ","), quote: text("quote", `"`)}
	r.escape = r.quote
	return codectest.Variant{Name: name, Options: set, Read: r.read}
}

// dialect reads files of a dialect without quotes that tell texts from nulls: with
// the policy null they are null.
func dialect(d *judge.Duck, name, null string, instants bool) codectest.Variant {
	r := reader{duck: d, null: null, noHeader: true, delimiter: ",", quote: `"`, escape: `\`, instants: instants, quotedNulls: true}
	return codectest.Variant{Name: name, Options: map[string]any{"dialect": name}, Read: r.read, Unfit: codec.Nullify,
		Gap: func(t row.Type, _ uint64, data []byte) bool {
			return t.Kind.InBytes() && t.Kind != row.Bytes && string(data) == null
		}}
}

func TestFormat_when_DuckDB_reads_it_back(t *testing.T) {
	d := judge.DuckDB(t)
	vs := []codectest.Variant{
		variant(d, "defaults", nil),
		variant(d, "no header, base64, crlf", map[string]any{"header": false, "binary": "base64", "line_end": "crlf"}),
		variant(d, "tabs, empty null, zstd", map[string]any{"delimiter": "\t", "null": "", "compression": "zstd"}),
		variant(d, "semicolon, single quote, NULL, gzip", map[string]any{"delimiter": ";", "quote": "'", "null": "NULL", "compression": "gzip"}),
	}
	vs = append(vs, dialect(d, "spark", `\N`, true), dialect(d, "openmldb", "null", false),
		codectest.Variant{Name: "hive", Options: map[string]any{"dialect": "hive"}, Read: readHive})
	if os.Getenv("GODWIT_SOAK") == "1" {
		vs = append(vs,
			variant(d, "pipe, crlf, zstd 19", map[string]any{"delimiter": "|", "line_end": "crlf", "compression": "zstd", "level": int64(19)}),
			variant(d, "gzip 9, base64", map[string]any{"compression": "gzip", "level": int64(9), "binary": "base64"}),
			variant(d, "null that bytes may equal", map[string]any{"null": "abcdef", "header": false}),
			variant(d, "null that base64 may equal", map[string]any{"null": "aGVsbG8=", "binary": "base64"}))
	}
	codectest.Run(t, csv.Format, vs)
}

// TestFormat_when_a_file_is_read_in_parallel: quoted line ends lie at the edges
// between DuckDB's threads.
func TestFormat_when_a_file_is_read_in_parallel(t *testing.T) {
	d := judge.DuckDB(t)
	s := codec.Shape{Table: texts("n", "a", "b"), Meta: true}
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{ID: "0-1-1", Time: 1_795_269_920_123_456})
	rows := 60_000
	if os.Getenv("GODWIT_SOAK") == "1" {
		rows = 1_500_000
	}
	sum := 0
	for i := range rows {
		x.Row(s.Table, row.Insert)
		x.String(fmt.Sprint(i))
		a := strings.Repeat("line, \"q\"\n\r\n", i%7)
		sum += len(a)
		x.String(a)
		x.String([]string{"", `\N`, "\n", "i,00,", "\"\n\"", "plain"}[i%6])
	}
	path := filepath.Join(t.TempDir(), "big.csv")
	if err := os.WriteFile(path, []byte(write(t, open(t, nil), s, x.Finish(position.Position{}, 0))), 0o600); err != nil {
		t.Fatal(err)
	}
	got := d.Query(t, fmt.Sprintf(`SELECT count(*), count(DISTINCT n), sum(length(a)), count(*) FILTER (b = '' ), count(*) FILTER (b = '\N'),
		count(*) FILTER (b = chr(10)), count(*) FILTER (_op = 'i' AND length(_pos) = 22) FROM read_csv(%s, all_varchar = true, header = true, delim = ',', quote = '"',
		escape = '"', nullstr = '\N', allow_quoted_nulls = false, comment = '', new_line = '\n', max_line_size = 1048576, buffer_size = 2097152)`, judge.Literal(path)))
	want := fmt.Sprintf("[[%d %d %d %d %d %d %d]]", rows, rows, sum, rows/6, rows/6, rows/6, rows)
	if fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}
