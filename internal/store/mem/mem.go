// Package mem is a store in memory, with every capability there is. It is for
// tests of what works with stores: it takes keys as object stores do ("a//b"),
// keeps all attributes, can be made to fail at any call, and can stand for more
// objects than fit in memory.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Call is what Options.Before is told: the name of the method in lower case
// ("open", "put", "list", "stat", "delete", "create", "copy", "begin", "putpart",
// "parts", "complete", "abandon", "batch", "batchput", "commit", "remove", "divide",
// "stage", "publish", "staged", "discard") and its key or prefix.
type Call struct{ Name, Key string }

// Options of a store. The zero Options are the defaults.
type Options struct {
	// Before is called before every call, in the caller's goroutine, and for each
	// key of a commit and of a Remove. Its error is what the call returns, without
	// any effect.
	Before func(ctx context.Context, c Call) error
	// Refuse says why a key cannot be held; empty: it can. Default: keys that are
	// empty, longer than 1,024 bytes, not UTF-8 or have a zero byte are refused.
	Refuse func(key string) string
	// Sums are the algorithms whose sums the store gives unasked. Default XXH3; an
	// empty list that is not nil: none.
	Sums []store.Algorithm
	// KeepTimes makes Object.Modified what Attributes.Modified was put as, as file
	// systems do. Otherwise it is the time of the upload.
	KeepTimes bool
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Where names the store. Default "mem".
	Where string

	// List answers List instead of the objects held, so that a listing need not fit
	// in memory, Divide answers Divide, and Contents gives the bytes of objects that
	// are not held (ErrNotFound). All may be nil.
	List     func(prefix, after string) iter.Seq2[store.Object, error]
	Divide   func(prefix, after string, n int) []string
	Contents func(key string) (store.Object, []byte, error)
}

// Store implements store.Store and all its capabilities. It is safe for
// concurrent use.
type Store struct {
	o      Options
	space  *space
	mu     sync.Mutex
	closed bool
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Creator = (*Store)(nil)
	_ store.Stager  = (*Store)(nil)
	_ store.Stat    = (*Store)(nil)
	_ store.Divider = (*Store)(nil)
	_ store.Copier  = (*Store)(nil)
	_ store.Parter  = (*Store)(nil)
	_ store.Batcher = (*Store)(nil)
	_ store.Remover = (*Store)(nil)
	_ store.Placer  = (*Store)(nil)
)

// space is what stores of one place share.
type space struct {
	mu      sync.Mutex
	objects map[string]*object
	order   []string // the keys sorted; nil: not known
	staged  map[string]*object
	uploads map[string]*upload
	last    uint64 // number given last: of a version, an upload, a staged object
}

type object struct {
	store.Object
	data []byte
}

// New returns an empty store.
func New(o Options) *Store {
	if o.Sums == nil {
		o.Sums = []store.Algorithm{store.XXH3}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Where == "" {
		o.Where = "mem"
	}
	return &Store{o: o, space: &space{
		objects: map[string]*object{}, staged: map[string]*object{}, uploads: map[string]*upload{},
	}}
}

// Second returns another store of the same place, as another process would have.
func (s *Store) Second() *Store { return &Store{o: s.o, space: s.space} }

// KeepsTimes implements store.Timed.
func (s *Store) KeepsTimes() bool { return s.o.KeepTimes }

// Where implements store.Placer.
func (s *Store) Where() string { return s.o.Where }

// Close implements store.Store. The objects stay for other stores of the place.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

var errClosed = errors.New("the store is closed")

// call is what every method does first.
func (s *Store) call(ctx context.Context, name, key string) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return errClosed
	case ctx.Err() != nil:
		return fmt.Errorf("%s %q: %w", name, key, context.Cause(ctx))
	case s.o.Before != nil:
		return s.o.Before(ctx, Call{name, key})
	}
	return nil
}

// callKey is call for methods that name an object.
func (s *Store) callKey(ctx context.Context, name, key string) error {
	if why := s.refusal(key); why != "" {
		return fault.New(fault.NameRefused, "%.80q cannot be the name of an object: %s", key, why).At("%s", s.o.Where)
	}
	return s.call(ctx, name, key)
}

func (s *Store) refusal(key string) string {
	switch {
	case s.o.Refuse != nil:
		return s.o.Refuse(key)
	case key == "":
		return "it is empty"
	case len(key) > 1024:
		return "it is longer than 1024 bytes"
	case strings.IndexByte(key, 0) >= 0:
		return "it has a zero byte"
	case !utf8.ValidString(key):
		return "it is not UTF-8"
	}
	return ""
}

