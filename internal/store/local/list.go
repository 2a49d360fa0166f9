package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"
	"syscall"

	"godwit/internal/store"
	"godwit/internal/store/namesort"
)

// List implements store.Store. What cannot be listed (a folder without
// permission, a device, a symbolic link that Options.Links does not follow) comes
// as an error with an Object that has only its Key; the listing goes on after it
// if the caller does. Names that are not UTF-8 are listed as they are.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		dir, ok := s.listed(prefix)
		if !ok {
			return // no key begins like this
		}
		root, err := s.open()
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(store.Object{}, s.fail("list", "", err))
			return
		}
		err = s.exact(root, nameOf(dir))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			yield(store.Object{}, err)
		default:
			l := &lister{ctx: ctx, s: s, root: root, prefix: prefix, after: after, yield: yield}
			l.folder(dir)
		}
	}
}

type lister struct {
	ctx           context.Context
	s             *Store
	root          Root
	prefix, after string
	yield         func(store.Object, error) bool
}

// linkNote is noted of symbolic links. A folder sorts, and is named, with "/" at its
// end.
const linkNote = "l"

// folder lists dir, which is empty or ends with "/". False: stop.
func (l *lister) folder(dir string) bool {
	name := nameOf(dir)
	d, err := l.root.OpenDir(name)
	if err != nil {
		if isGone(err) || errors.Is(err, syscall.ENOTDIR) {
			return true
		}
		return l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, l.s.fail("list", name, err))
	}
	defer d.Close()
	items := &namesort.Sorter{Limit: l.s.listBytes, Temp: l.s.temp}
	defer items.Close()
	if err := l.read(d, dir, items); err != nil {
		l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, err)
		return false
	}
	for it, err := range items.Sorted() {
		if err != nil {
			l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, l.s.fail("sort the names in", name, err))
			return false
		}
		if l.ctx.Err() != nil {
			l.yield(store.Object{}, context.Cause(l.ctx))
			return false
		}
		if !l.item(d, dir, it) {
			return false
		}
	}
	return true
}

// read takes the entries of dir that may hold keys asked for.
func (l *lister) read(d Dir, dir string, items *namesort.Sorter) error {
	for {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		batch, err := d.Next(1024)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return l.s.fail("list", nameOf(dir), err)
		}
		for _, e := range batch {
			it := namesort.Item{Name: e.Name}
			if e.Type.IsDir() {
				it.Name += "/"
			}
			if e.Type&fs.ModeSymlink != 0 {
				it.Note = linkNote
			}
			if !l.wanted(dir+it.Name, e.Type.IsDir()) {
				continue
			}
			if err := items.Add(it); err != nil {
				return l.s.fail("sort the names in", nameOf(dir), err)
			}
		}
	}
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (l *lister) item(d Dir, dir string, e namesort.Item) bool {
	key := dir + e.Name
	if strings.HasSuffix(e.Name, "/") {
		return l.folder(key)
	}
	var o store.Object
	var err error
	if e.Note == linkNote {
		o, err = l.link(key)
	} else {
		var i Info
		i, err = d.Stat(e.Name)
		if isGone(err) {
			return true // deleted meanwhile
		}
		if err == nil {
			o, err = l.s.object(key, i)
		} else {
			err = l.s.fail("list", key, err)
		}
	}
	if err != nil {
		return l.yield(store.Object{Key: key}, err)
	}
	return l.yield(o, nil)
}

// link returns the file that a symbolic link leads to, where it is to be followed.
func (l *lister) link(key string) (store.Object, error) {
	if l.s.links == LinksSkip {
		return store.Object{}, l.s.notAFile(key, "is a symbolic link")
	}
	i, err := l.root.Stat(key)
	if err != nil && escapes(err) {
		if l.s.links != LinksOutside {
			return store.Object{}, l.s.notAFile(key, "is a symbolic link that leads out of the folder")
		}
		i, err = l.s.statOutside(key)
	}
	switch {
	case isGone(err), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENXIO):
		return store.Object{}, l.s.notAFile(key, "is a symbolic link that leads to no file")
	case err != nil:
		return store.Object{}, l.s.fail("list", key, err)
	case i.Mode.IsDir():
		return store.Object{}, l.s.notAFile(key, "is a symbolic link to a folder")
	}
	return l.s.object(key, i)
}

// wanted says whether full is a key asked for, or a folder that may hold one.
func (l *lister) wanted(full string, dir bool) bool {
	if !dir {
		return strings.HasPrefix(full, l.prefix) && full > l.after && full != l.s.staging
	}
	if full == l.s.staging+"/" {
		return false
	}
	return (strings.HasPrefix(full, l.prefix) || strings.HasPrefix(l.prefix, full)) &&
		(full > l.after || strings.HasPrefix(l.after, full))
}
