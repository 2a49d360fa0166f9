package mysql

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// quietTries bounds how often a moment is sought in which nobody writes to a table. On a
// server that syncs its log some transaction is nearly always half done: of tries on one
// table with 1,000 transactions a second two in a hundred succeed.
const quietTries = 600

// beginQuiet opens MySQL's snapshot of a table without a lock. What was committed
// before is in the snapshot, and what is in the snapshot is in the log up to its end
// afterwards; when nothing between the two concerns the table, the snapshot has of it
// exactly what the log has up to that end. A table that is never quiet for so long is
// refused with the fault of the lock.
func (s *source) beginQuiet(ctx context.Context, snap *snapshot, refused error) error {
	log, err := s.serverLog(ctx, snap.c)
	if err != nil {
		return err
	}
	if names, err := s.namesAll(ctx, snap.c); err != nil || !names {
		if err == nil {
			err = refused // without GTIDs nothing tells what was committed
		}
		return err
	}
	if err := snap.c.allowMany(ctx); err != nil {
		return err
	}
	for range quietTries {
		exact, err := s.tryQuiet(ctx, snap, log)
		if err != nil || exact {
			return err
		}
		select {
		case <-time.After(rand.N(60 * time.Millisecond)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return refused
}

// tryQuiet opens the snapshot once and reports whether its place is exact. What is asked
// before and after goes with it: on a busy table each round trip would bring transactions.
func (s *source) tryQuiet(ctx context.Context, snap *snapshot, log string) (bool, error) {
	answers, err := snap.c.together(ctx, askExecuted, startSnapshot, snap.c.askEnd()) // ends the one before
	if err != nil {
		return false, err
	}
	before, _, err := s.readExecuted(answers[0])
	if err != nil {
		return false, err
	}
	end, on, err := readEnd(answers[2], log)
	if err != nil || !on {
		return err == nil, err
	}
	quiet, err := s.wasQuiet(ctx, log, before, end, snap.table)
	if err != nil || !quiet {
		return false, err
	}
	snap.place, snap.mark = end, s.position(end, unknownGTIDs, lastTxn{})
	return true, nil
}

// A server shows its log up to what is on its disk: the end that it named may come a
// moment later.
const (
	shownTries = 20
	shownPause = 5 * time.Millisecond
)

// wasQuiet reports whether nothing that the log has before a place, besides a set of
// GTIDs, may concern a table.
func (s *source) wasQuiet(ctx context.Context, log string, besides gtidState, end place, t row.Name) (bool, error) {
	for range shownTries {
		touched, shown, err := s.touched(ctx, log, besides, end, t)
		if err != nil || touched || shown {
			return err == nil && !touched, err
		}
		select {
		case <-time.After(shownPause):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return false, nil
}

// touched reports whether what the log has before a place, besides a set of GTIDs, may
// concern a table, and whether the server showed its log up to the place. It may also say
// so where nothing does.
func (s *source) touched(ctx context.Context, log string, besides gtidState, end place, t row.Name) (touched, shown bool, err error) {
	cur := cursor{at: place{log: log}}
	behind := func(start uint64) bool {
		return cur.at.file > end.file || cur.at.file == end.file && start >= end.offset
	}
	err = s.scan(ctx, dumpStart{gtids: &besides}, &cur, func(h header, body []byte, start uint64) error {
		if behind(start) {
			return errDone
		}
		touched = touched || concerns(h, body, t)
		return nil
	})
	return touched, behind(cur.at.offset), err
}

// concerns reports whether an event may have to do with a table.
func concerns(h header, body []byte, t row.Name) bool {
	switch h.kind {
	case evTableMap:
		const number = 6
		database, table, err := mapName(body[min(number, len(body)):])
		return err != nil || database == t.Space && table == t.Table
	case evQuery:
		q, err := parseQuery(h, body, false)
		if err != nil {
			return true
		}
		word := firstWords(q.text)
		return word != "BEGIN" && word != "COMMIT"
	case evPayload:
		found := false
		err := eachInPayload(bytes.NewReader(body), func(h header, body []byte) error {
			found = found || concerns(h, body, t)
			return nil
		})
		return found || err != nil
	case evExecuteLoad:
		return true
	}
	return false
}

// openExact opens MySQL's snapshot of a table at an exactly known place: with a lock,
// or, for a user who may not lock, in a moment in which the table is quiet.
func (s *source) openExact(ctx context.Context, snap *snapshot) error {
	err := s.beginLocked(ctx, snap)
	if fault.Has(err, fault.SourceGrants) {
		return s.beginQuiet(ctx, snap, err)
	}
	return err
}
