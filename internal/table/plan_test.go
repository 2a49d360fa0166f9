package table

import (
	"context"
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
	"godwit/internal/watch"
)

// still is a source of one empty table to which nothing happens.
type still struct{}

var stillAt = position.New("log", strings.Repeat("1", 14)+strings.Repeat("\x00", 8), "here")

func (still) Close() error { return nil }

func (still) Discover(context.Context, connector.Selector) ([]*row.Table, position.Position, error) {
	return []*row.Table{{Name: row.Name{Space: "shop", Table: "orders"}, Key: []int{0}, Rows: 0, Bytes: 0,
		Columns: []row.Column{{Name: "id", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint"}}}}}, stillAt, nil
}

func (still) Splits(_ context.Context, r connector.Request) ([]connector.Split, error) {
	return []connector.Split{{ID: "only", Bounded: true, Tables: []*row.Table{r.Table}, Range: []byte("all")}}, nil
}

func (still) Read(ctx context.Context, s connector.Split, _ position.Position, emit func(*row.Batch) error) error {
	if err := emit(row.Mark(stillAt, 0)); err != nil || s.Bounded {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// shelf is a sink that keeps what it must and no rows. What it holds outlives it.
type shelf struct {
	sets map[string]position.Set
	once map[string][]byte
}

func newShelf() *shelf { return &shelf{map[string]position.Set{}, map[string][]byte{}} }

func (*shelf) Close() error                                { return nil }
func (*shelf) Prepare(context.Context, []*row.Table) error { return nil }

func (s *shelf) Positions(_ context.Context, sh connector.Shard) (connector.Claim, position.Set, error) {
	return connector.Claim{}, s.sets[sh.Task], nil
}

func (s *shelf) Once(_ context.Context, key string, value []byte) ([]byte, error) {
	if value != nil && s.once[key] == nil {
		s.once[key] = value
	}
	return s.once[key], nil
}

func (s *shelf) Open(_ context.Context, sh connector.Shard, _ connector.Claim) (connector.Writer, position.Set, error) {
	return &shelfWriter{shelf: s, task: sh.Task}, s.sets[sh.Task], nil
}

type shelfWriter struct {
	connector.Writer
	shelf *shelf
	task  string
}

func (*shelfWriter) Close() error                            { return nil }
func (*shelfWriter) Staged() int64                           { return 0 }
func (*shelfWriter) Apply(context.Context, *row.Batch) error { return nil }
func (w *shelfWriter) Commit(_ context.Context, set position.Set) error {
	w.shelf.sets[w.task] = set
	return nil
}

// shop is a job of a still source and shelves.
type shop struct {
	Engine
	shelves map[string]*shelf
}

func newShop() shop {
	s := shop{shelves: map[string]*shelf{"a": newShelf(), "b": newShelf()}}
	s.Registry = connector.Registry{
		Sources: []connector.SourceDriver{{Name: "still", Open: func(context.Context, option.Values, connector.Env) (connector.Source, error) { return still{}, nil }}},
		Sinks: []connector.SinkDriver{{Name: "shelf", Open: func(_ context.Context, _ option.Values, e connector.Env) (connector.Sink, error) {
			return s.shelves[e.Name], nil
		}}},
	}
	return s
}

func (s shop) spec(t *testing.T, mode job.Mode, sinks string) *job.Spec {
	t.Helper()
	spec, ps := job.Parse("job.yaml", fmt.Appendf(nil, "name: j\nmode: %s\nsource: {still: {}}\ntables: [\"shop.*\"]\nsinks: [%s]\n", mode, sinks),
		job.Systems{Registry: s.Registry}, option.Resolver{})
	if len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	return spec
}

func (s shop) plan(t *testing.T, spec *job.Spec, state string) watch.PlanReport {
	t.Helper()
	r, err := s.Plan(t.Context(), spec, engine.Options{State: state})
	if err != nil || len(r.Tables) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	return r
}

const (
	sinkA = `{name: a, shelf: {}, rules: [{where: "id > %d"}]}`
	sinkB = `{name: b, shelf: {}}`
)

// An edit of rules is found without the state folder that saw the ones before.
func TestRun_when_rules_are_edited_and_the_state_is_lost(t *testing.T) {
	s, state := newShop(), t.TempDir()
	before, after := s.spec(t, job.Snapshot, fmt.Sprintf(sinkA, 1)), s.spec(t, job.Snapshot, fmt.Sprintf(sinkA, 2))
	if _, err := s.Run(t.Context(), before, engine.Options{State: state}); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, folder := range []string{state, t.TempDir()} { // the one that saw it, and one that knows nothing
		_, err := s.Run(t.Context(), after, engine.Options{State: folder})
		f := fault.Of(err)
		if f == nil || f.Code != fault.JobEdit {
			t.Fatalf("the rules are taken: %v", err)
		}
		texts = append(texts, f.Hint)
		var refused []string
		for _, e := range s.plan(t, after, folder).Edits {
			if e.Effect == string(job.Refused) {
				refused = append(refused, e.Field)
			}
		}
		if len(refused) != 1 || !strings.HasPrefix(refused[0], "sinks.a.rules") {
			t.Errorf("a plan tells of the refused edits %q", refused)
		}
	}
	if texts[0] != texts[1] || !strings.Contains(texts[0], "--again") {
		t.Errorf("the hints are %q", texts)
	}
	if _, err := s.Repair(t.Context(), after, engine.Options{State: t.TempDir()}, nil, nil); !fault.Has(err, fault.JobEdit) {
		t.Errorf("rows are repaired by other rules: %v", err)
	}
	fresh := engine.Options{State: t.TempDir()}
	if _, err := s.Run(t.Context(), before, fresh); err != nil {
		t.Errorf("the same rules: %v", err)
	}
	fresh = engine.Options{State: t.TempDir(), Again: true}
	if _, err := s.Run(t.Context(), after, fresh); err != nil {
		t.Errorf("other rules, read again: %v", err)
	}
	if _, err := s.Run(t.Context(), after, engine.Options{State: t.TempDir()}); err != nil {
		t.Errorf("the rules it was read again by: %v", err)
	}
}

func TestPlan_when_a_sink_is_added(t *testing.T) {
	s, state := newShop(), t.TempDir()
	one := s.spec(t, job.Snapshot, sinkB)
	if got := s.plan(t, one, state).Tables[0]; got.State != "new" || got.Chunks != 1 {
		t.Errorf("before it ran: %+v", got)
	}
	if _, err := s.Run(t.Context(), one, engine.Options{State: state}); err != nil {
		t.Fatal(err)
	}
	if got := s.plan(t, one, state).Tables[0]; got.State != "done" {
		t.Errorf("after it ran: %+v", got)
	}
	if got := s.plan(t, s.spec(t, job.Snapshot, sinkB+", "+fmt.Sprintf(sinkA, 1)), state).Tables[0]; got.State != "new" || got.Chunks != 1 {
		t.Errorf("a sink was added, and its table is told to be %+v", got)
	}
}

func TestPlan_when_only_changes_are_carried(t *testing.T) {
	s := newShop()
	if got := s.plan(t, s.spec(t, job.Changes, sinkB), t.TempDir()).Tables[0]; got.State != "changes" || got.Chunks != 0 {
		t.Errorf("%+v", got)
	}
}
