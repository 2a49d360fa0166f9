package mysql

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/position"
)

// place is a place in the binary log of one server: between two transactions
// when it is committed, the start of a transaction in the order of its rows.
type place struct {
	log    string // names the physical log: "mariadb:<server id>" or "mysql:<server uuid>"
	base   string // name of the log's files without their number, "bin" of bin.000007
	file   uint32
	offset uint64 // bytes of the file before it: a sum of event sizes, never a 32-bit header field
}

// maxOffset is the largest offset an order can hold (6 bytes).
const maxOffset = 1<<48 - 1

// prefixBytes is the length of place.prefix.
const prefixBytes = 4 + 6 + 4

// logName names the physical log behind a server id. Two logs that happen to
// carry one name (a server reset or restored) are told apart by lastTxn.
func logName(serverID uint32) string { return fmt.Sprintf("mariadb:%d", serverID) }

// serverLog returns the logName of the server that c is connected to.
func (s *source) serverLog(ctx context.Context, c *conn) (string, error) {
	ask := "SELECT @@global.server_id"
	if c.mysql {
		ask = "SELECT @@global.server_uuid"
	}
	rows, err := c.query(ctx, ask)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fault.New(fault.SourceProtocol, "the server did not tell its server_id")
	}
	if c.mysql {
		id, err := parseUUID(rows[0][0].text())
		if err != nil {
			return "", fault.New(fault.SourceProtocol, "the server's server_uuid cannot be read").By(err)
		}
		return "mysql:" + id.String(), nil
	}
	id, err := strconv.ParseUint(rows[0][0].text(), 10, 32)
	if err != nil {
		return "", fault.New(fault.SourceProtocol, "the server's server_id is not a number").By(err)
	}
	return logName(uint32(id)), nil
}

// parsePlace reads a file name and offset as the server gives them.
func parsePlace(log, name string, offset uint64) (place, error) {
	base, number, ok := cutFile(name)
	if !ok || offset > maxOffset {
		return place{}, fault.New(fault.SourceProtocol, "%q at %d is not a place in a binary log", clip(name, 80), offset)
	}
	return place{log, base, number, offset}, nil
}

// cutFile splits the name of a log file into base and number. A folder before
// the name, as some servers give it, is cut off.
func cutFile(name string) (base string, number uint32, ok bool) {
	name = name[strings.LastIndexByte(name, '/')+1:]
	at := strings.LastIndexByte(name, '.')
	if at <= 0 || len(name) > 512 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[at+1:], 10, 32)
	return name[:at], uint32(n), err == nil && n > 0
}

// name returns the name of the place's file as the server writes it.
func (p place) name() string { return fmt.Sprintf("%s.%06d", p.base, p.file) }

func (p place) String() string { return fmt.Sprintf("%s:%d", p.name(), p.offset) }

// prefix returns the leading bytes of the order of rows of an event, counted
// from 1, of the transaction that starts at p: file 4, offset 6 and event 4
// bytes, big-endian. An 8-byte counter follows. A committed place between
// transactions has event 0 and counter 0 and so sorts before whatever starts at
// it.
func (p place) prefix(event uint32) string {
	return string(p.appendPrefix(make([]byte, 0, prefixBytes), event))
}

func (p place) appendPrefix(dst []byte, event uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, p.file)
	dst = binary.BigEndian.AppendUint16(dst, uint16(p.offset>>32))
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.offset))
	return binary.BigEndian.AppendUint32(dst, event)
}

// order returns the whole order of row counter of the event.
func (p place) order(event uint32, counter uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(p.prefix(event)), counter))
}

// lastTxn identifies the last transaction before a place. It is read again when
// a source is opened at the place: another server, or one that was reset or
// restored, does not have the same one. The zero lastTxn identifies nothing. Where
// gtid is fileBegun, what identifies the log is the beginning of the place's file,
// and time is when that was.
type lastTxn struct {
	gtid string // its name, see gtidEvent
	file uint32 // where it starts
	at   uint64
	size uint64 // bytes from the start of its GTID event to its end
	time uint32 // seconds since 1970, as its GTID event has it
}

func (l lastTxn) isZero() bool { return l == lastTxn{} }

// fileBegun stands where the name of a transaction stands otherwise.
const fileBegun = "file"

