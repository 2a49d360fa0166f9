package postgres

import (
	"context"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// altered returns the next version of t.
func altered(t *row.Table, edit func(*row.Table)) *row.Table {
	after := *t
	after.Version++
	after.Columns = append([]row.Column(nil), t.Columns...)
	after.Key = append([]int(nil), t.Key...)
	edit(&after)
	return &after
}

// evolve carries a change out twice, in two commits, as after a crash between.
func (r *rig) evolve(c *row.SchemaChange) {
	r.Helper()
	for range 2 {
		r.must(r.w.Evolve(context.Background(), c))
		r.n++
		r.must(r.w.Commit(context.Background(), position.Set{}))
	}
}

func (r *rig) columns(table string, want ...string) {
	r.Helper()
	r.wants("SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = '"+table+"'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum", want...)
}

func TestEvolve_when_columns_change(t *testing.T) {
	table := plainTable("t", true, "id", "a", "b")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "7", "x")}))
	more, five := altered(table, func(t *row.Table) {
		t.Columns = append(t.Columns, row.Column{Name: "n", Type: row.Type{Kind: row.Int, Size: 2, Native: "smallint(6)"}}, row.Column{Name: "d", Type: row.Type{Kind: row.Date, Native: "date"}, Nullable: true})
	}), "5"
	more.Columns[3].Default = &five
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: table, After: more})
	r.wants("SELECT * FROM shop.t", "1|7|x|5|∅")
	r.columns("shop.t", "id|integer|t", "a|text|f", "b|text|f", "n|smallint|f", "d|date|f")

	wide := altered(more, func(t *row.Table) {
		t.Columns[1] = row.Column{Name: "z", Type: row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}}
		t.Columns[3].Type = row.Type{Kind: row.Uint, Size: 8, Native: "bigint(20) unsigned"}
		t.Columns = append(t.Columns[:2], t.Columns[3:]...) // b is dropped
	})
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: more, After: wide, Renamed: map[string]string{"z": "a"}})
	r.columns("shop.t", "id|integer|t", "z|integer|f", "n|numeric(20,0)|f", "d|date|f")
	r.must(r.write(wide, change{row.Insert, cells(2, 8, uint64(1<<63), nil)}))
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|7|5|∅", "2|8|9223372036854775808|∅")

	rekeyed := altered(wide, func(t *row.Table) { t.Key = []int{1, 0} })
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: wide, After: rekeyed})
	r.must(r.write(rekeyed, change{row.Update, cells(2, 8, uint64(1), nil)}, change{row.Insert, cells(2, 9, uint64(3), nil)}))
	r.wants("SELECT * FROM shop.t ORDER BY id, z", "1|7|5|∅", "2|8|1|∅", "2|9|3|∅")
}

// Defaults that have no text form, or none here, are taken as the source shows them.
func TestEvolve_when_defaults_are_bytes_or_zero(t *testing.T) {
	table := plainTable("t", true, "id")
	r := newRig(t, postgres.Start(t), map[string]any{"unrepresentable": unrepresentableNull}, table)
	r.must(r.write(table, change{row.Insert, cells(1)}))
	zeros, day, bits := "\x00\xff'", "0000-00-00", "5"
	more := altered(table, func(t *row.Table) {
		t.Columns = append(t.Columns, row.Column{Name: "b", Type: row.Type{Kind: row.Bytes, Size: 3, Native: "binary(3)"}, Default: &zeros},
			row.Column{Name: "d", Type: row.Type{Kind: row.Date, Native: "date"}, Default: &day}, row.Column{Name: "n", Type: row.Type{Kind: row.Bits, Size: 3, Native: "bit(3)"}, Default: &bits})
	})
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: table, After: more})
	r.wants("SELECT id, encode(b, 'hex'), d, n FROM shop.t", "1|00ff27|∅|101")
}

