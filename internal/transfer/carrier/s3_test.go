package carrier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/s3"
	"godwit/internal/transfer/page"
	servers "godwit/test/servers/s3"
)

func bucketOf(t testing.TB, server *servers.Server) store.Store {
	t.Helper()
	d := s3.Driver()
	s, err := d.Open(t.Context(), option.Of(d.Options, map[string]any{
		"endpoint": server.Endpoint, "bucket": server.Bucket(t), "preset": "minio", "part_size": int64(5 << 20),
		"access_key": secret.New(server.AccessKey), "secret_key": secret.New(server.SecretKey),
	}), store.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func folderOf(t testing.TB) store.Store {
	t.Helper()
	s, err := local.New(local.OS{}, t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func noise(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = random.Read(b)
	return b
}

func read(t testing.TB, s store.Store, key string) ([]byte, store.Object) {
	t.Helper()
	r, o, err := s.Open(context.Background(), key, store.Read{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b, o
}

func TestCarry_when_stores_are_real(t *testing.T) {
	for name, server := range map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.Versity} {
		t.Run(name, func(t *testing.T) {
			stores := map[string]func() store.Store{
				"local": func() store.Store { return folderOf(t) },
				"s3":    func() store.Store { return bucketOf(t, server(t)) },
			}
			for _, way := range [][2]string{{"local", "s3"}, {"s3", "s3"}, {"s3", "local"}, {"local", "local"}} {
				for _, verify := range []Verify{Strongest, ReadBack} {
					t.Run(way[0]+" to "+way[1]+" "+string(verify), func(t *testing.T) {
						carryAll(t, stores[way[0]](), stores[way[1]](), verify)
					})
				}
			}
		})
	}
}

func carryAll(t *testing.T, source, target store.Store, verify Verify) {
	c := New(Config{Source: source, Target: target, Dir: t.TempDir(), PartSize: 5 << 20, Verify: verify, Erase: verify == ReadBack})
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, size := range []int{0, 1, 5000, 1 << 20, 3<<20 + 1, 23<<20 + 5} {
		key := fmt.Sprint("dir ü/", size)
		data := noise(size)
		attributes := store.Attributes{ContentType: "text/x-test", Metadata: map[string]string{"a": "b"}}
		if _, err := source.Put(t.Context(), key, bodyOf(data), store.PutOptions{Attributes: attributes}); err != nil {
			t.Fatal(err)
		}
		o, err := store.Look(t.Context(), source, key)
		if err != nil {
			t.Fatal(err)
		}
		item := page.Item{Key: key, Name: "to/" + key, Size: o.Size, Modified: o.Modified, Version: o.Version, Sums: o.Sums, Action: page.Copy}
		out, err := c.Carry(t.Context(), item)
		if err != nil || out.State != page.Copied || out.Attempts != 1 {
			t.Fatalf("%d bytes: %+v, %v", size, out, err)
		}
		back, have := read(t, target, item.Name)
		if sha256.Sum256(back) != sha256.Sum256(data) {
			t.Errorf("%d bytes: other contents", size)
		}
		_, fromS3 := source.(*s3.Store)
		_, toS3 := target.(*s3.Store)
		// A service that copies what was stored in parts gives the copy a sum of
		// another kind.
		comparable := toS3 && (out.How != "server" || len(ofContents(o.Sums)) > 0)
		if comparable && out.Checked == "size" || out.Checked == "" || verify == ReadBack && out.Checked == "size" {
			t.Errorf("%d bytes: checked by %q", size, out.Checked)
		}
		if fromS3 && toS3 && (have.Attributes == nil || have.Attributes.ContentType != "text/x-test" || have.Attributes.Metadata["a"] != "b") {
			t.Errorf("%d bytes: attributes %+v", size, have.Attributes)
		}
		if _, err := store.Look(t.Context(), source, key); errors.Is(err, store.ErrNotFound) != (verify == ReadBack) {
			t.Errorf("%d bytes: the source: %v", size, err)
		}
	}
}

// dying ends a context after some parts.
type dying struct {
	store.Store
	teller
	store.Parter
	left atomic.Int64
	sent *atomic.Int64
	kill context.CancelCauseFunc
}

func (d *dying) PutPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	d.sent.Add(b.Size)
	p, err := d.Parter.PutPart(ctx, key, upload, n, off, b)
	if d.left.Add(-1) == 0 {
		d.kill(errCrash)
	}
	return p, err
}

func TestCarry_when_it_dies_inside_a_large_object_on_a_real_server(t *testing.T) {
	for name, server := range map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.Versity} {
		t.Run(name, func(t *testing.T) {
			source, target := folderOf(t), bucketOf(t, server(t))
			const size, part, lanes = 43<<20 + 1, 5 << 20, 2
			data := noise(size)
			item := put(t, source, "large", data)
			dir := t.TempDir()
			var sent atomic.Int64
			crashes, arrived := 0, false
			for crashes < 4 && !arrived { // 9 parts, of which 3 arrive each time
				ctx, cancel := context.WithCancelCause(t.Context())
				d := &dying{Store: target, teller: target.(store.Stat), Parter: target.(store.Parter), kill: cancel, sent: &sent}
				d.left.Store(3)
				c := New(Config{Source: source, Target: d, Dir: dir, PartSize: part, Lanes: lanes})
				out, err := c.Carry(ctx, item)
				cancel(nil)
				switch {
				case err == nil && out.State == page.Copied:
					arrived = true
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
				case errors.Is(err, errCrash): // its files stay, as after a crash
					crashes++
				default:
					t.Fatalf("%+v, %v", out, err)
				}
			}
			if most := int64(size + crashes*(lanes-1)*part); !arrived || crashes < 2 || sent.Load() > most {
				t.Errorf("arrived: %v; %d bytes were sent, at most %d with what was in flight at %d crashes", arrived, sent.Load(), most, crashes)
			}
			if back, _ := read(t, target, "large"); !bytes.Equal(back, data) {
				t.Error("other contents")
			}
			if left, _ := uploadFiles(dir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
