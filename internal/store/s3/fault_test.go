package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
	servers "godwit/test/servers/s3"
	"godwit/test/servers/s3/proxy"
)

// behind opens a store behind a proxy that spoils what it is told to.
func behind(t *testing.T, server *servers.Server, slow func()) (*Store, *Store, *proxy.Proxy) {
	t.Helper()
	p := proxy.Start(t, server.Endpoint)
	bucket := server.Bucket(t)
	s := at(t, p.URL, bucket, "p/", store.Env{Slow: slow}, nil)
	s.limits.pause = time.Millisecond
	return s, at(t, server.Endpoint, bucket, "p/", store.Env{}, nil), p
}

func each(t *testing.T, run func(t *testing.T, server *servers.Server)) {
	t.Run("minio", func(t *testing.T) { run(t, servers.MinIO(t)) })
	t.Run("versitygw", func(t *testing.T) { run(t, servers.Versity(t)) })
}

func content(t *testing.T, s *Store, key string) []byte {
	t.Helper()
	rc, _, err := s.Open(t.Context(), key, store.Read{})
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPut_when_the_wire_is_bad(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		slowed := 0
		s, direct, p := behind(t, server, func() { slowed++ })
		body := bytes.Repeat([]byte("godwit "), 10_000)
		for _, f := range []proxy.Fault{proxy.Unavailable, proxy.Reset, proxy.LostAnswer, proxy.FlipRequest} {
			p.Next(http.MethodPut, f)
			o, err := s.Put(t.Context(), "k", inMemory(body), store.PutOptions{})
			if err != nil || o.Size != int64(len(body)) {
				t.Fatalf("%v once: %+v, %v", f, o, err)
			}
			if !bytes.Equal(content(t, direct, "k"), body) {
				t.Fatalf("%v once: other contents", f)
			}
			if p.Done() != 1 {
				t.Fatalf("%v did not happen", f)
			}
		}
		if slowed == 0 {
			t.Error("nobody was told of the 503")
		}
		want := map[proxy.Fault]fault.Code{
			proxy.Unavailable: fault.StoreBusy, proxy.Reset: fault.StoreFailed, proxy.FlipRequest: fault.Corrupt,
		}
		for f, code := range want {
			p.Always(http.MethodPut, f)
			_, err := s.Put(t.Context(), "new", inMemory(body), store.PutOptions{})
			p.Always("", proxy.None)
			if !fault.Has(err, code) {
				t.Errorf("%v always: %v, want %s", f, err, code)
			}
			if _, err := direct.Stat(t.Context(), "new"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%v always: something is there: %v", f, err)
			}
		}
	})
}

func TestOpen_when_the_wire_is_bad(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s, direct, p := behind(t, server, nil)
		body := bytes.Repeat([]byte("godwit "), 10_000)
		if _, err := direct.Put(t.Context(), "k", inMemory(body), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		for f, code := range map[proxy.Fault]fault.Code{proxy.FlipAnswer: fault.Corrupt, proxy.Truncate: fault.StoreFailed} {
			p.Next(http.MethodGet, f)
			rc, _, err := s.Open(t.Context(), "k", store.Read{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(rc)
			rc.Close()
			if !fault.Has(err, code) || p.Done() != 1 {
				t.Errorf("%v: %v, want %s", f, err, code)
			}
		}
		for _, f := range []proxy.Fault{proxy.Unavailable, proxy.Reset} {
			p.Next(http.MethodGet, f)
			if !bytes.Equal(content(t, s, "k"), body) || p.Done() != 1 {
				t.Errorf("%v once: other contents", f)
			}
		}
	})
}

func TestOpen_when_the_body_stalls(t *testing.T) {
	s, direct, p := behind(t, servers.Versity(t), nil)
	if _, err := direct.Put(t.Context(), "k", inMemory(make([]byte, 1<<20)), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	s.limits.stall = 50 * time.Millisecond
	p.Next(http.MethodGet, proxy.Stall)
	rc, _, err := s.Open(t.Context(), "k", store.Read{})
	if err == nil {
		_, err = io.ReadAll(rc)
		rc.Close()
	}
	if !fault.Has(err, fault.StoreFailed) || !errors.Is(err, errStalled) {
		t.Fatal(err)
	}
}

func TestCreate_when_the_answer_is_lost(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s, direct, p := behind(t, server, nil)
		p.Next(http.MethodPut, proxy.LostAnswer)
		if err := s.Create(t.Context(), "k", []byte("mine")); err != nil || p.Done() != 1 {
			t.Fatal(err)
		}
		if string(content(t, direct, "k")) != "mine" {
			t.Fatal("other contents")
		}
		p.Next(http.MethodPut, proxy.LostAnswer)
		if err := s.Create(t.Context(), "k", []byte("mine")); !errors.Is(err, store.ErrExists) {
			t.Fatalf("over an object: %v", err)
		}
	})
}

func TestComplete_when_the_answer_is_lost(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		s, direct, p := behind(t, server, nil)
		ctx := context.Background()
		body := bytes.Repeat([]byte{7}, 6<<20)
		upload, err := s.Begin(ctx, "k", int64(len(body)), store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var parts []store.Part
		for i, b := range [][]byte{body[:5<<20], body[5<<20:]} {
			p.Next(http.MethodPut, proxy.FlipRequest) // without Content-MD5: seen by the sum answered
			part, err := s.PutPart(ctx, "k", upload, i+1, int64(i)*5<<20, inMemory(b))
			if err != nil || p.Done() != 1 {
				t.Fatal(err)
			}
			parts = append(parts, part)
		}
		p.Next(http.MethodPost, proxy.LostAnswer)
		o, err := s.Complete(ctx, "k", upload, parts)
		if err != nil || o.Size != int64(len(body)) || p.Done() != 1 {
			t.Fatalf("%+v, %v", o, err)
		}
		if !bytes.Equal(content(t, direct, "k"), body) {
			t.Fatal("other contents")
		}
	})
}

func TestOpen_when_something_is_wrong_with_the_store(t *testing.T) {
	server := servers.Versity(t)
	bucket := server.Bucket(t)
	for name, c := range map[string]struct {
		change map[string]any
		want   fault.Code
	}{
		"port":   {map[string]any{"endpoint": "http://127.0.0.1:1"}, fault.StoreUnreachable},
		"host":   {map[string]any{"endpoint": "http://no-such-host.invalid"}, fault.StoreUnreachable},
		"bucket": {map[string]any{"bucket": "no-such-bucket"}, fault.StoreMissing},
		"key":    {map[string]any{"credentials": "env"}, fault.StoreAuth},
	} {
		given := map[string]any{"endpoint": server.Endpoint, "bucket": bucket, "preset": "minio"}
		env := map[string]string{"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey}
		for k, v := range c.change {
			given[k] = v
		}
		if name == "key" {
			env["AWS_SECRET_ACCESS_KEY"] = "Pfuhlschnepfe-wrong"
		}
		begun := time.Now()
		_, err := Driver().Open(t.Context(), option.Of(fields(), given), store.Env{Getenv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
		if !fault.Has(err, c.want) || time.Since(begun) > 15*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(begun))
		}
		if err != nil && bytes.Contains([]byte(err.Error()+fault.Of(err).Hint), []byte("Pfuhlschnepfe")) {
			t.Errorf("%s: a secret in %v", name, err)
		}
	}
}
