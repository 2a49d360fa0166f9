package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
)

const newJob = `{"file": "name: fresh\n"}`

func TestToken_when_missing_wrong_or_revoked(t *testing.T) {
	x := open(t)
	a := x.ask("POST", "/api/v1/jobs", newJob)
	x.want(a, 401, "TOKEN_MISSING")
	if a.Header.Get("WWW-Authenticate") != `Bearer realm="godwit"` {
		t.Error(a.Header)
	}
	a = x.ask("POST", "/api/v1/jobs", newJob, as("no such token"))
	x.want(a, 401, "TOKEN_REFUSED")
	if !strings.Contains(a.Header.Get("WWW-Authenticate"), "invalid_token") {
		t.Error(a.Header)
	}
	x.want(x.ask("POST", "/api/v1/jobs", newJob, "Authorization: Basic "+operator), 401, "TOKEN_REFUSED")
	x.want(x.ask("GET", "/api/v1/jobs", "", as(strings.Repeat("x", 600))), 401, "TOKEN_REFUSED")
	x.want(x.ask("GET", "/metrics", ""), 401, "TOKEN_MISSING")
	x.want(x.ask("GET", "/api/v1/openapi.yaml", ""), 401, "TOKEN_MISSING")
	x.want(x.ask("GET", "/api/v1/no/such/thing", ""), 401, "TOKEN_MISSING")
	if n := x.fake.reached(); n != 0 {
		t.Fatalf("%d requests reached the service", n)
	}

	x.want(x.ask("POST", "/api/v1/jobs", newJob, as(operator)), 201, "")
	x.want(x.ask("DELETE", "/api/v1/tokens/bob", "", as(operator)), 204, "")
	x.want(x.ask("GET", "/api/v1/jobs", "", as(reader)), 401, "TOKEN_REFUSED")
	x.want(x.ask("GET", "/healthz", ""), 200, "")
	x.want(x.ask("GET", "/", ""), 200, "")
}

func TestToken_when_it_may_only_read(t *testing.T) {
	x := open(t)
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/api/v1/jobs", newJob},
		{"PUT", "/api/v1/jobs/shop", `{"version": 1, "file": "name: shop\n"}`},
		{"PUT", "/api/v1/jobs/shop", `{"version": 1, "preview": true}`},
		{"DELETE", "/api/v1/jobs/shop", ""},
		{"POST", "/api/v1/jobs/shop/act", `{"act": "pause"}`},
		{"POST", "/api/v1/jobs:act", `{"act": "delete", "preview": true}`},
		{"POST", "/api/v1/jobs:plan", newJob},
		{"POST", "/api/v1/jobs:check", `{"file": "name: fresh\n", "deep": true}`},
		{"DELETE", "/api/v1/jobs/shop/positions?confirm=shop", ""},
		{"POST", "/api/v1/alarms/a1/silence", `{"seconds": 60}`},
		{"POST", "/api/v1/tokens", `{"name": "eve", "role": "operate"}`},
		{"DELETE", "/api/v1/tokens/ana", ""},
	} {
		a := x.ask(call.method, call.path, call.body, as(reader))
		x.want(a, 403, "TOKEN_REFUSED")
		if !strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_scope") {
			t.Error(a.Header)
		}
	}
	if n := x.fake.reached(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
	for _, path := range []string{"/api/v1/jobs", "/api/v1/jobs/shop", "/api/v1/whoami", "/api/v1/tokens", "/api/v1/audit", "/api/v1/openapi.yaml", "/metrics"} {
		x.want(x.ask("GET", path, "", as(reader)), 200, "")
	}
	x.want(x.ask("POST", "/api/v1/jobs:check", newJob, as(reader)), 200, "")
	if got := x.fake.noted(); len(got) < 12 || got[0].By != "bob" || got[0].Code != "TOKEN_REFUSED" || got[0].What != "POST /api/v1/jobs" || got[0].Request == "" {
		t.Errorf("%+v", got)
	}
}

// TestOrigin_when_it_is_another asks as a browser would for a page that somebody lured
// the user to, with the cookie and without.
func TestOrigin_when_it_is_another(t *testing.T) {
	x := open(t)
	cookie := "Cookie: godwit=" + operator
	for _, headers := range [][]string{
		{cookie, "Origin: https://evil.example"},
		{cookie, "Origin: null"},
		{cookie, "Origin: http://" + x.host + ".evil.example"},
		{cookie, "Origin: http://127.0.0.1:1"}, // another port is another origin
		{cookie, "Sec-Fetch-Site: cross-site"},
		{cookie, "Sec-Fetch-Site: same-site"},
		{as(operator), "Origin: https://evil.example"},
		{"Origin: https://evil.example"},
	} {
		for _, call := range [][3]string{{"GET", "/api/v1/jobs", ""}, {"POST", "/api/v1/jobs", newJob}, {"GET", "/metrics", ""}, {"GET", "/api/v1/events", ""}} {
			a := x.ask(call[0], call[1], call[2], headers...)
			x.want(a, 403, "NOT_ALLOWED_HERE")
			for name := range a.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s is answered to another origin", name)
				}
			}
			if a.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
				t.Error("another origin may read what it embeds")
			}
		}
	}
	a := x.ask("OPTIONS", "/api/v1/jobs", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
	if a.StatusCode < 400 || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a preflight of another origin is answered")
	}
	if n := x.fake.reached(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
}

