package s3

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
	servers "godwit/test/servers/s3"
	"godwit/test/servers/s3/proxy"
)

func staged(t *testing.T, s *Store, key string, b []byte, o store.PutOptions) store.Receipt {
	t.Helper()
	g, err := s.Stage(t.Context(), key, o)
	if err == nil {
		_, err = g.Write(b)
	}
	var r store.Receipt
	if err == nil {
		r, err = g.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func publish(t *testing.T, s *Store, r store.Receipt, want ...store.Outcome) {
	t.Helper()
	got, err := s.Publish(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if got == w {
			return
		}
	}
	t.Fatalf("outcome %d, want %v", got, want)
}

// inBucket lists everything below the store's prefix, the staging area too, and all
// versions.
func inBucket(t *testing.T, server *servers.Server, s *Store) []string {
	t.Helper()
	var keys []string
	for o := range server.Client().ListObjects(t.Context(), s.at.bucket, minio.ListObjectsOptions{Prefix: s.at.prefix, Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		keys = append(keys, strings.TrimPrefix(o.Key, s.at.prefix))
	}
	return keys
}

// Whoever publishes may die at any moment, and the service may stop in the middle of
// what it was asked: what has a receipt can be published afterwards all the same.
func TestPublish_when_requests_are_cut_off(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		bucket := server.Bucket(t)
		next := at(t, server.Endpoint, bucket, "p/", store.Env{}, nil)
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		small, large := bytes.Repeat([]byte("s"), 100), bytes.Repeat([]byte("large"), stageBytes/4)
		cut := 0
		for round := range 120 {
			s := at(t, server.Endpoint, bucket, "p/", store.Env{}, nil) // with connections of its own
			body, most := small, 4*time.Millisecond
			if round%20 == 0 {
				body, most = large, 30*time.Millisecond
				s.limits.copyOnce, s.limits.copyPart = mib, leastPart
			}
			r := staged(t, s, "k", body, store.PutOptions{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(most))))
			if _, err := s.Publish(ctx, r); err != nil {
				cut++
			}
			cancel()
			publish(t, next, r, store.Published, store.Already)
			if !bytes.Equal(content(t, next, "k"), body) {
				t.Fatalf("round %d: other contents", round)
			}
			if err := next.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		if cut == 0 {
			t.Error("no request was cut off")
		}
		t.Logf("%d were cut off", cut)
	})
}

// A staged object is copied in parts where it is too large for one request.
func TestPublish_when_it_is_copied_in_parts(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{}, nil)
		s.limits.copyOnce, s.limits.copyPart = mib, leastPart
		body := bytes.Repeat([]byte("0123456789abcdef"), stageBytes/10)
		r := staged(t, s, "k", body, store.PutOptions{Attributes: store.Attributes{ContentType: "text/csv"}})
		publish(t, s, r, store.Published)
		publish(t, s, r, store.Already)
		if !bytes.Equal(content(t, s, "k"), body) {
			t.Error("other contents")
		}
		if o, err := s.Stat(t.Context(), "k"); err != nil || o.Attributes.ContentType != "text/csv" || len(o.Attributes.Metadata) > 0 {
			t.Errorf("%+v, %v", o.Attributes, err)
		}
		if keys := inBucket(t, server, s); len(keys) != 1 {
			t.Errorf("left: %q", keys)
		}
	})
}

func TestPublish_when_the_bucket_keeps_versions(t *testing.T) {
	server := servers.MinIO(t)
	s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{}, nil)
	if err := server.Client().EnableVersioning(t.Context(), s.at.bucket); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		publish(t, s, staged(t, s, key, []byte(key), store.PutOptions{}), store.Published)
	}
	if err := s.Discard(t.Context(), staged(t, s, "c", []byte("c"), store.PutOptions{})); err != nil {
		t.Fatal(err)
	}
	if keys := inBucket(t, server, s); len(keys) != 2 {
		t.Errorf("left: %q", keys)
	}
}

// What waits for seconds is not put into a class that is paid for by the month.
func TestPublish_when_there_is_a_storage_class(t *testing.T) {
	server := servers.MinIO(t)
	const class = "REDUCED_REDUNDANCY"
	for name, c := range map[string]struct {
		options map[string]any
		put     store.PutOptions
	}{
		"of the store":  {map[string]any{"class": class}, store.PutOptions{}},
		"of the object": {nil, store.PutOptions{Attributes: store.Attributes{Class: class}}},
	} {
		s := at(t, server.Endpoint, server.Bucket(t), "", store.Env{}, c.options)
		r := staged(t, s, "k", []byte("x"), c.put)
		if o, err := s.area.Stat(t.Context(), r.Staged); err != nil || o.Attributes.Class != "" {
			t.Errorf("%s: staged: %+v, %v", name, o.Attributes, err)
		}
		publish(t, s, r, store.Published)
		if o, err := s.Stat(t.Context(), "k"); err != nil || o.Attributes.Class != class {
			t.Errorf("%s: %+v, %v", name, o.Attributes, err)
		}
	}
}

