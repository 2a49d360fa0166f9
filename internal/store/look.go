package store

import (
	"context"
	"errors"

	"godwit/internal/fault"
)

// Look returns what s knows of the object under key, with its attributes:
// ErrNotFound when there is none. A store without Stat is asked by opening it.
func Look(ctx context.Context, s Store, key string) (Object, error) {
	if c, ok := s.(Stat); ok {
		return c.Stat(ctx, key)
	}
	r, o, err := s.Open(ctx, key, Read{N: 1})
	if err != nil {
		return Object{}, err
	}
	return o, r.Close()
}

// Find is Look for those to whom an object that is missing is no error: nil.
func Find(ctx context.Context, s Store, key string) (*Object, error) {
	o, err := Look(ctx, s, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &o, nil
}

// Wide reports whether an error concerns the whole store, so that it is of no use to
// go on with other objects.
func Wide(err error) bool {
	return fault.Has(err, fault.StoreAuth) || fault.Has(err, fault.StoreMissing) || fault.Has(err, fault.StoreUnreachable)
}
