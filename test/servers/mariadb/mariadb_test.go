package mariadb_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/test/servers/mariadb"
)

func TestQuery_when_cells_are_hard(t *testing.T) {
	s := mariadb.Start(t)
	s.Exec(t, "create database a; create table a.t (id int primary key, c text, b blob); insert into a.t values (1, 'NULL', null), (2, '', 'x'), (3, '<é&\"\\'>\\t\\n\\r\\\\ 🐦', 0x0102ff)")
	got := s.Query(t, "select id, c, b, 1 as `a>b\"c` from a.t order by id; select 7 where false; select hex(b) from a.t where id=3")
	want := [][]string{
		{"1", "NULL", mariadb.Null, "1"}, {"2", "", "x", "1"}, {"3", "<é&\"'>\t\n\r\\ 🐦", "\x01\x02\xff", "1"}, {"0102FF"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if _, err := s.Rows("select * from a.absent"); err == nil || !strings.Contains(err.Error(), "1146") {
		t.Fatalf("a wrong query gave %v", err)
	}
}

func TestEach_when_the_caller_has_enough(t *testing.T) {
	s := mariadb.Start(t)
	enough := errors.New("enough")
	n := 0
	err := s.Each("select seq from mysql.seq_1_to_1000000", func([]string) error {
		if n++; n == 10 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 10 {
		t.Fatalf("%v after %d rows", err, n)
	}
}

func TestStart_when_options_are_given(t *testing.T) {
	s := mariadb.Start(t, "--binlog-row-image=MINIMAL")
	got := s.Query(t, "select @@binlog_format, @@binlog_row_image, @@gtid_strict_mode, @@log_bin, @@port, @@character_set_server, @@binlog_row_metadata")
	want := [][]string{{"ROW", "MINIMAL", "1", "1", strconv.Itoa(s.Port), "utf8mb4", "NO_LOG"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if !strings.HasPrefix(s.Version, "10.11.") {
		t.Fatalf("version %s", s.Version)
	}
}

func TestRestart_when_stopped_and_killed(t *testing.T) {
	s := mariadb.Start(t)
	s.Exec(t, "create database a; create table a.t (id int primary key); insert into a.t values (1)")
	port := s.Port
	s.Restart(t, "--read-only=1")
	if got := s.Query(t, "select @@port, @@read_only, (select count(*) from a.t)"); !cmp.Equal(got, [][]string{{strconv.Itoa(port), "1", "1"}}) {
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
	s, second := mariadb.Start(t), mariadb.Start(t)
	place := func() (string, int64) {
		row := s.Query(t, "show master status")[0]
		offset, err := strconv.ParseInt(row[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return row[0], offset
	}
	s.Exec(t, "create database a; create table a.t (id int primary key, b varbinary(20)); insert into a.t values (1, 0x00ff0a27), (2, null)")
	file1, offset1 := place()
	before := s.Dump(t, "a")
	s.Exec(t, "delete from a.t where id=1; flush binary logs; insert into a.t values (3, 'x'); alter table a.t add c int default 7")
	file2, offset2 := place()
	after := s.Dump(t, "a")
	s.Exec(t, "drop table a.t")

	r := mariadb.NewReplay(s, second)
	r.To(t, file1, offset1)
	if d := cmp.Diff(before, second.Dump(t, "a")); d != "" {
		t.Fatal(d)
	}
	s.Kill(t) // its files are enough
	r.To(t, file2, offset2)
	if d := cmp.Diff(after, second.Dump(t, "a")); d != "" {
		t.Fatal(d)
	}
	if err := r.Advance(file1, offset1); err == nil {
		t.Fatal("a replay went backwards")
	}
	if err := r.Advance("bin.000009", 4); err == nil {
		t.Fatal("a replay to a file that is not there succeeded")
	}
}

// The process that started a server is killed: so is the server.
func TestLaunch_when_the_process_dies(t *testing.T) {
	if os.Getenv("GODWIT_TEST_CHILD") != "" {
		s, err := mariadb.Launch()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(os.Stdout, "pid "+strconv.Itoa(s.Pid())+" "+s.Dir+"\n")
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLaunch_when_the_process_dies$")
	cmd.Env = append(os.Environ(), "GODWIT_TEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != "pid" {
		t.Fatalf("the child printed %q", line)
	}
	t.Cleanup(func() { _ = os.RemoveAll(f[2]) })
	pid, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the server does not run: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for end := time.Now().Add(20 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server outlives the process that started it")
		}
	}
	live := mariadb.Start(t)
	if _, err := os.Stat(f[2]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a server whose owner was killed is still there: %v", err)
	}
	mariadb.Start(t)
	if _, err := os.Stat(live.Dir); err != nil {
		t.Errorf("the folder of a server that lives was swept: %v", err)
	}
}

// alive reports whether a process runs; one that has ended but has no parent to
// say so is not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
