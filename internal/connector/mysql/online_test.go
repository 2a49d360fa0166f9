package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// ghost is what gh-ost sends to change d.a while it is written to; writes stand in place
// of others' statements.
func ghost(writes []string) []string {
	return []string{
		"CREATE /* gh-ost */ TABLE `d`.`_a_ghc` (id bigint unsigned auto_increment, last_update timestamp not null DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, hint varchar(64) charset ascii not null, value varchar(4096) charset ascii not null, primary key(id), unique key hint_uidx(hint)) auto_increment=256 comment='gh-ost'",
		"create /* gh-ost */ table `d`.`_a_gho` like `d`.`a`",
		"alter /* gh-ost */ table `d`.`_a_gho` ADD COLUMN w INT NOT NULL DEFAULT 7, CHANGE COLUMN v vv BIGINT, engine=innodb",
		"insert /* gh-ost */ into `d`.`_a_ghc` (id, hint, value) values (NULLIF(1, 0), 'state', 'GhostTableMigrated') on duplicate key update last_update=NOW(), value=VALUES(value)",
		writes[0],
		"insert /* gh-ost `d`.`a` */ ignore into `d`.`_a_gho` (`id`, `vv`) (select `id`, `v` from `d`.`a` force index (`PRIMARY`) where (((`id` > _binary'1') or ((`id` = _binary'1'))) and ((`id` < _binary'3000') or ((`id` = _binary'3000')))) lock in share mode)",
		writes[1],
		"replace /* gh-ost `d`.`_a_gho` */ into `d`.`_a_gho` (`id`, `vv`) values (5000, 1), (1, 99)",
		"delete /* gh-ost `d`.`_a_gho` */ from `d`.`_a_gho` where ((`id` = 2))",
		"create /* gh-ost */ table `d`.`_a_del` (id int auto_increment primary key) engine=InnoDB comment='ghost-cut-over-sentry'",
		"drop /* gh-ost */ table if exists `d`.`_a_del`",
		"rename /* gh-ost */ table `d`.`a` to `d`.`_a_del`, `d`.`_a_gho` to `d`.`a`",
		"drop /* gh-ost */ table if exists `d`.`_a_ghc`",
		"drop /* gh-ost */ table if exists `d`.`_a_del`",
	}
}

// toolkit is what pt-online-schema-change sends.
func toolkit(writes []string) []string {
	trigger := func(name, event, do string) string {
		return fmt.Sprintf("\nDELIMITER //\nCREATE TRIGGER `pt_osc_d_a_%s` AFTER %s ON `d`.`a` FOR EACH ROW %s//\nDELIMITER ;\n", name, event, do)
	}
	return []string{
		"CREATE TABLE `d`.`_a_new` (\n  `id` int(11) NOT NULL,\n  `v` int(11) DEFAULT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
		"ALTER TABLE `d`.`_a_new` ADD COLUMN w INT NOT NULL DEFAULT 7, CHANGE COLUMN v vv BIGINT",
		trigger("del", "DELETE", "DELETE IGNORE FROM `d`.`_a_new` WHERE `d`.`_a_new`.`id` <=> OLD.`id`"),
		trigger("upd", "UPDATE", "BEGIN DELETE IGNORE FROM `d`.`_a_new` WHERE !(OLD.`id` <=> NEW.`id`) AND `d`.`_a_new`.`id` <=> OLD.`id`; REPLACE INTO `d`.`_a_new` (`id`, `vv`) VALUES (NEW.`id`, NEW.`v`); END"),
		trigger("ins", "INSERT", "REPLACE INTO `d`.`_a_new` (`id`, `vv`) VALUES (NEW.`id`, NEW.`v`)"),
		writes[0],
		"INSERT LOW_PRIORITY IGNORE INTO `d`.`_a_new` (`id`, `vv`) SELECT `id`, `v` FROM `d`.`a` FORCE INDEX(`PRIMARY`) WHERE ((`id` >= '1')) AND ((`id` <= '3000')) LOCK IN SHARE MODE /*pt-online-schema-change 4711 copy nibble*/",
		writes[1],
		"ANALYZE TABLE `d`.`_a_new` /* pt-online-schema-change */",
		"RENAME TABLE `d`.`a` TO `d`.`_a_old`, `d`.`_a_new` TO `d`.`a`",
		"DROP TABLE IF EXISTS `_a_old`",
		"DROP TRIGGER IF EXISTS `d`.`pt_osc_d_a_del`", "DROP TRIGGER IF EXISTS `d`.`pt_osc_d_a_upd`", "DROP TRIGGER IF EXISTS `d`.`pt_osc_d_a_ins`",
	}
}

// TestStream_when_a_table_is_changed_online says that the stream goes on under the new
// shape when all tables are chosen, and that a table chosen alone is marked: the rows that
// came with the other were never read.
func TestStream_when_a_table_is_changed_online(t *testing.T) {
	writes := []string{"INSERT INTO a VALUES (5000, 0)", "UPDATE a SET v = 99 WHERE id = 1; UPDATE a SET v = 1 WHERE id = 5000; DELETE FROM a WHERE id = 2"}
	for name, start := range map[string]func() *sqlserver.Server{
		"MariaDB": func() *sqlserver.Server { return mariadb.Start(t) },
		"MySQL":   func() *sqlserver.Server { return mysql.Start(t) },
	} {
		srv := start()
		for tool, statements := range map[string][]string{"gh-ost": ghost(writes), "pt-online-schema-change": toolkit(writes)} {
			t.Run(name+" "+tool, func(t *testing.T) { changeOnline(t, srv, statements) })
		}
	}
}

func changeOnline(t *testing.T, srv *sqlserver.Server, statements []string) {
	srv.Exec(t, "DROP DATABASE IF EXISTS d; CREATE DATABASE d CHARACTER SET utf8mb4; USE d; CREATE TABLE a (id INT(11) NOT NULL PRIMARY KEY, v INT(11) DEFAULT NULL); INSERT INTO a VALUES (1,1),(2,2),(3,3)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.a")
	from := head(t, s)
	for _, sql := range statements {
		srv.Exec(t, "USE d; "+sql)
	}
	srv.Exec(t, "INSERT INTO d.a VALUES (4, 4, 4)")
	to := head(t, s)
	shadow := map[string]string{} // rows of the table that becomes a
	var last, stops []string
	for _, e := range readChosen(t, s, from, to, tables, "d.*") {
		f := strings.Fields(e.line)
		switch {
		case f[0] == "stop":
			stops = append(stops, e.line)
		case len(f) > 2 && (f[1] == "_a_gho" || f[1] == "_a_new") && (f[0] == "insert" || f[0] == "update"):
			shadow[f[2]] = strings.Join(f[2:], " ")
		case len(f) > 2 && (f[1] == "_a_gho" || f[1] == "_a_new") && f[0] == "delete":
			delete(shadow, f[2])
		}
		last = f
	}
	shadow["4"] = strings.Join(last[2:], " ")
	var got []string
	for _, r := range shadow {
		got = append(got, r)
	}
	slices.Sort(got)
	compareRows(t, got, expect(t, srv, "SELECT CONCAT_WS(' ', id, vv, w) FROM d.a"))
	if len(stops) > 0 {
		t.Errorf("marked: %q", stops)
	}
	alone := readChosen(t, s, from, to, tables, "d.a")
	if e := alone[len(alone)-1]; e.line != "stop a" {
		t.Errorf("chosen alone it ends with %q", e.line)
	}
}
