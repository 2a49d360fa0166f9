package table

import (
	"context"
	"testing"
	"time"

	"godwit/internal/connector"
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
