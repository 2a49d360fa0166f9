package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// stageBytes is the size of the parts of staged objects.
const stageBytes = 8 * mib

// Stage implements store.Stager: an upload that Publish completes. Its receipt's
// token has the parts' ETags. What waits for a part to be full is in memory while
// there is some, else in a temporary file.
func (s *Store) Stage(ctx context.Context, key string, o store.PutOptions) (store.Staging, error) {
	upload, err := s.begin(ctx, key, 0, o)
	if err != nil {
		return nil, err
	}
	return &staging{s: s, ctx: ctx, key: key, upload: upload, sum: xxh3.New(), spool: spool{memory: s.memory}}, nil
}

type staging struct {
	s       *Store
	ctx     context.Context
	key     string
	upload  string
	sum     *xxh3.Hasher
	spool   spool
	parts   []store.Part
	size    int64
	err     error // sticks
	closed  bool
	receipt store.Receipt
}

var errStagingClosed = errors.New("the staged object is closed")

// Write implements io.Writer.
func (g *staging) Write(p []byte) (int, error) {
	if g.err == nil && g.closed {
		return 0, errStagingClosed
	}
	if g.err == nil && g.ctx.Err() != nil {
		g.err = fmt.Errorf("%s: %w", g.s.where(g.key), context.Cause(g.ctx))
	}
	done := 0
	for g.err == nil && done < len(p) {
		n := min(len(p)-done, stageBytes-g.spool.size)
		if g.err = g.spool.add(p[done : done+n]); g.err != nil {
			break
		}
		done += n
		if g.spool.size == stageBytes {
			g.err = g.flush()
		}
	}
	_, _ = g.sum.Write(p[:done])
	g.size += int64(done)
	return done, g.err
}

func (g *staging) flush() error {
	p, err := g.s.putPart(g.ctx, g.key, g.upload, len(g.parts)+1, int64(len(g.parts))*stageBytes, g.spool.body())
	if err != nil {
		return err
	}
	g.parts = append(g.parts, p)
	return g.spool.clear()
}

// Close implements store.Staging. Closing again returns the same.
func (g *staging) Close() (store.Receipt, error) {
	if g.closed {
		return g.receipt, g.err
	}
	g.closed = true
	// An upload needs one part, be it empty.
	if g.err == nil && (g.spool.size > 0 || len(g.parts) == 0) {
		g.err = g.flush()
	}
	g.spool.close()
	if g.err != nil {
		g.s.abandon(g.ctx, g.key, g.upload)
		return store.Receipt{}, g.err
	}
	digest := g.sum.Sum128().Bytes()
	g.receipt = store.Receipt{Key: g.key, Staged: g.upload, Size: g.size, Checksum: sumPrefix + hex.EncodeToString(digest[:])}
	g.receipt.Token = tokenOf(g.receipt, g.parts)
	return g.receipt, nil
}

// Abort implements store.Staging.
func (g *staging) Abort() {
	if g.closed {
		return
	}
	g.closed, g.err = true, errStagingClosed
	g.spool.close()
	g.s.abandon(g.ctx, g.key, g.upload)
}

const (
	sumPrefix    = "xxh3:"
	tokenVersion = "1"
)

// tokenOf makes the token of a receipt: version, ETags of the parts, and a seal
// over everything, so that a damaged receipt is not taken for another's.
func tokenOf(r store.Receipt, parts []store.Part) string {
	tags := make([]string, len(parts))
	for i, p := range parts {
		tags[i] = p.Token
	}
	list := strings.Join(tags, ",")
	return tokenVersion + ":" + list + ":" + seal(r, list)
}

func seal(r store.Receipt, list string) string {
	text := strings.Join([]string{r.Key, r.Staged, strconv.FormatInt(r.Size, 10), r.Checksum, list}, "\x00")
	b := xxh3.HashString128(text).Bytes()
	return hex.EncodeToString(b[:])
}

// partsOf reads the parts out of a receipt, which may come from a damaged record.
func (s *Store) partsOf(r store.Receipt) ([]store.Part, error) {
	version, rest, _ := strings.Cut(r.Token, ":")
	list, sealed, _ := strings.Cut(rest, ":")
	switch {
	case badKey(s.at.prefix+r.Key) != "" || r.Key == "" || r.Size < 0:
	case version != tokenVersion && version != "" && sealed != "":
		return nil, fault.New(fault.FormatNewer, "the receipt of %s is of version %s", show(r.Key), show(version)).At("%s", s.Where())
	case r.Staged == "" || list == "" || sealed != seal(r, list):
	default:
		var parts []store.Part
		for tag := range strings.SplitSeq(list, ",") {
			parts = append(parts, store.Part{N: len(parts) + 1, Token: tag})
		}
		if len(parts) <= maxParts {
			return parts, nil
		}
	}
	return nil, fault.New(fault.TargetBroken, "the receipt of %s is damaged", show(r.Key)).At("%s", s.Where())
}

