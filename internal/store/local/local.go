// Package local is a store in a folder of the machine, or of a network file
// system mounted there.
//
// Everything is written under a name of its own in the staging folder, synced,
// and only then given its real name: by link(2) where it must not be there yet,
// by rename otherwise; then the folder is synced. So an object is whole or not
// there, also after a power cut, and of two creators one loses.
package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/staged"
)

// Options of a store. The zero Options are the defaults.
type Options struct {
	// Staging is the folder (a key) for files being written and staged ones. It is
	// never listed, and no key may lie in it. All stores of one folder must use the
	// same. Default ".godwit-staging".
	Staging string
	// BufferBytes holds small writes of one staged object together; writes of this
	// size and more go to the file as they are. Default 64 KiB.
	BufferBytes int
	// ListBytes bounds what a listing keeps in memory for each folder on its way
	// down; the names of a larger folder are sorted through a temporary file.
	// Default 8 MiB.
	ListBytes int
	// Temp is the folder for such files. Default: that of the system.
	Temp string
	// Links says what symbolic links are. Default LinksSkip.
	Links Links
	// SyncAllFrom is how many files, or folders, of a batch are made durable by one
	// sync of the whole file system, which waits for what others have written too,
	// instead of one each. Default 16.
	SyncAllFrom int
	// Rand makes names unique. Default crypto/rand.
	Rand io.Reader
}

// Links says what a symbolic link in a listing is. Links to folders are never
// followed, so that no listing runs in circles, and no write follows any link in
// the last part of a key: it replaces it.
type Links uint8

// What a link is.
const (
	LinksSkip    Links = iota // nothing that is copied: an error with fault.NotAFile
	LinksFollow               // the file it leads to, where that is below the store's folder
	LinksOutside              // the file it leads to, wherever it is
)

// Store implements store.Store and, besides Copier, all its capabilities.
// It may be used by any number of goroutines, and any number of Stores, in other
// processes too, may share a folder.
type Store struct {
	fs        FS
	path      string // absolute
	staging   string
	buffer    int
	listBytes int
	temp      string
	syncFrom  int
	links     Links
	rand      io.Reader
	spelling  spelling

	mu      sync.Mutex
	root    Root                // nil until the folder is there
	durable map[string]struct{} // folders known to be durable, with all above them
	closed  bool
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Creator = (*Store)(nil)
	_ store.Stager  = (*Store)(nil)
	_ store.Stat    = (*Store)(nil)
	_ store.Divider = (*Store)(nil)
	_ store.Parter  = (*Store)(nil)
	_ store.Batcher = (*Store)(nil)
	_ store.Remover = (*Store)(nil)
	_ store.Placer  = (*Store)(nil)
	_ store.Timed   = (*Store)(nil)
	_ store.Sweeper = (*Store)(nil)
)

// New returns the store in folder root, an absolute path. The folder need not
// exist: the first write makes it, durably, with those above it. Nothing is
// written before that.
func New(fsys FS, root string, o Options) (*Store, error) {
	if !path.IsAbs(root) || badPath(root) {
		return nil, fault.New(fault.JobValue, "%s is not an absolute path", show(root))
	}
	s := &Store{
		fs: fsys, path: path.Clean(root), staging: o.Staging, buffer: o.BufferBytes,
		listBytes: o.ListBytes, temp: o.Temp, links: o.Links, syncFrom: o.SyncAllFrom, rand: o.Rand, durable: map[string]struct{}{},
	}
	if s.staging == "" {
		s.staging = ".godwit-staging"
	}
	if why := badKey(s.staging); why != "" {
		return nil, fault.New(fault.Internal, "staging folder %s: %s", show(s.staging), why)
	}
	if s.buffer <= 0 {
		s.buffer = 64 << 10
	}
	if s.listBytes <= 0 {
		s.listBytes = 8 << 20
	}
	if s.syncFrom <= 0 {
		s.syncFrom = 16
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if _, err := s.open(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, s.fail("open the folder", "", err)
	}
	return s, nil
}

// KeepsTimes implements store.Timed.
func (s *Store) KeepsTimes() bool { return true }

// Where implements store.Placer.
func (s *Store) Where() string { return s.path }

// Path returns the folder of the store.
func (s *Store) Path() string { return s.path }

// Close ends the use of the store. Open readers and unfinished stagings stay
// usable.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.root == nil {
		return nil
	}
	return s.root.Close()
}

var errClosed = errors.New("the store is closed")

// open returns the folder; fs.ErrNotExist while it is not there.
func (s *Store) open() (Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.root != nil {
		return s.root, nil
	}
	r, err := s.fs.OpenRoot(s.path)
	if err != nil {
		return nil, err
	}
	s.root = r
	return r, nil
}

// writable returns the folder, made durable, with its staging folder.
func (s *Store) writable() (Root, error) {
	if !s.known(".") {
		if err := s.makeRoot(s.path); err != nil {
			return nil, s.fail("make the folder", "", err)
		}
		s.know(".")
	}
	r, err := s.open()
	if err != nil {
		return nil, s.fail("open the folder", "", err)
	}
	return r, s.folder(r, s.staging)
}

// makeRoot makes p and the folders above it. Those that are there are synced too:
// another process may have made them a moment ago. Where that is not allowed they
// are not ours, and were there before.
func (s *Store) makeRoot(p string) error {
	up := path.Dir(p)
	if up == p {
		return nil
	}
	if err := s.makeRoot(up); err != nil {
		return err
	}
	err := s.fs.Mkdir(p)
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		r, e := s.fs.OpenRoot(p)
		if e != nil {
			return err
		}
		_ = r.Close() // there, whatever the answer was
	}
	err = s.fs.SyncDir(up)
	if !made && err != nil && refused(err) {
		return nil
	}
	return err
}

// folder makes dir, a key or ".", and those above it, durably.
func (s *Store) folder(r Root, dir string) error {
	if s.known(dir) {
		return nil
	}
	if dir == "." { // an upload is gone on with by a process that has begun nothing
		if err := s.makeRoot(s.path); err != nil {
			return s.fail("make the folder", "", err)
		}
		s.know(".")
		return nil
	}
	up := path.Dir(dir)
	if err := s.folder(r, up); err != nil {
		return err
	}
	// One that is there is synced as well: its maker may not have come to it.
	if err := s.makeDir(r, dir); err != nil {
		return err
	}
	if err := r.SyncDir(up); err != nil {
		return s.fail("sync the folder", up, err)
	}
	s.know(dir)
	return nil
}

func (s *Store) known(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.durable[dir]
	return ok
}

func (s *Store) know(dir string) {
	const most = 10_000
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) >= most {
		clear(s.durable)
		s.durable["."] = struct{}{}
	}
	s.durable[dir] = struct{}{}
}

// forget is called when a folder turns out to be gone.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.durable)
	s.durable["."] = struct{}{}
}

func (s *Store) nonce() (string, error) {
	var b [staged.NonceBytes]byte
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.ReadFull(s.rand, b[:]); err != nil {
		return "", fault.New(fault.Internal, "no random numbers").By(err)
	}
	return hex.EncodeToString(b[:]), nil
}

func (s *Store) where(key string) string { return path.Join(s.path, key) }

// begin is what every method that names an object does first.
func (s *Store) begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.where(key), context.Cause(ctx))
	}
	return s.check(key)
}
