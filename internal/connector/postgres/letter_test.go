package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// Rows that this side and that the server refuses are put aside with the commit that
// passes them; all others arrive.
func TestDiscard_when_rows_are_refused(t *testing.T) {
	table := plainTable("t", true, "id", "a", "d")
	table.Columns[2].Type = row.Type{Kind: row.Date, Native: "date"}
	r := newRig(t, postgres.Start(t), nil, table)
	r.s.Exec(t, "ALTER TABLE shop.t ADD CHECK (a <> 'bad')")
	var told []string
	r.w.(connector.Discarder).Discard(func(l connector.Letter) {
		told = append(told, fmt.Sprintf("%s %d %s", l.Table.Name, l.Op, l.Reason.Code))
	})
	day := row.PackDate(2024, 1, 1)
	var rows []change
	for i := range 50 {
		rows = append(rows, change{row.Insert, cells(i, "ok", day)})
	}
	rows[7], rows[31] = change{row.Read, cells(7, "bad", nil)}, change{row.Insert, cells(31, "bad", day)}
	rows[20] = change{row.Insert, cells(20, "ok", row.PackDate(0, 0, 0))}
	b := r.batch(table, rows...)
	defer b.Release()
	r.must(r.w.Apply(context.Background(), b))
	s := b.Sections()[0]
	r.must(r.w.(connector.Discarder).Bury(context.Background(), b, &s, 49, fault.New(fault.RowRefused, "a transformation failed")))
	if len(told) > 0 {
		t.Errorf("told before the commit: %q", told)
	}
	r.must(r.w.Commit(context.Background(), position.Set{connector.StreamSplit: b.End}))
	if len(told) != 4 || told[0] != "shop.t 2 ROW_REFUSED" {
		t.Errorf("told: %q", told)
	}
	r.wants("SELECT count(*), count(*) FILTER (WHERE id IN (7, 20, 31)) FROM shop.t", "47|0")
	r.wants("SELECT op, cells::jsonb FROM godwit.godwit_dead_letter ORDER BY cells->>'id'",
		`i|{"a": "ok", "d": "0000-00-00", "id": "20"}`, `i|{"a": "bad", "d": "2024-01-01", "id": "31"}`, `i|{"a": "ok", "d": "2024-01-01", "id": "49"}`, `r|{"a": "bad", "d": null, "id": "7"}`)
	if got := r.s.Query(t, "SELECT reason FROM godwit.godwit_dead_letter WHERE cells->>'id' = '31'")[0][0]; !strings.Contains(got, "t_a_check") {
		t.Errorf("%s", got)
	}
	// A commit that does not come about tells of nothing.
	c := r.batch(table, change{row.Insert, cells(99, "bad", nil)})
	defer c.Release()
	r.must(r.w.Apply(context.Background(), c))
	r.must(r.w.Close())
	r.wants("SELECT count(*) FROM godwit.godwit_dead_letter", "4")
	if len(told) != 4 {
		t.Errorf("told: %q", told)
	}
}

// Letters are read back with their keys, page by page.
func TestLetters_when_there_are_more_than_one_page(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.w.(connector.Discarder).Discard(func(connector.Letter) {})
	var rows []change
	for i := range lettersAtOnce + 3 {
		rows = append(rows, change{row.Insert, cells(i, "a\x00b")}) // no text of PostgreSQL
	}
	b := r.batch(table, rows...)
	defer b.Release()
	r.must(r.w.Apply(context.Background(), b))
	r.must(r.w.Commit(context.Background(), position.Set{connector.StreamSplit: b.End}))
	var all []connector.StoredLetter
	read := func(after string) (n int) {
		all = nil
		r.must(r.sink.Letters(context.Background(), after, func(l connector.StoredLetter) error {
			all = append(all, l)
			return nil
		}))
		return len(all)
	}
	if n := read(""); n != len(rows) {
		t.Fatalf("%d letters of %d", n, len(rows))
	}
	l := all[500]
	if l.Table != "shop.t" || l.Op != "i" || l.Code != "ROW_REFUSED" || len(l.Key) != 1 || *l.Key["id"] != "500" || l.Row["a"] == nil || l.What == "" || l.Time.IsZero() {
		t.Errorf("%+v", l)
	}
	if n := read(l.Mark); n != 2 || *all[0].Key["id"] != "501" {
		t.Errorf("%d letters after letter 500: %+v", n, all)
	}
}

// A letter is written whatever the key of its row is, and says which row it is of.
func TestDiscard_when_the_key_is_no_text_of_the_server(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	table.Columns[0].Type = row.Type{Kind: row.Text, Native: "varchar(10)"}
	r := newRig(t, postgres.Start(t), nil, table)
	r.w.(connector.Discarder).Discard(func(connector.Letter) {})
	r.must(r.write(table, change{row.Insert, cells("x\x00y", "a")}, change{row.Insert, cells("x\xff", "b")}, change{row.Insert, cells("z", "c")}))
	r.wants("SELECT * FROM shop.t", "z|c")
	r.wants("SELECT cells FROM godwit.godwit_dead_letter ORDER BY pos", `{"a":"a","id":"x\u0000y"}`, `{"a":"b","id":"0x78ff"}`)
}

func TestDiscard_when_a_row_before_one_that_moves_is_refused(t *testing.T) {
	table := plainTable("t", true, "id", "a")
	r := newRig(t, postgres.Start(t), nil, table)
	r.s.Exec(t, "ALTER TABLE shop.t ADD CHECK (a <> 'bad')")
	r.must(r.write(table, change{row.Insert, cells(1, "one")}))
	r.w.(connector.Discarder).Discard(func(connector.Letter) {})
	r.must(r.write(table, change{row.Insert, cells(5, "bad")},
		change{row.Before, cells(1, absent{})}, change{row.Update, cells(9, absent{})}))
	r.wants("SELECT * FROM shop.t", "9|one")
	r.wants("SELECT op, right(pos, 1), cells->>'id' FROM godwit.godwit_dead_letter", "i|1|5")
}
