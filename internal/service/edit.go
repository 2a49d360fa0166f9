package service

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/service/verification"
)

// Edit gives a job a new file, or tells what that would change.
func (s *Service) Edit(_ context.Context, who Who, name string, e api.EditRequest) (api.EditResult, error) {
	leave, err := s.enter()
	if err != nil {
		return api.EditResult{}, err
	}
	defer leave()
	j, err := s.job(name)
	var out api.EditResult
	if err == nil {
		if out, err = j.edit(who, e); err == nil && !e.Preview {
			s.keepUp(j)
		}
	}
	if err != nil && !e.Preview {
		s.note(who, api.Entry{Job: name, What: "edit", From: fmt.Sprintf("version %d", e.Version), Reason: e.Reason}, err)
	}
	return out, err
}

func (j *living) edit(who Who, e api.EditRequest) (out api.EditResult, err error) {
	j.turn.Lock()
	defer j.turn.Unlock()
	r := j.show()
	switch {
	case r.leaving:
		return out, fault.New(fault.NotNow, "%s is being deleted", j.name)
	case e.Version != r.version:
		return out, fault.New(fault.VersionChanged, "version %d lives, and version %d was edited", r.version, e.Version).At("%s", j.name).
			Try("godwit job edit %s", j.name)
	case e.File != "" && e.BackTo != 0:
		return out, fault.New(fault.BadRequest, "file and back_to are both given; expected one of them")
	}
	w, err := j.wanted(e)
	if err != nil {
		return out, err
	}
	return j.editTo(who, e, w)
}

// want is what an edit is to lead to.
type want struct {
	text string
	same bool  // the text that lives
	made *made // the template that it is from then; nil: none
	back *back // to the template that text was made from now; nil: it was not
}

// editTo gives a job the file that is wanted, or tells what that would change. j.turn is
// held.
func (j *living) editTo(who Who, e api.EditRequest, w want) (out api.EditResult, err error) {
	r := j.show()
	spec, err := j.s.parse(w.text)
	if err != nil {
		return out, w.back.errors(err)
	}
	if spec.Name != j.name {
		return out, fault.New(fault.JobEdit, "name changed from %q to %q: targets belong to a job's name", j.name, spec.Name).At("%s", j.name).
			Try("submit it as a job of its own")
	}
	schedule := r.schedule
	switch {
	case e.Schedule != nil:
		schedule = *e.Schedule
	case strings.HasPrefix(schedule, everyWord): // it came from the file, and may be another now
		schedule = ""
	}
	if schedule, err = newSchedule(spec, schedule); err != nil {
		return out, err
	}
	var verify *verification.Schedule
	if e.VerifySchedule != nil {
		verify = &verification.Schedule{Since: j.s.o.Now().UTC()}
		if verify.Text, err = newVerifySchedule(*e.VerifySchedule); err != nil {
			return out, err
		}
	}
	changes, effects, err := j.changes(spec)
	if err != nil {
		return out, err
	}
	out = api.EditResult{Version: r.version, Changes: changes, Detached: w.made == nil && j.madeNow() != nil}
	if e.Preview {
		return out, nil
	}
	if err := refusedChange(j.name, changes); err != nil {
		return out, err
	}
	if !w.same {
		out.Version++
	}
	return out, j.accept(who, e, accepted{
		spec: spec, text: w.text, made: w.made, schedule: schedule, verify: verify, version: out.Version, changes: changes, effects: effects,
	})
}

// wanted is what an edit asks for.
func (j *living) wanted(e api.EditRequest) (w want, err error) {
	lives, err := j.s.folder.version(j.name, j.show().version)
	if err != nil {
		return w, err
	}
	w.text = cmp.Or(e.File, lives.File)
	if e.BackTo != 0 {
		v, err := j.s.folder.version(j.name, e.BackTo)
		if err != nil {
			return w, err
		}
		w.text = v.File
	}
	if err := j.fromTemplate(e, &w); err != nil {
		return w, err
	}
	w.same = w.text == lives.File
	return w, nil
}

// changes compares a job file with the one that lives, and says what each difference
// does.
func (j *living) changes(spec *job.Spec) (changes []api.Change, effects []effect, err error) {
	lives, err := j.s.folder.version(j.name, j.show().version)
	if err != nil {
		return nil, nil, err
	}
	changes = []api.Change{}
	fresh := untouched(j.stateNow())
	for _, d := range spec.Diff(lives.kept) {
		c := api.Change{Field: d.Field, From: d.From, To: d.To, Effect: string(d.Effect), Why: d.Why}
		does := d.Effect.Consequence()
		switch {
		case d.Effect == job.Chooses && copying(j.stateNow()):
			c.Does, c.Effect, c.Why = api.ChangeDoesRefused, string(job.Refused), "tables are being copied: edit them once the snapshot is whole"
			changes = append(changes, c)
			continue
		case d.Effect != job.Refused:
		case fresh && d.Field != "name" && d.Field != "kind":
			c.Why = "nothing was moved yet"
		default:
			c.Does = api.ChangeDoesRefused
			changes = append(changes, c)
			continue
		}
		c.Does = api.ChangeDoes(does)
		changes = append(changes, c)
		effects = append(effects, effect{Field: d.Field, Does: does})
	}
	if l := j.lifeNow(); l != nil && secretSum(spec) != l.secrets {
		changes = append(changes, api.Change{
			Field: "secrets", From: "(hidden)", To: "(hidden, another one)", Effect: string(job.Applies), Does: api.ChangeDoesRestarts, Why: "what is secret in it is not what the job began with",
		})
		effects = append(effects, effect{Field: "secrets", Does: job.Restarts})
	}
	return changes, effects, nil
}

