package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // what the service compares with
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
)

const (
	maxParts  = 10_000
	leastPart = 5 * mib // of all parts but the last: the protocol's
)

// PartSize implements store.Parter: a whole number of MiB, so that others who cut
// the same object by the usual sizes get the same sums.
func (s *Store) PartSize(size, least int64) int64 {
	n := max(least, s.part, leastPart)
	if n*maxParts < size {
		n = (size + maxParts - 1) / maxParts
	}
	n = (n + mib - 1) / mib * mib
	return min(n, onceBytes)
}

// begin begins an upload of the service and returns its id.
func (s *Store) begin(ctx context.Context, key string, size int64, o store.PutOptions) (string, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return "", err
	}
	if size < 0 {
		return "", fault.New(fault.Internal, "an upload of %d bytes", size).At("%s", s.where(key))
	}
	if size > onceBytes*maxParts {
		return "", fault.New(fault.StoreRefused, "%s is too large for this store: it has %d bytes", show(key), size).At("%s", s.Where())
	}
	var upload string
	err = s.call(ctx, act{actBegin, key}, s.limits.stall, func(t try) error {
		upload, err = s.api.NewMultipartUpload(t.ctx, s.at.bucket, full, s.putOptions(o.Attributes))
		return err
	})
	if notFound(err) { // 404 can be of the bucket alone
		err = s.answered(act{actBegin, key}, minio.ErrorResponse{Code: "NoSuchBucket", StatusCode: http.StatusNotFound})
	}
	return upload, err
}

// putPart stores a part of an upload by its id. The part's MD5, which the service answers, is
// compared with that of the bytes sent: a part that arrived otherwise is sent
// again.
func (s *Store) putPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return store.Part{}, err
	}
	if n < 1 || n > maxParts || off < 0 || b.Size < 0 {
		return store.Part{}, fault.New(fault.Internal, "part %d of %d bytes from %d", n, b.Size, off).At("%s", s.where(key))
	}
	var out store.Part
	a := act{actPart, key}
	err = s.call(ctx, a, s.limits.stall, func(t try) error {
		rc, err := b.Open(0)
		if err != nil {
			return bodyError{err}
		}
		defer rc.Close()
		from := &exact{ctx: t.ctx, from: rc, left: b.Size, moved: t.moved, what: show(key)}
		if b.Sums == nil {
			from.also = md5.New() //nolint:gosec // what the service compares with
		}
		p, err := s.api.PutObjectPart(t.ctx, s.at.bucket, full, upload, n, from, b.Size, minio.PutObjectPartOptions{DisableContentSha256: true})
		if err != nil {
			return errors.Join(bodyFault(from), err)
		}
		out = store.Part{N: n, Size: b.Size, Token: p.ETag}
		return s.verifyPart(&out, sentSum(b, from), key)
	})
	if fault.Has(err, fault.StoreFailed) && ctx.Err() == nil {
		// A service may refuse a part of an upload that is gone before it has read it, and
		// cut the connection: then its answer is lost.
		if _, gone := s.parts(ctx, key, upload); notFound(gone) {
			return store.Part{}, gone
		}
	}
	return out, err
}

// sentSum returns the MD5 of a part that was sent, in hex; empty: whoever reads it for
// us computes others, and compares himself.
func sentSum(b store.Body, from *exact) string {
	if b.Sums == nil {
		return hex.EncodeToString(from.also.Sum(nil))
	}
	for _, sum := range b.Sums() {
		if sum.Algorithm == store.MD5 && sum.Parts == 0 {
			return sum.Value
		}
	}
	return ""
}

// verifyPart compares what was stored with what was sent. Where parts are
// encrypted with keys of the key store their ETags say nothing.
func (s *Store) verifyPart(p *store.Part, sent, key string) error {
	sum, ok := etagSum(p.Token, s.opaque.Load())
	if !ok || sum.Parts != 0 {
		return nil
	}
	if sent != "" && sum.Value != sent {
		return fault.New(fault.Corrupt, "the bytes of part %d of %s that the store has are not those that were sent", p.N, show(key)).At("%s", s.where(key))
	}
	p.Sum = sum
	return nil
}

