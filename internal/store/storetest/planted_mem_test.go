package storetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/mem"
)

// faulty is a store in memory with defects.
type faulty struct {
	*mem.Store
	d *defects
}

// defects replace methods; those that are nil are right.
type defects struct {
	put      func(s *mem.Store, key string, b store.Body, o store.PutOptions) (store.Object, error)
	object   func(*store.Object) // of Open, Stat and List
	listed   func(*store.Object)
	divide   func(cuts []string, prefix, after string, n int) []string
	copy     func(s *mem.Store, o *store.Object, p **store.PutOptions)
	anywhere bool // copies from any store
	begin    func(o *store.PutOptions)
	putPart  func(s *mem.Store, key, upload string, n int, off int64, b store.Body) (store.Part, error, bool)
	parts    func([]store.Part) []store.Part
	complete func(s *mem.Store, key, upload string, parts []store.Part) (store.Object, error)
	abandon  bool // does nothing
	batch    func(*faulty) store.Batch
	remove   func(s *mem.Store, keys []string) map[string]error
	partSize int64
}

var errPlanted = errors.New("planted")

func putString(s *mem.Store, key, data string) (store.Object, error) {
	return s.Put(context.Background(), key, body([]byte(data)), store.PutOptions{})
}

func memBugs() map[string]struct {
	by string
	d  defects
} {
	type bug = struct {
		by string
		d  defects
	}
	return map[string]bug{
		"metadata is dropped": {"Attributes", defects{put: func(s *mem.Store, key string, b store.Body, o store.PutOptions) (store.Object, error) {
			o.Metadata = nil
			return s.Put(context.Background(), key, b, o)
		}}},
		"time is cut to seconds": {"Attributes", defects{put: func(s *mem.Store, key string, b store.Body, o store.PutOptions) (store.Object, error) {
			o.Modified = o.Modified.Truncate(1e9)
			return s.Put(context.Background(), key, b, o)
		}}},
		"attributes outlive their object": {"AttributesReplaced", defects{put: func(s *mem.Store, key string, b store.Body, o store.PutOptions) (store.Object, error) {
			if was, err := s.Stat(context.Background(), key); err == nil && o.Metadata == nil {
				o.Metadata = was.Attributes.Metadata
			}
			return s.Put(context.Background(), key, b, o)
		}}},
		"listings have attributes": {"Attributes", defects{listed: func(o *store.Object) { o.Attributes = &store.Attributes{} }}},
		"version is size and time": {"AttributesReplaced", defects{object: func(o *store.Object) {
			if o.Attributes != nil && !o.Attributes.Modified.IsZero() {
				o.Version, o.Modified = "", o.Attributes.Modified
			}
		}}},
		"sums are of something else":   {"Sums", defects{listed: func(o *store.Object) { o.Sums = []store.Sum{sumOf(store.MD5, []byte("?"))} }}},
		"sums are in capitals":         {"Sums", defects{object: func(o *store.Object) { o.Sums = []store.Sum{{Algorithm: "of a service", Value: "AB"}} }}},
		"wrong sums are not noticed":   {"SumsRefused", defects{put: withoutSums}},
		"composite sums are refused":   {"SumsRefused", defects{put: refuseComposite}},
		"cuts are in no order":         {"Divide", defects{divide: func(c []string, _, _ string, _ int) []string { slices.Reverse(c); return c }}},
		"cuts begin before after":      {"Divide", defects{divide: func(c []string, p, a string, n int) []string { return append([]string{p}, c[:min(n-1, len(c))]...) }}},
		"too many cuts":                {"Divide", defects{divide: func(c []string, _, _ string, _ int) []string { return append(c, "~", "~~") }}},
		"cuts outside the prefix":      {"Divide", defects{divide: func(c []string, _, _ string, n int) []string { return append(c[:0], "~")[:min(1, n-1)] }}},
		"one part has nearly all":      {"Divide", defects{divide: func(c []string, _, _ string, _ int) []string { return c[:0] }}},
		"copy of any version":          {"CopyRefused", defects{copy: func(s *mem.Store, o *store.Object, _ **store.PutOptions) { *o, _ = s.Stat(context.Background(), o.Key) }}},
		"copy drops attributes":        {"Copy", defects{copy: func(_ *mem.Store, _ *store.Object, p **store.PutOptions) { *p = &store.PutOptions{} }}},
		"copy keeps attributes":        {"Copy", defects{copy: func(_ *mem.Store, _ *store.Object, p **store.PutOptions) { *p = nil }}},
		"copy from another service":    {"CopyRefused", defects{anywhere: true}},
		"part is visible at once":      {"Parts", defects{putPart: partVisible}},
		"first part sent counts":       {"PartsAgain", defects{putPart: firstCounts()}},
		"parts beyond the end":         {"PartsWrong", defects{putPart: beyondEnd}},
		"parts are in no order":        {"Parts", defects{parts: func(p []store.Part) []store.Part { slices.Reverse(p); return p }}},
		"parts lacks one":              {"Parts", defects{parts: func(p []store.Part) []store.Part { return p[min(1, len(p)):] }}},
		"complete of any parts":        {"PartsWrong", defects{complete: anyParts}},
		"complete again":               {"Parts", defects{complete: completeAgain}},
		"attributes of begin are lost": {"Parts", defects{begin: func(o *store.PutOptions) { *o = store.PutOptions{} }}},
		"abandon does nothing":         {"PartsAbandoned", defects{abandon: true}},
		"too many parts":               {"PartsKeys", defects{partSize: 64 << 10}},
		"batch puts at once":           {"Batch", defects{batch: func(s *faulty) store.Batch { return &faultyBatch{s: s, put: s.Store.Put} }}},
		"batch abort commits":          {"BatchAborted", defects{batch: func(s *faulty) store.Batch { return &faultyBatch{s: s, aborts: true} }}},
		"batch lacks an object":        {"Batch", defects{batch: func(s *faulty) store.Batch { return &faultyBatch{s: s, loses: true} }}},
		"batch stops at an error":      {"BatchErrors", defects{batch: func(s *faulty) store.Batch { return &faultyBatch{s: s, stops: true} }}},
		"batch takes late objects":     {"BatchEnded", defects{batch: func(s *faulty) store.Batch { return &faultyBatch{s: s, late: true} }}},
		"batch loses attributes":       {"Batch", defects{batch: func(s *faulty) store.Batch { return &faultyBatch{s: s, bare: true} }}},
		"remove stops at an error": {"Remove", defects{remove: func(s *mem.Store, keys []string) map[string]error {
			for i, key := range keys {
				if errs := s.Remove(context.Background(), keys[i:i+1]); errs != nil {
					return map[string]error{key: errs[key]}
				}
			}
			return nil
		}}},
		"remove returns an empty map": {"Remove", defects{remove: func(s *mem.Store, keys []string) map[string]error {
			errs := map[string]error{}
			maps.Copy(errs, s.Remove(context.Background(), keys))
			return errs
		}}},
		"remove swallows errors": {"Remove", defects{remove: func(s *mem.Store, keys []string) map[string]error {
			s.Remove(context.Background(), keys)
			return nil
		}}},
	}
}

