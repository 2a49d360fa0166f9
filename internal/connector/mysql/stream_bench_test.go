package mysql

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"godwit/internal/connector"
	"godwit/internal/limit"
	"godwit/internal/row"
)

// recorded returns the events of a log file that a server wrote for n
// transactions of four row events each, without the annotations that are not
// asked for on a connection, and the table they change. GODWIT_BINLOG names such
// a file, for longer measurements; its table is sb.sbtest1.
func recorded(b *testing.B, n int) ([]byte, []*row.Table) {
	b.Helper()
	var tables []*row.Table
	file := os.Getenv("GODWIT_BINLOG")
	if file == "" {
		srv := server(b)
		srv.Exec(b, benchTable)
		s := sourceOf(b, srv, nil)
		tables = discover(b, s, "sb.sbtest1")
		srv.Exec(b, "FLUSH BINARY LOGS")
		name := srv.Query(b, "SHOW MASTER STATUS")[0][0]
		srv.Exec(b, "CALL sb.w("+itoa(n)+"); FLUSH BINARY LOGS")
		file = filepath.Join(srv.Binlog(), name)
	} else {
		tables = []*row.Table{benchShape(b)}
	}
	all, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	for at := 4; at+headerBytes <= len(all); {
		size := int(binary.LittleEndian.Uint32(all[at+9:]))
		if all[at+4] == evFormat {
			all[at+17] &^= 1 // "in use": set after the checksum was taken
		}
		if all[at+4] != evAnnotate {
			out = append(out, all[at:at+size]...)
		}
		at += size
	}
	return out, tables
}

func itoa(n int) string { return string(appendInt(nil, n)) }

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, '0'+byte(n%10))
}

const benchTable = `CREATE OR REPLACE DATABASE sb CHARACTER SET utf8mb4; USE sb;
CREATE TABLE sbtest1 (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, k int NOT NULL DEFAULT 0, c char(120) NOT NULL DEFAULT '', pad char(60) NOT NULL DEFAULT '', KEY k_1(k));
INSERT INTO sbtest1 (k,c,pad) SELECT floor(rand()*100000), concat(sha1(seq),'-',sha1(seq+1),'-',md5(seq)), sha1(seq) FROM seq_1_to_20000;
DELIMITER //
CREATE PROCEDURE w(n int) BEGIN
 DECLARE i int DEFAULT 0; DECLARE r int;
 WHILE i<n DO
  SET r=1+floor(rand()*20000);
  START TRANSACTION;
  UPDATE sbtest1 SET k=k+1 WHERE id=r;
  UPDATE sbtest1 SET c=concat(sha1(i),'-',sha1(i+1),'-',md5(i)) WHERE id=1+(i*7919)%20000;
  SET r=1+floor(rand()*20000);
  DELETE FROM sbtest1 WHERE id=r;
  REPLACE INTO sbtest1 (id,k,c,pad) VALUES (r,i,concat(sha1(i),'-',sha1(i+1),'-',md5(i)),sha1(i));
  COMMIT;
  SET i=i+1;
 END WHILE; END//
DELIMITER ;`

func benchShape(b *testing.B) *row.Table {
	t := &row.Table{Name: row.Name{Space: "sb", Table: "sbtest1"}, Number: 1, Key: []int{0}}
	for _, c := range [][2]string{{"id", "int(11)"}, {"k", "int(11)"}, {"c", "char(120)"}, {"pad", "char(60)"}} {
		typ, err := parseType(c[1], "utf8mb4", "utf8mb4_general_ci")
		if err != nil {
			b.Fatal(err)
		}
		t.Columns = append(t.Columns, row.Column{Name: c[0], Type: typ})
	}
	return t
}

// BenchmarkStream_decode measures the whole way from events to batches, without
// the network.
func BenchmarkStream_decode(b *testing.B) {
	log, tables := recorded(b, 5000)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		rows := decodeAll(b, log, tables)
		b.ReportMetric(float64(rows), "rows/op")
	}
}

// BenchmarkStream_from_server reads what a real server sends and reports the CPU
// seconds of this process for 500,000 rows.
func BenchmarkStream_from_server(b *testing.B) {
	const transactions = 25_000
	srv := server(b)
	srv.Exec(b, benchTable)
	s := sourceOf(b, srv, nil)
	tables := discover(b, s, "sb.sbtest1")
	from := head(b, s)
	srv.Exec(b, "CALL sb.w("+itoa(transactions)+")")
	split := connector.Split{ID: connector.StreamSplit, Tables: tables, Until: connector.Until{Place: head(b, s)}}
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	for b.Loop() {
		began, rows, batches := used(), 0, 0
		err := s.Read(b.Context(), split, from, func(x *row.Batch) error {
			rows += x.Rows()
			batches++
			x.Release()
			return nil
		})
		if err != nil || rows != 4*transactions {
			b.Fatal(err, rows)
		}
		b.ReportMetric((used()-began)*5, "cpu-s/500k-rows")
		b.ReportMetric(float64(batches), "batches/op")
	}
}

func decodeAll(b *testing.B, log []byte, tables []*row.Table) int {
	env := connector.Env{Budget: limit.NewBudget(64 << 20)}
	s := &source{env: env}
	s.pool.Freed = func(n int) { env.Budget.Give(int64(n)) }
	split := connector.Split{Tables: tables}
	r := &streamer{s: s, split: split, shapes: newShapes(s, split), maps: map[uint64]*mapped{}, place: place{"mariadb:1", "bin", 1, 4}}
	r.cur = cursor{at: r.place, anchored: true}
	r.pipe = newPipe(context.Background(), env, &s.pool)
	r.ctx = r.pipe.ctx
	r.pipe.group.Go(func() {
		var err error
		for at := 0; at < len(log) && err == nil; {
			size := int(binary.LittleEndian.Uint32(log[at+9:]))
			err = r.event(log[at : at+size])
			at += size
		}
		if err == nil {
			err = r.finish()
		}
		u, _ := r.pipe.get()
		u.err = err
		_ = r.pipe.put(u)
	})
	rows := 0
	err := r.pipe.run(func(x *row.Batch) error {
		rows += x.Rows()
		x.Release()
		return nil
	})
	r.pipe.stop()
	if err != errDone {
		b.Fatal(err)
	}
	if n := env.Budget.Taken(); n != 0 {
		b.Fatalf("%d bytes were not given back", n)
	}
	return rows
}

// BenchmarkStream_library measures go-mysql's parser alone on the same events.
func BenchmarkStream_library(b *testing.B) {
	log, _ := recorded(b, 5000)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		p := replication.NewBinlogParser()
		p.SetVerifyChecksum(true)
		rows := 0
		for at := 0; at < len(log); {
			size := int(binary.LittleEndian.Uint32(log[at+9:]))
			e, err := p.Parse(log[at : at+size])
			if err != nil {
				b.Fatal(err)
			}
			if x, ok := e.Event.(*replication.RowsEvent); ok {
				rows += len(x.Rows)
			}
			at += size
		}
		b.ReportMetric(float64(rows), "rows/op")
	}
}
