package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

// bug is a defect planted below or above a store that is right.
type bug struct {
	name string
	by   string // begin of the name of a check that must catch it
	file tamper
	over func(*local.Store, local.FS) store.Store
}

func bugs() []bug {
	nothing := func(func() error) error { return nil }
	swallow := func(call func() error) error { _ = call(); return nil }
	return []bug{
		{name: "data is not synced", by: "PowerCut", file: tamper{sync: nothing}},
		{name: "no folder is synced", by: "PowerCut", file: tamper{syncDir: func(_ string, _ func() error) error { return nil }}},
		{name: "staging folder is not synced", by: "PowerCut", file: tamper{syncDir: unlessIn(".godwit-staging")}},
		{name: "parents of new folders are not synced", by: "PowerCut", file: tamper{syncDir: unlessIn("t", "e", "e/deep", ".")}},
		{name: "root's parents are not synced", by: "PowerCut", file: tamper{syncDir: unlessIn("/", "/data")}},
		{name: "error of sync is swallowed", by: "Fails", file: tamper{sync: swallow}},
		{name: "error of folder sync is swallowed", by: "Fails", file: tamper{syncDir: func(_ string, call func() error) error { return swallow(call) }}},
		{name: "short write is swallowed", by: "FailsTorn", file: tamper{write: lostWrite}},
		{name: "rename before sync", by: "PowerCut", file: tamper{late: true}},
		{name: "create looks, then renames", by: "Races", file: tamper{link: lookThenRename}},
		{name: "create replaces", by: "Create", file: tamper{link: local.Root.Rename}},
		{name: "publish replaces", by: "PublishOverOther", file: tamper{renameNew: local.Root.Rename}},
		{name: "publish looks, then replaces", by: "Races", file: tamper{renameNew: lookThenRename}},
		{name: "whole sync does nothing", by: "PowerCut", file: tamper{syncAll: nothing}},
		{name: "error of whole sync is swallowed", by: "Fails", file: tamper{syncAll: swallow}},
		{name: "parts are not synced", by: "PowerCut", file: tamper{editSync: nothing}},
		{name: "record of parts is not synced", by: "PowerCut", file: tamper{appendSync: nothing}},
		{name: "overwritten parts stay recorded", by: "Killed", file: tamper{note: func(b []byte) bool { return !bytes.Contains(b, []byte("gone")) }}},
		{name: "errors without a code", by: "Fails", over: over(func(o *overStore) { o.bare = true })},
		{name: "create is a plain write", by: "PowerCut", over: over(func(o *overStore) { o.plainCreate = true })},
		{name: "put is a plain write", by: "PutAtomicForReader", over: over(func(o *overStore) { o.plainPut = true })},
		{name: "list is not sorted", by: "ListOrder", over: over(func(o *overStore) { o.list = reversed })},
		{name: "list sorts folders by bare name", by: "ListOrder", over: over(func(o *overStore) { o.list = bySegment })},
		{name: "list begins at after", by: "List", over: over(func(o *overStore) { o.inclusive = true })},
		{name: "list shows files being written", by: "Killed", over: func(s *local.Store, f local.FS) store.Store {
			other, err := local.New(f, s.Path(), local.Options{Staging: "elsewhere"})
			if err != nil {
				panic(err)
			}
			return &overStore{Store: s, lister: other}
		}},
		{name: "match is not looked at", by: "Match", over: over(func(o *overStore) { o.noMatch = true })},
		{name: "range runs on to the end", by: "Ranges", over: over(func(o *overStore) { o.noRange = true })},
		{name: "bad keys are cleaned", by: "BadKeys", over: over(func(o *overStore) { o.clean = true })},
		{name: "staged by the last part of the key", by: "StagedExactKey", over: over(func(o *overStore) { o.stagedLoose = true })},
		{name: "publish again says taken", by: "StagePublish", over: over(func(o *overStore) { o.forgetful = true })},
		{name: "staging keeps the caller's memory", by: "StageWrites", over: over(func(o *overStore) { o.keeps = true })},
		{name: "abort leaves the staged object", by: "Abort", over: over(func(o *overStore) { o.noAbort = true })},
		{name: "delete of a folder deletes what is in it", by: "Missing", over: over(func(o *overStore) { o.deleteAll = true })},
	}
}

