package codectest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/position"
	"godwit/internal/row"
)

func table(name string, columns ...row.Column) *row.Table {
	return &row.Table{Name: row.Name{Space: "kit", Table: name}, Number: 1, Version: 1, Columns: columns, Key: []int{0}}
}

// Wide returns a table with a column of every kind and scale.
func Wide() *row.Table {
	t := table("wide")
	for _, x := range trials() {
		t.Columns = append(t.Columns, row.Column{Name: x.name, Type: x.t, Nullable: true})
	}
	return t
}

// Texts returns a table of three texts.
func Texts() *row.Table {
	x := row.Type{Kind: row.Text}
	return table("texts", row.Column{Name: "a", Type: x}, row.Column{Name: "b", Type: x}, row.Column{Name: "c", Type: x})
}

const prefix = "\x00\x00\x00\x00\x00\x00\x00\x2a"

// put appends a cell.
func put(x *row.Builder, t row.Type, v value) {
	if t.Kind.InBytes() {
		x.String(v.data)
		return
	}
	x.Word(v.word)
}

// wideBatch returns rounds × every value of every kind, a row of nulls and one of
// absent cells.
func wideBatch(t *row.Table, rounds int) *row.Batch {
	all := trials()
	x := row.NewBuilder(&row.Pool{})
	x.At(prefix, 1, row.Txn{ID: "0-1-7", Time: 1_795_269_920_123_456})
	longest := 0
	for _, c := range all {
		longest = max(longest, len(c.values))
	}
	for range rounds {
		for i := range longest {
			x.Row(t, row.Insert)
			for _, c := range all {
				put(x, c.t, c.values[i%len(c.values)])
			}
		}
		for _, f := range []row.Flag{row.Null, row.Absent} {
			x.Row(t, row.Update)
			for range all {
				if f == row.Null {
					x.Null()
				} else {
					x.Absent()
				}
			}
		}
	}
	return x.Finish(position.Position{}, 0)
}

func everyKind(dir string, f codec.Codec, v Variant, meta bool) error {
	t := Wide()
	return roundTrip(dir, f, v, codec.Shape{Table: t, Meta: meta}, wideBatch(t, 2))
}

