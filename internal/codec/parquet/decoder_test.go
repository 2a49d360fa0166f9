package parquet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/parquet"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

func open(t testing.TB, unfit codec.Unfit, set map[string]any) codec.Codec {
	t.Helper()
	f, err := parquet.Format.New(option.Of(parquet.Format.Options, set))
	if err != nil {
		t.Fatal(err)
	}
	return f.(codec.Fitter).Fit(func(row.Name, string) codec.Unfit { return unfit })
}

func table(columns ...row.Column) *row.Table {
	return &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Version: 1, Key: []int{0}, Columns: columns}
}

// numbered returns a table of a number and a text, and a batch of n rows of it.
func numbered(n int) (*row.Table, *row.Batch) {
	t := table(row.Column{Name: "id", Type: row.Type{Kind: row.Int, Size: 4}}, row.Column{Name: "x", Type: row.Type{Kind: row.Text}})
	x := row.NewBuilder(&row.Pool{})
	x.At("placeplace", 1, row.Txn{ID: "0-1-2", Time: 7})
	for i := range n {
		x.Row(t, row.Insert)
		x.Int(int64(i))
		x.String(strings.Repeat("x", i%7) + fmt.Sprint(i%3000))
	}
	return t, x.Finish(position.Position{}, 0)
}

func file(t testing.TB, f codec.Codec, s codec.Shape, b *row.Batch) []byte {
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
	return out.Bytes()
}

// drain reads a file to its end and returns the rows it had.
func drain(f codec.Codec, s codec.Shape, p []byte) (int, error) { return drainTo(f, s, p, nil) }

// drainTo is drain that prints what it reads to to.
func drainTo(f codec.Codec, s codec.Shape, p []byte, to io.Writer) (int, error) {
	d, err := f.(codec.Decoding).NewDecoder(bytes.NewReader(p), int64(len(p)), s)
	if err != nil {
		return 0, err
	}
	x := row.NewBuilder(&row.Pool{})
	n := 0
	for {
		err := d.Decode(x, 1000)
		n += x.Rows()
		b := x.Finish(position.Position{}, 0)
		for i := range b.Sections() {
			for span := range b.Spans(&b.Sections()[i]) {
				for r := span.Row; to != nil && r < span.Row+span.Rows; r++ {
					words, flags := b.Cells(&b.Sections()[i], r)
					fmt.Fprintln(to, d.Incarnation(), b.Op(r), b.Order(r), span.Txn, words[0], string(b.Data(words[1])), string(flags))
				}
			}
		}
		b.Release()
		if errors.Is(err, io.EOF) {
			return n, d.Close()
		}
		if err != nil {
			return n, err
		}
	}
}

func TestDecode_when_a_byte_is_changed(t *testing.T) {
	tab, b := numbered(40)
	f, s := open(t, codec.Refuse, nil), codec.Shape{Table: tab, Meta: true}
	whole := file(t, f, s, b)
	var want bytes.Buffer
	if n, err := drainTo(f, s, whole, &want); n != 40 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	pages := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	for i := 4; i < pages; i++ {
		broken := bytes.Clone(whole)
		broken[i] ^= 0x10
		var got bytes.Buffer
		switch n, err := drainTo(f, s, broken, &got); {
		case err == nil && bytes.Equal(got.Bytes(), want.Bytes()): // a byte that says nothing, such as how rows without lists are encoded
		case err == nil || !fault.Has(err, fault.TargetBroken):
			t.Errorf("byte %d changed: %d rows, %v", i, n, err)
		}
	}
	for _, n := range []int{0, 3, 11, len(whole) / 2, len(whole) - 1} {
		if _, err := drain(f, s, whole[:n]); err == nil {
			t.Errorf("%d of %d bytes were read as a file", n, len(whole))
		}
	}
}

func TestDecode_when_the_table_is_another(t *testing.T) {
	tab, b := numbered(3)
	f := open(t, codec.Refuse, nil)
	whole := file(t, f, codec.Shape{Table: tab}, b)
	for _, s := range []codec.Shape{{Table: tab, Meta: true}, {Table: table(tab.Columns[0])}, {Table: table(tab.Columns[1], tab.Columns[0])}} {
		if _, err := drain(f, s, whole); !fault.Has(err, fault.TargetBroken) {
			t.Errorf("%v: %v", s.Table.Columns, err)
		}
	}
}

