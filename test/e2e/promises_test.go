package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

const small = "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(100)); CREATE TABLE app.u (id INT PRIMARY KEY, n INT); " +
	"INSERT INTO app.t SELECT seq, CONCAT('v', seq) FROM app.seq_1_to_1000; INSERT INTO app.u SELECT seq, seq FROM app.seq_1_to_1000"

// one is a small source that tests share which leave it as it was, besides rows.
func one(t testing.TB, options ...string) *mariadb.Server {
	t.Helper()
	s := mariadb.Start(t, options...)
	s.Exec(t, small)
	return s
}

// equal compares the folded files of t and u with the source.
func (j *job) equal(s *mariadb.Server, tables ...string) {
	j.t.Helper()
	j.equalIn(j.lake(), s, tables...)
}

// equalIn is equal for another sink's folder.
func (j *job) equalIn(folder string, s *mariadb.Server, tables ...string) {
	j.t.Helper()
	d, doc := judge.DuckDB(j.t), document(j.t)
	if tables == nil {
		tables = []string{"t", "u"}
	}
	for _, name := range tables {
		sql, err := judge.FoldSQL(doc, judge.Params{Files: []string{filepath.Join(folder, "app", name, "*.csv")}, Key: []string{"id"}})
		if err != nil {
			j.t.Fatal(err)
		}
		if wrong := differ(d.Query(j.t, sql), s.Query(j.t, "SELECT * FROM app."+name)); wrong != "" {
			j.t.Errorf("app.%s: %s", name, wrong)
		}
	}
}

// finish runs the job to its end.
func (j *job) finish(s *mariadb.Server) {
	j.t.Helper()
	code, said := run(j.t, s.Password, j.args()...)
	want(j.t, code, said, 0)
}

func TestRun_when_the_job_file_is_wrong(t *testing.T) {
	j := &job{t: t, dir: t.TempDir()}
	text := "name: crossing\nsource:\n  mysql: {adress: 127.0.0.1:1, user: x}\ntables: [\"app.*\"]\nmode: snapshot\nsinks:\n  - name: lake\n    files: {url: \"file:///tmp/x\", format: csv}\n"
	if err := os.WriteFile(j.file(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, "x", "run", j.file(), "--state", j.state())
	code := p.wait(10 * time.Second)
	want(t, code, p.problems(), 2, "job.yaml:3:", "adress", "address", "did you mean")
	if !strings.Contains(p.problems(), "3:11") {
		t.Errorf("the column is not told:\n%s", p.problems())
	}
}

func TestRun_when_the_server_cannot_be_reached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	closed.Close()
	for _, address := range []string{refused, l.Addr().String()} {
		j := newJob(t, &mariadb.Server{User: "root"})
		j.source = fmt.Sprintf("{address: \"%s\", user: root, password: \"${env:E2E_PASSWORD}\"}", address)
		j.write("job.yaml")
		begin := time.Now()
		code, said := run(t, "x", j.args()...)
		want(t, code, said, 3, "SOURCE_UNREACHABLE", address)
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("it took %v", d)
		}
	}
}

func TestRun_when_the_source_refuses(t *testing.T) {
	s := one(t)
	s.Exec(t, "CREATE USER plain@'%' IDENTIFIED BY 'p'; GRANT SELECT ON app.* TO plain@'%'; CREATE USER blind@'%' IDENTIFIED BY 'p'; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO blind@'%'")
	as := func(user, password string) (int, string) {
		j := newJob(t, s)
		j.source = strings.Replace(j.source, "user: root", "user: "+user, 1)
		j.write("job.yaml")
		code, said := run(t, password, j.args()...)
		if checked, words := run(t, password, "check", j.file()); checked != 3 {
			t.Errorf("check as %s: exit code %d\n%s", user, checked, clip(words))
		}
		if _, err := os.Stat(filepath.Join(j.lake(), "app")); err == nil {
			t.Errorf("files were written though the source refused %s", user)
		}
		return code, said
	}
	code, said := as("root", "wrong")
	want(t, code, said, 3, "SOURCE_AUTH")
	code, said = as("plain", "p")
	want(t, code, said, 3, "SOURCE_GRANTS", "GRANT", "REPLICATION SLAVE")
	code, said = as("blind", "p")
	if code != 3 && code != 2 {
		t.Errorf("a user who may read no table: exit code %d\n%s", code, said)
	}
	s.Exec(t, "SET GLOBAL binlog_format = MIXED")
	code, said = as("root", s.Password)
	want(t, code, said, 3, "SOURCE_SETTINGS", "binlog_format")
}

