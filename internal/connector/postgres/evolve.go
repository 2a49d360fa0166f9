package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// Evolve implements connector.Writer. It begins the transaction of the commit that
// follows: the shape and the position after the change are one act. What the
// catalogue shows to be done already is left as it is.
func (w *writer) Evolve(ctx context.Context, c *row.SchemaChange) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.evolve(ctx, c); err != nil {
		return w.poison(ctx, err)
	}
	w.known = nil
	return nil
}

func (w *writer) evolve(ctx context.Context, c *row.SchemaChange) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	if c.Kind == row.Stop && (c.Before == nil || c.Before.Name == c.After.Name) {
		return nil
	}
	// One at a time: writers of chunks may come to the same change together.
	if _, err := w.c.query(ctx, "SELECT pg_advisory_xact_lock($1, hashtext($2))", text(evolveLock), text(w.sink.control.schema+"/"+w.shard.Job+"/"+w.shard.Sink)); err != nil {
		return err
	}
	switch c.Kind {
	case row.Create:
		return w.create(ctx, w.sink.target(c.After))
	case row.Drop:
		return w.drop(ctx, w.sink.target(c.Before))
	case row.Alter:
		return w.alter(ctx, c)
	case row.Stop:
		return w.giveUp(ctx, w.sink.target(c.Before), w.sink.target(c.After))
	}
	return fault.New(fault.Internal, "an unknown change of a shape: %d", c.Kind)
}

// evolveLock is the class of advisory locks of changing tables of a sink.
const evolveLock = "1735353449"

// create makes a table that is new to the job, inside the transaction.
func (w *writer) create(ctx context.Context, g *target) error {
	st, err := w.sink.stateOf(ctx, w.c, g)
	if err != nil || st.owned && st.exists && !st.dropped {
		return err
	}
	statements, err := w.sink.claimTable(ctx, w.c, g, st)
	if err != nil {
		return err
	}
	return w.sink.grantHint(w.c.script(ctx, statements...))
}

// drop ends a table: it is kept, and emptied by what follows, or dropped.
func (w *writer) drop(ctx context.Context, g *target) error {
	st, err := w.sink.stateOf(ctx, w.c, g)
	if err != nil {
		return err
	}
	where := " WHERE schema_name = " + literal(g.schema) + " AND table_name = " + literal(g.name)
	if w.sink.cfg.onDrop == dropDrop || !st.exists {
		if w.dropped == nil {
			w.dropped = map[row.Name]bool{}
		}
		w.dropped[g.table.Name] = true
		return w.c.script(ctx, "DROP TABLE IF EXISTS "+g.qualified, "DELETE FROM "+w.sink.control.table+where)
	}
	return w.c.script(ctx, "UPDATE "+w.sink.control.table+" SET dropped = true"+where)
}

// alter makes a table fit after a change of it.
func (w *writer) alter(ctx context.Context, c *row.SchemaChange) error {
	before, after := w.sink.target(c.Before), w.sink.target(c.After)
	if err := w.rename(ctx, before, after); err != nil {
		return err
	}
	if c.Before.Name != c.After.Name {
		if err := w.c.script(ctx, w.sink.own(after)); err != nil {
			return err
		}
	}
	columns, err := columnsOf(ctx, w.c, after)
	if err != nil {
		return err
	}
	if len(columns) == 0 {
		return w.sink.missing(after)
	}
	if c.Anew {
		if err := w.c.script(ctx, "TRUNCATE TABLE "+after.qualified); err != nil {
			return w.sink.grantHint(err)
		}
	}
	r, err := w.c.query(ctx, "SELECT 1 FROM "+after.qualified+" LIMIT 1")
	if err != nil {
		return w.sink.grantHint(err)
	}
	anotherKey := false
	if c.Anew {
		if anotherKey, err = w.hasAnotherKey(ctx, after); err != nil {
			return err
		}
	}
	x := &alteration{rekey: anotherKey, anew: c.Anew, before: before, after: after, renamed: c.Renamed, columns: columns, ahead: !w.streams(), empty: len(r.rows) == 0}
	x.plan()
	if x.ahead {
		x.statements = append(x.statements, fmt.Sprintf("UPDATE %s SET ahead = true WHERE schema_name = %s AND table_name = %s", w.sink.control.table, literal(after.schema), literal(after.name)))
	}
	for _, sql := range x.statements {
		if err := w.c.script(ctx, sql); err != nil {
			return w.alterFault(after, sql, err)
		}
	}
	if x.ahead {
		return nil
	}
	return w.caughtUp(ctx, after)
}

