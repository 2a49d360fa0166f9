package local

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"godwit/internal/store"
)

// Batch implements store.Batcher. The files of a batch wait in a folder of its
// own, closed, however many they are; a locked file in it says that their writer
// lives. They are made durable all at once, then renamed, then the folders that
// got names are synced, each once.
func (s *Store) Batch(ctx context.Context) (store.Batch, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &batch{s: s, files: map[string]*waiting{}}, nil
}

type batch struct {
	s  *Store
	mu sync.Mutex

	root  Root // nil before the first Put
	dir   string
	alive Writer // the locked file
	last  int
	files map[string]*waiting
	stale []string // of keys put again
	ended bool
}

// waiting is a file of a batch.
type waiting struct {
	key, name string
}

const lockName = "lock"

var errBatchEnded = errors.New("the batch has ended")

// Put implements store.Batch. A key that was put before is replaced.
func (b *batch) Put(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	if err := b.s.begin(ctx, key); err != nil {
		return store.Object{}, err
	}
	name, err := b.name()
	if err != nil {
		return store.Object{}, err
	}
	if err := b.s.admit(b.root, key); err != nil {
		return store.Object{}, err
	}
	w, err := b.root.Create(name)
	if err != nil {
		return store.Object{}, b.s.fail("create a file for "+show(key), b.s.staging, err)
	}
	t := &tmp{s: b.s, root: b.root, name: name, key: key, w: w}
	i, err := b.s.fill(ctx, t, body, o)
	if err != nil {
		t.drop()
		return store.Object{}, err
	}
	if err := w.Close(); err != nil {
		_ = b.root.Remove(name)
		return store.Object{}, b.s.fail("write", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		_ = b.root.Remove(name)
		return store.Object{}, errBatchEnded
	}
	if was := b.files[key]; was != nil {
		b.stale = append(b.stale, was.name)
	}
	b.files[key] = &waiting{key, name}
	return b.s.whole(key, i)
}

// name returns the name of a new file, in the batch's folder.
func (b *batch) name() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return "", errBatchEnded
	}
	if b.alive == nil {
		if err := b.begin(); err != nil {
			return "", err
		}
	}
	b.last++
	return b.dir + "/" + strconv.Itoa(b.last), nil
}

func (b *batch) begin() error {
	root, err := b.s.writable()
	if err != nil {
		return err
	}
	nonce, err := b.s.nonce()
	if err != nil {
		return err
	}
	dir := b.s.staging + "/" + batchMark + nonce
	if err := root.Mkdir(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			b.s.forget()
		}
		return b.s.fail("make the folder", b.s.staging, err)
	}
	w, err := root.Create(dir + "/" + lockName)
	if err != nil {
		_ = root.RemoveDir(dir)
		return b.s.fail("create a file in", b.s.staging, err)
	}
	b.root, b.dir, b.alive = root, dir, w
	return nil
}

// Abort implements store.Batch. After Commit it does nothing.
func (b *batch) Abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.end()
	}
}

// end drops what is left. What cannot be removed is found by Sweep.
func (b *batch) end() {
	b.ended = true
	if b.alive == nil {
		return
	}
	for _, f := range b.files {
		_ = b.root.Remove(f.name)
	}
	for _, name := range b.stale {
		_ = b.root.Remove(name)
	}
	_ = b.root.Remove(b.dir + "/" + lockName)
	_ = b.alive.Close()
	_ = b.root.RemoveDir(b.dir)
}

// Commit implements store.Batch.
func (b *batch) Commit(ctx context.Context) map[string]error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := map[string]error{}
	all := func(err error) map[string]error {
		for key := range b.files {
			errs[key] = err
		}
		return orNil(errs)
	}
	if b.ended {
		return all(errBatchEnded)
	}
	defer b.end()
	if ctx.Err() != nil {
		return all(context.Cause(ctx))
	}
	if len(b.files) == 0 {
		return nil
	}
	files := slices.SortedFunc(maps.Values(b.files), func(x, y *waiting) int { return strings.Compare(x.key, y.key) })
	files = b.sync(files, errs)
	files = b.rename(files, errs)
	for _, f := range files {
		delete(b.files, f.key) // it is no file of the batch's folder any more
	}
	return orNil(b.settle(files, errs))
}

