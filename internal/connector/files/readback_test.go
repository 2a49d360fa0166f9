package files

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// readRows are the rows of a table that a sink reads back, as texts, sorted; and the place.
func readRows(b *bench, t *row.Table) (out []string, at position.Position) {
	b.Helper()
	b.must(b.sink.ReadBack(b.Context(), t, nil, func(batch *row.Batch) error {
		defer batch.Release()
		if batch.Rows() == 0 {
			at = batch.End
			return nil
		}
		for k := range batch.Sections() {
			s := &batch.Sections()[k]
			if !s.Table.SameShape(b.sink.Stored(t)) {
				b.Errorf("rows of shape %v", s.Table)
			}
			for i := range s.Rows {
				words, flags := batch.Cells(s, s.Row+i)
				cells := []string{fmt.Sprint(batch.Op(s.Row+i), row.Counter(batch.Order(s.Row+i)))}
				for c := range words {
					switch {
					case flags[c] == row.Null:
						cells = append(cells, "null")
					case flags[c] == row.Absent:
						cells = append(cells, "absent")
					case s.Table.Columns[c].Type.Kind.InBytes():
						cells = append(cells, string(batch.Data(words[c])))
					default:
						cells = append(cells, fmt.Sprint(int64(words[c])))
					}
				}
				out = append(out, strings.Join(cells, " "))
			}
		}
		return nil
	}))
	slices.Sort(out)
	return out, at
}

// readError is why the rows of a table cannot be read back.
func readError(b *bench, t *row.Table) error {
	return b.sink.ReadBack(b.Context(), t, nil, func(batch *row.Batch) error {
		batch.Release()
		return nil
	})
}

// grown are versions of one table: a column comes with a default, another is renamed, and
// then the table.
func grown() (first, second, third *row.Table) {
	id, name := row.Column{Name: "id", Type: row.Type{Kind: row.Int}}, row.Column{Name: "name", Type: row.Type{Kind: row.Text}}
	first = &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Number: 1, Version: 1, Key: []int{0}, Columns: []row.Column{id, name}}
	more := row.Column{Name: "more", Type: row.Type{Kind: row.Int}, Default: new("7")}
	second = &row.Table{Name: first.Name, Number: 1, Version: 2, Key: []int{1}, Columns: []row.Column{more, id, name}}
	name.Name = "title"
	third = &row.Table{Name: row.Name{Space: "shop", Table: "sales"}, Number: 1, Version: 3, Key: []int{1}, Columns: []row.Column{more, id, name}}
	return first, second, third
}

// rowAt makes a batch of one row of a table at a place.
func rowAt(t *row.Table, n uint64, op row.Op, cells ...any) *row.Batch {
	x := row.NewBuilder(&row.Pool{})
	x.At(at64(n), 1, row.Txn{})
	x.Row(t, op)
	for _, c := range cells {
		switch c := c.(type) {
		case int:
			x.Int(int64(c))
		case string:
			x.String(c)
		default:
			x.Absent()
		}
	}
	return x.Finish(position.Position{}, 0)
}

// copied commits a batch as the first chunk of a table.
func (b *bench) copied(batch *row.Batch) {
	b.Helper()
	w, _, err := b.sink.Open(b.Context(), connector.Shard{Job: "shop", Sink: "lake", Task: "1.1.0"}, connector.Claim{Run: 1, Attempt: 1})
	b.must(err)
	b.must(w.Apply(b.Context(), batch))
	b.must(w.Commit(b.Context(), streamSet(1)))
}

// stepper returns what applies a batch and commits it at the place n of the stream.
func (b *bench) stepper(w connector.Writer) func(n uint64, batch *row.Batch) {
	return func(n uint64, batch *row.Batch) {
		b.Helper()
		b.must(w.Apply(b.Context(), batch))
		b.must(w.Commit(b.Context(), streamSet(n)))
	}
}

