package mysql

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// group is a group of events that belong together: a transaction, or a
// statement that stands alone.
type group struct {
	open   bool
	start  place
	gtid   gtid
	name   string // see gtidEvent
	stamp  uint32
	framed bool // whether it stands alone is known: see groupEnd
	flags  byte
	extra  byte
	events uint32 // row events and statements so far
	taken  uint32 // of them handed over before the connection broke
	told   bool   // the open unit has its Txn
	// changes counts the schema changes of the group; the first skip of them were
	// committed before.
	changes, skip int
	// held: its end was read and is told once the event that has it was proved.
	hold, held bool
	stops      []stop
	touched    []*row.Table // chosen tables with rows in the group
	// xa names the XA transaction that the group prepares, whose rows are held.
	xa       string
	prepares *prepared
}

// stop is a table that leaves the stream at the end of the group.
type stop struct {
	table  *row.Table
	reason string
}

// id is what targets are told of a transaction: its GTID, or its place where the
// server gives it none.
func (g *group) id() string {
	if g.gtid == (gtid{}) {
		return g.start.String()
	}
	return g.gtid.String()
}

// begin opens a group.
func (r *streamer) begin(h header, body []byte, start uint64) error {
	if r.group.open {
		return r.broken(errGroupCut)
	}
	e, err := parseOpening(h, body)
	if err != nil {
		return r.broken(err)
	}
	at := r.cur.at
	at.offset = start
	if at.file == r.place.file && start < r.place.offset {
		return r.broken(fmt.Errorf("transaction %s starts before the place reached, %s", e.gtid, r.place))
	}
	if r.until.passed(e.commit) {
		return r.finish()
	}
	if r.group.taken > 0 && r.group.name != e.name() {
		return fault.New(fault.SourceDiverged, "the log has transaction %s where %s was read before", e.name(), r.group.name).At("%s", at)
	}
	g := &r.group
	next := group{open: true, start: at, gtid: e.gtid, name: e.name(), stamp: e.commit, framed: h.kind == evGTID, flags: e.flags, extra: e.extra, taken: g.taken, skip: max(g.skip, g.changes), told: g.told,
		stops: g.stops[:0], touched: g.touched[:0]}
	if g.taken > 0 { // the same group again, over another connection
		next.stops, next.touched, next.changes = g.stops, g.touched, g.changes
	}
	*g = next
	if len(r.maps) >= maxMaps {
		clear(r.maps)
	}
	if e.flags&gtidPreparedXA != 0 {
		r.beginXA(e.xa)
	}
	return nil
}

// close ends the group at the present place.
func (r *streamer) close() error {
	g := &r.group
	if g.hold {
		g.held = true
		return nil
	}
	if err := r.stopTables(); err != nil {
		return err
	}
	at := r.cur.at
	r.gtids.set(g.gtid)
	r.last = lastTxn{g.name, g.start.file, g.start.offset, at.offset - g.start.offset, g.stamp}
	r.time = max(r.time, g.stamp)
	r.foreign += int(at.offset - g.start.offset)
	g.open, g.taken, g.skip, g.changes, g.told = false, 0, 0, 0, false
	return nil
}

// member takes an event inside a group.
func (r *streamer) member(h header, body []byte) error {
	if r.again != nil {
		return r.again(h, body)
	}
	switch h.kind {
	case evTableMap:
		return r.tableMap(h, body)
	case evXID:
		return r.close()
	case evXAPrepare:
		return r.endXA(body)
	case evQuery, evQueryCompressed:
		q, err := parseQuery(h, body, h.kind == evQueryCompressed)
		if err != nil {
			return r.broken(err)
		}
		return r.query(q)
	case evExecuteLoad:
		q, err := parseLoad(h, body)
		if err != nil {
			return r.broken(err)
		}
		return r.query(q)
	case evIntVar, evRand, evUserVar, evBeginLoad, evAppendBlock, evDeleteFile, evLoad:
		return nil // they prepare a statement, which is judged itself
	case evRowsQuery, evIgnorable, evContext, evViewChange:
		return nil
	case evPayload:
		return r.payload(bytes.NewReader(body))
	}
	if _, _, _, ok := isRows(h.kind); ok {
		return r.rows(h, body)
	}
	return r.broken(fmt.Errorf("event type %d is not known", h.kind))
}

