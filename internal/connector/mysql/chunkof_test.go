package mysql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// Where a key is said to lie is where reading the chunks found it.
func TestChunks_say_where_chunks_were_read(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	const n = 4000
	// Orders that TestRead_every_kind_of_key, which asks too, has not.
	cases := []struct{ name, key, value string }{
		{"ci", "k varchar(64) collate utf8mb4_general_ci primary key", "concat(elt(1 + seq % 6, 'a', 'B', 'é', 'Z', 'ß', 'z'), sha1(seq))"},
		{"accents", "k varchar(64) collate utf8mb4_unicode_ci primary key", "concat(elt(1 + seq % 7, 'Ä', 'a', 'æ', 'É', 'e', 'ø', 'o'), lpad(seq, 5, 0))"},
		{"codes", "k varchar(64) collate utf8mb4_bin primary key", "concat(elt(1 + seq % 3, 'A', 'a', 'é'), sha1(seq))"},
		{"nopadci", "k varchar(64) collate utf8mb4_unicode_nopad_ci primary key", "concat(sha1(seq div 2), repeat(' ', seq % 2))"},
		{"spaces", "k varchar(40) collate utf8mb4_general_ci primary key", "concat('x', seq, repeat(' ', seq % 3))"},
		{"below", "k varchar(40) primary key", "concat('x', char(1 + seq % 30), seq)"},
		{"german", "k varchar(40) collate utf8mb4_german2_ci primary key", "concat(elt(1 + seq % 5, 'ae', 'ä', 'ad', 'af', 'ß'), seq)"},
		{"zeros", "k varbinary(40) primary key", "concat('x', char(seq % 256 using binary), seq, repeat(x'00', seq % 2))"},
		{"texts", "k varchar(9), i varchar(50) collate utf8mb4_general_ci, primary key (k, i)", "elt(1 + seq % 2, 'É', 'f'), concat('b', sha1(seq))"},
		{"uid4", "k uuid primary key", "concat(left(md5(seq), 8), '-', mid(md5(seq), 9, 4), '-4', mid(md5(seq), 13, 3), '-8', mid(md5(seq), 16, 3), '-', mid(md5(seq), 19, 12))"},
		{"address", "k inet6 primary key", "concat('::', hex(seq * 11))"},
	}
	var sql strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&sql, "CREATE TABLE %[1]s.%[2]s (%[3]s, p varchar(250)); INSERT INTO %[1]s.%[2]s SELECT %[4]s, repeat('x', 250) FROM seq_1_to_%[5]d; ANALYZE TABLE %[1]s.%[2]s;\n", db, c.name, c.key, c.value, n)
	}
	srv.Exec(t, "SET NAMES utf8mb4; USE "+db+"; "+sql.String())
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if rows, chunks := agreeing(t, s, tableNamed(t, tables, c.name), 150<<10); rows != n || chunks < 4 {
				t.Errorf("%d rows in %d chunks", rows, chunks)
			}
		})
	}
}

