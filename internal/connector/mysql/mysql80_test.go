package mysql

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"godwit/internal/connector"
	"godwit/internal/connector/sourcetest"
	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/mysql"
)

func TestMySQL_when_the_kit_runs(t *testing.T) {
	for name, options := range map[string][]string{
		"GTID":       nil, // as the compressed ones
		"no GTID":    mysql.NoGTID,
		"compressed": {"--binlog-transaction-compression=ON"},
	} {
		if name == "GTID" && os.Getenv("GODWIT_SOAK") != "1" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Harness{
				Start: func(t testing.TB) sourcetest.Server { return kitServer{mysql.Start(t, options...)} },
				Open:  openForKit, Dialect: sourcetest.MySQL(),
			})
		})
	}
}

// hammered makes the tables of hammer, and returns h.t and the place from which the log
// has all its rows.
func hammered(t testing.TB, srv *mysql.Server, s *source) ([]*row.Table, position.Position) {
	t.Helper()
	srv.Exec(t, "CREATE DATABASE h; CREATE TABLE h.t (w INT, n INT, PRIMARY KEY (w, n)); CREATE TABLE h.other (w INT, n INT)")
	return discover(t, s, "h.t"), head(t, s)
}

// hammer writes rows (writer, number) into h.t, each a transaction of its own, from so
// many connections, until stopped.
func hammer(t testing.TB, srv *mysql.Server, writers int) (stop func()) {
	t.Helper()
	return busy(t, srv, writers, func(w, n int) []string {
		return []string{fmt.Sprintf("INSERT INTO t VALUES (%d, %d)", w, n), fmt.Sprintf("INSERT INTO other VALUES (%d, %d)", w, n)}
	})
}

