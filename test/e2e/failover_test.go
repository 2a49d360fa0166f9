package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// failovers is how often each make of server is failed over.
const failovers = 3

// TestFailover_when_primaries_are_killed: of two servers the one that is written to, and
// read by a job over an address that moves, is killed under load, and the other takes
// over; godwit is killed now and then as well. The target is what the last primary has.
func TestFailover_when_primaries_are_killed(t *testing.T) {
	for name, of := range map[string]kind{"MariaDB": mariaDB, "MySQL": mySQL} {
		t.Run(name, func(t *testing.T) { failOver(t, of) })
	}
}

func failOver(t *testing.T, of kind) {
	rounds := failovers
	if soak() {
		rounds = 100
	}
	f := newFleet(t, of)
	j := newJob(t, f.primary, "until", "")
	j.source = strings.Replace(j.source, f.primary.Addr(), f.address.Addr(), 1)
	j.write("job.yaml")
	f.write()
	p := start(t, f.primary.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	j.awaitWhole() // before that another log is another snapshot
	kills := 0
	for n := range rounds {
		die := f.r.IntN(3) == 0
		if die {
			kills++
			p.kill()
		}
		f.failOver()
		if die {
			p = start(t, f.primary.Password, j.args()...)
		} else if f.r.IntN(4) == 0 { // in the middle of what it finds
			kills++
			<-time.After(time.Duration(f.r.IntN(1500)) * time.Millisecond)
			p.kill()
			p = start(t, f.primary.Password, j.args()...)
		}
		before := p.changes()
		if !p.until("changes of the new primary", func(e event) bool { return e.Stream != nil && e.Stream.Changes > before }) {
			t.Fatalf("round %d\n%s", n, clip(p.said()))
		}
	}
	f.halt()
	p.signal(syscall.SIGTERM)
	p.wait(time.Minute)
	j.set("until", "head")
	j.finish(f.primary)
	j.equal(f.primary, "orders", "other")
	code, said := j.verify(f.primary.Password)
	want(t, code, said, 0)
	t.Logf("%d failovers, godwit killed %d times", rounds, kills)
}

// awaitWhole waits until the target says of all its tables that they are whole.
func (j *job) awaitWhole() {
	j.t.Helper()
	for end := time.After(time.Minute); ; {
		var st status
		err := readJSON(filepath.Join(j.lake(), "_godwit/status.json"), &st)
		lacks := slices.ContainsFunc(st.Tables, func(x statusTable) bool { return !x.Complete })
		if err == nil && len(st.Tables) > 0 && !lacks {
			return
		}
		select {
		case <-end:
			j.t.Fatalf("the snapshot is not whole: %+v", st)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// changes is how many changes were read by now.
func (p *process) changes() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Stream != nil {
			n = max(n, e.Stream.Changes)
		}
	}
	return n
}

// fleet is a busy server, one that follows it, and the address of the one that is
// primary.
type fleet struct {
	*busy
	primary, other *mariadb.Server
	address        *movingAddress
}

func newFleet(t *testing.T, of kind) *fleet {
	t.Helper()
	first := of.start(t, "--log-slave-updates=ON")
	first.Exec(t, "RESET MASTER")
	b, primary := newBusy(t, of, "--log-slave-updates=ON")
	f := &fleet{busy: b, primary: primary, other: first, address: newMovingAddress(t, primary.Addr())}
	primary.Exec(t, "CREATE USER r@'%' IDENTIFIED BY 'secret'; GRANT REPLICATION SLAVE ON *.* TO r@'%'")
	f.follow()
	return f
}

func (f *fleet) isMariaDB() bool { return strings.Contains(f.primary.Version, "MariaDB") }

// follow has the other server follow the primary from what it has.
func (f *fleet) follow() {
	f.t.Helper()
	if f.isMariaDB() {
		f.other.Exec(f.t, fmt.Sprintf("SET GLOBAL gtid_slave_pos = @@global.gtid_binlog_pos; CHANGE MASTER TO master_host='127.0.0.1', master_port=%d, master_user='r', master_password='secret', master_connect_retry=1, master_use_gtid=slave_pos; START SLAVE", f.primary.Port))
		return
	}
	f.other.Exec(f.t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='r', SOURCE_PASSWORD='secret', SOURCE_CONNECT_RETRY=1, SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA", f.primary.Port))
}

// failOver kills the primary under load and has the other one take its place, once it has
// all that the log of the dead one has: what was lost with it would be SOURCE_DIVERGED.
func (f *fleet) failOver() {
	f.t.Helper()
	dead := f.primary
	f.kill()
	f.address.move("")
	dead.Restart(f.t)
	if f.isMariaDB() {
		f.other.Exec(f.t, "STOP SLAVE; START SLAVE")
		f.meet("SELECT @@gtid_binlog_pos", "SELECT MASTER_GTID_WAIT('%s', 30)")
		f.other.Exec(f.t, "STOP SLAVE; RESET SLAVE ALL")
	} else {
		f.other.Exec(f.t, "STOP REPLICA; START REPLICA")
		f.meet("SELECT @@global.gtid_executed", "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 30)")
		f.other.Exec(f.t, "STOP REPLICA; RESET REPLICA ALL")
	}
	f.primary, f.other = f.other, dead
	f.follow()
	f.address.move(f.primary.Addr())
	f.server.Store(f.primary)
}

// meet waits until the other server has what the primary has.
func (f *fleet) meet(what, wait string) {
	f.t.Helper()
	if r := f.other.Query(f.t, fmt.Sprintf(wait, f.primary.Query(f.t, what)[0][0])); r[0][0] != "0" {
		f.t.Fatal("the other server does not catch up:", r)
	}
}

// movingAddress listens and passes connections on to a server, which may be another
// later.
type movingAddress struct {
	net.Listener
	mu    sync.Mutex
	to    string // empty: nowhere
	conns []net.Conn
	ended sync.WaitGroup
}

func newMovingAddress(t *testing.T, to string) *movingAddress {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &movingAddress{Listener: l, to: to}
	m.ended.Go(m.serve)
	t.Cleanup(func() {
		l.Close()
		m.move("")
		m.ended.Wait()
	})
	return m
}

func (m *movingAddress) Addr() string { return m.Listener.Addr().String() }

func (m *movingAddress) serve() {
	for {
		near, err := m.Accept()
		if err != nil {
			return
		}
		if far := m.dial(near); far != nil {
			m.ended.Go(func() { pass(near, far) })
			m.ended.Go(func() { pass(far, near) })
		}
	}
}

// dial connects to the server there is; nil: there is none, and near is closed.
func (m *movingAddress) dial(near net.Conn) net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if far, err := net.Dial("tcp", m.to); err == nil {
		m.conns = append(m.conns, near, far)
		return far
	}
	near.Close()
	return nil
}

// move ends all connections; new ones come to the server at to.
func (m *movingAddress) move(to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to = to
	for _, c := range m.conns {
		c.Close()
	}
	m.conns = nil
}

// pass copies from one connection to another and ends both.
func pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
