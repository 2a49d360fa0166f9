package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/test/servers/postgres"
)

func TestQuery_when_cells_are_hard(t *testing.T) {
	s := postgres.Start(t)
	s.Exec(t, `create table t (id int primary key, c text, b bytea); insert into t values (1, 'NULL', null), (2, '', 'x'), (3, E'<é&"\\''>\t\n\r\\N 🐦', '\x0001ff')`)
	got := s.Query(t, "select id, c, encode(b, 'hex') from t order by id")
	want := [][]string{{"1", "NULL", postgres.Null}, {"2", "", "78"}, {"3", "<é&\"\\'>\t\n\r\\N 🐦", "0001ff"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if _, err := s.Rows("select * from absent"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Fatalf("a wrong query gave %v", err)
	}
}

func TestRestart_when_stopped_and_killed(t *testing.T) {
	s := postgres.Start(t, "max_connections=23")
	if !strings.HasPrefix(s.Version, "15.") {
		t.Fatalf("version %s", s.Version)
	}
	s.Exec(t, "create table t (id int primary key); insert into t values (1)")
	port := s.Port
	s.Restart(t, "default_transaction_read_only=on")
	want := [][]string{{fmt.Sprint(port), "23", "on", "1"}}
	if d := cmp.Diff(want, s.Query(t, "select current_setting('port'), current_setting('max_connections'), current_setting('transaction_read_only'), count(*) from t")); d != "" {
		t.Fatal(d)
	}
	s.Restart(t, "default_transaction_read_only=off")
	s.Exec(t, "insert into t values (2)")
	s.Kill(t)
	if s.Pid() != 0 || s.Run("select 1") == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart(t)
	if got := s.Query(t, "select count(*) from t"); got[0][0] != "2" {
		t.Fatalf("after kill -9: %v rows of 2 committed", got)
	}
}

func TestStartVersion_when_another_one_is_asked_for(t *testing.T) {
	for _, major := range []string{"14", "18"} {
		s := postgres.StartVersion(t, major)
		if got := s.Query(t, "select current_setting('server_version')")[0][0]; !strings.HasPrefix(got, major+".") || got != s.Version {
			t.Errorf("%s: the server says %s, the package %s", major, got, s.Version)
		}
	}
}
