package local

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"godwit/internal/fault"
)

// Some file systems take several spellings for one name: they ignore case (vfat,
// exFAT, NTFS, APFS, ext4 with casefold), the normal form of letters (APFS, HFS+)
// or dots at the end (vfat). There two keys would overwrite each other, and one
// would be taken for the other. So where names fold an object is there only under
// the very bytes that its folder lists, and what would be written to another
// spelling of them is refused with NAME_CLASH. Elsewhere nothing costs more than
// finding that out.

// kind is what is known of how the file system treats names.
type kind = uint32

const (
	unknown   kind = iota
	seemApart      // by a look that wrote nothing: enough for those who read
	seemFold
	apart // by a probe
	fold
)

// spelling is what a Store knows of names.
type spelling struct {
	kind atomic.Uint32

	mu      sync.Mutex // where names fold also held from looking at a name until it is given
	folders map[string]*spelled
	bytes   int // of the names in folders
}

// spelled are the names in a folder when it was last changed, as far as the file
// system's clock can tell, or by this Store.
type spelled struct {
	names    map[string]struct{} // nil: too many to be kept
	bytes    int
	modified time.Time
}

// folds says whether names fold. The first call finds out, by a file in the staging
// folder; all that lies below the store's folder is taken to be alike.
func (s *Store) folds(root Root) (bool, error) {
	n := &s.spelling
	if k := n.kind.Load(); k >= apart {
		return k == fold, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := n.kind.Load(); k >= apart {
		return k == fold, nil
	}
	found, err := s.probe(root)
	if err != nil {
		return false, err
	}
	if found {
		n.kind.Store(fold)
	} else {
		n.kind.Store(apart)
	}
	return found, nil
}

// probes are names, each with other spellings of it. The second is for file systems
// that have no letters but ASCII's.
var probes = [...][]string{{"Name-\u00c9", "nAME-\u00c9", "Name-E\u0301"}, {"Name", "nAME"}}

func (s *Store) probe(root Root) (found bool, err error) {
	for _, names := range probes {
		err = s.scratch(root, names[0], func(dir string) error {
			for _, other := range names[1:] {
				there, err := taken(root, dir+"/"+other)
				if err != nil {
					return s.fail("look how names are kept in", s.staging, err)
				}
				found = found || there
			}
			return nil
		})
		if !errors.Is(err, errNameRefused) {
			break
		}
	}
	return found, err
}

var errNameRefused = errors.New("the file system does not take the name")

// scratch calls with a folder of its own that has one file, called name, and
// removes both. What is left of them when the process dies Sweep takes for a batch.
// errNameRefused when there can be no such file.
func (s *Store) scratch(root Root, name string, call func(dir string) error) error {
	nonce, err := s.nonce()
	if err != nil {
		return err
	}
	dir := s.staging + "/" + batchMark + nonce
	err = root.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed the staging folder
		s.forget()
		if err := s.folder(root, s.staging); err != nil {
			return err
		}
		err = root.Mkdir(dir)
	}
	if err != nil {
		return s.fail("make a folder in", s.staging, err)
	}
	defer func() { _ = root.RemoveDir(dir) }()
	w, err := root.Create(dir + "/" + name)
	switch {
	case err != nil && (unfit(err) || errors.Is(err, fs.ErrNotExist)): // the folder is there
		return errNameRefused
	case err != nil:
		return s.fail("create a file in", s.staging, err)
	}
	defer func() { _ = root.Remove(dir + "/" + name) }()
	_ = w.Close()
	return call(dir)
}

// taken reports whether something has this name, in whatever spelling.
func taken(root Root, name string) (bool, error) {
	d, err := root.OpenDir(path.Dir(name))
	if err == nil {
		defer d.Close()
		_, err = d.Stat(path.Base(name))
	}
	if err == nil {
		return true, nil
	}
	if errors.Is(err, fs.ErrNotExist) || unfit(err) {
		return false, nil
	}
	return false, err
}

