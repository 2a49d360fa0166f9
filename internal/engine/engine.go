// Package engine has the contract between the life of a job and what schedules
// it. An engine delivers events to job.Step and carries out its actions; it
// never sees data.
package engine

import (
	"context"

	"godwit/internal/job"
)

// Work is an opened job as an engine sees it: tasks that can be found and run.
type Work interface {
	// Find calls found for each task there is, in the order in which they should
	// start, and returns when there are no more. Tasks may run meanwhile. It may be
	// called again, never twice at once: what is found again under the same ID goes
	// on if it is equal, what is not found again is ended.
	Find(ctx context.Context, found func(job.Task)) error
	// RunTask runs a task to its end. A done ctx ends it early, after what it has
	// read is committed, with ctx's error. progressed tells whether it committed
	// anything.
	RunTask(ctx context.Context, id string, attempt uint64) (progressed bool, err error)
}
