package table

import (
	"context"
	"errors"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

// away is a source that cannot be reached.
type away struct{ connector.Source }

func (away) Discover(context.Context, connector.Selector) ([]*row.Table, position.Position, error) {
	return nil, position.Position{}, fault.New(fault.SourceUnreachable, "gone")
}
func (away) Close() error { return nil }

// blank is a sink to which nothing was written.
type blank struct{ connector.Sink }

func (blank) Positions(context.Context, connector.Shard) (connector.Claim, position.Set, error) {
	return connector.Claim{}, nil, nil
}
func (blank) Close() error { return nil }

// blankEngine has these two as its systems.
func blankEngine() Engine {
	return Engine{connector.Registry{
		Sources: []connector.SourceDriver{{Name: "away", Open: func(context.Context, option.Values, connector.Env) (connector.Source, error) { return away{}, nil }}},
		Sinks:   []connector.SinkDriver{{Name: "blank", Open: func(context.Context, option.Values, connector.Env) (connector.Sink, error) { return blank{}, nil }}},
	}}
}

// blankSpec is a job of theirs; sink has options of the sink.
func blankSpec(t *testing.T, e Engine, mode job.Mode, sink string) *job.Spec {
	t.Helper()
	text := "name: j\nmode: " + string(mode) + "\nsource: {away: {}}\ntables: [\"a.*\"]\nsinks: [{name: lake, blank: {}" + sink + "}]\n"
	s, ps := job.Parse("job.yaml", []byte(text), job.Systems{Registry: e.Registry}, option.Resolver{})
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	return s
}

// Positions that could not be reset leave the job as it was: an edit that would mix two
// forms in a target is refused still.
func TestResetPositions_when_the_source_is_away(t *testing.T) {
	e := blankEngine()
	spec := func(mode job.Mode) *job.Spec { return blankSpec(t, e, mode, "") }
	o := engine.Options{State: t.TempDir()}
	state, err := local.OpenState(o.State, "j", true)
	if err == nil {
		err = state.KeepSpec(t.Context(), spec(job.Changes))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.ResetPositions(t.Context(), spec(job.Snapshot), o); !fault.Has(err, fault.SourceUnreachable) {
		t.Fatal(err)
	}
	if state, err = local.OpenState(o.State, "j", true); err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if _, err := state.Accept(t.Context(), spec(job.Snapshot), false); !fault.Has(err, fault.JobEdit) {
		t.Errorf("the edit counts as done: %v", err)
	}
	if last, err := state.Last(t.Context()); err != nil || last == nil || last.Exit == fault.ExitDone {
		t.Errorf("it is told to have ended well: %+v, %v", last, err)
	}
}

// A job whose only sink is away has nothing but planning to try: that goes by what is said of
// the sink too.
func TestRun_when_planning_bears_a_sink(t *testing.T) {
	e := blankEngine()
	enough := errors.New("enough")
	var planning job.TaskState
	from := job.New(job.Options{}, 1, time.Now())
	_, err := e.Run(t.Context(), blankSpec(t, e, job.Changes, ", on_error: always"), engine.Options{
		State: t.TempDir(), Memory: 1 << 20,
		Driving: &engine.Driving{From: from, Save: func(s job.State) error { planning = s.Tasks[0]; return enough }},
	})
	if !errors.Is(err, enough) || planning.OnError != "lake:always:3" || from.Tasks[0].OnError != "" {
		t.Errorf("%v: planning bears %q", err, planning.OnError)
	}
}