// Where there are no rows nothing shows a default that is no date here.
func TestEvolve_when_a_date_comes_to_an_empty_table(t *testing.T) {
	table := plainTable("t", true, "id")
	r := newRig(t, postgres.Start(t), nil, table)
	day := "0000-00-00"
	more := func(t *row.Table, name string) *row.Table {
		return altered(t, func(t *row.Table) {
			t.Columns = append(t.Columns, row.Column{Name: name, Type: row.Type{Kind: row.Date, Native: "date"}, Default: &day})
		})
	}
	first := more(table, "d")
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: table, After: first})
	r.must(r.write(first, change{row.Insert, cells(1, row.PackDate(2024, 1, 1))}))
	r.wants("SELECT * FROM shop.t", "1|2024-01-01")
	if err := r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: first, After: more(first, "e")}); !fault.Has(err, fault.TargetRefused) {
		t.Errorf("%v", err)
	}
}

func TestEvolve_when_names_are_exchanged(t *testing.T) {
	a, b := plainTable("a", true, "id", "x", "y"), plainTable("b", true, "id", "n")
	b.Number = 2
	r := newRig(t, postgres.Start(t), nil, a, b)
	r.must(r.write(a, change{row.Insert, cells(1, "x", "y")}))
	r.must(r.write(b, change{row.Insert, cells(1, "b")}))
	swapped := altered(a, func(t *row.Table) { t.Columns[1].Name, t.Columns[2].Name = "y", "x" })
	r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: a, After: swapped, Renamed: map[string]string{"x": "y", "y": "x"}}))
	r.must(r.w.Commit(context.Background(), position.Set{}))
	r.wants("SELECT id, x, y FROM shop.a", "1|y|x")
	rename := func(t *row.Table, name row.Name) *row.Table {
		after := altered(t, func(t *row.Table) { t.Name = name })
		r.evolve(&row.SchemaChange{Kind: row.Alter, Before: t, After: after})
		return after
	}
	tmp := rename(swapped, row.Name{Space: "other", Table: "tmp"})
	first := rename(b, row.Name{Space: "shop", Table: "a"})
	second := rename(tmp, row.Name{Space: "shop", Table: "b"})
	r.must(r.write(first, change{row.Insert, cells(2, "b")}))
	r.must(r.write(second, change{row.Delete, cells(1, "x", "y")}))
	r.wants("SELECT * FROM shop.a ORDER BY id", "1|b", "2|b")
	r.wants("SELECT count(*) FROM shop.b", "0")
	r.wants("SELECT table_name, source_table FROM godwit.godwit_table ORDER BY 1", "a|a", "b|b")
}

// A table that has left the stream gives up its name, if it was ever made.
func TestEvolve_when_a_marked_table_is_renamed(t *testing.T) {
	a, b, none := plainTable("a", true, "id"), plainTable("b", true, "id"), plainTable("none", true, "id")
	b.Number, none.Number = 2, 3
	r := newRig(t, postgres.Start(t), nil, a, b)
	r.must(r.write(a, change{row.Insert, cells(1)}))
	r.must(r.write(b, change{row.Insert, cells(2)}))
	r.s.Exec(t, "CREATE TABLE shop.none (n integer)") // somebody's own
	for _, c := range []struct {
		kind   row.ChangeKind
		before *row.Table
		to     string
	}{{row.Stop, a, "old"}, {row.Alter, b, "a"}, {row.Stop, none, "gone"}} {
		after := altered(c.before, func(t *row.Table) { t.Name.Table = c.to })
		r.evolve(&row.SchemaChange{Kind: c.kind, Before: c.before, After: after})
	}
	r.wants("SELECT id FROM shop.old", "1")
	r.wants("SELECT id FROM shop.a", "2")
	r.wants("SELECT count(*) FROM shop.none", "0")
	r.wants("SELECT table_name, source_table FROM godwit.godwit_table ORDER BY 1", "a|a", "old|old")
}

func TestEvolve_when_the_key_of_an_odd_name_changes(t *testing.T) {
	for _, name := range []string{"o'brien", "100%s", "$do$", `back\slash "q"`} {
		table := plainTable(name, true, "id", "n")
		table.Columns[1].Type = table.Columns[0].Type
		r := newRig(t, postgres.Start(t), nil, table)
		after := altered(table, func(t *row.Table) { t.Key = []int{1} })
		r.evolve(&row.SchemaChange{Kind: row.Alter, Before: table, After: after})
		r.must(r.write(after, change{row.Insert, cells(1, 2)}, change{row.Insert, cells(1, 3)}))
		r.wants("SELECT count(*) FROM shop."+quote(name), "2")
	}
}

