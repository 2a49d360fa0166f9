package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// lineitem is the shape of the usual table of orders' lines.
func lineitem(t testing.TB) *row.Table {
	types := []string{
		"bigint(20)", "int(11)", "int(11)", "int(11)", "decimal(15,2)", "decimal(15,2)", "decimal(15,2)", "decimal(15,2)",
		"char(1)", "char(1)", "date", "date", "date", "char(25)", "char(10)", "varchar(44)",
	}
	out := &row.Table{Name: row.Name{Space: "bench", Table: "lineitem"}, Key: []int{0, 3}}
	for i, n := range types {
		typ, err := parseType(n, "utf8mb4", "utf8mb4_general_ci")
		if err != nil {
			t.Fatal(err)
		}
		out.Columns = append(out.Columns, row.Column{Name: fmt.Sprintf("c%d", i), Type: typ})
	}
	return out
}

// packets returns n rows as a server sends them.
func packets(n int) []byte {
	var out, msg []byte
	for i := range n {
		msg = msg[:0]
		for _, v := range []string{
			fmt.Sprint(i / 4), fmt.Sprint(i * 7919 % 200000), fmt.Sprint(i * 31 % 10000), fmt.Sprint(i % 4),
			fmt.Sprintf("%d.00", i%50+1), fmt.Sprintf("%d.37", i*7919%100000), fmt.Sprintf("0.%02d", i%11), fmt.Sprintf("0.%02d", i%9),
			"ANR"[i%3 : i%3+1], "FO"[i%2 : i%2+1], "1996-03-13", "1996-02-12", "1996-03-22", "DELIVER IN PERSON", "TRUCK",
			"furiously regular ideas nag quickly across the"[:20+i%24],
		} {
			msg = append(msg, byte(len(v)))
			msg = append(msg, v...)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(len(msg))|uint32(byte(i))<<24)
		out = append(out, msg...)
	}
	return out
}

// BenchmarkRows_from_packets measures what one CPU does to rows that have come in:
// cutting packets, reading values, building batches.
func BenchmarkRows_from_packets(b *testing.B) {
	const n = 100_000
	wire := packets(n)
	table := lineitem(b)
	s := &source{}
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	in := newPacketReader(nil)
	r := &chunkReader{s: s, in: in, parser: newRowParser(table), x: row.NewBuilder(&s.pool), last: 1 << 62}
	rows := 0
	for b.Loop() {
		in.in, in.seq = bytes.NewReader(wire), 0
		err := r.run(context.Background(), func(x *row.Batch) error {
			rows += x.Rows()
			x.Release()
			return nil
		})
		if err != io.ErrUnexpectedEOF && err != io.EOF {
			b.Fatal(err)
		}
		r.open = false
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// BenchmarkRead_chunks reads a whole table from a server.
func BenchmarkRead_chunks(b *testing.B) {
	srv := server(b)
	srv.Exec(b, "CREATE DATABASE IF NOT EXISTS bench; USE bench; CREATE OR REPLACE TABLE t (k bigint primary key, a int, b decimal(15,2), c date, d varchar(44), e char(10)); INSERT INTO t SELECT seq, seq, seq, '2020-01-01', 'furiously regular ideas', 'TRUCK' FROM seq_1_to_300000; ANALYZE TABLE t")
	s := sourceOf(b, srv, nil)
	table := discover(b, s, "bench.t")[0]
	for b.Loop() {
		splits, err := s.Splits(context.Background(), connector.Request{Table: table, ChunkBytes: 8 << 20})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, sp := range splits {
			err := s.Read(context.Background(), sp, position.Position{}, func(x *row.Batch) error {
				n += x.Rows()
				x.Release()
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		if n != 300000 {
			b.Fatal(n, "rows")
		}
	}
	b.ReportMetric(0.3*float64(b.N)/b.Elapsed().Seconds(), "Mrows/s")
}
