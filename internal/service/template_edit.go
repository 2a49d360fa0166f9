package service

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// EditTemplate gives a template a new text and rolls it out to its jobs, or tells what
// that would change of each. Once the new version is kept it is owed to every job: what
// is left when the process dies is done at the next start.
func (s *Service) EditTemplate(_ context.Context, who Who, name string, e api.TemplateEdit) (api.TemplateResult, error) {
	t, again, err := s.editTemplate(who, name, e)
	if err != nil {
		if !e.Preview {
			s.note(who, api.Entry{What: "edit template", From: fmt.Sprintf("%s version %d", name, e.Version), Reason: e.Reason}, err)
		}
		return api.TemplateResult{Results: []api.TemplateItem{}}, err
	}
	out := tally{api.TemplateResult{Version: t.version, Results: []api.TemplateItem{}}}
	p := press{s: s, name: name, sheet: t, who: who, preview: e.Preview, again: again}
	for _, j := range s.members(name) {
		out.add(p.roll(j))
	}
	return out.TemplateResult, nil
}

// editTemplate keeps a new version of a template, and returns it; again: it is the
// newest one, and jobs that are behind it are to be tried again.
func (s *Service) editTemplate(who Who, name string, e api.TemplateEdit) (t *sheet, again bool, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, false, err
	}
	defer leave()
	s.submitting.Lock()
	defer s.submitting.Unlock()
	old, lives := s.shelf.get(name)
	switch {
	case !lives:
		return nil, false, noTemplate(name)
	case e.Version != old.Version:
		return nil, false, fault.New(fault.VersionChanged, "version %d is the newest, and version %d was edited", old.Version, e.Version).At("%s", name).
			Try("godwit template edit %s FILE", name)
	case e.File != "" && e.BackTo != 0:
		return nil, false, fault.New(fault.BadRequest, "file and back_to are both given; expected one of them")
	}
	before, err := s.folder.templateVersion(name, old.Version)
	if err != nil {
		return nil, false, err
	}
	text := cmp.Or(e.File, before.File)
	if e.BackTo != 0 {
		v, err := s.folder.templateVersion(name, e.BackTo)
		if err != nil {
			return nil, false, err
		}
		text = v.File
	}
	parsed, err := s.parseTemplate(name+".yaml", text)
	if err != nil {
		return nil, false, err
	}
	if parsed.Name != name {
		return nil, false, fault.New(fault.BadRequest, "template changed from %q to %q: its jobs know it by its name", name, parsed.Name).At("%s.yaml", name).
			Try("submit it as a template of its own")
	}
	t = &sheet{Template: parsed, version: old.Version, by: before.By, reason: cmp.Or(e.Reason, before.Reason)}
	again = text == before.File
	if !again {
		t.version, t.by, t.reason = old.Version+1, who.Name, e.Reason
	}
	if e.Preview || again && e.Note == "" {
		return t, again, nil
	}
	return t, again, s.keepTemplate(who, old, t, text, e)
}

// keepTemplate keeps what was edited of a template.
func (s *Service) keepTemplate(who Who, old api.Template, t *sheet, text string, e api.TemplateEdit) error {
	now := s.o.Now().UTC()
	next := old
	next.Version, next.Note, next.Updated, next.UpdatedBy, next.Parameters = t.version, cmp.Or(e.Note, old.Note), now, who.Name, parameters(t.Template)
	entry := api.Entry{
		By: who.Name, Request: who.Request, Outcome: api.EntryOutcomeDone, What: "edit template", Reason: e.Reason,
		From: fmt.Sprintf("%s version %d", old.Name, old.Version), To: fmt.Sprintf("%s version %d", old.Name, t.version),
	}
	err := s.folder.promise(func(tx *sql.Tx) error {
		if t.version != old.Version {
			v := api.Version{Version: t.version, At: now, By: who.Name, Reason: e.Reason, File: text}
			if err := putTemplateVersion(tx, old.Name, v); err != nil {
				return err
			}
		}
		return errors.Join(putTemplate(tx, next), s.putEntry(tx, &entry))
	})
	if err != nil {
		return err
	}
	s.shelf.put(next)
	s.tellEntry(entry)
	return nil
}

// tally counts what became of jobs.
type tally struct{ api.TemplateResult }

func (t *tally) add(item api.TemplateItem) {
	switch item.Outcome {
	case api.TemplateItemOutcomeDone:
		t.Done++
	case api.TemplateItemOutcomeSkipped:
		t.Skipped++
	case api.TemplateItemOutcomeFailed:
		t.Failed++
	case api.TemplateItemOutcomeWould:
	}
	t.Results = append(t.Results, item)
}

// press rolls a template out.
type press struct {
	s       *Service
	name    string
	sheet   *sheet
	who     Who
	preview bool // sheet may be a version that is not kept
	again   bool // jobs that refused it are tried again
}

