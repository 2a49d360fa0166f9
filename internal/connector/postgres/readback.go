package postgres

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

var _ connector.Readable = (*sink)(nil)

// Stored implements connector.Readable: under unrepresentable: text columns of dates
// and times are texts, every other value comes back as it was.
func (s *sink) Stored(t *row.Table) *row.Table {
	var out *row.Table
	for i, c := range t.Columns {
		switch fieldOf(c.Type, s.cfg.unrepresentable, false).form {
		case asDateText, asTimestampText, asInstantText:
			if out == nil {
				clone := *t
				clone.Columns = append([]row.Column(nil), t.Columns...)
				out = &clone
			}
			out.Columns[i].Type = row.Type{Kind: row.Text, Native: "text"}
		}
	}
	if out == nil {
		return t
	}
	return out
}

// Store implements connector.Readable.
func (s *sink) Store(x *row.Builder, b *row.Batch, t *row.Table, column int, word uint64, flag row.Flag) {
	switch flag {
	case row.Null:
		x.Null()
		return
	case row.Absent:
		x.Absent()
		return
	}
	kind := t.Columns[column].Type.Kind
	switch kind {
	case row.Date, row.DateTime, row.Timestamp:
		f := fieldOf(t.Columns[column].Type, s.cfg.unrepresentable, false)
		cell, why := f.appendMoment(nil, word)
		switch {
		case why != "" && slices.Contains(t.Key, column): // its row is refused
			x.Word(word)
		case why != "":
			x.Null()
		case f.oid == oidText:
			x.Bytes(cell[4:])
		default:
			x.Word(word)
		}
		return
	}
	if kind == row.JSON && s.cfg.documents(t) {
		x.Bytes(plainDocument(b.Data(word)))
		return
	}
	if kind.InBytes() {
		x.Bytes(b.Data(word))
		return
	}
	x.Word(word)
}

// Bounds of a batch that is read back.
const (
	readRows  = 1000
	readBytes = 256 << 10
)

// ReadBack implements connector.Readable.
func (s *sink) ReadBack(ctx context.Context, t *row.Table, keys *row.Batch, emit func(*row.Batch) error) error {
	c, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer s.done(c)
	g := s.target(t)
	end, err := s.snapshot(ctx, c, g)
	if err != nil {
		return err
	}
	columns, err := columnsOf(ctx, c, g)
	if err != nil {
		return err
	}
	g, why := g.as(columns)
	if why != "" {
		return fault.New(fault.TargetBroken, "table %s was altered by somebody else: %s", s.target(t).qualified, why).At("%s", s.Where())
	}
	ctx, stop := s.giveWay(ctx, g)
	defer stop()
	if err := emit(row.Mark(end, 0)); err != nil {
		return err
	}
	sql, args, err := g.reading(c, keys)
	if err != nil {
		return err
	}
	r := &reading{g: g, stored: s.Stored(t), emit: emit, x: row.NewBuilder(&row.Pool{})}
	if err := c.stream(ctx, sql, args, r.row); err != nil {
		return err
	}
	if err := r.flush(); err != nil {
		return err
	}
	_, err = c.query(ctx, "COMMIT")
	return err
}

// snapshot begins a transaction that sees one moment, and returns the place of the
// stream then. The table is locked first: to a snapshot that is older than a TRUNCATE
// it would look empty.
func (s *sink) snapshot(ctx context.Context, c *session, g *target) (position.Position, error) {
	c.queue("BEGIN ISOLATION LEVEL REPEATABLE READ")
	c.queue("LOCK TABLE " + g.qualified + " IN ACCESS SHARE MODE")
	c.queue("SET LOCAL statement_timeout = 0")
	c.queue("SELECT shard, encode(positions, 'hex') FROM "+s.control.position+" WHERE job = $1 AND sink = $2 AND (shard = $3 OR shard = $4)",
		s.mine(connector.StreamSplit, partShard(g.table.Number))...)
	all, err := c.sync(ctx)
	if stateOf(err) == stateNoTable || stateOf(err) == stateNoSchema {
		return position.Position{}, s.missing(g)
	}
	if err != nil {
		return position.Position{}, err
	}
	sets := map[string]position.Set{}
	for _, r := range all[3].rows {
		if sets[string(r[0])], err = setOf(r[1]); err != nil {
			return position.Position{}, s.damaged(connector.Shard{Task: string(r[0])}, err)
		}
	}
	set := sets[connector.StreamSplit]
	if apart(set, g.table.Number) {
		set = sets[partShard(g.table.Number)]
	}
	return set[connector.StreamSplit], nil
}

