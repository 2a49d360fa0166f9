package store

import (
	"context"
	"fmt"
	"strconv"
)

// AbortRule is a rule by which a store drops uploads that were not completed.
type AbortRule struct {
	Name   string // the store's own; may be empty
	Prefix string // in the bucket, of the keys it is about; empty: all
	Days   int    // after the upload was begun
}

// Aborter is a capability of stores that drop uploads by rules of their own.
type Aborter interface {
	// AbortRules returns the rules that are in force and may be about keys of this
	// store, in the store's order. An error means that they are not known, as where
	// the service has no such rules or these credentials may not read them.
	AbortRules(ctx context.Context) ([]AbortRule, error)
}

// AbortDaysLeast is how many days an upload should live: one that is dropped
// earlier cannot be gone on with after a long stop of a job.
const AbortDaysLeast = 7

// Hasty returns the rule that drops uploads the earliest, if that is earlier than
// AbortDaysLeast.
func Hasty(rules []AbortRule) (AbortRule, bool) {
	hasty := AbortRule{Days: AbortDaysLeast}
	for _, r := range rules {
		if r.Days < hasty.Days {
			hasty = r
		}
	}
	return hasty, hasty.Days < AbortDaysLeast
}

// String says what the rule does, for people.
func (r AbortRule) String() string {
	name := "a rule without a name"
	if r.Name != "" {
		name = "the rule " + strconv.Quote(r.Name)
	}
	if r.Prefix != "" {
		name += " for " + strconv.Quote(r.Prefix)
	}
	return fmt.Sprintf("%s aborts incomplete uploads (DaysAfterInitiation: %d)", name, r.Days)
}
