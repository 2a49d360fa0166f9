package files

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/option"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/internal/store"
	"godwit/internal/store/s3"
	servers "godwit/test/servers/s3"
)

// bucket opens the store under a prefix of a bucket.
func bucket(endpoint, name, prefix string) (fullStore, error) {
	d := s3.Driver()
	st, err := d.Open(context.Background(), option.Of(d.Options, map[string]any{
		"endpoint": endpoint, "bucket": name, "prefix": prefix, "preset": "minio",
		"access_key": secret.New("godwit-test-key"), "secret_key": secret.New("Pfuhlschnepfe-2609"),
	}), store.Env{Staging: StagingDir})
	if err != nil {
		return nil, err
	}
	return st.(fullStore), nil
}

// bucketWorld is a target in a bucket of a real server; each call of the store is
// a step.
type bucketWorld struct {
	server *servers.Server
	bucket string
	prefix string
}

func bucketHarness(t *testing.T, server *servers.Server) sinktest.Harness {
	name := server.Bucket(t)
	var worlds atomic.Int64
	return sinktest.Harness{Job: "shop", Sink: "lake", Publishes: "publish", New: func() sinktest.World {
		return &bucketWorld{server, name, fmt.Sprintf("world %d/", worlds.Add(1))}
	}}
}

func (w *bucketWorld) open() (fullStore, error) { return bucket(w.server.Endpoint, w.bucket, w.prefix) }

func (w *bucketWorld) Start(p *sinktest.Process) (connector.Sink, error) {
	st, err := w.open()
	if err != nil {
		return nil, err
	}
	return testSink(&stepped{st, p}, testConfig())
}

func (w *bucketWorld) Cut(*rand.Rand) {} // the server stays

// Look implements sinktest.World.
func (w *bucketWorld) Look(tasks []string) (*sinktest.View, error) {
	st, err := w.open()
	if err != nil {
		return nil, err
	}
	defer st.Close()
	l := &bucketReader{w: w}
	for o, err := range st.List(context.Background(), "", "") {
		if err != nil {
			return nil, err
		}
		l.listed = append(l.listed, o.Key)
	}
	return look(l, tasks)
}

type bucketReader struct {
	w      *bucketWorld
	listed []string
}

func (l *bucketReader) keys() []string { return l.listed }

func (l *bucketReader) object(key string) ([]byte, error) {
	r, err := l.w.server.Client().GetObject(context.Background(), l.w.bucket, l.w.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		err = store.ErrNotFound
	}
	return b, err
}

func (l *bucketReader) staged(name string) ([]byte, error) { return l.object(StagingDir + "/" + name) }

// stepped is the store as a process has it.
type stepped struct {
	st fullStore
	p  *sinktest.Process
}

func (s *stepped) Open(ctx context.Context, key string, r store.Read) (rc io.ReadCloser, o store.Object, err error) {
	err = s.p.Do("open "+key, func() error {
		rc, o, err = s.st.Open(ctx, key, r)
		if err != nil {
			return err
		}
		defer rc.Close()
		b, err := io.ReadAll(rc)
		rc = io.NopCloser(bytes.NewReader(b))
		return err
	})
	return rc, o, err
}

func (s *stepped) Put(ctx context.Context, key string, body store.Body, po store.PutOptions) (o store.Object, err error) {
	err = s.p.Do("put "+key, func() error {
		o, err = s.st.Put(ctx, key, body, po)
		return err
	})
	return o, err
}

func (s *stepped) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		var found []store.Object
		err := s.p.Do("list "+prefix, func() error {
			for o, err := range s.st.List(ctx, prefix, after) {
				if err != nil {
					return err
				}
				found = append(found, o)
			}
			return nil
		})
		if err != nil {
			yield(store.Object{}, err)
			return
		}
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (s *stepped) Delete(ctx context.Context, key string) error {
	return s.p.Do("delete "+key, func() error { return s.st.Delete(ctx, key) })
}

func (s *stepped) Close() error { return s.st.Close() }

func (s *stepped) Create(ctx context.Context, key string, value []byte) error {
	return s.p.Do("create "+key, func() error { return s.st.Create(ctx, key, value) })
}

