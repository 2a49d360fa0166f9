package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"godwit/internal/api"
)

// loaded is the document as a library of others reads it: an oracle that shares no
// line with the checks of the server.
var loaded = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(api.Document()))
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestDocument_when_something_is_not_there says that the document's head names the codes of
// all that may be named and not there.
func TestDocument_when_something_is_not_there(t *testing.T) {
	head := document(t).Info.Description
	for code, status := range statuses {
		if status == http.StatusNotFound && !strings.Contains(head, "`"+string(code)+"`") {
			t.Errorf("the head does not name %s", code)
		}
	}
}

// operation is one of the document.
type operation struct {
	method, path string
	op           *openapi3.Operation
	params       []*openapi3.Parameter
	body         *openapi3.Schema // nil: none
}

func operations(t testing.TB) (all []operation) {
	t.Helper()
	doc := document(t)
	for _, path := range doc.Paths.InMatchingOrder() {
		item := doc.Paths.Value(path)
		for method, op := range item.Operations() {
			o := operation{method: method, path: path, op: op}
			for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
				o.params = append(o.params, ref.Value)
			}
			if op.RequestBody != nil {
				o.body = op.RequestBody.Value.Content["application/json"].Schema.Value
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

func TestDocument_when_routed(t *testing.T) {
	s, err := New(Options{Service: newFake()})
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, o := range operations(t) {
		want := o.method + " " + o.path
		patterns = append(patterns, want)
		path := strings.NewReplacer("{name}", "shop", "{version}", "1", "{id}", "a1", "{token}", "bob").Replace(o.path)
		if _, got := s.mux.Handler(httptest.NewRequest(o.method, path, nil)); got != want {
			t.Errorf("%s is routed to %q", want, got)
		}
		for _, way := range o.op.Responses.Map() {
			for kind := range way.Value.Content {
				if is := kinds[want]; kind != "application/problem+json" && kind != is && (is != "" || kind != "application/json") {
					t.Errorf("%s is answered as %s, the server thinks %q", want, kind, is)
				}
			}
		}
	}
	for _, p := range forReaders {
		if !slices.Contains(patterns, p) {
			t.Errorf("readers may %s, which is not in the document", p)
		}
	}
	for _, p := range patterns {
		if strings.HasPrefix(p, "GET ") && p != "GET /healthz" && p != "GET /readyz" && !slices.Contains(forReaders, p) {
			t.Errorf("readers may not %s", p)
		}
	}
	if goodName.String() != document(t).Components.Schemas["Name"].Value.Pattern {
		t.Error("names have another form in the document")
	}
}

// attempt is a request that was made up, and what the document says of it.
type attempt struct {
	o       operation
	target  string
	headers [][2]string
	body    string
	hasBody bool
	flaw    string // why it does not fit the document; empty: it does
}

// maker makes requests up.
type maker struct{ *rand.Rand }

func (m maker) one(n int) bool { return m.IntN(n) == 0 }

// texts that are at a border for somebody.
var oddTexts = []string{
	"", "shop", "media", "none", "name: fresh\n", "name: a-b\n", "broken", " ", "\x00", "ü", "日本", "😀", "../..", "%2e%2e", "a/b", "a b", "{name}", "'\";--", "<script>",
	"null", "true", "-1", "0", "1", "18446744073709551616", "1e999", "NaN", "2026-11-26T12:00:00Z", "running", "paused", "operate", "read", "pause", "tables",
	"-", "a-", "A", strings.Repeat("a", 64), strings.Repeat("a", 65), "\r\nX-Evil: 1", "\u2028", "a\u0301",
}

// text makes a text, near the bounds of its schema.
func (m maker) text(s *openapi3.Schema) string {
	if len(s.Enum) > 0 && !m.one(4) {
		return s.Enum[m.IntN(len(s.Enum))].(string)
	}
	switch {
	case s.Pattern != "" && !m.one(3):
		return []string{"shop", "media", "old", "none", "a1", "bob"}[m.IntN(6)]
	case s.Format == "date-time" && !m.one(3):
		return time.Unix(m.Int64N(4e9), 0).UTC().Format(time.RFC3339)
	case s.MaxLength != nil && *s.MaxLength < 1000 && m.one(3):
		return strings.Repeat([]string{"x", "é", "😀"}[m.IntN(3)], int(*s.MaxLength)+m.IntN(3)-1)
	case s.MaxLength != nil && m.one(60): // a megabyte takes its time
		return strings.Repeat("x", int(*s.MaxLength)+m.IntN(3)-1)
	}
	return oddTexts[m.IntN(len(oddTexts))]
}

func (m maker) number(s *openapi3.Schema) any {
	near := func(bound *float64) int64 { return int64(*bound) + int64(m.IntN(3)) - 1 }
	switch {
	case s.Min != nil && m.one(2):
		return near(s.Min)
	case s.Max != nil && m.one(2):
		return near(s.Max)
	case m.one(6):
		return []any{1.5, -0.25, json.Number("99999999999999999999"), int64(-1 << 62), int64(0)}[m.IntN(5)]
	}
	return int64(m.IntN(5))
}

// value makes a value for a schema, or now and then one that is nothing like it.
func (m maker) value(s *openapi3.Schema, depth int) any {
	for len(s.AllOf) == 1 {
		s = s.AllOf[0].Value
	}
	if m.one(25) || depth > 6 {
		return []any{nil, true, "text", int64(7), 1.5, []any{}, []any{nil}, map[string]any{}, map[string]any{"x": int64(1)}}[m.IntN(9)]
	}
	switch {
	case s.Type.Is("string"):
		return m.text(s)
	case s.Type.Is("boolean"):
		return m.one(2)
	case s.Type.Is("integer"), s.Type.Is("number"):
		return m.number(s)
	case s.Type.Is("array"):
		n := m.IntN(4)
		if s.MaxItems != nil && m.one(20) {
			n = int(*s.MaxItems) + m.IntN(3) - 1
		}
		out := make([]any, n)
		plain := m.value(s.Items.Value, depth+1)
		for i := range out {
			out[i] = plain
			if n < 100 {
				out[i] = m.value(s.Items.Value, depth+1)
			}
		}
		return out
	}
	return m.object(s, depth)
}

func (m maker) object(s *openapi3.Schema, depth int) map[string]any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if slices.Contains(s.Required, name) && !m.one(30) || m.one(3) {
			out[name] = m.value(s.Properties[name].Value, depth+1)
		}
	}
	if m.one(25) {
		out[oddTexts[m.IntN(len(oddTexts))]] = "more"
	}
	if m.one(40) {
		for name, v := range out { // encoding/json would not mind
			delete(out, name)
			out[strings.ToUpper(name)] = v
			break
		}
	}
	return out
}

// make makes a request for an operation.
func (m maker) make(o operation) attempt {
	a := attempt{o: o}
	path, query := o.path, url.Values{}
	for _, p := range o.params {
		s := p.Schema.Value
		if !p.Required && !m.one(3) {
			continue
		}
		if p.Required && p.In != "path" && m.one(20) {
			a.fail("%s is missing", p.Name)
			continue
		}
		values := []string{m.param(s)}
		if s.Type.Is("array") {
			values = nil
			n := 1 + m.IntN(3)
			if m.one(10) {
				n = int(*s.MaxItems) + m.IntN(3) - 1
			}
			item := s.Items.Value
			for range n {
				v := m.param(item)
				values = append(values, v)
				a.check(p.Name, item, v)
			}
			if len(values) > int(*s.MaxItems) {
				a.fail("%s has %d items", p.Name, len(values))
			}
		} else {
			a.check(p.Name, s, values[0])
		}
		switch p.In {
		case "path":
			path = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(values[0]), 1)
		case "query":
			query[p.Name] = values
		case "header":
			if strings.ContainsAny(values[0], "\r\n\x00") || strings.TrimSpace(values[0]) != values[0] {
				values[0] = "key"
				a.flaw = "" // no client can send it
			}
			a.headers = append(a.headers, [2]string{p.Name, values[0]})
		}
	}
	a.target = path
	if len(query) > 0 {
		a.target += "?" + query.Encode()
	}
	if o.body != nil {
		a.addBody(m)
	}
	return a
}

