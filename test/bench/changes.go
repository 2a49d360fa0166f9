package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// stream is sysbench's table and its write-only transaction: two updates, a
// delete and an insert of a row drawn from a fixed seed, written by one stored
// procedure so that every log is the same.
const stream = `
CREATE DATABASE IF NOT EXISTS bench; USE bench;
CREATE TABLE sbtest1 (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY k_1 (k));
SET sql_log_bin = 0;
INSERT INTO sbtest1 SELECT seq, CRC32(seq) % 1000000, LEFT(CONCAT(SHA2(seq, 256), SHA2(-seq, 256)), 119), LEFT(SHA2(CONCAT('p', seq), 256), 59) FROM seq_1_to_1000000;
SET sql_log_bin = 1;
DELIMITER $$
CREATE PROCEDURE work(n INT)
BEGIN
  DECLARE i, a, b, c INT DEFAULT 0;
  WHILE i < n DO
    SET i = i + 1, a = 1 + CRC32(CONCAT('a', i)) % 1000000, b = 1 + CRC32(CONCAT('b', i)) % 1000000, c = 1 + CRC32(CONCAT('c', i)) % 1000000;
    START TRANSACTION;
    UPDATE sbtest1 SET k = k + 1 WHERE id = a;
    UPDATE sbtest1 SET c = LEFT(CONCAT(SHA2(i, 256), SHA2(-i, 256)), 119) WHERE id = b;
    DELETE FROM sbtest1 WHERE id = c;
    INSERT INTO sbtest1 VALUES (c, CRC32(i) % 1000000, LEFT(CONCAT(SHA2(-i, 256), SHA2(i, 256)), 119), LEFT(SHA2(i, 256), 59));
    COMMIT;
  END WHILE;
END$$
DELIMITER ;
FLUSH BINARY LOGS;
`

// logPlace is a place in the log.
type logPlace struct {
	file   string
	offset uint32
}

// changes is the change log to files.
func (b *bench) changes(ctx context.Context) (workload, error) {
	if err := b.server.Run(stream); err != nil {
		return workload{}, err
	}
	start, err := b.head()
	if err != nil {
		return workload{}, err
	}
	seen, err := b.server.Rows("SELECT @@gtid_binlog_pos")
	if err != nil {
		return workload{}, err
	}
	gtids := seen[0][0]
	if err := b.server.Run(fmt.Sprintf("CALL bench.work(%d)", b.transactions)); err != nil {
		return workload{}, err
	}
	end, err := b.head()
	if err != nil {
		return workload{}, err
	}
	n := 4 * b.transactions
	return workload{
		name: changesName, title: "The change log to files", unit: "changes", count: n,
		about: fmt.Sprintf("%d transactions of 2 updates, 1 delete and 1 insert: %d changes of rows of 4 columns, some 250 bytes.", b.transactions, n),
		contestants: []contestant{
			{name: "godwit", setting: "`mode: changes`, CSV changelog; defaults; commits, checks and fsyncs as always",
				command: func(ctx context.Context, out string) (call, error) {
					return b.job(ctx, out, fmt.Sprintf("name: bench\n%stables: [bench.sbtest1]\nmode: changes\nstart: %q\nuntil: head\n", b.sourceText(), fmt.Sprintf("%s:%d", start.file, start.offset)))
				},
				check: b.checkChanges},
			{name: "go-mysql decode", setting: "rows decoded and dropped; one goroutine; nothing written",
				command: func(ctx context.Context, _ string) (call, error) { return b.decodeCall(ctx, start, end) },
				check: func(_ context.Context, _ string, stdout []byte) error {
					if string(stdout) != fmt.Sprintln(n) {
						return fmt.Errorf("decoded %s changes of %d", stdout, n)
					}
					return nil
				}},
			{name: "Debezium", rival: true, once: true, time: debeziumTime,
				setting: "embedded engine " + debeziumVersion + ", JSON lines to a file; from its first change to its last, without the time to start",
				command: func(ctx context.Context, out string) (call, error) { return b.debeziumCall(ctx, out, start, gtids, n) },
				check: func(_ context.Context, out string, _ []byte) error {
					return b.countLines(filepath.Join(out, "changes.jsonl"), n)
				}},
		},
	}, nil
}

// countLines fails unless a file has so many lines.
func (b *bench) countLines(path string, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, buffer := 0, make([]byte, 1<<20)
	for {
		k, err := f.Read(buffer)
		lines += bytes.Count(buffer[:k], []byte("\n"))
		if err != nil {
			break
		}
	}
	if lines != n {
		return fmt.Errorf("%d changes of %d", lines, n)
	}
	return nil
}

