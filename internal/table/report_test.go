package table

import (
	"context"
	"testing"

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

// Positions that could not be reset leave the job as it was: an edit that would mix two
// forms in a target is refused still.
func TestResetPositions_when_the_source_is_away(t *testing.T) {
	e := Engine{connector.Registry{
		Sources: []connector.SourceDriver{{Name: "away", Open: func(context.Context, option.Values, connector.Env) (connector.Source, error) { return away{}, nil }}},
		Sinks:   []connector.SinkDriver{{Name: "blank", Open: func(context.Context, option.Values, connector.Env) (connector.Sink, error) { return blank{}, nil }}},
	}}
	spec := func(mode job.Mode) *job.Spec {
		text := "name: j\nmode: " + string(mode) + "\nsource: {away: {}}\ntables: [\"a.*\"]\nsinks: [{name: lake, blank: {}}]\n"
		s, ps := job.Parse("job.yaml", []byte(text), job.Systems{Registry: e.Registry}, option.Resolver{})
		if len(ps) > 0 {
			t.Fatal(ps.Err())
		}
		return s
	}
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
