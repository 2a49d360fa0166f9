package mem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Stage implements store.Stager.
func (s *Store) Stage(ctx context.Context, key string, p store.PutOptions) (store.Staging, error) {
	if err := s.callKey(ctx, "stage", key); err != nil {
		return nil, err
	}
	p.Attributes = *cloned(p.Attributes)
	return &staging{s: s, ctx: ctx, key: key, p: p}, nil
}

type staging struct {
	s       *Store
	ctx     context.Context
	key     string
	p       store.PutOptions
	data    []byte
	ended   bool
	receipt store.Receipt
	err     error
}

var errStagingClosed = errors.New("the staged object is closed")

// Write implements io.Writer.
func (g *staging) Write(b []byte) (int, error) {
	switch {
	case g.ended:
		return 0, errStagingClosed
	case g.ctx.Err() != nil:
		return 0, context.Cause(g.ctx)
	}
	g.data = append(g.data, b...)
	return len(b), nil
}

// Close implements store.Staging.
func (g *staging) Close() (store.Receipt, error) {
	if g.ended {
		return g.receipt, g.err
	}
	g.ended = true
	if g.ctx.Err() != nil {
		g.err = context.Cause(g.ctx)
		return g.receipt, g.err
	}
	o, err := g.s.object(g.key, g.data, g.p)
	if err != nil {
		g.err = err
		return g.receipt, err
	}
	p := g.s.space
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	r := store.Receipt{Key: g.key, Size: o.Size, Checksum: checksum(o.data), Token: fmt.Sprintf("%d", p.last)}
	r.Staged = stagedName(r)
	o.Version = r.Token // until it is published
	p.staged[r.Staged] = o
	g.receipt = r
	return r, nil
}

func checksum(b []byte) string {
	s := xxh3.Hash128(b).Bytes()
	return fmt.Sprintf("xxh3:%x", s[:])
}

// stagedName is of everything in the receipt, so that a damaged one is known.
func stagedName(r store.Receipt) string {
	s := xxh3.HashString128(fmt.Sprintf("%q %d %s %s", r.Key, r.Size, r.Checksum, r.Token)).Bytes()
	return fmt.Sprintf("s-%x", s[:])
}

// Abort implements store.Staging.
func (g *staging) Abort() {
	if !g.ended {
		g.ended, g.err, g.data = true, errStagingClosed, nil
	}
}

func (s *Store) checkReceipt(r store.Receipt) error {
	if s.refusal(r.Key) != "" || r.Staged != stagedName(r) {
		return fault.New(fault.TargetBroken, "the receipt of %q is damaged", r.Key).At("%s", s.o.Where)
	}
	return nil
}

// Publish implements store.Stager.
func (s *Store) Publish(ctx context.Context, r store.Receipt) (store.Outcome, error) {
	if err := s.call(ctx, "publish", r.Key); err != nil {
		return 0, err
	}
	if err := s.checkReceipt(r); err != nil {
		return 0, err
	}
	p := s.space
	p.mu.Lock()
	defer p.mu.Unlock()
	staged, there := p.staged[r.Staged], p.objects[r.Key]
	switch {
	case there != nil && checksum(there.data) != r.Checksum:
		return 0, fault.New(fault.TargetBroken, "%q is there already with other contents", r.Key).At("%s", s.o.Where)
	case there != nil:
		delete(p.staged, r.Staged)
		return store.Already, nil
	case staged == nil:
		return store.Taken, nil
	}
	p.last++
	staged.Version = fmt.Sprintf("v%d", p.last)
	p.objects[r.Key], p.order = staged, nil
	delete(p.staged, r.Staged)
	return store.Published, nil
}

// Staged implements store.Stager.
func (s *Store) Staged(ctx context.Context, key string) ([]store.Receipt, error) {
	if err := s.callKey(ctx, "staged", key); err != nil {
		return nil, err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	var out []store.Receipt
	for name, o := range s.space.staged {
		if o.Key != key {
			continue
		}
		r := store.Receipt{Key: key, Staged: name, Size: o.Size, Checksum: checksum(o.data), Token: o.Version}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b store.Receipt) int { return strings.Compare(a.Staged, b.Staged) })
	return out, nil
}

// Discard implements store.Stager.
func (s *Store) Discard(ctx context.Context, r store.Receipt) error {
	if err := s.call(ctx, "discard", r.Key); err != nil {
		return err
	}
	if err := s.checkReceipt(r); err != nil {
		return err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	delete(s.space.staged, r.Staged)
	return nil
}
