package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// busyRows is how many rows the table of orders begins with.
const busyRows = 3000

// busy is a server whose table of orders is written to without a pause, by statements
// that fit every shape it takes.
type busy struct {
	t  *testing.T
	of kind
	r  *rand.Rand
	// server is the one written to; nil: nobody is for a while, and what the one before
	// answers is not looked at.
	server atomic.Pointer[mariadb.Server]
	writes sync.Mutex // held while something is written
	stop   chan struct{}
	ended  chan error // nil: the writer has not begun, or its end was seen
}

func newBusy(t *testing.T, of kind, options ...string) (*busy, *mariadb.Server) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	b := &busy{t: t, of: of, r: rand.New(rand.NewPCG(seed, 9)), stop: make(chan struct{})}
	s := of.start(t, options...)
	s.Exec(t, of.words(fmt.Sprintf("CREATE DATABASE app; CREATE TABLE app.orders (id INT PRIMARY KEY, v VARCHAR(20), n INT NOT NULL); CREATE TABLE app.other (id INT PRIMARY KEY, v INT); "+
		"INSERT INTO app.orders SELECT seq, CONCAT('v', seq), seq FROM app.seq_1_to_%d; INSERT INTO app.other VALUES (1, 0)", busyRows)))
	b.server.Store(s)
	return b, s
}

// write starts the writer.
func (b *busy) write() {
	b.ended = make(chan error, 1)
	r := rand.New(rand.NewPCG(b.r.Uint64(), 1))
	go func() {
		for {
			select {
			case <-b.stop:
				b.ended <- nil
				return
			case <-time.After(10 * time.Millisecond): // leaves the machine to others too
			}
			if err := b.writeOnce(r); err != nil {
				b.ended <- err
				return
			}
		}
	}()
	b.t.Cleanup(b.halt)
}

func (b *busy) writeOnce(r *rand.Rand) error {
	b.writes.Lock()
	defer b.writes.Unlock()
	s := b.server.Load()
	if s == nil {
		return nil
	}
	err := s.Run(writes(r))
	if err != nil && strings.Contains(err.Error(), "ERROR 1213") || b.server.Load() != s { // a deadlock, which others may cause: the rest is not sent
		return nil
	}
	return err
}

// kill kills the server that is written to, and returns when nothing is sent to it any
// more: what came late would be written when it is started again.
func (b *busy) kill() {
	b.t.Helper()
	s := b.server.Swap(nil)
	s.Kill(b.t)
	b.writes.Lock()
	defer b.writes.Unlock()
}

// halt stops the writer.
func (b *busy) halt() {
	if b.ended == nil {
		return
	}
	close(b.stop)
	if err := <-b.ended; err != nil {
		b.t.Error(err)
	}
	b.ended = nil
}

func writes(r *rand.Rand) string {
	var s strings.Builder
	for range 5 {
		id, n := r.IntN(2*busyRows), r.IntN(1000)
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(&s, "INSERT INTO app.orders (id, v, n) VALUES (%d, 'new', %d) ON DUPLICATE KEY UPDATE n = n + 1; ", id, n)
		case 1:
			fmt.Fprintf(&s, "UPDATE app.orders SET n = %d, v = 'changed' WHERE id BETWEEN %d AND %d; ", n, id, id+3)
		case 2:
			fmt.Fprintf(&s, "DELETE FROM app.orders WHERE id = %d; ", id)
		default:
			s.WriteString("UPDATE app.other SET v = v + 1; ")
		}
	}
	return s.String()
}
