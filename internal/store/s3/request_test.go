package s3

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"godwit/internal/store"
)

// Every request, also one that is repeated, is counted before it is sent.
func TestRequest_when_leave_is_needed(t *testing.T) {
	var asked, served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if asked.Load() < served.Load() {
			t.Error("a request was sent without leave")
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
		}
	}))
	defer server.Close()
	env := store.Env{Request: func(context.Context) error { asked.Add(1); return nil }}
	s := at(t, server.URL, "bucket", "", env, nil)
	_ = s.Delete(context.Background(), "key")
	if served.Load() < 2 || asked.Load() != served.Load() {
		t.Errorf("%d requests, %d times asked", served.Load(), asked.Load())
	}
}