func withoutSums(s *mem.Store, key string, b store.Body, o store.PutOptions) (store.Object, error) {
	o.Sums = nil
	return s.Put(context.Background(), key, b, o)
}

func refuseComposite(s *mem.Store, key string, b store.Body, o store.PutOptions) (store.Object, error) {
	for _, sum := range o.Sums {
		if sum.Parts > 0 {
			return store.Object{}, errPlanted
		}
	}
	return s.Put(context.Background(), key, b, o)
}

func partVisible(s *mem.Store, key, _ string, _ int, _ int64, _ store.Body) (store.Part, error, bool) {
	_, err := putString(s, key, "a part")
	return store.Part{}, err, err != nil
}

func firstCounts() func(*mem.Store, string, string, int, int64, store.Body) (store.Part, error, bool) {
	var mu sync.Mutex
	sent := map[string]store.Part{}
	return func(s *mem.Store, key, upload string, n int, off int64, b store.Body) (store.Part, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		id := upload + string(rune(n))
		if p, ok := sent[id]; ok {
			return p, nil, true
		}
		p, err := s.PutPart(context.Background(), key, upload, n, off, b)
		if err == nil {
			sent[id] = p
		}
		return p, err, true
	}
}

func beyondEnd(s *mem.Store, key, upload string, n int, off int64, b store.Body) (store.Part, error, bool) {
	_, err := s.PutPart(context.Background(), key, upload, n, off, b)
	return store.Part{}, nil, err != nil && b.Size == 1 && !errors.Is(err, store.ErrNotFound)
}

