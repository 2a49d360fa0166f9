package hdfs

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"iter"
	"path"
	"strings"

	"godwit/internal/store"
	"godwit/internal/store/namesort"
)

// List implements store.Store. What cannot be listed (a folder without permission)
// comes as an error with an Object that has only its Key; the listing goes on after
// it if the caller does.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if ctx.Err() != nil {
			yield(store.Object{}, context.Cause(ctx))
			return
		}
		if dir, ok := s.listed(prefix); ok {
			l := &lister{ctx: ctx, s: s, prefix: prefix, after: after, yield: yield}
			l.folder(dir)
		}
	}
}

type lister struct {
	ctx           context.Context
	s             *Store
	prefix, after string
	yield         func(store.Object, error) bool
}

// folder lists dir, which is empty or ends with "/". False: stop.
func (l *lister) folder(dir string) bool {
	items := &namesort.Sorter{Limit: l.s.listBytes}
	defer items.Close()
	if err := l.read(dir, items); err != nil {
		return l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, err)
	}
	for it, err := range items.Sorted() {
		if err == nil && l.ctx.Err() != nil {
			err = context.Cause(l.ctx)
		}
		if err != nil {
			l.yield(store.Object{Key: strings.TrimSuffix(dir, "/")}, l.s.fail("sort the names in", nameOf(dir), err))
			return false
		}
		if !l.item(dir, it) {
			return false
		}
	}
	return true
}

// read takes the entries of dir that may hold keys asked for. The name node's order
// is not that of keys: it compares bytes with a sign, and folders without "/".
func (l *lister) read(dir string, items *namesort.Sorter) error {
	for last := ""; ; {
		list, more, err := l.s.readDir(l.ctx, l.s.path(nameOf(dir)), last)
		switch {
		case errors.Is(err, fs.ErrNotExist), noFile(err):
			return nil
		case err != nil:
			return l.s.fail("list", nameOf(dir), err)
		}
		for _, st := range list {
			if string(st.GetPath()) == "" {
				return nil // dir is a file
			}
			last = path.Base(string(st.GetPath()))
			name, isDir := last, st.GetFileType() == isFolder
			if isDir {
				name += "/"
			}
			if !l.wanted(dir+name, isDir) {
				continue
			}
			if err := items.Add(namesort.Item{Name: name, Note: entryOf(st).note()}); err != nil {
				return l.s.fail("sort the names in", nameOf(dir), err)
			}
		}
		if !more || len(list) == 0 {
			return nil
		}
	}
}

// note keeps what makes an Object of a listed file.
func (e entry) note() string {
	var b []byte
	for _, n := range []uint64{e.kind, e.size, e.modified, e.id} {
		b = binary.AppendUvarint(b, n)
	}
	return string(b)
}

// noted reads what note wrote.
func noted(text string) entry {
	var n [4]uint64
	b := []byte(text)
	for i := range n {
		v, size := binary.Uvarint(b)
		n[i], b = v, b[max(size, 0):]
	}
	return entry{n[0], n[1], n[2], n[3]}
}

func (l *lister) item(dir string, it namesort.Item) bool {
	key := dir + it.Name
	if strings.HasSuffix(it.Name, "/") {
		return l.folder(key)
	}
	o, err := l.s.object(key, noted(it.Note))
	if err != nil {
		o = store.Object{Key: key}
	}
	return l.yield(o, err)
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

// listed returns the folder that keys which begin with prefix are below; false:
// there can be none.
func (s *Store) listed(prefix string) (string, bool) {
	i := strings.LastIndexByte(prefix, '/')
	if i < 0 {
		return "", true
	}
	if dir := prefix[:i]; badKey(dir) != "" || s.reserved(dir) {
		return "", false
	}
	return prefix[:i+1], true
}

// nameOf returns the name of a folder that is empty or ends with "/".
func nameOf(dir string) string {
	if dir == "" {
		return "."
	}
	return strings.TrimSuffix(dir, "/")
}
