package server

import (
	"errors"
	"net/http"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// calls are the operations of the document, as the generated router calls them: each
// looks at what came, asks the service and answers.
type calls struct{ *Server }

var _ api.ServerInterface = calls{}

func (s *Server) svc() Service { return *s.service.Load() }

func (s *Server) route() *http.ServeMux {
	mux := http.NewServeMux()
	api.HandlerWithOptions(calls{s}, api.StdHTTPServerOptions{BaseRouter: mux, ErrorHandlerFunc: paramRefused})
	return mux
}

// kinds are the types of answers that are not JSON.
var kinds = map[string]string{
	"GET /metrics":             "text/plain",
	"GET /api/v1/openapi.yaml": "application/yaml",
	"GET /api/v1/events":       "text/event-stream",
}

// call looks at what is the same for all operations, and calls the one at a pattern.
func (s *Server) call(w http.ResponseWriter, r *http.Request, pattern string) {
	kind := kinds[pattern]
	if kind == "" {
		kind = "application/json"
	}
	if !acceptable(w, r, kind) {
		return
	}
	var f flaws
	f.query(r, pattern)
	if f.refused(w, r) {
		return
	}
	s.mux.ServeHTTP(w, r)
}

// paramRefused answers a parameter that cannot be read.
func paramRefused(w http.ResponseWriter, r *http.Request, err error) {
	e := fault.New(fault.BadRequest, "a parameter cannot be read").By(err)
	var form *api.InvalidParamFormatError
	var missing *api.RequiredParamError
	switch {
	case errors.As(err, &form):
		e = fault.New(fault.BadRequest, "the value of the parameter %s cannot be read", form.ParamName)
	case errors.As(err, &missing):
		e = fault.New(fault.BadRequest, "the parameter %s is missing", missing.ParamName)
	}
	problem(w, r, e.Try("the contract is at /api/v1/openapi.yaml"))
}

// items is a list as JSON has it: empty, never null.
func items[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// listed is a list that has no pages.
type listed[T any] struct {
	Items []T `json:"items"`
}

// ListJobs lists jobs, filtered, sorted, page by page.
func (c calls) ListJobs(w http.ResponseWriter, r *http.Request, p api.ListJobsParams) {
	var f flaws
	q := r.URL.Query()
	f.text("q", p.Q, maxSearch)
	f.statuses("status", p.Status)
	wordGiven(&f, "desired", p.Desired, q)
	wordGiven(&f, "kind", p.Kind, q)
	f.text("group", p.Group, maxWord)
	f.given("template", p.Template, q)
	f.truth("template_behind", q)
	f.truth("needs_you", q)
	if !q.Has("sort") {
		p.Sort = api.ListJobsParamsSortHealth
	}
	word(&f, "sort", p.Sort)
	f.page(q, &p.Limit, p.After)
	if f.refused(w, r) {
		return
	}
	page, err := c.svc().List(r.Context(), p)
	page.Items = items(page.Items)
	if page.Counts == nil {
		page.Counts = map[string]int{}
	}
	give(w, r, http.StatusOK, page, err)
}

// SubmitJob takes a job in.
func (c calls) SubmitJob(w http.ResponseWriter, r *http.Request, p api.SubmitJobParams) {
	var in api.Submission
	if !decode(w, r, &in) {
		return
	}
	var f flaws
	if _, given := r.Header["Idempotency-Key"]; given {
		if p.IdempotencyKey == "" {
			f.add("Idempotency-Key is empty")
		}
		f.text("Idempotency-Key", p.IdempotencyKey, 100)
	}
	f.file(in.File, true)
	if in.Desired == "" {
		in.Desired = api.DesiredRunning
	}
	f.text("group", in.Group, maxWord)
	f.text("note", in.Note, maxText)
	f.text("schedule", in.Schedule, 100)
	f.text("verify_schedule", in.VerifySchedule, 100)
	if f.refused(w, r) {
		return
	}
	job, err := c.svc().Submit(r.Context(), who(r), p.IdempotencyKey, in)
	give(w, r, http.StatusCreated, job, err)
}

// file looks at the text of a job file.
func (f *flaws) file(text string, needed bool) {
	if needed && strings.TrimSpace(text) == "" {
		f.add("file is empty")
	}
	f.text("file", text, maxFile)
}

// ShowJob shows a job.
func (c calls) ShowJob(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	job, err := c.svc().Show(r.Context(), name)
	give(w, r, http.StatusOK, job, err)
}

// named answers itself and returns false when the name in the path is none.
func named(w http.ResponseWriter, r *http.Request, name string) bool {
	var f flaws
	f.name("name", name)
	return !f.refused(w, r)
}

// ListTasks lists tasks.
func (c calls) ListTasks(w http.ResponseWriter, r *http.Request, name api.Name, p api.ListTasksParams) {
	var f flaws
	f.name("name", name)
	f.statuses("status", p.Status)
	f.text("table", p.Table, maxItem)
	f.page(r.URL.Query(), &p.Limit, p.After)
	if f.refused(w, r) {
		return
	}
	page, err := c.svc().Tasks(r.Context(), name, p)
	page.Items = items(page.Items)
	give(w, r, http.StatusOK, page, err)
}

// ListTables lists tables.
func (c calls) ListTables(w http.ResponseWriter, r *http.Request, name api.Name, p api.ListTablesParams) {
	var f flaws
	f.name("name", name)
	f.text("q", p.Q, maxSearch)
	f.statuses("status", p.Status)
	f.page(r.URL.Query(), &p.Limit, p.After)
	if f.refused(w, r) {
		return
	}
	page, err := c.svc().Tables(r.Context(), name, p)
	page.Items = items(page.Items)
	give(w, r, http.StatusOK, page, err)
}

// Positions shows what the sinks have committed.
func (c calls) Positions(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	report, err := c.svc().Positions(r.Context(), name)
	report.Positions = items(report.Positions)
	give(w, r, http.StatusOK, report, err)
}

// ListDeadLetters shows rows that sinks have put aside.
func (c calls) ListDeadLetters(w http.ResponseWriter, r *http.Request, name api.Name, p api.ListDeadLettersParams) {
	var f flaws
	f.name("name", name)
	f.text("sink", p.Sink, maxWord)
	f.text("table", p.Table, maxItem)
	f.truth("count", r.URL.Query())
	f.page(r.URL.Query(), &p.Limit, p.After)
	if f.refused(w, r) {
		return
	}
	report, err := c.svc().DeadLetters(r.Context(), name, p)
	report.Letters = items(report.Letters)
	give(w, r, http.StatusOK, report, err)
}

// CheckJob checks a job file.
func (c calls) CheckJob(w http.ResponseWriter, r *http.Request) {
	var d api.Draft
	if !decode(w, r, &d) {
		return
	}
	if d.Deep && visitOf(r).by.Role != api.Operate {
		c.refuseRole(w, r) // see forReaders
		return
	}
	var f flaws
	f.file(d.File, false)
	if f.refused(w, r) {
		return
	}
	result, err := c.svc().Check(r.Context(), d)
	result.Problems, result.Findings = items(result.Problems), items(result.Findings)
	give(w, r, http.StatusOK, result, err)
}

// PlanJob tells what a job file would do.
func (c calls) PlanJob(w http.ResponseWriter, r *http.Request) {
	var d api.Draft
	if !decode(w, r, &d) {
		return
	}
	var f flaws
	f.file(d.File, true)
	if f.refused(w, r) {
		return
	}
	result, err := c.svc().Plan(r.Context(), d)
	result.Changes = items(result.Changes)
	give(w, r, http.StatusOK, result, err)
}

// EditJob gives a job a new file.
func (c calls) EditJob(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	var e api.EditRequest
	if !decode(w, r, &e) {
		return
	}
	var f flaws
	f.file(e.File, false)
	f.text("reason", e.Reason, maxText)
	f.textGiven("group", e.Group, maxWord)
	f.textGiven("note", e.Note, maxText)
	f.textGiven("schedule", e.Schedule, 100)
	f.textGiven("verify_schedule", e.VerifySchedule, 100)
	f.text("template", e.Template, maxWord)
	f.values("values", e.Values)
	if f.refused(w, r) {
		return
	}
	result, err := c.svc().Edit(r.Context(), who(r), name, e)
	result.Changes = items(result.Changes)
	give(w, r, http.StatusOK, result, err)
}

// ListVersions lists the versions of a job's file.
func (c calls) ListVersions(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	versions, err := c.svc().Versions(r.Context(), name)
	give(w, r, http.StatusOK, listed[api.Version]{items(versions)}, err)
}

// ShowVersion shows one.
func (c calls) ShowVersion(w http.ResponseWriter, r *http.Request, name api.Name, version int64) {
	var f flaws
	f.name("name", name)
	if version < 1 {
		f.add("version is %d, they count from 1", version)
	}
	if f.refused(w, r) {
		return
	}
	v, err := c.svc().Version(r.Context(), name, version)
	give(w, r, http.StatusOK, v, err)
}
