package limit

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestMemory_when_it_begins_and_ends(t *testing.T) {
	now := func() int64 { return debug.SetMemoryLimit(-1) }
	before := now()
	undo := Memory(128 << 20)
	if got := now(); got != 80<<20 {
		t.Errorf("the collector has %d MiB of 128", got>>20)
	}
	if undo(); now() != before || before != math.MaxInt64 {
		t.Errorf("%d afterwards, %d before", now(), before)
	}
}
