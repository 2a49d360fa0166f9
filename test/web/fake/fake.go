// Package fake is a server of the API without jobs behind it: as many as are asked
// for, that move, fail and obey as a test wants. Types and routes are those that are
// generated from internal/api/openapi.yaml, so that it cannot drift from the contract.
package fake

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/server/web"
	"godwit/internal/watch"
)

// Tokens that the server takes.
const (
	Operator = "token-of-ana"
	Reader   = "token-of-a-reader"
)

// Server is the fake. Its zero time is when it was made.
type Server struct {
	api.ServerInterface // what the page does not ask for is not there

	started time.Time
	tables  int

	mu       sync.Mutex
	jobs     []*api.Job
	byName   map[string]*api.Job
	settle   map[string]func(*api.Job) // what comes of an act, once Settle is called
	mended   map[string]bool           // tables and tasks that fail no more
	audit    []api.Entry
	alarms   []api.Alarm
	letters  map[string][]watch.Letter    // by job
	verified map[string]api.Verifications // by job
	next     uint64                       // id of the next event
	watchers map[chan event]bool
	seconds  int
	broken   map[string]int // status codes by path, instead of an answer
	late     map[string]chan struct{}
	requests map[string]int // by method and path
}

type event struct {
	id   uint64
	kind string
	data any
}

// New makes a server with jobs, each of which has tables.
func New(jobs, tables int) *Server {
	s := &Server{
		started: time.Now(), tables: tables, byName: map[string]*api.Job{}, settle: map[string]func(*api.Job){},
		mended: map[string]bool{}, watchers: map[chan event]bool{}, broken: map[string]int{}, late: map[string]chan struct{}{}, requests: map[string]int{}, next: 1,
		letters: map[string][]watch.Letter{}, verified: map[string]api.Verifications{},
	}
	for i := range jobs {
		j := s.make(i)
		s.jobs = append(s.jobs, j)
		s.byName[j.Name] = j
	}
	s.prove()
	return s
}

// Handler serves the API, the page and the login.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	api.HandlerWithOptions(s, api.StdHTTPServerOptions{BaseRouter: mux})
	mux.HandleFunc("GET /", page)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "godwit", Path: "/", MaxAge: -1})
		w.WriteHeader(http.StatusNoContent)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests[r.Method+" "+r.URL.Path]++
		status, late := s.broken[r.URL.Path], s.late[r.URL.Path]
		s.mu.Unlock()
		if late != nil {
			kept := httptest.NewRecorder()
			defer func(w http.ResponseWriter) {
				<-late
				maps.Copy(w.Header(), kept.Header())
				w.WriteHeader(kept.Code)
				_, _ = kept.Body.WriteTo(w)
			}(w)
			w = kept
		}
		switch {
		case status != 0:
			refuse(w, status, "INTERNAL", "it was broken on purpose", "wait until the test mends it")
		case strings.HasPrefix(r.URL.Path, "/api/") && role(r) == "":
			refuse(w, http.StatusUnauthorized, "TOKEN_MISSING", "no token", "log in")
		case strings.HasPrefix(r.URL.Path, "/api/") && r.Method != http.MethodGet && role(r) != api.Operate:
			refuse(w, http.StatusForbidden, "TOKEN_REFUSED", "the token does not allow this", "its role is read")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// policy is the server's own: the page must work under it.
const policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// page serves the page as the server does: files have a dot, views have not.
func page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !strings.Contains(name, ".") {
		name = "index.html"
	}
	var files fs.FS = web.Files
	if dir := os.Getenv("GODWIT_WEB_DIR"); dir != "" {
		files = os.DirFS(dir) // while working on the page: no build between edit and look
	}
	http.ServeFileFS(w, r, files, name)
}

// Asked is how often something was asked for: "GET /api/v1/jobs".
func (s *Server) Asked(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[what]
}

// Break makes a path answer with a status until it is mended with 0.
func (s *Server) Break(path string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[path] = status
}

// Withhold keeps back the answers of a path, which are of when they were asked for,
// until they are let go.
func (s *Server) Withhold(path string) (letGo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := make(chan struct{})
	s.late[path] = late
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.late, path)
		close(late)
	})
}

