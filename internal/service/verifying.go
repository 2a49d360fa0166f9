package service

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/service/verification"
	"godwit/internal/watch"
)

// Bounds of verifications.
const (
	verifiesAtOnce  = 2                // of the process; others wait for their turn
	mostDifferences = 200              // that are kept of one
	mostReasons     = 20               // why objects were not compared
	roundsWithin    = 10 * time.Minute // a job whose next run is so near goes in rounds
	roundPatience   = 15 * time.Minute // for the beginning of a round
)

// verifying is a verification that goes on.
type verifying struct {
	j      *living
	spec   *job.Spec
	ctx    context.Context
	cancel context.CancelCauseFunc
	record *watch.Files
	hide   func(string) string
	over   chan struct{} // closed when what follows from its end is done

	began  int  // lives of the job that had begun when it started
	rounds bool // the job goes in rounds

	mu      sync.Mutex
	v       api.Verification
	reasons map[string]int64
	told    watch.Verified // to followers
}

func newVerifying(j *living, spec *job.Spec, v api.Verification) *verifying {
	x := &verifying{
		j: j, spec: spec, record: watch.NewFiles(watch.Options{Job: j.name, Now: j.s.o.Now}), hide: option.Masker(spec.Values()),
		over: make(chan struct{}), v: v, reasons: map[string]int64{},
	}
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	return x
}

// run carries the verification through, and sees to what follows.
func (x *verifying) run() {
	defer close(x.over)
	defer x.cancel(nil)
	r, err := x.carry()
	x.end(r, err)
}

// carry compares. A panic in it is a failure of this verification alone.
func (x *verifying) carry() (r watch.VerifyReport, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.j.s.o.Log.Error("panic", "job", x.j.name, "value", x.hide(fmt.Sprint(p)), "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "panic: %v", p)
		}
	}()
	verifier, ok := x.j.s.o.Engine.(engine.Verifier)
	if !ok {
		return r, fault.New(fault.Internal, "this server has no engine that verifies")
	}
	objects := x.spec.Kind == job.KindFiles // rows are compared beside a run
	if objects {
		if err := x.rests(x.ctx); err != nil {
			return r, err
		}
	}
	x.waits("its turn: no more than " + fmt.Sprint(verifiesAtOnce) + " jobs are verified at once")
	select {
	case x.j.s.verifies <- struct{}{}:
		defer func() { <-x.j.s.verifies }()
	case <-x.ctx.Done():
		return r, context.Cause(x.ctx)
	}
	x.began, x.rounds = x.j.begun(), x.j.goesInRounds()
	x.change(func(v *api.Verification) {
		v.State, v.Started, v.WaitsFor = api.VerificationStateRunning, x.j.s.o.Now().UTC(), ""
	})
	if err := x.keep(); err != nil {
		return r, err
	}
	x.j.s.reckonShare()
	o := x.j.s.options(x.spec)
	o.Files = x.record
	if objects {
		o.Moving = &engine.Moving{Now: x.moving, Over: x.arrived}
	}
	return verifier.Verify(x.ctx, x.spec, o, x.found)
}

// keep keeps that it compares.
func (x *verifying) keep() error {
	f := x.j.s.folder
	return f.change(f.soft, func(tx *sql.Tx) error { return verification.Put(tx, x.now()) })
}

// change changes what is shown of it, and says so.
func (x *verifying) change(edit func(*api.Verification)) {
	x.mu.Lock()
	edit(&x.v)
	x.mu.Unlock()
	x.j.learn(x.now())
	x.tell()
}

// waits says what it waits for; empty: for nothing.
func (x *verifying) waits(what string) {
	x.change(func(v *api.Verification) { v.WaitsFor = what })
}

// now is how it is, without its differences.
func (x *verifying) now() api.Verification {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.v
	v.Differences = nil
	if v.State == api.VerificationStateRunning {
		p := x.record.Verified()
		v.Compared = &api.ObjectsAndBytes{Objects: p.Compared.Objects, Bytes: p.Compared.Bytes}
		v.Differing, v.Again = p.Differing, p.Again
	}
	return v
}

// tell tells followers.
func (x *verifying) tell() {
	x.mu.Lock()
	x.told = x.record.Verified()
	x.mu.Unlock()
	x.j.s.parts.hub.Tell("verification", x.j.name, asJSON(x.now()))
}

// second tells followers how far it is, if it went on.
func (x *verifying) second() {
	x.mu.Lock()
	moved := x.record.Verified() != x.told
	x.mu.Unlock()
	if moved {
		x.tell()
	}
}

// found takes a difference.
func (x *verifying) found(d watch.Difference) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if d.Kind == watch.NotComparable {
		reason := x.hide(d.Reason)
		if d.Code != "" { // its text names the object
			reason = d.Code + ": " + fault.Code(d.Code).Info().Short
		}
		if _, known := x.reasons[reason]; !known && len(x.reasons) >= mostReasons-1 {
			reason = "other reasons"
		}
		x.reasons[cut(reason)]++
	}
	if len(x.v.Differences) < mostDifferences {
		d.Key, d.Target, d.Reason = cut(d.Key), cut(d.Target), cut(x.hide(d.Reason))
		x.v.Differences = append(x.v.Differences, d)
	}
	return nil
}

