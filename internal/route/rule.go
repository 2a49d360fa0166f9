// Package route says what of a table reaches a sink, and as what: under which name, which
// columns, which rows, and with what in their cells. It is pure; rows keep their places.
package route

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/expression"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/row"
)

// Rule says what becomes of the tables that it names.
type Rule struct {
	Place  option.Place
	Tables connector.Selector
	Omit   bool
	Where  *expression.Parsed // nil: every row
	Set    []Set
	// Columns chooses columns by patterns, as tables are chosen; empty: all.
	Columns       []string
	RenameColumns []option.Pair
	Rename        string   // a pattern for the name; empty: the table keeps it
	Key           []string // empty: that of the table
}

// Set is a column and the value it gets.
type Set struct {
	Column string
	Value  *expression.Parsed
}

// MaxRules bounds a list of rules.
const MaxRules = 1000

// Fields declares a rule in a job file.
func Fields() []option.Field {
	return []option.Field{
		{Name: "tables", Kind: option.List, Min: 1, Max: 1000, Check: checkPattern, Example: `["shop.*"]`,
			Help: "For which tables: patterns as those of the job's `tables`, of the names in the source. Absent: for all."},
		{Name: "omit", Kind: option.Bool, Help: "Nothing of these tables is written."},
		{Name: "where", Kind: option.Text, Check: checkWhere, Example: "amount > 10 && status != 'void'",
			Help: "Only rows for which this holds. A row that an update takes out of it is deleted, one that an update brings in is written. Needs `binlog_row_image=FULL` on the source."},
		{Name: "set", Kind: option.Map, Max: 1000, Check: checkSet, Example: `{email: "sha256(lower(email))", total: "price * quantity"}`,
			Help: "Columns and the expressions that they get the values of, over the columns as they were before; a column that is not there is added at the end. Its type is that of the expression."},
		{Name: "columns", Kind: option.List, Max: 1000, Check: checkColumns, Example: `["*", "!secret_*"]`,
			Help: "Which columns are written: names, in which `*` stands for any characters and `?` for one. A leading `!` leaves out, whatever else matches. Absent: all."},
		{Name: "rename_columns", Kind: option.Map, Max: 1000, Check: checkColumnName, Example: "{id: order_id}",
			Help: "Other names for columns, after everything else of the rule."},
		{Name: "rename", Kind: option.Text, Check: checkRename, Example: "sales.{table}",
			Help: "The table's name in the target, `database.table` or the table alone. `{database}` and `{table}` stand for what it is called so far. No two tables may get one name."},
		{Name: "key", Kind: option.List, Max: 64, Example: "[order_id]",
			Help: "Columns, as they are called after the rule, that tell the target's rows apart, where the rule drops or changes a column of the key. They must follow from the key alone, and nothing checks that they are unique."},
	}
}

func checkPattern(v any) error { return connector.ValidPattern(strings.TrimSpace(v.(string))) }

func checkWhere(v any) error {
	_, err := expression.Parse(v.(string))
	return err
}

func checkSet(v any) error { return checkWhere(v.(option.Pair).Value) }

func checkColumns(v any) error {
	if strings.Trim(v.(string), "!") == "" {
		return errors.New("expected the name of a column, or a pattern")
	}
	return nil
}

func checkColumnName(v any) error {
	if n := len(v.(option.Pair).Value); n == 0 || n > 255 {
		return errors.New("expected a name of 1 to 255 bytes")
	}
	return nil
}

var braces = regexp.MustCompile(`\{[^}]*\}?`)

func checkRename(v any) error {
	s := v.(string)
	for _, b := range braces.FindAllString(s, -1) {
		if b != "{database}" && b != "{table}" {
			return fmt.Errorf("only {database} and {table} may stand there, not %s", b)
		}
	}
	space, table, both := strings.Cut(s, ".")
	if s == "" || both && (space == "" || table == "") || len(s) > 255 {
		return errors.New("expected database.table or a table, such as sales.{table}")
	}
	return nil
}