// isTxn reports whether a transaction is named.
func (l lastTxn) isTxn() bool { return !l.isZero() && l.gtid != fileBegun }

// tokenVersion is the first field of a token.
const tokenVersion = "1"

// maxToken bounds the text of a token that is read, maxGTIDs of the GTIDs in it.
const (
	maxToken = 8 << 10
	maxGTIDs = 6 << 10
)

// position returns p as everybody else holds it. gtids is the state of the log at
// p as gtidState prints it: MariaDB's last GTID of each domain, joined by commas, or
// MySQL's set; it may be empty when nothing was logged yet, and "?" when nobody
// asked for it. last may be zero.
//
// The token is text of fields separated by spaces, an empty one written "-":
//
//	1 <base> <file> <offset> <changes> <gtids> <gtid> <file> <offset> <size> <time>
//
// where 1 is the version, numbers are decimal, changes is 0 except inside a
// group of events (see inside), and the last five are lastTxn ("-" alone when it
// is zero).
func (s *source) position(p place, gtids string, last lastTxn) position.Position {
	return position.New(p.log, p.order(0, 0), tokenText(p, 0, gtids, last))
}

// inside returns a place within the group of events that starts at p, where so
// many of its schema changes and everything ordered at or before event and
// counter are done. Reading goes on from p and leaves these changes out.
func inside(p place, event uint32, counter uint64, changes int, gtids string, last lastTxn) position.Position {
	return position.New(p.log, p.order(event, counter), tokenText(p, changes, gtids, last))
}

func tokenText(p place, changes int, gtids string, last lastTxn) string {
	switch {
	case gtids == "":
		gtids = "-"
	case len(gtids) > maxGTIDs:
		gtids = unknownGTIDs // the place is enough, but for another server
	}
	// A base with a space, which a server accepts, is quoted away.
	t := fmt.Sprintf("%s %s %d %d %d %s ", tokenVersion, strings.ReplaceAll(p.base, " ", "%20"), p.file, p.offset, changes, strings.ReplaceAll(gtids, " ", ""))
	if last.isZero() {
		return t + "-"
	}
	return t + fmt.Sprintf("%s %d %d %d %d", last.gtid, last.file, last.at, last.size, last.time)
}

// spot is what a token holds.
type spot struct {
	place
	changes int
	gtids   gtidState
	last    lastTxn
}

// parsePosition undoes position.
func parsePosition(p position.Position) (spot, error) { return parseToken(p.Log(), p.Token()) }

func parseToken(log, token string) (spot, error) {
	bad := func(why string) (spot, error) {
		return spot{}, fault.New(fault.SourceProtocol, "the stored position %q cannot be read: %s", clip(token, 120), why)
	}
	if len(token) > maxToken {
		return bad("it is too long")
	}
	f := strings.Fields(token)
	switch {
	case len(f) == 0:
		return bad("it is empty")
	case f[0] != tokenVersion:
		return spot{}, fault.New(fault.FormatNewer, "the stored position has version %q, this program knows %s", clip(f[0], 20), tokenVersion)
	case len(f) != 7 && len(f) != 11:
		return bad("wrong number of fields")
	}
	var out spot
	out.log, out.base = log, strings.ReplaceAll(f[1], "%20", " ")
	n := numbers{}
	out.file, out.offset = uint32(n.read(f[2], 32)), n.read(f[3], 48)
	out.changes = int(n.read(f[4], 16))
	if f[5] != "-" {
		var err error
		if out.gtids, err = parseGTIDs(f[5]); err != nil {
			return bad(err.Error())
		}
	}
	if len(f) == 11 {
		out.last = lastTxn{f[6], uint32(n.read(f[7], 32)), n.read(f[8], 48), n.read(f[9], 64), uint32(n.read(f[10], 32))}
	}
	if n.err != nil {
		return bad(n.err.Error())
	}
	return out, nil
}

// numbers parses decimal fields and remembers the first error.
type numbers struct{ err error }

func (n *numbers) read(text string, bits int) uint64 {
	v, err := strconv.ParseUint(text, 10, bits)
	if err != nil && n.err == nil {
		n.err = err
	}
	return v
}

// clip bounds text that goes into messages.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
