package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"godwit/internal/fault"
	"godwit/internal/store"
)

var (
	_ store.Nester = (*Store)(nil)
	_ store.Rooted = (*Store)(nil)
)

// There implements store.Rooted.
func (s *Store) There(context.Context) error {
	r, err := s.fs.OpenRoot(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.StoreMissing, "the folder is not there").At("%s", s.path).
			Try("look whether the path is right and what is to be there is mounted; make the folder if it is to be empty")
	}
	if err != nil {
		return s.fail("open the folder", "", err)
	}
	return r.Close()
}

// Nests implements store.Nester. It follows symbolic links and, on Linux, looks where
// else a file system is mounted.
func (s *Store) Nests(other store.Store) (prefix string, in bool, err error) {
	o, ok := other.(*Store)
	if !ok {
		return "", false, nil
	}
	outer, err := realPath(s.path)
	if err != nil {
		return "", false, s.fail("find the folder", "", err)
	}
	inner, err := realPath(o.path)
	if err != nil {
		return "", false, o.fail("find the folder", "", err)
	}
	if prefix, in := climb(inner, outer, sameFolder); in {
		return prefix, true, nil
	}
	prefix, in = mountTable().nests(outer, inner)
	return prefix, in, nil
}

// realPath follows the links of a path, of which the end need not be there.
func realPath(p string) (string, error) {
	real, err := filepath.EvalSymlinks(p)
	if !absent(err) || p == "/" {
		return real, err
	}
	up, err := realPath(path.Dir(p))
	return path.Join(up, path.Base(p)), err
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// climb looks for outer among inner and the folders above it; the prefix is the way
// back. Both are real paths: one folder has two of them where it is mounted twice, or
// its file system ignores case.
func climb(inner, outer string, same func(a, b string) bool) (prefix string, in bool) {
	for p := inner; ; p = path.Dir(p) {
		switch {
		case p == outer || same(p, outer):
			return below(inner, p), true
		case p == "/":
			return "", false
		}
	}
}

func sameFolder(a, b string) bool {
	i, err := os.Stat(a)
	if err != nil {
		return false
	}
	j, err := os.Stat(b)
	return err == nil && os.SameFile(i, j)
}

// below returns what keys of inner begin with in outer, in which it lies.
func below(inner, outer string) string {
	rest := strings.Trim(strings.TrimPrefix(inner, outer), "/")
	if rest == "" {
		return ""
	}
	return rest + "/"
}

// within reports whether a path is that of a folder, or lies below it.
func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, strings.TrimSuffix(folder, "/")+"/")
}

// mounts is what is mounted where, in the order in which it was.
type mounts []mount

type mount struct {
	device string // the file system
	root   string // the folder of it that is mounted
	point  string // where it is seen
}

// nests tells whether inner lies in outer by another way: through a folder that is
// mounted in two places (bind mounts, subvolumes).
func (m mounts) nests(outer, inner string) (prefix string, in bool) {
	what, ok := m.of(inner)
	if !ok {
		return "", false
	}
	parts := mounts{}
	if part, ok := m.of(outer); ok {
		parts = append(parts, part)
	}
	for _, part := range m {
		if part.point != outer && within(part.point, outer) {
			parts = append(parts, part)
		}
	}
	for _, part := range parts {
		if part.device == what.device && within(what.root, part.root) {
			return below(part.point, outer) + below(what.root, part.root), true
		}
	}
	return "", false
}

// of returns p as if it were mounted by itself.
func (m mounts) of(p string) (mount, bool) {
	var at mount
	for _, c := range m {
		if within(p, c.point) && len(c.point) >= len(at.point) { // what came later hides what was there
			at = c
		}
	}
	if at.point == "" {
		return at, false
	}
	return mount{at.device, path.Join(at.root, strings.TrimPrefix(p, at.point)), p}, true
}
