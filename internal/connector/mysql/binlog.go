package mysql

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"godwit/internal/fault"
)

// Commands and flags of the replication protocol.
const (
	commandDump     = 0x12
	commandRegister = 0x15
	// commandDumpAfter is MySQL's dump of what comes after GTIDs.
	commandDumpAfter = 0x1e

	// dumpNonBlock ends the dump at the end of the log instead of waiting there.
	dumpNonBlock = 1
)

// errDump is the server's error number for everything that a dump can fail with.
const errDump = 1236

// errSameID is the server's error number when another reader came with the same
// server id.
const errSameID = 4052

// silence is how long nothing at all may come before the connection counts as
// broken.
const silence = 60 * time.Second

// dumpStart says where a dump begins: at a file and offset, or, when gtids is
// not nil, after a GTID state; a MySQL is told both where file is not empty.
type dumpStart struct {
	file     string
	offset   uint64
	gtids    *gtidState
	nonBlock bool
}

// maxDumpOffset is the largest offset a dump can be asked for: the command has 32 bits.
// A transaction may be larger, and ends its file then.
const maxDumpOffset = 1<<32 - 1

// dumpTo returns how a place is reached that may lie beyond what a dump can be asked for,
// and where the dump begins: at the place, or, without GTIDs, at the front of its file,
// which is then read up to the place. MySQL's dump that knows GTIDs has 64 bits for an
// offset, MariaDB's finds the place by the GTIDs before it.
func (s *source) dumpTo(p place, gtids gtidState) (dumpStart, cursor) {
	cur := cursor{at: p, anchored: true}
	switch {
	case p.offset <= s.reach:
		return dumpStart{file: p.name(), offset: p.offset}, cur
	case !gtids.unknown && !gtids.empty():
		cur.front = true
		return dumpStart{file: p.name(), offset: p.offset, gtids: &gtids}, cur
	}
	cur.at.offset = firstEvent
	return dumpStart{file: p.name(), offset: firstEvent}, cur
}

// firstEvent is the offset at which the events of a file begin.
const firstEvent = 4

// skipTo reads the log up to a place in the file of the cursor.
func (s *source) skipTo(c *conn, cur *cursor, p place) error {
	other := func(why string) error {
		return fault.New(fault.SourceDiverged, "the server's log does not have %s: %s", p, why).At("%s %s", s.where(), cur.at)
	}
	c.in.split = true
	for cur.at.offset < p.offset {
		_ = c.raw.SetReadDeadline(time.Now().Add(silence))
		event, err := c.nextEvent()
		if err == errLarge {
			err = c.skipLarge(cur, func(header, []byte, uint64) error { return nil })
			if err != nil {
				return err
			}
			continue
		}
		switch {
		case err == errLogEnd:
			return other("it ends before")
		case err != nil:
			return s.dumpFault(err)
		}
		h, _, _, err := cur.step(event)
		switch {
		case err != nil:
			return other(err.Error())
		case h.kind == evHeartbeat, h.kind == evRotate && !h.artificial():
			return other("it ends before")
		}
	}
	if cur.at.offset != p.offset {
		return other("an event goes over it")
	}
	return nil
}

// startDump turns c into a dump of the log: afterwards packets yields events. It
// is no use for queries any more.
func (s *source) startDump(ctx context.Context, c *conn, at dumpStart) error {
	for _, sql := range dumpSettings(c, at, s.desk.all.heartbeat) {
		if err := c.exec(ctx, sql); err != nil {
			return err
		}
	}
	id := s.cfg.serverID
	if id == 0 || s.idTaken.Load() || at.nonBlock { // a look at the log must not end who follows it
		id = randomServerID()
	}
	err := c.guard(ctx, func() error {
		if err := c.write(registerCommand(id)); err != nil {
			return err
		}
		p, err := c.packets().next()
		if err != nil {
			return short(err)
		}
		if isError(p) {
			return readError(p)
		}
		return c.write(dumpCommand(c, id, at))
	})
	if err != nil {
		return c.fault(ctx, err)
	}
	return nil
}

