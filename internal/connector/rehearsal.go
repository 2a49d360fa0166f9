package connector

import (
	"godwit/internal/fault"
	"godwit/internal/row"
)

// Rehearser is a sink that can tell what its target would refuse, without it.
type Rehearser interface {
	// Rehearse begins a rehearsal. It asks no system.
	Rehearse() Rehearsal
}

// Rehearsal makes of rows what writing them would, and keeps nothing. It is used by one
// goroutine.
type Rehearsal interface {
	// Apply calls refused with each row of b that cannot be held: fault.RowRefused. What
	// only the target itself knows, such as its constraints, is not found.
	Apply(b *row.Batch, refused func(*fault.Error)) error
	// Close ends it and returns about how many bytes would have been written.
	Close() (bytes int64, err error)
}
