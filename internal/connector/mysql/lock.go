package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"godwit/internal/fault"
	"godwit/internal/row"
)

const (
	// lockWait is how long, in seconds, a lock of a table is waited for at once:
	// writers wait behind it.
	lockWait = 1
	// lockTries bounds how often it is tried.
	lockTries = 40
)

// beginLocked opens MySQL's snapshot of a table while the table is locked against
// writers: nothing of it is under way, so the end of the log then is exactly what the
// snapshot has of it. The lock is held for about a millisecond.
func (s *source) beginLocked(ctx context.Context, snap *snapshot) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close() // lets the lock go, however this ends
	log, err := s.serverLog(ctx, c)
	if err != nil {
		return err
	}
	if err := c.exec(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", lockWait)); err != nil {
		return err
	}
	if err := s.lockTable(ctx, c, snap.table); err != nil {
		return err
	}
	if err := snap.c.exec(ctx, startSnapshot); err != nil {
		return err
	}
	var on bool
	if snap.place, on, err = logEnd(ctx, c, log); err != nil {
		return err
	}
	if on {
		snap.mark = s.position(snap.place, unknownGTIDs, lastTxn{})
	}
	return c.exec(ctx, "UNLOCK TABLES")
}

// lockRefused is the fault of a user who may not lock a table.
func lockRefused(t row.Name, user string) *fault.Error {
	return fault.New(fault.SourceGrants, "the user may not lock table %s for a moment, by which MySQL tells exactly what a chunk has", t).
		Try("GRANT LOCK TABLES ON %s.* TO %s;", quoteName(t.Space), user)
}

// lockTable locks a table for reading. One that is gone is left to who reads it.
func (s *source) lockTable(ctx context.Context, c *conn, t row.Name) error {
	for try := 1; ; try++ {
		err := c.exec(ctx, "LOCK TABLES "+tableName(t)+" READ")
		var e *serverError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &e) && (e.code == errNoSuchTable || e.code == errUnknownDB):
			return nil
		case fault.Has(err, fault.SourceGrants):
			user, e := c.account(ctx)
			if e != nil {
				return e
			}
			return lockRefused(t, user).At("%s", s.where()).By(err)
		case !fault.Has(err, fault.SourceBusy) || try == lockTries:
			return err
		}
		select {
		case <-time.After(100*time.Millisecond + rand.N(400*time.Millisecond)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