func TestCookie_when_something_is_changed(t *testing.T) {
	x := open(t)
	cookie, own := "Cookie: godwit="+operator, "Origin: http://"+x.host
	x.want(x.ask("GET", "/api/v1/jobs", "", cookie), 200, "")
	x.want(x.ask("POST", "/api/v1/jobs", newJob, cookie), 403, "NOT_ALLOWED_HERE")
	x.want(x.ask("POST", "/api/v1/jobs", newJob, cookie, "Sec-Fetch-Site: none"), 403, "NOT_ALLOWED_HERE")
	x.want(x.ask("POST", "/api/v1/jobs", newJob, cookie, own), 201, "")
	x.want(x.ask("DELETE", "/api/v1/jobs/fresh", "", cookie, "Sec-Fetch-Site: same-origin"), 204, "")
	x.want(x.ask("DELETE", "/api/v1/jobs/old", "", as(operator)), 204, "")
}

func TestOrigin_when_a_proxy_stands_before(t *testing.T) {
	x := open(t, func(o *Options) { o.Origins = []string{"https://godwit.example/"} })
	cookie := "Cookie: godwit=" + operator
	x.want(x.ask("DELETE", "/api/v1/jobs/old", "", cookie, "Host: godwit.example", "Origin: https://godwit.example"), 204, "")
	x.want(x.ask("DELETE", "/api/v1/jobs/shop", "", cookie, "Origin: https://godwit.example"), 204, "")
	x.want(x.ask("DELETE", "/api/v1/jobs/media", "", cookie, "Origin: http://godwit.example"), 403, "NOT_ALLOWED_HERE")
}

// TestHost_when_a_name_was_made_to_lead_here is DNS rebinding: the page of another
// name is of the same origin as what it asks, and only the name gives it away.
func TestHost_when_a_name_was_made_to_lead_here(t *testing.T) {
	x := open(t, func(o *Options) { o.Listen, o.Hosts = []string{"10.1.2.3:8686"}, []string{"godwit.internal"} })
	for _, path := range []string{"/", "/app.js", "/healthz", "/api/v1/jobs", "/metrics"} {
		for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "10.1.2.4", "127.0.0.1.nip.example"} {
			x.want(x.ask("GET", path, "", "Host: "+host, as(operator)), 403, "NOT_ALLOWED_HERE")
		}
		for _, host := range []string{"localhost", "LOCALHOST:8686", "127.0.0.1", "127.0.0.2:1", "[::1]:8686", "10.1.2.3:8686", "godwit.internal", "godwit.internal."} {
			x.want(x.ask("GET", path, "", "Host: "+host, as(operator)), 200, "")
		}
	}
	every := open(t, func(o *Options) { o.Listen = []string{"0.0.0.0:8686"} })
	every.want(every.ask("GET", "/", "", "Host: 10.9.9.9:8686"), 200, "")
	every.want(every.ask("GET", "/", "", "Host: evil.example"), 403, "NOT_ALLOWED_HERE")
}

func TestLogin_when_the_page_sends_a_token(t *testing.T) {
	x := open(t)
	form, own := "Content-Type: application/x-www-form-urlencoded", "Origin: http://"+x.host
	a := x.ask("POST", "/login", "token="+reader, form, own)
	x.want(a, 204, "")
	c := a.Cookies()
	if len(c) != 1 || c[0].Name != "godwit" || c[0].Value != reader || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Secure || c[0].Path != "/" {
		t.Fatalf("%+v", c)
	}
	x.want(x.ask("GET", "/api/v1/whoami", "", "Cookie: godwit="+c[0].Value), 200, "")

	x.want(x.ask("POST", "/login", "token=wrong", form, own), 401, "TOKEN_REFUSED")
	x.want(x.ask("POST", "/login", "", form, own), 401, "TOKEN_MISSING")
	x.want(x.ask("POST", "/login", "token="+reader, form), 403, "NOT_ALLOWED_HERE")
	x.want(x.ask("POST", "/login", "token="+reader, form, "Origin: https://evil.example"), 403, "NOT_ALLOWED_HERE")
	x.want(x.ask("POST", "/login", `{"token": "x"}`, own), 415, "BAD_REQUEST")
	x.want(x.ask("POST", "/login", "token="+strings.Repeat("x", 5000), form, own), 413, "BAD_REQUEST")
	x.want(x.ask("GET", "/login", ""), 200, "") // the form is the page's
	x.want(x.ask("PUT", "/login", "x", own), 405, "BAD_REQUEST")

	a = x.ask("POST", "/login", "token="+reader, form, own, "Sec-Fetch-Mode: navigate")
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" || len(a.Cookies()) != 1 {
		t.Error(a.StatusCode, a.Header)
	}
	a = x.ask("POST", "/login", "token=wrong", form, own, "Sec-Fetch-Mode: navigate")
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/login?refused=TOKEN_REFUSED" || len(a.Cookies()) != 0 {
		t.Error(a.StatusCode, a.Header)
	}
	a = x.ask("POST", "/logout", "", own, "Cookie: godwit=worth-nothing-now")
	if c := a.Cookies(); a.StatusCode != http.StatusNoContent || len(c) != 1 || c[0].MaxAge >= 0 {
		t.Error(a.StatusCode, a.Header)
	}
	x.want(x.ask("POST", "/logout", "", "Cookie: godwit="+reader), 403, "NOT_ALLOWED_HERE")
	x.want(x.ask("GET", "/logout", ""), 405, "BAD_REQUEST")

	a = x.ask("POST", "/login", "token="+reader, form, "Host: localhost", "Origin: https://localhost")
	if c := a.Cookies(); a.StatusCode != http.StatusNoContent || len(c) != 1 || !c[0].Secure {
		t.Error("behind TLS the cookie must be Secure", a.StatusCode, a.Header)
	}
	if log := x.log.String(); strings.Contains(log, reader) || strings.Contains(log, operator) {
		t.Errorf("a token is in the log:\n%s", log)
	}
}

