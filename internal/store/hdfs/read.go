package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/colinmarc/hdfs/v2"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Open implements store.Store. Files that are still being written have the length of
// the blocks that are whole.
func (s *Store) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	none := store.Object{}
	if err := s.begin(ctx, key); err != nil {
		return nil, none, err
	}
	if r.Off < 0 || r.N < 0 {
		return nil, none, fault.New(fault.Internal, "read of %d bytes from %d", r.N, r.Off).At("%s", s.where(key))
	}
	b := &body{ctx: ctx, s: s, tried: -1}
	if err := b.open(key, r.Match); err != nil {
		return nil, none, err
	}
	b.at, b.end = min(r.Off, b.o.Size), b.o.Size
	if r.N > 0 {
		b.end = min(b.end, b.at+r.N)
	}
	if err := b.seek(); err != nil {
		return nil, none, errors.Join(err, b.f.Close())
	}
	return b, b.o, nil
}

// open opens the object as it is now; store.ErrChanged: it is not the one that is wanted.
// What b had open is not closed.
func (b *body) open(key string, want *store.Object) error {
	s := b.s
	var client *fileClient
	var f *hdfs.FileReader
	err := s.persist(b.ctx, func(l *link) (err error) {
		if client, err = l.forFile(); err != nil {
			return err
		}
		f, err = client.Open(s.path(key))
		return bare(err)
	})
	if errors.Is(err, fs.ErrPermission) { // the library has dropped what the name node says
		if _, serr := s.status(b.ctx, s.path(key)); serr != nil {
			err = serr
		}
	}
	if err != nil {
		return s.readError("read", key, err)
	}
	o, err := s.readable(key, f)
	if err == nil && want != nil && !sameVersion(*want, o) {
		err = fmt.Errorf("%s: %w", s.where(key), store.ErrChanged)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	b.client, b.f, b.o, b.sure = client, f, o, false
	return nil
}

// seek goes to where the next byte is.
func (b *body) seek() error {
	if b.at >= b.end {
		return nil
	}
	_, err := b.f.Seek(b.at, io.SeekStart)
	return err
}

// readable makes an Object of an open file, if the library can read such a one.
func (s *Store) readable(key string, f *hdfs.FileReader) (store.Object, error) {
	st, ok := f.Stat().Sys().(*hdfs.FileStatus)
	if !ok {
		return store.Object{}, fault.New(fault.Internal, "the library for HDFS has another form than it had")
	}
	o, err := s.whole(key, st)
	if err != nil {
		return o, err
	}
	if why := unsuitable(st); why != "" {
		return o, fault.New(fault.SourceRefused, "%s is %s, which godwit cannot read", show(key), why).At("%s", s.where(key)).
			Try("copy it to a folder that is not, with hadoop distcp")
	}
	return o, nil
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
	st, err := s.status(ctx, s.path(key))
	if err != nil {
		return store.Object{}, s.readError("look at", key, err)
	}
	return s.whole(key, st)
}

// body reads an object.
type body struct {
	ctx     context.Context
	s       *Store
	client  *fileClient
	f       *hdfs.FileReader
	o       store.Object
	at, end int64
	tried   int64 // where the object was last opened again
	sure    bool  // that the blocks are of this version
	err     error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.ctx.Err() != nil:
		return 0, context.Cause(b.ctx)
	case b.at >= b.end:
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.end-b.at)]
	n, err := b.read(p)
	if n == 0 && err != nil && b.tried < b.at {
		if b.err = b.reopen(err); b.err != nil {
			return 0, b.err
		}
		n, err = b.read(p)
	}
	if !b.sure && (n > 0 || err != nil) {
		// The library asked for the blocks of whatever has the name now.
		if b.err = b.unchanged(); b.err != nil {
			return 0, b.err
		}
		b.sure = true
	}
	b.at += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		return 0, nil
	}
	if errors.Is(err, io.EOF) { // it has fewer bytes than the name node says
		err = io.ErrUnexpectedEOF
	}
	b.err = b.unchanged()
	if b.err == nil {
		b.err = b.s.fail("read", b.o.Key, err)
	}
	return 0, b.err
}

// read reads with a key that is good still, should a block begin.
func (b *body) read(p []byte) (int, error) {
	b.client.forgetKey()
	return b.f.Read(p)
}

// reopen opens the object again where reading it failed. The library asks where all blocks
// are when it begins: some are elsewhere hours later, and its tokens for them have ended.
func (b *body) reopen(cause error) error {
	b.tried = b.at
	b.s.log.Warn("data nodes do not give a block; asking again where it is", "file", b.s.path(b.o.Key), "cause", cause)
	_ = b.f.Close()
	err := b.open(b.o.Key, &b.o)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%s: %w", b.s.where(b.o.Key), store.ErrChanged)
	}
	if err != nil {
		return err
	}
	return b.seek()
}

// unchanged returns ErrChanged if the object is another by now.
func (b *body) unchanged() error {
	st, err := b.s.status(b.ctx, b.s.path(b.o.Key))
	if errors.Is(err, fs.ErrNotExist) || err == nil && entryOf(st).version() != b.o.Version {
		return fmt.Errorf("%s: %w", b.s.where(b.o.Key), store.ErrChanged)
	}
	if err != nil {
		return b.s.readError("read", b.o.Key, err)
	}
	return nil
}

// Close implements io.Closer.
func (b *body) Close() error { return b.f.Close() }
