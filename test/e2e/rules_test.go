package e2e

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/test/servers/mariadb"
)

const ruled = `CREATE DATABASE app;
CREATE TABLE app.orders (id INT PRIMARY KEY, amount DECIMAL(10,2), email VARCHAR(80), note VARCHAR(20));
CREATE TABLE app.log_x (id INT PRIMARY KEY, v INT);
INSERT INTO app.log_x VALUES (1, 1);
INSERT INTO app.orders SELECT seq, seq / 4, CONCAT('User', seq, '@Example.org'), seq FROM app.seq_1_to_100;
UPDATE app.orders SET note = 'odd' WHERE id IN (60, 70);`

const rules = `
  - {tables: ["*.log_*"], omit: true}
  - tables: ["app.orders"]
    where: "amount > 10"
    set: {email: "sha256(lower(email))", twice: "amount * 2", n: "int(note)"}
    columns: ["*", "!note"]
    rename_columns: {id: order_id}
    rename: "sales.{table}_{database}"`

// folded is what a changelog of sales/orders_app says that the table has, by its key.
func folded(t *testing.T, j *job) map[string]string {
	t.Helper()
	var all [][]string
	err := filepath.WalkDir(filepath.Join(j.lake(), "sales", "orders_app"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		rows, err := csv.NewReader(f).ReadAll()
		if err == nil && len(rows) > 0 && strings.Join(rows[0][5:], " ") != "order_id amount email twice n" {
			err = fmt.Errorf("columns are %q", rows[0])
		}
		all = append(all, rows[min(1, len(rows)):]...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b []string) int { return strings.Compare(a[1], b[1]) })
	out := map[string]string{}
	for _, r := range all {
		if delete(out, r[5]); r[0] != "d" {
			out[r[5]] = strings.Join(r[6:], " ")
		}
	}
	return out
}

// byRules is what the rules make of the source.
func byRules(t *testing.T, s *mariadb.Server) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range s.Query(t, "SELECT id, amount, email, amount * 2, note FROM app.orders WHERE amount > 10 AND note NOT LIKE 'odd%'") {
		out[f[0]] = fmt.Sprintf("%s %x %s %s", f[1], sha256.Sum256([]byte(strings.ToLower(f[2]))), f[3], f[4])
	}
	return out
}

// letters are the keys of the rows that were put aside.
func letters(t *testing.T, j *job) (keys []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(j.lake(), "_godwit", "dead", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
			var l struct {
				Table, Op string
				Key, Row  map[string]string
				Reason    struct{ Code string }
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.Table != "app.orders" || l.Reason.Code != "ROW_REFUSED" || !strings.HasPrefix(l.Row["note"], "odd") {
				t.Errorf("%s: %v", line, err)
			}
			keys = append(keys, l.Op+l.Key["id"])
		}
	}
	slices.Sort(keys)
	return keys
}

func TestRules_when_rows_come_and_change(t *testing.T) {
	t.Parallel()
	s := mariadb.Start(t)
	s.Exec(t, ruled)
	j := newJob(t, s, "rules", rules, "on_error", "discard_after\n    attempts: 2")
	code, said := run(t, s.Password, "preview", j.file(), "--state", j.state(), "--json", "--rows", "50")
	want(t, code, said, 0, `"table":"sales.orders_app"`, `"sink":"lake","table":""`, `"User41@Example.org"`, fmt.Sprintf("%x", sha256.Sum256([]byte("user45@example.org"))))
	code, said = run(t, s.Password, "plan", j.file(), "--state", j.state(), "--all")
	want(t, code, said, 0, "left out by rules", "sales/orders_app/", "twice decimal")
	code, said = run(t, s.Password, "run", j.file(), "--dry-run")
	want(t, code, said, 0, "read 101 rows", "sales.orders_app  58 rows", "2 rows refused")
	if _, err := os.Stat(j.lake()); err == nil {
		t.Error("something was written")
	}
	check := func(aside string) {
		t.Helper()
		code, said := run(t, s.Password, j.args()...)
		want(t, code, said, 0)
		if got, want := folded(t, j), byRules(t, s); !maps.Equal(got, want) {
			t.Errorf("the target has\n%v\nby the rules\n%v", got, want)
		}
		if got := fmt.Sprint(letters(t, j)); got != aside {
			t.Errorf("put aside are %s, expected %s", got, aside)
		}
	}
	check("[r60 r70]")
	s.Exec(t, `UPDATE app.orders SET amount = 5 WHERE id = 80;
UPDATE app.orders SET amount = 50, note = '7' WHERE id = 3;
UPDATE app.orders SET id = 500, email = 'X' WHERE id = 81;
UPDATE app.orders SET id = 501, amount = 1 WHERE id = 82;
UPDATE app.orders SET id = 502, amount = 99 WHERE id = 4;
DELETE FROM app.orders WHERE id IN (83, 5);
INSERT INTO app.orders VALUES (600, 11, 'y', '8'), (601, 9, 'z', '9'), (602, 12, 'w', 'oddly'), (603, NULL, 'v', '1');
INSERT INTO app.log_x VALUES (2, 2);`)
	check("[i602 r60 r70]")
	code, said = run(t, s.Password, "dead-letters", j.file(), "--state", j.state(), "--json", "--limit", "2")
	want(t, code, said, 0, `"type":"dead_letter"`, `"sink":"lake"`, `"code":"ROW_REFUSED"`, `"type":"dead_letters"`, `"letters":3`)
	if _, err := os.Stat(filepath.Join(j.lake(), "app")); err == nil {
		t.Error("something was written of a table that is left out")
	}
	// What rules refuse is neither in the sink nor nowhere: nobody can compare it, and all else is.
	code, said = j.verify(s.Password)
	want(t, code, said, 4, "app.orders not compared", "a rule refuses rows of it", "1 not comparable")
	j.set("rules", "[]")
	code, said = run(t, s.Password, j.args()...)
	want(t, code, said, 2, "JOB_EDIT", "another form")
}
