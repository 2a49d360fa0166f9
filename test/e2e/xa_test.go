package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// xaRounds is how often something is killed under open XA transactions.
const xaRounds = 4

// TestXA_when_killed has XA transactions prepared by one session and ended by another,
// some large, over kill -9 of godwit and of the server, which recovers them. The target
// is exact.
func TestXA_when_killed(t *testing.T) {
	for name, of := range map[string]kind{"MariaDB": mariaDB, "MySQL": mySQL} {
		t.Run(name, func(t *testing.T) { xaAndDie(t, of) })
	}
}

func xaAndDie(t *testing.T, of kind) {
	rounds := xaRounds
	if soak() {
		rounds = 200
	}
	b, server := newBusy(t, of)
	x := &branches{busy: b, server: server, open: map[string]int{}, did: map[string]int{}}
	server.Exec(t, of.words("CREATE TABLE app.xa (id INT PRIMARY KEY, v VARCHAR(200), n INT); INSERT INTO app.xa SELECT seq, 'v', 0 FROM app.seq_1_to_200"))
	j := newJob(t, server, "until", "")
	if strings.Contains(server.Version, "MariaDB") { // MySQL has no snapshot while one is open
		x.some()
	}
	b.write()
	p := start(t, server.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	for range rounds {
		x.some()
		<-time.After(time.Duration(b.r.IntN(700)) * time.Millisecond) // where it is killed is part of the draw
		what := b.r.IntN(3)
		if what != 0 {
			x.recover()
		}
		if what != 1 {
			p.kill()
			x.did["godwit"]++
			x.some()
			p = start(t, server.Password, j.args()...)
		}
	}
	x.all()
	b.halt()
	p.signal(syscall.SIGTERM)
	p.wait(time.Minute)
	j.set("until", "head")
	j.finish(server)
	j.equal(server, "orders", "other", "xa")
	code, said := j.verify(server.Password)
	want(t, code, said, 0)
	t.Logf("%v", x.did)
}

// branches are XA transactions of a busy server. Each has ten rows of its own, so that
// none waits for another.
type branches struct {
	*busy
	server *mariadb.Server
	last   int
	open   map[string]int // those prepared, and the first of their rows
	did    map[string]int
}

// some prepares some and ends some.
func (x *branches) some() {
	x.t.Helper()
	for range 2 + x.r.IntN(5) {
		if len(x.open) < 4 && x.r.IntN(2) == 0 {
			x.prepare()
		} else if len(x.open) > 0 {
			x.end([]string{"COMMIT", "COMMIT", "ROLLBACK"}[x.r.IntN(3)])
		}
	}
}

// prepare does not wait where the server is: sessions end, and leave it prepared.
func (x *branches) prepare() {
	x.t.Helper()
	taken := slices.Collect(maps.Values(x.open))
	first := 1 + 10*x.r.IntN(20)
	for slices.Contains(taken, first) {
		first = 1 + 10*x.r.IntN(20)
	}
	x.last++
	name := fmt.Sprintf("'x%d'", x.last)
	// No gaps are locked then, in which others insert.
	sql := fmt.Sprintf("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; XA START %s; UPDATE app.xa SET n = n + 1, v = 'x%d' WHERE id = %d; INSERT INTO app.xa VALUES (%d, 'again', %[2]d) ON DUPLICATE KEY UPDATE n = %[2]d; DELETE FROM app.xa WHERE id = %[5]d; ",
		name, x.last, first, first+1+x.r.IntN(4), first+5+x.r.IntN(4))
	if x.r.IntN(4) == 0 { // too large to be held
		sql += x.of.words(fmt.Sprintf("INSERT INTO app.xa SELECT %d + seq, REPEAT('x', 190), %d FROM app.seq_1_to_3000 ON DUPLICATE KEY UPDATE n = VALUES(n); ", 10000*(1+first), x.last))
		x.did["large"]++
	}
	x.server.Exec(x.t, sql+"XA END "+name+"; XA PREPARE "+name)
	x.open[name] = first
	x.did["prepare"]++
}

// end ends one, as another session may.
func (x *branches) end(how string) {
	x.t.Helper()
	names := slices.Sorted(maps.Keys(x.open))
	name := names[x.r.IntN(len(names))]
	x.server.Exec(x.t, "XA "+how+" "+name)
	delete(x.open, name)
	x.did[strings.ToLower(how)]++
}

// recover kills the server and starts it again: what was prepared still is.
func (x *branches) recover() {
	x.t.Helper()
	x.kill()
	x.server.Restart(x.t)
	if left := x.server.Query(x.t, "XA RECOVER"); len(left) != len(x.open) {
		x.t.Fatalf("%d transactions are prepared, the server knows %v", len(x.open), left)
	}
	x.busy.server.Store(x.server)
	x.did["server"]++
}

// all ends those that are left.
func (x *branches) all() {
	x.t.Helper()
	for len(x.open) > 0 {
		x.end("COMMIT")
	}
}
