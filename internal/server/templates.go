package server

import (
	"fmt"
	"net/http"
	"unicode/utf8"

	"godwit/internal/api"
)

// Bounds of the document for what parameters stand for.
const (
	maxParameters = 100
	maxValue      = 1000
)

// values looks at what parameters stand for.
func (f *flaws) values(field string, v api.Values) {
	if len(v) > maxParameters {
		f.add("%s has %d items, at most %d are taken", field, len(v), maxParameters)
	}
	for name, value := range v {
		if n := utf8.RuneCountInString(value); n > maxValue {
			f.add("%s.%.80s has %d characters, at most %d are taken", field, name, n, maxValue)
		}
	}
}

// ListTemplates lists templates.
func (c calls) ListTemplates(w http.ResponseWriter, r *http.Request) {
	all, err := c.svc().Templates(r.Context())
	give(w, r, http.StatusOK, listed[api.Template]{items(all)}, err)
}

// SubmitTemplate takes a template in.
func (c calls) SubmitTemplate(w http.ResponseWriter, r *http.Request) {
	var in api.TemplateSubmission
	if !decode(w, r, &in) {
		return
	}
	var f flaws
	f.file(in.File, true)
	f.text("note", in.Note, maxText)
	if f.refused(w, r) {
		return
	}
	t, err := c.svc().SubmitTemplate(r.Context(), who(r), in)
	t.Parameters = items(t.Parameters)
	give(w, r, http.StatusCreated, t, err)
}

// ShowTemplate shows one with its text.
func (c calls) ShowTemplate(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	t, err := c.svc().ShowTemplate(r.Context(), name)
	t.Parameters = items(t.Parameters)
	give(w, r, http.StatusOK, t, err)
}

// EditTemplate gives a template a new text, and its jobs what follows from it.
func (c calls) EditTemplate(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	var e api.TemplateEdit
	if !decode(w, r, &e) {
		return
	}
	var f flaws
	f.file(e.File, false)
	f.text("note", e.Note, maxText)
	f.text("reason", e.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	result, err := c.svc().EditTemplate(r.Context(), who(r), name, e)
	result.Results = items(result.Results)
	give(w, r, http.StatusOK, result, err)
}

// MakeJobs makes jobs from a template.
func (c calls) MakeJobs(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	var in api.TemplateJobs
	if !decode(w, r, &in) {
		return
	}
	var f flaws
	f.number("the number of values", int64(len(in.Values)), 1, maxItems)
	for i, v := range in.Values {
		f.values(fmt.Sprintf("values[%d]", i), v)
	}
	if in.Desired == "" {
		in.Desired = api.DesiredRunning
	}
	f.text("group", in.Group, maxWord)
	f.text("note", in.Note, maxText)
	f.text("schedule", in.Schedule, 100)
	if f.refused(w, r) {
		return
	}
	result, err := c.svc().MakeJobs(r.Context(), who(r), name, in)
	result.Results = items(result.Results)
	give(w, r, http.StatusOK, result, err)
}

// DeleteTemplate forgets a template that has no jobs.
func (c calls) DeleteTemplate(w http.ResponseWriter, r *http.Request, name api.Name, p api.DeleteTemplateParams) {
	var f flaws
	f.name("name", name)
	f.text("reason", p.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	done(w, r, c.svc().DeleteTemplate(r.Context(), who(r), name, p.Reason))
}

// ListTemplateVersions lists the versions of a template.
func (c calls) ListTemplateVersions(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	versions, err := c.svc().TemplateVersions(r.Context(), name)
	give(w, r, http.StatusOK, listed[api.Version]{items(versions)}, err)
}

// ShowTemplateVersion shows one.
func (c calls) ShowTemplateVersion(w http.ResponseWriter, r *http.Request, name api.Name, version int64) {
	var f flaws
	f.name("name", name)
	if version < 1 {
		f.add("version is %d, they count from 1", version)
	}
	if f.refused(w, r) {
		return
	}
	v, err := c.svc().TemplateVersion(r.Context(), name, version)
	give(w, r, http.StatusOK, v, err)
}