// A table of another job is in nobody's way, dropped or not.
func TestEvolve_when_the_new_name_is_of_another_job(t *testing.T) {
	table := plainTable("t", true, "id")
	r := newRig(t, postgres.Start(t), nil, table)
	r.s.Exec(t, `CREATE TABLE shop.other (id int);
INSERT INTO godwit.godwit_table (schema_name, table_name, job, sink, source_space, source_table, dropped) VALUES ('shop', 'other', 'another', 'lake', 'shop', 'other', true)`)
	after := altered(table, func(t *row.Table) { t.Name.Table = "other" })
	if err := r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: after}); !fault.Has(err, fault.TargetNotOurs) {
		t.Errorf("%v", err)
	}
	r.must(r.w.Close())
	r.wants("SELECT to_regclass('shop.t') IS NOT NULL, to_regclass('shop.other') IS NOT NULL", "t|t")
}

func TestEvolve_when_tables_come_and_go(t *testing.T) {
	for _, policy := range []string{dropKeep, dropDrop} {
		table := plainTable("t", true, "id", "a")
		r := newRig(t, postgres.Start(t), map[string]any{"on_drop": policy}, table)
		r.must(r.write(table, change{row.Insert, cells(1, "x")}))
		r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Drop, Before: table}))
		r.must(r.write(table, change{row.Truncate, nil})) // as flow does
		want := map[string]string{dropKeep: "t", dropDrop: "f"}[policy]
		r.wants("SELECT to_regclass('shop.t') IS NOT NULL", want)
		if policy == dropKeep {
			r.wants("SELECT count(*) FROM shop.t", "0")
		}
		again := plainTable("t", true, "id", "b", "c")
		again.Number = 2
		r.evolve(&row.SchemaChange{Kind: row.Create, After: again})
		r.must(r.write(again, change{row.Insert, cells(1, "y", "z")}))
		r.wants("SELECT id, b, c FROM shop.t", "1|y|z")
	}
}

// A new generation begins with a row that empties each table there was, also those that
// were dropped: another one may have the name by now.
func TestEvolve_when_a_dropped_table_is_emptied_again(t *testing.T) {
	gone, first := plainTable("gone", true, "id"), plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), map[string]any{"on_drop": dropDrop}, gone, first)
	for _, table := range []*row.Table{gone, first} {
		r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Drop, Before: table}))
		r.must(r.write(table, change{row.Truncate, nil}))
	}
	second := plainTable("t", true, "id", "b", "c")
	second.Number = 2
	r.evolve(&row.SchemaChange{Kind: row.Create, After: second})
	r.must(r.write(second, change{row.Insert, cells(1, "y", "z")}))
	r.s.Exec(t, "CREATE TABLE shop.gone (somebody text); INSERT INTO shop.gone VALUES ('else')")
	r.must(r.write(gone, change{row.Truncate, nil}))
	r.must(r.write(first, change{row.Truncate, nil}))
	r.wants("SELECT (SELECT count(*) FROM shop.t), (SELECT count(*) FROM shop.gone)", "0|1")
	r.s.Exec(t, "DROP TABLE shop.t")
	if err := r.write(second, change{row.Truncate, nil}); !fault.Has(err, fault.TargetLost) {
		t.Errorf("%v", err)
	}
}

// What the target cannot follow is said, and nothing of it stays.
func TestEvolve_when_values_cannot_follow(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "no number")}))
	after := altered(table, func(t *row.Table) { t.Columns[1].Type = row.Type{Kind: row.Int, Size: 4, Native: "int(11)"} })
	err := r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: after})
	if !fault.Has(err, fault.TargetRefused) {
		t.Fatalf("%v", err)
	}
	r.must(r.w.Close())
	r.columns("shop.t", "id|integer|t", "a|text|f")
}

