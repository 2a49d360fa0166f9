package server

import (
	"net/http"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// Health says whether the process lives. It and Ready are asked before anything else
// is looked at, so that they answer at all times; see admit.
func (c calls) Health(w http.ResponseWriter, r *http.Request) { c.health(w, r) }

// Ready says whether requests are taken.
func (c calls) Ready(w http.ResponseWriter, r *http.Request) { c.ready(w, r) }

// probes are the paths at which the server tells of itself, to everybody.
func (s *Server) probes(path string) (answer http.HandlerFunc, is bool) {
	switch path {
	case "/healthz":
		return s.health, true
	case "/readyz":
		return s.ready, true
	}
	return nil, false
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	switch s.state() {
	case api.HealthStatusStarting:
		problem(w, r, errStarting())
	case api.HealthStatusStopping:
		problem(w, r, errStopping())
	default:
		s.health(w, r)
	}
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if !acceptable(w, r, "application/json") {
		return
	}
	give(w, r, http.StatusOK, api.Health{Status: s.state(), Version: s.o.Version, UpS: watch.Rounded(s.o.Now().Sub(s.began).Seconds()), Jobs: s.meters.jobs(r.Context())}, nil)
}

// OpenAPI gives out the document.
func (c calls) OpenAPI(w http.ResponseWriter, r *http.Request) {
	send(w, r, http.StatusOK, "application/yaml", []byte(api.Document()))
}

// Metrics are for Prometheus. It gets the text form, whatever else it would take: the
// document promises that.
func (c calls) Metrics(w http.ResponseWriter, r *http.Request) { c.meters.serve(w, r) }

// Overview counts.
func (c calls) Overview(w http.ResponseWriter, r *http.Request) {
	view, err := c.svc().Overview(r.Context())
	if view.Counts == nil {
		view.Counts = map[string]int{}
	}
	give(w, r, http.StatusOK, view, err)
}

// History shows rate, lag and memory over a span.
func (c calls) History(w http.ResponseWriter, r *http.Request, name api.Name, p api.HistoryParams) {
	var f flaws
	f.name("name", name)
	if !r.URL.Query().Has("span") {
		p.Span = api.N15M
	}
	word(&f, "span", p.Span)
	if f.refused(w, r) {
		return
	}
	h, err := c.svc().History(r.Context(), name, p)
	h.Series = items(h.Series)
	for i := range h.Series {
		h.Series[i].Values = items(h.Series[i].Values)
	}
	give(w, r, http.StatusOK, h, err)
}

// Audit lists who changed what.
func (c calls) Audit(w http.ResponseWriter, r *http.Request, p api.AuditParams) {
	var f flaws
	q := r.URL.Query()
	f.given("job", p.Job, q)
	f.text("q", p.Q, maxSearch)
	f.page(q, &p.Limit, p.After)
	if f.refused(w, r) {
		return
	}
	page, err := c.svc().Audit(r.Context(), p)
	page.Items = items(page.Items)
	give(w, r, http.StatusOK, page, err)
}

// ListAlarms lists alarms.
func (c calls) ListAlarms(w http.ResponseWriter, r *http.Request, p api.ListAlarmsParams) {
	var f flaws
	q := r.URL.Query()
	f.given("job", p.Job, q)
	f.truth("all", q)
	if f.refused(w, r) {
		return
	}
	alarms, err := c.svc().Alarms(r.Context(), p)
	give(w, r, http.StatusOK, listed[api.Alarm]{items(alarms)}, err)
}

// WhoAmI shows whose token the request came with.
func (c calls) WhoAmI(w http.ResponseWriter, r *http.Request) {
	give(w, r, http.StatusOK, visitOf(r).by, nil)
}
