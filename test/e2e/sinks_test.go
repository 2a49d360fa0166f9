package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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

// TestRun_when_one_of_two_sinks_breaks takes the control folder of one target away while
// both stream: that sink is to blame, the other goes on unless the run ends, and both are
// exact once it is mended.
func TestRun_when_one_of_two_sinks_breaks(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "until", "", "sinks", "second")
	p := start(t, s.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	control, away := filepath.Join(j.dir, "second", "_godwit"), filepath.Join(j.dir, "away")
	if err := os.Rename(control, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(control, nil, 0o600); err != nil { // so that nobody makes it anew
		t.Fatal(err)
	}
	s.Exec(t, "INSERT INTO app.t SELECT seq + 300000, 'x' FROM app.seq_1_to_50")
	found := p.until("a failure of the second sink alone", func(e event) bool {
		stands := map[string]string{}
		for _, k := range e.Sinks {
			stands[k.Sink] = k.Standing.Status
			if k.Standing.Error != nil {
				stands[k.Sink] += " by " + k.Standing.Error.Sink
			}
		}
		return stands["second"] == "retrying by second" && stands["lake"] == "running" || stands["second"] == "failed by second" && stands["lake"] == "stopped"
	})
	p.signal(syscall.SIGTERM)
	p.wait(time.Minute)
	if !found {
		t.Fatalf("nobody, or somebody else, is to blame\n%s", clip(p.said()))
	}
	if err := errors.Join(os.Remove(control), os.Rename(away, control)); err != nil {
		t.Fatal(err)
	}
	j.set("until", "head")
	code, said := run(t, s.Password, j.args()...)
	want(t, code, said, 0)
	for _, sink := range []string{"lake", "second"} {
		j.equalIn(filepath.Join(j.dir, sink), s)
	}
}