// roll gives a job of the template the file that follows from it, by the same way as
// an edit, or tells what that would change.
func (p *press) roll(j *living) api.TemplateItem {
	item := api.TemplateItem{Name: j.name}
	leave, err := p.s.enter()
	if err == nil {
		defer leave()
		err = p.renew()
	}
	if err == nil {
		err = p.edit(j, &item)
	}
	if err != nil {
		item.Outcome, item.Error = api.TemplateItemOutcomeFailed, faultOf(job.FailureOf(err))
	}
	return item
}

// renew takes the newest version of the template, should somebody have edited it again.
func (p *press) renew() error {
	if p.preview || p.sheet != nil && p.sheet.version == p.s.shelf.version(p.name) {
		return nil
	}
	t, err := p.s.newest(p.name)
	if err == nil {
		p.sheet = t
	}
	return err
}

func (p *press) edit(j *living, item *api.TemplateItem) error {
	j.turn.Lock()
	defer j.turn.Unlock()
	m, r, t := j.madeNow(), j.show(), p.sheet
	item.Version, item.Outcome = r.version, api.TemplateItemOutcomeSkipped
	switch {
	case r.leaving:
		item.Why = "it is being deleted"
		return nil
	case m == nil || m.template != p.name:
		item.Why = "it is not made from the template any more"
		return nil
	case !p.preview && m.version >= t.version:
		item.Why = "it has this version already"
		return nil
	case !p.preview && m.tried >= t.version && !p.again:
		item.Why = "it refused this version already"
		return nil
	}
	next := &made{template: m.template, version: t.version, values: m.values, tried: t.version}
	err := p.editTo(j, next, item)
	if err == nil || p.preview || owed(err) {
		return err
	}
	p.s.note(p.who, api.Entry{Job: j.name, What: "edit", From: fmt.Sprintf("version %d", r.version), Reason: t.why()}, err)
	next = &made{template: m.template, version: m.version, values: m.values, tried: t.version, refused: job.FailureOf(err)}
	if kept := p.keep(j, next); kept != nil {
		p.s.o.Log.Error("that a job refused its template cannot be kept", "job", j.name, "error", kept)
	}
	return err
}

// owed reports whether an edit failed for what is not the job's fault: it is done when
// the server starts again.
func owed(err error) bool {
	return fault.Has(err, fault.StateBroken) || fault.Has(err, fault.ServerGone)
}

// editTo gives a job the file that next makes.
func (p *press) editTo(j *living, next *made, item *api.TemplateItem) error {
	r, err := p.sheet.render(next.values, nil)
	if err != nil {
		return err
	}
	lives, err := j.s.folder.version(j.name, item.Version)
	if err != nil {
		return err
	}
	if r.Text == lives.File {
		item.Why = "nothing changes for it"
		if p.preview {
			return nil
		}
		return p.keep(j, next)
	}
	e := api.EditRequest{Version: item.Version, Reason: p.sheet.why(), Preview: p.preview}
	out, err := j.editTo(p.who, e, want{text: r.Text, made: next, back: &back{p.sheet, r}})
	item.Version, item.Changes = out.Version, out.Changes
	if err == nil && p.preview {
		item.Outcome = api.TemplateItemOutcomeWould
		return refusedChange(j.name, out.Changes)
	}
	if err == nil {
		item.Outcome = api.TemplateItemOutcomeDone
	}
	return err
}

// keep keeps what a job is made from, where its file stays as it is.
func (p *press) keep(j *living, next *made) error {
	if err := p.s.folder.promise(func(tx *sql.Tx) error { return j.putMade(tx, next) }); err != nil {
		return err
	}
	j.nowMade(next)
	j.tell()
	return nil
}

// rollOn goes on with what an earlier process had promised and not done.
func (s *Service) rollOn() {
	for _, j := range s.all() {
		if s.closing() {
			return
		}
		s.rollOwed(j)
	}
}

// keepUp gives a job what came while it was made or edited. The service is entered.
func (s *Service) keepUp(j *living) {
	if m := j.madeNow(); m != nil && m.tried < s.shelf.version(m.template) {
		s.running.Go(func() { s.rollOwed(j) })
	}
}

// rollOwed gives a job the newest version of its template, unless it was tried. It is
// done in the name of who edited that.
func (s *Service) rollOwed(j *living) {
	m := j.madeNow()
	if m == nil || m.tried >= s.shelf.version(m.template) {
		return
	}
	t, err := s.newest(m.template)
	if err != nil {
		s.o.Log.Error("a template cannot be rolled out", "template", m.template, "job", j.name, "error", err)
		return
	}
	p := press{s: s, name: m.template, sheet: t, who: Who{Name: t.by}}
	if item := p.roll(j); item.Error != nil {
		s.o.Log.Warn("a job does not take over its template", "template", m.template, "job", j.name, "code", item.Error.Code, "error", item.Error.What)
	}
}
