package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"godwit/internal/connector/sinktest"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

// planted is a defect of the protocol, made between the sink and its store: what
// the store is asked is changed to what a sink with the defect would ask.
type planted struct {
	fullStore
	mem  *sinktest.Mem
	p    *sinktest.Process
	mine map[string]uint64 // greatest record created, by shard folder

	create func(b *planted, key string, rec *record, value []byte) error
	list   func(b *planted, dir string, found []store.Object) []store.Object
	stage  func(b *planted, key string) string
	closed func(b *planted, r store.Receipt)
	read   func(rec *record)
	late   bool
	queue  []func() error
}

var commitsDir = regexp.MustCompile(`^(_godwit/shards/[^/]+/)commits/`)

// recordOf returns the record that is being created, nil for other objects.
func recordOf(key string, value []byte) *record {
	if !commitsDir.MatchString(key) || strings.HasSuffix(key, doneSuffix) {
		return nil
	}
	var r record
	if json.Unmarshal(value, &r) != nil {
		return nil
	}
	return &r
}

func (b *planted) Create(ctx context.Context, key string, value []byte) error {
	rec := recordOf(key, value)
	if rec == nil {
		return b.fullStore.Create(ctx, key, value)
	}
	var err error
	if b.create != nil {
		err = b.create(b, key, rec, value)
	} else {
		err = b.fullStore.Create(ctx, key, value)
	}
	for _, f := range b.queue {
		if err == nil {
			err = f()
		}
	}
	b.queue = nil
	if err == nil {
		b.mine[commitsDir.FindStringSubmatch(key)[1]] = rec.N
	}
	return err
}

