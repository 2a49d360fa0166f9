package watch

import (
	"encoding/json"
	"math"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestRounded_when_told(t *testing.T) {
	for x, want := range map[float64]float64{
		0: 0, 1234.5678901: 1235, 999.99951: 1000, 12.34567: 12.346, 1: 1, 0.123456: 0.123, 0.00012345: 0.000123, -5.55555: -5.556, 99.9: 99.9, 1e18: 1e18,
	} {
		if got := Rounded(x); got != want {
			t.Errorf("%v: got %v, want %v", x, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64().Draw(t, "x")
		got := Rounded(x)
		if Rounded(got) != got || (got == 0) != (x == 0) || math.Abs(got-x) > math.Max(math.Abs(x)*0.00501, 0) {
			t.Fatalf("%v: %v, again %v", x, got, Rounded(got))
		}
	})
}

// TestProgress_when_told says that no number of a progress has more digits than were
// measured.
func TestProgress_when_told(t *testing.T) {
	odd := func() *float64 { x := 1234.5678901 / 1000; return &x }
	p := Progress{
		Elapsed: *odd(), Rate: odd(), ByteRate: odd(), KeptFor: odd(), Reach: odd(), Rows: Count{Percent: odd()}, Left: &Left{Seconds: *odd(), Low: *odd(), High: *odd()},
		Active: []Table{{Rate: odd(), Rows: Count{Percent: odd()}}}, Changes: &Changes{Rate: odd(), Lag: Lag{Seconds: odd()}, CatchUp: odd(), Falling: odd(), LostIn: odd()},
		Sinks: []Sink{{Lag: Lag{Seconds: odd()}}}, Stages: []Stage{{Busy: *odd(), Blocked: *odd(), Waiting: *odd()}}, Brake: &Brake{Share: *odd()}, Files: &Objects{Rate: odd(), ListRate: odd()},
	}
	p.round()
	text, err := json.Marshal(p)
	if long := regexp.MustCompile(`"[a-z_]+":\d+\.\d{4,}`).FindAllString(string(text), -1); err != nil || len(long) > 0 {
		t.Errorf("%q %v", long, err)
	}
}
