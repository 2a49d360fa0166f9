package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit/internal/fault"
)

// Bounds of what is sent again, and of an answer.
const (
	triesMax    = 3
	answerBytes = 64 << 20
	restFirst   = 100 * time.Millisecond
	restMost    = 5 * time.Second
)

// keyHeader makes a submission safe to send again.
const keyHeader = "Idempotency-Key"

// wire carries requests to a server: with the token, each answer whole and within a
// time, and again where that changes nothing. Its errors are fault.Errors, or that of
// the context.
type wire struct {
	http *http.Client
	at   address
	wait time.Duration // for one answer
}

func newWire(at address, wait time.Duration, by http.RoundTripper) *wire {
	return &wire{at: at, wait: wait, http: &http.Client{
		Transport: by,
		// The token is for this server and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (w *wire) close() { w.http.CloseIdleConnections() }

// Do sends a request. The body of the answer is in memory, whole.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	w.dress(req)
	for try := 1; ; try++ {
		resp, err := w.once(req)
		rest, again := restBefore(resp, err, try)
		if !again || !safe(req) {
			return resp, err
		}
		timer := time.NewTimer(rest)
		select {
		case <-req.Context().Done():
			timer.Stop()
			return nil, req.Context().Err()
		case <-timer.C:
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// dress adds the token, and leaves out parameters that say nothing.
func (w *wire) dress(req *http.Request) {
	if t := w.at.token.Reveal(); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	if req.Header.Get(keyHeader) == "" {
		req.Header.Del(keyHeader)
	}
	q := req.URL.Query()
	for name, values := range q {
		if len(values) == 1 && values[0] == "" || name == "limit" && values[0] == "0" {
			q.Del(name)
		}
	}
	req.URL.RawQuery = q.Encode()
}

// once sends a request once.
func (w *wire) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), w.wait)
	defer cancel()
	resp, err := w.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, w.gone(req, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes+1))
	switch {
	case err != nil:
		return nil, w.gone(req, err)
	case len(body) > answerBytes:
		return nil, fault.New(fault.ServerGone, "the server's answer has no end").At("%s", w.place(req))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (w *wire) place(req *http.Request) string { return w.at.url.Host + req.URL.Path }

// slow is the cause of an answer that did not come in time: another try would only
// wait again.
type slow struct{ wait time.Duration }

func (s slow) Error() string { return "no whole answer within " + durationText(s.wait) }

// gone is the error of a request that brought no answer.
func (w *wire) gone(req *http.Request, err error) error {
	if req.Context().Err() != nil {
		return req.Context().Err()
	}
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // it repeats the address
	}
	var known *fault.Error
	if errors.As(err, &known) { // no server was asked
		return known
	}
	e := fault.New(fault.ServerGone, "the server at %s does not answer", w.at.url.Host).At("%s", w.at.found).By(err)
	var cert *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &cert):
		return e.Try("name its certificate's issuer with --ca FILE, and the server as its certificate names it")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return e.By(slow{w.wait}).Try("see whether it is busy or stopped; --timeout DURATION waits longer")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.What = fmt.Sprintf("the server at %s broke off its answer", w.at.url.Host)
		return e.Try("see its log; what was asked for may or may not have been done: godwit job list")
	}
	return e.Try("start it with godwit serve, or name the right one with --server URL")
}

// safe reports whether a request may be sent again without doing something twice.
func safe(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Header.Get(keyHeader) != ""
}

// restBefore says whether another try may bring an answer, and after how long.
func restBefore(resp *http.Response, err error, try int) (time.Duration, bool) {
	rest := min(restFirst<<(try-1), restMost)
	var late slow
	var cert *tls.CertificateVerificationError
	switch {
	case try >= triesMax:
		return 0, false
	case err != nil:
		return rest, fault.Has(err, fault.ServerGone) && !errors.As(err, &late) && !errors.As(err, &cert)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if s, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After"))); err == nil && s >= 0 {
			rest = time.Duration(s) * time.Second
		}
		return rest, rest <= restMost
	}
	return 0, false
}
