package mysql

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// follow reads the stream of tables from a place to another and returns what was
// emitted, as text, one line per row or change.
func follow(t testing.TB, s *source, tables []*row.Table, from, to position.Position) []string {
	t.Helper()
	var out []string
	split := connector.Split{ID: connector.StreamSplit, Tables: tables, Selector: connector.Selector{Patterns: []string{"*.*"}}, Until: connector.Until{Place: to}}
	err := s.readStream(within(t), split, from, func(b *row.Batch) error {
		out = append(out, batchText(t, b)...)
		b.Release()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func batchText(t testing.TB, b *row.Batch) []string {
	var out []string
	if c := b.Change; c != nil {
		out = append(out, changeText(c))
	}
	for i := range b.Sections() {
		s := &b.Sections()[i]
		for r := s.Row; r < s.Row+s.Rows; r++ {
			out = append(out, fmt.Sprintf("%s %s %s", opText(b.Op(r)), s.Table.Name.Table, rowText(b, s, r)))
		}
	}
	return out
}

func opText(o row.Op) string {
	return [...]string{"?", "read", "insert", "update", "delete", "before", "truncate"}[o]
}

func changeText(c *row.SchemaChange) string {
	kind := [...]string{"?", "create", "alter", "drop", "stop"}[c.Kind]
	if c.After == nil {
		return kind + " " + c.Before.Name.Table
	}
	text := kind + " " + c.After.Name.Table
	if c.Kind == row.Stop {
		return text
	}
	for _, x := range c.After.Columns {
		text += " " + x.Name + ":" + strings.ReplaceAll(x.Type.Native, " ", "_")
	}
	for _, k := range c.After.Key {
		text += " key:" + c.After.Columns[k].Name
	}
	return text
}

func rowText(b *row.Batch, s *row.Section, r int) string {
	words, flags := b.Cells(s, r)
	var out []string
	for i, c := range s.Table.Columns {
		switch flags[i] {
		case row.Null:
			out = append(out, "NULL")
		case row.Absent:
			out = append(out, "-")
		default:
			out = append(out, cellText(b, c.Type, words[i]))
		}
	}
	return strings.Join(out, " ")
}

func cellText(b *row.Batch, t row.Type, w uint64) string {
	if t.Kind.InBytes() {
		return fmt.Sprintf("%q", b.Data(w))
	}
	switch t.Kind {
	case row.Int, row.Time, row.Timestamp:
		return fmt.Sprint(int64(w))
	}
	return fmt.Sprint(w)
}

// head returns the log's end.
func head(t testing.TB, s *source) position.Position {
	t.Helper()
	p, _, err := s.Head(within(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestStream_when_rows_change(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT UNSIGNED PRIMARY KEY, v VARCHAR(20), d DECIMAL(12,4)); CREATE TABLE n (x INT, y BINARY(4))")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; INSERT INTO a VALUES (1,'one',-1.5),(4294967295,NULL,12345678.9);
		UPDATE a SET v='uno' WHERE id=1; UPDATE a SET id=2 WHERE id=1; DELETE FROM a WHERE id=2;
		INSERT INTO n VALUES (1,'ab'); UPDATE n SET x=-2; BEGIN; DELETE FROM n; INSERT INTO a VALUES (7,'','0'); COMMIT`)
	same(t, follow(t, s, tables, from, head(t, s)),
		`insert a 1 "one" "-1.5000"`, `insert a 4294967295 NULL "12345678.9000"`, `update a 1 "uno" "-1.5000"`,
		`before a 1 "uno" "-1.5000"`, `update a 2 "uno" "-1.5000"`, `delete a 2 "uno" "-1.5000"`,
		`insert n 1 "ab\x00\x00"`, `before n 1 "ab\x00\x00"`, `update n -2 "ab\x00\x00"`, `delete n -2 "ab\x00\x00"`, `insert a 7 "" "0.0000"`)
}

func TestStream_when_shapes_change(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE b (id INT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; INSERT INTO a VALUES (1,'x');
		ALTER TABLE a ADD COLUMN n BIGINT UNSIGNED NOT NULL DEFAULT 5 AFTER id, ADD z DATETIME(3) FIRST;
		INSERT INTO a VALUES ('2024-02-03 04:05:06.789',2,18446744073709551615,'y');
		ALTER TABLE a DROP COLUMN z, CHANGE v w VARCHAR(30) CHARACTER SET latin1, RENAME COLUMN n TO m;
		INSERT INTO a VALUES (3,4,'é'); CREATE TABLE c LIKE a; INSERT INTO c VALUES (9,9,'c');
		RENAME TABLE a TO t0, c TO a, t0 TO c; INSERT INTO a VALUES (10,1,'new'); INSERT INTO c VALUES (11,1,'old');
		TRUNCATE TABLE a; CREATE TABLE d (k TINYINT(1) PRIMARY KEY, e ENUM('p','q') NOT NULL, t TEXT(100)) CHARACTER SET latin1 AS SELECT 1 k, 'q' e;
		ALTER TABLE b ADD PRIMARY KEY (id); DROP TABLE d; ALTER TABLE c COMMENT 'x', ADD INDEX (m); CREATE USER u1; DROP USER u1; ANALYZE TABLE a; CREATE SEQUENCE sq; SELECT NEXTVAL(sq);
		CREATE TABLE u (id INT PRIMARY KEY, x UUID); INSERT INTO u VALUES (1,'12345678-1234-5678-9abc-def012345678'); DROP TABLE u;
		INSERT INTO b VALUES (5)`)
	got := follow(t, s, tables, from, head(t, s))
	same(t, got,
		`insert a 1 "x"`,
		`alter a z:datetime(3) id:int(11) n:bigint(20)_unsigned v:varchar(20) key:id`,
		fmt.Sprintf(`insert a %d 2 18446744073709551615 "y"`, row.PackDateTime(2024, 2, 3, (4*3600+5*60+6)*1_000_000+789_000)),
		`alter a id:int(11) m:bigint(20)_unsigned w:varchar(30) key:id`,
		`insert a 3 4 "é"`,
		`create c id:int(11) m:bigint(20)_unsigned w:varchar(30) key:id`,
		`insert c 9 9 "c"`,
		`alter t0 id:int(11) m:bigint(20)_unsigned w:varchar(30) key:id`,
		`alter a id:int(11) m:bigint(20)_unsigned w:varchar(30) key:id`,
		`alter c id:int(11) m:bigint(20)_unsigned w:varchar(30) key:id`,
		`insert a 10 1 "new"`, `insert c 11 1 "old"`,
		`truncate a - - -`,
		`create d t:tinytext k:tinyint(1) e:enum('p','q') key:k`,
		`insert d NULL 1 "q"`,
		`alter b id:int(11) key:id`,
		`drop d`,
		`create u id:int(11) x:uuid key:id`, `insert u 1 "12345678-1234-5678-9abc-def012345678"`, `drop u`,
		`insert b 5`)
}
