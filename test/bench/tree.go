package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tree is a folder of objects, made from a seed.
type tree struct {
	dir     string
	objects int
	size    int64 // of each, bytes
}

func (t tree) bytes() int64 { return int64(t.objects) * t.size }

// perFolder is how many objects of a tree lie in one folder.
const perFolder = 200

// written is when every file of a tree says it was changed: long before any copy
// of it, so that no tool takes the source for newer.
var written = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// makeTree makes the tree below root, or finds the one that an earlier call
// completed.
func makeTree(root string, objects int, size int64) (tree, error) {
	t := tree{dir: filepath.Join(root, fmt.Sprintf("%d-of-%d", objects, size)), objects: objects, size: size}
	if _, err := os.Stat(t.dir); err == nil {
		return t, nil
	}
	fresh := t.dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return t, err
	}
	for i := range objects {
		path := filepath.Join(fresh, fmt.Sprintf("%03d", i/perFolder), fmt.Sprintf("f%05d.bin", i))
		if i%perFolder == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return t, err
			}
		}
		if err := fill(path, uint64(i), size); err != nil {
			return t, err
		}
	}
	return t, os.Rename(fresh, t.dir)
}

// fill writes a file of random bytes, which depend on seed and size alone.
func fill(path string, seed uint64, size int64) error {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(size))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8(key), size)
	return errors.Join(err, f.Close(), os.Chtimes(path, written, written))
}

// difference counts how a copy differs from what it should be.
type difference struct {
	missing, extra, changed int
	first                   string // one of them
}

func (d difference) Error() string {
	return fmt.Sprintf("%d missing, %d extra, %d with other contents; one of them: %s", d.missing, d.extra, d.changed, d.first)
}

func (d *difference) note(n *int, path string) {
	*n++
	if d.first == "" {
		d.first = path
	}
}

// private are folders of the gateway's own, in which it keeps uploads that are
// under way.
func private(name string) bool { return strings.HasPrefix(name, ".sgwtmp") }

// compare reads both folders and returns a difference unless they hold the same
// files with the same bytes.
func compare(want, got string) error {
	var d difference
	err := eachFile(want, func(path string) error {
		same, err := equal(filepath.Join(want, path), filepath.Join(got, path))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			d.note(&d.missing, path)
		case err != nil:
			return err
		case !same:
			d.note(&d.changed, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = eachFile(got, func(path string) error {
		if _, err := os.Lstat(filepath.Join(want, path)); errors.Is(err, fs.ErrNotExist) {
			d.note(&d.extra, path)
		} else if err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d != (difference{}) {
		return d
	}
	return nil
}

// eachFile calls visit with the path, below dir, of everything that is no folder.
func eachFile(dir string, visit func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && private(e.Name()):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		path, err = filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return visit(path)
	})
}

func equal(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close()
	p, q := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, errX := io.ReadFull(x, p)
		m, errY := io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		ends := func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
		switch {
		case errX == nil && errY == nil:
		case ends(errX) && ends(errY):
			return true, nil
		default:
			return false, errors.Join(errX, errY)
		}
	}
}

// stamp is what changes when a file is written again, even with the same bytes.
type stamp struct {
	inode   uint64
	changed unix.Timespec
}

// stamps are those of every file below dir.
func stamps(dir string) (map[string]stamp, error) {
	all := map[string]stamp{}
	err := eachFile(dir, func(path string) error {
		var s unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, path), &s); err != nil {
			return err
		}
		all[path] = stamp{s.Ino, s.Mtim}
		return nil
	})
	return all, err
}

// rewritten counts the files of after that are not as they were before.
func rewritten(before, after map[string]stamp) int {
	n := 0
	for path, s := range after {
		if before[path] != s {
			n++
		}
	}
	return n
}

// trash is a folder, beside others on the same disk, for what is to be removed
// later. ext4 does not use an inode again within a minute of its removal, but
// looks at it for each file that is made: after 20,000 files were removed, making
// 20,000 others takes several times as long.
const trash = "trash"

// forgotten is how long ext4 takes note of what was removed.
const forgotten = 65 * time.Second

// dispose takes away what is at path, if anything is: at once, or into bin when
// the workload's outputs are many files.
func (w *workload) dispose(path, bin string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || !w.many {
		return os.RemoveAll(path)
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(bin, "")
	if err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(fresh, filepath.Base(path)))
}

// disposeContents takes away what is in a folder and keeps the folder itself: a
// bucket's settings are kept with its folder.
func (w *workload) disposeContents(dir, bin string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.dispose(filepath.Join(dir, e.Name()), bin); err != nil {
			return err
		}
	}
	return nil
}
