package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

// keyOf returns the key columns of a table.
func keyOf(table string) []string {
	switch table {
	case "comp":
		return []string{"a", "b"}
	case "strs", "bins", "big":
		return []string{"k"}
	case "bag":
		return nil
	}
	return []string{"id"}
}

// globs are the files of a table under each of its names.
func globs(dir string, names []string) []string {
	var out []string
	for _, n := range names {
		if found, _ := filepath.Glob(filepath.Join(dir, "app", n, "*.csv")); len(found) > 0 {
			out = append(out, filepath.Join(dir, "app", n, "*.csv"))
		}
	}
	if out == nil {
		out = []string{filepath.Join(dir, "app", names[0], "*.csv")}
	}
	return out
}

// verdict counts what was compared.
type verdict struct{ tables, rows, chunks, unjudged int }

func (v *verdict) add(o verdict) {
	v.tables += o.tables
	v.rows += o.rows
	v.chunks += o.chunks
	v.unjudged += o.unjudged
}

// judgeState compares the folded files with a server, at a place; an empty place is
// after everything.
func (w *world) judgeState(dir string, st *status, pos string, s *mariadb.Server) (verdict, string) {
	w.t.Helper()
	d, doc := judge.DuckDB(w.t), document(w.t)
	var script strings.Builder
	var folded []foldedTable
	var v verdict
	for _, names := range tables() {
		if w.apart[names[0]] {
			continue
		}
		f := foldedTable{names: names}
		p := judge.Params{Files: globs(dir, names), Upto: pos, Key: keyOf(names[0])}
		if st != nil {
			for _, x := range st.Tables {
				if contains(names, strings.TrimPrefix(x.Name, "app.")) {
					if x.Stopped != "" {
						return v, fmt.Sprintf("%s is stopped: %s", x.Name, x.Stopped)
					}
					f.status = &x
				}
			}
		}
		if f.status != nil {
			p.Status, p.Table = filepath.Join(dir, "status.json"), f.status.Name
		}
		sql, err := judge.FoldSQL(doc, p)
		if err != nil {
			w.t.Fatal(err)
		}
		script.WriteString(sql)
		folded = append(folded, f)
	}
	if st != nil {
		w.copyStatus(dir)
	}
	got := make([][][]string, len(folded))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	err := d.Each(ctx, script.String(), func(n int, row []string) error {
		if row != nil {
			got[n] = append(got[n], slices.Clone(row))
		}
		return nil
	})
	if err != nil {
		return v, err.Error()
	}
	for i, f := range folded {
		o, wrong := w.compare(f, got[i], s)
		if wrong != "" {
			return v, fmt.Sprintf("app.%s at %s: %s", f.names[0], pos, wrong)
		}
		v.add(o)
	}
	return v, ""
}

type foldedTable struct {
	names  []string
	status *statusTable
}

func (w *world) copyStatus(dir string) {
	b, err := os.ReadFile(w.statusPath)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "status.json"), b, 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// compare compares one table. Columns that came after the status file was last
// written are left out of the comparison.
func (w *world) compare(f foldedTable, got [][]string, s *mariadb.Server) (verdict, string) {
	var known []string
	if f.status != nil {
		for _, c := range f.status.Columns {
			known = append(known, c.Column)
		}
	}
	var cols []column
	var want [][]string
	for _, n := range f.names {
		if c, r := w.rows(s, n, known); c != nil {
			cols, want = c, r
		}
	}
	switch {
	case cols == nil:
		return verdict{}, "the source has no such table"
	case known != nil && len(cols) != len(known):
		return verdict{}, fmt.Sprintf("the files have columns %v, the source %v", known, cols)
	case known == nil && len(got) > 0 && len(got[0]) != len(cols):
		return verdict{unjudged: 1}, ""
	}
	if known != nil { // in the order of the files
		order := make([]int, len(known))
		for i, k := range known {
			order[i] = slices.IndexFunc(cols, func(c column) bool { return c.name == k })
		}
		for i, r := range want {
			now := make([]string, len(r))
			for k, o := range order {
				now[k] = r[o]
			}
			want[i] = now
		}
	}
	return verdict{tables: 1, rows: len(want)}, differ(got, want)
}

