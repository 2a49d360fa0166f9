package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

// TestStream_when_the_server_cannot_be_asked_about_a_statement says that a statement that
// failed for a while is taken when it can be, and not left out.
func TestStream_when_the_server_cannot_be_asked_about_a_statement(t *testing.T) {
	srv := mariadb.Start(t)
	srv.Exec(t, `CREATE DATABASE d; USE d; CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY); CREATE TABLE c (id INT PRIMARY KEY); INSERT INTO a VALUES (1);
		CREATE USER u@'127.0.0.1' IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS 9; GRANT ALL ON *.* TO u@'127.0.0.1'`)
	s := sourceOf(t, srv, map[string]any{"user": "u", "password": secret.New("pw")})
	tables := discover(t, s, "d.a", "d.b")
	from := head(t, s)
	split := everything(tables)
	split.Selector.Patterns = []string{"d.a", "d.b", "d.c2"}
	s.snapshots.drop() // nobody is connected as u but the reader of the log
	s.desk.c.close()
	ctx, cancel := context.WithCancel(within(t))
	x := startTail(t, ctx, s, split, from)
	srv.Exec(t, "INSERT INTO d.b VALUES (1)")
	x.rows(t, 1)
	refuse := func(statement string, n int) {
		before := dumpOf(t, srv)
		srv.Exec(t, "SET sql_log_bin = 0; ALTER USER u@'127.0.0.1' WITH MAX_USER_CONNECTIONS 1; FLUSH PRIVILEGES; SET sql_log_bin = 1; USE d; "+statement)
		late := time.After(30 * time.Second)
		for again := before; again == before || again == ""; again = dumpOf(t, srv) {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-late:
				t.Fatal("it never failed, or does not read again")
			}
		}
		srv.Exec(t, "SET sql_log_bin = 0; ALTER USER u@'127.0.0.1' WITH MAX_USER_CONNECTIONS 9; FLUSH PRIVILEGES")
		x.rows(t, n)
	}
	refuse("TRUNCATE a; INSERT INTO b VALUES (2)", 3) // the first statement: nothing is known of charsets yet
	// The second half of a statement, whose first is committed.
	refuse("RENAME TABLE b TO x1, c TO c2; INSERT INTO a VALUES (3)", 6)
	cancel()
	if err := <-x.done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	same(t, x.lines, `insert b 1`, `truncate a -`, `insert b 2`, `drop b`, `stop c2`, `insert a 3`)
	for i := 1; i < len(x.ends); i++ {
		if x.ends[i].Order() < x.ends[i-1].Order() {
			t.Errorf("end %d goes back from %q to %q", i, x.ends[i-1].Token(), x.ends[i].Token())
		}
	}
}

// dumpOf returns the connection that reads the log, "" when there is none.
func dumpOf(t testing.TB, srv *mariadb.Server) string {
	t.Helper()
	if rows := srv.Query(t, "SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'"); len(rows) > 0 {
		return rows[0][0]
	}
	return ""
}

// TestStream_when_a_statement_stands_in_others says that what MariaDB's SET STATEMENT is
// put before is followed, and that rows that a CREATE TABLE brought by a SELECT are missed.
func TestStream_when_a_statement_stands_in_others(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY); INSERT INTO a VALUES (1)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`;
		SET STATEMENT lock_wait_timeout=5, max_statement_time=(SELECT 7 FOR UPDATE) FOR TRUNCATE TABLE a;
		SET STATEMENT lock_wait_timeout=5 FOR RENAME TABLE b TO c; SET STATEMENT lock_wait_timeout=5 FOR /* for */ ALTER TABLE c ADD v UUID; INSERT INTO c (id) VALUES (1);
		SET STATEMENT lock_wait_timeout=5 FOR CREATE TABLE r AS SELECT 1 AS id;
		SET SESSION binlog_format=STATEMENT; CREATE TABLE s (id INT PRIMARY KEY) SELECT 7 AS id; CREATE TABLE IF NOT EXISTS c SELECT 3 AS id;
		SET STATEMENT lock_wait_timeout=5 FOR INSERT INTO a VALUES (4)`)
	same(t, follow(t, s, tables, from, head(t, s)),
		`truncate a -`, `alter c id:int(11) key:id`, `alter c id:int(11) v:uuid key:id`, `insert c 1 NULL`, `create r id:int(1)`, `insert r 1`, `stop s`, `stop a`)
}

