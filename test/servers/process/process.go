// Package process starts the servers of tests so that none outlives the process
// that started it, on free ports and in folders that are removed even when that
// process was killed.
package process

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Process is a running command. It is killed when this process ends, however.
type Process struct {
	Done <-chan struct{} // closed when it has ended

	cmd *exec.Cmd
	err error
}

// Start starts cmd from a thread that lives as long as the command: the kernel
// sends Pdeathsig when the starting thread ends.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	done := make(chan struct{})
	p := &Process{cmd: cmd, Done: done}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(done)
	}()
	return p, <-started
}

// Signal sends a signal; the command may have ended already.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// Err returns how the command ended, once Done is closed.
func (p *Process) Err() error { return p.err }

// Pid returns the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the command and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Done
}

// ClosedBy returns what takes a server that was started, fails t where it could not be,
// and has it closed when t ends.
func ClosedBy[T io.Closer](t testing.TB) func(T, error) T {
	return func(s T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// FreePort finds a port on loopback below the range from which the kernel gives
// ports to outgoing connections, so that a stopped server finds it free again.
func FreePort() (int, error) {
	for range 200 {
		port := 17000 + rand.IntN(15000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port found on 127.0.0.1")
}

// Folder makes a folder whose name begins with prefix and whose path is short
// enough for a unix socket in it, and the lock that says that its owner lives.
// Folders of that prefix whose owner was killed are removed first.
func Folder(prefix string) (string, *os.File, error) {
	base := os.TempDir()
	if len(base) > 60 {
		base = "/tmp"
	}
	sweep(base, prefix)
	dir, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return "", nil, err
	}
	// Locked under another name first: a lock that others see is held.
	path := filepath.Join(dir, "lock")
	lock, err := os.Create(path + ".new")
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	err = errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB), os.Rename(path+".new", path))
	if err != nil {
		return "", nil, errors.Join(err, lock.Close(), os.RemoveAll(dir))
	}
	return dir, lock, nil
}

func sweep(base, prefix string) {
	locks, _ := filepath.Glob(filepath.Join(base, prefix+"*", "lock")) // the pattern is well formed
	for _, path := range locks {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // another user's, or just removed
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path)) // what stays is found next time
		}
		_ = lock.Close()
	}
}
