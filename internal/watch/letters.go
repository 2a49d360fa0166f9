package watch

import "time"

// LetterReport are rows that sinks refused and put aside.
type LetterReport struct {
	Letters []Letter `json:"letters"`
	// Next is where the following page begins; empty: there is none. A page may have
	// fewer letters than were asked for and still be followed by another.
	Next string `json:"next,omitempty"`
	// Counts are told where they were asked for, by sink and table; with AtLeast there
	// are letters that were not counted.
	Counts  []LetterCount `json:"counts,omitempty"`
	AtLeast bool          `json:"at_least,omitempty"`
}

// Letter is one of those rows. What is longer than is shown ends in "…".
type Letter struct {
	Sink  string `json:"sink"`
	Table string `json:"table"` // as the sink knows it; of a row that a rule could not make, as the source does
	Op    string `json:"op"`    // r i u d t, as in a changelog
	Pos   string `json:"pos"`   // as _pos of a changelog
	// Key and Row have values as text; null is null. Key is absent where the target does
	// not tell what the key is, Row where it is too large to be shown.
	Key  map[string]*string `json:"key,omitempty"`
	Row  map[string]*string `json:"row,omitempty"`
	Code string             `json:"code"`
	What string             `json:"what"` // why it was refused
	Hint string             `json:"hint,omitempty"`
	Time time.Time          `json:"time"` // of the commit that put it aside
	At   string             `json:"at"`   // where it lies
}

// LetterCount is how many letters a sink has of a table.
type LetterCount struct {
	Sink    string `json:"sink"`
	Table   string `json:"table"`
	Letters int64  `json:"letters"`
}
