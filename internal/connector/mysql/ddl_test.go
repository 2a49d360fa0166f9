package mysql

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"godwit/internal/row"
)

// steps are statements on table t of the database, which the shapes must follow
// exactly as the catalogue has them afterwards.
var steps = []string{
	"CREATE TABLE t (id INT, a VARCHAR(10), PRIMARY KEY (id))",
	"ALTER TABLE t ADD COLUMN b BIGINT UNSIGNED NOT NULL DEFAULT 7 FIRST, ADD COLUMN (c DATE, d TIME(3))",
	"ALTER TABLE t ADD IF NOT EXISTS c INT, ADD IF NOT EXISTS e ENUM('a','b''c','x,y') CHARACTER SET latin1 NOT NULL AFTER a",
	"alter table `t` change column `a` `A2` text(1000) character set utf8mb3 comment 'ALTER TABLE x', modify d datetime(6) default current_timestamp(6) on update current_timestamp(6) after id",
	"ALTER TABLE t DROP COLUMN IF EXISTS nothing, DROP c, RENAME COLUMN b TO B",
	"ALTER TABLE t CHANGE e B INT, CHANGE B e DECIMAL(12,3) UNSIGNED ZEROFILL",
	"ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (e, id)",
	"ALTER TABLE t ADD f BOOLEAN, ADD g JSON, ADD h BIT, ADD i BLOB(10), ADD j YEAR, ADD k FLOAT(7,3), ADD l DOUBLE PRECISION, ADD m NUMERIC, ADD n CHAR, ADD o BINARY, ADD p REAL, ADD q SERIAL",
	"ALTER TABLE t ADD s VARCHAR(5) BINARY, ADD u CHAR(3) CHARACTER SET binary, ADD v FLOAT(30), ADD w INTEGER(5) UNSIGNED, ADD x MEDIUMTEXT COLLATE utf8mb4_bin, ADD y LONGBLOB, ADD z SET('q','r')",
	"ALTER TABLE t ADD aa TEXT(20), ADD ab TEXT(70000), ADD ac VARBINARY(30) NOT NULL, ADD ad TIMESTAMP NULL, ADD ae INT1, ADD af INT8 UNSIGNED, ADD ag MIDDLEINT, ADD ah LONG VARCHAR, ADD ai DEC(5), ADD aj CHARACTER VARYING(7)",
	"ALTER TABLE t DEFAULT CHARACTER SET latin1 COLLATE latin1_german1_ci, ADD ak VARCHAR(9)",
	"ALTER TABLE t ADD al POINT, ADD point POINT, ADD am GEOMETRY",
	"ALTER TABLE t ADD an INT AS (id + 1) VIRTUAL, ADD ao INT GENERATED ALWAYS AS (id + 1) STORED",
	"ALTER TABLE t ADD COLUMN ap INT /*!50001 NOT NULL */ /*M!100201 DEFAULT 3 */ /* a comment */, ALGORITHM=INPLACE, LOCK=NONE",
	"ALTER TABLE t MODIFY ap SMALLINT FIRST, MODIFY A2 TEXT AFTER ap",
	"ALTER TABLE t ADD INDEX (w), ADD UNIQUE uu (f), ALTER f SET DEFAULT 1, COMMENT='x', ENGINE=InnoDB, ROW_FORMAT=DYNAMIC",
	"CREATE INDEX xx ON t (h)",
	"ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
	"ALTER TABLE t ADD aq UUID, ADD ar INET6",
	"ALTER TABLE t ADD at VARCHAR(20) DEFAULT (UPPER('x')) CHECK (at <> 'y'), ADD CONSTRAINT ck CHECK (id > 0)",
	"RENAME TABLE t TO t2, t2 TO t",
	"CREATE OR REPLACE TABLE t (a INT NOT NULL, b INT, UNIQUE KEY (a))",
	"ALTER TABLE t ADD UNIQUE (b)",
	"CREATE OR REPLACE TABLE t (a INT NOT NULL, b INT NOT NULL)",
	"CREATE UNIQUE INDEX un ON t (b, a)",
	"SET SESSION sql_mode='ANSI_QUOTES'; ALTER TABLE \"t\" ADD \"quoted col\" VARCHAR(10) DEFAULT 'it''s'",
	"SET SESSION sql_mode='NO_BACKSLASH_ESCAPES'; ALTER TABLE t ADD slash VARCHAR(10) DEFAULT '\\', ADD more INT",
	"SET NAMES latin1; ALTER TABLE t ADD `gr\xfc\xdfe` INT",
	"CREATE OR REPLACE TABLE t LIKE like_me",
	"DROP TABLE t; CREATE TABLE IF NOT EXISTS t (x INT KEY) DEFAULT CHARSET=ucs2 AS SELECT 5 x, 'y' y",
	"CREATE TABLE IF NOT EXISTS t (y INT)",
	"ALTER TABLE t ADD cy VARCHAR(5) CHARACTER SET cp1251 COLLATE cp1251_bin NOT NULL COMMENT 'c', ADD gr CHAR(2) CHARSET 'greek', ADD uc VARCHAR(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci",
	"TRUNCATE t; ALTER TABLE t ADD z VARCHAR(10) NULL",
}