// Rules reads the rules of a job file, which Fields has checked.
func Rules(list []option.Values) []Rule {
	var out []Rule
	for _, v := range list {
		r := Rule{Place: v.At(), Tables: connector.Selector{Patterns: v.List("tables")}, Omit: v.Bool("omit"), Columns: v.List("columns"),
			RenameColumns: v.Map("rename_columns"), Rename: v.Text("rename"), Key: v.List("key")}
		if len(r.Tables.Patterns) == 0 {
			r.Tables.Patterns = []string{"*.*"}
		}
		if v.Given("where") {
			r.Where, _ = expression.Parse(v.Text("where")) // a problem was told when it was read
		}
		for _, s := range v.Map("set") {
			p, err := expression.Parse(s.Value)
			if err == nil {
				r.Set = append(r.Set, Set{s.Key, p})
			}
		}
		out = append(out, r)
	}
	return out
}

// state is a table as rules have made it so far.
type state struct {
	name  row.Name
	scope expression.Scope
	where []*expression.Expression
	key   []string // that was declared
}

// apply makes of s what r says.
func (r *Rule) apply(s *state) error {
	before := s.scope
	if r.Where != nil {
		e, err := r.Where.Condition(before)
		if err != nil {
			return r.wrong("where", err)
		}
		s.where = append(s.where, e)
	}
	s.scope = expression.Scope{Names: slices.Clone(before.Names), Meaning: slices.Clone(before.Meaning)}
	for _, set := range r.Set {
		e, err := set.Value.Value(before)
		if err != nil {
			return r.wrong("set."+set.Column, err)
		}
		s.put(set.Column, e)
	}
	if err := r.choose(s); err != nil {
		return r.wrong("columns", err)
	}
	if err := r.renameColumns(s); err != nil {
		return r.wrong("rename_columns", err)
	}
	s.name = r.renamed(s.name)
	if len(r.Key) > 0 {
		s.key = r.Key
	}
	return nil
}

func (r *Rule) wrong(field string, err error) error {
	f := fault.New(fault.JobValue, "rules: %s: %v", field, err)
	if r.Place.Line > 0 {
		f = f.At("%s", r.Place)
	}
	return f
}

// put gives a column a value, adding it where it is not there.
func (s *state) put(column string, e *expression.Expression) {
	if i := slices.Index(s.scope.Names, column); i >= 0 {
		s.scope.Meaning[i] = e
		return
	}
	s.scope.Names, s.scope.Meaning = append(s.scope.Names, column), append(s.scope.Meaning, e)
}

// choose leaves out the columns that are not chosen.
func (r *Rule) choose(s *state) error {
	if len(r.Columns) == 0 {
		return nil
	}
	for _, p := range r.Columns {
		if !strings.ContainsAny(p, "!*?") && !slices.Contains(s.scope.Names, p) {
			return fmt.Errorf("no column is called %s; there are %s", p, strings.Join(s.scope.Names, ", "))
		}
	}
	var kept expression.Scope
	for i, name := range s.scope.Names {
		if connector.MatchName(r.Columns, name) {
			kept.Names, kept.Meaning = append(kept.Names, name), append(kept.Meaning, s.scope.Meaning[i])
		}
	}
	if len(kept.Names) == 0 {
		return errors.New("no column is left")
	}
	s.scope = kept
	return nil
}

func (r *Rule) renameColumns(s *state) error {
	names := slices.Clone(s.scope.Names)
	for _, p := range r.RenameColumns {
		i := slices.Index(s.scope.Names, p.Key)
		if i < 0 {
			return fmt.Errorf("no column is called %s; there are %s", p.Key, strings.Join(s.scope.Names, ", "))
		}
		names[i] = p.Value
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("two columns would be called %s", name)
		}
	}
	s.scope.Names = names
	return nil
}

func (r *Rule) renamed(n row.Name) row.Name {
	if r.Rename == "" {
		return n
	}
	fill := strings.NewReplacer("{database}", n.Space, "{table}", n.Table)
	space, table, both := strings.Cut(r.Rename, ".")
	if !both {
		return row.Name{Space: n.Space, Table: fill.Replace(space)}
	}
	return row.Name{Space: fill.Replace(space), Table: fill.Replace(table)}
}
