package flow

import (
	"fmt"
	"slices"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/row"
)

// A job may name all of its many tables: what chose them is longer than what a sink can hold
// in one piece.
func TestPatterns_when_every_table_is_named(t *testing.T) {
	src, m := newLogSource(5, 60), newMemSink()
	j := newJob(src, m)
	for n := range 2000 {
		j.Tables.Patterns = append(j.Tables.Patterns, fmt.Sprintf("shop.a_table_of_many_%d", n))
	}
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 40); err != nil {
		t.Fatal(err)
	}
	edit := func(n uint64) *SinkState {
		t.Helper()
		states, err := j.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = j.Arrange(t.Context(), states, Wanted{
			Apart: func(n row.Name) bool { return n == modelTables[2] }, Caught: func(*SinkState) bool { return false }, Snapshot: true, Most: 1,
		}, connector.Claim{Run: 2, Attempt: n})
		if err != nil {
			t.Fatal(err)
		}
		return states[0]
	}
	j.Tables.Patterns = append(slices.Clone(j.Tables.Patterns), "ex.keyed", "ex.bag") // for one there is room
	s := edit(1)
	if s.Follows(j.Tables) || !s.editing || len(s.Parts) != 1 {
		t.Errorf("it follows %v, and %d tables stand apart", s.Follows(j.Tables), len(s.Parts))
	}
	if p := s.Parts[0]; p.Patterns != s.Patterns || len(p.Patterns) < 40_000 {
		t.Errorf("the patterns of a part have %d bytes, those of all %d", len(p.Patterns), len(s.Patterns))
	}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Again(t.Context(), states, connector.Claim{Run: 3}); err != nil {
		t.Fatal(err)
	}
	if !states[0].Follows(j.Tables) {
		t.Error("read again, it does not follow what is chosen")
	}
}