// busy has so many connections execute statements in the database h, those of writer w in
// its round n, round after round, until stopped.
func busy(t testing.TB, srv *mysql.Server, writers int, round func(w, n int) []string) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var ended sync.WaitGroup
	for w := range writers {
		c, err := client.Connect(srv.Addr(), srv.User, srv.Password, "h")
		if err != nil {
			t.Fatal(err)
		}
		ended.Go(func() {
			defer c.Close()
			for n := 1; ; n++ {
				for _, sql := range round(w, n) {
					select {
					case <-done:
						return
					default:
					}
					if _, err := c.Execute(sql); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		ended.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// view is what a snapshot has of h.t: the greatest number of each writer.
func view(t testing.TB, snap *snapshot) map[int]int {
	t.Helper()
	rows, err := snap.c.query(within(t), "SELECT w, MAX(n) FROM h.t GROUP BY w")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]int{}
	for _, v := range rows {
		out[int(number(v[0]))] = int(number(v[1]))
	}
	return out
}

// written is a row of h.t in the log.
type written struct {
	order string
	w, n  int
}

// logOf returns the rows of h.t between two places.
func logOf(t testing.TB, s *source, tables []*row.Table, from, to position.Position) (out []written) {
	t.Helper()
	for _, e := range readEvents(t, s, from, to, tables) {
		var x written
		if n, _ := fmt.Sscanf(e.line, "insert t %d %d", &x.w, &x.n); n == 2 {
			x.order = e.order
			out = append(out, x)
		}
	}
	return out
}

// upTo is what a view of exactly what is before an order has.
func upTo(rows []written, order string) map[int]int {
	out := map[int]int{}
	for _, x := range rows {
		if x.order < order {
			out[x.w] = max(out[x.w], x.n)
		}
	}
	return out
}

func sameView(a, b map[int]int) bool {
	for w := range a {
		if a[w] != b[w] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestMySQL_snapshot_holds_exactly_what_its_mark_says_under_writers(t *testing.T) {
	for name, options := range map[string][]string{"GTID": nil, "no GTID": mysql.NoGTID, "synced": {"--sync-binlog=1"}} {
		t.Run(name, func(t *testing.T) {
			srv := mysql.Start(t, options...)
			s := sourceOf(t, srv, nil)
			tables, from := hammered(t, srv, s)
			stop := hammer(t, srv, 6)
			type seen struct {
				mark position.Position
				view map[int]int
			}
			var snaps []seen
			for range 25 {
				snap, err := s.openSnapshot(within(t), tables[0].Name)
				if err != nil {
					t.Fatal(err)
				}
				snaps = append(snaps, seen{snap.mark, view(t, snap)})
				snap.close()
			}
			stop()
			all := logOf(t, s, tables, from, head(t, s))
			marks := map[string]bool{}
			for _, x := range snaps {
				marks[x.mark.Order()] = true
				if want := upTo(all, x.mark.Order()); !sameView(x.view, want) {
					t.Errorf("at %s the snapshot has %v, the log before it %v", s.Describe(x.mark), x.view, want)
				}
			}
			if len(marks) < 10 {
				t.Errorf("%d marks: the writers did not write", len(marks))
			}
		})
	}
}

// A place that the end of the log names is ahead of what is committed: a snapshot
// opened then may lack what stands before it. The place that Discover gives is not, and
// its GTIDs are exactly what stands before it.
func TestMySQL_place_of_Discover_is_behind_no_snapshot(t *testing.T) {
	srv := mysql.Start(t, "--sync-binlog=1")
	s := sourceOf(t, srv, nil)
	tables, from := hammered(t, srv, s)
	stop := hammer(t, srv, 6)
	type seen struct {
		at   position.Position
		view map[int]int
	}
	var places []seen
	for range 15 {
		_, at, err := s.Discover(within(t), connector.Selector{Patterns: []string{"h.t"}})
		if err != nil {
			t.Fatal(err)
		}
		// Without a lock, as a chunk of a source without that right is read.
		c, err := s.dial(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.exec(within(t), startSnapshot); err != nil {
			t.Fatal(err)
		}
		places = append(places, seen{at, view(t, &snapshot{c: c})})
		c.close()
	}
	stop()
	last := head(t, s)
	all := logOf(t, s, tables, from, last)
	if len(all) == 0 {
		t.Fatal("the log has no rows")
	}
	for _, x := range places {
		for w, n := range upTo(all, x.at.Order()) {
			if x.view[w] < n {
				t.Errorf("%s has row %d of writer %d, a snapshot opened later does not", s.Describe(x.at), n, w)
			}
		}
		at, err := parsePosition(x.at)
		if err != nil {
			t.Fatal(err)
		}
		have, ok, err := s.setAt(within(t), at.place)
		if err != nil || !ok || have.String() != at.gtids.String() || have.empty() {
			t.Errorf("at %s the log has %s (%v, %v), the place says %s", at.place, have, ok, err, at.gtids)
		}
	}
}

// pair starts a server and a replica of it, which logs what it replays.
func pair(t testing.TB) (a, b *mysql.Server) {
	t.Helper()
	a, b = mysql.Start(t), mysql.Start(t, "--max-binlog-size=4096")
	a.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY); INSERT INTO d.a VALUES (1)")
	a.Exec(t, "CREATE USER r@'%' IDENTIFIED BY 'secret'; GRANT REPLICATION SLAVE ON *.* TO r@'%'")
	b.Exec(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='r', SOURCE_PASSWORD='secret', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA", a.Port))
	return a, b
}

// caughtUp waits until b has replayed all of a.
func caughtUp(t testing.TB, a, b *mysql.Server) {
	t.Helper()
	set := a.Query(t, "SELECT @@global.gtid_executed")[0][0]
	if r := b.Query(t, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+set+"', 30)"); r[0][0] != "0" {
		t.Fatal(r, b.Query(t, "SHOW REPLICA STATUS"))
	}
}

func TestMySQL_when_a_replica_takes_over(t *testing.T) {
	a, b := pair(t)
	sa, sb := sourceOf(t, a, nil), sourceOf(t, b, nil)
	tables, p0, err := sa.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}})
	if err != nil {
		t.Fatal(err)
	}
	a.Exec(t, "INSERT INTO d.a VALUES (2); INSERT INTO d.a VALUES (3); INSERT INTO d.a VALUES (4)")
	p1 := lastEnd(t, sa, tables, p0)
	caughtUp(t, a, b)
	a.Kill(t)
	b.Exec(t, "STOP REPLICA; INSERT INTO d.a VALUES (5)")
	got, err := sb.Rebase(within(t), []position.Position{p0, p1})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Log() == p0.Log() {
		t.Fatal("the log has the same name")
	}
	same(t, follow(t, sb, tables, got[0], head(t, sb)), `insert a 2`, `insert a 3`, `insert a 4`, `insert a 5`)
	same(t, follow(t, sb, tables, got[1], head(t, sb)), `insert a 5`)
	// The old server goes on alone: what it has more is nowhere else.
	a.Restart(t)
	a.Exec(t, "INSERT INTO d.a VALUES (6)")
	if _, err := sb.Rebase(within(t), []position.Position{lastEnd(t, sa, tables, p1)}); !fault.Has(err, fault.SourceDiverged) {
		t.Errorf("a place beyond what the replica has: %v", err)
	}
	// What is purged cannot be read.
	b.Exec(t, "FLUSH BINARY LOGS")
	purge(t, b)
	if _, err := sb.Rebase(within(t), []position.Position{p1}); !fault.Has(err, fault.SourceLost) {
		t.Errorf("a place before the log's beginning: %v", err)
	}
}

func TestMySQL_when_a_replica_takes_over_that_has_more(t *testing.T) {
	a, b := pair(t)
	sa, sb := sourceOf(t, a, nil), sourceOf(t, b, nil)
	tables, p0, err := sa.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}})
	if err != nil {
		t.Fatal(err)
	}
	caughtUp(t, a, b)
	b.Exec(t, "INSERT INTO d.a VALUES (100)") // before what comes from a
	a.Exec(t, "INSERT INTO d.a VALUES (2)")
	caughtUp(t, a, b)
	p1 := lastEnd(t, sa, tables, p0)
	if got, err := sb.Rebase(within(t), []position.Position{p1}); !fault.Has(err, fault.SourceDiverged) {
		t.Errorf("a replica with a transaction of its own before the place: %v %v", got, err)
	}
	// Behind the place, it is what comes next.
	got, err := sb.Rebase(within(t), []position.Position{p0})
	if err != nil {
		t.Fatal(err)
	}
	same(t, follow(t, sb, tables, got[0], head(t, sb)), `insert a 100`, `insert a 2`)
}

func TestMySQL_without_GTIDs_no_other_server_is_taken_for_the_same(t *testing.T) {
	a, b := mysql.Start(t, mysql.NoGTID...), mysql.Start(t, mysql.NoGTID...)
	for _, srv := range []*mysql.Server{a, b} {
		srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY); INSERT INTO d.a VALUES (1)")
	}
	sa, sb := sourceOf(t, a, nil), sourceOf(t, b, nil)
	tables := discover(t, sa, "d.*")
	p0 := head(t, sa)
	a.Exec(t, "INSERT INTO d.a VALUES (2)")
	b.Exec(t, "INSERT INTO d.a VALUES (2)")
	for _, p := range []position.Position{p0, lastEnd(t, sa, tables, p0)} {
		if got, err := sb.Rebase(within(t), []position.Position{p}); !fault.Has(err, fault.SourceDiverged) {
			t.Errorf("%v %v", got, err)
		}
		if got, err := sa.Rebase(within(t), []position.Position{p}); err != nil || got[0] != p {
			t.Errorf("on its own server: %v %v", got, err)
		}
	}
}