func role(r *http.Request) api.Role {
	c, err := r.Cookie("godwit")
	switch {
	case err == nil && c.Value == Operator:
		return api.Operate
	case err == nil && c.Value == Reader:
		return api.Read
	}
	return ""
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	if token != Operator && token != Reader {
		refuse(w, http.StatusUnauthorized, "TOKEN_REFUSED", "the token is unknown, expired or revoked", "godwit token list shows those that count")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "godwit", Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

func refuse(w http.ResponseWriter, status int, code, what, hint string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Type: "docs/errors.md#" + strings.ToLower(code), Title: what, Status: status, Code: code, Hint: hint, Request: "r-1"})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// WhoAmI implements the API.
func (s *Server) WhoAmI(w http.ResponseWriter, r *http.Request) {
	name := map[api.Role]string{api.Operate: "ana", api.Read: "viewer"}[role(r)]
	answer(w, api.Token{Name: name, Role: role(r), Created: s.started})
}

// Overview implements the API.
func (s *Server) Overview(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := api.Overview{At: time.Now().UTC(), Counts: s.counts(), UpS: time.Since(s.started).Seconds(), TakenUp: len(s.jobs), Memory: 312 << 20, MemoryLimit: 1 << 30}
	var rows, bytes, lag float64
	for _, j := range s.jobs {
		if needy(j) {
			o.NeedsYou++
		}
		p := j.Progress
		if p == nil || j.Standing.Status != api.StatusRunning {
			continue
		}
		if p.Rate != nil {
			rows += *p.Rate
		}
		if p.ByteRate != nil {
			bytes += *p.ByteRate
		}
		if p.Changes != nil && p.Changes.Lag.Seconds != nil && *p.Changes.Lag.Seconds > lag {
			lag, o.WorstLagJob = *p.Changes.Lag.Seconds, j.Name
		}
	}
	kept := 76.0 * 3600
	o.RowsS, o.BytesS, o.WorstLagS, o.LeastKeptS = &rows, &bytes, &lag, &kept
	answer(w, o)
}

func (s *Server) counts() map[string]int {
	c := map[string]int{}
	for _, j := range s.jobs {
		c[string(j.Standing.Status)]++
	}
	return c
}

func needy(j *api.Job) bool {
	return j.Health == api.JobHealthFailed || j.Health == api.JobHealthAlarm
}

// ListJobs implements the API; the cursor is a number.
func (s *Server) ListJobs(w http.ResponseWriter, _ *http.Request, p api.ListJobsParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []api.Job
	for _, j := range s.jobs {
		if matches(j, p) {
			out = append(out, *j)
		}
	}
	page := api.JobPage{Total: len(out), Counts: s.counts()}
	page.Items, page.Next = cut(out, p.After, p.Limit)
	answer(w, page)
}

func matches(j *api.Job, p api.ListJobsParams) bool {
	return (!p.NeedsYou || needy(j)) && (len(p.Status) == 0 || slices.Contains(p.Status, j.Standing.Status)) &&
		(p.Kind == "" || p.Kind == j.Kind) && (p.Group == "" || p.Group == j.Group) &&
		(strings.Contains(j.Name, p.Q) || strings.Contains(j.Way, p.Q))
}

// cut returns the page behind after, and the cursor of the next.
func cut[T any](all []T, after string, limit int) ([]T, string) {
	if limit == 0 {
		limit = 100
	}
	from := 0
	_, _ = fmt.Sscan(after, &from) // a cursor is our own
	from = min(from, len(all))
	to := min(from+limit, len(all))
	next := ""
	if to < len(all) {
		next = fmt.Sprint(to)
	}
	return append([]T{}, all[from:to]...), next
}

// ShowJob implements the API.
func (s *Server) ShowJob(w http.ResponseWriter, _ *http.Request, name api.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.find(w, name); j != nil {
		answer(w, j)
	}
}

func (s *Server) find(w http.ResponseWriter, name string) *api.Job {
	j := s.byName[name]
	if j == nil {
		refuse(w, http.StatusNotFound, "JOB_UNKNOWN", "no job "+name+" lives here", "godwit job list shows those that do")
	}
	return j
}

// ListAlarms implements the API.
func (s *Server) ListAlarms(w http.ResponseWriter, _ *http.Request, p api.ListAlarmsParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []api.Alarm{}
	for _, a := range s.alarms {
		if (p.Job == "" || a.Job == p.Job) && (p.All || a.Resolved.IsZero()) {
			out = append(out, a)
		}
	}
	answer(w, map[string]any{"items": out})
}

// Audit implements the API.
func (s *Server) Audit(w http.ResponseWriter, _ *http.Request, p api.AuditParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []api.Entry
	for _, e := range slices.Backward(s.audit) {
		if (p.Job == "" || e.Job == p.Job) && strings.Contains(e.What+e.By+e.Reason, p.Q) {
			out = append(out, e)
		}
	}
	page := api.AuditPage{}
	page.Items, page.Next = cut(out, p.After, p.Limit)
	answer(w, page)
}

// Events implements the API.
func (s *Server) Events(w http.ResponseWriter, r *http.Request, p api.EventsParams) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ch := make(chan event, 4096)
	s.mu.Lock()
	reset := p.After != "" && p.After != fmt.Sprint(s.next-1)
	at := s.next - 1
	s.watchers[ch] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, ch)
		s.mu.Unlock()
	}()
	if reset {
		fmt.Fprintf(w, "id: %d\nevent: reset\ndata: null\n\n", at)
	} else {
		fmt.Fprint(w, ": here\n\n")
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-ch:
			text, _ := json.Marshal(e.data) // types of the API
			fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.id, e.kind, text)
			if len(ch) == 0 {
				w.(http.Flusher).Flush()
			}
		}
	}
}

// tell sends an event to all who watch; s.mu is held.
func (s *Server) tell(kind string, data any) {
	e := event{s.next, kind, data}
	s.next++
	for ch := range s.watchers {
		select {
		case ch <- e:
		default:
		}
	}
}

// Watchers is how many streams are open.
func (s *Server) Watchers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}
