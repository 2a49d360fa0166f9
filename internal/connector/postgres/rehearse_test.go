package postgres

import (
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// What has no form in PostgreSQL is found without one.
func TestRehearse_when_there_is_no_server(t *testing.T) {
	table := plainTable("t", true, "id", "a", "d")
	table.Columns[2].Type = row.Type{Kind: row.Date, Native: "date"}
	table.Columns[2].Nullable = false
	r := &rig{}
	b := r.batch(table, change{row.Read, cells(1, "ok", row.PackDate(2024, 1, 1))}, change{row.Read, cells(2, "ok", row.PackDate(0, 0, 0))}, change{row.Read, cells(3, "a\x00b", row.PackDate(2024, 1, 1))})
	defer b.Release()
	x := (&sink{}).Rehearse()
	var told []string
	if err := x.Apply(b, func(why *fault.Error) { told = append(told, string(why.Code)+" "+why.What) }); err != nil {
		t.Fatal(err)
	}
	if n, err := x.Close(); n == 0 || err != nil {
		t.Error(n, err)
	}
	if len(told) != 2 || !strings.HasPrefix(told[0], "ROW_REFUSED shop.t, column d") || !strings.HasPrefix(told[1], "ROW_REFUSED shop.t, column a") {
		t.Errorf("%q", told)
	}
}
