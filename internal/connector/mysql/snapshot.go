package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

const (
	// snapshotAge is how long one snapshot serves chunks: the server keeps old
	// versions of rows for as long.
	snapshotAge = 30 * time.Minute
	// lockingAge replaces it where the metadata locks of tables that were read
	// cannot be let go: an ALTER TABLE waits for no longer than this and a chunk.
	lockingAge = time.Minute
	// idleAge is how long a snapshot waits for the next chunk, lockingIdleAge where
	// tables stay locked meanwhile.
	idleAge        = 10 * time.Second
	lockingIdleAge = time.Second
)

// snapshot is a connection inside a consistent snapshot.
type snapshot struct {
	c        *conn
	mark     position.Position // exactly the transactions before it are seen; zero when the log is off
	place    place
	born     time.Time
	era      int      // of the pool when it was opened
	releases bool     // metadata locks are let go between chunks
	exact    row.Name // the table of which it surely has what the log has before its place: see pin
	// The chunk it read last: the next one of the same table is to have the same
	// mark, because marks of neighbours fold.
	table row.Name
	chunk uint32
	idle  *time.Timer
}

func (s *snapshot) close() { s.c.close() }

// release lets go of the metadata locks of what was read, where that is possible,
// and reports whether the snapshot can go on.
func (s *snapshot) release(ctx context.Context) bool {
	return s.c.exec(ctx, "ROLLBACK TO SAVEPOINT godwit") == nil
}

func (s *snapshot) old() bool {
	if s.releases {
		return time.Since(s.born) > snapshotAge
	}
	return time.Since(s.born) > lockingAge
}

// openSnapshot opens a snapshot at an exactly known place of the log. MariaDB needs no
// lock: the server notes, as one act with the snapshot, how far the log was. MySQL's
// place is exact for the table alone.
func (s *source) openSnapshot(ctx context.Context, table row.Name) (*snapshot, error) {
	era := s.snapshots.current()
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{c: c, born: time.Now(), era: era, table: table}
	if err := s.beginSnapshot(ctx, snap); err != nil {
		c.close()
		return nil, err
	}
	return snap, nil
}

func (s *source) beginSnapshot(ctx context.Context, snap *snapshot) error {
	c := snap.c
	// With logging off for this session, which writes nothing, rolling back to a
	// savepoint lets go of metadata locks. It takes a privilege that godwit does
	// not ask for; without it the snapshot just lives shorter.
	err := c.exec(ctx, "SET SESSION sql_log_bin = 0")
	snap.releases = err == nil
	if err != nil && !fault.Has(err, fault.SourceGrants) {
		return err
	}
	if err := c.exec(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	if c.mysql {
		snap.exact = snap.table
		err = s.openExact(ctx, snap)
	} else {
		err = s.beginSettled(ctx, snap)
	}
	if err != nil {
		return err
	}
	return c.exec(ctx, "SAVEPOINT godwit")
}

const startSnapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT"

// readMark asks for the place of the snapshot, and for its GTIDs at once: the
// server forgets those when the file is purged.
func (s *source) readMark(ctx context.Context, snap *snapshot) error {
	rows, err := snap.c.query(ctx, "SHOW STATUS LIKE 'binlog\\_snapshot\\_%'")
	if err != nil {
		return err
	}
	var file, offset string
	for _, v := range rows {
		switch strings.ToLower(v[0].text()) {
		case "binlog_snapshot_file":
			file = v[1].text()
		case "binlog_snapshot_position":
			offset = v[1].text()
		}
	}
	if file == "" {
		return nil // the log is off
	}
	at, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return fault.New(fault.SourceProtocol, "the server's place of a snapshot, %q, is not a number", clip(offset, 40)).At("%s", s.where())
	}
	log, err := s.serverLog(ctx, snap.c)
	if err != nil {
		return err
	}
	if snap.place, err = parsePlace(log, file, at); err != nil {
		return err
	}
	gtids, err := snap.c.query(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %d)", quoteText(file), at))
	if err != nil {
		return err
	}
	if len(gtids) != 1 || gtids[0][0].null {
		return fault.New(fault.SourceBusy, "the server purged %s while a snapshot was opened at its place", file).At("%s", s.where())
	}
	snap.mark = s.position(snap.place, gtids[0][0].text(), lastTxn{})
	return nil
}

// snapshotPool keeps open snapshots between chunks.
type snapshotPool struct {
	mu     sync.Mutex
	idle   []*snapshot
	most   int // how many may wait at once
	era    int // rises when a place is given out that older snapshots lie before
	closed bool
}

// current returns the era of a snapshot that is about to be opened.
func (p *snapshotPool) current() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.era
}

// begin starts an era, whose place is given out: no chunk that is read from now on
// may lie before it, so older snapshots are let go, idle ones now and others when they
// come back. snap, if there is one, is of that place and is kept.
func (p *snapshotPool) begin(snap *snapshot) {
	p.mu.Lock()
	p.era++
	era := p.era
	old := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, s := range old {
		s.idle.Stop()
		s.close()
	}
	if snap != nil {
		snap.era = era
		p.put(snap)
	}
}

