package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/colinmarc/hdfs/v2"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Create implements store.Creator.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	f, err := s.newFile(ctx, key, store.Attributes{})
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			f.drop()
		}
	}()
	if err := f.write(value); err != nil {
		return err
	}
	st, err := f.close(store.Attributes{})
	if err != nil {
		return err
	}
	err = s.place(ctx, f.path, key, st.GetFileId(), false)
	done = err == nil
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", s.where(key), store.ErrExists)
	}
	return s.fail("create", key, err)
}

// close ends the file and returns what the name node knows of it.
func (f *file) close(a store.Attributes) (*hdfs.FileStatus, error) {
	if err := f.finish(); err != nil {
		return nil, err
	}
	if err := f.mark(a); err != nil {
		return nil, err
	}
	st, err := f.s.status(f.ctx, f.path)
	if err != nil {
		return nil, f.s.fail("look at", f.key, err)
	}
	if got := int64(st.GetLength()); got != f.size {
		return nil, fault.New(fault.StoreFailed, "HDFS has %d bytes of %s, and %d were written", got, show(f.key), f.size).At("%s", f.s.where(f.key))
	}
	return st, nil
}

// place gives the file at path, whose id is id, the name key. fs.ErrExist: without
// replace, another file has it. fs.ErrNotExist: the file is gone.
func (s *Store) place(ctx context.Context, path, key string, id uint64, replace bool) error {
	for made := false; ; made = true {
		err := s.rename(ctx, path, s.path(key), replace)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrExist):
			return s.taken(ctx, key, err)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		// Either the file is not there, perhaps because an earlier call was carried out,
		// or the folder is not.
		if there, err := s.has(ctx, s.path(key), id); err != nil || there {
			return err
		}
		if there, serr := s.has(ctx, path, id); serr != nil || !there || made {
			return errors.Join(serr, err)
		}
		if err := s.mkdirs(ctx, s.path(dirOf(key))); err != nil {
			return err
		}
	}
}

// taken says what it is that a file without replace could not replace.
func (s *Store) taken(ctx context.Context, key string, exists error) error {
	st, err := s.status(ctx, s.path(key))
	if err == nil && st.GetFileType() == isFolder {
		return errIsFolder
	}
	return exists
}

// has reports whether the file with an id is at a path.
func (s *Store) has(ctx context.Context, path string, id uint64) (bool, error) {
	st, err := s.status(ctx, path)
	if errors.Is(err, fs.ErrNotExist) || noFile(err) {
		return false, nil
	}
	return err == nil && st.GetFileId() == id, err
}

// Put implements store.Store. Of the attributes it keeps mode and time.
func (s *Store) Put(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	none := store.Object{}
	if err := s.begin(ctx, key); err != nil {
		return none, err
	}
	f, err := s.newFile(ctx, key, o.Attributes)
	if err != nil {
		return none, err
	}
	done := false
	defer func() {
		if !done {
			f.drop()
		}
	}()
	h := store.NewChecker(o.Sums)
	err = store.Pour(ctx, s.where(key), body, func(p []byte) error {
		h.Add(p)
		return f.write(p)
	})
	if err == nil {
		err = h.Check(s.where(key))
	}
	if err != nil {
		return none, err
	}
	st, err := f.close(o.Attributes)
	if err != nil {
		return none, err
	}
	if err := s.place(ctx, f.path, key, st.GetFileId(), true); err != nil {
		return none, s.fail("write", key, err)
	}
	done = true
	return s.whole(key, st)
}

// Delete implements store.Store. Folders stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	st, err := s.status(ctx, s.path(key))
	if err != nil {
		if err = s.readError("delete", key, err); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	if st.GetFileType() == isFolder {
		return nil
	}
	return s.fail("delete", key, s.remove(ctx, s.path(key)))
}
