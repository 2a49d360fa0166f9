package mysql

import (
	"context"
	"sync"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/secret"
)

// account is what a connection depends on: who has the same one is told the same.
type account struct {
	network, address, user string
	password               secret.Text
	mode, ca, cert, key    string
	name                   string // of the server, in its certificate
}

func accountOf(c config, tls option.Values) account {
	return account{
		network: c.network, address: c.address, user: c.user, password: c.password,
		mode: c.tls.Mode, ca: tls.Text("ca"), cert: tls.Text("cert"), key: tls.Text("key"), name: tls.Text("server_name"),
	}
}

// desks are the desks of a process, by account.
type desks struct {
	heartbeat time.Duration // how long a log may be idle before its server says so
	keptAge   time.Duration // how old what a server told about its log may be

	mu   sync.Mutex
	open map[account]*desk
}

// newDesks returns those of a process that follows many logs.
func newDesks() *desks { return &desks{heartbeat: 10 * time.Second, keptAge: 5 * time.Second} }

// desk asks a server, over one connection that stays, what every job that follows it
// wants to know again and again. Its connection belongs to the source that made it and
// ends with it; then the next one that asks makes another.
type desk struct {
	all   *desks
	of    account
	users int // guarded by all.mu

	turn chan struct{} // has one word: who holds it asks
	// What follows belongs to the holder of turn.
	c    *conn // nil: none
	head answered[heading]
	kept answered[kept]
}

// answered is the last answer of a kind.
type answered[T any] struct {
	began time.Time // when it was asked for; zero: never
	what  T
	err   error
}

// heading is the end of the log, and the server's clock then.
type heading struct {
	place place
	at    position.Position // the same
	clock time.Time
}

// join returns the desk of an account, which leave gives back.
func (d *desks) join(of account) *desk {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.open[of]
	if k == nil {
		k = &desk{all: d, of: of, turn: make(chan struct{}, 1)}
		k.turn <- struct{}{}
		if d.open == nil {
			d.open = map[account]*desk{}
		}
		d.open[of] = k
	}
	k.users++
	return k
}

// leave is called once by each source that joined.
func (k *desk) leave() {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(k.all.open, k.of)
	}
}

// consult returns what ask says, or what it said when it was asked for less than age
// before this call: a failure too, so that of many who wait for a server that does not
// answer not each tries it anew. s is who asks.
func consult[T any](ctx context.Context, s *source, last *answered[T], age time.Duration, ask func(*conn) (T, error)) (answered[T], error) {
	since := time.Now().Add(-age)
	k := s.desk
	select {
	case <-k.turn:
	case <-ctx.Done():
		return answered[T]{}, context.Cause(ctx)
	}
	defer func() { k.turn <- struct{}{} }()
	if !last.began.IsZero() && !last.began.Before(since) {
		return *last, last.err
	}
	next := answered[T]{began: time.Now()}
	next.what, next.err = attempt(ctx, s, ask)
	if ctx.Err() != nil { // that says nothing of the server
		return next, context.Cause(ctx)
	}
	*last = next
	return next, next.err
}

// attempt asks over the desk's connection, and over a new one where there is none or it
// broke. The desk's turn is held.
func attempt[T any](ctx context.Context, s *source, ask func(*conn) (T, error)) (out T, err error) {
	k := s.desk
	for fresh := false; !fresh; {
		if fresh = k.c == nil; fresh {
			if k.c, err = s.dial(ctx); err != nil {
				return out, err
			}
		}
		if err = k.c.raw.SetDeadline(time.Now().Add(s.cfg.connect)); err != nil {
			k.c.broken = true
		} else {
			out, err = ask(k.c)
		}
		if err == nil || !k.c.broken && !fault.Has(err, fault.SourceUnreachable) {
			return out, err
		}
		k.c.close()
		k.c = nil
	}
	return out, err
}