func TestKit_when_bugs_are_planted(t *testing.T) {
	for _, b := range bugs() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			caught := catch(t, b)
			if len(caught) == 0 {
				t.Fatal("not caught")
			}
			if !slices.ContainsFunc(caught, func(name string) bool { return strings.HasPrefix(name, b.by) }) {
				t.Errorf("caught by %q, not by %s", caught, b.by)
			}
		})
	}
}

// A kit that fails without a bug would pass the test above.
func TestKit_when_no_bug_is_planted(t *testing.T) {
	if caught := catch(t, bug{}); len(caught) > 0 {
		t.Errorf("caught by %q", caught)
	}
	if caught := catch(t, bug{over: over(func(*overStore) {})}); len(caught) > 0 {
		t.Errorf("caught by %q", caught)
	}
}

// catch returns the names of the checks that fail; of the long ones those that
// may catch the bug.
func catch(t *testing.T, b bug) (names []string) {
	open := func(fsys local.FS) (store.Store, error) {
		broken := tampered{fsys, b.file}
		s, err := local.New(broken, "/data/lake", local.Options{BufferBytes: 256, SyncAllFrom: 3})
		if err != nil || b.over == nil {
			return s, err
		}
		return b.over(s, broken), nil
	}
	o := Options{Keeps: fileKeeps, DivideObjects: 120, ListObjects: 40, LargeBytes: 100_000, Rounds: 2}.withDefaults()
	for _, c := range checks() {
		disk := powerfs.New()
		first, err := open(disk.Process())
		if err != nil {
			t.Fatal(err)
		}
		second, err := open(disk.Process())
		if err != nil {
			t.Fatal(err)
		}
		if err := newEnv(first, second, o).check(c); err != nil && !errors.Is(err, errLacks) {
			t.Logf("%s: %v", c.name, err)
			names = append(names, c.name)
		}
	}
	p := &power{open: open, o: PowerOptions{Samples: 4, Rounds: 100}.withDefaults()}
	for _, c := range p.checks() {
		if b.name != "" && !strings.HasPrefix(c.name, b.by) {
			continue
		}
		if err := c.run(); err != nil {
			t.Logf("%s: %v", c.name, err)
			names = append(names, c.name)
		}
	}
	return names
}

// tamper replaces steps of a file system.
type tamper struct {
	sync      func(func() error) error
	syncDir   func(string, func() error) error
	write     func(local.Writer, []byte) (int, error)
	link      func(r local.Root, from, to string) error
	renameNew func(r local.Root, from, to string) error
	syncAll   func(func() error) error
	// of files opened again
	editSync, appendSync func(func() error) error
	note                 func([]byte) bool // which lines of records are written
	late                 bool              // files are synced after they were renamed
}

func unlessIn(names ...string) func(string, func() error) error {
	return func(name string, call func() error) error {
		if slices.Contains(names, name) {
			return nil
		}
		return call()
	}
}

func lostWrite(w local.Writer, b []byte) (int, error) {
	_, _ = w.Write(b)
	return len(b), nil
}

func lookThenRename(r local.Root, from, to string) error {
	if _, err := r.Stat(to); err == nil {
		return fs.ErrExist
	}
	return r.Rename(from, to)
}

type tampered struct {
	local.FS
	t tamper
}

func (f tampered) SyncDir(name string) error {
	call := func() error { return f.FS.SyncDir(name) }
	if f.t.syncDir != nil {
		return f.t.syncDir(name, call)
	}
	return call()
}

func (f tampered) OpenRoot(name string) (local.Root, error) {
	r, err := f.FS.OpenRoot(name)
	return &tamperedRoot{Root: r, t: f.t, open: map[string]local.Writer{}}, err
}

type tamperedRoot struct {
	local.Root
	t    tamper
	mu   sync.Mutex
	open map[string]local.Writer
}

