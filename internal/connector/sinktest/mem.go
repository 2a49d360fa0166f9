package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"godwit/internal/store"
)

// Mem is a store in memory that many processes use, each through a view of its
// own, and that forgets at a power cut what was not made durable. It is used by
// one goroutine at a time.
type Mem struct {
	Objects map[string]*MemObject // by key
	Waiting map[string]*MemObject // staged, by staged name
	// Torn makes listings take a step for each entry, as those of large folders do:
	// an entry is told if it is there when its turn comes, and one that came after
	// the beginning is not told.
	Torn bool

	names int
	steps int
	late  []lateEffect
}

// lateEffect is a request whose answer was lost and that is still on its way.
type lateEffect struct {
	due    int
	effect func() error
}

// MemObject is an object of a Mem.
type MemObject struct {
	Receipt store.Receipt
	Data    []byte
	// Lost says that a power cut takes the object away.
	Lost bool
}

// NewMem returns an empty store.
func NewMem() *Mem {
	return &Mem{Objects: map[string]*MemObject{}, Waiting: map[string]*MemObject{}}
}

// Cut forgets what is not durable.
func (m *Mem) Cut(*rand.Rand) {
	m.late = nil
	lost := func(_ string, o *MemObject) bool { return o.Lost }
	maps.DeleteFunc(m.Objects, lost)
	maps.DeleteFunc(m.Waiting, lost)
}

// View returns the store as process p has it.
func (m *Mem) View(p *Process) *MemView {
	p.later = func(effect func() error) {
		m.late = append(m.late, lateEffect{m.steps + 3 + len(p.steps)%60, effect})
	}
	return &MemView{Mem: m, p: p}
}

// do is one step of a process, before which late requests arrive.
func (v *MemView) do(step string, effect func() error) error {
	return v.p.Do(step, func() error {
		v.steps++
		for i := 0; i < len(v.late); i++ {
			if l := v.late[i]; l.due <= v.steps {
				v.late = slices.Delete(v.late, i, i+1)
				i--
				_ = l.effect() // nobody hears the answer
			}
		}
		return effect()
	})
}

// MemView implements store.Store, Creator and Stager.
type MemView struct {
	*Mem
	p *Process
}

