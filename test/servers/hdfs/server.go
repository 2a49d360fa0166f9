// Package hdfs starts real clusters of HDFS for tests, and looks at their files
// through Hadoop's own client. A cluster is one Java process on loopback with name
// nodes, data nodes and, if asked for, a Kerberos KDC. It needs mvn, java and javac.
// One that cannot be had fails a test, it never skips one.
package hdfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"godwit/test/servers/process"
)

const startLimit = 120 * time.Second

// Options say what is started. The zero Options are one name node, one data node and
// permissions that are checked.
type Options struct {
	DataNodes int  // 0: one
	HA        bool // two name nodes, of which the first is the active one
	// Kerberos is the protection of data transfer (authentication, integrity or
	// privacy); empty: no Kerberos.
	Kerberos string
	// RPC is the protection of calls of a cluster with Kerberos; empty: authentication.
	RPC string
	// Conf are further settings of hdfs-site.xml.
	Conf map[string]string
}

// Server is a running cluster.
type Server struct {
	NameNodes []string // host:port of each
	User      string   // who may do everything

	options Options
	dir     string
	lock    *os.File
	ports   []int // RPC and HTTP of each name node
	n       atomic.Int64

	mu  sync.Mutex // one command at a time
	run *process.Process
	in  io.WriteCloser
	out *bufio.Scanner
}

var shared = sync.OnceValues(func() (*Server, error) { return Launch(Options{}) })

// Shared returns this process's cluster: one name node, one data node.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Start starts a cluster of its own, which ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	return process.ClosedBy[*Server](t)(Launch(o))
}

// Launch starts a cluster of its own. It should be closed; should the calling
// process die, the cluster is killed, and the next Launch removes its folder.
func Launch(o Options) (*Server, error) {
	dir, lock, err := process.Folder("godwit-hdfs-")
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, dir: dir, lock: lock}
	for range 5 {
		if err = s.choosePorts(); err != nil {
			break
		}
		if err = s.start(); err == nil || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close(), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) choosePorts() error {
	n := 2
	if s.options.HA {
		n = 4
	}
	s.ports, s.NameNodes = nil, nil
	for i := range n {
		port, err := process.FreePort()
		if err != nil {
			return err
		}
		s.ports = append(s.ports, port)
		if i%2 == 0 {
			s.NameNodes = append(s.NameNodes, fmt.Sprintf("%s:%d", s.host(), port))
		}
	}
	return nil
}

// host is the name of this machine that services have: with Kerberos it is part of
// who they are.
func (s *Server) host() string {
	if s.options.Kerberos != "" {
		return "localhost"
	}
	return "127.0.0.1"
}

// arguments are those of Server.java.
func (s *Server) arguments() []string {
	var ports []string
	for _, p := range s.ports {
		ports = append(ports, strconv.Itoa(p))
	}
	args := []string{"dir=" + filepath.Join(s.dir, "data"), "ports=" + strings.Join(ports, ","), fmt.Sprintf("datanodes=%d", max(s.options.DataNodes, 1))}
	if s.options.Kerberos != "" {
		args = append(args, "kerberos="+s.options.Kerberos)
	}
	if s.options.RPC != "" {
		args = append(args, "rpc_protection="+s.options.RPC)
	}
	for name, value := range s.options.Conf {
		args = append(args, name+"="+value)
	}
	return args
}

func (s *Server) start() error {
	path, err := classpath(context.Background())
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := os.MkdirAll(filepath.Join(s.dir, "data"), 0o755); err != nil {
		return err
	}
	args := append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dhadoop.home.dir=" + s.dir,
		"-Djava.io.tmpdir=" + s.dir, "-cp", path, "Server"}, s.arguments()...)
	cmd := exec.Command("java", args...)
	cmd.Stderr, cmd.Dir = log, s.dir
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout = write
	run, err := process.Start(cmd)
	err = errors.Join(err, write.Close())
	if err != nil {
		return errors.Join(err, read.Close())
	}
	s.run, s.in, s.out = run, in, bufio.NewScanner(read)
	go func() { <-run.Done; _ = in.Close() }()
	timer := time.AfterFunc(startLimit, run.Kill)
	defer timer.Stop()
	lines, err := s.answer()
	if err != nil {
		run.Kill()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("hdfs on port %d: %w\n%s", s.ports[0], err, tail(text))
	}
	s.User = lines[len(lines)-1]
	return nil
}

