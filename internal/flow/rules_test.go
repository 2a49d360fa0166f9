package flow

import (
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
)

// The sink itself says by which rules it was written: whoever goes on without the state
// folder finds an edit of them.
func TestRules_when_they_are_edited(t *testing.T) {
	src, m := newLogSource(5, 60), newMemSink()
	at := func(rules string) (*Job, []*SinkState) {
		t.Helper()
		j := newJob(src, m)
		j.Sinks[0].Rules = rules
		states, err := j.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return j, states
	}
	first, states := at("a")
	if !states[0].Ruled() {
		t.Error("a sink to which nothing was written has other rules")
	}
	if err := run(t.Context(), first, connector.Claim{Run: 1}, 40); err != nil {
		t.Fatal(err)
	}
	for rules, same := range map[string]bool{"a": true, "b": false} {
		if _, states := at(rules); states[0].Ruled() != same {
			t.Errorf("rules %q are those of a sink that was written by \"a\": %v", rules, !same)
		}
	}
	again, states := at("b")
	if err := again.Again(t.Context(), states, connector.Claim{Run: 2}); err != nil {
		t.Fatal(err)
	}
	if _, states := at("b"); !states[0].Ruled() {
		t.Error("what is read again has the rules of before")
	}
	if err := run(t.Context(), again, connector.Claim{Run: 2, Attempt: 1}, 50); err != nil {
		t.Fatal(err)
	}
	set := m.shards[streamTask].set
	if got := set[keyRules].Token(); got != "1:b" {
		t.Errorf("the rules are kept as %q", got)
	}

	delete(set, keyRules) // an older program knew of none
	older, states := at("c")
	if !states[0].Ruled() {
		t.Error("a sink of which nobody knows the rules has others")
	}
	if err := run(t.Context(), older, connector.Claim{Run: 3}, 60); err != nil {
		t.Fatal(err)
	}
	if got := m.shards[streamTask].set[keyRules].Token(); got != "1:c" {
		t.Errorf("the rules of who went on are kept as %q", got)
	}

	m.shards[streamTask].set[keyRules] = position.Note("2:d")
	if _, err := newJob(src, m).Find(t.Context()); !fault.Has(err, fault.FormatNewer) {
		t.Errorf("rules of a newer program are read: %v", err)
	}
}
