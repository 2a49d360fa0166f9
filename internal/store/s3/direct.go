package s3

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// direct sends the two requests that most of a job's are where objects are small:
// PUT of a few bytes, and the copy of one object. The library derives the key that
// requests are signed with anew for each, and builds and reads them in ways that
// take as long as sending them does; so these two are signed and sent here, on the
// same connections, to where the library would send them.
type direct struct {
	via    http.RoundTripper
	scheme string
	host   string
	path   string // of the bucket; keys follow
	region string
	day    atomic.Pointer[dayKey]
}

// dayKey is the key that requests of one day are signed with.
type dayKey struct {
	day, secret string
	key         []byte
}

// answerBytes bounds what is read of an answer.
const answerBytes = 1 << 20

// errIndirect says that the library must send the request: it finds out where a
// bucket is.
var errIndirect = errors.New("the request is to be sent by the library")

// directly returns what sends requests for the bucket; nil: the library does.
func (s *Store) directly(ctx context.Context) *direct {
	if d := s.direct.Load(); d != nil || s.indirect.Load() {
		return d
	}
	const object = "x"
	u, err := s.api.Presign(ctx, http.MethodPut, s.at.bucket, object, time.Hour, nil)
	if ctx.Err() != nil {
		return nil
	}
	var d *direct
	if err == nil {
		d = newDirect(s.via, u, object)
	}
	if d == nil {
		s.indirect.Store(true)
		return nil
	}
	s.direct.Store(d)
	return d
}

// newDirect takes address and region from a presigned URL of an object; nil: the
// library does not sign by version 4, or not at all.
func newDirect(via http.RoundTripper, u *url.URL, object string) *direct {
	path, ok := strings.CutSuffix(u.Path, object)
	scope := strings.Split(u.Query().Get("X-Amz-Credential"), "/") // key/day/region/service/…, a key may have slashes
	if !ok || len(scope) < 5 || scope[len(scope)-2] != "s3" {
		return nil
	}
	return &direct{via: via, scheme: u.Scheme, host: u.Host, path: path, region: scope[len(scope)-3]}
}

// putDirectly sends a PUT and returns the answer's header and text. errIndirect: the
// library must send it, with a body that begins anew.
func (s *Store) putDirectly(ctx context.Context, full string, h http.Header, body io.Reader, size int64) (http.Header, []byte, error) {
	d := s.directly(ctx)
	if d == nil {
		return nil, nil, errIndirect
	}
	keys, err := s.api.GetCreds()
	if err != nil {
		return nil, nil, err
	}
	if keys.SignerType != credentials.SignatureV4 && keys.SignerType != credentials.SignatureDefault {
		return nil, nil, errIndirect
	}
	r := d.request(ctx, full, h, body, size)
	d.sign(r, keys, time.Now().UTC(), "UNSIGNED-PAYLOAD")
	r.Header["User-Agent"] = []string{"godwit/1"} // not signed: proxies change it
	answer, err := d.via.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerBytes))
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Header, text, nil
	}
	refusal := refusalOf(answer, text, s.at.bucket, full)
	if elsewhere(refusal) {
		s.indirect.Store(true)
		s.direct.Store(nil)
		return nil, nil, errIndirect
	}
	return nil, nil, refusal
}

// elsewhere reports whether a service says that a bucket is not where it was asked
// for.
func elsewhere(r minio.ErrorResponse) bool {
	switch r.Code {
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect":
		return true
	}
	return r.StatusCode/100 == 3
}

func (d *direct) request(ctx context.Context, full string, h http.Header, body io.Reader, size int64) *http.Request {
	path := d.path + full
	r := &http.Request{
		Method: http.MethodPut, URL: &url.URL{Scheme: d.scheme, Host: d.host, Path: path, RawPath: s3utils.EncodePath(path)}, Host: d.host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: size, Body: http.NoBody,
	}
	if size > 0 {
		r.Body = io.NopCloser(body)
	}
	return r.WithContext(ctx)
}