func (s *Store) absent(key string) error {
	return fmt.Errorf("%s: %q: %w", s.o.Where, key, store.ErrNotFound)
}

func (s *Store) changed(key string) error {
	return fmt.Errorf("%s: %q: %w", s.o.Where, key, store.ErrChanged)
}

// find returns an object in the version asked for; a nil match: any.
func (s *Store) find(key string, match *store.Object) (*object, error) {
	s.space.mu.Lock()
	o := s.space.objects[key]
	s.space.mu.Unlock()
	if o == nil && s.o.Contents != nil {
		made, data, err := s.o.Contents(key)
		if err != nil {
			return nil, err
		}
		o = &object{made, data}
	}
	if o == nil {
		return nil, s.absent(key)
	}
	if match != nil && !same(*match, o.Object) {
		return nil, s.changed(key)
	}
	return o, nil
}

func same(want, have store.Object) bool {
	if want.Version != "" {
		return want.Version == have.Version
	}
	return want.Size == have.Size && want.Modified.Equal(have.Modified)
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	if err := s.callKey(ctx, "open", key); err != nil {
		return nil, store.Object{}, err
	}
	if r.Off < 0 || r.N < 0 {
		return nil, store.Object{}, fault.New(fault.Internal, "read of %d bytes from %d", r.N, r.Off).At("%s", key)
	}
	o, err := s.find(key, r.Match)
	if err != nil {
		return nil, store.Object{}, err
	}
	b := o.data[min(r.Off, int64(len(o.data))):]
	if r.N > 0 {
		b = b[:min(r.N, int64(len(b)))]
	}
	return io.NopCloser(&reader{ctx, bytes.NewReader(b)}), o.shown(), nil
}

type reader struct {
	ctx context.Context
	r   *bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// shown is the object with attributes that the caller may change.
func (o *object) shown() store.Object {
	out := o.Object
	out.Sums = slices.Clone(out.Sums)
	if out.Attributes != nil {
		out.Attributes = cloned(*out.Attributes)
	}
	return out
}

func cloned(a store.Attributes) *store.Attributes {
	a.Metadata, a.Tags = maps.Clone(a.Metadata), maps.Clone(a.Tags)
	if a.Mode != nil {
		mode := *a.Mode
		a.Mode = &mode
	}
	if a.Owner != nil {
		owner := *a.Owner
		a.Owner = &owner
	}
	return &a
}

// Stat implements store.Stat.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := s.callKey(ctx, "stat", key); err != nil {
		return store.Object{}, err
	}
	o, err := s.find(key, nil)
	if err != nil {
		return store.Object{}, err
	}
	return o.shown(), nil
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, b store.Body, p store.PutOptions) (store.Object, error) {
	if err := s.callKey(ctx, "put", key); err != nil {
		return store.Object{}, err
	}
	data, err := s.load(ctx, key, b)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.object(key, data, p)
	if err != nil {
		return store.Object{}, err
	}
	return s.space.set(o).shown(), nil
}

// load reads a body, which must have the size it says.
func (s *Store) load(ctx context.Context, key string, b store.Body) ([]byte, error) {
	r, err := b.Open(0)
	if err != nil {
		return nil, fmt.Errorf("body of %s: %w", key, err)
	}
	defer r.Close()
	var data []byte
	if b.Size <= 1<<20 {
		data = make([]byte, 0, max(b.Size, 0))
	}
	for piece := make([]byte, min(max(b.Size, 0)+1, 64<<10)); ; {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", key, context.Cause(ctx))
		}
		n, err := r.Read(piece)
		data = append(data, piece[:n]...)
		if err == io.EOF || int64(len(data)) > b.Size {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("body of %s: %w", key, err)
		}
	}
	if int64(len(data)) != b.Size {
		return nil, fault.New(fault.Internal, "the body of %s has not the %d bytes it says", key, b.Size)
	}
	return data, nil
}

// object makes an object that is not stored yet; fault.Corrupt when data has not
// the sums that p says.
func (s *Store) object(key string, data []byte, p store.PutOptions) (*object, error) {
	for _, want := range p.Sums {
		if have, ok := sum(want.Algorithm, data); ok && want.Parts == 0 && have != want {
			return nil, fault.New(fault.Corrupt, "%s has %s %s, not %s", key, want.Algorithm, have.Value, want.Value).At("%s", s.o.Where)
		}
	}
	o := &object{data: data, Object: store.Object{
		Key: key, Size: int64(len(data)), Modified: s.o.Now(), Attributes: cloned(p.Attributes),
	}}
	if s.o.KeepTimes && !p.Modified.IsZero() {
		o.Modified = p.Modified
	}
	for _, a := range s.o.Sums {
		if have, ok := sum(a, data); ok {
			o.Sums = append(o.Sums, have)
		}
	}
	return o, nil
}

