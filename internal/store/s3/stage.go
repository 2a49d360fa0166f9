package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// A staged object is an object of its own in the staging area, a folder of the same
// bucket that is not listed. It is whole and durable there before anybody gets its
// receipt; Publish copies it inside the service. Why it is not an upload that Publish
// completes: docs/decisions/0014-staged-objects-in-buckets.md.

const (
	defaultStaging = ".godwit-staging"
	stageBytes     = 8 * mib // of the parts of staged objects; what is smaller takes one request
	nonceDigits    = 32
)

// beside returns the store of the staging area. It shares everything with s but
// where it is, and the storage class: what is there for seconds is not put into one
// that is paid for by the month.
func (s *Store) beside(folder string) *Store {
	at := s.at
	at.prefix += folder + "/"
	area := &Store{
		api: s.api, http: s.http, via: s.via, at: at, source: s.source, part: s.part, v1: s.v1,
		single: s.single, limits: s.limits, log: s.log, slow: s.slow, memory: s.memory,
	}
	area.opaque.Store(s.opaque.Load())
	area.sniffed.Store(s.sniffed.Load())
	return area
}

// stagedPrefix is what the names of all staged objects of a key begin with.
func stagedPrefix(key string) string {
	b := xxh3.HashString128(key).Bytes()
	return hex.EncodeToString(b[:]) + "-"
}

// Stage implements store.Stager. What is written goes out in parts, and in one
// request where it is less than a part; what waits for a part to be full is in memory
// while there is some, else in a temporary file.
func (s *Store) Stage(ctx context.Context, key string, o store.PutOptions) (store.Staging, error) {
	if _, err := s.full(ctx, key); err != nil {
		return nil, err
	}
	own := nonce()
	class := o.Class
	o.Class = ""
	o.Metadata = with(o.Metadata, metaNonce, own)
	return &staging{
		s: s, ctx: ctx, key: key, name: stagedPrefix(key) + own, class: class, options: o,
		sum: xxh3.New(), spool: spool{memory: s.memory},
	}, nil
}

func with(m map[string]string, key, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

type staging struct {
	s       *Store
	ctx     context.Context
	key     string
	name    string // in the staging area
	class   string // of the published object
	options store.PutOptions
	sum     *xxh3.Hasher
	spool   spool
	upload  string // empty before the first part
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
		if g.spool.size == stageBytes { // more follows
			if g.err = g.flush(); g.err != nil {
				break
			}
		}
		n := min(len(p)-done, stageBytes-g.spool.size)
		if g.err = g.spool.add(p[done : done+n]); g.err != nil {
			break
		}
		done += n
	}
	_, _ = g.sum.Write(p[:done])
	g.size += int64(done)
	return done, g.err
}

func (g *staging) flush() error {
	area := g.s.area
	if g.upload == "" {
		upload, err := area.begin(g.ctx, g.name, 0, g.options)
		if err != nil {
			return err
		}
		g.upload = upload
	}
	p, err := area.putPart(g.ctx, g.name, g.upload, len(g.parts)+1, int64(len(g.parts))*stageBytes, g.spool.body())
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
	var o store.Object
	if g.err == nil {
		o, g.err = g.finish()
	}
	g.spool.close()
	if g.err != nil {
		g.drop()
		return store.Receipt{}, g.err
	}
	digest := g.sum.Sum128().Bytes()
	g.receipt = store.Receipt{Key: g.key, Staged: g.name, Size: g.size, Checksum: sumPrefix + hex.EncodeToString(digest[:])}
	g.receipt.Token = token{etag: o.Version, class: g.class}.text(g.receipt)
	return g.receipt, nil
}

// finish makes the staged object.
func (g *staging) finish() (store.Object, error) {
	if g.upload == "" {
		return g.s.area.Put(g.ctx, g.name, g.spool.body(), g.options)
	}
	if err := g.flush(); err != nil {
		return store.Object{}, err
	}
	o, err := g.s.area.complete(g.ctx, g.name, g.upload, g.parts)
	if notFound(err) {
		err = fault.New(fault.StoreFailed, "the service lost what was staged for %s when the request to finish it was cut off", show(g.key)).
			At("%s", g.s.where(g.key)).By(err)
	}
	return o, err
}

// Abort implements store.Staging.
func (g *staging) Abort() {
	if g.closed {
		return
	}
	g.closed, g.err = true, errStagingClosed
	g.spool.close()
	if g.upload != "" {
		g.drop()
	}
}

