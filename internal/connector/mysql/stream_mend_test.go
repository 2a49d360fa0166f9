package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/mariadb"
)

// tail follows a stream in the background.
type tail struct {
	mu     sync.Mutex
	lines  []string
	orders []string
	ends   []position.Position
	marks  int
	more   *sync.Cond
	hold   chan struct{} // not nil: emit waits for it
	done   chan error
}

func startTail(t testing.TB, ctx context.Context, s *source, split connector.Split, from position.Position) *tail {
	x := &tail{done: make(chan error, 1)}
	x.more = sync.NewCond(&x.mu)
	go func() {
		x.done <- s.Read(ctx, split, from, func(b *row.Batch) error {
			x.mu.Lock()
			hold := x.hold
			x.mu.Unlock()
			if hold != nil {
				select {
				case <-hold:
				case <-ctx.Done():
				}
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.lines = append(x.lines, batchText(t, b)...)
			for i := range b.Rows() {
				x.orders = append(x.orders, b.Order(i))
			}
			if !b.End.IsZero() {
				x.ends = append(x.ends, b.End)
			}
			if b.Rows() == 0 && b.Change == nil {
				x.marks++
			}
			b.Release()
			x.more.Broadcast()
			return nil
		})
	}()
	return x
}

// until waits until cond holds.
func (x *tail) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	late := time.AfterFunc(40*time.Second, func() { x.more.Broadcast() })
	defer late.Stop()
	deadline := time.Now().Add(40 * time.Second)
	x.mu.Lock()
	defer x.mu.Unlock()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s; %d lines", what, len(x.lines))
		}
		x.more.Wait()
	}
}

func (x *tail) rows(t testing.TB, n int) []string {
	t.Helper()
	x.until(t, fmt.Sprint(n, " rows"), func() bool { return len(x.lines) >= n })
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.lines)
}

func everything(tables []*row.Table) connector.Split {
	return connector.Split{ID: connector.StreamSplit, Tables: tables, Selector: connector.Selector{Patterns: []string{"*.*"}}}
}

func rising(t testing.TB, orders []string) {
	t.Helper()
	for i := 1; i < len(orders); i++ {
		if orders[i] <= orders[i-1] {
			t.Fatalf("order %d does not rise: %x after %x", i, orders[i], orders[i-1])
		}
	}
}

func TestStream_when_the_server_restarts_and_connections_break(t *testing.T) {
	srv := mariadb.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY, v TEXT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	from := head(t, s)
	ctx, cancel := context.WithCancel(within(t))
	x := startTail(t, ctx, s, everything(tables), from)
	srv.Exec(t, "INSERT INTO d.a VALUES (1,'a')")
	x.rows(t, 1)
	srv.Restart(t)
	srv.Exec(t, "INSERT INTO d.a VALUES (2,'b'); FLUSH BINARY LOGS; INSERT INTO d.a VALUES (3,'c')")
	x.rows(t, 3)
	srv.Kill(t)
	srv.Restart(t)
	srv.Exec(t, "INSERT INTO d.a VALUES (4,'d'); FLUSH BINARY LOGS; FLUSH BINARY LOGS")
	x.rows(t, 4)
	// A transaction that is handed over in part, and the connection breaks there.
	x.mu.Lock()
	x.hold = make(chan struct{})
	x.mu.Unlock()
	srv.Exec(t, "USE d; INSERT INTO a SELECT seq, repeat('x', 500) FROM seq_10_to_40009")
	killDumps(t, srv)
	x.mu.Lock()
	close(x.hold)
	x.hold = nil
	x.mu.Unlock()
	x.rows(t, 40004)
	srv.Exec(t, "INSERT INTO d.a VALUES (5,'e')")
	got := x.rows(t, 40005)
	cancel()
	if err := <-x.done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for i, line := range got[4:40004] {
		if !strings.HasPrefix(line, fmt.Sprintf("insert a %d ", 10+i)) {
			t.Fatalf("row %d is %.80s", i, line)
		}
	}
	same(t, append(got[:4:4], got[40004:]...), `insert a 1 "a"`, `insert a 2 "b"`, `insert a 3 "c"`, `insert a 4 "d"`, `insert a 5 "e"`)
	rising(t, x.orders)
}

