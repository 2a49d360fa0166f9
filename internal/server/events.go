package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/service"
)

// retryMillis is how long a browser waits before it asks again.
const retryMillis = 2000

// errLeft ends a stream whose client has gone, or whose server stops.
var errLeft = errors.New("the stream has ended")

// Events tells what changes until the client leaves, the server stops or the token is
// worth nothing any more.
func (c calls) Events(w http.ResponseWriter, r *http.Request, p api.EventsParams) {
	var f flaws
	f.text("after", p.After, maxWord)
	f.given("job", p.Job, r.URL.Query())
	if f.refused(w, r) {
		return
	}
	v := visitOf(r)
	if !c.streams.enter(v.by.Name) {
		problem(w, r, fault.New(fault.TooMany, "the token %s has %d event streams open already", v.by.Name, c.o.Streams).Try("close some: a page needs one"))
		return
	}
	defer c.streams.leave(v.by.Name)
	<-c.slots // a stream is no work; drain need not wait for it
	v.taken = false

	after, known := place(r, p.After)
	s := &stream{v: v, patience: c.o.Write}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead || s.send(fmt.Sprintf("retry: %d\n\n", retryMillis)) != nil {
		return
	}
	if !known && s.event(service.Happening{Type: "reset"}) != nil {
		return
	}
	c.follow(r, s, after, p.Job)
}

// place returns the id behind which a stream goes on. One that cannot be read is not
// known, like one that is too old.
func place(r *http.Request, after string) (id uint64, known bool) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after = last // a browser that comes again still has the first address
	}
	if after == "" {
		return 0, true
	}
	id, err := strconv.ParseUint(after, 10, 64)
	return id, err == nil && id < math.MaxUint64
}

// follow hands on what the service tells, one event at a time, and a comment when
// there is nothing.
func (s *Server) follow(r *http.Request, out *stream, after uint64, job string) {
	ctx, cancel := context.WithCancel(r.Context())
	news := make(chan service.Happening)
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if crash := recover(); crash != nil { // no request's goroutine: nobody else would catch it
				ended <- fmt.Errorf("a defect: %v", crash)
			}
		}()
		ended <- s.svc().Follow(ctx, after, job, func(h service.Happening) error {
			select {
			case news <- h:
				return nil
			case <-ctx.Done():
				return errLeft
			}
		})
	}()
	err := s.relay(ctx, out, news, ended)
	cancel()
	if err == nil {
		return // Follow itself has ended
	}
	if over := <-ended; over != nil { // it calls each no more
		s.o.Log.Debug("an event stream ended", "error", over)
	}
}

// relay returns nil when the service has nothing more to tell.
func (s *Server) relay(ctx context.Context, out *stream, news <-chan service.Happening, ended <-chan error) error {
	beat := time.NewTimer(s.o.Beat)
	defer beat.Stop()
	look := time.NewTicker(s.o.Beat)
	defer look.Stop()
	for {
		select {
		case h := <-news:
			if err := out.event(h); err != nil {
				return err
			}
		case <-look.C:
			if _, err := s.svc().Bearer(ctx, out.v.secret); err != nil {
				return err // revoked meanwhile
			}
			continue
		case <-beat.C:
			if err := out.send(":\n\n"); err != nil {
				return err
			}
		case err := <-ended:
			if err != nil && ctx.Err() == nil {
				s.o.Log.Warn("an event stream ended", "request", out.v.id, "error", err)
			}
			return nil
		case <-s.leaving:
			return errLeft
		case <-ctx.Done():
			return errLeft
		}
		beat.Reset(s.o.Beat)
	}
}

// stream writes events, each with a deadline: a client that is gone, or does not
// read, must not hold one of the streams that its token may have.
type stream struct {
	v        *visit
	patience time.Duration
}

func (s *stream) event(h service.Happening) error {
	if h.Data == nil {
		h.Data = struct{}{} // a browser drops an event without data
	}
	data, err := json.Marshal(h.Data)
	if err != nil {
		return err
	}
	id := ""
	if h.ID > 0 {
		id = fmt.Sprintf("id: %d\n", h.ID)
	}
	return s.send(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, h.Type, data))
}

func (s *stream) send(text string) error {
	if err := s.v.out.rc.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	if _, err := s.v.out.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.v.out.rc.Flush(); err != nil {
		return err
	}
	return s.v.out.rc.SetWriteDeadline(time.Time{}) // HTTP/2 would end a stream that is only silent
}
