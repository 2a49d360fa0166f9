//go:build unix && !linux

package local

import (
	"errors"

	"golang.org/x/sys/unix"
)

func renameNew(int, string, int, string) error { return errors.ErrUnsupported }

func syncAll(int) error { return errors.ErrUnsupported }

func futimens(fd int, modified unix.Timespec) error {
	tv := unix.NsecToTimeval(modified.Nano())
	return unix.Futimes(fd, []unix.Timeval{tv, tv})
}