func (r *tamperedRoot) SyncDir(name string) error {
	call := func() error { return r.Root.SyncDir(name) }
	if r.t.syncDir != nil {
		return r.t.syncDir(name, call)
	}
	return call()
}

func (r *tamperedRoot) SyncAll() error {
	if r.t.syncAll != nil {
		return r.t.syncAll(r.Root.SyncAll)
	}
	return r.Root.SyncAll()
}

func (r *tamperedRoot) Edit(name string) (local.Writer, error) {
	w, err := r.Root.Edit(name)
	return tamperedWriter{w, tamper{sync: r.t.editSync}}, err
}

func (r *tamperedRoot) Append(name string) (local.Writer, error) {
	w, err := r.Root.Append(name)
	return tamperedWriter{w, tamper{sync: r.t.appendSync, note: r.t.note}}, err
}

func (r *tamperedRoot) Link(from, to string) error {
	if r.t.link != nil {
		return r.t.link(r.Root, from, to)
	}
	return r.Root.Link(from, to)
}

func (r *tamperedRoot) RenameNew(from, to string) error {
	if r.t.renameNew != nil {
		return r.t.renameNew(r.Root, from, to)
	}
	return r.Root.RenameNew(from, to)
}

func (r *tamperedRoot) Rename(from, to string) error {
	err := r.Root.Rename(from, to)
	r.mu.Lock()
	w := r.open[from]
	r.mu.Unlock()
	if w != nil && err == nil {
		return w.Sync()
	}
	return err
}

func (r *tamperedRoot) Create(name string) (local.Writer, error) {
	w, err := r.Root.Create(name)
	if err == nil && r.t.late {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open = map[string]local.Writer{name: w}
	}
	return tamperedWriter{w, r.t}, err
}

type tamperedWriter struct {
	local.Writer
	t tamper
}

func (w tamperedWriter) Write(b []byte) (int, error) {
	if w.t.note != nil && !w.t.note(b) {
		return len(b), nil
	}
	if w.t.write != nil {
		return w.t.write(w.Writer, b)
	}
	return w.Writer.Write(b)
}

func (w tamperedWriter) Sync() error {
	switch {
	case w.t.late:
		return nil
	case w.t.sync != nil:
		return w.t.sync(w.Writer.Sync)
	}
	return w.Writer.Sync()
}

// overStore is a store with defects of its own above one that is right.
type overStore struct {
	*local.Store
	fs     local.FS
	lister *local.Store
	list   func([]store.Object)

	bare, plainCreate, plainPut, inclusive, noMatch, noRange, clean bool
	stagedLoose, forgetful, keeps, noAbort, deleteAll               bool
}

func over(plant func(*overStore)) func(*local.Store, local.FS) store.Store {
	return func(s *local.Store, f local.FS) store.Store {
		o := &overStore{Store: s, fs: f, lister: s}
		plant(o)
		return o
	}
}

func (o *overStore) key(key string) string {
	if o.clean {
		return strings.TrimPrefix(path.Clean("/"+key), "/")
	}
	return key
}

func (o *overStore) err(err error) error {
	var p *fs.PathError
	if o.bare && errors.As(err, &p) {
		return p
	}
	return err
}

func (o *overStore) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	if o.noMatch {
		r.Match = nil
	}
	if o.noRange {
		r.N = min(r.N, 0)
	}
	return o.Store.Open(ctx, o.key(key), r)
}

func (o *overStore) plainWrite(key string, from io.Reader) error {
	r, err := o.fs.OpenRoot(o.Path())
	if err != nil {
		return err
	}
	w, err := r.Create(key)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, from, make([]byte, 100)); err != nil {
		return err
	}
	return errors.Join(w.Sync(), r.SyncDir(path.Dir(key)), w.Close())
}