// Golden holds a format to a file that an earlier version wrote: a changelog with every
// kind of value and every edge. It must be read as on its first day, by v.Read and by
// the format itself. keep is golden.Write, which writes a new one when it is asked to.
// With bytewise the format must still write the same bytes.
func Golden(t *testing.T, f codec.Format, v Variant, file string, bytewise bool, keep func(*testing.T, string, []byte)) {
	t.Helper()
	c, err := v.open(f)
	if err != nil {
		t.Fatal(err)
	}
	s := codec.Shape{Table: Wide(), Meta: true}
	b := wideBatch(s.Table, 1)
	var out bytes.Buffer
	if err := encode(&out, c, s, b); err != nil {
		t.Fatal(err)
	}
	keep(t, file, out.Bytes())
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytewise && !bytes.Equal(old, out.Bytes()) {
		t.Errorf("%s: it is written in other bytes now", file)
	}
	got, err := v.Read(file, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := Compare(s, got, v.expect(b, s)); err != nil {
		t.Errorf("%s: %v", file, err)
	}
	if err := readBack(c, file, s, []*row.Batch{b}); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

// hard are texts that formats trip over.
func hard() []string {
	out := []string{"", " ", "a", `"`, `""`, `"""`, `a"b`, `"a"`, ",", ",,", "\r", "\n", "\r\n", "a\nb", "a\r\nb", "\n\n", "\x00", "a\x00b", `\`, `\\`, `\N`, `\n`, `N`, `"\N"`, `\N,`, "NULL", "null",
		" a", "a ", "\ta", "a\t", "\t", ";", "|", "'", "''", "a'b", "#", "# a", "--", "é", "漢字", "😀", "\ufeffa", "\u2028", "\u00a0", "0", "-0", "1e5", "1,5", "true", "2024-01-01", "a,b\"c\r\nd", `{"a": "b"}`,
		"\x01\x02", "\x7f", "1234567", "12345678", "123456789", "1234567,", "12345678,", "123456789012345\n", "1234567\"9", ",12345678", "1234567\r89", "1234567\t", "abcdefghijk\x0b\x0c", "abcd\u0100\u0200\u2022"}
	for _, n := range []int{7, 8, 9, 15, 16, 17, 100, 4095, 4096, 4097, 20_000} {
		out = append(out, strings.Repeat("x", n), strings.Repeat("x", n)+",", strings.Repeat("é", n), strings.Repeat(`"`, n), strings.Repeat("x\n", n))
	}
	return out
}

func torture(dir string, f codec.Codec, v Variant) error {
	t, hs := Texts(), hard()
	t.Key = nil // whose texts would be refused where they cannot be held
	x := row.NewBuilder(&row.Pool{})
	x.At(prefix, 1, row.Txn{ID: `gtid,"quoted"`, Time: 1})
	for round := range 3 {
		for i := range hs {
			x.Row(t, row.Insert)
			x.String(hs[i])
			x.String(hs[(i+7*round+1)%len(hs)])
			x.String(hs[(i*5+3)%len(hs)])
		}
	}
	b := x.Finish(position.Position{}, 0)
	if err := roundTrip(dir, f, v, codec.Shape{Table: t, Meta: true}, b); err != nil {
		return err
	}
	return roundTrip(dir, f, v, codec.Shape{Table: t}, b)
}

// longValues are longer than any buffer.
func longValues(dir string, f codec.Codec, v Variant) error {
	t := table("long", row.Column{Name: "id", Type: row.Type{Kind: row.Int}}, row.Column{Name: "x", Type: row.Type{Kind: row.Text}},
		row.Column{Name: "y", Type: row.Type{Kind: row.Bytes}}, row.Column{Name: "z", Type: row.Type{Kind: row.JSON}})
	x := row.NewBuilder(&row.Pool{})
	x.At(prefix, 1, row.Txn{})
	for i, n := range []int{16 << 10, 64 << 10, 65 << 10, 1<<20 + 1, 1, 3 << 20, 8191, 12288, 12289} {
		x.Row(t, row.Insert)
		x.Int(int64(i))
		plain := strings.Repeat("0123456789abcdef", n/16+1)[:n]
		x.String(plain)
		x.String(strings.Repeat(allBytes(), n/512+1)[:n/2+1])
		x.String(strings.Repeat("\"a,\n", n/8+1))
	}
	return roundTrip(dir, f, v, codec.Shape{Table: t, Meta: true}, x.Finish(position.Position{}, 0))
}

func hardNames(dir string, f codec.Codec, v Variant) error {
	var cs []row.Column
	for _, n := range []string{"id", "_ts", "_OP", "a,b", `c"d`, "e\nf", "50%", "%2C", `\N`, "select", "é", "1", "h'i", "_x_"} {
		cs = append(cs, row.Column{Name: n, Type: row.Type{Kind: row.Int}})
	}
	t := table("names", cs...)
	x := row.NewBuilder(&row.Pool{})
	x.At(prefix, 1, row.Txn{})
	for gap := range len(cs) + 1 {
		x.Row(t, row.Update)
		for i := range cs {
			if i >= gap {
				x.Absent()
			} else {
				x.Int(int64(i))
			}
		}
	}
	b := x.Finish(position.Position{}, 0)
	if err := roundTrip(dir, f, v, codec.Shape{Table: t, Meta: true}, b); err != nil {
		return err
	}
	return roundTrip(dir, f, v, codec.Shape{Table: t}, b)
}

func oneColumn(dir string, f codec.Codec, v Variant) error {
	t := table("one", row.Column{Name: "only", Type: row.Type{Kind: row.Text}})
	x := row.NewBuilder(&row.Pool{})
	x.At(prefix, 1, row.Txn{})
	for _, s := range []string{"a", "", "\n", "b"} {
		x.Row(t, row.Insert)
		x.String(s)
		x.Row(t, row.Insert)
		x.Null()
	}
	b := x.Finish(position.Position{}, 0)
	if err := roundTrip(dir, f, v, codec.Shape{Table: t}, b); err != nil {
		return err
	}
	return roundTrip(dir, f, v, codec.Shape{Table: t, Meta: true}, b)
}

func opsAndAbsent(dir string, f codec.Codec, v Variant) error {
	t := table("ops")
	for i := range 19 { // more than two words of flags
		t.Columns = append(t.Columns, row.Column{Name: fmt.Sprintf("c%d", i), Type: row.Type{Kind: row.Int}})
	}
	r := rand.New(rand.NewPCG(3, 4))
	x := row.NewBuilder(&row.Pool{})
	x.At(prefix, 1, row.Txn{ID: "t", Time: 5})
	cell := func(what int) {
		switch what {
		case 0:
			x.Absent()
		case 1:
			x.Null()
		default:
			x.Int(r.Int64())
		}
	}
	for n := range 600 {
		op := row.Op(1 + n%6)
		x.Row(t, op)
		one := r.IntN(40)
		for i := range t.Columns {
			switch {
			case op == row.Truncate:
				x.Absent()
			case n%3 == 0:
				cell(r.IntN(4))
			case i == one:
				cell(0)
			default:
				cell(2)
			}
		}
	}
	b := x.Finish(position.Position{}, 0)
	s := codec.Shape{Table: t, Meta: true}
	if err := roundTrip(dir, f, v, s, b); err != nil {
		return err
	}
	return roundTrip(dir, f, v, codec.Shape{Table: t}, b)
}

// textBatch returns n rows of texts made of c.
func textBatch(x *row.Builder, t *row.Table, n int, c byte) *row.Batch {
	x.At(prefix, uint64(c)<<20, row.Txn{ID: "x", Time: 1})
	for i := range n {
		x.Row(t, row.Insert)
		x.String(strings.Repeat(string(c), i%50))
		x.String(fmt.Sprint(i * 7919))
		x.String(fmt.Sprintf("%x", uint64(i)*0x9e3779b97f4a7c15))
	}
	return x.Finish(position.Position{}, 0)
}

// spanBatch returns rows whose places jump, run over byte ends and change
// transactions; two tables alternate.
func spanBatch(t, other *row.Table) *row.Batch {
	x := row.NewBuilder(&row.Pool{})
	times := []int64{0, 1_795_269_920_123_456, 1, -1, 253_402_300_799_999_999, 1_795_269_920_000_000}
	bases := []uint64{0, 0xfe, 0xffff, 1<<32 - 2, 1<<56 - 3, 1<<64 - 40, 0x0123456789abcdef}
	n := 0
	for k, base := range bases {
		x.At(prefix+string(rune('a'+k)), base, row.Txn{ID: []string{"", "0-1-1", `a"b`, "c,d"}[k%4], Time: times[k%len(times)]})
		for i := range 30 {
			which := t
			if i%11 > 6 {
				which = other
			}
			x.Row(which, row.Insert)
			for range which.Columns {
				x.String(fmt.Sprint(n))
			}
			n++
		}
	}
	// Neighbours with the same place but another transaction, and the reverse.
	for i := range 10 {
		x.At("same", uint64(i), row.Txn{ID: fmt.Sprint(i / 3), Time: int64(i/4) + 1})
		x.Row(t, row.Insert)
		for range t.Columns {
			x.String("s")
		}
	}
	return x.Finish(position.New("log", "zzzz", ""), 0)
}

func places(dir string, f codec.Codec, v Variant) error {
	t, other := Texts(), table("other", row.Column{Name: "x", Type: row.Type{Kind: row.Text}})
	b := spanBatch(t, other)
	if err := roundTrip(dir, f, v, codec.Shape{Table: t, Meta: true}, b, b.In(1), b.In(0xabcd)); err != nil {
		return err
	}
	return roundTrip(dir, f, v, codec.Shape{Table: other, Meta: true}, b)
}

// cut writes the rest of a batch after each of its rows.
func cut(dir string, f codec.Codec, v Variant) error {
	t, other := Texts(), table("other", row.Column{Name: "x", Type: row.Type{Kind: row.Text}})
	b := spanBatch(t, other)
	for _, i := range []int{0, 6, 29, 30, 64, b.Rows() - 1} {
		rest, err := b.From(position.New("log", b.Order(i), ""))
		if err != nil {
			return err
		}
		if err := roundTrip(dir, f, v, codec.Shape{Table: t, Meta: true}, rest); err != nil {
			return fmt.Errorf("after row %d: %w", i, err)
		}
	}
	return nil
}
