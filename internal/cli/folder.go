package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/server"
	"godwit/internal/service"
)

// byCommands is who asks where no server is asked.
const byCommands = "cli"

// folderHost stands for a state folder in requests.
const folderHost = "localhost"

// startWait is how long a command waits at most for a server that starts, or stops, to
// say where it listens.
const startWait = 10 * time.Second

// startingError is that of a server that has its folder and does not say yet where it
// listens.
type startingError struct{ error }

func (e startingError) Unwrap() error { return e.error }

// whereItListens adds to the refusal of a folder that a server has where that one is.
func whereItListens(err error, dir string) error {
	if !fault.Has(err, fault.StateLocked) {
		return err
	}
	who, held, _ := service.Held(dir)
	f, failed := readServeFile(dir)
	if failed != nil || !held || who.Process != strconv.Itoa(f.PID) {
		return err
	}
	e := *fault.Of(err)
	e.What += "; it listens at " + clean(f.URL)
	return &e
}

// settledAddress is address once a server that starts has done so; it waits for that no
// longer than for an answer.
func (a *app) settledAddress(wait time.Duration) (at address, err error) {
	for waited := time.Duration(0); waited < min(wait, startWait); waited += restFirst {
		if at, err = a.address(); !errors.As(err, new(startingError)) {
			break
		}
		time.Sleep(restFirst)
	}
	return at, err
}

// stateAddress is where what the state folder holds is asked for: at the server that
// has it, else in the folder itself.
func (a *app) stateAddress() (address, error) {
	dir, err := a.stateFolder()
	if err != nil {
		return address{}, err
	}
	who, held, err := service.Held(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return address{}, fault.New(fault.StateBroken, "the state folder is another user's").At("%s", dir).By(reasonOf(err)).
			Try("run the command as the user that godwit serve runs as, or give --server and --token-file")
	case err != nil:
		return address{}, fault.New(fault.StateBroken, "the state folder cannot be used").At("%s", dir).By(reasonOf(err)).Try("see to its disk and permissions")
	case !held, who.Command:
		return address{url: &url.URL{Scheme: "http", Host: folderHost}, token: secret.New(rand.Text()), found: dir, folder: dir}, nil
	}
	at, err := a.local()
	if f, failed := readServeFile(dir); errors.Is(failed, fs.ErrNotExist) || failed == nil && who.Process != "" && who.Process != strconv.Itoa(f.PID) {
		return at, startingError{fault.New(fault.ServerGone, "a server has this state folder (process %s), and does not say yet where it listens", who.Process).At("%s", dir).
			Try("it starts or stops: ask again in a moment")}
	}
	return at, err
}

// folderTrip carries requests to the service of a state folder that no server has, in
// this process: the same service behind the same face as a server's. The folder is
// opened at the first request, and given back when connections are closed.
type folderTrip struct {
	a    *app
	at   address
	wait time.Duration // for one answer

	mu    sync.Mutex
	inner *http.Transport // nil: the folder is not open
	live  Service         // nil: a server has the folder by now, and is asked
	ended chan error
	leave func()
}

// RoundTrip implements http.RoundTripper.
func (t *folderTrip) RoundTrip(req *http.Request) (*http.Response, error) {
	inner, err := t.way(req)
	if err != nil {
		return nil, err
	}
	if t.live == nil { // the request was meant for the folder
		req = req.Clone(req.Context())
		req.URL.Scheme, req.URL.Host = t.at.url.Scheme, t.at.url.Host
		req.Header.Set("Authorization", "Bearer "+t.at.token.Reveal())
	}
	return inner.RoundTrip(req)
}

// way opens the folder for the first request. A server that took it meanwhile is asked
// instead.
func (t *folderTrip) way(req *http.Request) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inner != nil {
		return t.inner, nil
	}
	inner, err := t.open(req)
	if fault.Has(err, fault.StateLocked) {
		if at, failed := t.a.settledAddress(t.wait); failed == nil && at.folder == "" {
			t.a.hideToo(at.token)
			t.at, inner, err = at, at.transport(t.wait), nil
		}
	}
	t.inner = inner
	return inner, err
}

// open opens the folder; t.mu is held.
func (t *folderTrip) open(req *http.Request) (*http.Transport, error) {
	o, err := t.a.folderOptions(t.at.folder)
	if err != nil {
		return nil, err
	}
	o.Begin = begins(req)
	open := t.a.p.Serve
	if open == nil {
		open = openService
	}
	live, err := open(req.Context(), o)
	if err != nil {
		return nil, err
	}
	face, err := server.New(server.Options{Version: t.a.version(), Log: o.Log, Service: oneCaller{live, t.at.token}, Now: t.a.p.Now})
	if err != nil {
		return nil, errors.Join(err, live.Close(context.Background()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	wires := newPipes()
	t.live, t.ended, t.leave = live, make(chan error, 1), cancel
	go func() { t.ended <- face.Serve(ctx, wires) }()
	t.a.sayStill(t.at.folder)
	return &http.Transport{DialContext: wires.dial}, nil
}

// begins reports whether a request may make a folder one of a server: what it brings
// is there when the first server starts.
func begins(req *http.Request) bool {
	return req.Method == http.MethodPost && (req.URL.Path == "/api/v1/jobs" || req.URL.Path == "/api/v1/tokens")
}

// sayStill says once that no server is asked.
func (a *app) sayStill(dir string) {
	what := "no server has " + dir + ": this is what is kept there, and what is asked for has its effect when one starts"
	switch {
	case a.still:
	case a.json:
		a.emit(warningLine{jobHead: a.jobHead(lineWarning, a.job), What: what})
	default:
		a.say(what)
	}
	a.still = true
}

// closeTime is how long a command waits for what it began in the folder.
const closeTime = 10 * time.Second

// CloseIdleConnections gives the folder back; http.Client calls it so.
func (t *folderTrip) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inner == nil {
		return
	}
	t.inner.CloseIdleConnections()
	t.inner = nil
	if t.live == nil {
		return
	}
	t.leave()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := errors.Join(<-t.ended, t.live.Close(ctx)); err != nil {
		t.a.say("the state folder was not closed in order: " + fault.Of(err).Error())
	}
	t.live = nil
}

// folderOptions are what the service of a folder is opened with. Who may write the
// folder may do everything that godwit run may: the server looks again at what jobs
// touch when it takes them up.
func (a *app) folderOptions(dir string) (service.Options, error) {
	memory, err := option.ParseSize(serveMemory)
	if err != nil {
		return service.Options{}, err
	}
	log, _ := local.NewLog(func(t string) string { return a.hide(t) }, func(l slog.Level, line string) {
		if l >= slog.LevelError { // the answers have the rest
			a.serveLog(l, line)
		}
	})
	return service.Options{
		Dir: dir, Still: true, Engine: a.engine, Systems: a.sys, Memory: memory, Now: a.p.Now, Log: log,
		Resolver: option.Resolver{Env: a.lookUp, File: readFile}, Getenv: a.lookUp,
	}, nil
}

// oneCaller is a service that only this process asks, by a token that nobody else has.
type oneCaller struct {
	Service
	token secret.Text
}

// Bearer implements server.Service.
func (s oneCaller) Bearer(_ context.Context, text string) (api.Token, error) {
	if text != s.token.Reveal() {
		return api.Token{}, fault.New(fault.TokenRefused, "this is not the token of the command")
	}
	return api.Token{Name: byCommands, Role: api.Operate}, nil
}

// pipes are a listener whose connections lead from this process to itself.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
