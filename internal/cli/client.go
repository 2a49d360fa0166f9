package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
)

// Environment variables that say which server a command speaks to.
const (
	envServer = "GODWIT_SERVER"
	envToken  = "GODWIT_TOKEN"
)

// Times for one answer, unless --timeout says.
const (
	patience     = 30 * time.Second
	longPatience = 3 * time.Minute // where the server asks systems, or waits for a job's end
)

// serverFlags are the flags that say which server a command speaks to.
type serverFlags struct {
	url       string
	tokenFile string
	ca        string
	timeout   string
}

func (a *app) serverFlags(c *cobra.Command) *cobra.Command {
	f := c.PersistentFlags()
	f.StringVar(&a.to.url, "server", "", "the `URL` of the server (default the one of --state, else $"+envServer+", else the one that runs with the usual state folder)")
	f.StringVar(&a.to.tokenFile, "token-file", "", "the `FILE` that holds the token (default $"+envToken+")")
	f.StringVar(&a.to.ca, "ca", "", "a `FILE` of certificates to trust beside those of the system")
	f.StringVar(&a.to.timeout, "timeout", "", "how long one answer may take, a `DURATION` (default 30s; 3m where systems are asked)")
	f.StringVar(&a.state, "state", "", "the `DIR` of state of a server on this machine; while none runs, the folder itself is asked (default $XDG_STATE_HOME/godwit, only while one runs)")
	return c
}

// address is where a server is, and what it is spoken to with.
type address struct {
	url   *url.URL
	token secret.Text
	roots *x509.CertPool // nil: those of the system
	name  string         // that its certificate must have; empty: that of the URL
	found string         // where the address stood, for messages

	folder string // no server has this state folder: it is asked itself
}

// client speaks to one server.
type client struct {
	*api.ClientWithResponses
	wire *wire
}

// client finds the server and makes a client of it. long says that answers may
// take longer. Nothing is sent yet.
func (a *app) client(long bool) (*client, error) {
	wait, err := a.patience(long)
	if err != nil {
		return nil, err
	}
	at, err := a.settledAddress(wait)
	if err != nil {
		return nil, err
	}
	c, err := a.clientOf(at, wait)
	if err == nil {
		a.atEnd = append(a.atEnd, c.wire.close)
	}
	return c, err
}

// clientOf makes a client of a server; its wire is to be closed.
func (a *app) clientOf(at address, wait time.Duration) (*client, error) {
	a.hideToo(at.token)
	var by http.RoundTripper = &folderTrip{a: a, at: at, wait: wait}
	if at.folder == "" {
		by = at.transport(wait)
	}
	w := newWire(at, wait, by)
	c, err := api.NewClientWithResponses(at.url.String(), api.WithHTTPClient(w))
	if err != nil {
		return nil, fault.New(fault.Usage, "%s is no address of a server: %v", at.found, err)
	}
	return &client{c, w}, nil
}

// patience is the time for one answer.
func (a *app) patience(long bool) (time.Duration, error) {
	switch {
	case a.to.timeout == "" && long:
		return longPatience, nil
	case a.to.timeout == "":
		return patience, nil
	}
	d, err := option.ParseDuration(a.to.timeout)
	if err == nil && d <= 0 {
		err = errors.New("expected more than 0s")
	}
	if err != nil {
		return 0, fault.New(fault.Usage, "--timeout %s: %v", a.to.timeout, err)
	}
	return d, nil
}

// hideToo masks a token in everything that is shown.
func (a *app) hideToo(token secret.Text) {
	text := token.Reveal()
	if text == "" || a.hide(text) == secret.Hidden {
		return
	}
	before := a.hide
	a.hide = func(t string) string { return strings.ReplaceAll(before(t), text, secret.Hidden) }
}

