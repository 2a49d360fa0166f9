package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	sqlmode "github.com/pingcap/tidb/pkg/parser/mysql"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the parser's values

	"godwit/internal/fault"
	"godwit/internal/row"
)

// parseLoad reads the statement of a LOAD DATA that is logged as one: behind its
// fixed part stand the file and what becomes of duplicates.
func parseLoad(h header, body []byte) (queryEvent, error) {
	const fixed, more = 13, 13
	if len(body) < fixed+more {
		return queryEvent{}, errCut
	}
	plain := append(append(make([]byte, 0, len(body)), body[:fixed]...), body[fixed+more:]...)
	return parseQuery(h, plain, false)
}

// deed says what an action does to a table.
type deed uint8

const (
	deedCreate   deed = iota + 1
	deedLike          // a table like another
	deedReread        // something that could not be read: the catalogue tells the new shape
	deedAlter         //
	deedRename        //
	deedDrop          //
	deedDropAll       // every table of a database
	deedTruncate      //
	deedStop          // the log does not carry what happened
	deedKey           // an index is gone, or may have nulls now, that may have been the key
	deedParent        // a foreign key makes this table's changes cascade
	deedSpace         // a database has a default charset
)

// action is one step of a statement. It changes at most one table.
type action struct {
	deed    deed
	name    row.Name
	to      row.Name // rename: the new name; like: the old table; parent: the child
	create  *ast.CreateTableStmt
	specs   []*ast.AlterTableSpec
	reason  string
	columns []string // parent: those of it that are referred to; empty: its key
	column  string   // key: what is altered, only if it is in the key; empty: an index is gone
	ifNot   bool     // create: only if it does not exist
	made    bool     // stop: the statement makes the table
	// lax: the server makes values fit where it would refuse the statement else; ignore:
	// it leaves out rows that may not be there twice.
	lax, ignore bool
	computed    bool // a default stands in parentheses
	// charset and collation are a database's defaults; whole: what is not given
	// is the server's.
	charset, collation string
	whole              bool
}

// statement settings of the log that change how a text is read.
const (
	modeANSIQuotes  = 4
	modeNoBackslash = 1 << 20
	modeStrict      = 1<<21 | 1<<22
	modeParsed      = 1 | 2 | modeANSIQuotes // bits that have the same value in the parser
)

// statementReader turns statements into actions. It is used by one goroutine.
type statementReader struct {
	parser *parser.Parser
	lower  bool // names of tables are kept in lower case
	inline bool // REFERENCES behind a column makes a foreign key
}

// read returns what a statement does to tables; dml is set, with the names it
// mentions, when it changes rows. A statement that cannot be read but names a
// table gives deedReread for it.
func (x *statementReader) read(text, database string, mode uint64) (acts []action, dml *dmlText) {
	defer func() {
		for i := range acts {
			acts[i].lax = acts[i].ignore || mode&modeStrict == 0
		}
	}()
	backslash := mode&modeNoBackslash == 0
	text = clean(text, backslash)
	w := words{tokens(text, backslash, mode&modeANSIQuotes != 0)}
	if at := wrapped(w.t); at > 0 {
		text = text[at:]
		w.t = tokens(text, backslash, mode&modeANSIQuotes != 0)
	}
	name := func() row.Name { return x.take(&w, database) }
	switch {
	case w.skip("CREATE"):
		return x.readCreate(&w, text, database, mode), nil
	case w.skip("ALTER"):
		if w.skip("DATABASE") || w.skip("SCHEMA") {
			return []action{x.readSpace(&w, database)}, nil
		}
		w.skip("ONLINE")
		ignore := w.skip("IGNORE")
		if !w.skip("TABLE") {
			return nil, nil
		}
		w.skipAll("IF", "EXISTS")
		acts = x.readParsed(text, database, mode, name())
		for i := range acts {
			acts[i].ignore, acts[i].computed = ignore, computes(w)
		}
		return acts, nil
	case w.skip("DROP"):
		return x.readDrop(&w, database), nil
	case w.skip("RENAME"):
		return x.readRename(&w, database), nil
	case w.skip("TRUNCATE"):
		w.skip("TABLE")
		return []action{{deed: deedTruncate, name: name()}}, nil
	case len(w.t) > 0 && changesRows(w.t[0]):
		return nil, &dmlText{w.t, strings.ToUpper(w.t[0].text)}
	}
	return nil, nil
}

