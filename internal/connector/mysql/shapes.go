package mysql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// shapes are the tables at the place reached. It is used by the reader goroutine.
type shapes struct {
	s      *source
	split  connector.Split
	tables map[row.Name]*row.Table
	known  *collations // read when the first statement needs it
	lower  bool
	inline bool                 // see statementReader
	mysql  bool                 // known with known
	spaces map[string]collation // default of each database, as far as asked for
	// empty are tables that were made in the log and had no row since, such as online
	// schema changes alter before they fill them.
	empty map[row.Name]bool
	// strangers are the present shapes of parents that are not followed, nil for none.
	strangers map[row.Name]*row.Table
	below     map[row.Name][]row.Name // see reach; nil: to be made anew
}

func newShapes(s *source, split connector.Split) *shapes {
	x := &shapes{s: s, split: split, tables: map[row.Name]*row.Table{}, spaces: map[string]collation{}, empty: map[row.Name]bool{}, strangers: map[row.Name]*row.Table{}}
	for _, t := range split.Tables {
		x.tables[t.Name] = t
	}
	return x
}

// flowing returns the chosen table of that name unless it has left the stream.
func (x *shapes) flowing(n row.Name) *row.Table {
	t := x.tables[n]
	if t == nil || t.Stopped != "" {
		return nil
	}
	return t
}

// all returns the tables in the order of their names.
func (x *shapes) all() []*row.Table {
	return slices.SortedFunc(maps.Values(x.tables), func(a, b *row.Table) int { return strings.Compare(a.Name.String(), b.Name.String()) })
}

// done makes the shapes those after a change.
func (x *shapes) done(c *row.SchemaChange) {
	x.below = nil
	empty := c.Kind == row.Create
	if c.Before != nil {
		empty = x.empty[c.Before.Name]
		delete(x.empty, c.Before.Name)
	}
	if empty && c.After != nil {
		x.empty[c.After.Name] = true
	}
	if c.Before != nil && x.tables[c.Before.Name] == c.Before {
		delete(x.tables, c.Before.Name)
	}
	if c.After != nil {
		x.tables[c.After.Name] = c.After
	}
}

// prepare reads what the server knows of charsets, once.
func (x *shapes) prepare(ctx context.Context) error {
	if x.known != nil {
		return nil
	}
	c, err := x.s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	from := "FULL_COLLATION_NAME, CHARACTER_SET_NAME, ID, IS_DEFAULT, @@global.lower_case_table_names FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
	if c.mysql {
		from = "COLLATION_NAME, CHARACTER_SET_NAME, ID, IS_DEFAULT, @@global.lower_case_table_names FROM information_schema.COLLATIONS"
	}
	rows, err := c.query(ctx, "SELECT "+from)
	if err != nil {
		return err
	}
	known := &collations{byID: map[uint16]collation{}, byName: map[string]collation{}, byCharset: map[string]string{}}
	for _, v := range rows {
		c := collation{v[0].text(), v[1].text()}
		id, err := strconv.ParseUint(v[2].text(), 10, 16)
		if err != nil {
			return fault.New(fault.SourceProtocol, "the server's collations cannot be read").By(err)
		}
		known.byID[uint16(id)], known.byName[c.name] = c, c
		if v[3].text() == "Yes" {
			known.byCharset[c.charset] = c.name
		}
		x.lower = v[4].text() != "0"
	}
	x.known, x.mysql, x.inline = known, c.mysql, !c.mysql || !c.before(9, 0)
	return nil
}

// catalogue reads the shape that a table has now; nil when there is none.
func (x *shapes) catalogue(ctx context.Context, n row.Name) (*row.Table, error) {
	c, err := x.s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	t, err := x.s.shapeOf(ctx, c, n)
	if fault.Has(err, fault.SourceType) {
		return nil, nil // a type that cannot be moved: as good as no shape
	}
	return t, err
}

// apply returns the change that an action makes, nil for none.
func (x *shapes) apply(ctx context.Context, a action, q queryEvent) (*row.SchemaChange, error) {
	delete(x.strangers, a.name)
	delete(x.strangers, a.to)
	t := x.tables[a.name]
	chosen := x.split.Selector.Match(a.name)
	switch a.deed {
	case deedParent:
		if child := x.tables[a.to]; child != nil {
			return x.under(ctx, child, row.Parent{Name: a.name, Columns: a.columns})
		}
		return nil, nil
	case deedCreate, deedLike:
		if t != nil && a.ifNot || !chosen {
			return nil, nil
		}
		return x.create(ctx, t, a, q)
	case deedRename:
		return x.rename(ctx, t, a)
	case deedSpace:
		return nil, x.setSpace(ctx, a, q)
	}
	if t == nil {
		switch {
		case a.deed == deedReread && chosen:
			return x.reread(ctx, nil, a)
		case a.deed == deedStop && a.made && chosen:
			return x.unread(ctx, a.name, "it was made in a way that cannot be followed: "+a.reason)
		}
		return nil, nil
	}
	if a.deed == deedDrop {
		return &row.SchemaChange{Kind: row.Drop, Before: t}, nil
	}
	if t.Stopped != "" {
		return nil, nil
	}
	switch a.deed {
	case deedAlter:
		return x.alter(ctx, t, a, q)
	case deedReread:
		return x.reread(ctx, t, a)
	case deedKey:
		return x.recheckKey(ctx, t, a.column)
	case deedStop:
		if a.ifNot {
			return nil, nil // it was there already
		}
		return x.stop(t, a.reason), nil
	}
	return nil, nil
}