// drop drops what may be there, also when the caller's context has ended.
func (g *staging) drop() {
	area := g.s.area
	if g.upload != "" {
		area.abandon(g.ctx, g.name, g.upload)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), g.s.limits.stall/4)
	defer cancel()
	if err := area.purge(ctx, g.name); err != nil {
		g.s.log.Warn("a staged object could not be dropped", "object", area.where(g.name), "error", fmt.Sprint(err))
	}
}

// Publish implements store.Stager. Other contents under the key are TargetBroken,
// and stay. When both the staged object and the published one are gone it is
// TargetLost: a lifecycle rule may have removed them, so nobody may say that it was
// published and then taken.
func (s *Store) Publish(ctx context.Context, r store.Receipt) (store.Outcome, error) {
	t, err := s.tokenOf(r)
	if err != nil {
		return 0, err
	}
	if len(t.parts) > 0 {
		return s.publishUpload(ctx, r, t.parts)
	}
	if t.etag == "" { // it was never closed
		return 0, s.damaged(r)
	}
	if there, err := s.published(ctx, r); err != nil || there {
		return store.Already, err
	}
	err = s.unveil(ctx, r, t)
	if err == nil {
		return store.Published, s.area.purge(ctx, r.Staged)
	}
	if !notFound(err) {
		return 0, err
	}
	if there, err := s.published(ctx, r); err != nil || there {
		return store.Already, err
	}
	if _, gone := s.area.Stat(ctx, r.Staged); !notFound(gone) {
		return 0, fault.New(fault.StoreFailed, "cannot publish %s: the copy came to nothing", show(r.Key)).At("%s", s.where(r.Key)).By(errors.Join(err, gone))
	}
	return 0, s.lost(r)
}

func (s *Store) lost(r store.Receipt) error {
	return fault.New(fault.TargetLost, "%s is neither staged nor there any more", show(r.Key)).At("%s", s.where(r.Key)).
		Try("a lifecycle rule of the bucket must leave what the job writes alone for longer than the longest stop of the job; or something took the object")
}

// unveil copies the staged object of a receipt to its key. The copy has the nonce
// too, and tells by it whose it is.
func (s *Store) unveil(ctx context.Context, r store.Receipt, t token) error {
	o := store.Object{Key: r.Staged, Size: r.Size, Version: t.etag, Attributes: &store.Attributes{Class: t.class}}
	var p *store.PutOptions
	if r.Size > s.limits.copyOnce { // parts keep nothing by themselves
		there, err := s.area.Stat(ctx, r.Staged)
		if err != nil {
			return err
		}
		p = &store.PutOptions{Attributes: *there.Attributes}
		p.Metadata, p.Class = with(p.Metadata, metaNonce, nonceOf(r.Staged)), s.classOf(o)
	}
	_, err := s.Copy(ctx, s.area, o, r.Key, p)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return fault.New(fault.StoreRefused, "cannot publish %s: the service does not copy it", show(r.Key)).At("%s", s.where(r.Key)).
			Try("grant the permissions to get and to put objects, %s included, to the credentials from: %s", s.area.where(""), s.source)
	case errors.Is(err, store.ErrChanged):
		return fault.New(fault.TargetBroken, "what is staged for %s is not what was committed", show(r.Key)).At("%s", s.area.where(r.Staged))
	}
	return err
}

func nonceOf(staged string) string { return staged[len(staged)-nonceDigits:] }

// published reports whether the object of a receipt is there, and drops the staged
// one if so.
func (s *Store) published(ctx context.Context, r store.Receipt) (bool, error) {
	full, err := s.full(ctx, r.Key)
	if err != nil {
		return false, err
	}
	o, h, err := s.head(ctx, r.Key, full)
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if o.Size == r.Size && h.Get(metaPrefix+metaNonce) == nonceOf(r.Staged) {
		return true, s.area.purge(ctx, r.Staged)
	}
	same, err := s.holds(ctx, o, r)
	if err != nil {
		return false, err
	}
	if same {
		return true, s.area.purge(ctx, r.Staged)
	}
	return false, s.foreign(r)
}

// holds reports whether an object has the contents of a receipt, by reading it.
func (s *Store) holds(ctx context.Context, o store.Object, r store.Receipt) (bool, error) {
	if o.Size != r.Size || r.Checksum == "" {
		return false, nil
	}
	rc, _, err := s.Open(ctx, o.Key, store.Read{Match: &o})
	if err != nil {
		return false, err
	}
	defer rc.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, rc); err != nil {
		return false, err
	}
	b := h.Sum128().Bytes()
	return sumPrefix+hex.EncodeToString(b[:]) == r.Checksum, nil
}

