package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/csv"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

func open(t testing.TB, set map[string]any) codec.Codec {
	t.Helper()
	f, err := csv.Format.New(option.Of(csv.Format.Options, set))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func table(columns ...row.Column) *row.Table {
	return &row.Table{Name: row.Name{Space: "s", Table: "t"}, Version: 1, Columns: columns}
}

func texts(names ...string) *row.Table {
	t := table()
	for _, n := range names {
		t.Columns = append(t.Columns, row.Column{Name: n, Type: row.Type{Kind: row.Text}})
	}
	return t
}

// write returns the file of b's rows.
func write(t testing.TB, f codec.Codec, s codec.Shape, b *row.Batch) string {
	t.Helper()
	var out bytes.Buffer
	e, err := f.NewEncoder(&out, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Sections() {
		if err := e.Encode(b, &b.Sections()[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEncode_when_compared_byte_by_byte(t *testing.T) {
	s := codec.Shape{Meta: true, Table: table(
		row.Column{Name: "id", Type: row.Type{Kind: row.Int}}, row.Column{Name: "a,b", Type: row.Type{Kind: row.Text}},
		row.Column{Name: "_ts", Type: row.Type{Kind: row.Time, Scale: 2}}, row.Column{Name: "x", Type: row.Type{Kind: row.Bytes}},
		row.Column{Name: "f", Type: row.Type{Kind: row.Float64}})}
	x := row.NewBuilder(&row.Pool{})
	x.At("\x01\xff", 0xfe, row.Txn{ID: "0-1-5", Time: 1_795_269_920_123_456})
	x.Row(s.Table, row.Insert)
	x.Int(-7)
	x.String("")
	x.Int(-10_000)
	x.Bytes([]byte{0xab, 0})
	x.Float64(1e21)
	x.Row(s.Table, row.Before)
	x.Int(math.MinInt64)
	x.Absent()
	x.Absent()
	x.Null()
	x.Float64(1e-6)
	x.At("\x02\x00", 1, row.Txn{})
	x.Row(s.Table, row.Truncate)
	for range 5 {
		x.Absent()
	}
	x.Row(s.Table, row.Read)
	x.Int(0)
	x.String(`\N`)
	x.Int(360_000_000_000)
	x.Bytes(nil)
	x.Float64(math.NaN())
	got := write(t, open(t, nil), s, x.Finish(position.Position{}, 0).In(3))
	want := `_op,_pos,_ts,_txn,_absent,id,"a,b",_ts_,x,f
i,000301ff00000000000000fe,2026-11-21T14:05:20.123456Z,0-1-5,,-7,"",-00:00:00.01,ab00,1e+21
d,000301ff00000000000000ff,2026-11-21T14:05:20.123456Z,0-1-5,"a%2Cb,_ts_",-9223372036854775808,\N,\N,\N,0.000001
t,000302000000000000000001,\N,\N,,\N,\N,\N,\N,\N
r,000302000000000000000002,\N,\N,,0,"\N",100:00:00.00,"",NaN
`
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNew_when_options_cannot_be_told_apart(t *testing.T) {
	for _, c := range []struct {
		name  string
		value any
		good  bool
	}{
		{"null", "", true}, {"null", "NULL", true}, {"null", "null", true}, {"null", "NA", true}, {"null", "~", true},
		{"null", "0", false}, {"null", "-", false}, {"null", "a,b", false}, {"null", `"`, false}, {"null", "a\n", false}, {"null", " ", false},
		{"null", "u", false}, {"null", "NaN", false}, {"null", strings.Repeat("a", 16), false}, {"null", strings.Repeat("z", 33), false},
		{"delimiter", ";", true}, {"delimiter", "\t", true}, {"delimiter", "\x01", true}, {"delimiter", "|", true},
		{"delimiter", "", false}, {"delimiter", ",,", false}, {"delimiter", "é", false}, {"delimiter", "a", false}, {"delimiter", "-", false},
		{"delimiter", "\n", false}, {"delimiter", `"`, false}, {"delimiter", `\`, false}, {"delimiter", "\x00", false}, {"delimiter", " ", false},
		{"quote", "'", true}, {"quote", "7", false}, {"quote", ",", false},
		{"level", int64(1), false},
	} {
		_, err := csv.Format.New(option.Of(csv.Format.Options, map[string]any{c.name: c.value}))
		if (err == nil) != c.good {
			t.Errorf("%s: %q: %v", c.name, c.value, err)
		}
		if err != nil && !fault.Has(err, fault.JobValue) {
			t.Errorf("%s: %q: %v is no JOB_VALUE", c.name, c.value, err)
		}
	}
	if _, err := csv.Format.New(option.Of(csv.Format.Options, map[string]any{"compression": "gzip", "level": int64(10)})); err == nil {
		t.Error("gzip 10 was taken")
	}
}

func TestNames_when_columns_are_called_like_ours(t *testing.T) {
	got := codec.Names(codec.Shape{Table: texts("_ts", "_TS_", "_op", "x", "_op_", "_Op__"), Meta: true})[5:]
	if want := []string{"_ts__", "_TS_", "_op___", "x", "_op_", "_Op__"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if got := codec.Names(codec.Shape{Table: texts("_ts")}); !slices.Equal(got, []string{"_ts"}) {
		t.Fatalf("without meta columns: %q", got)
	}
}

func TestColumns_when_shown_by_plan(t *testing.T) {
	s := codec.Shape{Table: codectest.Wide(), Meta: true}
	got := open(t, nil).Columns(s)
	if len(got) != len(s.Table.Columns)+5 || got[1] != "_pos hexadecimal" || got[5] != "int integer" {
		t.Fatalf("%q", got)
	}
}

func TestExtension_when_compressed(t *testing.T) {
	for c, want := range map[string]string{"none": "csv", "gzip": "csv.gz", "zstd": "csv.zst"} {
		if got := open(t, map[string]any{"compression": c}).Extension(); got != want {
			t.Errorf("%s: %s", c, got)
		}
	}
}

// TestMemory_when_many_files_are_open compares what encoders say with what the
// heap says.
func TestMemory_when_many_files_are_open(t *testing.T) {
	const files = 20
	sets := []map[string]any{nil, {"compression": "gzip"}, {"compression": "gzip", "level": int64(9)}, {"compression": "zstd"},
		{"compression": "zstd", "level": int64(3)}, {"compression": "zstd", "level": int64(7)}}
	if os.Getenv("GODWIT_SOAK") == "1" {
		sets = append(sets, map[string]any{"compression": "zstd", "level": int64(19)})
	}
	for _, set := range sets {
		f := open(t, set)
		s := codec.Shape{Table: texts("a", "b"), Meta: true}
		b := textRows(s.Table, 2000)
		encoders := make([]codec.Encoder, files)
		before := heap()
		for i := range encoders {
			e, err := f.NewEncoder(io.Discard, s)
			if err != nil {
				t.Fatal(err)
			}
			encoders[i] = e
		}
		if each := (heap() - before) / files; each > 16<<10 {
			t.Errorf("%v: a new file takes %d bytes", set, each)
		}
		says := 0
		for _, e := range encoders {
			for range 4 {
				if err := e.Encode(b, &b.Sections()[0]); err != nil {
					t.Fatal(err)
				}
			}
			says += e.Memory()
		}
		took := heap() - before
		if says < took*2/3 || says > took*2 {
			t.Errorf("%v: Memory says %d bytes a file, the heap %d", set, says/files, took/files)
		}
		t.Logf("%v: Memory %d KiB a file, heap %d KiB", set, says/files>>10, took/files>>10)
		for _, e := range encoders {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func textRows(t *row.Table, n int) *row.Batch {
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{})
	for i := range n {
		x.Row(t, row.Insert)
		for range t.Columns {
			x.String(fmt.Sprintf("%d-%x", i, uint64(i)*0x9e3779b97f4a7c15))
		}
	}
	return x.Finish(position.Position{}, 0)
}

// TestEncode_when_a_value_is_huge: a value passes through without a copy of it.
func TestEncode_when_a_value_is_huge(t *testing.T) {
	s := codec.Shape{Table: table(row.Column{Name: "x", Type: row.Type{Kind: row.Bytes}}, row.Column{Name: "y", Type: row.Type{Kind: row.Text}}), Meta: true}
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{})
	x.Row(s.Table, row.Insert)
	x.Bytes(make([]byte, 32<<20))
	x.String(strings.Repeat(`say "x", `, 4<<20))
	b := x.Finish(position.Position{}, 0)
	e, err := open(t, nil).NewEncoder(io.Discard, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Encode(b, &b.Sections()[0]); err != nil {
		t.Fatal(err)
	}
	if n := e.Memory(); n > 256<<10 {
		t.Fatalf("the encoder holds %d bytes after a huge row", n)
	}
}

func TestEncode_when_rows_are_many_nothing_is_allocated(t *testing.T) {
	s := codec.Shape{Table: codectest.Texts(), Meta: true}
	b := textRows(s.Table, 1000)
	e, err := open(t, nil).NewEncoder(io.Discard, s)
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(20, func() {
		if err := e.Encode(b, &b.Sections()[0]); err != nil {
			t.Fatal(err)
		}
	})
	if n > 4 {
		t.Fatalf("%v allocations for 1000 rows", n)
	}
}

// FuzzEncode compares with encoding/csv, which takes CR LF in a field for LF and
// cannot see quotes, and with DuckDB when there is time.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "a", `\N`, `"`, "a,b", "\r\n", "x\x00", "1234567890\n", " ", "'"} {
		f.Add([]byte(s), []byte(s+"q"), int64(len(s)), uint8(len(s)))
	}
	d := &judge.Duck{}
	soak := os.Getenv("GODWIT_SOAK") == "1"
	if soak {
		d = judge.DuckDB(f)
	}
	f.Fuzz(func(t *testing.T, a, b []byte, n int64, how uint8) {
		a, b = []byte(strings.ToValidUTF8(string(a), "?")), []byte(strings.ToValidUTF8(string(b), "?"))
		tab := table(row.Column{Name: "a", Type: row.Type{Kind: row.Text}}, row.Column{Name: "n", Type: row.Type{Kind: row.Int}},
			row.Column{Name: "b", Type: row.Type{Kind: row.JSON}}, row.Column{Name: "c", Type: row.Type{Kind: row.Bytes}},
			row.Column{Name: "t", Type: row.Type{Kind: row.Timestamp, Scale: int(how % 7)}})
		x := row.NewBuilder(&row.Pool{})
		x.At(string(a), uint64(n), row.Txn{ID: string(b), Time: n % (1 << 55)})
		for k := range 3 {
			x.Row(tab, row.Op(1+how%5))
			x.Bytes(a)
			x.Int(n)
			x.Bytes(b)
			x.Bytes(b)
			if int(how)>>k&1 == 0 {
				x.Int(n % (1 << 57))
			} else {
				x.Absent()
			}
		}
		batch := x.Finish(position.Position{}, 0).In(uint16(how))
		s := codec.Shape{Table: tab, Meta: true}
		want := codectest.Expect(batch, s)
		compareStd(t, write(t, open(t, nil), s, batch), want)
		if soak {
			path := filepath.Join(t.TempDir(), "f.csv")
			if err := os.WriteFile(path, []byte(write(t, open(t, nil), s, batch)), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := variant(d, "", nil).Read(path, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := codectest.Compare(s, got, want); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// compareStd reads text with encoding/csv.
func compareStd(t *testing.T, text string, want [][]string) {
	t.Helper()
	got, err := stdcsv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	if len(got) != len(want)+1 {
		t.Fatalf("%d rows read, %d written", len(got)-1, len(want))
	}
	for i := range want {
		for k, w := range want[i] {
			if w == codectest.Null {
				w = `\N`
			}
			if w = strings.ReplaceAll(w, "\r\n", "\n"); got[i+1][k] != w {
				t.Fatalf("row %d field %d: read %q, written %q", i, k, got[i+1][k], w)
			}
		}
	}
}
