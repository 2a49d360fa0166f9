package service

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// templateSchema is what version 2 of the database has more.
const templateSchema = `
CREATE TABLE template (name TEXT PRIMARY KEY, version INTEGER NOT NULL, note TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL, updated_by TEXT NOT NULL);
CREATE TABLE template_version (template TEXT NOT NULL, version INTEGER NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,
	text TEXT NOT NULL, PRIMARY KEY (template, version));
CREATE TABLE made (job TEXT PRIMARY KEY, template TEXT NOT NULL, version INTEGER NOT NULL, vals TEXT NOT NULL, tried INTEGER NOT NULL, refused TEXT NOT NULL);
CREATE INDEX made_template ON made (template, job);`

// mostTemplates bounds how many templates a server keeps.
const mostTemplates = 1000

// templateFile is what the file of a template is called in messages while its name is
// not known.
const templateFile = "template.yaml"

// shelf has the templates as they are listed, without jobs. It is safe for concurrent
// use; whoever holds the lock of a job may ask it.
type shelf struct {
	mu  sync.RWMutex
	all map[string]api.Template
}

func (s *shelf) get(name string) (api.Template, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, ok := s.all[name]
	return t, ok
}

// version is the newest of a template; 0: there is none of the name.
func (s *shelf) version(name string) int64 {
	t, _ := s.get(name)
	return t.Version
}

func (s *shelf) put(t api.Template) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]api.Template{}
	}
	t.File = ""
	s.all[t.Name] = t
}

func (s *shelf) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, name)
}

func (s *shelf) list() (out []api.Template) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.all {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b api.Template) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func noTemplate(name string) *fault.Error {
	return fault.New(fault.NoTemplate, "there is no template %q here", name).Try("godwit template list")
}

// sheet is one version of a template, ready to make files of.
type sheet struct {
	*job.Template
	version int64
	by      string
	reason  string
}

func (t *sheet) file() string { return t.Name + ".yaml" }

// render makes the file of a job. given are those of its values that somebody says just
// now: the template must know them. Older ones it may have forgotten.
func (t *sheet) render(values, given api.Values) (option.Rendered, error) {
	r, problems := t.Render(values)
	if problems = t.Unknown(given).Merge(problems...); len(problems) > 0 {
		return r, fileError{problems}
	}
	return r, nil
}

// why is the reason of an edit that comes of a template.
func (t *sheet) why() string {
	why := fmt.Sprintf("template %s version %d", t.Name, t.version)
	if t.reason != "" {
		why += ": " + t.reason
	}
	return why
}

// parseTemplate reads the text of a template.
func (s *Service) parseTemplate(file, text string) (*job.Template, error) {
	t, problems := job.ParseTemplate(file, []byte(text), s.o.Systems)
	if len(problems) > 0 {
		return nil, fileError{problems}
	}
	return t, nil
}

// newest is a template as it is now.
func (s *Service) newest(name string) (*sheet, error) {
	at := s.shelf.version(name)
	if at == 0 {
		return nil, noTemplate(name)
	}
	v, err := s.folder.templateVersion(name, at)
	if err != nil {
		return nil, err
	}
	t, err := s.parseTemplate(name+".yaml", v.File)
	if err != nil {
		return nil, err
	}
	return &sheet{Template: t, version: at, by: v.By, reason: v.Reason}, nil
}

// parameters are those of a template as they are shown.
func parameters(t *job.Template) []api.Parameter {
	out := []api.Parameter{}
	for _, p := range t.Parameters {
		out = append(out, api.Parameter{Name: p.Name, Default: p.Default, Required: !p.Given, Help: p.Help})
	}
	return out
}

// members are the jobs that are made from a template, by name; those that are being
// deleted too.
func (s *Service) members(name string) (out []*living) {
	for _, j := range s.all() {
		if m := j.madeNow(); m != nil && m.template == name {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *living) int { return strings.Compare(a.name, b.name) })
	return out
}

// Templates lists all templates, by name and without their texts.
func (s *Service) Templates(_ context.Context) ([]api.Template, error) {
	if s.closing() {
		return nil, errGone()
	}
	out := s.shelf.list()
	jobs, behind := map[string]int{}, map[string]int{}
	for _, j := range s.all() {
		if m := j.madeNow(); m != nil {
			jobs[m.template]++
			if m.version < s.shelf.version(m.template) {
				behind[m.template]++
			}
		}
	}
	for i := range out {
		out[i].Jobs, out[i].Behind = jobs[out[i].Name], behind[out[i].Name]
	}
	return out, nil
}