// parts lists the parts of an upload by its id.
func (s *Store) parts(ctx context.Context, key, upload string) ([]store.Part, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return nil, err
	}
	var parts []store.Part
	for marker, more := 0, true; more; {
		err := s.call(ctx, act{actParts, key}, s.limits.stall, func(t try) error {
			page, err := s.api.ListObjectParts(t.ctx, s.at.bucket, full, upload, marker, 1000)
			if err != nil {
				return err
			}
			for _, p := range page.ObjectParts {
				parts = append(parts, s.partOf(p))
			}
			if more = page.IsTruncated; more && page.NextPartNumberMarker <= marker || len(parts) > maxParts {
				return fault.New(fault.StoreProtocol, "the list of parts does not end").At("%s", s.where(key))
			}
			marker = page.NextPartNumberMarker
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func (s *Store) partOf(p minio.ObjectPart) store.Part {
	out := store.Part{N: p.PartNumber, Size: p.Size, Token: trimmed(p.ETag)}
	if sum, ok := etagSum(out.Token, s.opaque.Load()); ok && sum.Parts == 0 {
		out.Sum = sum
	}
	return out
}

// trimmed drops the quotes of an ETag.
func trimmed(etag string) string {
	if len(etag) >= 2 && etag[0] == '"' && etag[len(etag)-1] == '"' {
		return etag[1 : len(etag)-1]
	}
	return etag
}

// complete ends an upload by its id.
func (s *Store) complete(ctx context.Context, key, upload string, parts []store.Part) (store.Object, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return store.Object{}, err
	}
	if len(parts) == 0 || len(parts) > maxParts {
		return store.Object{}, fault.New(fault.Internal, "an upload of %d parts", len(parts)).At("%s", s.where(key))
	}
	out := store.Object{Key: key}
	list := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		if p.N != i+1 { // the service would make an object without the rest
			return store.Object{}, fault.New(fault.Internal, "part %d stands where part %d must be", p.N, i+1).At("%s", s.where(key))
		}
		list[i] = minio.CompletePart{PartNumber: p.N, ETag: p.Token}
		out.Size += p.Size
	}
	lost := false
	err = s.call(ctx, act{actFinish, key}, s.limits.work, func(t try) error {
		u, err := s.api.CompleteMultipartUpload(t.ctx, s.at.bucket, full, upload, list, minio.PutObjectOptions{})
		if err == nil {
			out.Version = u.ETag
			return nil
		}
		lost = minio.ToErrorResponse(err).Code == "InvalidPart"
		err = s.fail(t.ctx, act{actFinish, key}, err)
		if t.again && notFound(err) {
			// The answer to an earlier try was lost; it may have been done by it.
			out.Version, err = s.completed(t, key, full, parts, err)
		}
		return err
	})
	if err != nil && lost && s.lacks(ctx, key, upload, parts) {
		// MinIO drops what it knows of the parts before it moves them, and stops in
		// between when whoever asked for it dies: what is left of the upload is nothing.
		return store.Object{}, fmt.Errorf("%w: %w", err, store.ErrNotFound)
	}
	if err != nil {
		return store.Object{}, err
	}
	if sum, ok := etagSum(out.Version, s.opaque.Load()); ok {
		if sum.Parts == len(parts) {
			sum.PartSize = partSizeOf(parts)
		}
		out.Sums = []store.Sum{sum}
	}
	return out, nil
}

// lacks reports whether an upload has not all of some parts any more.
func (s *Store) lacks(ctx context.Context, key, upload string, parts []store.Part) bool {
	there, err := s.parts(ctx, key, upload)
	if err != nil {
		return notFound(err)
	}
	for _, p := range parts {
		if !slices.ContainsFunc(there, func(t store.Part) bool { return t.N == p.N }) {
			return true
		}
	}
	return false
}

// completed returns the ETag of the object that is there if it is the one made of
// parts, else gone.
func (s *Store) completed(t try, key, full string, parts []store.Part, gone error) (string, error) {
	want, ok := compositeTag(parts)
	if !ok {
		return "", gone
	}
	i, err := s.api.StatObject(t.ctx, s.at.bucket, full, minio.StatObjectOptions{})
	if err != nil {
		if err = s.fail(t.ctx, act{actStat, key}, err); notFound(err) {
			return "", gone
		}
		return "", err
	}
	if i.ETag != want {
		return "", gone
	}
	return i.ETag, nil
}

// compositeTag returns the ETag of an object made of parts.
func compositeTag(parts []store.Part) (string, bool) {
	h := md5.New() //nolint:gosec // what the service computes
	for _, p := range parts {
		raw, err := hex.DecodeString(p.Token)
		if err != nil || len(raw) != md5.Size {
			return "", false
		}
		_, _ = h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), true
}

// partSizeOf returns the size of all parts but the last, 0 when they differ.
func partSizeOf(parts []store.Part) int64 {
	size := parts[0].Size
	for i, p := range parts {
		if last := i == len(parts)-1; !last && p.Size != size || last && p.Size > size {
			return 0
		}
	}
	return size
}

// drop drops an upload by its id; a missing one is not an error.
func (s *Store) drop(ctx context.Context, key, upload string) error {
	full, err := s.full(ctx, key)
	if err != nil {
		return err
	}
	err = s.call(ctx, act{actAbort, key}, s.limits.stall, func(t try) error {
		return s.api.AbortMultipartUpload(t.ctx, s.at.bucket, full, upload)
	})
	if notFound(err) {
		return nil
	}
	return err
}

// abandon drops an upload that came to nothing, also when the caller's context
// has ended; one that stays is the bucket's lifecycle rule's to drop.
func (s *Store) abandon(ctx context.Context, key, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.stall/4)
	defer cancel()
	if err := s.drop(ctx, key, upload); err != nil {
		s.log.Warn("an unfinished upload could not be dropped", "object", s.where(key), "error", fmt.Sprint(err))
	}
}
