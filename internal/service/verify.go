package service

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/service/alarm"
	"godwit/internal/service/verification"
)

// proof is what is known of the verifications of a job; living.mu guards it.
type proof struct {
	current  *verifying       // nil: none goes on
	newest   api.Verification // without its differences; its ID is 0 before the first
	verified *api.Verified    // nil before the first
	schedule verification.Schedule
	tried    time.Time // when the schedule last asked for one, whatever became of that
	due      due
}

// Why a verification is broken off.
var (
	errCancelled = errors.New("somebody cancelled it")
	errLeaving   = errors.New("the job is deleted")
)

func (j *living) verifyingNow() *verifying {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.proof.current
}

// breakOff ends the verification that goes on, if any, without waiting for it.
func (j *living) breakOff(why error) {
	if x := j.verifyingNow(); x != nil {
		x.cancel(why)
	}
}

// StartVerification begins to compare what source and target of a job have. It goes on
// by itself.
func (s *Service) StartVerification(_ context.Context, who Who, name, reason string) (api.Verification, error) {
	leave, err := s.enter()
	if err != nil {
		return api.Verification{}, err
	}
	defer leave()
	j, err := s.job(name)
	var v api.Verification
	if err == nil {
		j.turn.Lock()
		v, err = j.verify(who, reason)
		j.turn.Unlock()
	}
	if err != nil {
		s.note(who, api.Entry{Job: name, What: "verify", Reason: reason}, err)
	}
	return v, err
}

// verify begins a verification; j.turn is held.
func (j *living) verify(who Who, reason string) (v api.Verification, err error) {
	r := j.show()
	switch {
	case r.leaving:
		return v, fault.New(fault.NotNow, "%s is being deleted", j.name).Try("godwit job list")
	case j.verifyingNow() != nil:
		return v, fault.New(fault.NotNow, "%s is being verified already", j.name).At("%s", j.name).
			Try("godwit job verify %[1]s --last --wait waits for it, godwit job verify %[1]s --cancel breaks it off", j.name)
	}
	if j.s.o.Still {
		return v, fault.New(fault.NotNow, "it goes on beside the jobs of a server, and none runs").At("%s", j.name).Try("start the server (godwit serve), or compare here: godwit verify JOBFILE")
	}
	spec, err := j.spec()
	if err != nil {
		return v, err
	}
	v = api.Verification{
		Job: j.name, State: api.VerificationStateWaiting, WaitsFor: "its turn", Asked: j.s.o.Now().UTC(), By: who.Name, Reason: reason, Version: r.version, Way: r.way,
	}
	e := api.Entry{By: who.Name, Request: who.Request, Outcome: api.EntryOutcomeDone, Job: j.name, What: "verify", Reason: reason}
	err = j.s.folder.promise(func(tx *sql.Tx) error { return errors.Join(verification.Begin(tx, &v), j.s.putEntry(tx, &e)) })
	if err != nil {
		return v, err
	}
	j.s.tellEntry(e)
	x := newVerifying(j, spec, v)
	j.mu.Lock()
	j.proof.current = x
	j.mu.Unlock()
	if j.s.closing() {
		x.cancel(errGone())
	}
	j.learn(v)
	x.tell()
	j.s.running.Go(x.run)
	return v, nil
}

// CancelVerification breaks off the verification that goes on, and waits for its end.
func (s *Service) CancelVerification(ctx context.Context, who Who, name, reason string) error {
	j, err := s.job(name)
	var x *verifying
	if err == nil {
		if x = j.verifyingNow(); x == nil {
			err = fault.New(fault.NotNow, "%s is not being verified", name).At("%s", name).Try("godwit job verify %s", name)
		}
	}
	s.note(who, api.Entry{Job: name, What: "cancel verification", Reason: reason}, err)
	if err != nil {
		return err
	}
	x.cancel(errCancelled)
	select {
	case <-x.over:
		return nil
	case <-ctx.Done():
		return fault.New(fault.NotNow, "the verification of %s still ends", name).By(context.Cause(ctx)).Try("godwit job verify %s --last", name)
	}
}

// Verifications tells of the verification that goes on, and of those that are kept.
func (s *Service) Verifications(_ context.Context, name string) (api.Verifications, error) {
	out := api.Verifications{Earlier: []api.Verification{}}
	j, err := s.job(name)
	if err != nil {
		return out, err
	}
	if x := j.verifyingNow(); x != nil {
		if now := x.now(); !verification.Ended(now.State) {
			out.Current = &now
		}
	}
	kept, err := s.parts.proofs.Of(name)
	if err != nil {
		return out, s.folder.check(err)
	}
	for i := range kept {
		v := &kept[i]
		switch {
		case out.Current != nil && v.ID == out.Current.ID, !verification.Ended(v.State):
		case out.Last == nil:
			out.Last = v
		default:
			out.Earlier = append(out.Earlier, *v)
		}
	}
	if out.Last != nil {
		out.Last.Differences, err = s.parts.proofs.Differences(out.Last.ID)
	}
	return out, s.folder.check(err)
}