// param makes the text of a parameter.
func (m maker) param(s *openapi3.Schema) string {
	if v := m.value(s, 5); v != nil {
		if text, ok := v.(string); ok {
			return text
		}
		if f, ok := v.(float64); ok {
			return fmt.Sprint(f)
		}
		return fmt.Sprint(v)
	}
	return "null"
}

func (a *attempt) fail(format string, args ...any) {
	if a.flaw == "" {
		a.flaw = fmt.Sprintf(format, args...)
	}
}

// check asks the oracle about a parameter.
func (a *attempt) check(name string, s *openapi3.Schema, text string) {
	var v any = text
	if _, err := strconv.ParseInt(text, 10, 64); err != nil && s.Type.Is("integer") {
		a.fail("%s=%q is no whole number", name, text)
		return
	}
	if !s.Type.Is("string") {
		var number any
		if json.Unmarshal([]byte(text), &number) != nil || fmt.Sprintf("%T", number) == "string" {
			a.fail("%s=%q is no %v", name, text, s.Type.Slice())
			return
		}
		v = number
	}
	if err := s.VisitJSON(v); err != nil {
		a.fail("%s=%.80q: %.200v", name, text, err)
	}
}

func (a *attempt) addBody(m maker) {
	a.hasBody = true
	v := m.value(a.o.body, 0)
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	a.body = string(text)
	if m.one(30) { // no JSON at all
		a.body = []string{"", "{", "[}", "{\"file\": \"\xff\"}", a.body + a.body, a.body + "]", strings.Repeat("[", 20_000), "\ufeff" + a.body}[m.IntN(8)]
	}
	var read any
	if !utf8.ValidString(a.body) || json.Unmarshal([]byte(a.body), &read) != nil {
		a.fail("the body is not JSON")
	} else if err := a.o.body.VisitJSON(read); err != nil {
		a.fail("%.300v", err)
	}
}

