package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
)

func TestBody_when_it_does_not_fit(t *testing.T) {
	x := open(t)
	for body, says := range map[string]string{
		`{"file": "x", "fiel": 1}`: `fiel: no such key`,
		`{"FILE": "x"}`:            `FILE: no such key`,
		`{"file": null}`:           `file may not be null`,
		`{"file": 7}`:              `file must be a text, not number`,
		`{"file": ["x"]}`:          `file must be a text, not array`,
		`{}`:                       `file is missing`,
		`{"file": " \n"}`:          `file is empty`,
		`[]`:                       `the body must be an object`,
		`null`:                     `the body may not be null`,
		`"x"`:                      `the body must be an object`,
		`{"file": "x"} {}`:         `the body is not JSON`,
		`{"file": "x"}]`:           `the body is not JSON`,
		`{"file": "x"`:             `the body is not JSON`,
		`{"file": "name: fresh\n", "desired": "gone"}`:              `desired: "gone" is not known`,
		`{"file": "x", "group": "` + strings.Repeat("g", 65) + `"}`: `group has 65 characters`,
		"{\"file\": \"\xff\"}":                                      `the body is not UTF-8`,
		strings.Repeat(`{"a":`, 20_000):                             `the body is not JSON`,
		strings.Repeat(`[`, 100_000):                                `the body is not JSON`,
		` `:                                                         `the body is not JSON`,
	} {
		a := x.ask("POST", "/api/v1/jobs", body, as(operator))
		x.want(a, 400, "BAD_REQUEST")
		if p := a.problem(t); !strings.HasPrefix(p.Title, says) {
			t.Errorf("%.60s: %q, want %q", body, p.Title, says)
		}
	}
	x.want(x.ask("POST", "/api/v1/jobs", "", as(operator), "Content-Type: application/json"), 400, "BAD_REQUEST")
	for body, says := range map[string]string{
		`{"act": "pause", "names": ["shop", null]}`:        `names[1] may not be null`,
		`{"act": "pause", "names": ["shop", "No Name"]}`:   `names is no name`,
		`{"act": "pause", "filter": {"kind": "x"}}`:        `filter.kind: "x" is not known`,
		`{"act": "pause", "filter": {"knid": "tables"}}`:   `filter.knid: no such key`,
		`{"act": "pause", "filter": {"status": ["what"]}}`: `filter.status[0]: "what" is not known`,
		`{"act": "resync"}`:                                `act: "resync" is not known`,
		`{"act": "pause", "filter": {"desired": ""}}`:      `filter.desired: "" is not known`,
		`{"act": ""}`: `act: "" is not known`,
	} {
		a := x.ask("POST", "/api/v1/jobs:act", body, as(operator))
		x.want(a, 400, "BAD_REQUEST")
		if p := a.problem(t); !strings.HasPrefix(p.Title, says) {
			t.Errorf("%s: %q, want %q", body, p.Title, says)
		}
	}
	if p := x.ask("POST", "/api/v1/jobs", `{"file": "x", "schedul": ""}`, as(operator)).problem(t); !strings.HasPrefix(p.Hint, `did you mean "schedule"?`) {
		t.Error(p.Hint)
	}
	if n := x.fake.reached(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
	// What is odd but harmless.
	x.want(x.ask("POST", "/api/v1/jobs", `{"file": "name: nobody\n", "file": "name: twice\n"}`, as(operator)), 201, "")
	x.want(x.ask("GET", "/api/v1/jobs/twice", "", as(operator)), 200, "")
	x.want(x.ask("POST", "/api/v1/jobs", " \n"+newJob+"\n ", as(operator), "Content-Type: Application/JSON; charset=UTF-8"), 201, "")
}

func TestBody_when_it_is_of_another_type_or_too_large(t *testing.T) {
	x := open(t)
	for _, kind := range []string{"", "text/plain", "text/json", "application/json; charset=latin1", "multipart/form-data; boundary=x", ";"} {
		x.want(x.ask("POST", "/api/v1/jobs", newJob, as(operator), "Content-Type: "+kind), 415, "BAD_REQUEST")
	}
	x.want(x.ask("POST", "/api/v1/jobs", newJob, as(operator), "Content-Encoding: gzip"), 415, "BAD_REQUEST")

	text := func(n int) string {
		b, err := json.Marshal(map[string]string{"file": "name: large\n" + strings.Repeat("x", n-12)})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	x.want(x.ask("POST", "/api/v1/jobs", text(maxFile+1), as(operator)), 400, "BAD_REQUEST")
	x.want(x.ask("POST", "/api/v1/jobs", text(maxFile), as(operator)), 201, "")
	x.want(x.ask("POST", "/api/v1/jobs", text(bodyBytes), as(operator)), 413, "BAD_REQUEST")

	// One that does not say its size is read no further than that.
	r := x.request("POST", "/api/v1/jobs", "", as(operator), "Content-Type: application/json")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"file": "`), strings.NewReader(strings.Repeat("x", bodyBytes+1)))), -1
	x.want(x.send(r), 413, "BAD_REQUEST")
}

func TestRequest_when_there_is_nothing_for_it(t *testing.T) {
	x := open(t)
	for _, path := range []string{"/api", "/api/", "/api/v2/jobs", "/api/v1/jobs/", "/api/v1//jobs", "/api/v1/jobs/shop/", "/api/v1/jobs/../jobs", "/api/v1/jobs/%2e%2e", "/metrics/x", "/api/v1/jobs:none"} {
		x.want(x.ask("GET", path, "", as(operator)), 404, "BAD_REQUEST")
	}
	a := x.ask("PATCH", "/api/v1/jobs/shop", `{}`, as(operator))
	x.want(a, 405, "BAD_REQUEST")
	if got := a.Header.Get("Allow"); got != "DELETE, GET, HEAD, PUT" {
		t.Error(got)
	}
	x.want(x.ask("POST", "/metrics", "{}", as(operator)), 405, "BAD_REQUEST")
	x.want(x.ask("BREW", "/api/v1/jobs", "", as(operator)), 405, "BAD_REQUEST")
	x.want(x.ask("POST", "/app.js", "{}"), 405, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/jobs", "", as(operator), "Accept: text/html"), 406, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/jobs", "", as(operator), "Accept: application/json;q=0, */*"), 406, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/events", "", as(operator), "Accept: application/json"), 406, "BAD_REQUEST")
	for _, accept := range []string{"", "*/*", "application/*", "text/html, application/json;q=0.1", "APPLICATION/JSON"} {
		x.want(x.ask("GET", "/api/v1/jobs", "", as(operator), "Accept: "+accept), 200, "")
	}
	x.want(x.ask("GET", "/api/v1/jobs?q="+strings.Repeat("x", uriBytes), "", as(operator)), 414, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/jobs/a%2Fb", "", as(operator)), 400, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/jobs/none", "", as(operator)), 404, "JOB_UNKNOWN")
	for _, q := range []string{"limit=0", "limit=1001", "limit=x", "limit=", "limit=9999999999999999999", "sort=size", "sort=", "status=what", "kind=", "needs_you=maybe", "q=%zz", "a;b", "q=x&q=y", "q=%ff", "after=" + strings.Repeat("x", 401)} {
		x.want(x.ask("GET", "/api/v1/jobs?"+q, "", as(operator)), 400, "BAD_REQUEST")
	}
	x.want(x.ask("GET", "/api/v1/jobs?limit=1000&status=running&status=paused&sort=-lag&needs_you=true&other=1", "", as(operator)), 200, "")
	x.want(x.ask("DELETE", "/api/v1/jobs/shop/positions", "", as(operator)), 400, "BAD_REQUEST")
}

func TestRequest_when_it_comes_slowly(t *testing.T) {
	x := open(t)
	c, err := net.Dial("tcp", x.host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The head came, the body does not: others are served meanwhile.
	fmt.Fprintf(c, "POST /api/v1/jobs HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", x.host, as(operator))
	eventually(t, "the slow request is worked on", func() bool { return len(x.s.slots) == 1 })
	x.want(x.ask("POST", "/api/v1/jobs", newJob, as(operator)), 201, "")
	c.Close()
	eventually(t, "the slow request is given up", func() bool { return len(x.s.slots) == 0 })
}

func TestReply_when_it_is_large(t *testing.T) {
	x := open(t)
	const large = "/api/v1/openapi.yaml"
	plain := x.ask("GET", large, "", as(operator))
	zipped := x.ask("GET", large, "", as(operator), "Accept-Encoding: br, gzip;q=0.5")
	if again := x.ask("GET", large, "", as(operator), "Accept-Encoding: gzip"); !bytes.Equal(again.body, zipped.body) {
		t.Error("a compressor that was used before compresses otherwise")
	}
	if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("Vary") != "Accept-Encoding" || len(zipped.body) >= len(plain.body) {
		t.Fatal(zipped.Header, len(zipped.body), len(plain.body))
	}
	z, err := gzip.NewReader(bytes.NewReader(zipped.body))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, plain.body) {
		t.Errorf("%v: %s", err, text)
	}
	for _, encoding := range []string{"", "identity", "gzip;q=0", "br"} {
		if a := x.ask("GET", large, "", as(operator), "Accept-Encoding: "+encoding); a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: compressed", encoding)
		}
	}
	if a := x.ask("GET", "/api/v1/whoami", "", as(operator), "Accept-Encoding: gzip"); a.Header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
	a := x.ask("HEAD", "/api/v1/jobs", "", as(operator))
	if a.StatusCode != http.StatusOK || len(a.body) != 0 {
		t.Error(a.StatusCode, len(a.body))
	}
	for name, want := range always {
		if got := plain.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestProblem_when_a_job_file_has_many(t *testing.T) {
	x := open(t)
	a := x.ask("POST", "/api/v1/jobs", `{"file": "broken"}`, as(operator))
	x.want(a, 422, "JOB_FIELD")
	p := a.problem(t)
	if len(p.Problems) != 2 || p.Problems[0].Field != "nme" || p.Problems[0].Hint != `did you mean "name"?` || p.Problems[1].Line != 2 || p.Problems[1].Column != 3 || p.Type != "docs/errors.md#job_field" {
		t.Errorf("%s", a.body)
	}
}

func TestProblem_when_codes_are_held_against_the_catalogue(t *testing.T) {
	for _, i := range fault.Catalogue {
		status, ok := statuses[i.Code]
		if !ok {
			t.Errorf("%s has no status", i.Code)
		}
		// What may go away by itself is not the asker's fault, what he can mend is.
		if i.Class == fault.User && status >= 500 && i.Code != fault.SourceTLS && i.Code != fault.StateBroken {
			t.Errorf("%s is for the user to mend, but %d", i.Code, status)
		}
	}
	if len(statuses) != len(fault.Catalogue) {
		t.Errorf("%d statuses for %d codes", len(statuses), len(fault.Catalogue))
	}
}

func TestStrict_when_times_are_read(t *testing.T) {
	x := open(t)
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	x.want(x.ask("POST", "/api/v1/tokens", `{"name": "eve", "role": "read", "expires": "`+expires+`"}`, as(operator)), 201, "")
	for _, bad := range []string{`"tomorrow"`, `5`, `{}`, `""`} {
		x.want(x.ask("POST", "/api/v1/tokens", `{"name": "eve", "role": "read", "expires": `+bad+`}`, as(operator)), 400, "BAD_REQUEST")
	}
}
