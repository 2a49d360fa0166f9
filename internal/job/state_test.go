package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/test/golden"
)

// busyState is a state, as an earlier version wrote it, in which every field that there
// is has a value.
func busyState(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/state-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestState_golden(t *testing.T) {
	var read State
	if err := json.Unmarshal(busyState(t), &read); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(read, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/state-v1.json", append(again, '\n'))
}

func TestState_when_it_cannot_be_read(t *testing.T) {
	var plain bytes.Buffer
	if err := json.Compact(&plain, busyState(t)); err != nil {
		t.Fatal(err)
	}
	whole := plain.Bytes()
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