// copying reports whether something of a table job is still to be copied, so that no
// tables can be added yet. The engine has the last word.
func copying(s job.State) bool {
	apart := s.Apart()
	return slices.ContainsFunc(s.Tasks, func(t job.TaskState) bool {
		return t.Kind == job.Copy && t.Status != job.Finished && apart[t.Table] == job.Together
	})
}

// untouched reports whether no task of a job was ever found: it may be edited as one
// likes. The engine still has the last word.
func untouched(s job.State) bool {
	return len(s.Tasks) == 1 && s.Tasks[0].Status != job.Finished && s.Floor == 0
}

func refusedChange(name string, changes []api.Change) error {
	var refused []string
	for _, c := range changes {
		if c.Does == api.ChangeDoesRefused {
			refused = append(refused, fmt.Sprintf("%s changed from %q to %q: %s", c.Field, c.From, c.To, c.Why))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fault.New(fault.JobEdit, "%s", strings.Join(refused, "; ")).At("%s", name).
		Try("take the edit back, or submit a job with another name and target")
}

// accepted is an edit that is to be done.
type accepted struct {
	spec           *job.Spec
	made           *made
	text, schedule string
	verify         *verification.Schedule // nil: as it is
	version        int64
	changes        []api.Change
	effects        []effect
}

// accept keeps an edit and lets it have its effect. What a running engine takes over
// by itself it is given; everything else ends its life after a commit, and the next
// one begins with the new file.
func (j *living) accept(who Who, e api.EditRequest, a accepted) error {
	now := j.s.o.Now().UTC()
	r := j.show()
	newer := a.version > r.version
	entry := api.Entry{
		By: who.Name, Request: who.Request, Outcome: api.EntryOutcomeDone, Job: j.name, What: "edit", Reason: e.Reason,
		From: fmt.Sprintf("version %d", r.version), To: fmt.Sprintf("version %d", a.version),
	}
	c := command{Do: doEdit, At: now, By: who.Name, Why: e.Reason, Version: a.version, Parallel: parallel(a.spec), Changes: a.effects}
	edit := func(r *card) {
		r.version, r.updated, r.updatedBy = a.version, now, who.Name
		r.way, r.schedule = way(a.spec), a.schedule
		r.group, r.note = given(e.Group, r.group), given(e.Note, r.note)
		if newer {
			r.trouble = nil
		}
		if a.schedule == "" && r.began.IsZero() { // it waited for a time that does not come
			r.began = now
		}
	}
	err := j.change(edit, func(tx *sql.Tx) error {
		if newer {
			v := kept{Version: api.Version{Version: a.version, At: now, By: who.Name, Reason: e.Reason, File: a.text, Changes: a.changes}, kept: a.spec.Kept()}
			if err := putVersion(tx, j.name, v); err != nil {
				return err
			}
			if err := putCommand(tx, j.name, &c); err != nil {
				return err
			}
		}
		if a.verify != nil {
			if err := verification.SetSchedule(tx, j.name, *a.verify); err != nil {
				return err
			}
		}
		return errors.Join(j.putMade(tx, a.made), j.s.putEntry(tx, &entry))
	})
	if err != nil {
		return err
	}
	j.newSinks(sinkNames(r.kind, a.spec.Kept()))
	if a.verify != nil {
		j.setVerifySchedule(*a.verify)
	}
	j.nowMade(a.made)
	j.s.tellEntry(entry)
	l := j.lifeNow()
	switch {
	case l == nil:
		j.follow()
	case !newer:
	case takenOver(a.effects):
		l.takeOver(a.spec)
		l.tell(c)
	default:
		j.drain()
	}
	j.tell()
	return nil
}

// given is what an edit says of a field, or else what it is.
func given(edited *string, is string) string {
	if edited == nil {
		return is
	}
	return *edited
}

// takenOver reports whether an engine takes an edit over without a new life.
func takenOver(effects []effect) bool {
	for _, e := range effects {
		if e.Does != job.TakenOver {
			return false
		}
	}
	return true
}

// Versions lists the versions of a job's file, newest first, without texts.
func (s *Service) Versions(_ context.Context, name string) ([]api.Version, error) {
	if _, err := s.job(name); err != nil {
		return nil, err
	}
	return s.folder.versions(name)
}

// Version returns one with its text.
func (s *Service) Version(_ context.Context, name string, version int64) (api.Version, error) {
	if _, err := s.job(name); err != nil {
		return api.Version{}, err
	}
	v, err := s.folder.version(name, version)
	return v.Version, err
}