func dumpSettings(c *conn, at dumpStart, heartbeat time.Duration) []string {
	out := []string{
		"SET @mariadb_slave_capability = 4",
		fmt.Sprintf("SET @master_heartbeat_period = %d", heartbeat.Nanoseconds()),
		"SET @master_binlog_checksum = @@global.binlog_checksum",
	}
	if at.gtids != nil && !c.mysql {
		out = append(out,
			"SET @slave_connect_state = "+quoteText(at.gtids.String()),
			"SET @slave_gtid_strict_mode = 1",
			"SET @slave_gtid_ignore_duplicates = 0")
	}
	return out
}

// randomServerID returns an id that no other reader has, but for an accident.
func randomServerID() uint32 {
	var b [4]byte
	for {
		rand.Read(b[:]) // never fails
		if id := binary.LittleEndian.Uint32(b[:]); id > 1<<16 {
			return id
		}
	}
}

func registerCommand(id uint32) []byte {
	b := []byte{commandRegister}
	b = binary.LittleEndian.AppendUint32(b, id)
	host, err := os.Hostname()
	if err != nil || len(host) > 60 {
		host = "godwit"
	}
	b = append(b, byte(len(host)))
	b = append(b, host...)
	b = append(b, 0, 0, 0, 0) // no user, no password, no port
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, 0)
}

func dumpCommand(c *conn, id uint32, at dumpStart) []byte {
	if c.mysql && at.gtids != nil {
		return dumpAfterCommand(id, at)
	}
	var flags uint16
	if at.nonBlock {
		flags = dumpNonBlock
	}
	offset := at.offset
	if at.gtids != nil {
		offset = firstEvent
	}
	b := []byte{commandDump}
	b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, id)
	if at.gtids == nil {
		b = append(b, at.file...)
	}
	return b
}

// dumpAfterCommand is MySQL's command for what comes after a set of GTIDs: the server
// leaves out what is in the set.
func dumpAfterCommand(id uint32, at dumpStart) []byte {
	var flags uint16
	if at.nonBlock {
		flags = dumpNonBlock
	}
	set := binary.LittleEndian.AppendUint64(nil, uint64(len(at.gtids.sets)))
	for _, x := range at.gtids.sets {
		set = append(set, x.uuid[:]...)
		set = binary.LittleEndian.AppendUint64(set, uint64(len(x.ranges)))
		for _, r := range x.ranges {
			set = binary.LittleEndian.AppendUint64(set, r.first)
			set = binary.LittleEndian.AppendUint64(set, r.last+1)
		}
	}
	b := []byte{commandDumpAfter}
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(at.file)))
	b = append(b, at.file...)
	b = binary.LittleEndian.AppendUint64(b, max(at.offset, firstEvent))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(set)))
	return append(b, set...)
}

// errLogEnd reports the end of a dump that does not wait.
var errLogEnd = errors.New("end of the log")

// nextEvent returns the next event of a dump, lent until the next call.
func (c *conn) nextEvent() ([]byte, error) {
	p, err := c.packets().next()
	switch {
	case err != nil:
		return nil, short(err)
	case len(p) == 0:
		return nil, errMalformed
	case p[0] == 0:
		return p[1:], nil
	case isEnd(p):
		return nil, errLogEnd
	case isError(p):
		return nil, readError(p)
	}
	return nil, errMalformed
}

// dumpFault gives an error of a dump its code.
func (s *source) dumpFault(err error) error {
	var e *serverError
	if !errors.As(err, &e) || e.code != errDump && e.code != errSameID {
		return serverFault(err, s.where())
	}
	text := strings.ToLower(e.text)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case e.code == errSameID, has("same server_id", "same server_uuid"):
		s.idTaken.Store(true)
		s.warn("another reader of the log has the same server_id and ended this one; a random id is used from now on", "server_id", s.cfg.serverID)
		return fault.New(fault.SourceBusy, "another reader of the log has the same server_id %d", s.cfg.serverID).At("%s", s.where()).By(e).Try("remove server_id from the source, or give one that nobody else has")
	case has("purged", "first log file name", "could not find next log", "log file was not found"):
		return fault.New(fault.SourceLost, "the log no longer has what comes after the place reached").At("%s", s.where()).By(e).
			Try("raise expire_logs_days or binlog_expire_logs_seconds on the server, then read everything again with `godwit run --again`")
	case has("impossible position", "position > file size", "is not in the master's binlog", "diverged", "bogus data", "higher sequence", "more gtids than"):
		return fault.New(fault.SourceDiverged, "the server's log does not have the place reached").At("%s", s.where()).By(e)
	case has("truncated in the middle", "crc", "checksum", "max_allowed_packet"):
		return fault.New(fault.SourceProtocol, "the server cannot read its own log").At("%s", s.where()).By(e)
	}
	return fault.New(fault.SourceQuery, "the server broke off the log").At("%s", s.where()).By(e)
}

