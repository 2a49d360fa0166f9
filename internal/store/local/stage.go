package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

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
	if !stageable(key) {
		return nil, fault.New(fault.NameRefused, "%s cannot be the name of a staged file: it is not UTF-8", show(key)).At("%s", s.path)
	}
	t, err := s.tmp(key)
	if err != nil {
		return nil, err
	}
	return &staging{ctx: ctx, t: t, sum: xxh3.New(), said: store.NewChecker(o.Sums), attributes: o.Attributes}, nil
}

type staging struct {
	ctx  context.Context
	t    *tmp
	sum  *xxh3.Hasher
	said *store.Checker // of the sums the caller says

	attributes store.Attributes
	buf        []byte // small writes, made at the first of them
	size       int64
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
	case g.ctx.Err() != nil:
		g.err = fmt.Errorf("%s: %w", g.t.s.where(g.t.key), context.Cause(g.ctx))
		return 0, g.err
	}
	if g.err = g.put(p); g.err != nil {
		return 0, g.err
	}
	_, _ = g.sum.Write(p)
	g.said.Add(p)
	g.size += int64(len(p))
	return len(p), nil
}

func (g *staging) put(p []byte) error {
	room := g.t.s.buffer - len(g.buf)
	if len(p) < room {
		if g.buf == nil {
			g.buf = make([]byte, 0, g.t.s.buffer)
		}
		g.buf = append(g.buf, p...)
		return nil
	}
	if len(g.buf) > 0 {
		g.buf = append(g.buf, p[:room]...)
		p = p[room:]
		if err := g.flush(); err != nil {
			return err
		}
	}
	if len(p) >= g.t.s.buffer {
		return g.t.write(p)
	}
	g.buf = append(g.buf, p...)
	return nil
}

func (g *staging) flush() error {
	if len(g.buf) == 0 {
		return nil
	}
	err := g.t.write(g.buf)
	g.buf = g.buf[:0]
	return err
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
	g.buf = nil
	if g.err != nil {
		g.t.drop()
		g.receipt = store.Receipt{}
		return store.Receipt{}, g.err
	}
	_ = g.t.w.Close()
	return g.receipt, nil
}

// seal makes the bytes durable, then the name that says they are whole.
func (g *staging) seal() error {
	s := g.t.s
	if err := g.flush(); err != nil {
		return err
	}
	if err := g.said.Check(s.where(g.t.key)); err != nil {
		return err
	}
	if err := s.mark(g.t.w, g.t.key, g.attributes); err != nil {
		return err
	}
	if err := g.t.sync(); err != nil {
		return err
	}
	nonce := g.t.name[len(s.staging)+1+len(tmpMark):]
	sum := staged.Hex(g.sum.Sum128())
	name := staged.Name(g.t.key, nonce, g.size, sum)
	to := s.staging + "/" + name
	if err := g.t.root.Rename(g.t.name, to); err != nil {
		return s.fail("stage", g.t.key, err)
	}
	g.t.name = to
	if err := s.syncDir(g.t.root, s.staging); err != nil {
		return err
	}
	g.receipt = store.Receipt{Key: g.t.key, Staged: name, Size: g.size, Checksum: staged.SumPrefix + sum}
	return nil
}

// Abort implements store.Staging.
func (g *staging) Abort() {
	if g.closed {
		return
	}
	g.closed = true
	g.err = errStagingClosed
	g.buf = nil
	g.t.drop()
}

// Publish implements store.Stager. Other contents under the key are
// TargetBroken, and stay.
func (s *Store) Publish(ctx context.Context, r store.Receipt) (store.Outcome, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	staged, err := s.stagedPath(r)
	if err != nil {
		return 0, err
	}
	root, err := s.writable()
	if err != nil {
		return 0, err
	}
	if i, err := root.Stat(staged); err == nil && i.Size != r.Size {
		return 0, fault.New(fault.TargetBroken, "the staged file of %s has %d bytes, its receipt says %d", show(r.Key), i.Size, r.Size).
			At("%s", s.where(staged))
	}
	outcome, err := s.unveil(ctx, root, staged, r)
	if err != nil {
		return 0, err
	}
	if outcome == store.Taken {
		return outcome, nil
	}
	// The new name first: between the two the file has both names, never none.
	if err := s.syncDir(root, dirOf(r.Key)); err != nil {
		return 0, err
	}
	if outcome == linked || outcome == store.Already {
		if err := root.Remove(staged); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, s.fail("remove the staged name", staged, err)
		}
	}
	if err := s.syncDir(root, s.staging); err != nil {
		return 0, err
	}
	if outcome == linked {
		outcome = store.Published
	}
	return outcome, nil
}

// linked: published under a second name, the staged one is still there.
const linked store.Outcome = 255

