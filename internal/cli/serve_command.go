package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/job/allow"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/server/web"
	"godwit/internal/service"
	"godwit/internal/service/alarm"
)

// Defaults of serve.
const (
	listenAt    = "127.0.0.1:7711"
	serveMemory = "1GiB"
	serveDrain  = "30s"
	serveLeast  = 64 << 20
	secretsMost = 1 << 20
)

// serveFlags are the flags of serve.
type serveFlags struct {
	listen       string
	memory       string
	insecure     bool
	allowEnv     []string
	allowEnvAll  bool
	allowAmbient bool
	secrets      []string
	data         []string
	cert, key    string
	hosts        []string
	alarmWebhook string
	alarmSecret  string // a file
	alarmLag     string
	webDir       string
	drain        string
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Be the server that jobs live on, with an API and a page",
		Example: `  godwit serve
  godwit serve --listen 0.0.0.0:7711 --tls-cert cert.pem --tls-key key.pem --state /var/lib/godwit --data /data`,
		Long: `Serve keeps the jobs that are submitted to it alive, through kill -9 and restarts. Commands on the same machine find it by the
state folder; others give --server and a token. Ctrl-C (or SIGTERM) finishes commits and stops; a second one stops at once. Either
way jobs go on where they stand at the next start. What a submitted job may read of this machine is nothing, but for --allow-env,
--secrets and --data.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.listen, "listen", listenAt, "the `ADDRESS` to listen at, host:port")
	fl.StringVar(&a.state, "state", "", "the `DIR` of state: jobs and their versions live there (default $XDG_STATE_HOME/godwit)")
	fl.StringVar(&f.memory, "memory", serveMemory, "the ceiling of memory of all jobs together, a `SIZE`")
	fl.StringSliceVar(&f.allowEnv, "allow-env", nil, "`NAMES` of variables that job files may refer to")
	fl.BoolVar(&f.allowEnvAll, "allow-env-all", false, "job files may refer to every variable of the server")
	fl.BoolVar(&f.allowAmbient, "allow-ambient", false, "jobs may use keys that the server's machine has: its variables, files, role")
	fl.StringSliceVar(&f.secrets, "secrets", nil, "`DIRS` with files that job files may refer to")
	fl.StringSliceVar(&f.data, "data", nil, "`DIRS` that jobs may read and write")
	fl.StringVar(&f.cert, "tls-cert", "", "a `FILE` with the certificate and its chain; read again when it changes")
	fl.StringVar(&f.key, "tls-key", "", "the `FILE` with its key")
	fl.StringSliceVar(&f.hosts, "host", nil, "`NAMES` that the server is reached by, beside its address")
	fl.StringVar(&f.alarmWebhook, "alarm-webhook", "", "a `URL` that alarms are sent to")
	fl.StringVar(&f.alarmSecret, "alarm-secret", "", "a `FILE` with the secret that what is sent there is signed with")
	fl.StringVar(&f.alarmLag, "alarm-lag", "", "how far behind its source a sink may be, a `DURATION` (default: any)")
	fl.StringVar(&f.webDir, "web-dir", "", "a `DIR` to serve the page from while working on it")
	fl.StringVar(&f.drain, "drain", serveDrain, "how long commits may take at the end, a `DURATION`")
	fl.BoolVar(&f.insecure, "insecure", false, "listen beyond this machine without TLS all the same")
	return c
}

func (a *app) serve(ctx context.Context, f serveFlags) error {
	drain, err := f.check()
	if err != nil {
		return err
	}
	o, log, err := a.serving(f)
	if err != nil {
		return err
	}
	defer log.Close()
	s := &serving{a: a, service: o, drain: drain, certFile: f.cert, open: a.p.Serve}
	if s.open == nil {
		s.open = openService
	}
	defer limit.Memory(o.Memory)()
	return s.run(ctx, f)
}

// check refuses flags that do not fit together.
func (f *serveFlags) check() (drain time.Duration, err error) {
	if err := f.checkAddress(); err != nil {
		return 0, err
	}
	drain, err = option.ParseDuration(f.drain)
	if err != nil {
		return 0, fault.New(fault.Usage, "--drain %s: %v", f.drain, err)
	}
	if f.alarmWebhook != "" {
		if u, err := url.Parse(f.alarmWebhook); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return 0, fault.New(fault.Usage, "--alarm-webhook: expected a URL with http:// or https://")
		}
	}
	if f.alarmSecret != "" && f.alarmWebhook == "" {
		return 0, fault.New(fault.Usage, "--alarm-secret signs what is sent to --alarm-webhook, which is not given").Try("give both")
	}
	if len(f.allowEnv) > 0 && f.allowEnvAll {
		return 0, fault.New(fault.Usage, "--allow-env and --allow-env-all exclude each other").Try("leave one out")
	}
	for i, dir := range f.data {
		if f.data[i], err = folder("data", dir); err != nil {
			return 0, err
		}
	}
	for i, dir := range f.secrets {
		if f.secrets[i], err = folder("secrets", dir); err != nil {
			return 0, err
		}
	}
	if f.webDir != "" {
		f.webDir, err = folder("web-dir", f.webDir)
	}
	return drain, err
}

// checkAddress refuses to send tokens over a network in plain.
func (f *serveFlags) checkAddress() error {
	host, _, err := net.SplitHostPort(f.listen)
	switch {
	case err != nil:
		return fault.New(fault.Usage, "--listen %s: expected host:port", clean(f.listen)).Try("such as --listen %s", listenAt)
	case (f.cert == "") != (f.key == ""):
		return fault.New(fault.Usage, "--tls-cert and --tls-key belong together").Try("give both")
	case f.cert == "" && !f.insecure && !loopback(host):
		return fault.New(fault.Usage, "--listen %s is reached from other machines, and without TLS tokens and job files would cross the network in plain", clean(f.listen)).
			Try("give --tls-cert and --tls-key; or listen at %s behind a proxy that has TLS; or, in a network that you trust, --insecure", listenAt)
	}
	return nil
}

// loopback reports whether a host is this machine alone.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// folder makes a path absolute and sees that it is a folder.
func folder(flag, path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fault.New(fault.Usage, "--%s %s: %v", flag, path, err)
	}
	st, err := os.Stat(abs)
	if err != nil || !st.IsDir() {
		return "", fault.New(fault.Usage, "--%s %s: there is no such folder", flag, clean(path)).Try("make it first")
	}
	return abs, nil
}

// serving makes what the service of a server is opened with.
func (a *app) serving(f serveFlags) (service.Options, *local.Log, error) {
	var none service.Options
	dir, err := a.stateFolder()
	if err != nil {
		return none, nil, err
	}
	memory, err := option.ParseSize(f.memory)
	if err == nil && memory < serveLeast {
		err = errors.New("expected at least " + option.FormatSize(serveLeast))
	}
	if err != nil {
		return none, nil, fault.New(fault.Usage, "--memory %s: %v", f.memory, err)
	}
	alarms, err := f.alarms()
	if err != nil {
		return none, nil, err
	}
	rules := allow.Rules{Env: f.allowEnv, AllEnv: f.allowEnvAll, Secrets: f.secrets, Data: f.data, Ambient: f.allowAmbient, Closed: []string{dir}}
	if err := rules.Valid(); err != nil {
		return none, nil, err
	}
	unusable := func(err error) error {
		return fault.New(fault.StateBroken, "the state folder cannot be used").At("%s", dir).By(err).Try("give --state DIR, a folder that this user may write")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return none, nil, unusable(err)
	}
	log, file := local.NewLog(func(t string) string { return a.hide(t) }, a.serveLog)
	if err := file.Open(dir); err != nil {
		return none, nil, unusable(err)
	}
	return service.Options{
		Dir: dir, Engine: a.engine, Systems: a.sys, Memory: memory, Now: a.p.Now, Log: log, Alarms: alarms,
		Resolver: rules.Resolver(option.Resolver{Env: a.lookUp, File: readFile}), Allow: rules.Check, Getenv: rules.Getenv(a.lookUp),
	}, file, nil
}

// alarms says what is too far behind, and whom to tell.
func (f *serveFlags) alarms() (o alarm.Options, err error) {
	o.Webhook = f.alarmWebhook
	if f.alarmSecret != "" {
		text, err := readFile(f.alarmSecret)
		if err == nil && len(bytes.TrimSpace(text)) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return o, fault.New(fault.Usage, "--alarm-secret: the file cannot be used").At("%s", f.alarmSecret).By(err)
		}
		o.Secret = secret.New(string(bytes.TrimSpace(text)))
	}
	if f.alarmLag != "" {
		if o.Lag, err = option.ParseDuration(f.alarmLag); err != nil || o.Lag <= 0 {
			return o, fault.New(fault.Usage, "--alarm-lag %s: expected a duration such as 5m", clean(f.alarmLag))
		}
	}
	return o, nil
}

// page is where the page comes from.
func (f *serveFlags) page() fs.FS {
	if f.webDir != "" {
		return os.DirFS(f.webDir)
	}
	return web.Files
}

// serveLog shows what the server says of itself.
func (a *app) serveLog(l slog.Level, line string) {
	switch {
	case a.json && l >= slog.LevelWarn:
		a.emit(warningLine{jobHead: a.jobHead(lineWarning, ""), What: line})
	case a.json:
	case a.scr.terminal():
		a.scr.print(humanLog(l, line, a.p.Now(), a.errCol))
	default:
		a.scr.print(a.p.Now().UTC().Format("2006-01-02T15:04:05Z") + " " + levelWord(l) + "  " + line)
	}
}
