package server

import (
	"net/http"

	"godwit/internal/api"
)

// ActOnJob does what somebody asks of a job.
func (c calls) ActOnJob(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	var a api.Act
	if !decode(w, r, &a) {
		return
	}
	var f flaws
	f.texts("tables", a.Tables)
	f.texts("tasks", a.Tasks)
	f.text("reason", a.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	job, err := c.svc().Act(r.Context(), who(r), name, a)
	give(w, r, http.StatusOK, job, err)
}

// ActOnJobs does one thing to many jobs.
func (c calls) ActOnJobs(w http.ResponseWriter, r *http.Request) {
	var a api.BulkAct
	if !decode(w, r, &a) {
		return
	}
	var f flaws
	f.texts("names", a.Names)
	for _, name := range a.Names {
		f.name("names", name)
	}
	f.filter(a.Filter)
	f.text("reason", a.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	result, err := c.svc().ActOnAll(r.Context(), who(r), a)
	result.Results = items(result.Results)
	give(w, r, http.StatusOK, result, err)
}

func (f *flaws) filter(by *api.Filter) {
	if by == nil {
		return
	}
	f.text("filter.q", by.Q, maxSearch)
	f.statuses("filter.status", by.Status)
	f.text("filter.group", by.Group, maxWord)
	f.text("filter.template", by.Template, maxWord)
}

// DeleteJob stops a job and forgets it.
func (c calls) DeleteJob(w http.ResponseWriter, r *http.Request, name api.Name, p api.DeleteJobParams) {
	var f flaws
	f.name("name", name)
	f.text("reason", p.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	done(w, r, c.svc().Delete(r.Context(), who(r), name, p.Reason))
}

// ResetPositions makes the next start read everything again.
func (c calls) ResetPositions(w http.ResponseWriter, r *http.Request, name api.Name, p api.ResetPositionsParams) {
	var f flaws
	f.name("name", name)
	f.name("confirm", p.Confirm)
	f.text("reason", p.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	done(w, r, c.svc().ResetPositions(r.Context(), who(r), name, p.Confirm, p.Reason))
}

// SilenceAlarm keeps an alarm from being repeated.
func (c calls) SilenceAlarm(w http.ResponseWriter, r *http.Request, id string) {
	var in api.Silence
	if !decode(w, r, &in) {
		return
	}
	var f flaws
	f.text("id", id, maxWord)
	f.number("seconds", int64(in.Seconds), 0, 2592000)
	f.text("reason", in.Reason, maxText)
	if f.refused(w, r) {
		return
	}
	alarm, err := c.svc().Silence(r.Context(), who(r), id, in)
	give(w, r, http.StatusOK, alarm, err)
}

// ListTokens lists tokens.
func (c calls) ListTokens(w http.ResponseWriter, r *http.Request) {
	tokens, err := c.svc().Tokens(r.Context())
	give(w, r, http.StatusOK, listed[api.Token]{items(tokens)}, err)
}

// CreateToken makes a token.
func (c calls) CreateToken(w http.ResponseWriter, r *http.Request) {
	var in api.TokenRequest
	if !decode(w, r, &in) {
		return
	}
	var f flaws
	f.name("name", in.Name)
	if f.refused(w, r) {
		return
	}
	token, err := c.svc().CreateToken(r.Context(), who(r), in)
	give(w, r, http.StatusCreated, token, err)
}

// RevokeToken makes a token worthless.
func (c calls) RevokeToken(w http.ResponseWriter, r *http.Request, token api.Name) {
	if !named(w, r, token) {
		return
	}
	done(w, r, c.svc().RevokeToken(r.Context(), who(r), token))
}
