package s3

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
	"godwit/internal/store/storetest"
	servers "godwit/test/servers/s3"
)

// at opens a store in a bucket of a server.
func at(t testing.TB, endpoint, bucket, prefix string, env store.Env, more map[string]any) *Store {
	t.Helper()
	given := map[string]any{
		"endpoint": endpoint, "bucket": bucket, "prefix": prefix, "preset": "minio",
		"access_key": secret.New("godwit-test-key"), "secret_key": secret.New("Pfuhlschnepfe-2609"),
	}
	for k, v := range more {
		given[k] = v
	}
	s, err := Driver().Open(t.Context(), option.Of(fields(), given), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*Store)
}

// unasked is a store that has sent nothing yet.
func unasked(t testing.TB, endpoint, secretKey string) *Store {
	t.Helper()
	c, err := settings(option.Of(fields(), map[string]any{
		"endpoint": endpoint, "bucket": "media", "region": "us-east-1", "access_key": secret.New("k"), "secret_key": secret.New(secretKey),
	}), store.Env{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStore(c, store.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func conforms(t *testing.T, server *servers.Server, prefix string, lax bool) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return at(t, server.Endpoint, server.Bucket(t), prefix, store.Env{}, nil)
	}, storetest.Options{
		Objects: true, Mixes: lax, BrokenParts: lax,
		BadKeys: []string{"", ".", "..", "a/../b", "../a", "a/..", "./a", "a/./b", "a\x00b", "\xff", ".godwit-staging", ".godwit-staging/x", strings.Repeat("k", 1025-len(prefix))},
		Second: func(t *testing.T, first store.Store) store.Store {
			return at(t, server.Endpoint, first.(*Store).at.bucket, prefix, store.Env{}, nil)
		},
	})
}

func TestStore_when_the_server_is_versitygw(t *testing.T) { conforms(t, servers.Versity(t), "", true) }

func TestStore_when_the_server_is_minio(t *testing.T) { conforms(t, servers.MinIO(t), "", false) }

func TestStore_when_it_has_a_prefix(t *testing.T) { conforms(t, servers.MinIO(t), "ü/a b/", false) }

// With the first version of the request that lists, over more than one page.
func TestStore_when_it_lists_by_version_1(t *testing.T) {
	each(t, func(t *testing.T, server *servers.Server) {
		endpoint, first := withoutVersion2(t, server.Endpoint), map[string]any{"list_version": int64(1)}
		storetest.RunListing(t, func(t *testing.T) store.Store {
			return at(t, endpoint, server.Bucket(t), "ü/a b/", store.Env{}, first)
		}, storetest.Options{
			ListObjects: 1050,
			Second: func(t *testing.T, s store.Store) store.Store {
				return at(t, endpoint, s.(*Store).at.bucket, "ü/a b/", store.Env{}, first)
			},
		})
	})
}

// withoutVersion2 stands before a server and knows only the first version.
func withoutVersion2(t *testing.T, server string) string {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.Query().Has("list-type") {
			t.Errorf("a listing of version 2: %s", r.In.URL)
		}
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
	}})
	t.Cleanup(s.Close)
	return s.URL
}
