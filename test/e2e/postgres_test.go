package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/postgres"
)

// intoPostgres is a job from a MariaDB into a PostgreSQL.
type intoPostgres struct {
	*testing.T
	from *mariadb.Server
	to   *postgres.Server
	args []string
}

func newIntoPostgres(t *testing.T, options string) *intoPostgres {
	t.Helper()
	j := &intoPostgres{T: t, from: mariadb.Start(t), to: postgres.Start(t)}
	dir := t.TempDir()
	word := filepath.Join(dir, "word")
	if err := os.WriteFile(word, []byte(j.to.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("name: crossing\nsource:\n  mysql: {address: \"%s\", user: %s, password: \"${env:E2E_PASSWORD}\"}\ntables: [\"app.*\"]\nuntil: head\nchunk_size: 64KiB\n"+
		"sinks:\n  - name: pg\n    postgres: {address: \"%s\", database: %s, user: %s, password: \"${file:%s}\"%s}\n",
		j.from.Addr(), j.from.User, j.to.Addr(), j.to.Database, j.to.User, word, options)
	file := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j.args = []string{"run", file, "--state", filepath.Join(dir, "state"), "--json"}
	return j
}

func (j *intoPostgres) run() {
	j.Helper()
	code, said := run(j, j.from.Password, j.args...)
	want(j, code, said, 0)
}

// equal compares tables by the texts that both servers' own clients print.
func (j *intoPostgres) equal(columns string, tables ...string) {
	j.Helper()
	for _, table := range tables {
		sql := "SELECT " + columns + " FROM app." + table
		null := strings.NewReplacer(mariadb.Null, "∅", postgres.Null, "∅")
		flat := func(rows [][]string) (out []string) {
			for _, r := range rows {
				out = append(out, null.Replace(strings.Join(r, "|")))
			}
			slices.Sort(out)
			return out
		}
		if d := cmp.Diff(flat(j.from.Query(j, sql)), flat(j.to.Query(j, sql))); d != "" {
			j.Errorf("%s\n%.2000s", table, d)
		}
	}
}

// TestPostgres_when_a_job_goes_on copies tables with and without a key, follows their
// changes, shapes too, over several runs, one of them killed.
func TestPostgres_when_a_job_goes_on(t *testing.T) {
	j := newIntoPostgres(t, "")
	j.from.Exec(t, `CREATE DATABASE app; CREATE TABLE app.t (id BIGINT UNSIGNED PRIMARY KEY, v VARCHAR(40), d DECIMAL(12,3), b BLOB);
CREATE TABLE app.u (n INT, v VARCHAR(20));
INSERT INTO app.t SELECT seq, CONCAT('é', seq), seq / 7, NULL FROM mysql.seq_1_to_20000; INSERT INTO app.u SELECT seq % 50, NULL FROM mysql.seq_1_to_500`)
	j.run()
	j.equal("id, v, d", "t")
	j.equal("n, v", "u")
	j.from.Exec(t, `UPDATE app.t SET d = d + 1 WHERE id % 3 = 0; DELETE FROM app.t WHERE id % 10 = 0; UPDATE app.t SET id = id + 100000 WHERE id < 50;
DELETE FROM app.u WHERE n = 7 LIMIT 3; UPDATE app.u SET v = 'x' WHERE n = 8 LIMIT 2;
ALTER TABLE app.t ADD c INT NOT NULL DEFAULT 5, CHANGE v w VARCHAR(80); INSERT INTO app.t VALUES (7, 'seven', 1, x'00ff', 9)`)
	p := start(t, j.from.Password, j.args...)
	p.until("the stream", phase("stream"))
	p.kill()
	j.run()
	j.equal("id, w, d, c", "t")
	j.equal("n, v", "u")
	j.from.Exec(t, `TRUNCATE app.u; INSERT INTO app.u VALUES (1, 'a'), (1, 'a'); CREATE TABLE app.fresh (id INT PRIMARY KEY, n INT); INSERT INTO app.fresh VALUES (1, 2), (3, NULL);
RENAME TABLE app.t TO app.moved; ALTER TABLE app.moved MODIFY c BIGINT, DROP COLUMN b; UPDATE app.moved SET c = 8000000000 WHERE id = 7`)
	j.run()
	j.equal("id, w, d, c", "moved")
	j.equal("n, v", "u")
	j.equal("id, n", "fresh")
	if got := j.to.Query(t, "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'moved')"); got[0][0] != "1" {
		t.Errorf("%s tables of the one that was renamed", got[0][0])
	}
}

// TestPostgres_when_servers_change_their_roles: while the target is a standby a run tries
// again, and goes on when it is a primary.
func TestPostgres_when_servers_change_their_roles(t *testing.T) {
	t.Parallel()
	j := newIntoPostgres(t, "")
	j.from.Exec(t, "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO app.t SELECT seq, 'x' FROM mysql.seq_1_to_1000")
	j.run()
	text, err := os.ReadFile(j.args[1])
	if err != nil {
		t.Fatal(err)
	}
	endless := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(endless, []byte(strings.Replace(string(text), "until: head\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, j.from.Password, append([]string{"run", endless}, j.args[2:]...)...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	j.to.Demote(t)
	j.from.Exec(t, "UPDATE app.t SET v = 'y'")
	if !p.until("a write that is refused", func(event) bool { return strings.Contains(p.out.String()+p.fail.String(), "(25006)") }) {
		t.Fatal(clip(p.said()))
	}
	j.to.Promote(t)
	went := func(event) bool { return j.to.Query(t, "SELECT count(*) FROM app.t WHERE v = 'y'")[0][0] == "1000" }
	if !p.until("the changes", went) {
		t.Fatal(clip(p.said()))
	}
	p.signal(syscall.SIGTERM)
	want(t, p.wait(time.Minute), p.said(), 143)
	j.equal("id, v", "t")
}
