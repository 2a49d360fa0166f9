package mysql_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/test/servers/mysql"
)

func TestStart_when_options_are_given(t *testing.T) {
	s, other := mysql.Start(t, "--binlog-row-image=MINIMAL"), mysql.Start(t, mysql.NoGTID...)
	got := s.Query(t, "select @@binlog_format, @@binlog_row_image, @@gtid_mode, @@log_bin, @@port, @@version")
	want := [][]string{{"ROW", "MINIMAL", "ON", "1", strconv.Itoa(s.Port), s.Version}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if got := other.Query(t, "select @@gtid_mode")[0][0]; got != "OFF" {
		t.Errorf("a server without GTIDs has them: %s", got)
	}
	const uuid = "select @@server_uuid"
	if s.Query(t, uuid)[0][0] == other.Query(t, uuid)[0][0] {
		t.Error("two servers say that they are the same")
	}
}

func TestQuery_when_cells_are_hard(t *testing.T) {
	s := mysql.Start(t)
	s.Exec(t, "create database a; create table a.t (id int primary key, c text, b blob); insert into a.t values (1, 'NULL', null), (2, '', 'x'), (3, '<é&\"\\'>\\t\\n\\r\\\\ 🐦', 0x0102ff)")
	got := s.Query(t, "select id, c, b from a.t order by id")
	want := [][]string{{"1", "NULL", mysql.Null}, {"2", "", "x"}, {"3", "<é&\"'>\t\n\r\\ 🐦", "\x01\x02\xff"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestRestart_when_stopped_and_killed(t *testing.T) {
	s := mysql.Start(t)
	s.Exec(t, "create database a; create table a.t (id int primary key); insert into a.t values (1)")
	s.Restart(t, "--read-only=1")
	if got := s.Query(t, "select @@read_only, (select count(*) from a.t)"); !cmp.Equal(got, [][]string{{"1", "1"}}) {
		t.Fatalf("after a restart: %v", got)
	}
	s.Exec(t, "insert into a.t values (2)")
	s.Kill(t)
	if s.Pid() != 0 || s.Run("select 1") == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart(t)
	if got := s.Query(t, "select count(*) from a.t"); got[0][0] != "2" {
		t.Fatalf("after kill -9: %v rows of 2 committed", got)
	}
}

func TestReplay_when_stopped_between_transactions(t *testing.T) {
	for name, options := range map[string][]string{"GTID": nil, "no GTID": mysql.NoGTID, "compressed": {"--binlog-transaction-compression=ON"}} {
		t.Run(name, func(t *testing.T) {
			s, second := mysql.Start(t, options...), mysql.Start(t, options...)
			s.Exec(t, "create database a; create table a.t (id int primary key, b varbinary(20)); insert into a.t values (1, 0x00ff0a27), (2, null)")
			row := s.Query(t, "show master status")[0]
			before := s.Dump(t, "a")
			s.Exec(t, "delete from a.t where id=1")
			offset, err := strconv.ParseInt(row[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			mysql.NewReplay(s, second).To(t, row[0], offset)
			if d := cmp.Diff(before, second.Dump(t, "a")); d != "" {
				t.Fatal(d)
			}
		})
	}
}
