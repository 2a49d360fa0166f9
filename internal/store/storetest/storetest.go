// Package storetest is the conformance kit of stores: Run for the contract, and
// RunPower for stores above a file system, whose power is cut at every step.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"godwit/internal/store"
)

// Options of Run. The zero Options are the defaults.
type Options struct {
	// Second opens another Store of the same place, as another process would.
	// Default: the same Store serves for both.
	Second func(t *testing.T, first store.Store) store.Store
	// Keys that the store must take besides the kit's own.
	Keys []string
	// Holds says which keys the store can hold; of the kit's own others are left out.
	// Default: all.
	Holds func(key string) bool
	// BadKeys are keys that the store must refuse with fault.NameRefused. Default:
	// what is no path inside a folder, and parts longer than NameBytes. A store that
	// takes "a//b" says here what it does not take.
	BadKeys []string
	// Mixes says that the service, while an object is overwritten, may answer with the
	// head of one version and the bytes of the other. The store must notice: a
	// reader then gets fault.Corrupt, never such bytes as an object.
	Mixes bool
	// Objects says that staged objects are objects of a service, which cannot say what
	// the checksum of their contents is: the receipts of Staged lack it, and the token
	// differs. Where both the staged and the published one are gone, Publish answers
	// fault.TargetLost, for the service itself may have removed them.
	Objects bool
	// BrokenParts says that the service counts a part whose body broke off, as large
	// as it should have been. Its sum must tell.
	BrokenParts bool
	// Keeps takes out of attributes what the store does not keep. Default: it keeps
	// all.
	Keeps func(*store.Attributes)
	// Checks are the algorithms of which the store refuses a wrong sum. Default: all.
	Checks []store.Algorithm
	// Requests, if set, counts what the store has asked of its service so far, so
	// that a dear Divide is noticed.
	Requests func() int
	// DivideObjects is how many objects the tests of Divide make, and so many are
	// worth dividing. Default 400 of which a Divide may make nothing.
	DivideObjects int
	// Fold says that names, of folders too, for which it returns the same are one in
	// the store. Of such keys the kit uses the first. Default: every key is a name of
	// its own.
	Fold func(name string) string
	// NameBytes is the longest part of a key. Default 255.
	NameBytes int
	// ListObjects is how many objects the test of large listings makes. Default 300.
	ListObjects int
	// LargeBytes is the size of the large object. Default 8 MiB.
	LargeBytes int
	// Rounds of each race. Default 8.
	Rounds int
	// Seed of all that is random; printed. Default 1.
	Seed uint64

	worthDividing bool
}

func (o Options) withDefaults() Options {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&o.NameBytes, 255)
	set(&o.ListObjects, 300)
	set(&o.LargeBytes, 8<<20)
	set(&o.Rounds, 8)
	o.worthDividing = o.DivideObjects > 0
	set(&o.DivideObjects, 400)
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Keeps == nil {
		o.Keeps = func(*store.Attributes) {}
	}
	if o.Checks == nil {
		o.Checks = []store.Algorithm{store.SHA256, store.XXH3, store.SHA1, store.MD5, store.CRC32C}
	}
	return o
}

// Run tests that what open returns, an empty store each time, keeps the contract
// of package store with all its capabilities.
func Run(t *testing.T, open func(t *testing.T) store.Store, o Options) {
	runAll(t, checks(), open, o)
}

// RunListing is the part of Run that is about listings, for stores that can list in
// more than one way.
func RunListing(t *testing.T, open func(t *testing.T) store.Store, o Options) {
	runAll(t, slices.Concat(listChecks(), divideChecks()), open, o)
}

func runAll(t *testing.T, checks []check, open func(t *testing.T) store.Store, o Options) {
	t.Helper()
	o = o.withDefaults()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			second := s
			if o.Second != nil {
				second = o.Second(t, s)
				t.Cleanup(func() { _ = second.Close() })
			}
			if err := newEnv(s, second, o).check(c); err != nil {
				if errors.Is(err, errLacks) {
					t.Skip(err)
				}
				t.Errorf("seed %d: %v", o.Seed, err)
			}
		})
	}
}

// Caught runs the checks whose names begin with one of some prefixes and returns the
// names of those that fail. It is for stores with a bug that was planted: the kit must
// catch it.
func Caught(t *testing.T, open func(t *testing.T) store.Store, o Options, prefixes ...string) []string {
	t.Helper()
	o = o.withDefaults()
	var out []string
	for _, c := range checks() {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c.name, p) }) {
			continue
		}
		s := open(t)
		if err := newEnv(s, s, o).check(c); err != nil {
			t.Logf("%s: %v", c.name, err)
			out = append(out, c.name)
		}
	}
	return out
}

type check struct {
	name string
	run  func(*env)
}

func checks() []check {
	return slices.Concat(objectChecks(), attributeChecks(), listChecks(), divideChecks(), createChecks(), stageChecks(),
		copyChecks(), partChecks(), batchChecks(), removeChecks())
}

var errLacks = errors.New("the store has not this capability")

// env is what a check works with. Its methods end the check by a panic that
// check catches; goroutines of a check return errors instead.
type env struct {
	ctx       context.Context
	s, second store.Store
	o         Options
	rng       *rand.Rand
}

