package postgres

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// Rows with a key that the target cannot have are in none of its tables: others are found
// beside them, and theirs stays what it is.
func TestReading_when_a_key_cannot_be_held(t *testing.T) {
	s := newSink(config{unrepresentable: unrepresentableNull}, connector.Env{})
	table := &row.Table{Name: row.Name{Space: "shop", Table: "t"}, Number: 1, Key: []int{0, 1}, Columns: []row.Column{
		{Name: "a", Type: row.Type{Kind: row.Text}}, {Name: "d", Type: row.Type{Kind: row.Date}}, {Name: "e", Type: row.Type{Kind: row.Date}, Nullable: true},
	}}
	keysOf := func(rows ...change) *row.Batch {
		x := row.NewBuilder(&row.Pool{})
		for _, r := range rows {
			x.Row(table, row.Read)
			x.String(r.cells[0].(string))
			x.Word(r.cells[1].(uint64))
			x.Absent()
		}
		return x.Finish(position.Position{}, 0)
	}
	day := row.PackDate(2026, 11, 26)
	bad := []change{{row.Read, []any{"a\x00", day}}, {row.Read, []any{"b", row.PackDate(2026, 0, 0)}}}
	g := s.target(table)
	sql, args, err := g.reading(&session{}, keysOf(append(bad, change{row.Read, []any{"c", day}})...))
	if err != nil || len(args) != 2 || !strings.Contains(sql, "JOIN") || binary.BigEndian.Uint32(args[0].data[12:]) != 1 {
		t.Errorf("%s %v %v", sql, args, err)
	}
	if sql, args, err = g.reading(&session{}, keysOf(bad...)); err != nil || args != nil || !strings.HasSuffix(sql, " WHERE false") {
		t.Errorf("%s %v %v", sql, args, err)
	}
	zero, x := row.PackDate(2026, 0, 0), row.NewBuilder(&row.Pool{})
	x.Row(table, row.Read)
	x.String("b")
	for c := 1; c < 3; c++ {
		s.Store(x, nil, table, c, zero, row.Value)
	}
	b := x.Finish(position.Position{}, 0)
	if words, flags := b.Cells(&b.Sections()[0], 0); flags[1] != row.Value || words[1] != zero || flags[2] != row.Null {
		t.Errorf("%v %v", words, flags)
	}
}

// A reading that a change of the table waits for ends, and the change is made.
func TestReadBack_when_the_table_is_altered(t *testing.T) {
	s := postgres.Start(t)
	table := fitTable()
	r := newRig(t, s, map[string]any{"lock_timeout": 400 * time.Millisecond}, table)
	r.must(r.w.Commit(t.Context(), position.Set{}))
	c, err := r.sink.session(t.Context())
	r.must(err)
	g := r.sink.target(table)
	_, err = r.sink.snapshot(t.Context(), c, g)
	r.must(err)
	ctx, stop := r.sink.giveWay(t.Context(), g)
	altered := make(chan error, 1)
	go func() { altered <- s.Run("ALTER TABLE shop.t ADD COLUMN more int") }()
	select {
	case <-ctx.Done():
	case err := <-altered:
		t.Fatal("it did not wait: ", err)
	}
	stop()
	if err := context.Cause(ctx); !fault.Has(err, fault.NotVerifiable) {
		t.Error(err)
	}
	err = c.stream(ctx, "SELECT 1", nil, func([][]byte) error { return nil })
	r.sink.done(c)
	if !fault.Has(err, fault.NotVerifiable) {
		t.Error(err)
	}
	r.must(<-altered)
	_, stop = r.sink.giveWay(t.Context(), g)
	stop()
}
