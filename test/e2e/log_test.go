package e2e

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// slowWire listens and passes every connection on to address, at some 300 KiB a
// second from there.
func slowWire(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	pass := func(to, from net.Conn, slowly bool) {
		defer to.Close()
		buf := make([]byte, 16<<10)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			n, err := from.Read(buf)
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				return
			}
			if slowly && n > len(buf)/2 {
				<-tick.C
			}
		}
	}
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			all.Go(func() { pass(near, far, true) })
			all.Go(func() { pass(far, near, false) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// purgeTo removes the log before a file; the server keeps a file that is read, and
// for a moment after.
func purgeTo(t *testing.T, s *mariadb.Server, first string) {
	t.Helper()
	for tick, end := time.Tick(50*time.Millisecond), time.Now().Add(30*time.Second); ; <-tick {
		s.Exec(t, "PURGE BINARY LOGS TO '"+first+"'")
		if s.Query(t, "SHOW BINARY LOGS")[0][0] == first {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the log was not purged")
		}
	}
}

// TestRun_when_the_log_is_purged_while_it_copies removes the log up to the place
// that the snapshot needs, and then beyond it.
func TestRun_when_the_log_is_purged_while_it_copies(t *testing.T) {
	t.Parallel()
	s := one(t)
	s.Exec(t, "CREATE TABLE app.long (id INT PRIMARY KEY, v MEDIUMTEXT); INSERT INTO app.long SELECT seq, REPEAT('x', 100000) FROM app.seq_1_to_600; "+
		"FLUSH BINARY LOGS; FLUSH BINARY LOGS; FLUSH BINARY LOGS") // what it needs is in bin.000004
	j := newJob(t, s)
	direct := j.source
	j.source = strings.Replace(j.source, s.Addr(), slowWire(t, s.Addr()), 1)
	j.write("job.yaml")
	copying := func() *process {
		p := start(t, s.Password, j.args()...)
		if !p.until("a look at the log", func(e event) bool { return e.Reach > 0 && e.Phase == "snapshot" }) {
			t.Fatal(p.said())
		}
		return p
	}
	p := copying()
	s.Exec(t, "FLUSH BINARY LOGS")
	purgeTo(t, s, "bin.000004")
	warned := func(e event) bool { return e.Type == "warning" && strings.Contains(e.What, "removed by hand") }
	if !p.until("the warning", warned) {
		t.Fatal(p.said())
	}
	if !strings.Contains(p.said(), "bin.000004:") || !strings.Contains(p.said(), "PURGE BINARY LOGS") {
		t.Errorf("it does not say what is needed and what to do:\n%s", clip(p.said()))
	}
	p.kill()

	p = copying() // goes on with what it has
	purgeTo(t, s, "bin.000005")
	want(t, p.wait(30*time.Second), p.said(), 1, "SOURCE_LOST", "--again") // long before all is read
	j.source = direct
	j.write("job.yaml")
	for _, command := range []string{"check", "plan"} {
		code, said := run(t, s.Password, command, j.file())
		want(t, code, said, map[string]int{"check": 3, "plan": 0}[command], "no longer has what follows bin.000004:")
	}
	code, said := run(t, s.Password, j.args("--again", "--confirm", "crossing")...)
	want(t, code, said, 0)
	j.equal(s, "t", "u", "long")
}

func TestPlan_when_the_log_is_kept_too_short(t *testing.T) {
	s := one(t)
	s.Exec(t, "CREATE TABLE app.long (id INT PRIMARY KEY, v MEDIUMTEXT); INSERT INTO app.long SELECT seq, REPEAT('x', 100000) FROM app.seq_1_to_600; ANALYZE TABLE app.long")
	j := newJob(t, s)
	code, said := run(t, s.Password, "plan", j.file())
	want(t, code, said, 0, "log reaches back", "no limit is set", "at 16 MiB/s")
	if strings.Contains(said, "warning") {
		t.Errorf("nothing limits the log:\n%s", said)
	}
	s.Exec(t, "SET GLOBAL binlog_expire_logs_seconds = 1")
	const warning, mend = "the snapshot needs the log for about", "SET GLOBAL binlog_expire_logs_seconds = 604800"
	code, said = run(t, s.Password, "plan", j.file())
	want(t, code, said, 0, "log kept for 1 s", "warning", warning, mend)
	code, said = run(t, s.Password, "check", j.file())
	want(t, code, said, 0, "log for this job", warning, mend)
	s.Exec(t, "SET GLOBAL binlog_expire_logs_seconds = 604800")
	code, said = run(t, s.Password, "check", j.file())
	want(t, code, said, 0, "kept for 168h (binlog_expire_logs_seconds)", "the snapshot takes about")
	j.finish(s)
	code, said = run(t, s.Password, "plan", j.file())
	want(t, code, said, 0, "log kept for 7 d", "0 tables to read")
}

func TestCheck_when_the_start_is_gone_and_when_the_source_is(t *testing.T) {
	s := one(t)
	j := newJob(t, s, "mode", "changes", "start", `"2001-02-03T04:05:06Z"`)
	code, said := run(t, s.Password, "check", j.file())
	want(t, code, said, 0, "connection", "reached", "bin.000001:")
	s.Exec(t, "FLUSH BINARY LOGS; FLUSH BINARY LOGS")
	purgeTo(t, s, "bin.000003")
	const hint = "set `start` to a later place or time, or to head: the log begins with bin.000003"
	for _, start := range []string{"2001-02-03T04:05:06Z", "bin.000001:4"} {
		j.set("start", `"`+start+`"`)
		code, said = run(t, s.Password, "check", j.file())
		want(t, code, said, 3, "SOURCE_LOST", hint)
		code, said = run(t, s.Password, j.args()...)
		want(t, code, said, 1, "SOURCE_LOST", "the log begins with bin.000003")
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	code, said = run(t, s.Password, "check", j.file())
	want(t, code, said, 3, "SOURCE_UNREACHABLE")
	if strings.Contains(said, "reached\n") || strings.Contains(said, "0 chosen") {
		t.Errorf("it says that what is down was reached:\n%s", said)
	}
}
