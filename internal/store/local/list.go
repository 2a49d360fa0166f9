package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"syscall"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// List implements store.Store. What cannot be listed (a folder without
// permission, a device, a symbolic link that leads nowhere, out, or to a folder)
// comes as an error with an Object that has only its Key; the listing goes on
// after it if the caller does.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		l := &lister{ctx: ctx, s: s, prefix: prefix, after: after, yield: yield}
		dir := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i]
			if badKey(dir) != "" || s.reserved(dir) {
				return // no key begins like this
			}
			dir += "/"
		}
		root, err := s.open()
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(store.Object{}, s.fail("list", "", err))
			return
		}
		l.root = root
		l.folder(dir)
	}
}

type lister struct {
	ctx           context.Context
	s             *Store
	root          Root
	prefix, after string
	yield         func(store.Object, error) bool
}

// item is an entry under the name it sorts by: a folder with "/" at its end.
type item struct {
	name string
	link bool
}

func (i item) isDir() bool { return strings.HasSuffix(i.name, "/") }

// folder lists dir, which is empty or ends with "/". False: stop.
func (l *lister) folder(dir string) bool {
	name := strings.TrimSuffix(dir, "/")
	if name == "" {
		name = "."
	}
	d, err := l.root.OpenDir(name)
	if err != nil {
		if isGone(err) || errors.Is(err, syscall.ENOTDIR) {
			return true
		}
		return l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, l.s.fail("list", name, err))
	}
	defer d.Close()
	for last := ""; ; {
		list, more, err := l.smallest(d, dir, last)
		if err != nil {
			l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, err)
			return false
		}
		for _, e := range list {
			if !l.item(d, dir, e) {
				return false
			}
		}
		if !more {
			return true
		}
		last = list[len(list)-1].name
		if err := d.Rewind(); err != nil {
			l.yield(store.Object{}, l.s.fail("list", name, err))
			return false
		}
	}
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (l *lister) item(d Dir, dir string, e item) bool {
	key := dir + e.name
	if e.isDir() {
		return l.folder(key)
	}
	var i Info
	var err error
	if e.link {
		i, err = l.root.Stat(key)
		if isGone(err) || err == nil && i.Mode.IsDir() {
			return l.yield(store.Object{Key: key}, fault.New(fault.TargetRefused, "%s is a symbolic link to a folder, or to nothing", show(key)).
				At("%s", l.s.where(key)).Try("move it away"))
		}
	} else {
		i, err = d.Stat(e.name)
		if isGone(err) {
			return true // deleted meanwhile
		}
	}
	if err != nil {
		return l.yield(store.Object{Key: key}, l.s.fail("list", key, err))
	}
	o, err := l.s.object(key, i)
	if err != nil {
		return l.yield(store.Object{Key: key}, err)
	}
	return l.yield(o, nil)
}

// smallest returns, in order, the entries of dir after last that may hold keys
// asked for, as many as fit in memory; more: there are others after them. So a
// folder of any length is listed in bounded memory, without writing anything.
func (l *lister) smallest(d Dir, dir, last string) (list []item, more bool, err error) {
	const each = 48 // bytes of an item besides its name
	size, ceiling := 0, ""
	for {
		if l.ctx.Err() != nil {
			return nil, false, context.Cause(l.ctx)
		}
		batch, err := d.Next(1024)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, false, l.s.fail("list", strings.TrimSuffix(dir, "/"), err)
		}
		for _, e := range batch {
			it := item{name: e.Name, link: e.Type&fs.ModeSymlink != 0}
			if e.Type.IsDir() {
				it.name += "/"
			}
			if it.name <= last || !l.wanted(dir+it.name, e.Type.IsDir()) {
				continue
			}
			if ceiling != "" && it.name > ceiling {
				continue
			}
			list = append(list, it)
			size += len(it.name) + each
		}
		if size > 2*l.s.listBytes {
			list, more = cut(list, l.s.listBytes, each), true
			ceiling, size = list[len(list)-1].name, l.s.listBytes
		}
	}
	sortItems(list)
	return list, more, nil
}

func sortItems(list []item) {
	slices.SortFunc(list, func(a, b item) int { return strings.Compare(a.name, b.name) })
}

// cut keeps the first items that fit, at least one.
func cut(list []item, bytes, each int) []item {
	sortItems(list)
	for i, it := range list {
		if bytes -= len(it.name) + each; bytes < 0 {
			kept := list[:max(i, 1)]
			clear(list[len(kept):])
			return kept
		}
	}
	return list
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
