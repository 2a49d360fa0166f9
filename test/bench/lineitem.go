package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/test/judge"
	"godwit/test/servers/apt"
)

// lineitemColumns are the columns of TPC-H's largest table, with MariaDB's type
// and the one DuckDB compares by.
var lineitemColumns = [][3]string{
	{"l_orderkey", "BIGINT", "BIGINT"}, {"l_partkey", "BIGINT", "BIGINT"}, {"l_suppkey", "BIGINT", "BIGINT"}, {"l_linenumber", "INT", "INT"},
	{"l_quantity", "DECIMAL(15,2)", "DECIMAL(15,2)"}, {"l_extendedprice", "DECIMAL(15,2)", "DECIMAL(15,2)"},
	{"l_discount", "DECIMAL(15,2)", "DECIMAL(15,2)"}, {"l_tax", "DECIMAL(15,2)", "DECIMAL(15,2)"},
	{"l_returnflag", "CHAR(1)", "VARCHAR"}, {"l_linestatus", "CHAR(1)", "VARCHAR"},
	{"l_shipdate", "DATE", "DATE"}, {"l_commitdate", "DATE", "DATE"}, {"l_receiptdate", "DATE", "DATE"},
	{"l_shipinstruct", "CHAR(25)", "VARCHAR"}, {"l_shipmode", "CHAR(10)", "VARCHAR"}, {"l_comment", "VARCHAR(44)", "VARCHAR"},
}

// lineitem is a whole table to files.
func (b *bench) lineitem(ctx context.Context) (workload, error) {
	origin := filepath.Join(b.dir, "tpch")
	if _, err := os.Stat(filepath.Join(origin, "lineitem.csv")); err != nil {
		cmd := exec.CommandContext(ctx, b.tools.tpchgen, "csv", "-s", fmt.Sprint(b.scale), "--tables=lineitem", "--output-dir="+origin)
		if out, err := cmd.CombinedOutput(); err != nil {
			return workload{}, fmt.Errorf("tpchgen-cli: %w\n%s", err, out)
		}
	}
	if err := b.loadLineitem(filepath.Join(origin, "lineitem.csv")); err != nil {
		return workload{}, err
	}
	want, rows, err := b.fingerprint(ctx, plainCSV(filepath.Join(origin, "lineitem.csv")))
	if err != nil {
		return workload{}, err
	}
	same := func(ctx context.Context, table string) error {
		got, n, err := b.fingerprint(ctx, table)
		if err == nil && (got != want || n != rows) {
			err = fmt.Errorf("%d rows with fingerprint %s, the source has %d with %s", n, got, rows, want)
		}
		return err
	}
	b.sameLineitem = same
	return workload{
		name: lineitemName, title: "A table to files", unit: "rows", count: rows,
		about: fmt.Sprintf("TPC-H lineitem, %d rows of 16 columns, all in the server's buffer pool, to files without compression.", rows),
		contestants: []contestant{
			{name: "godwit", setting: "CSV; defaults; commits, checks and fsyncs as always", command: b.godwitSnapshot, check: func(ctx context.Context, out string, _ []byte) error {
				return same(ctx, plainCSV(filepath.Join(out, "lake/bench/lineitem/*.csv")))
			}},
			{name: "mydumper", setting: "SQL text (this version has no CSV); `-t 2 -r 250000 --trx-consistency-only`", command: b.mydumperDump, check: func(ctx context.Context, out string, _ []byte) error {
				return b.checkDump(ctx, out, same)
			}},
			{name: "DuckDB", setting: "CSV; `COPY (FROM mysql table) TO`; as many threads as processors", command: b.duckCopy, check: func(ctx context.Context, out string, _ []byte) error {
				return same(ctx, plainCSV(filepath.Join(out, "lineitem.csv")))
			}},
		},
	}, nil
}

func (b *bench) loadLineitem(csv string) error {
	var columns []string
	for _, c := range lineitemColumns {
		columns = append(columns, c[0]+" "+c[1]+" NOT NULL")
	}
	return b.server.Run("CREATE DATABASE IF NOT EXISTS bench; USE bench; DROP TABLE IF EXISTS lineitem; CREATE TABLE lineitem (" + strings.Join(columns, ", ") +
		", PRIMARY KEY (l_orderkey, l_linenumber)); SET sql_log_bin = 0; LOAD DATA INFILE '" + csv +
		"' INTO TABLE lineitem FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES; ANALYZE TABLE lineitem")
}

// fingerprint is the number of rows of a table of DuckDB and a sum over all of
// them that no order changes.
func (b *bench) fingerprint(ctx context.Context, table string) (string, int, error) {
	var values []string
	for _, c := range lineitemColumns {
		values = append(values, "CAST("+c[0]+" AS "+c[2]+")")
	}
	rows, err := b.tools.duck.Rows(ctx, "SELECT CAST(sum(CAST(hash("+strings.Join(values, ", ")+") AS HUGEINT)) AS VARCHAR), count(*) FROM "+table)
	if err != nil {
		return "", 0, err
	}
	var n int
	_, err = fmt.Sscan(rows[0][1], &n)
	return rows[0][0], n, err
}

