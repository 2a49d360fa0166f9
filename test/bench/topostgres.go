package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"godwit/test/servers/mariadb"
	"godwit/test/servers/postgres"
)

// pgSettings are those of both PostgreSQL servers: all data in memory, commits that
// reach the kernel.
var pgSettings = []string{"shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=30min", "synchronous_commit=off", "wal_level=logical"}

// startPostgres starts the target, once.
func (b *bench) startPostgres() (err error) {
	if b.target == nil {
		b.target, err = postgres.Launch(pgSettings...)
	}
	return err
}

// pgLineitem makes lineitem as a person would.
func pgLineitem() string {
	var columns []string
	for _, c := range lineitemColumns {
		kind := c[1]
		if c[2] == "VARCHAR" {
			kind = "text" // PostgreSQL would fill up CHAR with blanks
		}
		columns = append(columns, c[0]+" "+kind+" NOT NULL")
	}
	return "CREATE TABLE lineitem (" + strings.Join(columns, ", ") + ", PRIMARY KEY (l_orderkey, l_linenumber))"
}

// postgres is a whole table to PostgreSQL.
func (b *bench) postgres(ctx context.Context) (workload, error) {
	w, err := b.lineitem(ctx)
	if err != nil {
		return w, err
	}
	if err := b.startPostgres(); err != nil {
		return w, err
	}
	same := func(table string) func(context.Context, string, []byte) error {
		return func(ctx context.Context, out string, _ []byte) error {
			csv := filepath.Join(b.target.Dir, "data", "lineitem.csv") // where the server may write
			if err := b.target.In("run").Run("COPY (SELECT * FROM " + table + ") TO '" + csv + "' (FORMAT csv, HEADER, NULL '\\N')"); err != nil {
				return err
			}
			return errors.Join(b.sameLineitem(ctx, plainCSV(csv)), os.Remove(csv))
		}
	}
	w.name, w.title = postgresName, "A table to PostgreSQL"
	w.about = fmt.Sprintf("TPC-H lineitem, %d rows of 16 columns with its primary key, into an empty database.", w.count)
	w.contestants = []contestant{
		{
			name: godwitLabel, setting: "`mode: snapshot`; defaults; it makes the table, with its key",
			prepare: func(context.Context) error { return b.freshDatabase("template0") },
			command: func(ctx context.Context, out string) (call, error) {
				return b.jobTo(ctx, out, "name: bench\n"+b.sourceText()+"tables: [bench.lineitem]\nmode: snapshot\n", b.pgSink())
			},
			check: same("bench.lineitem"),
		},
		{
			name: pipeName, setting: "`mariadb --quick -B | psql COPY`: the table with its key is there, nothing is checked",
			prepare: func(context.Context) error {
				return errors.Join(b.freshDatabase("template0"), b.target.In("run").Run(pgLineitem()))
			},
			command: b.pipe,
			check:   same("lineitem"),
		},
	}
	return w, nil
}

// freshDatabase makes the database "run" anew.
func (b *bench) freshDatabase(template string) error {
	return errors.Join(b.target.Run("DROP DATABASE IF EXISTS run WITH (FORCE)"), b.target.Run("CREATE DATABASE run TEMPLATE "+template))
}

func (b *bench) pgSink() string {
	return fmt.Sprintf("postgres: {address: %q, database: run, user: %s, password: \"${env:BENCH_TARGET}\"}", b.target.Addr(), b.target.User)
}

// pipeName is the contestant that moves rows and does nothing else.
const pipeName = "pipe"

// pipe is the shortest way there is without a program of one's own.
func (b *bench) pipe(ctx context.Context, _ string) (call, error) {
	client, err := b.sourceClient()
	if err != nil {
		return call{}, err
	}
	target := b.target.In("run").Client("psql", "-q", "-c", "COPY lineitem FROM STDIN")
	script := "exec 3>&1; \"$@\" | " + quoted(target.Args)
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-o", "pipefail", "-c", script, "bash"}, client.Args...)...)
	cmd.Env = append(append(append(os.Environ(), client.Env...), target.Env...), "MYSQL_PWD="+b.server.Password)
	return call{cmd}, nil
}

// sourceClient is the server's own client that reads all of lineitem.
func (b *bench) sourceClient() (*exec.Cmd, error) {
	return mariadb.Command("mariadb", "--no-defaults", "-h127.0.0.1", fmt.Sprintf("-P%d", b.server.Port), "-u"+b.server.User, "--quick", "-B", "-N", "bench", "-e", "SELECT * FROM lineitem")
}

