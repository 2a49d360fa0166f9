package cli

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/secret"
)

// breakages are ways for an answer not to come whole; another try may bring it.
var breakages = map[string]func(http.ResponseWriter){
	"cut off before": func(w http.ResponseWriter) { cutOff(w, "") },
	"half-written": func(w http.ResponseWriter) {
		cutOff(w, "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"name\":\"fr")
	},
	"half-written chunks": func(w http.ResponseWriter) {
		cutOff(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ite\r\n")
	},
	"busy": func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "0")
		problem(w, 429, "TOO_MANY_REQUESTS", "wait")
	},
	"a proxy's": func(w http.ResponseWriter) { http.Error(w, "<html>bad gateway", http.StatusBadGateway) },
}

// cutOff writes text as it is and breaks the connection.
func cutOff(w http.ResponseWriter, text string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	c.Write([]byte(text))
	c.Close()
}

func TestServer_when_the_answer_breaks(t *testing.T) {
	for what, breaks := range breakages {
		th := newThere(t)
		var tries atomic.Int32
		th.before = func(w http.ResponseWriter, r *http.Request) bool {
			early := tries.Add(1) < triesMax
			if early {
				breaks(w)
			}
			return early
		}
		th.try("job", "list").want(0, "nightly\t", "")
		if n := tries.Load(); n != triesMax {
			t.Errorf("%s: %d tries", what, n)
		}
		// What changes something is never sent twice.
		tries.Store(0)
		th.before = func(w http.ResponseWriter, r *http.Request) bool { tries.Add(1); breaks(w); return true }
		th.try("job", "pause", "nightly").want(3, "", "error[")
		if n := tries.Load(); n != 1 {
			t.Errorf("%s: an act was sent %d times", what, n)
		}
	}
}

func TestServer_when_it_says_no(t *testing.T) {
	th := newThere(t)
	for _, c := range []struct {
		token string
		args  string
		says  string
	}{
		{"", "job list", "error[TOKEN_MISSING]: a token is needed"},
		{"wrong-" + canary, "job list", "error[TOKEN_REFUSED]: the token is unknown"},
		{reader, "job pause nightly", "error[TOKEN_REFUSED]: the token may only read"},
		{reader, "token create x --role read", "error[TOKEN_REFUSED]"},
		{operator, "job show none", `error[JOB_UNKNOWN]: no job "none" lives here`},
	} {
		r := th.try(strings.Fields(c.args)...)
		r.p.Env = append(r.p.Env, envToken+"="+c.token)
		r.want(2, "", c.says)
	}
	th.try("job", "list", "--timeout", "0").want(2, "", "--timeout 0")
}

// TestServer_when_it_is_none says what is shown of answers that are not godwit's, and
// that a token in them is not.
func TestServer_when_it_is_none(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   string
		text   string
		code   int
		says   string
	}{
		{500, "text/html", "<h1>oops, " + operator, 3, "error[SERVER_GONE]: the server answered 500 Internal Server Error, not as godwit does"},
		{401, "text/plain", "who are you", 2, "error[TOKEN_MISSING]"},
		{403, "text/plain", "", 2, "error[TOKEN_REFUSED]"},
		{404, "text/plain", "404 page", 3, "answered 404 Not Found"},
		{302, "text/plain", "", 3, "answered 302 Found"},
		{200, "text/html", "<html>", 3, "answered 200 OK, not as godwit does"},
		{200, "application/json", "[1,", 3, "the server's answer cannot be read"},
		{500, "application/json", "{}", 3, "answered 500"},
	} {
		th := newThere(t)
		th.before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", c.kind)
			if c.status == 302 {
				w.Header().Set("Location", "https://127.0.0.1:1/")
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.text)
			return true
		}
		th.try("job", "list").want(c.code, "", c.says)
	}
}

