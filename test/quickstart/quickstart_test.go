package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

// The comparison sees what it is there to see: it passes over equal data and not
// over one changed, missing, doubled or unfolded row.
func TestCompare_when_files_are_equal_and_not(t *testing.T) {
	q := quickstart{dir: t.TempDir(), password: "x", server: mariadb.Start(t)}
	t.Chdir("../..")
	if err := q.load(); err != nil {
		t.Fatal(err)
	}
	tables, err := q.tables()
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 8 {
		t.Fatalf("%d tables, not 8", len(tables))
	}
	for name, columns := range tables {
		q.fake(t, name, columns)
	}
	if err := q.compare(t.Context()); err != nil {
		t.Fatalf("equal files: %v", err)
	}
	duck := judge.DuckDB(t)
	sum := result{}
	for _, c := range []struct {
		what, table, sql string
		differing        int // rows of both sides without an equal, together with those before
	}{
		{"a value changed", "products", "UPDATE products SET weight = weight * 1.0000000001 WHERE id = 4712", 2},
		{"bytes changed", "products", "UPDATE products SET photo = 0x00 WHERE id = 1", 4},
		{"a row more", "reviews", "INSERT INTO reviews VALUES (1, 'x', 1, NULL, 2001)", 1},
		{"a row gone", "reviews", "DELETE FROM reviews WHERE product = 4711 LIMIT 1", 2},
		{"NULL became empty", "customers", "UPDATE customers SET note = '' WHERE id = 4", 2},
		{"a time zone forgotten", "customers", "UPDATE customers SET joined = joined + INTERVAL 1 HOUR WHERE id = 7", 4},
	} {
		if err := q.server.Run("USE shop; " + c.sql); err != nil {
			t.Fatal(err)
		}
		r, err := q.compareTable(t.Context(), duck, c.table, tables[c.table])
		if err != nil {
			t.Fatal(err)
		}
		if r.differing != c.differing {
			t.Errorf("%s: %d rows differ, must be %d", c.what, r.differing, c.differing)
		}
		sum = sum.plus(r)
	}
	if sum.verdict() == nil {
		t.Error("tables that differ were found equal")
	}
}

// fake writes the files of a table as a changelog, every row twice: as it is and,
// before that, otherwise.
func (q *quickstart) fake(t *testing.T, table string, columns []column) {
	t.Helper()
	dir := filepath.Join(q.lake(), "shop", table)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "1.csv"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	head := []string{"_op", "_pos", "_ts", "_txn", "_absent"}
	var exprs []string
	for _, c := range columns {
		head = append(head, c.name)
		exprs = append(exprs, c.source())
	}
	line(w, head)
	n := 0
	err = q.server.Each("SET time_zone = '+00:00'; SELECT "+strings.Join(exprs, ", ")+" FROM shop."+table, func(row []string) error {
		n++
		old := append([]string{"d", fmt.Sprintf("%032x", 2*n), mariadb.Null, mariadb.Null, ""}, row...)
		line(w, append([]string{"i", fmt.Sprintf("%032x", 2*n+1), mariadb.Null, mariadb.Null, ""}, row...))
		line(w, old)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
