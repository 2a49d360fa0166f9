package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// told is an event as a browser sees it, or a comment.
type told struct{ id, kind, data, comment string }

// listener reads an event stream.
type listener struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
	end  context.CancelFunc
}

// listen opens a stream and reads its first block, the hint when to come again.
func (x *site) listen(path string, headers ...string) *listener {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 10*time.Second)
	resp, err := x.http.Do(x.request("GET", path, "", headers...).WithContext(ctx)) //nolint:bodyclose // listener.close does
	if err != nil {
		x.t.Fatal(err)
	}
	l := &listener{x.t, resp, bufio.NewReader(resp.Body), cancel}
	x.t.Cleanup(l.close)
	if resp.StatusCode != http.StatusOK {
		x.t.Fatalf("%d", resp.StatusCode)
	}
	if line, err := l.in.ReadString('\n'); err != nil || line != "retry: 2000\n" {
		x.t.Fatalf("%q, %v", line, err)
	}
	_, _ = l.in.ReadString('\n')
	return l
}

func (l *listener) close() {
	l.end()
	l.resp.Body.Close()
}

// next reads one block; ok is false at the end of the stream.
func (l *listener) next() (e told, ok bool) {
	l.t.Helper()
	for {
		line, err := l.in.ReadString('\n')
		if errors.Is(err, context.DeadlineExceeded) {
			l.t.Error("neither an event nor the end of the stream came")
		}
		if err != nil {
			return e, false
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n":
			return e, true
		case key == "id":
			e.id = value
		case key == "event":
			e.kind = value
		case key == "data":
			e.data = value
		case key == "":
			e.comment = "comment"
		}
	}
}

func (l *listener) want(id, kind string) {
	l.t.Helper()
	if e, ok := l.next(); !ok || e.id != id || e.kind != kind || e.data == "" {
		l.t.Fatalf("%+v, %v; want event %s, %s", e, ok, id, kind)
	}
}

// followers waits until n streams are followed.
func (x *site) followers(n int) {
	x.t.Helper()
	eventually(x.t, fmt.Sprintf("%d streams", n), func() bool { return x.s.streams.total() == n })
}

func (x *site) act(name, act string) {
	x.t.Helper()
	x.want(x.ask("POST", "/api/v1/jobs/"+name+"/act", `{"act": "`+act+`"}`, as(operator)), 200, "")
}

func TestEvents_when_a_stream_goes_on(t *testing.T) {
	x := open(t)
	for range 3 {
		x.act("shop", "pause")
	}
	l := x.listen("/api/v1/events?after=1", as(reader), "Accept-Encoding: gzip")
	l.want("2", "job")
	l.want("3", "job")
	x.act("media", "pause")
	x.want(x.ask("DELETE", "/api/v1/jobs/old", "", as(operator)), 204, "")
	if e, ok := l.next(); !ok || e.id != "4" || !strings.HasPrefix(e.data, `{`) || !strings.Contains(e.data, `"name":"media"`) {
		t.Fatalf("%+v", e)
	}
	l.want("5", "gone")
	h := l.resp.Header
	if h.Get("Content-Type") != "text/event-stream" || h.Get("Content-Encoding") != "" || h.Get("X-Accel-Buffering") != "no" || !strings.Contains(h.Get("Cache-Control"), "no-transform") {
		t.Error(h)
	}
	l.close()

	// A browser that comes again says where it was; the address is still the first.
	again := x.listen("/api/v1/events?after=1", as(reader), "Last-Event-ID: 4")
	again.want("5", "gone")
	one := x.listen("/api/v1/events?after=1&job=media", as(reader))
	one.want("4", "job")

	x.fake.forget()
	x.listen("/api/v1/events", as(reader), "Last-Event-ID: 2").want("5", "reset")
	x.listen("/api/v1/events", as(reader), "Last-Event-ID: of-another-server").want("", "reset")
	x.listen("/api/v1/events?after=18446744073709551615", as(reader)).want("", "reset")
	x.want(x.ask("GET", "/api/v1/events?after="+strings.Repeat("1", 65), "", as(reader)), 400, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/events?job=No", "", as(reader)), 400, "BAD_REQUEST")
	x.want(x.ask("HEAD", "/api/v1/events", "", as(reader)), 200, "")
}

func TestEvents_when_nothing_happens(t *testing.T) {
	x := open(t, func(o *Options) { o.Beat = 5 * time.Millisecond })
	l := x.listen("/api/v1/events", as(reader))
	for range 3 {
		if e, ok := l.next(); !ok || e.comment == "" {
			t.Fatalf("%+v, %v", e, ok)
		}
	}
	x.want(x.ask("DELETE", "/api/v1/tokens/bob", "", as(operator)), 204, "")
	for {
		if _, ok := l.next(); !ok {
			break // a token that is revoked hears nothing more
		}
	}
	x.followers(0)
}

// TestEvents_when_a_token_is_revoked_amid_events must not depend on a pause.
func TestEvents_when_a_token_is_revoked_amid_events(t *testing.T) {
	x := open(t, func(o *Options) { o.Beat = 20 * time.Millisecond })
	l := x.listen("/api/v1/events", as(reader))
	x.want(x.ask("DELETE", "/api/v1/tokens/bob", "", as(operator)), 204, "")
	ctx, stop := context.WithCancel(t.Context())
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		for tick := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-tick.C {
			x.tell("job", "shop", "x")
		}
	}()
	for ok := true; ok; {
		_, ok = l.next()
	}
	stop()
	<-busy
}

