package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

// A table divided by a time and by a text is read back by a reader that takes folders
// for columns.
func TestPath(t *testing.T) {
	s := mariadb.Start(t)
	s.Exec(t, `SET NAMES utf8mb4; CREATE DATABASE app; CREATE TABLE app.events (id INT PRIMARY KEY, at DATETIME NULL, kind VARCHAR(20), n INT);
INSERT INTO app.events SELECT seq, IF(seq MOD 17, TIMESTAMP '2026-11-20 00:00:00' + INTERVAL seq HOUR, NULL), ELT(1 + seq MOD 5, 'sale', 'é / %', '..', 'g2', NULL), seq FROM app.seq_1_to_400;
CREATE TABLE app.plain (id INT PRIMARY KEY); INSERT INTO app.plain VALUES (1), (2);`)
	const path = "db={database}/{table}/day={column:at:date}/kind={column:kind}"
	j := newJob(t, s, "files", ", layout: append, path: \""+path+"\"")
	code, said := run(t, s.Password, j.args()...)
	want(t, code, said, 0)
	s.Exec(t, "SET NAMES utf8mb4; INSERT INTO app.events SELECT 1000 + seq, TIMESTAMP '2026-12-01 00:00:00' + INTERVAL seq MINUTE, 'late', seq FROM app.seq_1_to_50")
	code, said = run(t, s.Password, j.args()...)
	want(t, code, said, 0)

	query := func(columns, from string) string {
		return "SELECT " + columns + ", COUNT(*) AS c, SUM(n) AS s FROM " + from + " GROUP BY 1, 2 ORDER BY 1, 2"
	}
	got := judge.DuckDB(t).Query(t, query("coalesce(CAST(day AS VARCHAR), '-') AS d, coalesce(kind_1, '-') AS k",
		fmt.Sprintf("(SELECT n, id, day, kind AS kind_1 FROM read_csv(%s, header = true, nullstr = '\\N', hive_partitioning = true, hive_types = {day: DATE, kind: VARCHAR}))",
			judge.Literal(filepath.Join(j.lake(), "db=app/events/**/*.csv")))))
	wanted := s.Query(t, "SET NAMES utf8mb4; "+query("COALESCE(DATE(at), '-') AS d, COALESCE(kind, '-') AS k", "app.events"))
	same := func(rows [][]string) (out []string) {
		for _, r := range rows {
			out = append(out, strings.Join(r, "|"))
		}
		slices.Sort(out)
		return out
	}
	if !slices.Equal(same(got), same(wanted)) || len(got) < 20 {
		t.Errorf("folders hold\n%v\nthe source has\n%v", same(got), same(wanted))
	}
	var days []string
	entries, err := os.ReadDir(filepath.Join(j.lake(), "db=app/events"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		days = append(days, e.Name())
	}
	if !slices.Contains(days, "day=__HIVE_DEFAULT_PARTITION__") || !slices.Contains(days, "day=2026-12-01") {
		t.Errorf("folders %v", days)
	}
	g := readTarget(t, j.lake())
	for _, x := range g.status.Tables {
		if want := "db=app/" + strings.TrimPrefix(x.Name, "app.") + "/"; !x.Complete || !slices.Equal(x.Folders, []string{want}) {
			t.Errorf("the status file says of %s: %+v", x.Name, x)
		}
	}
	// What was written stays where it is: another path is another target.
	j.set("files", ", layout: append, path: \"{database}/{table}\"")
	code, said = run(t, s.Password, j.args()...)
	want(t, code, said, 2, "path", path)
	j.set("files", ", layout: append, path: \"{table}/{date}/{database}\"")
	code, said = run(t, s.Password, j.args()...)
	want(t, code, said, 2, "path", "stand")
}
