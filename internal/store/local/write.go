package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// tmp is a file being written under a name of its own in the staging folder. It
// stays open until it has its real name, so that it is seen to be alive.
type tmp struct {
	s    *Store
	root Root
	name string
	key  string // what it is for
	w    Writer
}

func (s *Store) tmp(key string) (*tmp, error) {
	root, err := s.writable()
	if err == nil && key != "" {
		err = s.admit(root, key)
	}
	if err != nil {
		return nil, err
	}
	nonce, err := s.nonce()
	if err != nil {
		return nil, err
	}
	name := s.staging + "/" + tmpMark + nonce
	w, err := root.Create(name)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed the staging folder
		s.forget()
		if root, err = s.writable(); err != nil {
			return nil, err
		}
		w, err = root.Create(name)
	}
	if err != nil {
		return nil, s.fail("create a file for "+show(key), s.staging, err)
	}
	return &tmp{s: s, root: root, name: name, key: key, w: w}, nil
}

func (t *tmp) write(p []byte) error {
	n, err := t.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return t.s.fail("write", t.key, err)
	}
	return nil
}

func (t *tmp) sync() error {
	if err := t.w.Sync(); err != nil {
		return t.s.fail("sync", t.key, err)
	}
	return nil
}

// drop removes the file. What cannot be removed is found by Sweep.
func (t *tmp) drop() {
	_ = t.root.Remove(t.name)
	_ = t.w.Close()
}

// syncDir makes what happened to key's entry durable.
func (s *Store) syncDir(root Root, dir string) error {
	if err := root.SyncDir(dir); err != nil {
		return s.fail("sync the folder", dir, err)
	}
	return nil
}

// Create implements store.Creator.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	t, err := s.tmp(key)
	if err != nil {
		return err
	}
	defer t.drop()
	if err := t.write(value); err != nil {
		return err
	}
	if err := t.sync(); err != nil {
		return err
	}
	if err := s.folder(t.root, dirOf(key)); err != nil {
		return err
	}
	err = s.claim(t, key)
	if errors.Is(err, fs.ErrNotExist) { // the folder was removed behind our back
		s.forget()
		if err := s.folder(t.root, dirOf(key)); err != nil {
			return err
		}
		err = s.claim(t, key)
	}
	lost := errors.Is(err, fs.ErrExist)
	if lost {
		if err := s.distinct(t.root, key); err != nil {
			return err
		}
		if i, serr := t.root.Stat(key); serr == nil && i.Mode.IsDir() {
			return s.fail("create", key, syscall.EISDIR)
		}
	}
	if err != nil && !lost {
		if errors.Is(err, errors.ErrUnsupported) {
			return fault.New(fault.TargetNoExclusive, "the file system of %s can neither link nor rename without replacing", s.path).
				At("%s", s.where(key)).By(err)
		}
		return s.fail("create", key, err)
	}
	// The loser makes the winner's entry durable too: it will act on having seen it.
	if err := s.syncDir(t.root, dirOf(key)); err != nil {
		return err
	}
	if lost {
		return fmt.Errorf("%s: %w", s.where(key), store.ErrExists)
	}
	return nil
}

// claim gives the finished file its name unless the name is taken: fs.ErrExist.
func (s *Store) claim(t *tmp, key string) error {
	err := t.root.Link(t.name, key)
	if err == nil {
		return nil
	}
	if errors.Is(err, errors.ErrUnsupported) {
		refusal := err
		if err = t.root.RenameNew(t.name, key); errors.Is(err, errors.ErrUnsupported) && errors.Is(refusal, syscall.EPERM) {
			return errors.Join(errors.ErrUnsupported, refusal)
		}
		return err
	}
	// A network file system may repeat a request whose answer was lost, and then
	// say that the name exists: it is ours if both names are one file.
	mine, e1 := t.w.Stat()
	there, e2 := t.root.Stat(key)
	if e1 == nil && e2 == nil && mine.same(there) {
		return nil
	}
	return err
}