// The object of a dead writer that was not closed is an upload. MinIO does not list
// it by the beginning of its key; it drops it after a day.
func TestStaged_when_a_large_one_was_not_closed(t *testing.T) {
	server := servers.Versity(t)
	s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{}, nil)
	g, err := s.Stage(t.Context(), "k", store.PutOptions{})
	if err == nil {
		_, err = g.Write(make([]byte, stageBytes+1))
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Staged(t.Context(), "k")
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := s.Publish(t.Context(), found[0]); !fault.Has(err, fault.TargetBroken) {
		t.Errorf("publish of what was not closed: %v", err)
	}
	if other, err := s.Staged(t.Context(), "k2"); err != nil || len(other) > 0 {
		t.Errorf("%+v, %v", other, err)
	}
	if err := s.Discard(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	if found, err = s.Staged(t.Context(), "k"); err != nil || len(found) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := g.Close(); err == nil {
		t.Error("what was discarded can be closed")
	}
}

func TestClose_when_the_wire_is_bad(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s, direct, p := behind(t, server, nil)
		for _, size := range []int{10, stageBytes + 10} {
			body := bytes.Repeat([]byte{'x'}, size)
			p.Next(http.MethodPut, proxy.LostAnswer)
			r := staged(t, s, "k", body, store.PutOptions{})
			if p.Done() != 1 {
				t.Fatal("nothing happened")
			}
			p.Next(http.MethodPut, proxy.LostAnswer) // that of the copy
			publish(t, s, r, store.Published)
			if !bytes.Equal(content(t, direct, "k"), body) {
				t.Error("other contents")
			}
			if err := direct.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Receipts as records of older programs have them.
func TestPublish_when_the_receipt_is_of_version_1(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{}, nil)
		body := []byte("of version 1")
		older := func(key string) store.Receipt {
			t.Helper()
			upload, err := s.begin(t.Context(), key, 0, store.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			part, err := s.putPart(t.Context(), key, upload, 1, 0, inMemory(body))
			if err != nil {
				t.Fatal(err)
			}
			r := store.Receipt{Key: key, Staged: upload, Size: int64(len(body)), Checksum: "xxh3:aa6e8bd1acf8d7fdd7d27a3f95c1b1b6"}
			r.Token = "1:" + part.Token + ":" + seal(r, part.Token)
			return r
		}
		r := older("a")
		publish(t, s, r, store.Published)
		publish(t, s, r, store.Already)
		if !bytes.Equal(content(t, s, "a"), body) {
			t.Error("other contents")
		}
		if r = older("b"); s.Discard(t.Context(), r) != nil {
			t.Error("cannot be discarded")
		}
		if _, err := s.Publish(t.Context(), r); !fault.Has(err, fault.TargetLost) {
			t.Errorf("publish of what was discarded: %v", err)
		}
		r = older("c")
		if _, err := s.Put(t.Context(), "c", inMemory([]byte("another's")), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(t.Context(), r); !fault.Has(err, fault.TargetBroken) {
			t.Errorf("publish over another's: %v", err)
		}
	})
}

// The forms that records keep.
func TestToken_when_it_is_read(t *testing.T) {
	s := unasked(t, "http://127.0.0.1:1", "secret")
	r := store.Receipt{Key: "shop/a/stream-1-1.csv", Staged: stagedPrefix("shop/a/stream-1-1.csv") + strings.Repeat("0a", 16), Size: 7, Checksum: "xxh3:00112233445566778899aabbccddeeff"}
	const golden = "2:d41d8cd98f00b204e9800998ecf8427e-3:A%3AB::a3bd05dcb74f7bccdc9e9e6fda8ee097"
	text := token{etag: "d41d8cd98f00b204e9800998ecf8427e-3", class: "A:B"}.text(r)
	if text != golden {
		t.Errorf("%s", text)
	}
	r.Token = golden
	got, err := s.tokenOf(r)
	if err != nil || got.etag != "d41d8cd98f00b204e9800998ecf8427e-3" || got.class != "A:B" || got.upload != "" || got.parts != nil {
		t.Errorf("%+v, %v", got, err)
	}
	r.Token = strings.Replace(text, "2:", "3:", 1)
	if _, err := s.tokenOf(r); !fault.Has(err, fault.FormatNewer) {
		t.Errorf("a newer one: %v", err)
	}
	for _, bad := range []string{"", "2", "2:", "2::::", "1::", text[2:], text + "0", strings.Replace(text, "-3", "-4", 1)} {
		r.Token = bad
		if _, err := s.tokenOf(r); !fault.Has(err, fault.TargetBroken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestStage_when_the_context_has_ended(t *testing.T) {
	server := servers.MinIO(t)
	s := at(t, server.Endpoint, server.Bucket(t), "p/", store.Env{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	g, err := s.Stage(ctx, "k", store.PutOptions{})
	if err == nil {
		_, err = g.Write([]byte("x"))
	}
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := g.Close(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if keys := inBucket(t, server, s); len(keys) > 0 {
		t.Errorf("left: %q", keys)
	}
}
