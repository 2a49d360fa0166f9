// Package proxy stands between a client and a server that speaks HTTP and spoils
// single requests, as networks and busy servers do.
package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Fault is what happens to a request.
type Fault uint8

// Faults.
const (
	None        Fault = iota
	Unavailable       // 503; the server does not see the request
	Reset             // the connection is cut; the server does not see the request
	LostAnswer        // the server carries it out, then the connection is cut
	FlipRequest       // a byte of the body is changed on the way there
	FlipAnswer        // a byte of the body is changed on the way back
	Truncate          // half of the answer's body, then the connection is cut
	Stall             // half of the answer's body, then nothing
)

func (f Fault) String() string {
	return [...]string{"none", "503", "reset", "lost answer", "flipped byte of the request", "flipped byte of the answer", "cut answer", "stalled answer"}[f]
}

// Proxy is a running proxy. It is safe for concurrent use.
type Proxy struct {
	URL string

	to     string
	client *http.Client
	closed chan struct{}

	mu     sync.Mutex
	method string
	fault  Fault
	always bool
	done   int
	own    map[string]answer // by what the query has
}

type answer struct {
	status int
	text   string
}

// Start starts a proxy before the server at the URL to, for the time of t.
func Start(t testing.TB, to string) *Proxy {
	t.Helper()
	p := &Proxy{to: to, client: &http.Client{Transport: &http.Transport{DisableCompression: true}}, closed: make(chan struct{})}
	s := httptest.NewServer(p)
	p.URL = s.URL
	t.Cleanup(func() {
		close(p.closed)
		s.CloseClientConnections()
		s.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// Next spoils the next request of a method, once.
func (p *Proxy) Next(method string, f Fault) { p.set(method, f, false) }

// Always spoils all requests of a method; None ends it.
func (p *Proxy) Always(method string, f Fault) { p.set(method, f, true) }

func (p *Proxy) set(method string, f Fault, always bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.method, p.fault, p.always, p.done = method, f, always, 0
}

// Answer answers requests whose query has the key itself, as a service would that
// can what the server cannot.
func (p *Proxy) Answer(key string, status int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own == nil {
		p.own = map[string]answer{}
	}
	p.own[key] = answer{status, text}
}

func (p *Proxy) ownAnswer(r *http.Request) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, a := range p.own {
		if r.URL.Query().Has(key) {
			return a, true
		}
	}
	return answer{}, false
}

// Done returns how many requests were spoilt since the last Next or Always.
func (p *Proxy) Done() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func (p *Proxy) take(method string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == None || p.method != method || p.done > 0 && !p.always {
		return None
	}
	p.done++
	return p.fault
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a, ok := p.ownAnswer(r); ok {
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.text)
		return
	}
	f := p.take(r.Method)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch f {
	case Unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case Reset:
		panic(http.ErrAbortHandler)
	case FlipRequest:
		flip(body)
	}
	answer, err := p.send(r, body)
	if err != nil || f == LostAnswer {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	}
	w.WriteHeader(answer.StatusCode)
	switch f {
	case FlipAnswer:
		flip(data)
	case Truncate, Stall:
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		if f == Stall {
			select {
			case <-p.closed:
			case <-r.Context().Done():
			}
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(data)
}

func flip(b []byte) {
	if len(b) > 0 {
		b[len(b)/2] ^= 0x10
	}
}

// send passes the request on as it is: path and headers are signed.
func (p *Proxy) send(r *http.Request, body []byte) (*http.Response, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.to+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.URL.Opaque = ""
	out.Host = r.Host
	out.Header = r.Header.Clone()
	out.ContentLength = int64(len(body))
	return p.client.Do(out)
}
