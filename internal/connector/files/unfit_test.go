package files

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/parquet"
	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

// dated returns a table with columns of dates.
func dated() *row.Table {
	c := []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Size: 8}}}
	for _, n := range []string{"placed", "sent", "paid.at"} {
		c = append(c, row.Column{Name: n, Type: row.Type{Kind: row.Date}})
	}
	return &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Number: 1, Version: 1, Key: []int{0}, Columns: c}
}

// parquetConfig is what a job file with these options says.
func parquetConfig(t *testing.T, set map[string]any) (config, error) {
	t.Helper()
	formats := []codec.Format{parquet.Format}
	fields := options(nil, formats)
	set["roll"] = option.Of(field(fields, "roll").Fields, nil)
	return settings(option.Of(fields, set), formats)
}

func rules(fields []option.Field, of ...string) []option.Values {
	var out []option.Values
	for _, r := range of {
		match, unfit, _ := strings.Cut(r, "=")
		out = append(out, option.Of(field(fields, "columns").Fields, map[string]any{"match": match, "unrepresentable": unfit}))
	}
	return out
}

func TestUnrepresentable_when_columns_differ(t *testing.T) {
	all := unfitFields()
	c, err := parquetConfig(t, map[string]any{"unrepresentable": "text", "columns": rules(all, "shop.o*.placed=null", "*.*.p*=error")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"id INT(64)", "placed DATE; zero and partial dates: null", "sent STRING", "paid.at DATE; zero and partial dates: error"}
	if got := c.Codec.Columns(codec.Shape{Table: dated()}); !slices.Equal(got, want) {
		t.Errorf("plan shows %q, not %q", got, want)
	}
	if _, err := parquetConfig(t, map[string]any{"columns": rules(all, "shop.orders=null")}); !fault.Has(err, fault.JobValue) {
		t.Errorf("a pattern without a column: %v", err)
	}
}

func TestWriter_when_a_value_cannot_be_held(t *testing.T) {
	tab := dated()
	x := row.NewBuilder(&row.Pool{})
	x.At("0123", 1, row.Txn{})
	x.Row(tab, row.Insert)
	x.Int(7)
	for range 3 {
		x.Word(0)
	}
	batch := x.Finish(position.Position{}, 0)
	for unfit, want := range map[string]string{"error": "ROW_REFUSED", "null": "values=3", "text": ""} {
		c, err := parquetConfig(t, map[string]any{"unrepresentable": unfit})
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, sinktest.NewMem(), c, "shop")
		b.must(b.sink.Prepare(t.Context(), nil))
		var log bytes.Buffer
		b.sink.log = slog.New(slog.NewTextHandler(&log, nil))
		w, _ := b.open(1)
		said := ""
		if err := w.Apply(t.Context(), batch); err != nil {
			said = err.Error()
		} else {
			b.must(w.Commit(t.Context(), streamSet(1)))
			said = log.String()
		}
		if !strings.Contains(said, want) || want == "" && said != "" {
			t.Errorf("%s: %q", unfit, said)
		}
	}
}

// TestWriter_when_encoders_hold_much: row groups end, and files go on.
func TestWriter_when_encoders_hold_much(t *testing.T) {
	c, err := parquetConfig(t, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	c.Roll = roll{Size: 1 << 30}
	b := newBench(t, sinktest.NewMem(), c, "shop")
	b.must(b.sink.Prepare(t.Context(), nil))
	w, _ := b.open(1)
	b.sink.memory = 1 << 20
	ts, most := tables(3), 0
	var pool row.Pool
	for n := range uint64(30) {
		batch := batchOf(&pool, ts[n%3:n%3+1], 10_000, n*10_000)
		b.must(w.Apply(t.Context(), batch))
		batch.Release()
		if most = max(most, w.memory); w.memory > 1<<20 || len(w.open) != min(int(n)+1, 3) {
			t.Fatalf("%d bytes are held for %d files", w.memory, len(w.open))
		}
	}
	if most < 256<<10 {
		t.Errorf("only %d bytes were ever held", most)
	}
	b.must(w.Commit(t.Context(), streamSet(1)))
	if w.memory != 0 {
		t.Errorf("%d bytes are held after the commit", w.memory)
	}
}

// A row that has no form in Parquet is put aside alone, and a rehearsal counts it alone.
func TestWriter_when_rows_of_columns_are_put_aside(t *testing.T) {
	c, err := parquetConfig(t, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	mem, tab := sinktest.NewMem(), dated()
	b := newBench(t, mem, c, "shop")
	b.must(b.sink.Prepare(t.Context(), []*row.Table{tab}))
	x := row.NewBuilder(&row.Pool{})
	x.At("00000003", 1, row.Txn{})
	for i := range 5 {
		x.Row(tab, row.Insert)
		x.Int(int64(i))
		for range 3 {
			x.Word(row.PackDate(2024, 2, 28+i)) // from the third on there is no such day
		}
	}
	batch := x.Finish(position.Position{}, 0)
	refused := 0
	r := b.sink.Rehearse()
	b.must(r.Apply(batch, func(*fault.Error) { refused++ }))
	if n, err := r.Close(); err != nil || n == 0 || refused != 3 {
		t.Errorf("a rehearsal: %d bytes, %d rows refused, %v", n, refused, err)
	}
	w, _ := b.open(1)
	told := 0
	w.Discard(func(connector.Letter) { told++ })
	b.must(w.Apply(t.Context(), batch))
	b.must(w.Commit(t.Context(), streamSet(1)))
	if told != 3 {
		t.Errorf("%d letters", told)
	}
	if got, _ := readRows(b, tab); len(got) != 2 {
		t.Errorf("%q", got)
	}
	b.must(w.Close())
}
