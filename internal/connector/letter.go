package connector

import (
	"context"
	"time"
)

// Letterbox is a sink whose dead letters can be read back.
type Letterbox interface {
	// Letters calls each with the letters that are committed, in an order that stays, from
	// the one on that follows Mark after; empty: from the first. Those that are committed
	// meanwhile may be left out. An error of each ends it and is returned. It fences nobody
	// and changes nothing. A target that was never written to has none.
	Letters(ctx context.Context, after string, each func(StoredLetter) error) error
}

// StoredLetter is a dead letter as a target has it.
type StoredLetter struct {
	Mark  string // names it within its sink: at most 250 bytes of printable ASCII
	Table string // "database.table"
	Op    string // r i u d t, as in a changelog
	Pos   string // as Letter.Order
	// Key are the values of the row's key, and Row all that are there, as texts; nil
	// texts are null. Key is empty where the target does not tell what the key is. Row is
	// nil where it is too large to be shown.
	Key, Row map[string]*string
	Code     string
	What     string // why it was refused
	Hint     string
	// Time is that of the commit that put it aside, by the target's clock.
	Time time.Time
	At   string // where it lies, for people
}