// mapped is what the last table map of a table number said.
type mapped struct {
	body   []byte // without the number
	layout *layout
	name   row.Name
	table  *row.Table // chosen and flowing; nil: its rows are left out
	parent bool       // its changes may change rows of other tables
	misfit error
	// watched are the columns of which an update changes rows of other tables along.
	watched []int
}

// maxMaps bounds the table maps that are kept from one group to the next: inside a group
// the rows of all of them may follow.
const maxMaps = 8192

func (r *streamer) tableMap(h header, body []byte) error {
	id, err := r.format.tableID(h.kind, body)
	if err != nil {
		return r.broken(err)
	}
	n := 6
	if r.format.post[evTableMap-1] == 6 {
		n = 4
	}
	body = body[n:]
	if m := r.maps[id]; m != nil && bytes.Equal(m.body, body) {
		return nil
	}
	m := &mapped{body: bytes.Clone(body)}
	database, table, err := mapName(body)
	if err != nil {
		return r.broken(err)
	}
	m.name = row.Name{Space: database, Table: table}
	delete(r.shapes.empty, m.name) // it has rows: each change of a shape forgets the maps
	m.table, m.parent = r.shapes.flowing(m.name), len(r.shapes.reach()[m.name]) > 0
	shape := m.table
	if shape == nil && m.parent {
		if shape, err = r.shapes.stranger(r.ctx, m.name); err != nil {
			return err
		}
	}
	if shape != nil {
		tm, err := parseTableMap(body)
		if err != nil {
			return r.broken(err)
		}
		if m.layout, m.misfit = fit(shape, tm); m.misfit != nil {
			if err := r.fitHidden(m, shape, tm); err != nil {
				return err
			}
		}
		m.watched = r.shapes.watched(shape)
	}
	r.maps[id] = m
	return nil
}

// mapName reads only the names of a table map.
func mapName(body []byte) (database, table string, err error) {
	b := bodyReader{b: body}
	b.take(2)
	database = string(b.take(int(b.uint(1))))
	b.take(1)
	table = string(b.take(int(b.uint(1))))
	if b.bad {
		return "", "", errCut
	}
	return database, table, nil
}

// rows takes a row event.
func (r *streamer) rows(h header, body []byte) error {
	id, err := r.format.tableID(h.kind, body)
	if err != nil {
		return r.broken(err)
	}
	g := &r.group
	g.events++
	if g.prepares != nil {
		g.prepares.rows++
	}
	m := r.maps[id]
	if m == nil {
		if id == dummyTable {
			return nil
		}
		return r.broken(fmt.Errorf("rows of table number %d came without its map", id))
	}
	switch {
	case m.table == nil && !m.parent:
		return nil
	case g.prepares != nil:
		r.hold(m, h.kind, body)
		return nil
	}
	return r.take(m, h.kind, body)
}

// take takes a row event of a chosen table, or of a parent of one, as the next of the
// open group.
func (r *streamer) take(m *mapped, kind byte, body []byte) error {
	g := &r.group
	if m.parent && g.events > g.taken {
		if err := r.cascade(m, kind, body); err != nil {
			return err
		}
	}
	if m.table == nil {
		return nil
	}
	if m.misfit != nil {
		r.stop(m.table, "resync needed: its rows in the log do not fit its shape: %v", m.misfit)
	}
	if m.misfit == nil && len(body) <= 64+len(m.layout.fields)/8 && columnless(r.format, kind, body) {
		r.stop(m.table, "resync needed: a row was logged without any of its columns")
	}
	if m.misfit == nil && kind == evPartialUpdate && baseless(r.format, m.layout, body) {
		r.stop(m.table, "resync needed: the log has only what changed of JSON documents (binlog_row_value_options=PARTIAL_JSON), and not what they were before (binlog_row_image is not FULL)")
	}
	if r.stopping(m.table) || g.events <= g.taken {
		return nil
	}
	u, err := r.unit()
	if err != nil {
		return err
	}
	if !g.told {
		u.txns = append(u.txns, row.Txn{ID: g.id(), Time: int64(g.stamp) * 1_000_000})
		g.told = true
	}
	g.touch(m.table)
	u.add(m.layout, r.format, kind, body, g.start, g.events)
	if _, _, packed, _ := isRows(kind); packed {
		u.inflated += inflatedBytes(r.format, kind, body)
	}
	if len(u.bytes) >= 2*r.size || u.inflated >= 8*r.size {
		return r.flushTo(noPosition, 0)
	}
	return nil
}

