package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/service"
)

// livesHere is an opened service that holds on to what it is told.
type livesHere struct {
	Service // what is not asked of it here

	mu      sync.Mutex
	o       service.Options
	tokens  map[string]string // text by name
	revoked []string
	said    []string
	opening chan struct{} // opening waits for it; nil: it does not
	closing chan struct{} // so does closing
	err     error         // of opening
	lock    func()        // lets go of the folder
}

func newLivesHere() *livesHere { return &livesHere{tokens: map[string]string{}} }

func (s *livesHere) open(_ context.Context, o service.Options) (Service, error) {
	if s.opening != nil {
		<-s.opening
	}
	s.o = o
	var err error
	s.lock, err = holds(o.Dir, os.Getpid())
	return s, errors.Join(s.err, err)
}

// holds has a state folder, as the server with a process id has it.
func holds(dir string, pid int) (letGo func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "server.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), f.Truncate(0))
		fmt.Fprint(f, pid)
	}
	return func() { f.Close() }, err
}

func (s *livesHere) say(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, word)
}

// Close implements Service.
func (s *livesHere) Close(ctx context.Context) error {
	if s.closing != nil {
		select {
		case <-s.closing:
		case <-ctx.Done():
		}
	}
	s.say("closed")
	s.lock()
	return nil
}

func (s *livesHere) List(context.Context, api.ListJobsParams) (api.JobPage, error) {
	jobs := someJobs()
	return api.JobPage{Items: jobs, Total: len(jobs), Counts: map[string]int{}}, nil
}

func (s *livesHere) Follow(ctx context.Context, _ uint64, _ string, _ func(service.Happening) error) error {
	<-ctx.Done()
	return nil
}

func (s *livesHere) Note(context.Context, api.Entry) {}

func (s *livesHere) Bearer(_ context.Context, text string) (api.Token, error) {
	for name, t := range s.tokens {
		if t == text {
			return api.Token{Name: name, Role: api.Operate}, nil
		}
	}
	return api.Token{}, fault.New(fault.TokenRefused, "unknown")
}

func (s *livesHere) CreateToken(_ context.Context, _ service.Who, in api.TokenRequest) (api.NewToken, error) {
	if _, taken := s.tokens[in.Name]; taken {
		return api.NewToken{}, fault.New(fault.NameTaken, "taken")
	}
	s.tokens[in.Name] = canary + "-" + in.Name + "-" + rand.Text()
	return api.NewToken{Token: api.Token{Name: in.Name, Role: in.Role}, Text: s.tokens[in.Name]}, nil
}

func (s *livesHere) RevokeToken(_ context.Context, _ service.Who, name string) error {
	s.revoked = append(s.revoked, name)
	delete(s.tokens, name)
	return nil
}

// served is a godwit serve beside the test.
type servedTry struct {
	*try
	sig  chan os.Signal
	code chan int
}

func serveTry(t *testing.T, s *livesHere, args ...string) *servedTry {
	t.Helper()
	r := newTry(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--state"}, append([]string{"STATE"}, args...)...)...)
	for i, a := range r.p.Args {
		switch a {
		case "STATE":
			r.p.Args[i] = r.path("state")
		case "CERT":
			r.p.Args[i] = r.path("cert.pem")
		case "KEY":
			r.p.Args[i] = r.path("key.pem")
		case "DIR":
			r.p.Args[i] = r.dir
		}
	}
	out := &servedTry{r, make(chan os.Signal), make(chan int, 1)}
	r.p.Signals, r.p.Serve = out.sig, s.open
	return out
}

func (r *servedTry) start() *servedTry {
	go func() { r.code <- r.main() }()
	return r
}

func (r *servedTry) stop(s os.Signal, want int) {
	r.t.Helper()
	r.sig <- s
	if got := <-r.code; got != want {
		r.t.Errorf("exit code %d, want %d\n%s", got, want, r.err.String())
	}
}

// url finds in what is shown where the server listens.
func (r *servedTry) url() string {
	_, rest, _ := strings.Cut(r.err.String(), "listens at ")
	url, _, _ := strings.Cut(rest, "\n")
	return url
}

// get reads a page; a server that is not asked for a stream answers whole.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestServe_when_started_and_stopped(t *testing.T) {
	for s, code := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		live := newLivesHere()
		r := serveTry(t, live, "--memory", "256MiB", "--host", "godwit.example", "--alarm-webhook", "http://hook.example/x").start()
		r.err.await(shows("Ctrl-C finishes commits"))
		f, err := readServeFile(r.path("state"))
		if err != nil || f.URL != r.url() || f.Token != live.tokens["local"] || f.PID != os.Getpid() || f.Started.IsZero() {
			t.Errorf("%+v %v, listens at %s", f, err, r.url())
		}
		if st, _ := os.Stat(r.path("state")); st.Mode().Perm() != 0o700 {
			t.Errorf("the state folder has mode %v", st.Mode())
		}
		if o := live.o; o.Dir != r.path("state") || o.Memory != 256<<20 || o.Alarms.Webhook != "http://hook.example/x" || o.Allow == nil || o.Getenv != nil {
			t.Errorf("opened with %+v", o)
		}
		list := newTry(t, "job", "list", "--state", r.path("state"))
		list.want(0, "nightly\t", "")
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		ask.Host = "godwit.example" // as --host allows
		ask.Header.Set("Authorization", "Bearer "+f.Token)
		stream, err := http.DefaultClient.Do(ask)
		if err != nil || stream.StatusCode != http.StatusOK {
			t.Fatal(stream, err)
		}
		r.stop(s, code)
		if _, err := io.ReadAll(stream.Body); err != nil {
			t.Errorf("the stream did not end in order: %v", err)
		}
		stream.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		if _, err := os.Stat(filepath.Join(r.path("state"), serveName)); !errors.Is(err, os.ErrNotExist) {
			t.Error("serve.json is left after a clean end")
		}
		if strings.Join(live.said, " ") != "closed" {
			t.Errorf("told %q", live.said)
		}
		for _, want := range []string{"godwit 1.2.3 listens at http://127.0.0.1:", "stopping: finishing commits", "stopped; all jobs go on at the next start"} {
			if !strings.Contains(r.err.String(), want) {
				t.Errorf("lacks %q:\n%s", want, r.err.String())
			}
		}
	}
}