// unveil gives the staged file its final name, or finds out why not.
func (s *Store) unveil(ctx context.Context, root Root, staged string, r store.Receipt) (store.Outcome, error) {
	for again := false; ; again = true {
		if err := s.folder(root, dirOf(r.Key)); err != nil {
			return 0, err
		}
		outcome := store.Published
		err := root.RenameNew(staged, r.Key)
		if errors.Is(err, errors.ErrUnsupported) {
			outcome, err = linked, root.Link(staged, r.Key)
		}
		if err == nil {
			return outcome, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return 0, s.fail("publish", r.Key, err)
		}
		if errors.Is(err, fs.ErrNotExist) && !again {
			if _, serr := root.Stat(staged); serr == nil {
				s.forget() // the staged file is there, so the folder is not
				continue
			}
		}
		return s.final(ctx, root, staged, r)
	}
}

// final judges the object under the key when the staged file cannot go there.
func (s *Store) final(ctx context.Context, root Root, staged string, r store.Receipt) (store.Outcome, error) {
	if err := s.distinct(root, r.Key); err != nil {
		return 0, err
	}
	f, err := root.Open(r.Key)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := root.Stat(staged); !errors.Is(err, fs.ErrNotExist) {
			return 0, fault.New(fault.TargetFailed, "cannot publish: something else moves %s about", show(r.Key)).At("%s", s.where(r.Key)).
				Try("leave files in %s alone while a run writes them", s.path)
		}
		return store.Taken, nil
	}
	if err != nil {
		return 0, s.fail("read", r.Key, err)
	}
	defer f.Close()
	there, err := f.Stat()
	if err != nil {
		return 0, s.fail("read", r.Key, err)
	}
	if there.Mode.IsRegular() && there.Size == r.Size {
		if mine, err := root.Stat(staged); err == nil && mine.same(there) {
			return store.Already, nil
		}
		sum, err := checksum(ctx, f)
		if err != nil {
			return 0, s.fail("read", r.Key, err)
		}
		if sum == r.Checksum {
			return store.Already, nil
		}
	}
	return 0, fault.New(fault.TargetBroken, "%s is there already with other contents than those committed", show(r.Key)).
		At("%s", s.where(r.Key)).Try("move that file away, if it is not godwit's, and run again")
}

func checksum(ctx context.Context, r io.Reader) (string, error) {
	h := xxh3.New()
	buf := make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := r.Read(buf)
		_, _ = h.Write(buf[:n])
		if err == io.EOF {
			return staged.SumPrefix + staged.Hex(h.Sum128()), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// Staged implements store.Stager: closed ones only.
func (s *Store) Staged(ctx context.Context, key string) ([]store.Receipt, error) {
	if err := s.begin(ctx, key); err != nil {
		return nil, err
	}
	var out []store.Receipt
	prefix := staged.Prefix(key)
	err := s.inStaging(ctx, func(_ Root, _ Dir, name string) error {
		if strings.HasPrefix(name, prefix) {
			if r, ok := staged.Parse(key, name); ok {
				out = append(out, r)
			}
		}
		return nil
	})
	return out, err
}

// StagedAny returns what is staged for any of keys, in no order. It reads the
// staging folder once, however many keys there are, and holds the names in it.
func (s *Store) StagedAny(ctx context.Context, keys iter.Seq[string]) ([]store.Receipt, error) {
	names := map[string][]string{} // by what a key's staged names begin with
	cut := len(staged.Prefix(""))
	err := s.inStaging(ctx, func(_ Root, _ Dir, name string) error {
		if len(name) == staged.Size {
			names[name[:cut]] = append(names[name[:cut]], name)
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var out []store.Receipt
	for key := range keys {
		for _, name := range names[staged.Prefix(key)] {
			if r, ok := staged.Parse(key, name); ok {
				out = append(out, r)
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return out, nil
}

// inStaging calls for each name in the staging folder.
func (s *Store) inStaging(ctx context.Context, call func(Root, Dir, string) error) error {
	return s.inFolder(ctx, s.staging, call)
}

func (s *Store) inFolder(ctx context.Context, dir string, call func(Root, Dir, string) error) error {
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.fail("list", dir, err)
	}
	d, err := root.OpenDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.fail("list", dir, err)
	}
	defer d.Close()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		list, err := d.Next(1024)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return s.fail("list", dir, err)
		}
		for _, e := range list {
			if err := call(root, d, e.Name); err != nil {
				return err
			}
		}
	}
}

// Discard implements store.Stager.
func (s *Store) Discard(ctx context.Context, r store.Receipt) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	staged, err := s.stagedPath(r)
	if err != nil {
		return err
	}
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.fail("discard", r.Key, err)
	}
	if err := root.Remove(staged); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return s.fail("discard", r.Key, err)
	}
	return s.syncDir(root, s.staging)
}
