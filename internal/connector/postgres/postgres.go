// Package postgres is the sink that writes tables of PostgreSQL: rows and the
// positions they reach in one transaction, fenced by an epoch in the same database.
//
// A session is one connection (session.go). A shard has a row of positions
// (shard.go); its writer (writer.go) copies the rows of a snapshot as they come
// (copy.go) and folds those of the stream by key (fold.go) or, without one, by
// content (bag.go). How values are held is in field.go and cell.go.
package postgres

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
)

// Driver returns the driver named postgres.
func Driver() connector.SinkDriver {
	return connector.SinkDriver{
		Name:     "postgres",
		Discards: true,
		Help:     "Tables of PostgreSQL 13 and later, kept as the source has them. Rows and the place they reach are one transaction.",
		Options:  options(),
		Open: func(_ context.Context, v option.Values, env connector.Env) (connector.Sink, error) {
			c, err := readConfig(v)
			if err != nil {
				return nil, err
			}
			return newSink(c, env), nil
		},
	}
}

var (
	_ connector.Sink    = (*sink)(nil)
	_ connector.Planner = (*sink)(nil)
	_ connector.Roller  = (*sink)(nil)
	_ connector.Placer  = (*sink)(nil)
	_ connector.Settler = (*sink)(nil)
)

// sink implements connector.Sink.
type sink struct {
	cfg       config
	log       *slog.Logger
	job, name string
	held      int // bytes of rows that wait before they are sent, inside a transaction
	control   control

	targets sync.Map // *row.Table → *target

	mu     sync.Mutex
	closed bool
	idle   []*session
	ready  bool // the control tables were seen
	// clashing are tables that had a row of a chunk before: their chunks are merged.
	clashing map[string]bool
	// crossing are tables whose rows took one another's place in a unique index before:
	// what is put there goes first.
	crossing map[string]bool
	// seen are the greatest seqs of shards that this process knows to be committed.
	seen map[string]int64
}

// maxIdle is how many sessions wait for the next writer.
const maxIdle = 8

func newSink(c config, env connector.Env) *sink {
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &sink{cfg: c, log: log, job: env.Job, name: env.Name, held: mostHeld, control: controlIn(c.control),
		clashing: map[string]bool{}, crossing: map[string]bool{}, seen: map[string]int64{}}
}

// target returns how t is kept.
func (s *sink) target(t *row.Table) *target {
	if g, ok := s.targets.Load(t); ok {
		return g.(*target)
	}
	g, _ := s.targets.LoadOrStore(t, s.cfg.target(t))
	return g.(*target)
}

// session returns a session in no transaction, which done takes back.
func (s *sink) session(ctx context.Context) (*session, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fault.New(fault.Internal, "the sink is closed").At("%s", s.Where())
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	return s.cfg.dial(ctx)
}

// done takes a session back, to be used again or closed.
func (s *sink) done(c *session) {
	s.mu.Lock()
	keep := !s.closed && c.usable() && len(s.idle) < maxIdle
	if keep {
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.close()
	}
}

// ask runs one statement outside of any transaction. It is made again on another
// connection when an idle one turns out to be broken, so that it must do no harm
// twice.
func (s *sink) ask(ctx context.Context, sql string, args ...arg) (result, error) {
	for {
		s.mu.Lock()
		old := len(s.idle) > 0
		s.mu.Unlock()
		c, err := s.session(ctx)
		if err != nil {
			return result{}, err
		}
		r, err := c.query(ctx, sql, args...)
		s.done(c)
		if err == nil || !old || !fault.Has(err, fault.TargetUnreachable) || ctx.Err() != nil {
			return r, err
		}
	}
}

// Roll implements connector.Roller.
func (s *sink) Roll() (every time.Duration, bytes int64) { return s.cfg.every, s.cfg.bytes }

// Where implements connector.Placer.
func (s *sink) Where() string { return s.cfg.where() }

// Settled implements connector.Settler: a commit leaves nothing to do.
func (s *sink) Settled(context.Context, connector.Shard) (bool, error) { return true, nil }

// Plan implements connector.Planner.
func (s *sink) Plan(_ context.Context, t *row.Table) (connector.Target, error) {
	g := s.target(t)
	out := connector.Target{Name: g.schema + "." + g.name,
		Guarantee: connector.Guarantee{Level: "exactly-once", Reason: "rows and the position they reach are committed in one transaction of the target"}}
	for _, f := range g.fields {
		out.Columns = append(out.Columns, f.name+" "+f.sql)
	}
	return out, nil
}

// Close implements connector.Sink.
func (s *sink) Close() error {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
	return nil
}
