package engine

import (
	"context"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// LetterReader lists rows of table jobs that sinks have put aside. Errors and contexts
// are as Engine's.
type LetterReader interface {
	// Letters reads them from the sinks. It disturbs no run and changes nothing, and does
	// without the source.
	Letters(ctx context.Context, s *job.Spec, o Options, q LetterQuery) (watch.LetterReport, error)
}

// LetterQuery says which letters.
type LetterQuery struct {
	Sink  string // empty: of all sinks
	Table string // as letters name it; empty: of all tables
	After string // the Next of the page before
	Limit int    // of a page; at least 1
	Count bool   // count them all, too
}

var _ LetterReader = ByKind{}

// Letters lists dead letters.
func (k ByKind) Letters(ctx context.Context, s *job.Spec, o Options, q LetterQuery) (watch.LetterReport, error) {
	r, ok := k[s.Kind].(LetterReader)
	if !ok {
		return watch.LetterReport{}, fault.New(fault.Usage, "%s is a job of kind %s; only table jobs put rows aside", s.Name, s.Kind).At("%s", s.File).
			Try("godwit report %s --failed", s.File)
	}
	return r.Letters(ctx, s, o, q)
}
