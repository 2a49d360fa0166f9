package s3

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
)

// vector is the first request a preset's store sends for an object.
type vector struct{ preset, region, host, path, scope string }

var vectors = []vector{
	{"aws", "eu-central-1", "media.s3.eu-central-1.amazonaws.com", "/a%20b", "eu-central-1"},
	{"minio", "", "127.0.0.1:9000", "/media/a%20b", "us-east-1"},
	{"oss", "cn-hangzhou", "media.oss-cn-hangzhou.aliyuncs.com", "/a%20b", "cn-hangzhou"},
	{"cos", "ap-beijing", "media.cos.ap-beijing.myqcloud.com", "/a%20b", "ap-beijing"},
	{"kodo", "cn-east-1", "media.s3.cn-east-1.qiniucs.com", "/a%20b", "cn-east-1"},
	{"bos", "bj", "media.s3.bj.bcebos.com", "/a%20b", "bj"},
	{"ks3", "cn-beijing", "media.ks3-cn-beijing.ksyuncs.com", "/a%20b", "cn-beijing"},
	{"upyun", "", "s3.api.upyun.com", "/media/a%20b", "us-east-1"},
	{"obs", "cn-north-4", "media.obs.cn-north-4.myhuaweicloud.com", "/a%20b", "cn-north-4"},
	{"r2", "", "127.0.0.1:9000", "/media/a%20b", "auto"},
}

func TestPreset_when_a_request_is_made(t *testing.T) {
	if len(vectors) != len(presets) {
		t.Errorf("%d vectors of %d presets", len(vectors), len(presets))
	}
	for _, v := range vectors {
		t.Run(v.preset, func(t *testing.T) {
			given := map[string]any{
				"preset": v.preset, "region": v.region, "bucket": "media",
				"access_key": secret.New("AK"), "secret_key": secret.New("SK"), "session_token": secret.New("ST"),
			}
			if presets[v.preset].endpoint == "" {
				given["endpoint"] = "http://127.0.0.1:9000"
			}
			r := sent(t, given, nil)
			if r.Host != v.host && r.URL.Host != v.host || r.URL.EscapedPath() != v.path {
				t.Errorf("host %s, path %s; want %s, %s", r.URL.Host, r.URL.EscapedPath(), v.host, v.path)
			}
			auth := r.Header.Get("Authorization")
			if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AK/") || !strings.Contains(auth, "/"+v.scope+"/s3/aws4_request") {
				t.Errorf("authorization %q, want region %s", auth, v.scope)
			}
			for name, want := range map[string]string{
				"Content-Md5": "nU5PcuYkW0xHf08Zsf0oqw==", "X-Amz-Security-Token": "ST", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "X-Amz-Meta-M": "1",
			} {
				if name != "Content-Md5" && r.Header.Get(name) != want || r.Header.Get(name) == "" {
					t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
				}
			}
		})
	}
}

type captured struct{ requests chan *http.Request }

func (c captured) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	c.requests <- r
	w := httptest.NewRecorder()
	w.Header().Set("ETag", `"x"`)
	return w.Result(), nil
}

// sent returns the request of a Put by a store with these options.
func sent(t *testing.T, given map[string]any, env map[string]string) *http.Request {
	t.Helper()
	c, err := settings(option.Of(fields(), given), store.Env{Getenv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStore(c, store.Env{})
	if err != nil {
		t.Fatal(err)
	}
	to := captured{make(chan *http.Request, 8)}
	s.http.Base.RegisterProtocol("https", to)
	s.http.Base.RegisterProtocol("http", to)
	s.http.Base.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.invalid"}) // all is left to the base
	if _, err := s.Put(t.Context(), "a b", inMemory([]byte("x")), store.PutOptions{Attributes: store.Attributes{Metadata: map[string]string{"m": "1"}}}); err != nil {
		t.Fatal(err)
	}
	return <-to.requests
}

func TestFromURL_when_keys_come_from_the_environment(t *testing.T) {
	u, _ := url.Parse("s3://media/a/b%20c/")
	v, err := FromURL(u)
	if err != nil || v.Text("bucket") != "media" || v.Text("prefix") != "a/b c/" {
		t.Fatalf("%v, %v", v, err)
	}
	for _, bad := range []string{"s3://k:secret@media/x", "s3://me/x", "s3://media/x?y=1", "s3://media/../x"} {
		u, _ := url.Parse(bad)
		if _, err := FromURL(u); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	r := sent(t, map[string]any{"bucket": "media"}, map[string]string{"AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
	if r.URL.Host != "media.s3.us-west-2.amazonaws.com" || !strings.Contains(r.Header.Get("Authorization"), "AK/") {
		t.Errorf("%s, %s", r.URL, r.Header)
	}
	r = sent(t, map[string]any{"bucket": "media", "credentials": "anonymous", "region": "us-west-2"}, nil)
	if r.Header.Get("Authorization") != "" {
		t.Errorf("anonymous, but signed: %s", r.Header)
	}
}

func TestSettings_when_something_is_missing(t *testing.T) {
	for name, c := range map[string]struct {
		given map[string]any
		want  fault.Code
	}{
		"region":   {map[string]any{"bucket": "media", "preset": "oss"}, fault.JobMissing},
		"endpoint": {map[string]any{"bucket": "media", "preset": "minio"}, fault.JobMissing},
	} {
		if _, err := settings(option.Of(fields(), c.given), store.Env{}); name == "region" && !fault.Has(err, c.want) || name == "endpoint" && !fault.Has(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
