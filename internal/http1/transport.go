// Package http1 sends HTTP/1.1 requests on the goroutine of their caller. The
// transport of net/http has two goroutines for each connection, which hand over
// every request and every answer; with many small objects, on connections that a
// service closes after each, that takes more than the rest of a request does.
package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Transport is an http.RoundTripper. Requests that it is not made for (large
// bodies, which a service may refuse before it has read them, and those that go
// through a proxy) are left to Base. It may be used by any number of goroutines.
type Transport struct {
	// Base sends what Transport does not. Its Proxy, TLSClientConfig,
	// TLSHandshakeTimeout, DialContext, IdleConnTimeout and MaxIdleConnsPerHost hold
	// for Transport, too.
	Base *http.Transport

	// Buffers outlive their connections: many services close these after each request.
	readers, writers sync.Pool

	mu     sync.Mutex
	idle   map[string][]*conn // by scheme and address, the last used at the end
	closed int                // counts CloseIdleConnections
}

const (
	// mostBody is the largest body that is sent: what a service has not read of it
	// fits the buffers of the connection.
	mostBody = 128 << 10
	// A small body leaves together with its head.
	readBuffer, writeBuffer = 4 << 10, 16 << 10
	// freshFor is how long an idle connection is taken to be open without looking.
	freshFor = time.Second
)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.mine(r) {
		return t.Base.RoundTrip(r)
	}
	for {
		c, err := t.conn(r)
		if err != nil {
			closeBody(r)
			return nil, err
		}
		answer, err := c.send(r)
		if err == nil {
			return answer, nil
		}
		// A service may close an idle connection just when it is used again: nothing
		// was answered, and what only reads can be asked once more.
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !c.used || c.answered || !reads || r.Context().Err() != nil {
			return nil, err
		}
	}
}

// mine reports whether Transport itself sends a request.
func (t *Transport) mine(r *http.Request) bool {
	small := r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && r.ContentLength <= mostBody
	if !small || r.URL.Scheme != "http" && r.URL.Scheme != "https" || r.Header.Get("Expect") != "" || r.Header.Get("Upgrade") != "" {
		return false
	}
	if t.Base.Proxy == nil {
		return true
	}
	proxy, err := t.Base.Proxy(r)
	return proxy == nil && err == nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// conn returns a connection that waits idle, or a new one.
func (t *Transport) conn(r *http.Request) (*conn, error) {
	key := r.URL.Scheme + " " + r.URL.Host
	t.mu.Lock()
	closed := t.closed
	for list := t.idle[key]; len(list) > 0; list = t.idle[key] {
		c := list[len(list)-1]
		t.idle[key] = list[:len(list)-1]
		if since := time.Since(c.since); since < t.idleLimit() && (since < freshFor || c.open()) {
			t.mu.Unlock()
			c.used, c.answered = true, false
			return c, nil
		}
		c.end()
	}
	t.mu.Unlock()
	raw, err := t.dial(r)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, t: t, key: key, closed: closed}
	if c.r, _ = t.readers.Get().(*bufio.Reader); c.r == nil {
		c.r = bufio.NewReaderSize(nil, readBuffer)
	}
	if c.w, _ = t.writers.Get().(*bufio.Writer); c.w == nil {
		c.w = bufio.NewWriterSize(nil, writeBuffer)
	}
	c.r.Reset(c)
	c.w.Reset(raw)
	return c, nil
}

func (t *Transport) idleLimit() time.Duration {
	if t.Base.IdleConnTimeout > 0 {
		return t.Base.IdleConnTimeout
	}
	return time.Minute
}

