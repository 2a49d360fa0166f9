package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"godwit/internal/fault"
	"godwit/internal/http1"
)

// secure says how the service's certificate is checked.
type secure struct {
	ca   string // PEM file of more authorities; empty: the system's alone
	skip bool   // the certificate is not checked
}

// newTransport returns connections for about requests requests at once.
func newTransport(requests int, t secure) (*http1.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.skip} //nolint:gosec // only when the job file says so
	if t.ca != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fault.New(fault.JobValue, "tls.ca cannot be read").By(err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fault.New(fault.JobValue, "tls.ca has no certificate in PEM form").At("%s", t.ca)
		}
		config.RootCAs = pool
	}
	// HTTP/1.1 only: requests side by side on connections of their own are faster
	// than streams of one connection, and a stalled one holds up no other.
	var only11 http.Protocols
	only11.SetHTTP1(true)
	return &http1.Transport{Base: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// Probes on idle connections are of no use: watch ends a request on which
		// nothing moves.
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     config,
		Protocols:           &only11,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: max(requests, 64),
		IdleConnTimeout:     55 * time.Second, // shorter than most services'
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     4 << 10,
		DisableCompression:  true, // objects come as they are
	}}, nil
}

// asking asks for leave before each request, repetitions included.
type asking struct {
	http.RoundTripper
	leave func(context.Context) error // nil: none is needed
}

// RoundTrip implements http.RoundTripper.
func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.leave != nil {
		if err := a.leave(r.Context()); err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, err
		}
	}
	return a.RoundTripper.RoundTrip(r)
}

var errStalled = errors.New("nothing moved on the connection")

// watch ends a request on which nothing moves any more.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func watched(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() { w.cancel(errStalled) })
	return w
}

// moved is called when bytes have moved.
func (w *watch) moved() { w.timer.Reset(w.limit) }

// pause is called while the request waits for its caller.
func (w *watch) pause() { w.timer.Stop() }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}
