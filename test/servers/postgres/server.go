// Package postgres starts real PostgreSQL servers for tests: of the machine, or
// fetched on first use, each in a folder of its own, ready in under a second, gone
// with the test. A server that cannot be had fails a test, it never skips one.
package postgres

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit/test/servers/process"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
)

// Server is one running PostgreSQL. It listens on 127.0.0.1 and a unix socket and
// has one account (postgres, with a password and all rights). It is used by one
// goroutine, except for Run, Exec, Rows, Query and Client, which may be called
// concurrently.
type Server struct {
	Port     int
	User     string
	Password string
	Database string // the one that clients connect to: postgres
	Dir      string // everything of this server; the unix socket is in it, the data in Dir/data
	Version  string // e.g. "15.20"

	in       install
	settings []string
	lock     *os.File // held as long as the owner of Dir lives
	run      *process.Process
	gone     <-chan struct{} // closed when no process of the server is left, and its log is whole
}

// Launch starts a server with more settings, such as "wal_level=logical", which win
// over those set here. The caller must Close it. Should the calling process die, the
// server is killed.
func Launch(settings ...string) (*Server, error) {
	in, err := located()
	if err != nil {
		return nil, err
	}
	return in.launch(settings)
}

func (in install) launch(settings []string) (*Server, error) {
	dir, lock, err := process.Folder("godwit-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{User: account, Password: secret, Database: account, Dir: dir, Version: in.version,
		in: in, settings: slices.Clone(settings), lock: lock}
	if err := s.first(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), lock.Close())
	}
	return s, nil
}

// first copies the template and starts on a free port; one that was taken in
// between is replaced by another.
func (s *Server) first() error {
	if err := copyData(s.data(), s.in.template); err != nil {
		return err
	}
	if err := os.WriteFile(s.passFile(), []byte("*:*:*:*:"+secret+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.in.give(s.data()); err != nil {
		return err
	}
	if s.in.as != nil {
		if err := os.Chown(s.Dir, s.in.as.uid, s.in.as.gid); err != nil {
			return err
		}
	}
	var err error
	for range 5 {
		if s.Port, err = process.FreePort(); err != nil {
			return err
		}
		if err = s.start(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
	return err
}

// copyData copies a data folder, which the server wants closed to others.
func copyData(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o700)
	})
}

func (s *Server) data() string     { return filepath.Join(s.Dir, "data") }
func (s *Server) passFile() string { return filepath.Join(s.Dir, "pass") }
func (s *Server) logFile() string  { return filepath.Join(s.Dir, "server.log") }

func (s *Server) args() []string {
	args := []string{"-D", s.data(), "-p", fmt.Sprint(s.Port), "-k", s.Dir}
	for _, v := range append([]string{
		"listen_addresses=127.0.0.1",
		// A commit reaches the kernel, not the disk: it outlives the server, as kill -9
		// tests need.
		"fsync=off", "full_page_writes=off", "wal_level=logical", "max_wal_size=2GB",
		"shared_buffers=64MB", "max_connections=60", "jit=off", "timezone=UTC", "log_min_messages=warning",
	}, s.settings...) {
		args = append(args, "-c", v)
	}
	return args
}

// start runs the server and returns when it has said that it takes connections.
func (s *Server) start() error {
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return errors.Join(err, out.Close())
	}
	cmd := s.in.unprivileged(s.in.command("postgres", s.args()...))
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = write, write
	r, err := process.Start(cmd)
	_ = write.Close() // the server has its own
	if err != nil {
		return errors.Join(err, read.Close(), out.Close())
	}
	ready, gone := make(chan struct{}), make(chan struct{})
	go func() {
		follow(read, out, ready)
		close(gone)
	}()
	select {
	case <-ready:
		s.run, s.gone = r, gone
		return nil
	case <-r.Done:
		await(gone)
		err = fmt.Errorf("ended while starting: %w", errors.Join(r.Err(), errors.New("see its log")))
	case <-time.After(startLimit):
		err = fmt.Errorf("not ready after %s", startLimit)
	}
	r.Kill()
	text, _ := os.ReadFile(s.logFile())
	return fmt.Errorf("PostgreSQL on port %d: %w\n%s", s.Port, err, tail(text))
}

// await waits until no process of a server is left.
func await(gone <-chan struct{}) {
	select {
	case <-gone:
	case <-time.After(stopLimit):
	}
}

// follow copies what the server prints to its log, until all its processes are
// gone, and tells when it is ready.
func follow(from io.ReadCloser, to io.WriteCloser, ready chan<- struct{}) {
	lines := bufio.NewReader(from)
	told := false
	for {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(to, line)
		if !told && strings.Contains(line, "ready to accept ") { // a standby: "read-only connections"
			told = true
			close(ready)
		}
		if err != nil {
			_, _ = from.Close(), to.Close()
			return
		}
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// Pid is the process id of the server, 0 when it is stopped.
func (s *Server) Pid() int {
	if s.run == nil {
		return 0
	}
	return s.run.Pid()
}

// Shutdown ends the server in order, with all its sessions; its data stays for Boot.
func (s *Server) Shutdown() error { return s.end(syscall.SIGINT) }

// Crash ends the server and the processes of its sessions with SIGKILL: left alone
// these would finish what they are at. It returns when all are gone; the data stays for
// Boot.
func (s *Server) Crash() error {
	if s.run == nil {
		return nil
	}
	children := s.children()
	err := s.end(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have seen by itself that the server is gone
	}
	await(s.gone)
	return err
}

// children are the processes of the server, one for each session and some more.
func (s *Server) children() []int {
	if s.run == nil {
		return nil
	}
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.run.Pid()))
	var out []int
	for _, f := range strings.Fields(string(list)) {
		if pid, err := strconv.Atoi(f); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

func (s *Server) end(sig syscall.Signal) error {
	if s.run == nil {
		return nil
	}
	s.run.Signal(sig)
	select {
	case <-s.run.Done:
		s.run = nil
		return nil
	case <-time.After(stopLimit):
		s.run.Kill()
		s.run = nil
		return fmt.Errorf("PostgreSQL on port %d did not end within %s and was killed", s.Port, stopLimit)
	}
}

// Boot starts a stopped server again on its port, with more settings added for good.
func (s *Server) Boot(settings ...string) error {
	if s.run != nil {
		return errors.New("the server runs")
	}
	s.settings = append(s.settings, settings...)
	// Memory of a server that was killed keeps the folder taken until the kernel has
	// given it back.
	var err error
	for range 50 {
		if err = s.start(); err == nil || !strings.Contains(err.Error(), "still in use") {
			return err
		}
	}
	return err
}

// Close kills the server and removes its folder.
func (s *Server) Close() error {
	return errors.Join(s.Crash(), os.RemoveAll(s.Dir), s.lock.Close())
}
