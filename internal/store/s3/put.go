package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the service compares with
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Put implements store.Store. One request carries a body that is small or has a
// sum the service can check; others go in parts.
func (s *Store) Put(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	full, err := s.full(ctx, key)
	if err != nil {
		return store.Object{}, err
	}
	md5Base64, headers := announced(o.Sums)
	switch {
	case body.Size < 0:
		return store.Object{}, fault.New(fault.Internal, "a body of %d bytes", body.Size).At("%s", s.where(key))
	case body.Size <= smallBytes:
		return s.putSmall(ctx, key, full, body, o)
	case body.Size <= onceBytes && (md5Base64 != "" || headers != nil):
		return s.putStream(ctx, key, full, body, o, md5Base64, headers)
	}
	return s.putParts(ctx, key, body, o)
}

// putSmall reads the body first, to announce its MD5.
func (s *Store) putSmall(ctx context.Context, key, full string, body store.Body, o store.PutOptions) (store.Object, error) {
	buf, give, err := s.buffer(ctx, body.Size)
	if err != nil {
		return store.Object{}, err
	}
	defer give()
	sums := o.Sums
	md5Base64, _ := announced(sums)
	if md5Base64 != "" { // the service holds the body to it
		sums = slices.DeleteFunc(slices.Clone(sums), func(s store.Sum) bool { return s.Algorithm == store.MD5 })
	}
	if err := s.fill(ctx, key, buf, body, sums); err != nil {
		return store.Object{}, err
	}
	if md5Base64 == "" {
		sum := md5.Sum(buf) //nolint:gosec // what the service compares with
		md5Base64 = base64.StdEncoding.EncodeToString(sum[:])
	}
	return s.putBytes(ctx, key, full, buf, md5Base64, o)
}

// fill reads a body into buf.
func (s *Store) fill(ctx context.Context, key string, buf []byte, body store.Body, sums []store.Sum) error {
	rc, err := body.Open(0)
	if err != nil {
		return s.fail(ctx, act{actWrite, key}, bodyError{err})
	}
	defer rc.Close()
	x := &exact{ctx: ctx, from: rc, left: int64(len(buf)), checks: checksOf(sums), what: show(key)}
	if _, err := io.ReadFull(x, buf); err == nil {
		_, _ = x.Read(make([]byte, 1)) // of an empty body nothing was read yet
	}
	if x.err != nil && x.err != io.EOF {
		return s.fail(ctx, act{actWrite, key}, x.err)
	}
	return nil
}

func (s *Store) putBytes(ctx context.Context, key, full string, b []byte, md5Base64 string, o store.PutOptions) (store.Object, error) {
	opts := s.putOptions(o.Attributes)
	var out store.Object
	err := s.call(ctx, act{actWrite, key}, s.limits.stall, func(t try) error {
		u, err := s.putOnce(t, key, full, b, md5Base64, opts)
		if err == nil {
			out, err = s.stored(key, u, md5Base64)
		}
		return err
	})
	return out, err
}

func (s *Store) putOnce(t try, key, full string, b []byte, md5Base64 string, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	body := func() io.Reader {
		return &exact{ctx: t.ctx, from: bytes.NewReader(b), left: int64(len(b)), moved: t.moved, what: show(key)}
	}
	header := opts.Header()
	header.Set("Content-Md5", md5Base64)
	answer, _, err := s.putDirectly(t.ctx, full, header, body(), int64(len(b)))
	if errors.Is(err, errIndirect) {
		return s.api.PutObject(t.ctx, s.at.bucket, full, body(), int64(len(b)), md5Base64, "", opts)
	}
	return minio.UploadInfo{Size: int64(len(b)), ETag: strings.Trim(answer.Get("Etag"), `"`)}, err
}

// stored makes the object of an answer to a PUT of bytes with an MD5.
func (s *Store) stored(key string, u minio.UploadInfo, md5Base64 string) (store.Object, error) {
	o := store.Object{Key: key, Size: u.Size, Version: u.ETag, Modified: u.LastModified}
	if got, ok := etagSum(u.ETag, s.opaque.Load()); ok && got.Parts == 0 {
		if raw, _ := hex.DecodeString(got.Value); base64.StdEncoding.EncodeToString(raw) != md5Base64 && s.sniffed.Load() {
			return o, fault.New(fault.Corrupt, "the bytes of %s that the store has are not those that were sent", show(key)).At("%s", s.where(key))
		}
		o.Sums = []store.Sum{got}
	}
	return o, nil
}

