package limit

import "runtime/debug"

// Memory makes the collector work harder when this process comes near a ceiling, in bytes
// of resident memory, and returns what undoes it. The process has one ceiling: of several
// the last one counts.
func Memory(ceiling int64) (undo func()) {
	before := debug.SetMemoryLimit(ceiling - unseen(ceiling))
	return func() { debug.SetMemoryLimit(before) }
}

// unseen is what of a ceiling the collector leaves to what it does not see: the binary's own
// pages, of which a run of Parquet comes to use 32 MiB, and stacks and fragmentation, which
// grow with the rest.
func unseen(ceiling int64) int64 { return 16<<20 + ceiling/4 }