func (b *planted) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	m := commitsDir.FindStringSubmatch(prefix)
	if b.list == nil || m == nil {
		return b.fullStore.List(ctx, prefix, after)
	}
	return func(yield func(store.Object, error) bool) {
		var found []store.Object
		for o, err := range b.fullStore.List(ctx, prefix, after) {
			if err != nil {
				yield(o, err)
				return
			}
			found = append(found, o)
		}
		for _, o := range b.list(b, m[1], found) {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (b *planted) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	rc, o, err := b.fullStore.Open(ctx, key, r)
	if err != nil || b.read == nil {
		return rc, o, err
	}
	value, err := io.ReadAll(rc)
	if err != nil {
		return nil, o, err
	}
	if rec := recordOf(key, value); rec != nil {
		b.read(rec)
		value = rec.encode()
	}
	return io.NopCloser(bytes.NewReader(value)), o, nil
}

func (b *planted) Stage(ctx context.Context, key string, o store.PutOptions) (store.Staging, error) {
	if b.stage != nil {
		key = b.stage(b, key)
	}
	s, err := b.fullStore.Stage(ctx, key, o)
	return &plantedStaging{Staging: s, b: b, key: key}, err
}

type plantedStaging struct {
	store.Staging
	b    *planted
	key  string
	data []byte
}

func (s *plantedStaging) Write(p []byte) (int, error) {
	s.data = append(s.data, p...)
	return s.Staging.Write(p)
}

func (s *plantedStaging) Close() (store.Receipt, error) {
	if s.b.late {
		r := store.Receipt{Key: s.key, Staged: "late-" + s.key, Size: int64(len(s.data)), Checksum: fmt.Sprintf("xxh3:%x", xxh3.Hash128(s.data).Bytes())}
		s.b.queue = append(s.b.queue, func() error {
			return s.b.p.Do("close "+s.key, func() error {
				s.b.mem.Waiting[r.Staged] = &sinktest.MemObject{Receipt: r, Data: s.data}
				return nil
			})
		})
		return r, nil
	}
	r, err := s.Staging.Close()
	if err == nil && s.b.closed != nil {
		s.b.closed(s.b, r)
	}
	return r, err
}

var background = context.Background()

// receiptsOf returns the receipts of rec.
func (b *planted) publishAll(rec *record) error {
	for _, r := range rec.Receipts {
		if _, err := b.fullStore.Publish(background, r); err != nil {
			return err
		}
	}
	return nil
}

// hideGreater is a listing that does not tell of others.
func hideGreater(b *planted, dir string, found []store.Object) []store.Object {
	mine, ok := b.mine[dir]
	if !ok {
		return found
	}
	delete(b.mine, dir)
	var out []store.Object
	before := false
	for _, o := range found {
		n, _, _ := parseNumber(o.Key[len(dir+"commits/"):])
		if n == mine-1 {
			before = true
		}
		if n == mine && !before && mine > 1 {
			out = append(out, store.Object{Key: fmt.Sprintf("%scommits/%020d", dir, mine-1)})
		}
		if n <= mine {
			out = append(out, o)
		}
	}
	return out
}

// cleanFirst discards what the greatest record does not name, before a record is
// made.
func cleanFirst(b *planted, dir string, found []store.Object) []store.Object {
	if _, own := b.mine[dir]; own {
		return found
	}
	named := map[string]bool{}
	for _, o := range found {
		if rec := recordOf(o.Key, b.mem.Objects[o.Key].Data); rec != nil {
			clear(named)
			for _, r := range rec.Receipts {
				named[r.Staged] = true
			}
		}
	}
	for name, o := range b.mem.Waiting {
		if task, _, ok := parseFileName(o.Receipt.Key); ok && strings.HasSuffix(dir, "/"+task+"/") && !named[name] {
			_ = b.p.Do("discard "+name, func() error { delete(b.mem.Waiting, name); return nil })
		}
	}
	return found
}

var epochInName = regexp.MustCompile(`-[0-9]+-([0-9]+)\.`)

// bugs are the planted defects.
var bugs = map[string]func(b *planted){
	"position first": func(b *planted) {
		b.late = true
	},
	"no fsync": func(b *planted) {
		b.closed = func(b *planted, r store.Receipt) { b.mem.Waiting[r.Staged].Lost = true }
	},
	"publish before record": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			if !rec.Carried {
				if err := b.publishAll(rec); err != nil {
					return err
				}
			}
			return b.fullStore.Create(background, key, value)
		}
	},
	"fence ignored": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			err := b.fullStore.Create(background, key, value)
			if errors.Is(err, store.ErrExists) {
				if err := b.fullStore.Delete(background, key); err != nil {
					return err
				}
				return b.fullStore.Create(background, key, value)
			}
			return err
		}
	},
	"no second listing": func(b *planted) { b.list = hideGreater },
	"prunes the last": func(b *planted) {
		b.list = func(b *planted, dir string, found []store.Object) []store.Object {
			if n := b.mine[dir]; n > 0 && len(found) > 0 {
				_ = b.fullStore.Delete(background, found[len(found)-1].Key)
			}
			return found
		}
	},
	"prunes all but the last": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			err := b.fullStore.Create(background, key, value)
			if err == nil && rec.N > 1 {
				err = b.fullStore.Delete(background, fmt.Sprintf("%s%020d", key[:len(key)-numberDigits], rec.N-1))
			}
			return err
		}
	},
	"carried receipts missing": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			if rec.Carried {
				rec.Receipts, rec.Side = nil, nil
				value = rec.encode()
			}
			return b.fullStore.Create(background, key, value)
		}
	},
	"open cleans before it records": func(b *planted) { b.list = cleanFirst },
	"seq reused": func(b *planted) {
		b.stage = func(_ *planted, key string) string { return epochInName.ReplaceAllString(key, "-1-$1.") }
	},
	"done too early": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			if err := b.fullStore.Create(background, key, value); err != nil {
				return err
			}
			return b.fullStore.Create(background, key+doneSuffix, []byte("{}"))
		}
	},
	"an unknown outcome taken for a failure": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			err := b.fullStore.Create(background, key, value)
			if err != nil && !errors.Is(err, store.ErrExists) {
				for _, r := range rec.Receipts {
					_ = b.fullStore.Discard(background, r)
				}
			}
			return err
		}
	},
	"claims ignored": func(b *planted) {
		b.read = func(rec *record) { rec.Claim.Run, rec.Claim.Attempt = 0, 0 }
	},
	"positions not carried": func(b *planted) {
		b.create = func(b *planted, key string, rec *record, value []byte) error {
			if rec.Carried && rec.N > 1 {
				rec.Positions = emptySet()
				value = rec.encode()
			}
			return b.fullStore.Create(background, key, value)
		}
	},
}

