package connector

import (
	"context"
	"time"

	"godwit/internal/position"
)

// Retainer tells how long a source keeps its log.
type Retainer interface {
	// Retention tells how long the log is kept and, when at is not zero, how safe
	// what follows at is. It changes nothing and is cheap enough to be asked every
	// few seconds. A place of another log gives fault.SourceDiverged.
	Retention(ctx context.Context, at position.Position) (Retention, error)
}

// Retention is how long a log is kept. All of it is as the source saw it some seconds ago
// at most: its settings can be changed, and parts can be removed by hand.
type Retention struct {
	// Kept is how long what is written now will stay, by the source's settings and
	// at the pace it writes; 0: no setting limits it.
	Kept time.Duration
	// By names the setting that limits it; empty with Kept 0.
	By string
	// Reach is how far back the log goes now.
	Reach time.Duration
	// Longer is what makes the source keep its log for longer: a command, or words.
	Longer string

	// The rest is about the place asked for.

	// Left is how long what follows the place will stay, never below 0; meaningless
	// with Kept 0.
	Left time.Duration
	// Spare is how many parts of the log that are still there lie before the one
	// the place is in: the source removes them first. Behind is how many follow
	// that one; with 0 the place is in the part that is being written, which the
	// source never removes.
	Spare, Behind int
	// Removed is how many parts were removed since the log began. When it grows
	// with Kept 0, somebody removes them by hand.
	Removed int
	// Lost: something that follows the place is removed already.
	Lost bool
}