// wrapped returns where the statement starts that MariaDB's SET STATEMENT … FOR stands
// before, 0 when it does not: the log has both.
func wrapped(list []token) int {
	w := words{list}
	if !w.skipAll("SET", "STATEMENT") {
		return 0
	}
	depth := 0
	for i, t := range w.t {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth == 0 && t.is("FOR") && i+1 < len(w.t):
			return w.t[i+1].at
		}
	}
	return 0
}

// computes reports whether a default stands in parentheses: MySQL's catalogue does not have
// its value.
func computes(w words) bool {
	for len(w.t) > 0 {
		if w.skipAll("DEFAULT", "(") {
			return true
		}
		w.t = w.t[1:]
	}
	return false
}

// dmlText is a statement that changes rows, as tokens.
type dmlText struct {
	tokens []token
	verb   string
}

func changesRows(t token) bool {
	for _, verb := range []string{"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL", "SELECT", "DO", "EXECUTE", "IMPORT"} {
		if t.is(verb) {
			return true
		}
	}
	return false
}

func (x *statementReader) take(w *words, database string) row.Name {
	space, table, ok := w.name()
	if !ok {
		return row.Name{}
	}
	return x.name(space, table, database)
}

func (x *statementReader) name(space, table, database string) row.Name {
	if space == "" {
		space = database
	}
	if x.lower {
		space, table = strings.ToLower(space), strings.ToLower(table)
	}
	return row.Name{Space: space, Table: table}
}

func (x *statementReader) nameOf(t *ast.TableName, database string) row.Name {
	return x.name(t.Schema.O, t.Name.O, database)
}

func (x *statementReader) readCreate(w *words, text, database string, mode uint64) []action {
	start := -1
	replace := w.skipAll("OR", "REPLACE")
	if replace && len(w.t) > 0 {
		start = w.t[0].at
	}
	if w.skip("TEMPORARY") {
		return nil
	}
	if w.skip("DATABASE") || w.skip("SCHEMA") {
		w.skipAll("IF", "NOT", "EXISTS")
		a := x.readSpace(w, "")
		a.whole = true
		return []action{a}
	}
	if w.skip("UNIQUE") {
		for len(w.t) > 0 && !w.skip("ON") {
			w.t = w.t[1:]
		}
		return x.readUnique(text, x.take(w, database), mode)
	}
	if !w.skip("TABLE") {
		return nil
	}
	ifNot := w.skipAll("IF", "NOT", "EXISTS")
	name := x.take(w, database)
	var out []action
	if start >= 0 {
		out = append(out, action{deed: deedDrop, name: name})
		text = "CREATE " + text[start:]
	}
	made := x.readParsed(text, database, mode, name)
	if slices.ContainsFunc(w.t, func(t token) bool { return t.is("SELECT") }) {
		// A log of rows has the columns in place of the SELECT, and then the rows.
		made = []action{{deed: deedStop, name: name, reason: fmt.Sprintf("it was filled by a SELECT, which was logged as a statement (%s)", fault.SourceStatement)}}
	}
	for i := range made {
		made[i].ifNot, made[i].made = ifNot, true
	}
	return append(out, made...)
}

// readUnique reads CREATE UNIQUE INDEX, which is ALTER TABLE … ADD UNIQUE.
func (x *statementReader) readUnique(text string, name row.Name, mode uint64) []action {
	stmt, err := x.parse(text, mode)
	s, ok := stmt.(*ast.CreateIndexStmt)
	if err != nil || !ok {
		return []action{{deed: deedReread, name: name, reason: "the index cannot be read"}}
	}
	c := &ast.Constraint{Tp: ast.ConstraintUniq, Keys: s.IndexPartSpecifications}
	return []action{{deed: deedAlter, name: name, specs: []*ast.AlterTableSpec{{Tp: ast.AlterTableAddConstraint, Constraint: c}}}}
}

