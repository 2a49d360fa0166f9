//go:build unix

package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/store"
)

// OS is the file system of the machine.
type OS struct{}

// OpenRoot implements FS.
func (OS) OpenRoot(path string) (Root, error) {
	r, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	dir, err := r.Open(".")
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return osRoot{r, dir}, nil
}

// Mkdir implements FS.
func (OS) Mkdir(path string) error { return os.Mkdir(path, 0o777) }

// SyncDir implements FS.
func (OS) SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return syncClose(f)
}

// Open implements FS.
func (OS) Open(path string) (Reader, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// syncClose takes it for done where a folder cannot be synced at all (EINVAL):
// such file systems write entries through.
func syncClose(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// osRoot opens what is below a folder in one step where the system can (beneath),
// and else as os.Root does, which opens each folder on the way.
type osRoot struct {
	r   *os.Root
	dir *os.File // the folder itself
}

// open opens a file or folder below the root.
func (r osRoot) open(name string, flag int, perm uint32) (*os.File, error) {
	f, err := beneath(r.dir, name, flag|syscall.O_CLOEXEC, perm)
	if errors.Is(err, errors.ErrUnsupported) {
		return r.r.OpenFile(name, flag, fs.FileMode(perm))
	}
	return f, err
}

func (r osRoot) Open(name string) (Reader, error) {
	f, err := r.open(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (r osRoot) Create(name string) (Writer, error) {
	f, err := r.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	// Where there are no locks Reap cannot tell and leaves the file alone.
	_ = flock(f)
	return osFile{f}, nil
}

func (r osRoot) Append(name string) (Writer, error) {
	return r.write(name, os.O_APPEND)
}

func (r osRoot) Edit(name string) (Writer, error) { return r.write(name, 0) }

func (r osRoot) write(name string, flag int) (Writer, error) {
	f, err := r.open(name, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|flag, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func flock(f *os.File) error {
	err := retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	runtime.KeepAlive(f)
	return err
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (r osRoot) OpenDir(name string) (Dir, error) {
	f, err := r.open(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return osDir{f}, nil
}

func (r osRoot) Stat(name string) (Info, error) {
	i, err := r.r.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(i), nil
}

func (r osRoot) Mkdir(name string) error { return r.r.Mkdir(name, 0o777) }
func (r osRoot) Close() error            { return errors.Join(r.dir.Close(), r.r.Close()) }

func (r osRoot) Rename(from, to string) error {
	return r.inBoth(from, to, unix.Renameat)
}

func (r osRoot) Link(from, to string) error {
	err := r.r.Link(from, to)
	// vfat and the like answer EPERM: on Linux that means "has no links", and also
	// "protected", where renaming meets the same refusal.
	if errors.Is(err, unix.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		return errors.Join(errors.ErrUnsupported, err)
	}
	return err
}

func (r osRoot) RenameNew(from, to string) error {
	return r.inBoth(from, to, renameNew)
}

// folder opens a folder whose entries are to be changed.
func (r osRoot) folder(name string) (*os.File, error) {
	return r.open(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// inBoth calls with the open folders of both names, so that no symbolic link put
// there meanwhile leads out of the root.
func (r osRoot) inBoth(from, to string, call func(int, string, int, string) error) error {
	a, err := r.folder(path.Dir(from))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := r.folder(path.Dir(to))
	if err != nil {
		return err
	}
	defer b.Close()
	err = retry(func() error { return call(int(a.Fd()), path.Base(from), int(b.Fd()), path.Base(to)) })
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (r osRoot) Remove(name string) error {
	d, err := r.folder(path.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	err = retry(func() error { return unix.Unlinkat(int(d.Fd()), path.Base(name), 0) })
	runtime.KeepAlive(d)
	if err != nil {
		return &fs.PathError{Op: "unlink", Path: name, Err: err}
	}
	return nil
}

func (r osRoot) Reap(name string) (bool, error) {
	// For writing: locks of network file systems ask for it.
	f, err := r.open(name, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if flock(f) != nil {
		return false, nil
	}
	return true, r.Remove(name)
}

func (r osRoot) SyncDir(name string) error {
	f, err := r.open(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return syncClose(f)
}

func (r osRoot) SyncAll() error {
	err := retry(func() error { return syncAll(int(r.dir.Fd())) })
	runtime.KeepAlive(r.dir)
	return err
}

func (r osRoot) RemoveDir(name string) error {
	d, err := r.folder(path.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	err = retry(func() error { return unix.Unlinkat(int(d.Fd()), path.Base(name), unix.AT_REMOVEDIR) })
	runtime.KeepAlive(d)
	if err != nil {
		return &fs.PathError{Op: "rmdir", Path: name, Err: err}
	}
	return nil
}

type osFile struct{ *os.File }

// Mark sets the owner first: a change of it may clear bits of the mode.
func (f osFile) Mark(m Marks) error {
	var errs []error
	if m.Owner != nil {
		errs = append(errs, f.Chown(m.Owner.UID, m.Owner.GID))
	}
	if m.Mode != nil {
		errs = append(errs, f.Chmod(m.Mode.Perm()))
	}
	if !m.Modified.IsZero() {
		errs = append(errs, f.setModified(m.Modified))
	}
	return errors.Join(errs...)
}

func (f osFile) setModified(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	err = retry(func() error { return futimens(int(f.Fd()), ts) })
	runtime.KeepAlive(f.File)
	return err
}

func (f osFile) Stat() (Info, error) {
	i, err := f.File.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(i), nil
}

func infoOf(i fs.FileInfo) Info {
	o := Info{Mode: i.Mode(), Size: i.Size(), Modified: i.ModTime()}
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		o.Device, o.Node = uint64(st.Dev), uint64(st.Ino)
		o.Owner = store.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	}
	return o
}

type osDir struct{ f *os.File }

func (d osDir) Next(n int) ([]Entry, error) {
	list, err := d.f.ReadDir(n)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	out := make([]Entry, len(list))
	for i, e := range list {
		out[i] = Entry{Name: e.Name(), Type: e.Type()}
	}
	return out, nil
}

func (d osDir) Rewind() error {
	_, err := d.f.Seek(0, io.SeekStart)
	return err
}

func (d osDir) Stat(name string) (Info, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(int(d.f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	runtime.KeepAlive(d.f)
	if err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	sec, nsec := st.Mtim.Unix()
	return Info{
		Mode: modeOf(uint32(st.Mode)), Size: st.Size, Modified: time.Unix(sec, nsec),
		Owner:  store.Owner{UID: int(st.Uid), GID: int(st.Gid)},
		Device: uint64(st.Dev), Node: uint64(st.Ino),
	}, nil
}

func (d osDir) Close() error { return d.f.Close() }

func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
