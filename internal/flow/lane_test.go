package flow

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
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