func TestServe_when_json(t *testing.T) {
	r := serveTry(t, newLivesHere(), "--json").start()
	r.out.await(shows(`"status":"ok"`))
	r.stop(syscall.SIGTERM, 143)
	var said []string
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
		if l["type"] == lineServer {
			said = append(said, l["status"].(string))
		}
	}
	if got := strings.Join(said, " "); got != "starting ok stopping stopped" || r.err.String() != "" {
		t.Errorf("%s; stderr %q", got, r.err.String())
	}
}

// TestServe_when_jobs_are_many says that the server answers before it is opened.
func TestServe_when_jobs_are_many(t *testing.T) {
	live := newLivesHere()
	live.opening = make(chan struct{})
	r := serveTry(t, live).start()
	r.err.await(shows("listens at "))
	if code, text := get(t, r.url()+"/healthz"); code != 200 || !strings.Contains(text, `"status":"starting"`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := get(t, r.url()+"/api/v1/jobs"); code != 503 || !strings.Contains(text, "SERVER_GONE") {
		t.Errorf("%d %s", code, text)
	}
	if _, err := readServeFile(r.path("state")); err == nil {
		t.Error("commands find a server that is not there yet")
	}
	close(live.opening)
	r.err.await(shows("Ctrl-C finishes commits"))
	if code, text := get(t, r.url()+"/healthz"); code != 200 || !strings.Contains(text, `"status":"ok"`) {
		t.Errorf("%d %s", code, text)
	}
	r.stop(os.Interrupt, 130)
}

func TestServe_when_signalled_twice(t *testing.T) {
	live := newLivesHere()
	live.closing = make(chan struct{})
	r := serveTry(t, live).start()
	r.err.await(shows("Ctrl-C finishes commits"))
	r.sig <- syscall.SIGTERM
	r.stop(syscall.SIGTERM, 143)
	if !strings.Contains(r.err.String(), "stopped at once") {
		t.Error(r.err.String())
	}
	if _, err := readServeFile(r.path("state")); err != nil {
		t.Error("after a hard end serve.json stays, as after a crash")
	}
	close(live.closing)
	// While it opens too.
	live = newLivesHere()
	live.opening = make(chan struct{})
	r = serveTry(t, live).start()
	r.err.await(shows("listens at "))
	r.sig <- os.Interrupt
	r.stop(os.Interrupt, 130)
	close(live.opening)
}

func TestServe_when_the_drain_is_over(t *testing.T) {
	live := newLivesHere()
	live.closing = make(chan struct{})
	r := serveTry(t, live, "--drain", "10ms").start()
	r.err.await(shows("Ctrl-C finishes commits"))
	r.stop(syscall.SIGTERM, 143)
}

// TestServe_when_it_was_killed says that commands that hold the token of a server
// that was killed go on with the next one.
func TestServe_when_it_was_killed(t *testing.T) {
	live := newLivesHere()
	live.tokens["local"] = canary + "-of-before"
	r := serveTry(t, live)
	if err := os.Mkdir(r.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeOwn(r.path("state"), localName, []byte(canary+"-of-before")); err != nil {
		t.Fatal(err)
	}
	if err := (serveFile{URL: "http://127.0.0.1:1", Token: canary + "-of-before", PID: 1}).write(r.path("state")); err != nil {
		t.Fatal(err)
	}
	r.start().err.await(shows("Ctrl-C finishes commits"))
	if f, _ := readServeFile(r.path("state")); f.Token != canary+"-of-before" || f.URL != r.url() || len(live.revoked) != 0 {
		t.Errorf("%+v, revoked %v", f, live.revoked)
	}
	r.stop(os.Interrupt, 130)
	// After a clean end it is the same one still.
	again := serveTry(t, live)
	again.p.Args = r.p.Args
	r = &servedTry{again.try, again.sig, again.code}
	r.dir = filepath.Dir(r.p.Args[4])
	r.start().err.await(shows("Ctrl-C finishes commits"))
	if f, _ := readServeFile(r.path("state")); f.Token != canary+"-of-before" || len(live.revoked) != 0 {
		t.Errorf("%+v, revoked %v", f, live.revoked)
	}
	r.stop(os.Interrupt, 130)
	// Where its text is lost there is a new one.
	r = serveTry(t, live).start()
	r.err.await(shows("Ctrl-C finishes commits"))
	if f, _ := readServeFile(r.path("state")); f.Token == "" || f.Token != live.tokens["local"] || len(live.revoked) != 1 {
		t.Errorf("%+v, revoked %v", f, live.revoked)
	}
	r.stop(os.Interrupt, 130)
}

func TestServe_when_it_cannot(t *testing.T) {
	live := newLivesHere()
	live.err = fault.New(fault.StateLocked, "another server has the state folder")
	r := serveTry(t, live)
	r.want(fault.StateLocked.Info().Exit, "", "error[STATE_LOCKED]: another server has the state folder")
	if _, err := readServeFile(r.path("state")); err == nil {
		t.Error("commands are sent to a server that is not there")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	newTry(t, "serve", "--listen", l.Addr().String()).want(2, "", "address already in use")
	for _, c := range []struct{ args, says string }{
		{"--listen 0.0.0.0:7711", "without TLS tokens and job files would cross the network in plain"},
		{"--listen :7711", "without TLS"},
		{"--listen [::]:7711", "without TLS"},
		{"--listen godwit.example:7711", "without TLS"},
		{"--listen 7711", "expected host:port"},
		{"--tls-cert x", "--tls-cert and --tls-key belong together"},
		{"--tls-cert /nowhere --tls-key /nowhere", "the certificate of the server cannot be used"},
		{"--memory 1MiB", "--memory 1MiB: expected at least 64MiB"},
		{"--drain soon", "--drain soon"},
		{"--alarm-webhook hook", "--alarm-webhook: expected a URL"},
		{"--alarm-secret x", "--alarm-webhook, which is not given"},
		{"--alarm-webhook http://h/ --alarm-secret /nowhere", "the file cannot be used"},
		{"--alarm-lag soon", "expected a duration"},
		{"--allow-env A --allow-env-all", "exclude each other"},
		{"--data /nowhere", "--data /nowhere: there is no such folder"},
		{"--secrets /nowhere", "--secrets /nowhere: there is no such folder"},
		{"--web-dir /nowhere", "--web-dir /nowhere: there is no such folder"},
		{"x", "godwit serve takes no argument"},
	} {
		newTry(t, append([]string{"serve"}, strings.Fields(c.args)...)...).want(2, "", c.says)
	}
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "::1", "localhost"} {
		if !loopback(host) {
			t.Errorf("%s is this machine alone", host)
		}
	}
}

// TestServe_when_it_has_TLS says that commands on the same machine trust the very
// certificate the server shows, and that a renewed one is taken up.
func TestServe_when_it_has_TLS(t *testing.T) {
	live := newLivesHere()
	r := serveTry(t, live, "--tls-cert", "CERT", "--tls-key", "KEY")
	writeCert(t, r.dir, "godwit.example")
	r.start().err.await(shows("Ctrl-C finishes commits"))
	if !strings.HasPrefix(r.url(), "https://127.0.0.1:") {
		t.Error(r.url())
	}
	newTry(t, "job", "list", "--state", r.path("state")).want(0, "nightly\t", "")
	writeCert(t, r.dir, "renewed.example")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(r.path("cert.pem"), later, later); err != nil {
		t.Fatal(err)
	}
	newTry(t, "job", "list", "--state", r.path("state")).want(0, "nightly\t", "")
	r.stop(os.Interrupt, 130)
}

func writeCert(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: secret}, "cert.pem": {Type: "CERTIFICATE", Bytes: cert}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *livesHere) Overview(context.Context) (api.Overview, error) {
	return api.Overview{Counts: map[string]int{}}, nil
}
