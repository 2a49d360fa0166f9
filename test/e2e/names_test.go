package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

// TestRename_when_the_name_had_another_table_before: tables change places, as tools that
// alter them do it, and logs are rotated by renames. Each table is what its source is,
// by the folders that the status file names.
func TestRename_when_the_name_had_another_table_before(t *testing.T) {
	s := mariadb.Start(t)
	s.Exec(t, `CREATE DATABASE app; CREATE TABLE app.a (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE app.b LIKE app.a; CREATE TABLE app.log LIKE app.a;
INSERT INTO app.a SELECT seq, 'old' FROM app.seq_1_to_500; INSERT INTO app.b SELECT seq, 'new' FROM app.seq_200_to_700; INSERT INTO app.log SELECT seq, 'first' FROM app.seq_1_to_300`)
	j := newJob(t, s)
	for n, change := range []string{
		"UPDATE app.a SET v = 'changed' WHERE id < 10",
		"RENAME TABLE app.a TO app.a_old, app.b TO app.a; UPDATE app.a SET v = 'after' WHERE id < 300; DELETE FROM app.a_old WHERE id > 450",
		"RENAME TABLE app.log TO app.log_1; CREATE TABLE app.log LIKE app.log_1; INSERT INTO app.log VALUES (1, 'second'), (900, 'second'); DELETE FROM app.log_1 WHERE id < 5",
		"INSERT INTO app.a VALUES (5000, 'x'); RENAME TABLE app.log TO app.log_2; CREATE TABLE app.log LIKE app.log_1; INSERT INTO app.log VALUES (2, 'third')",
		"RENAME TABLE app.a TO app.tmp, app.a_old TO app.a, app.tmp TO app.a_old; INSERT INTO app.a VALUES (6000, 'back'); INSERT INTO app.a_old VALUES (6001, 'away')",
		"DROP TABLE app.log; CREATE TABLE app.log LIKE app.log_1; INSERT INTO app.log VALUES (3, 'fourth')",
		"DROP TABLE app.log; CREATE TABLE app.log (v DATE, id INT PRIMARY KEY, n INT NOT NULL); INSERT INTO app.log VALUES ('2020-02-29', 3, 5), (NULL, 4, 6)",
	} {
		code, said := run(t, s.Password, j.args()...)
		want(t, code, said, 0)
		s.Exec(t, change)
		if n == 2 {
			p := start(t, s.Password, j.args()...)
			p.until("the stream", phase("stream"))
			p.kill()
		}
	}
	for range 2 {
		code, said := run(t, s.Password, j.args()...)
		want(t, code, said, 0)
		g := readTarget(t, j.lake())
		for _, name := range s.Query(t, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'app'") {
			j.equalByStatus(g.status, s, name[0])
		}
	}
	code, said := run(t, s.Password, "verify", j.file(), "--state", j.state())
	want(t, code, said, 0)
}

// equalByStatus compares a table with the source, read from the folders of the status
// file.
func (j *job) equalByStatus(st *status, s *mariadb.Server, name string) {
	j.t.Helper()
	for _, x := range st.Tables {
		if x.Name != "app."+name {
			continue
		}
		p := judge.Params{Key: []string{"id"}, Status: filepath.Join(j.lake(), "_godwit/status.json"), Table: x.Name}
		for _, f := range x.Folders {
			if found, _ := filepath.Glob(filepath.Join(j.lake(), f, "*.csv")); len(found) > 0 {
				p.Files = append(p.Files, filepath.Join(j.lake(), f, "*.csv"))
			}
		}
		sql, err := judge.FoldSQL(document(j.t), p)
		if err != nil {
			j.t.Fatal(err)
		}
		if wrong := differ(judge.DuckDB(j.t).Query(j.t, sql), s.Query(j.t, "SELECT * FROM app."+name)); wrong != "" {
			j.t.Errorf("app.%s in %s: %s", name, strings.Join(x.Folders, ", "), wrong)
		}
		return
	}
	j.t.Errorf("the status file has no app.%s", name)
}