func sum(a store.Algorithm, data []byte) (store.Sum, bool) {
	h := a.New()
	if h == nil {
		return store.Sum{}, false
	}
	_, _ = h.Write(data)
	return store.SumOf(a, h), true
}

func (p *space) set(objects ...*object) *object {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range objects {
		p.last++
		o.Version = fmt.Sprintf("v%d", p.last)
		if p.objects[o.Key] == nil {
			p.order = nil
		}
		p.objects[o.Key] = o
	}
	if len(objects) == 0 {
		return nil
	}
	return objects[0]
}

// keys returns the sorted keys that begin with prefix and lie after after. The
// caller only reads them.
func (p *space) keys(prefix, after string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.order == nil {
		p.order = slices.Sorted(maps.Keys(p.objects))
	}
	i, _ := slices.BinarySearch(p.order, max(prefix, after))
	if i < len(p.order) && p.order[i] == after {
		i++
	}
	rest := p.order[i:]
	n, _ := slices.BinarySearchFunc(rest, prefix, func(key, prefix string) int {
		if strings.HasPrefix(key, prefix) {
			return -1
		}
		return 1
	})
	return rest[:n]
}

// List implements store.Store. An object stored while it runs may be missing.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if err := s.call(ctx, "list", prefix); err != nil {
			yield(store.Object{}, err)
			return
		}
		for o, err := range s.listing(prefix, after) {
			if ctx.Err() != nil {
				yield(store.Object{}, context.Cause(ctx))
				return
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

func (s *Store) listing(prefix, after string) iter.Seq2[store.Object, error] {
	if s.o.List != nil {
		return s.o.List(prefix, after)
	}
	return func(yield func(store.Object, error) bool) {
		for _, key := range s.space.keys(prefix, after) {
			s.space.mu.Lock()
			o := s.space.objects[key]
			s.space.mu.Unlock()
			if o == nil {
				continue // deleted meanwhile
			}
			listed := o.Object
			listed.Sums, listed.Attributes = slices.Clone(listed.Sums), nil
			if !yield(listed, nil) {
				return
			}
		}
	}
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.callKey(ctx, "delete", key); err != nil {
		return err
	}
	s.space.remove(key)
	return nil
}

func (p *space) remove(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects[key] != nil {
		delete(p.objects, key)
		p.order = nil
	}
}

// Remove implements store.Remover.
func (s *Store) Remove(ctx context.Context, keys []string) map[string]error {
	errs := map[string]error{}
	for _, key := range keys {
		if err := s.callKey(ctx, "remove", key); err != nil {
			errs[key] = err
			continue
		}
		s.space.remove(key)
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Create implements store.Creator.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	if err := s.callKey(ctx, "create", key); err != nil {
		return err
	}
	o, err := s.object(key, bytes.Clone(value), store.PutOptions{})
	if err != nil {
		return err
	}
	p := s.space
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects[key] != nil {
		return fmt.Errorf("%s: %q: %w", s.o.Where, key, store.ErrExists)
	}
	p.last++
	o.Version = fmt.Sprintf("v%d", p.last)
	p.objects[key], p.order = o, nil
	return nil
}

// Divide implements store.Divider.
func (s *Store) Divide(ctx context.Context, prefix, after string, n int) ([]string, error) {
	if err := s.call(ctx, "divide", prefix); err != nil {
		return nil, err
	}
	if s.o.Divide != nil {
		return s.o.Divide(prefix, after, n), nil
	}
	keys := s.space.keys(prefix, after)
	n = min(n, len(keys))
	var out []string
	for i := 1; i < n; i++ {
		out = append(out, keys[len(keys)*i/n-1])
	}
	return out, nil
}

// Copy implements store.Copier, between any two stores in memory.
func (s *Store) Copy(ctx context.Context, from store.Store, o store.Object, key string, p *store.PutOptions) (store.Object, error) {
	source, ok := from.(*Store)
	if !ok {
		return store.Object{}, errors.ErrUnsupported
	}
	if err := s.callKey(ctx, "copy", key); err != nil {
		return store.Object{}, err
	}
	was, err := source.find(o.Key, &o)
	if err != nil {
		return store.Object{}, err
	}
	if p == nil {
		p = &store.PutOptions{}
		if was.Attributes != nil {
			p.Attributes = *was.Attributes
		}
	}
	made, err := s.object(key, was.data, *p)
	if err != nil {
		return store.Object{}, err
	}
	return s.space.set(made).shown(), nil
}
