// Package server gives a service its face: the API that internal/api describes, its
// event stream, metrics and the page. It decides who may ask, what a request must
// look like and how much of it is let in; what is asked for is the service's work.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/api"
)

// Options are what a server is made with. Zero values mean the defaults.
type Options struct {
	// Service may come later, by SetService; until then the server says that it starts.
	Service Service
	Version string
	Log     *slog.Logger // nil: none
	// Listen has the addresses, host:port, that it is reached at. Requests must name
	// one of their hosts, a name of the loopback, or one of Hosts: a page elsewhere
	// whose name was made to lead here is not served. With an address that stands
	// for all of a machine's, any IP address will do as well.
	Listen []string
	Hosts  []string
	// Origins are pages that may send changes with a cookie, besides those of this
	// server itself: "https://godwit.example", as a proxy before it is seen.
	Origins []string
	// Certificate and Key are PEM files; empty: no TLS.
	Certificate, Key string
	// Web is the page, index.html at its root; nil: none.
	Web fs.FS

	PerSecond int // requests of one token, 200
	Burst     int // of one token at once, 400
	AtOnce    int // requests worked on at once by all, 128
	Streams   int // event streams of one token, 64

	Grace time.Duration // for running requests when it stops, 10 s
	Beat  time.Duration // between comments in a silent event stream, 15 s
	Write time.Duration // for a client to take an answer or an event, 20 s
	Now   func() time.Time
}

// Bounds of what a client may send and how slowly.
const (
	headerTime  = 10 * time.Second
	bodyTime    = 30 * time.Second
	idleTime    = 2 * time.Minute
	headerBytes = 64 << 10
)

// Server answers HTTP requests. It is made by New and serves once.
type Server struct {
	o       Options
	tls     *tls.Config // nil: none
	began   time.Time
	service atomic.Pointer[Service]
	mux     *http.ServeMux
	page    *page
	names   names
	notes   *notes
	rates   *buckets
	streams *counts
	meters  *meters
	zips    zips

	slots    chan struct{} // one for each request that is worked on
	stopping atomic.Bool
	leaving  chan struct{} // closed when it stops
	leave    sync.Once
}

// New returns a server that does not listen yet. It fails on a certificate that
// cannot be used.
func New(o Options) (*Server, error) {
	o = withDefaults(o)
	s := &Server{
		o: o, began: o.Now(), page: newPage(o.Web), names: newNames(o),
		rates:   newBuckets(float64(o.PerSecond), float64(o.Burst), o.Now),
		streams: newCounts(o.Streams),
		slots:   make(chan struct{}, o.AtOnce), leaving: make(chan struct{}),
	}
	s.notes = newNotes(s.note, o.Now)
	s.meters = newMeters(s)
	var err error
	if s.tls, err = newTLS(o); err != nil {
		return nil, err
	}
	s.mux = s.route()
	if o.Service != nil {
		s.SetService(o.Service)
	}
	return s, nil
}

func withDefaults(o Options) Options {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&o.PerSecond, 200)
	set(&o.Burst, 400)
	set(&o.AtOnce, 128)
	set(&o.Streams, 64)
	wait := func(field *time.Duration, value time.Duration) {
		if *field <= 0 {
			*field = value
		}
	}
	wait(&o.Grace, 10*time.Second)
	wait(&o.Beat, 15*time.Second)
	wait(&o.Write, 20*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// SetService gives the server what it serves; from now on it answers.
func (s *Server) SetService(v Service) { s.service.Store(&v) }

// Serve answers on the listeners until ctx ends; it closes them. Then event streams
// end at once, new requests are refused, running ones get Options.Grace, and Serve
// returns nil. It returns an error when a listener fails.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	hs := &http.Server{
		Handler:           http.HandlerFunc(s.enter),
		TLSConfig:         s.tls,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return work },
	}
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- s.listen(hs, l) }()
	}
	var failed error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		running--
	}
	s.drain(hs, cancel)
	for range running {
		if err := <-ended; failed == nil {
			failed = err
		}
	}
	return failed
}

func (s *Server) listen(hs *http.Server, l net.Listener) error {
	var err error
	if s.tls != nil {
		err = hs.ServeTLS(l, "", "")
	} else {
		err = hs.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("listening on %s: %w", l.Addr(), err)
}

// Stop says that the server is about to stop: /healthz and /readyz tell so, event
// streams end, and new requests are refused. It goes on answering that until the ctx of Serve ends.
func (s *Server) Stop() {
	s.stopping.Store(true)
	s.leave.Do(func() { close(s.leaving) })
}

// drain lets running requests end. The listeners stay open meanwhile, so that
// /healthz can say what goes on; who has all slots knows that nothing runs.
func (s *Server) drain(hs *http.Server, cancel context.CancelFunc) {
	s.Stop()
	grace := time.NewTimer(s.o.Grace)
	defer grace.Stop()
	for taken := 0; taken < cap(s.slots); taken++ {
		select {
		case s.slots <- struct{}{}:
			continue
		case <-grace.C:
		}
		s.o.Log.Warn("requests were cut off, the time to end is over", "grace", s.o.Grace)
		break
	}
	cancel()
	last, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	if hs.Shutdown(last) != nil {
		hs.Close() // what does not even take its answer
	}
}

// state is what /healthz says, and /readyz goes by.
func (s *Server) state() api.HealthStatus {
	switch {
	case s.stopping.Load():
		return api.HealthStatusStopping
	case s.service.Load() == nil:
		return api.HealthStatusStarting
	}
	return api.HealthStatusOk
}
