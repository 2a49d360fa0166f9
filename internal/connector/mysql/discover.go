package mysql

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// fewTables is up to how many tables of one database are asked for by name: the
// server then opens only these. Beyond it the whole database is read at once.
const fewTables = 12

// maxTries bounds how often shapes are read again because they changed.
const maxTries = 10

// systemSpaces are the server's own databases.
func systemSpace(name string) bool {
	switch strings.ToLower(name) {
	case "mysql", "information_schema", "performance_schema", "sys":
		return true
	}
	return false
}

// Discover returns the base tables that match and a place at which their shapes
// hold. Views and sequences are no tables. The snapshot that gave the place is
// kept for the first chunk.
func (s *source) Discover(ctx context.Context, sel connector.Selector) ([]*row.Table, position.Position, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, position.Position{}, err
	}
	defer c.close()
	start, err := logged(ctx, c)
	if err != nil {
		return nil, position.Position{}, err
	}
	before, err := s.readShapes(ctx, c, sel.Match, spaceFilter(sel), true)
	if err != nil {
		return nil, position.Position{}, err
	}
	for range maxTries {
		place, snap, err := s.beginning(ctx, c)
		if err != nil {
			return nil, noPosition, err
		}
		after, end, err := s.readAgain(ctx, c, sel, start, before)
		if err == nil && sameShapes(before, after) {
			s.snapshots.begin(snap)
			return before, place, nil
		}
		if snap != nil {
			snap.close()
		}
		if err != nil {
			return nil, noPosition, err
		}
		keepEstimates(after, before)
		before, start = after, end
	}
	return nil, position.Position{}, fault.New(fault.SourceShape, "the tables kept changing their shapes while they were read").At("%s", s.where())
}

// beginning returns a place that no chunk read from now on lies before. On MariaDB it
// is that of a snapshot, which can serve a chunk; MySQL's snapshots belong to a table.
func (s *source) beginning(ctx context.Context, c *conn) (position.Position, *snapshot, error) {
	if !c.mysql {
		snap, err := s.openSnapshot(ctx, row.Name{})
		if err != nil {
			return noPosition, nil, err
		}
		return snap.mark, snap, nil
	}
	on, err := c.query(ctx, "SELECT @@global.log_bin")
	if err != nil || on[0][0].text() == "0" {
		return noPosition, nil, err
	}
	at, gtids, err := s.startPlace(ctx, c)
	if fault.Has(err, fault.SourceGrants) {
		user, e := c.account(ctx)
		if e != nil {
			return noPosition, nil, e
		}
		err = fault.New(fault.SourceGrants, "the user may not follow the log").At("%s", s.where()).By(err).Try("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO %s;", user)
	}
	if err != nil {
		return noPosition, nil, err
	}
	p, err := s.placed(ctx, at, gtids)
	return p, nil, err
}

// readAgain returns the shapes after a place was taken, and what was logged before
// they were read. They are those read before, and are not read again, when
// nothing was logged since: a statement that changes a shape holds its tables
// until it is in the log, so nobody can see the new shape before that.
func (s *source) readAgain(ctx context.Context, c *conn, sel connector.Selector, start string, before []*row.Table) ([]*row.Table, string, error) {
	end, err := logged(ctx, c)
	if err != nil || end == start && end != "" {
		return before, end, err
	}
	after, err := s.readShapes(ctx, c, sel.Match, spaceFilter(sel), false)
	return after, end, err
}

