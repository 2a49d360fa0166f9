package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/position"
)

// Head returns the place after the last committed transaction, as it was read less than
// age ago, and the server's clock now.
func (s *source) Head(ctx context.Context, age time.Duration) (position.Position, time.Time, error) {
	last, err := consult(ctx, s, &s.desk.head, age, func(c *conn) (heading, error) { return s.heading(ctx, c) })
	if err != nil {
		return noPosition, time.Time{}, err
	}
	return last.what.at, last.what.clock.Add(time.Since(last.began)), nil
}

// heading reads the end of the log, and the server's clock just before. The turn of the
// desk is held.
func (s *source) heading(ctx context.Context, c *conn) (h heading, err error) {
	if h.clock, err = s.serverClock(ctx, c); err != nil {
		return h, err
	}
	if h.place, err = s.headPlace(ctx, c); err != nil {
		return h, err
	}
	if last := s.desk.head.what; last.place == h.place { // the server would read its log to tell the GTIDs there
		h.at = last.at
		return h, nil
	}
	h.at, err = s.positionAt(ctx, c, h.place)
	return h, err
}

func (s *source) headPlace(ctx context.Context, c *conn) (place, error) {
	log, err := s.serverLog(ctx, c)
	if err != nil {
		return place{}, err
	}
	end, on, err := logEnd(ctx, c, log)
	if err == nil && !on {
		err = fault.New(fault.SourceSettings, "the server writes no binary log").At("%s", s.where()).Try("set log_bin in the server's configuration and restart it")
	}
	return end, err
}

// positionAt returns the position of a place between transactions of c's server.
func (s *source) positionAt(ctx context.Context, c *conn, p place) (position.Position, error) {
	if c.mysql {
		return s.placed(ctx, p, gtidState{unknown: true})
	}
	gtids, ok, err := s.stateAt(ctx, c, p)
	if err != nil {
		return noPosition, err
	}
	if !ok {
		return noPosition, fault.New(fault.SourceLost, "the server's log does not have %s", p).At("%s", s.where())
	}
	return s.position(p, gtids.String(), lastTxn{}), nil
}

// Describe returns file, offset and GTIDs of a place.
func (s *source) Describe(p position.Position) string {
	at, err := parsePosition(p)
	if err != nil {
		return clip(p.Token(), 200)
	}
	if at.gtids.empty() {
		return at.place.String()
	}
	return fmt.Sprintf("%s (%s)", at.place, at.gtids)
}

