package e2e

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// hammered is a source whose every change of a row gives it a number of its own, and is
// noted by the server itself: what a target without history may hold follows from that.
type hammered struct {
	t      testing.TB
	server *mariadb.Server
	r      *rand.Rand
	mu     sync.Mutex // held while it writes
	n      int
	stop   chan struct{}
	ended  sync.WaitGroup
	err    error
}

// hammeredTables are keyed by number, by texts of two orders, and by bytes.
func hammeredTables() map[string]string {
	return map[string]string{
		"ints":  "INT",
		"folds": "VARCHAR(40) COLLATE utf8mb4_unicode_ci",
		"latin": "CHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
		"bytes": "VARBINARY(20)",
	}
}

// key writes key number n of a table as SQL.
func key(table string, n int) string {
	switch table {
	case "folds":
		return fmt.Sprintf("'%s%05d'", []string{"É", "e", "F", "ß", "z"}[n%5], n/2)
	case "latin":
		return fmt.Sprintf("'%s%d'", []string{"ü", "Y", "a"}[n%3], n)
	case "bytes":
		return fmt.Sprintf("x'%06x'", n*4000%100003)
	}
	return fmt.Sprint(n)
}

const hammeredRows = 1500

func newHammered(t testing.TB, seed uint64) *hammered {
	t.Helper()
	h := &hammered{t: t, server: mariadb.Start(t), r: rand.New(rand.NewPCG(seed, 3)), stop: make(chan struct{})}
	var b strings.Builder
	b.WriteString("SET NAMES utf8mb4; CREATE DATABASE app; CREATE DATABASE noted; CREATE TABLE noted.rows (n INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(9), k VARCHAR(60) COLLATE utf8mb4_bin, v INT);\n")
	for name, typ := range hammeredTables() {
		k := "NEW.k"
		if name == "bytes" {
			k = "LOWER(HEX(NEW.k))"
		}
		fmt.Fprintf(&b, "CREATE TABLE app.%s (k %s PRIMARY KEY, v INT, pad CHAR(120));\n", name, typ)
		for _, event := range []string{"INSERT", "UPDATE"} {
			fmt.Fprintf(&b, "CREATE TRIGGER app.%s_%s AFTER %[2]s ON app.%[1]s FOR EACH ROW INSERT INTO noted.rows (t, k, v) VALUES ('%[1]s', %[3]s, NEW.v);\n", name, event, k)
		}
	}
	b.WriteString("BEGIN;\n")
	for name := range hammeredTables() {
		for n := range hammeredRows {
			h.n++
			fmt.Fprintf(&b, "INSERT IGNORE INTO app.%s VALUES (%s, %d, REPEAT('p', 120));\n", name, key(name, n), h.n)
		}
	}
	b.WriteString("COMMIT; ANALYZE LOCAL TABLE app.ints, app.folds, app.latin, app.bytes;")
	h.server.Exec(t, b.String())
	return h
}

// write changes rows until halt.
func (h *hammered) write() {
	h.ended.Go(func() {
		for h.err == nil {
			select {
			case <-h.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			h.mu.Lock()
			h.err = h.server.Run(h.script())
			h.mu.Unlock()
		}
	})
	h.t.Cleanup(h.halt)
}

func (h *hammered) halt() {
	select {
	case <-h.stop:
	default:
		close(h.stop)
	}
	h.ended.Wait()
	if h.err != nil {
		h.t.Error(h.err)
	}
}

func (h *hammered) script() string {
	// Into another chunk, mostly. Not UPDATE IGNORE: that calls triggers for rows it ignores.
	const move = "UPDATE app.%[1]s SET k = %[3]s, v = %[4]d WHERE k = %[2]s AND NOT EXISTS (SELECT 1 FROM (SELECT 1 FROM app.%[1]s WHERE k = %[3]s) there); "
	var b strings.Builder
	b.WriteString("SET NAMES utf8mb4; ")
	for range 1 + h.r.IntN(3) {
		b.WriteString("BEGIN; ")
		for range 1 + h.r.IntN(8) {
			for name := range hammeredTables() {
				h.n++
				a, c := key(name, h.r.IntN(2*hammeredRows)), key(name, h.r.IntN(2*hammeredRows))
				fmt.Fprintf(&b, [...]string{
					"INSERT INTO app.%[1]s VALUES (%[2]s, %[4]d, REPEAT('n', 120)) ON DUPLICATE KEY UPDATE v = VALUES(v); ",
					"UPDATE app.%[1]s SET v = %[4]d WHERE k = %[2]s; ",
					move, move,
					"DELETE FROM app.%[1]s WHERE k = %[2]s; ",
				}[h.r.IntN(5)], name, a, c, h.n)
			}
		}
		b.WriteString("COMMIT; ")
	}
	return b.String()
}

// version is a row as it was at one time.
type version struct{ table, key, v string }

// judge compares files with what the server noted. Of each key the versions in the files
// are neighbours, each there once; whole: up to the last one.
func (h *hammered) judge(dir, within string, whole bool) (rows int, wrong string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[version]int{}
	for name := range hammeredTables() {
		files, err := filepath.Glob(filepath.Join(dir, "app", name, within, "*.csv"))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, f := range files {
			for _, r := range readCSV(h.t, f) {
				k := r[0]
				if name == "bytes" {
					k = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(k, `\x`), "0x"))
				}
				seen[version{name, k, r[1]}]++
				rows++
			}
		}
	}
	noted := map[[2]string][]int{} // how often each version of a key is there, in order
	for _, r := range h.server.Query(h.t, "SET NAMES utf8mb4; SELECT t, k, v FROM noted.rows ORDER BY n") {
		v := version{r[0], r[1], r[2]}
		noted[[2]string{v.table, v.key}] = append(noted[[2]string{v.table, v.key}], seen[v])
		delete(seen, v)
	}
	for v := range seen {
		return rows, fmt.Sprintf("no row ever was %v", v)
	}
	for k, counts := range noted {
		text := strings.Trim(fmt.Sprint(counts), "[]")
		if strings.Trim(strings.ReplaceAll(text, " ", ""), "01") != "" || strings.Contains(strings.Trim(text, "0 "), "0") {
			return rows, fmt.Sprintf("the versions of %v are there so often: %v", k, counts)
		}
	}
	if !whole {
		return rows, ""
	}
	for name := range hammeredTables() {
		k := "k"
		if name == "bytes" {
			k = "LOWER(HEX(k))"
		}
		for _, r := range h.server.Query(h.t, "SET NAMES utf8mb4; SELECT "+k+" FROM app."+name) {
			if c := noted[[2]string{name, r[0]}]; len(c) == 0 || c[len(c)-1] != 1 {
				return rows, fmt.Sprintf("the row %q of %s is missing as it is now: %v", r[0], name, c)
			}
		}
	}
	return rows, ""
}

