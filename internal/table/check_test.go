package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
)

// barren is a source without a table that is chosen.
type barren struct{ connector.Source }

func (barren) Discover(context.Context, connector.Selector) ([]*row.Table, position.Position, error) {
	return nil, position.Position{}, nil
}
func (barren) Close() error { return nil }

// checked is a sink whose check finds one thing.
type checked struct {
	connector.Sink
	name string
}

func (c checked) Check(context.Context, []*row.Table) []connector.Finding {
	return []connector.Finding{{Name: "target", Detail: c.name}}
}
func (checked) Close() error { return nil }
func (checked) Positions(context.Context, connector.Shard) (connector.Claim, position.Set, error) {
	return connector.Claim{}, position.Set{}, errors.New("not asked for")
}

// TestCheck_when_a_store_cannot_be_reached says that one store hides no other: what can
// be looked at is, and what cannot be reached is a finding with its place.
func TestCheck_when_a_store_cannot_be_reached(t *testing.T) {
	gone := fault.New(fault.TargetUnreachable, "no answer").At("db:1")
	for _, c := range []struct {
		name         string
		source, sink error
		want         string
	}{
		{"the source", gone, nil, "source connection [db:1] TARGET_UNREACHABLE; first target [first]; second target [second]"},
		{"a sink", nil, gone, "source connection [reached]; source tables [0 chosen] NO_TABLES; first connection [db:1] TARGET_UNREACHABLE; second target [second]"},
		{"none", gone, gone, "source connection [db:1] TARGET_UNREACHABLE; first connection [db:1] TARGET_UNREACHABLE; second target [second]"},
		{"all", nil, nil, "source connection [reached]; source tables [0 chosen] NO_TABLES; first target [first]; second target [second]"},
	} {
		e := Engine{Registry: connector.Registry{
			Sources: []connector.SourceDriver{{Name: "s", Open: func(context.Context, option.Values, connector.Env) (connector.Source, error) {
				return barren{}, c.source
			}}},
			Sinks: []connector.SinkDriver{{Name: "k", Open: func(_ context.Context, _ option.Values, env connector.Env) (connector.Sink, error) {
				if env.Name == "first" && c.sink != nil {
					return nil, c.sink
				}
				return checked{name: env.Name}, nil
			}}},
		}}
		s := &job.Spec{Name: "j", Source: job.Endpoint{Driver: "s"}, Sinks: []job.Sink{{Name: "first", Endpoint: job.Endpoint{Driver: "k"}}, {Name: "second", Endpoint: job.Endpoint{Driver: "k"}}}}
		r, err := e.Check(context.Background(), s, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range r.Findings {
			line := fmt.Sprintf("%s %s [%s]", f.On, f.Name, f.Detail)
			if f.Fault != nil {
				line += " " + string(f.Fault.Code)
			}
			got = append(got, line)
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestLetters_when_there_is_no_such_sink(t *testing.T) {
	s := &job.Spec{Name: "j", Sinks: []job.Sink{{Name: "lake"}, {Name: "copy"}}}
	_, err := Engine{}.Letters(context.Background(), s, engine.Options{}, engine.LetterQuery{Sink: "lakes"})
	if f := fault.Of(err); f.Code != fault.BadRequest || f.Hint != `did you mean "lake"? known: lake, copy` {
		t.Errorf("%v: %q", err, f.Hint)
	}
}
