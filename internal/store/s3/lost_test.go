package s3

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// An upload that the service lost half-way to its completion is gone: it is not
// asked for again and again, and nobody says that its object was published.
func TestComplete_when_the_service_lost_the_parts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>InvalidPart</Code><Message>One or more of the specified parts could not be found.</Message></Error>")
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	s := unasked(t, server.URL, "secret")
	s.limits.pause = 1
	parts := []store.Part{{N: 1, Size: 3, Token: "900150983cd24fb0d6963f7d28e17f72"}}
	if _, err := s.complete(t.Context(), "a", "id", parts); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("complete: %v", err)
	}
	r := store.Receipt{Key: "a", Staged: "id", Size: 3, Checksum: "xxh3:00"}
	r.Token = "1:" + parts[0].Token + ":" + seal(r, parts[0].Token)
	if _, err := s.Publish(t.Context(), r); !fault.Has(err, fault.TargetLost) {
		t.Errorf("publish: %v", err)
	}
}