// logged returns what names the last transactions in the log.
func logged(ctx context.Context, c *conn) (string, error) {
	if c.mysql {
		rows, err := masterStatus(ctx, c)
		if fault.Has(err, fault.SourceGrants) || err == nil && len(rows) == 0 {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return rows[0][0].text() + ":" + rows[0][1].text(), nil
	}
	rows, err := c.query(ctx, "SELECT @@global.gtid_binlog_pos")
	if err != nil || len(rows) != 1 {
		return "", err
	}
	return rows[0][0].text(), nil
}

func sameShapes(a, b []*row.Table) bool {
	return slices.EqualFunc(a, b, func(x, y *row.Table) bool {
		return x.Name == y.Name && x.SameShape(y) && slices.Equal(x.Cascades, y.Cascades) && sameParents(x.Parents, y.Parents)
	})
}

func keepEstimates(to, from []*row.Table) {
	old := map[row.Name]*row.Table{}
	for _, t := range from {
		old[t.Name] = t
	}
	for _, t := range to {
		if o := old[t.Name]; o != nil {
			t.Rows, t.Bytes = o.Rows, o.Bytes
		}
	}
}

// spaceFilter tells whether a database can have a table that matches.
func spaceFilter(sel connector.Selector) func(string) bool {
	var spaces connector.Selector
	for _, p := range sel.Patterns {
		if space, _, _ := strings.Cut(p, "."); !strings.HasPrefix(p, "!") {
			spaces.Patterns = append(spaces.Patterns, space+".*")
		}
	}
	return func(space string) bool { return spaces.Match(row.Name{Space: space, Table: "t"}) }
}

// shapeReader collects the tables of one reading of the catalogue.
type shapeReader struct {
	c      *conn
	tables map[row.Name]*draft
	// parents of each child by a foreign key that cascades, chosen or not.
	parents map[row.Name][]row.Parent
	alone   bool // foreign keys are not asked for
	// Type texts, character sets and collations repeat all over a catalogue.
	types map[[3]string]row.Type
	// checks: some column may be JSON, which only its check tells.
	checks bool
	// statements reads defaults.
	statements statementReader
}

func newShapeReader(c *conn) *shapeReader {
	return &shapeReader{c: c, tables: map[row.Name]*draft{}, parents: map[row.Name][]row.Parent{}, types: map[[3]string]row.Type{}}
}

// draft is a table being read.
type draft struct {
	t     row.Table
	keys  map[string]*draftKey
	order []string // names of the keys, in the server's order
}

type draftKey struct {
	unique bool
	usable bool // whole columns, not null, in a tree
	cols   []string
}

// readShapes reads the shapes of the tables that match; with estimates it also
// asks for sizes, which makes the server open every table.
func (s *source) readShapes(ctx context.Context, c *conn, match func(row.Name) bool, space func(string) bool, estimates bool) ([]*row.Table, error) {
	rows, err := c.query(ctx, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")
	if err != nil {
		return nil, err
	}
	r := newShapeReader(c)
	for _, v := range rows {
		name := v[0].text()
		if systemSpace(name) || !space(name) {
			continue
		}
		if err := r.space(ctx, name, match, estimates); err != nil {
			return nil, err
		}
	}
	return r.finish(ctx)
}

// shapeOf reads the present shape of one table; nil when there is none.
func (s *source) shapeOf(ctx context.Context, c *conn, n row.Name) (*row.Table, error) {
	return newShapeReader(c).one(ctx, n)
}

// columnsOf is shapeOf without foreign keys.
func (s *source) columnsOf(ctx context.Context, c *conn, n row.Name) (*row.Table, error) {
	r := newShapeReader(c)
	r.alone = true
	return r.one(ctx, n)
}

func (r *shapeReader) one(ctx context.Context, n row.Name) (*row.Table, error) {
	if err := r.details(ctx, n.Space, []string{n.Table}, false); err != nil {
		return nil, err
	}
	out, err := r.finish(ctx)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return out[0], nil
}

// space reads the tables of one database.
func (r *shapeReader) space(ctx context.Context, space string, match func(row.Name) bool, estimates bool) error {
	// TABLE_TYPE alone needs no table to be opened.
	rows, err := r.c.query(ctx, "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = "+quoteText(space))
	if err != nil {
		return err
	}
	var chosen []string
	for _, v := range rows {
		name, kind := row.Name{Space: space, Table: v[0].text()}, v[1].text()
		if !match(name) {
			continue
		}
		switch kind {
		case "BASE TABLE":
			chosen = append(chosen, name.Table)
		case "SYSTEM VERSIONED":
			return fault.New(fault.SourceType, "table %s is system-versioned, which is not supported: its history is logged as rows of its own", name).
				Try("leave it out: add \"!%s\" to tables", name)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	if len(chosen) > fewTables {
		return r.details(ctx, space, nil, estimates, chosen...)
	}
	for _, t := range chosen {
		if err := r.details(ctx, space, []string{t}, estimates); err != nil {
			return err
		}
	}
	return nil
}

// details reads columns, keys, checks and foreign keys: of the one table in only,
// which the server finds without looking at others, or of those in chosen.
func (r *shapeReader) details(ctx context.Context, space string, only []string, estimates bool, chosen ...string) error {
	where := func(schema, table string) string {
		w := " WHERE " + schema + " = " + quoteText(space)
		if len(only) == 1 {
			w += " AND " + table + " = " + quoteText(only[0])
		}
		return w
	}
	for _, t := range append(chosen, only...) {
		r.draft(row.Name{Space: space, Table: t})
	}
	tree := where("TABLE_SCHEMA", "TABLE_NAME")
	ask := func(sql string, f func(*draft, []value) error) error {
		return r.c.each(ctx, sql, func(v []value) error {
			if d := r.tables[row.Name{Space: space, Table: v[0].text()}]; d != nil {
				return f(d, v)
			}
			return nil
		})
	}
	r.checks = false
	if err := ask("SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, ORDINAL_POSITION, COLUMN_DEFAULT, EXTRA FROM information_schema.COLUMNS"+tree+" ORDER BY TABLE_NAME, ORDINAL_POSITION", r.addColumn); err != nil {
		return err
	}
	if err := r.exactLabels(ctx, space); err != nil {
		return err
	}
	if r.checks && !r.c.mysql {
		if err := ask("SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS"+where("CONSTRAINT_SCHEMA", "TABLE_NAME"), r.addCheck); err != nil {
			return err
		}
	}
	if err := ask("SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, NON_UNIQUE, SUB_PART, NULLABLE, INDEX_TYPE, "+r.c.unusable()+" FROM information_schema.STATISTICS"+tree, addKeyColumn); err != nil {
		return err
	}
	sizes := ""
	if estimates {
		sizes = ", TABLE_ROWS, DATA_LENGTH"
	}
	if err := ask("SELECT TABLE_NAME, TABLE_COLLATION"+sizes+" FROM information_schema.TABLES"+tree, addEstimate); err != nil {
		return err
	}
	if r.alone {
		return nil
	}
	links, err := r.c.links(ctx, space, append(chosen, only...))
	r.link(links)
	return err
}

// unusable is the column of information_schema.STATISTICS, or what stands for it,
// that is YES for an index that queries do not use.
func (c *conn) unusable() string {
	if c.mysql {
		return "IF(IS_VISIBLE = 'NO', 'YES', 'NO')"
	}
	return "IGNORED"
}

// exactLabels reads labels again that the catalogue may have changed: it prints
// types in three-byte UTF-8 and puts "?" for what does not fit. A variable of the
// column's own type, or on MySQL, which has none, a table of this session gives each
// of them as it is, whether or not rows use it.
func (r *shapeReader) exactLabels(ctx context.Context, space string) error {
	for _, d := range r.tables {
		if d.t.Name.Space != space {
			continue
		}
		for i := range d.t.Columns {
			c := &d.t.Columns[i]
			if !slices.ContainsFunc(c.Type.Labels, func(l string) bool { return strings.Contains(l, "?") }) {
				continue
			}
			labels, err := r.labelsOf(ctx, d.t.Name, c)
			if err != nil {
				return err
			}
			name, _, _ := strings.Cut(c.Type.Native, "(")
			c.Type.Labels, c.Type.Native = labels, name+labelList(labels)
		}
	}
	return nil
}

func (r *shapeReader) labelsOf(ctx context.Context, t row.Name, c *row.Column) ([]string, error) {
	labels := slices.Clone(c.Type.Labels)
	for i, l := range labels {
		if !strings.Contains(l, "?") {
			continue
		}
		at := uint64(i) + 1
		if c.Type.Kind == row.Labels {
			at = 1 << i
		}
		text, err := r.labelOf(ctx, t, c, at)
		if err != nil {
			return nil, err
		}
		labels[i] = text
	}
	return labels, nil
}

// labelOf returns the text that the server has for a number of an enum or set.
func (r *shapeReader) labelOf(ctx context.Context, t row.Name, c *row.Column, at uint64) (string, error) {
	set := []string{fmt.Sprintf("BEGIN NOT ATOMIC DECLARE v TYPE OF %s.%s; SET v = %d; SET @godwit = HEX(CONVERT(v USING utf8mb4)); END", tableName(t), quoteName(c.Name), at)}
	if r.c.mysql {
		own := tableName(row.Name{Space: t.Space, Table: "godwit_label"})
		set = []string{
			fmt.Sprintf("CREATE TEMPORARY TABLE %s (PRIMARY KEY (k)) SELECT 1 AS k, %s AS v FROM %s LIMIT 0", own, quoteName(c.Name), tableName(t)),
			fmt.Sprintf("INSERT INTO %s VALUES (1, %d)", own, at),
			fmt.Sprintf("SELECT HEX(CONVERT(v USING utf8mb4)) INTO @godwit FROM %s", own),
			"DROP TEMPORARY TABLE " + own,
		}
	}
	for _, sql := range set {
		err := r.c.exec(ctx, sql)
		if fault.Has(err, fault.SourceGrants) {
			return "", fault.New(fault.SourceGrants, "a label of column %s of table %s has a question mark, or a character in its place that MySQL's catalogue cannot print; a temporary table would tell", c.Name, t).
				At("%s", r.c.src.where()).By(err).Try("GRANT CREATE TEMPORARY TABLES ON %s.* TO …; -- or leave the table out", quoteName(t.Space))
		}
		if err != nil {
			return "", err
		}
	}
	rows, err := r.c.query(ctx, "SELECT @godwit")
	if err != nil {
		return "", err
	}
	text, err := hex.DecodeString(rows[0][0].text())
	if err != nil {
		return "", fault.New(fault.SourceProtocol, "a label of column %s of table %s cannot be read", c.Name, t).By(err)
	}
	return string(text), nil
}

// draft returns the draft of a table, a new one when there is none.
func (r *shapeReader) draft(n row.Name) *draft {
	d := r.tables[n]
	if d == nil {
		d = &draft{t: row.Table{Name: n, Rows: -1, Bytes: -1}, keys: map[string]*draftKey{}}
		r.tables[n] = d
	}
	return d
}

// addCheck finds a column that is JSON: the server keeps it as longtext with a
// check under the column's own name.
func (r *shapeReader) addCheck(d *draft, v []value) error {
	i := d.t.Column(v[1].text())
	if i < 0 || v[2].text() != "json_valid("+quoteName(v[1].text())+")" || !maybeJSON(d.t.Columns[i].Type) {
		return nil
	}
	t, err := r.parse("json", "utf8mb4", "utf8mb4_bin")
	d.t.Columns[i].Type = t
	return err
}

// maybeJSON reports whether a column has the type that JSON ones are kept as.
func maybeJSON(t row.Type) bool { return t.Native == "longtext" && t.Collation == "utf8mb4_bin" }

// parse is parseType, once for each type of a catalogue.
func (r *shapeReader) parse(native, charset, collation string) (row.Type, error) {
	key := [3]string{native, charset, collation}
	if t, ok := r.types[key]; ok {
		return t, nil
	}
	t, err := parseType(native, charset, collation)
	if err == nil {
		r.types[key] = t
	}
	return t, err
}

func (r *shapeReader) addColumn(d *draft, v []value) error {
	name, native, charset, collation := v[1].text(), v[2].text(), v[3].text(), v[4].text()
	if number(v[6]) != int64(len(d.t.Columns))+1 {
		return fault.New(fault.SourceGrants, "the user may not see every column of table %s", d.t.Name).
			Try("GRANT SELECT ON %s TO …; -- on the whole table: the log has all of its columns", tableName(d.t.Name))
	}
	t, err := r.parse(native, charset, collation)
	if err != nil {
		return typeFault(d.t.Name, name, err)
	}
	r.checks = r.checks || maybeJSON(t)
	c := row.Column{Name: name, Type: t, Nullable: v[5].text() == "YES"}
	c.Default = r.defaultOf(c, v[7], strings.ToUpper(v[8].text()))
	d.t.Columns = append(d.t.Columns, c)
	return nil
}

// defaultOf returns what rows from before a column show in it. MariaDB's catalogue has
// it as an expression, MySQL's as a value, both in three-byte UTF-8: of a character
// beyond it there is a question mark.
func (r *shapeReader) defaultOf(c row.Column, printed value, extra string) *string {
	text := printed.text()
	switch {
	case strings.Contains(extra, "GENERATED"), strings.Contains(extra, "AUTO_INCREMENT"):
		return nil // also what MySQL says of a default that is an expression
	case printed.null:
		return impliedDefault(c)
	case r.c.mysql && c.Type.Kind == row.Bytes:
		if raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x")); err == nil && strings.HasPrefix(text, "0x") {
			text = string(raw)
		}
		text = defaultForm(c.Type, text)
		return &text
	case r.c.mysql && c.Type.Kind != row.Bits:
		text = defaultForm(c.Type, text)
		return &text
	}
	stmt, err := r.statements.parse("SELECT "+text, 0)
	if err != nil {
		return nil
	}
	q, ok := stmt.(*ast.SelectStmt)
	if !ok || q.Fields == nil || len(q.Fields.Fields) != 1 || q.Fields.Fields[0].Expr == nil {
		return nil
	}
	shows, _ := defaultText(c, q.Fields.Fields[0].Expr)
	return shows
}

// typeFault names the column whose type cannot be moved.
func typeFault(t row.Name, column string, err error) *fault.Error {
	return fault.New(fault.SourceType, "column %s of table %s has a type that is not supported", column, t).By(err).
		Try("leave the table out: add \"!%s\" to tables", t)
}

func addKeyColumn(d *draft, v []value) error {
	name := v[1].text()
	k := d.keys[name]
	if k == nil {
		k = &draftKey{unique: v[3].text() == "0", usable: true}
		d.keys[name] = k
		d.order = append(d.order, name)
	}
	k.cols = append(k.cols, v[2].text())
	// A part without a name is an expression.
	k.usable = k.usable && !v[2].null && v[4].null && v[5].text() != "YES" && v[6].text() == "BTREE" && v[7].text() != "YES"
	return nil
}

func addEstimate(d *draft, v []value) error {
	d.t.Collation = v[1].text()
	d.t.Charset, _, _ = strings.Cut(d.t.Collation, "_")
	if len(v) < 4 {
		return nil
	}
	d.t.Rows, d.t.Bytes = number(v[2]), number(v[3])
	return nil
}

// number reads an estimate, -1 when it is unknown.
func number(v value) int64 {
	n, err := strconv.ParseInt(v.text(), 10, 64)
	if v.null || err != nil {
		return -1
	}
	return n
}

// finish returns the tables that have columns, ordered by name.
func (r *shapeReader) finish(ctx context.Context) ([]*row.Table, error) {
	if err := r.above(ctx, slices.Collect(maps.Keys(r.parents))); err != nil {
		return nil, err
	}
	out := make([]*row.Table, 0, len(r.tables))
	for _, d := range r.tables {
		if len(d.t.Columns) == 0 {
			continue
		}
		d.t.Key = d.key()
		d.t.Parents = r.ancestors(d.t.Name)
		out = append(out, &d.t)
	}
	slices.SortFunc(out, func(a, b *row.Table) int { return compareNames(a.Name, b.Name) })
	for _, t := range out {
		for _, p := range t.Parents {
			if r.read(p.Name) {
				parent := &r.tables[p.Name].t
				parent.Cascades = append(parent.Cascades, t.Name)
			}
		}
	}
	return out, nil
}

func compareNames(a, b row.Name) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Table, b.Table))
}

