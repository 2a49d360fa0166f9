package flow

import (
	"context"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// What the log told of shapes may be lost when everything is read again: the target gets
// those that the source has now, under versions that it has not seen.
func TestAgain_when_shapes_have_changed_unseen(t *testing.T) {
	src, m := newLogSource(5, 60), newMemSink()
	j := newJob(src, m)
	if err := run(t.Context(), j, connector.Claim{Run: 1}, 39); err != nil {
		t.Fatal(err)
	}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := states[0].Shapes.names()
	src.head = 50
	if err := j.Again(t.Context(), states, connector.Claim{Run: 2}); err != nil {
		t.Fatal(err)
	}
	of := states[0].Shapes.table(before[modelTables[1]])
	if m.columns[1] != 3 || len(of.Columns) != 3 || of.Version != 1 {
		t.Errorf("the target has %d columns, the new generation %d in version %d", m.columns[1], len(of.Columns), of.Version)
	}
	if same := states[0].Shapes.table(before[modelTables[2]]); same.Version != 0 || m.columns[2] != 0 {
		t.Errorf("a table that is as before has version %d and %d columns", same.Version, m.columns[2])
	}
	if err := run(t.Context(), j, connector.Claim{Run: 2, Attempt: 1}, 60); err != nil {
		t.Fatal(err)
	}
	if err := judge(src, m); err != nil {
		t.Fatal(err)
	}
}

// growing is a source in which tables are made: all of made are there now, and its log has
// them in another order.
type growing struct {
	*logSource
	made []string
	log  []string
}

func (s growing) table(name string) *row.Table {
	return &row.Table{Name: row.Name{Space: "db", Table: name}, Version: 1, Columns: s.shape[0].Columns, Key: []int{0}}
}

func (s growing) Discover(ctx context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	tables, _, err := s.logSource.Discover(ctx, sel)
	for _, name := range s.made {
		tables = append(tables, s.table(name))
	}
	return tables, placeAfter(len(s.made)), err
}

func (s growing) Read(_ context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	for n := countOf(from); n < countOf(split.Until.Place); n++ {
		c := &row.SchemaChange{Kind: row.Create, After: s.table(s.log[n])}
		if err := emit(row.Barrier(c, placeAfter(n).Order()+"\x01", placeAfter(n+1), int64(n))); err != nil {
			return err
		}
	}
	return nil
}

// A sink that is behind has not come to tables that another one knows. However they are
// numbered then, sinks that give one number to two tables share no reader.
func TestTables_when_a_sink_is_behind(t *testing.T) {
	behind := func(t *testing.T, fresh bool) (*Job, []*SinkState, growing) {
		src := growing{logSource: newLogSource(1, 60)}
		j := newJob(src.logSource, newMemSink(), newMemSink())
		j.Source = src
		states, err := j.Find(t.Context())
		if err == nil && fresh {
			err = j.Begin(t.Context(), states[:1], Beginning{}, connector.Claim{Run: 1})
		} else if err == nil {
			err = j.Begin(t.Context(), states, Beginning{}, connector.Claim{Run: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		src.made, src.log = []string{"m", "n"}, []string{"n", "m"}
		j.Source = src
		return j, states, src
	}
	stream := func(t *testing.T, j *Job, s *SinkState, to int) {
		t.Helper()
		err := j.Stream(t.Context(), &StreamTask{Sinks: []*SinkState{s}, Until: connector.Until{Place: placeAfter(to)}}, connector.Claim{Run: 3})
		if err == nil {
			err = j.look(t.Context(), s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("and another begins", func(t *testing.T) {
		j, states, _ := behind(t, true)
		if err := j.Begin(t.Context(), states, Beginning{}, connector.Claim{Run: 2}); err != nil {
			t.Fatal(err)
		}
		stream(t, j, states[0], 2)
		if a, b := states[0].Shapes.names(), states[1].Shapes.names(); len(a) == len(b) && len(Together(states)) != 2 {
			t.Errorf("%v and %v share a reader", a, b)
		}
	})
	t.Run("and all begin again", func(t *testing.T) {
		j, states, src := behind(t, false)
		stream(t, j, states[1], 1)
		src.made = []string{"l", "n"}
		j.Source = src
		if err := j.Again(t.Context(), states, connector.Claim{Run: 4}); err != nil {
			t.Fatal(err)
		}
		for name, number := range states[0].Shapes.names() {
			if other := states[1].Shapes.names()[name]; other != number {
				t.Errorf("%s is %d and %d", name, number, other)
			}
		}
		if len(Together(states)) != 1 {
			t.Error("sinks that are alike do not share a reader")
		}
	})
}

// unversioned is a source whose catalogue knows no versions of shapes.
type unversioned struct{ *logSource }

func (s unversioned) Discover(ctx context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	tables, at, err := s.logSource.Discover(ctx, sel)
	for _, t := range tables {
		t.Version = 0
	}
	return tables, at, err
}

// A sink that was added later counts versions of shapes from its beginning. Where it is the
// one with whose shapes the log is read, they go on rising in the others.
func TestStream_when_sinks_count_versions_otherwise(t *testing.T) {
	src := newLogSource(5, 60)
	j := newJob(src, newMemSink(), newMemSink())
	j.Source = unversioned{src}
	src.head, src.log[10], src.log[50] = 0, transaction{ddl: 1}, transaction{ddl: 1}
	stream := func(attempt uint64, to int, states ...*SinkState) {
		t.Helper()
		if err := j.Begin(t.Context(), states, Beginning{}, connector.Claim{Run: attempt}); err != nil {
			t.Fatal(err)
		}
		src.head = max(src.head, to)
		if len(Together(states)) != 1 {
			t.Error("the sinks share no reader")
		}
		if err := j.Stream(t.Context(), &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(to)}}, connector.Claim{Run: attempt}); err != nil {
			t.Fatal(err)
		}
	}
	states, err := j.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, b := states[0], states[1]
	src.head = 1
	stream(1, 45, a)
	stream(2, 60, b, a)
	if states, err = j.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint32{3, 1} {
		if of := states[i].Shapes.table(1); of.Version != want || len(of.Columns) != 5 {
			t.Errorf("sink %d has version %d with %d columns, want %d", i, of.Version, len(of.Columns), want)
		}
	}
}
