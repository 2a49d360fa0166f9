package s3

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
	servers "godwit/test/servers/s3"
)

// signed is by what a request was signed.
type signed struct{ key, token string }

func signatureOf(r *http.Request) signed {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	return signed{key, r.Header.Get("X-Amz-Security-Token")}
}

// keyWorld is a service, what gives the keys for it, a clock and a log.
type keyWorld struct {
	service, keys *httptest.Server
	log           bytes.Buffer
	given         map[string]any
	env           map[string]string

	mu     sync.Mutex
	time   time.Time
	signed []signed
	asked  []*http.Request // for keys, with their forms
	number int             // of the last keys
	answer func(w http.ResponseWriter, r *http.Request)
}

const (
	baseSecret = "Pfuhlschnepfe-base"
	roleSecret = "Pfuhlschnepfe-role"
	roleToken  = "Pfuhlschnepfe-session"
	fileToken  = "Pfuhlschnepfe-web"
)

// newKeyWorld makes a service that answers everything, and one that gives keys by
// answer.
func newKeyWorld(t *testing.T, answer func(w *keyWorld, rw http.ResponseWriter, r *http.Request)) *keyWorld {
	t.Helper()
	w := &keyWorld{time: time.Now(), env: map[string]string{}}
	w.answer = func(rw http.ResponseWriter, r *http.Request) { answer(w, rw, r) }
	w.service = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.signed = append(w.signed, signatureOf(r))
		rw.WriteHeader(http.StatusNoContent)
	}))
	w.keys = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.mu.Lock()
		w.asked = append(w.asked, r)
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	t.Cleanup(w.service.Close)
	t.Cleanup(w.keys.Close)
	w.given = map[string]any{"bucket": "media", "endpoint": w.service.URL, "sts_endpoint": w.keys.URL}
	return w
}

func (w *keyWorld) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

// next numbers keys.
func (w *keyWorld) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	return w.number
}

func (w *keyWorld) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

// open opens a store without asking anything.
func (w *keyWorld) open(t *testing.T) *Store {
	t.Helper()
	s, err := w.tryOpen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (w *keyWorld) tryOpen() (*Store, error) {
	env := store.Env{Log: slog.New(slog.NewTextHandler(&w.log, nil)), Getenv: func(n string) (string, bool) { v, ok := w.env[n]; return v, ok }}
	c, err := settings(option.Of(fields(), w.given), env)
	if err != nil {
		return nil, err
	}
	c.credentials.now, c.limits.pause = w.now, time.Millisecond
	return newStore(c, env)
}

// request sends one request and returns by what it was signed, and what was asked
// for keys before.
func (w *keyWorld) request(t *testing.T, s *Store) (by signed, asked []*http.Request) {
	t.Helper()
	w.mu.Lock()
	w.signed, w.asked = nil, nil
	w.mu.Unlock()
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatalf("%v (%s)", err, fault.Of(err).Hint)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.signed) != 1 {
		t.Fatalf("%d requests", len(w.signed))
	}
	return w.signed[0], w.asked
}

// fails sends a request that must fail, with a way out and without a secret.
func (w *keyWorld) fails(t *testing.T, s *Store, code fault.Code, words ...string) {
	t.Helper()
	err := s.Delete(t.Context(), "k")
	f := fault.Of(err)
	text := f.Error() + " " + f.Hint
	if err == nil || f.Code != code || f.Hint == "" {
		t.Errorf("%v (hint %q), want %s", err, f.Hint, code)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is missing in: %s", word, text)
		}
	}
	w.silent(t, text)
}

// silent looks for secrets in a text and in the log.
func (w *keyWorld) silent(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text+w.log.String(), "Pfuhlschnepfe") {
		t.Errorf("a secret in %s\n%s", text, w.log.String())
	}
}

// answered is how AWS answers AssumeRole and AssumeRoleWithWebIdentity.
func answered(action string, n int, until time.Time) string {
	return fmt.Sprintf(`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult>
<AssumedRoleUser><AssumedRoleId>AROA123:godwit</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/copy/godwit</Arn></AssumedRoleUser>
<Credentials><AccessKeyId>ASIA%[2]d</AccessKeyId><SecretAccessKey>%[3]s</SecretAccessKey><SessionToken>%[4]s-%[2]d</SessionToken>
<Expiration>%[5]s</Expiration></Credentials></%[1]sResult><ResponseMetadata><RequestId>c6104cbe</RequestId></ResponseMetadata></%[1]sResponse>`,
		action, n, roleSecret, roleToken, until.UTC().Format(time.RFC3339))
}