// dumpToEnd returns a connection on which the server sends the log from a place to its
// end. The caller closes it.
func (s *source) dumpToEnd(ctx context.Context, from dumpStart) (*conn, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	from.nonBlock = true
	if err := s.startDump(ctx, c, from); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// scan reads events from a place to the end of the log. f is called for each
// event that is in the log and ends the scan by returning errDone. The bodies of events
// of many packets are left out.
func (s *source) scan(ctx context.Context, from dumpStart, cur *cursor, f func(h header, body []byte, start uint64) error) error {
	return s.scanEvents(ctx, from, cur, false, f)
}

// scanEvents is scan; whole: no body is left out.
func (s *source) scanEvents(ctx context.Context, from dumpStart, cur *cursor, whole bool, f func(h header, body []byte, start uint64) error) error {
	c, err := s.dumpToEnd(ctx, from)
	if err != nil {
		return err
	}
	defer c.close()
	c.in.split = !whole
	err = c.guard(ctx, func() error {
		for {
			_ = c.raw.SetReadDeadline(time.Now().Add(silence))
			event, err := c.nextEvent()
			if err == errLarge {
				err = c.skipLarge(cur, f)
				if err == nil {
					continue
				}
			}
			if err != nil {
				return err
			}
			h, body, start, err := cur.step(event)
			if err == nil && h.kind == evRotate {
				err = cur.rotate(body)
			}
			if err != nil {
				return fault.New(fault.SourceProtocol, "the log cannot be understood").At("%s %s", s.where(), cur.at).By(err)
			}
			if h.kind == evHeartbeat {
				cur.heartbeat(h, body) // MySQL tells what it left out
			}
			if h.artificial() || h.kind == evHeartbeat {
				continue
			}
			if err := f(h, body, start); err != nil {
				return err
			}
		}
	})
	var f0 *fault.Error
	switch {
	case err == errDone, err == errLogEnd:
		return nil
	case errors.As(err, &f0), ctx.Err() != nil:
		return err
	}
	return s.dumpFault(err)
}

// skipLarge takes an event of several packets for scan, but for its body.
func (c *conn) skipLarge(cur *cursor, f func(h header, body []byte, start uint64) error) error {
	m := c.in.large(func() error { return c.raw.SetReadDeadline(time.Now().Add(silence)) })
	front := make([]byte, 1+headerBytes)
	if _, err := io.ReadFull(m, front); err != nil {
		return short(err)
	}
	if _, err := io.Copy(io.Discard, m); err != nil {
		return err
	}
	h := headerOf(front[1:])
	if front[0] != 0 || h.artificial() {
		return errMalformed
	}
	start, err := cur.advance(h)
	if err != nil {
		return fault.New(fault.SourceProtocol, "the log cannot be understood").At("%s %s", c.src.where(), cur.at).By(err)
	}
	return f(h, nil, start)
}

// Rebase returns the same places in the log that the server has now.
func (s *source) Rebase(ctx context.Context, places []position.Position) ([]position.Position, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	log, err := s.serverLog(ctx, c)
	if err != nil {
		return nil, err
	}
	out := make([]position.Position, len(places))
	done := map[position.Position]position.Position{}
	for i, p := range places {
		if p.IsZero() {
			continue
		}
		if q, ok := done[p]; ok {
			out[i] = q
			continue
		}
		at, err := parsePosition(p)
		if err != nil {
			return nil, err
		}
		if p.Log() == log {
			out[i], err = p, s.prove(ctx, c, at)
		} else {
			out[i], err = s.translate(ctx, c, log, p, at)
		}
		if err != nil {
			return nil, err
		}
		done[p] = out[i]
	}
	return out, nil
}

// prove checks that the place is in the server's log and that what comes before
// it is what was read.
func (s *source) prove(ctx context.Context, c *conn, at spot) error {
	if at.last.isTxn() && at.last.at <= s.reach {
		start := at.place
		start.file, start.offset = at.last.file, at.last.at
		err := s.proveLast(ctx, start, at)
		if err == nil || !fault.Has(err, fault.SourceLost) || at.last.file == at.file {
			return err
		}
	}
	if err := s.proveState(ctx, c, at.place, at.gtids, at.last); err != nil {
		return err
	}
	from, cur := s.dumpTo(at.place, at.gtids)
	if cur.at != at.place {
		return s.proveFar(ctx, from, cur, at.place)
	}
	return s.asDiverged(at.place, s.scan(ctx, from, &cur, func(h header, _ []byte, _ uint64) error {
		if h.kind == evFormat || startsBetween(h.kind) {
			return errDone
		}
		return fault.New(fault.SourceDiverged, "the server's log has something else at %s", at.place).At("%s", s.where())
	}))
}

// proveFar checks that an event ends at a place before which the dump begins.
func (s *source) proveFar(ctx context.Context, from dumpStart, cur cursor, p place) error {
	c, err := s.dumpToEnd(ctx, from)
	if err != nil {
		return err
	}
	defer c.close()
	return c.guard(ctx, func() error { return s.skipTo(c, &cur, p) })
}

// startsBetween reports whether an event of that kind stands at the start of a
// group or between groups.
func startsBetween(kind byte) bool {
	switch kind {
	case evGTID, evMySQLGTID, evAnonymous, evGTIDList, evPreviousGTIDs, evCheckpoint, evRotate, evStop, evStartEncryption, evFormat:
		return true
	}
	return false
}

// asDiverged gives an error of understanding the log where a known place should
// be its meaning: it is another log.
func (s *source) asDiverged(p place, err error) error {
	if fault.Has(err, fault.SourceProtocol) {
		return fault.New(fault.SourceDiverged, "the server's log has something else at %s", p).At("%s", s.where()).By(err)
	}
	return err
}

func (s *source) proveLast(ctx context.Context, start place, at spot) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := s.startDump(ctx, c, dumpStart{file: start.name(), offset: start.offset, nonBlock: true}); err != nil {
		return err
	}
	cur := cursor{at: start, anchored: true}
	err = c.guard(ctx, func() error { return s.verifyLast(c, &cur, at.last, true) })
	if err == errFrontOnly {
		return nil
	}
	return err
}

