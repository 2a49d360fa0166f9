package e2e

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/position"
	"godwit/test/judge"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/postgres"
)

// shop is a database of PostgreSQL that a job writes to.
type shop struct {
	caller // has its password

	t      testing.TB
	server *postgres.Server
}

const shopSink = "  - name: shop\n    postgres: {address: \"%s\", database: %s, user: %s, password: \"${env:SHOP_PASSWORD}\", commit: {every: 300ms}}\n"

// newShop starts a server.
func newShop(t *testing.T, settings ...string) *shop {
	t.Helper()
	server := postgres.Start(t, settings...)
	return &shop{caller: caller{env: []string{"SHOP_PASSWORD=" + server.Password}}, t: t, server: server}
}

func (s *shop) sink() string {
	return fmt.Sprintf(shopSink, s.server.Addr(), s.server.Database, s.server.User)
}

// stream is what is committed of the stream.
func (s *shop) stream() position.Set {
	s.t.Helper()
	rows := s.server.Query(s.t, "SELECT encode(positions, 'hex') FROM godwit.godwit_position WHERE shard = 'stream'")
	if len(rows) == 0 {
		return nil
	}
	raw, err := hex.DecodeString(rows[0][0])
	if err != nil {
		s.t.Fatal(err)
	}
	if len(raw) == 0 {
		return nil
	}
	set, err := position.UnmarshalSet(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return set
}

// begun reports whether godwit has made its own tables.
func (s *shop) begun() bool {
	s.t.Helper()
	return s.server.Query(s.t, "SELECT to_regclass('godwit.godwit_position') IS NOT NULL")[0][0] == "t"
}

// rows returns a table in the forms in which MariaDB's client prints it.
func (s *shop) rows(table string) (columns []string, rows [][]string) {
	s.t.Helper()
	var list []string
	for _, c := range s.server.Query(s.t, "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'app' AND table_name = '"+table+"' ORDER BY ordinal_position") {
		columns = append(columns, c[0])
		name := `"` + c[0] + `"`
		switch c[1] {
		case "bytea":
			name = "encode(" + name + ", 'hex')"
		case "timestamp without time zone":
			name = "to_char(" + name + ", 'YYYY-MM-DD HH24:MI:SS.US')"
		}
		list = append(list, name)
	}
	if columns == nil {
		return nil, nil
	}
	rows = s.server.Query(s.t, "SELECT "+strings.Join(list, ", ")+" FROM app."+table)
	for _, r := range rows {
		for i := range r {
			if r[i] == postgres.Null {
				r[i] = mariadb.Null
			}
		}
	}
	return columns, rows
}

// judge compares every table with a server that is at the same place.
func (s *shop) judge(w *world, source *mariadb.Server) (v verdict, wrong string) {
	s.t.Helper()
	for _, names := range tables() {
		var columns []string
		var got, want [][]string
		var source1 []column
		for _, n := range names {
			if c, r := s.rows(n); len(c) > 0 && (columns == nil || len(r) > 0) {
				columns, got = c, r
			}
			if c, r := w.rows(source, n, nil); c != nil {
				source1, want = c, r
			}
		}
		var known []string
		for _, c := range source1 {
			known = append(known, c.name)
		}
		if !slices.Equal(columns, known) {
			return v, fmt.Sprintf("app.%s has the columns %v, the source %v", names[0], columns, known)
		}
		if wrong := differ(got, want); wrong != "" {
			return v, fmt.Sprintf("app.%s: %s", names[0], wrong)
		}
		v.tables, v.rows = v.tables+1, v.rows+len(want)
	}
	return v, ""
}

// judgeCrash compares what a killed process left with the source at the place that is
// committed with it.
func (s *shop) judgeCrash(w *world) (v verdict, wrong string) {
	s.t.Helper()
	if !s.begun() {
		return v, ""
	}
	set := s.stream()
	at, copied := set["stream"], set["copied"]
	if copied.IsZero() {
		return v, ""
	}
	if c, err := copied.Compare(at); err != nil || c > 0 {
		return v, ""
	}
	if !w.to(spotOf(s.t, at, 0)) {
		v.unjudged++
		return v, ""
	}
	return s.judge(w, w.second)
}

const shopRounds = 10

// TestKill_when_sinks_are_Parquet_and_PostgreSQL kills godwit, and at times the server
// of PostgreSQL, again and again while the source changes. Each kill leaves both targets
// as the source was at the place that each has committed.
func TestKill_when_sinks_are_Parquet_and_PostgreSQL(t *testing.T) {
	t.Parallel()
	lives := 1
	if soak() {
		lives = 200 / shopRounds
	}
	seed := uint64(time.Now().UnixNano())
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), func(t *testing.T) { liveInShop(t, seed+uint64(n)) })
	}
}