// Numbers begin again after RESET MASTER: a set that holds all that was read says
// nothing.
func TestMySQL_when_the_log_is_reset_and_grows_again(t *testing.T) {
	for name, options := range map[string][]string{"GTID": nil, "no GTID": mysql.NoGTID} {
		t.Run(name, func(t *testing.T) {
			srv := mysql.Start(t, options...)
			srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY)")
			s := sourceOf(t, srv, nil)
			tables, p0, err := s.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}})
			if err != nil {
				t.Fatal(err)
			}
			srv.Exec(t, "INSERT INTO d.a VALUES (1); INSERT INTO d.a VALUES (2)")
			p1 := lastEnd(t, s, tables, p0)
			srv.Exec(t, "SELECT SLEEP(1.1); RESET MASTER; CREATE DATABASE e; CREATE TABLE e.a (id INT PRIMARY KEY); DROP TABLE d.a; CREATE TABLE d.a (id INT PRIMARY KEY)")
			for i := range 9 {
				srv.Exec(t, "INSERT INTO d.a VALUES ("+strconv.Itoa(i)+")")
			}
			for _, p := range []position.Position{p0, p1} {
				if got, err := s.Rebase(within(t), []position.Position{p}); !fault.Has(err, fault.SourceDiverged) {
					t.Errorf("Rebase of %s: %v %v", s.Describe(p), got, err)
				}
				err := s.Read(within(t), everything(tables), p, func(b *row.Batch) error {
					b.Release()
					return nil
				})
				if !fault.Has(err, fault.SourceDiverged) {
					t.Errorf("Read from %s: %v", s.Describe(p), err)
				}
			}
		})
	}
}

