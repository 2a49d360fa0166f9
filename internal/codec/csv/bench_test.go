package csv

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

// lineitems returns n rows in transactions of each rows.
func lineitems(n, each int) *row.Batch {
	t, r := lineitem(), rand.New(rand.NewPCG(1, 2))
	x := row.NewBuilder(&row.Pool{})
	words := "carefully final deposits detect slyly after the quickly regular pinto beans across furiously even instructions"
	for k := range n {
		if k%each == 0 {
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
		x.String("N")
		x.String("O")
		for range 3 {
			x.Word(row.PackDate(1992+r.IntN(7), 1+r.IntN(12), 1+r.IntN(28)))
		}
		x.String("DELIVER IN PERSON")
		x.String("TRUCK")
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

// BenchmarkLineitem says how many rows a second of one processor writes.
func BenchmarkLineitem(b *testing.B) {
	for _, c := range []struct {
		name string
		meta bool
		each int
		set  map[string]any
	}{
		{"changelog", true, 1000, nil},
		{"changelog-one-row-transactions", true, 1, nil},
		{"plain", false, 1000, nil},
		{"changelog-zstd", true, 1000, map[string]any{"compression": "zstd"}},
		{"changelog-gzip", true, 1000, map[string]any{"compression": "gzip"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			batch := lineitems(4096, c.each)
			f := must(Format.New(option.Of(Format.Options, c.set)))
			e := must(f.NewEncoder(io.Discard, codec.Shape{Table: batch.Sections()[0].Table, Meta: c.meta}))
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				for i := range batch.Sections() {
					if err := e.Encode(batch, &batch.Sections()[i]); err != nil {
						b.Fatal(err)
					}
				}
			}
			rows := float64(b.N) * 4096
			b.SetBytes(e.Written() / int64(b.N))
			b.ReportMetric(rows/(cpu()-start)/1e6, "Mrows/cpu-s")
		})
	}
}
