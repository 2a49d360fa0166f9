package flow

import (
	"context"
	"errors"
	"strings"
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

// rigged is a sink in which what planning does, or what follows from it, goes wrong.
type rigged struct {
	*memSink
	l *apartLife
	// at changes the Set that Open and Positions give of a shard.
	at func(r rigged, task string, set position.Set) position.Set
	// commit changes a Set before it is committed in place of was.
	commit func(r rigged, task string, was, set position.Set) position.Set
	// fences reports whether an Open keeps older owners from committing.
	fences func(r rigged, task string) bool
	// apply reports whether a batch is applied.
	apply func(r rigged, b *row.Batch) bool
}

func (r rigged) Positions(ctx context.Context, s connector.Shard) (connector.Claim, position.Set, error) {
	c, set, err := r.memSink.Positions(ctx, s)
	if r.at != nil && err == nil {
		set = r.at(r, s.Task, set)
	}
	return c, set, err
}

func (r rigged) Open(ctx context.Context, s connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := r.memSink.Open(ctx, s, c)
	if err != nil {
		return w, set, err
	}
	was := set.Clone()
	if r.at != nil {
		set = r.at(r, s.Task, set)
	}
	if r.fences != nil && !r.fences(r, s.Task) {
		r.shards[s.Task].epoch--
		w.(*memWriter).epoch--
	}
	return &riggedWriter{w.(*memWriter), r, was}, set, nil
}

type riggedWriter struct {
	*memWriter
	r   rigged
	was position.Set
}

func (w *riggedWriter) Apply(ctx context.Context, b *row.Batch) error {
	if w.r.apply != nil && !w.r.apply(w.r, b) {
		return nil
	}
	return w.memWriter.Apply(ctx, b)
}

func (w *riggedWriter) Commit(ctx context.Context, set position.Set) error {
	if w.r.commit != nil {
		set = w.r.commit(w.r, w.task, w.was, set)
	}
	return w.memWriter.Commit(ctx, set)
}

// with returns set with one key as it is in another.
func with(set position.Set, key string, from position.Set) position.Set {
	return edited(set, func(s position.Set) {
		delete(s, key)
		if p, ok := from[key]; ok {
			s[key] = p
		}
	})
}

func isPart(task string) bool { return strings.HasPrefix(task, streamTask+".") }

func TestApart_sees_planted_defects(t *testing.T) {
	for name, r := range map[string]rigged{
		"the others carry a table that stands apart": {
			at: func(r rigged, task string, set position.Set) position.Set {
				if task == streamTask && !r.l.plans {
					set = with(set, keyApart, nil)
				}
				return set
			},
			commit: func(r rigged, task string, was, set position.Set) position.Set {
				if task == streamTask && !r.l.plans {
					set = with(set, keyApart, was)
				}
				return set
			},
		},
		"a table joins before it has caught up": {at: func(r rigged, task string, set position.Set) position.Set {
			if all := r.shards[streamTask]; isPart(task) && r.l.plans && len(set) > 0 {
				set = with(set, keyStream, all.set)
			}
			return set
		}},
		"copies of the old generation are not fenced": {fences: func(r rigged, task string) bool {
			return !r.l.plans || strings.HasPrefix(task, streamTask)
		}},
		"the own stream of a table is not fenced when it joins": {fences: func(r rigged, task string) bool {
			return !r.l.plans || !isPart(task)
		}},
		"the stream of all is not fenced when a table leaves": {fences: func(r rigged, task string) bool {
			return !r.l.plans || task != streamTask
		}},
		"the shape of a table stays behind when it joins": {commit: func(r rigged, task string, was, set position.Set) position.Set {
			if r.l.plans && task == streamTask {
				set = with(set, keySchemas, was)
			}
			return set
		}},
		"what was read before a resync is not taken back": {apply: func(r rigged, b *row.Batch) bool {
			return !r.l.plans || b.Rows() != 1 || b.Op(0) != row.Truncate
		}},
		"generations are used twice": {at: func(r rigged, task string, set position.Set) position.Set {
			if r.l.plans && len(set) > 0 {
				set = with(with(set, keyNewest, nil), keyGeneration, position.Set{keyGeneration: numberNote(1)})
			}
			return set
		}},
		"a table that leaves forgets where it was": {commit: func(r rigged, task string, was, set position.Set) position.Set {
			if r.l.plans && isPart(task) && len(was) == 0 {
				set = edited(set, func(s position.Set) { s[keyStream] = placeAfter(max(0, countOf(s[keyStream])-3)) })
			}
			return set
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(40) {
				l := newApartLife(seed)
				l.wrap = func(m *memSink) connector.Sink {
					r := r
					r.memSink, r.l = m, l
					return r
				}
				if err := l.live(t.Context(), seed%4 > 0); err != nil {
					t.Logf("seed %d: %.300s", seed, err.Error())
					return
				}
			}
			t.Fatal("no life showed it")
		})
	}
}
