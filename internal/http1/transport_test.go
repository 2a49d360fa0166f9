package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service counts its connections and tells when one was closed.
type service struct {
	*httptest.Server
	made atomic.Int64
	gone chan struct{}
}

func serve(t *testing.T, start func(*httptest.Server), handle http.HandlerFunc) *service {
	t.Helper()
	s := &service{Server: httptest.NewUnstartedServer(handle), gone: make(chan struct{}, 1000)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.made.Add(1)
		case http.StateClosed:
			s.gone <- struct{}{}
		default:
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func transport(t *testing.T) *Transport {
	t.Helper()
	x := &Transport{Base: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}}
	t.Cleanup(x.CloseIdleConnections)
	return x
}

// answer is what a service said, but for the text.
type answer struct {
	status int
	proto  string
	header http.Header
}

func ask(t *testing.T, x http.RoundTripper, method, url, body string) (answer, string) {
	t.Helper()
	a, text, err := try(context.Background(), x, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return a, text
}

func try(ctx context.Context, x http.RoundTripper, method, url, body string) (answer, string, error) {
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, from)
	if err != nil {
		return answer{}, "", err
	}
	a, err := x.RoundTrip(r)
	if err != nil {
		return answer{}, "", err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	return answer{a.StatusCode, a.Proto, a.Header}, string(text), err
}

func TestRoundTrip(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 40_000)
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", len(b)))
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "late")
		case "/chunks":
			for i := range 3 {
				fmt.Fprint(w, i)
				w.(http.Flusher).Flush()
			}
		case "/big":
			_, _ = io.WriteString(w, big)
		default:
			_, _ = w.Write(b)
		}
	})
	x := transport(t)
	for _, c := range []struct{ method, path, body, want, got string }{
		{"GET", "/a?b=c", "", "", "GET /a?b=c 0"},
		{"PUT", "/echo", "text", "text", "PUT /echo 4"},
		{"HEAD", "/big", "", "", "HEAD /big 0"},
		{"DELETE", "/none", "", "", "DELETE /none 0"},
		{"GET", "/chunks", "", "012", "GET /chunks 0"},
		{"GET", "/early", "", "late", "GET /early 0"},
		{"GET", "/big", "", big, "GET /big 0"},
		{"PUT", "/echo", big, big, fmt.Sprintf("PUT /echo %d", len(big))}, // by Base
	} {
		a, text := ask(t, x, c.method, s.URL+c.path, c.body)
		if text != c.want || a.header.Get("X-Got") != c.got {
			t.Errorf("%s %s: %d bytes %.20q, %q", c.method, c.path, len(text), text, a.header.Get("X-Got"))
		}
	}
	if n := s.made.Load(); n != 2 {
		t.Errorf("%d connections for requests one after another, and one of the base", n)
	}
}

func TestRoundTrip_when_the_service_closes_after_each(t *testing.T) {
	s := serve(t, func(s *httptest.Server) { s.Config.SetKeepAlivesEnabled(false); s.Start() }, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	x := transport(t)
	for i := range 10 {
		if _, text := ask(t, x, "PUT", s.URL, fmt.Sprint(i)); text != fmt.Sprint(i) {
			t.Errorf("got %q", text)
		}
		<-s.gone
	}
	if n := s.made.Load(); n != 10 {
		t.Errorf("%d connections", n)
	}
}

func TestRoundTrip_when_many_ask_at_once(t *testing.T) {
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	x := transport(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 50 {
				want := fmt.Sprint(i, " ", j)
				if _, text, err := try(context.Background(), x, "PUT", s.URL, want); err != nil || text != want {
					t.Errorf("%q, %v; want %q", text, err, want)
				}
			}
		})
	}
	all.Wait()
	if n := s.made.Load(); n > 16 {
		t.Errorf("%d connections", n)
	}
}

func TestRoundTrip_when_the_service_closed_an_idle_connection(t *testing.T) {
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	x := transport(t)
	ask(t, x, "PUT", s.URL, "x")
	s.CloseClientConnections()
	<-s.gone
	x.mu.Lock()
	for _, list := range x.idle {
		for _, c := range list {
			c.since = c.since.Add(-2 * freshFor)
		}
	}
	x.mu.Unlock()
	if _, text := ask(t, x, "PUT", s.URL, "y"); text != "y" { // looked at
		t.Errorf("got %q", text)
	}
	s.CloseClientConnections()
	<-s.gone
	if a, _ := ask(t, x, "GET", s.URL, ""); a.status != http.StatusOK { // taken to be open, and asked again
		t.Errorf("got %v", a.status)
	}
}

