package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// fitTable has one column of each type that may be kept in a wider one.
func fitTable() *row.Table {
	t := &row.Table{Name: row.Name{Space: "shop", Table: "t"}, Number: 1, Version: 1, Key: []int{0}}
	for _, c := range []row.Type{
		{Kind: row.Int, Size: 4, Native: "int(11)"}, {Kind: row.Int, Size: 2, Native: "smallint(6)"}, {Kind: row.Decimal, Digits: 10, Scale: 2, Native: "decimal(10,2)"},
		{Kind: row.Uint, Size: 8, Native: "bigint(20) unsigned"}, {Kind: row.Text, Native: "varchar(20)"}, {Kind: row.DateTime, Scale: 3, Native: "datetime(3)"},
		{Kind: row.Timestamp, Native: "timestamp"}, {Kind: row.JSON, Native: "json"}, {Kind: row.Text, Native: "uuid"},
	} {
		t.Columns = append(t.Columns, row.Column{Name: fmt.Sprint("c", len(t.Columns)), Type: c, Nullable: true})
	}
	return t
}

// Tables of others are taken with columns that hold every value of ours, and what is
// written comes back as it was.
func TestPrepare_when_columns_are_wider(t *testing.T) {
	s := postgres.Start(t)
	s.Exec(t, `CREATE SCHEMA shop; CREATE TABLE shop.t (c8 text, extra int, made timestamptz DEFAULT now(), c7 text, c6 timestamptz, c5 timestamp(6), c4 varchar(25), c3 numeric, c2 numeric, c1 int, c0 bigint PRIMARY KEY)`)
	table := fitTable()
	r := newRig(t, s, nil, table)
	at := int64(1_795_651_199_000_000)
	row1 := cells(-7, -300, "-12.50", uint64(1<<63), "é", dateTime(2026, 11, 26, 1_500_000), at, `{"b": 1}`, "123e4567-e89b-12d3-a456-426655440000")
	row2 := cells(8, nil, "0.00", uint64(0), "", nil, at, nil, nil)
	r.must(r.write(table, change{row.Read, row1}))
	r.must(r.write(table, change{row.Insert, row2}, change{row.Update, row1}))
	want := []string{"-7|-300|-12.50|9223372036854775808|é|2026-11-26 00:00:01.5|2026-11-25 23:59:59+00|{\"b\": 1}|123e4567-e89b-12d3-a456-426655440000",
		"8|∅|0.00|0||∅|2026-11-25 23:59:59+00|∅|∅"}
	r.wants("SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8 FROM shop.t ORDER BY c0", want...)
	got := map[string]bool{}
	r.must(r.sink.ReadBack(context.Background(), table, nil, func(b *row.Batch) error {
		defer b.Release()
		for _, sec := range b.Sections() {
			for i := sec.Row; i < sec.Row+sec.Rows; i++ {
				got[lineOf(b, &sec, i)] = true
			}
		}
		return nil
	}))
	b := r.batch(table, change{row.Read, row1}, change{row.Read, row2})
	for _, sec := range b.Sections() {
		for i := range sec.Rows {
			if line := lineOf(b, &sec, sec.Row+i); !got[line] {
				t.Errorf("%q was not read back: %v", line, got)
			}
		}
	}
	// A column that is added changes none of the others.
	after := *table
	after.Version, after.Columns = 2, append(append([]row.Column(nil), table.Columns...), row.Column{Name: "c9", Type: table.Columns[0].Type, Nullable: true})
	r.must(r.w.Evolve(context.Background(), &row.SchemaChange{Kind: row.Alter, Before: table, After: &after}))
	r.must(r.w.Commit(context.Background(), position.Set{}))
	r.must(r.write(&after, change{row.Insert, append(cells(9, 1, "1.00", uint64(1), "x", nil, at, nil, nil), 5)}))
	r.wants("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'shop.t'::regclass AND attname IN ('c0', 'c2', 'c4', 'c5') ORDER BY attname", "bigint", "numeric", "character varying(25)", "timestamp(6) without time zone")
}

// lineOf has the cells of a row as people see them.
func lineOf(b *row.Batch, s *row.Section, i int) string {
	words, flags := b.Cells(s, i)
	var out []string
	for k := range words {
		text := "∅"
		if flags[k] == row.Value {
			text = shown(s.Table.Columns[k].Type, b, words[k])
		}
		out = append(out, text)
	}
	return strings.Join(out, "|")
}