// lawful are flaws that only the server sees: the document cannot say them, or the
// service would say the same later.
func lawful(a attempt, p api.Problem) bool {
	if p.Code != "BAD_REQUEST" {
		return true
	}
	return slices.ContainsFunc([]string{
		"file is empty", "no such alarm", "no such token", "there is nothing at", "has no version", "the address has", "the body has more than",
	}, func(s string) bool { return strings.Contains(p.Title, s) }) ||
		strings.Contains(p.Title, "must be a whole number") // 1e0, or more than 64 bits
}

// try sends an attempt and holds the answer against the document.
func try(t *testing.T, s *Server, f *fake, a attempt) (status int) {
	t.Helper()
	before := f.reached()
	r, err := http.NewRequest(a.o.method, "http://localhost"+a.target, strings.NewReader(a.body))
	if err != nil {
		return 0 // no client can send it
	}
	r.RequestURI, r.RemoteAddr = a.target, "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+operator)
	for _, h := range a.headers {
		r.Header.Set(h[0], h[1])
	}
	if a.hasBody {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.enter(w, r)
	told := func(format string, args ...any) {
		t.Errorf("%s %.200s %.300q (%s): %d: %s\n%.500s", a.o.method, a.target, a.body, a.flaw, w.Code, fmt.Sprintf(format, args...), w.Body)
	}
	if w.Code >= 500 {
		told("an error of the server")
	}
	if a.flaw != "" && (w.Code < 400 || f.reached() != before) {
		told("it does not fit the document, and was taken")
	}
	if err := answerFits(a.o, w); err != nil {
		told("the answer does not fit the document: %v", err)
	}
	if w.Code < 400 {
		return w.Code
	}
	var p api.Problem
	if json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Code == "" || p.Status != w.Code {
		told("no Problem")
	}
	if a.flaw == "" && !lawful(a, p) {
		told("it fits the document, and was refused")
	}
	return w.Code
}

func answerFits(o operation, w *httptest.ResponseRecorder) error {
	way := o.op.Responses.Status(w.Code)
	if way == nil {
		if way = o.op.Responses.Default(); way == nil || w.Code < 400 {
			return fmt.Errorf("%d is not in the document", w.Code)
		}
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if len(way.Value.Content) == 0 {
		if w.Body.Len() > 0 {
			return fmt.Errorf("it has a body")
		}
		return nil
	}
	content := way.Value.Content[kind]
	if content == nil {
		return fmt.Errorf("it is of the type %q", kind)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		return err
	}
	return content.Schema.Value.VisitJSON(v)
}

func quiet(t testing.TB) (*Server, *fake) {
	t.Helper()
	f := newFake()
	s, err := New(Options{Service: f, PerSecond: 1 << 30, Burst: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// TestRequests_when_made_from_the_document sends what fits the document, what is at
// its borders and what is beyond them, to each operation.
func TestRequests_when_made_from_the_document(t *testing.T) {
	const each = 220
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := maker{rand.New(rand.NewPCG(seed, 1))}
	all := operations(t)
	sent, codes := 0, map[int]int{}
	for _, o := range all {
		s, f := quiet(t)
		fits, not := 0, 0
		for range each {
			a := m.make(o)
			codes[try(t, s, f, a)]++
			sent++
			if a.flaw == "" {
				fits++
			} else {
				not++
			}
			if t.Failed() {
				return
			}
		}
		if fits == 0 || not == 0 && (o.body != nil || len(o.params) > 0 && o.op.OperationID != "deleteJob") {
			t.Errorf("%s: %d requests fit, %d do not: it is not tried", o.op.OperationID, fits, not)
		}
	}
	t.Logf("%d requests to %d operations: %v", sent, len(all), codes)
	if sent < 5000 || codes[200] < 1000 || codes[400] < 1000 || codes[201] == 0 || codes[204] == 0 || codes[409] == 0 {
		t.Errorf("too little was tried: %d requests, %v", sent, codes)
	}
}

// FuzzRequest sends anything to anywhere; see test/fuzz.sh.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/api/v1/jobs", "", "application/json", "", "", newJob)
	f.Add("GET", "/api/v1/jobs?status=running&limit=3", "", "", "*/*", "gzip", "")
	f.Add("PUT", "/api/v1/jobs/shop", "", "application/json", "application/json;q=0.1", "", `{"version":1,"file":"name: shop\n"}`)
	f.Add("POST", "/api/v1/jobs:act", "http://localhost", "application/json", "", "", `{"act":"pause","filter":{"status":["running"]}}`)
	f.Add("GET", "/api/v1/events?after=x", "", "", "text/event-stream", "", "")
	f.Add("POST", "/login", "http://localhost", "application/x-www-form-urlencoded", "text/html", "", "token="+operator)
	f.Add("GET", "/..%2fapi", "null", "", "", "", "")
	s, fake := quiet(f)
	s.page = newPage(testPage)
	f.Fuzz(func(t *testing.T, method, target, origin, kind, accept, encoding, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r, err := http.NewRequest(method, "http://localhost/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.RequestURI, r.RemoteAddr = u.Path, u.RawPath, u.RawQuery, target, "127.0.0.1:1"
		for name, value := range map[string]string{"Origin": origin, "Content-Type": kind, "Accept": accept, "Accept-Encoding": encoding, "Cookie": "godwit=" + operator} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		before := fake.reached()
		w := httptest.NewRecorder()
		s.enter(w, r)
		if w.Code >= 500 {
			t.Errorf("%d: %s", w.Code, w.Body)
		}
		if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d is no Problem: %s", w.Code, w.Body)
		}
		if changed := fake.reached() != before; changed && !safe(r) && !strings.EqualFold(origin, "http://localhost") && !strings.EqualFold(origin, "https://localhost") {
			t.Errorf("a page of %q changed something", origin)
		}
		if len(s.slots) != 0 {
			t.Error("a slot was not given back")
		}
	})
}
