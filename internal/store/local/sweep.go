package local

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"godwit/internal/store/staged"
)

// Sweep removes files that writers left behind when they died before they had
// closed or published them, and returns how many. Staged objects are left alone:
// they are for those who hold receipts.
//
// A file goes if it was not written to for grace, by the file system's own clock,
// and nobody holds its lock; a writer holds it for as long as it lives. Should
// both fail (locks that other machines do not see, a writer that slept for
// longer), the writer meets an error where it gives the file its name: it never
// publishes something else. The same goes for folders of batches. Uploads are
// left alone, as staged objects are.
func (s *Store) Sweep(ctx context.Context, grace time.Duration) (int, error) {
	if root, err := s.open(); err != nil || !exists(root, s.staging) {
		return 0, nil
	}
	probe, err := s.tmp("")
	if err != nil {
		return 0, err
	}
	defer probe.drop()
	now, err := probe.w.Stat()
	if err != nil {
		return 0, s.fail("sweep", s.staging, err)
	}
	n := 0
	err = s.inStaging(ctx, func(root Root, d Dir, name string) error {
		batch := strings.HasPrefix(name, batchMark) && len(name) == len(batchMark)+2*staged.NonceBytes
		if !batch && !strings.HasPrefix(name, tmpMark) || !batch && len(name) != len(tmpMark)+2*staged.NonceBytes {
			return nil
		}
		i, err := d.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && now.Modified.Sub(i.Modified) < grace {
			return nil
		}
		if err != nil {
			return s.fail("sweep", s.staging, err)
		}
		reap := root.Reap
		if batch {
			reap = func(dir string) (bool, error) { return s.reapBatch(ctx, root, dir) }
		}
		gone, err := reap(s.staging + "/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fail("sweep", s.staging, err)
		}
		if gone {
			n++
		}
		return nil
	})
	return n, err
}

// reapBatch removes the folder of a batch whose writer is dead.
func (s *Store) reapBatch(ctx context.Context, root Root, dir string) (bool, error) {
	lock := dir + "/" + lockName
	if exists(root, lock) {
		if dead, err := root.Reap(lock); !dead {
			return false, err
		}
	}
	err := s.inFolder(ctx, dir, func(root Root, _ Dir, name string) error {
		if err := root.Remove(dir + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fail("sweep", dir, err)
		}
		return nil
	})
	if err == nil {
		err = root.RemoveDir(dir)
	}
	return err == nil, err
}

func exists(root Root, name string) bool {
	_, err := root.Stat(name)
	return err == nil
}