// Publish implements store.Stager. Other contents under the key are TargetBroken,
// and stay. When both the upload and the object are gone it is TargetLost: a
// lifecycle rule may have dropped the upload, so nobody may say that it was
// published and then taken.
func (s *Store) Publish(ctx context.Context, r store.Receipt) (store.Outcome, error) {
	parts, err := s.partsOf(r)
	if err != nil {
		return 0, err
	}
	there, err := s.published(ctx, r, parts)
	if err != nil || there {
		return store.Already, err
	}
	if _, err = s.complete(ctx, r.Key, r.Staged, parts); err == nil {
		return store.Published, nil
	}
	if !notFound(err) {
		return 0, err
	}
	if there, err = s.published(ctx, r, parts); err != nil || there {
		return store.Already, err
	}
	return 0, fault.New(fault.TargetLost, "%s is neither staged nor there any more", show(r.Key)).At("%s", s.where(r.Key)).
		Try("a lifecycle rule that drops unfinished uploads must wait longer than the longest stop of a job; something took the object; or the service lost the upload when a request to finish it was cut off (MinIO)")
}

// published reports whether the object of a receipt is there, and drops the
// upload if it came there by another way.
func (s *Store) published(ctx context.Context, r store.Receipt, parts []store.Part) (bool, error) {
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
	if tag, ok := compositeTag(parts); ok && o.Version == tag && o.Size == r.Size {
		return true, s.drop(ctx, r.Key, r.Staged)
	}
	if o.Size == r.Size && r.Checksum != "" {
		sum, err := s.checksum(ctx, o)
		if err != nil {
			return false, err
		}
		if sum == r.Checksum {
			return true, s.drop(ctx, r.Key, r.Staged)
		}
	}
	return false, fault.New(fault.TargetBroken, "%s is there already with other contents than those committed", show(r.Key)).
		At("%s", s.where(r.Key)).Try("move that object away, if it is not godwit's, and run again")
}

func (s *Store) checksum(ctx context.Context, o store.Object) (string, error) {
	rc, _, err := s.Open(ctx, o.Key, store.Read{Match: &o})
	if err != nil {
		return "", err
	}
	defer rc.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, rc); err != nil {
		return "", err
	}
	b := h.Sum128().Bytes()
	return sumPrefix + hex.EncodeToString(b[:]), nil
}

// Staged implements store.Stager: all uploads of the key, also those that were
// never closed. The service does not give back what the contents' checksum was:
// the receipts have none.
func (s *Store) Staged(ctx context.Context, key string) ([]store.Receipt, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return nil, err
	}
	ids, err := s.uploads(ctx, key, full)
	if err != nil {
		return nil, err
	}
	var out []store.Receipt
	for _, id := range ids {
		parts, err := s.parts(ctx, key, id)
		if notFound(err) {
			continue // ended since
		}
		if err != nil {
			return nil, err
		}
		r := store.Receipt{Key: key, Staged: id}
		for _, p := range parts {
			r.Size += p.Size
		}
		if len(parts) == 0 {
			parts = []store.Part{{Token: "none"}} // it can be discarded, not published
		}
		r.Token = tokenOf(r, parts)
		out = append(out, r)
	}
	return out, nil
}

// uploads lists the uploads of exactly one key: some services list them only so.
func (s *Store) uploads(ctx context.Context, key, full string) ([]string, error) {
	var ids []string
	for keyMarker, idMarker, more := "", "", true; more; {
		err := s.call(ctx, act{actUploads, key}, s.limits.stall, func(t try) error {
			page, err := s.api.ListMultipartUploads(t.ctx, s.at.bucket, full, keyMarker, idMarker, "", 1000)
			if err != nil {
				return err
			}
			past := false
			for _, u := range page.Uploads {
				if u.Key == full {
					ids = append(ids, u.UploadID)
				}
				past = u.Key > full
			}
			more = page.IsTruncated && !past
			if more && page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
				return fault.New(fault.StoreProtocol, "the list of uploads does not end").At("%s", s.where(key))
			}
			keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Discard implements store.Stager.
func (s *Store) Discard(ctx context.Context, r store.Receipt) error {
	if _, err := s.partsOf(r); err != nil {
		return err
	}
	return s.drop(ctx, r.Key, r.Staged)
}
