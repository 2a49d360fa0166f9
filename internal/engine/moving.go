package engine

import "context"

// Moving is what a verification is told of runs of the job beside it: what is on its
// way is missing in the target, or differs, and is no difference.
type Moving struct {
	// Now reports whether what differs now may still be on its way. It is called often,
	// by many goroutines.
	Now func() bool
	// Over waits until what was on its way has arrived. It is called once, when all is
	// compared, if something differed while Now was true. That is judged again then.
	Over func(ctx context.Context) error
}
