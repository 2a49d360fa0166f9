package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// damage is one thing that is wrong in the target, and how it is mended.
type damage struct{ name, do, undo, words string }

// TestVerify_when_a_table_is_in_PostgreSQL: each thing that can be wrong is found, alone
// among all rows; a repair mends it.
func TestVerify_when_a_table_is_in_PostgreSQL(t *testing.T) {
	t.Parallel()
	n := 20_000
	if soak() {
		n = 2_000_000
	}
	j := newIntoPostgres(t, "")
	j.from.Exec(t, fmt.Sprintf(`CREATE DATABASE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, a VARCHAR(60), f DOUBLE, d DECIMAL(12,3), at DATETIME(6));
INSERT INTO app.t SELECT seq, CONCAT('Straße ', seq, ' '), seq / 7, seq / 3, TIMESTAMP '2026-01-01 00:00:00' + INTERVAL seq SECOND FROM mysql.seq_1_to_%d;
UPDATE app.t SET f = 0 WHERE id = 7; UPDATE app.t SET a = '' WHERE id = 8; UPDATE app.t SET a = NULL WHERE id = 9;
CREATE TABLE app.bag (n INT, v VARCHAR(20)); INSERT INTO app.bag SELECT seq %% 50, 'x' FROM mysql.seq_1_to_500`, n))
	j.run()
	verify := func(act string, more ...string) (int, string) {
		t.Helper()
		return run(t, j.from.Password, append([]string{act, j.args[1], "--state", j.args[3]}, more...)...)
	}
	begin := time.Now()
	code, said := verify("verify")
	want(t, code, said, 0, "equal: ")
	t.Logf("%d rows in %v", n, time.Since(begin).Round(10*time.Millisecond))
	for _, d := range []damage{
		{"a byte", "UPDATE app.t SET d = d + 0.001 WHERE id = 4711", "UPDATE app.t SET d = d - 0.001 WHERE id = 4711", "different id=4711 values of d"},
		{"a missing row", "CREATE TABLE kept AS SELECT * FROM app.t WHERE id = 4711; DELETE FROM app.t WHERE id = 4711", "INSERT INTO app.t SELECT * FROM kept; DROP TABLE kept", "missing id=4711"},
		{"an extra row", "INSERT INTO app.t (id) VALUES (-5)", "DELETE FROM app.t WHERE id = -5", "extra id=-5"},
		{"swapped values", "UPDATE app.t SET a = CASE id WHEN 20 THEN 'Straße 21 ' ELSE 'Straße 20 ' END WHERE id IN (20, 21)",
			"UPDATE app.t SET a = 'Straße ' || id || ' ' WHERE id IN (20, 21)", "id=20 id=21 2 different"},
		{"NULL for ''", "UPDATE app.t SET a = NULL WHERE id = 8", "UPDATE app.t SET a = '' WHERE id = 8", "different id=8 NULL"},
		{"'' for NULL", "UPDATE app.t SET a = '' WHERE id = 9", "UPDATE app.t SET a = NULL WHERE id = 9", "different id=9 NULL"},
		{"trailing space", "UPDATE app.t SET a = 'Straße 20' WHERE id = 20", "UPDATE app.t SET a = 'Straße 20 ' WHERE id = 20", "different id=20"},
		{"case", "UPDATE app.t SET a = 'straße 20 ' WHERE id = 20", "UPDATE app.t SET a = 'Straße 20 ' WHERE id = 20", "different id=20"},
		{"accent", "UPDATE app.t SET a = 'Strasse 20 ' WHERE id = 20", "UPDATE app.t SET a = 'Straße 20 ' WHERE id = 20", "different id=20"},
		{"-0 for 0", "UPDATE app.t SET f = '-0' WHERE id = 7", "UPDATE app.t SET f = 0 WHERE id = 7", "different id=7 values of f -0"},
		{"infinity", "UPDATE app.t SET at = '-infinity' WHERE id = 20", "UPDATE app.t SET at = '2026-01-01 00:00:20' WHERE id = 20", "different id=20 values of at -infinity"},
		{"NaN", "UPDATE app.t SET d = 'NaN' WHERE id = 20", "UPDATE app.t SET d = 6.667 WHERE id = 20", "different id=20 values of d NaN"},
		{"a doubled row", "INSERT INTO app.bag VALUES (3, 'x')", "DELETE FROM app.bag WHERE ctid = (SELECT max(ctid) FROM app.bag WHERE n = 3)", "doubled n=3 11 times"},
		{"doubled and missing", "INSERT INTO app.bag VALUES (3, 'x'); DELETE FROM app.bag WHERE ctid = (SELECT max(ctid) FROM app.bag WHERE n = 4)",
			"DELETE FROM app.bag WHERE ctid = (SELECT max(ctid) FROM app.bag WHERE n = 3); INSERT INTO app.bag VALUES (4, 'x')", "doubled missing n=3 n=4"},
	} {
		j.to.Exec(t, d.do)
		code, said := verify("verify")
		if code != 4 {
			t.Errorf("%s was not found", d.name)
		}
		want(t, code, said, 4, append(strings.Fields(d.words), "DIFFERENCES_FOUND")...)
		j.to.Exec(t, d.undo)
	}
	j.to.Exec(t, "UPDATE app.t SET d = 0 WHERE id = 4711; DELETE FROM app.t WHERE id = 4712; INSERT INTO app.t (id) VALUES (-5); INSERT INTO app.bag VALUES (3, 'x')")
	code, said = verify("repair", "--confirm", "crossing")
	want(t, code, said, 0, "4 rows written, 0 left", "looked at again: equal")
	code, said = verify("verify")
	want(t, code, said, 0, "equal: ")
	j.equal("id, a, d", "t")
	j.equal("n, v", "bag")

	// More than are shown.
	j.to.Exec(t, "UPDATE app.t SET d = d + 1 WHERE id <= 20000 AND id % 7 = 0; DELETE FROM app.t WHERE id <= 20000 AND id % 7 = 1")
	code, said = verify("repair", "--confirm", "crossing")
	want(t, code, said, 0, "2,858 missing, 2,857 different", "5,715 rows written, 0 left", "looked at again: equal")
	j.equal("id, a, d", "t")
}

