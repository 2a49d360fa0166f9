package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strconv"
	"strings"

	"github.com/colinmarc/hdfs/v2"
	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/staged"
)

// Stage implements store.Stager. It keeps what Put keeps.
func (s *Store) Stage(ctx context.Context, key string, o store.PutOptions) (store.Staging, error) {
	if err := s.begin(ctx, key); err != nil {
		return nil, err
	}
	f, err := s.newFile(ctx, key, o.Attributes)
	if err != nil {
		return nil, err
	}
	return &staging{f: f, sum: xxh3.New(), said: store.NewChecker(o.Sums), attributes: o.Attributes}, nil
}

type staging struct {
	f    *file
	sum  *xxh3.Hasher
	said *store.Checker // of the sums the caller says

	attributes store.Attributes
	err        error // sticks
	closed     bool
	receipt    store.Receipt
}

var errStagingClosed = errors.New("the staged object is closed")

// Write implements io.Writer.
func (g *staging) Write(p []byte) (int, error) {
	switch {
	case g.err != nil:
		return 0, g.err
	case g.closed:
		return 0, errStagingClosed
	case g.f.ctx.Err() != nil:
		g.err = fmt.Errorf("%s: %w", g.f.s.where(g.f.key), context.Cause(g.f.ctx))
		return 0, g.err
	}
	if g.err = g.f.write(p); g.err != nil {
		return 0, g.err
	}
	_, _ = g.sum.Write(p)
	g.said.Add(p)
	return len(p), nil
}

// Close implements store.Staging. Closing again returns the same.
func (g *staging) Close() (store.Receipt, error) {
	if g.closed {
		return g.receipt, g.err
	}
	g.closed = true
	if g.err == nil {
		g.err = g.seal()
	}
	if g.err != nil {
		g.f.drop()
		g.receipt = store.Receipt{}
	}
	return g.receipt, g.err
}

// seal ends the file and gives it the name that says it is whole.
func (g *staging) seal() error {
	s := g.f.s
	if err := g.said.Check(s.where(g.f.key)); err != nil {
		return err
	}
	st, err := g.f.close(g.attributes)
	if err != nil {
		return err
	}
	sum := staged.Hex(g.sum.Sum128())
	name := staged.Name(g.f.key, g.f.nonce, g.f.size, sum)
	if err := s.place(g.f.ctx, g.f.path, s.staging+"/"+name, st.GetFileId(), false); err != nil {
		return s.fail("stage", g.f.key, err)
	}
	g.f.path = s.path(s.staging + "/" + name)
	g.receipt = store.Receipt{Key: g.f.key, Staged: name, Size: g.f.size, Checksum: staged.SumPrefix + sum, Token: token(st)}
	return nil
}

func token(st *hdfs.FileStatus) string { return strconv.FormatUint(st.GetFileId(), 10) }

// Abort implements store.Staging.
func (g *staging) Abort() {
	if g.closed {
		return
	}
	g.closed = true
	g.err = errStagingClosed
	g.f.drop()
}

// Publish implements store.Stager. Other contents under the key are
// TargetBroken, and stay.
func (s *Store) Publish(ctx context.Context, r store.Receipt) (store.Outcome, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	staged, err := s.stagedKey(r)
	if err != nil {
		return 0, err
	}
	st, err := s.status(ctx, s.path(staged))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.final(ctx, staged, r)
	case err != nil:
		return 0, s.fail("publish", r.Key, err)
	case int64(st.GetLength()) != r.Size:
		return 0, fault.New(fault.TargetBroken, "the staged file of %s has %d bytes, its receipt says %d", show(r.Key), st.GetLength(), r.Size).
			At("%s", s.where(staged))
	}
	err = s.place(ctx, s.path(staged), r.Key, st.GetFileId(), false)
	switch {
	case err == nil:
		return store.Published, nil
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		return s.final(ctx, staged, r)
	}
	return 0, s.fail("publish", r.Key, err)
}

