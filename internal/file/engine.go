package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/transfer"
	"godwit/internal/transfer/carrier"
	"godwit/internal/watch"
)

// Engine acts on file jobs on this machine (engine.Engine, engine.Files).
type Engine struct{ Stores store.Registry }

var (
	_ engine.Engine = Engine{}
	_ engine.Files  = Engine{}
)

// memoryLeast is the ceiling below which a run does not go; bodies take a share of
// it: the rest is for pages, listings, the runtime and what the collector has not
// freed yet.
const (
	memoryLeast  = 64 << 20
	budgetShare  = 3
	runtimeShare = 24 << 20
)

// Folders of a job's state.
const (
	pagesDir   = "pages"   // the round's work list
	uploadsDir = "uploads" // large objects on their way
)

// round is what the state keeps of the round that is going on, or was the last.
type round struct {
	Number  int       `json:"round"`
	Began   time.Time `json:"began"` // ages count back from here
	Ended   time.Time `json:"ended,omitzero"`
	Objects watch.Objects
}

// Keys of what the state keeps of a file job alone.
const (
	keptRound = "round"
	keptWay   = "way" // source → target in words, for reports
)

// Run runs a job to its end, or in rounds until it is stopped.
func (e Engine) Run(ctx context.Context, s *job.Spec, o engine.Options) (watch.Outcome, error) {
	return e.act(ctx, s, o, (*run).rounds)
}

// Retry runs only what failed in the last round.
func (e Engine) Retry(ctx context.Context, s *job.Spec, o engine.Options) (watch.Outcome, error) {
	return e.act(ctx, s, o, (*run).retry)
}

// run is one run of a job.
type run struct {
	*opened
	state   *local.State
	number  uint64
	again   bool // begin a new round whatever the state says
	live    *live
	carrier *carrier.Carrier
}

