package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/fault"
)

// Times of waiting for a folder. A command has it for a moment only, so the next one
// and a server that starts wait for it. So does whoever reads the name of a process
// that had the folder before: the one that has it now is about to write its own.
const (
	lockRest      = 10 * time.Millisecond
	lockForServer = 200 * time.Millisecond
	lockForOthers = 10 * time.Second
)

// byCommand follows the process in the lock file of a command.
const byCommand = "command"

// Holder is who has a state folder.
type Holder struct {
	Process string
	Command bool // and no server: it has the folder for a moment only
}

// Held tells whether a process has the state folder dir, and which. It holds up nobody
// and makes nothing.
func Held(dir string) (h Holder, held bool, err error) {
	lock, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	defer lock.Close()
	switch err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return holderOf(lock), true, nil
	case err != nil:
		return h, false, err
	}
	return h, false, nil
}

func holderOf(lock *os.File) (h Holder) {
	text := make([]byte, 64)
	n, _ := lock.ReadAt(text, 0)
	process, word, _ := strings.Cut(string(text[:n]), " ")
	return Holder{Process: process, Command: word == byCommand}
}

// take holds an flock for as long as the process lives.
func (f *folder) take(ctx context.Context) error {
	lock, err := os.OpenFile(filepath.Join(f.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return f.broken(err)
	}
	f.lock = lock
	for waited := time.Duration(0); ; waited += lockRest {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.sign()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return f.broken(err)
		}
		if who := holderOf(lock); waited >= who.patience() {
			return who.refuses(f.dir)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockRest):
		}
	}
}

func (h Holder) patience() time.Duration {
	if h.Command {
		return lockForOthers
	}
	return lockForServer
}

func (h Holder) refuses(dir string) error {
	if h.Command {
		return fault.New(fault.StateLocked, "a command works on this folder (process %s)", h.Process).At("%s", dir).Try("wait until it has ended")
	}
	return fault.New(fault.StateLocked, "another server has this folder (process %s)", h.Process).At("%s", dir).
		Try("stop it, or give another folder with --state")
}

// sign writes into the lock file who has it.
func (f *folder) sign() error {
	who := fmt.Sprint(os.Getpid())
	if f.still {
		who += " " + byCommand
	}
	if err := f.lock.Truncate(0); err != nil {
		return f.broken(err)
	}
	if _, err := f.lock.WriteAt([]byte(who), 0); err != nil {
		return f.broken(err)
	}
	return nil
}
