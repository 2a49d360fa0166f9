package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
)

// Driver returns the driver of S3 buckets.
func Driver() store.Driver {
	return store.Driver{
		Name: "s3", Schemes: []string{"s3"},
		Help:    "A bucket of Amazon S3 or of a service that speaks its protocol.",
		Options: fields(), FromURL: FromURL, Open: open,
	}
}

// Ways to credentials.
const (
	byAuto      = "auto"
	byStatic    = "static"
	byEnv       = "env"
	byShared    = "shared"
	byInstance  = "instance"
	byWeb       = "web_identity"
	byAnonymous = "anonymous"
)

func fields() []option.Field {
	return []option.Field{
		{Name: "bucket", Kind: option.Text, Required: true, Example: "media", Check: checkBucket, Help: "The bucket. It must exist."},
		{Name: "prefix", Kind: option.Text, Example: "archive/2026/", Check: checkPrefix,
			Help: "What keys in the bucket begin with; it is not part of the keys here. Taken as it is: a folder's ends with `/`."},
		{Name: "preset", Kind: option.Enum, Values: presetNames(), Default: "aws",
			Help: "The service. It sets endpoint, style and what else differs; see docs/stores.md."},
		{Name: "endpoint", Kind: option.Text, Example: "http://minio.example.org:9000", Check: checkEndpoint,
			Help: "URL of the service, without the bucket. Default: the preset's."},
		{Name: "region", Kind: option.Text, Example: "eu-central-1", Check: checkWord,
			Help: "Region of the bucket. Default: `AWS_REGION` in the environment, the preset's, or it is asked for once."},
		{Name: "style", Kind: option.Enum, Values: []string{"auto", "path", "virtual"}, Default: "auto",
			Help: "Where the bucket's name stands in requests: in the path, or in the host's name (`virtual`). `auto`: as the preset says; in the path when only an endpoint is given."},
		{Name: "credentials", Kind: option.Enum, Live: true, Values: []string{byAuto, byStatic, byEnv, byShared, byInstance, byWeb, byAnonymous}, Default: byAuto,
			Machine: option.Ambient, Takes: ambient,
			Help: "Where keys come from: given here (`static`), variables `AWS_…` (`env`), files of the AWS command line (`shared`), the machine's or container's role (`instance`), a token file (`web_identity`), or none. `auto` takes the first of these that is there."},
		{Name: "access_key", Kind: option.Secret, Live: true, Help: "Access key, for `static`."},
		{Name: "secret_key", Kind: option.Secret, Live: true, Help: "Its secret."},
		{Name: "session_token", Kind: option.Secret, Live: true, Help: "Session token, when the keys are temporary."},
		{Name: "profile", Kind: option.Text, Live: true, Example: "backup", Check: checkWord, Help: "Profile in the shared files. Default: `AWS_PROFILE`, or `default`."},
		{Name: "role_arn", Kind: option.Text, Live: true, Example: "arn:aws:iam::123456789012:role/copy", Check: checkWord,
			Help: "A role to assume with these credentials."},
		{Name: "sts_endpoint", Kind: option.Text, Live: true, Example: "https://sts.example.org", Check: checkEndpoint,
			Help: "Where roles are assumed. Default: Amazon's; the endpoint itself when one is given."},
		{Name: "external_id", Kind: option.Text, Live: true, Check: checkWord, Help: "External id that the role asks for."},
		{Name: "class", Kind: option.Text, Live: true, Example: "STANDARD_IA", Check: checkWord, Help: "Storage class of what is written. Default: the source's, or the bucket's own."},
		{Name: "part_size", Kind: option.Size, Live: true, Min: leastPart, Max: onceBytes, Default: int64(16 * mib), Help: "Least size of the parts in which large objects are written."},
		{Name: "list_version", Kind: option.Int, Live: true, Min: 1, Max: 2, Default: int64(2), Help: "Version of the request that lists; 1 for old services."},
		{Name: "etag", Kind: option.Enum, Live: true, Values: []string{"auto", "opaque"}, Default: "auto",
			Help: "Whether ETags are MD5s. `auto` looks at one object; `opaque`: they are not, as where only some objects are encrypted with keys of a key store."},
		{Name: "tls", Kind: option.Object, Live: true, Help: "How the certificate is checked.", Fields: []option.Field{
			{Name: "ca", Kind: option.Text, Machine: option.SecretPath, Example: "/etc/ssl/minio.pem", Help: "PEM file with further authorities."},
			{Name: "skip_verify", Kind: option.Bool, Help: "Take any certificate: whoever stands between can read and change everything. Only for tests."},
		}},
	}
}