func TestMySQL_when_schemas_change_as_only_MySQL_does(t *testing.T) {
	srv := mysql.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci, w INT, INDEX f ((w + 1)))")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	x := startTail(t, ctx, s, everything(tables), head(t, s))
	for _, sql := range []string{
		"INSERT INTO a VALUES (1, 'é', 1)",
		"ALTER TABLE a ADD COLUMN first INT DEFAULT 7 FIRST, ALGORITHM=INSTANT",
		"INSERT INTO a VALUES (1, 2, 'b', 2)",
		"ALTER TABLE a ADD COLUMN hidden INT INVISIBLE AFTER id, ALGORITHM=INSTANT",
		"INSERT INTO a VALUES (1, 3, 'c', 3)",
		"ALTER TABLE a DROP COLUMN first, ALGORITHM=INSTANT",
		"INSERT INTO a (id, hidden, v, w) VALUES (4, 5, 'd', 4)",
		"ALTER TABLE a RENAME COLUMN w TO ww, ADD CONSTRAINT c CHECK (id > 0) NOT ENFORCED, DROP INDEX f",
		"UPDATE a SET ww = 9 WHERE id = 4",
		"ALTER TABLE a ADD COLUMN g INT GENERATED ALWAYS AS (id + 1) VIRTUAL, ADD INDEX h ((CAST(v AS CHAR(5)))) INVISIBLE",
		"INSERT INTO a (id, v) VALUES (5, 'e')",
		"CREATE TABLE b (PRIMARY KEY (id)) AS SELECT id, v FROM a WHERE id < 3",
		"INSERT INTO b VALUES (9, 'later')",
		"ALTER TABLE a ADD COLUMN e INT DEFAULT (1 + 1), ALTER COLUMN v SET INVISIBLE",
		"UPDATE a SET e = 3 WHERE id = 5",
	} {
		srv.Exec(t, "USE d; "+sql)
	}
	want := []string{"insert a 1", "insert b 9"}
	x.until(t, "the last row", func() bool {
		return len(x.lines) > 0 && strings.HasPrefix(x.lines[len(x.lines)-1], "update a 5")
	})
	cancel()
	<-x.done
	for _, l := range x.lines {
		t.Log(l)
		if strings.Contains(l, "stop") {
			t.Error("a table has left the stream: " + l)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(x.lines, func(l string) bool { return strings.HasPrefix(l, w) }) {
			t.Errorf("no %q", w)
		}
	}
}