// killDumps ends the connections that read the log.
func killDumps(t testing.TB, srv *mariadb.Server) {
	t.Helper()
	rows := srv.Query(t, "SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")
	for _, r := range rows {
		srv.Exec(t, "KILL "+r[0])
	}
	if len(rows) == 0 {
		t.Fatal("nobody reads the log")
	}
}

// event is a row or a change with its place, and the shapes after it.
type event struct {
	line, order string
	end         position.Position
	tables      []*row.Table
}

// readEvents reads from one place to another.
func readEvents(t testing.TB, s *source, from, to position.Position, tables []*row.Table) []event {
	t.Helper()
	return readChosen(t, s, from, to, tables, "*.*")
}

// readChosen reads the tables that a pattern chooses.
func readChosen(t testing.TB, s *source, from, to position.Position, tables []*row.Table, pattern string) (out []event) {
	t.Helper()
	now := slices.Clone(tables)
	split := everything(tables)
	split.Selector.Patterns = []string{pattern}
	split.Until.Place = to
	err := s.Read(within(t), split, from, func(b *row.Batch) error {
		defer b.Release()
		lines := batchText(t, b)
		var orders []string
		for i := range b.Rows() {
			orders = append(orders, b.Order(i))
		}
		if c := b.Change; c != nil {
			orders = append(orders, b.At)
			if c.After != nil && c.After.Number == 0 {
				c.After.Number = 100
			}
			now = slices.DeleteFunc(slices.Clone(now), func(x *row.Table) bool { return c.Before != nil && x.Name == c.Before.Name })
			if c.After != nil {
				now = append(now, c.After)
			}
		}
		for i := range lines {
			e := event{line: lines[i], order: orders[i]}
			if i == len(lines)-1 {
				e.end, e.tables = b.End, now
			}
			out = append(out, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStream_when_read_again_from_every_end(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, v INT); CREATE TABLE b (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (10), PARTITION q VALUES LESS THAN MAXVALUE)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; INSERT INTO a VALUES (1,1); BEGIN; INSERT INTO a VALUES (2,2); INSERT INTO b VALUES (3); COMMIT;
		ALTER TABLE a ADD COLUMN w INT; INSERT INTO a VALUES (4,4,4); RENAME TABLE a TO t, b TO a, t TO b; INSERT INTO b VALUES (5,5,5);
		CREATE TABLE c (PRIMARY KEY (k)) AS SELECT 7 k; SET binlog_format=STATEMENT; UPDATE c SET k = 8; SET binlog_format=ROW;
		BEGIN; INSERT INTO b VALUES (9,9,9); INSERT INTO c VALUES (99); COMMIT; FLUSH BINARY LOGS;
		ALTER TABLE a DROP PARTITION p; INSERT INTO a VALUES (12); INSERT INTO b VALUES (11,11,11); DROP TABLE a, c; INSERT INTO b VALUES (13,13,13); DROP DATABASE `+db)
	to := head(t, s)
	all := readEvents(t, s, from, to, tables)
	var lines []string
	for _, e := range all {
		lines = append(lines, e.line)
	}
	same(t, lines, `insert a 1 1`, `insert a 2 2`, `insert b 3`,
		`alter a id:int(11) v:int(11) w:int(11) key:id`, `insert a 4 4 4`,
		`alter t id:int(11) v:int(11) w:int(11) key:id`, `alter a id:int(11) key:id`, `alter b id:int(11) v:int(11) w:int(11) key:id`,
		`insert b 5 5 5`, `create c k:int(1) key:k`, `insert c 7`, `stop c`, `insert b 9 9 9`,
		`stop a`, `insert b 11 11 11`, `drop a`, `drop c`, `insert b 13 13 13`, `drop b`)
	readAgainFromEach(t, s, all, to)
}

// readAgainFromEach reads again from every place that was told.
func readAgainFromEach(t *testing.T, s *source, all []event, to position.Position) {
	t.Helper()
	readChosenAgain(t, s, all, to, "*.*")
}

func readChosenAgain(t *testing.T, s *source, all []event, to position.Position, pattern string) {
	t.Helper()
	for i, e := range all {
		if e.end.IsZero() {
			continue
		}
		var again []event
		for _, f := range readChosen(t, s, e.end, to, e.tables, pattern) {
			if f.order > e.end.Order() { // what a sink cuts
				again = append(again, f)
			}
		}
		if len(again) != len(all)-i-1 {
			t.Fatalf("from the end of %q (%s): %d events, want %d", e.line, e.end.Token(), len(again), len(all)-i-1)
		}
		for k, f := range again {
			if w := all[i+1+k]; f.line != w.line || f.order != w.order {
				t.Fatalf("from the end of %q: %q at %x, want %q at %x", e.line, f.line, f.order, w.line, w.order)
			}
		}
	}
}

func TestStream_when_the_log_does_not_carry_a_change(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+`; CREATE TABLE p (id INT PRIMARY KEY, u INT); CREATE TABLE k (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE);
		CREATE TABLE o (id INT PRIMARY KEY); CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM; INSERT INTO p VALUES (1,1),(2,2); INSERT INTO k VALUES (1,1)`)
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`;
		UPDATE p SET u = 5 WHERE id = 2; INSERT INTO k VALUES (3,2); DELETE FROM p WHERE id = 1; INSERT INTO k VALUES (2,2);
		XA START 'r'; INSERT INTO o VALUES (7); XA END 'r'; XA COMMIT 'r' ONE PHASE; INSERT INTO m VALUES (1);
		SET binlog_format=STATEMENT; INSERT INTO o VALUES (1); SET binlog_format=ROW; INSERT INTO o VALUES (2); INSERT INTO p VALUES (9,9)`)
	split := everything(tables)
	split.Until.Place = head(t, s)
	var lines, reasons []string
	err := s.Read(within(t), split, from, func(b *row.Batch) error {
		defer b.Release()
		lines = append(lines, batchText(t, b)...)
		if b.Change != nil {
			reasons = append(reasons, b.Change.After.Stopped)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, lines, `update p 2 5`, `insert k 3 2`, `delete p 1 1`, `stop k`, `insert o 7`, `insert m 1`, `stop o`, `insert p 9 9`)
	for i, want := range []string{"foreign key on " + db + ".p", "INSERT INTO o VALUES (1)"} {
		if !strings.Contains(reasons[i], want) || !strings.Contains(reasons[i], "resync needed") || !strings.Contains(reasons[i], ".00") {
			t.Errorf("reason %d: %s", i, reasons[i])
		}
	}
}

func TestStream_when_row_images_are_partial(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, v INT DEFAULT 3, b TEXT, w INT); CREATE TABLE n (x INT, y INT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; SET binlog_row_image=MINIMAL; INSERT INTO a (id, b) VALUES (1,'t'); UPDATE a SET v=NULL; UPDATE a SET id=2; DELETE FROM a;
		INSERT INTO n VALUES (1,2); UPDATE n SET y=3; DELETE FROM n;
		SET binlog_row_image=NOBLOB; INSERT INTO a VALUES (5,6,'blob',7); UPDATE a SET v=8; UPDATE a SET b='c'; DELETE FROM a`)
	same(t, follow(t, s, tables, from, head(t, s)),
		`insert a 1 - "t" -`, `update a 1 NULL - -`, `before a 1 - - -`, `update a 2 - - -`, `delete a 2 - - -`,
		`insert n 1 2`, `before n 1 2`, `update n 1 3`, `delete n 1 3`,
		`insert a 5 6 "blob" 7`, `update a 5 8 - 7`, `update a 5 8 "c" 7`, `delete a 5 8 - 7`)
}

func TestStream_when_rows_are_inserted_without_values(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (v TINYINT DEFAULT 3)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; INSERT INTO a VALUES (1); SET binlog_row_image=MINIMAL; INSERT INTO a VALUES (2); INSERT INTO a VALUES (); INSERT INTO a VALUES (4)")
	same(t, follow(t, s, tables, from, head(t, s)), `insert a 1`, `insert a 2`, `insert a 3`, `insert a 4`)
}

func TestStream_when_a_transaction_is_larger_than_the_memory(t *testing.T) {
	rows := 400_000
	if os.Getenv("GODWIT_SOAK") == "1" {
		rows = 10_000_000
	}
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(40))")
	s := sourceOf(t, srv, nil)
	s.env.Budget = limit.NewBudget(8 << 20)
	s.pool.Freed = func(n int) { s.env.Budget.Give(int64(n)) }
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, fmt.Sprintf("USE %s; INSERT INTO a SELECT seq, 'some text that takes room' FROM seq_1_to_%d; DROP DATABASE %s", db, rows, db))
	split := everything(tables)
	split.Until.Place = head(t, s)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	got, inside, most := 0, 0, int64(0)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	err := s.Read(ctx, split, from, func(b *row.Batch) error {
		got += b.Rows()
		if b.Rows() > 0 && b.End.IsZero() {
			inside++
		}
		most = max(most, s.env.Budget.Taken())
		if got%10 == 0 {
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > before.HeapAlloc+96<<20 {
				t.Fatalf("%d MiB of heap after %d rows", after.HeapAlloc>>20, got)
			}
		}
		b.Release()
		return nil
	})
	if err != nil || got != rows || inside < rows/100_000 {
		t.Fatal(err, got, inside)
	}
	if n := s.env.Budget.Taken(); n != 0 || most > 12<<20 {
		t.Errorf("%d bytes were not given back, %d taken at most", n, most)
	}
	t.Logf("%d batches inside the transaction, at most %d KiB taken", inside, most>>10)
}

func TestStream_when_it_is_idle_and_cancelled(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE other (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".a")
	from := head(t, s)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(within(t))
	split := everything(tables)
	split.Selector.Patterns = []string{db + ".a"}
	x := startTail(t, ctx, s, split, from)
	srv.Exec(t, "INSERT INTO "+db+".other VALUES (1)")
	to := head(t, s)
	x.until(t, "the place after a foreign transaction", func() bool {
		return len(x.ends) > 0 && x.ends[len(x.ends)-1].Order() >= to.Order()
	})
	n := x.marks
	x.until(t, "two heartbeats", func() bool { return x.marks >= n+2 })
	began := time.Now()
	cancel()
	if err := <-x.done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %v to end", d)
	}
	if len(x.lines) != 0 {
		t.Error(x.lines)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestStream_when_it_ends_at_a_time(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".a")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; SET timestamp=1000000000; INSERT INTO a VALUES (1); SET timestamp=1000000005; INSERT INTO a VALUES (2); SET timestamp=1000000006; INSERT INTO a VALUES (3)")
	read := func(at time.Time) (lines []string) {
		split := everything(tables)
		split.Until.Time = at
		err := s.Read(within(t), split, from, func(b *row.Batch) error {
			lines = append(lines, batchText(t, b)...)
			b.Release()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	same(t, read(time.Unix(1000000005, 0)), `insert a 1`, `insert a 2`)
	same(t, read(time.Now().Add(time.Second)), `insert a 1`, `insert a 2`, `insert a 3`)
}

// lastEnd reads to the head and returns the last place, which knows its last
// transaction.
func lastEnd(t testing.TB, s *source, tables []*row.Table, from position.Position) (end position.Position) {
	t.Helper()
	split := everything(tables)
	split.Until.Place = head(t, s)
	err := s.Read(within(t), split, from, func(b *row.Batch) error {
		if !b.End.IsZero() {
			end = b.End
		}
		b.Release()
		return nil
	})
	if at, e := parsePosition(end); err != nil || e != nil || at.last.isZero() {
		t.Fatal(end.Token(), err, e)
	}
	return end
}

func TestRebase_when_the_log_is_the_same_and_when_it_is_not(t *testing.T) {
	srv := mariadb.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY); INSERT INTO d.a VALUES (1)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	p0 := head(t, s)
	srv.Exec(t, "INSERT INTO d.a VALUES (2); INSERT INTO d.a VALUES (3)")
	p1 := lastEnd(t, s, tables, p0)
	unchanged := func(p ...position.Position) {
		t.Helper()
		got, err := s.Rebase(within(t), p)
		if err != nil || !slices.Equal(got, p) {
			t.Fatal(got, err)
		}
	}
	unchanged(p0, p1, position.Position{}, p0)
	srv.Restart(t)
	unchanged(p0, p1)
	described := strings.Fields(s.Describe(p1))
	for _, text := range []string{s.Describe(p1), described[0], strings.Trim(described[1], "()")} {
		if p, err := s.Locate(within(t), text, time.Time{}); err != nil || p.Order() < p1.Order() {
			t.Fatal(text, p, err)
		}
	}
	if p, err := s.Locate(within(t), strings.Replace(described[0], ":", ":1", 1), time.Time{}); err == nil {
		t.Error("a place that is none was found:", p)
	}
	srv.Exec(t, "FLUSH BINARY LOGS; INSERT INTO d.a VALUES (4)")
	purge(t, srv)
	want := func(code fault.Code, p position.Position) {
		t.Helper()
		if _, err := s.Rebase(within(t), []position.Position{p}); !fault.Has(err, code) {
			t.Errorf("Rebase: %v, want %s", err, code)
		}
		emitted := 0
		err := s.Read(within(t), everything(tables), p, func(b *row.Batch) error { emitted++; b.Release(); return nil })
		if !fault.Has(err, code) || emitted > 0 {
			t.Errorf("Read: %v after %d batches, want %s", err, emitted, code)
		}
	}
	want(fault.SourceLost, p0)
	want(fault.SourceLost, p1)
	srv.Exec(t, "RESET MASTER")
	for i := range 12 {
		srv.Exec(t, fmt.Sprintf("INSERT INTO d.a VALUES (%d)", 20+i))
	}
	want(fault.SourceDiverged, p0)
	want(fault.SourceDiverged, p1)
}

// purge drops all files of the log but the last.
func purge(t testing.TB, srv *mariadb.Server) {
	t.Helper()
	purgeTo(t, srv, srv.Query(t, "SHOW MASTER STATUS")[0][0])
}

// purgeTo drops all files of the log before one. A file that a reader had open
// stays until the server has noticed that the reader is gone.
func purgeTo(t testing.TB, srv *mariadb.Server, first string) {
	t.Helper()
	for tick, end := time.Tick(50*time.Millisecond), time.Now().Add(30*time.Second); ; <-tick {
		srv.Exec(t, "PURGE BINARY LOGS TO '"+first+"'")
		if srv.Query(t, "SHOW BINARY LOGS")[0][0] == first {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the log was not purged")
		}
	}
}

func TestRebase_when_a_replica_takes_over(t *testing.T) {
	a := mariadb.Start(t, "--server-id=11", "--gtid-strict-mode=ON")
	b := mariadb.Start(t, "--server-id=12", "--gtid-strict-mode=ON", "--log-slave-updates=ON", "--max-binlog-size=4096")
	a.Exec(t, "RESET MASTER; CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY); INSERT INTO d.a VALUES (1)")
	host, port, _ := strings.Cut(a.Addr(), ":")
	a.Exec(t, "CREATE USER r@'%' IDENTIFIED BY 'secret'; GRANT REPLICATION SLAVE ON *.* TO r@'%'")
	b.Exec(t, fmt.Sprintf("RESET MASTER; SET GLOBAL gtid_slave_pos=''; CHANGE MASTER TO master_host='%s', master_port=%s, master_user='r', master_password='secret', master_use_gtid=slave_pos; START SLAVE", host, port))
	sa, sb := sourceOf(t, a, nil), sourceOf(t, b, nil)
	tables := discover(t, sa, "d.*")
	p0 := head(t, sa)
	a.Exec(t, "INSERT INTO d.a VALUES (2); INSERT INTO d.a VALUES (3); INSERT INTO d.a VALUES (4)")
	p1 := lastEnd(t, sa, tables, p0)
	gtid := a.Query(t, "SELECT @@gtid_binlog_pos")[0][0]
	if r := b.Query(t, "SELECT MASTER_GTID_WAIT('"+gtid+"', 30)"); r[0][0] != "0" {
		t.Fatal(r, b.Query(t, "SHOW SLAVE STATUS"))
	}
	b.Exec(t, "STOP SLAVE; INSERT INTO d.a VALUES (5)")
	got, err := sb.Rebase(within(t), []position.Position{p0, p1})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Log() == p0.Log() {
		t.Fatal("the log has the same name")
	}
	same(t, follow(t, sb, tables, got[0], head(t, sb)), `insert a 2`, `insert a 3`, `insert a 4`, `insert a 5`)
	same(t, follow(t, sb, tables, got[1], head(t, sb)), `insert a 5`)
	if at, err := parsePosition(got[1]); err != nil || at.last.isZero() {
		t.Error("the place has no last transaction:", got[1].Token(), err)
	}
	// The old server went on alone: what it has more is nowhere else.
	a.Exec(t, "INSERT INTO d.a VALUES (6)")
	if _, err := sb.Rebase(within(t), []position.Position{head(t, sa)}); !fault.Has(err, fault.SourceDiverged) {
		t.Error(err)
	}
	b.Exec(t, "SET gtid_domain_id=7; INSERT INTO d.a VALUES (7)")
	if _, err := sa.Rebase(within(t), []position.Position{head(t, sb)}); !fault.Has(err, fault.SourceDiverged) && !fault.Has(err, fault.SourceLost) {
		t.Error(err)
	}
}