// key returns the columns of the primary key, or of the first unique key without
// nulls: the server lists those before others, and InnoDB orders the rows by the
// same one.
func (d *draft) key() []int {
	best := d.keys["PRIMARY"]
	for _, name := range d.order {
		if k := d.keys[name]; best == nil && k.unique && k.usable {
			best = k
		}
	}
	if best == nil {
		return nil
	}
	var out []int
	for _, c := range best.cols {
		i := d.t.Column(c)
		if i < 0 {
			return nil
		}
		out = append(out, i)
	}
	return out
}

// keyName returns the name of the index that the key of t stands for, for hints.
// It is looked up by its columns, because shapes do not carry names of indexes.
func (s *source) keyName(ctx context.Context, c *conn, t *row.Table) (string, error) {
	rows, err := c.query(ctx, fmt.Sprintf("SELECT INDEX_NAME, COLUMN_NAME, NON_UNIQUE, SUB_PART, %s FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", c.unusable(),
		quoteText(t.Name.Space), quoteText(t.Name.Table)))
	if err != nil {
		return "", err
	}
	cols := map[string][]string{}
	var order []string
	for _, v := range rows {
		name := v[0].text()
		if v[2].text() != "0" || !v[3].null || v[4].text() == "YES" {
			name = "" // of no use; its columns are thrown together
		}
		if cols[name] == nil {
			order = append(order, name)
		}
		cols[name] = append(cols[name], v[1].text())
	}
	for _, name := range order {
		if name != "" && slices.EqualFunc(cols[name], t.Key, func(c string, k int) bool { return c == t.Columns[k].Name }) {
			return name, nil
		}
	}
	return "", nil
}