// admit refuses a key that cannot be written: one that the file system would keep
// as another name, or takes for the name of another object. That there is none
// may change until the key gets its file; place looks again.
func (s *Store) admit(root Root, key string) error {
	if folds, err := s.folds(root); err != nil || !folds {
		return err
	}
	at := "."
	for part := range strings.SplitSeq(key, "/") {
		if at = path.Join(at, part); s.known(at) || isPlain(part) {
			continue
		}
		if as, err := s.kept(root, part); err != nil {
			return err
		} else if as != part {
			return fault.New(fault.NameRefused, "the file system does not take the name %s", show(part)).At("%s", s.where(key)).
				Try("rename it, or write to a file system that keeps such names")
		}
	}
	return s.clash(root, key)
}

// kept returns how the file system keeps a name: HFS+ takes letters apart, vfat
// leaves dots at the end away. Empty: not at all.
func (s *Store) kept(root Root, name string) (as string, err error) {
	err = s.scratch(root, name, func(dir string) error {
		err := eachName(root, dir, func(n string) { as = n })
		return s.orFail("list", dir, err)
	})
	if errors.Is(err, errNameRefused) {
		return "", nil
	}
	return as, err
}

// isPlain reports whether every file system keeps name as it is.
func isPlain(name string) bool {
	odd := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"*:<>?\|`, r) }
	return strings.IndexFunc(name, odd) < 0 && !strings.HasSuffix(name, ".") && !strings.HasSuffix(name, " ")
}

// distinct is clash where names fold, and nil elsewhere.
func (s *Store) distinct(root Root, key string) error {
	if folds, err := s.folds(root); err != nil || !folds {
		return err
	}
	return s.clash(root, key)
}

// clash is an error with NAME_CLASH where a part of key stands in its folder in
// another spelling. Names must fold.
func (s *Store) clash(root Root, key string) error {
	s.spelling.mu.Lock()
	defer s.spelling.mu.Unlock()
	return s.clashes(root, key)
}

// clashes is clash for those who hold spelling.mu.
func (s *Store) clashes(root Root, key string) error {
	dir := "."
	for part := range strings.SplitSeq(key, "/") {
		at := path.Join(dir, part)
		if s.known(at) {
			dir = at
			continue
		}
		if there, err := taken(root, at); err != nil || !there {
			return s.orFail("read", key, err)
		}
		exact, other, err := s.lists(root, dir, part)
		if err != nil {
			return s.fail("list", dir, err)
		}
		if !exact {
			if there, err := taken(root, at); err != nil || !there { // removed meanwhile
				return s.orFail("read", key, err)
			}
			return s.clashOf(key, at, other)
		}
		dir = at
	}
	return nil
}

func (s *Store) orFail(what, key string, err error) error {
	if err == nil {
		return nil
	}
	return s.fail(what, key, err)
}

func (s *Store) clashOf(key, at, other string) error {
	from := "another spelling of it"
	if other != "" {
		from = show(path.Join(path.Dir(at), other))
	}
	return fault.New(fault.NameClash, "the file system does not tell %s from %s, which is there", show(at), from).At("%s", s.where(key)).
		Try("rename one of them, or write to a file system that keeps such names apart")
}

// lists reports whether folder dir has an entry of exactly this name; if not, also
// one that differs in case, when there is any. spelling.mu is held.
func (s *Store) lists(root Root, dir, name string) (exact bool, other string, err error) {
	i, err := root.Stat(dir)
	if err != nil {
		return false, "", err
	}
	if f := s.spelling.folders[dir]; f != nil && f.modified.Equal(i.Modified) {
		if _, exact = f.names[name]; exact {
			return true, "", nil
		}
	}
	f := &spelled{names: map[string]struct{}{}, modified: i.Modified}
	err = eachName(root, dir, func(n string) {
		exact = exact || n == name
		if strings.EqualFold(n, name) {
			other = n
		}
		if f.bytes += len(n) + 64; f.bytes > s.listBytes {
			f.names = nil
		}
		if f.names != nil {
			f.names[n] = struct{}{}
		}
	})
	if err == nil {
		s.spelling.remember(dir, f, s.listBytes)
	}
	return exact, other, err
}

