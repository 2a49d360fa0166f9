package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestServe_when_a_table_job_is_verified verifies a job under a server while its source
// changes all the time: what is on its way is no difference, what somebody else did to the
// target is found and raises an alarm, and a repair ends it.
func TestServe_when_a_table_job_is_verified(t *testing.T) {
	j := newIntoPostgres(t, "")
	j.from.Exec(t, "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, n INT, v VARCHAR(40)); INSERT INTO app.t SELECT seq, 0, CONCAT('v', seq) FROM mysql.seq_1_to_5000")
	file := j.args[1]
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "until: head\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	s := &served{t: t, w: &world{server: j.from}, state: filepath.Join(dir, "state"), data: []string{t.TempDir()}, flags: []string{"--secrets", dir}}
	s.start()
	s.ask("job", "submit", file)
	halt := j.hammer()
	j.until("SELECT count(*) FROM app.t", "5000")
	j.until("SELECT count(*) > 0 FROM app.t WHERE n > 0", "t")
	verify := func(code int, words ...string) {
		t.Helper()
		got, said := run(t, "", "job", "verify", "crossing", "--wait", "--state", s.state)
		want(t, got, said, code, words...)
	}
	verify(0, "equal  crossing", "5,000 rows")
	j.to.Exec(t, "DELETE FROM app.t WHERE id = 4711; UPDATE app.t SET v = 'V4712' WHERE id = 4712; INSERT INTO app.t VALUES (9000, 1, 'x')")
	verify(4, "missing", "id=4711", "different", "id=4712", "v4712", "V4712", "extra", "id=9000", "1 missing, 1 extra, 1 different", "DIFFERENCES_FOUND")
	if said := s.ask("job", "alarms", "crossing"); !strings.Contains(said, "differences") || !strings.Contains(said, "1 missing, 1 extra, 1 different") {
		t.Error(said)
	}
	code, said := run(t, j.from.Password, "repair", file, "--state", s.state, "--confirm", "crossing")
	want(t, code, said, 1, "STATE_LOCKED")
	s.ask("job", "stop", "crossing")
	j.untilStopped(s)
	code, said = run(t, j.from.Password, "repair", file, "--state", s.state, "--confirm", "crossing")
	if !strings.Contains(said, "3 rows written") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	s.ask("job", "start", "crossing")
	verify(0, "equal  crossing", "5,000 rows")
	if said := s.ask("job", "alarms", "crossing"); strings.Contains(said, "differences") {
		t.Error(said)
	}
	halt()
}

// hammer changes the first rows of the source, one after another, until it is halted.
func (j *intoPostgres) hammer() (halt func()) {
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if err := j.from.Run(fmt.Sprintf("UPDATE app.t SET n = n + 1 WHERE id BETWEEN %d AND %[1]d + 9", 1+n*10%3000)); err != nil {
				j.Error(err)
				return
			}
		}
	})
	halt = sync.OnceFunc(func() { close(ended); all.Wait() })
	j.Cleanup(halt)
	return halt
}

// until waits until the target says so; tables may not be there yet.
func (j *intoPostgres) until(sql, says string) {
	j.Helper()
	for end := time.After(30 * time.Second); ; {
		rows, err := j.to.Rows(sql)
		if err == nil && rows[0][0] == says {
			return
		}
		select {
		case <-end:
			j.Fatalf("%s: %v %v", sql, rows, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// untilStopped waits until the server has let go of the job.
func (j *intoPostgres) untilStopped(s *served) {
	j.Helper()
	for end := time.After(30 * time.Second); ; {
		said := s.ask("job", "show", "crossing", "--json")
		if strings.Contains(said, `"status":"stopped"`) {
			return
		}
		select {
		case <-end:
			j.Fatal(said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