// ShowTemplate shows one with its text.
func (s *Service) ShowTemplate(_ context.Context, name string) (api.Template, error) {
	if s.closing() {
		return api.Template{}, errGone()
	}
	t, ok := s.shelf.get(name)
	if !ok {
		return t, noTemplate(name)
	}
	v, err := s.folder.templateVersion(name, t.Version)
	t.File = v.File
	for _, j := range s.members(name) {
		t.Jobs++
		if m := j.madeNow(); m != nil && m.version < t.Version {
			t.Behind++
		}
	}
	return t, err
}

// SubmitTemplate takes a template in.
func (s *Service) SubmitTemplate(_ context.Context, who Who, in api.TemplateSubmission) (api.Template, error) {
	leave, err := s.enter()
	if err != nil {
		return api.Template{}, err
	}
	defer leave()
	s.submitting.Lock()
	defer s.submitting.Unlock()
	t, e, err := s.newTemplate(who, in)
	if err == nil {
		err = s.folder.promise(func(tx *sql.Tx) error {
			v := api.Version{Version: 1, At: t.Created, By: who.Name, File: in.File}
			return errors.Join(putTemplate(tx, t), putTemplateVersion(tx, t.Name, v), s.putEntry(tx, &e))
		})
	}
	if err != nil {
		s.note(who, e, err)
		return api.Template{}, err
	}
	s.shelf.put(t)
	s.tellEntry(e)
	t.File = in.File
	return t, nil
}

func (s *Service) newTemplate(who Who, in api.TemplateSubmission) (t api.Template, e api.Entry, err error) {
	e = api.Entry{What: "submit template", By: who.Name, Request: who.Request, Outcome: api.EntryOutcomeDone}
	parsed, err := s.parseTemplate(templateFile, in.File)
	if err != nil {
		return t, e, err
	}
	e.To = parsed.Name + " version 1"
	if _, taken := s.shelf.get(parsed.Name); taken {
		return t, e, fault.New(fault.NameTaken, "a template named %s is here already", parsed.Name).At("%s", parsed.Name).
			Try("edit it (godwit template edit %s FILE), or choose another name", parsed.Name)
	}
	if len(s.shelf.list()) >= mostTemplates {
		return t, e, fault.New(fault.NotNow, "there are %d templates already, and no more are kept", mostTemplates).Try("godwit template delete NAME")
	}
	now := s.o.Now().UTC()
	return api.Template{Name: parsed.Name, Version: 1, Note: in.Note, Created: now, Updated: now, UpdatedBy: who.Name, Parameters: parameters(parsed)}, e, nil
}

// DeleteTemplate forgets a template that no job is made from.
func (s *Service) DeleteTemplate(_ context.Context, who Who, name, reason string) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	e := api.Entry{What: "delete template", From: name, Reason: reason, By: who.Name, Request: who.Request, Outcome: api.EntryOutcomeDone}
	err = s.folder.promise(func(tx *sql.Tx) error {
		if err := forgetTemplate(tx, name); err != nil {
			return err
		}
		return s.putEntry(tx, &e)
	})
	if err != nil {
		s.note(who, api.Entry{What: e.What, From: name, Reason: reason}, err)
		return err
	}
	s.shelf.remove(name)
	s.tellEntry(e)
	return nil
}

// TemplateVersions lists the versions of a template, newest first, without texts.
func (s *Service) TemplateVersions(_ context.Context, name string) ([]api.Version, error) {
	if s.closing() {
		return nil, errGone()
	}
	if s.shelf.version(name) == 0 {
		return nil, noTemplate(name)
	}
	return s.folder.templateVersions(name)
}

// TemplateVersion returns one with its text.
func (s *Service) TemplateVersion(_ context.Context, name string, version int64) (api.Version, error) {
	if s.closing() {
		return api.Version{}, errGone()
	}
	if s.shelf.version(name) == 0 {
		return api.Version{}, noTemplate(name)
	}
	return s.folder.templateVersion(name, version)
}