// A table that is read again becomes whatever it is now: its rows go.
func TestEvolve_when_the_table_is_read_again(t *testing.T) {
	table := plainTable("t", true, "id", "a", "b")
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Insert, cells(1, "no number", "x")}, change{row.Insert, cells(2, nil, "y")}))
	zero := "0"
	after := altered(table, func(t *row.Table) {
		t.Generation = 2
		t.Columns[1].Type = row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}
		t.Columns[2].Type = row.Type{Kind: row.Date, Native: "date"}
		t.Columns = append(t.Columns, row.Column{Name: "n", Type: t.Columns[0].Type, Default: &zero})
		t.Key = []int{3}
	})
	r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: after, Anew: true}))
	r.must(r.write(after, change{row.Truncate, nil}))
	r.must(r.write(after, change{row.Insert, cells(1, 7, nil, 9)}))
	r.wants("SELECT * FROM shop.t", "1|7|∅|9")
}

// A table that was left out and comes back may have changed in between, its key too.
func TestEvolve_when_a_table_comes_back(t *testing.T) {
	for _, keyed := range []bool{true, false} {
		table := plainTable("t", true, "id", "a", "b")
		r := newRig(t, postgres.Start(t), nil, table)
		r.must(r.write(table, change{row.Insert, cells(1, "x", "y")}))
		now := plainTable("t", keyed, "n", "a", "more")
		now.Number, now.Generation = 2, 2
		now.Columns[1].Type = row.Type{Kind: row.Int, Size: 8, Native: "bigint(20)"}
		r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: now, After: now, Anew: true}))
		r.must(r.write(now, change{row.Truncate, nil}))
		r.must(r.write(now, change{row.Insert, cells(7, 8, "z")}, change{row.Insert, cells(9, 8, "z")}))
		if keyed {
			r.must(r.write(now, change{row.Update, cells(9, 10, "z")}))
		} else {
			r.must(r.write(now, change{row.Delete, cells(9, 8, "z")}, change{row.Insert, cells(9, 10, "z")}, change{row.Insert, cells(7, 8, "z")}, change{row.Delete, cells(7, 8, "z")}))
		}
		r.wants("SELECT n, a, more FROM shop.t ORDER BY n", "7|8|z", "9|10|z")
	}
}

// A chunk is read in a shape that the stream has not come to yet: rows of both shapes
// are kept, whichever names and types the columns have.
func TestEvolve_when_a_chunk_is_ahead(t *testing.T) {
	table := plainTable("t", true, "id", "v", "gone")
	table.Columns = append(table.Columns, row.Column{Name: "n", Type: row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}, Nullable: true})
	r := newRig(t, postgres.Start(t), nil, table)
	r.must(r.write(table, change{row.Read, cells(1, "one", "g", 1)}, change{row.Read, cells(2, "two", "g", 2)}))
	stream := r.w
	after := altered(table, func(t *row.Table) {
		t.Columns = append(t.Columns[:2], t.Columns[3])
		t.Columns[1].Name = "w"
		t.Columns[2].Type = row.Type{Kind: row.Text, Native: "varchar(20)"}
	})
	w, _, err := r.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: "1.1.2"}, connector.Claim{Run: 1})
	r.must(err)
	r.w = w
	r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: after}))
	r.must(r.write(after, change{row.Read, cells(3, "three", "3")}))
	r.w = stream
	r.must(r.write(table, change{row.Update, cells(1, "ONE", "g", 10)}, change{row.Insert, cells(4, "four", nil, 4)}, change{row.Delete, cells(2, "two", "g", 2)}))
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: table, After: after, Renamed: map[string]string{"w": "v"}})
	r.must(r.write(after, change{row.Insert, cells(5, "five", "5")}))
	r.wants("SELECT id, w, n FROM shop.t ORDER BY id", "1|ONE|10", "3|three|3", "4|four|4", "5|five|5")
	r.wants("SELECT ahead FROM godwit.godwit_table", "f")
	r.columns("shop.t", "id|integer|t", "n|text|f", "w|text|f")
}