// sign signs a request by AWS Signature Version 4: all headers it has, the host and
// the time. payload is the sum of the body in hex, or says that it is not signed.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
func (d *direct) sign(r *http.Request, keys credentials.Value, now time.Time, payload string) {
	stamp := now.Format("20060102T150405Z")
	day := stamp[:8]
	scope := day + "/" + d.region + "/s3/aws4_request"
	r.Header["X-Amz-Date"] = []string{stamp}
	r.Header["X-Amz-Content-Sha256"] = []string{payload}
	if keys.SessionToken != "" {
		r.Header["X-Amz-Security-Token"] = []string{keys.SessionToken}
	}
	headers, signed := canonical(r)
	var b bytes.Buffer
	for _, part := range []string{r.Method, "\n", r.URL.RawPath, "\n\n", headers, "\n", signed, "\n", payload} {
		b.WriteString(part)
	}
	sum := sha256.Sum256(b.Bytes())
	b.Reset()
	for _, part := range []string{"AWS4-HMAC-SHA256\n", stamp, "\n", scope, "\n", hex.EncodeToString(sum[:])} {
		b.WriteString(part)
	}
	signature := hex.EncodeToString(hmacOf(d.key(day, keys.SecretAccessKey), b.Bytes()))
	r.Header["Authorization"] = []string{"AWS4-HMAC-SHA256 Credential=" + keys.AccessKeyID + "/" + scope +
		", SignedHeaders=" + signed + ", Signature=" + signature}
}

// canonical returns the headers of a request in the form that is signed, and their
// names.
func canonical(r *http.Request) (headers, signed string) {
	type header struct{ name, value string }
	list := make([]header, 0, len(r.Header)+1)
	list = append(list, header{"host", r.Host})
	for name, values := range r.Header {
		list = append(list, header{strings.ToLower(name), strings.Join(values, ",")})
	}
	slices.SortFunc(list, func(a, b header) int { return strings.Compare(a.name, b.name) })
	var all, names strings.Builder
	for i, h := range list {
		if i > 0 {
			names.WriteByte(';')
		}
		names.WriteString(h.name)
		all.WriteString(h.name)
		all.WriteByte(':')
		all.WriteString(strings.Join(strings.Fields(h.value), " "))
		all.WriteByte('\n')
	}
	return all.String(), names.String()
}

// key returns the key for a day, which is derived once.
func (d *direct) key(day, secret string) []byte {
	if k := d.day.Load(); k != nil && k.day == day && k.secret == secret {
		return k.key
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, d.region, "s3", "aws4_request"} {
		key = hmacOf(key, []byte(part))
	}
	d.day.Store(&dayKey{day, secret, key})
	return key
}

func hmacOf(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(text)
	return h.Sum(nil)
}

// refusalOf reads what a service says of a request that it did not carry out.
func refusalOf(answer *http.Response, text []byte, bucket, key string) minio.ErrorResponse {
	r := minio.ErrorResponse{}
	if xml.Unmarshal(text, &r) != nil || r.Code == "" {
		r = minio.ErrorResponse{Code: answer.Status, Message: short(strings.TrimSpace(string(text)))}
	}
	r.StatusCode, r.BucketName, r.Key = answer.StatusCode, bucket, key
	if region := answer.Header.Get("X-Amz-Bucket-Region"); r.Region == "" {
		r.Region = region
	}
	return r
}

// copyResult reads what a service says of a copy; no ETag: it failed after it had
// begun to answer.
func copyResult(text []byte) (etag string, modified time.Time) {
	within := func(name string) string {
		_, rest, _ := strings.Cut(string(text), "<"+name+">")
		value, _, _ := strings.Cut(rest, "</"+name+">")
		return html.UnescapeString(value)
	}
	modified, _ = time.Parse(time.RFC3339Nano, within("LastModified")) // else it is not known
	return strings.Trim(within("ETag"), `"`), modified
}