// TestStream_when_foreign_keys_are_declared_otherwise says that children are marked when
// the key is declared with its column, refers to another column than the parent's key, or
// the child has another name by now; and when the parent was altered in a way that only the
// catalogue tells.
func TestStream_when_foreign_keys_are_declared_otherwise(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+`; CREATE TABLE p (id INT PRIMARY KEY, code INT UNIQUE, v INT); INSERT INTO p VALUES (1,1,1);
		CREATE TABLE k (id INT PRIMARY KEY, code INT, FOREIGN KEY (code) REFERENCES p (code) ON UPDATE CASCADE); INSERT INTO k VALUES (1,1);
		CREATE TABLE q (id INT PRIMARY KEY); CREATE TABLE q2 (id INT PRIMARY KEY); INSERT INTO q VALUES (1); INSERT INTO q2 VALUES (1);
		CREATE TABLE m (id INT PRIMARY KEY, q INT, FOREIGN KEY (q) REFERENCES q (id) ON DELETE CASCADE); INSERT INTO m VALUES (1,1)`)
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; UPDATE p SET v = 2; UPDATE p SET code = 2; INSERT INTO q VALUES (2);
		RENAME TABLE m TO m1; ALTER TABLE m1 ADD COLUMN w INT, RENAME TO m2; DELETE FROM q;
		CREATE TABLE i (id INT PRIMARY KEY, q2 INT REFERENCES q2 (id) ON DELETE CASCADE); ALTER TABLE q2 ADD COLUMN v VARCHAR(9) COMPRESSED; DELETE FROM q2;
		INSERT INTO q2 VALUES (2,'')`)
	same(t, follow(t, s, tables, from, head(t, s)),
		`update p 1 1 2`, `update p 1 2 2`, `stop k`, `insert q 2`,
		`alter m1 id:int(11) q:int(11) key:id`,
		`alter m1 id:int(11) q:int(11) w:int(11) key:id`, `alter m2 id:int(11) q:int(11) w:int(11) key:id`, `delete q 1`, `delete q 2`, `stop m2`,
		`create i id:int(11) q2:int(11) key:id`, `alter i id:int(11) q2:int(11) key:id`,
		`alter q2 id:int(11) v:varchar(9) key:id`, `delete q2 1 NULL`, `stop i`, `insert q2 2 ""`)
}

// TestStream_when_a_key_may_be_null says that a unique key that may have nulls is none any
// more, and that a primary key stays one.
func TestStream_when_a_key_may_be_null(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT NOT NULL UNIQUE, v INT); CREATE TABLE b (id INT PRIMARY KEY, v INT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; ALTER TABLE b CHANGE id uid BIGINT; ALTER TABLE b MODIFY v BIGINT; ALTER TABLE a MODIFY id INT; INSERT INTO a VALUES (NULL,1)")
	events := readEvents(t, s, from, head(t, s), tables)
	var lines []string
	for _, e := range events {
		lines = append(lines, e.line)
	}
	same(t, lines, `alter b uid:bigint(20) v:int(11) key:uid`, `alter b uid:bigint(20) v:bigint(20) key:uid`, `alter a id:int(11) v:int(11)`, `insert a NULL 1`)
	now := tableNamed(t, events[len(events)-1].tables, "a")
	if !now.Columns[0].Nullable {
		t.Error("the column of the key that was is not nullable")
	}
}

// TestStream_when_there_are_many_tables says that table maps are not forgotten while rows
// of them may follow.
func TestStream_when_there_are_many_tables(t *testing.T) {
	r := &streamer{shapes: newShapes(nil, connector.Split{}), maps: map[uint64]*mapped{}, format: &format{post: make([]byte, evPayload)}}
	r.cur = cursor{at: place{"l", "bin", 1, 500}, anchored: true}
	group := []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	tableMap := func(id byte) []byte {
		return []byte{id, 0xff, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0, 1, tyLong, 0, 1}
	}
	for n := range 3 {
		clear(r.maps)
		for id := range uint64(maxMaps - n) {
			r.maps[1<<32+id] = &mapped{}
		}
		if err := r.begin(header{kind: evGTID, server: 1}, group, 400); err != nil {
			t.Fatal(err)
		}
		for id := range byte(4) {
			if err := r.member(header{kind: evTableMap}, tableMap(id)); err != nil {
				t.Fatal(err)
			}
		}
		for id := range byte(4) {
			if err := r.member(header{kind: evWriteV1}, append([]byte{id, 0xff, 0, 0, 0, 0, 1, 0}, 1, 1, 0, 1, 0, 0, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.begin(header{kind: evGTID, server: 1}, group, 400); err != nil || len(r.maps) != 0 {
		t.Errorf("%v, and %d maps are kept", err, len(r.maps))
	}
}

// TestStream_when_an_XA_transaction_has_a_row_of_many_packets says that such a row is read
// again with its transaction.
func TestStream_when_an_XA_transaction_has_a_row_of_many_packets(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	const size = 17 << 20
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, v LONGTEXT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; "+xaSQL("'large'", fmt.Sprintf("INSERT INTO a VALUES (1, 'small'), (2, REPEAT('x', %d)); INSERT INTO a VALUES (3, 'last')", size)))
	srv.Exec(t, "XA COMMIT 'large'")
	split := everything(tables)
	split.Until.Place = head(t, s)
	var got []string
	err := s.Read(within(t), split, from, func(b *row.Batch) error {
		for _, line := range batchText(t, b) {
			got = append(got, strings.Replace(line, strings.Repeat("x", size), "x", 1))
		}
		b.Release()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, `insert a 1 "small"`, `insert a 2 "x"`, `insert a 3 "last"`)
}

// TestStream_when_a_parent_has_changes_of_documents says that the key is found behind
// what an update tells of its documents.
func TestStream_when_a_parent_has_changes_of_documents(t *testing.T) {
	x := &row.Table{Name: row.Name{Space: "d", Table: "p"}, Key: []int{0}}
	for _, native := range []string{"int(11)", "json"} {
		typ, err := parseType(native, "utf8mb4", "utf8mb4_bin")
		if err != nil {
			t.Fatal(err)
		}
		x.Columns = append(x.Columns, row.Column{Name: native, Type: typ})
	}
	l, err := fit(x, &tableMap{types: []byte{tyLong, tyJSON}, meta: []uint16{0, 4}})
	if err != nil {
		t.Fatal(err)
	}
	update := func(from, to byte) []byte {
		document := []byte{jsonSmallObject, 1, 0, 12, 0, 11, 0, 1, 0, jsonInt16, 1, 0, 'a'}
		change := []byte{jsonReplace, 3, '$', '.', 'a', 3, jsonInt16, 2, 0}
		old := append([]byte{0, from, 0, 0, 0, byte(len(document)), 0, 0, 0}, document...)
		now := append([]byte{partialJSON, 1, 0, to, 0, 0, 0, byte(len(change)), 0, 0, 0}, change...)
		return append(old, now...)
	}
	for _, c := range []struct {
		rows []byte
		want bool
	}{{append(update(1, 1), update(2, 2)...), false}, {append(update(1, 1), update(2, 3)...), true}} {
		e, err := format{}.parseRows(evPartialUpdate, append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 3, 3}, c.rows...))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keyMoves(l, l.key, e); err != nil || got != c.want {
			t.Errorf("the key moves: %v %v, want %v", got, err, c.want)
		}
		d := &decoder{x: row.NewBuilder(&row.Pool{})}
		d.x.At(strings.Repeat("p", prefixBytes), 0, row.Txn{})
		if err := d.event(l, e); err != nil { // the event is one that the decoder takes
			t.Error(err)
		}
	}
}

// TestStream_when_unique_keys_are_long says that the columns that MariaDB hides for such
// keys are no columns of the rows.
func TestStream_when_unique_keys_are_long(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, x TEXT, y VARCHAR(2000), v INT, UNIQUE (x), UNIQUE (y, v)); CREATE TABLE n (x BLOB NOT NULL, UNIQUE (x))")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; INSERT INTO a VALUES (1,'one','y',1),(2,NULL,NULL,NULL); UPDATE a SET id = 3, v = 4 WHERE id = 1; INSERT INTO n VALUES ('b'); UPDATE n SET x = 'c';
		SET binlog_row_image=MINIMAL; INSERT INTO a (id, x) VALUES (5, 'five'); UPDATE a SET x = 'six' WHERE id = 5; DELETE FROM a WHERE id = 2;
		SET binlog_row_image=FULL; ALTER TABLE a ADD COLUMN w BIGINT; INSERT INTO a VALUES (6,'6','6',6,6)`)
	to := head(t, s)
	same(t, follow(t, s, tables, from, to),
		`insert a 1 "one" "y" 1`, `insert a 2 NULL NULL NULL`, `before a 1 "one" "y" 1`, `update a 3 "one" "y" 4`, `insert n "b"`, `before n "b"`, `update n "c"`,
		`insert a 5 "five" - -`, `update a 5 "six" - -`, `delete a 2 - - -`,
		`alter a id:int(11) x:text y:varchar(2000) v:int(11) w:bigint(20) key:id`, `insert a 6 "6" "6" 6 6`)
}