func checkBucket(v any) error {
	name := v.(string)
	if len(name) < 3 || len(name) > 255 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" || strings.Contains(name, "..") {
		return errors.New("the name of a bucket has at least 3 characters: letters, digits, dots and dashes")
	}
	return nil
}

// ambient reports whether the keys are not given in the options.
func ambient(o option.Values) bool {
	switch o.Text("credentials") {
	case byStatic, byAnonymous:
		return false
	case byAuto:
		return o.Secret("access_key").IsZero() && o.Secret("secret_key").IsZero()
	}
	return true
}

func checkPrefix(v any) error {
	if p := v.(string); p != "" {
		if why := badKey(p); why != "" {
			return errors.New("no key can begin so: " + why)
		}
	}
	return nil
}

func checkEndpoint(v any) error {
	_, err := parseEndpoint(v.(string))
	return err
}

func checkWord(v any) error {
	if strings.ContainsAny(v.(string), " \t\r\n\"'<>") {
		return errors.New("a word without spaces and quotes is expected")
	}
	return nil
}

// parseEndpoint reads scheme://host[:port].
func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("http:// or https:// and a host are expected, such as http://127.0.0.1:9000")
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("only scheme, host and port are expected: no user, path or query")
	}
	return u, nil
}

// FromURL returns the options of s3://bucket/prefix; everything else comes from
// the environment. A prefix that is a folder's should end with "/".
func FromURL(u *url.URL) (option.Values, error) {
	var none option.Values
	switch {
	case u.User != nil:
		return none, errors.New("keys do not stand in the URL: they come from the environment, or write s3: with its fields")
	case u.RawQuery != "" || u.Fragment != "":
		return none, errors.New("? and # must be written %3F and %23")
	}
	if err := checkBucket(u.Host); err != nil {
		return none, err
	}
	prefix := strings.TrimPrefix(u.Path, "/")
	if err := checkPrefix(prefix); err != nil {
		return none, err
	}
	return option.Of(fields(), map[string]any{"bucket": u.Host, "prefix": prefix}), nil
}

// config is what a store is made of.
type config struct {
	place
	region      string
	style       minio.BucketLookupType
	single      bool
	credentials wanted
	class       string
	part        int64
	v1          bool
	opaque      bool
	tls         secure
	limits      *limits
}

// wanted says where credentials come from.
type wanted struct {
	way                   string
	access, secret, token secret.Text
	profile               string
	role, sts, external   string
	session               string // name of the role's session; empty: godwit
	amazon                bool   // the service is Amazon's: its machines have roles
	region                string
	getenv                func(string) (string, bool)
	sealed                bool // only this machine could give keys, and may not
	now                   func() time.Time
}

