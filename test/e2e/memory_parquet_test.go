package e2e

import (
	"fmt"
	"strings"
	"testing"

	"godwit/test/judge"
)

// Files of Parquet hold rows in memory until a row group ends.

const parquetRoll = "{size: 128MiB, every: 30s}"

// parquet is what DuckDB answers about the files of some tables.
func (j *job) parquet(tables, columns string) string {
	j.t.Helper()
	got := judge.DuckDB(j.t).Query(j.t, fmt.Sprintf("SELECT %s FROM read_parquet(%s)", columns, judge.Literal(j.lake()+"/app/"+tables+"/*.parquet")))
	return strings.Join(got[0], " ")
}

// 500 tables get 80 MB at once, which nothing compresses: as row groups that are as
// large as they should be they would not fit.
func TestMemory_when_many_tables_change_at_once_in_Parquet(t *testing.T) {
	const tables, rounds, rows, size = 500, 5, 32, 1000
	s := one(t)
	var create, change strings.Builder
	for i := range tables {
		fmt.Fprintf(&create, "CREATE TABLE app.m%d (id INT PRIMARY KEY, v VARBINARY(1000)); INSERT INTO app.m%[1]d VALUES (0, 'a'); ", i)
	}
	s.Exec(t, create.String())
	j := newJob(t, s, "tables", `["app.m*"]`, "format", "parquet", "roll", parquetRoll)
	j.within(t, s.Password, "the snapshot of 500 tables")
	for round := range rounds {
		change.WriteString("BEGIN; ")
		for i := range tables {
			fmt.Fprintf(&change, "INSERT INTO app.m%d SELECT %d + seq, RANDOM_BYTES(%d) FROM app.seq_1_to_%d; ", i, round*rows, size, rows)
		}
		change.WriteString("COMMIT; ")
	}
	s.Exec(t, change.String())
	j.within(t, s.Password, "changes of 500 tables")
	if got, want := j.parquet("m*", "count(*), sum(octet_length(v))"),
		fmt.Sprint(tables*(rounds*rows+1), " ", tables*(rounds*rows*size+1)); got != want {
		t.Errorf("the files hold %s, not %s", got, want)
	}
	for _, name := range []string{"m0", "m250", "m499"} {
		ids := s.Query(t, "SELECT count(*), sum(id) FROM app."+name)
		if got := j.parquet(name, "count(DISTINCT id), sum(id)"); got != strings.Join(ids[0], " ") {
			t.Errorf("%s: %s, not %v", name, got, ids)
		}
	}
}

func TestMemory_when_a_transaction_is_large_in_Parquet(t *testing.T) {
	const n = 1_000_000
	s := one(t)
	s.Exec(t, "CREATE TABLE app.great (id INT PRIMARY KEY, v VARCHAR(60), n BIGINT)")
	j := newJob(t, s, "tables", `["app.great"]`, "format", "parquet", "roll", parquetRoll)
	j.finish(s)
	s.Exec(t, fmt.Sprintf("INSERT INTO app.great SELECT seq, CONCAT('row ', seq), seq * 3 FROM app.seq_1_to_%d", n))
	j.within(t, s.Password, fmt.Sprintf("a transaction of %d rows", n))
	want := strings.Join(s.Query(t, "SELECT count(*), count(DISTINCT id), sum(n), sum(length(v)) FROM app.great")[0], " ")
	if got := j.parquet("great", "count(*), count(DISTINCT id), sum(n), sum(length(v))"); got != want {
		t.Errorf("the files hold %s, not %s", got, want)
	}
	got := judge.DuckDB(t).Query(t, "SELECT sum(num_row_groups) FROM parquet_file_metadata("+judge.Literal(j.lake()+"/app/great/*.parquet")+")")
	if len(got[0][0]) > 1 {
		t.Errorf("%d rows are in %s row groups", n, got[0][0])
	}
}

func TestMemory_when_rows_are_of_a_mebibyte_in_Parquet(t *testing.T) {
	s := one(t)
	s.Exec(t, "CREATE TABLE app.wide (id INT PRIMARY KEY, v LONGBLOB); INSERT INTO app.wide SELECT seq, REPEAT(RANDOM_BYTES(1024), 1024) FROM app.seq_1_to_150")
	j := newJob(t, s, "tables", `["app.wide"]`, "format", "parquet", "roll", parquetRoll)
	j.within(t, s.Password, "the snapshot of 150 rows of 1 MiB")
	s.Exec(t, "UPDATE app.wide SET v = CONCAT('u', v); INSERT INTO app.wide SELECT seq, REPEAT(RANDOM_BYTES(1024), 1024) FROM app.seq_1001_to_1100")
	j.within(t, s.Password, "400 images of 1 MiB in the log")
	if got, want := j.parquet("wide", "count(*), sum(octet_length(v))"), fmt.Sprint(150+150+100, " ", 400<<20+150); got != want {
		t.Errorf("the files hold %s, not %s", got, want)
	}
	want := s.Query(t, "SELECT id, md5(v) FROM app.wide ORDER BY id")
	got := judge.DuckDB(t).Query(t, "SELECT id, md5(v) FROM read_parquet("+judge.Literal(j.lake()+"/app/wide/*.parquet")+") QUALIFY row_number() OVER (PARTITION BY id ORDER BY _pos DESC) = 1 ORDER BY id")
	if wrong := differ(got, want); wrong != "" {
		t.Error(wrong)
	}
}
