package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"godwit/internal/row"
)

// collation is what the server knows of one.
type collation struct{ name, charset string }

// collations are those of a server.
type collations struct {
	byID      map[uint16]collation
	byName    map[string]collation
	byCharset map[string]string // charset → its default collation
}

// editor changes a copy of a shape. Columns are found by the names they had
// before the statement, as the server does.
type editor struct {
	known *collations
	table row.Table
	cols  []editedColumn
	key   []string // present names
	// unique are the unique keys that the statement makes; stands: one of them
	// became the key.
	unique [][]string
	stands bool
	moved  []editedColumn
	filler *filler // nil: there are no rows
}

type editedColumn struct {
	row.Column
	old   string // name before the statement; "" for a new column
	after *ast.ColumnPosition
}

func newEditor(t *row.Table, known *collations) *editor {
	e := &editor{known: known, table: *t}
	for _, c := range t.Columns {
		e.cols = append(e.cols, editedColumn{Column: c, old: c.Name})
	}
	for _, k := range t.Key {
		e.key = append(e.key, t.Columns[k].Name)
	}
	return e
}

// find returns the column that had the name before the statement.
func (e *editor) find(name string) int {
	return slices.IndexFunc(e.cols, func(c editedColumn) bool { return c.old != "" && strings.EqualFold(c.old, name) })
}

// present returns the column that has the name now.
func (e *editor) present(name string) int {
	return slices.IndexFunc(e.cols, func(c editedColumn) bool { return strings.EqualFold(c.Name, name) })
}