// learn takes over how a verification is now, for whoever looks at the job.
func (j *living) learn(v api.Verification) {
	v.Differences = nil
	j.mu.Lock()
	defer j.mu.Unlock()
	was, since := j.proof.verified, v.Ended
	for _, t := range []time.Time{v.Started, v.Asked} {
		if since.IsZero() {
			since = t
		}
	}
	now := api.Verified{ID: v.ID, State: v.State, Since: since}
	switch {
	case v.State == api.VerificationStateFinished:
		now.Verdict, now.VerdictAt, now.Differences = v.Verdict, v.Ended, notEqual(v)
	case was != nil:
		now.Verdict, now.VerdictAt, now.Differences = was.Verdict, was.VerdictAt, was.Differences
	}
	j.proof.newest, j.proof.verified, j.news = v, &now, true
}

// notEqual is how many objects, or rows, a verification did not find equal.
func notEqual(v api.Verification) int64 {
	return v.Missing + v.Extra + v.Different + v.Doubled + v.NotComparable
}

// alarmVerify is the kind of alarm of a verification that could not be carried
// through.
const alarmVerify = "verification failed"

// judged raises and resolves what follows from the newest verification of a job. It may
// be called again, as after a crash.
func (j *living) judged(v api.Verification) {
	board := j.s.parts.board
	switch {
	case v.State == api.VerificationStateFailed && v.Error != nil:
		board.Raise(j.name, alarmVerify, "", v.Error.Code+": "+v.Error.What, fmt.Sprintf("mend it, then: godwit job verify %s", j.name))
		return
	case v.State != api.VerificationStateFinished:
		return
	case v.Verdict == api.VerdictEqual:
		board.Resolve(j.name, alarm.Differences, "")
	default:
		hint := "godwit job verify %[1]s --last lists them; godwit job start %[1]s copies what is missing or newer, then: godwit job verify %[1]s"
		if len(v.Tables) > 0 {
			hint = "godwit job verify %[1]s --last lists them; stop the job and mend them with godwit repair, or godwit job resync reads tables again; then: godwit job verify %[1]s"
		}
		board.Raise(j.name, alarm.Differences, "", differencesText(v), fmt.Sprintf(hint, j.name))
	}
	board.Resolve(j.name, alarmVerify, "")
}

// differencesText counts what a verification did not find equal.
func differencesText(v api.Verification) string {
	var parts []string
	for _, k := range []struct {
		n    int64
		word string
	}{{v.Missing, "missing"}, {v.Extra, "extra"}, {v.Different, "different"}, {v.Doubled, "doubled"}, {v.NotComparable, "not comparable"}} {
		if k.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", k.n, k.word))
		}
	}
	return "source and target are not proven equal: " + strings.Join(parts, ", ")
}

// loadProofs reads what is kept of the verifications of all jobs.
func (s *Service) loadProofs() error {
	schedules, err := s.parts.proofs.Schedules()
	if err != nil {
		return err
	}
	for _, j := range s.all() {
		kept, err := s.parts.proofs.Of(j.name)
		if err != nil {
			return err
		}
		j.proof.schedule = schedules[j.name]
		for i := range kept { // oldest first
			j.learn(kept[len(kept)-1-i])
		}
		if len(kept) > 0 && !j.show().leaving {
			j.judged(kept[0])
		}
	}
	return nil
}

// newVerifySchedule checks what somebody asks for as the schedule of verifications.
func newVerifySchedule(text string) (string, error) {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "", nil
	}
	if _, err := parseCron(text); err != nil {
		return "", fault.New(fault.BadRequest, "verify_schedule: %s", err.Error()).Try("five fields, such as CRON_TZ=Europe/Berlin 30 4 * * sun")
	}
	return text, nil
}

// setVerifySchedule takes over a schedule that is kept.
func (j *living) setVerifySchedule(s verification.Schedule) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.proof.schedule = s
}

// verifyWhenDue begins a verification that is due: starts that were missed count once,
// and those that come while one goes on do not. A job that is not to run, or has never
// begun, has nothing to prove.
func (j *living) verifyWhenDue(now time.Time) {
	j.mu.Lock()
	p, r := &j.proof, j.card
	from := p.schedule.Since
	for _, t := range []time.Time{p.newest.Asked, p.newest.Ended, p.tried} {
		if t.After(from) {
			from = t
		}
	}
	is := p.current == nil && p.schedule.Text != "" && p.due.passed(card{schedule: p.schedule.Text, began: from}, now)
	j.mu.Unlock()
	if !is || r.leaving || r.wish.Desired != api.DesiredRunning || r.began.IsZero() || j.s.closing() || !j.turn.TryLock() {
		return
	}
	defer j.turn.Unlock()
	j.mu.Lock()
	j.proof.tried = now
	j.mu.Unlock()
	who := Who{Name: bySchedule}
	if _, err := j.verify(who, ""); err != nil {
		j.s.note(who, api.Entry{Job: j.name, What: "verify"}, err)
		f := fault.Of(err)
		j.s.parts.board.Raise(j.name, alarmVerify, "", string(f.Code)+": "+f.What, f.Hint)
	}
}

// viewProof fills in what is shown of verifications; j.mu is held.
func (j *living) viewProof(out *api.Job, fresh bool) {
	if v := j.proof.verified; v != nil {
		shown := *v
		out.Verification = &shown
	}
	if text := j.proof.schedule.Text; text != "" {
		out.VerifySchedule = &api.Schedule{Text: text, Next: []time.Time{}}
		if fresh {
			out.VerifySchedule.Next = nextStarts(card{schedule: text}, j.s.o.Now())
		}
	}
}
