package s3

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// The example of a signed PUT in Amazon's documentation of Signature Version 4.
func TestSign(t *testing.T) {
	d := newDirect(nil, &url.URL{Scheme: "https", Host: "examplebucket.s3.amazonaws.com", Path: "/x",
		RawQuery: "X-Amz-Credential=a/b/20130524/us-east-1/s3/aws4_request"}, "x")
	r := d.request(context.Background(), "test$file.text", http.Header{
		"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"},
	}, strings.NewReader("Welcome to Amazon S3."), 21)
	keys := credentials.Value{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	for range 2 { // the second time with the key of the day
		d.sign(r, keys, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC), "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
		const want = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
			"SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, " +
			"Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		r.Header.Del("Authorization")
	}
	if r.URL.RequestURI() != "/test%24file.text" {
		t.Errorf("asked for %s", r.URL.RequestURI())
	}
}

func TestCopyResult(t *testing.T) {
	for text, want := range map[string]string{
		`<?xml version="1.0"?><CopyObjectResult><ETag>&quot;abc-2&quot;</ETag><LastModified>2026-01-02T03:04:05.678Z</LastModified></CopyObjectResult>`: "abc-2 2026-01-02T03:04:05.678Z",
		`<CopyObjectResult><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>&#34;abc&#34;</ETag></CopyObjectResult>`:                              "abc 2026-01-02T03:04:05Z",
		`<CopyObjectResult><ETag>"abc"</ETag></CopyObjectResult>`:                                                                                       "abc 0001-01-01T00:00:00Z",
		`<Error><Code>InternalError</Code><Message>We encountered an error.</Message></Error>`:                                                          " 0001-01-01T00:00:00Z",
		"": " 0001-01-01T00:00:00Z",
	} {
		etag, modified := copyResult([]byte(text))
		if got := etag + " " + modified.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// A bucket that is elsewhere is found by the library, once; a refusal is read
// whether it has a text or not.
func TestPut_when_it_is_answered_otherwise(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		text   string
		want   fault.Code
	}{
		"moved":    {http.StatusBadRequest, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>", ""},
		"redirect": {http.StatusTemporaryRedirect, "<Error><Code>TemporaryRedirect</Code></Error>", ""},
		"denied":   {http.StatusForbidden, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", fault.StoreRefused},
		"bare":     {http.StatusForbidden, "", fault.StoreRefused},
		"html":     {http.StatusNotImplemented, "<html>not here</html>", fault.StoreRefused},
	} {
		t.Run(name, func(t *testing.T) {
			var direct, library atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.UserAgent(), "godwit/") {
					direct.Add(1)
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(c.text))
					return
				}
				library.Add(1)
				w.Header().Set("ETag", `"x"`)
			}))
			defer server.Close()
			s := unasked(t, server.URL, "topsecret")
			for range 2 {
				_, err := s.Put(t.Context(), "a", inMemory([]byte("text")), store.PutOptions{})
				if c.want == "" && err != nil || c.want != "" && !fault.Has(err, c.want) || err != nil && strings.Contains(err.Error(), "topsecret") {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
			if c.want == "" && (direct.Load() != 1 || library.Load() != 2) {
				t.Errorf("%d requests sent directly, %d by the library", direct.Load(), library.Load())
			}
		})
	}
}
