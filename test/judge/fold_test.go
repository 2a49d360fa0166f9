package judge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/test/judge"
)

// statusFile writes the part of the status file that the document reads.
func (m *model) statusFile(t *testing.T, path string) {
	t.Helper()
	type former struct {
		Name  string `json:"name"`
		Until string `json:"until"`
	}
	type col struct {
		Name    string   `json:"name"`
		Since   string   `json:"since"`
		Default *string  `json:"default"`
		Names   []former `json:"names"`
	}
	cols := []col{}
	for _, c := range m.columns {
		fs := []former{}
		for _, f := range c.former {
			fs = append(fs, former{f[0], f[1]})
		}
		cols = append(cols, col{c.name, c.since, c.initial, fs})
	}
	doc := map[string]any{"version": 1, "job": "x", "tables": []any{
		map[string]any{"name": "s.other", "number": 2, "columns": []col{{Name: "z", Names: []former{}}}},
		map[string]any{"name": m.shapes[0].Name.String(), "number": 1, "columns": cols, "key": []string{"k1"}},
	}}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// fold computes the states of a history by the document's SQL, in one process.
func (m *model) fold(t *testing.T, d *judge.Duck, doc, dir string, edit func(string) string) ([][][]string, error) {
	t.Helper()
	files := filepath.Join(dir, "it's")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	m.files(t, files)
	p := judge.Params{Files: []string{filepath.Join(files, "*.csv*")}, Key: m.names(len(m.shapes) - 1)[:m.keys], Whole: !m.minimal && m.event%2 == 0}
	if len(m.shapes) > 1 {
		p.Status, p.Table = filepath.Join(dir, "status.json"), m.shapes[0].Name.String()
		m.statusFile(t, p.Status)
	}
	var script strings.Builder
	for _, s := range m.states {
		p.Upto = s.upto
		sql, err := judge.FoldSQL(doc, p)
		if err != nil {
			t.Fatal(err)
		}
		script.WriteString(edit(sql))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var got [][][]string
	err := d.Each(ctx, script.String(), func(n int, row []string) error {
		if row == nil {
			got = append(got, nil)
			return nil
		}
		got[n] = append(got[n], append([]string(nil), row...))
		return nil
	})
	return got, err
}

// check runs one history; it returns what is wrong, or "".
func check(t *testing.T, d *judge.Duck, doc string, seed uint64, edit func(string) string) string {
	t.Helper()
	m := newModel(seed)
	m.run()
	got, err := m.fold(t, d, doc, t.TempDir(), edit)
	if err != nil {
		return err.Error()
	}
	if len(got) != len(m.states) {
		return fmt.Sprintf("%d results, not %d", len(got), len(m.states))
	}
	last := len(m.shapes) - 1
	for i, s := range m.states {
		if s.shape != last {
			continue // its columns are not those of today
		}
		if diff := compare(got[i], s.rows); diff != "" {
			return fmt.Sprintf("state %d of %d at %s (- missing, + too much):\n%s", i, len(m.states), s.upto, diff)
		}
	}
	return ""
}

func as(sql string) string { return sql }

func TestFoldSQL_when_histories_are_random(t *testing.T) {
	d := judge.DuckDB(t)
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	base, n := uint64(1), uint64(24)
	if os.Getenv("GODWIT_SOAK") == "1" {
		base, n = uint64(time.Now().UnixNano()), 2000
	}
	t.Logf("seeds %d to %d", base, base+n-1)
	for w := range uint64(2) {
		t.Run(fmt.Sprint("worker ", w), func(t *testing.T) {
			t.Parallel()
			for seed := base + w; seed < base+n; seed += 2 {
				if wrong := check(t, d, doc, seed, as); wrong != "" {
					t.Fatalf("seed %d: %s", seed, wrong)
				}
			}
		})
	}
}

// TestFoldSQL_when_the_SQL_is_wrong spoils the SQL: the histories must show it.
func TestFoldSQL_when_the_SQL_is_wrong(t *testing.T) {
	d := judge.DuckDB(t)
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	spoil := map[string][2]string{
		"truncate ignored":           {"_op = 't'", "_op = 'x'"},
		"deletes ignored":            {"AND _op <> 'd' AS _fold_last", "AS _fold_last"},
		"upto ignored":               {"WHERE _pos <= ", "WHERE '' <= "},
		"absent taken as a value":    {"FILTER (NOT list_contains(", "FILTER (true OR list_contains("},
		"nulls skipped":              {"arg_max_null", "arg_max"},
		"the old key forgotten":      {"+ 1),", "+ 17),"},
		"quoted null is null":        {"allow_quoted_nulls = false", "allow_quoted_nulls = true"},
		"columns by place":           {"union_by_name = true", "union_by_name = false"},
		"defaults forgotten":         {"coalesce('''' || replace(initial, '''', '''''') || '''', 'NULL')", "'NULL'"},
		"former names forgotten":     {"'WHEN _pos < ''' || until || ''' THEN ' || value", "'WHEN ''g'' = ''' || until || ''' THEN ' || value"},
		"first place of a bag":       {"THEN -1 ELSE 1", "THEN 1 ELSE 1"},
		"oldest row wins":            {"ORDER BY _pos DESC) = 1", "ORDER BY _pos) = 1"},
		"escapes of names forgotten": {"'%2C', ','", "'%2C', '%2C'"},
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for name, s := range spoil {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			edit := func(sql string) string {
				sql = strings.ReplaceAll(sql, s[0], s[1])
				return strings.ReplaceAll(sql, strings.ReplaceAll(s[0], "'", "''"), strings.ReplaceAll(s[1], "'", "''"))
			}
			if edit(doc) == doc {
				t.Errorf("%s: the document has no %q to spoil", name, s[0])
				return
			}
			for seed := range uint64(48) {
				if wrong := check(t, d, doc, seed+1, edit); wrong != "" {
					t.Logf("%s: seed %d: %.60s", name, seed+1, wrong)
					return
				}
			}
			t.Errorf("%s: 48 histories did not show it", name)
		})
	}
	wg.Wait()
}

func TestFoldSQL_when_there_is_no_file(t *testing.T) {
	d := judge.DuckDB(t)
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	sql, err := judge.FoldSQL(doc, judge.Params{Files: []string{filepath.Join(t.TempDir(), "*.csv")}, Key: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	if rows := d.Query(t, sql); len(rows) != 0 {
		t.Fatalf("rows of nothing: %q", rows)
	}
	if _, err := judge.FoldSQL(doc, judge.Params{Upto: "'; DROP"}); err == nil {
		t.Fatal("a place that is none was taken")
	}
}

// TestDocument_when_types_are_cast runs the example of casts.
func TestDocument_when_types_are_cast(t *testing.T) {
	d := judge.DuckDB(t)
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	sql, err := judge.Block(doc, "duckdb types")
	if err != nil {
		t.Fatal(err)
	}
	sql = strings.TrimSuffix(strings.TrimSpace(sql), ";")
	got := d.Query(t, `CREATE TABLE orders AS SELECT * FROM (VALUES
		('18446744073709551615', '-0.05', '1e+21', '2024-02-29', '-838:59:59.5', '2026-11-21 14:05:20.123456', '2026-11-21 14:05:20', 'ff00', '{"a": 1}'),
		('0', NULL, '0.1', '0000-00-00', '00:00:00', '2024-00-00 00:00:00', '0000-00-00 00:00:00', '', NULL)
	) t(id, price, rate, born, worked, made, seen, picture, details);
	SELECT COLUMNS(*)::VARCHAR FROM (`+sql+`)`)
	want := [][]string{
		{"18446744073709551615", "-0.05", "1e+21", "2024-02-29", "-838:59:59.5", "2026-11-21 14:05:20.123456", "2026-11-21 14:05:20+00", `\xFF\x00`, `{"a": 1}`},
		{"0", judge.Null, "0.1", judge.Null, "00:00:00", judge.Null, judge.Null, "", judge.Null},
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Fatalf("got\n%q\nwant\n%q", got, want)
	}
}

// TestDocument_when_its_SQL_is_listed: what a reader may paste is run by a test,
// but for what is said not to be.
func TestDocument_when_its_SQL_is_listed(t *testing.T) {
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	tested, _, found := strings.Cut(doc, "## Spark SQL (not run by us)")
	if !found {
		t.Fatal("the document does not say what is not run")
	}
	if a, b := strings.Count(tested, "```sql"), strings.Count(tested, "<!-- sql: duckdb "); a != b || a != 7 {
		t.Fatalf("%d blocks of SQL, %d of them have a name; 7 are run by tests", a, b)
	}
}

// TestFoldSQL_when_a_cell_is_nowhere: an unknown value must not pass for null.
func TestFoldSQL_when_a_cell_is_nowhere(t *testing.T) {
	d := judge.DuckDB(t)
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.csv")
	const head = "_op,_pos,_ts,_txn,_absent,id,a\n"
	for text, good := range map[string]bool{
		"u,01,\\N,\\N,a,1,\\N\n":                              false,
		"r,00,\\N,\\N,,1,x\nu,01,\\N,\\N,a,1,\\N\n":           true,
		"i,00,\\N,\\N,,1,x\nd,01,\\N,\\N,a,1,\\N\n":           true,
		"u,0" + strings.Repeat("0", 16) + ",\\N,\\N,,1,\\N\n": true,
	} {
		text = strings.NewReplacer(",00,", ","+strings.Repeat("0", 20)+",", ",01,", ",1"+strings.Repeat("0", 19)+",").Replace(text)
		if err := os.WriteFile(path, []byte(head+text), 0o600); err != nil {
			t.Fatal(err)
		}
		sql, err := judge.FoldSQL(doc, judge.Params{Files: []string{path}, Key: []string{"id"}})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := d.Rows(context.Background(), sql)
		if (err == nil) != good {
			t.Errorf("%q gave %q, %v", text, rows, err)
		}
	}
}
