package mysql

import (
	"context"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// link is a foreign key that changes rows of the child along with the parent's.
type link struct {
	child  row.Name
	parent row.Parent
}

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
	of := " WHERE CONSTRAINT_SCHEMA = " + quoteText(space)
	if len(tables) == 1 {
		of += " AND TABLE_NAME = " + quoteText(tables[0])
	}
	wanted := map[string]bool{}
	for _, t := range tables {
		wanted[t] = true
	}
	columns := map[string][]string{} // of each foreign key: their names are of the database
	err = c.each(ctx, "SELECT CONSTRAINT_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE"+of+" AND REFERENCED_TABLE_NAME IS NOT NULL", func(v []value) error {
		columns[v[0].text()] = append(columns[v[0].text()], v[1].text())
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, "SELECT TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"+of, func(v []value) error {
		if wanted[v[0].text()] && (follows(v[3].text()) || follows(v[4].text())) {
			parent := row.Parent{Name: row.Name{Space: v[1].text(), Table: v[2].text()}, Columns: columns[v[5].text()]}
			out = append(out, link{row.Name{Space: space, Table: v[0].text()}, parent})
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
		columns := w.list()
		if !w.follows() || !ok {
			continue
		}
		if space == "" {
			space = child.Space
		}
		out = append(out, link{child, row.Parent{Name: row.Name{Space: space, Table: table}, Columns: columns}})
	}
	return out
}

// link notes foreign keys.
func (r *shapeReader) link(links []link) {
	for _, l := range links {
		r.parents[l.child] = withParents(r.parents[l.child], l.parent)
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
		next = append(next, parentNames(r.parents[n])...)
	}
	return nil
}

// read reports whether a table is one of those being read.
func (r *shapeReader) read(n row.Name) bool {
	d := r.tables[n]
	return d != nil && len(d.t.Columns) > 0
}

// ancestors returns every table whose changes may reach a child.
func (r *shapeReader) ancestors(child row.Name) (out []row.Parent) {
	seen := map[row.Name]bool{}
	for next := []row.Name{child}; len(next) > 0; next = next[1:] {
		if n := next[0]; !seen[n] {
			seen[n] = true
			out = withParents(out, r.parents[n]...)
			next = append(next, parentNames(r.parents[n])...)
		}
	}
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

// list takes names in brackets.
func (w *words) list() (names []string) {
	for w.skip("("); len(w.t) > 0 && !w.skip(")"); w.t = w.t[1:] {
		if !w.t[0].is(",") {
			names = append(names, w.t[0].text)
		}
	}
	return names
}

func parentNames(list []row.Parent) (out []row.Name) {
	for _, p := range list {
		out = append(out, p.Name)
	}
	return out
}

// findParent returns where a parent stands, or would, in a list that is in the order of
// their names.
func findParent(list []row.Parent, n row.Name) (at int, found bool) {
	return slices.BinarySearchFunc(list, n, func(p row.Parent, n row.Name) int { return compareNames(p.Name, n) })
}

// withParents returns the parents with more of them, or with more of their columns.
func withParents(list []row.Parent, more ...row.Parent) []row.Parent {
	out := slices.Clone(list)
	for _, p := range more {
		i, found := findParent(out, p.Name)
		if !found {
			out = slices.Insert(out, i, row.Parent{Name: p.Name})
		}
		columns := slices.Concat(out[i].Columns, p.Columns)
		slices.Sort(columns)
		out[i].Columns = slices.Compact(columns)
	}
	return out
}

func sameParents(a, b []row.Parent) bool {
	return slices.EqualFunc(a, b, func(p, q row.Parent) bool { return p.Name == q.Name && slices.Equal(p.Columns, q.Columns) })
}

// under returns the change by which a table has another parent, and whatever is above
// that one now; nil when it has them already.
func (x *shapes) under(ctx context.Context, t *row.Table, parent row.Parent) (*row.SchemaChange, error) {
	parents := withParents(t.Parents, parent)
	if sameParents(parents, t.Parents) {
		return nil, nil
	}
	c, err := x.s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r := newShapeReader(c)
	if err := r.above(ctx, []row.Name{parent.Name}); err != nil {
		return nil, err
	}
	after := next(t)
	after.Parents = withParents(parents, r.ancestors(parent.Name)...)
	return &row.SchemaChange{Kind: row.Alter, Before: t, After: after}, nil
}

// parentsOf returns the parents of a table, also those that have it in their Cascades,
// where it stands under the name it has now.
func (x *shapes) parentsOf(t *row.Table) []row.Parent {
	out := t.Parents
	for _, p := range x.tables {
		if slices.Contains(p.Cascades, t.Name) {
			out = withParents(out, row.Parent{Name: p.Name})
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
				x.below[p.Name] = append(x.below[p.Name], t.Name)
			}
		}
	}
	return x.below
}

// watched returns the columns of a parent whose changes change rows of other tables along:
// those of its key and those that are referred to. Where that is not known it is any.
func (x *shapes) watched(t *row.Table) []int {
	out := slices.Clone(t.Key)
	for _, n := range x.reach()[t.Name] {
		child := x.tables[n]
		if child == nil {
			continue
		}
		var columns []string
		if i, found := findParent(child.Parents, t.Name); found {
			columns = child.Parents[i].Columns
		}
		if len(columns) == 0 && len(t.Key) == 0 {
			return everyColumn(t)
		}
		for _, name := range columns {
			i := slices.IndexFunc(t.Columns, func(c row.Column) bool { return strings.EqualFold(c.Name, name) })
			if i < 0 { // it had another name
				return everyColumn(t)
			}
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func everyColumn(t *row.Table) (out []int) {
	for i := range t.Columns {
		out = append(out, i)
	}
	return out
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
	return slices.ContainsFunc(acts, func(a action) bool { return len(x.concerned(a)) > 0 })
}

// concerned returns the tables below that which an action concerns: those of a table that
// gets a parent itself, another name or other names for its columns.
func (x *shapes) concerned(a action) (out []*row.Table) {
	n := a.name
	switch {
	case a.deed == deedParent:
		n = a.to
	case a.deed == deedRename, len(a.renames()) > 0:
	default:
		return nil
	}
	for _, t := range x.all() {
		if _, found := findParent(t.Parents, n); found {
			out = append(out, t)
		}
	}
	return out
}

// renames returns the new names of the columns to which an action gives one.
func (a action) renames() map[string]string {
	out := map[string]string{}
	for _, s := range a.specs {
		switch {
		case s.Tp == ast.AlterTableRenameColumn:
			out[s.OldColumnName.Name.L] = s.NewColumnName.Name.O
		case s.Tp == ast.AlterTableChangeColumn && s.OldColumnName.Name.L != s.NewColumns[0].Name.Name.L:
			out[s.OldColumnName.Name.L] = s.NewColumns[0].Name.Name.O
		}
	}
	return out
}

// concern returns the change that an action makes to a table that it concerns, nil for
// none.
func (x *shapes) concern(ctx context.Context, t *row.Table, a action) (*row.SchemaChange, error) {
	switch a.deed {
	case deedParent:
		return x.under(ctx, t, row.Parent{Name: a.name, Columns: a.columns})
	case deedRename:
		i, _ := findParent(t.Parents, a.name)
		return x.under(ctx, t, row.Parent{Name: a.to, Columns: t.Parents[i].Columns})
	}
	i, _ := findParent(t.Parents, a.name)
	renamed := a.renames()
	columns := slices.Clone(t.Parents[i].Columns)
	for k, c := range columns {
		if to, ok := renamed[strings.ToLower(c)]; ok {
			columns[k] = to
		}
	}
	if slices.Equal(columns, t.Parents[i].Columns) {
		return nil, nil
	}
	after := next(t)
	after.Parents = slices.Clone(t.Parents)
	slices.Sort(columns)
	after.Parents[i].Columns = columns
	return &row.SchemaChange{Kind: row.Alter, Before: t, After: after}, nil
}

// spread hands over the changes of tables below those that a statement names. They come
// after its own, so that what is left out when it is read again stays the same.
func (r *streamer) spread(acts []action, text string) error {
	n := len(acts)
	for _, a := range acts {
		for _, t := range r.shapes.concerned(a) {
			if n++; n <= r.group.skip {
				continue
			}
			r.group.changes = n - 1
			c, err := r.shapes.concern(r.ctx, t, a)
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
		moved, err := keyMoves(m.layout, m.watched, e)
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

// keyMoves reports whether an update event changes one of the watched columns.
func keyMoves(l *layout, watched []int, e rowsEvent) (bool, error) {
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
	of := *l
	of.key = watched
	d := decoder{}
	n, m := count(e.present, e.width), count(e.after, e.width)
	for len(rows) > 0 {
		size, err := d.scan(l, e.present, n, rows)
		if err != nil {
			return false, err
		}
		old := rows[:size]
		rows = rows[size:]
		if e.partial {
			if _, rows, err = l.diffs(rows); err != nil {
				return false, err
			}
		}
		if d.moved(&of, e, m, old, rows) {
			return true, nil
		}
		if size, err = d.scan(l, e.after, m, rows); err != nil {
			return false, err
		}
		rows = rows[size:]
	}
	return false, nil
}