// differ tells how folded rows differ from the source's, or "".
func differ(got, want [][]string) string {
	count := map[string]int{}
	text := func(r []string) string {
		var out []string
		for _, c := range r {
			if c == mariadb.Null || c == judge.Null {
				c = "\x00"
			}
			out = append(out, c)
		}
		return strings.Join(out, "\x01")
	}
	for _, r := range want {
		count[text(r)]++
	}
	for _, r := range got {
		count[text(r)]--
	}
	var out []string
	n := 0
	for _, k := range slices.Sorted(maps.Keys(count)) {
		if c := count[k]; c != 0 {
			if n++; n <= 8 {
				out = append(out, fmt.Sprintf("%+d %q", -c, strings.Split(k, "\x01")))
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d rows differ of %d (- missing in the files, + too much):\n\t%s", n, len(want), strings.Join(out, "\n\t"))
}

// judgeChunks compares committed chunks with the source at their marks, where a
// table is one chunk.
func (w *world) judgeChunks(dir string, g *target) (verdict, string) {
	w.t.Helper()
	d := judge.DuckDB(w.t)
	var v verdict
	for _, m := range g.marks(w.t) {
		name, whole := g.tableName(w.t, m.number)
		if !whole {
			v.unjudged++ // a range of its keys: judged with the table, once the stream has passed it
			continue
		}
		if w.judged[m.number+m.at.pos] || m.at.inside {
			continue
		}
		if !w.to(m.at) {
			v.unjudged++
			continue
		}
		w.judged[m.number+m.at.pos] = true
		cols, want := w.rows(w.second, name, nil)
		names := []string{name}
		for _, all := range tables() { // it may have been renamed before it was read
			for _, n := range all {
				if cols == nil && contains(all, name) {
					names = all
					cols, want = w.rows(w.second, n, nil)
				}
			}
		}
		var list []string
		for _, c := range cols {
			list = append(list, judge.Name(c.name))
		}
		var got [][]string
		var files []string
		for _, g := range globs(dir, names) {
			if found, _ := filepath.Glob(g); len(found) > 0 {
				files = append(files, judge.Literal(g))
			}
		}
		if files != nil {
			got = d.Query(w.t, fmt.Sprintf("SELECT %s FROM read_csv([%s], all_varchar = true, header = true, union_by_name = true, delim = ',', quote = '\"', escape = '\"', new_line = '\\n', comment = '', nullstr = '\\N', allow_quoted_nulls = false) WHERE _op = 'r' AND starts_with(_pos, %s)",
				strings.Join(list, ", "), strings.Join(files, ", "), judge.Literal(m.at.pos[:32])))
		}
		if wrong := differ(got, want); wrong != "" {
			return v, fmt.Sprintf("the chunk of app.%s at its mark %s:%d: %s", name, m.at.name(), m.at.offset, wrong)
		}
		v.chunks++
		v.rows += len(want)
	}
	return v, ""
}

// tableName finds the name that a table had in the plan of its snapshot, and
// whether it is one chunk.
func (g *target) tableName(t testing.TB, number string) (name string, whole bool) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(g.root, "_godwit/once/plan/*", number+"="))
	if err != nil || len(found) == 0 {
		t.Fatalf("no plan of table %s: %v", number, err)
	}
	var plan struct {
		Table struct {
			Table string `json:"table"`
		} `json:"table"`
		Runs [][]any `json:"runs"`
	}
	if err := readJSON(found[len(found)-1], &plan); err != nil {
		t.Fatal(err)
	}
	return plan.Table.Table, len(plan.Runs) == 1 && len(plan.Runs[0]) == 1
}

// unique fails when final files alone hold a row twice.
func (w *world) unique(root string) string {
	d := judge.DuckDB(w.t)
	for _, names := range tables() {
		var files []string
		for _, g := range globs(root, names) {
			if found, _ := filepath.Glob(g); len(found) > 0 {
				files = append(files, judge.Literal(g))
			}
		}
		if files == nil {
			continue
		}
		r := d.Query(w.t, "SELECT count(*), count(DISTINCT _pos) FROM read_csv(["+strings.Join(files, ", ")+"], all_varchar = true, header = true, union_by_name = true, delim = ',', quote = '\"', escape = '\"', new_line = '\\n', nullstr = '\\N', allow_quoted_nulls = false)")
		if r[0][0] != r[0][1] {
			return fmt.Sprintf("the final files of app.%s hold %s rows with %s places", names[0], r[0][0], r[0][1])
		}
	}
	return ""
}

// judgeCrash judges what a killed process left.
func (w *world) judgeCrash(root string) (verdict, *target, string) {
	w.t.Helper()
	g := readTarget(w.t, root)
	if wrong := w.unique(root); wrong != "" {
		return verdict{}, g, wrong
	}
	view := g.view(w.t)
	defer os.RemoveAll(view)
	if g.status != nil {
		w.statusPath = filepath.Join(root, "_godwit/status.json")
	}
	v, wrong := w.judgeChunks(view, g)
	if wrong != "" {
		return v, g, wrong
	}
	at, whole, ok := g.stream(w.t)
	if !ok || !whole || at.inside {
		return v, g, ""
	}
	if !w.to(at) {
		v.unjudged++
		return v, g, ""
	}
	o, wrong := w.judgeState(view, g.status, at.pos, w.second)
	v.add(o)
	return v, g, wrong
}

func document(t testing.TB) string {
	t.Helper()
	doc, err := judge.Document()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