func (s *Store) foreign(r store.Receipt) error {
	return fault.New(fault.TargetBroken, "%s is there already with other contents than those committed", show(r.Key)).
		At("%s", s.where(r.Key)).Try("move that object away, if it is not godwit's, and run again")
}

// Staged implements store.Stager, for uploads too that were never closed, where the
// service lists them. It does not know what the checksum of the contents was: the
// receipts have none.
func (s *Store) Staged(ctx context.Context, key string) ([]store.Receipt, error) {
	if _, err := s.full(ctx, key); err != nil {
		return nil, err
	}
	return s.stagedAny(ctx, stagedPrefix(key), slices.Values([]string{key}))
}

// StagedAny returns what is staged for any of keys, in no order. It lists the staging
// area once, however many keys there are.
func (s *Store) StagedAny(ctx context.Context, keys iter.Seq[string]) ([]store.Receipt, error) {
	return s.stagedAny(ctx, "", keys)
}

func (s *Store) stagedAny(ctx context.Context, prefix string, keys iter.Seq[string]) ([]store.Receipt, error) {
	waiting, err := s.waiting(ctx, prefix)
	if err != nil || len(waiting) == 0 {
		return nil, err
	}
	var out []store.Receipt
	for key := range keys {
		for _, w := range waiting[stagedPrefix(key)] {
			r := store.Receipt{Key: key, Staged: w.name, Size: w.size}
			r.Token = w.token.text(r)
			out = append(out, r)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return out, nil
}

// waits is what is in the staging area: an object, or an upload.
type waits struct {
	name  string
	size  int64
	token token
}

// waiting returns what is in the staging area by what the names of its key begin with.
func (s *Store) waiting(ctx context.Context, prefix string) (map[string][]waits, error) {
	out := map[string][]waits{}
	add := func(w waits) {
		if at := len(w.name) - nonceDigits; at > 0 {
			out[w.name[:at]] = append(out[w.name[:at]], w)
		}
	}
	for o, err := range s.area.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		add(waits{o.Key, o.Size, token{etag: o.Version}})
	}
	err := s.area.uploads(ctx, prefix, func(name, id string) { add(waits{name, 0, token{upload: id}}) })
	return out, err
}

// uploads calls for each unfinished upload below a prefix. Some services list only
// those of one whole key (MinIO): of those nothing is found.
func (s *Store) uploads(ctx context.Context, prefix string, each func(key, id string)) error {
	for keyMarker, idMarker, more := "", "", true; more; {
		err := s.call(ctx, act{what: actUploads}, s.limits.stall, func(t try) error {
			page, err := s.api.ListMultipartUploads(t.ctx, s.at.bucket, s.at.prefix+prefix, keyMarker, idMarker, "", 1000)
			if err != nil {
				return err
			}
			for _, u := range page.Uploads {
				if key, ok := strings.CutPrefix(u.Key, s.at.prefix); ok && strings.HasPrefix(key, prefix) {
					each(key, u.UploadID)
				}
			}
			if more = page.IsTruncated; more && page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
				return fault.New(fault.StoreProtocol, "the list of uploads does not end").At("%s", s.Where())
			}
			keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Discard implements store.Stager.
func (s *Store) Discard(ctx context.Context, r store.Receipt) error {
	t, err := s.tokenOf(r)
	switch {
	case err != nil:
		return err
	case len(t.parts) > 0:
		return s.drop(ctx, r.Key, r.Staged)
	case t.upload != "":
		return s.area.drop(ctx, r.Staged, t.upload)
	}
	return s.area.purge(ctx, r.Staged)
}

// purge deletes an object for good: where the bucket keeps versions a plain
// deletion would leave the bytes there, and all files would be paid for twice.
func (s *Store) purge(ctx context.Context, key string) error {
	if s.plain.Load() {
		return s.Delete(ctx, key)
	}
	full, err := s.full(ctx, key)
	if err != nil {
		return err
	}
	_, h, err := s.head(ctx, key, full)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	version := h.Get("X-Amz-Version-Id")
	if version == "" || version == "null" {
		s.plain.Store(true) // a bucket that begins to keep versions later is one at the next start
		return s.Delete(ctx, key)
	}
	err = s.call(ctx, act{actDelete, key}, s.limits.stall, func(t try) error {
		return s.api.RemoveObject(t.ctx, s.at.bucket, full, minio.RemoveObjectOptions{VersionID: version})
	})
	if fault.Has(err, fault.StoreRefused) { // another permission than that to delete
		return s.Delete(ctx, key)
	}
	if notFound(err) {
		return nil
	}
	return err
}
