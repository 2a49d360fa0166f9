package alarm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"godwit/internal/fault"
	"godwit/internal/secret"
)

// Signature is the header with the HMAC-SHA256 of the body, "sha256=" and in hex.
const Signature = "Godwit-Signature"

// pace is how long things of a webhook take.
type pace struct {
	first, most time.Duration // between attempts: the first, doubled up to the most
	giveUp      time.Duration // after which nothing more is attempted
	attempt     time.Duration // for one answer
	look        time.Duration // between looks at what is due
}

func usualPace() pace {
	return pace{first: time.Second, most: time.Minute, giveUp: 10 * time.Minute, attempt: 10 * time.Second, look: time.Minute}
}

// hook posts to a webhook.
type hook struct {
	url, host string
	secret    secret.Text
	pace      pace
	client    *http.Client
	log       *slog.Logger
}

func newHook(text string, key secret.Text, p pace, log *slog.Logger) (*hook, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		// The text is not shown, nor the cause, which quotes it: it may be a secret.
		return nil, fault.New(fault.Usage, "the webhook for alarms is no URL").Try("give one that begins with https:// or http:// and has a host")
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: p.attempt,
		IdleConnTimeout:     p.most,
		MaxIdleConns:        1,
		ForceAttemptHTTP2:   true,
	}
	// A redirect would carry the alarm to where nobody wanted it to go.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &hook{url: text, host: u.Host, secret: key, pace: p, client: &http.Client{Transport: transport, CheckRedirect: stay}, log: log}, nil
}

// post sends a body until it is taken, refused for good, or no time is left; it is sent
// once at least. The error names no part of the URL.
func (k *hook) post(ctx context.Context, body []byte, left time.Duration) error {
	over := time.After(left)
	for wait := k.pace.first; ; wait = min(2*wait, k.pace.most) {
		again, err := k.send(ctx, body)
		if err == nil || !again || ctx.Err() != nil {
			return err
		}
		if wait == k.pace.first {
			k.log.Warn("the webhook does not take an alarm: it is tried again for a while", "host", k.host, "error", err)
		}
		select {
		case <-time.After(wait):
		case <-over:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send sends a body once. again says that another attempt may be taken.
func (k *hook) send(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.pace.attempt)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url, bytes.NewReader(body))
	if err != nil {
		return false, bare(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "godwit")
	if !k.secret.IsZero() {
		req.Header.Set(Signature, "sha256="+sign(k.secret, body))
	}
	answer, err := k.client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return true, fmt.Errorf("no answer within %s", k.pace.attempt)
	}
	if err != nil {
		return true, bare(err)
	}
	answer.Body.Close() // what it says is of no use
	return judge(answer.StatusCode)
}

func sign(key secret.Text, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// bare is an error of net/http without the URL that it names.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// judge says what an answer's status means.
func judge(status int) (again bool, err error) {
	switch {
	case status/100 == 2:
		return false, nil
	case status/100 == 3:
		return false, fmt.Errorf("it answered %d, and redirects are not followed: give the address it leads to", status)
	case status/100 == 5, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return true, fmt.Errorf("it answered %d", status)
	}
	return false, fmt.Errorf("it refused with %d", status)
}