// next returns a copy of t as its next version.
func next(t *row.Table) *row.Table {
	n := *t
	n.Version++
	return &n
}

func (x *shapes) stop(t *row.Table, why string) *row.SchemaChange {
	after := next(t)
	after.Stopped = "resync needed: " + why
	return &row.SchemaChange{Kind: row.Stop, Before: t, After: after}
}

func (x *shapes) create(ctx context.Context, old *row.Table, a action, q queryEvent) (*row.SchemaChange, error) {
	if old != nil {
		return x.stop(old, "it was created though it was there already"), nil
	}
	var t *row.Table
	var err error
	if a.deed == deedLike {
		if like := x.tables[a.to]; like != nil && like.Stopped == "" {
			c := *like
			t = &c
			t.Cascades, t.Parents = nil, nil // foreign keys are not copied
		} else {
			err = fmt.Errorf("the table it is made like is not followed")
		}
	} else {
		c, e := x.space(ctx, a.name.Space, q)
		if e != nil {
			return nil, e
		}
		t, err = tableOf(a.name, a.create, x.known, c.charset, c.name)
	}
	if err != nil {
		a.reason = err.Error()
		return x.reread(ctx, nil, a)
	}
	t.Name, t.Number, t.Version, t.Generation, t.Rows, t.Bytes = a.name, 0, 1, 0, -1, -1
	return &row.SchemaChange{Kind: row.Create, After: t}, nil
}

// space returns the collation that new tables of a database get by default: what
// the log said last, else what the server says now, else the server's own.
func (x *shapes) space(ctx context.Context, space string, q queryEvent) (collation, error) {
	if q.space != 0 && q.database == space {
		return x.known.byID[q.space], nil
	}
	if c, ok := x.spaces[space]; ok {
		return c, nil
	}
	c, err := x.s.dial(ctx)
	if err != nil {
		return collation{}, err
	}
	defer c.close()
	rows, err := c.query(ctx, "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = "+quoteText(space))
	if err != nil {
		return collation{}, err
	}
	out := x.known.byID[q.server]
	if len(rows) == 1 {
		out = x.known.byName[rows[0][0].text()]
	}
	x.spaces[space] = out
	return out, nil
}

// setSpace notes the default of a database that is made or changed.
func (x *shapes) setSpace(ctx context.Context, a action, q queryEvent) error {
	old := x.known.byID[q.server]
	if !a.whole {
		var err error
		if old, err = x.space(ctx, a.name.Space, q); err != nil {
			return err
		}
	}
	// DEFAULT, or one not known, is left out: the next table asks the server.
	if charset, name, err := x.known.resolve(a.charset, a.collation, old.charset, old.name); err == nil {
		x.spaces[a.name.Space] = collation{name, charset}
	}
	return nil
}

// rename moves a table, in the selection, out of it or into it. A table that
// comes in has rows that were never read: it is stopped at once.
func (x *shapes) rename(ctx context.Context, t *row.Table, a action) (*row.SchemaChange, error) {
	in := x.split.Selector.Match(a.to)
	switch {
	case t != nil && in:
		after := next(t)
		after.Name, after.Parents = a.to, x.parentsOf(t)
		return &row.SchemaChange{Kind: row.Alter, Before: t, After: after}, nil
	case t != nil:
		return &row.SchemaChange{Kind: row.Drop, Before: t}, nil
	case !in:
		return nil, nil
	}
	c, err := x.unread(ctx, a.to, fmt.Sprintf("it was renamed from %s, which is not among the tables read", a.name))
	if err == nil {
		c.After.Heals = true
	}
	return c, err
}

// unread returns the change by which a chosen table comes that is marked at once.
func (x *shapes) unread(ctx context.Context, n row.Name, why string) (*row.SchemaChange, error) {
	after, err := x.catalogue(ctx, n)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = &row.Table{Name: n}
	}
	after.Number, after.Version, after.Rows, after.Bytes = 0, 1, -1, -1
	after.Stopped = "resync needed: " + why
	return &row.SchemaChange{Kind: row.Stop, After: after}, nil
}

