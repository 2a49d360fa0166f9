package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Open implements store.Store in one request; tags cost a second one where there
// are some and the read begins at the beginning. The bytes of a whole object are
// checked by its sum as they are read: fault.Corrupt in the place of the end.
func (s *Store) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return nil, store.Object{}, err
	}
	if r.Off < 0 || r.N < 0 {
		return nil, store.Object{}, fault.New(fault.Internal, "read of %d bytes from %d", r.N, r.Off).At("%s", s.where(key))
	}
	a := act{actRead, key}
	var body *reading
	var o store.Object
	err = s.call(ctx, a, s.limits.stall, func(t try) error {
		w := watched(ctx, s.limits.stall) // lives as long as the reader
		rc, i, h, err := s.api.GetObject(w.ctx, s.at.bucket, full, getOptions(r))
		if err != nil {
			err = s.fail(w.ctx, a, err)
			w.end()
			return err
		}
		t.pause()
		if o, err = s.object(key, i, h); err == nil {
			err = s.matches(o, r.Match)
		}
		if err != nil {
			w.end()
			return errors.Join(err, rc.Close())
		}
		body = s.reading(w, a, rc, r, o, h)
		return nil
	})
	if errors.Is(err, errOutside) {
		return s.nothing(ctx, key, r)
	}
	if err != nil {
		return nil, store.Object{}, err
	}
	if r.Off == 0 {
		if err := s.addTags(ctx, full, &o, body.tags); err != nil {
			return nil, store.Object{}, errors.Join(err, body.Close())
		}
	}
	return body, o, nil
}

func getOptions(r store.Read) minio.GetObjectOptions {
	var o minio.GetObjectOptions
	switch {
	case r.N > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Off, r.Off+r.N-1))
	case r.Off > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-", r.Off))
	default:
		o.Set("X-Amz-Checksum-Mode", "ENABLED")
	}
	if r.Match != nil && r.Match.Version != "" {
		o.Set("If-Match", `"`+r.Match.Version+`"`)
	}
	return o
}

// errOutside is the answer to a range that begins behind the end.
var errOutside = errors.New("the range lies behind the end")

// nothing is the answer to a range that begins behind the end, where services
// answer with an error.
func (s *Store) nothing(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	o, err := s.Stat(ctx, key)
	if err == nil {
		err = s.matches(o, r.Match)
	}
	if err == nil && o.Size > r.Off {
		err = fmt.Errorf("%s: %w", s.where(key), store.ErrChanged) // it grew in between
	}
	if err != nil {
		return nil, store.Object{}, err
	}
	return io.NopCloser(bytes.NewReader(nil)), o, nil
}

// Stat implements store.Stat.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return store.Object{}, err
	}
	o, h, err := s.head(ctx, key, full)
	if err != nil {
		return store.Object{}, err
	}
	return o, s.addTags(ctx, full, &o, tagCount(h))
}

func (s *Store) head(ctx context.Context, key, full string) (o store.Object, h http.Header, err error) {
	err = s.call(ctx, act{actStat, key}, s.limits.stall, func(t try) error {
		var opts minio.StatObjectOptions
		opts.Set("X-Amz-Checksum-Mode", "ENABLED")
		i, err := s.api.StatObject(t.ctx, s.at.bucket, full, opts)
		if err != nil {
			return err
		}
		h = i.Headers
		o, err = s.object(key, i, h)
		return err
	})
	return o, h, err
}

// object reads an answer.
func (s *Store) object(key string, i minio.ObjectInfo, h http.Header) (store.Object, error) {
	o := store.Object{Key: key, Size: i.Size, Modified: i.LastModified, Version: i.ETag, Attributes: attributesOf(h)}
	if r := h.Get("Content-Range"); r != "" {
		_, total, _ := strings.Cut(r, "/")
		size, err := strconv.ParseInt(total, 10, 64)
		if err != nil {
			return o, fault.New(fault.StoreProtocol, "the answer has no size of the whole object").At("%s", s.where(key))
		}
		o.Size = size
	}
	if o.Size < 0 {
		return o, fault.New(fault.StoreProtocol, "the answer has no size").At("%s", s.where(key)).
			Try("a proxy may change the length of answers: go around it")
	}
	opaque := isOpaque(h)
	if opaque {
		s.opaque.Store(true)
	}
	o.Sums = headerSums(h)
	if sum, ok := etagSum(i.ETag, opaque); ok {
		o.Sums = append(o.Sums, sum)
	}
	return o, nil
}

