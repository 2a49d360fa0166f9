package mysql

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// statement takes a statement that is not part of the frame of a group. alone: it
// is all that the group has.
func (r *streamer) statement(q queryEvent, alone bool) error {
	if r.group.extra&(extraStartAlter|extraRollbackAlter) != 0 {
		return nil // the statement is told again when it is committed
	}
	if err := r.shapes.prepare(r.ctx); err != nil {
		return err
	}
	r.reader.lower, r.reader.inline = r.shapes.lower, r.shapes.inline
	text := r.statementText(q)
	acts, dml := r.reader.read(text, q.database, q.sqlMode)
	if dml != nil {
		r.dml(dml, q, text)
		return nil
	}
	if len(acts) == 1 && acts[0].deed == deedDropAll {
		return r.dropAll(acts[0].name.Space, alone, text)
	}
	more := r.shapes.spreads(acts)
	for i, a := range acts {
		if i < r.group.skip {
			continue
		}
		r.group.changes = i
		if err := r.act(a, q, text, alone && !more && i == len(acts)-1); err != nil {
			return err
		}
	}
	r.group.changes = max(r.group.changes, len(acts))
	return r.spread(acts, text)
}

// statementText returns the text in UTF-8.
func (r *streamer) statementText(q queryEvent) string {
	if c, ok := r.shapes.known.byID[q.charset]; ok && !isASCII(q.text) {
		if conv, ok := charsetOf(c.charset); ok && conv != nil {
			return string(conv.append(nil, q.text))
		}
	}
	return string(q.text)
}

func isASCII(b []byte) bool { return bytes.IndexFunc(b, func(r rune) bool { return r >= 0x80 }) < 0 }

// act carries an action out.
func (r *streamer) act(a action, q queryEvent, text string, last bool) error {
	if a.deed == deedTruncate {
		if t := r.shapes.flowing(a.name); t != nil {
			return r.truncate(t, last)
		}
		return nil
	}
	c, err := r.shapes.apply(r.ctx, a, q)
	if err != nil || c == nil {
		return err
	}
	return r.change(c, text, last)
}

// change hands over a schema change after everything before it.
func (r *streamer) change(c *row.SchemaChange, text string, last bool) error {
	c.Statement = clip(strings.TrimSpace(text), 4000)
	where := ", at " + r.group.start.String() + " in transaction " + r.group.id() + ": " + clip(strings.TrimSpace(text), 300)
	if c.Kind == row.Stop {
		c.After.Stopped = clip(c.After.Stopped, 1000) + where
	}
	if c.Unfilled != "" {
		c.Unfilled = clip(c.Unfilled, 1000) + where
	}
	if err := r.clear(); err != nil {
		return err
	}
	return r.barrier(c, last)
}

// clear hands over what is before a change of the open group.
func (r *streamer) clear() error {
	g := &r.group
	if len(g.touched) == 0 {
		return r.flush()
	}
	end := inside(g.start, g.events, uint64(2*g.changes), g.changes, r.gtids.String(), r.last)
	r.told = place{}
	return r.flushTo(end, int64(r.time)*1_000_000)
}

// dropAll drops every table of a database, each as a change of its own. Read
// again after some of them, the rest goes on with the next number.
func (r *streamer) dropAll(space string, alone bool, text string) error {
	var list []*row.Table
	for _, t := range r.shapes.all() {
		if t.Name.Space == space {
			list = append(list, t)
		}
	}
	r.group.changes = max(r.group.changes, r.group.skip)
	for i, t := range list {
		if err := r.change(&row.SchemaChange{Kind: row.Drop, Before: t}, text, alone && i == len(list)-1); err != nil {
			return err
		}
	}
	return nil
}

// truncate hands over one row that says that all earlier ones are gone.
func (r *streamer) truncate(t *row.Table, last bool) error {
	if err := r.clear(); err != nil {
		return err
	}
	g := &r.group
	x := row.NewBuilder(&r.s.pool)
	x.At(g.start.prefix(g.events), uint64(2*g.changes+1), row.Txn{ID: g.id(), Time: int64(g.stamp) * 1_000_000})
	x.Row(t, row.Truncate)
	for range t.Columns {
		x.Absent()
	}
	end, when := r.afterChange(last)
	b := x.Finish(end, when)
	if r.s.env.Budget != nil {
		r.s.env.Budget.Add(int64(b.Bytes()))
	}
	u, err := r.pipe.get()
	if err != nil {
		b.Release()
		return err
	}
	u.batch = b
	if err := r.pipe.put(u); err != nil {
		b.Release()
		return err
	}
	if last {
		r.told = r.cur.at
	}
	return nil
}

// afterChange counts a change of the open group and returns the end after it.
func (r *streamer) afterChange(last bool) (position.Position, int64) {
	g := &r.group
	g.changes++
	if !last {
		return inside(g.start, g.events, uint64(2*g.changes), g.changes, r.gtids.String(), r.last), int64(r.time) * 1_000_000
	}
	after := lastTxn{g.name, g.start.file, g.start.offset, r.cur.at.offset - g.start.offset, g.stamp}
	gtids := r.gtids.clone()
	gtids.set(g.gtid)
	return r.s.position(r.cur.at, gtids.String(), after), int64(max(r.time, g.stamp)) * 1_000_000
}

// dml stops the tables that a statement changes: the log does not have the rows.
// What the statement does is not guessed: every table it mentions stops, and all
// of them when it mentions code; so do those that a foreign key changes along.
func (r *streamer) dml(d *dmlText, q queryEvent, text string) {
	all := d.verb == "CALL" || d.verb == "SELECT" || d.verb == "DO" || d.verb == "EXECUTE"
	for _, t := range r.shapes.all() {
		if t.Stopped != "" || !all && !d.mentions(t.Name, q.database, r.shapes.lower) {
			continue
		}
		r.stop(t, "resync needed: a change was logged as a statement (%s): %s", fault.SourceStatement, clip(strings.TrimSpace(text), 300))
	}
	below := r.shapes.reach()
	for _, n := range slices.SortedFunc(maps.Keys(below), compareNames) {
		if all || d.mentions(n, q.database, r.shapes.lower) {
			r.stopChildren(n)
		}
	}
}

// mentions reports whether the name of a table stands anywhere in the statement,
// with its database before it or as the current one.
func (d *dmlText) mentions(n row.Name, database string, lower bool) bool {
	same := func(a, b string) bool { return a == b || lower && strings.EqualFold(a, b) }
	for i, t := range d.tokens {
		if t.str || !same(t.text, n.Table) {
			continue
		}
		if i >= 2 && d.tokens[i-1].is(".") {
			if same(d.tokens[i-2].text, n.Space) {
				return true
			}
			continue
		}
		if same(database, n.Space) {
			return true
		}
	}
	return false
}
