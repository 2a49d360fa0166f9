package flow

import (
	"fmt"
	"testing"

	"godwit/internal/row"
)

// A run whose table is marked in one of its sinks alone is not whole.
func TestMarked_when_sinks_differ(t *testing.T) {
	of := func(marks ...string) *SinkState {
		s := &shapes{}
		for i, why := range marks {
			s.tables = append(s.tables, &row.Table{Name: row.Name{Space: "db", Table: string(rune('c' - i))}, Number: uint32(i + 1), Stopped: why})
		}
		return &SinkState{Shapes: s}
	}
	if got := fmt.Sprint(Marked([]*SinkState{of("", ""), of("x", "y", ""), of("z", "")})); got != "[{db.b y} {db.c x}]" {
		t.Error(got)
	}
	if got := Marked([]*SinkState{of("", "")}); got != nil {
		t.Error(got)
	}
}
