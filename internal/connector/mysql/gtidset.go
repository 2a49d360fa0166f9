package mysql

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"godwit/internal/fault"
	"godwit/internal/position"
)

// MySQL does not tell what its log has up to a place; it tells which transactions
// are committed (gtid_executed). A transaction stands in the log a moment before it
// is among these, so the two never name the same moment by themselves.

// parsePrevious reads what the log has before a file: the number of sets 8, then for
// each the UUID 16, the number of ranges 8, and each range's first number and the one
// behind its last, 8 bytes each.
func parsePrevious(body []byte) (gtidState, error) {
	r := bodyReader{b: body}
	var out gtidState
	for n := r.uint(8); n > 0 && !r.bad; n-- {
		var id uuid
		copy(id[:], r.take(16))
		for k := r.uint(8); k > 0 && !r.bad; k-- {
			first, behind := r.uint(8), r.uint(8)
			if first == 0 || behind <= first || !out.addRange(id, seqRange{first, behind - 1}) {
				return out, errGTIDs
			}
		}
	}
	if r.bad || len(r.b) > 0 {
		return out, errCut
	}
	return out, nil
}

// setAt reads the set of what the log has before a place, from the beginning of the
// place's file.
func (s *source) setAt(ctx context.Context, p place) (state gtidState, ok bool, err error) {
	from := p
	from.offset = 4
	cur := cursor{at: from, anchored: true}
	err = s.scan(ctx, dumpStart{file: from.name(), offset: 4}, &cur, func(h header, body []byte, start uint64) error {
		switch {
		case h.kind == evPreviousGTIDs && cur.at.file == p.file:
			state, err = parsePrevious(body)
			return err
		case h.kind == evFormat && cur.at.file == p.file:
			return nil
		case start >= p.offset || cur.at.file != p.file:
			ok = start == p.offset && cur.at.file == p.file || h.kind == evRotate
			return errDone
		case opensGroup(h.kind):
			e, err := parseOpening(h, body)
			state.set(e.gtid)
			return err
		}
		return nil
	})
	return state, ok || cur.at.file == p.file && cur.at.offset == p.offset, err
}

// executed returns the set of what is committed and of what the log has no longer.
func (s *source) executed(ctx context.Context, c *conn) (executed, purged gtidState, err error) {
	rows, err := c.query(ctx, askExecuted)
	if err != nil {
		return executed, purged, err
	}
	return s.readExecuted(rows)
}

const askExecuted = "SELECT @@global.gtid_executed, @@global.gtid_purged"

// readExecuted reads the answer to askExecuted.
func (s *source) readExecuted(rows [][]value) (executed, purged gtidState, err error) {
	if len(rows) != 1 || len(rows[0]) != 2 {
		return executed, purged, fault.New(fault.SourceProtocol, "the server did not tell its GTIDs").At("%s", s.where())
	}
	if executed, err = parseGTIDs(rows[0][0].text()); err == nil {
		purged, err = parseGTIDs(rows[0][1].text())
	}
	if err != nil {
		return executed, purged, fault.New(fault.SourceProtocol, "the server's GTIDs cannot be read").At("%s", s.where()).By(err)
	}
	return executed, purged, nil
}

// namesAll reports whether the server gives every transaction a GTID.
func (s *source) namesAll(ctx context.Context, c *conn) (bool, error) {
	rows, err := c.query(ctx, "SELECT @@global.gtid_mode")
	if err != nil {
		return false, err
	}
	return rows[0][0].text() == "ON", nil
}

// placed returns the position of a place in a MySQL's log of which no transaction is
// known: the beginning of its file tells the log from another one.
func (s *source) placed(ctx context.Context, p place, gtids gtidState) (position.Position, error) {
	begun, err := s.begun(ctx, p)
	if err != nil {
		return noPosition, err
	}
	return s.position(p, gtids.String(), lastTxn{gtid: fileBegun, file: p.file, time: uint32(begun.Unix())}), nil
}

