package e2e

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
)

// base is how many rows each table begins with.
const base = 2000

// world is a source whose tables are being changed, and a second server into which
// its log is replayed.
type world struct {
	of         kind
	whole      atomic.Bool // the snapshot is: tables may be renamed now
	t          testing.TB
	server     *mariadb.Server
	second     *mariadb.Server
	replay     *mariadb.Replay
	at         spot            // of the replay
	judged     map[string]bool // chunks
	apart      map[string]bool // tables that are left out of a judgement, by their first name
	statusPath string

	mu      sync.Mutex // held while the writer writes
	r       *rand.Rand
	columns int
	renamed bool
	stop    chan struct{}
	ended   sync.WaitGroup
	err     error
	scripts int
	schema  int // schema changes so far
}

// tables are the names that each table has over time.
func tables() [][]string {
	return [][]string{{"ints"}, {"comp"}, {"strs"}, {"bins"}, {"big"}, {"bag"}, {"ren_a", "ren_b"}, {"emptied"}, {"grown"}}
}

const ddl = `CREATE DATABASE app;
CREATE TABLE app.ints (id INT PRIMARY KEY, v VARCHAR(100), n BIGINT, d DECIMAL(12,4), at DATETIME(6));
CREATE TABLE app.comp (a INT, b VARCHAR(20), v TEXT, PRIMARY KEY (a, b));
CREATE TABLE app.strs (k VARCHAR(40) PRIMARY KEY, v VARCHAR(200));
CREATE TABLE app.bins (k BINARY(8) PRIMARY KEY, v VARBINARY(100));
CREATE TABLE app.big (k BIGINT UNSIGNED PRIMARY KEY, v INT);
CREATE TABLE app.bag (x INT, y VARCHAR(20));
CREATE TABLE app.ren_a (id INT PRIMARY KEY, v VARCHAR(20));
CREATE TABLE app.emptied (id INT PRIMARY KEY, v INT);
CREATE TABLE app.grown (id INT PRIMARY KEY, v INT);
INSERT INTO app.ints SELECT seq, CONCAT('v', seq), seq * 1000003, seq / 7, TIMESTAMP '2020-01-01 00:00:00' + INTERVAL seq * 7919 SECOND FROM app.seq_1_to_ROWS;
INSERT INTO app.comp SELECT seq DIV 10, CONCAT('b', seq MOD 10), REPEAT('c', seq MOD 50) FROM app.seq_1_to_ROWS;
INSERT INTO app.strs SELECT CONCAT('key-', LPAD(seq, 6, '0')), IF(seq MOD 3, CONCAT('é "q", ', seq, '\n'), NULL) FROM app.seq_1_to_ROWS;
INSERT INTO app.bins SELECT UNHEX(LPAD(HEX(seq), 16, '0')), UNHEX(MD5(seq)) FROM app.seq_1_to_ROWS;
INSERT INTO app.big SELECT 18446744073709551615 - seq, seq FROM app.seq_1_to_ROWS;
INSERT INTO app.bag SELECT seq MOD 20, IF(seq MOD 5, 'y', NULL) FROM app.seq_1_to_ROWS;
INSERT INTO app.ren_a SELECT seq, 'r' FROM app.seq_1_to_ROWS;
INSERT INTO app.emptied SELECT seq, seq FROM app.seq_1_to_ROWS;
INSERT INTO app.grown SELECT seq, seq FROM app.seq_1_to_ROWS;`

// kind is a make of server.
type kind struct {
	start func(t testing.TB, options ...string) *mariadb.Server
	// words turns SQL of MariaDB into the server's own.
	words func(sql string) string
}

var (
	mariaDB = kind{mariadb.Start, func(sql string) string { return sql }}
	mySQL   = kind{mysql.Start, withoutSequences}
)

var sequence = regexp.MustCompile(`app\.seq_(\d+)_to_(\d+)`)

