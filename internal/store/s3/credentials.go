package s3

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"godwit/internal/fault"
)

// provider is one place credentials may come from.
type provider struct {
	credentials.Provider
	name string // for people
	// meant: the environment names it, so when it gives no keys others are not asked.
	meant bool
}

// resolve returns the credentials and, in words, where they come from. They are
// read at the first request, and again before they expire.
func (w wanted) resolve(log *slog.Logger) (*credentials.Credentials, string, error) {
	list, err := w.providers()
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, p := range list {
		names = append(names, p.name)
	}
	source := strings.Join(names, ", ")
	var top credentials.Provider = &chain{list: list}
	if w.role != "" && w.way != byWeb {
		top = &assumed{Expiry: w.expiry(), base: top, w: w, source: source}
		source = "the role " + w.role + ", assumed with " + source
	}
	return credentials.New(&named{&renewed{Provider: top, now: w.now, log: log}}), source, nil
}

// expiry is the end of temporary keys: they are renewed when a fifth of their time
// is left.
func (w wanted) expiry() credentials.Expiry { return credentials.Expiry{CurrentTime: w.now} }

func (w wanted) providers() ([]provider, error) {
	switch w.way {
	case byAnonymous:
		return []provider{{&credentials.Static{Value: credentials.Value{SignerType: credentials.SignatureAnonymous}}, "nowhere (anonymous)", false}}, nil
	case byStatic:
		if w.access.IsZero() || w.secret.IsZero() {
			return nil, fault.New(fault.JobMissing, "access_key and secret_key are missing: credentials are static")
		}
		return []provider{w.static()}, nil
	}
	if w.sealed {
		return nil, fault.New(fault.JobMissing, "access_key and secret_key are missing: keys of this machine are not used here").
			Try("give both, or choose anonymous for a bucket that is open to all")
	}
	switch w.way {
	case byEnv:
		return []provider{w.env()}, nil
	case byShared:
		return []provider{w.shared()}, nil
	case byInstance:
		return []provider{w.instance()}, nil
	case byWeb:
		if variable(w.getenv, webFile) == "" {
			return nil, fault.New(fault.JobMissing, "%s is not set: credentials are web_identity", webFile).Try("set it to the path of the token's file")
		}
		return []provider{w.web(first(w.role, variable(w.getenv, "AWS_ROLE_ARN")))}, nil
	}
	if !w.access.IsZero() || !w.secret.IsZero() {
		if w.access.IsZero() || w.secret.IsZero() {
			return nil, fault.New(fault.JobMissing, "access_key and secret_key go together: one is missing")
		}
		return []provider{w.static()}, nil
	}
	list := []provider{}
	if w.profile == "" {
		list = append(list, w.env())
	}
	if w.profile == "" && variable(w.getenv, webFile) != "" {
		list = append(list, w.web(variable(w.getenv, "AWS_ROLE_ARN")))
	}
	list = append(list, w.shared())
	// Elsewhere the metadata address would only cost a time-out.
	if w.amazon || w.inContainer() {
		list = append(list, w.instance())
	}
	return list, nil
}

func (w wanted) static() provider {
	return provider{&credentials.Static{Value: credentials.Value{
		AccessKeyID: w.access.Reveal(), SecretAccessKey: w.secret.Reveal(), SessionToken: w.token.Reveal(), SignerType: credentials.SignatureV4,
	}}, "the job file (access_key)", false}
}

func (w wanted) env() provider {
	return provider{&environment{getenv: w.getenv}, "the environment (AWS_ACCESS_KEY_ID)", false}
}

// environment reads the variables of the AWS command line.
type environment struct {
	getenv    func(string) (string, bool)
	retrieved bool
}

var errNoVariables = errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")

// RetrieveWithCredContext implements credentials.Provider.
func (e *environment) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	v := credentials.Value{
		AccessKeyID: variable(e.getenv, "AWS_ACCESS_KEY_ID"), SecretAccessKey: variable(e.getenv, "AWS_SECRET_ACCESS_KEY"),
		SessionToken: variable(e.getenv, "AWS_SESSION_TOKEN"), SignerType: credentials.SignatureV4,
	}
	if v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return credentials.Value{}, errNoVariables
	}
	e.retrieved = true
	return v, nil
}

// Retrieve implements credentials.Provider.
func (e *environment) Retrieve() (credentials.Value, error) {
	return e.RetrieveWithCredContext(alone())
}

// IsExpired implements credentials.Provider.
func (e *environment) IsExpired() bool { return !e.retrieved }

// chain asks one provider after the other and stays with the first that answers.
type chain struct {
	list []provider
	now  credentials.Provider
}

// RetrieveWithCredContext implements credentials.Provider.
func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	var problems []error
	for _, p := range c.list {
		v, err := p.RetrieveWithCredContext(cc)
		if err == nil && (v.AccessKeyID != "" && v.SecretAccessKey != "" || v.SignerType.IsAnonymous()) {
			c.now = p.Provider
			return v, nil
		}
		if err == nil {
			err = errors.New("no keys")
		}
		if p.meant || len(c.list) == 1 {
			return credentials.Value{}, err
		}
		problems = append(problems, errors.New(p.name+": "+err.Error()))
	}
	return credentials.Value{}, errors.Join(problems...)
}

// Retrieve implements credentials.Provider.
func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(alone()) }

// IsExpired implements credentials.Provider.
func (c *chain) IsExpired() bool { return c.now == nil || c.now.IsExpired() }

// renewed keeps keys that still hold while new ones cannot be had.
type renewed struct {
	credentials.Provider
	now   func() time.Time
	log   *slog.Logger
	value credentials.Value // the last
	again time.Time         // not asked again before
}

// renewPause lies between two tries to renew keys that still hold.
const renewPause = 30 * time.Second

// RetrieveWithCredContext implements credentials.Provider.
func (r *renewed) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := r.Provider.RetrieveWithCredContext(cc)
	if err == nil {
		r.value, r.again = v, time.Time{}
		return v, nil
	}
	now := r.now()
	if !now.Before(r.value.Expiration) {
		return credentials.Value{}, err
	}
	r.log.Warn("temporary keys cannot be renewed; the old ones still hold", "until", r.value.Expiration, "error", err.Error())
	r.again = now.Add(renewPause)
	if r.again.After(r.value.Expiration) {
		r.again = r.value.Expiration
	}
	return r.value, nil
}

// Retrieve implements credentials.Provider.
func (r *renewed) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(alone()) }

// IsExpired implements credentials.Provider.
func (r *renewed) IsExpired() bool { return !r.now().Before(r.again) && r.Provider.IsExpired() }

// named marks errors that are no faults as those of getting credentials.
type named struct{ credentials.Provider }

// RetrieveWithCredContext implements credentials.Provider.
func (n *named) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := n.Provider.RetrieveWithCredContext(cc)
	var f *fault.Error
	if err != nil && !errors.As(err, &f) {
		err = credentialError{err}
	}
	return v, err
}

// Retrieve implements credentials.Provider.
func (n *named) Retrieve() (credentials.Value, error) { return n.RetrieveWithCredContext(alone()) }

// alone is for callers that have no request.
func alone() *credentials.CredContext {
	return &credentials.CredContext{Client: http.DefaultClient, Context: context.Background()}
}
