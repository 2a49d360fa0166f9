//go:build unix && !linux

package local

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func beneath(*os.File, string, int, uint32) (*os.File, error) { return nil, errors.ErrUnsupported }

func renameNew(int, string, int, string) error { return errors.ErrUnsupported }

func syncAll(int) error { return errors.ErrUnsupported }

func futimens(fd int, modified unix.Timespec) error {
	tv := unix.NsecToTimeval(modified.Nano())
	return unix.Futimes(fd, []unix.Timeval{tv, tv})
}
