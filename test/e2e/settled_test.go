package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun_when_killed_within_its_last_commit: a job that has reached its end but
// whose last commit may not be published is not called finished.
func TestRun_when_killed_within_its_last_commit(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "mode", "snapshot", "until", "")
	j.finish(s)
	notes := func() []string {
		found, err := filepath.Glob(filepath.Join(j.lake(), "_godwit/shards/stream/commits/*.done"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := notes()
	for _, n := range before {
		if err := os.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
	j.finish(s)
	if len(before) == 0 || len(notes()) == 0 {
		t.Fatalf("notes of a clean end: %v, then %v", before, notes())
	}
	code, said := run(t, s.Password, j.args()...)
	want(t, code, said, 0)
	if !strings.Contains(said, `"nothing":true`) {
		t.Errorf("a finished snapshot was run again:\n%s", clip(said))
	}
	j.equal(s)
}