func stsError(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>1</RequestId></ErrorResponse>`, code, message)
}

// rolesGiven answers with keys for an hour, of another number each time.
func rolesGiven(w *keyWorld, rw http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(rw, answered(r.Form.Get("Action"), w.next(), w.now().Add(time.Hour)))
}

func withRole(t *testing.T, answer func(*keyWorld, http.ResponseWriter, *http.Request)) *keyWorld {
	w := newKeyWorld(t, answer)
	maps.Copy(w.given, map[string]any{
		"access_key": secret.New("AKIABASE"), "secret_key": secret.New(baseSecret), "session_token": secret.New(roleToken + "-base"),
		"role_arn": "arn:aws:iam::123456789012:role/copy", "external_id": "partner",
	})
	return w
}

func TestRole_when_its_keys_are_used_and_renewed(t *testing.T) {
	w := withRole(t, rolesGiven)
	s := w.open(t)
	by, asked := w.request(t, s)
	if by != (signed{"ASIA1", roleToken + "-1"}) || len(asked) != 1 {
		t.Fatalf("signed by %v after %d questions", by, len(asked))
	}
	if base := signatureOf(asked[0]); base != (signed{"AKIABASE", roleToken + "-base"}) || !strings.Contains(asked[0].Header.Get("Authorization"), "/us-east-1/sts/aws4_request") {
		t.Errorf("the role is asked for with %v, %s", base, asked[0].Header)
	}
	for name, want := range map[string]string{
		"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/copy", "RoleSessionName": "godwit", "ExternalId": "partner",
	} {
		if got := asked[0].Form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	w.wait(40 * time.Minute)
	if by, asked := w.request(t, s); by.key != "ASIA1" || len(asked) != 0 {
		t.Errorf("after 40 minutes: %v, %d questions", by, len(asked))
	}
	w.wait(10 * time.Minute) // the old ones hold for 10 more
	if by, asked := w.request(t, s); len(asked) != 1 || by != (signed{"ASIA2", roleToken + "-2"}) {
		t.Errorf("after 50 minutes: %v, %d questions", by, len(asked))
	}
	w.silent(t, "")
}

func TestRole_when_keys_cannot_be_renewed(t *testing.T) {
	w := withRole(t, rolesGiven)
	s := w.open(t)
	w.request(t, s)
	w.mu.Lock()
	w.answer = func(rw http.ResponseWriter, _ *http.Request) { stsError(rw, 503, "ServiceUnavailable", "later") }
	w.mu.Unlock()
	w.wait(50 * time.Minute)
	if by, asked := w.request(t, s); by.key != "ASIA1" || len(asked) != 1 || !strings.Contains(w.log.String(), "still hold") {
		t.Errorf("%v, %d questions, log %s", by, len(asked), w.log.String())
	}
	if _, asked := w.request(t, s); len(asked) != 0 {
		t.Error("it is asked again at every request")
	}
	w.wait(11 * time.Minute)
	w.fails(t, s, fault.StoreBusy)
	w.mu.Lock()
	w.answer = func(rw http.ResponseWriter, r *http.Request) { rolesGiven(w, rw, r) }
	w.mu.Unlock()
	if _, asked := w.request(t, s); len(asked) != 1 {
		t.Errorf("%d questions when keys can be had again", len(asked))
	}
}

func TestRole_when_its_keys_are_not_given(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*keyWorld, http.ResponseWriter, *http.Request)
		code   fault.Code
		words  []string
	}{
		"denied": {func(_ *keyWorld, rw http.ResponseWriter, _ *http.Request) {
			stsError(rw, 403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole")
		}, fault.StoreAuth, []string{"AccessDenied", "role/copy", "sts:AssumeRole", "access_key"}},
		"secrets told": {func(_ *keyWorld, rw http.ResponseWriter, r *http.Request) {
			stsError(rw, 400, "InvalidClientTokenId", "the token "+r.Header.Get("X-Amz-Security-Token")+" is bad")
		}, fault.StoreAuth, []string{"the token … is bad"}},
		"of the form of S3": {func(_ *keyWorld, rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>")
		}, fault.StoreAuth, []string{"SignatureDoesNotMatch"}},
		"throttled": {func(_ *keyWorld, rw http.ResponseWriter, _ *http.Request) {
			stsError(rw, 400, "Throttling", "Rate exceeded")
		}, fault.StoreBusy, nil},
		"broken": {func(_ *keyWorld, rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusInternalServerError)
		}, fault.StoreFailed, []string{"500"}},
		"a page": {func(_ *keyWorld, rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, "<html>"+roleSecret)
		}, fault.StoreProtocol, nil},
		"no end": {func(_ *keyWorld, rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, strings.ReplaceAll(answered("AssumeRole", 1, time.Now()), "Expiration", "Other"))
		}, fault.StoreProtocol, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := withRole(t, c.answer)
			w.fails(t, w.open(t), c.code, append(c.words, w.keys.URL)...)
		})
	}
	w := withRole(t, rolesGiven)
	w.keys.Close()
	w.fails(t, w.open(t), fault.StoreUnreachable, w.keys.URL, "sts_endpoint", "connection refused")
}

// MinIO is a token service too, and checks every signature.
func TestRole_when_the_server_is_minio(t *testing.T) {
	server := servers.MinIO(t)
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var by []signed
	asked := 0
	between := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		mu.Lock()
		if r.In.URL.Path == "/" {
			asked++
		} else {
			by = append(by, signatureOf(r.In))
		}
		mu.Unlock()
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
	}})
	defer between.Close()
	w := newKeyWorld(t, rolesGiven)
	w.given = map[string]any{
		"bucket": server.Bucket(t), "endpoint": between.URL, "role_arn": "arn:minio:iam:::role/any",
		"access_key": secret.New(server.AccessKey), "secret_key": secret.New(server.SecretKey),
	}
	s := w.open(t)
	write := func() signed {
		t.Helper()
		mu.Lock()
		by = nil
		mu.Unlock()
		if _, err := s.Put(t.Context(), "k", inMemory([]byte("x")), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return by[len(by)-1]
	}
	first := write()
	if first.key == server.AccessKey || first.token == "" || asked != 1 || write() != first || asked != 1 {
		t.Fatalf("signed by %v after %d questions", first, asked)
	}
	w.wait(50 * time.Minute)
	if again := write(); again == first || again.token == "" || asked != 2 {
		t.Errorf("signed by %v after %d questions", again, asked)
	}
	w.given["secret_key"] = secret.New("Pfuhlschnepfe-wrong")
	w.fails(t, w.open(t), fault.StoreAuth, "role/any", between.URL)
}

func withToken(t *testing.T, answer func(*keyWorld, http.ResponseWriter, *http.Request)) (w *keyWorld, file string) {
	w = newKeyWorld(t, answer)
	file = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(fileToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{webFile: file, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pod", "AWS_ROLE_SESSION_NAME": "pod-1"}
	return w, file
}

func TestWebIdentity_when_the_token_changes(t *testing.T) {
	for _, way := range []string{byAuto, byWeb} {
		w, file := withToken(t, rolesGiven)
		w.given["credentials"] = way
		s := w.open(t)
		by, asked := w.request(t, s)
		if by != (signed{"ASIA1", roleToken + "-1"}) || len(asked) != 1 || asked[0].Header.Get("Authorization") != "" {
			t.Fatalf("signed by %v after %d questions", by, len(asked))
		}
		for name, want := range map[string]string{
			"Action": "AssumeRoleWithWebIdentity", "RoleArn": "arn:aws:iam::123456789012:role/pod", "RoleSessionName": "pod-1", "WebIdentityToken": fileToken,
		} {
			if got := asked[0].Form.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if err := os.WriteFile(file, []byte(fileToken+"-2"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.wait(50 * time.Minute)
		if _, asked := w.request(t, s); len(asked) != 1 || asked[0].Form.Get("WebIdentityToken") != fileToken+"-2" {
			t.Errorf("%d questions, not with the new token", len(asked))
		}
		w.silent(t, "")
	}
}

func TestWebIdentity_when_no_keys_are_given(t *testing.T) {
	w, file := withToken(t, func(_ *keyWorld, rw http.ResponseWriter, r *http.Request) {
		stsError(rw, 400, "ExpiredTokenException", "Token expired: "+r.Form.Get("WebIdentityToken"))
	})
	s := w.open(t)
	w.fails(t, s, fault.StoreAuth, "ExpiredTokenException", "role/pod", file, "renew")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.fails(t, s, fault.StoreAuth, file, "no such file")
	w.keys.Close()
	if err := os.WriteFile(file, []byte(fileToken), 0o600); err != nil {
		t.Fatal(err)
	}
	w.fails(t, s, fault.StoreUnreachable, w.keys.URL)
	w.env, w.given["credentials"] = nil, byWeb
	if _, err := w.tryOpen(); !fault.Has(err, fault.JobMissing) || fault.Of(err).Hint == "" {
		t.Errorf("without a file: %v", err)
	}
}

// machine is the metadata service of a machine, version 2: nothing without a token.
func machine(w *keyWorld, rw http.ResponseWriter, r *http.Request) {
	const session = "Pfuhlschnepfe-imds"
	switch {
	case r.URL.Path == "/latest/api/token":
		if r.Method != http.MethodPut || r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") == "" {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(rw, session)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != session:
		rw.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
		_, _ = io.WriteString(rw, "copy")
	case r.URL.Path == "/latest/meta-data/iam/security-credentials/copy":
		machineAnswer(rw, "Success", w.next(), w.now().Add(6*time.Hour))
	default:
		rw.WriteHeader(http.StatusNotFound)
	}
}

func machineAnswer(rw http.ResponseWriter, code string, n int, until time.Time) {
	_ = json.NewEncoder(rw).Encode(map[string]any{
		"Code": code, "Message": "about " + code, "Type": "AWS-HMAC", "AccessKeyId": fmt.Sprintf("ASIA%d", n), "SecretAccessKey": roleSecret, "Token": roleToken,
		"LastUpdated": until.UTC().Add(-6 * time.Hour).Format(time.RFC3339), "Expiration": until.UTC().Format(time.RFC3339),
	})
}

func onMachine(t *testing.T, answer func(*keyWorld, http.ResponseWriter, *http.Request)) *keyWorld {
	w := newKeyWorld(t, answer)
	w.given["credentials"] = byInstance
	w.env = map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": w.keys.URL,
		// What is meant for another way has no say.
		webFile: "/none", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": baseSecret,
	}
	return w
}

func TestInstance_when_a_machine_has_a_role(t *testing.T) {
	t.Setenv(webFile, "/none") // the process's own has no say either
	w := onMachine(t, machine)
	s := w.open(t)
	if by, asked := w.request(t, s); by != (signed{"ASIA1", roleToken}) || len(asked) != 3 {
		t.Fatalf("signed by %v after %d questions", by, len(asked))
	}
	w.wait(4 * time.Hour)
	if _, asked := w.request(t, s); len(asked) != 0 {
		t.Errorf("%d questions after four hours of six", len(asked))
	}
	w.wait(time.Hour)
	if by, asked := w.request(t, s); by.key != "ASIA2" || len(asked) != 3 {
		t.Errorf("signed by %v after %d questions", by, len(asked))
	}
	w.silent(t, "")
}

func TestInstance_when_no_keys_are_given(t *testing.T) {
	after := func(path string, then func(http.ResponseWriter)) func(*keyWorld, http.ResponseWriter, *http.Request) {
		return func(w *keyWorld, rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, path) {
				then(rw)
				return
			}
			machine(w, rw, r)
		}
	}
	for name, c := range map[string]struct {
		answer func(*keyWorld, http.ResponseWriter, *http.Request)
		code   fault.Code
		words  []string
	}{
		"no token":  {after("/token", func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusForbidden) }), fault.StoreAuth, []string{"403", "metadata options"}},
		"no role":   {after("/security-credentials/", func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusNotFound) }), fault.StoreAuth, []string{"no role", "instance profile"}},
		"none said": {after("/security-credentials/", func(http.ResponseWriter) {}), fault.StoreAuth, []string{"no role"}},
		"refused":   {after("/copy", func(rw http.ResponseWriter) { machineAnswer(rw, "AssumeRoleUnauthorizedAccess", 1, time.Now()) }), fault.StoreAuth, []string{"AssumeRoleUnauthorizedAccess"}},
		"broken":    {after("/copy", func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"SecretAccessKey":"`+roleSecret) }), fault.StoreProtocol, nil},
		"busy":      {after("/copy", func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusServiceUnavailable) }), fault.StoreBusy, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := onMachine(t, c.answer)
			w.fails(t, w.open(t), c.code, append(c.words, w.keys.URL)...)
		})
	}
	w := onMachine(t, machine)
	w.keys.Close()
	w.fails(t, w.open(t), fault.StoreUnreachable, w.keys.URL, "other credentials")
	w.env["AWS_EC2_METADATA_DISABLED"] = "true"
	w.fails(t, w.open(t), fault.StoreAuth, "AWS_EC2_METADATA_DISABLED")
}

