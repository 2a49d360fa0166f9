package mysql

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/row"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// corpus returns the statements of a file.
func corpus(t *testing.T, name string) (out []string) {
	b, err := os.ReadFile("testdata/ddl/" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-- ") {
			out = append(out, line)
		}
	}
	return out
}

// TestStream_when_statements_of_every_kind_are_logged runs each statement on a table of its
// own and changes rows after it. Nothing may stop the stream, and a table is what the
// server has, or it is marked.
func TestStream_when_statements_of_every_kind_are_logged(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) { everyStatement(t, mariadb.Start(t), corpus(t, "mariadb")) })
	t.Run("MySQL", func(t *testing.T) { everyStatement(t, mysql.Start(t), corpus(t, "mysql")) })
}

func everyStatement(t *testing.T, srv *sqlserver.Server, own []string) {
	statements := slices.Concat(corpus(t, "both"), own)
	srv.Exec(t, "CREATE DATABASE ddl CHARACTER SET utf8mb4; CREATE TABLE ddl.parent (id INT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, "ddl.*")
	from := head(t, s)
	refused := runEach(t, s, statements)
	for _, r := range refused {
		t.Logf("the server refuses %s", r)
	}
	if 4*len(refused) > len(statements) {
		t.Errorf("the server refused %d of %d statements", len(refused), len(statements))
	}
	after := everything(tables)
	after.Selector = connector.Selector{Patterns: []string{"ddl.*"}}
	after.Until.Place = head(t, s)
	shapes := map[row.Name]*row.Table{tables[0].Name: tables[0]}
	why := map[row.Name]string{}
	err := s.Read(within(t), after, from, func(b *row.Batch) error {
		defer b.Release()
		if c := b.Change; c != nil {
			if c.Before != nil {
				delete(shapes, c.Before.Name)
			}
			if c.After != nil {
				shapes[c.After.Name], why[c.After.Name] = c.After, c.Statement
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("the stream stopped: %v", err)
	}
	compareCatalogue(t, srv, shapes, why)
}

// runEach runs each statement after making its table, and then changes rows of it under
// both names. It returns those that the server refuses.
func runEach(t *testing.T, s *source, statements []string) (refused []string) {
	c, err := s.dial(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, sql := range []string{"SET sql_mode = ''", "SET NAMES utf8mb4", "USE ddl"} {
		if err := c.exec(within(t), sql); err != nil {
			t.Fatal(err)
		}
	}
	for i, sql := range statements {
		name, other := fmt.Sprintf("t%d", i), fmt.Sprintf("o%d", i)
		made := fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, a INT, b VARCHAR(20), c DECIMAL(9,2), d DATETIME, e ENUM('x','y'), g BIGINT NOT NULL, KEY ia (a))", name)
		for _, q := range []string{made, fmt.Sprintf("INSERT INTO %s (id, a, b, g) VALUES (1, 1, 'b', 1), (2, 2, 'bb', 2)", name)} {
			if err := c.exec(within(t), q); err != nil {
				t.Fatal(err)
			}
		}
		sql = strings.ReplaceAll(strings.ReplaceAll(sql, "@@", other), "'@'", "'\x00'")
		// An account keeps its "@"; a variable has none in the corpus but @x.
		sql = strings.ReplaceAll(strings.ReplaceAll(sql, "'@'%'", "'\x00'%'"), "@x", "\x00x")
		sql = strings.ReplaceAll(strings.ReplaceAll(sql, "@", name), "\x00", "@")
		if err := c.exec(soon(t), sql); err != nil {
			if c.broken {
				t.Fatalf("%s: %v", sql, err)
			}
			refused = append(refused, fmt.Sprintf("%s: %v", sql, err))
		}
		for _, n := range []string{name, other} { // not all of them are there
			_ = c.exec(within(t), fmt.Sprintf("INSERT INTO %s (id) VALUES (100)", n))
			_ = c.exec(within(t), fmt.Sprintf("UPDATE %s SET id = 101 WHERE id = 100", n))
			_ = c.exec(within(t), fmt.Sprintf("DELETE FROM %s WHERE id = 1", n))
		}
	}
	return refused
}

// soon is time enough for one statement.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// compareCatalogue compares the shapes that the stream ends with and those of the server.
func compareCatalogue(t *testing.T, srv *sqlserver.Server, shapes map[row.Name]*row.Table, why map[row.Name]string) {
	fresh := sourceOf(t, srv, nil)
	marked := 0
	for _, r := range srv.Query(t, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ddl' AND table_type = 'SYSTEM VERSIONED'") {
		name := row.Name{Space: "ddl", Table: r[0]}
		if then := shapes[name]; then == nil || then.Stopped == "" {
			t.Errorf("%s is system-versioned and not marked", name)
		}
		delete(shapes, name)
		srv.Exec(t, "DROP TABLE ddl."+r[0])
	}
	for _, now := range discover(t, fresh, "ddl.*") {
		then := shapes[now.Name]
		delete(shapes, now.Name)
		switch {
		case then == nil:
			t.Errorf("%s is not in the stream", now.Name)
		case then.Stopped != "":
			marked++
			t.Logf("%s is marked: %s", now.Name, then.Stopped)
		case !slices.EqualFunc(then.Columns, now.Columns, sameColumn) || !slices.Equal(then.Key, now.Key):
			t.Errorf("%s, after %s:\n the stream has %+v key %v\n the server has %+v key %v", now.Name, why[now.Name], then.Columns, then.Key, now.Columns, now.Key)
		}
	}
	for name, left := range shapes {
		if left.Stopped == "" {
			t.Errorf("%s is in the stream and not on the server, after %s", name, why[name])
		}
	}
	t.Logf("%d tables are marked", marked)
}

// sameColumn compares what decides how a column is read: servers print one type in
// several ways.
func sameColumn(x, y row.Column) bool {
	return x.Name == y.Name && x.Type.Kind == y.Type.Kind && x.Type.Size == y.Type.Size && x.Type.Digits == y.Type.Digits && x.Type.Scale == y.Type.Scale &&
		slices.Equal(x.Type.Labels, y.Type.Labels) && x.Type.Charset == y.Type.Charset && x.Type.Collation == y.Type.Collation
}