func (b *bench) head() (logPlace, error) {
	rows, err := b.server.Rows("SHOW MASTER STATUS")
	if err != nil {
		return logPlace{}, err
	}
	offset, err := strconv.ParseUint(rows[0][1], 10, 32)
	return logPlace{rows[0][0], uint32(offset)}, err
}

// checkChanges compares the kinds of changes by number, and the last image of
// every row that was changed with the row as the server has it.
func (b *bench) checkChanges(ctx context.Context, out string, _ []byte) error {
	dump := filepath.Join(b.dir, "sbtest1.csv")
	if _, err := os.Stat(dump); err != nil {
		if err := b.server.Run("SELECT 'id', 'k', 'c', 'pad' UNION ALL SELECT * FROM bench.sbtest1 INTO OUTFILE '" + dump + "' FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"); err != nil {
			return err
		}
	}
	files := plainCSV(filepath.Join(out, "lake/bench/sbtest1/*.csv"))
	n := b.transactions
	rows, err := b.tools.duck.Rows(ctx, "CREATE TABLE entries AS FROM "+files+";\n"+
		"CREATE TABLE last AS SELECT id, k, c, pad, _op FROM entries QUALIFY row_number() OVER (PARTITION BY id ORDER BY _pos DESC) = 1;\n"+
		fmt.Sprintf("SELECT (SELECT count(*) FROM entries WHERE _op = 'u') = %d, (SELECT count(*) FROM entries WHERE _op = 'd') = %d, (SELECT count(*) FROM entries WHERE _op = 'i') = %d,", 2*n, n, n)+
		" (SELECT count(*) FROM entries) = "+strconv.Itoa(4*n)+","+
		" (SELECT count(*) FROM (SELECT id, k, c, pad FROM last WHERE _op <> 'd' EXCEPT SELECT id, k, c, pad FROM "+plainCSV(dump)+")) = 0")
	if err != nil {
		return err
	}
	for i, what := range []string{"updates", "deletes", "inserts", "changes in all", "last images"} {
		if rows[0][i] != "true" {
			return errors.New(what + " differ from the source's")
		}
	}
	return nil
}

func (b *bench) decodeCall(ctx context.Context, from, to logPlace) (call, error) {
	self, err := os.Executable()
	if err != nil {
		return call{}, err
	}
	cmd := exec.CommandContext(ctx, self, "decode", "-port", strconv.Itoa(b.server.Port), "-user", b.server.User,
		"-from", from.file, "-at", strconv.Itoa(int(from.offset)), "-to", to.file, "-end", strconv.Itoa(int(to.offset)))
	cmd.Env = append(os.Environ(), "BENCH_PASSWORD="+b.server.Password)
	return call{cmd}, nil
}

// decode reads the log with go-mysql, counts its changes and drops them.
func decode(args []string) error {
	set := flag.NewFlagSet("decode", flag.ExitOnError)
	port := set.Uint("port", 0, "")
	user := set.String("user", "", "")
	from, to := set.String("from", "", ""), set.String("to", "", "")
	at, end := set.Uint("at", 4, ""), set.Uint("end", 0, "")
	if err := set.Parse(args); err != nil {
		return err
	}
	n, err := countChanges(uint16(*port), *user, os.Getenv("BENCH_PASSWORD"), logPlace{*from, uint32(*at)}, logPlace{*to, uint32(*end)})
	if err != nil {
		return err
	}
	_, err = fmt.Println(n)
	return err
}

func countChanges(port uint16, user, password string, from, to logPlace) (int, error) {
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 4242, Flavor: mysql.MariaDBFlavor, Host: "127.0.0.1", Port: port, User: user, Password: password,
		Logger: slog.New(slog.DiscardHandler),
	})
	defer syncer.Close()
	streamer, err := syncer.StartSync(mysql.Position{Name: from.file, Pos: from.offset})
	if err != nil {
		return 0, err
	}
	count, file := 0, from.file
	for {
		e, err := streamer.GetEvent(context.Background())
		if err != nil {
			return 0, err
		}
		switch x := e.Event.(type) {
		case *replication.RotateEvent:
			file = string(x.NextLogName)
			continue // its own place is in the file before
		case *replication.RowsEvent:
			rows := len(x.Rows)
			switch e.Header.EventType {
			case replication.UPDATE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2:
				rows /= 2
			}
			count += rows
		}
		if file == to.file && e.Header.LogPos >= to.offset {
			return count, nil
		}
	}
}

// firstRow is how long godwit says it took from its start to the first row
// handed to the sink, in ms, or -1.
func firstRow(stdout []byte) int64 {
	ms := int64(-1)
	for line := range lines(stdout) {
		var summary struct {
			FirstRow *int64 `json:"first_row_ms"`
		}
		if json.Unmarshal(line, &summary) == nil && summary.FirstRow != nil {
			ms = *summary.FirstRow
		}
	}
	return ms
}