func TestInstance_when_in_a_container(t *testing.T) {
	w := newKeyWorld(t, func(w *keyWorld, rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/credentials" || r.Header.Get("Authorization") != fileToken {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		machineAnswer(rw, "", w.next(), w.now().Add(time.Hour))
	})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(fileToken), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{containerURL: w.keys.URL + "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file, "HOME": t.TempDir()}
	s := w.open(t) // auto finds it
	if by, asked := w.request(t, s); by != (signed{"ASIA1", roleToken}) || len(asked) != 1 {
		t.Fatalf("signed by %v after %d questions", by, len(asked))
	}
	w.wait(50 * time.Minute)
	if _, asked := w.request(t, s); len(asked) != 1 {
		t.Errorf("%d questions when they are to be renewed", len(asked))
	}
	w.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = ""
	w.fails(t, w.open(t), fault.StoreAuth, "403")
	w.env[containerURL] = "http://keys.example.org/x"
	w.fails(t, w.open(t), fault.StoreAuth, "keys.example.org", containerURL)
}

func TestShared_when_files_are_as_they_are(t *testing.T) {
	w := newKeyWorld(t, rolesGiven)
	file := filepath.Join(t.TempDir(), "credentials")
	w.env = map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file}
	maps.Copy(w.given, map[string]any{"credentials": byShared, "profile": "backup"})
	w.fails(t, w.open(t), fault.StoreAuth, "no such file", file)
	for text, words := range map[string][]string{
		"[default]\naws_access_key_id = A\naws_secret_access_key = " + baseSecret + "\n":                   {`section "backup" does not exist`},
		"[backup]\naws_access_key_id = A\naws_secret_access_key\n" + baseSecret + "\n":                     {"not of its form"},
		"[backup]\naws_secret_access_key = " + baseSecret + "\n":                                           {"partial static credentials"},
		"[backup]\naws_access_key_id = A\naws_secret_access_key = \"\"\"" + baseSecret + "\nmore = x\nx\n": {"not of its form"},
		"[" + baseSecret + "\n": {"not of its form"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.fails(t, w.open(t), fault.StoreAuth, append(words, file, "backup")...)
	}
	text := "[default]\naws_access_key_id = A\naws_secret_access_key = x\n[backup]\naws_access_key_id = ASIAFILE\naws_secret_access_key = " +
		baseSecret + "\naws_session_token = " + roleToken + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if by, _ := w.request(t, w.open(t)); by != (signed{"ASIAFILE", roleToken}) {
		t.Errorf("signed by %v", by)
	}
}

// Keys that end and that nobody here can renew: the fault says so.
func TestStatic_when_the_token_has_expired(t *testing.T) {
	w := withRole(t, rolesGiven)
	delete(w.given, "role_arn")
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")
	}))
	defer service.Close()
	w.given["endpoint"] = service.URL
	w.fails(t, w.open(t), fault.StoreAuth, "ExpiredToken", "get new ones", "access_key")
}

