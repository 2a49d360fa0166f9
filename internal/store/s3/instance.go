package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"godwit/internal/fault"
)

// Where machines and containers are told the keys of their role, and by which paths
// and headers (Amazon's documentation of the instance metadata service, version 2,
// and of container credentials).
const (
	machineHost   = "http://169.254.169.254"
	containerHost = "http://169.254.170.2"
	machineToken  = "/latest/api/token"
	machineRoles  = "/latest/meta-data/iam/security-credentials/"
	tokenHeader   = "X-aws-ec2-metadata-token"
	tokenLife     = "X-aws-ec2-metadata-token-ttl-seconds"

	containerPath = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	containerURL  = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
)

// instance gets the keys of the role of this machine or container.
type instance struct {
	credentials.Expiry
	w      wanted
	client *http.Client
}

func (w wanted) inContainer() bool {
	return variable(w.getenv, containerPath) != "" || variable(w.getenv, containerURL) != ""
}

func (w wanted) instance() provider {
	// The address is this machine's own: no proxy may see the keys, and nothing is
	// kept open for a request an hour.
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	name := "the role of this machine"
	if w.inContainer() {
		name = "the role of this container"
	}
	return provider{&instance{w.expiry(), w, client}, name, w.inContainer()}
}

// RetrieveWithCredContext implements credentials.Provider.
func (p *instance) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	ask := p.machine
	if p.w.inContainer() {
		ask = p.container
	}
	v, err := ask(cc.Context)
	if err == nil {
		p.SetExpiration(v.Expiration, credentials.DefaultExpiryWindow)
	}
	return v, err
}

// Retrieve implements credentials.Provider.
func (p *instance) Retrieve() (credentials.Value, error) {
	return p.RetrieveWithCredContext(alone())
}

// machine asks the metadata service of a machine: for a token, for the role's name,
// for its keys.
func (p *instance) machine(ctx context.Context) (credentials.Value, error) {
	if strings.EqualFold(variable(p.w.getenv, "AWS_EC2_METADATA_DISABLED"), "true") {
		return credentials.Value{}, fault.New(fault.StoreAuth, "the machine's role may not be used: AWS_EC2_METADATA_DISABLED is true").
			Try("unset it, or choose other credentials")
	}
	host := strings.TrimSuffix(first(variable(p.w.getenv, "AWS_EC2_METADATA_SERVICE_ENDPOINT"), machineHost), "/")
	token, err := p.ask(ctx, http.MethodPut, host+machineToken, map[string]string{tokenLife: "300"})
	if err != nil {
		return credentials.Value{}, err
	}
	with := map[string]string{tokenHeader: string(token)}
	roles, err := p.ask(ctx, http.MethodGet, host+machineRoles, with)
	if err != nil {
		return credentials.Value{}, err
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(roles)), "\n")
	if role = strings.TrimSpace(role); role == "" {
		return credentials.Value{}, noRole(host)
	}
	text, err := p.ask(ctx, http.MethodGet, host+machineRoles+url.PathEscape(role), with)
	if err != nil {
		return credentials.Value{}, err
	}
	return machineKeys(host, text)
}

// container asks where the container's environment says.
func (p *instance) container(ctx context.Context) (credentials.Value, error) {
	address := variable(p.w.getenv, containerURL)
	if path := variable(p.w.getenv, containerPath); path != "" {
		address = containerHost + path
	}
	if err := trusted(address); err != nil {
		return credentials.Value{}, fault.New(fault.StoreAuth, "the container's role may not be asked for").At("%s", containerURL).By(err).
			Try("the address must be https, or of this machine")
	}
	headers := map[string]string{}
	if token := variable(p.w.getenv, "AWS_CONTAINER_AUTHORIZATION_TOKEN"); token != "" {
		headers["Authorization"] = token
	}
	if file := variable(p.w.getenv, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		token, err := readSmall(file)
		if err != nil {
			return credentials.Value{}, fault.New(fault.StoreAuth, "the token for the container's role cannot be read").At("%s", file).By(err).
				Try("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names the file")
		}
		headers["Authorization"] = token
	}
	text, err := p.ask(ctx, http.MethodGet, address, headers)
	if err != nil {
		return credentials.Value{}, err
	}
	return machineKeys(address, text)
}

// trusted refuses addresses to which a token must not be sent in the clear.
func trusted(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("it is not a URL")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case u.Scheme == "https", u.Hostname() == "localhost", err == nil && ip.IsLoopback():
		return nil
	case err == nil && (ip.IsLinkLocalUnicast() || ip == netip.MustParseAddr("fd00:ec2::23")):
		return nil
	}
	return fmt.Errorf("%s is another machine's, and http", u.Host)
}

// ask sends one request. Its errors are faults.
func (p *instance) ask(ctx context.Context, method, address string, headers map[string]string) ([]byte, error) {
	status, text, err := fetch(ctx, p.client, func(ctx context.Context) (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return nil, err
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		return r, nil
	})
	switch {
	case err != nil:
		return nil, silentSource("the service that tells this machine's keys", address, err).
			Try("only machines and containers in a cloud have it; elsewhere choose other credentials")
	case status == http.StatusNotFound && method == http.MethodGet:
		return nil, noRole(address)
	case status != http.StatusOK:
		return nil, fault.New(keysCode(status), "the keys of this machine's role are refused").At("%s", address).By(fmt.Errorf("status %d", status)).
			Try("in a container the metadata service may be out of reach (hop limit); look at the machine's metadata options")
	}
	return text, nil
}

func noRole(address string) error {
	return fault.New(fault.StoreAuth, "this machine has no role").At("%s", address).Try("give it one (an instance profile, a task role), or choose other credentials")
}

// machineKeys reads an answer with keys.
func machineKeys(address string, text []byte) (credentials.Value, error) {
	var a struct {
		Code, Message                       string
		AccessKeyID, SecretAccessKey, Token string
		Expiration                          time.Time
	}
	err := json.Unmarshal(text, &a)
	switch {
	case err == nil && a.Code != "" && a.Code != "Success":
		return credentials.Value{}, fault.New(fault.StoreAuth, "the keys of this machine's role are refused").At("%s", address).
			By(errors.New(short(a.Code + ": " + a.Message))).Try("look at the role of this machine, and whom it trusts")
	case err != nil || a.AccessKeyID == "" || a.SecretAccessKey == "" || a.Expiration.IsZero():
		return credentials.Value{}, strangeKeys(address)
	}
	return stsKeys{a.AccessKeyID, a.SecretAccessKey, a.Token, a.Expiration}.value(), nil
}
