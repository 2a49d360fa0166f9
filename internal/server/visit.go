package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/service"
)

// visit is what is known of a request while it is answered.
type visit struct {
	id     string
	by     api.Token // whose token came with it; its Name is empty before that is known
	secret string    // the token's text, to look again whether it still counts
	route  string    // "GET /api/v1/jobs"; empty: none
	began  time.Time
	out    *answer
	failed error // what it was answered with, where it was not done
	taken  bool  // it holds a slot
	zips   *zips // the server's
}

type visitKey struct{}

// visitOf returns the visit that r belongs to; every request that enter let in has one.
func visitOf(r *http.Request) *visit { return r.Context().Value(visitKey{}).(*visit) }

func who(r *http.Request) service.Who {
	v := visitOf(r)
	return service.Who{Name: v.by.Name, Request: v.id}
}

var goodID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID takes over the id that a request came with, where it is harmless in logs
// and headers.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); goodID.MatchString(id) {
		return id
	}
	return strings.ToLower(rand.Text())
}

// enter is where all requests come in.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	v := &visit{id: requestID(r), began: s.o.Now(), zips: &s.zips}
	v.out = &answer{ResponseWriter: w, rc: http.NewResponseController(w), patience: s.o.Write}
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	for name, value := range always {
		v.out.Header().Set(name, value)
	}
	v.out.Header().Set("X-Request-Id", v.id)
	defer s.ended(v, r)
	s.admit(v.out, r)
}

// always are headers of every answer: nothing of this server is for another origin,
// and nothing that is not of this server runs in its pages.
var always = map[string]string{
	"Content-Security-Policy":      "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"Cache-Control":                "no-store",
}

// ended counts and logs a request. One that panicked is a defect: it is logged with
// the stack, and the client learns nothing but the id.
func (s *Server) ended(v *visit, r *http.Request) {
	if v.taken {
		<-s.slots
	}
	crash := recover()
	if crash != nil && crash != http.ErrAbortHandler {
		s.o.Log.Error("a request met a defect", "request", v.id, "route", v.route, "panic", crash, "stack", string(debug.Stack()))
		if v.out.status == 0 {
			problem(v.out, r, fault.New(fault.Internal, "a defect in godwit").Try("look for request %s in the log of the server", v.id))
			crash = nil
		}
	}
	took := s.o.Now().Sub(v.began)
	s.meters.request(v, took)
	line := []any{"request", v.id, "who", v.by.Name, "method", method(r), "route", v.route, "status", v.out.code(),
		"bytes", v.out.bytes, "duration", took.Round(time.Microsecond)}
	if v.failed != nil {
		line = append(line, "error", v.failed)
	}
	s.o.Log.Log(r.Context(), v.level(r), "request", line...)
	if crash != nil {
		panic(http.ErrAbortHandler) // the answer is cut off rather than passed off as whole
	}
}

// level keeps what is only looked at out of a log that people read.
func (v *visit) level(r *http.Request) slog.Level {
	switch {
	case v.out.status >= 500 && v.out.status != http.StatusServiceUnavailable:
		return slog.LevelWarn
	case v.out.status >= 400, safe(r):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// method returns the method for logs: any text can be one.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return r.Method
	}
	return "other"
}

// safe reports whether a request only looks.
func safe(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// answer remembers what was answered. A client has patience from its first byte on
// to take an answer whole.
type answer struct {
	http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
	status   int
	bytes    int64
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader is http.ResponseWriter's.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
		_ = a.rc.SetWriteDeadline(time.Now().Add(a.patience)) // of the connection's own clock
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// code is the status that the client saw.
func (a *answer) code() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}
