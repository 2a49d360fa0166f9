package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// noted is a refusal for the audit log.
type noted struct {
	by, from, what string
	code           fault.Code
	request        string
}

// Somebody who tries tokens must not fill the disk: after some refusals at once, one
// a second is noted, and how many were not.
const (
	notesPerSecond = 1
	notesBurst     = 20
)

type notes struct {
	pass  *buckets
	write func(noted, int)

	mu      sync.Mutex
	skipped int
}

func newNotes(write func(noted, int), now func() time.Time) *notes {
	return &notes{pass: newBuckets(notesPerSecond, notesBurst, now), write: write}
}

func (n *notes) add(e noted) {
	n.mu.Lock()
	if n.pass.take("") > 0 {
		n.skipped++
		n.mu.Unlock()
		return
	}
	skipped := n.skipped
	n.skipped = 0
	n.mu.Unlock()
	n.write(e, skipped)
}

// note hands a refusal to the service, where there is one yet.
func (s *Server) note(e noted, skipped int) {
	s.o.Log.Warn("a request was refused", "request", e.request, "who", e.by, "from", e.from, "what", e.what, "code", e.code, "more", skipped)
	if s.service.Load() == nil {
		return
	}
	by := e.by
	if by == "" {
		by = "unknown"
	}
	reason := "from " + e.from
	if skipped > 0 {
		reason += fmt.Sprintf("; %d more were refused since the last that is noted", skipped)
	}
	// It is noted though the one who was refused has gone.
	s.svc().Note(context.Background(), api.Entry{
		At: s.o.Now().UTC(), By: by, What: e.what, Reason: reason, Outcome: api.EntryOutcomeRefused, Code: string(e.code), Request: e.request,
	})
}
