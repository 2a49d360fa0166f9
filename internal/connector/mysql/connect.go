package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"godwit/internal/fault"
	"godwit/internal/position"
)

// noPosition is the end of a batch inside a group.
var noPosition position.Position

// verifyMost is up to how many bytes the last transaction is read again whole;
// of a longer one only its front is compared.
const verifyMost = 16 << 20

// connect opens a dump that yields what comes after the place reached, having
// proved that it is the same log.
func (r *streamer) connect() (*conn, error) {
	if r.gtids.unknown && !r.resolved {
		gtids, err := r.s.resolve(r.ctx, r.place)
		if err != nil {
			return nil, err
		}
		r.gtids, r.resolved = gtids, true
	}
	if r.last.isTxn() && r.last.at <= r.s.reach {
		c, err := r.connectAtLast()
		if err == nil || !fault.Has(err, fault.SourceLost) || r.last.file == r.place.file {
			return c, err
		}
		// The file of the last transaction is purged, the next one may be there.
	}
	return r.connectAtPlace()
}

// dialDump opens a dump, on a server that is the one of the place.
func (r *streamer) dialDump(at dumpStart, prove func(*conn) error) (_ *conn, err error) {
	c, err := r.s.dial(r.ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	log, err := r.s.serverLog(r.ctx, c)
	if err != nil {
		return nil, err
	}
	if log != r.place.log {
		return nil, r.moved(log)
	}
	now, err := r.s.serverClock(r.ctx, c)
	if err != nil {
		return nil, err
	}
	r.clock = time.Until(now)
	if prove != nil {
		if err := prove(c); err != nil {
			return nil, err
		}
	}
	if err := r.s.startDump(r.ctx, c, at); err != nil {
		return nil, err
	}
	r.began = true
	return c, nil
}

// moved is the fault of an address that leads to a server with another log. Where the place
// was found before, whoever reads can seek it in that one.
func (r *streamer) moved(log string) error {
	code := fault.SourceDiverged
	if r.began {
		code = fault.SourceMoved
	}
	return fault.New(code, "the address leads to another server now: %s, the place is in %s", log, r.place.log).At("%s", r.s.where()).
		Try("seek the place in the other server's log: a run does, when it begins to read")
}

// serverClock returns the server's time.
func (s *source) serverClock(ctx context.Context, c *conn) (time.Time, error) {
	rows, err := c.query(ctx, "SELECT UNIX_TIMESTAMP(NOW(6))")
	if err != nil {
		return time.Time{}, err
	}
	if len(rows) == 1 && len(rows[0]) == 1 {
		if f, err := strconv.ParseFloat(rows[0][0].text(), 64); err == nil {
			return time.UnixMicro(int64(f * 1e6)), nil
		}
	}
	return time.Time{}, fault.New(fault.SourceProtocol, "the server did not tell its time")
}

// errFrontOnly ends a comparison after the front of a long transaction.
var errFrontOnly = errors.New("only the front was compared")

// connectAtLast starts at the last transaction, compares it, and leaves the dump
// behind it.
func (r *streamer) connectAtLast() (*conn, error) {
	at := r.place
	at.file, at.offset = r.last.file, r.last.at
	c, err := r.dialDump(dumpStart{file: at.name(), offset: at.offset}, nil)
	if err != nil {
		return nil, err
	}
	r.cur = cursor{at: at, anchored: true}
	err = c.guard(r.ctx, func() error { return r.s.verifyLast(c, &r.cur, r.last, r.place.offset <= r.s.reach) })
	if err == nil {
		f := r.cur.format
		r.format = &f
		return c, nil
	}
	c.close()
	if err == errFrontOnly {
		c, err = r.dialDump(dumpStart{file: r.place.name(), offset: r.place.offset}, nil)
		r.cur = cursor{at: r.place, anchored: true}
	}
	return c, err
}

// verifyLast reads the transaction at the cursor and compares it with last. It
// leaves the cursor behind it.
func (s *source) verifyLast(c *conn, cur *cursor, last lastTxn, shortcut bool) error {
	other := func(format string, args ...any) error {
		return fault.New(fault.SourceDiverged, "the server's log has another history: where transaction %s was read, %s", last.gtid, fmt.Sprintf(format, args...)).
			At("%s %s", s.where(), cur.at).Try("point the job at the server it was reading, or read everything again with `godwit run --again`")
	}
	open, end := false, groupEnd{}
	for {
		_ = c.raw.SetReadDeadline(time.Now().Add(silence))
		event, err := c.nextEvent()
		if err != nil {
			return s.verifyFault(err, other)
		}
		h, body, start, err := cur.step(event)
		if err != nil {
			return other("there is something else (%v)", err)
		}
		switch {
		case h.kind == evHeartbeat:
			return other("the log ends")
		case h.artificial(), h.kind == evFormat:
		case opensGroup(h.kind) && !open:
			e, err := parseOpening(h, body)
			if err != nil || start != last.at || e.name() != last.gtid || e.commit != last.time {
				return other("there is %s of %s", e.name(), time.Unix(int64(e.commit), 0).UTC().Format(time.RFC3339))
			}
			if last.size > verifyMost && shortcut {
				return errFrontOnly
			}
			open, end = true, groupEnd{alone: e.flags&gtidStandalone != 0, framed: h.kind == evGTID}
		case !open:
			return other("no transaction starts")
		case end.at(h, body):
			if size := cur.at.offset - last.at; size != last.size {
				return other("it has %d bytes instead of %d", size, last.size)
			}
			return nil
		}
	}
}

func (s *source) verifyFault(err error, other func(string, ...any) error) error {
	var e *serverError
	if errors.As(err, &e) && e.code == errDump {
		f := fault.Of(s.dumpFault(err))
		if f.Code == fault.SourceLost || f.Code == fault.SourceBusy {
			return f
		}
		return other("the server says: %s", e.text)
	}
	return s.dumpFault(err)
}

// groupEnd finds the last event of a group.
type groupEnd struct {
	alone  bool // one statement is the group
	framed bool // alone is known: MySQL tells it by the first statement only
}

// at reports whether an event, of those behind the first, is the last of its group.
func (g *groupEnd) at(h header, body []byte) bool {
	switch h.kind {
	case evXID, evXAPrepare, evPayload:
		return true
	case evQuery, evQueryCompressed:
		q, err := parseQuery(h, body, h.kind == evQueryCompressed)
		if err != nil {
			return true
		}
		word := firstWords(q.text)
		if !g.framed {
			g.framed, g.alone = true, !opensFrame(word)
		}
		if g.alone {
			return true
		}
		switch word {
		case "COMMIT", "ROLLBACK", "XA COMMIT", "XA ROLLBACK":
			return true
		}
	}
	return false
}

// connectAtPlace starts at the place itself, which the server must know by the
// same GTID state.
func (r *streamer) connectAtPlace() (*conn, error) {
	at, cur := r.s.dumpTo(r.place, r.gtids)
	prove := func(c *conn) error { return r.s.proveState(r.ctx, c, r.place, r.gtids, r.last) }
	if at.gtids != nil {
		prove = nil
	}
	c, err := r.dialDump(at, prove)
	r.cur = cur
	if err != nil || cur.at == r.place {
		return c, err
	}
	if err := c.guard(r.ctx, func() error { return r.s.skipTo(c, &r.cur, r.place) }); err != nil {
		c.close()
		return nil, err
	}
	f := r.cur.format
	r.format = &f
	return c, nil
}

// proveState compares the log of the server at a place with what belongs to it: on
// MariaDB the GTIDs up to it. A place the server does not have is left to the dump,
// whose error says more.
func (s *source) proveState(ctx context.Context, c *conn, p place, gtids gtidState, last lastTxn) error {
	if c.mysql {
		return s.proveSet(ctx, c, p, gtids, last)
	}
	have, ok, err := s.stateAt(ctx, c, p)
	if err != nil || !ok {
		return err
	}
	if !gtids.unknown && have.String() != gtids.String() {
		return s.otherHistory("at %s it has the transactions up to %q, the place reached %q", p, have, gtids)
	}
	return nil
}

// otherHistory is the fault of a log that is not the one that was read.
func (s *source) otherHistory(format string, args ...any) *fault.Error {
	return fault.New(fault.SourceDiverged, "the server's log has another history: %s", fmt.Sprintf(format, args...)).At("%s", s.where()).
		Try("point the job at the server it was reading, or read everything again with `godwit run --again`")
}

// stateAt returns the GTID state of the server at a place; ok is false when it does
// not have the place.
func (s *source) stateAt(ctx context.Context, c *conn, p place) (state gtidState, ok bool, err error) {
	if c.mysql {
		return s.setAt(ctx, p)
	}
	rows, err := c.query(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %d)", quoteText(p.name()), p.offset))
	if err != nil {
		return state, false, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return state, false, fault.New(fault.SourceProtocol, "the server did not tell its GTID state")
	}
	if state, err = parseGTIDs(rows[0][0].text()); err != nil {
		return state, false, fault.New(fault.SourceProtocol, "the server's GTID state cannot be read").By(err)
	}
	return state, !rows[0][0].null, nil
}
