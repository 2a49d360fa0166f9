package toolkit

import (
	"testing"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

func TestChange_on_both_servers(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *sqlserver.Server{"MariaDB": mariadb.Start, "MySQL": mysql.Start} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT PRIMARY KEY, v INT); INSERT INTO d.a VALUES (1, 2)")
			if said, err := Change(s, "d", "a", "ADD COLUMN w INT NOT NULL DEFAULT 7, MODIFY v BIGINT"); err != nil {
				t.Fatal(err, said)
			}
			if got := s.Query(t, "SELECT * FROM d.a"); len(got) != 1 || len(got[0]) != 3 || got[0][2] != "7" {
				t.Errorf("%v", got)
			}
			if _, err := Change(s, "d", "a", "ADD COLUMN w INT"); err == nil {
				t.Error("a change that is not possible was done")
			}
		})
	}
}