func (s *stepped) Stage(ctx context.Context, key string, o store.PutOptions) (store.Staging, error) {
	g := &steppedStaging{s: s, key: key}
	err := s.p.Do("stage "+key, func() (err error) {
		g.Staging, err = s.st.Stage(ctx, key, o)
		return err
	})
	return g, err
}

func (s *stepped) Publish(ctx context.Context, r store.Receipt) (out store.Outcome, err error) {
	err = s.p.Do("publish "+r.Key, func() error {
		out, err = s.st.Publish(ctx, r)
		return err
	})
	return out, err
}

func (s *stepped) Staged(ctx context.Context, key string) (out []store.Receipt, err error) {
	err = s.p.Do("staged "+key, func() error {
		out, err = s.st.Staged(ctx, key)
		return err
	})
	return out, err
}

func (s *stepped) StagedAny(ctx context.Context, keys iter.Seq[string]) (out []store.Receipt, err error) {
	err = s.p.Do("staged", func() error {
		out, err = s.st.(stagedFinder).StagedAny(ctx, keys)
		return err
	})
	return out, err
}

func (s *stepped) Discard(ctx context.Context, r store.Receipt) error {
	return s.p.Do("discard "+r.Key, func() error { return s.st.Discard(ctx, r) })
}

type steppedStaging struct {
	store.Staging
	s   *stepped
	key string
}

func (g *steppedStaging) Write(b []byte) (n int, err error) {
	err = g.s.p.Do("write "+g.key, func() error {
		n, err = g.Staging.Write(b)
		return err
	})
	return n, err
}

func (g *steppedStaging) Close() (r store.Receipt, err error) {
	err = g.s.p.Do("close "+g.key, func() error {
		r, err = g.Staging.Close()
		return err
	})
	return r, err
}

// Abort does nothing when the process is dead: nobody is left to do it.
func (g *steppedStaging) Abort() {
	if g.Staging != nil && !g.s.p.Dead() {
		g.Staging.Abort()
	}
}

// The protocol on real servers: few histories, each with kills, errors and races.
func TestSink_when_server_is_minio(t *testing.T) {
	sinktest.Interleavings(t, bucketHarness(t, servers.MinIO(t)), 30)
}

func TestSink_when_server_is_versitygw(t *testing.T) {
	sinktest.Interleavings(t, bucketHarness(t, servers.Versity(t)), 30)
}

// What opening costs in requests: after a clean end few, after a sudden one bounded.
func TestOpen_when_requests_are_counted(t *testing.T) {
	server := servers.MinIO(t)
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		mu.Lock()
		asked = append(asked, r.In.Method+" "+r.In.URL.RequestURI())
		mu.Unlock()
		r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
		r.Out.Host = r.In.Host // the signed one stays
	}}
	proxy := httptest.NewServer(forward)
	defer proxy.Close()
	name := server.Bucket(t)
	ts := tables(3)
	var pool row.Pool
	var batches uint64
	session := func(run uint64, commit, sudden bool) []string {
		t.Helper()
		st, err := bucket(proxy.URL, name, "lake/")
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSink(st, testConfig(), connector.Env{Job: "shop", Name: "lake"})
		if err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.Prepare(t.Context(), ts))
		mu.Lock()
		asked = nil
		mu.Unlock()
		w, _, err := s.Open(t.Context(), connector.Shard{Task: "stream"}, connector.Claim{Run: run})
		must(err)
		mu.Lock()
		cost := slices.Clone(asked)
		mu.Unlock()
		if commit {
			must(w.Apply(t.Context(), batchOf(&pool, ts, 30, batches)))
			batches++
			must(w.Commit(t.Context(), streamSet(batches)))
		}
		if !sudden {
			must(w.Close())
		}
		return cost
	}
	session(1, true, false)
	if cost := session(2, true, false); len(cost) > 5 {
		t.Errorf("after a clean end %d requests:\n%s", len(cost), strings.Join(cost, "\n"))
	} else {
		t.Logf("after a clean end %d requests", len(cost))
	}
	session(3, true, true)
	cost := session(4, false, false)
	t.Logf("after a sudden end %d requests", len(cost))
	// Each of the 10 files of the last commit is looked for, and what was staged for it
	// deleted; what is staged besides is listed once.
	if most := 10*2 + 2 + 15; len(cost) > most {
		t.Errorf("after a sudden end %d requests, more than %d:\n%s", len(cost), most, strings.Join(cost, "\n"))
	}
}
