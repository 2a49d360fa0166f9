package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// binary is godwit as it is built for people.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "godwit-web-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "godwit")
	build := exec.Command("go", "build", "-o", path, "./cmd/godwit")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// built is the folder of the binary, to be removed.
var built string

// real is a running `godwit serve`, with a database and folders for its jobs. Its port
// stays its own while it is gone.
type real struct {
	t      *testing.T
	db     *mariadb.Server
	dir    string
	addr   string
	tokens map[string]string // by role

	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
	said  *bytes.Buffer // valid after ended
}

const shop = `
CREATE DATABASE shop; USE shop;
CREATE TABLE shop.customers (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60) NOT NULL);
CREATE TABLE shop.orders (id BIGINT PRIMARY KEY AUTO_INCREMENT, customer BIGINT NOT NULL, status VARCHAR(20) NOT NULL, total DECIMAL(10,2) NOT NULL);
CREATE TABLE shop.items (id BIGINT PRIMARY KEY AUTO_INCREMENT, order_id BIGINT NOT NULL, what VARCHAR(60) NOT NULL);
INSERT INTO shop.customers (name) SELECT CONCAT('customer ', seq) FROM seq_1_to_2000;
INSERT INTO shop.orders (customer, status, total) SELECT seq % 2000 + 1, 'new', seq / 100 FROM seq_1_to_5000;
INSERT INTO shop.items (order_id, what) SELECT seq % 5000 + 1, CONCAT('item ', seq) FROM seq_1_to_9000;
`

func newReal(t *testing.T) *real {
	t.Helper()
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	r := &real{t: t, db: mariadb.Start(t), dir: t.TempDir(), addr: "127.0.0.1:0", tokens: map[string]string{}}
	r.db.Exec(t, shop)
	for i := range 20 {
		r.put(fmt.Sprintf("in/%02d.bin", i), strings.Repeat("x", 1000*i))
	}
	r.start()
	for _, role := range []string{"operate", "read"} {
		file := filepath.Join(r.dir, role+".token")
		r.ask("token", "create", "ana-"+role, "--role", role, "--out", file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r.tokens[role] = strings.TrimSpace(string(text))
	}
	return r
}

func (r *real) put(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "data", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) url() string { return "http://" + r.addr }

func (r *real) state() string { return filepath.Join(r.dir, "state") }

func (r *real) command(args ...string) *exec.Cmd {
	path, _ := binary() // it was built before
	cmd := exec.Command(path, append(args, "--state", r.state())...)
	cmd.Env = append(os.Environ(), "WALK_PASSWORD="+r.db.Password, "WALK_WRONG=not-the-password")
	return cmd
}

// ask is a command that must succeed.
func (r *real) ask(args ...string) string {
	r.t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("godwit %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts the server, and waits until it takes jobs.
func (r *real) start() {
	r.t.Helper()
	word := filepath.Join(r.state(), "serve.json")
	_ = os.Remove(word) // of the one before
	said, ended := &bytes.Buffer{}, make(chan struct{})
	cmd := r.command("serve", "--listen", r.addr, "--data", filepath.Join(r.dir, "data"), "--allow-env", "WALK_PASSWORD,WALK_WRONG")
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when the thread ends that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState has it
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		r.t.Fatal(err)
	}
	r.cmd, r.said, r.ended = cmd, said, ended
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	wait(r.t, func() bool {
		select {
		case <-ended:
			r.t.Fatalf("the server ended\n%s", said)
		default:
		}
		var f struct{ URL string }
		text, err := os.ReadFile(word)
		if err != nil || json.Unmarshal(text, &f) != nil {
			return false
		}
		r.addr = strings.TrimPrefix(f.URL, "http://")
		return healthy(f.URL)
	})
}

func healthy(url string) bool {
	a, err := http.Get(url + "/healthz")
	if err != nil {
		return false
	}
	defer func() { _ = a.Body.Close() }()
	var h struct{ Status string }
	return json.NewDecoder(a.Body).Decode(&h) == nil && h.Status == "ok"
}

// end sends a signal and returns the exit code; -1: it was killed.
func (r *real) end(s syscall.Signal) int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("the server does not end")
	}
	return r.cmd.ProcessState.ExitCode()
}

// change goes on changing all tables until it is stopped.
func (r *real) change() (stop func()) {
	quit := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-quit:
				return
			case <-time.After(50 * time.Millisecond):
			}
			err := r.db.Run(`INSERT INTO shop.customers (name) VALUES ('new');
INSERT INTO shop.orders (customer, status, total) VALUES (1, 'new', 9.99), (2, 'new', 1);
UPDATE shop.orders SET status = 'sent' ORDER BY id DESC LIMIT 3; INSERT INTO shop.items (order_id, what) VALUES (1, 'x'); DELETE FROM shop.items ORDER BY id LIMIT 1;`)
			if err != nil {
				r.t.Error(err)
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); all.Wait() })
}

// tables is the file of a job of three tables, with the password of a variable.
func (r *real) tables(name, variable string) string {
	return fmt.Sprintf(`# Every table of the shop, as it is and as it changes.
name: %s
source:
  mysql: {address: "%s", user: %s, password: "${env:%s}"}
tables: ["shop.*"]
sinks:
  - name: lake
    files: {url: "file://%s", format: csv, roll: {size: 1MiB, every: 1s}}
`, name, r.db.Addr(), r.db.User, variable, filepath.Join(r.dir, "data", name))
}

// files is the file of a job that moves files.
func (r *real) files(name string) string {
	data := filepath.Join(r.dir, "data")
	return fmt.Sprintf("name: %s\nkind: files\nsource: {url: \"file://%s\"}\nsink: {url: \"file://%s\"}\nevery: 1s\n", name, filepath.Join(data, "in"), filepath.Join(data, name))
}

// submit submits a job beside the page.
func (r *real) submit(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.ask("job", "submit", path)
}