func TestEvents_when_a_token_has_many_streams(t *testing.T) {
	x := open(t, func(o *Options) { o.Streams, o.AtOnce = 3, 2 })
	var open []*listener
	for range 3 {
		open = append(open, x.listen("/api/v1/events", as(reader)))
	}
	a := x.ask("GET", "/api/v1/events", "", as(reader))
	x.want(a, 429, "TOO_MANY_REQUESTS")
	if a.Header.Get("Retry-After") == "" {
		t.Error(a.Header)
	}
	x.listen("/api/v1/events", as(operator)) // another token has its own, and streams are no work
	open[0].close()
	x.followers(3)
	x.listen("/api/v1/events", as(reader))
}

// TestEvents_when_the_client_does_not_read fills the way to a client that is there and
// does not read: after Options.Write its place is free again.
func TestEvents_when_the_client_does_not_read(t *testing.T) {
	x := open(t, func(o *Options) { o.Write = time.Second }) // who reads has that long for a megabyte
	c, err := net.Dial("tcp", x.host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	x.tell("job", "shop", "first")
	fmt.Fprintf(c, "GET /api/v1/events?after=1 HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", x.host, as(reader))
	x.followers(1)
	quick := x.listen("/api/v1/events?after=1", as(operator))
	large := strings.Repeat("x", 1<<20)
	for i := range 16 {
		x.tell("audit", "", large)
		quick.want(fmt.Sprint(i+2), "audit") // who reads is not held up
	}
	x.followers(1)
}

func TestEvents_when_the_service_fails(t *testing.T) {
	x := open(t)
	x.fake.before = func(_ context.Context, call string) error {
		if call == "Follow" {
			panic("planted")
		}
		return nil
	}
	l := x.listen("/api/v1/events", as(reader))
	if e, ok := l.next(); ok {
		t.Errorf("%+v", e)
	}
	if log := x.log.String(); !strings.Contains(log, "a defect: planted") {
		t.Error(log)
	}
}

func TestEvents_when_data_has_line_ends(t *testing.T) {
	x := open(t)
	x.tell("job", "shop", "first")
	x.tell("alarm", "shop", "a\nevent: gone\n\ndata: {}\r\n")
	l := x.listen("/api/v1/events?after=1", as(reader))
	if e, ok := l.next(); !ok || e.kind != "alarm" || e.data != `"a\nevent: gone\n\ndata: {}\r\n"` {
		t.Fatalf("%+v: an event was smuggled in", e)
	}
}

// tell lets something happen.
func (x *site) tell(kind, job string, data any) {
	x.fake.mu.Lock()
	defer x.fake.mu.Unlock()
	x.fake.happen(kind, job, data)
}
