package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestPage_when_files_are_asked_for(t *testing.T) {
	x := open(t)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8", "/jobs/shop/edit": "text/html; charset=utf-8",
		"/apis": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8",
	} {
		a := x.ask("GET", path, "")
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != kind || a.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
		if strings.HasPrefix(kind, "text/html") != strings.Contains(string(a.body), "<title>Godwit") {
			t.Errorf("%s: %.100s", path, a.body)
		}
		tag := a.Header.Get("Etag")
		for _, known := range []string{tag, `"x", W/` + tag, "*"} {
			if again := x.ask("GET", path, "", "If-None-Match: "+known); again.StatusCode != http.StatusNotModified || len(again.body) != 0 || again.Header.Get("Etag") != tag {
				t.Errorf("%s with %s: %d", path, known, again.StatusCode)
			}
		}
		if a := x.ask("GET", path, "", `If-None-Match: "another"`); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		if !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Error("no policy")
		}
	}
	if x.ask("GET", "/app.js", "").Header.Get("Etag") == x.ask("GET", "/style.css", "").Header.Get("Etag") {
		t.Error("two files have one tag")
	}
	if a := x.ask("GET", "/app.js", "", "Accept-Encoding: gzip"); a.Header.Get("Content-Encoding") != "gzip" {
		t.Error("a script is not compressed")
	}
}

func TestPage_when_a_path_is_not_its(t *testing.T) {
	x := open(t)
	for _, path := range []string{"/missing.js", "/jobs/a.b", "/.hidden", "/../server.go", "/%2e%2e/server.go", "/a//b.js"} {
		x.want(x.ask("GET", path, ""), 404, "BAD_REQUEST")
	}
	for _, path := range []string{"/api/trap.html", "/api", "//api/trap.html", "/x/../api/trap.html", "/metrics", "/metrics/", "/logout/x"} {
		x.want(x.ask("GET", path, ""), 401, "TOKEN_MISSING")
	}
	x.want(x.ask("GET", "/healthz/", ""), 401, "TOKEN_MISSING")
	none := open(t, func(o *Options) { o.Web = nil })
	none.want(none.ask("GET", "/", ""), 404, "BAD_REQUEST")
}
