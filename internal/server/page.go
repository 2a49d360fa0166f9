package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"godwit/internal/fault"
)

// page serves the files of the page. They are read anew each time: they are small,
// and whoever works on them sees what he wrote.
type page struct{ files fs.FS }

func newPage(files fs.FS) *page { return &page{files} }

// types are those of the page's files, so that they are the same on any machine.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png",
	".ico": "image/x-icon", ".woff2": "font/woff2", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
}

// serve answers with a file, or with index.html at a path without a dot: the page
// itself knows what it shows there.
func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	if !safe(r) {
		w.Header().Set("Allow", "GET, HEAD")
		problemWith(w, r, http.StatusMethodNotAllowed, fault.New(fault.BadRequest, "%s is not done to the page", method(r)).Try("the API is below /api/v1"))
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	text, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.Contains(name, ".") {
		name = "index.html"
		text, err = p.read(name)
	}
	if err != nil {
		problemWith(w, r, http.StatusNotFound, fault.New(fault.BadRequest, "there is nothing at %s", shown(r.URL.Path)))
		return
	}
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // kept, but asked for each time
	h.Set("Etag", tag)
	h.Add("Vary", "Accept-Encoding")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, r, http.StatusOK, typeOf(name), text)
}

func (p *page) read(name string) ([]byte, error) {
	if p.files == nil || !fs.ValidPath(name) || strings.HasPrefix(path.Base(name), ".") {
		return nil, fs.ErrNotExist
	}
	if s, err := fs.Stat(p.files, name); err != nil || !s.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return fs.ReadFile(p.files, name)
}

func typeOf(name string) string {
	if t := types[path.Ext(name)]; t != "" {
		return t
	}
	return "application/octet-stream"
}

// matches reports whether If-None-Match has a tag; one that is weak will do.
func matches(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}