// alter applies the parts of ALTER TABLE: what stays in place first, then what is
// added or moved, in the order of the text.
func (e *editor) alter(specs []*ast.AlterTableSpec) error {
	for _, s := range specs {
		if s.Tp == ast.AlterTableOption { // a charset holds for columns of the same statement
			if err := e.options(s.Options); err != nil {
				return err
			}
		}
	}
	for _, s := range specs {
		if err := e.inPlace(s); err != nil {
			return err
		}
	}
	for _, c := range e.moved {
		if err := e.insert(c); err != nil {
			return err
		}
	}
	for _, s := range specs {
		if err := e.constraints(s); err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) inPlace(s *ast.AlterTableSpec) error {
	switch s.Tp {
	case ast.AlterTableAddColumns:
		for _, def := range s.NewColumns {
			if s.IfNotExists && e.present(def.Name.Name.O) >= 0 {
				continue
			}
			c, err := e.column(def, true)
			if err != nil {
				return err
			}
			e.moved = append(e.moved, editedColumn{Column: c, after: moveTo(s.Position)})
			e.columnKey(def)
		}
	case ast.AlterTableDropColumn:
		return e.drop(s.OldColumnName.Name.O, s.IfExists)
	case ast.AlterTableRenameColumn:
		return e.rename(s.OldColumnName.Name.O, s.NewColumnName.Name.O, s.IfExists)
	case ast.AlterTableModifyColumn:
		return e.modify(s.NewColumns[0].Name.Name.O, s)
	case ast.AlterTableChangeColumn:
		return e.modify(s.OldColumnName.Name.O, s)
	case ast.AlterTableDropPrimaryKey:
		e.key = nil
	}
	return nil
}

// moveTo returns nil for a position that says nothing.
func moveTo(p *ast.ColumnPosition) *ast.ColumnPosition {
	if p == nil || p.Tp == ast.ColumnPositionNone {
		return nil
	}
	return p
}

func (e *editor) drop(name string, ifExists bool) error {
	i := e.find(name)
	if i < 0 {
		if ifExists {
			return nil
		}
		return fmt.Errorf("there is no column %s to drop", clip(name, 80))
	}
	if slices.Contains(e.key, e.cols[i].Name) {
		return fmt.Errorf("column %s is part of the key", clip(name, 80))
	}
	e.cols = slices.Delete(e.cols, i, i+1)
	return nil
}

func (e *editor) rename(from, to string, ifExists bool) error {
	i := e.find(from)
	if i < 0 {
		if ifExists {
			return nil
		}
		return fmt.Errorf("there is no column %s to rename", clip(from, 80))
	}
	e.renameAt(i, to)
	return nil
}

func (e *editor) renameAt(i int, to string) {
	for k := range e.key {
		if strings.EqualFold(e.key[k], e.cols[i].Name) {
			e.key[k] = to
		}
	}
	e.cols[i].Name = to
}

func (e *editor) modify(name string, s *ast.AlterTableSpec) error {
	i := e.find(name)
	if i < 0 {
		if s.IfExists {
			return nil
		}
		return fmt.Errorf("there is no column %s to change", clip(name, 80))
	}
	def := s.NewColumns[0]
	c, err := e.column(def, false)
	if err != nil {
		return err
	}
	switch {
	case hasOption(def, ast.ColumnOptionGenerated):
		e.filler.doubt("column %s is generated from others", clip(c.Name, 80))
	case hasOption(def, ast.ColumnOptionAutoIncrement) && e.cols[i].Nullable:
		e.filler.doubt("column %s numbered rows in which it was null", clip(c.Name, 80))
	}
	e.renameAt(i, c.Name)
	c.Default = e.cols[i].Default
	if slices.Contains(e.key, c.Name) {
		c.Nullable = false
	}
	e.cols[i].Column = c
	e.columnKey(def)
	if p := moveTo(s.Position); p != nil {
		moved := e.cols[i]
		moved.after = p
		e.cols = slices.Delete(e.cols, i, i+1)
		e.moved = append(e.moved, moved)
	}
	return nil
}

// insert puts a new or moved column in its place.
func (e *editor) insert(c editedColumn) error {
	if e.present(c.Name) >= 0 {
		return fmt.Errorf("there is a column %s already", clip(c.Name, 80))
	}
	switch {
	case c.after == nil:
		e.cols = append(e.cols, c)
	case c.after.Tp == ast.ColumnPositionFirst:
		e.cols = slices.Insert(e.cols, 0, c)
	default:
		i := e.present(c.after.RelativeColumn.Name.O)
		if i < 0 {
			return fmt.Errorf("there is no column %s to stand behind", clip(c.after.RelativeColumn.Name.O, 80))
		}
		e.cols = slices.Insert(e.cols, i+1, c)
	}
	return nil
}

// columnKey takes a key that is declared with its column.
func (e *editor) columnKey(def *ast.ColumnDef) {
	for _, o := range def.Options {
		if o.Tp == ast.ColumnOptionPrimaryKey {
			e.key = []string{def.Name.Name.O}
		}
	}
}

func (e *editor) constraints(s *ast.AlterTableSpec) error {
	list := s.NewConstraints
	if s.Constraint != nil {
		list = append(list[:len(list):len(list)], s.Constraint)
	}
	for _, c := range list {
		if err := e.constraint(c); err != nil {
			return err
		}
	}
	for _, def := range s.NewColumns {
		e.uniqueColumn(def)
	}
	return nil
}

func (e *editor) constraint(c *ast.Constraint) error {
	switch c.Tp {
	case ast.ConstraintPrimaryKey:
		key, err := e.keyColumns(c)
		if err != nil {
			return err
		}
		e.key = key
		for _, k := range key {
			e.cols[e.present(k)].Nullable = false
		}
	case ast.ConstraintUniq, ast.ConstraintUniqKey, ast.ConstraintUniqIndex:
		if len(e.key) > 0 {
			return nil
		}
		if key, err := e.keyColumns(c); err == nil && wholeColumns(c) {
			e.unique = append(e.unique, key)
		}
	}
	return nil
}

// wholeColumns reports whether a key has no column of which only the front is in
// it.
func wholeColumns(c *ast.Constraint) bool {
	return !slices.ContainsFunc(c.Keys, func(k *ast.IndexPartSpecification) bool { return k.Length > 0 })
}

// errKeyUnsure says that several unique keys of a table without a primary key may
// stand for one: the catalogue chooses.
var errKeyUnsure = fmt.Errorf("the key that the table has now is not certain")

func (e *editor) keyColumns(c *ast.Constraint) ([]string, error) {
	var out []string
	for _, k := range c.Keys {
		if k.Column == nil {
			return nil, fmt.Errorf("a key has an expression")
		}
		i := e.present(k.Column.Name.O)
		if i < 0 {
			return nil, fmt.Errorf("there is no column %s for a key", clip(k.Column.Name.O, 80))
		}
		out = append(out, e.cols[i].Name)
	}
	return out, nil
}

// options takes the charset of the table; CONVERT TO changes its columns too.
func (e *editor) options(list []*ast.TableOption) error {
	charset, coll, convert := "", "", false
	for _, o := range list {
		switch o.Tp {
		case ast.TableOptionCharset:
			charset = strings.ToLower(o.StrValue)
			convert = convert || o.UintValue == ast.TableOptionCharsetWithConvertTo
			if o.Default {
				return fmt.Errorf("the charset is the database's default")
			}
		case ast.TableOptionCollate:
			coll = strings.ToLower(o.StrValue)
		case ast.TableOptionComment:
			if cs, co, ok := undisguise(o.StrValue); ok {
				charset, coll = cs, co
			}
		}
	}
	if charset == "" && coll == "" {
		return nil
	}
	var err error
	if e.table.Charset, e.table.Collation, err = e.known.resolve(charset, coll, e.table.Charset, e.table.Collation); err != nil || !convert {
		return err
	}
	for i := range e.cols {
		if err := e.convert(&e.cols[i].Type); err != nil {
			return err
		}
	}
	return nil
}

// convert gives a column the charset of the table. Texts that may take more bytes
// then become larger types; JSON is a text of a certain collation only.
func (e *editor) convert(t *row.Type) (err error) {
	if t.Charset == "" {
		return nil
	}
	old, now := characterBytes(t.Charset), characterBytes(e.table.Charset)
	native := t.Native
	switch word := nativeWord(t.Native); {
	case t.Kind == row.JSON && e.table.Collation == "utf8mb4_bin":
		return nil
	case t.Kind == row.JSON:
		native = "longtext"
	case t.Kind == row.Text && now > old && strings.HasSuffix(word, "text"):
		size, _ := textSize(word)
		native = sizedBlob(size/old*now, "text", true, "", "")
	}
	*t, err = parseType(native, e.table.Charset, e.table.Collation)
	return err
}

// resolve completes a charset and a collation, of which either may be missing.
func (k *collations) resolve(charset, coll, charset0, coll0 string) (string, string, error) {
	if charset == "utf8" {
		charset = "utf8mb3"
	}
	coll = strings.Replace(coll, "utf8_", "utf8mb3_", 1)
	switch {
	case coll != "":
		c, ok := k.byName[coll]
		if !ok {
			return "", "", fmt.Errorf("collation %s is not known", clip(coll, 80))
		}
		if charset != "" && charset != c.charset {
			return "", "", fmt.Errorf("collation %s does not belong to %s", clip(coll, 80), clip(charset, 80))
		}
		return c.charset, coll, nil
	case charset != "":
		d, ok := k.byCharset[charset]
		if !ok {
			return "", "", fmt.Errorf("charset %s is not known", clip(charset, 80))
		}
		return charset, d, nil
	}
	return charset0, coll0, nil
}

// finish returns the new shape.
func (e *editor) finish() (*row.Table, map[string]string, error) {
	if err := e.standIn(); err != nil {
		return nil, nil, err
	}
	t := e.table
	t.Columns, t.Key = nil, nil
	renamed := map[string]string{}
	for _, c := range e.cols {
		t.Columns = append(t.Columns, c.Column)
		if c.old != "" && c.old != c.Name {
			renamed[c.Name] = c.old
		}
	}
	if len(t.Columns) == 0 {
		return nil, nil, fmt.Errorf("no column is left")
	}
	for _, k := range e.key {
		i := e.present(k)
		if i < 0 {
			return nil, nil, fmt.Errorf("column %s of the key is gone", clip(k, 80))
		}
		t.Key = append(t.Key, i)
	}
	return &t, renamed, nil
}

// tableOf returns the shape that CREATE TABLE makes. charset and coll are the
// database's.
func tableOf(name row.Name, s *ast.CreateTableStmt, known *collations, charset, coll string) (*row.Table, error) {
	e := newEditor(&row.Table{Name: name, Charset: charset, Collation: coll, Rows: -1, Bytes: -1}, known)
	if err := e.options(s.Options); err != nil {
		return nil, err
	}
	for _, def := range s.Cols {
		c, err := e.column(def, false)
		if err != nil {
			return nil, err
		}
		if e.present(c.Name) >= 0 {
			return nil, fmt.Errorf("column %s stands twice", clip(c.Name, 80))
		}
		e.cols = append(e.cols, editedColumn{Column: c})
		e.columnKey(def)
	}
	for _, c := range s.Constraints {
		if err := e.constraint(c); err != nil {
			return nil, err
		}
	}
	for _, def := range s.Cols {
		e.uniqueColumn(def)
	}
	t, _, err := e.finish()
	return t, err
}

// uniqueColumn takes a unique key that is declared with its column.
func (e *editor) uniqueColumn(def *ast.ColumnDef) {
	for _, o := range def.Options {
		if o.Tp == ast.ColumnOptionUniqKey {
			e.unique = append(e.unique, []string{def.Name.Name.O})
		}
	}
}

// standIn makes the only unique key over columns that are never null the key of a
// table without a primary one.
func (e *editor) standIn() error {
	for _, u := range e.unique {
		if slices.ContainsFunc(u, func(n string) bool { return e.present(n) < 0 || e.cols[e.present(n)].Nullable }) {
			continue
		}
		if e.stands {
			return errKeyUnsure
		}
		if len(e.key) == 0 {
			e.key, e.stands = u, true
		}
	}
	return nil
}
