package job

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/test/golden"
)

// busyState is a state in which every field that there is has a value.
func busyState(t *testing.T) State {
	l := newLife(t, Options{Parallel: 2})
	all := Task{ID: "stream", Kind: Stream, Revision: "AB"}
	apart := Task{ID: "stream B", Kind: Stream, Table: "B", AfterCopies: true}
	l.planned(copyA, copyB, all).do(Event{Kind: TaskFinished, ID: "a"})
	for id, kind := range map[string]EventKind{PlanID: TaskStarted, "b": TaskStarted, "stream": TaskStarted} {
		l.do(Event{Kind: kind, ID: id, Worker: "worker-1"})
	}
	l.now = l.now.Add(90 * time.Second)
	l.do(Event{Kind: EditAsked, Spec: 2, By: "ana", Changed: []Change{{Field: "sinks.pg", Consequence: Replans}}})
	l.do(Event{Kind: ResyncAsked, Tables: []string{"B"}, By: "ana", Why: "a column was missed"})
	l.do(Event{Kind: PauseAsked, Tables: []string{"C"}, By: "bob"})
	l.do(Event{Kind: PauseAsked, Only: []string{"b"}, By: "eve", Why: "too much load"})
	l.do(Event{Kind: TaskStopped, ID: PlanID})
	d, e := Task{ID: "d", Kind: Copy, Table: "D"}, Task{ID: "e", Kind: Copy, Table: "E"}
	l.planned(d, e, apart, Task{ID: "stream", Kind: Stream, Revision: "A"}).do(Event{Kind: TaskStopped, ID: "stream"})
	l.do(Event{Kind: TaskFailed, ID: "d", Failure: FailureOf(fault.New(fault.TargetFull, "no space").At("/data").By(errors.New("ENOSPC")).Try("free some"))})
	l.do(Event{Kind: TaskFailed, ID: "e", Failure: busy})
	return l.state
}

func TestState_golden(t *testing.T) {
	const file = "testdata/state-v1.json"
	got, err := json.MarshalIndent(busyState(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden.Same(t, file, got)
	var read State
	if err := json.Unmarshal(got, &read); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.MarshalIndent(read, "", " "); string(again)+"\n" != string(got) {
		t.Errorf("read and written again:\n%s", again)
	}
}

func TestState_when_it_cannot_be_read(t *testing.T) {
	whole, err := json.Marshal(busyState(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		want     fault.Code
	}{
		{`"version":1`, `"version":2`, fault.FormatNewer},
		{`"version":1`, `"version":0`, fault.StateBroken},
		{`"version":1`, `"version":"x"`, fault.StateBroken},
		{`"status":"stopping"`, `"status":"dancing"`, fault.StateBroken},
		{`"kind":"copy"`, `"kind":""`, fault.StateBroken},
		{`"class":"retry"`, `"class":"again"`, fault.StateBroken},
		{`"(plan)"`, `"other"`, fault.StateBroken},
		{`"id":"b"`, `"id":"d"`, fault.StateBroken},
		{`"name":"B"`, `"name":"Z"`, fault.StateBroken},
		{`"desired":"running"`, `"desired":"well"`, fault.StateBroken},
	} {
		if !strings.Contains(string(whole), c.old) {
			t.Errorf("%s is not in\n%s", c.old, whole)
		}
		var s State
		err := json.Unmarshal([]byte(strings.Replace(string(whole), c.old, c.new, 1)), &s)
		if !fault.Has(err, c.want) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
}

func TestFailure_when_an_error_again(t *testing.T) {
	err := fault.New(fault.TargetFull, "no space").At("/data").By(errors.New("ENOSPC")).Try("free some")
	if back := FailureOf(err).Err(); back.Error() != err.Error() || back.Hint != err.Hint || back.Class() != err.Class() {
		t.Errorf("%v", back)
	}
	if back := FailureOf(errors.New("x")).Err(); back.Code != fault.Internal || back.Cause.Error() != "x" {
		t.Errorf("%v", back)
	}
}

func TestFailureOf_when_texts_are_long(t *testing.T) {
	f := FailureOf(fault.New(fault.SourceBusy, "%s", strings.Repeat("é", maxText)).By(errors.New(strings.Repeat("x", 1e6))))
	for _, text := range []string{f.What, f.Cause} {
		if len(text) > maxText || !strings.HasSuffix(text, "…") || strings.ToValidUTF8(text, "?") != text {
			t.Errorf("%d bytes, ends in %q", len(text), text[len(text)-6:])
		}
	}
}
