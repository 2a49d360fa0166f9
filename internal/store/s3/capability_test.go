package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"godwit/internal/store"
	servers "godwit/test/servers/s3"
)

func mode(m fs.FileMode) *fs.FileMode { return &m }

func TestAttributes_when_put_and_read(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s := at(t, server.Endpoint, server.Bucket(t), "", store.Env{}, nil)
		want := store.Attributes{
			ContentType: "text/plain", Encoding: "gzip", Language: "de", Disposition: `attachment; filename="x"`, CacheControl: "no-cache",
			Metadata: map[string]string{"colour": "grün", "plain": "x y"}, Tags: map[string]string{"a": "1", "b c": "2/3"},
			Mode: mode(0o640), Owner: &store.Owner{UID: 1000, GID: 100}, Modified: time.Unix(1_600_000_000, 123_456_789),
		}
		if _, err := s.Put(t.Context(), "k", inMemory([]byte("x")), store.PutOptions{Attributes: want}); err != nil {
			t.Fatal(err)
		}
		rc, o, err := s.Open(t.Context(), "k", store.Read{})
		if err != nil {
			t.Fatal(err)
		}
		rc.Close()
		if d := cmp.Diff(&want, o.Attributes); d != "" {
			t.Error(d)
		}
		i, err := server.Client().StatObject(t.Context(), s.at.bucket, "k", minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]string{"Mtime": "1600000000.123456789", "Mode": "0100640", "Uid": "1000", "Gid": "100"} {
			if i.UserMetadata[key] != value {
				t.Errorf("%s is %q, others expect %q", key, i.UserMetadata[key], value)
			}
		}
	})
}

func TestTime_when_written_and_read(t *testing.T) {
	for _, v := range []time.Time{time.Unix(0, 0), time.Unix(-2, 750_000_000), time.Unix(-1, 1), time.Unix(1, 999_999_999), time.Unix(1<<33, 5_000)} {
		if got, ok := parseTime(formatTime(v)); !ok || !got.Equal(v) {
			t.Errorf("%v: %q is read as %v", v, formatTime(v), got)
		}
	}
	for _, bad := range []string{"", "x", "1.-5", "99999999999999999999", "1.5.5"} {
		if got, ok := parseTime(bad); ok {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestCopy_when_both_are_of_one_service(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		from, to := at(t, server.Endpoint, server.Bucket(t), "a/", store.Env{}, nil), at(t, server.Endpoint, server.Bucket(t), "b/", store.Env{}, nil)
		a := store.Attributes{ContentType: "text/css", Metadata: map[string]string{"m": "1"}}
		body := []byte("copied")
		o, err := from.Put(t.Context(), "ü k+", inMemory(body), store.PutOptions{Attributes: a})
		if err != nil {
			t.Fatal(err)
		}
		got, err := to.Copy(t.Context(), from, o, "kept", nil)
		if err != nil || !bytes.Equal(content(t, to, "kept"), body) || got.Size != 6 {
			t.Fatalf("%+v, %v", got, err)
		}
		if there, _ := to.Stat(t.Context(), "kept"); there.Attributes.ContentType != "text/css" || there.Attributes.Metadata["m"] != "1" {
			t.Errorf("kept: %+v", there.Attributes)
		}
		if _, err = to.Copy(t.Context(), from, o, "new", &store.PutOptions{Attributes: store.Attributes{ContentType: "text/html"}}); err != nil {
			t.Fatal(err)
		}
		if there, _ := to.Stat(t.Context(), "new"); there.Attributes.ContentType != "text/html" || there.Attributes.Metadata != nil {
			t.Errorf("replaced: %+v", there.Attributes)
		}
		if _, err := from.Put(t.Context(), "ü k+", inMemory([]byte("other")), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Copy(t.Context(), from, o, "late", nil); !errors.Is(err, store.ErrChanged) {
			t.Errorf("of a version that is gone: %v", err)
		}
		if err := from.Delete(t.Context(), "ü k+"); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Copy(t.Context(), from, o, "late", nil); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of what is gone: %v", err)
		}
	})
}

func TestCopyParts_when_an_object_is_large(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s := at(t, server.Endpoint, server.Bucket(t), "", store.Env{}, nil)
		body := bytes.Repeat([]byte("0123456789abcdef"), 17<<16)
		o, err := s.Put(t.Context(), "k", inMemory(body), store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Sums) != 1 || o.Sums[0].Parts != 2 || o.Sums[0].PartSize != 16<<20 {
			t.Errorf("sums of two parts: %+v", o.Sums)
		}
		got, err := s.copyParts(t.Context(), s, "k", o, "k2", nil)
		if err != nil || got.Size != int64(len(body)) || !bytes.Equal(content(t, s, "k2"), body) {
			t.Fatalf("%+v, %v", got, err)
		}
		if !slices.EqualFunc([]store.Object{got}, []store.Object{o}, func(a, b store.Object) bool { return a.Size == b.Size }) {
			t.Errorf("%+v of %+v", got, o)
		}
	})
}