func TestMySQL_check_names_what_is_wrong_and_the_command_that_mends_it(t *testing.T) {
	srv := mysql.Start(t, append([]string{"--binlog-format=MIXED", "--binlog-row-image=MINIMAL", "--binlog-order-commits=OFF", "--binlog-row-value-options=PARTIAL_JSON",
		"--binlog-expire-logs-seconds=3600", "--binlog-ignore-db=unlogged"}, mysql.NoGTID...)...)
	srv.Exec(t, `CREATE DATABASE d; CREATE DATABASE unlogged; CREATE TABLE unlogged.u (id int primary key);
CREATE TABLE d.t (id int primary key); CREATE TABLE d.nokey (a int); CREATE TABLE d.myisam (a int) ENGINE=MyISAM;
CREATE USER 'o''brien'@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON d.* TO 'o''brien'@'127.0.0.1'; GRANT INSERT ON unlogged.* TO 'o''brien'@'127.0.0.1'`)
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*", "unlogged.*")
	found := s.Check(within(t), tables)
	for _, w := range []struct {
		name string
		warn bool
		hint string
	}{
		{"binlog format", false, "SET GLOBAL binlog_format = ROW"},
		{"row image", false, "SET GLOBAL binlog_row_image = FULL"},
		{"GTIDs", true, "SET GLOBAL gtid_mode = ON"},
		{"commit order", false, "SET GLOBAL binlog_order_commits = ON"},
		{"JSON", true, "SET GLOBAL binlog_row_value_options = ''"},
		{"log retention", true, "SET GLOBAL binlog_expire_logs_seconds"},
		{"log filters", false, "binlog_ignore_db"},
		{"engines", false, "ALTER TABLE `d`.`myisam` ENGINE=InnoDB"},
		{"keys", true, "ADD PRIMARY KEY"},
	} {
		f, ok := finding(found, w.name)
		if !ok || f.Fault == nil || f.Fault.Code != fault.SourceSettings || f.Warn != w.warn || !strings.Contains(f.Fault.Hint, w.hint) {
			t.Errorf("%s: %+v", w.name, f)
			continue
		}
		if sql, ok := strings.CutPrefix(f.Fault.Hint, "SET"); ok { // it mends it
			sql, _, _ = strings.Cut(sql, " -- ")
			srv.Exec(t, "SET"+sql)
		}
	}
	for _, f := range s.Check(within(t), tables) {
		if f.Fault != nil && strings.HasPrefix(f.Fault.Hint, "SET") {
			t.Errorf("mended, but %s: %v", f.Name, f.Fault)
		}
	}
	low := sourceOf(t, srv, map[string]any{"user": "o'brien", "password": secret.New("pw")})
	if _, _, err := low.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}}); !fault.Has(err, fault.SourceGrants) || !strings.Contains(err.Error(), "REPLICATION") {
		t.Errorf("without the right to follow the log: %v", err)
	}
	found = low.Check(within(t), tables)
	for name, hint := range map[string]string{
		"SELECT":         "GRANT SELECT ON `unlogged`.* TO 'o''brien'@'127.0.0.1';",
		"log privileges": "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'o''brien'@'127.0.0.1';",
	} {
		f, ok := finding(found, name)
		if !ok || f.Fault == nil || f.Fault.Code != fault.SourceGrants || f.Fault.Hint != hint {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		srv.Exec(t, hint)
	}
	for _, space := range []string{"d", "unlogged"} {
		hint := "GRANT LOCK TABLES ON `" + space + "`.* TO 'o''brien'@'127.0.0.1';"
		if !slices.ContainsFunc(found, func(f connector.Finding) bool { return f.Fault != nil && f.Fault.Hint == hint }) {
			t.Errorf("nothing says %s", hint)
		}
		srv.Exec(t, hint)
	}
	for _, f := range low.Check(within(t), tables) {
		if f.Fault != nil && f.Fault.Code == fault.SourceGrants {
			t.Errorf("after the grants: %s: %v", f.Name, f.Fault)
		}
	}
}

func TestMySQL_check_of_a_server_that_is_right(t *testing.T) {
	srv := mysql.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.t (id int primary key)")
	s := sourceOf(t, srv, nil)
	for _, f := range s.Check(within(t), discover(t, s, "d.*")) {
		if f.Fault != nil {
			t.Errorf("%s: %v", f.Name, f.Fault)
		}
	}
}

