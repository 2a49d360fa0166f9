package server

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// uriBytes is how long the path and the parameters of a request may be.
const uriBytes = 8 << 10

// admit lets a request through to what it is for, or says why not. What costs least
// is looked at first.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	if len(r.RequestURI) > uriBytes {
		problemWith(w, r, http.StatusRequestURITooLong, fault.New(fault.BadRequest, "the address has %d bytes, at most %d are taken", len(r.RequestURI), uriBytes))
		return
	}
	if !s.names.serves(r.Host) {
		err := fault.New(fault.NotAllowed, "this server is not asked by the name %.80q", hostOf(r.Host)).
			Try("use the address it listens on; whoever runs the server can allow more names")
		s.refuse(w, r, http.StatusForbidden, err)
		return
	}
	if answer, is := s.probes(r.URL.Path); is && safe(r) {
		v.route = "GET " + r.URL.Path
		answer(w, r)
		return
	}
	if s.stopping.Load() {
		problem(w, r, errStopping())
		return
	}
	select {
	case s.slots <- struct{}{}:
		v.taken = true
	default:
		problem(w, r, fault.New(fault.TooMany, "the server works on %d requests already", s.o.AtOnce))
		return
	}
	switch {
	case r.URL.Path == "/login" && r.Method == http.MethodPost:
		s.login(w, r)
		return
	case reserved(r.URL.Path):
		s.admitCall(w, r)
		return
	}
	v.route = "page"
	s.page.serve(w, r)
}

func errStarting() error {
	return fault.New(fault.ServerGone, "the server is starting").Try("ask again in a moment")
}

func errStopping() error {
	return fault.New(fault.ServerGone, "the server is stopping").Try("ask again in a moment: jobs go on when it is up")
}

// reserved reports whether a path is never the page's. GET of /login is: the page has
// the form there.
func reserved(p string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+p), "/"), "/")
	return slices.Contains([]string{"api", "metrics", "healthz", "readyz", "logout"}, first)
}

// admitCall is admit for what is not the page.
func (s *Server) admitCall(w http.ResponseWriter, r *http.Request) {
	if !s.sameOrigin(w, r, false) {
		return
	}
	if s.service.Load() == nil {
		problem(w, r, errStarting())
		return
	}
	if r.URL.Path == "/logout" {
		s.logout(w, r)
		return
	}
	v := visitOf(r)
	fromCookie, err := s.identify(v, r)
	if err != nil {
		s.refuseToken(w, r, err)
		return
	}
	if fromCookie && !safe(r) && !s.sameOrigin(w, r, true) {
		return
	}
	if wait := s.rates.take(v.by.Name); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		problem(w, r, fault.New(fault.TooMany, "the token %s sends more than %d requests a second", v.by.Name, s.o.PerSecond).Try("wait as long as Retry-After says"))
		return
	}
	found, pattern := s.mux.Handler(r)
	if path.Clean(r.URL.Path) != r.URL.Path {
		pattern = "" // the mux would send the client on to another address
	}
	if pattern == "" {
		noRoute(w, r, found)
		return
	}
	v.route = pattern
	if v.by.Role != api.Operate && !slices.Contains(forReaders, pattern) {
		s.refuseRole(w, r)
		return
	}
	s.call(w, r, pattern)
}

// noRoute answers what no operation is for. found is the mux's own answer, which
// knows what methods there are.
func noRoute(w http.ResponseWriter, r *http.Request, found http.Handler) {
	p := &peek{header: http.Header{}}
	if path.Clean(r.URL.Path) == r.URL.Path {
		found.ServeHTTP(p, r)
	}
	if allow := p.header.Get("Allow"); p.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		problemWith(w, r, http.StatusMethodNotAllowed, fault.New(fault.BadRequest, "%s is not done to %s", method(r), shown(r.URL.Path)).Try("it takes %s", allow))
		return
	}
	problemWith(w, r, http.StatusNotFound, fault.New(fault.BadRequest, "there is nothing at %s", shown(r.URL.Path)).Try("the contract is at /api/v1/openapi.yaml"))
}

// peek takes an answer that is not sent.
type peek struct {
	header http.Header
	status int
}

func (p *peek) Header() http.Header         { return p.header }
func (p *peek) WriteHeader(status int)      { p.status = status }
func (p *peek) Write(b []byte) (int, error) { return len(b), nil }

// refuse answers that something is not allowed, and notes it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, err *fault.Error) {
	s.notes.add(noted{by: visitOf(r).by.Name, from: remote(r), what: method(r) + " " + shown(r.URL.Path), code: err.Code, request: visitOf(r).id})
	problemWith(w, r, status, err)
}

// shown is a path for a log: it may be any text.
func shown(p string) string {
	if quoted := strconv.Quote(p); len(p) > 200 || quoted != `"`+p+`"` {
		return fmt.Sprintf("%.200s", quoted)
	}
	return p
}

// remote is the address that a request came from, without its port.
func remote(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// names are the hosts that a server is asked by, and the pages that may change things.
type names struct {
	hosts   []string
	any     bool // any IP address: no name of somebody else can be made to be one
	origins []string
	secure  bool
}

func newNames(o Options) names {
	n := names{hosts: []string{"localhost", "127.0.0.1", "::1"}, secure: o.Certificate != ""}
	for _, address := range o.Listen {
		host := hostOf(address)
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			n.any = true
			continue
		}
		n.hosts = append(n.hosts, host)
	}
	for _, host := range o.Hosts {
		n.hosts = append(n.hosts, hostOf(host))
	}
	for _, origin := range o.Origins {
		n.origins = append(n.origins, strings.ToLower(strings.TrimSuffix(origin, "/")))
		if u, err := url.Parse(origin); err == nil && u.Host != "" {
			n.hosts = append(n.hosts, hostOf(u.Host)) // a proxy hands the name on
		}
	}
	return n
}

// hostOf returns the host of host:port, in small letters and without brackets.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// serves reports whether a request may name this host.
func (n names) serves(host string) bool {
	name := hostOf(host)
	if slices.Contains(n.hosts, name) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (n.any || ip.IsLoopback())
}

// ours reports whether an Origin is that of this server, as the request names it, or
// one of those it was started with.
func (n names) ours(origin, host string) bool {
	if slices.Contains(n.origins, strings.ToLower(origin)) {
		return true
	}
	scheme, rest, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(rest, host) && (scheme == "https" || scheme == "http" && !n.secure)
}

// sameOrigin reports whether a request is not from a page of another origin, and
// refuses it else. Where a cookie speaks for somebody a request must prove that
// (needed): browsers add the cookie without asking him.
func (s *Server) sameOrigin(w http.ResponseWriter, r *http.Request, needed bool) bool {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	ok := !needed
	switch {
	case origin != "":
		ok = s.names.ours(origin, r.Host)
	case site == "same-origin":
		ok = true
	}
	if site == "cross-site" || site == "same-site" {
		ok = ok && slices.Contains(s.names.origins, strings.ToLower(origin))
	}
	if !ok {
		s.refuse(w, r, http.StatusForbidden, fault.New(fault.NotAllowed, "a page of another origin may not use this server").
			Try("open the page of this server itself; programs send a token and no Origin"))
	}
	return ok
}