// marks counts the marks of chunks that differ, over all tables.
func (h *hammered) marks(j *job) int {
	seen := map[string]bool{}
	for task, s := range readTarget(h.t, j.lake()).shards {
		for k, p := range s.set {
			if task != "stream" && strings.HasPrefix(k, "c") {
				seen[task[:1]+p.Order()] = true
			}
		}
	}
	return len(seen)
}

func readCSV(t testing.TB, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil || len(all) == 0 || !slices.Equal(all[0], []string{"k", "v", "pad"}) {
		t.Fatalf("%s: %v", path, err)
	}
	return all[1:]
}

// TestAppend kills a job that writes each row once, at any time, while rows change and
// take other keys.
func TestAppend(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("GODWIT_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d (GODWIT_SEED)", seed)
	h := newHammered(t, seed)
	j := newJob(t, h.server, "until", "", "roll", "{size: 64KiB, every: 1s}", "chunk_size", "32KiB", "files", ", layout: append")
	h.write()
	r := rand.New(rand.NewPCG(seed, 1))
	for n, aim := range []string{"snapshot", "snapshot", "hand-over", "snapshot", "publish", "roll", "stream", "two at once"} {
		k := killer{t: t, w: &world{server: h.server}, j: j, r: r}
		if n > 2 && aim == "snapshot" {
			aim = "stream" // it is whole by now
		}
		k.p = start(t, h.server.Password, "run", j.file(), "--state", filepath.Join(j.dir, fmt.Sprint("state", n)), "--json")
		if !k.reach(aim) {
			t.Fatalf("round %d: godwit ended before %s:\n%s", n, aim, clip(k.p.said()))
		}
		k.p.kill()
		g := readTarget(t, j.lake())
		if rows, wrong := h.judge(g.view(t), "", false); wrong != "" {
			t.Fatalf("round %d, killed at %s, %d rows: %s\nkept: %s", n, aim, rows, wrong, keep(t, j))
		}
	}
	h.halt()
	j.set("until", "head")
	for range 2 {
		code, said := run(t, h.server.Password, j.args()...)
		want(t, code, said, 0)
	}
	rows, wrong := h.judge(j.lake(), "", true)
	if wrong != "" {
		t.Fatalf("at the end, %d rows: %s\nkept: %s", rows, wrong, keep(t, j))
	}
	var record struct {
		Left struct{ Updates, Deletes int64 } `json:"left_out"`
	}
	latest, err := filepath.Glob(filepath.Join(j.lake(), "_godwit/shards/stream/commits/*[0-9]"))
	if err != nil || len(latest) == 0 {
		t.Fatal(latest, err)
	}
	if err := readJSON(slices.Max(latest), &record); err != nil {
		t.Fatal(err)
	}
	if record.Left.Deletes == 0 || record.Left.Updates != 0 {
		t.Errorf("left out: %+v", record.Left)
	}
	code, said := run(t, h.server.Password, "positions", "show", j.file(), "--state", j.state())
	want(t, code, said, 0, fmt.Sprintf("left out: %d deletes", record.Left.Deletes))
	code, said = run(t, h.server.Password, j.args("--again", "--confirm", "crossing")...)
	want(t, code, said, 0)
	for within, whole := range map[string]bool{"": false, "g2": true} {
		n, wrong := h.judge(j.lake(), within, whole)
		if wrong != "" || !whole && n > 0 {
			t.Errorf("read again, in folder %q: %d rows: %s", within, n, wrong)
		}
	}
	if n := h.marks(j); n < 6 {
		t.Errorf("the chunks have %d different marks only", n)
	}
	t.Logf("%d rows, %d changes, %d deletes left out", rows, h.n, record.Left.Deletes)
}
