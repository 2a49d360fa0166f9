package local

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// errEscapes is what os.Root says, in its words.
var errEscapes = errors.New("path escapes from parent")

// beneath opens what is below dir, wherever links on the way lead, unless they lead
// out: in one step, by openat2. errors.ErrUnsupported before Linux 5.6, and where
// it is forbidden.
func beneath(dir *os.File, name string, flag int, perm uint32) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flag), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	if flag&unix.O_CREAT != 0 {
		how.Mode = uint64(perm)
	}
	fd, err := unix.Openat2(int(dir.Fd()), name, &how)
	for tries := 0; tries < 100 && (err == unix.EAGAIN || err == unix.EINTR); tries++ { // EAGAIN: something was moved meanwhile
		fd, err = unix.Openat2(int(dir.Fd()), name, &how)
	}
	runtime.KeepAlive(dir)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), name), nil
	case unix.ENOSYS, unix.EPERM, unix.EAGAIN:
		return nil, errors.ErrUnsupported
	case unix.EXDEV:
		return nil, &fs.PathError{Op: "open", Path: name, Err: errEscapes}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: err}
}

func renameNew(fromDir int, from string, toDir int, to string) error {
	err := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return errors.ErrUnsupported
	}
	return err
}

// syncAll asks for a kernel that tells of lost writes: syncfs does since 5.8.
func syncAll(fd int) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil || !tellsLoss(unix.ByteSliceToString(u.Release[:])) {
		return errors.ErrUnsupported
	}
	return unix.Syncfs(fd)
}

func tellsLoss(release string) bool {
	part := strings.SplitN(release, ".", 3)
	if len(part) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(part[0])
	minor, err2 := strconv.Atoi(strings.TrimFunc(part[1], func(r rune) bool { return r < '0' || r > '9' }))
	return err1 == nil && err2 == nil && (major > 5 || major == 5 && minor >= 8)
}

// futimens sets the time of the contents and leaves the other one.
func futimens(fd int, modified unix.Timespec) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, modified}
	err := unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
	if err == unix.EINVAL || err == unix.ENOENT { // a kernel that wants a path
		err = unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), times, 0)
	}
	return err
}
