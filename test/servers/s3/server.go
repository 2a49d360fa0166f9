// Package s3 starts real servers that speak S3 for tests: MinIO and versitygw,
// built on first use from the versions that minio/go.mod and versitygw/go.mod
// pin. A server serves all tests of a process, each in a bucket of its own, and
// ends with the process. One that cannot be had fails a test, it never skips one.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"godwit/test/servers/apt"
	"godwit/test/servers/process"
)

const (
	// Keys of the account that may do everything; tests look for the secret where
	// it must not be.
	accessKey = "godwit-test-key"
	secretKey = "Pfuhlschnepfe-2609"

	startLimit = 60 * time.Second
)

// kind is a server's program and how it is started.
type kind struct {
	name    string // of the program and of the folder with its go.mod
	module  string // what is built
	args    func(addr, dir string) []string
	env     []string
	ready   string // a path that answers when the server is ready
	refused int    // a status that says so too
}

var kinds = map[string]kind{
	"minio": {
		name: "minio", module: "github.com/minio/minio",
		args: func(addr, dir string) []string { return []string{"server", "--quiet", "--address", addr, dir} },
		env: []string{
			"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey,
			"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CI_CD=1",
		},
		ready: "/minio/health/ready",
	},
	"versitygw": {
		name: "versitygw", module: "github.com/versity/versitygw/cmd/versitygw",
		args:  func(addr, dir string) []string { return []string{"--port", addr, "--quiet", "posix", dir} },
		env:   []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		ready: "/", refused: http.StatusForbidden,
	},
}

// Server is a running server.
type Server struct {
	Name      string // "minio" or "versitygw"
	Endpoint  string // http://127.0.0.1:port
	AccessKey string
	SecretKey string

	client *minio.Client
	dir    string
	lock   *os.File
	run    *process.Process
	port   int
	n      atomic.Int64
}

var shared = map[string]func() (*Server, error){
	"minio":     sync.OnceValues(func() (*Server, error) { return Launch("minio") }),
	"versitygw": sync.OnceValues(func() (*Server, error) { return Launch("versitygw") }),
}

// MinIO returns this process's MinIO server.
func MinIO(t testing.TB) *Server { return get(t, "minio") }

// Versity returns this process's versitygw server, on a folder.
func Versity(t testing.TB) *Server { return get(t, "versitygw") }

func get(t testing.TB, name string) *Server {
	t.Helper()
	s, err := shared[name]()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Launch starts a server of its own: "minio" or "versitygw". It should be closed;
// should the calling process die, the server is killed, and the next Launch
// removes its folder.
func Launch(name string) (*Server, error) {
	k := kinds[name]
	program, err := Install(name)
	if err != nil {
		return nil, err
	}
	dir, lock, err := process.Folder("godwit-" + name + "-")
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, AccessKey: accessKey, SecretKey: secretKey, dir: dir, lock: lock}
	for range 5 {
		if s.port, err = process.FreePort(); err != nil {
			break
		}
		if err = s.start(k, program); err == nil || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close(), os.RemoveAll(dir))
	}
	return s, nil
}

// Install returns the path of a server's program, which is built on first use:
// "minio" or "versitygw".
func Install(name string) (path string, err error) {
	k := kinds[name]
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "test", "servers", "s3", k.name)
	pin, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(pin)
	dir := filepath.Join(apt.Cache(), fmt.Sprintf("%s-%x", k.name, sum[:4]))
	path = filepath.Join(dir, k.name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, apt.Once(dir, func(fresh string) error {
		cmd := exec.Command("go", "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(fresh, k.name), k.module)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build of %s: %w\n%s", k.name, err, tail(out))
		}
		return nil
	})
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "godwit").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m godwit: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (s *Server) start(k kind, program string) error {
	addr := fmt.Sprintf("127.0.0.1:%d", s.port)
	data := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, k.args(addr, data)...)
	cmd.Env = append(os.Environ(), k.env...)
	cmd.Env = append(cmd.Env, "GOMAXPROCS=2")
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, s.dir
	if s.run, err = process.Start(cmd); err != nil {
		return err
	}
	s.Endpoint = "http://" + addr
	if err := s.await(k); err != nil {
		s.run.Kill()
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s on %s: %w\n%s", k.name, addr, err, tail(text))
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return err
	}
	s.client, err = minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Region: "us-east-1"})
	return err
}

// await returns when the server says that it is ready.
func (s *Server) await(k kind) error {
	client := http.Client{Timeout: 5 * time.Second}
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.run.Done:
			return fmt.Errorf("ended while starting: %w", errors.Join(s.run.Err(), errors.New("see its log")))
		default:
		}
		answer, err := client.Get(s.Endpoint + k.ready)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK || answer.StatusCode == k.refused {
			return nil
		}
	}
	return fmt.Errorf("not ready within %s", startLimit)
}

// Bucket makes a new bucket.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%d-%d", os.Getpid(), s.n.Add(1))
	if err := s.client.MakeBucket(context.Background(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// Client returns a client of the server's makers, to look at what is there by
// another way.
func (s *Server) Client() *minio.Client { return s.client }

// Pid is the process id of the server.
func (s *Server) Pid() int { return s.run.Pid() }

// Dir is the folder of everything that is this server's.
func (s *Server) Dir() string { return s.dir }

// Close kills the server and removes its folder.
func (s *Server) Close() error {
	s.run.Kill()
	return errors.Join(os.RemoveAll(s.dir), s.lock.Close())
}

func tail(out []byte) []byte { return bytes.TrimSpace(out[max(0, len(out)-4000):]) }
