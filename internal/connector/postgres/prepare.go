package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// Prepare implements connector.Sink. Tables that are not there are made; one that is
// there and not this sink's is taken only when it is empty and fits.
func (s *sink) Prepare(ctx context.Context, tables []*row.Table) error {
	if err := s.prepared(ctx); err != nil {
		return err
	}
	c, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer s.done(c)
	for _, t := range tables {
		if err := s.prepare(ctx, c, s.target(t)); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes a table this sink's.
func (s *sink) prepare(ctx context.Context, c *session, g *target) error {
	st, err := s.stateOf(ctx, c, g)
	if err != nil {
		return err
	}
	if st.owned && !st.dropped {
		if !st.exists {
			return s.missing(g)
		}
		return nil
	}
	statements, err := s.claimTable(ctx, c, g, st)
	if err != nil {
		return err
	}
	statements = append(append(making(), statements...), "COMMIT")
	if err := c.script(ctx, statements...); err != nil {
		if rolled := c.script(ctx, "ROLLBACK"); rolled != nil {
			return s.grantHint(err)
		}
		// Another process of this job may have been faster.
		if again, lookErr := s.stateOf(ctx, c, g); lookErr == nil && again.owned && again.exists && !again.dropped {
			return nil
		}
		return s.grantHint(err)
	}
	return nil
}

func (s *sink) missing(g *target) error {
	return fault.New(fault.TargetLost, "table %s of this job is not there any more", g.qualified).At("%s", s.Where()).
		Try("restore it; or forget it, DELETE FROM %s WHERE schema_name = %s AND table_name = %s;, and read it again", s.control.table, literal(g.schema), literal(g.name))
}

// tableState is what is known of a table.
type tableState struct {
	exists, owned, dropped bool
	schema                 bool   // its schema exists
	kind                   string // relkind
	persistence            string // relpersistence
}

// stateOf looks a table up. One of another job, or of another table of the source,
// is refused.
func (s *sink) stateOf(ctx context.Context, c *session, g *target) (st tableState, err error) {
	c.queue("SELECT c.relkind, c.relpersistence FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2", text(g.schema), text(g.name))
	c.queue("SELECT job, sink, source_space, source_table, dropped FROM "+s.control.table+" WHERE schema_name = $1 AND table_name = $2", text(g.schema), text(g.name))
	c.queue("SELECT 1 FROM pg_namespace WHERE nspname = $1", text(g.schema))
	all, err := c.sync(ctx)
	if err != nil {
		return st, err
	}
	st.schema = len(all[2].rows) > 0
	if r := all[0].rows; len(r) > 0 {
		st.exists, st.kind, st.persistence = true, string(r[0][0]), string(r[0][1])
	}
	if r := all[1].rows; len(r) > 0 {
		st.dropped = string(r[0][4]) == "t"
		if job, sink := string(r[0][0]), string(r[0][1]); job != s.job || sink != s.name {
			return st, fault.New(fault.TargetNotOurs, "table %s belongs to sink %q of job %q", g.qualified, sink, job).At("%s", s.Where()).
				Try("set schema to one of its own for this sink")
		}
		st.owned = true
		if of := (row.Name{Space: string(r[0][2]), Table: string(r[0][3])}); of != g.table.Name && !st.dropped {
			return st, fault.New(fault.TargetNotOurs, "table %s holds %s, and would get %s too", g.qualified, of, g.table.Name).At("%s", s.Where()).
				Try("leave one of both out, or leave schema out")
		}
	}
	return st, nil
}

// claimTable returns the statements that make a table this sink's.
func (s *sink) claimTable(ctx context.Context, c *session, g *target, st tableState) ([]string, error) {
	var out []string
	switch {
	case st.exists && st.dropped: // empty, and kept for people
		out = append(out, "DROP TABLE "+g.qualified, g.create())
	case st.exists:
		if err := s.adoptable(ctx, c, g, st); err != nil {
			return nil, err
		}
	default:
		if !st.schema {
			out = append(out, "CREATE SCHEMA IF NOT EXISTS "+quote(g.schema))
		}
		out = append(out, g.create())
	}
	return append(out, s.own(g)), nil
}

// own is the statement that says whose a table is.
func (s *sink) own(g *target) string {
	return fmt.Sprintf("INSERT INTO %s (schema_name, table_name, job, sink, source_space, source_table) VALUES (%s, %s, %s, %s, %s, %s)"+
		" ON CONFLICT (schema_name, table_name) DO UPDATE SET source_space = excluded.source_space, source_table = excluded.source_table, dropped = false",
		s.control.table, literal(g.schema), literal(g.name), literal(s.job), literal(s.name), literal(g.table.Name.Space), literal(g.table.Name.Table))
}

// adoptable says whether a table that was made by somebody else may be written.
func (s *sink) adoptable(ctx context.Context, c *session, g *target, st tableState) error {
	refused := func(format string, args ...any) error {
		return fault.New(fault.TargetNotOurs, "%s is there already and %s", g.qualified, fmt.Sprintf(format, args...)).At("%s", s.Where()).
			Try("drop or rename it, or set schema to another one")
	}
	if st.kind != "r" && (st.kind != "p" || len(g.key) == 0) {
		return refused("is not a table that can be written")
	}
	if st.persistence != "p" {
		return refused("is unlogged: when the server fails it is empty, and the place it has reached is not")
	}
	r, err := c.query(ctx, "SELECT 1 FROM "+g.qualified+" LIMIT 1")
	if err != nil {
		return s.grantHint(err)
	}
	if len(r.rows) > 0 {
		return refused("is not empty")
	}
	columns, err := columnsOf(ctx, c, g)
	if err != nil {
		return err
	}
	if _, why := g.as(columns); why != "" {
		return refused("does not fit: %s", why)
	}
	for _, col := range columns {
		if col.needed && !slices.ContainsFunc(g.fields, func(f field) bool { return f.name == col.name }) {
			return refused("does not fit: column %s is not null, has no default and is not in the source", col.name)
		}
	}
	return s.keyed(ctx, c, g, refused)
}

// keyed says whether a table that was made by somebody else has the key of the source.
func (s *sink) keyed(ctx context.Context, c *session, g *target, refused func(string, ...any) error) error {
	if len(g.key) == 0 {
		return nil
	}
	r, err := c.query(ctx, `SELECT (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey))
 FROM pg_index i WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = i.indnatts`, text(g.qualified))
	if err != nil {
		return err
	}
	want, err := c.query(ctx, "SELECT string_agg(quote_ident(k), ', ' ORDER BY k::name) FROM unnest($1::text[]) AS k", text(textArray(g.keyNames())))
	if err != nil {
		return err
	}
	for _, index := range r.rows {
		if string(index[0]) == string(want.rows[0][0]) {
			return nil
		}
	}
	return refused("does not fit: it has no primary or unique key of exactly %s", g.names(g.key, ""))
}

func (g *target) keyNames() []string {
	var out []string
	for _, k := range g.key {
		out = append(out, g.fields[k].name)
	}
	return out
}

// column is one of a table as the catalogue has it.
type column struct {
	name   string
	oid    uint32
	sql    string
	needed bool // it may not be left out
	made   bool // its values are the target's own
	filled bool // it has a default
}

func columnsOf(ctx context.Context, c *session, g *target) ([]column, error) {
	r, err := c.query(ctx, `SELECT attname, atttypid, format_type(atttypid, atttypmod), attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = '',
 attgenerated <> '' OR attidentity = 'a', atthasdef AND attgenerated = ''
 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, text(g.qualified))
	if err != nil {
		return nil, err
	}
	var out []column
	for _, v := range r.rows {
		oid, err := strconv.ParseUint(string(v[1]), 10, 32)
		if err != nil {
			return nil, fault.New(fault.TargetBroken, "the catalogue has a type %q", v[1]).By(err)
		}
		out = append(out, column{string(v[0]), uint32(oid), string(v[2]), string(v[3]) == "t", string(v[4]) == "t", string(v[5]) == "t"})
	}
	return out, nil
}

// fits checks, once for a version of a table and for chunks in each transaction, that the
// target has its columns: rows are sent in a form that says nothing of itself.
func (w *writer) fits(ctx context.Context, t *row.Table) error {
	if w.known[t] != nil {
		return nil
	}
	if err := w.endCopy(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	g := w.sink.target(t)
	if !w.streams() {
		// Until the commit it stays as it is seen here.
		_, err := w.c.query(ctx, "LOCK TABLE "+g.qualified+" IN ROW EXCLUSIVE MODE")
		if stateOf(err) == stateNoTable || stateOf(err) == stateNoSchema {
			return w.sink.missing(g)
		}
		if err != nil {
			return err
		}
	}
	columns, err := columnsOf(ctx, w.c, g)
	if err != nil {
		return err
	}
	if len(columns) == 0 {
		return w.sink.missing(g)
	}
	fit, why := g.as(columns)
	if why != "" {
		r, err := w.c.query(ctx, "SELECT ahead FROM "+w.sink.control.table+" WHERE schema_name = $1 AND table_name = $2", text(g.schema), text(g.name))
		if err != nil {
			return err
		}
		if len(r.rows) != 1 || string(r.rows[0][0]) != "t" {
			return fault.New(fault.TargetBroken, "table %s was altered by somebody else: %s", g.qualified, why).At("%s", w.sink.Where()).
				Try("undo that, or drop the table and read it again")
		}
		fit = g.behind(columns)
	}
	if g, err = fit.sorting(ctx, w.c); err != nil {
		return err
	}
	g.crosses = g.frees && w.sink.noted(w.sink.crossing, g)
	if w.known == nil {
		w.known = map[*row.Table]*target{}
	}
	w.known[t] = g
	return nil
}

// sorting returns how rows are written that may come in any order. Where another index
// than that of the key is unique, one row may have to go before another comes.
func (g *target) sorting(ctx context.Context, c *session) (*target, error) {
	r, err := c.query(ctx, "SELECT relkind = 'r' AND (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND (indisunique OR indisexclusion)) <= 1,"+
		" NOT EXISTS (SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = c.oid) FROM pg_class AS c WHERE oid = to_regclass($1)", text(g.qualified))
	if err != nil {
		return nil, err
	}
	own := *g
	if len(g.key) > 0 && len(r.rows) == 1 {
		own.sorts, own.frees = string(r.rows[0][0]) == "t", string(r.rows[0][1]) == "t"
	}
	return &own, nil
}

// behind returns how rows of an older shape are written to the columns there are.
func (g *target) behind(columns []column) *target {
	old := *g
	old.exact = false
	old.fields = slices.Clone(g.fields)
	for k := range old.fields {
		f := &old.fields[k]
		i := slices.IndexFunc(columns, func(c column) bool { return c.name == f.name })
		switch {
		case i < 0:
			f.left = true
		default:
			if now, why := f.in(&columns[i], g.table.Columns[k].Type); why == "" {
				*f = now
			} else {
				f.cast = columns[i].sql
			}
		}
	}
	return &old
}

// textArray writes texts as an array in the server's text form.
func textArray(texts []string) string {
	b := []byte{'{'}
	for i, t := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for k := range len(t) {
			if t[k] == '"' || t[k] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, t[k])
		}
		b = append(b, '"')
	}
	return string(append(b, '}'))
}
