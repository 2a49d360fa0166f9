package mysql

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

// finding returns the finding with a name, and whether there is one.
func finding(found []connector.Finding, name string) (connector.Finding, bool) {
	for _, f := range found {
		if f.Name == name {
			return f, true
		}
	}
	return connector.Finding{}, false
}

func TestCheck_of_a_server_that_is_right(t *testing.T) {
	srv := mariadb.Start(t, "--binlog-format=ROW", "--gtid-strict-mode=ON", "--binlog-row-image=FULL")
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.t (id int primary key)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*")
	for _, f := range s.Check(within(t), tables) {
		if f.Fault != nil {
			t.Errorf("%s: %v", f.Name, f.Fault)
		}
	}
}

func TestCheck_names_what_is_wrong_and_the_command_that_mends_it(t *testing.T) {
	srv := mariadb.Start(t, "--binlog-format=MIXED", "--gtid-strict-mode=OFF", "--binlog-row-image=MINIMAL", "--expire-logs-days=1", "--binlog-ignore-db=unlogged", "--plugin-maturity=unknown")
	srv.Exec(t, `CREATE DATABASE d; CREATE DATABASE unlogged; CREATE TABLE unlogged.u (id int primary key);
CREATE TABLE d.parent (id int primary key); CREATE TABLE d.child (id int primary key, p int, FOREIGN KEY (p) REFERENCES d.parent (id) ON DELETE CASCADE);
CREATE DATABASE o; CREATE TABLE o.other (id int primary key); CREATE TABLE d.apart (id int primary key, p int, FOREIGN KEY (p) REFERENCES o.other (id) ON UPDATE SET NULL);
CREATE TABLE d.nokey (a int); CREATE TABLE d.aria (id int primary key) ENGINE=Aria; CREATE TABLE d.myisam (a int) ENGINE=MyISAM; CREATE TABLE d.hidden (id int primary key, b int);
CREATE USER 'o''brien'@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON d.* TO 'o''brien'@'127.0.0.1'; GRANT SELECT ON o.* TO 'o''brien'@'127.0.0.1'; GRANT INSERT ON unlogged.* TO 'o''brien'@'127.0.0.1';
XA START 'x'; INSERT INTO d.hidden VALUES (1, 1); XA END 'x'; XA PREPARE 'x'`)
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "d.*", "unlogged.*")
	want := []struct {
		name string
		code fault.Code
		warn bool
		hint string
	}{
		{"binlog format", fault.SourceSettings, false, "SET GLOBAL binlog_format = ROW"},
		{"row image", fault.SourceSettings, false, "SET GLOBAL binlog_row_image = FULL"},
		{"GTID strict mode", fault.SourceSettings, true, "SET GLOBAL gtid_strict_mode = ON"},
		{"log retention", fault.SourceSettings, true, "SET GLOBAL binlog_expire_logs_seconds"},
		{"log filters", fault.SourceSettings, false, "binlog_ignore_db"},
		{"engines", fault.SourceSettings, false, "ALTER TABLE `d`.`myisam` ENGINE=InnoDB"},
		{"keys", fault.SourceSettings, true, "ADD PRIMARY KEY"},
		{"foreign keys", fault.ResyncNeeded, true, ""},
		{"XA", fault.SourceXA, true, "XA COMMIT X'78',X'',1"},
	}
	found := s.Check(within(t), tables)
	for _, w := range want {
		f, ok := finding(found, w.name)
		if !ok || f.Fault == nil || f.Fault.Code != w.code || f.Warn != w.warn || !strings.Contains(f.Fault.Hint, w.hint) {
			t.Errorf("%s: %+v", w.name, f)
		}
	}
	if f, _ := finding(found, "foreign keys"); f.Detail != "d.parent → d.child, o.other (not chosen) → d.apart" {
		t.Errorf("foreign keys: %s", f.Detail)
	}
	low := sourceOf(t, srv, map[string]any{"user": "o'brien", "password": secret.New("pw")})
	found = low.Check(within(t), tables)
	for name, hint := range map[string]string{
		"SELECT":         "GRANT SELECT ON `unlogged`.* TO 'o''brien'@'127.0.0.1';",
		"log privileges": "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'o''brien'@'127.0.0.1';",
	} {
		f, ok := finding(found, name)
		if !ok || f.Fault == nil || f.Fault.Code != fault.SourceGrants || f.Fault.Hint != hint {
			t.Errorf("%s: %+v %v", name, f, f.Fault)
			continue
		}
		srv.Exec(t, hint) // it mends it
	}
	for _, f := range low.Check(within(t), tables) {
		if f.Fault != nil && f.Fault.Code == fault.SourceGrants {
			t.Errorf("after the grants: %v", f.Fault)
		}
	}
	for _, f := range found {
		if f.Fault != nil && strings.Contains(fmt.Sprint(f), srv.Password) {
			t.Error("a password is in a finding")
		}
	}
	srv.Exec(t, "XA ROLLBACK 'x'")
}

func TestCheck_without_a_log_and_without_rights(t *testing.T) {
	srv := mariadb.Start(t, "--skip-log-bin")
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.t (id int primary key, a int); INSERT INTO d.t VALUES (1,2); CREATE USER cols@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT (a) ON d.t TO cols@'127.0.0.1'; CREATE TABLE d.ver (id int primary key) WITH SYSTEM VERSIONING")
	s := sourceOf(t, srv, nil)
	tables, place, err := s.Discover(within(t), connector.Selector{Patterns: []string{"d.t"}})
	if err != nil || !place.IsZero() {
		t.Fatal(place, err)
	}
	f, _ := finding(s.Check(within(t), tables), "binary log")
	if !fault.Has(f.Fault, fault.SourceSettings) || f.Warn {
		t.Errorf("%+v", f)
	}
	cols := sourceOf(t, srv, map[string]any{"user": "cols", "password": secret.New("pw")})
	if _, _, err := cols.Discover(within(t), connector.Selector{Patterns: []string{"d.t"}}); !fault.Has(err, fault.SourceGrants) {
		t.Errorf("a column grant gave %v", err)
	}
	if _, _, err := s.Discover(within(t), connector.Selector{Patterns: []string{"d.*"}}); !fault.Has(err, fault.SourceType) || !strings.Contains(err.Error(), "d.ver") {
		t.Errorf("a system-versioned table gave %v", err)
	}
}
