package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// What many jobs may cost: so much memory for the server itself and for each job, at its
// peak, and so many connections to the database that they follow.
const (
	restingServer = 60 << 20
	restingJob    = 512 << 10
)

// TestServe_when_many_jobs_rest holds the cost of jobs that follow one database: memory at
// its peak, one connection each and one that asks for all, and no others while nothing
// happens.
func TestServe_when_many_jobs_rest(t *testing.T) {
	const jobs, tables = 40, 10
	s := &served{t: t, w: &world{t: t, server: mariadb.Start(t, "--max-connections=200")}, state: t.TempDir()}
	var sql strings.Builder
	sql.WriteString("CREATE DATABASE app; ")
	for i := range tables {
		fmt.Fprintf(&sql, "CREATE TABLE app.t%d (id INT PRIMARY KEY, v VARCHAR(60)); INSERT INTO app.t%[1]d SELECT seq, CONCAT('row ', seq) FROM app.seq_1_to_200; ", i)
	}
	s.w.server.Exec(t, sql.String())
	for i := range jobs {
		j := newJob(t, s.w.server, "name", fmt.Sprint("tables-", i), "until", "", "roll", "{size: 64MiB, every: 1s}")
		s.tables, s.data = append(s.tables, j), append(s.data, j.dir)
	}
	s.start()
	s.submit()
	s.follow(jobs)

	most := highest(t, s.p)
	t.Logf("%d jobs: at most %d MiB, %d now", jobs, most>>20, memoryOf(t, s.p, "VmRSS")>>20)
	if ceiling := int64(restingServer + jobs*restingJob); most > ceiling {
		t.Errorf("%d jobs took %d MiB, more than %d", jobs, most>>20, ceiling>>20)
	}
	if n := len(s.w.server.Query(t, "SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")); n != jobs {
		t.Errorf("%d jobs read the log %d times", jobs, n)
	}
	before := logins(t, s.w.server)
	for range 2 { // each asks where the log ends
		s.headMoves("tables-0")
	}
	if n := logins(t, s.w.server) - before; n > 10 {
		t.Errorf("%d logins while nothing happens", n)
	}
}

// follow waits until so many jobs follow their log and miss nothing.
func (s *served) follow(jobs int) {
	s.t.Helper()
	for end := time.After(2 * time.Minute); ; {
		said := s.ask("job", "list", "--json")
		if strings.Count(said, `"caught_up","seconds":0,"sink"`) >= jobs && strings.Count(said, `"phase":"stream"`) >= jobs {
			return
		}
		select {
		case <-end:
			s.t.Fatalf("not all of %d jobs follow: %s", jobs, clip(said))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// headMoves waits until a job has read the end of its log anew.
func (s *served) headMoves(name string) {
	s.t.Helper()
	read := func() string {
		var line struct {
			Progress struct {
				Stream struct {
					At string `json:"head_at"`
				}
			}
		}
		said := s.ask("job", "show", name, "--json")
		if err := json.NewDecoder(strings.NewReader(said)).Decode(&line); err != nil || line.Progress.Stream.At == "" {
			s.t.Fatal(err, said)
		}
		return line.Progress.Stream.At
	}
	was := read()
	for end := time.After(time.Minute); read() == was; {
		select {
		case <-end:
			s.t.Fatalf("%s does not read the end of its log any more, the last time at %q", name, was)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// logins is how many connections a server has taken.
func logins(t *testing.T, s *mariadb.Server) int {
	t.Helper()
	n, err := strconv.Atoi(s.Query(t, "SHOW GLOBAL STATUS LIKE 'Connections'")[0][1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func highest(t *testing.T, p *process) int64 { return memoryOf(t, p, "VmHWM") }

// memoryOf is a size that the kernel tells of a process.
func memoryOf(t *testing.T, p *process, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), field+":")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
