package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"godwit/internal/limit"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// xaSQL prepares an XA transaction of one statement and leaves it open.
func xaSQL(name, statement string) string {
	return fmt.Sprintf("XA START %s; %s; XA END %[1]s; XA PREPARE %[1]s", name, statement)
}

func TestStream_when_XA_transactions_are_open(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) { openTransactions(t, mariadb.Start(t)) })
	t.Run("MySQL", func(t *testing.T) { openTransactions(t, mysql.Start(t, "--innodb-lock-wait-timeout=3")) })
	t.Run("MySQL without GTIDs", func(t *testing.T) { openTransactions(t, mysql.Start(t, mysql.NoGTID...)) })
	t.Run("MySQL compressed", func(t *testing.T) { openTransactions(t, mysql.Start(t, "--binlog-transaction-compression=ON")) })
}

func openTransactions(t *testing.T, srv *sqlserver.Server) {
	srv.Exec(t, "CREATE DATABASE d; USE d; CREATE TABLE a (id INT PRIMARY KEY, v INT); CREATE TABLE b (id INT PRIMARY KEY, v VARCHAR(200)); CREATE TABLE other (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.a", "d.b")
	from := head(t, s)
	const many = "INSERT INTO b SELECT ROW_NUMBER() OVER (), REPEAT('x', 200) FROM information_schema.COLUMNS x, information_schema.CHARACTER_SETS y LIMIT 3000"
	for _, sql := range []string{
		xaSQL("'one',X'6200',7", "INSERT INTO a VALUES (1,1); INSERT INTO other VALUES (1); UPDATE a SET v = 2 WHERE id = 1; DELETE FROM other WHERE id = 1; INSERT INTO a VALUES (2,2)"),
		xaSQL("'gone'", "INSERT INTO a VALUES (3,3)"),
		xaSQL("'many'", many),
		"INSERT INTO a VALUES (4,4); FLUSH BINARY LOGS; INSERT INTO a VALUES (5,5)",
		"XA COMMIT 'one',X'6200',7",
		xaSQL("'stays'", "INSERT INTO a VALUES (6,6)"),
		"INSERT INTO a VALUES (7,7); XA ROLLBACK 'gone'; INSERT INTO a VALUES (3,33)",
		xaSQL("'gone'", "DELETE FROM a WHERE id = 3"), // the name again
		"FLUSH BINARY LOGS; XA COMMIT 'many'",
		"XA START 'p'; INSERT INTO a VALUES (8,8); XA END 'p'; XA COMMIT 'p' ONE PHASE; XA START 'e'; XA END 'e'; XA PREPARE 'e'; XA COMMIT 'e'",
		"XA COMMIT 'gone'",
	} {
		srv.Exec(t, "USE d; "+sql)
	}
	to := head(t, s)
	all := readEvents(t, s, from, to, tables)
	srv.Exec(t, "XA ROLLBACK 'stays'")
	var lines []string
	for _, e := range all {
		if !strings.HasPrefix(e.line, "insert b") {
			lines = append(lines, e.line)
		}
	}
	same(t, lines, `insert a 4 4`, `insert a 5 5`, `insert a 1 1`, `update a 1 2`, `insert a 2 2`, `insert a 7 7`, `insert a 3 33`, `insert a 8 8`, `delete a 3 33`)
	if len(all) != len(lines)+3000 {
		t.Fatalf("%d rows", len(all))
	}
	var orders []string
	for _, e := range all {
		orders = append(orders, e.order)
	}
	rising(t, orders)
	readAgainFromEach(t, s, all, to)
}

func TestStream_when_an_XA_transaction_was_prepared_in_a_log_that_is_gone(t *testing.T) {
	srv := mariadb.Start(t)
	srv.Exec(t, "CREATE DATABASE d; USE d; CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY);"+xaSQL("'old'", "INSERT INTO a VALUES (1)"))
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	srv.Exec(t, "FLUSH BINARY LOGS; FLUSH BINARY LOGS")
	purge(t, srv)
	from := head(t, s)
	srv.Exec(t, "USE d; INSERT INTO b VALUES (1); XA COMMIT 'old'; INSERT INTO b VALUES (2)")
	same(t, follow(t, s, tables, from, head(t, s)), `insert b 1`, `stop a`, `stop b`)
}

