package postgres

import (
	"context"
	"fmt"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// lineItem is a table like that of TPC-H.
func lineItem() *row.Table {
	t := &row.Table{Name: row.Name{Space: "bench", Table: "lineitem"}, Number: 1, Version: 1, Key: []int{0, 3}}
	integer, money := row.Type{Kind: row.Int, Size: 8, Native: "bigint(20)"}, row.Type{Kind: row.Decimal, Digits: 15, Scale: 2, Native: "decimal(15,2)"}
	word, day := row.Type{Kind: row.Text, Native: "varchar(44)"}, row.Type{Kind: row.Date, Native: "date"}
	for i, c := range []row.Type{integer, integer, integer, integer, money, money, money, money, word, word, day, day, day, word, word, word} {
		t.Columns = append(t.Columns, row.Column{Name: fmt.Sprintf("l_c%d", i), Type: c})
	}
	return t
}

func itemRow(x *row.Builder, t *row.Table, op row.Op, k int) {
	x.Row(t, op)
	for _, v := range []int{k / 4, k * 7 % 200000, k * 3 % 10000, k % 4} {
		x.Int(int64(v))
	}
	for i := range 4 {
		x.String(fmt.Sprintf("%d.%02d", k*31%90000+i, k%100))
	}
	x.String("N")
	x.String("O")
	for i := range 3 {
		x.Word(row.PackDate(1996, 1+(k+i)%12, 1+k%28))
	}
	x.String("DELIVER IN PERSON")
	x.String("TRUCK")
	x.String("egular courts above the")
}

// batches makes rows before the clock runs.
func batches(pool *row.Pool, t *row.Table, rows int, make func(x *row.Builder, i int)) []*row.Batch {
	var out []*row.Batch
	x := row.NewBuilder(pool)
	for i := range rows {
		if x.Rows() == 0 {
			x.At(fmt.Sprintf("log%012d", i), 1, row.Txn{ID: "1-1-1"})
		}
		make(x, i)
		if x.Rows() >= 1000 || i == rows-1 {
			out = append(out, x.Finish(position.New("log", fmt.Sprintf("%012d", i), ""), 0))
		}
	}
	return out
}

func benchRig(b *testing.B, t *row.Table) *rig {
	return newRig(b, postgres.Start(b, "synchronous_commit=off"), nil, t)
}

// Rows of a snapshot, in chunks of 200,000, by one writer.
func BenchmarkSnapshot(b *testing.B) {
	t := lineItem()
	r := benchRig(b, t)
	const rows = 400_000
	all := batches(&r.pool, t, rows, func(x *row.Builder, i int) { itemRow(x, t, row.Read, i) })
	b.ResetTimer()
	for n := range b.N {
		if n > 0 {
			b.StopTimer()
			r.must(r.write(t, change{row.Truncate, nil}))
			b.StartTimer()
		}
		for i, x := range all {
			r.must(r.w.Apply(context.Background(), x))
			if i%200 == 199 {
				r.must(r.w.Commit(context.Background(), position.Set{connector.StreamSplit: x.End}))
			}
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// Transactions of two updates, an insert and a delete.
func BenchmarkStream(b *testing.B) {
	t := lineItem()
	r := benchRig(b, t)
	const held, changes = 400_000, 200_000
	for _, x := range batches(&r.pool, t, held, func(x *row.Builder, i int) { itemRow(x, t, row.Read, i) }) {
		r.must(r.w.Apply(context.Background(), x))
	}
	r.must(r.w.Commit(context.Background(), position.Set{}))
	b.ResetTimer()
	for n := range b.N {
		b.StopTimer()
		all := batches(&r.pool, t, changes, func(x *row.Builder, i int) {
			at := n*changes + i
			switch i % 4 {
			case 0, 1:
				itemRow(x, t, row.Update, at*7919%held)
			case 2:
				itemRow(x, t, row.Insert, held+at)
			default:
				itemRow(x, t, row.Delete, at*104729%held)
			}
		})
		b.StartTimer()
		for i, x := range all {
			r.must(r.w.Apply(context.Background(), x))
			if i%50 == 49 || i == len(all)-1 {
				r.must(r.w.Commit(context.Background(), position.Set{connector.StreamSplit: x.End}))
			}
		}
		b.StopTimer()
		for _, x := range all {
			x.Release()
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(changes*b.N)/b.Elapsed().Seconds(), "changes/s")
}