func quoted(args []string) string {
	var out []string
	for _, a := range args {
		out = append(out, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return strings.Join(out, " ")
}

// applied is the change log applied to PostgreSQL, beside PostgreSQL's own replication
// of as many changes of the same kind.
func (b *bench) applied(ctx context.Context) (workload, error) {
	if err := b.startPostgres(); err != nil {
		return workload{}, err
	}
	origin, err := postgres.Launch(pgSettings...)
	if err != nil {
		return workload{}, err
	}
	b.origin = origin
	n := &native{bench: b, origin: origin}
	if err := n.begin(); err != nil {
		return workload{}, err
	}
	g := &follower{bench: b}
	if err := g.begin(ctx); err != nil {
		return workload{}, err
	}
	return workload{
		name: applyName, title: "The change log to PostgreSQL", unit: "changes", count: 4 * b.transactions,
		about: fmt.Sprintf("%d transactions of 2 updates, 1 delete and 1 insert of rows of 4 columns, some 250 bytes, applied to a table of 1,000,000 rows with its key.", b.transactions),
		contestants: []contestant{
			{
				name: godwitLabel, setting: "from MariaDB; `until: head`; defaults; whole transactions, positions with them", prepare: func(context.Context) error { return b.freshDatabase("godwit_before") },
				command: g.run, check: g.check,
			},
			{
				name: "PostgreSQL", rival: true, setting: "from PostgreSQL: a subscription, serial; until it has confirmed the last change", prepare: n.prepare,
				command: n.run, check: n.check, once: true,
			},
		},
	}, nil
}

// follower is godwit with a target that has the table as it was before the changes.
type follower struct{ *bench }

func (f *follower) job(ctx context.Context, out string) (call, error) {
	return f.jobTo(ctx, out, "name: bench\n"+f.sourceText()+"tables: [bench.sbtest1]\nuntil: head\n", f.pgSink())
}

// begin loads the table, lets godwit copy it, keeps that as a template, and makes the
// changes.
func (f *follower) begin(ctx context.Context) error {
	if err := f.server.Run("DROP DATABASE IF EXISTS bench;" + stream); err != nil {
		return err
	}
	out := filepath.Join(f.dir, "before")
	if err := errors.Join(os.MkdirAll(out, 0o755), f.freshDatabase("template0")); err != nil {
		return err
	}
	c, err := f.job(ctx, out)
	if err != nil {
		return err
	}
	if text, err := c.cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(text))
	}
	return errors.Join(f.target.Run("ALTER DATABASE run RENAME TO godwit_before"), f.server.Run(fmt.Sprintf("CALL bench.work(%d)", f.transactions)))
}

func (f *follower) run(ctx context.Context, out string) (call, error) { return f.job(ctx, out) }

// sums are those by which a table is compared with another one of the same rows.
const sums = "SELECT count(*), sum(k), sum(length(c)), sum(length(pad)), "

// pgSums are sums in PostgreSQL.
const pgSums = sums + "md5(string_agg(md5(c || pad), '' ORDER BY id)) FROM bench.sbtest1"

func (f *follower) check(context.Context, string, []byte) error {
	want, err := f.server.Rows("SET SESSION group_concat_max_len = 100000000; " + sums + "MD5(GROUP_CONCAT(MD5(CONCAT(c, pad)) ORDER BY id SEPARATOR '')) FROM bench.sbtest1")
	if err != nil {
		return err
	}
	got, err := f.target.In("run").Rows(pgSums)
	if err != nil {
		return err
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("the table has %v, the source %v", got, want)
	}
	return nil
}

// native is PostgreSQL's own logical replication.
type native struct {
	*bench
	origin *postgres.Server
	end    string // the place of the last change
	turns  int
}

// nativeRun is the database that PostgreSQL's own replication writes to.
const nativeRun = "native_run"

