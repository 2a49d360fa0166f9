package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/store"
)

// uploading is what the calls so far promised of an upload.
type uploading struct {
	key, text string
	parts     map[int]store.Part // durable
	unsure    map[int]bool       // a PutPart did not return
	state     slotState
}

func (u uploading) clone() uploading {
	u.parts, u.unsure = maps.Clone(u.parts), maps.Clone(u.unsure)
	return u
}

// powerParts is how many parts the uploads of the script have.
const powerParts = 3

func powerPart(data string, n int) (int, string) {
	size := (len(data) + powerParts - 1) / powerParts
	off := (n - 1) * size
	return off, data[off:min(off+size, len(data))]
}

// batch puts an object under each of the keys, which are joined by spaces.
func (w *world) batch(ctx context.Context, s store.Store, batcher store.Batcher, a act) error {
	b, err := batcher.Batch(ctx)
	if err != nil {
		return err
	}
	defer b.Abort()
	keys := strings.Fields(a.key)
	v := func(key string) value { return value{true, a.data + key} }
	for _, key := range keys {
		if _, err := b.Put(ctx, key, body([]byte(v(key).data)), store.PutOptions{}); err != nil {
			return err
		}
	}
	for _, key := range keys {
		got, _, err := read(ctx, s, key)
		if err == nil && string(got) == v(key).data && !slices.Contains(w.may[key], v(key)) {
			return fmt.Errorf("%q is visible before Commit", key)
		}
	}
	for _, key := range keys {
		w.mayBe(key, v(key))
	}
	errs := b.Commit(ctx)
	for _, key := range keys {
		if errs[key] == nil {
			w.may[key] = []value{v(key)}
		}
	}
	return errors.Join(slices.Collect(maps.Values(errs))...)
}

// parting is an act of an upload.
func (w *world) parting(ctx context.Context, s store.Store, p store.Parter, a act, again bool) error {
	u := w.uploads[a.slot].clone()
	defer func() { w.uploads[a.slot] = u }()
	switch a.kind {
	case "begin":
		text, err := p.Begin(ctx, a.key, int64(len(a.data)), store.PutOptions{})
		if err != nil {
			return err
		}
		u = uploading{a.key, text, map[int]store.Part{}, map[int]bool{}, staged}
	case "part", "other part":
		return u.send(ctx, p, a, again)
	case "complete":
		u.state = unsure
		v := value{true, a.data}
		w.mayBe(a.key, v)
		err := u.complete(ctx, s, p, a, again)
		if err != nil {
			return err
		}
		w.may[a.key] = []value{v}
		u.state = ended
	case "abandon":
		u.state = unsure
		if err := p.Abandon(ctx, a.key, u.text); err != nil {
			return err
		}
		u.state = ended
	}
	return nil
}

// send sends a part, unless Parts says that it is there. One with other bytes is
// not sent again by a caller that was stopped.
func (u *uploading) send(ctx context.Context, p store.Parter, a act, again bool) error {
	off, data := powerPart(a.data, a.part)
	if a.kind == "other part" {
		if again {
			return nil
		}
		data = strings.Repeat("?", len(data))
	}
	there, err := p.Parts(ctx, a.key, u.text)
	if err != nil {
		return err
	}
	for _, part := range there {
		if part.N == a.part && part.Sum == sumOf(store.XXH3, []byte(data)) {
			u.parts[a.part] = part
			delete(u.unsure, a.part)
			return nil
		}
	}
	u.unsure[a.part] = true
	part, err := p.PutPart(ctx, a.key, u.text, a.part, int64(off), body([]byte(data)))
	if err != nil {
		return err
	}
	u.parts[a.part] = part
	delete(u.unsure, a.part)
	return nil
}

func (u *uploading) complete(ctx context.Context, s store.Store, p store.Parter, a act, again bool) error {
	parts, err := p.Parts(ctx, a.key, u.text)
	if err == nil {
		_, err = p.Complete(ctx, a.key, u.text, parts)
	} else if again && errors.Is(err, store.ErrNotFound) {
		_, err = p.Complete(ctx, a.key, u.text, nil)
	}
	if again && errors.Is(err, store.ErrNotFound) {
		if got, _, rerr := read(ctx, s, a.key); rerr == nil && string(got) == a.data {
			return nil // it was completed
		}
	}
	return err
}

func (w *world) verifyUploads(ctx context.Context, s store.Store) error {
	p, ok := s.(store.Parter)
	if !ok {
		return nil
	}
	for _, u := range w.uploads {
		if u.text == "" {
			continue
		}
		parts, err := p.Parts(ctx, u.key, u.text)
		switch {
		case u.state == ended && !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("upload of %q: it has ended, and Parts says %v, %v", u.key, parts, err)
		case err != nil && (u.state == staged || !errors.Is(err, store.ErrNotFound)):
			return fmt.Errorf("upload of %q: %w", u.key, err)
		case u.state == staged:
			if err := u.verify(parts); err != nil {
				return fmt.Errorf("upload of %q: %w", u.key, err)
			}
		}
	}
	return nil
}

func (u uploading) verify(parts []store.Part) error {
	for n, part := range u.parts {
		if !u.unsure[n] && !slices.Contains(parts, part) {
			return fmt.Errorf("part %d is durable, and Parts lists %v", n, parts)
		}
	}
	for _, part := range parts {
		if !u.unsure[part.N] && u.parts[part.N] != part {
			return fmt.Errorf("Parts lists %+v, which was not sent", part)
		}
	}
	return nil
}