// readSpace reads the name and the charset of a database.
func (x *statementReader) readSpace(w *words, database string) action {
	a := action{deed: deedSpace, name: row.Name{Space: database}}
	if len(w.t) > 0 && !w.t[0].is("CHARACTER") && !w.t[0].is("CHARSET") && !w.t[0].is("COLLATE") && !w.t[0].is("DEFAULT") && !w.t[0].is("COMMENT") {
		_, space, _ := w.name()
		a.name = x.name(space, "", "")
	}
	for len(w.t) > 0 {
		var into *string
		switch {
		case w.skipAll("CHARACTER", "SET"), w.skip("CHARSET"):
			into = &a.charset
		case w.skip("COLLATE"):
			into = &a.collation
		default:
			w.t = w.t[1:]
			continue
		}
		w.skip("=")
		if len(w.t) > 0 {
			*into = strings.ToLower(strings.Trim(w.t[0].text, "'\""))
		}
	}
	return a
}

func (x *statementReader) readDrop(w *words, database string) []action {
	switch {
	case w.skip("DATABASE"), w.skip("SCHEMA"):
		w.skipAll("IF", "EXISTS")
		_, space, _ := w.name()
		return []action{{deed: deedDropAll, name: x.name(space, "", "")}}
	case w.skip("TABLE"), w.skip("TABLES"):
		w.skipAll("IF", "EXISTS")
		var out []action
		for len(w.t) > 0 {
			out = append(out, action{deed: deedDrop, name: x.take(w, database)})
			if !w.skip(",") {
				break
			}
		}
		return out
	case w.skip("INDEX"):
		for len(w.t) > 0 && !w.skip("ON") {
			w.t = w.t[1:]
		}
		return []action{{deed: deedKey, name: x.take(w, database)}}
	}
	return nil // temporary tables, views, users, …
}

func (x *statementReader) readRename(w *words, database string) []action {
	if !w.skip("TABLE") && !w.skip("TABLES") {
		return nil
	}
	w.skipAll("IF", "EXISTS")
	var out []action
	for len(w.t) > 0 {
		a := action{deed: deedRename, name: x.take(w, database)}
		if w.skip("WAIT") {
			w.t = w.t[min(1, len(w.t)):]
		}
		w.skip("NOWAIT")
		if !w.skip("TO") {
			break
		}
		a.to = x.take(w, database)
		out = append(out, a)
		if !w.skip(",") {
			break
		}
	}
	return out
}

// readParsed reads CREATE TABLE and ALTER TABLE with the parser; what it cannot
// read is left to the catalogue.
func (x *statementReader) readParsed(text, database string, mode uint64, name row.Name) []action {
	stmt, err := x.parse(text, mode)
	if err != nil {
		if other, ok := disguise(text, mode); ok {
			stmt, err = x.parse(other, mode)
		}
	}
	if err == nil && national(text, mode) {
		err = fmt.Errorf("a column has the national charset")
	}
	if err != nil {
		if bad := rowless(text); bad != "" {
			return append([]action{{deed: deedStop, name: name, reason: bad}}, x.converted(text, database, mode)...)
		}
		return []action{{deed: deedReread, name: name, reason: clip(err.Error(), 200)}}
	}
	switch s := stmt.(type) {
	case *ast.CreateTableStmt:
		out := []action{{deed: deedCreate, name: name, create: s}}
		if s.ReferTable != nil {
			out[0].deed, out[0].to = deedLike, x.nameOf(s.ReferTable, database)
		}
		for _, c := range s.Constraints {
			out = x.appendParent(out, c.Refer, name, database)
		}
		return x.appendInline(out, s.Cols, name, database)
	case *ast.AlterTableStmt:
		return x.readAlter(s, name, database)
	}
	return []action{{deed: deedReread, name: name, reason: "it is not the statement it seemed to be"}}
}

// disguised starts the only label of an enum that stands for a type the parser
// does not know.
const disguised = "type:"

// disguise writes what the parser does not know as something it does: types
// behind the name of their column as an enum, charsets and collations as a
// comment.
func disguise(text string, mode uint64) (string, bool) {
	list := tokens(text, mode&modeNoBackslash == 0, mode&modeANSIQuotes != 0)
	var b strings.Builder
	at := 0
	for i := 1; i < len(list); i++ {
		t := list[i]
		if n, with := charsetClause(list[i:]); n > 0 && !list[i-1].is("TO") {
			b.WriteString(text[at:t.at] + "COMMENT '" + with + "'")
			at = list[i+n-1].end
			i += n - 1
			continue
		}
		if t.quoted || t.str || !unparsed(t.text) || !endsName(list[i-1]) || i+1 < len(list) && list[i+1].is("(") {
			continue
		}
		b.WriteString(text[at:t.at] + "ENUM('" + disguised + strings.ToLower(t.text) + "')")
		at = t.end
	}
	b.WriteString(text[at:])
	return b.String(), at > 0
}

