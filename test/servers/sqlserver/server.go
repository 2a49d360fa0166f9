// Package sqlserver runs real servers of the MySQL family for tests: each in a
// folder of its own, ready in a second, gone with the test. Packages mariadb and
// mysql say where a make of server comes from.
package sqlserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"godwit/test/servers/process"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
)

// Make is a make of server as it is installed.
type Make struct {
	Name     string // for people
	Version  string // e.g. "10.11.19-MariaDB-0+deb12u1-log"
	Template string // a data folder ready to be copied, which has the account
	User     string
	Password string

	// Names of the server's programs, for Command.
	Server, Client, Dump, Binlog string

	Options     func(data string) []string // of Server, which later ones override
	DumpOptions []string                   // of Dump
	// Command makes a call of one of the server's programs.
	Command func(name string, args ...string) (*exec.Cmd, error)
}

// Server is one running server. It listens on 127.0.0.1 and a unix socket, has
// one account (root, with a password), and logs rows to a binlog with the
// server's own defaults besides. It is used by one goroutine, except for Exec,
// Query, Each and their like, which may be called concurrently.
type Server struct {
	Port     int
	Socket   string
	User     string
	Password string
	Dir      string // everything of this server; the data is in Dir/data
	Version  string // see Make

	make  Make
	extra []string
	lock  *os.File // held as long as the owner of Dir lives
	run   *process.Process
}

// Launch starts a server with extra options, which win over those set here. The
// caller must Close it. Should the calling process die, the server is killed.
func Launch(m Make, extra ...string) (*Server, error) {
	dir, lock, err := process.Folder("godwit-" + strings.ToLower(m.Name) + "-")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Socket: filepath.Join(dir, "s.sock"), User: m.User, Password: m.Password, Dir: dir,
		Version: m.Version, make: m, extra: slices.Clone(extra), lock: lock,
	}
	if err := s.first(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), lock.Close())
	}
	return s, nil
}

// first copies the template and starts on a free port; one that was taken in
// between is replaced by another.
func (s *Server) first() error {
	if err := os.CopyFS(s.data(), os.DirFS(s.make.Template)); err != nil {
		return err
	}
	client := fmt.Sprintf("[client]\nuser=%s\npassword=\"%s\"\nsocket=%s\ndefault-character-set=utf8mb4\n", s.User, s.Password, s.Socket)
	if err := os.WriteFile(s.clientFile(), []byte(client), 0o600); err != nil {
		return err
	}
	var err error
	for range 5 {
		if s.Port, err = process.FreePort(); err != nil {
			return err
		}
		if err = s.start(); err == nil || !strings.Contains(err.Error(), "Bind on TCP/IP port") {
			return err
		}
	}
	return err
}

func (s *Server) data() string       { return filepath.Join(s.Dir, "data") }
func (s *Server) clientFile() string { return filepath.Join(s.Dir, "client.cnf") }
func (s *Server) logFile() string    { return filepath.Join(s.Dir, "server.log") }

func (s *Server) args() []string {
	args := append(s.make.Options(s.data()),
		"--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", s.Port),
		"--socket="+s.Socket, "--pid-file="+filepath.Join(s.Dir, "pid"),
		fmt.Sprintf("--server-id=%d", s.Port), "--log-bin=bin", "--binlog-format=ROW",
		// A commit reaches the kernel, not the disk: it outlives the server, as
		// kill -9 tests need.
		"--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0",
		"--innodb-buffer-pool-size=64M", "--key-buffer-size=1M",
		"--max-allowed-packet=256M", "--local-infile=1", "--secure-file-priv=", "--skip-name-resolve",
	)
	return append(args, s.extra...)
}

// start runs the server and returns when it has said that it takes connections.
func (s *Server) start() error {
	note, notePath, err := listenReady(s.Dir)
	if err != nil {
		return err
	}
	defer note.Close()
	cmd, err := s.make.Command(s.make.Server, s.args()...)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notePath)
	cmd.Stdout, cmd.Stderr = out, out
	r, err := process.Start(cmd)
	if err != nil {
		return err
	}
	if err := s.awaitReady(note, r); err != nil {
		r.Signal(syscall.SIGKILL)
		<-r.Done
		text, _ := os.ReadFile(s.logFile())
		return fmt.Errorf("%s on port %d: %w\n%s", s.make.Name, s.Port, err, tail(text))
	}
	s.run = r
	return nil
}

// listenReady makes the socket to which a server says that it is ready.
func listenReady(dir string) (*net.UnixConn, string, error) {
	path := filepath.Join(dir, "ready")
	if err := os.RemoveAll(path); err != nil {
		return nil, "", err
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	return c, path, err
}

func (s *Server) awaitReady(note *net.UnixConn, r *process.Process) error {
	ready := make(chan error, 1)
	if err := note.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := note.Read(buf)
			if err != nil {
				ready <- fmt.Errorf("not ready: %w", err)
				return
			}
			if slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
				ready <- nil
				return
			}
		}
	}()
	select {
	case err := <-ready:
		return err
	case <-r.Done:
		_ = note.Close() // ends the reader; buffered, it waits for nobody
		return fmt.Errorf("ended while starting: %w", errors.Join(r.Err(), errors.New("see its log")))
	}
}

// tail is the end of a log.
func tail(out []byte) []byte {
	return bytes.TrimSpace(out[max(0, len(out)-4000):])
}

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// Binlog is the folder with the binlog files, named bin.000001 and so on.
func (s *Server) Binlog() string { return s.data() }

// Pid is the process id of the server, 0 when it is stopped.
func (s *Server) Pid() int {
	if s.run == nil {
		return 0
	}
	return s.run.Pid()
}

// Shutdown ends the server in order; its data stays for Boot.
func (s *Server) Shutdown() error { return s.end(syscall.SIGTERM) }

// Crash ends the server with SIGKILL; its data stays for Boot.
func (s *Server) Crash() error { return s.end(syscall.SIGKILL) }

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
		s.run.Signal(syscall.SIGKILL)
		<-s.run.Done
		s.run = nil
		return fmt.Errorf("%s on port %d did not end within %s and was killed", s.make.Name, s.Port, stopLimit)
	}
}

// Boot starts a stopped server again on its port, with more options added for
// good.
func (s *Server) Boot(extra ...string) error {
	if s.run != nil {
		return errors.New("the server runs")
	}
	s.extra = append(s.extra, extra...)
	return s.start()
}

// Close kills the server and removes its folder.
func (s *Server) Close() error {
	return errors.Join(s.Crash(), os.RemoveAll(s.Dir), s.lock.Close())
}
