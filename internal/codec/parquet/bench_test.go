package parquet

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"godwit/internal/codec"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

// lineitem is the table of the usual benchmark: 16 columns, keys, money, dates
// and short texts.
func lineitem() *row.Table {
	c := func(n string, t row.Type) row.Column { return row.Column{Name: n, Type: t} }
	i, d := row.Type{Kind: row.Int, Size: 8}, row.Type{Kind: row.Decimal, Digits: 15, Scale: 2}
	x, day := row.Type{Kind: row.Text}, row.Type{Kind: row.Date}
	return &row.Table{Name: row.Name{Space: "tpch", Table: "lineitem"}, Version: 1, Key: []int{0, 3}, Columns: []row.Column{
		c("l_orderkey", i), c("l_partkey", i), c("l_suppkey", i), c("l_linenumber", i),
		c("l_quantity", d), c("l_extendedprice", d), c("l_discount", d), c("l_tax", d),
		c("l_returnflag", x), c("l_linestatus", x), c("l_shipdate", day), c("l_commitdate", day), c("l_receiptdate", day),
		c("l_shipinstruct", x), c("l_shipmode", x), c("l_comment", x)}}
}

// lineitems returns rows first to first+n of the table, in transactions of each rows.
func lineitems(t *row.Table, first, n, each int) *row.Batch {
	r := rand.New(rand.NewPCG(1, uint64(first)))
	x := row.NewBuilder(&row.Pool{})
	words := "carefully final deposits detect slyly after the quickly regular pinto beans across furiously even instructions"
	how := []string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}
	modes := []string{"TRUCK", "MAIL", "REG AIR", "SHIP", "FOB", "RAIL", "AIR"}
	for k := first; k < first+n; k++ {
		if (k-first)%each == 0 {
			x.At(fmt.Sprintf("\x00\x00\x00\x07%012d", k), 1<<32, row.Txn{ID: fmt.Sprint("0-1-", k), Time: 1_795_000_000_123_456 + int64(k)})
		}
		x.Row(t, row.Insert)
		x.Int(int64(k / 4))
		x.Int(r.Int64N(200_000))
		x.Int(r.Int64N(10_000))
		x.Int(int64(k%7 + 1))
		x.String(fmt.Sprintf("%d.00", r.IntN(50)+1))
		x.String(fmt.Sprintf("%d.%02d", r.IntN(100_000), r.IntN(100)))
		x.String(fmt.Sprintf("0.%02d", r.IntN(11)))
		x.String(fmt.Sprintf("0.%02d", r.IntN(9)))
		x.String([]string{"N", "R", "A"}[r.IntN(3)])
		x.String([]string{"O", "F"}[r.IntN(2)])
		for range 3 {
			x.Word(row.PackDate(1992+r.IntN(7), 1+r.IntN(12), 1+r.IntN(28)))
		}
		x.String(how[r.IntN(4)])
		x.String(modes[r.IntN(7)])
		at := r.IntN(60)
		x.String(words[at : at+10+r.IntN(34)])
	}
	return x.Finish(position.Position{}, 0)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// cpu returns the processor seconds this process took: on a busy machine the
// clock says little.
func cpu() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkLineitem says how many rows a second of one processor writes, how large
// they become, and what the encoder held at most.
func BenchmarkLineitem(b *testing.B) {
	t := lineitem()
	var batches []*row.Batch
	for k := range 64 {
		batches = append(batches, lineitems(t, 4096*k, 4096, 1000))
	}
	for _, c := range []struct {
		name string
		meta bool
		set  map[string]any
	}{
		{"changelog", true, nil},
		{"plain", false, nil},
		{"plain-snappy", false, map[string]any{"compression": "snappy"}},
		{"plain-none", false, map[string]any{"compression": "none"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := must(Format.New(option.Of(Format.Options, c.set)))
			e := must(f.NewEncoder(io.Discard, codec.Shape{Table: t, Meta: c.meta}))
			b.ReportAllocs()
			start, most, k := cpu(), 0, 0
			for b.Loop() {
				batch := batches[k%len(batches)]
				k++
				if err := e.Encode(batch, &batch.Sections()[0]); err != nil {
					b.Fatal(err)
				}
				most = max(most, e.Memory())
			}
			took, rows := cpu()-start, float64(b.N)*4096
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(rows/took/1e6, "Mrows/cpu-s")
			b.ReportMetric(float64(e.Written())/rows, "B/row")
			b.ReportMetric(float64(most)/(1<<20), "MiB")
		})
	}
}