func (t *Transport) dial(r *http.Request) (net.Conn, error) {
	ctx, addr := r.Context(), r.URL.Host
	if r.URL.Port() == "" {
		addr = net.JoinHostPort(r.URL.Hostname(), map[string]string{"http": "80", "https": "443"}[r.URL.Scheme])
	}
	dial := t.Base.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(ctx, "tcp", addr)
	if err != nil || r.URL.Scheme == "http" {
		return raw, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.Base.TLSClientConfig != nil {
		config = t.Base.TLSClientConfig.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = r.URL.Hostname()
	}
	if limit := t.Base.TLSHandshakeTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return secure, nil
}

// CloseIdleConnections closes the connections that wait; those in use are closed
// after their request.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	idle := t.idle
	t.idle = nil
	t.closed++
	t.mu.Unlock()
	for _, list := range idle {
		for _, c := range list {
			_ = c.Close()
		}
	}
	t.Base.CloseIdleConnections()
}

// keep lets a connection wait for the next request, or closes it.
func (t *Transport) keep(c *conn) {
	c.since = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.closed != t.closed || len(t.idle[c.key]) >= max(1, t.Base.MaxIdleConnsPerHost) {
		c.end()
		return
	}
	if t.idle == nil {
		t.idle = map[string][]*conn{}
	}
	list := append(t.idle[c.key], c)
	for time.Since(list[0].since) > t.idleLimit() {
		list[0].end()
		list = list[1:]
	}
	t.idle[c.key] = list
}

// conn is a connection. One request uses it at a time.
type conn struct {
	net.Conn
	t        *Transport
	key      string
	r        *bufio.Reader
	w        *bufio.Writer
	used     bool // by an earlier request
	answered bool // bytes of an answer have come
	closed   int  // what the transport's count was when it was made
	since    time.Time
}

// Read implements io.Reader for the connection's own buffer.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.answered = c.answered || n > 0
	return n, err
}

// end closes the connection and gives its buffers back. Nobody uses it any more.
func (c *conn) end() {
	_ = c.Close()
	c.r.Reset(nil)
	c.w.Reset(nil)
	c.t.readers.Put(c.r)
	c.t.writers.Put(c.w)
}

var past = time.Unix(1, 0)

// send sends a request and reads the head of the answer. The end of the request's
// context cuts both, and the reading of the answer's body.
func (c *conn) send(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(past) })
	wrote := r.Write(c.w)
	if wrote == nil {
		wrote = c.w.Flush()
	}
	// A service that refuses a request may answer before it has read it, and close.
	answer, err := c.receive(r)
	if err != nil {
		stop()
		c.end()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if wrote != nil {
			err = wrote
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	b := &body{c: c, ctx: ctx, stop: stop, from: answer.Body, keep: wrote == nil && !answer.Close && !r.Close}
	if answer.Body == http.NoBody {
		b.finish(io.EOF)
	}
	answer.Body = b
	return answer, nil
}

// receive reads the head of the answer; those that say that an answer will come are
// passed over.
func (c *conn) receive(r *http.Request) (*http.Response, error) {
	for range 5 {
		answer, err := http.ReadResponse(c.r, r)
		if err != nil || answer.StatusCode >= http.StatusOK || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, err
		}
	}
	return nil, errors.New("the service answers again and again that it will answer")
}

// body is the body of an answer. At its end the connection is free again. It may be
// closed while it is read.
type body struct {
	c    *conn
	ctx  context.Context
	stop func() bool
	from io.ReadCloser
	keep bool // the connection can be used again

	mu   sync.Mutex
	over error // what Read returns; nil: it goes on
}

var errClosed = errors.New("the body of the answer is closed")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	n, err := b.from.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	b.finish(err)
	return n, b.ended()
}

// Close implements io.Closer. A body that was not read to its end costs the
// connection.
func (b *body) Close() error {
	b.finish(errClosed)
	return nil
}

func (b *body) ended() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// finish ends the body, once; io.EOF: it was read whole.
func (b *body) finish(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over != nil {
		return
	}
	b.over = why
	// When stop is too late the deadline is about to be set, or is: the connection
	// cannot be trusted.
	stopped := b.stop()
	switch {
	case why != io.EOF:
		_ = b.c.Close() // its buffers stay with it: somebody may be reading by them still
	case stopped && b.keep && b.c.r.Buffered() == 0:
		b.c.t.keep(b.c)
	default:
		b.c.end()
	}
}
