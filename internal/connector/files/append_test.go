package files

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

func appendConfig() config {
	c := testConfig()
	c.Layout, c.Append = layoutAppend, appending{OnUpdate: appendRow, OnDelete: dropRow}
	return c
}

// heap is a sink of layout append on a store in memory, and its stream.
type heap struct {
	*testing.T
	mem  *sinktest.Mem
	sink connector.Sink
	pool row.Pool
	at   int
}

func newHeap(t *testing.T, c config, tables ...*row.Table) *heap {
	t.Helper()
	b := &heap{T: t, mem: sinktest.NewMem()}
	var err error
	if b.sink, err = testSink(b.mem.View(&sinktest.Process{Name: "one"}), c); err == nil {
		err = b.sink.Prepare(t.Context(), tables)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func appendTable(name string, number, generation uint32) *row.Table {
	return &row.Table{Name: row.Name{Space: "shop", Table: name}, Number: number, Version: 1, Generation: generation, Key: []int{0},
		Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Native: "int"}}}}
}

func (b *heap) open(task string) connector.Writer {
	b.Helper()
	w, _, err := b.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: task}, connector.Claim{Run: 1})
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func (b *heap) place() position.Position {
	return position.New("log", fmt.Sprintf("%08d", b.at), "")
}

// put applies ops of rows with the ids given and commits.
func (b *heap) put(w connector.Writer, t *row.Table, ids ...any) error {
	b.Helper()
	x := row.NewBuilder(&b.pool)
	for i := 0; i < len(ids); i += 2 {
		b.at++
		x.At(fmt.Sprintf("%08d", b.at), 1, row.Txn{})
		x.Row(t, ids[i].(row.Op))
		if id, ok := ids[i+1].(int); ok {
			x.Int(int64(id))
		} else {
			x.Absent()
		}
	}
	batch := x.Finish(b.place(), 0)
	defer batch.Release()
	if err := w.Apply(context.Background(), batch); err != nil {
		return err
	}
	return w.Commit(context.Background(), position.Set{connector.StreamSplit: b.place()})
}

// rows are the ids in files, by folder.
func (b *heap) rows() (out []string) {
	for k, o := range b.mem.Objects {
		if strings.HasPrefix(k, control) {
			continue
		}
		for _, line := range rowsOf(o.Data) {
			out = append(out, k[:strings.LastIndex(k, "/")+1]+line[strings.LastIndex(line, "=")+1:])
		}
	}
	slices.Sort(out)
	return out
}

func (b *heap) want(rows ...string) {
	b.Helper()
	if got := b.rows(); !slices.Equal(got, rows) {
		b.Errorf("rows %v, not %v", got, rows)
	}
}