func TestMySQL_dial_by_every_way_of_login(t *testing.T) {
	srv := mysql.Start(t)
	for _, plugin := range []string{"caching_sha2_password", "sha256_password", "mysql_native_password"} {
		user, pw := "u_"+plugin, "p\"w "+plugin
		srv.Exec(t, fmt.Sprintf("CREATE USER %s@'127.0.0.1' IDENTIFIED WITH %s BY '%s'; CREATE USER %[1]s@localhost IDENTIFIED WITH %[2]s BY '%[3]s'", user, plugin, pw))
		login := func(how string, encrypted bool, more map[string]any) {
			t.Helper()
			given := map[string]any{"address": srv.Addr(), "user": user, "password": secret.New(pw)}
			maps.Copy(given, more)
			if given["socket"] != nil {
				delete(given, "address")
			}
			if err := dialOnce(t, given); err != nil && err != errEncrypted || encrypted != (err == errEncrypted) {
				t.Errorf("%s, %s: %v", plugin, how, err)
			}
		}
		with := func(mode string) map[string]any {
			return map[string]any{"tls": tlsOption(map[string]any{"mode": mode, "ca": filepath.Join(srv.Binlog(), "ca.pem")})}
		}
		login("by the server's key", false, with(tlsmode.Off))
		login("known to the server by now", false, with(tlsmode.Off))
		srv.Exec(t, "FLUSH PRIVILEGES") // it forgets
		login("encrypted", true, nil)
		login("encrypted, known", true, with(tlsmode.Required))
		login("proved", true, with(tlsmode.VerifyCA))
		srv.Exec(t, "FLUSH PRIVILEGES")
		if plugin != "sha256_password" { // which the library and the server understand differently there
			login("by socket", false, map[string]any{"socket": srv.Socket})
		}
		given := map[string]any{"address": srv.Addr(), "user": user, "password": secret.New("wrong" + canary)}
		if err := dialOnce(t, given); !fault.Has(err, fault.SourceAuth) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s with a wrong password: %v", plugin, err)
		}
	}
}

