package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// Check looks at everything a run needs. A source or sink that cannot be opened
// is a finding, and what could not be looked at for that reason is left out: of a
// sink, where the source cannot be reached, what is about tables.
func (e Engine) Check(ctx context.Context, s *job.Spec, o engine.Options) (watch.CheckReport, error) {
	o = whole(s, o)
	var c check
	opened, err := openSource(ctx, s, e.env(s, o))
	if err != nil {
		opened = withoutSource(s, e.env(s, o))
	}
	defer opened.close()
	refused := opened.openSinks(ctx)
	if opened.source == nil {
		c.note("source", "connection", "", err)
	} else {
		c.source(ctx, opened, len(refused) == 0, parallel(s, o))
	}
	for _, sink := range s.Sinks {
		if err := refused[sink.Name]; err != nil {
			c.note(sink.Name, "connection", "", err)
		}
	}
	for _, sink := range opened.flow.Sinks {
		c.sink(ctx, sink)
	}
	return c.CheckReport, ctx.Err()
}

// check collects findings.
type check struct {
	watch.CheckReport
	tables []*row.Table // that the source has for the job
}

func (c *check) note(on, name, detail string, err error) {
	f := watch.Finding{On: on, Name: name, Detail: detail}
	if err != nil {
		f.Fault = fault.Of(err)
		f.Detail = cmp.Or(detail, f.Fault.Where)
	}
	c.Findings = append(c.Findings, f)
}

// source looks at the source, and at its log where all sinks can be asked what they
// need of it.
func (c *check) source(ctx context.Context, o *opened, all bool, parallel int) {
	tables, _, err := o.source.Discover(ctx, o.spec.Tables)
	if unreached(err) {
		c.note("source", "connection", "", err)
		return
	}
	c.note("source", "connection", "reached", nil)
	if err == nil && len(tables) == 0 {
		err = flow.NoTables(o.spec.Tables.Patterns)
	}
	c.note("source", "tables", fmt.Sprintf("%d chosen", len(tables)), err)
	c.tables = tables
	c.Findings = append(c.Findings, checks(ctx, "source", o.source, tables)...)
	c.Findings = append(c.Findings, o.checkStart(ctx)...)
	if all {
		c.Findings = append(c.Findings, o.checkLog(ctx, tables, parallel)...)
	}
}

func (c *check) sink(ctx context.Context, s *flow.Sink) {
	routed, err := s.Route.Tables(c.tables)
	if s.Route != nil && len(c.tables) > 0 {
		c.note(s.Name, "rules", fmt.Sprintf("tables written: %d of %d", len(routed), len(c.tables)), err)
	}
	if err == nil {
		c.Findings = append(c.Findings, checks(ctx, s.Name, s.Sink, routed)...)
	}
}

// unreached reports whether what failed is the connection itself.
func unreached(err error) bool {
	return slices.ContainsFunc([]fault.Code{fault.SourceUnreachable, fault.SourceAuth, fault.SourceTLS, fault.SourceBusy, fault.SourceProtocol},
		func(c fault.Code) bool { return fault.Has(err, c) })
}

// checkStart looks whether the log has the place at which a job begins that has not begun.
func (o *opened) checkStart(ctx context.Context) []watch.Finding {
	l, ok := o.source.(connector.Locator)
	if !ok || o.spec.Mode != job.Changes || o.spec.Start.Head {
		return nil
	}
	states, err := o.flow.Find(ctx)
	if err == nil && !slices.ContainsFunc(states, func(s *flow.SinkState) bool { return s.At.IsZero() }) {
		return nil
	}
	at, err := l.Locate(ctx, o.spec.Start.Place, o.spec.Start.Time)
	if err != nil {
		return []watch.Finding{{On: "source", Name: "start", Fault: fault.Of(err)}}
	}
	return []watch.Finding{{On: "source", Name: "start", Detail: o.describe(at)}}
}

func checks(ctx context.Context, on string, what any, tables []*row.Table) []watch.Finding {
	c, ok := what.(connector.Checker)
	if !ok {
		return nil
	}
	var out []watch.Finding
	for _, f := range c.Check(ctx, tables) {
		out = append(out, watch.Finding{On: on, Name: f.Name, Detail: f.Detail, Fault: f.Fault, Warn: f.Warn})
	}
	return out
}

// Plan tells what a run would do and does nothing.
func (e Engine) Plan(ctx context.Context, s *job.Spec, o engine.Options) (r watch.PlanReport, err error) {
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	tables, at, err := opened.source.Discover(ctx, s.Tables)
	if err != nil {
		return r, err
	}
	if len(tables) == 0 {
		return r, flow.NoTables(s.Tables.Patterns)
	}
	r.At = opened.describe(at)
	states, err := opened.flow.Find(ctx)
	if err != nil {
		return r, err
	}
	if r.Run, r.Edits, err = e.remembered(ctx, s, o, states); err != nil {
		return r, err
	}
	var left []*row.Table
	for _, t := range tables {
		p, err := opened.planTable(ctx, t, states)
		if err != nil {
			return r, err
		}
		r.Tables = append(r.Tables, p)
		if p.State == "new" || p.State == "partly" {
			left = append(left, t)
		}
	}
	return r, opened.planLog(ctx, &r, left, states, parallel(s, o))
}

