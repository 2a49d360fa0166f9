package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/fault"
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
		if err != nil || fmt.Sprint(links) != "[{{fk del} {{fk parent} [id]}} {{fk upd} {{fk parent} [u]}}]" {
			t.Errorf("links %v, %v", links, err)
		}
	})
}

func TestLinks_in_the_text_of_a_table(t *testing.T) {
	for text, want := range map[string]string{
		"CREATE TABLE `c` (\n  `p` int COMMENT 'FOREIGN KEY (`p`) REFERENCES `x` (`id`) ON DELETE CASCADE'\n)":                                                                       "[]",
		"CREATE TABLE `c` (\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `x` (`id`)\n) COMMENT='ON DELETE CASCADE'":                                                                "[]",
		"CREATE TABLE `c` (\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `x` (`id`),\n  CONSTRAINT `g` FOREIGN KEY (`q`) REFERENCES `e`.`y` (`id`, `a)`) ON UPDATE SET DEFAULT\n)": "[{{d c} {{e y} [id a)]}}]",
		"CREATE TABLE `c` (\n  `on` int,\n  CONSTRAINT `f` FOREIGN KEY (`on`) REFERENCES `x``REFERENCES` (`id`) ON DELETE NO ACTION ON UPDATE CASCADE":                               "[{{d c} {{d x`REFERENCES} [id]}}]",
		"CREATE TABLE `c` (CONSTRAINT `f` FOREIGN KEY": "[]",
	} {
		if got := fmt.Sprint(linksIn(text, row.Name{Space: "d", Table: "c"})); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// children are tables of the database kids: others, all in the database folk, are not
// chosen.
const children = `CREATE DATABASE kids; CREATE DATABASE folk; USE folk;
CREATE TABLE top (id INT PRIMARY KEY); CREATE TABLE middle (id INT PRIMARY KEY, t INT, x INT, FOREIGN KEY (t) REFERENCES top (id) ON DELETE CASCADE);
CREATE TABLE near (id INT PRIMARY KEY, x INT) ; USE kids;
CREATE TABLE low (id INT PRIMARY KEY, m INT, FOREIGN KEY (m) REFERENCES folk.middle (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE lower1 (id INT PRIMARY KEY, l INT, FOREIGN KEY (l) REFERENCES low (id) ON DELETE SET NULL);
CREATE TABLE free (id INT PRIMARY KEY, n INT, FOREIGN KEY (n) REFERENCES folk.near (id));
CREATE TABLE folk.codes (id INT PRIMARY KEY, code INT UNIQUE, x INT); CREATE TABLE coded (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES folk.codes (code) ON UPDATE CASCADE);
CREATE TABLE bare (code INT UNIQUE, x INT); CREATE TABLE under1 (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES bare (code) ON UPDATE SET NULL);
INSERT INTO folk.codes VALUES (1, 10, 0); INSERT INTO coded VALUES (1, 10); INSERT INTO bare VALUES (10, 0); INSERT INTO under1 VALUES (1, 10);
INSERT INTO folk.top VALUES (1), (2); INSERT INTO folk.middle VALUES (10, 1, 0), (11, 2, 0), (12, 2, 0); INSERT INTO folk.near VALUES (5, 0);
INSERT INTO low VALUES (100, 10), (101, 11); INSERT INTO lower1 VALUES (200, 100), (201, 101); INSERT INTO free VALUES (300, NULL)`

func TestStream_when_the_parent_is_not_chosen(t *testing.T) {
	onBoth(t, func(t *testing.T, srv *sqlserver.Server) {
		inline := []string{"create inl", "alter inl", "stop inl"}
		if !strings.Contains(srv.Version, "MariaDB") {
			inline = inline[:1] // MySQL passes REFERENCES behind a column over
		}
		for name, c := range map[string]struct {
			does string
			want []string
		}{
			"a delete by a key behind a column":                             {"CREATE TABLE kids.inl (id INT PRIMARY KEY, n INT REFERENCES folk.near (id) ON DELETE CASCADE); DELETE FROM folk.near", inline},
			"a delete after the child was renamed":                          {"RENAME TABLE kids.low TO kids.lew; DELETE FROM folk.middle WHERE id = 10", []string{"alter lew", "alter lower1", "stop lew", "stop lower1"}},
			"a delete after the parent left the tables":                     {"RENAME TABLE kids.low TO folk.low; DELETE FROM folk.low", []string{"drop low", "alter lower1", "stop lower1"}},
			"an update of what is not referenced":                           {"UPDATE folk.middle SET x = 1; UPDATE folk.near SET x = 2; DELETE FROM folk.near", nil},
			"an update beside a column that is referenced":                  {"UPDATE folk.codes SET x = 1; UPDATE kids.bare SET x = 1", []string{"before bare", "update bare"}},
			"an update of a column that is referenced":                      {"UPDATE folk.codes SET code = 11", []string{"stop coded"}},
			"such an update with only what changed":                         {"SET binlog_row_image = MINIMAL; UPDATE folk.codes SET code = 11; SET binlog_row_image = FULL", []string{"stop coded"}},
			"an update of a column that is referenced without a key":        {"UPDATE kids.bare SET code = 11", []string{"before bare", "update bare", "stop under1"}},
			"an update beside a column that was renamed":                    {"ALTER TABLE folk.codes CHANGE code sign INT, CHANGE x code INT; UPDATE folk.codes SET code = 11", []string{"alter coded"}},
			"an update beside a column of a chosen parent that was renamed": {"ALTER TABLE kids.bare RENAME COLUMN code TO sign; UPDATE kids.bare SET x = 1", []string{"alter bare", "alter under1", "before bare", "update bare"}},
			"an update of a column that was renamed":                        {"ALTER TABLE folk.codes RENAME COLUMN code TO sign, RENAME TO folk.signs; UPDATE folk.signs SET sign = 11", []string{"alter coded", "alter coded", "stop coded"}},
			"an update of a column that is referenced by a key that came":   {"ALTER TABLE kids.free ADD FOREIGN KEY (n) REFERENCES folk.codes (code) ON UPDATE CASCADE; UPDATE folk.codes SET code = 11", []string{"alter free", "stop coded", "stop free"}},
			"a delete":                       {"DELETE FROM folk.middle WHERE id = 10", []string{"stop low", "stop lower1"}},
			"an update of the key":           {"UPDATE folk.middle SET id = 19 WHERE id = 11", []string{"stop low", "stop lower1"}},
			"a delete above the parent":      {"DELETE FROM folk.top WHERE id = 1", []string{"stop low", "stop lower1"}},
			"a delete in an XA transaction":  {"XA START 'f'; DELETE FROM folk.top WHERE id = 1; XA END 'f'; XA PREPARE 'f'; XA COMMIT 'f'", []string{"stop low", "stop lower1"}},
			"a delete after it was altered":  {"ALTER TABLE folk.middle ADD y INT FIRST; UPDATE folk.middle SET y = 2; DELETE FROM folk.middle WHERE id = 10", []string{"stop low", "stop lower1"}},
			"a delete after it was renamed":  {"RENAME TABLE folk.top TO folk.old; DELETE FROM folk.old WHERE id = 1", []string{"alter low", "alter lower1", "stop low", "stop lower1"}},
			"a delete logged as a statement": {"SET binlog_format = STATEMENT; DELETE FROM folk.middle WHERE id = 10; SET binlog_format = ROW", []string{"stop low", "stop lower1"}},
			"a delete by a key that came":    {"ALTER TABLE kids.free ADD FOREIGN KEY (n) REFERENCES folk.near (id) ON DELETE CASCADE; DELETE FROM folk.near", []string{"alter free", "stop free"}},
			"a delete above a key that came": {"CREATE TABLE kids.fresh (id INT PRIMARY KEY, m INT, CONSTRAINT ff FOREIGN KEY (m) REFERENCES folk.middle (id) ON DELETE SET NULL); DELETE FROM folk.top WHERE id = 2",
				[]string{"create fresh", "alter fresh", "stop fresh", "stop low", "stop lower1"}},
			"a delete above a key of a parent": {"CREATE TABLE folk.apex (id INT PRIMARY KEY); INSERT INTO folk.apex VALUES (1), (2); ALTER TABLE folk.top ADD FOREIGN KEY (id) REFERENCES folk.apex (id) ON DELETE CASCADE; DELETE FROM folk.apex",
				[]string{"alter low", "alter lower1", "stop low", "stop lower1"}},
		} {
			t.Run(name, func(t *testing.T) {
				srv.Exec(t, "SET FOREIGN_KEY_CHECKS = 0; DROP DATABASE IF EXISTS kids; DROP DATABASE IF EXISTS folk; SET FOREIGN_KEY_CHECKS = 1; "+children)
				s := reader(t, srv, "kids", "folk")
				tables := discover(t, s, "kids.*")
				from := head(t, s)
				srv.Exec(t, c.does)
				to := head(t, s)
				all := readChosen(t, s, from, to, tables, "kids.*")
				var got []string
				for _, e := range all {
					got = append(got, strings.Join(strings.Fields(e.line)[:2], " "))
				}
				slices.Sort(got)
				same(t, got, slices.Sorted(slices.Values(c.want))...)
				readChosenAgain(t, s, all, to, "kids.*")
			})
		}
	})
}

func TestStream_when_only_changes_of_a_parents_documents_are_logged(t *testing.T) {
	srv := mysql.Start(t)
	srv.Exec(t, "CREATE DATABASE folk; CREATE DATABASE kids"+`; CREATE TABLE folk.p (id INT PRIMARY KEY, d JSON, code INT UNIQUE); INSERT INTO folk.p VALUES (1, '{"a": "one", "b": 1}', 10);
CREATE TABLE kids.k (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES folk.p (code) ON UPDATE CASCADE); INSERT INTO kids.k VALUES (1, 10)`)
	s := sourceOf(t, srv, nil)
	for _, pattern := range []string{"kids.*", "*.*"} {
		tables := discover(t, s, pattern)
		for does, stops := range map[string]int{"d = JSON_SET(d, '$.b', id + 1)": 0, "d = JSON_SET(d, '$.b', 7), code = code + 1": 1} {
			from := head(t, s)
			srv.Exec(t, "SET binlog_row_value_options = PARTIAL_JSON; UPDATE folk.p SET "+does+"; UPDATE folk.p SET d = JSON_SET(d, '$.b', 1); SET binlog_row_value_options = ''")
			var lines []string
			for _, e := range readChosen(t, s, from, head(t, s), tables, pattern) {
				if strings.HasPrefix(e.line, "stop") {
					lines = append(lines, e.line)
				}
			}
			same(t, lines, slices.Repeat([]string{"stop k"}, stops)...)
		}
	}
}

func TestCheck_when_the_parent_is_not_chosen(t *testing.T) {
	onBoth(t, func(t *testing.T, srv *sqlserver.Server) {
		srv.Exec(t, "SET FOREIGN_KEY_CHECKS = 0; DROP DATABASE IF EXISTS kids; DROP DATABASE IF EXISTS folk; SET FOREIGN_KEY_CHECKS = 1; "+children)
		s := reader(t, srv, "kids", "folk")
		f, ok := finding(s.Check(within(t), discover(t, s, "kids.*")), "foreign keys")
		if !ok || !f.Warn || !fault.Has(f.Fault, fault.ResyncNeeded) || !strings.Contains(f.Detail, "folk.middle (not chosen) → kids.low") || !strings.Contains(f.Detail, "folk.top (not chosen) → kids.lower1") || strings.Contains(f.Detail, "near") {
			t.Errorf("%+v", f)
		}
		srv.Exec(t, "REVOKE SELECT ON folk.* FROM reader@'127.0.0.1'")
		s = sourceOf(t, srv, map[string]any{"user": "reader", "password": secret.New("pw")})
		tables := discover(t, s, "kids.*")
		found := s.Check(within(t), tables)
		hidden := found[len(found)-1]
		if !hidden.Warn || !fault.Has(hidden.Fault, fault.SourceGrants) || !strings.Contains(hidden.Fault.Hint, "GRANT SELECT ON `folk`.`middle` TO 'reader'@'127.0.0.1';") {
			t.Errorf("%+v", hidden)
		}
		// What cannot be read marks at any update.
		from := head(t, s)
		srv.Exec(t, "UPDATE folk.near SET x = 1; UPDATE folk.middle SET x = 1 WHERE id = 12")
		var lines []string
		for _, e := range readChosen(t, s, from, head(t, s), tables, "kids.*") {
			lines = append(lines, e.line)
		}
		same(t, lines, "stop low", "stop lower1")
	})
}