// Open implements store.Store.
func (v *MemView) Open(_ context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	var data []byte
	err := v.do("open "+key, func() error {
		o := v.Objects[key]
		if o == nil {
			return fmt.Errorf("%s: %w", key, store.ErrNotFound)
		}
		data = o.Data
		return nil
	})
	if err != nil {
		return nil, store.Object{}, err
	}
	o := store.Object{Key: key, Size: int64(len(data))}
	data = data[min(r.Off, o.Size):]
	if r.N > 0 {
		data = data[:min(r.N, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), o, nil
}

// Put implements store.Store.
func (v *MemView) Put(_ context.Context, key string, body store.Body, _ store.PutOptions) (store.Object, error) {
	r, err := body.Open(0)
	if err != nil {
		return store.Object{}, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return store.Object{}, err
	}
	err = v.do("put "+key, func() error {
		v.Objects[key] = &MemObject{Data: data}
		return nil
	})
	return store.Object{Key: key, Size: int64(len(data))}, err
}

// List implements store.Store.
func (v *MemView) List(_ context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		var found []string
		err := v.do("list "+prefix, func() error {
			for k := range v.Objects {
				if strings.HasPrefix(k, prefix) && k > after {
					found = append(found, k)
				}
			}
			return nil
		})
		if err != nil {
			yield(store.Object{}, err)
			return
		}
		slices.Sort(found)
		told := make([]store.Object, 0, len(found))
		for _, k := range found {
			if v.Torn {
				if err := v.do("entry "+k, func() error { return nil }); err != nil {
					yield(store.Object{}, err)
					return
				}
			}
			if o := v.Objects[k]; o != nil {
				told = append(told, store.Object{Key: k, Size: int64(len(o.Data)), Modified: time.Time{}})
			}
		}
		for _, o := range told {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Delete implements store.Store.
func (v *MemView) Delete(_ context.Context, key string) error {
	return v.do("delete "+key, func() error {
		delete(v.Objects, key)
		return nil
	})
}

// Close implements store.Store.
func (v *MemView) Close() error { return nil }

// Create implements store.Creator.
func (v *MemView) Create(_ context.Context, key string, value []byte) error {
	value = bytes.Clone(value)
	return v.do("create "+key, func() error {
		if v.Objects[key] != nil {
			return fmt.Errorf("%s: %w", key, store.ErrExists)
		}
		v.Objects[key] = &MemObject{Data: value}
		return nil
	})
}

// Stage implements store.Stager.
func (v *MemView) Stage(_ context.Context, key string, _ store.PutOptions) (store.Staging, error) {
	s := &memStaging{v: v, key: key}
	err := v.do("stage "+key, func() error {
		v.names++
		s.name = fmt.Sprintf("staged-%d", v.names)
		return nil
	})
	return s, err
}

type memStaging struct {
	v         *MemView
	key, name string
	data      []byte
	closed    bool
}

func (s *memStaging) Write(p []byte) (int, error) {
	err := s.v.do("write "+s.key, func() error {
		s.data = append(s.data, p...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *memStaging) Close() (store.Receipt, error) {
	r := store.Receipt{Key: s.key, Staged: s.name, Size: int64(len(s.data)), Checksum: fmt.Sprintf("xxh3:%x", xxh3.Hash128(s.data).Bytes())}
	err := s.v.do("close "+s.key, func() error {
		s.v.Waiting[s.name] = &MemObject{Receipt: r, Data: s.data}
		s.closed = true
		return nil
	})
	return r, err
}

func (s *memStaging) Abort() {}

var errOther = errors.New("other contents are there")

// Publish implements store.Stager.
func (v *MemView) Publish(_ context.Context, r store.Receipt) (out store.Outcome, err error) {
	err = v.do("publish "+r.Key, func() error {
		staged, final := v.Waiting[r.Staged], v.Objects[r.Key]
		switch {
		case final != nil && final.Receipt.Checksum != r.Checksum:
			return errOther
		case final != nil:
			delete(v.Waiting, r.Staged)
			out = store.Already
		case staged == nil:
			out = store.Taken
		default:
			delete(v.Waiting, r.Staged)
			v.Objects[r.Key] = staged
			out = store.Published
		}
		return nil
	})
	return out, err
}

// Staged implements store.Stager.
func (v *MemView) Staged(_ context.Context, key string) (out []store.Receipt, err error) {
	err = v.do("staged "+key, func() error {
		for _, o := range v.Waiting {
			if o.Receipt.Key == key {
				out = append(out, o.Receipt)
			}
		}
		slices.SortFunc(out, func(a, b store.Receipt) int { return strings.Compare(a.Staged, b.Staged) })
		return nil
	})
	return out, err
}

// StagedAny returns what is staged for any of keys.
func (v *MemView) StagedAny(_ context.Context, keys iter.Seq[string]) (out []store.Receipt, err error) {
	err = v.do("staged", func() error {
		if len(v.Waiting) == 0 {
			return nil
		}
		byKey := map[string][]store.Receipt{}
		for _, o := range v.Waiting {
			byKey[o.Receipt.Key] = append(byKey[o.Receipt.Key], o.Receipt)
		}
		for k := range keys {
			out = append(out, byKey[k]...)
		}
		slices.SortFunc(out, func(a, b store.Receipt) int { return strings.Compare(a.Staged, b.Staged) })
		return nil
	})
	return out, err
}

// Discard implements store.Stager.
func (v *MemView) Discard(_ context.Context, r store.Receipt) error {
	return v.do("discard "+r.Key, func() error {
		delete(v.Waiting, r.Staged)
		return nil
	})
}