// giveWay returns a context that ends when a statement waits for what is read, as it has to
// have the table to itself: whoever writes to the target would wait for a reading of hours,
// and fail. It waits for half as long as it may.
func (s *sink) giveWay(ctx context.Context, g *target) (reading context.Context, stop func()) {
	reading, end := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		look := time.NewTicker(max(s.cfg.lock/4, 10*time.Millisecond))
		defer look.Stop()
		for waits := 0; waits < 2; {
			select {
			case <-look.C:
			case <-reading.Done():
				return
			}
			r, err := s.ask(reading, "SELECT 1 FROM pg_locks WHERE relation = $1::regclass AND mode = 'AccessExclusiveLock' AND NOT granted"+
				" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", text(g.qualified))
			if waits++; err != nil || len(r.rows) == 0 {
				waits = 0
			}
		}
		end(fault.New(fault.NotVerifiable, "a change of its shape, or what empties it, had to wait while it was read").At("%s", s.Where()))
	}()
	return reading, func() { end(nil); <-over }
}

// partShard is the shard of a table that stands apart (docs/formats/positions.md).
func partShard(number uint32) string {
	return connector.StreamSplit + "." + strconv.FormatUint(uint64(number), 10)
}

// apart reports whether the Set of the stream says that a table has its own.
func apart(set position.Set, number uint32) bool {
	note := set["apart"].Token()
	if list, few := strings.CutPrefix(note, ","); few { // docs/formats/positions.md
		return slices.Contains(strings.Split(list, ","), strconv.FormatUint(uint64(number), 10))
	}
	b, err := base64.RawStdEncoding.DecodeString(note)
	return err == nil && int(number/8) < len(b) && b[number/8]&(1<<(number%8)) != 0
}

// reading is the query of all rows, or of those with one of keys.
func (g *target) reading(c *session, keys *row.Batch) (string, []arg, error) {
	sql := "SELECT " + g.names(g.all(), "t.") + " FROM " + g.qualified + " AS t"
	if keys == nil || len(g.key) == 0 {
		return sql, nil, nil
	}
	sections := keys.Sections()
	f := newFold(g)
	var rows []int32
	for i := range sections {
		s := &sections[i]
		for k := s.Row; k < s.Row+s.Rows; k++ {
			at := len(f.arena)
			switch _, err := f.keyOf(keys, s, k); {
			case err == nil:
				rows = append(rows, int32(at))
			case fault.Has(err, fault.RowRefused): // the target cannot have such a key
				f.arena = f.arena[:at]
			default:
				return "", nil, err
			}
		}
	}
	if len(rows) == 0 {
		return sql + " WHERE false", nil, nil
	}
	return sql + " JOIN (" + g.unnest(g.key) + ") AS u ON " + g.same(g.key), g.arrays(c, g.key, g.key, f.arena, rows), nil
}

// stream runs a query whose rows come in the binary form and are lent to each.
func (c *session) stream(ctx context.Context, sql string, args []arg, each func([][]byte) error) error {
	c.enqueue([]int16{1}, sql, args)
	c.add(&pgproto3.Sync{})
	var stopped error
	err := c.guard(ctx, func() error {
		c.queued = 0
		if err := c.flush(); err != nil {
			return err
		}
		for {
			m, err := c.front.Receive()
			if err != nil {
				return err
			}
			switch m := m.(type) {
			case *pgproto3.DataRow:
				if stopped = each(m.Values); stopped != nil {
					return stopped
				}
			case *pgproto3.ErrorResponse, *pgproto3.ReadyForQuery:
				_, err := c.rest(m)
				return err
			}
		}
	})
	if stopped != nil {
		return stopped // the session is broken, and closed
	}
	return err
}

// reading is a table that is read back.
type reading struct {
	g      *target
	stored *row.Table
	emit   func(*row.Batch) error
	x      *row.Builder
	text   []byte
	raw    bool // documents as they were written
}

func (r *reading) row(values [][]byte) error {
	if err := r.add(values); err != nil {
		return err
	}
	if r.x.Rows() >= readRows || r.x.Size() >= readBytes {
		return r.flush()
	}
	return nil
}