// sync makes the bytes durable, and returns the files of which they are.
func (b *batch) sync(files []*waiting, errs map[string]error) (good []*waiting) {
	if len(files) >= b.s.syncFrom {
		err := b.root.SyncAll()
		if err == nil {
			return files
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			for _, f := range files {
				errs[f.key] = b.s.fail("sync", f.key, err)
			}
			return nil
		}
	}
	return b.each(files, errs, func(f *waiting) error {
		w, err := b.root.Edit(f.name)
		if err == nil {
			err = errors.Join(w.Sync(), w.Close())
		}
		if err != nil {
			return b.s.fail("sync", f.key, err)
		}
		return nil
	})
}

// each calls for every file, for several at once, and returns those without error.
func (b *batch) each(files []*waiting, errs map[string]error, call func(*waiting) error) (good []*waiting) {
	const most = 8
	results := make([]error, len(files))
	var all sync.WaitGroup
	slots := make(chan struct{}, most)
	for i, f := range files {
		slots <- struct{}{}
		all.Go(func() {
			results[i] = call(f)
			<-slots
		})
	}
	all.Wait()
	for i, f := range files {
		if results[i] != nil {
			errs[f.key] = results[i]
			continue
		}
		good = append(good, f)
	}
	return good
}

// rename makes the folders and gives the files their names.
func (b *batch) rename(files []*waiting, errs map[string]error) []*waiting {
	made := map[string]error{} // what came of a folder
	var ready []*waiting
	for _, f := range files {
		dir := dirOf(f.key)
		err, tried := made[dir]
		if !tried {
			err = b.s.makeFolder(b.root, dir)
			made[dir] = err
		}
		if err != nil {
			errs[f.key] = err
			continue
		}
		ready = append(ready, f)
	}
	return b.each(ready, errs, func(f *waiting) error {
		err := b.s.place(b.root, f.name, f.key)
		if errors.Is(err, fs.ErrNotExist) { // the folder was removed behind our back
			b.s.forget()
			if err := b.s.makeFolder(b.root, dirOf(f.key)); err != nil {
				return err
			}
			err = b.s.place(b.root, f.name, f.key)
		}
		if err != nil {
			return b.s.fail("rename", f.key, err)
		}
		return nil
	})
}

// makeFolder makes dir and those above it, which are not durable yet.
func (s *Store) makeFolder(r Root, dir string) error {
	if dir == "." || s.known(dir) {
		return nil
	}
	if err := s.makeFolder(r, path.Dir(dir)); err != nil {
		return err
	}
	return s.makeDir(r, dir)
}

// settle makes the names durable, with the folders they are in.
func (b *batch) settle(files []*waiting, errs map[string]error) map[string]error {
	dirs := map[string]error{} // what must be synced, then what came of it
	for _, f := range files {
		for dir := dirOf(f.key); ; dir = path.Dir(dir) {
			if _, known := dirs[dir]; known {
				break
			}
			dirs[dir] = nil
			if b.s.known(dir) {
				break // its own entry is durable
			}
		}
	}
	whole := errors.ErrUnsupported
	if len(dirs) >= b.s.syncFrom {
		whole = b.root.SyncAll()
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		err := whole
		if errors.Is(err, errors.ErrUnsupported) {
			err = b.root.SyncDir(dir)
		}
		if err != nil {
			dirs[dir] = b.s.fail("sync the folder", dir, err)
		}
	}
	for _, f := range files {
		if err := b.s.settled(dirs, dirOf(f.key)); err != nil {
			errs[f.key] = err
		}
	}
	return errs
}

// settled says whether dir and those above it, as far as they are in dirs, were
// synced; then they are known to be durable.
func (s *Store) settled(dirs map[string]error, dir string) error {
	err, there := dirs[dir]
	if !there || err != nil || dir == "." {
		return err
	}
	if s.known(dir) {
		return nil
	}
	if err := s.settled(dirs, path.Dir(dir)); err != nil {
		return err
	}
	s.know(dir)
	return nil
}
