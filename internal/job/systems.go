package job

import (
	"godwit/internal/connector"
	"godwit/internal/store"
)

// Kind says what a job moves.
type Kind string

// Kinds of jobs.
const (
	KindTables Kind = "tables" // rows of tables, as they are and as they change
	KindFiles  Kind = "files"  // objects, as they are
)

// Systems are what the program knows: sources and sinks of table jobs, and the
// stores of file jobs.
type Systems struct {
	connector.Registry
	Stores store.Registry
}
