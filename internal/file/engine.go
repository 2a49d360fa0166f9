package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	memoryLeast = 64 << 20
	budgetShare = 3
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

// Run runs a job to its end, or in rounds until it is stopped; where somebody drives
// it, one round.
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
	engine Engine
	state  *local.State
	number uint64
	edits  []job.Edit // since the last run
	again  bool       // begin a new round whatever the state says
	live   *live
	called time.Time  // when this run was
	began  *time.Time // when the last round did; nil: none has
	before bool       // an earlier round of this run moved something

	// begun says that both stores have answered; then there are these.
	begun       bool
	carrier     *carrier.Carrier
	stopKeeping func()
}

// act opens the state of a job, and keeps how what it does there ended.
func (e Engine) act(ctx context.Context, s *job.Spec, o engine.Options, do func(*run, context.Context) (stopped bool, err error)) (out watch.Outcome, err error) {
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
	r := &run{opened: newOpened(s, o), engine: e, state: state, again: o.Again, live: newLive(s), called: time.Now()}
	if r.edits, err = state.Accept(ctx, s, o.Again); err != nil {
		return out, err
	}
	last, err := state.LastRun(ctx)
	if err != nil {
		return out, err
	}
	r.number = last + 1
	if o.Driving == nil {
		defer limit.Memory(max(o.Memory, memoryLeast))()
	}
	defer func() { err = errors.Join(err, r.close()) }()
	out.Stopped, err = r.carried(ctx, do)
	if !r.begun {
		return out, err
	}
	out = r.outcome(out)
	if err == nil {
		r.record.Phase(watch.Done)
	} else {
		out.Next, out.Nothing = "", false // the error says what to do
	}
	exit, outcome := local.End(out.Stopped, err)
	if err == nil && out.Failed > 0 && !out.Stopped {
		exit, outcome = fault.ExitNotWhole, fmt.Sprintf("%s: %d objects failed", fault.ObjectsFailed, out.Failed)
	}
	return out, errors.Join(err, state.EndRun(context.WithoutCancel(ctx), r.number, exit, outcome))
}

// carried does it, follows edits of the job file meanwhile, and clears up.
func (r *run) carried(ctx context.Context, do func(*run, context.Context) (bool, error)) (stopped bool, err error) {
	stopFollowing := r.follow(ctx)
	stopped, err = do(r, ctx)
	stopFollowing()
	if !r.begun {
		return stopped, err
	}
	if err == nil && !stopped {
		r.sweep(ctx)
	}
	r.slow.set(nil)
	err = errors.Join(err, r.carrier.Close())
	r.stopKeeping()
	return stopped, err
}