func TestShapes_when_compared_with_the_catalogue_after_each_statement(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "CREATE TABLE "+db+".like_me (k CHAR(5) CHARACTER SET ascii PRIMARY KEY, v INT)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	c, err := s.dial(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var shapes []*row.Table
	for i, sql := range steps {
		srv.Exec(t, "USE "+db+"; SET sql_mode=''; "+sql+fmt.Sprintf("; CREATE TABLE step%d (i INT)", i))
		now, err := s.shapeOf(within(t), c, row.Name{Space: db, Table: "t"})
		if err != nil {
			t.Fatal(sql, err)
		}
		shapes = append(shapes, now)
	}
	var present *row.Table
	split := everything(tables)
	split.Until.Place = head(t, s)
	step := 0
	err = s.Read(within(t), split, from, func(b *row.Batch) error {
		defer b.Release()
		if b.Change == nil {
			return nil
		}
		after := b.Change.After
		switch {
		case after == nil:
			present = nil
		case after.Name.Table == fmt.Sprintf("step%d", step):
			compareShapes(t, steps[step], present, shapes[step])
			step++
		case after.Name.Table == "t" || after.Name.Table == "t2":
			present = after
		}
		return nil
	})
	if err != nil || step != len(steps) {
		t.Fatal(err, step)
	}
}

func compareShapes(t *testing.T, sql string, got, want *row.Table) {
	t.Helper()
	if got == nil || got.Stopped != "" {
		t.Errorf("after %s: %+v", sql, got)
		return
	}
	if got.SameShape(want) && got.Charset == want.Charset && got.Collation == want.Collation {
		return
	}
	t.Errorf("after %s: table %s %s %v, want %s %s %v", sql, got.Charset, got.Collation, got.Key, want.Charset, want.Collation, want.Key)
	for i := range max(len(got.Columns), len(want.Columns)) {
		var g, w row.Column
		if i < len(got.Columns) {
			g = got.Columns[i]
		}
		if i < len(want.Columns) {
			w = want.Columns[i]
		}
		g.Default, w.Default = nil, nil
		if !reflect.DeepEqual(g, w) {
			t.Errorf("column %d:\n got %+v\nwant %+v", i, g, w)
		}
	}
}

func TestShapes_when_indexes_go(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, UNIQUE ua (a)); CREATE TABLE p (a INT PRIMARY KEY, b INT UNIQUE)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	srv.Exec(t, "USE "+db+"; INSERT INTO t VALUES (1,1); DROP INDEX ua ON t; UPDATE t SET b = 2; ALTER TABLE p DROP INDEX b; INSERT INTO p VALUES (1,1)")
	to := head(t, s)
	same(t, follow(t, s, tables, from, to), `insert t 1 1`, `alter t a:int(11) b:int(11)`, `before t 1 1`, `update t 1 2`, `insert p 1 1`)
	srv.Exec(t, "USE "+db+"; ALTER TABLE t ADD UNIQUE (b)")
	same(t, follow(t, s, tables, from, to), `insert t 1 1`, `stop t`, `insert p 1 1`)
}

