package file

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/watch"
)

// broken is a store that fails at one thing.
type broken struct {
	store.Store
	at     string
	listed *atomic.Int32 // how often
}

var errBroken = fault.New(fault.StoreAuth, "the key is worth nothing any more")

func (b broken) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	if n := b.listed.Add(1); b.at != "list" && (b.at != "list again" || n == 1) {
		return b.Store.List(ctx, prefix, after)
	}
	return func(yield func(store.Object, error) bool) { yield(store.Object{}, errBroken) }
}

func (b broken) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	if b.at == "read" {
		return nil, store.Object{}, errBroken
	}
	return b.Store.Open(ctx, key, r)
}

func (b broken) Put(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	if b.at == "put" {
		return store.Object{}, errBroken
	}
	return b.Store.Put(ctx, key, body, o)
}

// breaking are stores of which the n-th that is opened fails at one thing.
func breaking(n int, at string) store.Registry {
	driver, opened := local.Driver(), 0
	open := driver.Open
	driver.Open = func(ctx context.Context, v option.Values, env store.Env) (store.Store, error) {
		opened++
		if opened == n && at == "open" {
			return nil, errBroken
		}
		s, err := open(ctx, v, env)
		if err != nil || opened != n {
			return s, err
		}
		return broken{s, at, &atomic.Int32{}}, nil
	}
	return store.Registry{driver}
}

func TestRun_when_one_end_breaks(t *testing.T) {
	for _, c := range []struct {
		n    int // 1: the source, 2: the target
		at   string
		sink string
	}{
		{1, "open", ""}, {1, "list", ""}, {1, "list again", ""}, {1, "read", ""},
		{2, "open", watch.Target}, {2, "list", watch.Target}, {2, "list again", watch.Target}, {2, "put", watch.Target},
	} {
		t.Run(c.sink+" "+c.at, func(t *testing.T) {
			p := newPlace(t, -1, "")
			p.o.Files = watch.NewFiles(watch.Options{})
			_, err := Engine{Stores: breaking(c.n, c.at)}.Run(p.ctx, p.spec, p.o)
			if e := fault.Of(err); e.Code != fault.StoreAuth || e.Sink != c.sink {
				t.Errorf("blamed is %q: %v", e.Sink, err)
			}
			want := job.Stopped
			if c.sink != "" {
				want = job.Failed
			}
			if s := p.o.Files.Snapshot().Files.Target; s == nil || s.Status != want || (s.Failure != nil) != (c.sink != "") {
				t.Errorf("the target stands as %+v", s)
			}
		})
	}
}
