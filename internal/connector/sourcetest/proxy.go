package sourcetest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands before a server and lets the bytes of each connection from the
// server through up to a number of them.
type proxy struct {
	listener net.Listener
	server   string
	ended    sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
	// next says how many bytes pass from the server over the next connection, less
	// than 0 for all, and whether it then stalls instead of being cut.
	next  func() (bytes int64, stall bool)
	cuts  int
	stall chan struct{} // closed when stalled connections are let go
}

func newProxy(t testing.TB, server string, next func() (int64, bool)) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server, conns: map[net.Conn]bool{}, next: next, stall: make(chan struct{})}
	p.ended.Go(p.accept)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = in.Close()
			continue
		}
		if !p.keep(in, out) {
			return
		}
		p.mu.Lock()
		n, stall := p.next()
		p.mu.Unlock()
		p.ended.Go(func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
		})
		p.ended.Go(func() { p.back(in, out, n, stall) })
	}
}

// back carries the server's bytes until n of them have passed.
func (p *proxy) back(in, out net.Conn, n int64, stall bool) {
	if n < 0 {
		_, _ = io.Copy(in, out)
	} else if passed, _ := io.CopyN(in, out, n); passed == n {
		p.mu.Lock()
		p.cuts++
		p.mu.Unlock()
		if stall {
			<-p.stall
		}
	}
	_, _ = in.Close(), out.Close()
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			_ = c.Close()
		}
		p.conns[c] = true
	}
	return !p.closed
}

// count returns how many connections were cut or stalled.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// close ends the proxy and all its connections.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	if !p.closed {
		close(p.stall)
	}
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.ended.Wait()
}
