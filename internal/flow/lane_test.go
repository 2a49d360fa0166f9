package flow

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/position"
	"godwit/internal/row"
)

// tardy is a sink that takes its time for what it applies: for each batch of a kind of
// shard, or until it is told to stop.
type tardy struct {
	*memSink
	stream bool // of the stream; else of chunks
	takes  time.Duration
}

type tardyWriter struct {
	connector.Writer
	takes time.Duration
}

func (s tardy) Open(ctx context.Context, shard connector.Shard, c connector.Claim) (connector.Writer, position.Set, error) {
	w, set, err := s.memSink.Open(ctx, shard, c)
	if err == nil && (shard.Task == streamTask) == s.stream {
		w = tardyWriter{w, s.takes}
	}
	return w, set, err
}

func (w tardyWriter) Apply(ctx context.Context, b *row.Batch) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(w.takes):
	}
	return w.Writer.Apply(ctx, b)
}

func TestFlow_when_one_sink_keeps_the_others_waiting(t *testing.T) {
	const forever = 1000 * time.Hour
	for name, c := range map[string]struct {
		sink  tardy
		fails bool
		after time.Duration
	}{
		"it hangs in the stream":        {tardy{stream: true, takes: forever}, true, 2 * time.Minute},
		"it hangs in a chunk":           {tardy{takes: forever}, true, 2 * time.Minute},
		"it cannot keep up":             {tardy{stream: true, takes: 30 * time.Second}, true, 7 * time.Minute},
		"it copies slowly":              {tardy{takes: 50 * time.Second}, false, time.Hour},
		"it is slow for a while":        {tardy{stream: true, takes: 10 * time.Second}, false, time.Hour},
		"it hangs and the job is alone": {tardy{stream: true, takes: 3 * time.Minute}, false, 5 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, a, b := newLogSource(3, 60), newMemSink(), newMemSink()
				c.sink.memSink = b
				j := newJob(src, a, b)
				j.Patience = time.Minute
				j.Sinks[1].Sink = c.sink
				if c.after > 2*time.Hour {
					j.Sinks = j.Sinks[1:]
				}
				began := time.Now()
				err := run(t.Context(), j, connector.Claim{Run: 1}, 60)
				if took := time.Since(began); took > c.after {
					t.Errorf("it took %v", took)
				}
				if !c.fails {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if !fault.Has(err, fault.SinkSlow) || fault.Of(err).Sink != "s1" {
					t.Fatalf("%v of %q", err, fault.Of(err).Sink)
				}
				if err := judge(src, a); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// metered is a source whose batches take from a budget until they are released.
type metered struct {
	*logSource
	budget *limit.Budget
	unit   int64
}

func (s metered) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	pool := &row.Pool{Freed: func(int) { s.budget.Give(s.unit) }}
	table := s.shape[0]
	for n := countOf(from); ; n++ {
		if err := s.budget.Take(ctx, s.unit); err != nil {
			return err
		}
		x := row.NewBuilder(pool)
		x.At(prefixOf(uint64(10*n), 1), 0, row.Txn{})
		x.Row(table, row.Insert)
		x.Int(int64(n))
		x.Int(0)
		if err := emit(x.Finish(placeAfter(n+1), 0)); err != nil {
			return err
		}
	}
}

// A sink that cannot keep up has a reader of its own. It must not have all the memory, or
// the others would go at its pace.
func TestFlow_when_a_slow_sink_has_a_reader_of_its_own(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, a, b := newLogSource(3, 60), newMemSink(), newMemSink()
		j := newJob(src, a, b)
		j.Source = metered{src, limit.NewBudget(32), 1}
		j.Sinks[0].Bytes, j.Sinks[1].Bytes = 1<<30, 1<<30
		j.Sinks[0].Sink = tardy{a, true, time.Minute}
		j.Sinks[1].Sink = tardy{b, true, time.Second}
		states, err := j.Find(t.Context())
		if err == nil {
			err = j.Begin(t.Context(), states, Beginning{}, connector.Claim{Run: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		var all sync.WaitGroup
		for _, s := range states {
			all.Go(func() { _ = j.Stream(ctx, &StreamTask{Sinks: []*SinkState{s}}, connector.Claim{Run: 2}) })
		}
		all.Wait()
		if n := len(b.entries); n < 3000 {
			t.Errorf("the quick sink has %d rows after an hour, the slow one %d", n, len(a.entries))
		}
	})
}