func TestRemove_when_some_are_missing(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{}, nil)
		for _, k := range []string{"a", "b/c", "ü", "stays"} {
			if _, err := s.Put(t.Context(), k, inMemory(nil), store.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		bad := s.Remove(t.Context(), []string{"a", "b/c", "ü", "none", "../x"})
		if len(bad) != 1 || bad["../x"] == nil {
			t.Errorf("errors: %v", bad)
		}
		var left []string
		for o, err := range s.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, o.Key)
		}
		if !slices.Equal(left, []string{"stays"}) {
			t.Errorf("left: %q", left)
		}
	})
}

// shapes are sets of keys, of which Divide knows nothing.
func shapes(n int) map[string]func(i int) string {
	return map[string]func(i int) string{
		"flat with a common head": func(i int) string { return fmt.Sprintf("backup-2026-%08d.bin", i) },
		"folders":                 func(i int) string { return fmt.Sprintf("y%d/m%02d/d%02d/f%d", i%3, i%12, i%28, i) },
		"one heavy folder": func(i int) string {
			return fmt.Sprintf("%s/%x", []string{"a", "big", "big", "big", "ü"}[i%5], i*2654435761)
		},
	}
}

func TestDivide_when_keys_have_many_shapes(t *testing.T) {
	const keys, parts = 6000, 4
	server := servers.MinIO(t)
	for name, key := range shapes(keys) {
		t.Run(name, func(t *testing.T) {
			s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{Requests: 16}, nil)
			fill(t, s, keys, key)
			bounds, err := s.Divide(t.Context(), "", "", parts)
			if err != nil || !slices.IsSorted(bounds) || len(bounds) > parts-1 || len(bounds) == 0 {
				t.Fatalf("%q, %v", bounds, err)
			}
			counts := make([]int, len(bounds)+1)
			for i := range keys {
				at, _ := slices.BinarySearch(bounds, key(i))
				counts[at]++
			}
			t.Logf("%q: %v", bounds, counts)
			if slices.Max(counts) > keys*2/3 {
				t.Errorf("uneven: %v at %q", counts, bounds)
			}
		})
	}
}

func fill(t testing.TB, s *Store, n int, key func(i int) string) {
	t.Helper()
	var all sync.WaitGroup
	errs := make(chan error, 16)
	for lane := range 16 {
		all.Go(func() {
			for i := lane; i < n; i += 16 {
				if _, err := s.Put(t.Context(), key(i), inMemory(nil), store.PutOptions{}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
}

// BenchmarkPut is small objects, 32 at once, by the store and, to compare with, by
// the library it is made on.
func BenchmarkPut(b *testing.B) {
	server := servers.Versity(b)
	body := make([]byte, 4096)
	s := at(b, server.Endpoint, server.Bucket(b), "", store.Env{Requests: 32}, nil)
	b.Run("store", func(b *testing.B) {
		parallel(b, func(key string) error {
			_, err := s.Put(b.Context(), key, inMemory(body), store.PutOptions{})
			return err
		})
	})
	b.Run("library", func(b *testing.B) {
		parallel(b, func(key string) error {
			_, err := s.api.Client.PutObject(b.Context(), s.at.bucket, key, bytes.NewReader(body), 4096, minio.PutObjectOptions{DisableContentSha256: true})
			return err
		})
	})
}

func parallel(b *testing.B, put func(key string) error) {
	next := make(chan int)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := range next {
				if err := put(fmt.Sprintf("d%02d/k%d", i%50, i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		next <- i
	}
	close(next)
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