// end keeps how it ended, raises and resolves what follows from that, and says so.
func (x *verifying) end(r watch.VerifyReport, err error) {
	j := x.j
	e := api.Entry{By: byServer, Job: j.name, Outcome: api.EntryOutcomeDone}
	v := x.closed(r, err, &e)
	if v.State == "" { // the job is deleted: nothing of it is kept
		return
	}
	kept := j.s.folder.promise(func(tx *sql.Tx) error { return errors.Join(verification.Put(tx, v), j.s.putEntry(tx, &e)) })
	if kept != nil { // it will be broken off at the next start, so it is no verdict now
		j.s.o.Log.Error("the end of a verification cannot be kept", "job", j.name, "error", kept)
		v.State, v.Verdict, v.Error = api.VerificationStateFailed, "", faultOf(job.FailureOf(kept))
	} else {
		j.s.tellEntry(e)
	}
	if !j.s.closing() {
		j.judged(v) // before anybody sees that it has ended
	}
	x.mu.Lock()
	x.v = v
	x.mu.Unlock()
	j.mu.Lock()
	j.proof.current = nil
	j.mu.Unlock()
	j.learn(v)
	x.tell()
	j.tell()
}

// closed is what is kept of it; no state: nothing is.
func (x *verifying) closed(r watch.VerifyReport, err error, e *api.Entry) (v api.Verification) {
	x.mu.Lock()
	v = x.v
	x.mu.Unlock()
	v.Ended, v.WaitsFor, v.Compared = x.j.s.o.Now().UTC(), "", nil
	why := context.Cause(x.ctx)
	switch {
	case errors.Is(why, errLeaving):
		v.State = ""
	case errors.Is(why, errCancelled):
		v.State, e.What = api.VerificationStateCancelled, "verification cancelled"
	case why != nil:
		v.State, e.What = api.VerificationStateBrokenOff, "verification broken off"
	case err != nil:
		f := job.FailureOf(hidden(err, x.hide))
		v.State, v.Error = api.VerificationStateFailed, faultOf(f)
		e.What, e.Outcome, e.Code, e.Reason = "verification failed", api.EntryOutcomeFailed, string(f.Code), f.What
	default:
		v.State = api.VerificationStateFinished
		x.finish(&v, r)
		e.What, e.To = "verified", "equal"
		if v.Verdict == api.VerdictDifferent {
			e.To, e.Outcome, e.Code, e.Reason = "different", api.EntryOutcomeFailed, string(fault.DifferencesFound), differencesText(v)
		}
	}
	if v.State != api.VerificationStateFinished {
		v.Differences = nil // of a part of the objects
	}
	return v
}

// finish fills in what was found.
func (x *verifying) finish(v *api.Verification, r watch.VerifyReport) {
	v.Verdict = api.VerdictEqual
	if r.Differences() > 0 {
		v.Verdict = api.VerdictDifferent
	}
	v.Way, v.Strength, v.BytesRead, v.NotLookedFor = r.Description, r.Strength, r.Read, r.ExtraUnknown
	v.Equal = &api.ObjectsAndBytes{Objects: r.Equal.Objects, Bytes: r.Equal.Bytes}
	for _, by := range r.By {
		v.EqualBy = append(v.EqualBy, api.Proof{By: by.By, Objects: by.Objects})
	}
	v.Missing, v.Extra, v.Different, v.Doubled, v.NotComparable, v.Tables = r.Missing, r.Extra, r.Different, r.Doubled, r.NotComparable, r.Tables
	for reason, n := range x.reasons {
		v.NotCompared = append(v.NotCompared, api.NotCompared{Reason: reason, Objects: n})
	}
	slices.SortFunc(v.NotCompared, func(a, b api.NotCompared) int {
		return cmp.Or(cmp.Compare(b.Objects, a.Objects), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortStableFunc(v.Differences, func(a, b watch.Difference) int { return cmp.Compare(a.Key, b.Key) })
	v.Source = &api.Seen{From: v.Started, To: v.Ended}
	v.Target = &api.Seen{From: v.Started, To: v.Ended}
}

// begun is how many lives of the job have begun here.
func (j *living) begun() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lives
}

// moves reports whether a life of the job moves something, or is about to.
func (j *living) moves() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life == nil {
		return false
	}
	switch j.state.Status {
	case job.Paused, job.Failed, job.Stopped, job.Finished:
		return false
	}
	return true
}

// goesInRounds reports whether the next run of the job begins soon and by itself.
func (j *living) goesInRounds() bool {
	r, now := j.show(), j.s.o.Now()
	if r.wish.Desired != api.DesiredRunning || r.trouble != nil || r.leaving {
		return false
	}
	next := nextStarts(r, now)
	return len(next) > 0 && next[0].Sub(now) <= roundsWithin
}

// moving reports whether what differs now may still be on its way: a run moves objects
// or did since the comparison began, or the next one is near, which copies what came
// to the source meanwhile.
func (x *verifying) moving() bool {
	return x.rounds || x.j.begun() != x.began || x.j.moves()
}

// arrived waits until what was on its way has arrived: of a job that goes in rounds,
// until one that begins from now on has ended.
func (x *verifying) arrived(ctx context.Context) error {
	defer x.waits("")
	if x.rounds {
		x.waits("the next round: what differed is judged again after it")
		n, patience := x.j.begun(), x.j.s.o.Now().Add(roundPatience)
		err := x.until(ctx, func() bool {
			return x.j.begun() != n || !x.j.goesInRounds() || x.j.s.o.Now().After(patience)
		})
		if err != nil {
			return err
		}
	}
	return x.rests(ctx)
}

// rests waits until no run of the job moves objects.
func (x *verifying) rests(ctx context.Context) error {
	if !x.j.moves() {
		return nil
	}
	x.waits("the end of the run that moves objects")
	return x.until(ctx, func() bool { return !x.j.moves() })
}

// until waits until something is so. It looks once a second, as schedules do.
func (x *verifying) until(ctx context.Context, so func() bool) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
