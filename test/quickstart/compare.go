package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

// excluded is the table that the job leaves out.
const excluded = "tmp_import"

// column is one column of the source, as the server describes it.
type column struct {
	name, kind string // kind: information_schema's data_type
	precision  string // "20,6" of a decimal
	key        bool
}

// source is how the server's own client is asked for a column's value as text
// that any reader can take.
func (c column) source() string {
	name := "`" + c.name + "`"
	switch c.kind {
	case "binary", "varbinary", "blob":
		return "HEX(" + name + ")"
	case "bit":
		return name + "+0"
	}
	return name
}

// value is how DuckDB compares a column of either side: by value where text may
// differ and the value not.
func (c column) value() string {
	name := judge.Name(c.name)
	switch c.kind {
	case "decimal":
		return "CAST(" + name + " AS DECIMAL(" + c.precision + "))"
	case "double", "float":
		return "CAST(" + name + " AS DOUBLE)"
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit":
		return "CAST(" + name + " AS HUGEINT)"
	case "date", "datetime", "timestamp":
		return "CAST(" + name + " AS TIMESTAMP)"
	case "binary", "varbinary", "blob":
		return "upper(" + name + ")"
	}
	return name
}

// tables lists the shop's tables that the job carries, with their columns.
func (q *quickstart) tables() (map[string][]column, error) {
	rows, err := q.server.Rows("SELECT table_name, column_name, data_type, CONCAT(numeric_precision, ',', numeric_scale), column_key = 'PRI'" +
		" FROM information_schema.columns WHERE table_schema = 'shop' ORDER BY table_name, ordinal_position")
	if err != nil {
		return nil, err
	}
	tables := map[string][]column{}
	for _, r := range rows {
		if r[0] != excluded {
			tables[r[0]] = append(tables[r[0]], column{name: r[1], kind: r[2], precision: r[3], key: r[4] == "1"})
		}
	}
	return tables, nil
}

// compare proves every table of the source equal to what its files fold to.
func (q *quickstart) compare(ctx context.Context) error {
	begin := time.Now()
	duck, err := judge.Install(ctx)
	if err != nil {
		return err
	}
	tables, err := q.tables()
	if err != nil {
		return err
	}
	fmt.Println()
	fmt.Println("  the source through its own client, against the files as DuckDB reads and folds them:")
	fmt.Println()
	fmt.Printf("  %-14s%14s%14s%14s%12s\n", "table", "source rows", "file rows", "folded to", "differing")
	var sum result
	for _, name := range sorted(tables) {
		r, err := q.compareTable(ctx, duck, name, tables[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.print(name)
		sum = sum.plus(r)
	}
	sum.print("all")
	fmt.Println()
	if _, err := os.Stat(filepath.Join(q.lake(), "shop", excluded)); err == nil {
		return fmt.Errorf("%s was left out of the job and is in the lake", excluded)
	}
	if err := sum.verdict(); err != nil {
		return err
	}
	say("verdict", "EQUAL by value: %d tables, %s rows (compared in %s)", len(tables), thousands(sum.source), took(begin))
	return nil
}

// result counts rows: of the source, in the files, what the files fold to, and
// those of source and fold that have no equal on the other side.
type result struct{ source, files, folded, differing int }

func (r result) plus(o result) result {
	return result{r.source + o.source, r.files + o.files, r.folded + o.folded, r.differing + o.differing}
}

func (r result) verdict() error {
	if r.differing > 0 || r.source != r.folded {
		return errors.New("source and files DIFFER")
	}
	return nil
}

func (r result) print(name string) {
	verdict := "equal"
	if r.verdict() != nil {
		verdict = "DIFFERS"
	}
	fmt.Printf("  %-14s%14s%14s%14s%12s   %s\n", name, thousands(r.source), thousands(r.files), thousands(r.folded), thousands(r.differing), verdict)
}

func (q *quickstart) compareTable(ctx context.Context, duck *judge.Duck, table string, columns []column) (result, error) {
	dump := filepath.Join(q.dir, "source-"+table+".csv")
	if err := q.dump(dump, table, columns); err != nil {
		return result{}, err
	}
	var values []string
	for _, c := range columns {
		values = append(values, c.value()+" AS "+judge.Name(c.name))
	}
	list := strings.Join(values, ", ")
	script, state, err := q.fold(table, columns)
	if err != nil {
		return result{}, err
	}
	sql := script + "CREATE TABLE source AS SELECT " + list + " FROM " + readCSV(dump) + ";\n" +
		"CREATE TABLE folded AS SELECT " + list + " FROM (" + state + ");\n" +
		"SELECT (SELECT count(*) FROM source), (SELECT count(*) FROM changelog), (SELECT count(*) FROM folded)," +
		" (SELECT count(*) FROM (FROM source EXCEPT ALL FROM folded)) + (SELECT count(*) FROM (FROM folded EXCEPT ALL FROM source))"
	rows, err := duck.Rows(ctx, sql)
	if err != nil {
		return result{}, err
	}
	var n [4]int
	for i := range n {
		if n[i], err = strconv.Atoi(rows[0][i]); err != nil {
			return result{}, err
		}
	}
	return result{n[0], n[1], n[2], n[3]}, os.Remove(dump)
}

// readCSV reads what dump writes; nothing is guessed.
func readCSV(path string) string {
	return "read_csv(" + judge.Literal(path) + `, all_varchar = true, header = true, delim = ',', quote = '"', escape = '"', nullstr = '\N', allow_quoted_nulls = false, new_line = '\n', max_line_size = 16777216, buffer_size = 33554432)`
}

// dump writes a table, as the server's own client prints it, to a CSV file: NULL
// is an unquoted \N, all else is quoted.
func (q *quickstart) dump(path, table string, columns []column) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	var names, exprs []string
	for _, c := range columns {
		names = append(names, c.name)
		exprs = append(exprs, c.source())
	}
	line(w, names)
	err = q.server.Each("SET time_zone = '+00:00'; SELECT "+strings.Join(exprs, ", ")+" FROM shop.`"+table+"`", func(row []string) error {
		line(w, row)
		return nil
	})
	return errors.Join(err, w.Flush())
}

// line writes one record; an error shows at Flush.
func line(w *bufio.Writer, cells []string) {
	for i, cell := range cells {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		if cell == mariadb.Null {
			_, _ = w.WriteString(`\N`)
			continue
		}
		_ = w.WriteByte('"')
		_, _ = w.WriteString(strings.ReplaceAll(cell, `"`, `""`))
		_ = w.WriteByte('"')
	}
	_ = w.WriteByte('\n')
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
