package s3

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"godwit/internal/fault"
)

// provider is one place credentials may come from.
type provider struct {
	credentials.Provider
	name string // for people
}

// resolve returns the credentials and, in words, where they come from. They are
// read at the first request, and again when they expire.
func (w wanted) resolve() (*credentials.Credentials, string, error) {
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
		top = &assumed{base: top, w: w}
		source = "the role " + w.role + ", assumed with " + source
	}
	return credentials.New(&named{top}), source, nil
}

func (w wanted) providers() ([]provider, error) {
	switch w.way {
	case byAnonymous:
		return []provider{{&credentials.Static{Value: credentials.Value{SignerType: credentials.SignatureAnonymous}}, "nowhere (anonymous)"}}, nil
	case byStatic:
		if w.access.IsZero() || w.secret.IsZero() {
			return nil, fault.New(fault.JobMissing, "access_key and secret_key are missing: credentials are static")
		}
		return []provider{w.static()}, nil
	case byEnv:
		return []provider{w.env()}, nil
	case byShared:
		return []provider{w.shared()}, nil
	case byInstance:
		return []provider{w.instance()}, nil
	case byWeb:
		return []provider{w.web()}, nil
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
	if variable(w.getenv, "AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
		list = append(list, w.web())
	}
	list = append(list, w.shared())
	// Elsewhere the metadata address would only cost a time-out.
	if w.amazon || variable(w.getenv, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || variable(w.getenv, "AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		list = append(list, w.instance())
	}
	return list, nil
}

func (w wanted) static() provider {
	return provider{&credentials.Static{Value: credentials.Value{
		AccessKeyID: w.access.Reveal(), SecretAccessKey: w.secret.Reveal(), SessionToken: w.token.Reveal(), SignerType: credentials.SignatureV4,
	}}, "the job file (access_key)"}
}

func (w wanted) env() provider {
	return provider{&environment{getenv: w.getenv}, "the environment (AWS_ACCESS_KEY_ID)"}
}

func (w wanted) shared() provider {
	file := variable(w.getenv, "AWS_SHARED_CREDENTIALS_FILE")
	if file == "" {
		home := variable(w.getenv, "HOME")
		if home == "" {
			home, _ = os.UserHomeDir() // without one the file is not found, which is said
		}
		file = filepath.Join(home, ".aws", "credentials")
	}
	profile := first(w.profile, variable(w.getenv, "AWS_PROFILE"), "default")
	return provider{&credentials.FileAWSCredentials{Filename: file, Profile: profile}, "the profile " + profile + " in " + file}
}

func (w wanted) instance() provider {
	p := &credentials.IAM{Region: w.region}
	p.Container.AuthorizationToken = variable(w.getenv, "AWS_CONTAINER_AUTHORIZATION_TOKEN")
	p.Container.AuthorizationTokenFile = variable(w.getenv, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	p.Container.CredentialsFullURI = variable(w.getenv, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
	p.Container.CredentialsRelativeURI = variable(w.getenv, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
	return provider{p, "the role of this machine or container"}
}

func (w wanted) web() provider {
	p := &credentials.IAM{Region: w.region}
	p.EKSIdentity.TokenFile = variable(w.getenv, "AWS_WEB_IDENTITY_TOKEN_FILE")
	p.EKSIdentity.RoleARN = first(w.role, variable(w.getenv, "AWS_ROLE_ARN"))
	p.EKSIdentity.RoleSessionName = first(variable(w.getenv, "AWS_ROLE_SESSION_NAME"), "godwit")
	if !w.amazon || w.sts != "" {
		p.Endpoint = w.sts
	}
	return provider{p, "the token in AWS_WEB_IDENTITY_TOKEN_FILE"}
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
func (e *environment) Retrieve() (credentials.Value, error) { return e.RetrieveWithCredContext(nil) }

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
		problems = append(problems, errors.New(p.name+": "+bare(err).Error()))
	}
	return credentials.Value{}, errors.Join(problems...)
}

// Retrieve implements credentials.Provider.
func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (c *chain) IsExpired() bool { return c.now == nil || c.now.IsExpired() }

// assumed gets the keys of a role with other keys.
type assumed struct {
	base credentials.Provider
	w    wanted
	role credentials.STSAssumeRole
}

// RetrieveWithCredContext implements credentials.Provider.
func (r *assumed) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	base, err := r.base.RetrieveWithCredContext(cc)
	if err != nil {
		return credentials.Value{}, err
	}
	endpoint := r.w.sts
	if endpoint == "" {
		endpoint = "https://sts.amazonaws.com"
		if r.w.region != "" {
			endpoint = "https://sts." + r.w.region + ".amazonaws.com"
		}
	}
	r.role.STSEndpoint = endpoint
	r.role.Options = credentials.STSAssumeRoleOptions{
		AccessKey: base.AccessKeyID, SecretKey: base.SecretAccessKey, SessionToken: base.SessionToken,
		RoleARN: r.w.role, RoleSessionName: "godwit", ExternalID: r.w.external, Location: r.w.region, DurationSeconds: 3600,
	}
	return r.role.RetrieveWithCredContext(cc)
}

// Retrieve implements credentials.Provider.
func (r *assumed) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (r *assumed) IsExpired() bool { return r.role.IsExpired() }

// named marks errors as those of getting credentials.
type named struct{ credentials.Provider }

// RetrieveWithCredContext implements credentials.Provider.
func (n *named) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := n.Provider.RetrieveWithCredContext(cc)
	if err != nil {
		err = credentialError{err}
	}
	return v, err
}

// Retrieve implements credentials.Provider.
func (n *named) Retrieve() (credentials.Value, error) { return n.RetrieveWithCredContext(nil) }