// address finds the server: the one that is said, that of the state folder that is
// said, the one that the environment names, that of the usual state folder. Where
// somebody names a state folder that no server has, it is asked itself. The token of a
// state folder goes to its server and to no other.
func (a *app) address() (address, error) {
	given, found := a.to.url, "--server"
	if given == "" && a.state == "" {
		given, found = a.getenv(envServer), envServer
	}
	at := address{found: found}
	if given == "" {
		find := a.local
		if a.state != "" {
			find = a.stateAddress
		}
		var err error
		if at, err = find(); err != nil || at.folder != "" {
			return at, err
		}
	} else {
		u, err := serverURL(given)
		if err != nil {
			return at, fault.New(fault.Usage, "%s: %v", found, err).Try("such as https://godwit.example.org or http://127.0.0.1:7711")
		}
		at.url = u
	}
	if err := a.ownToken(&at); err != nil {
		return at, err
	}
	return at, a.trust(&at)
}

func serverURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("expected http:// or https://, a host and a port")
	case u.User != nil:
		return nil, errors.New("a URL has no place for a token: use --token-file or " + envToken)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// ownToken reads the token that the caller names; it comes before that of the state
// folder.
func (a *app) ownToken(at *address) error {
	if a.to.tokenFile == "" {
		other := at.token.Reveal() != "" && a.getenv(envServer) != "" // it is for that server
		if t := strings.TrimSpace(a.getenv(envToken)); t != "" && !other {
			at.token = secret.New(t)
		}
		return nil
	}
	b, err := readFile(a.to.tokenFile)
	if err == nil && strings.TrimSpace(string(b)) == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fault.New(fault.Usage, "the file of the token cannot be read").At("%s", a.to.tokenFile).By(err).Try("godwit token create NAME --role operate --out FILE makes one")
	}
	at.token = secret.New(strings.TrimSpace(string(b)))
	return nil
}

// trust adds the certificates of --ca.
func (a *app) trust(at *address) error {
	if a.to.ca == "" {
		return nil
	}
	b, err := readFile(a.to.ca)
	if err == nil {
		err = at.add(b)
	}
	if err != nil {
		return fault.New(fault.Usage, "the certificates to trust cannot be read").At("%s", a.to.ca).By(err).Try("give a file with certificates in PEM form")
	}
	return nil
}

// add trusts the certificates of a PEM file too.
func (at *address) add(pem []byte) error {
	if at.roots == nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		at.roots = pool
	}
	if !at.roots.AppendCertsFromPEM(pem) {
		return errors.New("there is no certificate in it")
	}
	return nil
}

// local finds the server that runs with the state folder.
func (a *app) local() (address, error) {
	at := address{}
	dir, err := a.stateFolder()
	if err != nil {
		return at, err
	}
	at.found = filepath.Join(dir, serveName)
	f, err := readServeFile(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return at, fault.New(fault.ServerGone, "no server runs with this state folder").At("%s", dir).
			Try("start one with godwit serve, or name another with --server URL; --state %s asks the folder itself", dir)
	case err != nil:
		return at, fault.New(fault.ServerGone, "the file that says where the server is cannot be read").At("%s", at.found).By(err).
			Try("run the command as the user that godwit serve runs as, or give --server and --token-file")
	}
	if at.url, err = serverURL(f.URL); err != nil {
		return at, fault.New(fault.ServerGone, "the file that says where the server is has no address of one").At("%s", at.found).By(err).Try("start godwit serve again: it writes the file anew")
	}
	at.token = secret.New(f.Token)
	if f.Cert != "" {
		return at, at.pin(f.Cert)
	}
	return at, nil
}

// pin trusts the very certificate that the server on this machine shows. It is
// reached by its loopback address, which certificates rarely name.
func (at *address) pin(path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = at.add(b)
	}
	if err == nil {
		at.name, err = certName(b)
	}
	if err != nil {
		return fault.New(fault.ServerGone, "the server's certificate cannot be read").At("%s", path).By(err).Try("give --server with its name, and --ca where it needs one")
	}
	return nil
}

// transport returns what carries requests to at.
func (at address) transport(wait time.Duration) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: at.roots, ServerName: at.name}
	t.ResponseHeaderTimeout = wait
	t.MaxIdleConns = 2
	return t
}

// ask runs one short act with a client, under signals.
func (a *app) ask(ctx context.Context, long bool, f func(context.Context, *client) error) error {
	c, err := a.client(long)
	if err != nil {
		return err
	}
	defer c.wire.close() // who is asked something meanwhile holds up nobody
	return a.act(ctx, func(ctx context.Context) error { return f(ctx, c) })
}
