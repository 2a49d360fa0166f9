package table

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/row"
)

func TestVerdict_when_the_log_is_short(t *testing.T) {
	day := 24 * time.Hour
	kept := func(left time.Duration) connector.Retention {
		return connector.Retention{Kept: 4 * day, By: "binlog_expire_logs_seconds", Left: left, Spare: 5, Behind: 1, Longer: "SET GLOBAL"}
	}
	for name, c := range map[string]struct {
		l    outlook
		code fault.Code // empty: all is well
		word string
	}{
		"nothing is known":            {outlook{copying: true, takes: day}, "", ""},
		"nothing was begun":           {outlook{known: true, Retention: kept(0), copying: true, takes: 3 * day}, "", ""},
		"the copy takes longer":       {outlook{known: true, Retention: kept(0), copying: true, takes: 5 * day, basis: "at 16 MiB/s"}, fault.SourceSettings, "needs the log for about 5 d 0 h (at 16 MiB/s), but it may lose what the job needs in 4 d 0 h"},
		"no limit":                    {outlook{known: true, copying: true, takes: 500 * day}, "", ""},
		"the copy fits":               {outlook{known: true, Retention: kept(2 * day), need: "P", copying: true, takes: day}, "", ""},
		"the copy fits no more":       {outlook{known: true, Retention: kept(2 * day), need: "P", copying: true, takes: 2*day + time.Minute}, fault.SourceSettings, "in 2 d 0 h"},
		"no copy":                     {outlook{known: true, Retention: kept(2 * day), need: "P", takes: 3 * day}, "", ""},
		"hours are left":              {outlook{known: true, Retention: kept(13 * time.Hour), need: "P"}, "", ""},
		"half a day is left":          {outlook{known: true, Retention: kept(12*time.Hour - time.Minute), need: "P"}, fault.SourceSettings, "may lose what follows P in 11 h 59 m"},
		"an hour's log, half is left": {outlook{known: true, need: "P", Retention: connector.Retention{Kept: time.Hour, Left: 30 * time.Minute}}, "", ""},
		"an hour's log, little left":  {outlook{known: true, need: "P", Retention: connector.Retention{Kept: time.Hour, Left: 14 * time.Minute}}, fault.SourceSettings, "in 14m0s"},
		"removed by hand, far away":   {outlook{known: true, need: "P", purged: true, Retention: connector.Retention{Spare: 2, Behind: 1}}, "", ""},
		"removed by hand, near":       {outlook{known: true, need: "P", purged: true, Retention: connector.Retention{Spare: 1, Behind: 1}}, fault.SourceSettings, "1 older part is left"},
		"removed by hand, next":       {outlook{known: true, need: "P", purged: true, Retention: connector.Retention{Behind: 1}}, fault.SourceSettings, "the next part to go"},
		"in the part that is written": {outlook{known: true, need: "P", purged: true, Retention: connector.Retention{Spare: 1}}, "", ""},
		"nothing was removed":         {outlook{known: true, need: "P", Retention: connector.Retention{Behind: 7}}, "", ""},
		"gone":                        {outlook{known: true, need: "P", Retention: connector.Retention{Lost: true}}, fault.SourceLost, "no longer has what follows P"},
	} {
		f := c.l.verdict()
		switch {
		case f == nil && c.code == "":
		case f == nil || f.Code != c.code || !strings.Contains(f.What, c.word) || c.code == fault.SourceSettings && f.Hint != c.l.Longer:
			t.Errorf("%s: %v", name, f)
		}
	}
}

func TestEstimate_when_a_table_has_no_key(t *testing.T) {
	keyed := &row.Table{Key: []int{0}, Bytes: 100 * readerPace}
	bag := &row.Table{Bytes: 80 * readerPace}
	unknown := &row.Table{Bytes: -1}
	for _, c := range []struct {
		tables   []*row.Table
		parallel int
		want     time.Duration
	}{
		{[]*row.Table{keyed, unknown}, 4, 25 * time.Second},
		{[]*row.Table{keyed, bag}, 4, 80 * time.Second}, // one reader has it alone
		{[]*row.Table{keyed, bag}, 1, 180 * time.Second},
		{[]*row.Table{unknown}, 1, 0},
	} {
		var l outlook
		if pace := l.estimate(c.tables, c.parallel); l.takes != c.want || pace != int64(c.parallel)*readerPace {
			t.Errorf("%v at %d, want %v", l.takes, pace, c.want)
		}
	}
}

func TestSooner_when_places_differ(t *testing.T) {
	order := []connector.Retention{{Lost: true, Left: 9}, {Left: 1, Spare: 3}, {Left: 2}, {Left: 2, Spare: 1}}
	for i := range order {
		for k := range order {
			if got := sooner(order[i], order[k]); got != (i < k) {
				t.Errorf("%d before %d: %v", i, k, got)
			}
		}
	}
}

// forgetful is a source whose log no longer has what follows one place.
type forgetful struct {
	headed
	gone position.Position
}

func (f forgetful) Retention(_ context.Context, from position.Position) (connector.Retention, error) {
	return connector.Retention{Lost: from == f.gone}, nil
}

func TestUntilLost_when_one_of_two_sinks_has_lost_its_log(t *testing.T) {
	at := func(order string) position.Position { return position.New("log", order, "") }
	sink := func(name, order string) *flow.SinkState {
		return &flow.SinkState{Sink: &flow.Sink{Name: name}, At: at(order), Generation: 1}
	}
	a, b, streams := sink("a", "1"), sink("b", "2"), sink("c", "1")
	streams.Whole = true
	again := sink("a", "3") // its table is read again
	again.Number = 7
	w := &work{logs: map[string]sinkLog{}, opened: &opened{source: forgetful{gone: at("1")}, spec: &job.Spec{Mode: job.SnapshotAndChanges}}}
	o, err := w.outlook(t.Context(), []*flow.SinkState{a, b, streams})
	if err != nil || !slices.Equal(o.lost, []string{"a"}) {
		t.Fatalf("%q have lost their log, %v", o.lost, err)
	}
	began, _, done := w.untilLost(t.Context(), []*flow.SinkState{a, b})
	defer done()
	w.logOf("a").lose(o.verdict())
	<-began.Done()
	for what, sinks := range map[string][]*flow.SinkState{"a": {a}, "both": {a, b}, "b": {b}, "again": {again}} {
		ctx, why, done := w.untilLost(t.Context(), sinks)
		ended := what == "a" || what == "both"
		if ended {
			<-ctx.Done()
		}
		if err := why(errors.New("broken off")); ctx.Err() != nil != ended || fault.Has(err, fault.SourceLost) != ended || why(nil) != nil {
			t.Errorf("%s: %v, %v", what, ctx.Err(), err)
		}
		done()
	}
}
