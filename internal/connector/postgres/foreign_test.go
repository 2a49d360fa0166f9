package postgres

import (
	"strings"
	"testing"

	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// Values that no source has come back as the server shows them.
func TestReadBack_when_no_source_has_a_value(t *testing.T) {
	s := postgres.Start(t)
	r := newRig(t, s, nil)
	for i, c := range []struct {
		t      row.Type
		values string
	}{
		{row.Type{Kind: row.Date}, "infinity|-infinity|10000-01-01|5874897-12-31|0001-12-31 BC|4713-01-01 BC"},
		{row.Type{Kind: row.DateTime, Scale: 6}, "infinity|-infinity|10000-01-01 00:00:00|294276-12-31 23:59:59.999999|0044-03-15 12:00:00.5 BC|0001-12-31 23:59:59.999999 BC"},
		{row.Type{Kind: row.Timestamp, Scale: 6}, "infinity|-infinity|294276-12-31 23:59:59.999999+00|0044-03-15 12:00:00.5+00 BC"},
		{row.Type{Kind: row.Time, Scale: 6}, "1 day|-1 days -00:00:01|1 year 1 mon|-1 years -2 mons +3 days 04:05:06.7|1 day -01:00:00|-1 days +01:00:00|3 mons -2 days"},
		{row.Type{Kind: row.Decimal, Digits: 9, Scale: 2}, "NaN"},
		{row.Type{Kind: row.Uint, Size: 8}, "NaN|-1|18446744073709551616|99999999999999999999"},
		{row.Type{Kind: row.Uint, Size: 4}, "-5"},
		{row.Type{Kind: row.Uint, Size: 2}, "-5"},
		{row.Type{Kind: row.Year}, "-5"},
	} {
		table := &row.Table{Name: row.Name{Space: "shop", Table: "f" + string(rune('a'+i))}, Number: uint32(20 + i), Version: 1, Columns: []row.Column{{Name: "v", Type: c.t}}, Key: []int{0}}
		r.must(r.sink.Prepare(t.Context(), []*row.Table{table}))
		g := r.sink.target(table)
		values := strings.Split(c.values, "|")
		s.Exec(t, "SET TimeZone = 'UTC'; INSERT INTO "+g.qualified+" VALUES ('"+strings.Join(values, "'), ('")+"')")
		shown := map[string]bool{}
		for _, row := range s.Query(t, "SELECT v::text FROM "+g.qualified) {
			shown[row[0]] = true
		}
		x := row.NewBuilder(&row.Pool{})
		r.must(r.sink.ReadBack(t.Context(), table, nil, func(b *row.Batch) error {
			defer b.Release()
			for i := range b.Rows() {
				words, flags := b.Cells(&b.Sections()[0], i)
				if flags[0] != row.Foreign {
					t.Fatalf("%s: %v", g.fields[0].sql, flags)
				}
				text, _ := row.ParseForeign(b.Data(words[0]))
				if !shown[text] {
					t.Errorf("%s: %s is shown, of %v", g.fields[0].sql, text, shown)
				}
				delete(shown, text)
				x.At("", uint64(i), row.Txn{})
				x.Row(table, row.Delete)
				x.Foreign(b.Data(words[0]))
			}
			return nil
		}))
		if len(shown) > 0 {
			t.Errorf("%s: not read: %v", g.fields[0].sql, shown)
		}
		keys := x.Finish(position.Position{}, 0)
		n := 0
		r.must(r.sink.ReadBack(t.Context(), table, keys, func(b *row.Batch) error {
			defer b.Release()
			n += b.Rows()
			return nil
		}))
		if n != len(values) {
			t.Errorf("%s: %d of %d were found by their keys", g.fields[0].sql, n, len(values))
		}
	}
}
