package mysql

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// changesOf returns the changes of shapes between two places.
func changesOf(t testing.TB, s *source, tables []*row.Table, from, to position.Position) (out []*row.SchemaChange) {
	t.Helper()
	split := everything(tables)
	split.Until.Place = to
	if err := s.Read(within(t), split, from, func(b *row.Batch) error {
		if b.Change != nil {
			out = append(out, b.Change)
		}
		b.Release()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// bothServers runs a test on MariaDB and on MySQL.
func bothServers(t *testing.T, f func(t *testing.T, srv *sqlserver.Server, mysql bool)) {
	t.Run("MariaDB", func(t *testing.T) { f(t, server(t), false) })
	t.Run("MySQL", func(t *testing.T) { f(t, mysql.Start(t), true) })
}

// addedCase is a column that is added to a table with rows.
type addedCase struct {
	set    string // of the session before
	def    string
	unsure bool // rows show what the log does not tell
	only   string
}

var addedCases = []addedCase{
	{def: "INT"}, {def: "INT NOT NULL"}, {def: "INT DEFAULT -5"}, {def: "INT NOT NULL DEFAULT '007'"}, {def: "BIGINT UNSIGNED DEFAULT 18446744073709551615"}, {def: "BOOLEAN NOT NULL DEFAULT TRUE"},
	{def: "INT DEFAULT 1.6"}, {def: "BIT(9) DEFAULT b'101'"}, {def: "BIT(9) NOT NULL"},
	{def: "DECIMAL(9,2) DEFAULT 1.5"}, {def: "DECIMAL(9,2) NOT NULL"}, {def: "DECIMAL(9,2) DEFAULT '-.5'"}, {def: "DECIMAL(9,2) DEFAULT 1.555", unsure: true}, {def: "DOUBLE DEFAULT 2.5"},
	{def: "VARCHAR(9) DEFAULT 'a '"}, {def: "CHAR(9) DEFAULT 'a '"}, {def: "VARCHAR(9) NOT NULL"}, {def: "VARCHAR(9) DEFAULT 5"}, {def: "VARCHAR(9) DEFAULT 'é'"}, {def: "VARCHAR(9) CHARACTER SET latin1 DEFAULT 'é'"},
	{def: "BINARY(4) DEFAULT 'ab'"}, {def: "BINARY(4) NOT NULL"}, {def: "VARBINARY(4) DEFAULT 'ab'"}, {def: "TEXT"}, {def: "TEXT NOT NULL"}, {def: "BLOB NOT NULL"},
	{def: "ENUM('p','q') NOT NULL"}, {def: "ENUM('p','q') DEFAULT 'q'"}, {def: "ENUM('p','q') DEFAULT 'Q'"}, {def: "SET('p','q') DEFAULT 'p,q'"}, {def: "SET('p','q') DEFAULT 'q,p'"}, {def: "SET('p','q') NOT NULL"},
	{def: "DATE DEFAULT '2020-01-02'"}, {def: "DATE DEFAULT '20-1-2'", unsure: true}, {def: "DATE NOT NULL"}, {def: "TIME NOT NULL"}, {def: "TIME DEFAULT '-12:34:56'"}, {def: "YEAR DEFAULT 1999"}, {def: "YEAR DEFAULT 99"}, {def: "YEAR NOT NULL"},
	{def: "DATETIME DEFAULT '2020-01-02 03:04:05'"}, {def: "DATETIME DEFAULT '2020-01-02'"}, {def: "DATETIME NOT NULL"},
	{def: "TIMESTAMP NULL"}, {def: "TIMESTAMP NULL DEFAULT '2020-01-02 03:04:05'"}, {def: "TIMESTAMP NOT NULL DEFAULT '2020-01-02 03:04:05'"},
	{set: "time_zone = '+05:45'", def: "TIMESTAMP NULL DEFAULT '2020-01-02 03:04:05'"}, {set: "time_zone = '-12:00'", def: "TIMESTAMP NOT NULL DEFAULT '2020-01-02 03:04:05'"},
	{set: "time_zone = '+05:45'", def: "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP"}, {set: "time_zone = '+05:45'", def: "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP"}, {set: "time_zone = 'SYSTEM'", def: "DATETIME DEFAULT NOW()"},
	{set: "time_zone = '-11:00'", def: "DATETIME DEFAULT LOCALTIMESTAMP ON UPDATE CURRENT_TIMESTAMP"}, {set: "timestamp = 951782399.125", def: "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP"},
	{set: "time_zone = '+13:00'", def: "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"}, {def: "TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)"},
	{def: "DATE DEFAULT CURRENT_DATE", only: "MariaDB"}, {set: "time_zone = '+12:00', timestamp = 1700000000", def: "DATE DEFAULT CURDATE()", only: "MariaDB"}, {def: "DATETIME(6) DEFAULT CURRENT_TIMESTAMP", only: "MariaDB"}, {set: "timestamp = 1700000000.5", def: "DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6)"}, {def: "DATETIME(6) DEFAULT (NOW())", only: "MySQL", unsure: true},
	{def: "TIMESTAMP"}, {def: "TIMESTAMP NOT NULL"}, {set: "explicit_defaults_for_timestamp = OFF", def: "TIMESTAMP", unsure: true}, {set: "explicit_defaults_for_timestamp = OFF", def: "TIMESTAMP NULL"},
	{def: "INT NOT NULL AUTO_INCREMENT UNIQUE", unsure: true}, {def: "SERIAL", unsure: true}, {def: "INT NOT NULL AUTO_INCREMENT, DROP PRIMARY KEY, ADD PRIMARY KEY (c)", unsure: true},
	{def: "INT AS (id + 1) VIRTUAL", unsure: true}, {def: "INT GENERATED ALWAYS AS (id + 1) STORED", unsure: true},
	{def: "VARCHAR(40) DEFAULT (UUID())", unsure: true, only: "MariaDB"}, {def: "INT DEFAULT (1 + 1)", unsure: true}, {def: "INT DEFAULT (id + 1)", unsure: true}, {def: "DOUBLE DEFAULT (RAND())", unsure: true, only: "MariaDB"},
	{def: "VARCHAR(9) DEFAULT ('x')"}, {def: "DATETIME DEFAULT (NOW())"}, {def: "TEXT DEFAULT ('x')"}, {def: "JSON DEFAULT ('{}')"}, {def: "JSON DEFAULT ('{\"b\":1, \"a\": 2}')", unsure: true},
	{def: "JSON DEFAULT (JSON_OBJECT())"}, {def: "JSON DEFAULT (JSON_ARRAY())"}, {def: "JSON NOT NULL", only: "MySQL"},
	{def: "UUID NOT NULL", only: "MariaDB", unsure: false}, {def: "INET6 NOT NULL", only: "MariaDB"}, {def: "UUID DEFAULT '123E4567-E89B-12D3-A456-426655440000'", only: "MariaDB", unsure: true},
	{def: "INT INVISIBLE DEFAULT 4", only: "MariaDB"},
	{def: "INT NOT NULL DEFAULT 3, ALGORITHM=INSTANT"}, {def: "INT NOT NULL, ALGORITHM=INSTANT"},
}

// TestFill_when_columns_are_added says that rows show what the shape says, or that the
// change says that they may not.
func TestFill_when_columns_are_added(t *testing.T) {
	bothServers(t, func(t *testing.T, srv *sqlserver.Server, mysql bool) {
		db := "fills"
		srv.Exec(t, "DROP DATABASE IF EXISTS "+db+"; CREATE DATABASE "+db+" CHARACTER SET utf8mb4")
		s := sourceOf(t, srv, nil)
		var cases []addedCase
		var before, alters strings.Builder
		for _, c := range addedCases {
			if c.only != "" && (c.only == "MySQL") != mysql {
				continue
			}
			n := len(cases)
			cases = append(cases, c)
			fmt.Fprintf(&before, "CREATE TABLE t%d (id INT PRIMARY KEY); INSERT INTO t%d VALUES (1),(2);", n, n)
			fmt.Fprintf(&alters, "SET time_zone = DEFAULT, timestamp = DEFAULT, explicit_defaults_for_timestamp = ON; SET %s; ALTER TABLE t%d ADD COLUMN c %s;", cmp.Or(c.set, "sql_mode = ''"), n, c.def)
		}
		srv.Exec(t, "USE "+db+";"+before.String())
		tables := discover(t, s, db+".*")
		from := head(t, s)
		srv.Exec(t, "USE "+db+"; SET NAMES utf8mb4; SET sql_mode = '';"+alters.String())
		changes := changesOf(t, s, tables, from, head(t, s))
		if len(changes) != len(cases) {
			t.Fatalf("%d changes of %d", len(changes), len(cases))
		}
		for i, c := range cases {
			name := c.set + " " + c.def
			if (changes[i].Unfilled != "") != c.unsure {
				t.Errorf("%s: unfilled: %q", name, changes[i].Unfilled)
			}
			if !c.unsure {
				shows(t, srv, changes[i], name)
			}
		}
	})
}

// shows fails unless rows show the default of the last column.
func shows(t *testing.T, srv *sqlserver.Server, c *row.SchemaChange, name string) {
	t.Helper()
	col := c.After.Columns[len(c.After.Columns)-1]
	cell := col.Name
	switch col.Type.Kind {
	case row.Bits, row.Year:
		cell += " + 0"
	case row.Bytes:
		cell = "HEX(" + cell + ")"
	}
	want := srv.Query(t, "SET NAMES utf8mb4; SET time_zone = '+00:00'; SELECT "+cell+" FROM "+c.After.Name.String())[0][0]
	got := sqlserver.Null
	if d := col.Default; d != nil {
		if got = *d; col.Type.Kind == row.Bytes {
			got = fmt.Sprintf("%X", *d)
		}
	}
	if strings.Contains(want, ".") && col.Type.Scale > 0 && col.Type.Kind != row.Decimal {
		got += strings.Repeat("0", max(0, len(want)-len(got)))
	}
	if col.Type.Scale > 0 && col.Type.Kind == row.DateTime && !strings.Contains(got, ".") {
		got = (got + ".000000")[:len(want)]
	}
	if got != want {
		t.Errorf("%s: default %q, rows show %q", name, got, want)
	}
}

// alteredCase is a column that is changed in a table with one row.
type alteredCase struct {
	mode   string
	old    string
	value  string
	change string // of column c
	unsure bool
}

const strict = "STRICT_TRANS_TABLES"

var alteredCases = []alteredCase{
	{strict, "INT", "5", "MODIFY c BIGINT", false}, {"", "INT", "5", "MODIFY c BIGINT", false}, {"", "INT UNSIGNED", "5", "MODIFY c BIGINT", false},
	{strict, "INT", "5", "MODIFY c SMALLINT", false}, {"", "INT", "70000", "MODIFY c SMALLINT", true}, {"", "INT", "-1", "MODIFY c INT UNSIGNED", true},
	{"", "INT", "NULL", "MODIFY c INT NOT NULL", true}, {strict, "INT", "5", "MODIFY c INT NOT NULL", false}, {strict, "INT NOT NULL", "5", "MODIFY c INT", false},
	{"", "INT", "5", "CHANGE c d INT UNSIGNED ZEROFILL", true}, {"", "INT", "5", "CHANGE c d INT DEFAULT 9 COMMENT 'x'", false},
	{strict, "INT", "20200102", "MODIFY c DATETIME", true}, {"", "INT", "5", "MODIFY c DECIMAL(30,2)", false}, {strict, "DECIMAL(5,2)", "1.25", "MODIFY c DECIMAL(9,3)", false},
	{strict, "DECIMAL(5,2)", "1.25", "MODIFY c DECIMAL(5,1)", true}, {strict, "DECIMAL(5,2)", "1.25", "MODIFY c INT", true}, {"", "DECIMAL(5,2)", "123.25", "MODIFY c DECIMAL(5,3)", true},
	{strict, "FLOAT", "0.5", "MODIFY c DOUBLE", false}, {strict, "DOUBLE", "0.1", "MODIFY c FLOAT", true},
	{strict, "VARCHAR(10)", "'abc'", "MODIFY c VARCHAR(20)", false}, {strict, "VARCHAR(10)", "'abc '", "MODIFY c VARCHAR(4)", false}, {"", "VARCHAR(10)", "'abcdef'", "MODIFY c VARCHAR(4)", true},
	{strict, "VARCHAR(10)", "'abc  '", "MODIFY c TEXT", false}, {strict, "VARCHAR(10)", "'abc  '", "MODIFY c CHAR(10)", true}, {strict, "CHAR(10)", "'abc  '", "MODIFY c VARCHAR(10)", false},
	{strict, "TEXT", "'abc'", "MODIFY c LONGTEXT", false}, {"", "TEXT", "'abc'", "MODIFY c TINYTEXT", true}, {"", "TINYTEXT", "'abc'", "MODIFY c VARCHAR(255)", false},
	{strict, "VARCHAR(10) CHARACTER SET latin1", "'é'", "MODIFY c VARCHAR(10) CHARACTER SET utf8mb4", false}, {"", "VARCHAR(10)", "'ж'", "MODIFY c VARCHAR(10) CHARACTER SET latin1", true},
	{"", "VARCHAR(10) CHARACTER SET latin1", "'é'", "CONVERT TO CHARACTER SET utf8mb4", false}, {"", "TEXT CHARACTER SET utf8mb3", "'é'", "CONVERT TO CHARACTER SET utf8mb4", false},
	{"", "VARCHAR(10)", "'ж'", "CONVERT TO CHARACTER SET latin1", true}, {strict, "VARCHAR(10)", "'a'", "MODIFY c VARCHAR(10) COLLATE utf8mb4_bin", false},
	{strict, "VARCHAR(10) CHARACTER SET latin1", "'é'", "MODIFY c VARBINARY(10)", true}, {strict, "VARBINARY(4)", "'ab'", "MODIFY c BINARY(4)", true}, {strict, "BINARY(4)", "'ab'", "MODIFY c BINARY(5)", true},
	{strict, "BINARY(4)", "'ab'", "MODIFY c VARBINARY(4)", false}, {strict, "VARBINARY(4)", "'ab'", "MODIFY c BLOB", false},
	{strict, "ENUM('a','b')", "'b'", "MODIFY c ENUM('b','a','c')", false}, {"", "ENUM('a','b')", "'b'", "MODIFY c ENUM('a')", true}, {strict, "ENUM('a','b')", "'b'", "MODIFY c ENUM('a','B')", true},
	{strict, "ENUM('a','b')", "'b'", "MODIFY c VARCHAR(5)", true}, {strict, "SET('a','b')", "'a,b'", "MODIFY c SET('a','x','b')", false}, {strict, "SET('a','b')", "'a,b'", "MODIFY c SET('b','a')", true},
	{strict, "DATETIME", "'2020-01-02 03:04:05'", "MODIFY c DATETIME(3)", false}, {strict, "DATETIME(3)", "'2020-01-02 03:04:05.678'", "MODIFY c DATETIME", true},
	{strict, "TIMESTAMP NULL", "'2020-01-02 03:04:05'", "MODIFY c DATETIME", true}, {strict, "TIMESTAMP NULL", "'2020-01-02 03:04:05'", "MODIFY c TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP", true},
	{strict, "DATE", "'0000-00-00'", "MODIFY c DATE NOT NULL DEFAULT '2000-01-01'", false}, {strict, "DATETIME", "'2020-00-00 01:02:03'", "MODIFY c DATETIME(6), ADD x INT NOT NULL", false}, {"", "ENUM('a','b')", "'z'", "MODIFY c ENUM('b','a','c')", false},
	{strict, "BIT(3)", "5", "MODIFY c BIT(9)", false}, {"", "BIT(9)", "256", "MODIFY c BIT(3)", true},
	{strict, "INT AS (id + 1) STORED", "", "MODIFY c INT AS (id + 2) STORED", true}, {strict, "INT AS (id + 1) VIRTUAL", "", "DROP c, ADD c INT AS (id + 3) VIRTUAL", true},
	{strict, "INT", "5", "ADD INDEX (c), ALTER c SET DEFAULT 8, COMMENT='x'", false}, {strict, "INT", "5", "RENAME COLUMN c TO d", false},
	{strict, "INT", "5", "DROP c, ADD d INT DEFAULT (1 + 1)", true}, {strict, "INT", "5", "DROP c, ADD c INT DEFAULT 6", true}, {strict, "INT", "5", "CHANGE c d INT, ADD c INT", true},
}

// TestAlter_when_values_of_rows_change says that a change tells when rows may have other
// values though the log has none, and that it does not when nothing changed.
func TestAlter_when_values_of_rows_change(t *testing.T) {
	bothServers(t, func(t *testing.T, srv *sqlserver.Server, _ bool) {
		db := "alters"
		srv.Exec(t, "DROP DATABASE IF EXISTS "+db+"; CREATE DATABASE "+db+" CHARACTER SET utf8mb4")
		s := sourceOf(t, srv, nil)
		var made, alters, all strings.Builder
		for i, c := range alteredCases {
			fmt.Fprintf(&made, "CREATE TABLE t%d (id INT PRIMARY KEY, c %s); INSERT INTO t%d VALUES (1, %s);", i, c.old, i, cmp.Or(c.value, "DEFAULT"))
			fmt.Fprintf(&alters, "SET sql_mode = '%s'; ALTER TABLE t%d %s;", c.mode, i, c.change)
			fmt.Fprintf(&all, "SELECT * FROM %s.t%d;", db, i)
		}
		srv.Exec(t, "USE "+db+"; SET NAMES utf8mb4; SET sql_mode = '';"+made.String())
		tables := discover(t, s, db+".*")
		from := head(t, s)
		was := srv.Query(t, "SET NAMES utf8mb4;"+all.String())
		srv.Exec(t, "USE "+db+"; SET NAMES utf8mb4;"+alters.String())
		unfilled := map[string]string{}
		for _, change := range changesOf(t, s, tables, from, head(t, s)) {
			unfilled[change.After.Name.Table] += change.Unfilled
		}
		for i, is := range srv.Query(t, "SET NAMES utf8mb4;"+all.String()) {
			c := alteredCases[i]
			name := fmt.Sprintf("%q: %s %s, %s", c.mode, c.old, c.value, c.change)
			if why := unfilled[fmt.Sprint("t", i)]; (why != "") != c.unsure {
				t.Errorf("%s: unfilled: %q", name, why)
			}
			if before, after := strings.TrimRight(was[i][1], "0."), strings.TrimRight(is[1], "0."); !c.unsure && strings.TrimLeft(after, " ") != before {
				t.Errorf("%s: %q was %q", name, after, before)
			}
		}
	})
}

func TestAlter_IGNORE_when_rows_are_left_out(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id INT PRIMARY KEY, c VARCHAR(9)); INSERT INTO t VALUES (1,'a'),(2,'a')")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".t")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; SET sql_mode = '"+strict+"'; ALTER IGNORE TABLE t ADD UNIQUE (c); ALTER IGNORE TABLE t ADD INDEX (c)")
	changes := changesOf(t, s, tables, from, head(t, s))
	if len(changes) != 1 || !strings.Contains(changes[0].Unfilled, "left out") {
		t.Errorf("changes %+v", changes)
	}
}

// A table that was made in the log and has no rows yet, as online schema changes make it, is
// altered without a doubt.
func TestAlter_when_there_are_no_rows(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+`; CREATE TABLE a LIKE t; ALTER TABLE a ADD g INT AS (id + 1); RENAME TABLE a TO b; ALTER TABLE b ADD n INT NOT NULL AUTO_INCREMENT UNIQUE;
		INSERT INTO b (id) VALUES (1); ALTER TABLE b MODIFY g INT AS (id + 2)`)
	var got []string
	for _, c := range changesOf(t, s, tables, from, head(t, s)) {
		why, _, _ := strings.Cut(c.Unfilled, ",")
		got = append(got, c.After.Name.Table+":"+why)
	}
	same(t, got, "a:", "a:", "b:", "b:", "b:column g is generated from others")
}