func newEnv(s, second store.Store, o Options) *env {
	return &env{ctx: context.Background(), s: s, second: second, o: o, rng: rand.New(rand.NewPCG(o.Seed, 1))}
}

type failure struct{ error }

func (e *env) check(c check) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
			panic(r)
		}
	}()
	c.run(e)
	return nil
}

func (e *env) fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (e *env) ok(err error, format string, args ...any) {
	if err != nil {
		e.fail("%s: %w", fmt.Sprintf(format, args...), err)
	}
}

func (e *env) is(err, want error, format string, args ...any) {
	if !errors.Is(err, want) {
		e.fail("%s: got %v, want %v", fmt.Sprintf(format, args...), err, want)
	}
}

func (e *env) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(e.rng.Uint32())
	}
	return b
}

func body(b []byte) store.Body {
	return store.Body{Size: int64(len(b)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[off:])), nil
	}}
}

func (e *env) put(key string, b []byte) store.Object {
	o, err := e.s.Put(e.ctx, key, body(b), store.PutOptions{})
	e.ok(err, "Put(%q)", key)
	return o
}

func read(ctx context.Context, s store.Store, key string) ([]byte, store.Object, error) {
	return readPart(ctx, s, key, store.Read{})
}

func readPart(ctx context.Context, s store.Store, key string, r store.Read) ([]byte, store.Object, error) {
	rc, o, err := s.Open(ctx, key, r)
	if err != nil {
		return nil, o, err
	}
	b, err := io.ReadAll(rc)
	return b, o, errors.Join(err, rc.Close())
}

// holds checks that an object has contents want, however it is asked.
func (e *env) holds(s store.Store, key string, want []byte) {
	got, o, err := read(e.ctx, s, key)
	e.ok(err, "Open(%q)", key)
	if !bytes.Equal(got, want) {
		e.fail("Open(%q): %s, want %s", key, brief(got), brief(want))
	}
	if o.Key != key || o.Size != int64(len(want)) {
		e.fail("Open(%q): object %+v, want its key and size %d", key, o, len(want))
	}
	if st, ok := s.(store.Stat); ok {
		so, err := st.Stat(e.ctx, key)
		e.ok(err, "Stat(%q)", key)
		if so.Key != key || so.Size != o.Size || so.Version != o.Version || !so.Modified.Equal(o.Modified) {
			e.fail("Stat(%q): %+v, but Open says %+v", key, so, o)
		}
	}
}

// absent checks that no object is under key, however it is asked.
func (e *env) absent(s store.Store, key string) {
	_, _, err := read(e.ctx, s, key)
	e.is(err, store.ErrNotFound, "Open(%q)", key)
	if st, ok := s.(store.Stat); ok {
		_, err := st.Stat(e.ctx, key)
		e.is(err, store.ErrNotFound, "Stat(%q)", key)
	}
	if slices.Contains(e.keys(s.List(e.ctx, key, "")), key) {
		e.fail("List: %q is listed", key)
	}
}

func (e *env) keys(list iter.Seq2[store.Object, error]) []string {
	out := []string{}
	for o, err := range list {
		e.ok(err, "List at %q", o.Key)
		out = append(out, o.Key)
	}
	return out
}

func brief(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%d bytes %q…", len(b), b[:40])
	}
	return fmt.Sprintf("%d bytes %q", len(b), b)
}

func checksum(b []byte) string {
	s := xxh3.Hash128(b).Bytes()
	return fmt.Sprintf("xxh3:%x", s[:])
}

// apart returns those of keys that are names of their own, in all folders.
func (e *env) apart(keys []string) []string {
	if e.o.Fold == nil {
		return keys
	}
	spelt := map[string]string{}
	return slices.DeleteFunc(keys, func(key string) bool {
		for i := 0; i <= len(key); i++ {
			if i < len(key) && key[i] != '/' {
				continue
			}
			name := e.o.Fold(key[:i])
			if has, ok := spelt[name]; ok && has != key[:i] {
				return true
			}
			spelt[name] = key[:i]
		}
		return false
	})
}

func (e *env) goodKeys() []string {
	keys := e.apart(append([]string{
		"a", "x/y/z", "with space/and more ", "ü/日本語/🐦", "50%/x%2Fy%", "dots.../.hidden/a..b", "-dash", "~tilde",
		`quote"'`, "a+b&c=d;e,f", "colon:at@hash#?*[x]", `back\slash`, "Case", "case", "e\u0301", "\u00e9", "t-x", "s-x",
		strings.Repeat("k", e.o.NameBytes), "deep/" + strings.Repeat("é", e.o.NameBytes/2) + "/end",
		strings.Repeat("d/", 40) + "f",
	}, e.o.Keys...))
	if e.o.Holds == nil {
		return keys
	}
	return slices.DeleteFunc(keys, func(key string) bool { return !e.o.Holds(key) })
}

func (e *env) badKeys() []string {
	if e.o.BadKeys != nil {
		return e.o.BadKeys
	}
	return []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/..", "./a", "a/./b", "a\x00b",
		strings.Repeat("k", e.o.NameBytes+1), "a/" + strings.Repeat("k", e.o.NameBytes+1) + "/b",
	}
}