// TestRepair_when_no_source_has_a_value: what somebody wrote into the target that the source
// cannot have is a difference like any other, in values, keys and rows without a key.
func TestRepair_when_no_source_has_a_value(t *testing.T) {
	j := newIntoPostgres(t, "")
	j.from.Exec(t, `CREATE DATABASE app; CREATE TABLE app.t (day DATE, d DECIMAL(8,2), n BIGINT UNSIGNED, at DATETIME(3), span TIME, PRIMARY KEY (day, d));
INSERT INTO app.t SELECT DATE '2026-01-01' + INTERVAL seq DAY, seq / 4, seq, NOW(), '12:00:00' FROM mysql.seq_1_to_300;
CREATE TABLE app.bag (n INT, at TIMESTAMP(2) NULL); INSERT INTO app.bag SELECT seq, TIMESTAMP '2026-01-01 00:00:00' FROM mysql.seq_1_to_50`)
	j.run()
	j.to.Exec(t, `UPDATE app.t SET at = '10000-01-01' WHERE n = 1; UPDATE app.t SET n = -5, span = '1 day -2 hours' WHERE n = 2; UPDATE app.t SET day = 'infinity' WHERE n = 3;
UPDATE app.t SET d = 'NaN' WHERE n = 4; INSERT INTO app.t (day, d) VALUES ('0044-03-15 BC', 1); UPDATE app.bag SET at = 'infinity' WHERE n = 7; INSERT INTO app.bag VALUES (8, '-infinity'), (8, '-infinity')`)
	code, said := run(t, j.from.Password, "repair", j.args[1], "--state", j.args[3], "--confirm", "crossing")
	want(t, code, said, 0, "10000-01-01 00:00:00", "-5", "1 day -02:00:00", "day=infinity", "d=NaN", "day=0044-03-15 BC", "at=infinity", "at=-infinity",
		"3 missing", "6 extra", "2 different", "looked at again: equal")
	j.equal("day, d, n", "t")
	j.equal("n", "bag")
	code, said = run(t, j.from.Password, "verify", j.args[1], "--state", j.args[3])
	want(t, code, said, 0, "equal: 350 rows")
}

