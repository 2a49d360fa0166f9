package table

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/watch"
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

func TestBearing_when_sinks_refuse_rows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := func(sink string) int { return map[string]int{"a": 1, "b": 2}[sink] }
		var calls []string
		refuse := func(sinks ...string) error {
			calls = nil
			return bearing(t.Context(), attempts, func(discard string) error {
				calls = append(calls, discard)
				if n := len(calls) - 1; n < len(sinks) {
					return fault.InSink(sinks[n], fault.New(fault.RowRefused, "no"))
				}
				return nil
			})
		}
		if err := refuse("b", "a", "b"); err != nil || fmt.Sprintf("%q", calls) != `["" "" "a" "a b"]` {
			t.Errorf("%v after %q", err, calls)
		}
		if err := refuse("a", "a"); !fault.Has(err, fault.RowRefused) || len(calls) != 2 {
			t.Errorf("a sink that refuses what it puts aside: %v after %q", err, calls)
		}
		if err := refuse("c"); !fault.Has(err, fault.RowRefused) || len(calls) != 1 {
			t.Errorf("a sink that puts nothing aside: %v after %q", err, calls)
		}
	})
}

// slow is a sink that is opened by as many at once as it can be.
type slow struct {
	blank
	closed *atomic.Int32
}

func (s slow) Close() error { s.closed.Add(1); return nil }

// A sink that comes back is found by planning and by the task that waits for it, in the same
// moment: it is one sink, and what was opened in vain is closed.
func TestOpenSink_when_two_are_at_it(t *testing.T) {
	const callers = 2
	var closed atomic.Int32
	var in sync.WaitGroup
	in.Add(callers)
	registry := connector.Registry{
		Sources: []connector.SourceDriver{{Name: "away", Open: func(context.Context, option.Values, connector.Env) (connector.Source, error) { return away{}, nil }}},
		Sinks: []connector.SinkDriver{{Name: "slow", Open: func(context.Context, option.Values, connector.Env) (connector.Sink, error) {
			in.Done()
			in.Wait()
			return slow{closed: &closed}, nil
		}}},
	}
	spec := &job.Spec{Name: "j", Source: job.Endpoint{Driver: "away"}, Sinks: []job.Sink{{Name: "lake", Endpoint: job.Endpoint{Driver: "slow"}}}}
	o, err := openSource(t.Context(), spec, env{registry: registry, budget: limit.NewBudget(1)})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if err := o.openSink(t.Context(), &spec.Sinks[0]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(o.flow.Sinks) != 1 || closed.Load() != callers-1 {
		t.Errorf("there are %d sinks, and %d were closed", len(o.flow.Sinks), closed.Load())
	}
	if err := o.close(); err != nil || closed.Load() != callers {
		t.Errorf("%v, and %d were closed", err, closed.Load())
	}
}

func TestTaskOf_has_the_engine_hear_of_the_first_commit(t *testing.T) {
	w := &work{copies: map[string]*flow.ChunkTask{"a": {}}, streams: map[string]*flow.StreamTask{"s": {}}}
	for _, id := range []string{"a", "s"} {
		told := 0
		chunks, stream := w.taskOf(engine.Run{Task: job.Task{ID: id}, Progressed: func() { told++ }})
		for range 3 {
			if chunks != nil {
				chunks.Committed()
			}
			if stream != nil {
				stream.Committed()
			}
		}
		if told != 1 {
			t.Errorf("%s: told %d times", id, told)
		}
	}
}

func TestFindCopies_when_tables_are_read_again_and_again(t *testing.T) {
	w := newWork(t.Context(), &job.Spec{}, engine.Options{Watch: watch.New(watch.Options{})}, nil)
	for n := range 3 {
		if err := w.findCopies(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		task := &flow.ChunkTask{ID: fmt.Sprint("copy ", n), Table: &row.Table{Name: row.Name{Space: "db", Table: "t"}}}
		w.keepOpen("db.t", []*flow.ChunkTask{task})
		w.copyDone(task)
		if len(w.copies) != 1 || w.copies[task.ID] != task || len(w.copied) != 1 {
			t.Errorf("%d: it knows %d copies, and %d that have finished", n, len(w.copies), len(w.copied))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.findCopies(ctx, nil, nil); err == nil || len(w.copies) != 1 {
		t.Errorf("planning that was broken off: %v, and it knows %d copies", err, len(w.copies))
	}
}
