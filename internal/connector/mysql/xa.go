package mysql

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// XA transactions are logged as two groups: the rows with XA PREPARE, and later, maybe
// in another file, XA COMMIT or XA ROLLBACK. The rows belong to the commit: they get its
// order, and its end is theirs. What a prepared group has is held here until then; what is
// too large for that, or was prepared before the place at which reading began, is read
// again from the log when it is committed. So a place never has to wait for an open XA
// transaction, and no format holds one.

// xaMost bounds how many prepared transactions are known without looking into the log.
const xaMost = 10_000

// prepared is a group that waits for its XA COMMIT.
type prepared struct {
	start  place
	format *format
	// events are its row events of chosen tables; again: they are too large to be kept.
	events []preparedEvent
	again  bool
	bytes  int
	rows   uint32 // its row events, of all tables
}

type preparedEvent struct {
	number uint32 // among the row events of the group
	kind   byte
	body   []byte
	mapped *mapped
}

// prepares are the prepared groups of a stream. It is used by the reader goroutine.
type prepares struct {
	s     *source
	open  map[string]*prepared // by the name of the transaction, see xaName
	bytes int                  // of all events
	// searched is before which place the log was not looked into yet.
	searched place
}

// newPrepares returns those of a stream that begins at a place.
func newPrepares(s *source, from place) prepares {
	return prepares{s: s, open: map[string]*prepared{}, searched: from}
}

// xaName names an XA transaction as statements of the log do.
func xaName(format uint32, global, branch []byte) string {
	return fmt.Sprintf("X'%x',X'%x',%d", global, branch, format)
}