// hasAnotherKey reports whether a table has not the key that rows of g are found by; one
// of a table without a key is another.
func (w *writer) hasAnotherKey(ctx context.Context, g *target) (another bool, err error) {
	if len(g.key) == 0 {
		return true, nil
	}
	err = w.sink.keyed(ctx, w.c, g, func(string, ...any) error {
		another = true
		return nil
	})
	return another, err
}

// caughtUp notes that the stream has come to the shape that chunks were ahead with: from
// now on another one is somebody else's doing.
func (w *writer) caughtUp(ctx context.Context, g *target) error {
	columns, err := columnsOf(ctx, w.c, g)
	if err != nil {
		return err
	}
	if _, why := g.as(columns); why != "" {
		return nil // chunks are further ahead
	}
	_, err = w.c.query(ctx, "UPDATE "+w.sink.control.table+" SET ahead = false WHERE schema_name = $1 AND table_name = $2 AND ahead", text(g.schema), text(g.name))
	return err
}

func (w *writer) alterFault(g *target, sql string, err error) error {
	state := stateOf(err)
	if fault.Has(err, fault.RowRefused) || state == stateCannotCoerce || state == stateMismatch || state == stateDependent {
		return fault.New(fault.TargetRefused, "%s cannot follow a change of %s", g.qualified, g.table.Name).At("%s", w.sink.Where()).By(err).
			Try("mend what the cause names so that this works, then run again: %s", clip(sql, 300))
	}
	return w.sink.grantHint(err)
}

// rename gives a table the name that it has after a change.
func (w *writer) rename(ctx context.Context, before, after *target) error {
	if before.qualified == after.qualified {
		return nil
	}
	old, err := columnsOf(ctx, w.c, before)
	if err != nil {
		return err
	}
	st, err := w.sink.stateOf(ctx, w.c, &target{table: before.table, schema: after.schema, name: after.name, qualified: after.qualified})
	if err != nil && !st.owned {
		return err
	}
	if st.exists && !st.dropped {
		if len(old) == 0 {
			return nil // done already
		}
		return fault.New(fault.TargetNotOurs, "%s was renamed, but there is a table %s in the target already", before.table.Name, after.qualified).At("%s", w.sink.Where()).
			Try("rename or drop that table")
	}
	if len(old) == 0 {
		return w.sink.missing(before)
	}
	var statements []string
	if st.exists {
		statements = append(statements, "DROP TABLE "+after.qualified)
	}
	if !st.schema {
		statements = append(statements, "CREATE SCHEMA IF NOT EXISTS "+quote(after.schema))
	}
	at := before.qualified
	if before.schema != after.schema {
		// Names may be taken on the way: through one that nobody has.
		passing := "godwit_renamed_" + strconv.FormatUint(uint64(before.table.Number), 10)
		statements = append(statements, "ALTER TABLE "+at+" RENAME TO "+quote(passing),
			"ALTER TABLE "+quote(before.schema)+"."+quote(passing)+" SET SCHEMA "+quote(after.schema))
		at = quote(after.schema) + "." + quote(passing)
	}
	statements = append(statements, "ALTER TABLE "+at+" RENAME TO "+quote(after.name),
		fmt.Sprintf("DELETE FROM %s WHERE schema_name = %s AND table_name = %s", w.sink.control.table, literal(before.schema), literal(before.name)))
	return w.c.script(ctx, statements...)
}

// giveUp gives the table of one that leaves the stream the name that it has by then, if it
// was ever made: another may come under the one it had.
func (w *writer) giveUp(ctx context.Context, before, after *target) error {
	st, err := w.sink.stateOf(ctx, w.c, before)
	if err != nil || !st.exists || !st.owned || st.dropped {
		return err
	}
	if err := w.rename(ctx, before, after); err != nil {
		return err
	}
	return w.c.script(ctx, w.sink.own(after))
}

