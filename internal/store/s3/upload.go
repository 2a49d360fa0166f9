package s3

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// An upload as others keep it is "1 <size> <checksum> <the service's id>". Services
// differ in what they do with an id that is not one, or is of another key; the
// checksum, over all of it and the key, sees to it that they are never asked. The
// size tells when parts are missing, which no service does.
func uploadText(key, id string, size int64) string {
	return fmt.Sprintf("1 %d %s %s", size, uploadSum(key, id, size), id)
}

func uploadSum(key, id string, size int64) string {
	b := xxh3.HashString128(strconv.FormatInt(size, 10) + " " + id + " " + key).Bytes()
	return hex.EncodeToString(b[:8])
}

// parseUpload undoes uploadText; what is none of key's is gone.
func (s *Store) parseUpload(key, upload string) (id string, size int64, err error) {
	f := strings.SplitN(upload, " ", 4)
	if len(f) == 4 && f[0] == "1" {
		size, err = strconv.ParseInt(f[1], 10, 64)
		if err == nil && size >= 0 && f[2] == uploadSum(key, f[3], size) {
			return f[3], size, nil
		}
	}
	return "", 0, fmt.Errorf("the upload of %s: %w", s.where(key), store.ErrNotFound)
}

// Begin implements store.Parter.
func (s *Store) Begin(ctx context.Context, key string, size int64, o store.PutOptions) (string, error) {
	id, err := s.begin(ctx, key, size, o)
	if err != nil {
		return "", err
	}
	return uploadText(key, id, size), nil
}

// PutPart implements store.Parter.
func (s *Store) PutPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	id, size, err := s.parseUpload(key, upload)
	if err != nil {
		return store.Part{}, err
	}
	if off > size-b.Size {
		return store.Part{}, fault.New(fault.Internal, "part %d of %d bytes from %d of %d", n, b.Size, off, size).At("%s", s.where(key))
	}
	return s.putPart(ctx, key, id, n, off, b)
}

// Parts implements store.Parter.
func (s *Store) Parts(ctx context.Context, key, upload string) ([]store.Part, error) {
	id, _, err := s.parseUpload(key, upload)
	if err != nil {
		return nil, err
	}
	return s.parts(ctx, key, id)
}

// Complete implements store.Parter. The parts are listed first: some services
// complete an upload that is gone.
func (s *Store) Complete(ctx context.Context, key, upload string, parts []store.Part) (store.Object, error) {
	id, size, err := s.parseUpload(key, upload)
	if err != nil {
		return store.Object{}, err
	}
	left := size
	for _, p := range parts {
		left -= p.Size
	}
	if left != 0 {
		return store.Object{}, fault.New(fault.Internal, "the parts have %d bytes, the object has %d", size-left, size).At("%s", s.where(key))
	}
	if _, err := s.parts(ctx, key, id); err != nil {
		return store.Object{}, err
	}
	return s.complete(ctx, key, id, parts)
}

// Abandon implements store.Parter.
func (s *Store) Abandon(ctx context.Context, key, upload string) error {
	id, _, err := s.parseUpload(key, upload)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	return s.drop(ctx, key, id)
}
