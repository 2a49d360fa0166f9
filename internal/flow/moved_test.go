package flow

import (
	"context"
	"errors"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// moving is a source that becomes another server, with a log of its own in which the
// same transactions stand.
type moving struct {
	*logSource
	log string // of the server that it is now
}

func in(log string, p position.Position) position.Position {
	if p.IsZero() {
		return p
	}
	return position.New(log, p.Order(), p.Token())
}

// only refuses places of another server, as a server does.
func (m *moving) only(p position.Position) error {
	if !p.IsZero() && p.Log() != m.log {
		return errors.New("a place of another server")
	}
	return nil
}

func (m *moving) Discover(ctx context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	tables, at, err := m.logSource.Discover(ctx, sel)
	return tables, in(m.log, at), err
}

func (m *moving) Read(ctx context.Context, s connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if err := errors.Join(m.only(from), m.only(s.Until.Place)); err != nil {
		return err
	}
	s.Until.Place = in("log", s.Until.Place)
	log := m.log
	return m.logSource.Read(ctx, s, in("log", from), func(b *row.Batch) error {
		moved := *b
		moved.End = in(log, b.End)
		return emit(&moved)
	})
}

func (m *moving) Rebase(_ context.Context, places []position.Position) (out []position.Position, err error) {
	for _, p := range places {
		out = append(out, in(m.log, p))
	}
	return out, nil
}

// newMovingJob is a job whose snapshot is whole.
func newMovingJob(t *testing.T) (*Job, *moving) {
	t.Helper()
	src := newLogSource(3, 60)
	j := newJob(src, newMemSink())
	m := &moving{src, "log"}
	j.Source = m
	if err := runAs(t.Context(), j, src, connector.Claim{Run: 1}, 30); err != nil {
		t.Fatal(err)
	}
	return j, m
}

// movingLife calls acts on a job of which one table is to stand apart, or none.
type movingLife struct {
	t     *testing.T
	j     *Job
	claim uint64
}

func (l *movingLife) find() *SinkState {
	l.t.Helper()
	states, err := l.j.Find(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return states[0]
}

func (l *movingLife) next() connector.Claim {
	l.claim++
	return connector.Claim{Run: 2, Attempt: l.claim}
}

func (l *movingLife) arrange(apart bool) *SinkState {
	l.t.Helper()
	err := l.j.Arrange(l.t.Context(), []*SinkState{l.find()}, Wanted{
		Apart: func(n row.Name) bool { return apart && n == modelTables[1] }, Caught: func(*SinkState) bool { return true }, Snapshot: true, Most: 2,
	}, l.next())
	if err != nil {
		l.t.Fatal(err)
	}
	return l.find()
}

// copy reads a table that stands apart again.
func (l *movingLife) resync() {
	l.t.Helper()
	if err := l.j.Resync(l.t.Context(), []*SinkState{l.find()}, modelTables[1], l.next()); err != nil {
		l.t.Fatal(err)
	}
	tasks, err := l.j.PlanTable(l.t.Context(), 1, l.find().Parts)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range tasks {
		if err := l.j.RunChunks(l.t.Context(), c, l.next()); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *movingLife) stream(s *SinkState, until position.Position) error {
	return l.j.Stream(l.t.Context(), &StreamTask{Sinks: []*SinkState{s}, Until: connector.Until{Place: until}}, l.next())
}

// A table that is read again once the source is another server has marks of that server's
// log, and the others have those of the one before.
func TestArrange_when_a_table_was_read_again_after_the_source_moved(t *testing.T) {
	j, m := newMovingJob(t)
	l := &movingLife{t: t, j: j}
	m.log, m.head = "other", 50
	if err := l.stream(l.find(), in("other", placeAfter(40))); err != nil {
		t.Fatal(err)
	}
	l.arrange(true)
	l.resync()
	for _, s := range append(l.find().Parts, l.find()) {
		if err := l.stream(s, in("other", placeAfter(55))); err != nil {
			t.Fatal(err)
		}
	}
	s := l.arrange(false)
	if len(s.Parts) > 0 || !s.Whole || s.Incarnation != 1 {
		t.Fatalf("%d tables stand apart, whole %v, incarnation %d", len(s.Parts), s.Whole, s.Incarnation)
	}
	if err := judge(m.logSource, j.Sinks[0].Sink.(*memSink)); err != nil {
		t.Fatal(err)
	}
}

// The end that was asked for, and the place at which a table joins the others, may lie in
// the log of the server that was there before.
func TestStream_when_its_end_is_in_the_log_before(t *testing.T) {
	j, m := newMovingJob(t)
	l := &movingLife{t: t, j: j}
	m.log, m.head = "other", 50
	if err := l.stream(l.find(), placeAfter(40)); err != nil {
		t.Fatal(err)
	}
	if s := l.find(); !same(s.At, in("other", placeAfter(40))) {
		t.Fatalf("it ended at %v", s.At)
	}
}

func TestArrange_when_the_source_moves_before_a_table_joins(t *testing.T) {
	j, m := newMovingJob(t)
	l := &movingLife{t: t, j: j}
	part := l.arrange(true).Parts[0]
	m.head = 50
	if err := l.stream(part, placeAfter(40)); err != nil {
		t.Fatal(err)
	}
	m.log = "other"
	for range 3 { // each planning that follows, with the streams between
		s := l.arrange(false)
		if len(s.Parts) == 0 {
			if err := judge(m.logSource, j.Sinks[0].Sink.(*memSink)); err != nil {
				t.Fatal(err)
			}
			return
		}
		for _, of := range append(s.Parts, s) {
			if err := l.stream(of, in("other", placeAfter(50))); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("the table does not join the others")
}

// A snapshot with marks of two logs is no state of the source: it is said what to do.
func TestStream_when_the_source_moved_while_tables_were_copied(t *testing.T) {
	src := newLogSource(3, 60)
	j := newJob(src, newMemSink())
	m := &moving{src, "log"}
	j.Source = m
	l := &movingLife{t: t, j: j}
	if err := j.Begin(t.Context(), []*SinkState{l.find()}, Beginning{Snapshot: true}, l.next()); err != nil {
		t.Fatal(err)
	}
	for n, log := range map[uint32]string{1: "log", 2: "other"} {
		m.log = log
		tasks, err := j.PlanTable(t.Context(), n, []*SinkState{l.find()})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range tasks {
			if err := j.RunChunks(t.Context(), c, l.next()); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.log = "other"
	err := l.stream(l.find(), in("other", placeAfter(50)))
	if f := fault.Of(err); f.Code != fault.SourceDiverged || f.Hint == "" || f.Sink != "" {
		t.Fatalf("%v, hint %q, of sink %q", err, f.Hint, f.Sink)
	}
}