// Columns that a chunk found before the stream did: rows that the stream adds in the
// older shape show their defaults, as those do that were there, and rows of columns
// that were renamed show what they had.
func TestEvolve_when_a_chunk_found_columns_with_defaults(t *testing.T) {
	five, six, it := "5", "6", "it's"
	number := row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}
	table := plainTable("t", true, "id", "v")
	table.Columns = append(table.Columns, row.Column{Name: "old", Type: number, Default: &six}, row.Column{Name: "may", Type: row.Type{Kind: row.Date, Native: "date"}, Nullable: true})
	r := newRig(t, postgres.Start(t), nil, table)
	stream := r.w
	r.must(r.write(table, change{row.Insert, cells(1, "one", 1, nil)}, change{row.Insert, cells(2, "two", 2, nil)}))
	day := "2001-02-03"
	after := altered(table, func(t *row.Table) {
		t.Columns[2].Name = "new"
		t.Columns[3].Name, t.Columns[3].Default = "might", &day
		t.Columns = append(t.Columns, row.Column{Name: "n", Type: number, Default: &five}, row.Column{Name: "s", Type: row.Type{Kind: row.Text, Native: "varchar(10)"}, Nullable: true, Default: &it})
	})
	w, _, err := r.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: "1.1.2"}, connector.Claim{Run: 1})
	r.must(err)
	r.w = w
	r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: after}))
	r.must(r.write(after, change{row.Read, cells(3, "three", 3, nil, 33, nil)}))
	r.w = stream
	r.must(r.write(table, change{row.Insert, cells(4, "four", 4, nil)}, change{row.Before, cells(2, "two", 2, nil)}, change{row.Update, cells(9, "two", 2, nil)}))
	r.evolve(&row.SchemaChange{Kind: row.Alter, Before: table, After: after, Renamed: map[string]string{"new": "old", "might": "may"}})
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|one|1|∅|5|it's", "3|three|3|∅|33|∅", "4|four|4|∅|5|it's", "9|two|2|∅|5|it's")
	r.wants("SELECT count(*) FROM pg_attrdef WHERE adrelid = 'shop.t'::regclass", "0")
}

// The chunks of two writers lie side by side: one alters the table while the other has
// rows of the shape from before.
func TestEvolve_when_another_chunk_alters_the_table(t *testing.T) {
	table := plainTable("t", true, "id")
	table.Columns = append(table.Columns, row.Column{Name: "n", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint(20)"}})
	r := newRig(t, postgres.Start(t), nil, table)
	opened := func(task string) connector.Writer {
		w, _, err := r.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: task}, connector.Claim{Run: 1})
		r.must(err)
		return w
	}
	one, other := opened("1.1.1"), opened("1.1.2")
	r.w = one
	r.must(r.write(table, change{row.Read, cells(1, 1)}))
	after := altered(table, func(t *row.Table) { t.Columns[1].Type = row.Type{Kind: row.Float64, Native: "double"} })
	r.w = other
	r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: after}))
	r.must(r.write(after, change{row.Read, cells(2, 2.5)}))
	r.w = one
	r.must(r.write(table, change{row.Read, cells(3, 3)}))
	r.wants("SELECT * FROM shop.t ORDER BY id", "1|1", "2|2.5", "3|3")
}

// The key that the stream comes to may be there: a chunk of a table without one found it.
func TestEvolve_when_a_chunk_found_a_key(t *testing.T) {
	table := plainTable("t", false, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	stream := r.w
	w, _, err := r.sink.Open(context.Background(), connector.Shard{Job: "shop", Sink: "lake", Task: "1.1.1"}, connector.Claim{Run: 1})
	r.must(err)
	c := &row.SchemaChange{Kind: row.Alter, Before: table, After: altered(table, func(t *row.Table) { t.Key = []int{0} })}
	r.w = w
	r.must(r.w.Evolve(context.Background(), c))
	r.must(r.write(c.After, change{row.Read, cells(1, "one")}))
	r.w = stream
	r.evolve(c)
	r.must(r.write(c.After, change{row.Update, cells(1, "ONE")}))
	r.wants("SELECT * FROM shop.t", "1|ONE")
}