// final judges the object under the key when the staged file cannot go there.
func (s *Store) final(ctx context.Context, staged string, r store.Receipt) (store.Outcome, error) {
	st, err := s.status(ctx, s.path(r.Key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.missing(ctx, staged, r)
	case err != nil:
		return 0, s.fail("read", r.Key, err)
	}
	if st.GetFileType() == isFile && int64(st.GetLength()) == r.Size {
		same, err := s.same(ctx, st, r)
		if err != nil {
			return 0, err
		}
		if same {
			return store.Already, s.fail("remove the staged file of", r.Key, s.remove(ctx, s.path(staged)))
		}
	}
	return 0, fault.New(fault.TargetBroken, "%s is there already with other contents than those committed", show(r.Key)).
		At("%s", s.where(r.Key)).Try("move that file away, if it is not godwit's, and run again")
}

func (s *Store) missing(ctx context.Context, staged string, r store.Receipt) (store.Outcome, error) {
	_, err := s.status(ctx, s.path(staged))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return store.Taken, nil
	case err != nil:
		return 0, s.fail("publish", r.Key, err)
	}
	return 0, fault.New(fault.StoreFailed, "cannot publish: something else moves %s about", show(r.Key)).At("%s", s.where(r.Key))
}

// same reports whether a file of the right size has the contents of a receipt: it is
// the file that was staged, or its bytes have the checksum.
func (s *Store) same(ctx context.Context, st *hdfs.FileStatus, r store.Receipt) (bool, error) {
	if r.Token == token(st) {
		return true, nil
	}
	rc, _, err := s.Open(ctx, r.Key, store.Read{})
	if err != nil {
		return false, err
	}
	defer rc.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, rc); err != nil {
		return false, err
	}
	return staged.SumPrefix+staged.Hex(h.Sum128()) == r.Checksum, nil
}

// Staged implements store.Stager: closed ones only.
func (s *Store) Staged(ctx context.Context, key string) ([]store.Receipt, error) {
	if err := s.begin(ctx, key); err != nil {
		return nil, err
	}
	var out []store.Receipt
	prefix := staged.Prefix(key)
	err := s.inStaging(ctx, prefix, func(name string, st *hdfs.FileStatus) (bool, error) {
		if !strings.HasPrefix(name, prefix) {
			return false, nil // names of ASCII are in order
		}
		if r, ok := staged.Parse(key, name); ok {
			r.Token = token(st)
			out = append(out, r)
		}
		return true, nil
	})
	return out, err
}

// StagedAny returns what is staged for any of keys, in no order. It reads the
// staging folder once, however many keys there are, and holds the names in it.
func (s *Store) StagedAny(ctx context.Context, keys iter.Seq[string]) ([]store.Receipt, error) {
	type found struct{ name, token string }
	names := map[string][]found{} // by what a key's staged names begin with
	cut := len(staged.Prefix(""))
	err := s.inStaging(ctx, "", func(name string, st *hdfs.FileStatus) (bool, error) {
		if len(name) == staged.Size {
			names[name[:cut]] = append(names[name[:cut]], found{name, token(st)})
		}
		return true, nil
	})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var out []store.Receipt
	for key := range keys {
		for _, n := range names[staged.Prefix(key)] {
			if r, ok := staged.Parse(key, n.name); ok {
				r.Token = n.token
				out = append(out, r)
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return out, nil
}

// inStaging calls for each name in the staging folder after after, until call returns
// false.
func (s *Store) inStaging(ctx context.Context, after string, call func(string, *hdfs.FileStatus) (bool, error)) error {
	for {
		list, more, err := s.readDir(ctx, s.path(s.staging), after)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return s.fail("list", s.staging, err)
		}
		for _, st := range list {
			after = path.Base(string(st.GetPath()))
			if goOn, err := call(after, st); err != nil || !goOn {
				return err
			}
		}
		if !more || len(list) == 0 {
			return nil
		}
	}
}

// Discard implements store.Stager.
func (s *Store) Discard(ctx context.Context, r store.Receipt) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	staged, err := s.stagedKey(r)
	if err != nil {
		return err
	}
	return s.fail("discard", r.Key, s.remove(ctx, s.path(staged)))
}