// alteration finds the statements that a change of columns takes.
type alteration struct {
	before, after *target
	renamed       map[string]string // new name → the one it had
	columns       []column          // as the catalogue has them
	// ahead: the change is a chunk's, of which the stream is still to tell. Columns that
	// go stay until then: rows of other chunks may have only what is in them.
	ahead      bool
	rekey      bool // the key that is there is not that of after
	anew       bool // nobody knows what the table was, and it is empty
	empty      bool // the table has no rows
	statements []string
}

func (x *alteration) has(name string) bool { return x.column(name) != nil }

func (x *alteration) column(name string) *column {
	if i := slices.IndexFunc(x.columns, func(c column) bool { return c.name == name }); i >= 0 {
		return &x.columns[i]
	}
	return nil
}

func (x *alteration) add(format string, args ...any) {
	x.statements = append(x.statements, "ALTER TABLE "+x.after.qualified+" "+fmt.Sprintf(format, args...))
}

// plan compares what is there with what is to be. Names are changed first, through
// names that nobody has, as they may be exchanged.
func (x *alteration) plan() {
	rekey := x.rekey || !slices.Equal(x.before.keyNames(), x.renamedBack(x.after.keyNames()))
	if rekey { // there may be one where there was none: a chunk was ahead
		x.dropKey()
	}
	x.renames()
	for i := range x.before.fields {
		f := &x.before.fields[i]
		if x.has(f.name) && !x.wanted(f.name) && !x.ahead {
			x.add("DROP COLUMN %s", f.quoted)
		}
	}
	for i := range x.after.fields {
		x.field(i)
	}
	for _, c := range x.columns {
		if x.anew && c.needed && !x.wanted(c.name) {
			x.add("ALTER COLUMN %s DROP NOT NULL", quote(c.name))
		}
	}
	if rekey && len(x.after.key) > 0 {
		for _, k := range x.after.key {
			x.add("ALTER COLUMN %s SET NOT NULL", x.after.fields[k].quoted)
		}
		x.add("ADD PRIMARY KEY (%s)", x.after.names(x.after.key, ""))
	}
}

// renamedBack gives columns the names they had.
func (x *alteration) renamedBack(names []string) []string {
	out := slices.Clone(names)
	for i, n := range out {
		for to, from := range x.renamed {
			if columnName(to) == n {
				out[i] = columnName(from)
			}
		}
	}
	return out
}

// dropKey drops the primary key, whatever its name is.
func (x *alteration) dropKey() {
	table := literal(x.after.qualified) + "::regclass"
	x.statements = append(x.statements, "DO "+literal(`DECLARE k name; BEGIN
 SELECT conname INTO k FROM pg_constraint WHERE conrelid = `+table+` AND contype = 'p';
 IF k IS NOT NULL THEN EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', `+table+`, k); END IF;
END`))
	for _, k := range x.before.key {
		if f := &x.before.fields[k]; x.has(f.name) {
			x.add("ALTER COLUMN %s DROP NOT NULL", f.quoted)
		}
	}
}

// renames gives columns their new names, if they have the old ones still.
func (x *alteration) renames() {
	type pair struct{ from, passing, to string }
	var all []pair
	done := true
	for to, from := range x.renamed {
		p := pair{columnName(from), fmt.Sprintf("godwit_renamed_%d", len(all)+1), columnName(to)}
		if p.from == p.to {
			continue
		}
		all = append(all, p)
		// Where names are exchanged both are there before and after: the type tells
		// nothing, but then the change is made once only, with its position.
		done = done && x.has(p.to) && (!x.has(p.from) || x.wanted(p.from))
	}
	exchanged := slices.ContainsFunc(all, func(p pair) bool { return x.wanted(p.from) })
	if len(all) == 0 || done && !exchanged {
		return
	}
	if !exchanged && slices.ContainsFunc(all, func(p pair) bool { return x.has(p.to) }) {
		// A chunk was ahead and made the column. Rows of chunks that were ahead have null
		// in the old one, all others their value.
		for _, p := range all {
			if x.has(p.from) && x.has(p.to) {
				x.statements = append(x.statements, fmt.Sprintf("UPDATE %s SET %s = %s::%s WHERE %[3]s IS NOT NULL",
					x.after.qualified, quote(p.to), quote(p.from), x.column(p.to).sql))
			}
		}
		return // the old ones are dropped as any that is not wanted
	}
	for _, p := range all {
		x.add("RENAME COLUMN %s TO %s", quote(p.from), quote(p.passing))
	}
	for _, p := range all {
		x.add("RENAME COLUMN %s TO %s", quote(p.passing), quote(p.to))
	}
	now := slices.Clone(x.columns)
	for i := range now {
		for _, p := range all {
			if x.columns[i].name == p.from {
				now[i].name = p.to
			}
		}
	}
	x.columns = now
}