func (o *overStore) Create(ctx context.Context, key string, value []byte) error {
	if !o.plainCreate {
		return o.err(o.Store.Create(ctx, o.key(key), value))
	}
	// Through the right one for its folders.
	if err := o.Store.Create(ctx, key+".folder", nil); err == nil {
		_ = o.Delete(ctx, key+".folder")
	}
	err := o.plainWrite(key, struct{ io.Reader }{bytes.NewReader(value)})
	if errors.Is(err, fs.ErrExist) {
		return store.ErrExists
	}
	return err
}

func (o *overStore) Put(ctx context.Context, key string, b store.Body, po store.PutOptions) (store.Object, error) {
	if !o.plainPut {
		obj, err := o.Store.Put(ctx, o.key(key), b, po)
		return obj, o.err(err)
	}
	if err := o.Store.Create(ctx, key, nil); err != nil && !errors.Is(err, store.ErrExists) {
		return store.Object{}, err // through the right one for its folders
	}
	if err := o.Store.Delete(ctx, key); err != nil {
		return store.Object{}, err
	}
	rc, err := b.Open(0)
	if err != nil {
		return store.Object{}, err
	}
	if err := o.plainWrite(key, rc); err != nil {
		return store.Object{}, err
	}
	return o.Stat(ctx, key)
}

func (o *overStore) Delete(ctx context.Context, key string) error {
	if o.deleteAll {
		for obj := range o.Store.List(ctx, key, "") {
			if err := o.Store.Delete(ctx, obj.Key); err != nil {
				return err
			}
		}
	}
	return o.err(o.Store.Delete(ctx, o.key(key)))
}

func (o *overStore) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	var all []store.Object
	if o.inclusive && after != "" {
		if obj, err := o.Stat(ctx, after); err == nil && strings.HasPrefix(after, prefix) {
			all = append(all, obj)
		}
	}
	for obj, err := range o.lister.List(ctx, prefix, after) {
		if err != nil {
			return func(yield func(store.Object, error) bool) { yield(obj, err) }
		}
		all = append(all, obj)
	}
	if o.list != nil {
		o.list(all)
	}
	return func(yield func(store.Object, error) bool) {
		for _, obj := range all {
			if !yield(obj, nil) {
				return
			}
		}
	}
}

func reversed(all []store.Object) { slices.Reverse(all) }

func bySegment(all []store.Object) {
	slices.SortFunc(all, func(a, b store.Object) int {
		return slices.Compare(strings.Split(a.Key, "/"), strings.Split(b.Key, "/"))
	})
}

func (o *overStore) Staged(ctx context.Context, key string) ([]store.Receipt, error) {
	list, err := o.Store.Staged(ctx, key)
	if o.stagedLoose && path.Base(key) != key {
		more, _ := o.Store.Staged(ctx, path.Base(key))
		list = append(list, more...)
	}
	return list, err
}

func (o *overStore) Publish(ctx context.Context, r store.Receipt) (store.Outcome, error) {
	out, err := o.Store.Publish(ctx, r)
	if o.forgetful && out == store.Already {
		out = store.Taken
	}
	return out, o.err(err)
}

func (o *overStore) Stage(ctx context.Context, key string, po store.PutOptions) (store.Staging, error) {
	g, err := o.Store.Stage(ctx, o.key(key), po)
	if err != nil {
		return nil, o.err(err)
	}
	return &overStaging{Staging: g, o: o}, nil
}

type overStaging struct {
	store.Staging
	o    *overStore
	kept [][]byte
}

func (g *overStaging) Write(b []byte) (int, error) {
	if g.o.keeps {
		g.kept = append(g.kept, b)
		return len(b), nil
	}
	n, err := g.Staging.Write(b)
	return n, g.o.err(err)
}

func (g *overStaging) Close() (store.Receipt, error) {
	if all := bytes.Join(g.kept, nil); len(all) > 0 {
		if _, err := g.Staging.Write(all); err != nil {
			return store.Receipt{}, err
		}
		g.kept = nil
	}
	r, err := g.Staging.Close()
	return r, g.o.err(err)
}

func (g *overStaging) Abort() {
	if g.o.noAbort {
		_, _ = g.Staging.Close()
		return
	}
	g.Staging.Abort()
}
