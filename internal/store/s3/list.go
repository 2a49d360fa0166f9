package s3

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// List implements store.Store. An object whose key is the store's prefix itself
// has no name here and is left out. A service that does not list in order is
// found out: fault.StoreProtocol.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		s.list(ctx, prefix, after, yield)
	}
}

func (s *Store) list(ctx context.Context, prefix, after string, yield func(store.Object, error) bool) {
	if !listable(prefix, after) {
		return
	}
	last := after // keys up to it are not wanted any more
	// A page that fails is asked for again, from the last key on.
	err := s.call(ctx, act{what: actList}, s.limits.stall, func(t try) error {
		before := ""
		for i := range s.api.ListObjectsIter(t.ctx, s.at.bucket, s.listOptions(prefix, last)) {
			if i.Err != nil {
				return i.Err
			}
			t.pause() // the caller may take its time
			if i.Key <= before {
				return s.disorder(before, i.Key)
			}
			before = i.Key
			if key := strings.TrimPrefix(i.Key, s.at.prefix); strings.HasPrefix(key, prefix) && key > last && !s.hidden(key) {
				if last = key; !yield(s.listed(ctx, key, i), nil) {
					return nil
				}
			}
			t.moved()
		}
		// It ends without an error when its context does.
		return context.Cause(t.ctx)
	})
	if fault.Has(err, fault.NameRefused) && s.at.prefix+prefix != "" {
		return // a service that cannot have such keys says so, instead of that it has none
	}
	if err != nil {
		yield(store.Object{}, err)
	}
}

// listOptions are those of a listing that has all wanted keys, and perhaps some
// more: a prefix or a place that ends inside a letter cannot be sent.
func (s *Store) listOptions(prefix, after string) minio.ListObjectsOptions {
	owner := false
	o := minio.ListObjectsOptions{Prefix: s.at.prefix + sendable(prefix), Recursive: true, UseV1: s.v1, FetchOwner: &owner}
	if after > prefix {
		o.StartAfter = s.at.prefix + sendable(after)
	}
	return o
}

// sendable cuts s before the first byte that is not of a letter in UTF-8, before
// a control character, and before a part "." or "..", which some services refuse
// even at the beginning of a listing.
func sendable(s string) string {
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		if r < ' ' || r == utf8.RuneError && size == 1 {
			s = s[:i]
			break
		}
	}
	from := 0
	for part := range strings.SplitSeq(s, "/") {
		if part == "." || part == ".." {
			return s[:from]
		}
		from += len(part) + 1
	}
	return s
}

// listable reports whether any key can begin with prefix and lie after after.
func listable(prefix, after string) bool {
	return len(prefix) <= keyBytes && (after <= prefix || strings.HasPrefix(after, prefix))
}

func (s *Store) disorder(last, key string) error {
	return fault.New(fault.StoreProtocol, "the store does not list in order: %s comes after %s", show(key), show(last)).
		At("%s", s.Where()).Try("such a store (directory buckets are ones) cannot be compared or continued; use another kind of bucket")
}

// listed makes an object of a line of a listing.
func (s *Store) listed(ctx context.Context, key string, i minio.ObjectInfo) store.Object {
	s.sniff(ctx, key)
	o := store.Object{Key: key, Size: i.Size, Modified: i.LastModified, Version: i.ETag}
	if sum, ok := etagSum(i.ETag, s.opaque.Load()); ok {
		o.Sums = []store.Sum{sum}
	}
	return o
}

// sniff looks at one object of a store: a listing does not say whether ETags are
// MD5s, and where objects are encrypted with keys of the key store they only look
// like ones.
func (s *Store) sniff(ctx context.Context, key string) {
	if s.sniffed.Swap(true) {
		return
	}
	if _, _, err := s.head(ctx, key, s.at.prefix+key); err != nil && ctx.Err() == nil {
		s.log.Debug("not known whether ETags are sums", "store", s.Where(), "error", fmt.Sprint(err))
	}
}