// translate finds a place of another server's log in this one's: the start of the
// first transaction that is not in the place's GTID state. Everything before it
// must be exactly that state.
func (s *source) translate(ctx context.Context, c *conn, log string, p position.Position, at spot) (position.Position, error) {
	if err := s.translatable(ctx, c, at.gtids); err != nil {
		return noPosition, err
	}
	// Asked first: what is logged while it is looked for is not before it.
	end, err := s.headPlace(ctx, c)
	if err != nil {
		return noPosition, err
	}
	found, there, err := s.firstAfter(ctx, log, at.gtids)
	if err != nil {
		return noPosition, err
	}
	if !there && !c.mysql { // nothing after it yet
		found = end
	}
	if c.mysql {
		err = s.proveExact(ctx, found, at.gtids)
	} else {
		err = s.proveState(ctx, c, found, at.gtids, lastTxn{})
	}
	if err != nil {
		return noPosition, err
	}
	last, err := s.lastBefore(ctx, found)
	if err != nil {
		return noPosition, err
	}
	if last.isTxn() && at.last.isTxn() && last.otherThan(at.last, c.mysql) {
		return noPosition, s.otherHistory("transaction %s was committed at another time", last.gtid)
	}
	if at.changes == 0 {
		return s.position(found, at.gtids.String(), last), nil
	}
	event, counter := orderTail(p.Order())
	return inside(found, event, counter, at.changes, at.gtids.String(), last), nil
}

// translatable refuses GTIDs that another server's log cannot be searched for.
func (s *source) translatable(ctx context.Context, c *conn, gtids gtidState) error {
	switch {
	case gtids.unknown || c.mysql && len(gtids.last) > 0 || !c.mysql && len(gtids.sets) > 0:
		return fault.New(fault.SourceDiverged, "the place is in the log of another server, which gave its transactions no GTIDs that this one knows").At("%s", s.where()).
			Try("point the job at the server it was reading, or read everything again with `godwit run --again`")
	case !c.mysql:
		return nil
	}
	executed, purged, err := s.executed(ctx, c)
	switch {
	case err != nil:
		return err
	case !executed.has(gtids):
		return s.otherHistory("it lacks transactions that were read, of %s", gtids)
	case !gtids.has(purged):
		return fault.New(fault.SourceLost, "the log no longer has what comes after the place reached").At("%s", s.where()).
			Try("raise binlog_expire_logs_seconds on the server, then read everything again with `godwit run --again`")
	}
	return nil
}

// otherThan reports whether two logs have different transactions under one GTID. A
// name of MySQL has the time of the first commit, the same on all servers.
func (l lastTxn) otherThan(o lastTxn, mysql bool) bool {
	mine, _, _ := strings.Cut(l.gtid, "@")
	other, _, _ := strings.Cut(o.gtid, "@")
	return mine == other && (l.gtid != o.gtid || !mysql && l.time != o.time)
}

// orderTail returns event and counter of an order.
func orderTail(order string) (event uint32, counter uint64) {
	if len(order) != prefixBytes+8 {
		return 0, 0
	}
	return binary.BigEndian.Uint32([]byte(order[10:14])), binary.BigEndian.Uint64([]byte(order[14:]))
}

// lastBefore returns the last transaction before a place, from its file or the
// one before; zero when these have none or are purged.
func (s *source) lastBefore(ctx context.Context, p place) (lastTxn, error) {
	for file := p.file; file > 0 && file+2 > p.file; file-- {
		var last lastTxn
		from := p
		from.file, from.offset = file, 4
		cur := cursor{at: from, anchored: true}
		err := s.scan(ctx, dumpStart{file: from.name(), offset: 4}, &cur, func(h header, body []byte, start uint64) error {
			if cur.at.file > p.file || cur.at.file == p.file && start >= p.offset {
				return errDone
			}
			if opensGroup(h.kind) {
				e, err := parseOpening(h, body)
				if err != nil {
					return err
				}
				last = lastTxn{e.name(), cur.at.file, start, 0, e.commit}
			}
			if !startsBetween(h.kind) || opensGroup(h.kind) {
				last.size = cur.at.offset - last.at
			}
			return nil
		})
		if fault.Has(err, fault.SourceLost) {
			return lastTxn{}, nil
		}
		if err != nil || last.gtid != "" {
			return last, err
		}
	}
	return lastTxn{}, nil
}

// Locate returns the place of text — file:offset or GTIDs, as Describe prints
// them — or of the first transaction committed at or after a time.
func (s *source) Locate(ctx context.Context, text string, at time.Time) (position.Position, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return noPosition, err
	}
	defer c.close()
	p, err := s.locate(ctx, c, text, at)
	if fault.Has(err, fault.SourceLost) {
		f := fault.Of(err)
		begins := ""
		if rows, err := c.query(ctx, "SHOW BINARY LOGS"); err == nil && len(rows) > 0 {
			begins = ": the log begins with " + rows[0][0].text()
		}
		return noPosition, f.Try("set `start` to a later place or time, or to head%s; or read the rows as well, with `mode: snapshot_and_changes`", begins)
	}
	return p, err
}