// What would cut or round a value is refused, with the column, what it is and what it
// would have to be.
func TestPrepare_when_columns_do_not_fit(t *testing.T) {
	s := postgres.Start(t)
	whole := []string{"c0 int PRIMARY KEY", "c1 smallint", "c2 numeric(10,2)", "c3 numeric(20,0)", "c4 text", "c5 timestamp(3)", "c6 timestamptz(0)", "c7 json", "c8 uuid"}
	for n, c := range []struct {
		column int
		sql    string
		say    string
	}{
		{0, "c0 smallint PRIMARY KEY", `column "c0" is smallint, not integer`},
		{1, "c1 real", `column "c1" is real, not smallint`},
		{2, "c2 numeric(10,0)", `column "c2" is numeric(10,0), not numeric(10,2)`},
		{2, "c2 numeric(9,2)", `column "c2" is numeric(9,2), not numeric(10,2)`},
		{2, "c2 double precision", `column "c2" is double precision, not numeric(10,2)`},
		{3, "c3 bigint", `column "c3" is bigint, not numeric(20,0)`},
		{4, "c4 varchar(19)", `column "c4" is character varying(19), not text`},
		{4, "c4 char(20)", `column "c4" is character(20), not text`},
		{5, "c5 timestamp(0)", `column "c5" is timestamp(0) without time zone, not timestamp(3)`},
		{5, "c5 timestamptz", `column "c5" is timestamp with time zone, not timestamp(3)`},
		{7, "c7 jsonb", `column "c7" is jsonb, not json`},
		{8, "c8 uuid GENERATED ALWAYS AS (NULL) STORED", `column "c8" has values that the target makes`},
		{8, "c8 uuid, c9 int NOT NULL", `column c9 is not null, has no default and is not in the source`},
	} {
		columns := append([]string(nil), whole...)
		columns[c.column] = c.sql
		schema := fmt.Sprint("s", n)
		s.Exec(t, fmt.Sprintf("CREATE SCHEMA %s; CREATE TABLE %[1]s.t (%s)", schema, strings.Join(columns, ", ")))
		k := newSink(testConfig(t, s, map[string]any{"schema": schema, "control_schema": "g" + schema}), connector.Env{Job: "shop", Name: "lake"})
		err := k.Prepare(context.Background(), []*row.Table{fitTable()})
		if !fault.Has(err, fault.TargetNotOurs) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", c.sql, err)
		}
		_ = k.Close()
	}
}

// A document in jsonb is compared by what it says.
func TestDocument_when_it_is_kept_as_jsonb(t *testing.T) {
	table := plainTable("t", true, "id")
	table.Columns = append(table.Columns, row.Column{Name: "v", Type: row.Type{Kind: row.JSON, Native: "json"}, Nullable: true})
	r := newRig(t, postgres.Start(t), map[string]any{"json": jsonBinary}, table)
	texts := []string{`{"b": 1.50,  "a":[null, true, "\u00e9<"], "a": 2}`, `[]`, `"x"`, `-0.0`, `1e3`, `12345678901234567890123.4500`, ` {"n": {"z":1,"y":{}}} `}
	var rows []change
	for i, text := range texts {
		rows = append(rows, change{row.Read, cells(i, text)})
	}
	rows = append(rows, change{row.Insert, cells(100, nil)}, change{row.Insert, cells(101, texts[0])})
	r.must(r.write(table, rows...))
	r.wants("SELECT v->'b', format_type(atttypid, atttypmod) FROM shop.t, pg_attribute WHERE id IN (0, 101) AND attrelid = 'shop.t'::regclass AND attname = 'v'", "1.50|jsonb", "1.50|jsonb")
	want := dump(t, r.sink, r.batch(table, rows...))
	var got []string
	r.must(r.sink.ReadBack(context.Background(), table, nil, func(b *row.Batch) error {
		defer b.Release()
		got = append(got, dump(t, r.sink, b)...)
		return nil
	}))
	if slices.Compare(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) != 0 {
		t.Errorf("read back %q, not %q", got, want)
	}
	if err := r.write(table, change{row.Insert, cells(7, `"\u0000"`)}); !fault.Has(err, fault.RowRefused) || !strings.Contains(err.Error(), "row id=7") {
		t.Errorf("%v", err)
	}
}

func TestPlainDocument_when_texts_differ(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":2}`, ` { "b" : 2.0, "a" : 1 } `, true}, {`{"a":1,"a":2}`, `{"a":2}`, true}, {`1e2`, `100`, true}, {`100.10`, `1001e-1`, true}, {`-0`, `0.00`, true},
		{`"\u0041"`, `"A"`, true}, {`1`, `"1"`, false}, {`[1,2]`, `[2,1]`, false}, {`1`, `10`, false}, {`-1`, `1`, false}, {`null`, `{}`, false}, {`{"a":{"b":1}}`, `{"b":{"a":1}}`, false}, {`9007199254740993`, `9007199254740992`, false},
	} {
		if same := string(plainDocument([]byte(c.a))) == string(plainDocument([]byte(c.b))); same != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, same)
		}
	}
	if got := string(plainDocument([]byte(`{"a":1} x`))); got != `{"a":1} x` {
		t.Errorf("what is no document became %q", got)
	}
}