// matches compares what is there with what is wanted: services exist that ignore
// the condition, and a version known by size and time alone has none.
func (s *Store) matches(o store.Object, want *store.Object) error {
	switch {
	case want == nil:
		return nil
	case want.Version != "":
		if o.Version == want.Version {
			return nil
		}
	case o.Size == want.Size && o.Modified.Truncate(time.Second).Equal(want.Modified.Truncate(time.Second)):
		return nil
	}
	return fmt.Errorf("%s: %w", s.where(o.Key), store.ErrChanged)
}

func tagCount(h http.Header) int {
	n, _ := strconv.Atoi(h.Get("X-Amz-Tagging-Count")) // absent: none
	return n
}

// addTags reads the tags of an object that has count of them. Where that is not
// allowed they are left out, which is said once.
func (s *Store) addTags(ctx context.Context, full string, o *store.Object, count int) error {
	if count == 0 || s.untaggd.Load() {
		return nil
	}
	err := s.call(ctx, act{actRead + " the tags of", o.Key}, s.limits.stall, func(t try) error {
		tags, err := s.api.GetObjectTagging(t.ctx, s.at.bucket, full, minio.GetObjectTaggingOptions{})
		if err == nil {
			o.Attributes.Tags = tags.ToMap()
		}
		return err
	})
	if fault.Has(err, fault.StoreRefused) {
		if !s.untaggd.Swap(true) {
			s.log.Warn("tags of objects are left out: the store refuses to give them (s3:GetObjectTagging)", "store", s.Where())
		}
		return nil
	}
	return err
}

// reading is an object being read.
type reading struct {
	s      *Store
	w      *watch
	act    act
	body   io.ReadCloser
	from   io.Reader // of body, what was asked for
	checks []check   // of a whole object
	left   int64     // bytes still to come
	tags   int
	err    error // sticks
}

func (s *Store) reading(w *watch, a act, body io.ReadCloser, r store.Read, o store.Object, h http.Header) *reading {
	g := &reading{s: s, w: w, act: a, body: body, from: body, tags: tagCount(h)}
	g.left = max(o.Size-r.Off, 0)
	if r.N > 0 {
		g.left = min(g.left, r.N)
	}
	if h.Get("Content-Range") == "" && (r.Off > 0 || r.N > 0) {
		// The service sent everything: it takes no ranges, or the range is all.
		g.from = &skipping{body, r.Off}
	}
	if g.left == o.Size {
		g.checks = cheapest(o.Sums)
	}
	return g
}

// cheapest chooses the sum that is checked: CRC32C takes a tenth of MD5's time.
func cheapest(sums []store.Sum) []check {
	for _, algorithm := range []store.Algorithm{store.CRC32C, store.MD5, store.SHA1, store.SHA256} {
		for _, sum := range sums {
			if sum.Algorithm == algorithm && sum.Parts == 0 {
				return checksOf([]store.Sum{sum})
			}
		}
	}
	return nil
}

// Read implements io.Reader.
func (g *reading) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.left == 0 {
		g.err = g.finish()
		return 0, g.err
	}
	g.w.moved()
	n, err := g.from.Read(p[:min(int64(len(p)), g.left)])
	g.w.pause()
	for _, c := range g.checks {
		_, _ = c.hash.Write(p[:n])
	}
	g.left -= int64(n)
	switch {
	case err == io.EOF && g.left > 0:
		g.err = g.s.fail(g.w.ctx, g.act, io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		g.err = g.s.fail(g.w.ctx, g.act, err)
	}
	return n, g.err
}

func (g *reading) finish() error {
	for _, c := range g.checks {
		if !c.fits() {
			return fault.New(fault.Corrupt, "the bytes of %s that arrived are not those the store has: their %s differs", show(g.act.key), c.want.Algorithm).
				At("%s", g.s.where(g.act.key))
		}
	}
	// The connection serves again when the answer was read to its end.
	var one [1]byte
	_, _ = g.body.Read(one[:])
	return io.EOF
}

// Close implements io.Closer.
func (g *reading) Close() error {
	err := g.body.Close()
	g.w.end()
	if g.err == nil {
		g.err = errClosedReader
	}
	if err != nil {
		return g.s.fail(context.Background(), g.act, err)
	}
	return nil
}

var errClosedReader = errors.New("the reader is closed")

// skipping drops the first bytes.
type skipping struct {
	from io.Reader
	n    int64
}

// Read implements io.Reader.
func (k *skipping) Read(p []byte) (int, error) {
	if k.n > 0 {
		n, err := io.CopyN(io.Discard, k.from, k.n)
		k.n -= n
		if err != nil {
			return 0, err
		}
	}
	return k.from.Read(p)
}
