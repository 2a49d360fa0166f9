package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// Put implements store.Store. Options are not kept: a file has nowhere to.
func (s *Store) Put(ctx context.Context, key string, body store.Body, _ store.PutOptions) (store.Object, error) {
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
	if err := s.fill(ctx, t, body); err != nil {
		return none, err
	}
	if err := t.sync(); err != nil {
		return none, err
	}
	info, err := t.w.Stat()
	if err != nil {
		return none, s.fail("write", key, err)
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
	return s.object(key, info)
}

func (s *Store) replace(t *tmp, key string) error {
	err := t.root.Rename(t.name, key)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.forget()
	if err := s.folder(t.root, dirOf(key)); err != nil {
		return err
	}
	return t.root.Rename(t.name, key)
}

// fill copies the body, which must have the size it says.
func (s *Store) fill(ctx context.Context, t *tmp, body store.Body) error {
	r, err := body.Open(0)
	if err != nil {
		return fmt.Errorf("body of %s: %w", t.key, err)
	}
	defer r.Close()
	buf := make([]byte, min(body.Size+1, 256<<10))
	size := int64(0)
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", s.where(t.key), context.Cause(ctx))
		}
		n, err := io.ReadFull(r, buf)
		size += int64(n)
		if werr := t.write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return fmt.Errorf("body of %s: %w", t.key, err)
		}
		if size > body.Size {
			break
		}
	}
	if size != body.Size {
		return fault.New(fault.Internal, "the body of %s has not the %d bytes it says", show(t.key), body.Size).At("%s", s.where(t.key))
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
	err = root.Remove(key)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return nil // no object has this key
	default:
		if i, serr := root.Stat(key); serr == nil && i.Mode.IsDir() {
			return nil // some systems answer EPERM for a folder
		}
		return s.fail("delete", key, err)
	}
	// Also when it is gone already: who removed it may not have synced.
	err = root.SyncDir(dirOf(key))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return s.fail("sync the folder", dirOf(key), err)
	}
	return nil
}