// xaOf returns the name in a statement of the log, "" when it is none of those words.
func xaOf(text []byte, words ...string) string {
	for _, w := range words {
		if rest, ok := strings.CutPrefix(string(text), w+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// onePhase reports whether the event that ends a prepared group commits it as well.
func onePhase(body []byte) bool { return len(body) > 0 && body[0] == 1 }

// drop forgets a group.
func (p *prepares) drop(name string) {
	if g := p.open[name]; g != nil {
		p.empty(g)
		delete(p.open, name)
	}
}

// empty gives back what a group holds.
func (p *prepares) empty(g *prepared) {
	g.events = nil
	p.grow(-g.bytes)
	g.bytes = 0
}

func (p *prepares) grow(n int) {
	p.bytes += n
	if b := p.s.env.Budget; b != nil {
		b.Add(int64(n))
	}
}

// close gives everything back.
func (p *prepares) close() {
	for name := range p.open {
		p.drop(name)
	}
}

// beginXA notes that the open group is one that ends with XA PREPARE.
func (r *streamer) beginXA(name string) {
	p := &r.prepares
	p.drop(name)
	if len(p.open) >= xaMost { // one that is forgotten is found in the log
		for other := range p.open {
			p.drop(other)
			break
		}
	}
	r.group.prepares = &prepared{start: r.group.start, format: r.format}
	p.open[name] = r.group.prepares
	r.group.xa = name
}

// hold keeps a row event of the open group for its commit.
func (r *streamer) hold(m *mapped, kind byte, body []byte) {
	g, p := r.group.prepares, &r.prepares
	if m.table != nil {
		r.group.touch(m.table) // a rollback to a savepoint stops it
	}
	if g.again {
		return
	}
	if p.bytes+len(body) > unitSize(r.s.env.Budget) {
		p.empty(g)
		g.again = true
		return
	}
	g.events = append(g.events, preparedEvent{g.rows, kind, bytes.Clone(body), m})
	g.bytes += len(body)
	p.grow(len(body))
}

// endXA takes the end of the open group, XA PREPARE.
func (r *streamer) endXA(body []byte) error {
	if onePhase(body) {
		return r.commitXA(r.group.xa)
	}
	return r.close()
}

// commitXA takes the rows of a prepared group as those of the open one.
func (r *streamer) commitXA(name string) error {
	g, err := r.preparedGroup(name)
	if err != nil {
		return err
	}
	r.group.prepares = nil // rows are taken from now on
	switch {
	case g == nil:
		for _, t := range r.shapes.all() {
			if t.Stopped == "" {
				r.stop(t, "resync needed: an XA transaction was committed that was prepared in a part of the log that is gone (%s)", fault.SourceXA)
			}
		}
	case g.again:
		err = r.readPrepared(g)
	default:
		err = r.replay(g)
	}
	if err != nil {
		return err
	}
	if err := r.close(); err != nil {
		return err
	}
	r.prepares.drop(name)
	return nil
}

// replay takes the events that were held.
func (r *streamer) replay(g *prepared) error {
	defer func(f *format) { r.format = f }(r.format)
	r.format = g.format
	for _, e := range g.events {
		r.group.events = e.number
		if t := e.mapped.table; t != nil && t != r.shapes.flowing(t.Name) {
			r.stopRenamed(e.mapped.table)
			continue
		}
		if err := r.take(e.mapped, e.kind, e.body); err != nil {
			return err
		}
	}
	r.group.events = g.rows
	return nil
}

// stopRenamed stops the table whose shape changed while an XA transaction that changed
// it was prepared. Servers do not let that happen.
func (r *streamer) stopRenamed(old *row.Table) {
	for _, t := range r.shapes.all() {
		if t.Number == old.Number && t.Stopped == "" {
			r.stop(t, "resync needed: its shape changed before an XA transaction that had changed its rows was committed (%s)", fault.SourceXA)
		}
	}
}

// readPrepared reads a prepared group again and takes its rows.
func (r *streamer) readPrepared(g *prepared) error {
	from, cur := r.s.dumpTo(g.start, gtidState{unknown: true})
	defer func(f *format, maps map[uint64]*mapped) { r.format, r.maps, r.again = f, maps, nil }(r.format, r.maps)
	r.maps = map[uint64]*mapped{}
	r.group.events = 0
	ended := false
	r.again = func(h header, body []byte) error {
		switch _, _, _, rows := isRows(h.kind); {
		case rows:
			return r.rows(h, body)
		case h.kind == evTableMap:
			return r.tableMap(h, body)
		case h.kind == evPayload:
			return r.payload(bytes.NewReader(body))
		case h.kind == evXAPrepare:
			ended = true
		}
		return nil
	}
	var its *format
	err := r.s.scanEvents(r.ctx, from, &cur, true, func(h header, body []byte, start uint64) error {
		if start < g.start.offset && cur.at.file == g.start.file {
			return nil
		}
		if its == nil {
			f := cur.format
			its, r.format = &f, &f
		}
		if err := r.again(h, body); err != nil || !ended {
			return err
		}
		return errDone
	})
	if err == nil && !ended { // a server that is shut down ends a dump as if the log ended
		return fault.New(fault.SourceQuery, "the XA transaction prepared at %s was not read to its end", g.start).At("%s", r.s.where())
	}
	return err
}

// preparedGroup returns a group by its name, from the log where it is not known; nil
// when the log does not have it any more.
func (r *streamer) preparedGroup(name string) (*prepared, error) {
	p := &r.prepares
	for p.open[name] == nil && p.searched.file > 0 {
		found, err := r.s.preparedIn(r.ctx, p.searched)
		if fault.Has(err, fault.SourceLost) {
			p.searched = place{}
			break
		}
		if err != nil {
			return nil, err
		}
		for other, at := range found.open {
			if p.open[other] == nil {
				p.open[other] = &prepared{start: at, again: true}
			}
		}
		p.searched.file, p.searched.offset = p.searched.file-1, maxOffset
	}
	return p.open[name], nil
}

// xaFile is what a file of the log has of XA transactions up to a place.
type xaFile struct {
	open  map[string]place // prepared there, and where
	ended map[string]bool  // committed or rolled back there, wherever they were prepared
}

// preparedIn reads a file of the log up to a place.
func (s *source) preparedIn(ctx context.Context, until place) (xaFile, error) {
	found := xaFile{open: map[string]place{}, ended: map[string]bool{}}
	from := until
	from.offset = 4
	cur := cursor{at: from, anchored: true}
	group, whole := from, false
	err := s.scan(ctx, dumpStart{file: from.name(), offset: 4}, &cur, func(h header, body []byte, start uint64) error {
		if whole = cur.at.file != until.file || start >= until.offset; whole {
			return errDone
		}
		switch h.kind {
		case evGTID, evMySQLGTID, evAnonymous:
			group.offset = start
			e, err := parseOpening(h, body)
			if err != nil {
				return err
			}
			if e.flags&gtidPreparedXA != 0 {
				found.open[e.xa] = group
			}
		case evQuery, evQueryCompressed:
			q, err := parseQuery(h, body, h.kind == evQueryCompressed)
			if err != nil {
				return err
			}
			if name := xaOf(q.text, "XA START"); name != "" {
				found.open[name] = group
			}
			if name := xaOf(q.text, "XA COMMIT", "XA ROLLBACK"); name != "" {
				found.ended[name] = true
				delete(found.open, name)
			}
		}
		return nil
	})
	if err == nil && !whole && cur.at.file == until.file && cur.at.offset < until.offset {
		err = fault.New(fault.SourceQuery, "the log was not read up to %s", until).At("%s", s.where())
	}
	return found, err
}

// parseXA reads the name of an XA transaction from a GTID event.
func parseXA(r *bodyReader) string {
	format := uint32(r.uint(4))
	global, branch := int(r.uint(1)), int(r.uint(1))
	return xaName(format, r.take(global), r.take(branch))
}