func TestReadBack_when_the_table_changed(t *testing.T) {
	b := newBench(t, sinktest.NewMem(), csvConfig("none"), "shop")
	first, second, third := grown()
	b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
	w, _ := b.open(1)
	step := b.stepper(w)
	step(2, rowAt(first, 1, row.Insert, 1, "one"))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: first, After: second}))
	step(4, rowAt(second, 3, row.Insert, 8, 2, "two"))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: second, After: third, Renamed: map[string]string{"title": "name"}}))
	step(6, rowAt(third, 5, row.Update, nil, 2, "zwei"))
	step(7, rowAt(third, 6, row.Truncate, nil, nil, nil))
	got, at := readRows(b, third)
	want := []string{"2 1 7 1 one", "2 1 8 2 two", "3 1 absent 2 zwei", "6 1 absent absent absent"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if at != streamSet(7)[connector.StreamSplit] {
		t.Errorf("at %v", at)
	}
}

// A column that was dropped and came back under its name is another one, in whatever file.
func TestReadBack_when_a_column_came_back(t *testing.T) {
	b := newBench(t, sinktest.NewMem(), csvConfig("none"), "shop")
	first, _, _ := grown()
	second, third := *first, *first
	second.Version, second.Columns = 2, first.Columns[:1]
	third.Version, third.Columns = 3, append(slices.Clone(first.Columns[:1]), first.Columns[1])
	third.Columns[1].Default = new("again")
	b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
	b.copied(rowAt(first, 1, row.Read, 1, "one"))
	w, _ := b.open(1)
	step := b.stepper(w)
	step(3, rowAt(first, 2, row.Insert, 2, "two"))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: first, After: &second}))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: &second, After: &third}))
	step(5, rowAt(&third, 4, row.Insert, 3, "three"))
	if got, _ := readRows(b, &third); !slices.Equal(got, []string{"1 1 1 again", "2 1 2 again", "2 1 3 three"}) {
		t.Errorf("%q", got)
	}
}

// remade are tables that have one name after each other: the first is altered, dropped and
// made again in other columns.
func remade() (first, altered, second *row.Table) {
	id, n := row.Column{Name: "id", Type: row.Type{Kind: row.Int}}, row.Column{Name: "n", Type: row.Type{Kind: row.Text}}
	first = &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Number: 1, Version: 1, Key: []int{0}, Columns: []row.Column{id, n}}
	altered = &row.Table{Name: first.Name, Number: 1, Version: 2, Key: []int{0}, Columns: []row.Column{id, n, {Name: "w", Type: row.Type{Kind: row.Int}}}}
	n.Type.Kind = row.Int // and its header is that of the first
	second = &row.Table{Name: first.Name, Number: 3, Version: 1, Key: []int{0}, Columns: []row.Column{id, n}}
	return first, altered, second
}

// TestReadBack_when_another_table_had_the_name: what lies in the folder from before is read
// for the rows that end it alone, whatever shape it has.
func TestReadBack_when_another_table_had_the_name(t *testing.T) {
	columnar, err := parquetConfig(t, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]config{"csv": csvConfig("none"), "parquet": columnar} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, sinktest.NewMem(), c, "shop")
			first, altered, second := remade()
			b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
			b.copied(rowAt(first, 1, row.Read, 1, "one"))
			w, _ := b.open(1)
			step := b.stepper(w)
			step(3, rowAt(first, 2, row.Insert, 2, "22"))
			b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: first, After: altered}))
			step(5, rowAt(altered, 4, row.Insert, 3, "three", 3))
			b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Drop, Before: altered}))
			step(7, rowAt(altered, 6, row.Truncate, nil, nil, nil))
			b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Create, After: second}))
			step(9, rowAt(second, 8, row.Insert, 4, 44))
			got, _ := readRows(b, second)
			if want := []string{"2 1 4 44", "6 1 absent absent"}; !slices.Equal(got, want) {
				t.Errorf("%q", got)
			}
			step(11, rowAt(altered, 10, row.Insert, 5, "five", 5))
			if err := readError(b, second); !fault.Has(err, fault.NotVerifiable) {
				t.Errorf("rows from after the end of the table before: %v", err)
			}
		})
	}
}

// TestReadBack_when_a_table_that_changed_its_types_is_read_again: rows that cannot be
// compared are no matter once others have taken their place.
func TestReadBack_when_a_table_that_changed_its_types_is_read_again(t *testing.T) {
	b := newBench(t, sinktest.NewMem(), csvConfig("none"), "shop")
	first, _, second := remade()
	second.Number, second.Version = 1, 2
	b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
	w, _ := b.open(1)
	step := b.stepper(w)
	step(3, rowAt(first, 2, row.Insert, 2, "two"))
	b.must(w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: first, After: second}))
	if err := readError(b, second); !fault.Has(err, fault.NotVerifiable) || !strings.Contains(fault.Of(err).Where, "stream-1-1.csv") {
		t.Errorf("before it is read again: %v", err)
	}
	step(5, rowAt(second, 4, row.Truncate, nil, nil))
	step(7, rowAt(second, 6, row.Read, 2, 2))
	if got, _ := readRows(b, second); !slices.Equal(got, []string{"1 1 2 2", "6 1 absent absent"}) {
		t.Errorf("%q", got)
	}
}