func TestRate_when_a_token_asks_too_often(t *testing.T) {
	now := anyTime
	x := open(t, func(o *Options) { o.PerSecond, o.Burst, o.Now = 2, 5, func() time.Time { return now } })
	for range 5 {
		x.want(x.ask("GET", "/api/v1/whoami", "", as(operator)), 200, "")
	}
	a := x.ask("GET", "/api/v1/whoami", "", as(operator))
	x.want(a, 429, "TOO_MANY_REQUESTS")
	if a.Header.Get("Retry-After") != "1" {
		t.Error(a.Header)
	}
	x.want(x.ask("GET", "/api/v1/whoami", "", as(reader)), 200, "") // others are not held up
	x.want(x.ask("GET", "/healthz", ""), 200, "")
	now = now.Add(time.Second)
	x.want(x.ask("GET", "/api/v1/whoami", "", as(operator)), 200, "")
	x.want(x.ask("GET", "/api/v1/whoami", "", as(operator)), 200, "")
	x.want(x.ask("GET", "/api/v1/whoami", "", as(operator)), 429, "TOO_MANY_REQUESTS")
}

func TestBuckets_when_there_are_many_names(t *testing.T) {
	now := anyTime
	b := newBuckets(1, 2, func() time.Time { return now })
	for i := range 3 * bucketsMost {
		if i%bucketsMost == 0 {
			now = now.Add(time.Hour)
		}
		b.take(fmt.Sprint(i))
	}
	if len(b.level) > bucketsMost {
		t.Errorf("%d names are kept", len(b.level))
	}
}

func TestNotes_when_somebody_tries_many_tokens(t *testing.T) {
	now := anyTime
	x := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	for range 3 * notesBurst {
		x.want(x.ask("GET", "/api/v1/jobs", "", as("wrong")), 401, "TOKEN_REFUSED")
	}
	if n := len(x.fake.noted()); n != notesBurst {
		t.Fatalf("%d refusals are noted, want %d", n, notesBurst)
	}
	now = now.Add(time.Second)
	x.want(x.ask("GET", "/api/v1/jobs", "", as("wrong")), 401, "TOKEN_REFUSED")
	got := x.fake.noted()
	last := got[len(got)-1]
	if len(got) != notesBurst+1 || last.By != "unknown" || last.Outcome != api.EntryOutcomeRefused || last.Reason != "from 127.0.0.1; 40 more were refused since the last that is noted" {
		t.Errorf("%d: %+v", len(got), last)
	}
	for range 5 {
		x.want(x.ask("GET", "/api/v1/jobs", ""), 401, "TOKEN_MISSING")
	}
	if n := len(x.fake.noted()); n != notesBurst+1 {
		t.Error("that a token is missing is nothing to note")
	}
}

func TestCounts_when_names_come_and_go(t *testing.T) {
	c := newCounts(2)
	for i := range 1000 {
		name := fmt.Sprint(i)
		entered := []bool{c.enter(name), c.enter(name), c.enter(name)}
		if !slices.Equal(entered, []bool{true, true, false}) || c.total() != 2 {
			t.Fatalf("%s entered %v, of 2: %d", name, entered, c.total())
		}
		c.leave(name)
		if again := c.enter(name); !again || c.enter(name) {
			t.Fatalf("%s left once, and may not enter, or twice", name)
		}
		c.leave(name)
		c.leave(name)
	}
	if len(c.have) > 0 || c.total() != 0 {
		t.Errorf("%d names are remembered for ever", len(c.have))
	}
}