func (s *source) locate(ctx context.Context, c *conn, text string, at time.Time) (position.Position, error) {
	log, err := s.serverLog(ctx, c)
	if err != nil {
		return noPosition, err
	}
	if text == "" {
		return s.locateTime(ctx, c, log, at)
	}
	front, _, _ := strings.Cut(strings.TrimSpace(text), " (")
	if name, number, ok := strings.Cut(front, ":"); ok {
		offset, err := strconv.ParseUint(number, 10, 48)
		if err != nil {
			return noPosition, fault.New(fault.JobValue, "%q is not a place of the log: after the colon stands the offset", clip(text, 80)).By(err)
		}
		p, err := parsePlace(log, name, offset)
		if err != nil {
			return noPosition, fault.New(fault.JobValue, "%q is not a place of the log, such as bin.000007:8467", clip(text, 80))
		}
		return s.locatePlace(ctx, c, p)
	}
	gtids, err := parseGTIDs(front)
	if err != nil {
		return noPosition, fault.New(fault.JobValue, "%q is not a place of the log: neither file:offset nor GTIDs such as 0-1-88412", clip(text, 80)).By(err)
	}
	from := s.position(place{log: "?"}, gtids.String(), lastTxn{})
	return s.translate(ctx, c, log, from, spot{gtids: gtids})
}

func (s *source) locatePlace(ctx context.Context, c *conn, p place) (position.Position, error) {
	at, err := s.positionAt(ctx, c, p)
	if err != nil {
		return noPosition, err
	}
	sp, err := parsePosition(at)
	if err != nil {
		return noPosition, err
	}
	if err := s.prove(ctx, c, sp); err != nil {
		if fault.Has(err, fault.SourceLost) {
			return noPosition, err
		}
		return noPosition, fault.New(fault.JobValue, "no transaction starts at %s", p).At("%s", s.where()).By(err)
	}
	return at, nil
}

func (s *source) locateTime(ctx context.Context, c *conn, log string, at time.Time) (position.Position, error) {
	rows, err := c.query(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return noPosition, err
	}
	for i := len(rows) - 1; i >= 0; i-- {
		p, err := parsePlace(log, rows[i][0].text(), 4)
		if err != nil {
			return noPosition, err
		}
		created, err := s.fileCreated(ctx, p)
		if err != nil {
			return noPosition, err
		}
		if !created.After(at) {
			return s.firstSince(ctx, c, p, at)
		}
		if i == 0 {
			if state, ok, err := s.stateAt(ctx, c, p); err != nil || !ok || !state.empty() || c.mysql && p.file > 1 {
				return noPosition, errors.Join(err, fault.New(fault.SourceLost, "the server's log reaches back to %s only", created.UTC().Format(time.RFC3339)).At("%s", s.where()))
			}
			return s.firstSince(ctx, c, p, at)
		}
	}
	return noPosition, fault.New(fault.SourceSettings, "the server writes no binary log").At("%s", s.where())
}

// fileCreated returns when a file of the log was begun.
func (s *source) fileCreated(ctx context.Context, p place) (time.Time, error) {
	var stamp uint32
	cur := cursor{at: p, anchored: true}
	err := s.scan(ctx, dumpStart{file: p.name(), offset: 4}, &cur, func(h header, _ []byte, _ uint64) error {
		stamp = h.stamp
		return errDone
	})
	return time.Unix(int64(stamp), 0), err
}

// firstSince returns the place of the first transaction in or after a file that
// was committed at or after a time, or the head.
func (s *source) firstSince(ctx context.Context, c *conn, p place, at time.Time) (position.Position, error) {
	cur := cursor{at: p, anchored: true}
	found := place{}
	err := s.scan(ctx, dumpStart{file: p.name(), offset: 4}, &cur, func(h header, body []byte, start uint64) error {
		if !opensGroup(h.kind) {
			return nil
		}
		e, err := parseOpening(h, body)
		if err != nil || time.Unix(int64(e.commit), 0).Before(at) {
			return err
		}
		found = cur.at
		found.offset = start
		return errDone
	})
	if err != nil {
		return noPosition, err
	}
	if found.file == 0 {
		if found, err = s.headPlace(ctx, c); err != nil {
			return noPosition, err
		}
	}
	return s.positionAt(ctx, c, found)
}