// withoutSequences puts recursive queries in place of MariaDB's sequences.
func withoutSequences(sql string) string {
	const query = "(WITH RECURSIVE s (seq) AS (SELECT $1 UNION ALL SELECT seq + 1 FROM s WHERE seq < $2) SELECT seq FROM s) AS numbers"
	return "SET SESSION cte_max_recursion_depth = 20000000; " + sequence.ReplaceAllString(sql, query)
}

func newWorld(t testing.TB, seed uint64, options ...string) *world {
	t.Helper()
	return newWorldOf(t, mariaDB, seed, options...)
}

func newWorldOf(t testing.TB, of kind, seed uint64, options ...string) *world {
	t.Helper()
	w := &world{t: t, of: of, server: of.start(t, options...), second: of.start(t), r: rand.New(rand.NewPCG(seed, 7)), stop: make(chan struct{}), judged: map[string]bool{}}
	w.replay = mariadb.NewReplay(w.server, w.second)
	w.server.Exec(t, of.words(strings.ReplaceAll(ddl, "ROWS", fmt.Sprint(base))))
	return w
}

// write starts the writer.
func (w *world) write() {
	w.ended.Go(func() {
		for w.err == nil {
			select {
			case <-w.stop:
				return
			case <-time.After(15 * time.Millisecond): // leaves the machine to others too
			}
			w.mu.Lock()
			w.err = w.server.Run(w.of.words(w.script()))
			w.scripts++
			w.mu.Unlock()
		}
	})
	w.t.Cleanup(w.halt)
}

// halt stops the writer.
func (w *world) halt() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.ended.Wait()
	if w.err != nil {
		w.t.Error(w.err)
	}
}

// script is the writer's next statements.
func (w *world) script() string {
	var b strings.Builder
	b.WriteString("SET SESSION sql_mode = ''; ")
	for range 1 + w.r.IntN(4) {
		b.WriteString("BEGIN; ")
		for range 1 + w.r.IntN(8) {
			b.WriteString(w.statement() + "; ")
		}
		if w.r.IntN(10) == 0 {
			b.WriteString("ROLLBACK; ")
		} else {
			b.WriteString("COMMIT; ")
		}
	}
	switch w.r.IntN(80) {
	case 0:
		fmt.Fprintf(&b, "BEGIN; UPDATE app.ints SET n = n + 1; DELETE FROM app.strs WHERE k > 'key-05'; INSERT INTO app.big SELECT seq + %d, 1 FROM app.seq_1_to_3000 ON DUPLICATE KEY UPDATE v = v + 1; COMMIT; ", w.r.IntN(1000))
	case 1:
		w.columns++
		w.schema++
		fmt.Fprintf(&b, "ALTER TABLE app.grown ADD COLUMN c%d %s; UPDATE app.grown SET c%[1]d = 9 WHERE id < 10; ", w.columns, []string{"INT", "INT NOT NULL DEFAULT 5", "VARCHAR(10) DEFAULT 'it''s'"}[w.columns%3])
	case 2:
		b.WriteString("TRUNCATE TABLE app.emptied; INSERT INTO app.emptied VALUES (1, 1), (2, 2); ")
	case 3:
		if !w.whole.Load() {
			break // before that it marks the table: a test of its own
		}
		from, to := "ren_a", "ren_b"
		if w.renamed {
			from, to = to, from
		}
		w.renamed = !w.renamed
		w.schema++
		fmt.Fprintf(&b, "RENAME TABLE app.%s TO app.%s; ", from, to)
	}
	return b.String()
}