func TestShapes_when_columns_are_added_with_defaults(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "USE "+db+"; SET sql_mode=''; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	from := head(t, s)
	adds := []string{"INT DEFAULT -5", "INT NOT NULL", "VARCHAR(9) DEFAULT 'it''s'", "VARCHAR(9) NOT NULL", "DECIMAL(10,3) DEFAULT 1.5", "DECIMAL(10,3) NOT NULL", "DOUBLE DEFAULT 2.5",
		"ENUM('p','q') NOT NULL", "DATE DEFAULT '2020-01-02'", "DATE NOT NULL", "TEXT NOT NULL", "BOOLEAN DEFAULT TRUE", "INT", "VARCHAR(9) DEFAULT NULL", "BIGINT UNSIGNED DEFAULT 18446744073709551615",
		"CHAR(5) DEFAULT 'a  '", "VARCHAR(5) DEFAULT 'a  '", "BINARY(4) DEFAULT 'ab'", "VARBINARY(4) DEFAULT 'ab'", "ENUM('x ','y') DEFAULT 'x '", "ENUM('x','y') DEFAULT 'Y'", "SET('a','b') DEFAULT 'B,a'", "SET('a','b') DEFAULT ''",
		"INT DEFAULT '5.6'", "INT DEFAULT -5.5", "YEAR DEFAULT '99'", "YEAR DEFAULT 7", "DATETIME DEFAULT '2001-02-03'"}
	for i, a := range adds {
		srv.Exec(t, fmt.Sprintf("USE %s; SET sql_mode=''; ALTER TABLE t ADD c%d %s", db, i, a))
	}
	events := readEvents(t, s, from, head(t, s), tables)
	last := events[len(events)-1].tables[0]
	shown := srv.Query(t, "SELECT * FROM "+db+".t")[0]
	for i, a := range adds {
		got := " NULL "
		if d := last.Columns[i+1].Default; d != nil {
			got = strings.ReplaceAll(*d, "\x00", " ")
		}
		if want := strings.ReplaceAll(shown[i+1], "\x00", " "); got != want {
			t.Errorf("%s: default %q, the row shows %q", a, got, want)
		}
	}
}

func TestCharsets_when_asked_of_the_server(t *testing.T) {
	srv := server(t)
	for _, r := range srv.Query(t, "SELECT character_set_name FROM information_schema.character_sets WHERE maxlen = 1 AND character_set_name <> 'binary'") {
		c, ok := charsetOf(r[0])
		if !ok || c == nil {
			t.Errorf("%s is not known", r[0])
			continue
		}
		var asks []string
		for i := range 256 {
			asks = append(asks, fmt.Sprintf("HEX(CONVERT(_%s 0x%02x USING utf8mb4))", r[0], i))
		}
		for i, want := range srv.Query(t, "SELECT "+strings.Join(asks, ","))[0] {
			if got := fmt.Sprintf("%X", c.append(nil, []byte{byte(i)})); got != want {
				t.Errorf("%s %02x: %s, the server says %s", r[0], i, got, want)
			}
		}
	}
	for _, name := range []string{"ucs2", "utf16", "utf16le", "utf32"} {
		c, _ := charsetOf(name)
		text := "aé漢"
		if name != "ucs2" {
			text += "😀"
		}
		raw := srv.Query(t, fmt.Sprintf("SET NAMES utf8mb4; SELECT HEX(CONVERT('%s' USING %s))", text, name))[0][0]
		var b []byte
		if _, err := fmt.Sscanf(raw, "%X", &b); err != nil || string(c.append(nil, b)) != text {
			t.Errorf("%s: %s is %q (%v)", name, raw, c.append(nil, b), err)
		}
	}
}

func TestStream_when_another_reader_has_the_same_id(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY)")
	one, two := sourceOf(t, srv, map[string]any{"server_id": int64(777)}), sourceOf(t, srv, map[string]any{"server_id": int64(777)})
	tables := discover(t, one, db+".a")
	from := head(t, one)
	ctx := within(t)
	x := startTail(t, ctx, one, everything(tables), from)
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (1)")
	x.rows(t, 1)
	y := startTail(t, ctx, two, everything(tables), from)
	y.rows(t, 1)
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (2)")
	same(t, x.rows(t, 2), "insert a 1", "insert a 2")
	same(t, y.rows(t, 2), "insert a 1", "insert a 2")
	if one.idTaken.Load() == two.idTaken.Load() && !one.idTaken.Load() {
		t.Error("nobody noticed the same id")
	}
}
