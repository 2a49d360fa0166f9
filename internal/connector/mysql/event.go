package mysql

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Types of log events that are looked at. All others only move the place.
const (
	evQuery             = 2
	evStop              = 3
	evRotate            = 4
	evLoad              = 6
	evIntVar            = 5
	evAppendBlock       = 9
	evDeleteFile        = 11
	evRand              = 13
	evUserVar           = 14
	evFormat            = 15
	evXID               = 16
	evBeginLoad         = 17
	evExecuteLoad       = 18
	evTableMap          = 19
	evWriteV1           = 23
	evUpdateV1          = 24
	evDeleteV1          = 25
	evIncident          = 26
	evHeartbeat         = 27
	evIgnorable         = 28
	evRowsQuery         = 29
	evWrite             = 30
	evUpdate            = 31
	evDelete            = 32
	evMySQLGTID         = 33
	evAnonymous         = 34
	evPreviousGTIDs     = 35
	evContext           = 36 // of group replication, as the next
	evViewChange        = 37
	evXAPrepare         = 38
	evPartialUpdate     = 39
	evPayload           = 40
	evTaggedGTID        = 42
	evAnnotate          = 160
	evCheckpoint        = 161
	evGTID              = 162
	evGTIDList          = 163
	evStartEncryption   = 164
	evQueryCompressed   = 165
	evWriteV1Compressed = 166 // to 171: update, delete, then the same of version 2
	evDeleteCompressed  = 171
)

// headerBytes is the length of the header of every event.
const headerBytes = 19

// flagArtificial marks an event the server made for this connection: it is not
// in the log.
const flagArtificial = 0x20

// header is the fixed front of an event.
type header struct {
	stamp  uint32 // seconds since 1970
	kind   byte
	server uint32
	size   uint32 // of the whole event
	end    uint32 // end offset modulo 2^32; 0: artificial
	flags  uint16
}

var errCut = errors.New("the event is cut short")

// parseHeader reads the front of an event and checks its size.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerBytes {
		return header{}, errCut
	}
	h := headerOf(b)
	if uint64(h.size) != uint64(len(b)) {
		return h, fmt.Errorf("the event says it has %d bytes, %d came", h.size, len(b))
	}
	return h, nil
}

// headerOf reads the fields at the front of b, which has them all.
func headerOf(b []byte) header {
	return header{
		stamp:  binary.LittleEndian.Uint32(b),
		kind:   b[4],
		server: binary.LittleEndian.Uint32(b[5:]),
		size:   binary.LittleEndian.Uint32(b[9:]),
		end:    binary.LittleEndian.Uint32(b[13:]),
		flags:  binary.LittleEndian.Uint16(b[17:]),
	}
}

// artificial reports whether the event is not in the log.
func (h header) artificial() bool { return h.end == 0 || h.flags&flagArtificial != 0 }

// isRows reports whether kind carries rows, of which op, and how.
func isRows(kind byte) (op byte, v2, compressed, ok bool) {
	switch {
	case kind >= evWriteV1 && kind <= evDeleteV1:
		return kind - evWriteV1, false, false, true
	case kind >= evWrite && kind <= evDelete:
		return kind - evWrite, true, false, true
	case kind == evPartialUpdate:
		return opUpdate, true, false, true
	case kind >= evWriteV1Compressed && kind <= evDeleteCompressed:
		n := kind - evWriteV1Compressed
		return n % 3, n >= 3, true, true
	}
	return 0, false, false, false
}

// Ops of row events.
const (
	opWrite  = 0
	opUpdate = 1
	opDelete = 2
)

// bodyReader takes bounded fields from the body of an event and remembers that
// it ran out.
type bodyReader struct {
	b   []byte
	bad bool
}