func (b *heap) record(task string) *record {
	b.Helper()
	r, _, err := b.sink.(*sink).shard(task).latest(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func TestAppend_when_rows_change(t *testing.T) {
	tab := appendTable("orders", 1, 1)
	all := []any{row.Insert, 1, row.Insert, 2, row.Update, 2, row.Before, 1, row.Update, 3, row.Delete, 2, row.Truncate, nil}
	for name, c := range map[string]struct {
		update, remove string
		rows           []string
		left           left
	}{
		"default":         {appendRow, dropRow, []string{"1", "2", "2", "3"}, left{0, 1, 1}},
		"deletes too":     {appendRow, appendRow, []string{"1", "2", "2", "2", "3"}, left{0, 0, 1}},
		"new rows only":   {dropRow, dropRow, []string{"1", "2"}, left{2, 1, 1}},
		"updates dropped": {dropRow, appendRow, []string{"1", "2", "2"}, left{2, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := appendConfig()
			conf.Append = appending{OnUpdate: c.update, OnDelete: c.remove}
			b := newHeap(t, conf, tab)
			w := b.open("stream")
			if err := b.put(w, tab, all...); err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, id := range c.rows {
				want = append(want, "shop/orders/"+id)
			}
			b.want(want...)
			if got := b.record("stream").Left; got != c.left {
				t.Errorf("left out: %+v", got)
			}
			said, err := b.sink.(connector.Omitter).LeftOut(t.Context(), connector.Shard{Task: "stream"})
			if want := c.left.String(); err != nil || said != want || !strings.Contains(said, "1 truncates") {
				t.Errorf("%q, %v", said, err)
			}
			// The sums go on, over a writer that died with rows uncommitted.
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := b.put(b.open("stream"), tab, row.Delete, 9); err != nil {
				t.Fatal(err)
			}
			if got := b.record("stream").Left; got.Updates != c.left.Updates || got.sum() != c.left.sum()+map[string]int64{dropRow: 1}[c.remove] {
				t.Errorf("left out later: %+v", got)
			}
		})
	}
}

func TestAppend_when_rows_are_refused(t *testing.T) {
	tab := appendTable("orders", 1, 1)
	for _, c := range []struct {
		name           string
		how            appending
		rows           []any
		refused, whole bool
	}{
		{"update", appending{OnUpdate: failRow, OnDelete: dropRow}, []any{row.Update, 1}, true, false},
		{"delete", appending{OnUpdate: dropRow, OnDelete: failRow}, []any{row.Delete, 1}, true, false},
		{"truncate", appending{OnUpdate: dropRow, OnDelete: failRow}, []any{row.Truncate, nil}, true, false},
		{"others", appending{OnUpdate: failRow, OnDelete: failRow}, []any{row.Insert, 1, row.Read, 2}, false, false},
		{"a part of a row", appending{OnUpdate: appendRow, OnDelete: dropRow}, []any{row.Update, nil}, true, false},
		{"a part of a row that is dropped", appending{OnUpdate: dropRow, OnDelete: dropRow}, []any{row.Update, nil, row.Delete, nil}, false, false},
		{"a part of a row, told as such", appending{Meta: true, OnUpdate: appendRow, OnDelete: dropRow}, []any{row.Update, nil}, false, false},
	} {
		conf := appendConfig()
		conf.Append = c.how
		b := newHeap(t, conf, tab)
		w := b.open("stream")
		if err := b.put(w, tab, c.rows...); fault.Has(err, fault.RowRefused) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// complete announces tables as whole.
func (b *heap) complete(tables ...*row.Table) {
	b.Helper()
	var list []connector.Completion
	for _, t := range tables {
		list = append(list, connector.Completion{Table: t, Complete: true})
	}
	if err := b.sink.(connector.Announcer).Announce(context.Background(), b.place(), "here", list); err != nil {
		b.Fatal(err)
	}
}

func TestAppend_when_a_table_is_read_again(t *testing.T) {
	tab, other := appendTable("orders", 1, 1), appendTable("g2", 2, 1)
	b := newHeap(t, appendConfig(), tab, other)
	w := b.open("stream")
	for i, x := range []*row.Table{tab, other} {
		if err := b.put(w, x, row.Insert, i+1); err != nil {
			t.Fatal(err)
		}
	}
	again := appendTable("orders", 1, 3)
	if err := b.sink.Prepare(t.Context(), []*row.Table{again}); err != nil {
		t.Fatal(err)
	}
	if err := w.Evolve(t.Context(), &row.SchemaChange{Kind: row.Alter, Before: tab, After: again}); err != nil {
		t.Fatal(err)
	}
	begins := row.TruncateAt(&b.pool, again, position.New("log", "00000009"+strings.Repeat("\x00", 8), ""), 3)
	if err := w.Apply(t.Context(), begins); err != nil {
		t.Fatal(err)
	}
	if err := b.put(b.open("1.3.0"), again, row.Read, 4); err != nil {
		t.Fatal(err)
	}
	if err := b.put(w, tab, row.Insert, 5); err != nil { // read for a sink in which it is the first one
		t.Fatal(err)
	}
	b.want("shop/g2/2", "shop/orders/1", "shop/orders/g3/4", "shop/orders/g3/5")
	if got := b.record("stream").Left; got.sum() != 0 {
		t.Errorf("left out: %+v", got)
	}
	if err := b.sink.(connector.Announcer).Announce(t.Context(), b.place(), "here", []connector.Completion{{Table: again}, {Table: other, Complete: true}}); err != nil {
		t.Fatal(err)
	}
	b.want("shop/g2/2", "shop/orders/1", "shop/orders/g3/4", "shop/orders/g3/5")
	b.complete(again, other)
	b.want("shop/g2/2", "shop/orders/g3/4", "shop/orders/g3/5")
}

// The files of a table that is gone are not those of the one that has its name now.
func TestAppend_when_a_name_had_another_table_before(t *testing.T) {
	gone, tab := appendTable("orders", 1, 1), appendTable("orders", 2, 1)
	b := newHeap(t, appendConfig(), gone)
	w := b.open("stream")
	if err := b.put(w, gone, row.Insert, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*row.SchemaChange{{Kind: row.Drop, Before: gone}, {Kind: row.Create, After: tab}} {
		if err := w.Evolve(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.put(w, tab, row.Insert, 2); err != nil {
		t.Fatal(err)
	}
	b.complete(appendTable("orders", 2, 2))
	b.want("shop/orders/1", "shop/orders/2")
}

func TestGeneration_when_told_by_a_path(t *testing.T) {
	for path, want := range map[string]uint32{"1.1.0-1-1.csv": 1, "g2/x.csv": 2, "g12/d=1/x.csv": 12, "g1/x": 1, "g02/x": 1, "g2": 1, "gx/a": 1, "d=1/g2/x": 1, "g99999999999/x": 1} {
		if got := generationOf(path); got != want {
			t.Errorf("%s: %d", path, got)
		}
	}
}