// cursor follows the place in the log event by event.
type cursor struct {
	format format
	known  bool // a format has come
	at     place
	// anchored: at.offset is exact. A dump that starts after a GTID state is
	// anchored by its first real event.
	anchored bool
	// front: a dump by GTIDs was begun at a place that is known. It shows the front of the
	// file first, which moves nothing.
	front bool
}

// errOffsets reports events whose offsets do not add up.
var errOffsets = errors.New("the offsets of events do not add up")

// step takes an event in: it checks it, follows files and offsets, and returns
// its header, its body without the checksum, and the offset at which it starts.
// Artificial events move nothing.
func (c *cursor) step(event []byte) (h header, body []byte, start uint64, err error) {
	if h, err = parseHeader(event); err != nil {
		return h, nil, 0, err
	}
	if h.kind == evFormat {
		f, err := parseFormat(event[headerBytes:])
		if err != nil {
			return h, nil, 0, err
		}
		c.format, c.known = f, true
	}
	// The first event of a dump, a rotation, may come before any format.
	if event, err = c.verify(h, event); err != nil {
		return h, nil, 0, err
	}
	body = event[headerBytes:]
	if h.kind == evHeartbeat || h.artificial() {
		return h, body, c.at.offset, nil
	}
	if c.front = c.front && ofFront(h.kind); c.front {
		h.flags |= flagArtificial
		return h, body, c.at.offset, nil
	}
	start, err = c.advance(h)
	return h, body, start, err
}

// ofFront reports whether an event of that kind may stand at the front of a file, and
// changes nothing.
func ofFront(kind byte) bool {
	switch kind {
	case evFormat, evGTIDList, evPreviousGTIDs, evCheckpoint, evStartEncryption:
		return true
	}
	return false
}

// advance moves behind an event of the log and returns where it starts.
func (c *cursor) advance(h header) (start uint64, err error) {
	start = c.at.offset
	if !c.anchored {
		start, c.anchored = uint64(h.end-h.size), true
	}
	// The server leaves out events that were not asked for; the 32-bit end of the
	// next one says how many bytes they took.
	gap := h.end - h.size - uint32(start)
	if gap >= 1<<31 {
		return 0, errOffsets
	}
	start += uint64(gap)
	c.at.offset = start + uint64(h.size)
	return start, nil
}

func (c *cursor) verify(h header, event []byte) ([]byte, error) {
	if !c.known {
		if h.kind != evRotate && h.kind != evHeartbeat {
			return nil, errors.New("an event came before the format description")
		}
		return c.early(event), nil
	}
	if h.kind == evHeartbeat || h.kind == evRotate && h.artificial() {
		return c.early(event), nil
	}
	return c.format.verify(event)
}

// early cuts the checksum of an event that the server made before its format was
// said: it is there or not, and only a right one counts.
func (c *cursor) early(event []byte) []byte {
	if cut, err := (format{checksum: true}).verify(event); err == nil {
		return cut
	}
	return event
}

// heartbeat moves the place forward to where the server says that it waits.
func (c *cursor) heartbeat(h header, body []byte) {
	base, number, ok := cutFile(string(body))
	if !ok || base != c.at.base || number != c.at.file || !c.anchored {
		return
	}
	if gap := h.end - uint32(c.at.offset); gap < 1<<31 {
		c.at.offset += uint64(gap)
	}
}

// rotate moves to the file that a rotation names.
func (c *cursor) rotate(body []byte) error {
	name, offset, err := parseRotate(body)
	if err != nil {
		return err
	}
	base, number, ok := cutFile(name)
	if !ok {
		return fmt.Errorf("%q is not the name of a log file", clip(name, 80))
	}
	if base == c.at.base && number == c.at.file {
		return nil // the file that is read already
	}
	c.at.base, c.at.file, c.at.offset = base, number, offset
	return nil
}

// warn tells people something that needs no answer.
func (s *source) warn(text string, args ...any) {
	if s.env.Log != nil {
		s.env.Log.Warn(text, args...)
	}
}