// proveSet compares a MySQL's log with what belongs to a place.
func (s *source) proveSet(ctx context.Context, c *conn, p place, gtids gtidState, last lastTxn) error {
	executed, _, err := s.executed(ctx, c)
	if err != nil {
		return err
	}
	if !executed.has(gtids) {
		return s.otherHistory("it lacks transactions that were read before %s", p)
	}
	if last.gtid == fileBegun {
		from := p
		from.file, from.offset = last.file, 4
		begun, err := s.fileCreated(ctx, from)
		if err == nil && begun.Unix() != int64(last.time) {
			err = s.otherHistory("its file %s was begun at %s", from.name(), begun.UTC().Format(time.RFC3339))
		}
		return err
	}
	if gtids.unknown || gtids.empty() {
		return nil
	}
	return s.proveExact(ctx, p, gtids)
}

// proveExact compares the set of what the log has before a place.
func (s *source) proveExact(ctx context.Context, p place, gtids gtidState) error {
	have, ok, err := s.setAt(ctx, p)
	if err != nil || !ok {
		return err
	}
	if have.String() != gtids.String() {
		return s.otherHistory("at %s it has the transactions %s, the place reached %s", p, have, gtids)
	}
	return nil
}

// resolve returns the set at a place that was taken without asking for it.
func (s *source) resolve(ctx context.Context, at place) (gtidState, error) {
	none := gtidState{unknown: true}
	c, err := s.dial(ctx)
	if err != nil {
		return none, err
	}
	defer c.close()
	log, err := s.serverLog(ctx, c)
	if err != nil || log != at.log || !c.mysql {
		return none, err
	}
	names, err := s.namesAll(ctx, c)
	if err != nil || !names {
		return none, err
	}
	set, ok, err := s.setAt(ctx, at)
	if err != nil || !ok {
		return none, err
	}
	return set, nil
}

// startPlace returns a place before which everything is committed, and the set of
// what is. The end of the log that the server names is ahead of that. It rests on
// commits being in the order of the log.
func (s *source) startPlace(ctx context.Context, c *conn) (place, gtidState, error) {
	end, err := s.headPlace(ctx, c)
	if err != nil {
		return end, gtidState{}, err
	}
	names, err := s.namesAll(ctx, c)
	if err != nil || !names {
		return end, gtidState{unknown: true}, err
	}
	set, _, err := s.executed(ctx, c)
	if err != nil {
		return end, set, err
	}
	at, _, err := s.firstAfter(ctx, end.log, set)
	return at, set, err
}

// firstAfter returns where the first transaction starts that is not in a state, or,
// when there is none yet, up to where the server has shown its log.
func (s *source) firstAfter(ctx context.Context, log string, gtids gtidState) (at place, found bool, err error) {
	cur := cursor{at: place{log: log}}
	err = s.scan(ctx, dumpStart{gtids: &gtids}, &cur, func(h header, _ []byte, start uint64) error {
		if !opensGroup(h.kind) {
			return nil
		}
		at, found = cur.at, true
		at.offset = start
		return errDone
	})
	if !found {
		at = cur.at
	}
	return at, found, err
}

// logEnd returns the end of the log; false when there is no log.
func logEnd(ctx context.Context, c *conn, log string) (end place, on bool, err error) {
	rows, err := masterStatus(ctx, c)
	if err != nil {
		return end, false, err
	}
	return readEnd(rows, log)
}

// readEnd reads the answer to askEnd.
func readEnd(rows [][]value, log string) (end place, on bool, err error) {
	if len(rows) == 0 || len(rows[0]) < 2 {
		return end, false, nil
	}
	offset, err := strconv.ParseUint(rows[0][1].text(), 10, 64)
	if err != nil {
		return end, false, fault.New(fault.SourceProtocol, "the server's log offset is not a number").By(err)
	}
	end, err = parsePlace(log, rows[0][0].text(), offset)
	return end, true, err
}

// masterStatus asks for the end of the log, by the name the server knows it by.
func masterStatus(ctx context.Context, c *conn) ([][]value, error) {
	return c.query(ctx, c.askEnd())
}

// askEnd is the statement that masterStatus sends.
func (c *conn) askEnd() string {
	if c.mysql && !c.before(8, 2) {
		return "SHOW BINARY LOG STATUS"
	}
	return "SHOW MASTER STATUS"
}

// before reports whether the server's version is lower than major.minor.
func (c *conn) before(major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(c.version, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a < major || a == major && b < minor
}
