package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// try is one sending of a request.
type try struct {
	*watch
	again bool // an earlier one may have been carried out although it failed
}

// call sends a request until it is answered, a few times: once must make it anew
// each time. Its error is mapped.
func (s *Store) call(ctx context.Context, a act, limit time.Duration, once func(t try) error) error {
	again := false
	for n := 1; ; n++ {
		w := watched(ctx, limit)
		raw := once(try{w, again})
		err := s.fail(w.ctx, a, raw)
		w.end()
		var body bodyError // for whoever made the body
		if err == nil || errors.As(raw, &body) || final(raw) || !passing(err) {
			return err
		}
		if fault.Has(err, fault.StoreBusy) && s.slow != nil {
			s.slow()
		}
		if n >= s.limits.tries || fault.Has(err, fault.StoreUnreachable) && n >= 2 || ctx.Err() != nil {
			return err
		}
		again = again || !fault.Has(err, fault.StoreUnreachable) && !fault.Has(err, fault.StoreBusy)
		if err := s.pause(ctx, n); err != nil {
			return fmt.Errorf("%s: %w", s.where(a.key), err)
		}
	}
}

// final reports whether the service found a fault with the request itself: sent
// again it is answered the same.
func final(raw error) bool {
	var r minio.ErrorResponse
	if !errors.As(raw, &r) || r.StatusCode < 400 || r.StatusCode >= 500 {
		return false
	}
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests, 499:
		return false
	}
	switch r.Code {
	case "RequestTimeout", "IncompleteBody", "InvalidPart":
		return false
	}
	_, known := serviceCodes[r.Code]
	return !known
}

// passing reports whether an error of a request may go away in a moment.
func passing(err error) bool {
	for _, code := range []fault.Code{fault.StoreFailed, fault.StoreBusy, fault.StoreUnreachable, fault.Corrupt} {
		var e *fault.Error
		if errors.As(err, &e) && e.Code == code {
			return true
		}
	}
	return false
}

// pause waits before the try after the n-th: longer each time, and not all at
// the same moment.
func (s *Store) pause(ctx context.Context, n int) error {
	d := s.limits.pause << (n - 1)
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func notFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
