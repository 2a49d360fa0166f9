package service

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// Delete stops a job, waits for its end and forgets it. When ctx ends before that, it
// goes on without being waited for.
func (s *Service) Delete(ctx context.Context, who Who, name, reason string) error {
	e := api.Entry{Job: name, What: "delete", Reason: reason}
	gone, err := s.delete(who, e)
	if err != nil {
		s.note(who, e, err)
		return err
	}
	select {
	case err := <-gone:
		return err
	case <-ctx.Done():
		return fault.New(fault.NotNow, "%s still finishes a commit; it will be deleted then", name).By(context.Cause(ctx)).Try("godwit job list")
	}
}

// delete promises that a job will be gone, and begins with it.
func (s *Service) delete(who Who, e api.Entry) (gone <-chan error, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	j, err := s.job(e.Job)
	if err != nil {
		return nil, err
	}
	j.turn.Lock()
	defer j.turn.Unlock()
	if j.show().leaving {
		return nil, fault.New(fault.NotNow, "%s is being deleted already", j.name).Try("godwit job list")
	}
	e.By, e.Request, e.Outcome = who.Name, who.Request, api.EntryOutcomeDone
	now := s.o.Now().UTC()
	leaving := func(r *card) {
		r.leaving, r.wish = true, api.Wish{Desired: api.DesiredStopped, By: who.Name, Reason: e.Reason, Since: now}
	}
	if err := j.change(leaving, func(tx *sql.Tx) error { return s.putEntry(tx, &e) }); err != nil {
		return nil, err
	}
	s.tellEntry(e)
	j.drain()
	j.tell()
	done := make(chan error, 1)
	s.running.Go(func() { done <- j.leave() })
	return done, nil
}

// leave waits for the end of a job's life and forgets everything of the job.
func (j *living) leave() error {
	j.breakOff(errLeaving)
	if l := j.lifeNow(); l != nil {
		<-l.over
	}
	if x := j.verifyingNow(); x != nil {
		<-x.over
	}
	s := j.s
	if err := os.RemoveAll(filepath.Join(s.o.Dir, j.name)); err != nil {
		s.o.Log.Error("the folder of a deleted job cannot be removed", "job", j.name, "error", err)
		return fault.New(fault.StateBroken, "the folder of job %s cannot be removed", j.name).At("%s", filepath.Join(s.o.Dir, j.name)).By(err).
			Try("remove it; the job is forgotten at the next start of the server")
	}
	if err := s.folder.forget(j.name); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.jobs, j.name)
	s.mu.Unlock()
	s.parts.board.Forget(j.name)
	s.parts.keeper.Forget(j.name)
	s.parts.hub.Tell("gone", j.name, map[string]string{"name": j.name})
	return nil
}

// spec reads the job file that lives.
func (j *living) spec() (*job.Spec, error) {
	v, err := j.s.folder.version(j.name, j.show().version)
	if err != nil {
		return nil, err
	}
	return j.s.parse(v.File)
}

// Positions reads what the sinks have committed.
func (s *Service) Positions(ctx context.Context, name string) (watch.PositionReport, error) {
	j, err := s.job(name)
	if err != nil {
		return watch.PositionReport{}, err
	}
	spec, err := j.spec()
	if err != nil {
		return watch.PositionReport{}, err
	}
	if err := hasPositions(spec); err != nil {
		return watch.PositionReport{}, err
	}
	report, err := s.o.Engine.Positions(ctx, spec, s.options(spec))
	return report, hidden(err, wording(spec))
}

// DeadLetters reads rows from the sinks that they have put aside.
func (s *Service) DeadLetters(ctx context.Context, name string, q api.ListDeadLettersParams) (watch.LetterReport, error) {
	j, err := s.job(name)
	if err != nil {
		return watch.LetterReport{}, err
	}
	spec, err := j.spec()
	if err != nil {
		return watch.LetterReport{}, err
	}
	reader, ok := s.o.Engine.(engine.LetterReader)
	if !ok || spec.Kind == job.KindFiles {
		return watch.LetterReport{}, fault.New(fault.BadRequest, "%s is a file job: only table jobs put rows aside", spec.Name).At("%s", spec.Name)
	}
	hide := wording(spec)
	report, err := reader.Letters(ctx, spec, s.options(spec), engine.LetterQuery{Sink: q.Sink, Table: q.Table, After: q.After, Limit: limited(q.Limit), Count: q.Count})
	for i := range report.Letters {
		report.Letters[i].What = hide(report.Letters[i].What)
	}
	return report, hidden(err, hide)
}

// hasPositions refuses file jobs.
func hasPositions(spec *job.Spec) error {
	if spec.Kind != job.KindFiles {
		return nil
	}
	return fault.New(fault.BadRequest, "%s is a file job: it has no positions, and each run compares anew", spec.Name).Try("godwit job start %s", spec.Name)
}

// ResetPositions makes the next start read everything again. confirm is the job's name.
func (s *Service) ResetPositions(ctx context.Context, who Who, name, confirm, reason string) error {
	j, err := s.job(name)
	if err == nil {
		err = j.reset(ctx, confirm)
	}
	s.note(who, api.Entry{Job: name, What: "reset positions", Reason: reason}, err)
	return err
}

func (j *living) reset(ctx context.Context, confirm string) error {
	if confirm != j.name {
		return fault.New(fault.ConfirmNeeded, "the positions of %s were to be reset, and %q was confirmed", j.name, confirm).Try("confirm=%s", j.name)
	}
	j.turn.Lock() // nobody may start it meanwhile
	defer j.turn.Unlock()
	r := j.show()
	if j.lifeNow() != nil || r.leaving || r.wish.Desired != api.DesiredStopped && !j.stateNow().Ended {
		return fault.New(fault.NotNow, "%s is not stopped", j.name).At("%s", j.name).Try("godwit job stop %s", j.name)
	}
	spec, err := j.spec()
	if err != nil {
		return err
	}
	if err := hasPositions(spec); err != nil {
		return err
	}
	return hidden(j.s.o.Engine.ResetPositions(ctx, spec, j.s.options(spec)), wording(spec))
}