// columnless reports whether a row event has none of the columns: its rows take
// no bytes, so how many there are is not told.
func columnless(f *format, kind byte, body []byte) bool {
	e, err := f.parseRows(kind, body)
	return err == nil && count(e.present, e.width) == 0
}

// baseless reports whether a partial update may have changes of documents that are not
// in the images of its rows before.
func baseless(f *format, l *layout, body []byte) bool {
	e, err := f.parseRows(evPartialUpdate, body)
	if err != nil || e.width != len(l.fields) {
		return false // the decoder says what is wrong
	}
	for i := range l.fields {
		if l.fields[i].how == howJSON && bit(e.after, i) && !bit(e.present, i) {
			return true
		}
	}
	return false
}

// dummyTable is the number of a row event without rows, which only ends a
// statement.
const dummyTable = 1<<24 - 1

func (g *group) touch(t *row.Table) {
	for _, x := range g.touched {
		if x == t {
			return
		}
	}
	g.touched = append(g.touched, t)
}

// inflatedBytes is the size a compressed row event says that it has.
func inflatedBytes(f *format, kind byte, body []byte) int {
	e, err := f.parseRows(kind, body)
	if err != nil || len(e.rows) == 0 {
		return 0
	}
	n := int(e.rows[0] & 7)
	return int(min(bigEndian(e.rows[1:min(1+n, len(e.rows))]), maxInflated))
}

// stop notes that a table leaves the stream at the end of the group.
func (r *streamer) stop(t *row.Table, format string, args ...any) {
	if r.stopping(t) {
		return
	}
	reason := fmt.Sprintf(format, args...) + fmt.Sprintf(", at %s in transaction %s", r.group.start, r.group.id())
	r.group.stops = append(r.group.stops, stop{t, clip(reason, 2000)})
}

func (r *streamer) stopping(t *row.Table) bool {
	for _, s := range r.group.stops {
		if s.table == t {
			return true
		}
	}
	return false
}

// stopTables tells at the end of a group which tables leave the stream. The rows
// of the group come before, with an end inside the group: read again from there,
// the same tables stop again.
func (r *streamer) stopTables() error {
	g := &r.group
	if len(g.stops) == 0 {
		return nil
	}
	g.events++
	g.changes = max(g.changes, g.skip)
	if r.open != nil && len(r.open.items) > 0 || len(g.touched) > 0 {
		end := inside(g.start, g.events, uint64(2*g.changes), g.changes, r.gtids.String(), r.last)
		r.told = place{}
		if err := r.flushTo(end, int64(r.time)*1_000_000); err != nil {
			return err
		}
	}
	for i, s := range g.stops {
		after := *s.table
		after.Version++
		after.Stopped = s.reason
		c := &row.SchemaChange{Kind: row.Stop, Before: s.table, After: &after}
		if err := r.barrier(c, i == len(g.stops)-1); err != nil {
			return err
		}
	}
	return nil
}