// agreeing reads the chunks of a table and asks for that of every row, among all of them
// and among some only, as they are when neighbours have one mark.
func agreeing(t *testing.T, s *source, table *row.Table, size int64) (rows, chunks int) {
	t.Helper()
	splits, err := s.Splits(within(t), connector.Request{Table: table, Generation: 1, ChunkBytes: size})
	if err != nil {
		t.Fatal(err)
	}
	some, of := []connector.Split{splits[0]}, make([]int, len(splits))
	for i := 1; i < len(splits); i++ {
		if i%3 == 1 {
			some = append(some, splits[i])
		}
		of[i] = len(some) - 1
	}
	for i, split := range splits {
		err := s.Read(within(t), split, position0, func(b *row.Batch) error {
			defer b.Release()
			rows += b.Rows()
			return agree(t, s, b, splits, some, i, of[i])
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows, len(splits)
}

// agree asks for the chunks of every row of b, among all and among some.
func agree(t *testing.T, s *source, b *row.Batch, all, some []connector.Split, in, inSome int) error {
	for k := range b.Sections() {
		sec := &b.Sections()[k]
		var rows []int
		for i := sec.Row; i < sec.Row+sec.Rows; i++ {
			rows = append(rows, i)
		}
		inner := rows[1:max(1, len(rows)-1)] // the ends are always asked for
		rand.Shuffle(len(inner), func(i, k int) { inner[i], inner[k] = inner[k], inner[i] })
		rows = append([]int{sec.Row, sec.Row + sec.Rows - 1}, inner[:min(len(inner), 20)]...)
		for splits, want := range map[*[]connector.Split]int{&all: in, &some: inSome} {
			out := make([]int, len(rows))
			if err := s.Chunks(within(t), *splits, b, sec, rows, out); err != nil {
				return err
			}
			for k, got := range out {
				if got != want {
					t.Fatalf("row %d (%s) of chunk %d is said to be in %d", rows[k], rowText(b, sec, rows[k]), want, got)
				}
			}
		}
	}
	return nil
}

func TestChunks_when_the_key_was_altered(t *testing.T) {
	text := row.Type{Kind: row.Text, Charset: "utf8mb4", Collation: "utf8mb4_bin"}
	was := &row.Table{Columns: []row.Column{{Name: "k", Type: text}}, Key: []int{0}}
	c := &cuts{table: was, columns: []string{"k"}}
	for name, bad := range map[string]row.Column{
		"renamed":            {Name: "other", Type: text},
		"another kind":       {Name: "k", Type: row.Type{Kind: row.Int}},
		"another collation":  {Name: "k", Type: row.Type{Kind: row.Text, Charset: "utf8mb4", Collation: "utf8mb4_general_ci"}},
		"no collation known": {Name: "k", Type: row.Type{Kind: row.Text, Charset: "utf8mb4"}},
	} {
		if _, err := c.columnsIn(&row.Table{Columns: []row.Column{bad}}); !fault.Has(err, fault.ResyncNeeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if at, err := c.columnsIn(&row.Table{Columns: []row.Column{{Name: "new"}, {Name: "k", Type: text}}}); err != nil || at[0] != 1 {
		t.Error(at, err)
	}
}

func TestDecimals_when_compared(t *testing.T) {
	ascending := []string{"-100", "-99.50", "-99.5", "-1.01", "-1", "-0.10", "-0", "0.00", "0.001", "0.01", "1", "1.0", "1.10", "9.99", "10", "100.0001"}
	equal := map[[2]string]bool{{"-99.50", "-99.5"}: true, {"-0", "0.00"}: true, {"1", "1.0"}: true}
	for i, a := range ascending {
		for k, b := range ascending {
			want := min(max(i-k, -1), 1)
			if equal[[2]string{a, b}] || equal[[2]string{b, a}] {
				want = 0
			}
			if got := compareDecimals(a, b); got != want {
				t.Errorf("%s and %s: %d, not %d", a, b, got, want)
			}
		}
	}
}

// What is asked cannot become something else than a comparison.
func TestComparison_when_a_type_or_text_is_hostile(t *testing.T) {
	edge := literal{form: litText, charset: "utf8mb4", text: "a"}
	for _, typ := range []row.Type{
		{Kind: row.Text, Charset: "utf8mb4", Collation: "x'; DROP"},
		{Kind: row.Text, Charset: "utf8mb4) OR 1", Collation: "utf8mb4_bin"},
		{Kind: row.Text, Native: "uuid or 1"},
		{Kind: row.Enum, Native: "enum"},
	} {
		if sql, err := comparison(typ, "b", edge); err == nil {
			t.Errorf("%+v: %s", typ, sql)
		}
	}
	if sql, err := comparison(row.Type{Kind: row.Text, Native: "uuid"}, "' OR 1=1 --", literal{form: litPlain, text: "a"}); err == nil {
		t.Error(sql)
	}
}