func (r *bodyReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *bodyReader) uint(n int) uint64 {
	var v uint64
	for i, c := range r.take(n) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// names skips a list of names, counted by a byte; 254 stands for too many to list.
func (r *bodyReader) names() {
	n := r.uint(1)
	if n == 254 {
		return
	}
	for ; n > 0 && !r.bad; n-- {
		r.take(bytes.IndexByte(r.b, 0) + 1)
	}
}

// packed reads a length-encoded integer.
func (r *bodyReader) packed() uint64 {
	switch c := r.uint(1); c {
	case 252:
		return r.uint(2)
	case 253:
		return r.uint(3)
	case 254:
		return r.uint(8)
	case 251, 255:
		r.bad = true
		return 0
	default:
		return c
	}
}

// format is what the format description event of a file says.
type format struct {
	checksum bool
	post     []byte // length of the fixed part of each event type, from type 1
}

// parseFormat reads the body of a format description event, its checksum
// included: the event says by itself whether there is one.
func parseFormat(body []byte) (format, error) {
	// version 2, server version 50, created 4, header length 1, then one byte per type
	const fixed = 2 + 50 + 4 + 1
	if len(body) < fixed+evDelete+1+4 || body[fixed-1] != headerBytes {
		return format{}, errors.New("this is not a format description of version 4")
	}
	algorithm := body[len(body)-5]
	if algorithm > 1 {
		return format{}, fmt.Errorf("checksum algorithm %d is not known", algorithm)
	}
	post := append([]byte(nil), body[fixed:len(body)-5]...)
	return format{algorithm == 1, post}, nil
}

// verify checks and cuts the checksum of an event.
func (f format) verify(event []byte) ([]byte, error) {
	if !f.checksum {
		return event, nil
	}
	n := len(event) - 4
	if n < headerBytes {
		return nil, errCut
	}
	if crc32.ChecksumIEEE(event[:n]) != binary.LittleEndian.Uint32(event[n:]) {
		return nil, errors.New("the checksum of the event is wrong")
	}
	return event[:n], nil
}

// Flags of a GTID event.
const (
	gtidStandalone  = 1
	gtidGroupCommit = 2
	gtidDDL         = 32
	gtidPreparedXA  = 64
	gtidCompletedXA = 128

	extraMultiEngine   = 1
	extraStartAlter    = 2
	extraCommitAlter   = 4
	extraRollbackAlter = 8
)

// gtidEvent opens each group of events.
type gtidEvent struct {
	gtid
	flags, extra byte
	xa           string // the XA transaction that is prepared or ends here; MariaDB
	// commit is when it was committed here, in seconds since 1970; first, when it
	// was committed for the first time, in microseconds, on MySQL alone.
	commit uint32
	first  uint64
}

// opensGroup reports whether an event of that kind is the first of a group.
func opensGroup(kind byte) bool {
	return kind == evGTID || kind == evMySQLGTID || kind == evAnonymous
}

// name tells a transaction from all others: on MySQL, where numbers begin again
// after a reset, with the time of its commit.
func (e gtidEvent) name() string {
	switch {
	case e.first == 0:
		return e.gtid.String()
	case e.gtid == gtid{}:
		return fmt.Sprintf("@%d", e.first)
	}
	return fmt.Sprintf("%s@%d", e.gtid, e.first)
}

// parseOpening reads the event that opens a group.
func parseOpening(h header, body []byte) (gtidEvent, error) {
	if h.kind == evGTID {
		return parseGTIDEvent(h, body)
	}
	return parseMySQLGTID(h, body)
}

// parseMySQLGTID reads flags 1, UUID 16, number 8, then what decides on parallel
// replay 17, then the time of the commit here and, if its highest bit says so, of
// the first commit, 7 bytes each.
func parseMySQLGTID(h header, body []byte) (gtidEvent, error) {
	const other = 1 << 55
	r := bodyReader{b: body}
	e := gtidEvent{commit: h.stamp}
	r.take(1)
	copy(e.uuid[:], r.take(16))
	e.seq = r.uint(8)
	if r.bad {
		return e, errCut
	}
	if h.kind == evAnonymous {
		e.gtid = gtid{}
	} else if e.uuid == (uuid{}) || e.seq == 0 {
		return e, errors.New("a GTID event has no GTID")
	}
	if len(r.b) < 17+7 || r.b[0] != 2 {
		return e, nil // an older server's: no times
	}
	r.take(17)
	here := r.uint(7)
	e.first = here &^ other
	if here&other != 0 {
		e.first = r.uint(7)
	}
	e.commit = uint32(here &^ other / 1_000_000)
	return e, nil
}

func parseGTIDEvent(h header, body []byte) (gtidEvent, error) {
	r := bodyReader{b: body}
	e := gtidEvent{commit: h.stamp}
	e.seq, e.domain, e.server = r.uint(8), uint32(r.uint(4)), h.server
	e.flags = byte(r.uint(1))
	if r.bad {
		return e, errCut
	}
	switch {
	case e.flags&gtidGroupCommit != 0:
		r.take(8)
	default:
		// The fixed part is 19 bytes long; what is not used is filled up.
	}
	if e.flags&(gtidPreparedXA|gtidCompletedXA) != 0 {
		e.xa = parseXA(&r)
	}
	if !r.bad && len(r.b) > 0 {
		e.extra = byte(r.uint(1))
	}
	return e, nil
}

// rotateEvent names the file that follows.
func parseRotate(body []byte) (name string, offset uint64, err error) {
	r := bodyReader{b: body}
	offset = r.uint(8)
	if r.bad || len(r.b) == 0 || len(r.b) > 512 {
		return "", 0, errCut
	}
	return string(r.b), offset, nil
}

// queryEvent is a logged statement.
type queryEvent struct {
	database string
	text     []byte // lent
	code     uint16 // error code the statement ended with
	sqlMode  uint64
	charset  uint16 // collation of the client that sent text; 0 unknown
	server   uint16 // the server's default collation at that moment
	// space is the collation that new tables get by default when it is not that
	// of their database; 0 otherwise.
	space uint16
	stamp uint32 // when it began, in seconds since 1970
	// fraction has the microseconds of stamp, -1 if they are not logged: the
	// statement did not use them.
	fraction int
	zone     string // the session's time zone; empty: the statement did not use it
	// explicit: a timestamp column has no default but the one that it is given; false also
	// where the server does not log it.
	explicit bool
}

func parseQuery(h header, body []byte, compressed bool) (queryEvent, error) {
	r := bodyReader{b: body}
	r.take(8)
	dbLen := int(r.uint(1))
	q := queryEvent{stamp: h.stamp, fraction: -1}
	q.code = uint16(r.uint(2))
	vars := r.take(int(r.uint(2)))
	q.database = string(r.take(dbLen))
	r.take(1)
	if r.bad {
		return q, errCut
	}
	q.readVars(vars)
	q.text = r.b
	if compressed {
		text, err := inflate(nil, r.b)
		if err != nil {
			return q, err
		}
		q.text = text
	}
	return q, nil
}

// explicitTimestamps is MariaDB's flag for what MySQL has a variable of its own.
const explicitTimestamps = 1 << 24

// readVars reads the status variables up to the last one needed. Each has its
// own length; an unknown one ends the reading.
func (q *queryEvent) readVars(vars []byte) {
	r := bodyReader{b: vars}
	for len(r.b) > 0 && !r.bad {
		switch r.uint(1) {
		case 0:
			q.explicit = r.uint(4)&explicitTimestamps != 0
		case 1:
			q.sqlMode = r.uint(8)
		case 2: // catalog with a zero at its end
			r.take(int(r.uint(1)) + 1)
		case 3: // auto increment
			r.take(4)
		case 4:
			q.charset = uint16(r.uint(2))
			r.take(2)
			q.server = uint16(r.uint(2))
		case 5:
			q.zone = string(r.take(int(r.uint(1))))
		case 6: // catalog
			r.take(int(r.uint(1)))
		case 7: // lc_time_names
			r.take(2)
		case 8:
			q.space = uint16(r.uint(2))
		case 9: // tables updated
			r.take(8)
		case 10: // master data written
			r.take(4)
		case 11: // invoker: user, host
			r.take(int(r.uint(1)))
			r.take(int(r.uint(1)))
		case 12: // names of databases, each with a zero at its end
			r.names()
		case 13, 128: // MySQL's and MariaDB's
			q.fraction = int(r.uint(3))
		case 16: // MySQL's
			q.explicit = r.uint(1) != 0
		case 19, 20: // key required, encryption
			r.take(1)
		case 17: // xid of a schema change
			r.take(8)
		case 18: // default collation of utf8mb4
			r.take(2)
		case 129: // xid
			r.take(8)
		default:
			return
		}
	}
}

// maxInflated bounds what a compressed event may grow to.
const maxInflated = 1 << 30

// inflate appends to dst what MariaDB's form of a compressed text holds: a byte
// with the length of the length, the length, big-endian, then zlib.
func inflate(dst, b []byte) ([]byte, error) {
	r := bodyReader{b: b}
	front := r.uint(1)
	if front&0x80 == 0 || front&0x70 != 0 {
		return nil, errors.New("a compressed event has an unknown form")
	}
	var size uint64
	for _, c := range r.take(int(front & 7)) {
		size = size<<8 | uint64(c)
	}
	if r.bad || size > maxInflated {
		return nil, errCut
	}
	z, err := zlib.NewReader(bytes.NewReader(r.b))
	if err != nil {
		return nil, fmt.Errorf("a compressed event cannot be read: %w", err)
	}
	// It grows as it comes, so that a false length takes no memory.
	out := bytes.NewBuffer(dst)
	n, err := io.Copy(out, io.LimitReader(z, int64(size)+1))
	if err == nil && uint64(n) != size {
		err = errCut
	}
	if err != nil {
		return nil, fmt.Errorf("a compressed event cannot be read: %w", err)
	}
	return out.Bytes(), nil
}

// rowsEvent is the front of a row event; rows holds the images (compressed ones
// as they came).
type rowsEvent struct {
	table      uint64
	flags      uint16
	op         byte
	compressed bool
	partial    bool // what changed of a JSON document may stand for the document
	width      int
	present    []byte // columns in the (first) image
	after      []byte // update: columns in the second image
	rows       []byte
}

// maxWidth is the largest number of columns a table can have.
const maxWidth = 4096

// tableID reads only the number of the table from a row event.
func (f format) tableID(kind byte, body []byte) (uint64, error) {
	n := 6
	if int(kind) <= len(f.post) && f.post[kind-1] == 6 {
		n = 4
	}
	r := bodyReader{b: body}
	id := r.uint(n)
	if r.bad {
		return 0, errCut
	}
	return id, nil
}

func (f format) parseRows(kind byte, body []byte) (rowsEvent, error) {
	op, v2, compressed, ok := isRows(kind)
	if !ok {
		return rowsEvent{}, errors.New("not a row event")
	}
	r := bodyReader{b: body}
	e := rowsEvent{op: op, compressed: compressed, partial: kind == evPartialUpdate}
	if int(kind) <= len(f.post) && f.post[kind-1] == 6 {
		e.table = r.uint(4)
	} else {
		e.table = r.uint(6)
	}
	e.flags = uint16(r.uint(2))
	if v2 {
		r.take(int(r.uint(2)) - 2)
	}
	w := r.packed()
	if r.bad || w > maxWidth {
		return e, errCut
	}
	e.width = int(w)
	e.present = r.take((e.width + 7) / 8)
	if op == opUpdate {
		e.after = r.take((e.width + 7) / 8)
	}
	if r.bad {
		return e, errCut
	}
	e.rows = r.b
	return e, nil
}

// tableMap is the shape the log itself has of a table.
type tableMap struct {
	database, table string
	types           []byte
	meta            []uint16
	// The following are there only with binlog_row_metadata.
	unsigned []bool // one per numeric column, in order; nil: not told
	names    []string
}

func parseTableMap(body []byte) (*tableMap, error) {
	r := bodyReader{b: body}
	r.take(2)
	m := &tableMap{}
	m.database = string(r.take(int(r.uint(1))))
	r.take(1)
	m.table = string(r.take(int(r.uint(1))))
	r.take(1)
	w := r.packed()
	if r.bad || w > maxWidth {
		return nil, errCut
	}
	m.types = append([]byte(nil), r.take(int(w))...)
	meta := bodyReader{b: r.take(int(r.packed()))}
	r.take((int(w) + 7) / 8)
	if r.bad {
		return nil, errCut
	}
	m.meta = make([]uint16, w)
	for i, t := range m.types {
		m.meta[i] = readMeta(&meta, t)
	}
	if meta.bad || len(meta.b) > 0 {
		return nil, errors.New("the metadata of a table map does not fit its types")
	}
	m.readOptional(r.b)
	return m, nil
}

func readMeta(r *bodyReader, t byte) uint16 {
	switch t {
	case tyString, tyEnum, tySet, tyNewDecimal:
		hi := r.uint(1)
		return uint16(hi<<8 | r.uint(1))
	case tyVarchar, tyVarString, tyBit, tyVarcharCompressed:
		return uint16(r.uint(2))
	case tyBlob, tyTinyBlob, tyMediumBlob, tyLongBlob, tyDouble, tyFloat, tyGeometry, tyJSON,
		tyTime2, tyDateTime2, tyTimestamp2, tyBlobCompressed:
		return uint16(r.uint(1))
	}
	return 0
}

// readOptional reads the optional metadata fields that are used. What does not
// fit is left out: they only confirm what the shape says.
func (m *tableMap) readOptional(b []byte) {
	r := bodyReader{b: b}
	for len(r.b) > 0 && !r.bad {
		kind := r.uint(1)
		field := bodyReader{b: r.take(int(r.packed()))}
		switch kind {
		case 1:
			n := 0
			for _, t := range m.types {
				if isNumeric(t) {
					n++
				}
			}
			if len(field.b) < (n+7)/8 {
				return
			}
			m.unsigned = make([]bool, n)
			for i := range m.unsigned {
				m.unsigned[i] = field.b[i/8]&(0x80>>(i%8)) != 0
			}
		case 4:
			for len(field.b) > 0 && !field.bad && len(m.names) < len(m.types) {
				m.names = append(m.names, string(field.take(int(field.packed()))))
			}
			if field.bad || len(m.names) != len(m.types) {
				m.names = nil
			}
		}
	}
}

func isNumeric(t byte) bool {
	switch t {
	case tyTiny, tyShort, tyInt24, tyLong, tyLongLong, tyNewDecimal, tyFloat, tyDouble, tyYear:
		return true
	}
	return false
}