func eachName(root Root, dir string, call func(string)) error {
	d, err := root.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		list, err := d.Next(1024)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range list {
			call(e.Name)
		}
	}
}

// remember keeps the names of a folder; most bounds the bytes of all.
func (n *spelling) remember(dir string, f *spelled, most int) {
	n.drop(dir)
	if f.names == nil {
		return
	}
	if n.bytes+f.bytes > most || n.folders == nil {
		n.folders, n.bytes = map[string]*spelled{}, 0
	}
	n.folders[dir] = f
	n.bytes += f.bytes
}

func (n *spelling) drop(dir string) {
	if f := n.folders[dir]; f != nil {
		n.bytes -= f.bytes
		delete(n.folders, dir)
	}
}

// changed notes that this Store has given or taken away a name. spelling.mu is held.
func (s *Store) changed(root Root, key string, there bool) {
	dir := dirOf(key)
	f := s.spelling.folders[dir]
	if f == nil {
		return
	}
	i, err := root.Stat(dir)
	if err != nil {
		s.spelling.drop(dir)
		return
	}
	f.modified = i.Modified
	if there {
		f.names[path.Base(key)] = struct{}{}
	} else {
		delete(f.names, path.Base(key))
	}
}

func (s *Store) removed(root Root, key string) {
	s.spelling.mu.Lock()
	defer s.spelling.mu.Unlock()
	s.changed(root, key, false)
}

// place gives a finished file the name key, replacing the object of that name. Of
// several files for names that fold to one the first gets it, and the others
// NAME_CLASH, also those of other processes where a file can be renamed without
// replacing.
func (s *Store) place(root Root, from, key string) error {
	if folds, err := s.folds(root); err != nil {
		return err
	} else if !folds {
		return root.Rename(from, key)
	}
	s.spelling.mu.Lock()
	defer s.spelling.mu.Unlock()
	err := root.RenameNew(from, key)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		if err = s.clashes(root, key); err == nil {
			err = root.Rename(from, key)
		}
	}
	if err == nil {
		s.changed(root, key, true)
	}
	return err
}

// makeDir makes a folder. One that is there must have exactly this name.
func (s *Store) makeDir(root Root, dir string) error {
	err := root.Mkdir(dir)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return s.fail("make the folder", dir, err)
	}
	if strings.HasPrefix(s.staging+"/", dir+"/") {
		return nil // godwit's own; and the probe of names needs it
	}
	return s.distinct(root, dir)
}

// exact is store.ErrNotFound where what the file system finds under key is listed
// under another name. It is for those who must not write: whether names fold they
// see by the key itself.
func (s *Store) exact(root Root, key string) error {
	if key == "." || !s.seemsToFold(root, key) {
		return nil
	}
	err := s.clash(root, key)
	if fault.Has(err, fault.NameClash) {
		return notFound(s.where(key))
	}
	return err
}

// seemsToFold looks for what is there under key in another case. A file system that
// keeps cases apart and folds normal forms alone shows itself only to the probe.
func (s *Store) seemsToFold(root Root, key string) bool {
	n := &s.spelling
	if k := n.kind.Load(); k != unknown {
		return k == fold || k == seemFold
	}
	other := swapCase(key)
	if other == key {
		return false
	}
	if _, err := root.Stat(key); err != nil {
		return false
	}
	_, err := root.Stat(other)
	switch {
	case err == nil:
		n.kind.CompareAndSwap(unknown, seemFold)
	case errors.Is(err, fs.ErrNotExist):
		n.kind.CompareAndSwap(unknown, seemApart)
	}
	return err == nil
}

// swapCase turns every ASCII letter to its other case.
func swapCase(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}
