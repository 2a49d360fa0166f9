package sinktest

import (
	"context"
	"fmt"
	"math/rand/v2"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

// script is how one process does its work.
type script struct {
	claim connector.Claim
	batch int // rows of a batch
	every int // transaction ends between commits
	// stop ends the stream after so many transactions; 0: at the end of the log.
	stop int
	// again reads from a transaction before the committed place: rows are
	// delivered twice and must be cut.
	again int
	rng   *rand.Rand // not nil: batch, every and again vary
	// closes is whether the process ends its work in order.
	closes bool
	// torn: what is applied after the last commit stays uncommitted.
	torn bool
}

// driver does what the flow does, as simply as possible.
type driver struct {
	Harness
	log   *Log
	world World
	// newest has, of the Opens of each task that succeeded, when the last of them
	// began. clock counts beginnings and ends of Opens, commits those that succeeded.
	newest  map[string]int
	clock   int
	commits int
}

// broken is a breach of the contract that needs no look at the target.
type broken struct{ error }

// session is a writer and what the kit knows of it.
type session struct {
	connector.Writer
	d      *driver
	task   string
	opened int // when its Open ended
}

// open opens a task and notes that it has a new owner.
func (d *driver) open(ctx context.Context, sink connector.Sink, task string, c connector.Claim) (*session, position.Set, error) {
	d.clock++
	began := d.clock
	w, set, err := sink.Open(ctx, d.shard(task), c)
	if err != nil {
		return nil, nil, fmt.Errorf("open: %w", err)
	}
	if d.newest == nil {
		d.newest = map[string]int{}
	}
	d.clock++
	d.newest[task] = max(d.newest[task], began)
	return &session{w, d, task, d.clock}, set, nil
}

// Commit commits, which must fail when another writer has opened since.
func (s *session) Commit(ctx context.Context, set position.Set) error {
	owned := s.d.newest[s.task] < s.opened
	if err := s.Writer.Commit(ctx, set); err != nil {
		return err
	}
	s.d.commits++
	if !owned {
		return broken{fmt.Errorf("a commit of %s succeeded though a newer writer had opened", s.task)}
	}
	return nil
}

// run is the life of a process: prepare, copy chunks, follow the stream.
func (d *driver) run(p *Process, s script) (err error) {
	ctx := context.Background()
	defer p.end()
	sink, err := d.world.Start(p)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := sink.Close(); err == nil && !p.Dead() {
			err = cerr
		}
	}()
	if err := sink.Prepare(ctx, d.log.Tables); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	for _, c := range d.log.Chunks {
		if err := d.copy(ctx, sink, c, s); err != nil {
			return fmt.Errorf("chunks %s: %w", c.Task, err)
		}
	}
	return d.stream(ctx, sink, s)
}

func (d *driver) copy(ctx context.Context, sink connector.Sink, c ChunkRun, s script) error {
	w, set, err := d.open(ctx, sink, c.Task, s.claim)
	if err != nil {
		return err
	}
	defer w.Close()
	for k, rows := range c.Chunks {
		if _, done := set[chunkKey(k)]; done {
			continue
		}
		x := row.NewBuilder(&d.log.pool)
		for i := range rows {
			rows[i].build(x)
			if x.Rows() == s.batch || i+1 == len(rows) {
				b := x.Finish(position.Position{}, 0)
				err := w.Apply(ctx, b)
				b.Release()
				if err != nil {
					return err
				}
			}
		}
		set = set.Clone()
		set[chunkKey(k)] = place(0)
		if err := w.Commit(ctx, set); err != nil {
			return err
		}
	}
	return w.Close()
}

// follower applies the stream.
type follower struct {
	*driver
	w     connector.Writer
	at    position.Position
	dirty bool
	ends  int // transaction ends since the last commit
	every int
}

func (d *driver) stream(ctx context.Context, sink connector.Sink, s script) error {
	w, set, err := d.open(ctx, sink, connector.StreamSplit, s.claim)
	if err != nil {
		return err
	}
	f := &follower{driver: d, w: w, at: set[connector.StreamSplit], every: s.every}
	if s.closes {
		defer w.Close()
	}
	from := d.log.at(f.at)
	until := len(d.log.txns)
	if s.stop > 0 {
		until = min(until, from+s.stop)
	}
	again := s.again
	if s.rng != nil {
		again = s.rng.IntN(2)
	}
	err = d.log.read(max(0, from-again), until, s.batch, func(b *row.Batch) error {
		if s.rng != nil {
			f.every = 1 + s.rng.IntN(3)
		}
		return f.take(ctx, b)
	})
	if err != nil {
		return err
	}
	if f.dirty && !s.torn {
		if err := f.commit(ctx); err != nil {
			return err
		}
	}
	if !s.closes {
		return nil
	}
	return w.Close()
}

func (f *follower) take(ctx context.Context, b *row.Batch) error {
	end := b.End
	rest, err := b.From(f.at)
	if err != nil {
		return err
	}
	if rest.Change != nil {
		if f.dirty {
			if err := f.commit(ctx); err != nil {
				return err
			}
		}
		if err := f.w.Evolve(ctx, rest.Change); err != nil {
			return fmt.Errorf("evolve: %w", err)
		}
		f.at = end
		return f.commit(ctx)
	}
	if rest.Rows() > 0 {
		if err := f.w.Apply(ctx, rest); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	if end.IsZero() {
		return nil
	}
	if c, err := end.Compare(f.at); err != nil || c <= 0 {
		return err
	}
	f.at, f.dirty = end, true
	if f.ends++; f.ends >= f.every {
		return f.commit(ctx)
	}
	return nil
}

func (f *follower) commit(ctx context.Context) error {
	if err := f.w.Commit(ctx, position.Set{connector.StreamSplit: f.at}); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	f.dirty, f.ends = false, 0
	return nil
}