// disguisedCharset starts a comment that stands for a charset and a collation,
// which follow it, a colon between them.
const disguisedCharset = "charset:"

// charsetClause returns how many tokens at the front give a charset or a
// collation, and the comment that stands for them.
func charsetClause(list []token) (n int, with string) {
	w := words{list}
	name := func() string {
		w.skip("=")
		if len(w.t) == 0 {
			return ""
		}
		text := strings.ToLower(strings.Trim(w.t[0].text, "'\""))
		if w.t = w.t[1:]; strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return ""
		}
		return text
	}
	var charset, coll string
	w.skip("DEFAULT")
	if w.skipAll("CHARACTER", "SET") || w.skip("CHARSET") {
		if charset = name(); charset == "" || charset == "binary" {
			return 0, ""
		}
	}
	if w.skip("COLLATE") {
		if coll = name(); coll == "" {
			return 0, ""
		}
	}
	if charset == "" && coll == "" {
		return 0, ""
	}
	return len(list) - len(w.t), disguisedCharset + charset + ":" + coll
}

// undisguise returns the charset and collation that a comment stands for.
func undisguise(comment string) (charset, coll string, ok bool) {
	rest, ok := strings.CutPrefix(comment, disguisedCharset)
	if !ok {
		return "", "", false
	}
	charset, coll, ok = strings.Cut(rest, ":")
	return charset, coll, ok
}

// unparsed reports whether a word is a type that the parser does not know.
func unparsed(word string) bool {
	switch strings.ToLower(word) {
	case "uuid", "inet4", "inet6", "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return true
	}
	return false
}

// endsName reports whether a token may be the name of a column whose type
// follows.
func endsName(t token) bool {
	if t.quoted {
		return true
	}
	for _, w := range []string{"ADD", "COLUMN", "MODIFY", "CHANGE", "DROP", "AFTER", "EXISTS", "KEY", "INDEX", "BY", "TO", "RENAME"} {
		if t.is(w) {
			return false
		}
	}
	return !t.str && wordByte(t.text[0])
}

// national reports whether a statement has a type whose charset the parser
// forgets.
func national(text string, mode uint64) bool {
	for _, t := range tokens(text, mode&modeNoBackslash == 0, mode&modeANSIQuotes != 0) {
		if t.is("NATIONAL") || t.is("NCHAR") || t.is("NVARCHAR") {
			return true
		}
	}
	return false
}

// rowless returns what in a statement that the parser does not know changes rows
// without logging them.
func rowless(text string) string {
	w := words{tokens(text, true, false)}
	for len(w.t) > 0 {
		for _, p := range [][]string{{"EXCHANGE", "PARTITION"}, {"DROP", "PARTITION"}, {"TRUNCATE", "PARTITION"}, {"CONVERT", "PARTITION"}, {"CONVERT", "TABLE"},
			{"IMPORT", "TABLESPACE"}, {"DISCARD", "TABLESPACE"}, {"SYSTEM", "VERSIONING"}} {
			if w.skipAll(p...) {
				return strings.Join(p, " ")
			}
		}
		w.t = w.t[1:]
	}
	return ""
}

// converted returns what becomes of tables that a statement makes of partitions, or
// partitions of.
func (x *statementReader) converted(text, database string, mode uint64) (out []action) {
	w := words{tokens(text, mode&modeNoBackslash == 0, mode&modeANSIQuotes != 0)}
	for len(w.t) > 0 {
		switch {
		case w.skipAll("CONVERT", "PARTITION") && len(w.t) > 0:
			if w.t = w.t[1:]; w.skipAll("TO", "TABLE") {
				out = append(out, action{deed: deedStop, name: x.take(&w, database), made: true, reason: "it was a partition"})
			}
		case w.skipAll("CONVERT", "TABLE"):
			out = append(out, action{deed: deedDrop, name: x.take(&w, database)})
		default:
			w.t = w.t[1:]
		}
	}
	return out
}

