package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// fail gives err, met while trying to do what with key, its code and place. One that
// has a code already keeps it.
func (s *Store) fail(what, key string, err error) error {
	if coded := (*fault.Error)(nil); errors.As(err, &coded) {
		return err
	}
	where := s.where(key)
	code := codeOf(err)
	if unfit(err) && key != "" && !s.reserved(key) {
		code = fault.NameRefused
	}
	e := fault.New(code, "cannot %s", what).At("%s", where).By(err)
	switch {
	case e.Code == fault.NameRefused && escapes(err):
		return e.Try("a symbolic link in the path leads out of %s: move it away, or rename the object", s.path)
	case e.Code == fault.TargetFull:
		return e.Try("free space on the file system of %s, then run again", s.path)
	case errors.Is(err, syscall.EROFS):
		return e.Try("mount the file system of %s for writing", s.path)
	case errors.Is(err, syscall.EXDEV):
		return e.Try("keep %s and all folders in it on one file system", s.path)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return e.Try("a file is where a folder must be, or the other way round: move it away")
	case e.Code == fault.TargetRefused:
		return e.Try("let the user godwit runs as write in %s", s.path)
	case e.Code == fault.TargetFailed:
		return e.Try("the cause is the system's word: look at the file system of %s (dmesg, df) and whether it is still mounted", s.path)
	}
	return e
}

func codeOf(err error) fault.Code {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.TargetFull
	case refused(err), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR),
		errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EXDEV),
		errors.Is(err, syscall.EFBIG), escapes(err):
		return fault.TargetRefused
	}
	return fault.TargetFailed
}

// unfit: this name is what the file system does not take; others it may.
func unfit(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENAMETOOLONG) ||
		errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EILSEQ) || errors.Is(err, syscall.EINVAL) || escapes(err)
}

func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// escapes tells the error of os.Root for a symbolic link that leads out, which is
// not exported.
func escapes(err error) bool {
	const text = "path escapes from parent"
	var p *fs.PathError
	var l *os.LinkError
	return errors.As(err, &p) && p.Err.Error() == text || errors.As(err, &l) && l.Err.Error() == text
}

// readError maps the error of finding an object.
func (s *Store) readError(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return notFound(s.where(key))
	}
	return s.fail("read", key, err)
}

func notFound(where string) error { return fmt.Errorf("%s: %w", where, store.ErrNotFound) }