// TestShrink_when_rows_go_on: row groups of few rows make one file, and little memory
// is held in between.
func TestShrink_when_rows_go_on(t *testing.T) {
	tab, b := numbered(50_000)
	f, s := open(t, codec.Refuse, nil), codec.Shape{Table: tab, Meta: true}
	var out bytes.Buffer
	e, err := f.NewEncoder(&out, s)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := e.Encode(b, &b.Sections()[0]); err != nil {
			t.Fatal(err)
		}
		before := e.Memory()
		if err := errors.Join(e.(codec.Shrinker).Shrink(), e.(codec.Shrinker).Shrink()); err != nil {
			t.Fatal(err)
		}
		if m := e.Memory(); m > 16<<10 || before < 200<<10 {
			t.Fatalf("%d bytes held, %d after Shrink", before, m)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := drain(f, s, out.Bytes()); n != 150_000 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
}

// TestMemory_when_many_files_are_open compares what encoders say with what the heap
// says.
func TestMemory_when_many_files_are_open(t *testing.T) {
	const files = 20
	tab, b := numbered(30_000)
	f, s := open(t, codec.Refuse, nil), codec.Shape{Table: tab, Meta: true}
	encoders := make([]codec.Encoder, files)
	before := heap()
	says := 0
	for i := range encoders {
		e, err := f.NewEncoder(io.Discard, s)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := e.Encode(b, &b.Sections()[0]); err != nil {
				t.Fatal(err)
			}
		}
		encoders[i] = e
		says += e.Memory()
	}
	if took := heap() - before; says < took*2/3 || says > took*3/2 {
		t.Errorf("Memory says %d bytes a file, the heap %d", says/files, took/files)
	}
	for _, e := range encoders {
		if err := e.Close(); err != nil {
			t.Fatal(err)
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

// TestEncode_when_the_format_cannot_hold_a_value tries each such value under each
// choice.
func TestEncode_when_the_format_cannot_hold_a_value(t *testing.T) {
	id := row.Column{Name: "id", Type: row.Type{Kind: row.Int, Size: 8}}
	for name, c := range map[string]struct {
		t    row.Type
		word uint64
		data string
		text string
	}{
		"zero date":      {row.Type{Kind: row.Date}, 0, "", "0000-00-00"},
		"no such day":    {row.Type{Kind: row.Date}, row.PackDate(2023, 2, 29), "", "2023-02-29"},
		"partial moment": {row.Type{Kind: row.DateTime, Scale: 1}, row.PackDateTime(2024, 5, 0, 100_000), "", "2024-05-00 00:00:00.1"},
		"zero timestamp": {row.Type{Kind: row.Timestamp}, 1 << 63, "", "0000-00-00 00:00:00"},
		"negative time":  {row.Type{Kind: row.Time}, ^uint64(1_000_000) + 1, "", "-00:00:01"},
		"long time":      {row.Type{Kind: row.Time}, 24 * 3600 * 1_000_000, "", "24:00:00"},
		"decimal":        {row.Type{Kind: row.Decimal, Digits: 65, Scale: 30}, 0, "123456789." + strings.Repeat("0", 30), "123456789." + strings.Repeat("0", 30)},
		"no JSON":        {row.Type{Kind: row.JSON}, 0, "{", "{"},
		"no UUID":        {row.Type{Kind: row.Text, Native: "uuid"}, 0, "A", "A"},
	} {
		tab := table(id, row.Column{Name: "placed", Type: c.t})
		x := row.NewBuilder(&row.Pool{})
		x.At("placeplace", 1, row.Txn{})
		x.Row(tab, row.Insert)
		x.Int(4711)
		if c.t.Kind.InBytes() {
			x.String(c.data)
		} else {
			x.Word(c.word)
		}
		b := x.Finish(position.Position{}, 0)
		s := codec.Shape{Table: tab}

		f := open(t, codec.Refuse, nil)
		if plan := f.Columns(s)[1]; !strings.HasSuffix(plan, ": error") {
			t.Errorf("%s: plan says %q", name, plan)
		}
		e, err := f.NewEncoder(io.Discard, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{e.(codec.Refuser).Refuse(b, &b.Sections()[0], 0), e.Encode(b, &b.Sections()[0])} {
			if err == nil || !fault.Has(err, fault.RowRefused) || !strings.Contains(err.Error(), "shop.orders") ||
				!strings.Contains(err.Error(), "id 4711") || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "placed") {
				t.Errorf("%s: %v", name, err)
			}
		}

		f = open(t, codec.Nullify, nil)
		if e, err = f.NewEncoder(io.Discard, s); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.(codec.Refuser).Refuse(b, &b.Sections()[0], 0), e.Encode(b, &b.Sections()[0])); err != nil || e.(codec.Refuser).Nullified() != 1 {
			t.Errorf("%s: %v, %d are null", name, err, e.(codec.Refuser).Nullified())
		}
		keyed := *tab
		keyed.Key = []int{1}
		if e, err = f.NewEncoder(io.Discard, codec.Shape{Table: &keyed}); err != nil {
			t.Fatal(err)
		}
		if err := e.(codec.Refuser).Refuse(b, &b.Sections()[0], 0); err == nil {
			t.Errorf("%s: a key became null", name)
		}

		f = open(t, codec.AsText, nil)
		if plan := f.Columns(s)[1]; plan != "placed STRING" {
			t.Errorf("%s: plan says %q", name, plan)
		}
		d, err := f.(codec.Decoding).NewDecoder(bytes.NewReader(file(t, f, s, b)), int64(len(file(t, f, s, b))), s)
		if err != nil {
			t.Fatal(err)
		}
		y := row.NewBuilder(&row.Pool{})
		if err := d.Decode(y, 1); err != nil {
			t.Fatal(err)
		}
		back := y.Finish(position.Position{}, 0)
		words, _ := back.Cells(&back.Sections()[0], 0)
		if got := string(back.Data(words[1])); got != c.text {
			t.Errorf("%s: %q as text, not %q", name, got, c.text)
		}
	}
}

// TestDecode_when_the_choice_was_another: files written before unrepresentable was
// changed are read as those after it.
func TestDecode_when_the_choice_was_another(t *testing.T) {
	types := []row.Type{{Kind: row.Int, Size: 8}, {Kind: row.Date}, {Kind: row.DateTime, Scale: 6}, {Kind: row.Time, Scale: 2}, {Kind: row.Timestamp},
		{Kind: row.Decimal, Digits: 60, Scale: 1}, {Kind: row.JSON}, {Kind: row.Text, Native: "uuid"}}
	tab := table()
	for i, c := range types {
		tab.Columns = append(tab.Columns, row.Column{Name: fmt.Sprint("c", i), Type: c})
	}
	x := row.NewBuilder(&row.Pool{})
	x.At("", 0, row.Txn{})
	x.Row(tab, row.Read)
	for _, w := range []uint64{1, row.PackDate(1969, 12, 31), row.PackDateTime(1960, 2, 29, 1), 86_399_990_000, ^uint64(1_000_000) + 1} {
		x.Word(w)
	}
	x.String("-12345678901234567890.5")
	x.String("[1]")
	x.String("01234567-89ab-cdef-0123-456789abcdef")
	b := x.Finish(position.Position{}, 0)
	s := codec.Shape{Table: tab}
	for _, c := range [][2]codec.Unfit{{codec.Refuse, codec.AsText}, {codec.AsText, codec.Refuse}, {codec.AsText, codec.Nullify}} {
		was, is := open(t, c[0], nil), open(t, c[1], nil).(codec.Decoding)
		whole := file(t, was, s, b)
		d, err := is.NewDecoder(bytes.NewReader(whole), int64(len(whole)), s)
		if err != nil {
			t.Fatal(err)
		}
		got, want := row.NewBuilder(&row.Pool{}), row.NewBuilder(&row.Pool{})
		if err := d.Decode(got, 1); err != nil {
			t.Fatal(err)
		}
		want.At("", 0, row.Txn{})
		want.Row(is.Stored(tab), row.Read)
		words, flags := b.Cells(&b.Sections()[0], 0)
		for i, w := range words {
			is.Store(want, b, tab, i, w, flags[i])
		}
		g, w := got.Finish(position.Position{}, 0), want.Finish(position.Position{}, 0)
		gw, gf := g.Cells(&g.Sections()[0], 0)
		ww, wf := w.Cells(&w.Sections()[0], 0)
		for i, c := range is.Stored(tab).Columns {
			same := gf[i] == wf[i] && (c.Type.Kind.InBytes() || gw[i] == ww[i])
			if same && c.Type.Kind.InBytes() {
				same = bytes.Equal(g.Data(gw[i]), w.Data(ww[i]))
			}
			if !same {
				t.Errorf("%v: column %s of kind %v differs", c, c.Name, c.Type.Kind)
			}
		}
	}
}

// FuzzDecode reads files that are anything: errors are fine, panics and memory are not.
func FuzzDecode(f *testing.F) {
	s := codec.Shape{Table: codectest.Texts(), Meta: true}
	tab, b := numbered(300)
	for _, set := range []map[string]any{nil, {"compression": "none"}, {"compression": "snappy"}} {
		f.Add(file(f, open(f, codec.Refuse, set), codec.Shape{Table: tab, Meta: true}, b))
	}
	s.Table = tab
	c := open(f, codec.Refuse, map[string]any{"compression": "none"})
	z := open(f, codec.Refuse, nil)
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, c := range []codec.Codec{c, z} {
			if n, err := drain(c, s, p); err == nil && n > 1<<20+len(p)*8 {
				t.Fatalf("%d rows in %d bytes", n, len(p))
			}
		}
	})
}
