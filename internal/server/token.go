package server

import (
	"net/http"
	"net/url"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// cookie is the name of what the page keeps a token in.
const cookie = "godwit"

// tokenBytes is more than any token has.
const tokenBytes = 512

// forReaders are what the role read may do: look. A check and a plan change nothing
// either, but they send what a job file refers to, secrets included, to the addresses
// in it; CheckJob itself refuses readers who want that.
var forReaders = []string{
	"GET /metrics", "GET /api/v1/openapi.yaml", "GET /api/v1/overview", "GET /api/v1/events", "GET /api/v1/jobs", "POST /api/v1/jobs:check",
	"GET /api/v1/jobs/{name}", "GET /api/v1/jobs/{name}/tasks", "GET /api/v1/jobs/{name}/tables", "GET /api/v1/jobs/{name}/positions", "GET /api/v1/jobs/{name}/dead-letters",
	"GET /api/v1/jobs/{name}/versions", "GET /api/v1/jobs/{name}/versions/{version}", "GET /api/v1/jobs/{name}/history",
	"GET /api/v1/templates", "GET /api/v1/templates/{name}", "GET /api/v1/templates/{name}/versions", "GET /api/v1/templates/{name}/versions/{version}",
	"GET /api/v1/jobs/{name}/verification",
	"GET /api/v1/history", "GET /api/v1/audit", "GET /api/v1/alarms", "GET /api/v1/tokens", "GET /api/v1/whoami",
}

// identify finds out whose token came with a request, in its header or, from the
// page, in the cookie.
func (s *Server) identify(v *visit, r *http.Request) (fromCookie bool, err error) {
	text := ""
	if given := r.Header.Get("Authorization"); given != "" {
		scheme, rest, _ := strings.Cut(given, " ")
		if !strings.EqualFold(scheme, "bearer") {
			return false, fault.New(fault.TokenRefused, "the header Authorization must be \"Bearer TOKEN\"")
		}
		text = strings.TrimSpace(rest)
	} else if c, err := r.Cookie(cookie); err == nil {
		text, fromCookie = c.Value, true
	}
	v.by, err = s.bearer(r, text)
	v.secret = text
	return fromCookie, err
}

func (s *Server) bearer(r *http.Request, text string) (api.Token, error) {
	switch {
	case text == "":
		return api.Token{}, fault.New(fault.TokenMissing, "this needs a token").Try("send it as \"Authorization: Bearer TOKEN\"; godwit token create makes one")
	case len(text) > tokenBytes:
		return api.Token{}, fault.New(fault.TokenRefused, "the token is unknown, expired or revoked")
	}
	return s.svc().Bearer(r.Context(), text)
}

// refuseToken answers a request whose token is missing or does not count. Only the
// latter is noted: a page asks without one before somebody has logged in.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case fault.Has(err, fault.TokenMissing):
		w.Header().Set("WWW-Authenticate", `Bearer realm="godwit"`)
	case fault.Has(err, fault.TokenRefused):
		w.Header().Set("WWW-Authenticate", `Bearer realm="godwit", error="invalid_token"`)
		s.refuse(w, r, http.StatusUnauthorized, fault.Of(err))
		return
	}
	problem(w, r, err)
}

func (s *Server) refuseRole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="godwit", error="insufficient_scope"`)
	s.refuse(w, r, http.StatusForbidden, fault.New(fault.TokenRefused, "the token %s may look, and not change anything", visitOf(r).by.Name).
		Try("use a token with the role operate"))
}

// login puts a token that counts into the page's cookie. A form that a browser sends
// by itself is led back to the page; a script gets 204 or a Problem.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	visitOf(r).route = "POST /login"
	if !s.sameOrigin(w, r, true) {
		return
	}
	if s.service.Load() == nil {
		problem(w, r, errStarting())
		return
	}
	form, err := readForm(w, r)
	if err != nil {
		refuseBody(w, r, err)
		return
	}
	text := strings.TrimSpace(form.Get("token"))
	by, err := s.bearer(r, text)
	if err != nil {
		s.refuseLogin(w, r, err)
		return
	}
	visitOf(r).by = by
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: text, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.secure(r)})
	back(w, r, "/")
}

func (s *Server) refuseLogin(w http.ResponseWriter, r *http.Request, err error) {
	if navigates(r) {
		if fault.Has(err, fault.TokenRefused) {
			s.notes.add(noted{from: remote(r), what: "POST /login", code: fault.TokenRefused, request: visitOf(r).id})
		}
		back(w, r, "/login?refused="+url.QueryEscape(string(fault.Of(err).Code)))
		return
	}
	s.refuseToken(w, r, err)
}

// logout takes the cookie away. It needs no token: the one in the cookie may be
// worth nothing any more.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	visitOf(r).route = "POST /logout"
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		problemWith(w, r, http.StatusMethodNotAllowed, fault.New(fault.BadRequest, "%s is not done to /logout", method(r)))
		return
	}
	if !s.sameOrigin(w, r, true) {
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.secure(r)})
	back(w, r, "/login")
}

// secure reports whether the browser speaks TLS, with this server or with a proxy
// before it.
func (s *Server) secure(r *http.Request) bool {
	return s.tls != nil || strings.HasPrefix(strings.ToLower(r.Header.Get("Origin")), "https://")
}

// navigates reports whether a browser shows the answer as a page.
func navigates(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "navigate" || mode == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}

func back(w http.ResponseWriter, r *http.Request, to string) {
	if navigates(r) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
