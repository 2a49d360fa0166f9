package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Open implements store.Store. With Match set a change of the file while it is
// read is noticed at its end: the last Read returns ErrChanged.
func (s *Store) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	none := store.Object{}
	if err := s.begin(ctx, key); err != nil {
		return nil, none, err
	}
	if r.Off < 0 || r.N < 0 {
		return nil, none, fault.New(fault.Internal, "read of %d bytes from %d", r.N, r.Off).At("%s", s.where(key))
	}
	root, err := s.open()
	if err != nil {
		return nil, none, s.readError(key, err)
	}
	f, err := root.Open(key)
	if err != nil && s.links == LinksOutside && escapes(err) {
		f, err = s.fs.Open(s.where(key))
	}
	if err != nil {
		return nil, none, s.readError(key, err)
	}
	o, err := s.objectOf(key, f)
	if err == nil {
		err = s.exact(root, key)
	}
	if err == nil && r.Match != nil && !sameVersion(*r.Match, o) {
		err = fmt.Errorf("%s: %w", s.where(key), store.ErrChanged)
	}
	if err != nil {
		f.Close()
		return nil, none, err
	}
	end := o.Size
	if r.N > 0 && r.N < end-r.Off {
		end = r.Off + r.N
	}
	b := &body{ctx: ctx, s: s, f: f, version: o.Version, key: key, at: r.Off, end: end, match: r.Match != nil}
	return b, o, nil
}

// objectOf is object with attributes.
func (s *Store) objectOf(key string, f Reader) (store.Object, error) {
	i, err := f.Stat()
	if err != nil {
		return store.Object{}, s.readError(key, err)
	}
	return s.whole(key, i)
}

// whole is object with attributes.
func (s *Store) whole(key string, i Info) (store.Object, error) {
	o, err := s.object(key, i)
	if err == nil {
		mode := i.Mode.Perm()
		o.Attributes = &store.Attributes{Mode: &mode, Owner: &i.Owner, Modified: i.Modified}
	}
	return o, err
}

// object makes an Object of what the file system knows; a folder is none.
func (s *Store) object(key string, i Info) (store.Object, error) {
	if i.Mode.IsDir() {
		return store.Object{}, notFound(s.where(key))
	}
	if !i.Mode.IsRegular() {
		return store.Object{}, s.notAFile(key, "is a device, a socket or a pipe")
	}
	return store.Object{Key: key, Size: i.Size, Modified: i.Modified, Version: version(i)}, nil
}

// version names contents as well as the clock of the file system can: a new file
// under the name, or one written to, has another.
func version(i Info) string {
	return strconv.FormatUint(i.Node, 36) + "-" + strconv.FormatInt(i.Modified.UnixNano(), 36) + "-" + strconv.FormatInt(i.Size, 36)
}

func sameVersion(want, have store.Object) bool {
	if want.Version != "" {
		return want.Version == have.Version
	}
	return want.Size == have.Size && want.Modified.Equal(have.Modified)
}

// Stat implements store.Stat.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := s.begin(ctx, key); err != nil {
		return store.Object{}, err
	}
	root, err := s.open()
	if err != nil {
		return store.Object{}, s.readError(key, err)
	}
	i, err := root.Stat(key)
	if err != nil && s.links == LinksOutside && escapes(err) {
		i, err = s.statOutside(key)
	}
	if err != nil {
		return store.Object{}, s.readError(key, err)
	}
	if err := s.exact(root, key); err != nil {
		return store.Object{}, err
	}
	return s.whole(key, i)
}

// statOutside is Stat of a symbolic link that leads out.
func (s *Store) statOutside(key string) (Info, error) {
	f, err := s.fs.Open(s.where(key))
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	return f.Stat()
}

func (s *Store) notAFile(key, why string) error {
	return fault.New(fault.NotAFile, "%s %s", show(key), why).At("%s", s.where(key))
}

type body struct {
	ctx     context.Context
	s       *Store
	f       Reader
	key     string
	version string
	at, end int64
	match   bool
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, context.Cause(b.ctx)
	}
	if b.at >= b.end {
		return 0, b.finish()
	}
	if int64(len(p)) > b.end-b.at {
		p = p[:b.end-b.at]
	}
	n, err := b.f.ReadAt(p, b.at)
	b.at += int64(n)
	if n > 0 {
		return n, nil // an error comes again with the next call
	}
	if err == nil {
		return 0, nil
	}
	if errors.Is(err, io.EOF) { // shorter than it was: somebody cut it
		return 0, fmt.Errorf("%s: %w", b.s.where(b.key), store.ErrChanged)
	}
	return 0, b.s.fail("read", b.key, err)
}

func (b *body) finish() error {
	if !b.match {
		return io.EOF
	}
	now, err := b.s.objectOf(b.key, b.f)
	if err != nil {
		return err
	}
	if now.Version != b.version {
		return fmt.Errorf("%s: %w", b.s.where(b.key), store.ErrChanged)
	}
	return io.EOF
}

func (b *body) Close() error { return b.f.Close() }