// parse gives the text to the parser; a panic there is an error like any other.
func (x *statementReader) parse(text string, mode uint64) (stmt ast.StmtNode, err error) {
	defer func() {
		if r := recover(); r != nil {
			x.parser = nil
			stmt, err = nil, fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	if len(text) > maxStatement {
		return nil, fmt.Errorf("the statement has %d bytes", len(text))
	}
	if x.parser == nil {
		x.parser = parser.New()
	}
	m := sqlmode.SQLMode(mode & modeParsed)
	if mode&modeNoBackslash != 0 {
		m |= sqlmode.ModeNoBackslashEscapes
	}
	x.parser.SetSQLMode(m)
	return x.parser.ParseOneStmt(text, "", "")
}

// readAlter splits ALTER TABLE: what changes the shape stays together, renaming
// comes after it.
func (x *statementReader) readAlter(s *ast.AlterTableStmt, name row.Name, database string) []action {
	alter := action{deed: deedAlter, name: name}
	var out, renames []action
	for _, spec := range s.Specs {
		switch spec.Tp {
		case ast.AlterTableRenameTable:
			renames = append(renames, action{deed: deedRename, name: name, to: x.nameOf(spec.NewTable, database)})
		case ast.AlterTableDropPartition, ast.AlterTableTruncatePartition, ast.AlterTableDropFirstPartition,
			ast.AlterTableImportPartitionTablespace, ast.AlterTableDiscardPartitionTablespace,
			ast.AlterTableImportTablespace, ast.AlterTableDiscardTablespace:
			out = append(out, action{deed: deedStop, name: name, reason: "it changes rows without logging them"})
		case ast.AlterTableExchangePartition:
			why := "partitions were exchanged, which logs no rows"
			out = append(out, action{deed: deedStop, name: name, reason: why}, action{deed: deedStop, name: x.nameOf(spec.NewTable, database), reason: why})
		case ast.AlterTableDropIndex:
			out = append(out, action{deed: deedKey, name: name})
		case ast.AlterTableAddColumns, ast.AlterTableDropColumn, ast.AlterTableModifyColumn, ast.AlterTableChangeColumn,
			ast.AlterTableRenameColumn, ast.AlterTableDropPrimaryKey, ast.AlterTableOption:
			alter.specs = append(alter.specs, spec)
			out = x.appendInline(out, spec.NewColumns, name, database)
			if spec.Tp == ast.AlterTableModifyColumn || spec.Tp == ast.AlterTableChangeColumn {
				out = appendNullable(out, spec.NewColumns[0], name)
			}
		case ast.AlterTableAddConstraint:
			alter.specs = append(alter.specs, spec)
			if spec.Constraint != nil {
				out = x.appendParent(out, spec.Constraint.Refer, name, database)
			}
		}
	}
	if len(alter.specs) > 0 {
		out = append([]action{alter}, out...)
	}
	return append(out, renames...)
}

// appendNullable adds the action of a column that may be null now: a primary key keeps it
// from that, a unique one is no key any more.
func appendNullable(out []action, def *ast.ColumnDef, name row.Name) []action {
	for _, o := range def.Options {
		if o.Tp == ast.ColumnOptionNotNull || o.Tp == ast.ColumnOptionPrimaryKey || o.Tp == ast.ColumnOptionAutoIncrement {
			return out
		}
	}
	return append(out, action{deed: deedKey, name: name, column: def.Name.Name.O})
}

// appendParent adds the action of a foreign key that cascades.
func (x *statementReader) appendParent(out []action, refer *ast.ReferenceDef, child row.Name, database string) []action {
	if refer == nil || refer.Table == nil {
		return out
	}
	cascades := func(o ast.ReferOptionType) bool {
		return o == ast.ReferOptionCascade || o == ast.ReferOptionSetNull || o == ast.ReferOptionSetDefault
	}
	if refer.OnDelete != nil && cascades(refer.OnDelete.ReferOpt) || refer.OnUpdate != nil && cascades(refer.OnUpdate.ReferOpt) {
		parent := action{deed: deedParent, name: x.nameOf(refer.Table, database), to: child}
		for _, part := range refer.IndexPartSpecifications {
			parent.columns = append(parent.columns, part.Column.Name.O)
		}
		out = append(out, parent)
	}
	return out
}

// appendInline adds those of foreign keys that stand behind columns, which MySQL before 9
// passes over.
func (x *statementReader) appendInline(out []action, cols []*ast.ColumnDef, child row.Name, database string) []action {
	for _, c := range cols {
		for _, o := range c.Options {
			if x.inline && o.Tp == ast.ColumnOptionReference {
				out = x.appendParent(out, o.Refer, child, database)
			}
		}
	}
	return out
}