// Put implements store.Store. Of the attributes it keeps mode and time, and the
// owner where the user may give files away.
func (s *Store) Put(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	none := store.Object{}
	if err := s.begin(ctx, key); err != nil {
		return none, err
	}
	t, err := s.tmp(key)
	if err != nil {
		return none, err
	}
	done := false
	defer func() {
		if !done {
			t.drop()
		}
	}()
	info, err := s.fill(ctx, t, body, o)
	if err != nil {
		return none, err
	}
	if err := t.sync(); err != nil {
		return none, err
	}
	if err := s.folder(t.root, dirOf(key)); err != nil {
		return none, err
	}
	if err := s.replace(t, key); err != nil {
		return none, s.fail("rename", key, err)
	}
	done = true
	_ = t.w.Close()
	if err := s.syncDir(t.root, dirOf(key)); err != nil {
		return none, err
	}
	return s.whole(key, info)
}

func (s *Store) replace(t *tmp, key string) error {
	err := s.place(t.root, t.name, key)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.forget()
	if err := s.folder(t.root, dirOf(key)); err != nil {
		return err
	}
	return s.place(t.root, t.name, key)
}

// fill copies the body, which must have the size and the sums it is said to have,
// and sets the file's attributes. It syncs nothing.
func (s *Store) fill(ctx context.Context, t *tmp, body store.Body, o store.PutOptions) (Info, error) {
	h := store.NewChecker(o.Sums)
	err := store.Pour(ctx, s.where(t.key), body, func(p []byte) error {
		h.Add(p)
		return t.write(p)
	})
	if err == nil {
		err = h.Check(s.where(t.key))
	}
	if err == nil {
		err = s.mark(t.w, t.key, o.Attributes)
	}
	if err != nil {
		return Info{}, err
	}
	i, err := t.w.Stat()
	if err != nil {
		return Info{}, s.fail("write", t.key, err)
	}
	return i, nil
}

// mark sets those attributes that a file has. What this user or this file system
// may not set is left out.
func (s *Store) mark(w Writer, key string, a store.Attributes) error {
	for _, m := range []Marks{{Owner: a.Owner}, {Mode: a.Mode}, {Modified: a.Modified}} {
		if m == (Marks{}) {
			continue
		}
		if err := w.Mark(m); err != nil && !refused(err) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
			return s.fail("set the attributes of", key, err)
		}
	}
	return nil
}

// Delete implements store.Store. Folders stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, key); err != nil {
		return err
	}
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.fail("delete", key, err)
	}
	if there, err := s.remove(root, key); err != nil || !there {
		return err
	}
	return s.syncRemoved(root, dirOf(key))
}

// remove removes the file of key. False: no object can have been there.
func (s *Store) remove(root Root, key string) (bool, error) {
	if err := s.exact(root, key); errors.Is(err, store.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	err := root.Remove(key)
	s.removed(root, key)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return true, nil // also when it is gone already: who removed it may not have synced
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	}
	if i, serr := root.Stat(key); serr == nil && i.Mode.IsDir() {
		return false, nil // some systems answer EPERM for a folder
	}
	return false, s.fail("delete", key, err)
}

func (s *Store) syncRemoved(root Root, dir string) error {
	err := root.SyncDir(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return s.fail("sync the folder", dir, err)
}

// Remove implements store.Remover: each folder is synced once.
func (s *Store) Remove(ctx context.Context, keys []string) map[string]error {
	errs := map[string]error{}
	removed := map[string][]string{} // by folder
	root, err := s.open()
	for _, key := range keys {
		switch e := s.begin(ctx, key); {
		case e != nil:
			errs[key] = e
		case err == nil:
			there, e := s.remove(root, key)
			if e != nil {
				errs[key] = e
			} else if there {
				removed[dirOf(key)] = append(removed[dirOf(key)], key)
			}
		case !errors.Is(err, fs.ErrNotExist):
			errs[key] = s.fail("delete", key, err)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(removed)) {
		if err := s.syncRemoved(root, dir); err != nil {
			for _, key := range removed[dir] {
				errs[key] = err
			}
		}
	}
	return orNil(errs)
}

func orNil(errs map[string]error) map[string]error {
	if len(errs) == 0 {
		return nil
	}
	return errs
}
