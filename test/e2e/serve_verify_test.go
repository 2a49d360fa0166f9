package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/test/servers/mariadb"
)

// TestServe_when_a_job_is_verified spoils a copy under a server: the verification says
// so, an alarm holds until it is mended, and both survive that the server is killed.
func TestServe_when_a_job_is_verified(t *testing.T) {
	t.Parallel()
	j := newFileJob(t)
	for _, key := range []string{"a", "b/c", "b/d"} {
		j.put("in/"+key, []byte("object "+key))
	}
	s := &served{t: t, w: &world{server: &mariadb.Server{}}, state: filepath.Join(t.TempDir(), "state"), data: []string{j.dir}}
	s.start()
	s.ask("job", "submit", j.path("job.yaml"), "--verify-schedule", "0 4 * * sun")
	verify := func(code int, words ...string) {
		t.Helper()
		got, said := run(t, "", "job", "verify", "media-move", "--wait", "--state", s.state)
		want(t, got, said, code, words...)
	}
	verify(0, "equal  media-move", "3 objects")
	if err := errors.Join(os.WriteFile(j.path("out/a"), []byte("object A"), 0o600), os.Remove(j.path("out/b/c")), os.WriteFile(j.path("out/more"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	verify(4, "different       a  ", "missing         b/c  ", "extra           more  ", "DIFFERENCES_FOUND")
	s.p.kill()
	s.start()
	if said := s.ask("job", "alarms", "media-move"); !strings.Contains(said, "differences") || !strings.Contains(said, "1 missing, 1 extra, 1 different") {
		t.Error(said)
	}
	if said := s.ask("job", "show", "media-move", "--json"); !strings.Contains(said, `"verdict":"different"`) || !strings.Contains(said, `"verify_schedule":{`) {
		t.Error(said)
	}
	if err := errors.Join(os.Remove(j.path("out/a")), os.Remove(j.path("out/more"))); err != nil {
		t.Fatal(err)
	}
	s.ask("job", "start", "media-move")
	verify(0, "equal  media-move")
	if said := s.ask("job", "alarms", "media-move"); strings.Contains(said, "differences") {
		t.Error(said)
	}
	s.ask("job", "delete", "media-move", "--confirm")
}