// putStream sends the body as it is read; the service checks the announced sum.
func (s *Store) putStream(ctx context.Context, key, full string, body store.Body, o store.PutOptions, md5Base64 string, headers map[string]string) (store.Object, error) {
	opts := s.putOptions(o.Attributes)
	for name, value := range headers {
		opts.UserMetadata[name] = value
	}
	var out store.Object
	err := s.call(ctx, act{actWrite, key}, s.limits.stall, func(t try) error {
		rc, err := body.Open(0)
		if err != nil {
			return bodyError{err}
		}
		defer rc.Close()
		from := &exact{ctx: t.ctx, from: rc, left: body.Size, checks: checksOf(o.Sums), moved: t.moved, what: show(key)}
		u, err := s.api.PutObject(t.ctx, s.at.bucket, full, from, body.Size, md5Base64, "", opts)
		if err != nil {
			return errors.Join(bodyFault(from), err)
		}
		out = store.Object{Key: key, Size: u.Size, Version: u.ETag}
		if got, ok := etagSum(u.ETag, s.opaque.Load()); ok {
			out.Sums = []store.Sum{got}
		}
		return nil
	})
	return out, err
}

// bodyFault returns what went wrong with the body of a request that failed.
func bodyFault(x *exact) error {
	if x.err == nil || x.err == io.EOF {
		return nil
	}
	return x.err
}

// putParts writes a large body by an upload of its own.
func (s *Store) putParts(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	upload, err := s.begin(ctx, key, body.Size, o)
	if err != nil {
		return store.Object{}, err
	}
	out, err := s.putAll(ctx, key, upload, body, o)
	if err != nil {
		s.abandon(ctx, key, upload)
	}
	return out, err
}

func (s *Store) putAll(ctx context.Context, key, upload string, body store.Body, o store.PutOptions) (store.Object, error) {
	rc, err := body.Open(0)
	if err != nil {
		return store.Object{}, s.fail(ctx, act{actWrite, key}, bodyError{err})
	}
	defer rc.Close()
	size := s.PartSize(body.Size, 0)
	from := &exact{ctx: ctx, from: rc, left: body.Size, checks: checksOf(o.Sums), what: show(key)}
	buf, give, err := s.buffer(ctx, size)
	if err != nil {
		return store.Object{}, err
	}
	defer give()
	var parts []store.Part
	for off := int64(0); off < body.Size; off += size {
		b := buf[:min(size, body.Size-off)]
		if _, err := io.ReadFull(from, b); err != nil {
			return store.Object{}, s.fail(ctx, act{actWrite, key}, errors.Join(bodyFault(from), err))
		}
		p, err := s.putPart(ctx, key, upload, len(parts)+1, off, inMemory(b))
		if err != nil {
			return store.Object{}, err
		}
		parts = append(parts, p)
	}
	return s.complete(ctx, key, upload, parts)
}

func inMemory(b []byte) store.Body {
	return store.Body{Size: int64(len(b)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[off:])), nil
	}}
}

// buffer returns n bytes of memory, as soon as the store's share of memory has
// them, and how to give them back.
func (s *Store) buffer(ctx context.Context, n int64) ([]byte, func(), error) {
	if err := s.memory.Take(ctx, n); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Where(), err)
	}
	const kept = 64 << 10 // larger ones are rare enough to be made anew
	if n > kept {
		return make([]byte, n), func() { s.memory.Give(n) }, nil
	}
	b, _ := s.buffers.Get().(*[]byte)
	if b == nil {
		fresh := make([]byte, kept)
		b = &fresh
	}
	return (*b)[:n], func() { s.buffers.Put(b); s.memory.Give(n) }, nil
}

