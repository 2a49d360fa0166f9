package objects

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/minio/minio-go/v7"

	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/store/s3"
	servers "godwit/test/servers/s3"
)

// counted is a bucket that counts how often objects are read.
type counted struct {
	*s3.Store
	opened int
}

func (c *counted) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	c.opened++
	return c.Store.Open(ctx, key, r)
}

// Another program wrote the object in parts, and the service does not tell of which
// size. The copy is read, the bucket only when that proves nothing.
func TestVerify_when_the_size_of_parts_is_not_told(t *testing.T) {
	server, err := servers.Launch("versitygw")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	data := make([]byte, 17<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	other := bytes.Clone(data)
	other[len(other)-1]++
	for name, c := range map[string]struct {
		part   uint64
		copy   []byte
		found  []string
		opened int
	}{
		"usual":              {8 << 20, data, nil, 0},
		"another usual one":  {5 << 20, data, nil, 0},
		"unusual":            {7 << 20, data, nil, 1},
		"usual, other bytes": {8 << 20, other, []string{"k different bytes"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := server.Bucket(t)
			_, err := server.Client().PutObject(t.Context(), bucket, "k", bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{PartSize: c.part})
			if err != nil {
				t.Fatal(err)
			}
			d := s3.Driver()
			s, err := d.Open(t.Context(), option.Of(d.Options, map[string]any{
				"endpoint": server.Endpoint, "bucket": bucket, "access_key": secret.New(server.AccessKey), "secret_key": secret.New(server.SecretKey),
			}), store.Env{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			from, to := &counted{Store: s.(*s3.Store)}, mem.New(mem.Options{Sums: []store.Algorithm{}})
			put(t, to, "k", string(c.copy))
			if _, found := verify(t, Config{Source: from, Target: to, Choose: choose(t, everything)}); !slices.Equal(found, c.found) || from.opened != c.opened {
				t.Errorf("found %q, want %q; the bucket's object was read %d times, want %d", found, c.found, from.opened, c.opened)
			}
		})
	}
}
