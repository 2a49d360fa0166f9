package mysql

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// MariaDB's TRUNCATE, and its CREATE OR REPLACE, empties the table first and stands in the
// log a moment later: a view of that moment has no row where the log before its place has
// them all. Until then nobody but that statement may use the table, so such a view finds
// all of the table empty; and one that is opened while somebody else has a metadata lock
// of the table is none.

// pinTries bounds how often a table is sought in which no such statement is under way or
// waits.
const pinTries = 600

// pin locks the shape of a table, as any SELECT does, for as long as its rows are read,
// and returns a snapshot that has of the table exactly what the log has before its place:
// snap, or, when that finds the table empty, one opened for it. What it does not return
// is closed. The error is errGone when there is no such table.
func (s *source) pin(ctx context.Context, snap *snapshot, t row.Name) (*snapshot, error) {
	some, err := s.lockShape(ctx, snap.c, t, snap.exact == t)
	switch {
	case err != nil:
		snap.close()
		return nil, err
	case some:
		snap.exact = t
		return snap, nil
	}
	defer snap.close()
	return s.openGuarded(ctx, snap.c, t)
}

// lockShape locks the shape of a table until the transaction of c ends. It reports whether
// the table has rows; where that is known, it is not looked at.
func (s *source) lockShape(ctx context.Context, c *conn, t row.Name, known bool) (some bool, err error) {
	limit := " LIMIT 1"
	if known {
		limit = " LIMIT 0"
	}
	rows, err := c.query(ctx, "SELECT 1 FROM "+tableName(t)+limit)
	var e *serverError
	if errors.As(err, &e) && (e.code == errNoSuchTable || e.code == errUnknownDB) {
		return false, errGone
	}
	if err != nil {
		return false, s.readFault(ctx, c, t, err)
	}
	return known || len(rows) > 0, nil
}

// openGuarded opens a snapshot that has pinned the table while c has its metadata lock,
// so that no statement that would change its shape is half done.
func (s *source) openGuarded(ctx context.Context, c *conn, t row.Name) (*snapshot, error) {
	for try := 1; ; try++ {
		// What waits for the table goes first, and is in the log when c is back.
		if err := c.exec(ctx, "START TRANSACTION"); err != nil {
			return nil, err
		}
		if _, err := s.lockShape(ctx, c, t, true); err != nil {
			return nil, err
		}
		snap, err := s.openSnapshot(ctx, t)
		if err != nil {
			return nil, err
		}
		if err = s.pinAtOnce(ctx, snap, t); err == nil {
			return snap, nil
		}
		snap.close()
		if !fault.Has(err, fault.SourceBusy) || try == pinTries {
			return nil, err
		}
		select {
		case <-time.After(rand.N(20 * time.Millisecond)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// pinAtOnce pins a table without waiting: a statement that waits for the guard's lock lets
// no other lock pass.
func (s *source) pinAtOnce(ctx context.Context, snap *snapshot, t row.Name) error {
	if err := snap.c.exec(ctx, "SET SESSION lock_wait_timeout = 0"); err != nil {
		return err
	}
	if _, err := s.lockShape(ctx, snap.c, t, true); err != nil {
		return err
	}
	snap.exact = t
	return snap.c.exec(ctx, "SET SESSION "+lockPatience)
}
