package mem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// upload is an object being written in parts.
type upload struct {
	key   string
	size  int64
	p     store.PutOptions
	parts map[int]piece
}

type piece struct {
	off  int64
	data []byte
	part store.Part
}

// PartSize implements store.Parter: at most 10,000 parts.
func (s *Store) PartSize(size, least int64) int64 { return max(least, 1, (size+9_999)/10_000) }

// Begin implements store.Parter.
func (s *Store) Begin(ctx context.Context, key string, size int64, p store.PutOptions) (string, error) {
	if err := s.callKey(ctx, "begin", key); err != nil {
		return "", err
	}
	if size < 0 {
		return "", fault.New(fault.Internal, "an upload of %d bytes", size).At("%s", key)
	}
	p.Attributes = *cloned(p.Attributes)
	p.Sums = slices.Clone(p.Sums)
	sp := s.space
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.last++
	id := fmt.Sprintf("u%d", sp.last)
	sp.uploads[id] = &upload{key: key, size: size, p: p, parts: map[int]piece{}}
	return id, nil
}

// upload finds an upload of key. The caller holds the lock.
func (s *Store) upload(key, id string) (*upload, error) {
	u := s.space.uploads[id]
	if u == nil || u.key != key {
		return nil, fmt.Errorf("upload %q of %w", id, s.absent(key))
	}
	return u, nil
}

// PutPart implements store.Parter.
func (s *Store) PutPart(ctx context.Context, key, id string, n int, off int64, b store.Body) (store.Part, error) {
	if err := s.callKey(ctx, "putpart", key); err != nil {
		return store.Part{}, err
	}
	data, err := s.load(ctx, key, b)
	if err != nil {
		return store.Part{}, err
	}
	h, _ := sum(store.XXH3, data)
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	u, err := s.upload(key, id)
	if err != nil {
		return store.Part{}, err
	}
	if n < 1 || off < 0 || off+b.Size > u.size {
		return store.Part{}, fault.New(fault.Internal, "part %d, %d bytes from %d of %d", n, b.Size, off, u.size).At("%s", key)
	}
	part := store.Part{N: n, Size: b.Size, Sum: h}
	u.parts[n] = piece{off, data, part}
	return part, nil
}

// Parts implements store.Parter.
func (s *Store) Parts(ctx context.Context, key, id string) ([]store.Part, error) {
	if err := s.callKey(ctx, "parts", key); err != nil {
		return nil, err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	u, err := s.upload(key, id)
	if err != nil {
		return nil, err
	}
	var out []store.Part
	for _, p := range u.parts {
		out = append(out, p.part)
	}
	slices.SortFunc(out, func(a, b store.Part) int { return a.N - b.N })
	return out, nil
}

// Complete implements store.Parter. Parts that are not those stored, or do not
// make the whole object, are refused; the upload stays.
func (s *Store) Complete(ctx context.Context, key, id string, parts []store.Part) (store.Object, error) {
	if err := s.callKey(ctx, "complete", key); err != nil {
		return store.Object{}, err
	}
	data, p, err := s.join(key, id, parts)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.object(key, data, p)
	if err != nil {
		return store.Object{}, err
	}
	s.space.mu.Lock()
	_, err = s.upload(key, id)
	delete(s.space.uploads, id)
	s.space.mu.Unlock()
	if err != nil {
		return store.Object{}, err // somebody else was quicker
	}
	return s.space.set(o).shown(), nil
}

func (s *Store) join(key, id string, parts []store.Part) ([]byte, store.PutOptions, error) {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	u, err := s.upload(key, id)
	if err != nil {
		return nil, store.PutOptions{}, err
	}
	var data []byte
	whole := len(parts) == len(u.parts)
	for i, p := range parts {
		have, ok := u.parts[i+1]
		whole = whole && ok && p == have.part && have.off == int64(len(data))
		data = append(data, have.data...)
	}
	if !whole || int64(len(data)) != u.size {
		return nil, store.PutOptions{}, fault.New(fault.Corrupt, "the %d parts of %s are not those stored, or not all", len(parts), key).At("%s", s.o.Where)
	}
	return data, u.p, nil
}

// Abandon implements store.Parter.
func (s *Store) Abandon(ctx context.Context, key, id string) error {
	if err := s.callKey(ctx, "abandon", key); err != nil {
		return err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	if _, err := s.upload(key, id); err == nil {
		delete(s.space.uploads, id)
	}
	return nil
}

// Batch implements store.Batcher.
func (s *Store) Batch(ctx context.Context) (store.Batch, error) {
	if err := s.call(ctx, "batch", ""); err != nil {
		return nil, err
	}
	return &batch{s: s}, nil
}

type batch struct {
	s       *Store
	mu      sync.Mutex
	objects []*object
	ended   bool
}

var errBatchEnded = errors.New("the batch has ended")

// Put implements store.Batch.
func (b *batch) Put(ctx context.Context, key string, body store.Body, p store.PutOptions) (store.Object, error) {
	if err := b.s.callKey(ctx, "batchput", key); err != nil {
		return store.Object{}, err
	}
	data, err := b.s.load(ctx, key, body)
	if err != nil {
		return store.Object{}, err
	}
	o, err := b.s.object(key, data, p)
	if err != nil {
		return store.Object{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return store.Object{}, errBatchEnded
	}
	b.objects = append(b.objects, o)
	return o.shown(), nil
}

// Commit implements store.Batch.
func (b *batch) Commit(ctx context.Context) map[string]error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := map[string]error{}
	var good []*object
	for _, o := range b.objects {
		err := b.s.callKey(ctx, "commit", o.Key)
		if b.ended {
			err = errBatchEnded
		}
		if err != nil {
			errs[o.Key] = err
			continue
		}
		good = append(good, o)
	}
	b.ended = true
	b.s.space.set(good...)
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Abort implements store.Batch.
func (b *batch) Abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects, b.ended = nil, true
}
