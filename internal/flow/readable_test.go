package flow

import (
	"context"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// picky is a sink that refuses batches of more than one row.
type picky struct{ *memSink }

func (p picky) Open(ctx context.Context, s connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := p.memSink.Open(ctx, s, c)
	return &pickyWriter{Writer: w}, set, err
}

type pickyWriter struct {
	connector.Writer
	failed bool
}

func (w *pickyWriter) Apply(ctx context.Context, b *row.Batch) error {
	if w.failed = w.failed || b.Rows() > 1; w.failed {
		return fault.New(fault.RowRefused, "two")
	}
	return w.Writer.Apply(ctx, b)
}

// What a sink refuses of a repair is not written, and what follows is.
func TestMend_when_rows_are_refused(t *testing.T) {
	src, a := newLogSource(5, 60), newMemSink()
	if err := run(t.Context(), newJob(src, a), connector.Claim{Run: 1}, 60); err != nil {
		t.Fatal(err)
	}
	j := newJob(src, a)
	j.Sinks[0].Sink = picky{a}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := states[0].Shapes.tables[0]
	before, set := len(a.entries), a.shards[streamTask].set
	err = j.Mend(t.Context(), states[0], connector.Claim{Run: 2}, func(put func(*row.Batch) error, _ position.Position, _ uint16) error {
		for _, n := range []int{1, 2, 1, 1} {
			x := row.NewBuilder(j.Pool)
			x.At("p", row.RepairCounter(uint64(n)), row.Txn{})
			for range n {
				x.Row(table, row.Read)
				for range table.Columns {
					x.Int(1)
				}
			}
			if err := put(x.Finish(position.Position{}, 0)); (n > 1) != fault.Has(err, fault.RowRefused) {
				t.Errorf("%d rows: %v", n, err)
			}
		}
		return nil
	})
	if err != nil || len(a.entries) != before+3 || !a.shards[streamTask].set.Equal(set) {
		t.Errorf("%v, %d rows were written", err, len(a.entries)-before)
	}
}

// What a sink was found to have is neither compared nor mended once it has something else.
func TestPlace_when_a_table_changes_meanwhile(t *testing.T) {
	src, a := newLogSource(5, 60), newMemSink()
	if err := run(t.Context(), newJob(src, a), connector.Claim{Run: 1}, 30); err != nil {
		t.Fatal(err)
	}
	j := newJob(src, a)
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), newJob(src, a), connector.Claim{Run: 2}, 60); err != nil {
		t.Fatal(err)
	}
	now, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, table := range states[0].Tables() {
		at, _, err := j.Place(t.Context(), states[0], table)
		is := now[0].Shapes.table(table.Number)
		same := is != nil && is.Version == table.Version && now[0].Unreadable(is) == ""
		if same != (err == nil) || !same && !fault.Has(err, fault.NotVerifiable) || at != now[0].At {
			t.Errorf("%s: %v, %v", table.Name, at, err)
		}
		if !same {
			changed++
		}
	}
	if changed == 0 || changed == len(states[0].Tables()) {
		t.Fatalf("%d tables changed", changed)
	}
	err = j.Mend(t.Context(), states[0], connector.Claim{Run: 3}, func(func(*row.Batch) error, position.Position, uint16) error { t.Error("it is mended"); return nil })
	if !fault.Has(err, fault.NotNow) {
		t.Error(err)
	}
}