// TestStream_when_partitions_become_tables says that such a table is marked, and that one
// that becomes a partition is gone.
func TestStream_when_partitions_become_tables(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20)); CREATE TABLE b (id INT PRIMARY KEY); INSERT INTO a VALUES (1),(11)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; ALTER TABLE a CONVERT PARTITION p0 TO TABLE c; INSERT INTO c VALUES (2)")
	same(t, follow(t, s, tables, from, head(t, s)), `stop a`, `stop c`)
	from = head(t, s)
	srv.Exec(t, "USE "+db+"; ALTER TABLE a CONVERT TABLE `b` TO PARTITION p2 VALUES LESS THAN (30)")
	same(t, follow(t, s, tables, from, head(t, s)), `stop a`, `drop b`)
}

// TestStream_when_the_log_is_looked_at_besides says that who follows the log under an id
// that was given goes on while it is looked at otherwise.
func TestStream_when_the_log_is_looked_at_besides(t *testing.T) {
	srv := mariadb.Start(t)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, map[string]any{"server_id": int64(77)})
	tables := discover(t, s, "d.*")
	from := head(t, s)
	ctx, cancel := context.WithCancel(within(t))
	x := startTail(t, ctx, s, everything(tables), from)
	srv.Exec(t, "INSERT INTO d.a VALUES (1)")
	x.rows(t, 1)
	reader := dumpOf(t, srv)
	at, err := parsePosition(from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.begun(within(t), at.place); err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "INSERT INTO d.a VALUES (2)")
	x.rows(t, 2)
	if now := dumpOf(t, srv); now != reader || s.idTaken.Load() {
		t.Errorf("connection %s reads the log, before it was %s", now, reader)
	}
	cancel()
	if err := <-x.done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