// hunt counts what finds a bug: crashes of the sweep and histories. Without soak it
// stops at the first find.
func hunt(h sinktest.Harness, seeds int) (crashes sinktest.Sweep, found []error, played int) {
	for ; played < seeds && (len(found) == 0 || sinktest.Soak()); played += 50 {
		_, f := sinktest.Play(h, uint64(played+1), 50)
		found = append(found, f...)
	}
	if len(found) == 0 || sinktest.Soak() {
		var err error
		if crashes, err = sinktest.Crashes(h); err != nil {
			crashes.Caught = append(crashes.Caught, err)
		}
	}
	return crashes, found, played
}

// A kit that lets a defect pass proves nothing: each planted one must be found.
func TestKit_when_a_bug_is_planted(t *testing.T) {
	for name, bug := range bugs {
		t.Run(name, func(t *testing.T) {
			h := memHarness()
			h.New = func() sinktest.World {
				return &memWorld{mem: sinktest.NewMem(), plant: func(m *sinktest.Mem, p *sinktest.Process, st fullStore) store.Store {
					b := &planted{fullStore: st, mem: m, p: p, mine: map[string]uint64{}}
					bug(b)
					return b
				}}
			}
			crashes, found, played := hunt(h, 3000)
			t.Logf("%s: found by %d of %d crashes and by %d of %d histories", name, len(crashes.Caught), crashes.Points, len(found), played)
			if len(crashes.Caught)+len(found) == 0 {
				t.Error("not found")
			} else {
				first, _, _ := strings.Cut(append(found, crashes.Caught...)[0].Error(), "\nlast steps")
				t.Log(first)
			}
		})
	}
}

// noSync is a file system that does not sync.
type noSync struct {
	local.FS
	files, folders bool
}

func (f noSync) OpenRoot(name string) (local.Root, error) {
	r, err := f.FS.OpenRoot(name)
	return noSyncRoot{r, f}, err
}

func (f noSync) SyncDir(name string) error {
	if f.folders {
		return nil
	}
	return f.FS.SyncDir(name)
}

type noSyncRoot struct {
	local.Root
	f noSync
}

func (r noSyncRoot) SyncDir(name string) error {
	if r.f.folders {
		return nil
	}
	return r.Root.SyncDir(name)
}

func (r noSyncRoot) Create(name string) (local.Writer, error) {
	w, err := r.Root.Create(name)
	if err != nil || !r.f.files {
		return w, err
	}
	return noSyncWriter{w}, nil
}

type noSyncWriter struct{ local.Writer }

func (noSyncWriter) Sync() error { return nil }

func TestKit_when_the_store_does_not_sync(t *testing.T) {
	for _, f := range []noSync{{files: true}, {folders: true}} {
		h := diskHarness()
		h.New = func() sinktest.World {
			return &diskWorld{disk: powerfs.New(), plant: func(fs local.FS) local.FS { return noSync{fs, f.files, f.folders} }}
		}
		crashes, found, played := hunt(h, 1000)
		t.Logf("files %v, folders %v: found by %d of %d crashes and by %d of %d histories", f.files, f.folders, len(crashes.Caught), crashes.Points, len(found), played)
		if len(crashes.Caught)+len(found) == 0 {
			t.Error("not found")
		}
	}
}