// barrier hands over a schema change of the open group and waits until it was
// emitted: whoever takes it may number a new table. It must be the next of the
// group; last: nothing of the group comes after it.
func (r *streamer) barrier(c *row.SchemaChange, last bool) error {
	g := &r.group
	at := g.start.order(g.events, uint64(2*g.changes+1))
	end, when := r.afterChange(last)
	u, err := r.pipe.get()
	if err != nil {
		return err
	}
	emitted := make(chan struct{})
	u.batch, u.emitted = row.Barrier(c, at, end, when), emitted
	if err := r.pipe.put(u); err != nil {
		return err
	}
	select {
	case <-emitted:
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	if last {
		r.told = r.cur.at
	}
	r.shapes.done(c)
	clear(r.maps)
	return nil
}

// until is where the stream ends. place is replaced while it runs once the
// server's clock has passed the time.
type until struct {
	place string // an order; empty: none
	time  time.Time
	head  atomic.Pointer[string]
}

// reached reports whether p is at or beyond the end.
func (u *until) reached(p place) bool {
	if u.place == "" && u.time.IsZero() {
		return false
	}
	at := p.order(0, 0)
	if u.place != "" && at >= u.place {
		return true
	}
	head := u.head.Load()
	return head != nil && at >= *head
}

// passed reports whether a transaction committed at stamp lies behind the end.
func (u *until) passed(stamp uint32) bool {
	return !u.time.IsZero() && time.Unix(int64(stamp), 0).After(u.time)
}

// watchClock notes the head of the log once the server's clock is past the time
// asked for: nothing committed before that time comes after it.
func (r *streamer) watchClock() {
	wait := time.Until(r.split.Until.Time)
	for {
		select {
		case <-time.After(max(wait, 0)):
		case <-r.ctx.Done():
			return
		}
		wait = time.Second
		at, now, err := r.s.Head(r.ctx, 0)
		if err != nil || !now.After(r.split.Until.Time) {
			continue
		}
		order := at.Order()
		r.until.head.Store(&order)
		return
	}
}

// query takes a statement of the log.
func (r *streamer) query(q queryEvent) error {
	g := &r.group
	word := firstWords(q.text)
	if !g.framed {
		g.frame(word)
	}
	switch {
	case word == "XA START": // the group of a server whose GTID events do not name it
		r.beginXA(xaOf(q.text, word))
		return nil
	case word == "XA COMMIT":
		return r.commitXA(xaOf(q.text, word))
	case word == "XA ROLLBACK":
		r.prepares.drop(xaOf(q.text, word))
		return r.close()
	case word == "BEGIN" || strings.HasPrefix(word, "XA END") || strings.HasPrefix(word, "SAVEPOINT") || strings.HasPrefix(word, "RELEASE"):
		return nil
	case word == "COMMIT":
		return r.close()
	case word == "ROLLBACK" || strings.HasPrefix(word, "ROLLBACK TO"):
		// Only groups with tables that cannot roll back are logged so; what was
		// handed over of the others cannot be taken back.
		for _, t := range g.touched {
			r.stop(t, "resync needed: a transaction that also changed a table without transactions was rolled back")
		}
		if word == "ROLLBACK" {
			return r.close()
		}
		return nil
	}
	g.events++
	alone := g.flags&gtidStandalone != 0
	if g.events > g.taken {
		if err := r.statement(q, alone); err != nil {
			g.events-- // it was not taken: read again, it must not be left out
			return err
		}
	}
	if alone {
		return r.close()
	}
	return nil
}

// opensFrame reports whether a statement opens a group of several events.
func opensFrame(word string) bool { return word == "BEGIN" || strings.HasPrefix(word, "XA START") }

// frame takes the first statement of a MySQL's group, which tells what follows: one
// statement is a group, or it opens one.
func (g *group) frame(word string) {
	g.framed = true
	switch {
	case !opensFrame(word):
		g.flags |= gtidStandalone
	case word != "BEGIN":
		g.flags |= gtidPreparedXA
	}
}

// firstWords returns the first two words of a statement in capitals, a single
// space between them.
func firstWords(text []byte) string {
	f := bytes.Fields(text[:min(len(text), 64)])
	switch len(f) {
	case 0:
		return ""
	case 1:
		return strings.ToUpper(string(f[0]))
	}
	return strings.ToUpper(string(f[0]) + " " + string(f[1]))
}
