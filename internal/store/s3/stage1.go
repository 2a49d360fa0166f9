package s3

import (
	"context"
	"strings"

	"godwit/internal/store"
)

// Receipts of version 1 name an unfinished upload of the final key, which Publish
// completes. None are made any more; records of older programs have them.

// parseUploadToken reads the ETags of the parts.
func parseUploadToken(list string) (token, bool) {
	var t token
	for tag := range strings.SplitSeq(list, ",") {
		t.parts = append(t.parts, store.Part{N: len(t.parts) + 1, Token: tag})
	}
	return t, list != "" && len(t.parts) <= maxParts
}

// publishUpload is Publish for such a receipt. Where the service lost the upload it
// is TargetLost.
func (s *Store) publishUpload(ctx context.Context, r store.Receipt, parts []store.Part) (store.Outcome, error) {
	if there, err := s.completedUpload(ctx, r, parts); err != nil || there {
		return store.Already, err
	}
	_, err := s.complete(ctx, r.Key, r.Staged, parts)
	if err == nil {
		return store.Published, nil
	}
	if !notFound(err) {
		return 0, err
	}
	if there, err := s.completedUpload(ctx, r, parts); err != nil || there {
		return store.Already, err
	}
	return 0, s.lost(r)
}

// completedUpload reports whether the object of a receipt is there, and drops the
// upload if it came there by another way.
func (s *Store) completedUpload(ctx context.Context, r store.Receipt, parts []store.Part) (bool, error) {
	full, err := s.full(ctx, r.Key)
	if err != nil {
		return false, err
	}
	o, _, err := s.head(ctx, r.Key, full)
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	tag, known := compositeTag(parts)
	same := known && o.Version == tag && o.Size == r.Size
	if !same {
		same, err = s.holds(ctx, o, r)
	}
	if err != nil {
		return false, err
	}
	if !same {
		return false, s.foreign(r)
	}
	return true, s.drop(ctx, r.Key, r.Staged)
}
