package flow

import (
	"context"
	"errors"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// The model and its judge are tested themselves: each of these defects must be
// seen by some history.

// skewed gives chunks a mark that is some transactions off.
type skewed struct {
	*logSource
	by int
}

func (s skewed) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	return s.logSource.Read(ctx, split, from, func(b *row.Batch) error {
		if split.Bounded && b.Rows() == 0 && !b.End.IsZero() {
			return emit(row.Mark(placeAfter(countOf(b.End)+s.by), 0))
		}
		return emit(b)
	})
}

// forgetful drops one batch of the stream.
type forgetful struct{ *logSource }

func (s forgetful) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	n := 0
	return s.logSource.Read(ctx, split, from, func(b *row.Batch) error {
		if n++; !split.Bounded && n == 3 {
			return emit(row.Mark(b.End, b.EndTime))
		}
		return emit(b)
	})
}

// premature commits positions in one step and rows in the next.
type premature struct{ *memSink }

func (m premature) Open(ctx context.Context, s connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := m.memSink.Open(ctx, s, c)
	return &prematureWriter{w.(*memWriter)}, set, err
}

type prematureWriter struct{ *memWriter }

func (w *prematureWriter) Commit(ctx context.Context, set position.Set) error {
	rows := w.staged
	w.staged = nil
	if err := w.memWriter.Commit(ctx, set); err != nil {
		return err
	}
	return w.sink.crash.step(func() error {
		w.sink.entries = append(w.sink.entries, rows...)
		return nil
	})
}

// plainOps forgets that an update took the place of an old row.
type plainOps struct{ *memSink }

func (m plainOps) Open(ctx context.Context, s connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := m.memSink.Open(ctx, s, c)
	return &plainWriter{w.(*memWriter)}, set, err
}

type plainWriter struct{ *memWriter }

func (w *plainWriter) Apply(ctx context.Context, b *row.Batch) error {
	err := w.memWriter.Apply(ctx, b)
	kept := w.staged[:0]
	for _, e := range w.staged {
		if e.op != row.Before {
			kept = append(kept, e)
		}
	}
	w.staged = kept
	return err
}

func TestModel_sees_planted_defects(t *testing.T) {
	wrap := func(src *logSource) connector.Source { return src }
	same := func(m *memSink) connector.Sink { return m }
	for name, bug := range map[string]struct {
		source func(*logSource) connector.Source
		sink   func(*memSink) connector.Sink
	}{
		"marks too late":        {func(s *logSource) connector.Source { return skewed{s, 2} }, same},
		"marks too early":       {func(s *logSource) connector.Source { return skewed{s, -2} }, same},
		"a batch is lost":       {func(s *logSource) connector.Source { return forgetful{s} }, same},
		"positions before rows": {wrap, func(m *memSink) connector.Sink { return premature{m} }},
		"old images are lost":   {wrap, func(m *memSink) connector.Sink { return plainOps{m} }},
	} {
		t.Run(name, func(t *testing.T) {
			for n := range 60 {
				src, m := newLogSource(uint64(n), 60), newMemSink()
				m.crash = &crash{at: n}
				j := newJob(src, m)
				j.Sinks[0].Sink = bug.sink(m)
				j.Source = bug.source(src)
				if err := runAs(t.Context(), j, src, connector.Claim{Run: 1}, 60); err != nil && !errors.Is(err, errCrash) {
					return // the flow itself saw it
				}
				if judge(src, m) != nil {
					return
				}
			}
			t.Fatal("no history showed it")
		})
	}
}

// runAs is run for a job whose source is not src itself.
func runAs(ctx context.Context, j *Job, src *logSource, claim connector.Claim, end int) error {
	states, err := j.Find(ctx)
	if err != nil {
		return err
	}
	if err := j.Begin(ctx, states, Beginning{Snapshot: true}, claim); err != nil {
		return err
	}
	for _, n := range states[0].Numbers() {
		tasks, err := j.PlanTable(ctx, n, states)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if err := j.RunChunks(ctx, t, claim); err != nil {
				return err
			}
		}
	}
	src.head = max(src.head, end)
	return j.Stream(ctx, &StreamTask{Sinks: states, Until: connector.Until{Place: placeAfter(end)}}, claim)
}
