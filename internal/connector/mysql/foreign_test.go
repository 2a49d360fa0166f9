package mysql

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// reader opens the source as a new account that has what docs/sources.md asks for and
// may read the databases given, no more.
func reader(t *testing.T, srv *sqlserver.Server, spaces ...string) *source {
	t.Helper()
	srv.Exec(t, "DROP USER IF EXISTS reader@'127.0.0.1'; CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'pw'")
	follow := "BINLOG MONITOR"
	if !strings.Contains(srv.Version, "MariaDB") {
		follow = "REPLICATION CLIENT"
	}
	srv.Exec(t, "GRANT REPLICATION SLAVE, "+follow+" ON *.* TO reader@'127.0.0.1'")
	for _, s := range spaces {
		srv.Exec(t, "GRANT SELECT ON "+s+".* TO reader@'127.0.0.1'")
		if follow != "BINLOG MONITOR" {
			srv.Exec(t, "GRANT LOCK TABLES ON "+s+".* TO reader@'127.0.0.1'")
		}
	}
	t.Cleanup(func() { srv.Exec(t, "DROP USER reader@'127.0.0.1'") })
	return sourceOf(t, srv, map[string]any{"user": "reader", "password": secret.New("pw")})
}

// onBoth runs a test on MariaDB and on MySQL.
func onBoth(t *testing.T, f func(t *testing.T, srv *sqlserver.Server)) {
	t.Run("MariaDB", func(t *testing.T) { f(t, server(t)) })
	t.Run("MySQL", func(t *testing.T) { f(t, mysql.Start(t)) })
}

func TestDiscover_tells_cascades_to_who_may_only_read(t *testing.T) {
	onBoth(t, func(t *testing.T, srv *sqlserver.Server) {
		srv.Exec(t, "DROP DATABASE IF EXISTS fk2; DROP DATABASE IF EXISTS fk; CREATE DATABASE fk; CREATE DATABASE fk2"+`; USE fk;
CREATE TABLE parent (id INT PRIMARY KEY, u INT UNIQUE);
CREATE TABLE del (id INT PRIMARY KEY, p INT COMMENT 'FOREIGN KEY (x) REFERENCES y (z) ON DELETE CASCADE', FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE upd (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (u) ON DELETE NO ACTION ON UPDATE SET NULL);
CREATE TABLE none (id INT PRIMARY KEY, p INT, q INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE RESTRICT, FOREIGN KEY (q) REFERENCES parent (u));
CREATE TABLE `+"fk2.`odd ``(name), ✓` (id INT PRIMARY KEY, p INT, CONSTRAINT `on ``delete` FOREIGN KEY (p) REFERENCES fk.parent (id) ON DELETE SET NULL ON UPDATE CASCADE, KEY (p)) COMMENT 'it''s \\\\'")
		t.Cleanup(func() { srv.Exec(t, "DROP DATABASE fk2; DROP DATABASE fk") })
		want := "[fk.del fk.upd fk2.odd `(name), ✓]"
		s := reader(t, srv, "fk", "fk2")
		if got := fmt.Sprint(tableNamed(t, discover(t, s, "fk.*", "fk2.*"), "parent").Cascades); got != want {
			t.Errorf("parent reaches %s, want %s", got, want)
		}
		// Many tables are shown by one message, and one that is gone hides no other.
		c, err := s.dial(within(t))
		if err != nil {
			t.Fatal(err)
		}
		links, err := c.links(within(t), "fk", []string{"parent", "del", "gone", "upd", "none"})
		if err != nil || fmt.Sprint(links) != "[{{fk del} {fk parent}} {{fk upd} {fk parent}}]" {
			t.Errorf("links %v, %v", links, err)
		}
	})
}

func TestLinks_in_the_text_of_a_table(t *testing.T) {
	for text, want := range map[string]string{
		"CREATE TABLE `c` (\n  `p` int COMMENT 'FOREIGN KEY (`p`) REFERENCES `x` (`id`) ON DELETE CASCADE'\n)":                                                                       "[]",
		"CREATE TABLE `c` (\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `x` (`id`)\n) COMMENT='ON DELETE CASCADE'":                                                                "[]",
		"CREATE TABLE `c` (\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `x` (`id`),\n  CONSTRAINT `g` FOREIGN KEY (`q`) REFERENCES `e`.`y` (`id`, `a)`) ON UPDATE SET DEFAULT\n)": "[{{d c} {e y}}]",
		"CREATE TABLE `c` (\n  `on` int,\n  CONSTRAINT `f` FOREIGN KEY (`on`) REFERENCES `x``REFERENCES` (`id`) ON DELETE NO ACTION ON UPDATE CASCADE":                               "[{{d c} {d x`REFERENCES}}]",
		"CREATE TABLE `c` (CONSTRAINT `f` FOREIGN KEY": "[]",
	} {
		if got := fmt.Sprint(linksIn(text, row.Name{Space: "d", Table: "c"})); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