func (w *world) statement() string {
	n, m := w.r.IntN(2*base), w.r.IntN(2*base)
	ren := "ren_a"
	if w.renamed {
		ren = "ren_b"
	}
	all := []string{
		"INSERT INTO app.ints VALUES (%d, 'new', %d, 1.5, NULL) ON DUPLICATE KEY UPDATE n = VALUES(n), v = NULL",
		"UPDATE IGNORE app.ints SET id = %d WHERE id = %d",
		"DELETE FROM app.ints WHERE id = %d OR id = %d",
		"UPDATE app.ints SET d = -%d.25, at = '2026-01-02 03:04:05.678901' WHERE id = %d",
		"REPLACE INTO app.comp VALUES (%d DIV 10, 'b%d', 'replaced')",
		"UPDATE IGNORE app.comp SET b = 'b%d' WHERE a = %d DIV 10 LIMIT 1",
		"DELETE FROM app.comp WHERE a = %d DIV 10 AND b = CONCAT('b', %d MOD 10)",
		"INSERT IGNORE INTO app.strs VALUES ('key-%06d', 'v%d')",
		"UPDATE app.strs SET v = '%d' WHERE k = 'key-%06d'",
		"UPDATE IGNORE app.strs SET k = 'key-%06d' WHERE k = 'key-%06d'",
		"DELETE FROM app.strs WHERE k = 'key-%06d' OR k = 'key-%06d'",
		"INSERT IGNORE INTO app.bins VALUES (UNHEX('%016d'), UNHEX('%08d'))",
		"UPDATE app.bins SET v = UNHEX('%08d') WHERE k = UNHEX('%016d')",
		"DELETE FROM app.bins WHERE k = UNHEX('%016d') OR k = UNHEX('%016d')",
		"INSERT INTO app.big VALUES (18446744073709551615 - %d, %d) ON DUPLICATE KEY UPDATE v = v + 1",
		"DELETE FROM app.big WHERE k = 18446744073709551615 - %d OR k = %d",
		"INSERT INTO app.bag VALUES (%d MOD 20, 'y'), (%d MOD 20, NULL)",
		"UPDATE app.bag SET y = 'z%d' WHERE x = %d MOD 20 LIMIT 2",
		"DELETE FROM app.bag WHERE x = %d MOD 20 OR x = %d MOD 20 LIMIT 3",
		"INSERT INTO app." + ren + " VALUES (%d, '%d') ON DUPLICATE KEY UPDATE v = VALUES(v)",
		"INSERT INTO app.emptied VALUES (%d, %d) ON DUPLICATE KEY UPDATE v = v + 1",
		"UPDATE IGNORE app.grown SET id = %d WHERE id = %d",
		"UPDATE app.grown SET v = %d WHERE id = %d",
		"DELETE FROM app.grown WHERE id = %d OR id = %d",
		"INSERT IGNORE INTO app.grown (id, v) VALUES (%d, %d)",
	}
	return fmt.Sprintf(all[w.r.IntN(len(all))], n, m)
}

// to replays the log to a place; false: the replay is beyond it already.
func (w *world) to(at spot) bool {
	w.t.Helper()
	if at.before(w.at) {
		return false
	}
	w.replay.To(w.t, at.name(), int64(at.offset))
	w.at = at
	return true
}

// column is a column as a server describes it.
type column struct{ name, kind string }

// rows returns a table as a server's client prints it, binary in small hex, and
// its columns; nil columns: there is no such table.
func (w *world) rows(s *mariadb.Server, table string, only []string) ([]column, [][]string) {
	w.t.Helper()
	cols := w.columnsOf(s, table)
	if cols == nil {
		return nil, nil
	}
	var kept []column
	var list []string
	for _, c := range cols {
		if only != nil && !contains(only, c.name) {
			continue
		}
		kept = append(kept, c)
		if strings.Contains(c.kind, "binary") {
			list = append(list, "LOWER(HEX("+c.name+"))")
		} else {
			list = append(list, c.name)
		}
	}
	return kept, s.Query(w.t, "SET time_zone='+00:00'; SELECT "+strings.Join(list, ", ")+" FROM app."+table)
}

func (w *world) columnsOf(s *mariadb.Server, table string) []column {
	w.t.Helper()
	var out []column
	for _, r := range s.Query(w.t, "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'app' AND table_name = '"+table+"' ORDER BY ordinal_position") {
		out = append(out, column{r[0], r[1]})
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