// begin makes sure that both stores answer and notes that the run begins. It may be
// called again until it succeeds; after that, before further rounds, it only makes sure
// that the source is still there.
func (r *run) begin(ctx context.Context) error {
	if r.begun {
		return there(ctx, r.source)
	}
	if r.source == nil {
		if err := r.engine.connect(ctx, r.opened); err != nil {
			return err
		}
	}
	if err := r.overlap(); err != nil {
		return err
	}
	if err := r.probe(ctx); err != nil {
		return err
	}
	keep := context.WithoutCancel(ctx) // it began, also when it is stopped now
	err := errors.Join(r.state.StartRun(keep, r.number), r.state.KeepSpec(keep, r.spec), r.state.Keep(keep, keptWay, r.way()), r.edited(keep, r.edits))
	if err != nil {
		return err
	}
	f := r.spec.Files
	r.carrier = carrier.New(carrier.Config{
		Source: r.source, Target: r.target, Dir: filepath.Join(r.state.Dir, uploadsDir),
		Budget: limit.NewBudget(max(r.options.Memory, memoryLeast) / budgetShare), Limits: r.limits,
		Lanes: r.options.Parallel, PartSize: f.PartSize, Class: f.Class, Owner: f.Owner, Verify: verify(f), Erase: f.Erase,
		Record: r.record, Log: r.log,
	})
	r.slow.set(r.carrier.Slow)
	r.record.Began(r.number, "")
	r.stopKeeping = r.state.KeepProgress(keep, r.options.Driving != nil, r.record.Snapshot)
	r.begun = true
	return nil
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

// rounds runs one round, or one after another where the job says every and nobody
// else decides when the next one begins. A round that an earlier run began knows
// nothing of what came since, so another one follows it: a run that has ended well has
// looked at all that was in the source when it was called.
func (r *run) rounds(ctx context.Context) (stopped bool, err error) {
	for {
		now, stopped, err := r.round(ctx, r.next, transfer.All)
		if now.Number > 0 {
			r.began = &now.Began
		}
		switch {
		case stopped || err != nil || r.options.Driving != nil:
			return stopped, err
		case now.Began.Before(r.called):
			r.before = r.before || !nothing(r.record.Snapshot().Files)
			r.log.Info("looking for what came since that round began", "round", now.Number, "began", now.Began.Format(time.RFC3339), "ended", counts(*r.record.Snapshot().Files))
		case r.live.interval() == 0:
			return stopped, err
		case !r.rest(ctx, now.Began):
			return true, nil
		}
	}
}

// next goes on with a round that was not finished, or begins a new one: its pages
// are made anew.
func (r *run) next(ctx context.Context) (round, error) {
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
func (r *run) retry(ctx context.Context) (stopped bool, err error) {
	_, stopped, err = r.round(ctx, r.last, transfer.Failed)
	return stopped, err
}

// last is the round that is kept.
func (r *run) last(ctx context.Context) (now round, err error) {
	had, err := r.state.Kept(ctx, keptRound, &now)
	if err == nil && !had {
		err = fault.New(fault.Usage, "%s has not run yet: nothing failed", r.spec.Name).Try("godwit run %s", r.spec.File)
	}
	return now, err
}

// round moves what is to be moved in the round that which returns, and keeps how it
// ended.
func (r *run) round(ctx context.Context, which func(context.Context) (round, error), only transfer.Only) (now round, stopped bool, err error) {
	w := &work{record: r.record, revision: fmt.Sprint("run ", r.number)}
	w.open = func(ctx context.Context) (*transfer.Transfer, error) {
		if err := r.begin(ctx); err != nil {
			return nil, err
		}
		if now.Number == 0 {
			begun, err := which(ctx)
			if err != nil {
				return nil, err
			}
			now = begun
		}
		c := r.config(now.Began, filepath.Join(r.state.Dir, pagesDir), only)
		c.Carry, c.InFlight = r.carrier.Carry, r.carrier.InFlight()
		t, err := transfer.Open(c)
		if err == nil {
			r.record.Round(now.Number)
		}
		return t, err
	}
	stopped, err = local.Run(ctx, w, r.options.Driving, rangesAtOnce, r.log)
	if w.transfer == nil {
		return now, stopped, err
	}
	r.record.Phase(watch.Finishing)
	err = errors.Join(err, w.transfer.Close())
	return now, stopped, errors.Join(err, r.keepRound(context.WithoutCancel(ctx), now, only, stopped, err))
}

// keepRound keeps how a round ended.
func (r *run) keepRound(ctx context.Context, now round, only transfer.Only, stopped bool, err error) error {
	now.Objects = *r.record.Snapshot().Files
	what := fmt.Sprintf("round %d ends: %s", now.Number, counts(now.Objects))
	switch {
	case stopped:
		what = fmt.Sprintf("round %d stopped: %s", now.Number, counts(now.Objects))
	case err == nil || fault.Has(err, fault.TooManyDeletes):
		if only == transfer.All || !now.Ended.IsZero() {
			now.Ended = time.Now().UTC()
		}
	default:
		what = fmt.Sprintf("round %d failed: %s", now.Number, fault.Of(err).Error())
	}
	return errors.Join(r.state.Keep(ctx, keptRound, now), r.state.Note(ctx, r.number, what))
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

// nothing reports whether a round found nothing to do.
func nothing(o *watch.Objects) bool {
	return o.Copied.Objects+o.Deleted.Objects+o.Gone.Objects+o.Failed.Objects == 0
}

// outcome tells how the run ended.
func (r *run) outcome(out watch.Outcome) watch.Outcome {
	o := r.record.Snapshot().Files
	out.Run = r.number
	out.Failed, out.Began = o.Failed.Objects, r.began
	out.Nothing = !out.Stopped && !r.before && o.Round > 0 && nothing(o)
	out.Where = []string{where(r.target)}
	switch {
	case out.Failed > 0:
		out.Next = "godwit report " + r.spec.File + " --failed"
	case !out.Stopped:
		out.Next = "godwit verify " + r.spec.File
	}
	return out
}
