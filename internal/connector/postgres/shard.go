package postgres

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
)

// openTries bounds how often Open contends for a row before it gives up for now.
const openTries = 5

// Open implements connector.Sink. Raising the epoch is one statement: it waits for a
// commit of the older owner that is under way, and returns what that wrote.
func (s *sink) Open(ctx context.Context, sh connector.Shard, claim connector.Claim) (connector.Writer, position.Set, error) {
	if there, err := s.exists(ctx); err != nil {
		return nil, nil, err
	} else if !there {
		return nil, nil, s.unprepared()
	}
	var last error
	for range openTries {
		w, set, err := s.take(ctx, sh, claim)
		if err == nil {
			return w, set, nil
		}
		// An even newer owner may have ended this session, and idle ones may be broken.
		if !fault.Has(err, fault.TargetUnreachable) && stateOf(err) != stateLock || ctx.Err() != nil {
			return nil, nil, err
		}
		last = err
	}
	return nil, nil, last
}

func (s *sink) take(ctx context.Context, sh connector.Shard, claim connector.Claim) (*writer, position.Set, error) {
	c, err := s.session(ctx)
	if err != nil {
		return nil, nil, err
	}
	w, set, err := s.raise(ctx, c, sh, claim)
	if err != nil {
		s.done(c)
		if stateOf(err) == stateLock {
			return nil, nil, s.endHung(ctx, sh, claim, err)
		}
		return nil, nil, err
	}
	if err := s.remember(ctx, c, w); err != nil {
		s.done(c)
		return nil, nil, err
	}
	return w, set, nil
}

// raise makes the session the owner of a shard.
func (s *sink) raise(ctx context.Context, c *session, sh connector.Shard, claim connector.Claim) (*writer, position.Set, error) {
	args := append(s.mine(sh.Task), text(strconv.FormatUint(claim.Run, 10)), text(strconv.FormatUint(claim.Attempt, 10)))
	c.queue("SELECT set_config('application_name', $1, false)", text(sessionName(sh)))
	c.queue("INSERT INTO "+s.control.position+` AS p (job, sink, shard, epoch, run, attempt, seq, positions, session, session_start, changed)
 VALUES ($1, $2, $3, 1, $4::numeric, $5::numeric, 0, '', pg_backend_pid(), coalesce((SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())), now()), now())
 ON CONFLICT (job, sink, shard) DO UPDATE SET epoch = p.epoch + 1, run = excluded.run, attempt = excluded.attempt,
 session = excluded.session, session_start = excluded.session_start, changed = excluded.changed
 WHERE (p.run, p.attempt) <= (excluded.run, excluded.attempt)
 RETURNING epoch, seq, encode(positions, 'hex')`, args...)
	all, err := c.sync(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows := all[1].rows
	if len(rows) == 0 {
		return nil, nil, s.fenced(ctx, sh, claim)
	}
	w := &writer{sink: s, shard: sh, claim: claim, c: c}
	if w.epoch, err = strconv.ParseInt(string(rows[0][0]), 10, 64); err != nil {
		return nil, nil, s.damaged(sh, err)
	}
	if w.seq, err = strconv.ParseInt(string(rows[0][1]), 10, 64); err != nil {
		return nil, nil, s.damaged(sh, err)
	}
	set, err := setOf(rows[0][2])
	if err != nil {
		return nil, nil, s.damaged(sh, err)
	}
	return w, set, nil
}

// sessionName is what the server's list of sessions shows.
func sessionName(sh connector.Shard) string {
	return "godwit " + sh.Job + "/" + sh.Sink + "/" + sh.Task
}

// fenced says who owns the shard now.
func (s *sink) fenced(ctx context.Context, sh connector.Shard, mine connector.Claim) error {
	owner, _, err := s.Positions(ctx, sh)
	if err != nil {
		return err
	}
	return fault.New(fault.FencedOff, "shard %s belongs to %v, this is %v", sh.Task, owner, mine).At("%s", s.Where())
}

// endHung ends the session of an older owner that holds the shard's row for too long,
// and returns why the row could not be had. A session that has gone on to another
// shard has another name.
func (s *sink) endHung(ctx context.Context, sh connector.Shard, claim connector.Claim, cause error) error {
	where := " WHERE job = $1 AND sink = $2 AND shard = $3"
	r, err := s.ask(ctx, "SELECT run, attempt FROM "+s.control.position+where, s.mine(sh.Task)...)
	if err != nil {
		return err
	}
	if len(r.rows) == 1 {
		owner, err := claimOf(r.rows[0][0], r.rows[0][1])
		if err != nil {
			return s.damaged(sh, err)
		}
		if claim.Less(owner) {
			return s.fenced(ctx, sh, claim)
		}
	}
	r, err = s.ask(ctx, "SELECT a.pid, pg_terminate_backend(a.pid) FROM "+s.control.position+` p
 JOIN pg_stat_activity a ON a.pid = p.session AND a.backend_start = p.session_start AND left(a.application_name, 63) = left($4, 63)
 AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()`+where, append(s.mine(sh.Task), text(clipName(sessionName(sh))))...)
	if err != nil {
		return fault.New(fault.TargetFailed, "an older session holds shard %s and cannot be ended", sh.Task).At("%s", s.Where()).By(err).
			Try("SELECT pg_terminate_backend(session) FROM %s WHERE shard = %s;", s.control.position, literal(sh.Task))
	}
	for _, row := range r.rows {
		s.log.Warn("a session that held a shard for too long was ended", "shard", sh.Task, "pid", string(row[0]))
	}
	return cause
}

// clipName cuts a name as the server cuts names of sessions.
func clipName(s string) string {
	if len(s) <= maxName {
		return s
	}
	n := maxName
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// remember compares what the target has with what this process knows to be committed.
// A server that failed over to a standby may have lost commits, their positions too:
// a fresh run would see that, this one has told others of them.
func (s *sink) remember(ctx context.Context, c *session, w *writer) error {
	s.mu.Lock()
	known := maps.Clone(s.seen) // first: others commit meanwhile
	s.mu.Unlock()
	r, err := c.query(ctx, "SELECT shard, seq FROM "+s.control.position+" WHERE job = $1 AND sink = $2", s.mine()...)
	if err != nil {
		return err
	}
	has := map[string]int64{}
	for _, row := range r.rows {
		if has[string(row[0])], err = strconv.ParseInt(string(row[1]), 10, 64); err != nil {
			return s.damaged(w.shard, err)
		}
	}
	for shard, seq := range known {
		if has[shard] < seq {
			return fault.New(fault.TargetLost, "the target has lost %d commits of shard %s", seq-has[shard], shard).At("%s", s.Where()).
				By(fmt.Errorf("it has %d of %d: was a standby promoted that lagged behind?", has[shard], seq)).
				Try("run again: it goes on from what the target has")
		}
	}
	return nil
}

// committed notes a commit of w.
func (s *sink) committed(w *writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[w.shard.Task] = max(s.seen[w.shard.Task], w.seq)
}