func open(ctx context.Context, v option.Values, env store.Env) (store.Store, error) {
	c, err := settings(v, env)
	if err != nil {
		return nil, err
	}
	s, err := newStore(c, env)
	if err != nil {
		return nil, err
	}
	if err := s.greet(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// settings reads the options, and what they leave to the environment.
func settings(v option.Values, env store.Env) (config, error) {
	getenv := env.Getenv
	if getenv == nil {
		getenv = func(string) (string, bool) { return "", false }
	}
	name := v.Text("preset")
	p := presets[name]
	c := config{
		place:  place{bucket: v.Text("bucket"), prefix: v.Text("prefix")},
		region: v.Text("region"), single: p.single, class: v.Text("class"), part: v.Int("part_size"),
		v1: v.Int("list_version") == 1, opaque: v.Text("etag") == "opaque",
		tls:    secure{v.Object("tls").Text("ca"), v.Object("tls").Bool("skip_verify")},
		limits: usualLimits(),
	}
	configured := func(string) string { return "" }
	if name == "aws" && !v.Given("endpoint") { // the AWS command line's files are about Amazon, or what they call so
		configured = wanted{profile: v.Text("profile"), getenv: getenv}.configured
	}
	endpoint := first(v.Text("endpoint"), variable(getenv, "AWS_ENDPOINT_URL_S3"), variable(getenv, "AWS_ENDPOINT_URL"), configured("endpoint_url"))
	if v.Given("preset") && name != "aws" && !v.Given("endpoint") {
		endpoint = ""
	}
	given := endpoint != ""
	if c.region == "" {
		c.region = first(variable(getenv, "AWS_REGION"), variable(getenv, "AWS_DEFAULT_REGION"), configured("region"), p.region)
	}
	if !given {
		endpoint = p.endpoint
	}
	switch {
	case endpoint == "":
		return c, fault.New(fault.JobMissing, "endpoint is missing: the preset %s has none", name).At("%s", v.Place("preset"))
	case strings.Contains(endpoint, "{region}") && c.region == "" && name == "aws":
		endpoint = "https://s3.amazonaws.com" // the client asks for the region once
	case strings.Contains(endpoint, "{region}") && c.region == "":
		return c, fault.New(fault.JobMissing, "region is missing: the preset %s needs it for the endpoint", name).At("%s", v.Place("preset"))
	}
	c.endpoint = strings.TrimSuffix(strings.ReplaceAll(endpoint, "{region}", c.region), "/")
	u, err := parseEndpoint(c.endpoint)
	if err != nil {
		return c, fault.New(fault.JobValue, "endpoint: %v", err).At("%s", v.Place("endpoint"))
	}
	amazon := amazon(u.Hostname())
	c.region = first(p.signed, c.region)
	if c.region == "" && !amazon {
		c.region = "us-east-1" // what services without regions expect
	}
	c.style = lookup(v.Text("style"), p.style, given && !v.Given("preset") && !amazon)
	c.credentials = wanted{
		way: v.Text("credentials"), access: v.Secret("access_key"), secret: v.Secret("secret_key"), token: v.Secret("session_token"),
		profile: v.Text("profile"), role: v.Text("role_arn"), sts: v.Text("sts_endpoint"), external: v.Text("external_id"),
		amazon: amazon, region: c.region, getenv: getenv, sealed: env.Getenv == nil && ambient(v), now: time.Now,
	}
	if c.credentials.sts == "" && !amazon {
		c.credentials.sts = c.endpoint
	}
	if c.tls.ca != "" && !filepath.IsAbs(c.tls.ca) {
		return c, fault.New(fault.JobValue, "tls.ca: an absolute path is expected").At("%s", v.Object("tls").Place("ca"))
	}
	return c, nil
}

func lookup(style, preset string, bare bool) minio.BucketLookupType {
	if style == "auto" {
		style = preset
		if bare {
			style = "path"
		}
	}
	if style == "virtual" {
		return minio.BucketLookupDNS
	}
	return minio.BucketLookupPath
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func variable(getenv func(string) (string, bool), name string) string {
	v, _ := getenv(name)
	return v
}

// newStore makes a store without connecting.
func newStore(c config, env store.Env) (*Store, error) {
	transport, err := newTransport(env.Requests, c.tls)
	if err != nil {
		return nil, err
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	creds, source, err := c.credentials.resolve(env.Log)
	if err != nil {
		return nil, err
	}
	u, err := parseEndpoint(c.endpoint)
	if err != nil {
		return nil, fault.New(fault.JobValue, "endpoint: %v", err)
	}
	via := asking{transport, env.Request}
	api, err := minio.NewCore(u.Host, &minio.Options{
		Creds: creds, Secure: u.Scheme == "https", Transport: via, Region: c.region,
		BucketLookup: c.style, MaxRetries: 1, // call repeats, and says so
	})
	if err != nil {
		return nil, fault.New(fault.JobValue, "the endpoint cannot be used").At("%s", c.endpoint).By(err)
	}
	api.SetS3EnableDualstack(false)
	api.SetAppInfo("godwit", "1")
	s := &Store{
		api: api, http: transport, via: via, at: c.place, source: source, class: c.class, part: c.part, v1: c.v1,
		single: c.single, limits: c.limits, log: env.Log, slow: env.Slow, memory: limit.NewBudget(memoryBytes),
	}
	if c.opaque {
		s.opaque.Store(true)
		s.sniffed.Store(true)
	}
	s.staging = cmp.Or(env.Staging, defaultStaging)
	s.area = s.beside(s.staging)
	return s, nil
}

// greet asks for one key, to say at once what would stop a job. Where listing is
// not allowed the rest may be.
func (s *Store) greet(ctx context.Context) error {
	err := s.call(ctx, act{what: actList}, s.limits.stall, func(t try) error {
		o := s.listOptions("", "")
		o.MaxKeys = 1
		for i := range s.api.ListObjectsIter(t.ctx, s.at.bucket, o) {
			return i.Err
		}
		return context.Cause(t.ctx)
	})
	if fault.Has(err, fault.StoreRefused) {
		return nil
	}
	if err != nil && fault.Of(err).Code == fault.Internal {
		return fmt.Errorf("%s: %w", s.Where(), err)
	}
	return err
}
