package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server that listens on the loopback.
type site struct {
	t    *testing.T
	s    *Server
	fake *fake
	host string
	http *http.Client
	log  *journal
	stop context.CancelFunc
	done chan error // Serve's
}

// journal keeps log lines.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

var testPage fs.FS = fstest.MapFS{
	"index.html":    {Data: []byte("<!doctype html><title>Godwit</title>")},
	"app.js":        {Data: []byte("export const x = 1\n" + strings.Repeat("// as long as a script\n", 200))},
	"style.css":     {Data: []byte("body {}")},
	"api/trap.html": {Data: []byte("never served")},
	".hidden":       {Data: []byte("never served")},
}

// open starts a server over a fake service; options may be changed before.
func open(t *testing.T, change ...func(*Options)) *site {
	t.Helper()
	f := newFake()
	log := &journal{}
	o := Options{
		Service: f, Version: "v1", Web: testPage, PerSecond: 1_000_000, Burst: 1_000_000,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{DisableCompression: true}
	x := &site{t: t, s: s, fake: f, host: l.Addr().String(), log: log, stop: cancel, done: make(chan error, 1),
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	go func() { x.done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
		select {
		case err := <-x.done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve did not end")
		}
	})
	return x
}

// answered is an answer that was read whole.
type answered struct {
	*http.Response
	body []byte
}

func (a answered) problem(t *testing.T) api.Problem {
	t.Helper()
	var p api.Problem
	if a.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s is no Problem: %.200s", a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != a.StatusCode || p.Code == "" || p.Title == "" || p.Request == "" {
		t.Errorf("the Problem is not whole: %s", a.body)
	}
	return p
}

// ask sends a request; headers are "Name: value". A body of JSON gets its type.
func (x *site) ask(method, path, body string, headers ...string) answered {
	x.t.Helper()
	return x.send(x.request(method, path, body, headers...))
}

func (x *site) request(method, path, body string, headers ...string) *http.Request {
	x.t.Helper()
	r, err := http.NewRequestWithContext(x.t.Context(), method, "http://"+x.host+path, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return r
}

func (x *site) send(r *http.Request) answered {
	x.t.Helper()
	resp, err := x.http.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return answered{resp, b}
}

// as is the header of a token.
func as(token string) string { return "Authorization: Bearer " + token }

// want fails unless an answer has a status, and a code where it is a Problem.
func (x *site) want(a answered, status int, code string) {
	x.t.Helper()
	if a.StatusCode != status {
		x.t.Errorf("%s %s: %d, want %d: %.300s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
		return
	}
	if code == "" {
		return
	}
	if p := a.problem(x.t); p.Code != code {
		x.t.Errorf("%s %s: %s, want %s", a.Request.Method, a.Request.URL.Path, p.Code, code)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}