func TestReadBack_when_the_path_divides_the_rows(t *testing.T) {
	c := csvConfig("none")
	c.Path = pathOf(t, "{database}/{table}/day={date}")
	b := newBench(t, sinktest.NewMem(), c, "shop")
	first, _, _ := grown()
	b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
	w, _ := b.open(1)
	b.must(w.Apply(t.Context(), rowAt(first, 1, row.Insert, 1, "x")))
	b.must(w.Commit(t.Context(), streamSet(2)))
	if got, _ := readRows(b, first); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// After a crash between record and publication the files of the last commit are not seen:
// they are all the same what the sink has at its place.
func TestReadBack_when_a_commit_is_not_published(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, csvConfig("none"), "shop")
	first, _, _ := grown()
	b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
	w, _ := b.open(1)
	for n := range uint64(3) {
		b.must(w.Apply(t.Context(), rowAt(first, n+1, row.Insert, int(n), "x")))
		b.must(w.Commit(t.Context(), streamSet(n+2)))
	}
	last := ""
	for k := range mem.Objects {
		if strings.HasPrefix(k, "shop/orders/") {
			last = max(last, k)
		}
	}
	o := mem.Objects[last]
	delete(mem.Objects, last)
	mem.Waiting[o.Receipt.Staged] = o
	if got, _ := readRows(b, first); len(got) != 3 {
		t.Errorf("%q", got)
	}
	if mem.Objects[last] == nil {
		t.Error("it was read from nowhere")
	}
}

// Rows that a commit appends while files are listed are not of the place that was told.
func TestReadBack_when_rows_are_appended_meanwhile(t *testing.T) {
	c := csvConfig("none")
	c.Layout, c.Append = layoutAppend, appending{Meta: true, OnUpdate: appendRow, OnDelete: dropRow}
	b := newBench(t, sinktest.NewMem(), c, "shop")
	first, _, _ := grown()
	b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
	w, _ := b.open(1)
	x := row.NewBuilder(&row.Pool{})
	for i, place := range []string{"a", "b", "c"} {
		x.At(place, 1, row.Txn{})
		x.Row(first, row.Insert)
		x.Int(int64(i))
		x.String(place)
	}
	b.must(w.Apply(t.Context(), x.Finish(position.Position{}, 0)))
	b.must(w.Commit(t.Context(), position.Set{connector.StreamSplit: position.New("log", "b\x00\x00\x00\x00\x00\x00\x00\x00", "")}))
	if got, _ := readRows(b, first); !slices.Equal(got, []string{"2 1 0 a", "2 1 1 b"}) {
		t.Errorf("%q", got)
	}
}

// However large rows are, few bytes of them are held at once.
func TestReadBack_when_rows_are_large(t *testing.T) {
	columnar, err := parquetConfig(t, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]config{"csv": csvConfig("none"), "parquet": columnar} {
		c.Roll = roll{Size: 1 << 30}
		b := newBench(t, sinktest.NewMem(), c, "shop")
		first, _, _ := grown()
		b.must(b.sink.Prepare(t.Context(), []*row.Table{first}))
		w, _ := b.open(1)
		const each = 300 << 10
		for n := range uint64(12) {
			b.must(w.Apply(t.Context(), rowAt(first, n+1, row.Insert, int(n), strings.Repeat("x", each))))
		}
		b.must(w.Commit(t.Context(), streamSet(20)))
		rows := 0
		b.must(b.sink.ReadBack(t.Context(), first, nil, func(batch *row.Batch) error {
			defer batch.Release()
			if rows += batch.Rows(); batch.Payload() > codec.BatchBytes+2*each {
				t.Errorf("%s: a batch of %d bytes", name, batch.Payload())
			}
			return nil
		}))
		if rows != 12 {
			t.Errorf("%s: %d rows", name, rows)
		}
	}
}