// act opens what a run needs, and keeps the state of the run around what it does.
func (e Engine) act(ctx context.Context, s *job.Spec, o engine.Options, do func(*run, context.Context) error) (out watch.Outcome, err error) {
	state, err := local.OpenState(o.State, s.Name, true)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if o.OpenLog != nil {
		if err := o.OpenLog(state.Dir); err != nil {
			return out, err
		}
	}
	edits, err := state.Accept(ctx, s, o.Again)
	if err != nil {
		return out, err
	}
	// The ceiling is the process's: the collector works harder near it.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(o.Memory, memoryLeast) - runtimeShare))
	opened, err := e.open(ctx, s, o)
	if err != nil {
		return out, stoppedOr(ctx, err)
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	if err := opened.probe(ctx); err != nil {
		return out, stoppedOr(ctx, err)
	}
	r := &run{opened: opened, state: state, again: o.Again, live: newLive(s)}
	last, err := state.LastRun(ctx)
	if err != nil {
		return out, err
	}
	r.number, out.Run = last+1, last+1
	keep := context.WithoutCancel(ctx) // how a run ended is noted also when it was stopped
	if err := errors.Join(state.StartRun(keep, r.number), state.KeepSpec(keep, s), state.Keep(keep, keptWay, r.way()), r.edited(keep, edits)); err != nil {
		return out, err
	}
	err = r.carried(ctx, do)
	out = r.outcome(ctx, out)
	if err == nil {
		r.record.Phase(watch.Done)
	} else {
		out.Next = "" // the error says what to do
	}
	exit, outcome := local.End(ctx, err)
	if err == nil && out.Failed > 0 && !out.Stopped {
		exit, outcome = fault.ExitNotWhole, fmt.Sprintf("%s: %d objects failed", fault.ObjectsFailed, out.Failed)
	}
	return out, errors.Join(err, state.EndRun(keep, r.number, exit, outcome))
}

// carried runs do with a carrier and with progress that is kept, and follows edits
// of the job file meanwhile. That somebody stopped it is no error.
func (r *run) carried(ctx context.Context, do func(*run, context.Context) error) error {
	keep := context.WithoutCancel(ctx)
	f := r.spec.Files
	r.carrier = carrier.New(carrier.Config{
		Source: r.source, Target: r.target, Dir: filepath.Join(r.state.Dir, uploadsDir),
		Budget: limit.NewBudget(max(r.options.Memory, memoryLeast) / budgetShare), Limits: r.limits,
		Lanes: r.options.Parallel, PartSize: f.PartSize, Class: f.Class, Owner: f.Owner, Verify: verify(f), Erase: f.Erase,
		Record: r.record, Log: r.log,
	})
	r.slow.set(r.carrier.Slow)
	defer r.slow.set(nil)
	r.record.Began(r.number, "")
	stopKeeping := r.state.KeepProgress(keep, r.record.Snapshot)
	stopFollowing := r.follow(ctx)
	err := do(r, ctx)
	stopFollowing()
	if err == nil && ctx.Err() == nil {
		r.sweep(ctx)
	}
	err = errors.Join(err, r.carrier.Close())
	stopKeeping()
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	return err
}

// grace is how long what dead writers left is let alone: locks tell the living from
// the dead, except between machines.
const grace = time.Minute

// sweep drops what earlier runs left behind in the target. What it cannot drop costs
// space and nothing else.
func (r *run) sweep(ctx context.Context) {
	if r.record.Snapshot().Files.Failed.Objects == 0 { // else a retry goes on with uploads
		if err := r.carrier.Sweep(ctx); err != nil {
			r.log.Warn("unfinished uploads cannot be dropped", "error", err)
		}
	}
	if s, ok := r.target.(store.Sweeper); ok {
		if _, err := s.Sweep(ctx, grace); err != nil {
			r.log.Warn("what earlier runs left in the target cannot be dropped", "error", err)
		}
	}
}

func verify(f *job.Files) carrier.Verify {
	if f.ReadBack {
		return carrier.ReadBack
	}
	return carrier.Strongest
}

// edited notes edits, and begins a new round where they ask for another comparison.
func (r *run) edited(ctx context.Context, edits []job.Edit) error {
	var errs []error
	for _, e := range edits {
		r.again = r.again || e.Effect == job.Lists
		errs = append(errs, r.state.Note(ctx, r.number, fmt.Sprintf("%s changed from %q to %q", e.Field, e.From, e.To)))
	}
	return errors.Join(errs...)
}

// rounds runs one round, or one after another where the job says every.
func (r *run) rounds(ctx context.Context) error {
	for {
		now, err := r.begin(ctx)
		if err != nil {
			return err
		}
		if err := r.round(ctx, now, transfer.All); err != nil {
			return err
		}
		if r.live.interval() == 0 {
			return nil
		}
		if err := r.rest(ctx, now.Began); err != nil {
			return err
		}
	}
}

// begin goes on with a round that was not finished, or begins a new one: its pages
// are made anew.
func (r *run) begin(ctx context.Context) (round, error) {
	var now round
	had, err := r.state.Kept(ctx, keptRound, &now)
	if err != nil {
		return now, err
	}
	pages := filepath.Join(r.state.Dir, pagesDir)
	if had && now.Ended.IsZero() && !r.again {
		r.record.Began(r.number, "goes on with the round begun at "+now.Began.UTC().Format(time.RFC3339))
		return now, nil
	}
	r.again = false
	if err := os.RemoveAll(pages); err != nil {
		return now, fault.New(fault.StateBroken, "the pages of the last round cannot be removed").At("%s", pages).By(err)
	}
	now = round{Number: now.Number + 1, Began: time.Now().UTC()}
	return now, errors.Join(r.state.Keep(ctx, keptRound, now), r.state.Note(ctx, r.number, fmt.Sprintf("round %d begins: %s", now.Number, r.way())))
}

// retry takes up what failed in the last round.
func (r *run) retry(ctx context.Context) error {
	var now round
	had, err := r.state.Kept(ctx, keptRound, &now)
	if err != nil {
		return err
	}
	if !had {
		return fault.New(fault.Usage, "%s has not run yet: nothing failed", r.spec.Name).Try("godwit run %s", r.spec.File)
	}
	return r.round(ctx, now, transfer.Failed)
}

// round moves what is to be moved, and keeps how it ended.
func (r *run) round(ctx context.Context, now round, only transfer.Only) (err error) {
	c := r.config(now.Began, filepath.Join(r.state.Dir, pagesDir), only)
	c.Carry, c.InFlight = r.carrier.Carry, r.carrier.InFlight()
	t, err := transfer.Open(c)
	if err != nil {
		return err
	}
	r.record.Round(now.Number)
	w := &work{transfer: t, record: r.record}
	err = local.Run(ctx, w, rangesAtOnce, r.log)
	r.record.Phase(watch.Finishing)
	err = errors.Join(err, t.Close())
	keep := context.WithoutCancel(ctx)
	now.Objects = *r.record.Snapshot().Files
	what := fmt.Sprintf("round %d ends: %s", now.Number, counts(now.Objects))
	switch {
	case err == nil || fault.Has(err, fault.TooManyDeletes):
		if only == transfer.All || !now.Ended.IsZero() {
			now.Ended = time.Now().UTC()
		}
	case ctx.Err() != nil:
		what = fmt.Sprintf("round %d stopped: %s", now.Number, counts(now.Objects))
	default:
		what = fmt.Sprintf("round %d failed: %s", now.Number, fault.Of(err).Error())
	}
	return errors.Join(err, r.state.Keep(keep, keptRound, now), r.state.Note(keep, r.number, what))
}

// config is how objects are found and decided upon in a round that began at a time.
func (j *opened) config(began time.Time, pages string, only transfer.Only) transfer.Config {
	f := j.spec.Files
	c := transfer.Config{
		Source: j.source, Target: j.target, Dir: pages, Selection: f.At(began), Overwrite: transfer.Overwrite(f.Overwrite),
		Extraneous: transfer.Extraneous(f.Extraneous), Erase: f.Erase, Only: only,
		Parallel: rangesAtOnce, Record: j.record, Log: j.log,
	}
	if f.List != nil {
		c.List = j.named(f.List)
	}
	return c
}

// counts says in words how objects ended.
func counts(o watch.Objects) string {
	return fmt.Sprintf("%d copied, %d same, %d skipped, %d deleted, %d gone, %d failed", o.Copied.Objects, o.Same.Objects, o.Skipped.Objects, o.Deleted.Objects, o.Gone.Objects, o.Failed.Objects)
}

// outcome tells how the run ended.
func (r *run) outcome(ctx context.Context, out watch.Outcome) watch.Outcome {
	o := r.record.Snapshot().Files
	out.Stopped = ctx.Err() != nil
	out.Failed = o.Failed.Objects
	out.Nothing = !out.Stopped && o.Round > 0 && o.Copied.Objects+o.Deleted.Objects+o.Gone.Objects+o.Failed.Objects == 0
	out.Where = []string{where(r.target)}
	switch {
	case out.Failed > 0:
		out.Next = "godwit report " + r.spec.File + " --failed"
	case !out.Stopped:
		out.Next = "godwit verify " + r.spec.File
	}
	return out
}

// stoppedOr prefers that somebody stopped the run over the error it led to.
func stoppedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
