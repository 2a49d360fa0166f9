package files

import (
	"os"
	"runtime/debug"
	"testing"

	"godwit/internal/connector/sinktest"
	"godwit/internal/store/powerfs"
)

// Histories live for a millisecond: collecting them rarely halves the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// The protocol on a store in memory whose every call is one step: cheap enough for
// very many histories.
func TestSink_when_store_is_a_model(t *testing.T) { sinktest.Run(t, memHarness(), 10_000) }

// The protocol with the local store on a disk that forgets what was not synced:
// every call of the file system is a step.
func TestSink_when_power_is_cut(t *testing.T) { sinktest.Run(t, diskHarness(), 1_500) }

// The same with the format that users have.
func TestSink_when_files_are_CSV(t *testing.T) {
	for _, compression := range []string{"none", "gzip"} {
		c := csvConfig(compression)
		h := diskHarness()
		h.New = func() sinktest.World { return &diskWorld{disk: powerfs.New(), config: &c} }
		t.Run(compression, func(t *testing.T) { sinktest.Interleavings(t, h, 100) })
	}
}

// The same with rows that are appended: those of deletes and truncates are not.
func TestSink_when_rows_are_appended(t *testing.T) {
	c := appendConfig()
	h := memHarness()
	h.New, h.Leaves = func() sinktest.World { return &memWorld{mem: sinktest.NewMem(), config: &c} }, "dt"
	sinktest.Run(t, h, 1_000)
}

// The same where a listing is not of one moment.
func TestSink_when_listings_are_torn(t *testing.T) {
	h := memHarness()
	h.New = func() sinktest.World {
		m := sinktest.NewMem()
		m.Torn = true
		return &memWorld{mem: m}
	}
	sinktest.Interleavings(t, h, 1_000)
}