// remembered tells the next run's number and the edits since the last one.
func (e Engine) remembered(ctx context.Context, s *job.Spec, o engine.Options, states []*flow.SinkState) (run uint64, edits []watch.PlanEdit, err error) {
	for _, st := range states {
		run = max(run, st.Claim.Run)
	}
	state, err := local.OpenState(o.State, s.Name, false)
	if err != nil || state == nil {
		return run + 1, ruleEdits(nil, states), err
	}
	defer state.Close()
	last, err := state.LastRun(ctx)
	if err != nil {
		return 0, nil, err
	}
	diff, err := state.Accept(ctx, s, true)
	if err != nil {
		return max(run, last) + 1, nil, err
	}
	for _, d := range diff {
		edits = append(edits, watch.PlanEdit{Field: d.Field, From: d.From, To: d.To, Effect: string(d.Effect), Why: d.Why})
	}
	return max(run, last) + 1, ruleEdits(edits, states), nil
}

// ruleEdits adds to edits those of rules that only the sinks know of.
func ruleEdits(edits []watch.PlanEdit, states []*flow.SinkState) []watch.PlanEdit {
	for _, s := range states {
		own := "sinks." + s.Sink.Name + ".rules"
		told := slices.ContainsFunc(edits, func(e watch.PlanEdit) bool {
			return strings.HasPrefix(e.Field, "rules[") || strings.HasPrefix(e.Field, own)
		})
		if !told && !s.Ruled() {
			edits = append(edits, watch.PlanEdit{Field: own, From: "those it was written by", To: "others", Effect: string(job.Refused), Why: job.OtherForm})
		}
	}
	return edits
}

func (o *opened) planTable(ctx context.Context, t *row.Table, states []*flow.SinkState) (watch.PlanTable, error) {
	p := watch.PlanTable{Table: t.Name.String(), Rows: t.Rows, Bytes: t.Bytes, State: "new"}
	for _, k := range t.Key {
		p.Key = append(p.Key, t.Columns[k].Name)
	}
	p.Note = o.cascades(t)
	if o.spec.Mode == job.Changes {
		p.State = "changes"
	} else {
		chunks, state, err := o.flow.Progress(ctx, t.Name, states)
		if err != nil {
			return p, err
		}
		if p.Chunks, p.State = chunks, state; chunks == 0 {
			splits, err := o.source.Splits(ctx, connector.Request{Table: t, Generation: 1, ChunkBytes: o.spec.Chunk})
			if err != nil {
				return p, err
			}
			p.Chunks = len(splits)
		}
	}
	for _, s := range o.flow.Sinks {
		routed, err := s.Route.Table(t)
		if err != nil {
			return p, err
		}
		if routed == nil {
			p.Targets = append(p.Targets, watch.PlanTarget{Sink: s.Name, Columns: []string{}, Reason: "left out by rules"})
			continue
		}
		planner, ok := s.Sink.(connector.Planner)
		if !ok {
			continue
		}
		target, err := planner.Plan(ctx, routed)
		if err != nil {
			return p, err
		}
		p.Targets = append(p.Targets, watch.PlanTarget{Sink: s.Name, Target: target.Name, Columns: target.Columns, Rules: s.Route.Told(t),
			Guarantee: target.Guarantee.Level, Reason: target.Guarantee.Reason})
	}
	return p, nil
}

// cascades tells what foreign keys change along with a table, and what changes it along
// without being chosen.
func (o *opened) cascades(t *row.Table) string {
	var notes []string
	if len(t.Cascades) > 0 {
		notes = append(notes, fmt.Sprintf("foreign keys change %s along with it, which the log does not carry", names(t.Cascades)))
	}
	var outside []row.Name
	for _, p := range t.Parents {
		if !o.spec.Tables.Match(p.Name) {
			outside = append(outside, p.Name)
		}
	}
	if len(outside) > 0 {
		notes = append(notes, fmt.Sprintf("foreign keys change it along with %s, not among the tables, which the log does not carry", names(outside)))
	}
	return strings.Join(notes, "; ")
}

func names(ns []row.Name) string {
	var out []string
	for _, n := range ns {
		out = append(out, n.String())
	}
	return strings.Join(out, ", ")
}

// Status tells how jobs stand, from the state folder alone.
func (e Engine) Status(ctx context.Context, s *job.Spec, o engine.Options) (watch.StatusReport, error) {
	name := ""
	if s != nil {
		name = s.Name
	}
	return local.Statuses(ctx, o.State, name)
}

// Positions tells what the sinks have committed; it fences nobody.
func (e Engine) Positions(ctx context.Context, s *job.Spec, o engine.Options) (r watch.PositionReport, err error) {
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	states, err := opened.flow.Find(ctx)
	if err != nil {
		return r, err
	}
	for _, st := range states {
		rows, err := opened.flow.Shards(ctx, st)
		if err != nil {
			return r, err
		}
		for _, sh := range rows {
			r.Positions = append(r.Positions, watch.SinkPosition{Sink: st.Sink.Name, Task: sh.Task, Claim: sh.Claim.String(),
				At: opened.describe(sh.At), Note: sh.Note})
		}
	}
	return r, nil
}

// ResetPositions begins a new generation in every sink; the next run reads it.
func (e Engine) ResetPositions(ctx context.Context, s *job.Spec, o engine.Options) (err error) {
	state, err := local.OpenState(o.State, s.Name, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	states, err := opened.flow.Find(ctx)
	if err != nil {
		return err
	}
	run, err := nextRun(ctx, state, states)
	if err != nil {
		return err
	}
	if err := state.StartRun(ctx, run); err != nil {
		return err
	}
	keep := context.WithoutCancel(ctx) // how it ended is noted also when it was broken off
	err = opened.flow.Again(ctx, states, connector.Claim{Run: run})
	exit, outcome := local.End(false, err)
	if err == nil { // else what was moved so far is as it was, and edits of it are refused still
		outcome, err = "positions were reset", state.KeepSpec(keep, s)
	}
	return errors.Join(err, state.EndRun(keep, run, exit, outcome))
}