func TestRoundTrip_when_its_context_ends(t *testing.T) {
	come, end := make(chan struct{}), make(chan struct{})
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
		}
		come <- struct{}{}
		<-end
	})
	defer close(end)
	x := transport(t)
	why := errors.New("no more")
	for _, path := range []string{"/head", "/body"} {
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() { <-come; cancel(why) }()
		if _, _, err := try(ctx, x, "GET", s.URL+path, ""); !errors.Is(err, why) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(x.idle) > 0 {
		t.Error("a connection that was cut waits for the next request")
	}
}

// A service that refuses a request answers before it has read it.
func TestRoundTrip_when_the_answer_comes_first(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var served sync.WaitGroup
	defer served.Wait()
	served.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = bufio.NewReader(io.LimitReader(c, 100)).ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow")
		_, _ = io.Copy(io.Discard, c)
	})
	a, text := ask(t, transport(t), "PUT", "http://"+l.Addr().String(), strings.Repeat("x", mostBody))
	if a.status != http.StatusServiceUnavailable || text != "slow" {
		t.Errorf("%v %q", a.status, text)
	}
}

func TestRoundTrip_when_the_answer_is_cut(t *testing.T) {
	for _, text := range []string{"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "nonsense\r\n\r\n", strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 9)} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, text)
				_ = c.Close()
			}
		})
		x := transport(t)
		if _, got, err := try(context.Background(), x, "GET", "http://"+l.Addr().String(), ""); err == nil {
			t.Errorf("%.20q: answered %q", text, got)
		}
		if len(x.idle) > 0 {
			t.Errorf("%.20q: the connection is kept", text)
		}
		_ = l.Close()
		served.Wait()
	}
}

func TestRoundTrip_when_a_body_is_not_read_to_its_end(t *testing.T) {
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), 10_000)) })
	x := transport(t)
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Body.Close(); err != nil {
		t.Error(err)
	}
	if n, err := a.Body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes of a closed body, %v", n, err)
	}
	if _, text := ask(t, x, "GET", s.URL, ""); len(text) != 10_000 || s.made.Load() != 2 {
		t.Errorf("%d bytes, %d connections", len(text), s.made.Load())
	}
}

// A body may be closed while it is read, as by a request that sends it on and is cut;
// what is read by then must not be another answer's.
func TestRoundTrip_when_a_body_is_closed_while_it_is_read(t *testing.T) {
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, r *http.Request) {
		for range 200 {
			if _, err := io.WriteString(w, strings.Repeat(r.URL.Path[1:], 1000)); err != nil {
				return
			}
		}
	})
	x := transport(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			own := string(rune('a' + i))
			for range 40 {
				r, err := http.NewRequest(http.MethodGet, s.URL+"/"+own, nil)
				if err != nil {
					t.Error(err)
					return
				}
				a, err := x.RoundTrip(r) //nolint:bodyclose // it is, below
				if err != nil {
					t.Error(err)
					return
				}
				begun, read := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(read)
					p := make([]byte, 1000)
					for n, err := a.Body.Read(p); err == nil; n, err = a.Body.Read(p) {
						select {
						case <-begun:
						default:
							close(begun)
						}
						if strings.Trim(string(p[:n]), own) != "" {
							t.Errorf("%s has bytes of another answer", own)
							return
						}
					}
				}()
				<-begun
				if err := a.Body.Close(); err != nil {
					t.Error(err)
				}
				<-read
			}
		})
	}
	all.Wait()
}

func TestRoundTrip_when_it_is_secure(t *testing.T) {
	s := serve(t, (*httptest.Server).StartTLS, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	x := transport(t)
	if _, _, err := try(context.Background(), x, "PUT", s.URL, "x"); err == nil {
		t.Error("an unknown authority is trusted")
	}
	x.Base.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	for range 3 {
		if a, text := ask(t, x, "PUT", s.URL, "x"); text != "x" || a.proto != "HTTP/1.1" {
			t.Errorf("%q by %s", text, a.proto)
		}
	}
	if n := s.made.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	var wrong x509.HostnameError
	if _, _, err := try(context.Background(), x, "PUT", other, "x"); !errors.As(err, &wrong) {
		t.Errorf("another name is trusted: %v", err)
	}
}

func TestRoundTrip_when_there_is_a_proxy(t *testing.T) {
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "by proxy: ", r.URL.String()) })
	x := transport(t)
	x.Base.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(s.URL) }
	if _, text := ask(t, x, "GET", "http://bucket.invalid/key", ""); text != "by proxy: http://bucket.invalid/key" {
		t.Errorf("got %q", text)
	}
}

func TestCloseIdleConnections(t *testing.T) {
	s := serve(t, (*httptest.Server).Start, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") })
	x := transport(t)
	ask(t, x, "GET", s.URL, "")
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.RoundTrip(r) // in use meanwhile
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	x.CloseIdleConnections()
	if b, err := io.ReadAll(a.Body); string(b) != "x" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	select {
	case <-s.gone:
	case <-time.After(10 * time.Second):
		t.Error("the connection stays open")
	}
}
