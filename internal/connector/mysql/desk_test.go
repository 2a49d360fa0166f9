package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

// followers opens sources of one process for a user of its own.
func followers(t *testing.T, srv *mariadb.Server, user string, n int) []*source {
	t.Helper()
	srv.Exec(t, fmt.Sprintf("CREATE OR REPLACE USER %s@'%%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO %[1]s@'%%'", user))
	all := impatient()
	var out []*source
	for range n {
		given := map[string]any{"address": srv.Addr(), "user": user, "password": secret.New("x"), "connect_timeout": 2 * time.Second}
		s, err := all.source(t.Context(), option.Of(options(), given), connector.Env{Job: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		out = append(out, s)
	}
	return out
}

// logins is how many connections a server has taken.
func logins(t *testing.T, srv *mariadb.Server) int {
	t.Helper()
	n, err := strconv.Atoi(srv.Query(t, "SHOW GLOBAL STATUS LIKE 'Connections'")[0][1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDesk_when_many_follow_one_server(t *testing.T) {
	srv := server(t)
	all := followers(t, srv, "many", 20)
	before := logins(t, srv)
	for range 5 {
		var group sync.WaitGroup
		for _, s := range all {
			group.Go(func() {
				at, _, err := s.Head(within(t), 0)
				if err == nil {
					_, err = s.Retention(within(t), at)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	// One that asks, and each source's own look at when a file was begun; each is refused
	// TLS first.
	if n := logins(t, srv) - before; n > 2*(1+len(all))+1 {
		t.Errorf("%d logins", n)
	}
	if n := len(srv.Query(t, "SELECT id FROM information_schema.processlist WHERE user = 'many'")); n != 1 {
		t.Errorf("%d connections stay", n)
	}
}

func TestHead_when_it_may_be_old(t *testing.T) {
	srv := server(t)
	db := space(t, srv)
	all := followers(t, srv, "aged", 2)
	first, _, err := all[0].Head(within(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY)")
	old, clock, err := all[1].Head(within(t), time.Hour)
	if err != nil || old != first {
		t.Errorf("%v is not what the other was told: %v, %v", old, first, err)
	}
	if d := time.Since(clock); d < -time.Second || d > time.Second {
		t.Errorf("the clock is %v off", d)
	}
	now, _, err := all[1].Head(within(t), 0)
	if c, _ := now.Compare(first); err != nil || c <= 0 {
		t.Errorf("%v is not behind what was written since: %v, %v", now, first, err)
	}
}

func TestDesk_when_its_connection_breaks(t *testing.T) {
	srv := server(t)
	all := followers(t, srv, "broken", 3)
	ask := func(s *source) {
		t.Helper()
		if _, _, err := s.Head(within(t), 0); err != nil {
			t.Fatal(err)
		}
	}
	ask(all[0])
	if err := all[0].Close(); err != nil { // it was this one's
		t.Fatal(err)
	}
	ask(all[1])
	for _, r := range srv.Query(t, "SELECT id FROM information_schema.processlist WHERE user = 'broken'") {
		srv.Exec(t, "KILL "+r[0])
	}
	ask(all[2])
	ended, cancel := context.WithCancelCause(within(t))
	over := errors.New("over")
	cancel(over)
	if _, _, err := all[1].Head(ended, 0); err != over {
		t.Error(err)
	}
	ask(all[1]) // that one gave up says nothing of the server
	for _, s := range all {
		_ = s.Close()
		_ = s.Close()
	}
	if n := len(all[0].desk.all.open); n != 0 {
		t.Errorf("%d desks are left", n)
	}
}

func TestDesk_when_the_server_does_not_answer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d := impatient()
	var all []*source
	for range 20 {
		given := map[string]any{"address": silent.Addr().String(), "user": "gw", "password": secret.New("x"), "connect_timeout": time.Second}
		s, err := d.source(t.Context(), option.Of(options(), given), connector.Env{Job: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		all = append(all, s)
	}
	began := time.Now()
	var group sync.WaitGroup
	for _, s := range all {
		group.Go(func() {
			if _, _, err := s.Head(within(t), time.Second); !fault.Has(err, fault.SourceUnreachable) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 that ask together waited %v for one server", took)
	}
}

func TestDesk_when_accounts_differ(t *testing.T) {
	srv := server(t)
	all := followers(t, srv, "own", 1)
	given := map[string]any{"address": srv.Addr(), "user": "own", "password": secret.New("wrong")}
	s, err := all[0].desk.all.source(t.Context(), option.Of(options(), given), connector.Env{Job: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := all[0].Head(within(t), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Head(within(t), time.Hour); !fault.Has(err, fault.SourceAuth) {
		t.Errorf("who has another password is told: %v", err)
	}
}

// TestDesk_when_sources_come_and_go lets sources that share a desk begin, give up and end
// while others ask.
func TestDesk_when_sources_come_and_go(t *testing.T) {
	srv := server(t)
	d := followers(t, srv, "coming", 1)[0].desk.all
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			for range 20 {
				given := map[string]any{"address": srv.Addr(), "user": "coming", "password": secret.New("x")}
				s, err := d.source(t.Context(), option.Of(options(), given), connector.Env{Job: "test"})
				if err != nil {
					t.Error(err)
					return
				}
				for range 1 + r.IntN(3) {
					ctx, cancel := context.WithCancel(within(t))
					if r.IntN(3) == 0 {
						time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
					}
					if _, _, err := s.Head(ctx, time.Duration(r.IntN(20))*time.Millisecond); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					cancel()
				}
				_ = s.Close()
			}
		})
	}
	group.Wait()
	if k := d.open; len(k) != 1 { // that of the first follower, who is still there
		t.Errorf("%d desks are left", len(k))
	}
}
