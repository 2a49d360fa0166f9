package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// Marked are the tables that are marked, by name: a table may stop in one sink and flow on
// in another.
func Marked(states []*SinkState) (out []watch.Mark) {
	reasons := map[string]string{}
	for _, s := range states {
		for _, t := range s.Tables() {
			if name := t.Name.String(); t.Stopped != "" && reasons[name] == "" {
				reasons[name] = t.Stopped
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, watch.Mark{Table: name, Reason: reasons[name]})
	}
	return out
}

// ShardState is what one shard of a sink has committed, for people.
type ShardState struct {
	Task  string
	Claim connector.Claim
	At    position.Position // of a stream; the greatest mark of a run of chunks
	Note  string
}

// Shards tells what each shard of a sink has committed: the stream, then the runs
// of chunks while the snapshot is not behind the stream.
func (j *Job) Shards(ctx context.Context, s *SinkState) ([]ShardState, error) {
	if s.At.IsZero() {
		return nil, nil
	}
	st := ShardState{Task: s.task(), Claim: s.Claim, At: s.At}
	switch {
	case s.Generation == 0:
		st.Note = "changes only"
	case s.Whole:
		st.Note = fmt.Sprintf("snapshot %d complete", s.Generation)
	default:
		st.Note = fmt.Sprintf("waits for snapshot %d", s.Generation)
	}
	if s.Number > 0 {
		st.Note = s.Name() + " stands apart, " + st.Note
	}
	if o, ok := s.Sink.Sink.(connector.Omitter); ok {
		left, err := o.LeftOut(ctx, j.shard(s.Sink, s.task()))
		if err != nil {
			return nil, s.Sink.blame(ctx, err)
		}
		if left != "" {
			st.Note += ", left out: " + left
		}
	}
	out := []ShardState{st}
	for _, p := range s.Parts {
		more, err := j.Shards(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if s.Whole {
		return out, nil
	}
	for _, n := range s.Numbers() {
		p, _, err := planOf(ctx, s.Sink, s.Generation, n)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		for r, run := range p.Runs {
			claim, set, err := s.Sink.Positions(ctx, j.shard(s.Sink, p.task(r)))
			if err != nil {
				return nil, err
			}
			done, err := chunksOf(set)
			if err != nil {
				return nil, err
			}
			mark, err := done.greatest()
			if err != nil {
				return nil, err
			}
			out = append(out, ShardState{Task: p.task(r), Claim: claim, At: mark,
				Note: fmt.Sprintf("%s: %d of %d chunks", p.Table, done.count(), len(run))})
		}
	}
	return out, nil
}

func (c chunks) count() int {
	n := 0
	for _, r := range c {
		n += int(r.to-r.from) + 1
	}
	return n
}

// Progress tells into how many chunks a table was divided (0: not yet) and
// whether its snapshot is "new", "partly" or "done" in the sinks: it is done once all have
// it.
func (j *Job) Progress(ctx context.Context, name row.Name, states []*SinkState) (chunks int, state string, err error) {
	var all []*SinkState
	done, lacks := false, false
	for _, s := range states {
		all = append(append(all, s), s.Parts...)
		lacks = lacks || s.At.IsZero()
	}
	for _, s := range all {
		if s.Generation == 0 {
			continue
		}
		for _, t := range s.snapshot.tables {
			if t.Name != name {
				continue
			}
			p, _, err := planOf(ctx, s.Sink, s.Generation, t.Number)
			if err != nil {
				return chunks, "", err
			}
			if p == nil {
				if done = done || s.Whole; !s.Whole { // else it has joined the others with a snapshot of its own
					lacks = true
				}
				continue
			}
			chunks = int(p.firstChunk(len(p.Runs)))
			_, missing, err := j.tableMark(ctx, s, t.Number)
			switch {
			case err != nil:
				return chunks, "", err
			case missing == 0:
				done = true
			case missing < chunks:
				return chunks, "partly", nil
			default:
				lacks = true
			}
		}
	}
	if lacks || !done {
		return chunks, "new", nil
	}
	return chunks, "done", nil
}

// Settled reports whether a sink's stream has no commit that its next Open must
// finish.
func (j *Job) Settled(ctx context.Context, s *SinkState) (bool, error) {
	return s.Sink.settled(ctx, j.shard(s.Sink, streamTask))
}
