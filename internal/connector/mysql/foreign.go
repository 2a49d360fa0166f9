package mysql

import (
	"context"
	"slices"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// link is a foreign key that changes rows of the child along with the parent's.
type link struct{ child, parent row.Name }

// showMost is how many tables are shown by one message.
const showMost = 64

// links returns the foreign keys of these tables of a database that cascade, whoever
// their parents are. A table that is gone has none.
func (c *conn) links(ctx context.Context, space string, tables []string) (out []link, err error) {
	if c.mysql {
		return c.linksListed(ctx, space, tables)
	}
	if err := c.allowMany(ctx); err != nil {
		return nil, err
	}
	for part := range slices.Chunk(tables, showMost) {
		found, err := c.linksShown(ctx, space, part)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// linksListed reads MySQL's catalogue.
func (c *conn) linksListed(ctx context.Context, space string, tables []string) (out []link, err error) {
	ask := "SELECT TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = " + quoteText(space)
	if len(tables) == 1 {
		ask += " AND TABLE_NAME = " + quoteText(tables[0])
	}
	wanted := map[string]bool{}
	for _, t := range tables {
		wanted[t] = true
	}
	err = c.each(ctx, ask, func(v []value) error {
		if wanted[v[0].text()] && (follows(v[3].text()) || follows(v[4].text())) {
			out = append(out, link{row.Name{Space: space, Table: v[0].text()}, row.Name{Space: v[1].text(), Table: v[2].text()}})
		}
		return nil
	})
	return out, err
}

func follows(rule string) bool {
	return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT"
}

// linksShown reads the statements that would make the tables: MariaDB's catalogue hides
// foreign keys from who may do no more with a table than SELECT.
func (c *conn) linksShown(ctx context.Context, space string, tables []string) (out []link, err error) {
	var ask []string
	for _, t := range tables {
		ask = append(ask, "SHOW CREATE TABLE "+tableName(row.Name{Space: space, Table: t}))
	}
	shown, err := c.together(ctx, ask...)
	switch {
	case fault.Has(err, fault.SourceShape) && len(tables) == 1:
		return nil, nil
	case fault.Has(err, fault.SourceShape): // one of them is gone: nothing behind it was answered
		first, err := c.linksShown(ctx, space, tables[:len(tables)/2])
		if err != nil {
			return nil, err
		}
		second, err := c.linksShown(ctx, space, tables[len(tables)/2:])
		return append(first, second...), err
	case err != nil:
		return nil, err
	}
	for i, rows := range shown {
		if len(rows) == 1 && len(rows[0]) > 1 {
			out = append(out, linksIn(rows[0][1].text(), row.Name{Space: space, Table: tables[i]})...)
		}
	}
	return out, nil
}

// linksIn reads the foreign keys that cascade in what SHOW CREATE TABLE printed.
func linksIn(text string, child row.Name) (out []link) {
	if !strings.Contains(text, "FOREIGN KEY") {
		return nil
	}
	w := words{tokensUpTo(text, true, false, len(text))} // keys stand last: behind all labels of all enums
	for len(w.t) > 0 {
		if !w.skipAll("FOREIGN", "KEY") {
			w.t = w.t[1:]
			continue
		}
		w.skipTo("REFERENCES")
		space, table, ok := w.name()
		w.skipTo(")")
		if !w.follows() || !ok {
			continue
		}
		if space == "" {
			space = child.Space
		}
		out = append(out, link{child, row.Name{Space: space, Table: table}})
	}
	return out
}

// link notes foreign keys.
func (r *shapeReader) link(links []link) {
	for _, l := range links {
		r.parents[l.child] = append(r.parents[l.child], l.parent)
	}
}

// above notes the foreign keys of the parents of these tables, and of theirs: one that is
// not chosen may be changed along with another. Those of a table that the user may not
// read are not seen.
func (r *shapeReader) above(ctx context.Context, next []row.Name) error {
	for seen := map[row.Name]bool{}; len(next) > 0; next = next[1:] {
		n := next[0]
		if seen[n] {
			continue
		}
		seen[n] = true
		if _, known := r.parents[n]; !known && !r.read(n) {
			links, err := r.c.links(ctx, n.Space, []string{n.Table})
			if err != nil && !fault.Has(err, fault.SourceGrants) {
				return err
			}
			r.link(links)
		}
		next = append(next, r.parents[n]...)
	}
	return nil
}

// read reports whether a table is one of those being read.
func (r *shapeReader) read(n row.Name) bool {
	d := r.tables[n]
	return d != nil && len(d.t.Columns) > 0
}

// ancestors returns every table whose changes may reach a child, in the order of names.
func (r *shapeReader) ancestors(child row.Name) (out []row.Name) {
	for next := slices.Clone(r.parents[child]); len(next) > 0; next = next[1:] {
		if !slices.Contains(out, next[0]) {
			out = append(out, next[0])
			next = append(next, r.parents[next[0]]...)
		}
	}
	slices.SortFunc(out, compareNames)
	return out
}

// skipTo takes everything up to and with the word.
func (w *words) skipTo(word string) {
	for len(w.t) > 0 && !w.skip(word) {
		w.t = w.t[1:]
	}
}

// follows takes what stands behind the columns of a foreign key, and reports whether one
// of its rules changes the child.
func (w *words) follows() (yes bool) {
	for w.skipAll("ON", "DELETE") || w.skipAll("ON", "UPDATE") {
		switch {
		case w.skip("CASCADE"), w.skipAll("SET", "NULL"), w.skipAll("SET", "DEFAULT"):
			yes = true
		case w.skip("RESTRICT"), w.skipAll("NO", "ACTION"):
		}
	}
	return yes
}

// withNames returns the names with more of them, in their order, without doubles.
func withNames(names []row.Name, more ...row.Name) []row.Name {
	out := slices.Concat(names, more)
	slices.SortFunc(out, compareNames)
	return slices.Compact(out)
}

// under returns the change by which a table has another parent, and whatever is above
// that one now; nil when it has them already.
func (x *shapes) under(ctx context.Context, t *row.Table, parent row.Name) (*row.SchemaChange, error) {
	if slices.Contains(t.Parents, parent) {
		return nil, nil
	}
	c, err := x.s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r := newShapeReader(c)
	if err := r.above(ctx, []row.Name{parent}); err != nil {
		return nil, err
	}
	after := next(t)
	after.Parents = withNames(t.Parents, append(r.ancestors(parent), parent)...)
	return &row.SchemaChange{Kind: row.Alter, Before: t, After: after}, nil
}

// parentsOf returns the parents of a table, also those that have it in their Cascades,
// where it stands under the name it has now.
func (x *shapes) parentsOf(t *row.Table) []row.Name {
	out := t.Parents
	for _, p := range x.tables {
		if slices.Contains(p.Cascades, t.Name) {
			out = withNames(out, p.Name)
		}
	}
	return out
}

// reach returns the tables that a change of each may change along.
func (x *shapes) reach() map[row.Name][]row.Name {
	if x.below == nil {
		x.below = map[row.Name][]row.Name{}
		for _, t := range x.all() { // in their order: read again, tables stop in the same one
			x.below[t.Name] = append(x.below[t.Name], t.Cascades...)
			for _, p := range t.Parents {
				x.below[p] = append(x.below[p], t.Name)
			}
		}
	}
	return x.below
}

// stranger returns the shape that a table has now which is not followed; nil when it
// cannot be read.
func (x *shapes) stranger(ctx context.Context, n row.Name) (*row.Table, error) {
	if t, ok := x.strangers[n]; ok {
		return t, nil
	}
	t, err := x.catalogue(ctx, n)
	if err != nil && !fault.Has(err, fault.SourceGrants) {
		return nil, err
	}
	x.strangers[n] = t
	return t, nil
}

// spreads reports whether a statement also concerns tables below those it names.
func (x *shapes) spreads(acts []action) bool {
	for _, a := range acts {
		if from, _, ok := a.spread(); ok && slices.ContainsFunc(x.all(), func(t *row.Table) bool { return slices.Contains(t.Parents, from) }) {
			return true
		}
	}
	return false
}

// spread tells which parent's children get which other parent by an action: those of a
// table that gets a parent itself, or another name.
func (a action) spread() (from, to row.Name, ok bool) {
	switch a.deed {
	case deedParent:
		return a.to, a.name, true
	case deedRename:
		return a.name, a.to, true
	}
	return from, to, false
}

// spread hands over the changes of tables below those that a statement names. They come
// after its own, so that what is left out when it is read again stays the same.
func (r *streamer) spread(acts []action, text string) error {
	n := len(acts)
	for _, a := range acts {
		from, to, ok := a.spread()
		for _, t := range r.shapes.all() {
			if !ok || !slices.Contains(t.Parents, from) {
				continue
			}
			if n++; n <= r.group.skip {
				continue
			}
			r.group.changes = n - 1
			c, err := r.shapes.under(r.ctx, t, to)
			if err == nil && c != nil {
				err = r.change(c, text, false)
			}
			if err != nil {
				return err
			}
		}
	}
	r.group.changes = max(r.group.changes, n)
	return nil
}

// cascade stops the tables whose rows a foreign key changes along with a row event of
// their parent: the log has only the parent's rows. What an update of a parent changed
// that cannot be read may be what is referenced.
func (r *streamer) cascade(m *mapped, kind byte, body []byte) error {
	e, err := r.format.parseRows(kind, body)
	if err != nil {
		return r.broken(err)
	}
	if e.op == opWrite {
		return nil
	}
	if e.op == opUpdate && m.layout != nil {
		moved, err := keyMoves(m.layout, e)
		if err != nil && m.table != nil {
			return r.broken(err)
		}
		if err == nil && !moved {
			return nil
		}
	}
	r.stopChildren(m.name)
	return nil
}

// stopChildren stops every table that a change of the parent may reach.
func (r *streamer) stopChildren(parent row.Name) {
	below := r.shapes.reach()
	next := slices.Clone(below[parent])
	for seen := map[row.Name]bool{}; len(next) > 0; next = next[1:] {
		n := next[0]
		if seen[n] {
			continue
		}
		seen[n] = true
		if child := r.shapes.flowing(n); child != nil {
			r.stop(child, "resync needed: rows may have been changed by the foreign key on %s, which the log does not tell", parent)
		}
		next = append(next, below[n]...)
	}
}

// keyMoves reports whether an update event changes a column that stands in the
// key, or may be referenced: without a key any column may.
func keyMoves(l *layout, e rowsEvent) (bool, error) {
	if e.width != len(l.fields) {
		return false, errImage
	}
	rows := e.rows
	if e.compressed {
		var err error
		if rows, err = inflate(nil, rows); err != nil {
			return false, err
		}
	}
	d := decoder{}
	n, m := count(e.present, e.width), count(e.after, e.width)
	for len(rows) > 0 {
		size, err := d.scan(l, e.present, n, rows)
		if err != nil {
			return false, err
		}
		old := rows[:size]
		rows = rows[size:]
		if len(l.key) == 0 || d.moved(l, e, m, old, rows) {
			return true, nil
		}
		if size, err = d.scan(l, e.after, m, rows); err != nil {
			return false, err
		}
		rows = rows[size:]
	}
	return false, nil
}
