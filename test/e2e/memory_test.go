package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
)

// ceiling is what a run at defaults may hold in memory.
const ceiling = 128 << 20

// peak follows the greatest resident memory of a process until it ends.
func (p *process) peak(t *testing.T, within time.Duration) int64 {
	t.Helper()
	var most int64
	limit := time.After(within)
	for {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)); err == nil {
			if _, rest, ok := strings.Cut(string(b), "VmHWM:"); ok {
				if n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64); err == nil {
					most = max(most, n<<10)
				}
			}
		}
		select {
		case <-p.ended:
			return most
		case <-limit:
			t.Fatalf("godwit does not end\n%s", clip(p.said()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// within runs the job to its end below the ceiling.
func (j *job) within(t *testing.T, password, what string) {
	t.Helper()
	begin := time.Now()
	p := start(t, password, j.args()...)
	most := p.peak(t, 20*time.Minute)
	code := p.wait(time.Second)
	want(t, code, p.said(), 0)
	t.Logf("%s: at most %d MiB, %v", what, most>>20, time.Since(begin).Round(time.Millisecond))
	if most > ceiling {
		t.Errorf("%s took %d MiB of memory, more than %d", what, most>>20, ceiling>>20)
	}
}

func TestMemory_when_a_transaction_is_large(t *testing.T) {
	n := 1_000_000
	if soak() {
		n = 10_000_000
	}
	for name, of := range map[string]func(t testing.TB) (*mariadb.Server, kind){
		"MariaDB": func(t testing.TB) (*mariadb.Server, kind) { return mariadb.Start(t), mariaDB },
		"MySQL":   func(t testing.TB) (*mariadb.Server, kind) { return mysql.Start(t), mySQL },
		"MySQL, compressed": func(t testing.TB) (*mariadb.Server, kind) {
			return mysql.Start(t, "--binlog-transaction-compression=ON"), mySQL
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, kind := of(t)
			largeTransaction(t, s, kind, n)
		})
	}
}

func largeTransaction(t *testing.T, s *mariadb.Server, of kind, n int) {
	s.Exec(t, of.words(small))
	j := newJob(t, s, "roll", "{size: 128MiB, every: 30s}")
	j.finish(s)
	s.Exec(t, of.words(fmt.Sprintf("CREATE TABLE app.great (id INT PRIMARY KEY, v VARCHAR(60), n BIGINT); INSERT INTO app.great SELECT seq, CONCAT('row ', seq), seq * 3 FROM app.seq_1_to_%d", n)))
	j.within(t, s.Password, fmt.Sprintf("a transaction of %d rows", n))
	d, doc := judge.DuckDB(t), document(t)
	sql, err := judge.FoldSQL(doc, judge.Params{Files: []string{j.lake() + "/app/great/*.csv"}, Key: []string{"id"}, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	sql = strings.TrimSuffix(strings.TrimSpace(sql), ";")
	at := strings.LastIndex(sql, ";\n") + 2
	got := d.Query(t, sql[:at]+"SELECT count(*), sum(id::HUGEINT), sum(n::HUGEINT), sum(length(v)) FROM ("+sql[at:]+")")
	if wrong := differ(got, s.Query(t, "SELECT count(*), sum(id), sum(n), sum(length(v)) FROM app.great")); wrong != "" {
		t.Error(wrong)
	}
}

func TestMemory_when_many_tables_change_at_once(t *testing.T) {
	const tables = 500
	s := one(t)
	var make, change strings.Builder
	for i := range tables {
		fmt.Fprintf(&make, "CREATE TABLE app.m%d (id INT PRIMARY KEY, v VARCHAR(100)); INSERT INTO app.m%[1]d VALUES (1, 'a'); ", i)
	}
	s.Exec(t, make.String())
	j := newJob(t, s, "roll", "{size: 128MiB, every: 30s}")
	j.within(t, s.Password, "the snapshot of 500 tables")
	for round := range 20 {
		change.WriteString("BEGIN; ")
		for i := range tables {
			fmt.Fprintf(&change, "INSERT INTO app.m%d VALUES (%d, REPEAT('x', 90)); ", i, round+2)
		}
		change.WriteString("COMMIT; ")
	}
	s.Exec(t, change.String())
	j.within(t, s.Password, "changes of 500 tables")
	j.equal(s, "t", "m0", "m250", "m499")
}

func TestMemory_when_rows_are_of_a_mebibyte(t *testing.T) {
	s := one(t)
	s.Exec(t, "CREATE TABLE app.wide (id INT PRIMARY KEY, v LONGTEXT); INSERT INTO app.wide SELECT seq, REPEAT(CHAR(97 + seq MOD 26), 1048576) FROM app.seq_1_to_150")
	j := newJob(t, s, "roll", "{size: 128MiB, every: 30s}")
	j.within(t, s.Password, "the snapshot of 150 rows of 1 MiB")
	s.Exec(t, "UPDATE app.wide SET v = CONCAT('u', v); INSERT INTO app.wide SELECT seq, REPEAT('n', 1048576) FROM app.seq_1001_to_1100")
	j.within(t, s.Password, "400 images of 1 MiB in the log")
	got := judge.DuckDB(t).Query(t, "SELECT count(*), sum(length(v)) FROM read_csv("+judge.Literal(j.lake()+"/app/wide/*.csv")+", all_varchar = true, header = true, max_line_size = 16777216, buffer_size = 67108864, delim=',', quote='\"', escape='\"', nullstr='\\N', allow_quoted_nulls=false) WHERE _op <> 'd'")
	if want := fmt.Sprint(150+150+100, " ", 150*1048576+150*1048577+100*1048576); strings.Join(got[0], " ") != want {
		t.Errorf("the files hold %v, not %s", got[0], want)
	}
}
