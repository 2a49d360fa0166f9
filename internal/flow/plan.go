package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// tablePlan is how one table's snapshot is divided. It is kept by the sink before
// the first chunk is read and never made again: old and new attempts always
// contend for the same shards (docs/formats/snapshot-plan.md).
type tablePlan struct {
	Version    int           `json:"version"`
	Table      row.Name      `json:"table"`
	Number     uint32        `json:"number"`
	Generation uint32        `json:"generation"`
	Runs       [][]byteRange `json:"runs"` // chunks in key order, numbered through from 0
}

// byteRange is the source's durable form of a key range.
type byteRange []byte

const planVersion = 1

// maxRunChunks bounds a run, so that its marks fit in a position set.
const maxRunChunks = 64

// manyRuns is how many runs a table is divided into before runs get longer.
const manyRuns = 16

func planKey(generation, number uint32) string {
	return fmt.Sprintf("plan/%d/%d", generation, number)
}

// task returns the shard task of run r.
func (p *tablePlan) task(r int) string {
	return fmt.Sprintf("%d.%d.%d", p.Number, p.Generation, r)
}

// firstChunk returns the number of the first chunk of run r.
func (p *tablePlan) firstChunk(r int) uint32 {
	n := 0
	for _, run := range p.Runs[:r] {
		n += len(run)
	}
	return uint32(n)
}

// split returns a chunk of the plan.
func (p *tablePlan) split(t *row.Table, chunk uint32, keys byteRange) connector.Split {
	return connector.Split{
		ID:      fmt.Sprintf("%d.%d.%d", p.Number, p.Generation, chunk),
		Bounded: true, Tables: []*row.Table{t},
		Generation: p.Generation, Chunk: chunk, Range: keys,
	}
}

// planOf reads the plan a sink kept; nil when it kept none.
func planOf(ctx context.Context, s *Sink, generation, number uint32) (*tablePlan, []byte, error) {
	b, err := s.Once(ctx, planKey(generation, number), nil)
	if err != nil || b == nil {
		return nil, nil, err
	}
	return s.plan(b)
}

// plan reads a plan that the sink kept.
func (s *Sink) plan(b []byte) (*tablePlan, []byte, error) {
	p, kept, err := parsePlan(b)
	return p, kept, fault.InSink(s.Name, err)
}

func parsePlan(b []byte) (*tablePlan, []byte, error) {
	p := &tablePlan{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, nil, fault.New(fault.TargetBroken, "a snapshot plan in the control folder cannot be read").By(err)
	}
	if p.Version > planVersion {
		return nil, nil, fault.New(fault.FormatNewer, "the snapshot plan of %s has version %d, this program reads up to %d", p.Table, p.Version, planVersion)
	}
	return p, b, nil
}

// PlanTable divides a table of the snapshot for every sink that copies it, keeps
// the plans, and returns the tasks: one for each run and group of sinks with the
// same plan.
func (j *Job) PlanTable(ctx context.Context, number uint32, sinks []*SinkState) ([]*ChunkTask, error) {
	var groups []planGroup
	for _, s := range sinks {
		t := s.snapshot.table(number)
		if t == nil {
			continue
		}
		p, kept, err := j.keepPlan(ctx, t, s)
		if err != nil {
			return nil, err
		}
		i := 0
		for i < len(groups) && !bytes.Equal(groups[i].kept, kept) {
			i++
		}
		if i == len(groups) {
			groups = append(groups, planGroup{plan: p, kept: kept, table: t})
		}
		groups[i].sinks = append(groups[i].sinks, s)
	}
	var tasks []*ChunkTask
	for n, g := range groups {
		tasks = append(tasks, g.tasks(n)...)
	}
	return tasks, nil
}

// planGroup are sinks that keep the same plan of a table.
type planGroup struct {
	plan  *tablePlan
	kept  []byte
	table *row.Table
	sinks []*SinkState
}

func (g planGroup) tasks(n int) []*ChunkTask {
	var out []*ChunkTask
	for r, run := range g.plan.Runs {
		t := &ChunkTask{ID: g.plan.task(r), Shard: g.plan.task(r), Table: g.table, Sinks: g.sinks}
		if n > 0 {
			t.ID += fmt.Sprintf("/%d", n) // same shards in other sinks
		}
		first := g.plan.firstChunk(r)
		for i, b := range run {
			t.Splits = append(t.Splits, g.plan.split(g.table, first+uint32(i), b))
		}
		out = append(out, t)
	}
	return out
}

// keepPlan returns the plan the sink keeps, making one when there is none. All
// sinks of a run are offered the same one.
func (j *Job) keepPlan(ctx context.Context, t *row.Table, s *SinkState) (*tablePlan, []byte, error) {
	p, kept, err := planOf(ctx, s.Sink, s.Generation, t.Number)
	if err != nil || p != nil {
		return p, kept, err
	}
	offer, err := j.divide(ctx, t, s.Generation)
	if err != nil {
		return nil, nil, err
	}
	b, err := json.Marshal(offer)
	if err != nil {
		return nil, nil, err
	}
	if kept, err = s.Sink.Once(ctx, planKey(s.Generation, t.Number), b); err != nil {
		return nil, nil, err
	}
	return s.Sink.plan(kept)
}

func (j *Job) divide(ctx context.Context, t *row.Table, generation uint32) (*tablePlan, error) {
	splits, err := j.Source.Splits(ctx, connector.Request{Table: t, Generation: generation, ChunkBytes: j.ChunkBytes})
	if err != nil {
		return nil, err
	}
	if len(splits) == 0 || len(splits) > row.MaxChunk {
		return nil, fault.New(fault.Internal, "table %s was divided into %d chunks", t.Name, len(splits))
	}
	p := &tablePlan{Version: planVersion, Table: t.Name, Number: t.Number, Generation: generation}
	perRun := min(maxRunChunks, max(1, (len(splits)+manyRuns-1)/manyRuns))
	for at := 0; at < len(splits); at += perRun {
		var run []byteRange
		for _, s := range splits[at:min(at+perRun, len(splits))] {
			run = append(run, s.Range)
		}
		p.Runs = append(p.Runs, run)
	}
	return p, nil
}

// Lacking returns how many chunks of a task some sink has not committed, and
// whether nothing at all is left to do: a sink may have a commit to finish.
func (j *Job) Lacking(ctx context.Context, t *ChunkTask) (n int, settled bool, err error) {
	lacking := map[uint32]bool{}
	settled = true
	for _, s := range t.Sinks {
		_, set, err := s.Sink.Positions(ctx, j.shard(s.Sink, t.Shard))
		if err != nil {
			return 0, false, err
		}
		done, err := s.Sink.chunks(set)
		if err != nil {
			return 0, false, err
		}
		if settled {
			if settled, err = s.Sink.settled(ctx, j.shard(s.Sink, t.Shard)); err != nil {
				return 0, false, err
			}
		}
		for _, split := range t.Splits {
			if !done.has(split.Chunk) {
				lacking[split.Chunk] = true
			}
		}
	}
	return len(lacking), settled && len(lacking) == 0, nil
}
