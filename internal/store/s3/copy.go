package s3

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"godwit/internal/fault"
	"godwit/internal/store"
)

const copyLanes = 8 // parts copied at once

// Copy implements store.Copier between buckets of one endpoint. It is
// errors.ErrUnsupported for others, and where the service does not let these
// credentials copy.
func (s *Store) Copy(ctx context.Context, from store.Store, o store.Object, key string, p *store.PutOptions) (store.Object, error) {
	src, ok := from.(*Store)
	if !ok || src.at.endpoint != s.at.endpoint {
		return store.Object{}, errors.ErrUnsupported
	}
	full, err := s.full(ctx, key)
	if err != nil {
		return store.Object{}, err
	}
	source, err := src.full(ctx, o.Key)
	if err != nil {
		return store.Object{}, err
	}
	if o.Version == "" || o.Size > s.limits.copyOnce && p == nil {
		// A version, or the attributes that a new upload must be given.
		there, err := src.Stat(ctx, o.Key)
		if err == nil {
			err = src.matches(there, &o)
		}
		if err != nil {
			return store.Object{}, err
		}
		o = there
	}
	var out store.Object
	if o.Size > s.limits.copyOnce {
		out, err = s.copyParts(ctx, src, source, o, key, p)
	} else {
		out, err = s.copyWhole(ctx, src, source, o, key, full, p)
	}
	if fault.Has(err, fault.StoreRefused) {
		s.log.Debug("no copy inside the service", "object", s.where(key), "error", err.Error())
		return store.Object{}, errors.ErrUnsupported
	}
	return out, err
}

func (s *Store) copyWhole(ctx context.Context, src *Store, source string, o store.Object, key, full string, p *store.PutOptions) (store.Object, error) {
	headers := map[string]string{"X-Amz-Copy-Source-If-Match": `"` + o.Version + `"`}
	if p == nil {
		// Metadata and tags are copied when nothing is said of them.
		if class := s.classOf(o); class != "" {
			headers["X-Amz-Storage-Class"] = class
		}
	} else {
		for name, values := range s.putOptions(p.Attributes).Header() {
			headers[name] = values[0]
		}
		headers["X-Amz-Metadata-Directive"], headers["X-Amz-Tagging-Directive"] = "REPLACE", "REPLACE"
	}
	out := store.Object{Key: key, Size: o.Size}
	err := s.call(ctx, act{actCopy, key}, s.limits.work, func(t try) error {
		etag, modified, err := s.copyOnce(t, src.at.bucket, source, full, headers)
		if err != nil {
			return err
		}
		if etag == "" { // an error inside an answer that began well
			return fault.New(fault.StoreFailed, "cannot copy %s: the answer breaks off", show(key)).At("%s", s.where(key))
		}
		out.Version, out.Modified = etag, modified
		return nil
	})
	if err != nil {
		return store.Object{}, err
	}
	if sum, ok := etagSum(out.Version, s.opaque.Load()); ok {
		out.Sums = []store.Sum{sum}
	}
	return out, nil
}

func (s *Store) copyOnce(t try, bucket, source, full string, headers map[string]string) (etag string, modified time.Time, err error) {
	h := http.Header{}
	for name, value := range headers {
		h.Set(name, value)
	}
	h.Set("X-Amz-Copy-Source", s3utils.EncodePath(bucket+"/"+source))
	_, text, err := s.putDirectly(t.ctx, full, h, nil, 0)
	if errors.Is(err, errIndirect) {
		i, err := s.api.CopyObject(t.ctx, bucket, source, s.at.bucket, full, headers, minio.CopySrcOptions{}, minio.PutObjectOptions{})
		return i.ETag, i.LastModified, err
	}
	if err == nil {
		etag, modified = copyResult(text)
	}
	return etag, modified, err
}

func (s *Store) classOf(o store.Object) string {
	if s.class == "" && o.Attributes != nil {
		return o.Attributes.Class
	}
	return s.class
}

// copyParts copies a large object in parts, several at once.
func (s *Store) copyParts(ctx context.Context, src *Store, source string, o store.Object, key string, p *store.PutOptions) (store.Object, error) {
	if p == nil {
		p = &store.PutOptions{}
		if o.Attributes != nil {
			p.Attributes = *o.Attributes
		}
	}
	upload, err := s.begin(ctx, key, o.Size, *p)
	if err != nil {
		return store.Object{}, err
	}
	parts, err := s.copyAll(ctx, src, source, o, key, upload)
	if err != nil {
		s.abandon(ctx, key, upload)
		return store.Object{}, err
	}
	return s.complete(ctx, key, upload, parts)
}

func (s *Store) copyAll(ctx context.Context, src *Store, source string, o store.Object, key, upload string) ([]store.Part, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	size := s.PartSize(o.Size, s.limits.copyPart)
	parts := make([]store.Part, (o.Size+size-1)/size)
	lanes := make(chan struct{}, copyLanes)
	var all sync.WaitGroup
	for i := range parts {
		lanes <- struct{}{}
		all.Go(func() {
			defer func() { <-lanes }()
			off := int64(i) * size
			p, err := s.copyPart(ctx, src, source, o, key, upload, i+1, off, min(size, o.Size-off))
			if err != nil {
				cancel(err)
			}
			parts[i] = p
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return parts, nil
}

func (s *Store) copyPart(ctx context.Context, src *Store, source string, o store.Object, key, upload string, n int, off, size int64) (store.Part, error) {
	part := store.Part{N: n, Size: size}
	err := s.call(ctx, act{actCopy, key}, s.limits.work, func(t try) error {
		p, err := s.api.CopyObjectPart(t.ctx, src.at.bucket, source, s.at.bucket, s.at.prefix+key, upload, n, off, size,
			map[string]string{"X-Amz-Copy-Source-If-Match": `"` + o.Version + `"`})
		if err == nil && p.ETag == "" {
			return fault.New(fault.StoreFailed, "cannot copy a part of %s: the answer breaks off", show(key)).At("%s", s.where(key))
		}
		part.Token = strings.Trim(p.ETag, `"`)
		return err
	})
	return part, err
}