// TestRepair_when_rules_change_a_table: what is written is what the rules make of the row.
func TestRepair_when_rules_change_a_table(t *testing.T) {
	j := newIntoPostgres(t, `}
rules:
  - {tables: ["app.t"], where: "n > 10", set: {v: "upper(v)"}, columns: ["id", "v", "d"], rename_columns: {id: row_id}, rename: "sales.{table}_{database}"`)
	j.from.Exec(t, `CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, n INT, v VARCHAR(40), d DECIMAL(10,2));
INSERT INTO app.t SELECT seq, seq, CONCAT('é', seq), seq / 4 FROM mysql.seq_1_to_3000`)
	j.run()
	j.to.Exec(t, `UPDATE sales.t_app SET v = 'x' WHERE row_id = 50; DELETE FROM sales.t_app WHERE row_id = 51;
INSERT INTO sales.t_app VALUES (5, 'É5', 1.25), (9000, 'y', 1)`)
	code, said := run(t, j.from.Password, "repair", j.args[1], "--state", j.args[3], "--confirm", "crossing")
	want(t, code, said, 0, "missing", "row_id=51", "different", "row_id=50", "É50", "extra", "row_id=5", "row_id=9000", "4 rows written, 0 left", "looked at again: equal")
	got := j.to.Query(t, "SELECT count(*), sum(row_id), min(row_id), string_agg(v, ' ' ORDER BY row_id) FILTER (WHERE row_id IN (50, 51)) FROM sales.t_app")
	if want := "[2990 4501445 11 É50 É51]"; fmt.Sprint(got[0]) != want {
		t.Errorf("%v, expected %s", got[0], want)
	}
	j.from.Exec(t, "UPDATE app.t SET n = 1 WHERE id = 51; UPDATE app.t SET v = 'new' WHERE id = 50")
	j.run()
	code, said = run(t, j.from.Password, "verify", j.args[1], "--state", j.args[3])
	want(t, code, said, 0, "equal: 2,989 rows")
}

// TestVerify_when_connections_break: those of both servers that read are killed again and
// again; what differs is found, and nothing else is.
func TestVerify_when_connections_break(t *testing.T) {
	t.Parallel()
	j := newIntoPostgres(t, "")
	j.from.Exec(t, `CREATE DATABASE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, a VARCHAR(60), d DECIMAL(12,3));
INSERT INTO app.t SELECT seq, CONCAT('Straße ', seq), seq / 3 FROM mysql.seq_1_to_300000`)
	j.run()
	j.to.Exec(t, "UPDATE app.t SET d = 0 WHERE id = 4711; DELETE FROM app.t WHERE id = 290000; INSERT INTO app.t (id) VALUES (-5)")
	p := start(t, j.from.Password, "verify", j.args[1], "--state", j.args[3])
	over := func() bool {
		select {
		case <-p.ended:
			return true
		default:
			said := p.said()
			return strings.Count(said, "TARGET_UNREACHABLE") >= 2 && strings.Count(said, "SOURCE_UNREACHABLE") >= 2
		}
	}
	for limit := time.Now().Add(time.Minute); !over() && time.Now().Before(limit); {
		j.to.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'godwit' AND query LIKE 'SELECT t."id"%' AND state = 'active'`)
		for _, c := range j.from.Query(t, "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT `id`%'") {
			_ = j.from.Run("KILL " + c[0]) // it may have ended
		}
	}
	code := p.wait(time.Minute)
	want(t, code, p.said(), 4, "SOURCE_UNREACHABLE", "TARGET_UNREACHABLE", "different", "id=4711", "missing", "id=290000", "extra", "id=-5",
		"1 missing, 1 extra, 1 different")
}
