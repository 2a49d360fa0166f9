package server

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"godwit/internal/fault"
)

// gzipFrom is how many bytes an answer must have to be worth compressing: fewer are sent
// at once, and to compress them takes longer than to make them.
const gzipFrom = 4 << 10

// give answers with v, or with err.
func give(w http.ResponseWriter, r *http.Request, status int, v any, err error) {
	if err != nil {
		problem(w, r, err)
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		problem(w, r, err)
		return
	}
	send(w, r, status, "application/json", text)
}

// done answers that it was done, and nothing more, or with err.
func done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		problem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// send answers with a body, compressed when the client takes that and it pays.
func send(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Add("Vary", "Accept-Encoding")
	if len(body) < gzipFrom || !takes(r.Header.Values("Accept-Encoding"), "gzip", "*") {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // who does not take it has gone
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		visitOf(r).zips.compress(w, body)
	}
}

// zips are compressors that are not used now: each has a megabyte, which is not made
// anew for every answer.
type zips struct{ idle sync.Pool }

func (p *zips) compress(w io.Writer, body []byte) {
	z, _ := p.idle.Get().(*gzip.Writer)
	if z == nil {
		var err error
		if z, err = gzip.NewWriterLevel(w, gzip.BestSpeed); err != nil {
			panic(err) // the level is a constant
		}
	} else {
		z.Reset(w)
	}
	_, _ = z.Write(body) // who does not take it has gone
	_ = z.Close()
	p.idle.Put(z)
}

// takes reports whether a header such as Accept names one of the words without
// refusing it (q=0). What is said of an earlier word counts before that of a later.
func takes(header []string, words ...string) bool {
	for _, word := range words {
		for one := range strings.SplitSeq(strings.Join(header, ","), ",") {
			name, rest, _ := strings.Cut(one, ";")
			if strings.EqualFold(strings.TrimSpace(name), word) {
				return !refusedBy(rest)
			}
		}
	}
	return false
}

func refusedBy(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(p, "=")
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); strings.EqualFold(strings.TrimSpace(key), "q") && err == nil {
			return q == 0
		}
	}
	return false
}

// acceptable answers 406 and returns false when a client takes nothing of the type
// that this is answered with.
func acceptable(w http.ResponseWriter, r *http.Request, kind string) bool {
	accept := r.Header.Values("Accept")
	group, _, _ := strings.Cut(kind, "/")
	if strings.TrimSpace(strings.Join(accept, "")) == "" || takes(accept, kind, group+"/*", "*/*") {
		return true
	}
	problemWith(w, r, http.StatusNotAcceptable, fault.New(fault.BadRequest, "this is answered as %s, which Accept leaves out", kind))
	return false
}