// Create implements store.Creator. The library or a proxy may send a request
// again whose answer was lost: an object that is there is this call's own when it
// carries its nonce.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	full, err := s.full(ctx, key)
	if err != nil {
		return err
	}
	mine := nonce()
	sum := md5.Sum(value) //nolint:gosec // what the service compares with
	opts := s.putOptions(store.Attributes{Metadata: map[string]string{metaNonce: mine}})
	opts.SetMatchETagExcept("*")
	b := bytes.Clone(value)
	return s.call(ctx, act{actCreate, key}, s.limits.stall, func(t try) error {
		from := &exact{ctx: t.ctx, from: bytes.NewReader(b), left: int64(len(b)), moved: t.moved, what: show(key)}
		_, err := s.api.PutObject(t.ctx, s.at.bucket, full, from, int64(len(b)), base64.StdEncoding.EncodeToString(sum[:]), "", opts)
		if err == nil {
			return nil
		}
		// 409: another creator is at it, and how it ends is not known yet; it is
		// sent again. A service that does not know the header says 501.
		if err = s.fail(t.ctx, act{actCreate, key}, err); errors.Is(err, store.ErrChanged) {
			return s.created(t, key, full, mine)
		}
		return err
	})
}

// created tells whether the object that is there is the caller's.
func (s *Store) created(t try, key, full, mine string) error {
	var opts minio.StatObjectOptions
	i, err := s.api.StatObject(t.ctx, s.at.bucket, full, opts)
	if err != nil {
		err = s.fail(t.ctx, act{actStat, key}, err)
		if notFound(err) { // deleted since: say what the service said
			return fmt.Errorf("%s: %w", s.where(key), store.ErrExists)
		}
		return err
	}
	if i.Headers.Get(metaPrefix+metaNonce) == mine {
		return nil
	}
	return fmt.Errorf("%s: %w", s.where(key), store.ErrExists)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	full, err := s.full(ctx, key)
	if err != nil {
		return err
	}
	err = s.call(ctx, act{actDelete, key}, s.limits.stall, func(t try) error {
		return s.api.RemoveObject(t.ctx, s.at.bucket, full, minio.RemoveObjectOptions{})
	})
	if notFound(err) {
		return nil
	}
	return err
}

// Remove implements store.Remover.
func (s *Store) Remove(ctx context.Context, keys []string) map[string]error {
	bad := map[string]error{}
	var list []minio.ObjectInfo
	for _, key := range keys {
		full, err := s.full(ctx, key)
		if err != nil {
			bad[key] = err
			continue
		}
		list = append(list, minio.ObjectInfo{Key: full})
	}
	if s.single {
		for _, i := range list {
			key := i.Key[len(s.at.prefix):]
			if err := s.Delete(ctx, key); err != nil {
				bad[key] = err
			}
		}
		return none(bad)
	}
	if err := s.removeAll(ctx, list, bad); err != nil {
		for _, i := range list {
			bad[i.Key[len(s.at.prefix):]] = err
		}
	}
	return none(bad)
}

func none(bad map[string]error) map[string]error {
	if len(bad) == 0 {
		return nil
	}
	return bad
}

// removeAll sends one request; what the service says of single keys goes to bad.
func (s *Store) removeAll(ctx context.Context, list []minio.ObjectInfo, bad map[string]error) error {
	if len(list) == 0 {
		return nil
	}
	return s.call(ctx, act{what: actDelete + " objects"}, s.limits.stall, func(t try) error {
		each := func(yield func(minio.ObjectInfo) bool) {
			for _, i := range list {
				if !yield(i) {
					return
				}
			}
		}
		results, err := s.api.RemoveObjectsWithIter(t.ctx, s.at.bucket, each, minio.RemoveObjectsOptions{})
		if err != nil {
			return err
		}
		answered := 0
		for r := range results {
			answered++
			if r.Err == nil {
				continue
			}
			if r.ObjectName == "" || minio.ToErrorResponse(r.Err).StatusCode != 0 { // of the request, not of a key
				return r.Err
			}
			key := r.ObjectName[len(s.at.prefix):]
			if err := s.fail(t.ctx, act{actDelete, key}, r.Err); !notFound(err) {
				bad[key] = err
			}
		}
		if answered == 0 {
			return fault.New(fault.StoreFailed, "the store did not say what it deleted").At("%s", s.Where())
		}
		return nil
	})
}
