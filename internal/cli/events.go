package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// eventBytes bounds one event.
const eventBytes = 4 << 20

// event is one server-sent event.
type event struct {
	id, kind, data string
}

// follow calls each with what changes on the server, from behind the event last on,
// until the stream breaks, which is an error, or each fails. After opened it is sure
// that nothing is missed. A stream that is silent for longer than silence is broken:
// the server sends a comment before.
func (c *client) follow(ctx context.Context, job, last string, silence time.Duration, opened func() error, each func(event) error) error {
	req, err := api.NewEventsRequest(c.wire.at.url.String()+"/", &api.EventsParams{Job: job})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.wire.dress(req)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.wire.http.Do(req.WithContext(ctx))
	if err != nil {
		return c.wire.gone(req.WithContext(ctx), err)
	}
	defer resp.Body.Close()
	if err := streams(resp); err != nil {
		return err
	}
	if err := opened(); err != nil {
		return err
	}
	quiet := slow{silence}
	watchdog := time.AfterFunc(silence, func() { cancel(quiet) })
	defer watchdog.Stop()
	err = readEvents(bufio.NewReaderSize(resp.Body, 64<<10), func() { watchdog.Reset(silence) }, each)
	if cause := context.Cause(ctx); errors.Is(cause, quiet) {
		err = cause
	}
	return c.broken(ctx, err)
}

// broken is the error of a stream that ended by itself.
func (c *client) broken(ctx context.Context, err error) error {
	var e *fault.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled) && !errors.As(context.Cause(ctx), new(slow)):
		return ctx.Err()
	case errors.As(err, &e):
		return err
	}
	return fault.New(fault.ServerGone, "the server at %s broke off the stream of events", c.wire.at.url.Host).At("%s", c.wire.at.found).By(err).Try("see its log")
}

// streams refuses an answer that is no stream of events.
func streams(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode == http.StatusOK && strings.HasPrefix(kind, "text/event-stream") {
		return nil
	}
	if resp.StatusCode == http.StatusOK {
		return fault.New(fault.ServerGone, "the server sends no events but %s", clean(kind)).Try("see whether --server names a godwit server, and what stands between")
	}
	r, err := api.ParseEventsResponse(resp)
	return settled(r, err)
}

// readEvents reads events and calls each; heard is called for every line.
func readEvents(r *bufio.Reader, heard func(), each func(event) error) error {
	var e event
	var data []string
	size := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		heard()
		if size += len(line); size > eventBytes {
			return fmt.Errorf("an event of more than %d bytes", eventBytes)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			e.data = strings.Join(data, "\n")
			if e.kind != "" {
				if err := each(e); err != nil {
					return err
				}
			}
			e, data, size = event{id: e.id}, nil, 0
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			data = append(data, value)
		}
	}
}