func TestAuto_when_there_are_no_keys(t *testing.T) {
	w := newKeyWorld(t, rolesGiven)
	w.env = map[string]string{"HOME": t.TempDir()}
	w.fails(t, w.open(t), fault.StoreAuth, "AWS_ACCESS_KEY_ID", "the profile default in")
}

// Without an environment nothing of the machine is asked for: whoever hands one over
// wrote the job.
func TestCredentials_when_there_is_no_environment(t *testing.T) {
	home := t.TempDir()
	for name, value := range map[string]string{"HOME": home, "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": baseSecret, "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "x")} {
		t.Setenv(name, value)
	}
	w := newKeyWorld(t, rolesGiven)
	for _, way := range []string{byAuto, byEnv, byShared, byInstance, byWeb} {
		w.given["credentials"] = way
		_, err := newBare(w)
		if !fault.Has(err, fault.JobMissing) || fault.Of(err).Hint == "" || strings.Contains(err.Error(), home) {
			t.Errorf("%s: %v", way, err)
		}
	}
	maps.Copy(w.given, map[string]any{"credentials": byAuto, "access_key": secret.New("AKIAGIVEN"), "secret_key": secret.New(baseSecret)})
	s, err := newBare(w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if by, _ := w.request(t, s); by.key != "AKIAGIVEN" {
		t.Errorf("signed by %v", by)
	}
}

// newBare makes the store of w without an environment.
func newBare(w *keyWorld) (*Store, error) {
	c, err := settings(option.Of(fields(), w.given), store.Env{})
	if err != nil {
		return nil, err
	}
	return newStore(c, store.Env{})
}

// The home of the user is where the environment that was handed over says, even when
// the process has another.
func TestShared_when_home_is_not_told(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "[default]\naws_access_key_id = AKIAHOME\naws_secret_access_key = " + baseSecret + "\n"
	if err := os.WriteFile(filepath.Join(home, ".aws", "credentials"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newKeyWorld(t, rolesGiven)
	w.env = map[string]string{}
	w.given["credentials"] = byShared
	w.fails(t, w.open(t), fault.StoreAuth, "no such file")
}