func anyParts(s *mem.Store, key, upload string, _ []store.Part) (store.Object, error) {
	all, err := s.Parts(context.Background(), key, upload)
	if err != nil {
		return store.Object{}, err
	}
	return s.Complete(context.Background(), key, upload, all)
}

func completeAgain(s *mem.Store, key, upload string, parts []store.Part) (store.Object, error) {
	o, err := s.Complete(context.Background(), key, upload, parts)
	if there, serr := s.Stat(context.Background(), key); errors.Is(err, store.ErrNotFound) && serr == nil {
		return there, nil
	}
	return o, err
}

func (s *faulty) Put(ctx context.Context, key string, b store.Body, o store.PutOptions) (store.Object, error) {
	if s.d.put != nil && ctx.Err() == nil {
		return s.d.put(s.Store, key, b, o)
	}
	out, err := s.Store.Put(ctx, key, b, o)
	return s.shown(out), err
}

func (s *faulty) shown(o store.Object) store.Object {
	if s.d.object != nil {
		s.d.object(&o)
	}
	return o
}

func (s *faulty) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	if s.d.object != nil && r.Match != nil && r.Match.Version == "" {
		r.Match = nil
	}
	rc, o, err := s.Store.Open(ctx, key, r)
	return rc, s.shown(o), err
}

func (s *faulty) Stat(ctx context.Context, key string) (store.Object, error) {
	o, err := s.Store.Stat(ctx, key)
	return s.shown(o), err
}