// pgStream is stream for PostgreSQL.
const pgStream = `
CREATE SCHEMA bench;
CREATE TABLE bench.sbtest1 (id int PRIMARY KEY, k int NOT NULL DEFAULT 0, c char(120) NOT NULL DEFAULT '', pad char(60) NOT NULL DEFAULT '');
INSERT INTO bench.sbtest1 SELECT n, abs(hashint4(n)) % 1000000, left(repeat(md5(n::text), 4), 119), left(repeat(md5('p' || n), 2), 59) FROM generate_series(1, 1000000) n;
CREATE PROCEDURE bench.work(n int) LANGUAGE plpgsql AS $$
DECLARE one int; two int; three int;
BEGIN
  FOR i IN 1..n LOOP
    one := 1 + abs(hashtext('a' || i) % 1000000); two := 1 + abs(hashtext('b' || i) % 1000000); three := 1 + abs(hashtext('c' || i) % 1000000);
    UPDATE bench.sbtest1 SET k = k + 1 WHERE id = one;
    UPDATE bench.sbtest1 SET c = left(repeat(md5(i::text), 4), 119) WHERE id = two;
    DELETE FROM bench.sbtest1 WHERE id = three;
    INSERT INTO bench.sbtest1 VALUES (three, i, left(repeat(md5((-i)::text), 4), 119), left(repeat(md5(i::text), 2), 59));
    COMMIT;
  END LOOP;
END $$;
`

// begin makes the source, a copy of the table as it is before the changes, a slot that
// stays there, and the changes.
func (n *native) begin() error {
	csv := filepath.Join(n.origin.Dir, "data", "sbtest1.csv")
	if err := n.origin.Run(pgStream + "CREATE PUBLICATION pub FOR TABLE bench.sbtest1; COPY bench.sbtest1 TO '" + csv + "'"); err != nil {
		return err
	}
	text, err := os.ReadFile(csv)
	if err != nil {
		return err
	}
	beside := filepath.Join(n.target.Dir, "data", "sbtest1.csv")
	if err := os.WriteFile(beside, text, 0o644); err != nil {
		return err
	}
	table := pgStream[:strings.Index(pgStream, "INSERT INTO")]
	err = errors.Join(n.target.Run("CREATE DATABASE native_before"), n.target.In("native_before").Run(table+"COPY bench.sbtest1 FROM '"+beside+"'; VACUUM ANALYZE bench.sbtest1"),
		n.origin.Run("SELECT pg_create_logical_replication_slot('before', 'pgoutput')"), n.origin.Run(fmt.Sprintf("CALL bench.work(%d)", n.transactions)))
	if err != nil {
		return err
	}
	rows, err := n.origin.Rows("SELECT pg_current_wal_insert_lsn()::text")
	if err == nil {
		n.end = rows[0][0]
	}
	return err
}

// prepare makes a subscription that has not begun.
func (n *native) prepare(context.Context) error {
	if n.turns > 0 {
		// The database that had the last one goes away; so must the subscription.
		_ = n.target.In(nativeRun).Run("ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub")
		_ = n.origin.Run(fmt.Sprintf("SELECT pg_drop_replication_slot('turn%d')", n.turns))
	}
	n.turns++
	slot := fmt.Sprintf("turn%d", n.turns)
	return errors.Join(n.target.Run("DROP DATABASE IF EXISTS "+nativeRun+" WITH (FORCE)"), n.target.Run("CREATE DATABASE "+nativeRun+" TEMPLATE native_before"),
		n.origin.Run("SELECT pg_copy_logical_replication_slot('before', '"+slot+"')"),
		n.target.In(nativeRun).Run(fmt.Sprintf("CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=%d user=%s password=%s dbname=%s' PUBLICATION pub WITH (create_slot = false, slot_name = '%s', copy_data = false, enabled = false)",
			n.origin.Port, n.origin.User, n.origin.Password, n.origin.Database, slot)))
}

// run enables the subscription and waits until it has confirmed the last change.
func (n *native) run(ctx context.Context, _ string) (call, error) {
	on := n.target.In(nativeRun).Client("psql", "-q", "-c", "ALTER SUBSCRIPTION sub ENABLE")
	asked := n.origin.Client("psql", "-qAt", "-c", fmt.Sprintf("SELECT confirmed_flush_lsn >= '%s' FROM pg_replication_slots WHERE slot_name = 'turn%d'", n.end, n.turns))
	return call{exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf("set -e; %s; until [ \"$(%s)\" = t ]; do sleep 0.1; done", withEnv(on), withEnv(asked)))}, nil
}

// withEnv is a call as one word of a shell's, with the variables it is made with.
func withEnv(c *exec.Cmd) string { return "env " + quoted(c.Env) + " " + quoted(c.Args) }

func (n *native) check(context.Context, string, []byte) error {
	want, err := n.origin.Rows(pgSums)
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; {
		got, err := n.target.In(nativeRun).Rows(pgSums)
		if err != nil || fmt.Sprint(got) == fmt.Sprint(want) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the table has %v, the source %v", got, want)
		}
	}
}