func (x *shapes) alter(ctx context.Context, t *row.Table, a action, q queryEvent) (*row.SchemaChange, error) {
	f := &filler{empty: x.empty[t.Name], q: q, mysql: x.mysql, computed: a.computed, ask: func(sql string) (string, error) { return x.inZone(ctx, q.zone, sql) }}
	e := newEditor(t, x.known)
	e.filler = f
	err := e.alter(a.specs)
	if f.failed != nil {
		return nil, f.failed
	}
	var after *row.Table
	var renamed map[string]string
	if err == nil {
		after, renamed, err = e.finish()
	}
	if err != nil {
		a.reason = err.Error()
		return x.reread(ctx, t, a)
	}
	for _, c := range e.cols {
		switch {
		case c.old != "":
			f.compare(t.Columns[t.Column(c.old)], c.Column, a.lax)
		case t.Column(c.Name) >= 0:
			f.doubt("column %s is another one under its name", clip(c.Name, 80))
		}
	}
	if a.ignore && leavesOut(a.specs) {
		f.doubt("rows that were there twice were left out")
	}
	if f.unfilled == "" && t.SameShape(after) && t.Charset == after.Charset && t.Collation == after.Collation {
		return nil, nil
	}
	after.Version++
	return &row.SchemaChange{Kind: row.Alter, Before: t, After: after, Renamed: renamed, Unfilled: f.unfilled, Passing: f.passing && !f.empty}, nil
}

// reread takes the shape that the catalogue has now for a statement that could
// not be followed. That it fits is proved by the next rows: their table map must
// have the same columns and types, or the table stops.
func (x *shapes) reread(ctx context.Context, t *row.Table, a action) (*row.SchemaChange, error) {
	now, err := x.catalogue(ctx, a.name)
	switch {
	case err != nil:
		return nil, err
	case now == nil && t == nil:
		x.s.warn("a table was created by a statement that cannot be read, and is gone again", "table", a.name.String(), "why", a.reason)
		return nil, nil
	case now == nil:
		return x.stop(t, "its change cannot be read: "+a.reason), nil
	case t == nil:
		now.Number, now.Version, now.Rows, now.Bytes = 0, 1, -1, -1
		return &row.SchemaChange{Kind: row.Create, After: now}, nil
	}
	f, parents := x.between(t, now, a), withParents(t.Parents, now.Parents...)
	if f.unfilled == "" && t.SameShape(now) && sameParents(parents, t.Parents) {
		return nil, nil
	}
	after := next(t)
	after.Columns, after.Key, after.Charset, after.Collation, after.Parents = now.Columns, now.Key, now.Charset, now.Collation, parents
	return &row.SchemaChange{Kind: row.Alter, Before: t, After: after, Unfilled: f.unfilled}, nil
}

// between says what became of rows by a statement of which only the shapes before and after
// it are known.
func (x *shapes) between(t, now *row.Table, a action) *filler {
	f := &filler{empty: x.empty[t.Name]}
	if a.ignore {
		f.doubt("rows that were there twice may have been left out")
	}
	kept := 0
	for _, c := range now.Columns {
		i := t.Column(c.Name)
		switch {
		case i >= 0:
			kept++
			f.compare(t.Columns[i], c, a.lax)
		case c.Default == nil:
			f.doubt("what rows show in the new column %s is not in the log", clip(c.Name, 80))
		}
	}
	if kept < len(t.Columns) && kept < len(now.Columns) {
		f.doubt("a column may have got another name")
	}
	return f
}

// recheckKey asks the catalogue for the key of a table when an index is gone that
// may have been the key, or when that column, of the key, may be null: shapes do not name
// their indexes. The same key as before was not meant; no key at all is right from here on,
// whatever happened since; another key may have come later, and what it was in between
// cannot be told.
func (x *shapes) recheckKey(ctx context.Context, t *row.Table, column string) (*row.SchemaChange, error) {
	if len(t.Key) == 0 || column != "" && !slices.Contains(keyNames(t), column) {
		return nil, nil
	}
	now, err := x.catalogue(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	if now != nil && slices.Equal(keyNames(now), keyNames(t)) {
		return nil, nil
	}
	if now == nil || !sameColumns(t, now) || len(now.Key) > 0 {
		return x.stop(t, "an index was dropped or altered that may have been its key, and the table has changed again since"), nil
	}
	after := next(t)
	after.Key = nil
	if i := t.Column(column); i >= 0 {
		after.Columns = slices.Clone(t.Columns)
		after.Columns[i].Nullable = true
	}
	return &row.SchemaChange{Kind: row.Alter, Before: t, After: after}, nil
}

func keyNames(t *row.Table) (out []string) {
	for _, k := range t.Key {
		out = append(out, t.Columns[k].Name)
	}
	return out
}

func sameColumns(a, b *row.Table) bool {
	return slices.EqualFunc(a.Columns, b.Columns, func(x, y row.Column) bool { return x.Name == y.Name && x.Type.Native == y.Type.Native })
}