func TestMySQL_dial_proves_the_name_in_the_certificate(t *testing.T) {
	ca, cert, key := authority(t, "db.example")
	srv := mysql.Start(t, "--ssl-ca="+ca, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=ON")
	given := func(tls map[string]any) map[string]any {
		return map[string]any{"address": srv.Addr(), "user": srv.User, "password": secret.New(srv.Password), "tls": tlsOption(tls)}
	}
	if err := dialOnce(t, given(map[string]any{"mode": "verify_identity", "ca": ca, "server_name": "db.example"})); err != errEncrypted {
		t.Error(err)
	}
	for _, tls := range []map[string]any{{"mode": "verify_identity", "ca": ca}, {"mode": "verify_ca"}, {"mode": "verify_identity", "ca": ca, "server_name": "other.example"}} {
		if err := dialOnce(t, given(tls)); !fault.Has(err, fault.SourceTLS) {
			t.Errorf("%v: %v", tls, err)
		}
	}
	if err := dialOnce(t, given(map[string]any{"mode": "off"})); err == nil || fault.Has(err, fault.SourceUnreachable) {
		t.Errorf("a server that requires TLS, without: %v", err)
	}
}

// A compressed transaction of many packets is never held in memory, and goes on where
// it was when its connection breaks.
func TestMySQL_when_a_compressed_transaction_has_many_packets(t *testing.T) {
	const rows, rowBytes = 60_000, 1500
	srv := mysql.Start(t, "--binlog-transaction-compression=ON", "--innodb-redo-log-capacity=256M")
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY, v VARBINARY(2000))")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	from := head(t, s)
	srv.Exec(t, fmt.Sprintf("SET SESSION cte_max_recursion_depth = 1000000; INSERT INTO d.a WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n, CONCAT(RANDOM_BYTES(1000), REPEAT('x', %d)) FROM s; INSERT INTO d.a VALUES (0, 'last')", rows, rowBytes-1000))
	split := everything(tables)
	split.Until.Place = head(t, s)
	for _, broken := range []bool{false, true} {
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		got, inside, ends, cut, most, last := 0, 0, 0, false, uint64(0), ""
		ids := map[int64]bool{}
		err := s.Read(within(t), split, from, func(b *row.Batch) error {
			defer b.Release()
			for k := range b.Sections() {
				sec := &b.Sections()[k]
				for r := sec.Row; r < sec.Row+sec.Rows; r++ {
					words, _ := b.Cells(sec, r)
					ids[int64(words[0])] = true
					if o := b.Order(r); o <= last {
						t.Fatal("the order does not rise")
					} else {
						last = o
					}
				}
			}
			if got += b.Rows(); b.End.IsZero() {
				inside++
			} else {
				ends++
			}
			if got > rows/3 && broken && !cut {
				cut = true
				killDumps(t, srv)
			}
			if inside%50 == 0 {
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
			return nil
		})
		if err != nil || got != rows+1 || len(ids) != rows+1 || inside < 10 || cut != broken {
			t.Fatal(err, got, len(ids), inside, cut)
		}
		if grown := int64(most) - int64(before.HeapAlloc); grown > 40<<20 {
			t.Errorf("%d MiB of heap for a transaction of %d MiB", grown>>20, rows*rowBytes>>20)
		} else {
			t.Logf("%d batches inside, at most %d KiB more heap", inside, grown>>10)
		}
	}
}

// Without the right to lock, a snapshot is exact too, or it is refused: never another.
func TestMySQL_snapshot_without_the_right_to_lock(t *testing.T) {
	for name, options := range map[string][]string{"GTID": nil, "compressed": {"--binlog-transaction-compression=ON"}, "no GTID": mysql.NoGTID} {
		t.Run(name, func(t *testing.T) {
			srv := mysql.Start(t, append([]string{"--sync-binlog=1"}, options...)...)
			srv.Exec(t, "CREATE USER low@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO low@'127.0.0.1'")
			s := sourceOf(t, srv, map[string]any{"user": "low", "password": secret.New("pw")})
			tables, from := hammered(t, srv, s)
			stop := hammer(t, srv, 3)
			views := map[position.Position]map[int]int{}
			opened, want := 0, 4
			if name == "no GTID" {
				want = 0
			}
			for range 4 {
				snap, err := s.openSnapshot(within(t), tables[0].Name)
				if fault.Has(err, fault.SourceGrants) && strings.Contains(fault.Of(err).Hint, "GRANT LOCK TABLES ON `h`.* TO 'low'@'127.0.0.1'") {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				views[snap.mark] = view(t, snap)
				opened++
				snap.close()
			}
			stop()
			if opened != want {
				t.Fatalf("%d snapshots of 4 were opened", opened)
			}
			all := logOf(t, s, tables, from, head(t, s))
			for mark, got := range views {
				if want := upTo(all, mark.Order()); !sameView(got, want) {
					t.Errorf("at %s the snapshot has %v, the log before it %v", s.Describe(mark), got, want)
				}
			}
		})
	}
}

// Looking through the log does not hold what is large in it.
func TestMySQL_when_the_log_is_looked_through_that_has_large_transactions(t *testing.T) {
	srv := mysql.Start(t, "--innodb-redo-log-capacity=256M", "--binlog-transaction-compression=ON")
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY, v LONGBLOB)")
	s := sourceOf(t, srv, nil)
	srv.Exec(t, "INSERT INTO d.a VALUES (1, CONCAT(RANDOM_BYTES(1000), REPEAT('x', 40000000))); SET SESSION binlog_transaction_compression=OFF; INSERT INTO d.a VALUES (2, REPEAT('y', 40000000)); INSERT INTO d.a VALUES (3, 'z')")
	srv.Exec(t, "SET SESSION cte_max_recursion_depth = 1000000; INSERT INTO d.a WITH RECURSIVE s (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM s WHERE n < 30000) SELECT n, RANDOM_BYTES(1000) FROM s")
	_, at, err := s.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := parsePosition(at)
	if err != nil {
		t.Fatal(err)
	}
	if set, ok, err := s.setAt(within(t), sp.place); err != nil || !ok || set.String() != sp.gtids.String() {
		t.Errorf("%s, %v, %v instead of %s", set, ok, err, sp.gtids)
	}
}
