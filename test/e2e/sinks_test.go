package e2e

import (
	"path/filepath"
	"testing"
)

// TestRun_when_a_second_sink_is_added reads one source into two targets: the one
// that was added gets everything, and from then on both go on together.
func TestRun_when_a_second_sink_is_added(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	code, said := run(t, s.Password, j.args()...)
	want(t, code, said, 0)
	s.Exec(t, "INSERT INTO app.t SELECT seq + 100000, 'x' FROM app.seq_1_to_50; DELETE FROM app.u LIMIT 3")
	j.set("sinks", "second third")
	p := start(t, s.Password, j.args()...)
	if p.until("the snapshot of the new sinks", phase("snapshot")) {
		p.kill() // otherwise it was quicker: as good
	}
	for range 2 {
		code, said = run(t, s.Password, j.args()...)
		want(t, code, said, 0)
		for _, sink := range []string{"lake", "second", "third"} {
			j.equalIn(filepath.Join(j.dir, sink), s)
		}
		s.Exec(t, "INSERT INTO app.t SELECT seq + 200000, 'y' FROM app.seq_1_to_50 ON DUPLICATE KEY UPDATE v = 'again'; UPDATE app.u SET n = 7 LIMIT 5")
	}
}