func (s *faulty) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for o, err := range s.Store.List(ctx, prefix, after) {
			o = s.shown(o)
			if s.d.listed != nil {
				s.d.listed(&o)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

func (s *faulty) Divide(ctx context.Context, prefix, after string, n int) ([]string, error) {
	cuts, err := s.Store.Divide(ctx, prefix, after, n)
	if s.d.divide != nil && n > 1 {
		cuts = s.d.divide(cuts, prefix, after, n)
	}
	return cuts, err
}

func (s *faulty) Copy(ctx context.Context, from store.Store, o store.Object, key string, p *store.PutOptions) (store.Object, error) {
	if s.d.copy != nil {
		s.d.copy(s.Store, &o, &p)
	}
	if f, ok := from.(*faulty); ok {
		from = f.Store
	} else if s.d.anywhere {
		from = s.Store
	}
	return s.Store.Copy(ctx, from, o, key, p)
}

func (s *faulty) PartSize(size, least int64) int64 {
	if s.d.partSize > 0 {
		return s.d.partSize
	}
	return s.Store.PartSize(size, least)
}

func (s *faulty) Begin(ctx context.Context, key string, size int64, o store.PutOptions) (string, error) {
	if s.d.begin != nil {
		s.d.begin(&o)
	}
	return s.Store.Begin(ctx, key, size, o)
}

func (s *faulty) PutPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	if s.d.putPart != nil && ctx.Err() == nil {
		if p, err, done := s.d.putPart(s.Store, key, upload, n, off, b); done {
			return p, err
		}
	}
	return s.Store.PutPart(ctx, key, upload, n, off, b)
}

func (s *faulty) Parts(ctx context.Context, key, upload string) ([]store.Part, error) {
	parts, err := s.Store.Parts(ctx, key, upload)
	if s.d.parts != nil {
		parts = s.d.parts(parts)
	}
	return parts, err
}

func (s *faulty) Complete(ctx context.Context, key, upload string, parts []store.Part) (store.Object, error) {
	if s.d.complete != nil {
		return s.d.complete(s.Store, key, upload, parts)
	}
	return s.Store.Complete(ctx, key, upload, parts)
}

func (s *faulty) Abandon(ctx context.Context, key, upload string) error {
	if s.d.abandon {
		return nil
	}
	return s.Store.Abandon(ctx, key, upload)
}

func (s *faulty) Batch(ctx context.Context) (store.Batch, error) {
	b, err := s.Store.Batch(ctx)
	if s.d.batch == nil || err != nil {
		return b, err
	}
	f := s.d.batch(s).(*faultyBatch)
	f.Batch = b
	return f, nil
}

func (s *faulty) Remove(ctx context.Context, keys []string) map[string]error {
	if s.d.remove != nil {
		return s.d.remove(s.Store, keys)
	}
	return s.Store.Remove(ctx, keys)
}

type faultyBatch struct {
	store.Batch
	s   *faulty
	put func(context.Context, string, store.Body, store.PutOptions) (store.Object, error)

	mu                               sync.Mutex
	n                                int
	failed                           bool
	aborts, loses, stops, late, bare bool
}

func (b *faultyBatch) Put(ctx context.Context, key string, body store.Body, o store.PutOptions) (store.Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	if b.put != nil {
		return b.put(ctx, key, body, o)
	}
	if b.loses && b.n == 7 {
		return store.Object{Key: key, Size: body.Size}, nil
	}
	if b.bare {
		o.Attributes = store.Attributes{}
	}
	out, err := b.Batch.Put(ctx, key, body, o)
	b.failed = b.failed || err != nil
	if b.late && ctx.Err() == nil && !strings.HasPrefix(key, "short") {
		return out, nil
	}
	return out, err
}

func (b *faultyBatch) Commit(ctx context.Context) map[string]error {
	if b.stops && b.failed {
		b.Batch.Abort()
		return map[string]error{"good": errPlanted}
	}
	return b.Batch.Commit(ctx)
}

func (b *faultyBatch) Abort() {
	if b.aborts {
		b.Batch.Commit(context.Background())
		return
	}
	b.Batch.Abort()
}

func catchMem(d defects) (names []string, logs []error) {
	o := Options{
		ListObjects: 40, LargeBytes: 100_000, DivideObjects: 120, Rounds: 2,
		BadKeys: []string{"", "a\x00b", strings.Repeat("k", 1025)},
	}.withDefaults()
	for _, c := range checks() {
		s := mem.New(mem.Options{})
		if err := newEnv(&faulty{s, &d}, &faulty{s.Second(), &d}, o).check(c); err != nil {
			names, logs = append(names, c.name), append(logs, err)
		}
	}
	return names, logs
}

func TestKit_when_bugs_are_planted_in_memory(t *testing.T) {
	if caught, errs := catchMem(defects{}); len(caught) > 0 {
		t.Fatalf("without a bug: %q, %v", caught, errs)
	}
	for name, b := range memBugs() {
		t.Run(name, func(t *testing.T) {
			caught, errs := catchMem(b.d)
			if !slices.Contains(caught, b.by) {
				t.Errorf("caught by %q, not by %s: %v", caught, b.by, errs)
			}
		})
	}
}

// A Divide that asks too often is noticed where requests can be counted.
func TestKit_when_divide_is_dear(t *testing.T) {
	s := mem.New(mem.Options{})
	asked := 0
	o := Options{DivideObjects: 30, Requests: func() int { asked += 101; return asked }}.withDefaults()
	if err := newEnv(s, s, o).check(check{"Divide", (*env).divide}); err == nil || !strings.Contains(err.Error(), "asked") {
		t.Error(err)
	}
}
