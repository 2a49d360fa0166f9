package table

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
)

// headed is a source that knows nothing but the end of its log.
type headed struct {
	connector.Source
	at position.Position
}

func (h headed) Head(context.Context, time.Duration) (position.Position, time.Time, error) {
	return h.at, time.Time{}, nil
}

func TestEndHere_when_another_server_took_over(t *testing.T) {
	for _, c := range []struct {
		head     bool
		now, end string // logs
		moves    bool
	}{{true, "a", "a", false}, {true, "b", "a", true}, {false, "b", "a", false}} {
		w := &work{opened: &opened{source: headed{at: position.New(c.now, "9", "")}}, spec: &job.Spec{Until: job.Until{Head: c.head}}}
		s := &flow.StreamTask{Until: connector.Until{Place: position.New(c.end, "5", "")}}
		if err := w.endHere(t.Context(), s); err != nil || (s.Until.Place.Log() != c.end) != c.moves || !c.moves && s.Until.Place.Order() != "5" {
			t.Errorf("%+v: it ends at %v, %v", c, s.Until.Place, err)
		}
	}
}

func TestBearing_when_sinks_refuse_rows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := func(sink string) int { return map[string]int{"a": 1, "b": 2}[sink] }
		var calls []string
		refuse := func(sinks ...string) error {
			calls = nil
			return bearing(t.Context(), attempts, func(discard string) error {
				calls = append(calls, discard)
				if n := len(calls) - 1; n < len(sinks) {
					return fault.InSink(sinks[n], fault.New(fault.RowRefused, "no"))
				}
				return nil
			})
		}
		if err := refuse("b", "a", "b"); err != nil || fmt.Sprintf("%q", calls) != `["" "" "a" "a b"]` {
			t.Errorf("%v after %q", err, calls)
		}
		if err := refuse("a", "a"); !fault.Has(err, fault.RowRefused) || len(calls) != 2 {
			t.Errorf("a sink that refuses what it puts aside: %v after %q", err, calls)
		}
		if err := refuse("c"); !fault.Has(err, fault.RowRefused) || len(calls) != 1 {
			t.Errorf("a sink that puts nothing aside: %v after %q", err, calls)
		}
	})
}