func plainCSV(glob string) string {
	return "read_csv(" + judge.Literal(glob) + `, all_varchar = true, header = true, delim = ',', quote = '"', escape = '"', nullstr = '\N', allow_quoted_nulls = false)`
}

// job writes a job file and returns the call of godwit that runs it.
func (b *bench) job(ctx context.Context, out, text string) (call, error) {
	return b.jobTo(ctx, out, text, "files: {url: \"file://"+out+"/lake\", format: csv}")
}

// jobTo is job with another sink.
func (b *bench) jobTo(ctx context.Context, out, text, sink string) (call, error) {
	path := filepath.Join(out, "job.yaml")
	text += "sinks:\n  - name: lake\n    " + sink + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return call{}, err
	}
	cmd := exec.CommandContext(ctx, b.godwit, "run", "--json", "--state", filepath.Join(out, "state"), path)
	cmd.Env = append(os.Environ(), "BENCH_PASSWORD="+b.server.Password)
	if b.target != nil {
		cmd.Env = append(cmd.Env, "BENCH_TARGET="+b.target.Password)
	}
	return call{cmd}, nil
}

func (b *bench) sourceText() string {
	return "source:\n  mysql: {address: \"" + b.server.Addr() + "\", user: " + b.server.User + ", password: \"${env:BENCH_PASSWORD}\"}\n"
}

func (b *bench) godwitSnapshot(ctx context.Context, out string) (call, error) {
	return b.job(ctx, out, "name: bench\n"+b.sourceText()+"tables: [bench.lineitem]\nmode: snapshot\n")
}

func (b *bench) mydumperDump(ctx context.Context, out string) (call, error) {
	cmd := exec.CommandContext(ctx, b.tools.mydumper, "-h", "127.0.0.1", "-P", fmt.Sprint(b.server.Port), "-u", b.server.User, "-p", b.server.Password,
		"-B", "bench", "-T", "lineitem", "-o", filepath.Join(out, "dump"), "-t", "2", "-r", "250000", "--trx-consistency-only")
	cmd.Env = apt.Env(b.tools.root)
	return call{cmd}, nil
}

func (b *bench) duckCopy(ctx context.Context, out string) (call, error) {
	return b.duckTo(ctx, filepath.Join(out, "lineitem.csv"), "(HEADER)")
}

// duckTo has DuckDB copy the table to a file.
func (b *bench) duckTo(ctx context.Context, file, form string) (call, error) {
	sql := fmt.Sprintf("LOAD %s; ATTACH 'host=127.0.0.1 port=%d user=%s password=%s database=bench' AS my (TYPE mysql, READ_ONLY); COPY (FROM my.bench.lineitem) TO %s %s",
		judge.Literal(b.tools.scanner), b.server.Port, b.server.User, b.server.Password, judge.Literal(file), form)
	return call{exec.CommandContext(ctx, b.tools.duck.Path, "-unsigned", "-init", os.DevNull, "-c", sql)}, nil
}

// checkDump turns the dump's INSERT statements into CSV and compares that.
func (b *bench) checkDump(ctx context.Context, out string, same func(context.Context, string) error) error {
	files, err := filepath.Glob(filepath.Join(out, "dump", "bench.lineitem*.sql"))
	if err != nil {
		return err
	}
	csv := filepath.Join(out, "dump.csv")
	f, err := os.Create(csv)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i, c := range lineitemColumns {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		_, _ = w.WriteString(c[0])
	}
	_ = w.WriteByte('\n')
	for _, path := range files {
		if strings.HasSuffix(path, "-schema.sql") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := tuples(w, text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	return same(ctx, plainCSV(csv))
}

// tuples writes the rows of INSERT statements as CSV; it expects each row on a
// line of its own, as mydumper writes them, and no backslash but before a quote
// or a backslash.
func tuples(w *bufio.Writer, text []byte) error {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n;,")
		if bytes.HasPrefix(line, []byte("INSERT INTO")) {
			if at := bytes.Index(line, []byte("VALUES")); at >= 0 {
				line = bytes.TrimSpace(line[at+len("VALUES"):])
			}
		}
		line = bytes.TrimPrefix(line, []byte(","))
		if len(line) < 2 || line[0] != '(' {
			continue
		}
		if line[len(line)-1] != ')' {
			return fmt.Errorf("a row that does not end on its line: %.200s", line)
		}
		if err := tuple(w, line[1:len(line)-1]); err != nil {
			return err
		}
	}
	return nil
}

func tuple(w *bufio.Writer, row []byte) error {
	quoted := false
	for i := 0; i < len(row); i++ {
		switch c := row[i]; {
		case c == '\\' && i+1 < len(row) && bytes.IndexByte([]byte(`\"'`), row[i+1]) >= 0:
			i++
			if row[i] == '"' {
				_ = w.WriteByte('"')
			}
			_ = w.WriteByte(row[i])
		case c == '\\':
			return fmt.Errorf("an escape that is not expected here: %.200s", row)
		case c == '"':
			quoted = !quoted
			_ = w.WriteByte(c)
		default:
			_ = w.WriteByte(c)
		}
	}
	if quoted {
		return fmt.Errorf("an open quote: %.200s", row)
	}
	return w.WriteByte('\n')
}