func TestRun_when_a_table_is_changed_unseen(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	s.Exec(t, "SET SESSION binlog_format = STATEMENT; UPDATE app.u SET n = n + 1 WHERE id = 5; SET SESSION binlog_format = ROW; INSERT INTO app.t VALUES (2000, 'after'); INSERT INTO app.u VALUES (2000, 1)")
	for range 2 { // and again: it stays so
		code, said := run(t, s.Password, j.args()...)
		want(t, code, said, 4, "RESYNC_NEEDED", "app.u")
	}
	j.equal(s, "t")
	code, said := run(t, s.Password, j.args("--again", "--confirm", "crossing")...)
	want(t, code, said, 0)
	j.equal(s)
}

// TestRun_when_it_keeps_a_secret looks for the password everywhere.
func TestRun_when_it_keeps_a_secret(t *testing.T) {
	s := one(t)
	const canary = "Austernfischer-9973"
	s.Exec(t, "CREATE USER canary@'%' IDENTIFIED BY '"+canary+"'; GRANT ALL ON *.* TO canary@'%'")
	j := newJob(t, s, "until", "")
	secret := filepath.Join(j.dir, "secret")
	if err := os.WriteFile(secret, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j.source = fmt.Sprintf("{address: \"%s\", user: canary, password: \"${file:%s}\"}", s.Addr(), secret)
	j.write("job.yaml")
	p := start(t, "none", j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	for _, f := range []string{"cmdline", "environ", "comm"} {
		if b, err := os.ReadFile(proc + f); err != nil || bytes.Contains(b, []byte(canary)) {
			t.Errorf("%s has the password (%v)", f, err)
		}
	}
	s.Exec(t, "INSERT INTO app.t VALUES (5000, 'x')")
	p.signal(syscall.SIGTERM)
	p.wait(30 * time.Second)
	said := p.said()
	for _, words := range [][]string{{"check", j.file()}, {"plan", j.file()}, {"status", j.file(), "--state", j.state()}, {"positions", "show", j.file()}} {
		_, more := run(t, "none", words...)
		said += more
	}
	s.Exec(t, "ALTER USER canary@'%' IDENTIFIED BY 'another'")
	code, more := run(t, "none", j.args()...)
	want(t, code, more, 3, "SOURCE_AUTH")
	if strings.Contains(said+more, canary) {
		t.Error("the password is in the output")
	}
	err := filepath.WalkDir(j.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == secret {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(canary)) {
			t.Errorf("the password is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRun_when_it_is_told_to_stop(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "until", "", "roll", "{size: 64MiB, every: 1h}")
	p := start(t, s.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	s.Exec(t, "INSERT INTO app.t VALUES (3000, 'before the stop')")
	if !p.until("the change", func(e event) bool { return e.Stream != nil && e.Stream.Changes > 0 }) {
		t.Fatal(p.said())
	}
	p.signal(syscall.SIGTERM)
	code := p.wait(30 * time.Second)
	want(t, code, p.said(), 143, `"exit_code":143`)
	j.equal(s) // the commit was finished
	p = start(t, s.Password, j.args()...)
	p.until("the stream", phase("stream"))
	p.signal(syscall.SIGINT)
	if code := p.wait(30 * time.Second); code != 130 {
		t.Errorf("SIGINT: exit code %d", code)
	}
}

func TestRun_when_it_is_told_twice(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "until", "")
	s.Exec(t, "CREATE TABLE app.wide (id INT PRIMARY KEY, v MEDIUMTEXT); INSERT INTO app.wide SELECT seq, REPEAT('x', 100000) FROM app.seq_1_to_1500")
	p := start(t, s.Password, j.args()...)
	if !p.until("the snapshot", phase("snapshot")) {
		t.Fatal(p.said())
	}
	p.signal(syscall.SIGTERM)
	time.Sleep(20 * time.Millisecond) // two signals at once are one
	p.signal(syscall.SIGTERM)
	if code := p.wait(2 * time.Second); code != 143 {
		t.Errorf("exit code %d", code)
	}
	j.set("until", "head")
	j.finish(s)
	j.equal(s, "t", "u", "wide")
}

func TestRun_when_there_is_nothing_left(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "mode", "snapshot", "until", "")
	j.finish(s)
	j.equal(s)
	p := start(t, s.Password, "run", j.file(), "--state", j.state())
	code := p.wait(30 * time.Second)
	want(t, code, p.said(), 0)
	if !strings.Contains(strings.ToLower(p.said()), "finished") && !strings.Contains(strings.ToLower(p.said()), "complete") && !strings.Contains(strings.ToLower(p.said()), "whole") {
		t.Errorf("it does not say that the snapshot is finished:\n%s", p.said())
	}
}

func TestRun_when_the_head_has_moved(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	for i := range 3 {
		s.Exec(t, fmt.Sprintf("INSERT INTO app.t VALUES (%d, 'more'); DELETE FROM app.u WHERE id = %d; UPDATE app.t SET v = NULL WHERE id = %d", 4000+i, i+1, i+1))
		if i == 1 {
			if err := os.RemoveAll(j.state()); err != nil {
				t.Fatal(err)
			}
		}
		j.finish(s)
		j.equal(s)
	}
}

func TestRun_when_read_again(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	code, said := run(t, s.Password, j.args("--again")...)
	want(t, code, said, 2, "CONFIRM_NEEDED")
	code, said = run(t, s.Password, j.args("--again", "--confirm", "other")...)
	want(t, code, said, 2)
	s.Exec(t, "INSERT INTO app.t VALUES (4000, 'more'); DELETE FROM app.u WHERE id < 10")
	code, said = run(t, s.Password, j.args("--again", "--confirm", "crossing")...)
	want(t, code, said, 0)
	g := readTarget(t, j.lake())
	if got := g.shards["stream"].set["generation"].Token(); got != "2" {
		t.Errorf("generation %q", got)
	}
	j.equal(s)
	s.Exec(t, "UPDATE app.t SET v = 'once more' WHERE id = 7")
	j.finish(s)
	j.equal(s)
}

// Tables that have changed before, and while nobody looked, are read again as they are now.
func TestRun_when_read_again_after_changes(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	s.Exec(t, "ALTER TABLE app.t ADD COLUMN a int; INSERT INTO app.t VALUES (4000, 'more', 6)")
	j.finish(s)
	j.equal(s)
	s.Exec(t, "ALTER TABLE app.t ADD COLUMN b varchar(9); ALTER TABLE app.u ADD COLUMN c int; INSERT INTO app.t VALUES (4001, 'more', 7, 'b')")
	code, said := run(t, s.Password, j.args("--again", "--confirm", "crossing")...)
	want(t, code, said, 0)
	j.equal(s)
	s.Exec(t, "ALTER TABLE app.t ADD COLUMN d int; UPDATE app.t SET v = 'once more' WHERE id = 7")
	j.finish(s)
	j.equal(s)
	code, said = j.verify(s.Password)
	want(t, code, said, 0)
}

func TestRun_when_the_job_is_edited(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	s.Exec(t, "INSERT INTO app.t VALUES (4000, 'more')")
	j.set("roll", "{size: 1MiB, every: 5s}") // harmless
	j.finish(s)
	j.equal(s)
	for key, value := range map[string]string{"tables": `["app.t"]`, "mode": "changes", "files": ", options: {delimiter: \";\"}"} {
		old := j.fields[key]
		j.set(key, value)
		code, said := run(t, s.Password, j.args()...)
		if code == 0 {
			j.equal(s, "t") // it was applied: then rightly
		} else if code != 2 || !strings.Contains(said, "JOB_") {
			t.Errorf("%s: %s: exit code %d\n%s", key, value, code, clip(said))
		}
		j.set(key, old)
	}
	s.Exec(t, "INSERT INTO app.t VALUES (4001, 'more')")
	j.finish(s)
	j.equal(s)
}

func TestRun_when_the_folder_is_not_ours(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	if err := os.MkdirAll(filepath.Join(j.lake(), "app"), 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(j.lake(), "app", "precious.txt")
	if err := os.WriteFile(foreign, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, said := run(t, s.Password, j.args()...)
	want(t, code, said, 3, "TARGET_NOT_OURS", j.lake())
	g := &target{root: j.lake()}
	if got := g.files(t); len(got) != 1 {
		t.Errorf("the folder holds %v now", got)
	}
	if b, err := os.ReadFile(foreign); err != nil || string(b) != "precious" {
		t.Errorf("what was there is %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(j.lake(), "_godwit")); err == nil {
		t.Error("a control folder was made in a folder that is not ours")
	}
}

func TestRun_when_the_state_folder_is_taken(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "until", "")
	p := start(t, s.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	code, said := run(t, s.Password, j.args()...)
	want(t, code, said, 1, "STATE_LOCKED")
	s.Exec(t, "INSERT INTO app.t VALUES (7000, 'still going')")
	p.until("the change", func(e event) bool { return e.Stream != nil && e.Stream.Changes > 0 })
	p.signal(syscall.SIGTERM)
	if code := p.wait(30 * time.Second); code != 143 {
		t.Errorf("the first run: exit code %d", code)
	}
	j.equal(s)
}

func TestRun_when_the_disk_is_full(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	s := one(t)
	for _, stream := range []bool{false, true} {
		j := newJob(t, s, "roll", "{size: 64KiB, every: 1s}")
		if err := os.Mkdir(j.lake(), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", j.lake(), "tmpfs", 0, "size=2m"); err != nil {
			t.Skipf("a small file system cannot be mounted here: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(j.lake(), syscall.MNT_DETACH) })
		if stream {
			j.finish(s)
		}
		s.Exec(t, "CREATE TABLE app.much (id INT PRIMARY KEY, v VARCHAR(2000)); INSERT INTO app.much SELECT seq, REPEAT('m', 1500) FROM app.seq_1_to_3000")
		code, said := run(t, s.Password, j.args()...)
		want(t, code, said, 3, "TARGET_FULL")
		if err := syscall.Mount("tmpfs", j.lake(), "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
		j.finish(s)
		j.equal(s, "t", "u", "much")
		s.Exec(t, "DROP TABLE app.much")
	}
}

func TestRun_when_the_target_is_read_only(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	s.Exec(t, "INSERT INTO app.t VALUES (6000, 'later')")
	who, lock, unlock := readOnly(t, j)
	lock()
	p := startAs(t, who, s.Password, j.args()...)
	code := p.wait(60 * time.Second)
	want(t, code, p.said(), 3, "TARGET_REFUSED")
	unlock()
	p = startAs(t, who, s.Password, j.args()...)
	code = p.wait(60 * time.Second)
	want(t, code, p.said(), 0)
	j.equal(s)
}

// readOnly returns how to make the target read-only for a user: by a mount for
// root, by rights for others.
func readOnly(t *testing.T, j *job) (*syscall.Credential, func(), func()) {
	t.Helper()
	if os.Getuid() != 0 {
		chmod := func(mode fs.FileMode) func() {
			return func() {
				err := filepath.WalkDir(j.lake(), func(path string, d fs.DirEntry, err error) error {
					if err == nil && d.IsDir() {
						err = os.Chmod(path, mode)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Cleanup(chmod(0o755))
		return nil, chmod(0o555), chmod(0o755)
	}
	mount := func(flags uintptr) {
		if err := syscall.Mount("", j.lake(), "", flags, ""); err != nil {
			t.Skipf("mounting is not allowed here: %v", err)
		}
	}
	if err := syscall.Mount(j.lake(), j.lake(), "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(j.lake(), syscall.MNT_DETACH) })
	return nil, func() { mount(syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY) }, func() { mount(syscall.MS_REMOUNT | syscall.MS_BIND) }
}

func TestRun_when_over_a_socket(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.source = fmt.Sprintf("{socket: \"%s\", user: %s, password: \"${env:E2E_PASSWORD}\"}", s.Socket, s.User)
	j.write("job.yaml")
	j.finish(s)
	s.Exec(t, "UPDATE app.t SET v = 'by socket' WHERE id = 1")
	j.finish(s)
	j.equal(s)
}

func TestRun_when_the_server_restarts(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "until", "")
	p := start(t, s.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	var changes int64
	for i := range 3 {
		s.Exec(t, fmt.Sprintf("INSERT INTO app.t VALUES (%d, 'before')", 8000+i))
		if i%2 == 0 {
			s.Restart(t)
		} else {
			s.Kill(t)
			s.Restart(t)
		}
		s.Exec(t, fmt.Sprintf("INSERT INTO app.u VALUES (%d, 1)", 8000+i))
		changes += 2
		if !p.until("the changes", func(e event) bool { return e.Stream != nil && e.Stream.Changes >= changes }) {
			t.Fatal(p.said())
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(30 * time.Second); code != 143 {
		t.Errorf("exit code %d\n%s", code, clip(p.said()))
	}
	j.equal(s)
}

// TestRun_when_nothing_changes reads as docs/reading-a-changelog.md says: the
// status file first, then the files up to its place.
func TestRun_when_nothing_changes(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	g := readTarget(t, j.lake())
	for _, x := range g.status.Tables {
		if !x.Complete || x.From > g.status.At.Pos {
			t.Errorf("%s is complete: %v, from %s, at %s", x.Name, x.Complete, x.From, g.status.At.Pos)
		}
	}
	sql, err := judge.FoldSQL(document(t), judge.Params{Files: []string{filepath.Join(j.lake(), "app/t/*.csv")}, Key: []string{"id"}, Upto: g.status.At.Pos})
	if err != nil {
		t.Fatal(err)
	}
	if wrong := differ(judge.DuckDB(t).Query(t, sql), s.Query(t, "SELECT * FROM app.t")); wrong != "" {
		t.Errorf("read up to at._pos of the status file: %s", wrong)
	}
}

// TestRun_when_a_newer_run_takes_over starts a second run with a state of its own
// while the first follows the log: the first ends by itself.
func TestRun_when_a_newer_run_takes_over(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "until", "")
	first := start(t, s.Password, j.args()...)
	if !first.until("the stream", phase("stream")) {
		t.Fatal(first.said())
	}
	second := start(t, s.Password, "run", j.file(), "--state", filepath.Join(j.dir, "other"), "--json")
	if !second.until("the stream", phase("stream")) {
		t.Fatal(second.said())
	}
	s.Exec(t, "INSERT INTO app.t VALUES (9000, 'whose is it?')")
	want(t, first.wait(20*time.Second), first.said(), 1, "FENCED")
	if !second.until("the change", func(e event) bool { return e.Stream != nil && e.Stream.Changes > 0 }) {
		t.Fatal(second.said())
	}
	second.signal(syscall.SIGTERM)
	want(t, second.wait(30*time.Second), second.said(), 143)
	j.equal(s)
}

// TestRun_when_the_disk_fills_while_it_follows is the full disk of a run without
// an end.
func TestRun_when_the_disk_fills_while_it_follows(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	s := one(t)
	j := newJob(t, s, "until", "")
	if err := os.Mkdir(j.lake(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", j.lake(), "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(j.lake(), syscall.MNT_DETACH) })
	p := start(t, s.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	s.Exec(t, "CREATE TABLE app.much (id INT PRIMARY KEY, v VARCHAR(2000)); INSERT INTO app.much SELECT seq, REPEAT('m', 1500) FROM app.seq_1_to_3000")
	want(t, p.wait(20*time.Second), p.said(), 3, "TARGET_FULL")
	if err := syscall.Mount("tmpfs", j.lake(), "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	j.set("until", "head")
	j.finish(s)
	j.equal(s, "t", "u", "much")
}

// TestRun_when_a_table_is_renamed_before_it_is_read kills a run within its
// snapshot, renames a table that was not read yet, and goes on.
func TestRun_when_a_table_is_renamed_before_it_is_read(t *testing.T) {
	s := one(t)
	s.Exec(t, "CREATE TABLE app.a (id INT PRIMARY KEY, v MEDIUMTEXT); INSERT INTO app.a SELECT seq, REPEAT('x', 100000) FROM app.seq_1_to_300")
	j := newJob(t, s)
	p := start(t, s.Password, j.args()...)
	if p.until("the snapshot", phase("snapshot")) {
		p.kill() // otherwise all was read already: then the rename is followed
	}
	s.Exec(t, "RENAME TABLE app.u TO app.w; INSERT INTO app.w VALUES (5000, 1)")
	for range 2 {
		code, said := run(t, s.Password, j.args()...)
		if code == 4 && strings.Contains(said, "RESYNC_NEEDED") {
			return // said aloud, nothing is lost unseen
		}
		want(t, code, said, 0)
	}
	sql, err := judge.FoldSQL(document(t), judge.Params{Files: globs(j.lake(), []string{"u", "w"}), Key: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	if wrong := differ(judge.DuckDB(t).Query(t, sql), s.Query(t, "SELECT * FROM app.w")); wrong != "" {
		t.Errorf("app.u, which became app.w: %s", wrong)
	}
}
