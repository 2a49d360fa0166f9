package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// unknown is how many of the shapings leave rows that the log does not tell.
const unknown = 5

// shapings are changes of tables with rows.
var shapings = []string{
	"ADD COLUMN more INT NOT NULL AUTO_INCREMENT UNIQUE",
	"ADD COLUMN more INT AS (n + 1) VIRTUAL, ADD COLUMN last INT AS (n + 2) STORED",
	"ADD COLUMN more INT DEFAULT (1 + 1)",
	"MODIFY n TINYINT",
	"DROP n, ADD n INT NOT NULL DEFAULT 7",

	"ADD COLUMN more DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), ADD COLUMN last TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
	"ADD COLUMN more TIMESTAMP NOT NULL DEFAULT '2020-02-03 04:05:06', ADD COLUMN last DATETIME DEFAULT '2020-02-03'",
	"MODIFY v VARCHAR(90), MODIFY n BIGINT",
	"MODIFY e ENUM('c', 'b', 'a')",
}

// TestAltered_when_rows_were_there: what a statement leaves in rows that were written before
// it is in the targets afterwards; tables are read again for that where it is not known.
func TestAltered_when_rows_were_there(t *testing.T) {
	for name, of := range map[string]kind{"MariaDB": mariaDB, "MySQL": mySQL} {
		t.Run(name, func(t *testing.T) { alteredWithRows(t, of) })
	}
}

func alteredWithRows(t *testing.T, of kind) {
	server := of.start(t)
	sql := "CREATE DATABASE app; USE app;"
	for i := range shapings {
		sql += fmt.Sprintf("CREATE TABLE t%d (id INT PRIMARY KEY, v VARCHAR(20), n INT, e ENUM('a','b')); INSERT INTO t%[1]d VALUES (1,'a',500,'a'),(2,'b',NULL,'b');", i)
	}
	server.Exec(t, sql)
	pg := newShop(t)
	j := newJob(t, server, "tables", `["app.*"]`, "until", "head", "format", "parquet", "more sinks", pg.sink())
	finish := func() string {
		t.Helper()
		code, said := pg.run(t, server.Password, j.args()...)
		want(t, code, said, 0)
		return said
	}
	finish()
	sql = "USE app; SET time_zone = '+05:45', sql_mode = '';"
	for i, how := range shapings {
		sql += fmt.Sprintf("INSERT INTO t%d (id, v, n, e) VALUES (3, 'c', 5, 'b'); ALTER TABLE t%[1]d %s; INSERT INTO t%[1]d (id, v) VALUES (4, 'd');", i, how)
	}
	server.Exec(t, sql)
	said := finish()
	for i := range shapings {
		line := fmt.Sprintf(`"the table needs a resync","table":"app.t%d"`, i)
		if marked := strings.Contains(said, line); marked != (i < unknown) {
			t.Errorf("%s: the table is marked: %v", shapings[i], marked)
		}
	}
	code, said := pg.run(t, server.Password, "verify", j.file(), "--state", j.state())
	want(t, code, said, 0)
}

// TestAltered_when_there_are_no_copies: a job of changes alone goes on, and says once that
// rows from before may differ.
func TestAltered_when_there_are_no_copies(t *testing.T) {
	server := mariaDB.start(t)
	server.Exec(t, "CREATE DATABASE app; CREATE TABLE app.a (id INT PRIMARY KEY)")
	j := newJob(t, server, "tables", `["app.*"]`, "mode", "changes", "until", "head")
	j.finish(server)
	server.Exec(t, "USE app; INSERT INTO a VALUES (1); ALTER TABLE a ADD n INT NOT NULL AUTO_INCREMENT UNIQUE; INSERT INTO a (id) VALUES (2)")
	code, said := run(t, server.Password, j.args()...)
	want(t, code, said, 0)
	if n := strings.Count(said, "column n numbered the rows that were there"); n != 1 || strings.Contains(said, "needs a resync") {
		t.Errorf("it is said %d times:\n%.2000s", n, said)
	}
}
