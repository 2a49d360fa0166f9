package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

func (x *site) health() api.Health {
	x.t.Helper()
	a := x.ask("GET", "/healthz", "")
	var h api.Health
	if err := json.Unmarshal(a.body, &h); err != nil || a.StatusCode != http.StatusOK {
		x.t.Fatal(a.StatusCode, err)
	}
	return h
}

func TestServe_when_the_service_comes_later(t *testing.T) {
	var f Service
	x := open(t, func(o *Options) { f, o.Service = o.Service, nil })
	if h := x.health(); h.Status != api.HealthStatusStarting || h.Jobs != 0 || h.Version != "v1" {
		t.Errorf("%+v", h)
	}
	a := x.ask("GET", "/api/v1/jobs", "", as(operator))
	x.want(a, 503, "SERVER_GONE")
	if a.Header.Get("Retry-After") == "" {
		t.Error(a.Header)
	}
	x.want(x.ask("GET", "/", ""), 200, "")
	if a = x.ask("GET", "/readyz", ""); a.Header.Get("Retry-After") == "" {
		t.Error(a.Header)
	}
	x.want(a, 503, "SERVER_GONE")
	x.s.SetService(f)
	x.want(x.ask("GET", "/readyz", ""), 200, "")
	x.want(x.ask("POST", "/readyz", "", as(operator)), 405, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/jobs", "", as(operator)), 200, "")
	if h := x.health(); h.Status != api.HealthStatusOk || h.Jobs != 3 {
		t.Errorf("%+v", h)
	}
}

// TestServe_when_it_stops has a request under way and a stream open.
func TestServe_when_it_stops(t *testing.T) {
	x := open(t)
	under, goOn := make(chan struct{}), make(chan struct{})
	x.fake.before = func(_ context.Context, call string) error {
		if call == "Plan" {
			close(under)
			<-goOn
		}
		return nil
	}
	l := x.listen("/api/v1/events", as(reader))
	got := make(chan answered, 1)
	r := x.request("POST", "/api/v1/jobs:plan", newJob, as(operator))
	go func() { got <- x.send(r) }()
	<-under
	x.stop()
	if _, ok := l.next(); ok {
		t.Error("the stream goes on")
	}
	eventually(t, "it says that it stops", func() bool { return x.health().Status == api.HealthStatusStopping })
	x.want(x.ask("GET", "/api/v1/jobs", "", as(operator)), 503, "SERVER_GONE")
	x.want(x.ask("GET", "/readyz", ""), 503, "SERVER_GONE")
	select {
	case err := <-x.done:
		t.Fatalf("Serve ended before its requests: %v", err)
	default:
	}
	close(goOn)
	x.want(<-got, 200, "")
	if err := <-x.done; err != nil {
		t.Error(err)
	}
	x.done <- nil // for the clean-up
	if c, err := net.Dial("tcp", x.host); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestServe_when_a_request_does_not_end_in_time(t *testing.T) {
	x := open(t, func(o *Options) { o.Grace = 20 * time.Millisecond })
	under := make(chan struct{})
	x.fake.before = func(ctx context.Context, call string) error {
		if call == "Plan" {
			close(under)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	got := make(chan answered, 1)
	r := x.request("POST", "/api/v1/jobs:plan", newJob, as(operator))
	go func() { got <- x.send(r) }()
	<-under
	x.stop()
	x.want(<-got, 503, "SERVER_GONE")
}

func TestServe_when_all_slots_are_taken(t *testing.T) {
	x := open(t, func(o *Options) { o.AtOnce = 1 })
	under, goOn := make(chan struct{}), make(chan struct{})
	x.fake.before = func(_ context.Context, call string) error {
		if call == "Plan" {
			close(under)
			<-goOn
		}
		return nil
	}
	got := make(chan answered, 1)
	r := x.request("POST", "/api/v1/jobs:plan", newJob, as(operator))
	go func() { got <- x.send(r) }()
	<-under
	a := x.ask("GET", "/api/v1/jobs", "", as(reader))
	x.want(a, 429, "TOO_MANY_REQUESTS")
	if a.Header.Get("Retry-After") != "1" {
		t.Error(a.Header)
	}
	if x.health().Status != api.HealthStatusOk {
		t.Error("health is no work")
	}
	close(goOn)
	x.want(<-got, 200, "")
	x.want(x.ask("GET", "/api/v1/jobs", "", as(reader)), 200, "")
}

func TestRequest_when_it_meets_a_defect(t *testing.T) {
	x := open(t)
	x.fake.before = func(_ context.Context, call string) error {
		switch call {
		case "Show":
			panic("planted at /secret/place")
		case "List":
			return os.ErrPermission // an error that nobody gave a code
		}
		return nil
	}
	for _, path := range []string{"/api/v1/jobs/shop", "/api/v1/jobs"} {
		a := x.ask("GET", path, "", as(operator), "X-Request-Id: the-one.1")
		x.want(a, 500, "INTERNAL")
		if p := a.problem(t); p.Request != "the-one.1" || a.Header.Get("X-Request-Id") != "the-one.1" {
			t.Errorf("%+v", p)
		}
		if text := string(a.body); strings.Contains(text, "planted") || strings.Contains(text, "goroutine") || strings.Contains(text, ".go") || strings.Contains(text, "permission") {
			t.Errorf("it tells what is inside: %s", text)
		}
	}
	log := x.log.String()
	for _, want := range []string{"planted at /secret/place", "request=the-one.1", "serve_test.go", "permission denied", "status=500", `route="GET /api/v1/jobs/{name}"`, "who=ana"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if len(x.s.slots) != 0 {
		t.Error("a slot was not given back")
	}
	x.fake.before = func(context.Context, string) error {
		return fault.New(fault.StateBroken, "the disk is gone").By(os.ErrPermission)
	}
	x.want(x.ask("GET", "/api/v1/jobs", "", as(operator)), 500, "STATE_BROKEN")
}

func TestRequest_when_its_id_is_odd(t *testing.T) {
	x := open(t)
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", strings.Repeat("x", 65), "a\"b", "ü"} {
		got := x.ask("GET", "/healthz", "", "X-Request-Id: "+id).Header.Get("X-Request-Id")
		if got == id || !goodID.MatchString(got) || seen[got] {
			t.Errorf("%q: %q", id, got)
		}
		seen[got] = true
	}
}

func TestServe_when_a_listener_fails(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	good, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad.Close()
	if err := s.Serve(t.Context(), good, bad); err == nil || !strings.Contains(err.Error(), bad.Addr().String()) {
		t.Error(err)
	}
}

func TestServe_when_it_speaks_TLS(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certificate(t, cert, key, 1)
	x := open(t, func(o *Options) { o.Certificate, o.Key = cert, key })
	pool := x509.NewCertPool()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(text)
	x.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "localhost"}
	x.http.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	secure := func(method, path, body string, headers ...string) answered {
		r := x.request(method, path, body, headers...)
		r.URL.Scheme = "https"
		return x.send(r)
	}
	if a := secure("GET", "/healthz", ""); a.StatusCode != http.StatusOK || a.ProtoMajor != 2 {
		t.Error(a.StatusCode, a.Proto)
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	a := secure("POST", "/login", "token="+reader, form, "Origin: https://"+x.host)
	if c := a.Cookies(); a.StatusCode != http.StatusNoContent || len(c) != 1 || !c[0].Secure {
		t.Error(a.StatusCode, c)
	}
	x.want(secure("POST", "/login", "token="+reader, form, "Origin: http://"+x.host), 403, "NOT_ALLOWED_HERE")

	if _, err := New(Options{Certificate: cert, Key: cert}); !fault.Has(err, fault.Usage) {
		t.Error(err)
	}

	// It is renewed: the key comes first, then what does not fit it, then the whole.
	serial := func() int64 {
		c, err := tls.Dial("tcp", x.host, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if err := os.WriteFile(cert, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(t, cert, time.Minute)
	if got := serial(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	certificate(t, cert, key, 2)
	touch(t, cert, 2*time.Minute)
	if got := serial(); got != 2 {
		t.Errorf("certificate %d", got)
	}
}

func touch(t *testing.T, path string, later time.Duration) {
	t.Helper()
	at := time.Now().Add(later)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// certificate writes one for localhost with a serial number, and its key.
func certificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
