// Package flow moves rows: one task of a table job, from a source to the sinks
// that want it. Sinks own positions: everything here that looks like progress is
// read from them.
package flow

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/connector"
	"godwit/internal/route"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// Sink is one sink of a job.
type Sink struct {
	connector.Sink
	Name string
	// Route says as what tables and their rows reach the sink; nil: as they are.
	Route *route.Router
	// Rules is a checksum of those of Route (job.Sink); empty: nobody asks for them.
	Rules string
	// Every and Bytes say when a commit is due: that long after the first
	// uncommitted row, or when that much is staged.
	Every time.Duration
	Bytes int64

	waiting atomic.Int64 // bytes in the queues of all tasks
}

// Job is what all tasks of one run of a job share. Its fields are not changed
// while tasks run, but by Add.
type Job struct {
	Name   string
	Source connector.Source
	Sinks  []*Sink
	Tables connector.Selector
	Record *watch.Job
	Log    *slog.Logger
	Pool   *row.Pool
	// ChunkBytes is the size of a chunk aimed at.
	ChunkBytes int64
	// QueueBytes is what may wait for a sink, for the record.
	QueueBytes int64
	// Patience is how long one sink may keep the others of its group waiting, before
	// what it holds up fails with fault.SinkSlow; 0: for ever.
	Patience time.Duration
	commits  atomic.Int64
	adding   sync.Mutex
	places   sync.Map // shard → place: how far the streams are that run
}

// Commits returns how many commits sinks have made for this job so far.
func (j *Job) Commits() int64 { return j.commits.Load() }

func (j *Job) shard(sink *Sink, task string) connector.Shard {
	return connector.Shard{Job: j.Name, Sink: sink.Name, Task: task}
}

// uncancelled returns a context for the last commit of a pause: it outlives ctx
// by grace.
func uncancelled(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return work, func() { stop(); cancel() }
}
