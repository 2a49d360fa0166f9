package store

import "context"

// Nester is a capability of stores that can tell where others of their system lie.
type Nester interface {
	// Nests reports whether the objects of other lie among those of this store, as far
	// as that can be told: their keys here are prefix and then their key there, so an
	// empty prefix means that both are one place. Neither needs to be there yet.
	Nests(other Store) (prefix string, in bool, err error)
}

// Rooted is a capability of stores in a folder that may be missing, where a listing
// has no objects.
type Rooted interface {
	// There returns nil when the folder is there, fault.StoreMissing when it is not,
	// and why where that cannot be told.
	There(ctx context.Context) error
}