func TestServer_when_it_hangs(t *testing.T) {
	for what, hang := range map[string]func(http.ResponseWriter){
		"before": func(http.ResponseWriter) {},
		"in the middle": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"items":`)
			w.(http.Flusher).Flush()
		},
	} {
		th := newThere(t)
		var tries atomic.Int32
		th.before = func(w http.ResponseWriter, r *http.Request) bool {
			tries.Add(1)
			hang(w)
			<-r.Context().Done()
			return true
		}
		th.try("job", "list", "--timeout", "100ms").want(3, "", "no whole answer within 0.1 s")
		if n := tries.Load(); n != 1 {
			t.Errorf("%s: waited %d times", what, n)
		}
	}
}

func TestServer_when_gone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, args := range [][]string{{"job", "list"}, {"job", "watch"}, {"job", "pause", "x"}, {"tables", "x"}, {"token", "list"}} {
		r := newTry(t, append(args, "--server", "http://"+l.Addr().String())...)
		r.want(3, "", "error[SERVER_GONE]: the server at "+l.Addr().String()+" does not answer")
		if !strings.Contains(r.err.String(), "start it with godwit serve") {
			t.Error(r.err.String())
		}
		r = newTry(t, args...)
		r.want(3, "", "error[SERVER_GONE]: no server runs with this state folder")
	}
	for _, url := range []string{"127.0.0.1:7711", "ftp://x", "http://", "http://me:secret@x"} {
		r := newTry(t, "job", "list", "--server", url)
		r.want(2, "", "error[USAGE]: --server")
	}
}

// TestServer_when_found_by_its_file says that the token of the state folder goes to
// the server that wrote it and to no other.
func TestServer_when_found_by_its_file(t *testing.T) {
	th := newThere(t)
	r := newTry(t, "job", "list", "--state")
	r.p.Args = append(r.p.Args, r.dir)
	if err := (serveFile{URL: th.URL, Token: operator, PID: 1, Started: now}).write(r.dir); err != nil {
		t.Fatal(err)
	}
	letGo, err := holds(r.dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer letGo()
	r.want(0, "nightly\t", "")
	r.p.Env = append(r.p.Env, envServer+"=http://127.0.0.1:1", envToken+"=of-that-one")
	r.want(0, "nightly\t", "") // what is said comes before what is usual
	r.p.Env = nil
	r.p.Args = append(r.p.Args, "--server", th.URL)
	r.want(2, "", "error[TOKEN_MISSING]")
	r.p.Args = append(r.p.Args, "--token-file", r.path("token"))
	r.want(2, "", "the file of the token cannot be read")
	r.file("token", "\n")
	r.want(2, "", "it is empty")
	r.file("token", operator+"\n")
	r.want(0, "nightly\t", "")
	r = newTry(t, "job", "list", "--timeout", "1ms", "--state")
	r.p.Args = append(r.p.Args, r.dir)
	if letGo, err = holds(r.dir, 1); err != nil {
		t.Fatal(err)
	}
	defer letGo()
	r.want(3, "", "error[SERVER_GONE]: a server has this state folder (process 1), and does not say yet where it listens")
	if err := (serveFile{URL: th.URL, Token: operator, PID: 2, Started: now}).write(r.dir); err != nil { // of one that was killed
		t.Fatal(err)
	}
	r.want(3, "", "error[SERVER_GONE]: a server has this state folder (process 1), and does not say yet where it listens")
	r.file(serveName, `{"url": "http`)
	r.want(3, "", "error[SERVER_GONE]: the file that says where the server is cannot be read")
}

func TestServer_when_it_has_a_certificate(t *testing.T) {
	th := newThere(t)
	safe := httptest.NewUnstartedServer(th.Config.Handler)
	safe.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that clients end
	safe.StartTLS()
	t.Cleanup(safe.Close)
	r := th.try("job", "list", "--server", safe.URL)
	r.want(3, "", "name its certificate's issuer with --ca FILE")
	r.file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: safe.Certificate().Raw})))
	r.p.Args = append(r.p.Args, "--ca", r.path("ca.pem"))
	r.want(0, "nightly\t", "")
	r.file("ca.pem", "nothing")
	r.want(2, "", "there is no certificate in it")
	r.p.Args[len(r.p.Args)-1] = r.path("none.pem")
	r.want(2, "", "the certificates to trust cannot be read")
}

func TestServeFile_when_written(t *testing.T) {
	dir := t.TempDir()
	f := serveFile{URL: "http://127.0.0.1:1", Token: "t", PID: 7, Started: now}
	for range 2 { // the second replaces the first
		if err := f.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(filepath.Join(dir, serveName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, serveName))
	var keys map[string]any
	if err := json.Unmarshal(b, &keys); err != nil || keys["url"] != f.URL || keys["token"] != "t" || keys["pid"] != 7.0 || keys["started"] == nil {
		t.Errorf("%s", b)
	}
	removeServeFile(dir, 8)
	if _, err := readServeFile(dir); err != nil {
		t.Error("the file of another process was removed")
	}
	removeServeFile(dir, 7)
	left, _ := os.ReadDir(dir)
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := f.write(filepath.Join(dir, "none")); err == nil {
		t.Error("written into no folder")
	}
}

func TestPatience_when_a_request_waits(t *testing.T) {
	th := newThere(t)
	th.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		problem(w, 503, "SERVER_GONE", "the server is starting")
		return true
	}
	begin := time.Now()
	th.try("job", "list").want(3, "", "error[SERVER_GONE]: the server is starting")
	if d := time.Since(begin); d > 30*time.Second || len(th.requests("GET")) != 1 {
		t.Errorf("waited %v for an hour", d)
	}
	a := newApp(Process{Out: os.Stdout, Err: os.Stderr}, testRegistry, fake{})
	for range 3 {
		a.hideToo(secret.New("abcd-efgh"))
	}
	if got := a.hide("x abcd-efgh y"); got != "x ****** y" {
		t.Error(got)
	}
}
