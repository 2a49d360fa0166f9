package mysql

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/row"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// What the catalogue says of defaults is what a row shows in a column that is added:
// the server is asked for both, and so is the statement that adds it.
func TestDefault_when_columns_are_added(t *testing.T) {
	both := []string{
		"int", "int NOT NULL", "int NOT NULL DEFAULT 5", "int DEFAULT -7", "int DEFAULT NULL", "tinyint(1) DEFAULT TRUE", "bigint unsigned DEFAULT 18446744073709551615",
		"decimal(9,2) DEFAULT 1.5", "decimal(9,2) NOT NULL", "double DEFAULT 0.5",
		"varchar(20) DEFAULT 'it''s \"é\"  \\\\'", "varchar(20) NOT NULL", "varchar(20) DEFAULT ''", "varchar(20) DEFAULT 'NULL'", "char(3) DEFAULT 'a'",
		"enum('x','y''z') NOT NULL", "enum('x','y''z') DEFAULT 'y''z'", "set('a','b') DEFAULT 'a,b'",
		"bit(3) DEFAULT b'101'", "bit(3) NOT NULL", "date DEFAULT '2001-02-03'", "time DEFAULT '-12:34:56'", "datetime DEFAULT '2001-02-03 04:05:06'", "year DEFAULT 1999",
		"char(3) DEFAULT 'a '", "enum('x ','y') DEFAULT 'Y'", "set('a','b') DEFAULT 'b,a'", "varbinary(3) DEFAULT 'ab'",
		"int DEFAULT (1 + 1)", "varchar(40) DEFAULT (concat('a', 'b'))", "datetime DEFAULT CURRENT_TIMESTAMP",
	}
	for name, srv := range map[string]*sqlserver.Server{"MariaDB": server(t), "MySQL": mysql.Start(t)} {
		t.Run(name, func(t *testing.T) {
			db := "defaults"
			srv.Exec(t, "CREATE DATABASE "+db+" CHARACTER SET utf8mb4")
			s := sourceOf(t, srv, nil)
			all := both
			if name == "MySQL" {
				all = append(slices.Clip(both), "json NOT NULL")
			}
			for _, def := range all {
				srv.Exec(t, "DROP TABLE IF EXISTS "+db+".t; CREATE TABLE "+db+".t (id INT PRIMARY KEY); INSERT INTO "+db+".t VALUES (1); SET NAMES utf8mb4; ALTER TABLE "+db+".t ADD COLUMN c "+def)
				c := discover(t, s, db+".t")[0].Columns[1]
				show := "c"
				if c.Type.Kind == row.Bits {
					show = "c + 0"
				}
				want := srv.Query(t, "SET NAMES utf8mb4; SELECT "+show+" FROM "+db+".t")[0][0]
				got := sqlserver.Null
				if c.Default != nil {
					got = *c.Default
				}
				expression := strings.Contains(def, "(1") || strings.Contains(def, "concat") || strings.Contains(def, "CURRENT") // null: unknown
				if got != want && !expression || expression && got != sqlserver.Null && got != want {
					t.Errorf("%s: %q, and a row shows %q", def, got, want)
				}
			}
		})
	}
}
