package sourcetest

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/row"
)

// schemaChanges: every change of a schema stands at its place in the log, with the
// shapes of that place, also when reading starts right before or after it.
func schemaChanges(t testing.TB, h Harness, s Server) {
	x := begin(t, h, s, "CREATE TABLE @.a (id INT PRIMARY KEY, v VARCHAR(20), w VARCHAR(20))", "CREATE TABLE @.b (id INT PRIMARY KEY, n INT)")
	defer x.end()
	x.exec("INSERT INTO @.a VALUES (1, 'a', 'b'); INSERT INTO @.b VALUES (1, 1)")
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	l := x.stream(tables, from, connector.Until{})
	steps := []string{
		"INSERT INTO @.a VALUES (2, 'c', NULL)",
		"ALTER TABLE @.a ADD COLUMN n INT",
		"INSERT INTO @.a VALUES (3, 'd', 'e', 3); UPDATE @.a SET n = 5 WHERE id = 1",
		"ALTER TABLE @.a ADD COLUMN d VARCHAR(10) DEFAULT 'def'",
		"INSERT INTO @.a VALUES (4, 'd', 'e', 3, 'x')",
		"ALTER TABLE @.a RENAME COLUMN v TO vv",
		"INSERT INTO @.a VALUES (5, 'renamed', 'e', 3, NULL)",
		"ALTER TABLE @.a DROP COLUMN w",
		"INSERT INTO @.a VALUES (6, 'dropped', 6, 'y'); DELETE FROM @.a WHERE id = 2",
		"ALTER TABLE @.a MODIFY COLUMN n BIGINT",
		"INSERT INTO @.a VALUES (7, 'wide', 8589934592, 'y')",
		"CREATE TABLE @.c (id INT PRIMARY KEY, z VARCHAR(9))",
		"INSERT INTO @.c VALUES (1, 'new'); UPDATE @.b SET n = 2 WHERE id = 1",
		"RENAME TABLE @.c TO @.e",
		"INSERT INTO @.e VALUES (2, 'moved')",
		"TRUNCATE TABLE @.b",
		"INSERT INTO @.b VALUES (9, 9)",
		"DROP TABLE @.b",
		"INSERT INTO @.e VALUES (3, 'after')",
		"CREATE TABLE @.b (id INT PRIMARY KEY, other VARCHAR(4))",
		"INSERT INTO @.b VALUES (1, 'anew')",
	}
	for _, q := range steps {
		x.exec(q)
	}
	end := x.head()
	l.await(x.ctx, "the head", func() bool { return l.reached(end) })
	l.cancel()
	var kinds []string
	for _, e := range l.entries {
		c := e.change
		if c == nil {
			continue
		}
		if c.Kind == row.Stop {
			t.Errorf("%s leaves the stream: %s (%s)", c.After.Name, c.After.Stopped, c.Statement)
		}
		kinds = append(kinds, []string{"?", "create", "alter", "drop", "stop"}[c.Kind])
		if c.Kind == row.Alter && c.After.Version <= c.Before.Version {
			t.Errorf("version %d follows %d in %q", c.After.Version, c.Before.Version, c.Statement)
		}
	}
	if got, want := strings.Join(kinds, " "), "alter alter alter alter alter create alter drop create"; got != want {
		t.Fatalf("the changes are\n\t%s\nnot\n\t%s", got, want)
	}
	x.replay(now, l.entries)
	x.matches("after schema changes", now)
	sameEntries(t, "read later, when the catalogue has the last shapes", x.read(tables, from, end).entries, l.entries)
	x.resumeAll(tables, l.tape, end)
}

// unlogged: a table whose rows are changed unseen leaves the stream at that place;
// others go on.
func unlogged(t testing.TB, h Harness, s Server) {
	if lacks(t, h.Dialect.Unlogged, "changes without rows in the log") {
		return
	}
	x := begin(t, h, s, "CREATE TABLE @.a (id INT PRIMARY KEY, n INT)", "CREATE TABLE @.b (id INT PRIMARY KEY, n INT)")
	defer x.end()
	x.exec("INSERT INTO @.a VALUES (1, 1); INSERT INTO @.b VALUES (1, 1)")
	tables, _ := x.discover()
	from, now := x.head(), x.initial(tables)
	l := x.stream(tables, from, connector.Until{})
	x.exec("INSERT INTO @.a VALUES (2, 2)")
	x.exec(fmt.Sprintf(h.Dialect.Unlogged, "@.a"))
	x.exec("INSERT INTO @.a VALUES (3, 3); INSERT INTO @.b VALUES (2, 2)")
	end := x.head()
	l.await(x.ctx, "the head", func() bool { return l.reached(end) })
	l.cancel()
	x.replay(now, l.entries) // refuses rows of a table that has left
	a, b := named(t, tables, "a"), named(t, tables, "b")
	if now[a.Name].shape.Stopped == "" {
		t.Error("the table stays in the stream")
	}
	if d := differs(a, now[a.Name].list(), [][]string{{"1", "1"}, {"2", "2"}}); d != "" {
		t.Error(d)
	}
	if d := differs(b, now[b.Name].list(), x.client(b)); d != "" {
		t.Error(d)
	}
	x.resumeAll(tables, l.tape, end)
}