// wanted reports whether a column has this name after the change.
func (x *alteration) wanted(name string) bool {
	return slices.ContainsFunc(x.after.fields, func(f field) bool { return f.name == name })
}

// field adds a column or changes its type.
func (x *alteration) field(i int) {
	f := &x.after.fields[i]
	c := x.column(f.name)
	if c == nil {
		d := x.after.table.Columns[i].Default
		if d == nil || x.maybeRenamed(i) || f.zeroDate(*d) && (f.nulls || x.empty && !x.ahead) {
			x.add("ADD COLUMN %s %s", f.quoted, f.sql)
			return
		}
		// Rows that are there show it. Later ones bring their own, but for those that
		// the stream adds before it comes to a change which a chunk was ahead with.
		x.add("ADD COLUMN %s %s DEFAULT %s", f.quoted, f.sql, f.literal(*d))
		if !x.ahead {
			x.add("ALTER COLUMN %s DROP DEFAULT", f.quoted)
		}
		return
	}
	if c.filled && !x.ahead && !slices.ContainsFunc(x.before.fields, func(b field) bool { return b.name == f.name }) {
		x.add("ALTER COLUMN %s DROP DEFAULT", f.quoted)
	}
	if _, why := f.in(c, x.after.table.Columns[i].Type); c.sql != f.printed() && (why != "" || !x.foreign(f, c)) {
		using := f.converted(c)
		if x.empty && !x.ahead {
			using = "NULL::" + f.sql // where there is nothing, anything becomes anything
		}
		x.add("ALTER COLUMN %s TYPE %s USING %s", f.quoted, f.sql, using)
	}
}

// maybeRenamed reports whether a column that a chunk found may be an older one under a
// new name, whose rows must not show the default where they have null: then it is
// filled when the stream tells.
func (x *alteration) maybeRenamed(i int) bool {
	if !x.ahead || !x.after.table.Columns[i].Nullable {
		return false
	}
	return slices.ContainsFunc(x.before.fields, func(b field) bool { return !x.wanted(b.name) && b.sql == x.after.fields[i].sql })
}

// foreign reports whether a column had another type than ours before the change: that of
// a table made by somebody else, which stays as long as it holds what comes.
func (x *alteration) foreign(f *field, c *column) bool {
	for i := range x.before.fields {
		old := &x.before.fields[i]
		if old.name == x.renamedBack([]string{f.name})[0] {
			return old.printed() != c.sql
		}
	}
	return false
}

// printed is the type as the catalogue prints it.
func (f *field) printed() string {
	switch f.form {
	case asTimestamp:
		return f.sql + " without time zone"
	}
	return f.sql
}

// zeroDate reports whether a default is a date that the server does not have.
func (f *field) zeroDate(d string) bool {
	return (f.form == asDate || f.form == asTimestamp || f.form == asInstant) && (strings.HasPrefix(d, "0000") || strings.Contains(d, "-00"))
}

// literal writes a default of the source.
func (f *field) literal(d string) string {
	switch f.form {
	case asBits:
		return literal(d) + "::bigint::bit(" + strconv.Itoa(f.size) + ")"
	case asBytea:
		return literal(`\x`+hex.EncodeToString([]byte(d))) + "::bytea"
	}
	return literal(d) + "::" + f.sql
}

// converted turns the values that a column has into those of another type, as the source
// does where both agree.
func (f *field) converted(c *column) string {
	switch {
	case c.oid == oidBytea && f.oid == oidText:
		return "convert_from(" + f.quoted + ", 'UTF8')"
	case c.oid == oidText && f.oid == oidBytea:
		return "convert_to(" + f.quoted + ", 'UTF8')"
	case c.oid == oidText || f.oid == oidText:
		return f.quoted + "::text::" + f.sql
	case c.oid == oidBit && f.oid != oidBit:
		return f.quoted + "::bigint::" + f.sql
	case f.oid == oidBit && c.oid != oidBit:
		return f.quoted + "::bigint::bit(64)::" + f.sql
	}
	return f.quoted + "::" + f.sql
}
