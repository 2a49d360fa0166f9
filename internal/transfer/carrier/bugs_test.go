package carrier

import (
	"context"
	"io"
	"strings"
	"testing"

	"godwit/internal/store"
)

// Stores that stand for defects of the carrier: what it would do wrong is done
// below it.

// unmatched reads whatever version is there.
type unmatched struct {
	store.Store
	teller
}

func (u unmatched) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	r.Match = nil
	return u.Store.Open(ctx, key, r)
}

// uncompared hides what would be compared.
type uncompared struct {
	store.Store
	teller
}

func (u uncompared) Put(ctx context.Context, key string, b store.Body, o store.PutOptions) (store.Object, error) {
	o.Sums = nil
	out, err := u.Store.Put(ctx, key, b, o)
	out.Sums = nil
	return out, err
}

// unread hides what the source says of its bytes.
type unread struct {
	store.Store
	teller
}

func (u unread) Open(ctx context.Context, key string, r store.Read) (io.ReadCloser, store.Object, error) {
	in, o, err := u.Store.Open(ctx, key, r)
	if err != nil {
		return nil, o, err
	}
	b, _ := io.ReadAll(in)
	for int64(len(b)) < o.Size { // a short body is filled up
		b = append(b, 0)
	}
	return io.NopCloser(strings.NewReader(string(b))), o, nil
}

// early makes the object visible with its first part.
type early struct {
	store.Store
	teller
	store.Parter
}

func (e early) PutPart(ctx context.Context, key, upload string, n int, off int64, b store.Body) (store.Part, error) {
	p, err := e.Parter.PutPart(ctx, key, upload, n, off, b)
	if err == nil && n == 1 {
		_, err = e.Store.Put(ctx, key, b, store.PutOptions{})
	}
	return p, err
}

// forgetful sends everything again after a crash.
type forgetful struct {
	store.Store
	teller
	store.Parter
}

func (forgetful) Parts(context.Context, string, string) ([]store.Part, error) { return nil, nil }

// hasty says that it is durable when it is not.
type hasty struct {
	store.Store
	teller
}

func (h hasty) Put(ctx context.Context, key string, b store.Body, o store.PutOptions) (store.Object, error) {
	r, err := b.Open(0)
	if err != nil {
		return store.Object{}, err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return store.Object{Key: key, Size: b.Size}, err
}

func TestMishaps_when_a_defect_is_planted(t *testing.T) {
	find := func(name string) scene {
		for _, s := range scenes() {
			if s.name == name {
				return s
			}
		}
		t.Fatal("no scene " + name)
		return scene{}
	}
	withTarget := func(wrap func(store.Store) store.Store) plant {
		return func(source, target store.Store) (store.Store, store.Store) { return source, wrap(target) }
	}
	withSource := func(wrap func(store.Store) store.Store) plant {
		return func(source, target store.Store) (store.Store, store.Store) { return wrap(source), target }
	}
	for _, d := range []struct {
		name  string
		scene string
		what  mishap
		plant plant
	}{
		{"no Match, a mixture of versions", "parts without sums", changes, withSource(func(s store.Store) store.Store { return unmatched{s, s.(store.Stat)} })},
		{"no comparison with what was stored", "held", flipped, withTarget(func(s store.Store) store.Store { return uncompared{s, s.(store.Stat)} })},
		{"a short body is taken for whole", "move without sums", shortBody, withSource(func(s store.Store) store.Store { return unread{s, s.(store.Stat)} })},
		{"published before all parts", "parts", none, withTarget(func(s store.Store) store.Store { return early{s, s.(store.Stat), s.(store.Parter)} })},
		{"sent again after a crash", "parts", crashBefore, withTarget(func(s store.Store) store.Store { return forgetful{s, s.(store.Stat), s.(store.Parter)} })},
		{"counted before it is there", "held", none, withTarget(func(s store.Store) store.Store { return hasty{s, s.(store.Stat)} })},
	} {
		t.Run(d.name, func(t *testing.T) {
			var found []string
			find(d.scene).everyStep(t, d.what, d.plant, func(_ int, _ string, problems []string) { found = append(found, problems...) })
			if len(found) == 0 {
				t.Error("the mishaps found nothing wrong")
			} else {
				t.Log(found[0])
			}
		})
	}
}
