package flow

import (
	"context"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// reshaping is a source whose log is a list of changes of shapes, each made of the tables
// there are.
type reshaping struct {
	*logSource
	log []func(tables map[string]*row.Table) *row.SchemaChange
}

func (s reshaping) Read(_ context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	tables := map[string]*row.Table{}
	for _, t := range split.Tables {
		tables[t.Name.Table] = t
	}
	for n := countOf(from); n < countOf(split.Until.Place); n++ {
		c := s.log[n](tables)
		delete(tables, c.Before.Name.Table)
		if c.After != nil {
			tables[c.After.Name.Table] = c.After
		}
		at := prefixOf(uint64(10*n), 1) + strings.Repeat("\x00", 8)
		if err := emit(row.Barrier(c, at, placeAfter(n+1), int64(n))); err != nil {
			return err
		}
	}
	return nil
}

func renaming(from, to string) func(map[string]*row.Table) *row.SchemaChange {
	return func(tables map[string]*row.Table) *row.SchemaChange {
		after := *tables[from]
		after.Version++
		after.Name.Table = to
		return &row.SchemaChange{Kind: row.Alter, Before: tables[from], After: &after}
	}
}

func marking(table string) func(map[string]*row.Table) *row.SchemaChange {
	return func(tables map[string]*row.Table) *row.SchemaChange {
		after := *tables[table]
		after.Version++
		after.Stopped = "a statement"
		return &row.SchemaChange{Kind: row.Stop, Before: tables[table], After: &after}
	}
}

func dropping(table string) func(map[string]*row.Table) *row.SchemaChange {
	return func(tables map[string]*row.Table) *row.SchemaChange {
		return &row.SchemaChange{Kind: row.Drop, Before: tables[table]}
	}
}

// A table that is marked gives its name up when it gets another one: else it would hide
// the one that takes its place, whose rows nobody would read after a restart.
func TestStream_when_a_marked_table_is_renamed_and_another_takes_its_place(t *testing.T) {
	src := newLogSource(1, 60)
	src.head = 0
	j := newJob(src, newMemSink())
	j.Source = reshaping{src, []func(map[string]*row.Table) *row.SchemaChange{
		marking("keyed"), renaming("keyed", "old"), renaming("bag", "keyed"), dropping("old"),
	}}
	states, err := j.Find(t.Context())
	if err == nil {
		err = j.Begin(t.Context(), states, Beginning{}, connector.Claim{Run: 1})
	}
	attempt := uint64(0)
	to := func(end int) {
		t.Helper()
		attempt++
		if err == nil {
			err = j.Stream(t.Context(), &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(end)}}, connector.Claim{Run: 1, Attempt: attempt})
		}
		if err == nil {
			states, err = j.Find(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	to(1)
	to(2)
	to(3)
	names := map[string]string{}
	for _, s := range states[0].Shapes.tables {
		names[s.Name.Table] += s.Stopped
	}
	if len(names) != 2 || names["old"] != "a statement" || names["keyed"] != "" {
		t.Errorf("tables are marked so: %v", names)
	}
	if marks := j.Record.Marks(); len(marks) != 1 || marks[0].Table != "db.old" {
		t.Errorf("told are %v", marks)
	}
	if to(4); len(states[0].Shapes.tables) != 1 || len(j.Record.Marks()) > 0 {
		t.Errorf("%d tables are there, and told are %v", len(states[0].Shapes.tables), j.Record.Marks())
	}
}