func liveInShop(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 5))
	s := newShop(t)
	w := newWorld(t, seed)
	j := newJob(t, w.server, "until", "", "format", "parquet", "roll", "{size: 64KiB, every: 1s}", "chunk_size", []string{"32KiB", "64MiB"}[seed%2], "more sinks", s.sink())
	w.write()
	var lake, shop verdict
	for n := range shopRounds {
		p := s.start(t, w.server.Password, "run", j.file(), "--state", filepath.Join(j.dir, fmt.Sprint("state", n%3)), "--json")
		if n > 2 && !p.until("the stream", phase("stream")) {
			t.Fatalf("round %d: godwit ended\n%s", n, clip(p.said()))
		}
		time.Sleep(time.Duration(200+r.IntN(1500)) * time.Millisecond)
		if n%3 == 2 { // the target dies under it, and comes back
			s.server.Kill(t)
			if err := s.server.Boot(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
		p.kill()
		wrong := judgeBoth(w, j, s, &lake, &shop)
		if wrong != "" {
			t.Fatalf("seed %d, round %d: %s\nkept: %s\n%s", seed, n, wrong, keep(t, j), clip(p.said()))
		}
		if lake.tables > 0 && shop.tables > 0 {
			w.whole.Store(true)
		}
	}
	w.halt()
	j.set("until", "head")
	for range 2 {
		code, said := s.run(t, w.server.Password, j.args()...)
		want(t, code, said, 0)
		if strings.Contains(said, s.server.Password) {
			t.Error("the password is shown")
		}
	}
	if wrong := w.judgeEnd(j); wrong != "" {
		t.Errorf("seed %d, at the end: %s\nkept: %s", seed, wrong, keep(t, j))
	}
	if _, wrong := s.judge(w, w.server); wrong != "" {
		t.Errorf("seed %d, at the end, PostgreSQL: %s", seed, wrong)
	}
	t.Logf("%d kills: files %+v, PostgreSQL %+v", shopRounds, lake, shop)
	if lake.tables == 0 || shop.tables == 0 {
		t.Error("nothing was judged")
	}
}

// judgeBoth judges both targets while the writer waits: the one that is behind first, as
// the log is replayed forwards only.
func judgeBoth(w *world, j *job, s *shop, lake, shop *verdict) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := func() string {
		v, _, wrong := w.judgeCrash(j.lake())
		lake.add(v)
		return wrong
	}
	rows := func() string {
		v, wrong := s.judgeCrash(w)
		shop.add(v)
		if wrong != "" {
			wrong = "PostgreSQL: " + wrong
		}
		return wrong
	}
	order := []func() string{files, rows}
	if at, _, ok := readTarget(w.t, j.lake()).stream(w.t); ok && s.begun() {
		if set := s.stream(); !set["stream"].IsZero() && spotOf(w.t, set["stream"], 0).before(at) {
			slices.Reverse(order)
		}
	}
	if wrong := uniqueInParquet(w.t, j.lake()); wrong != "" {
		return wrong
	}
	for _, judge := range order {
		if wrong := judge(); wrong != "" {
			return wrong
		}
	}
	return ""
}

// TestBank_when_read_while_it_changes: money moves between accounts, the sum is the same
// at every read of PostgreSQL once the snapshot is complete, whoever is killed meanwhile.
func TestBank_when_read_while_it_changes(t *testing.T) {
	const accounts, each = 200, 1000
	s := newShop(t)
	source := mariadb.Start(t)
	source.Exec(t, fmt.Sprintf("CREATE DATABASE app; CREATE TABLE app.accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL); INSERT INTO app.accounts SELECT seq, %d FROM app.seq_1_to_%d", each, accounts))
	j := newJob(t, source, "until", "", "chunk_size", "16KiB", "more sinks", s.sink())
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	reads, moved := 0, 0
	for range 4 {
		p := s.start(t, source.Password, "run", j.file(), "--state", j.state(), "--json")
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			var b strings.Builder
			for range 50 {
				from, to, amount := 1+r.IntN(accounts), 1+r.IntN(accounts), r.IntN(100)
				fmt.Fprintf(&b, "BEGIN; UPDATE app.accounts SET balance = balance - %d WHERE id = %d; UPDATE app.accounts SET balance = balance + %[1]d WHERE id = %[3]d; COMMIT;", amount, from, to)
			}
			source.Exec(t, b.String())
			moved += 50
			if !s.begun() {
				continue
			}
			if set := s.stream(); set["whole"].IsZero() {
				continue
			}
			reads++
			if got := s.server.Query(t, "SELECT sum(balance), count(*) FROM app.accounts"); got[0][0] != fmt.Sprint(accounts*each) || got[0][1] != fmt.Sprint(accounts) {
				t.Fatalf("after %d reads the sum is %v\n%s", reads, got, clip(p.said()))
			}
		}
		p.kill()
	}
	j.set("until", "head")
	code, said := s.run(t, source.Password, j.args()...)
	want(t, code, said, 0)
	got, want := s.server.Query(t, "SELECT id, balance FROM app.accounts"), source.Query(t, "SELECT id, balance FROM app.accounts")
	if wrong := differ(got, want); wrong != "" {
		t.Error(wrong)
	}
	t.Logf("%d reads while %d transfers were made", reads, moved)
	if reads < 10 {
		t.Error("hardly anything was read")
	}
}

// uniqueInParquet fails when final files alone hold a row twice.
func uniqueInParquet(t testing.TB, root string) string {
	for _, names := range tables() {
		for _, n := range names {
			glob := filepath.Join(root, "app", n, "*.parquet")
			if files, _ := filepath.Glob(glob); len(files) == 0 {
				continue
			}
			r := judge.DuckDB(t).Query(t, "SELECT count(*), count(DISTINCT _pos) FROM read_parquet("+judge.Literal(glob)+", union_by_name = true)")
			if r[0][0] != r[0][1] {
				return fmt.Sprintf("the final files of app.%s hold %s rows with %s places", n, r[0][0], r[0][1])
			}
		}
	}
	return ""
}
