package service

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/service/verification"
	"godwit/internal/watch"
)

// fileName is what the file of a submitted job is called in messages.
const fileName = "job.yaml"

// answerAge is how long the answer to a submission is given again.
const answerAge = 24 * time.Hour

// fileError is what is wrong with a job file. It is a fault.Error that stands for all
// of it.
type fileError struct{ problems option.Problems }

func (e fileError) Error() string { return e.Unwrap().Error() }

func (e fileError) Unwrap() error { return e.problems.Err() }

// Problems are told one by one to who submits or edits.
func (e fileError) Problems() option.Problems { return e.problems }

// FileProblems tells one by one what an error says of a job file; nil: it is not about
// one.
func FileProblems(err error) []api.FileProblem {
	var e fileError
	if !errors.As(err, &e) {
		return nil
	}
	out := make([]api.FileProblem, len(e.problems))
	for i, p := range e.problems {
		out[i] = api.FileProblem{Code: string(p.Code), What: p.What, Line: p.Place.Line, Column: p.Place.Col, Field: p.Path, Hint: p.Advice()}
	}
	return out
}

// parse reads a job file, with what it refers to, and refuses what may not be touched
// here.
func (s *Service) parse(text string) (*job.Spec, error) {
	spec, problems := job.Parse(fileName, []byte(text), s.o.Systems, s.o.Resolver)
	if len(problems) > 0 {
		return nil, fileError{problems}
	}
	if s.o.Allow != nil {
		if err := s.o.Allow(spec); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

// way says from where to where a job goes, in words and without secrets.
func way(spec *job.Spec) string {
	if spec.Kind == job.KindFiles {
		return place("", spec.Files.Source) + " → " + place("", spec.Files.Sink)
	}
	sinks := make([]string, len(spec.Sinks))
	for i, k := range spec.Sinks {
		sinks[i] = k.Name
		if at := place(k.Driver, k.Values); at != k.Name {
			sinks[i] += " (" + at + ")"
		}
	}
	return place(spec.Source.Driver, spec.Source.Values) + " → " + strings.Join(sinks, ", ")
}

// place is a system and, where one option says so, where it is.
func place(driver string, v option.Values) string {
	for _, f := range v.Fields() {
		if f.Kind != option.Text || f.Name != "url" && f.Name != "address" {
			continue
		}
		at := v.Written(f.Name)
		if u, err := url.Parse(at); err == nil && u.User != nil {
			u.User = nil
			at = u.String()
		}
		if at != "" {
			return strings.TrimSpace(driver + " " + at)
		}
	}
	if chosen := v.Chosen(); chosen != "" && driver == "" {
		for _, f := range v.Fields() {
			if f.Name == chosen && f.Kind == option.Object {
				return place(chosen, v.Object(chosen))
			}
		}
	}
	return driver
}

// Submit takes a job in. key is an idempotency key; empty: none.
func (s *Service) Submit(_ context.Context, who Who, key string, in api.Submission) (api.Job, error) {
	leave, err := s.enter()
	if err != nil {
		return api.Job{}, err
	}
	defer leave()
	s.submitting.Lock()
	defer s.submitting.Unlock()
	sum := sha256.Sum256([]byte(jsonText(in)))
	body := hex.EncodeToString(sum[:])
	if key != "" {
		if first, found, err := s.answered(who, key, body); err != nil || found {
			return first, err
		}
	}
	j, v, e, err := s.newJob(who, in)
	var answer api.Job
	if err == nil {
		answer = j.view(true)
		err = s.takeIn(j, v, &e, func(tx *sql.Tx) error {
			if key == "" {
				return nil
			}
			_, err := tx.Exec("INSERT OR REPLACE INTO answer (who, token, sum, answer, at) VALUES (?, ?, ?, ?, ?)", who.Name, key, body, jsonText(answer), stamp(s.o.Now()))
			return err
		})
	}
	if err != nil {
		s.note(who, e, err)
		return api.Job{}, err
	}
	if key != "" {
		return answer, nil
	}
	return j.view(true), nil
}

// takeIn keeps a new job, with what more of it somebody relies on, and lets it live.
// s.submitting is held.
func (s *Service) takeIn(j *living, v kept, e *api.Entry, more func(*sql.Tx) error) error {
	err := s.folder.promise(func(tx *sql.Tx) error {
		if err := errors.Join(putCard(tx, j.card), putVersion(tx, j.name, v), putState(tx, j.name, j.state, 0), verification.SetSchedule(tx, j.name, j.proof.schedule), s.putEntry(tx, e)); err != nil {
			return err
		}
		return more(tx)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.jobs[j.name] = j
	s.mu.Unlock()
	s.tellEntry(*e)
	j.turn.Lock()
	j.follow()
	j.turn.Unlock()
	j.tell()
	return nil
}

// answered returns the answer that a key was given before; found: it was.
func (s *Service) answered(who Who, key, body string) (first api.Job, found bool, err error) {
	var sum, answer, at string
	err = s.folder.firm.QueryRow("SELECT sum, answer, at FROM answer WHERE who = ? AND token = ?", who.Name, key).Scan(&sum, &answer, &at)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && s.o.Now().Sub(unstamp(at)) > answerAge:
		return first, false, nil
	case err != nil:
		return first, false, s.folder.broken(err)
	case sum != body:
		return first, true, fault.New(fault.BadRequest, "the Idempotency-Key %q came with another job before", key).Try("use a new key for each job")
	}
	return first, true, json.Unmarshal([]byte(answer), &first)
}

// newJob checks a submission and makes a job of it that is not kept yet.
func (s *Service) newJob(who Who, in api.Submission) (j *living, v kept, e api.Entry, err error) {
	e = api.Entry{What: "submit", By: who.Name, Request: who.Request, Outcome: api.EntryOutcomeDone}
	spec, err := s.parse(in.File)
	if err != nil {
		return nil, v, e, err
	}
	e.Job, e.To = spec.Name, "version 1"
	if _, err := s.job(spec.Name); err == nil {
		return nil, v, e, fault.New(fault.NameTaken, "a job named %s lives here already", spec.Name).At("%s", spec.Name).
			Try("edit it (godwit job edit %s), or choose another name", spec.Name)
	}
	schedule, err := newSchedule(spec, in.Schedule)
	if err != nil {
		return nil, v, e, err
	}
	verify, err := newVerifySchedule(in.VerifySchedule)
	if err != nil {
		return nil, v, e, err
	}
	now := s.o.Now().UTC()
	desired := in.Desired
	if desired == "" {
		desired = api.DesiredRunning
	}
	if !desired.Valid() {
		return nil, v, e, fault.New(fault.BadRequest, "desired: %q is not to be wanted of a job", desired)
	}
	j = &living{s: s, name: spec.Name, card: card{
		name: spec.Name, kind: string(spec.Kind), way: way(spec), group: in.Group, note: in.Note, schedule: schedule,
		version: 1, created: now, updated: now, updatedBy: who.Name, wish: api.Wish{Desired: desired, By: who.Name, Since: now},
	}}
	j.proof.schedule = verification.Schedule{Text: verify, Since: now}
	if schedule == "" || strings.HasPrefix(schedule, everyWord) { // else it waits for its time
		j.card.began = now
	}
	j.state = job.New(job.Options{Parallel: parallel(spec)}, 1, now)
	j.counts = countTasks(j.state)
	v = kept{Version: api.Version{Version: 1, At: now, By: who.Name, File: in.File}, kept: spec.Kept()}
	j.newSinks(sinkNames(j.card.kind, v.kept))
	return j, v, e, nil
}

// parallel is how many copies a job does at once.
func parallel(spec *job.Spec) int {
	if spec.Parallel > 0 {
		return spec.Parallel
	}
	return job.DefaultParallel
}

// Check checks a job file.
func (s *Service) Check(ctx context.Context, d api.Draft) (api.CheckResult, error) {
	out := api.CheckResult{Ok: true, Problems: []api.FileProblem{}, Findings: []api.Finding{}}
	if s.closing() {
		return out, errGone()
	}
	spec, err := s.parse(d.File)
	if err != nil {
		out.Ok, out.Problems = false, FileProblems(err)
		if out.Problems == nil {
			f := fault.Of(err)
			out.Problems = []api.FileProblem{{Code: string(f.Code), What: f.What, Hint: f.Hint}}
		}
		return out, nil
	}
	out.Name = spec.Name
	if !d.Deep {
		return out, nil
	}
	hide := wording(spec)
	report, err := s.o.Engine.Check(ctx, spec, s.options(spec))
	if err != nil {
		return out, hidden(err, hide)
	}
	for _, f := range report.Findings {
		found := api.Finding{On: f.On, Name: f.Name, Detail: hide(f.Detail), Ok: f.Fault == nil, Warning: f.Fault != nil && f.Warn}
		if f.Fault != nil {
			found.Error = faultOf(job.FailureOf(hidden(f.Fault, hide)))
			out.Ok = out.Ok && f.Warn
		}
		out.Findings = append(out.Findings, found)
	}
	return out, nil
}

// options are those of acts that are no lives.
func (s *Service) options(spec *job.Spec) engine.Options {
	log, _ := local.NewLog(wording(spec), func(level slog.Level, line string) {
		s.o.Log.Log(context.Background(), level, line, "job", spec.Name)
	})
	return engine.Options{State: s.o.Dir, Memory: s.share(), Getenv: s.o.Getenv, Log: log}
}

// Plan tells what a job file would do.
func (s *Service) Plan(ctx context.Context, d api.Draft) (api.PlanResult, error) {
	out := api.PlanResult{Changes: []api.Change{}}
	if s.closing() {
		return out, errGone()
	}
	spec, err := s.parse(d.File)
	if err != nil {
		return out, err
	}
	if j, err := s.job(spec.Name); err == nil {
		if out.Changes, _, err = j.changes(spec); err != nil {
			return out, err
		}
	}
	out.Plan, err = s.o.Engine.Plan(ctx, spec, s.options(spec))
	say := wording(spec)
	out.Plan.HideRules(option.Masker(spec.Values()))
	for i, w := range out.Plan.Warnings {
		out.Plan.Warnings[i] = watch.Warning{What: say(w.What), Hint: say(w.Hint)}
	}
	return out, hidden(err, say)
}