// TestStream_when_connections_break_while_XA_transactions_are_open breaks them before,
// between and after the halves of transactions that are kept and of such that are read
// again.
func TestStream_when_connections_break_while_XA_transactions_are_open(t *testing.T) {
	srv := mariadb.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY, v TEXT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	ctx, cancel := context.WithCancel(within(t))
	x := startTail(t, ctx, s, everything(tables), head(t, s))
	srv.Exec(t, "USE d; "+xaSQL("'large'", "INSERT INTO a SELECT seq, REPEAT('x', 500) FROM seq_10_to_40009"))
	srv.Exec(t, "USE d; INSERT INTO a VALUES (1,'a'); "+xaSQL("'small'", "INSERT INTO a VALUES (2,'b')"))
	x.rows(t, 1)
	killDumps(t, srv)
	srv.Exec(t, "USE d; INSERT INTO a VALUES (3,'c'); XA COMMIT 'small'")
	x.rows(t, 3)
	srv.Kill(t)
	srv.Restart(t)
	srv.Exec(t, "INSERT INTO d.a VALUES (5,'e')")
	x.rows(t, 4)
	x.mu.Lock()
	x.hold = make(chan struct{})
	x.mu.Unlock()
	srv.Exec(t, "XA COMMIT 'large'")
	srv.Exec(t, "INSERT INTO d.a VALUES (4,'d')")
	killDumps(t, srv)
	x.mu.Lock()
	close(x.hold)
	x.hold = nil
	x.mu.Unlock()
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
	same(t, append(got[:4:4], got[40004:]...), `insert a 1 "a"`, `insert a 3 "c"`, `insert a 2 "b"`, `insert a 5 "e"`, `insert a 4 "d"`)
	rising(t, x.orders)
}

func TestStream_when_XA_transactions_are_larger_than_the_memory(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(40))")
	s := sourceOf(t, srv, nil)
	s.env.Budget = limit.NewBudget(4 << 20)
	s.pool.Freed = func(n int) { s.env.Budget.Give(int64(n)) }
	tables := discover(t, s, db+".*")
	from := head(t, s)
	var commit strings.Builder
	const n, rows = 8, 10_000
	for i := range n {
		insert := fmt.Sprintf("INSERT INTO a SELECT seq + %d, 'some text that takes room' FROM mysql.seq_1_to_%d", i*rows, rows)
		srv.Exec(t, "USE "+db+"; "+xaSQL(fmt.Sprintf("'x%d'", i), insert))
		fmt.Fprintf(&commit, "XA COMMIT 'x%d';", n-1-i)
	}
	srv.Exec(t, commit.String())
	split := everything(tables)
	split.Until.Place = head(t, s)
	got, most := 0, int64(0)
	err := s.Read(within(t), split, from, func(b *row.Batch) error {
		got += b.Rows()
		most = max(most, s.env.Budget.Taken())
		b.Release()
		return nil
	})
	if err != nil || got != n*rows {
		t.Fatal(err, got)
	}
	if left := s.env.Budget.Taken(); left != 0 || most > 8<<20 {
		t.Errorf("%d bytes were not given back, %d taken at most", left, most)
	}
}

// TestRead_chunk_under_XA_writers says that a view and its mark agree while XA
// transactions are committed all the time.
func TestRead_chunk_under_XA_writers(t *testing.T) {
	srv := mariadb.Start(t, "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0")
	srv.Exec(t, "CREATE DATABASE m; CREATE TABLE m.t (id int auto_increment primary key, a int)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "m.t")
	from := head(t, s)
	srv.Exec(t, "USE m; "+xaSQL("'idle'", "INSERT INTO t VALUES (1000000, 1)"))
	var writers sync.WaitGroup
	var enough atomic.Bool
	defer writers.Wait()
	defer enough.Store(true)
	for w := range 4 {
		writers.Go(func() {
			for i := 0; !enough.Load(); i++ {
				var sql strings.Builder
				for k := range 200 {
					fmt.Fprintf(&sql, "XA START 'w%d-%d-%d'; INSERT INTO t (a) VALUES (1); XA END 'w%[1]d-%[2]d-%[3]d'; XA PREPARE 'w%[1]d-%[2]d-%[3]d'; XA COMMIT 'w%[1]d-%[2]d-%[3]d';", w, i, k)
				}
				if err := srv.Run("USE m; " + sql.String()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	type reading struct {
		mark position.Position
		ids  []string
	}
	var readings []reading
	for len(readings) < 10 && !t.Failed() {
		if snap := s.snapshots.take(tables[0].Name, 0); snap != nil {
			snap.close() // a new mark for every reading
		}
		var r reading
		err := s.Read(within(t), wholeOf(t, s, tables[0]), position0, func(b *row.Batch) error {
			defer b.Release()
			if b.Rows() == 0 {
				r.mark = b.End
			}
			for k := range b.Sections() {
				sec := &b.Sections()[k]
				for i := sec.Row; i < sec.Row+sec.Rows; i++ {
					w, _ := b.Cells(sec, i)
					r.ids = append(r.ids, fmt.Sprint(w[0]))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		readings = append(readings, r)
	}
	enough.Store(true)
	writers.Wait()
	all := readEvents(t, s, from, head(t, s), tables)
	wrong := 0
	for i, r := range readings {
		var want []string
		for _, e := range all {
			if e.order < r.mark.Order() {
				want = append(want, strings.Fields(e.line)[2])
			}
		}
		slices.Sort(want)
		slices.Sort(r.ids)
		if !slices.Equal(want, r.ids) {
			wrong++
			t.Errorf("reading %d: %d rows, the log has %d before the mark", i, len(r.ids), len(want))
		}
	}
	t.Logf("%d transactions, %d of %d readings wrong", len(all), wrong, len(readings))
}