// add appends a row.
func (r *reading) add(values [][]byte) error {
	if r.x.Rows() == 0 {
		r.x.At("", 0, row.Txn{})
	}
	if len(values) != len(r.g.fields) {
		return fault.New(fault.TargetBroken, "%s gave %d columns, not %d", r.g.qualified, len(values), len(r.g.fields))
	}
	r.x.Row(r.stored, row.Read)
	for i, v := range values {
		if v == nil {
			r.x.Null()
			continue
		}
		if f := &r.g.fields[i]; f.foreign(r.stored.Columns[i].Type.Kind, v) {
			r.text = row.AppendForeign(r.text[:0], f.foreignText(v), v)
			r.x.Foreign(r.text)
		} else if !r.cell(f, v) {
			return fault.New(fault.TargetBroken, "%s, column %s has a value that nobody can read: 0x%s", r.g.qualified, f.quoted, clip(hex.EncodeToString(v), maxShown))
		}
	}
	return nil
}

func (r *reading) flush() error {
	if r.x.Rows() == 0 {
		return nil
	}
	return r.emit(r.x.Finish(position.Position{}, 0))
}

// cell undoes appendCell; false: it makes no such thing.
func (r *reading) cell(f *field, v []byte) bool {
	switch f.form {
	case asInt2:
		r.x.Int(int64(int16(binary.BigEndian.Uint16(v))))
	case asInt4:
		r.x.Int(int64(int32(binary.BigEndian.Uint32(v))))
	case asFloat4:
		r.x.Word(uint64(binary.BigEndian.Uint32(v)))
	case asInt8, asFloat8:
		r.x.Word(binary.BigEndian.Uint64(v))
	case asUnsigned, asNumeric:
		var ok bool
		if r.text, ok = appendDigits(r.text[:0], v); !ok {
			return false
		}
		if f.form == asNumeric {
			r.x.Bytes(r.text)
			return true
		}
		n, err := strconv.ParseUint(string(r.text), 10, 64)
		r.x.Word(n)
		return err == nil
	case asUUID:
		r.x.String(uuidText(v))
	case asDocument:
		if len(v) == 0 || v[0] != jsonbVersion {
			return false
		}
		if v = v[1:]; !r.raw {
			v = plainDocument(v)
		}
		r.x.Bytes(v)
	case asBits:
		var all [8]byte
		copy(all[:], v[4:])
		r.x.Word(binary.BigEndian.Uint64(all[:]) >> (64 - f.size))
	case asDate, asInterval, asTimestamp, asInstant:
		r.moment(f, v)
	default:
		r.x.Bytes(v)
	}
	return true
}

func (r *reading) moment(f *field, v []byte) {
	switch f.form {
	case asDate:
		r.x.Word(dateOf(int64(int32(binary.BigEndian.Uint32(v))) + epochDays))
	case asInterval:
		r.x.Word(binary.BigEndian.Uint64(v))
	case asInstant:
		r.x.Int(int64(binary.BigEndian.Uint64(v)) + epochMicros)
	default:
		days, micros := dayOf(int64(binary.BigEndian.Uint64(v)))
		r.x.Word(dateOf(days)<<37 | uint64(micros))
	}
}

func uuidText(v []byte) string {
	h := hex.EncodeToString(v)
	if len(h) != 32 {
		return h
	}
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// appendDigits undoes appendNumeric.
func appendDigits(dst, v []byte) (text []byte, ok bool) {
	if len(v) < 8 {
		return dst, false
	}
	n, weight := int(binary.BigEndian.Uint16(v)), int(int16(binary.BigEndian.Uint16(v[2:])))
	sign, scale := binary.BigEndian.Uint16(v[4:]), int(binary.BigEndian.Uint16(v[6:]))
	if len(v) != 8+2*n || sign != 0 && sign != signNegative {
		return dst, false // not a number, or infinite
	}
	group := func(i int) uint16 { // the i-th power of 10,000
		if k := weight - i; k >= 0 && k < n {
			return binary.BigEndian.Uint16(v[8+2*k:])
		}
		return 0
	}
	if sign != 0 {
		dst = append(dst, '-')
	}
	first := max(weight, 0)
	dst = strconv.AppendUint(dst, uint64(group(first)), 10)
	for i := first - 1; i >= 0; i-- {
		dst = fmt.Appendf(dst, "%04d", group(i))
	}
	if scale == 0 {
		return dst, true
	}
	dst = append(dst, '.')
	at := len(dst)
	for i := 1; len(dst) < at+scale; i++ {
		dst = fmt.Appendf(dst, "%04d", group(-i))
	}
	return dst[:at+scale], true
}