// answer reads the lines of an answer; the last is what stands after "ok".
func (s *Server) answer() ([]string, error) {
	var lines []string
	for s.out.Scan() {
		first, rest, _ := strings.Cut(s.out.Text(), "\t")
		switch first {
		case "":
			lines = append(lines, rest)
		case "ok":
			return append(lines, rest), nil
		case "error":
			return nil, errors.New(rest)
		}
	}
	return nil, errors.Join(errors.New("the cluster has ended: see its log"), s.out.Err())
}

// Command sends a command to the process of the cluster (see Server.java) and
// returns the lines of its answer.
func (s *Server) Command(parts ...string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(s.in, strings.Join(parts, "\t")+"\n"); err != nil {
		return nil, fmt.Errorf("%s: %w", parts[0], err)
	}
	lines, err := s.answer()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(parts, " "), err)
	}
	return lines[:len(lines)-1], nil
}

// Do is Command for tests, which fail with it.
func (s *Server) Do(t testing.TB, parts ...string) []string {
	t.Helper()
	lines, err := s.Command(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Folder makes a folder that belongs to a user, and returns its path.
func (s *Server) Folder(t testing.TB, user string) string {
	t.Helper()
	path := fmt.Sprintf("/test-%d-%d", os.Getpid(), s.n.Add(1))
	s.Do(t, "mkdir", path, "755", user)
	return path
}

// File is a file or a folder as Hadoop's client sees it.
type File struct {
	Path        string
	Folder      bool
	Size        int64
	Modified    time.Time
	Mode        uint32
	Owner       string
	Replication int
	Block       int64
}

// Files lists what lies below a folder, at any depth.
func (s *Server) Files(t testing.TB, folder string) []File {
	t.Helper()
	var out []File
	for _, line := range s.Do(t, "list", folder) {
		p := strings.SplitN(line, "\t", 8)
		n := func(i, base int) int64 {
			v, err := strconv.ParseInt(p[i], base, 64)
			if err != nil {
				t.Fatalf("list: %q: %v", line, err)
			}
			return v
		}
		out = append(out, File{Path: p[7], Folder: p[0] == "d", Size: n(1, 10), Modified: time.UnixMilli(n(2, 10)), Mode: uint32(n(3, 8)),
			Owner: p[4], Replication: int(n(5, 10)), Block: n(6, 10)})
	}
	return out
}

// Dir is the folder of everything that is this cluster's.
func (s *Server) Dir() string { return s.dir }

// Keytab returns the file with the keys of the user lark, and Krb5 the KDC's
// krb5.conf, of a cluster with Kerberos.
func (s *Server) Keytab() string { return filepath.Join(s.dir, "data/kdc/lark.keytab") }

// Krb5 returns the path of the KDC's krb5.conf.
func (s *Server) Krb5() string { return filepath.Join(s.dir, "data/kdc/krb5.conf") }

// Kill ends the whole cluster with SIGKILL; its data stays.
func (s *Server) Kill() { s.run.Kill() }

// Restart starts a killed cluster again on the same ports and data.
func (s *Server) Restart() error { return s.start() }

// Signal sends a signal to the process of the cluster, such as SIGSTOP.
func (s *Server) Signal(sig syscall.Signal) { s.run.Signal(sig) }

// Close kills the cluster and removes its folder.
func (s *Server) Close() error {
	s.run.Kill()
	return errors.Join(os.RemoveAll(s.dir), s.lock.Close())
}

func tail(out []byte) []byte { return bytes.TrimSpace(out[max(0, len(out)-4000):]) }
