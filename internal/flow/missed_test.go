package flow

import (
	"slices"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// editedJob is a job of two sinks that follow changes alone, of which an edit of the
// tables may find one.
type editedJob struct {
	t *testing.T
	j *Job
	n uint64
}

func newEditedJob(t *testing.T) *editedJob {
	e := &editedJob{t: t, j: newJob(newLogSource(1, 60), newMemSink(), newMemSink())}
	if err := e.j.Begin(t.Context(), e.find(), Beginning{}, connector.Claim{Run: 1}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *editedJob) find() []*SinkState {
	e.t.Helper()
	states, err := e.j.Find(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return states
}

// edit has sinks follow patterns: those of the name, or all.
func (e *editedJob) edit(only string, patterns ...string) error {
	e.t.Helper()
	e.n++
	e.j.Tables = connector.Selector{Patterns: patterns}
	states := slices.DeleteFunc(e.find(), func(s *SinkState) bool { return only != "" && s.Sink.Name != only })
	return e.j.Arrange(e.t.Context(), states, Wanted{
		Apart: func(row.Name) bool { return false }, Caught: func(*SinkState) bool { return true }, Most: 9,
	}, connector.Claim{Run: 1, Attempt: e.n})
}

// numbers are those of the tables of a sink.
func numbers(s *SinkState) map[row.Name]uint32 {
	out := map[row.Name]uint32{}
	for _, t := range s.Tables() {
		out[t.Name] = t.Number
	}
	return out
}

// TestArrange_when_a_sink_missed_edits: it takes them up later, with the numbers the
// other one has given, also of tables that are gone by then.
func TestArrange_when_a_sink_missed_edits(t *testing.T) {
	for name, edits := range map[string][][]string{
		"one": {{"*.*"}}, "two": {{"db.*", "ex.bag"}, {"*.*"}}, "there and back": {{"*.*"}, {"db.*"}}, "out and in": {{"db.keyed"}, {"db.*"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEditedJob(t)
			for _, p := range edits {
				if err := e.edit("s0", p...); err != nil {
					t.Fatal(err)
				}
			}
			if groups := Together(e.find()); len(groups) != 2 {
				t.Error("sinks of which one missed an edit share a reader")
			}
			if err := e.edit("", edits[len(edits)-1]...); err != nil {
				t.Fatal(err)
			}
			states := e.find()
			a, b := states[0], states[1]
			if len(Together(states)) != 1 || Edited(states, e.j.Tables) || a.Shapes.next != b.Shapes.next {
				t.Errorf("the sinks are %d groups, their next numbers are %d and %d", len(Together(states)), a.Shapes.next, b.Shapes.next)
			}
			for table, number := range numbers(a) {
				if other := numbers(b)[table]; other != number {
					t.Errorf("%s is %d and %d", table, number, other)
				}
			}
		})
	}
}

// TestArrange_when_sinks_gave_one_number_twice refuses what would mix rows of tables, and
// changes nothing.
func TestArrange_when_sinks_gave_one_number_twice(t *testing.T) {
	e := newEditedJob(t)
	if err := e.edit("s0", "db.*", "ex.keyed"); err != nil {
		t.Fatal(err)
	}
	if err := e.edit("s1", "db.*", "ex.bag"); err != nil {
		t.Fatal(err)
	}
	err := e.edit("", "*.*")
	if !fault.Has(err, fault.JobEdit) || fault.Of(err).Sink != "s1" {
		t.Fatalf("%v", err)
	}
	for _, s := range e.find() {
		if len(numbers(s)) != 3 {
			t.Errorf("sink %s has %v", s.Sink.Name, numbers(s))
		}
	}
	if err := e.edit("s0", "*.*"); err != nil { // without the other one
		t.Fatal(err)
	}
}