// put keeps snap for a later chunk, for a while.
func (p *snapshotPool) put(snap *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || snap.old() || snap.c.broken || snap.era != p.era {
		snap.close()
		return
	}
	wait := idleAge
	if !snap.releases {
		wait = lockingIdleAge
	}
	snap.idle = time.AfterFunc(wait, func() {
		if p.remove(snap) {
			snap.close()
		}
	})
	p.idle = append(p.idle, snap)
	if most := max(p.most, 1); len(p.idle) > most {
		oldest := p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
		oldest.idle.Stop()
		oldest.close()
	}
}

// remove takes snap out and reports whether it was there.
func (p *snapshotPool) remove(snap *snapshot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, snap)
	if i < 0 {
		return false
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	return true
}

// take returns an idle snapshot: the one that read the chunk before, or any.
func (p *snapshotPool) take(table row.Name, chunk uint32) *snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, s := range p.idle {
		if s.c.mysql && s.table != table {
			continue // its place holds for that table
		}
		if best < 0 || s.table == table && s.chunk+1 == chunk {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	s := p.idle[best]
	p.idle = slices.Delete(p.idle, best, best+1)
	s.idle.Stop()
	if s.old() {
		s.close()
		return nil
	}
	return s
}

// drop closes all and every later one.
func (p *snapshotPool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, s := range p.idle {
		s.idle.Stop()
		s.close()
	}
	p.idle = nil
}

// Read emits the rows of a chunk, or the changes of the log.
func (s *source) Read(ctx context.Context, split connector.Split, from position.Position, emit func(*row.Batch) error) error {
	if !split.Bounded {
		return s.readStream(ctx, split, from, emit)
	}
	return s.readChunk(ctx, split, emit)
}

// readChunk emits the chunk's mark, then its rows. An error leaves the chunk to be
// read again, under a new mark.
func (s *source) readChunk(ctx context.Context, split connector.Split, emit func(*row.Batch) error) error {
	if len(split.Tables) != 1 || split.Chunk > row.MaxChunk {
		return fault.New(fault.Internal, "chunk %s is not of a form that can be read", split.ID)
	}
	bounds, err := parseRange(split.Range)
	if err != nil {
		return fault.New(fault.SourceProtocol, "the key range of chunk %s cannot be read", split.ID).By(err)
	}
	name := split.Tables[0].Name
	snap, err := s.snapshotFor(ctx, name, split.Chunk)
	if err == nil {
		if err = s.readRows(ctx, snap, split, bounds, emit); err != nil {
			snap.close()
		}
	}
	if errors.Is(err, errGone) {
		return s.readGone(ctx, name, emit)
	}
	if err != nil {
		return err
	}
	if !snap.release(ctx) {
		snap.close() // the rows are whole: only the snapshot is of no more use
		return nil
	}
	snap.table, snap.chunk = name, split.Chunk
	s.snapshots.put(snap)
	return nil
}

// snapshotFor returns a snapshot that has pinned the table of a chunk: one that waits for
// work, or a new one. The caller closes it or puts it back.
func (s *source) snapshotFor(ctx context.Context, t row.Name, chunk uint32) (*snapshot, error) {
	snap := s.snapshots.take(t, chunk)
	if snap != nil && !snap.release(ctx) {
		snap.close() // it was killed while it waited
		snap = nil
	}
	if snap == nil {
		var err error
		if snap, err = s.openSnapshot(ctx, t); err != nil {
			return nil, err
		}
	}
	return s.pin(ctx, snap, t)
}

// errGone says that the table of a chunk is not there any more.
var errGone = fault.New(fault.SourceShape, "the table is gone")

// readGone reads a table that was dropped after it was planned: at a mark after the
// drop it has no rows, and the log tells of the drop.
func (s *source) readGone(ctx context.Context, t row.Name, emit func(*row.Batch) error) error {
	snap, err := s.openSnapshot(ctx, t)
	if err != nil {
		return err
	}
	defer snap.close()
	switch now, err := s.columnsOf(ctx, snap.c, t); {
	case err != nil:
		return err
	case now != nil:
		return fault.New(fault.SourceShape, "table %s was dropped and made again while it was read", t).At("%s", s.where())
	}
	return emit(row.Mark(snap.mark, 0))
}

// readRows reads one chunk inside snap, which has pinned the table.
func (s *source) readRows(ctx context.Context, snap *snapshot, split connector.Split, bounds keyRange, emit func(*row.Batch) error) error {
	table, err := s.shapeNow(ctx, snap, split.Tables[0])
	if err != nil {
		return err
	}
	if err := orderKept(split.Tables[0], table, &bounds); err != nil {
		return err
	}
	if err := emit(row.Mark(snap.mark, 0)); err != nil {
		return err
	}
	r := newChunkReader(s, table, snap, split)
	defer r.giveBack()
	err = s.runSelect(ctx, snap.c, table, bounds, r, emit)
	var e *serverError
	if bounds.index != "" && errors.As(err, &e) && e.code == errNoSuchIndex {
		bounds.index = "" // dropped since the plan was made: the range is right without it
		err = s.runSelect(ctx, snap.c, table, bounds, r, emit)
	}
	if r.emitted != nil {
		return r.emitted
	}
	if err != nil {
		return s.readFault(ctx, snap.c, table.Name, err)
	}
	return nil
}

// runSelect sends the query of a chunk and reads its rows.
func (s *source) runSelect(ctx context.Context, c *conn, t *row.Table, bounds keyRange, r *chunkReader, emit func(*row.Batch) error) error {
	sql, err := s.selectRows(t, bounds)
	if err != nil {
		return err
	}
	return runRows(ctx, c, t, sql, r, emit)
}

// runRows sends a query whose columns are those of t and reads its rows.
func runRows(ctx context.Context, c *conn, t *row.Table, sql string, r *chunkReader, emit func(*row.Batch) error) error {
	return c.guard(ctx, func() error {
		if err := c.send(sql); err != nil {
			return err
		}
		n, err := c.columns()
		if err != nil {
			return err
		}
		if n != len(t.Columns) {
			return errMalformed
		}
		return r.run(ctx, emit)
	})
}

// errEmit says that the error to return is in chunkReader.emitted.
var errEmit = errors.New("emit failed")

// readFault gives an error of reading rows its code and the table's name.
func (s *source) readFault(ctx context.Context, c *conn, t row.Name, err error) error {
	err = c.fault(ctx, err)
	var f *fault.Error
	if errors.As(err, &f) && f.Code != fault.SourceAuth {
		named := *f
		named.Where = fmt.Sprintf("%s, table %s", s.where(), t)
		return &named
	}
	return err
}

// shapeNow returns the shape of a table that snap has pinned: planned itself when nothing
// changed, otherwise the newer shape, with planned's number and a version one
// above it. That version only says "newer": the versions of the log's history
// are the stream's, which will meet the same change at its own place.
//
// A change that rebuilt the table after the snapshot was opened makes the server
// refuse the SELECT (1412): the chunk is read again under a new mark. One that did
// not (an instant ADD COLUMN) reads on, with the new column at its default.
func (s *source) shapeNow(ctx context.Context, snap *snapshot, planned *row.Table) (*row.Table, error) {
	now, err := s.columnsOf(ctx, snap.c, planned.Name)
	if err != nil {
		return nil, err
	}
	if now == nil {
		return nil, errGone
	}
	if now.SameShape(planned) {
		return planned, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.altered[planned.Name]; known != nil && known.SameShape(now) && known.Number == planned.Number && known.Generation == planned.Generation && known.Version == planned.Version+1 {
		return known, nil
	}
	now.Number, now.Version, now.Rows, now.Bytes = planned.Number, planned.Version+1, planned.Rows, planned.Bytes
	now.Cascades, now.Parents = planned.Cascades, planned.Parents
	now.Generation = planned.Generation
	s.altered[planned.Name] = now
	return now, nil
}

// orderKept refuses a chunk whose key is ordered otherwise by now than when the table was
// divided: between chunks that were read before and after that, rows would fall through,
// or be read twice.
func orderKept(planned, now *row.Table, bounds *keyRange) error {
	if bounds.whole() {
		return nil
	}
	for _, name := range bounds.columns {
		i, k := planned.Column(name), now.Column(name)
		if i < 0 || k < 0 {
			continue // the query says so
		}
		if was, is := planned.Columns[i].Type, now.Columns[k].Type; was.Kind == is.Kind && was.Collation == is.Collation {
			continue
		}
		return fault.New(fault.ResyncNeeded, "column %s of %s, by which its snapshot is divided, was altered while chunks were read", name, now.Name).
			Try("read the table again: godwit run --again; on a server godwit job resync")
	}
	return nil
}

func tableName(n row.Name) string { return quoteName(n.Space) + "." + quoteName(n.Table) }

// selectRows returns the query of a chunk.
func (s *source) selectRows(t *row.Table, bounds keyRange) (string, error) {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(selectExpr(&t.Columns[i]))
	}
	b.WriteString(" FROM " + tableName(t.Name))
	if bounds.whole() {
		return b.String(), nil
	}
	for _, name := range bounds.columns {
		if t.Column(name) < 0 {
			return "", fault.New(fault.SourceShape, "table %s lost the column %s, by which it was divided", t.Name, name).At("%s", s.where())
		}
	}
	if bounds.index != "" {
		b.WriteString(" FORCE INDEX (" + quoteName(bounds.index) + ")")
	}
	b.WriteString(" WHERE " + bounds.where())
	return b.String(), nil
}
