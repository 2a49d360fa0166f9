package expression

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"godwit/internal/row"
)

// MaxLength bounds the text of an expression, in bytes, and maxNodes its parts: what a
// row may cost.
const (
	MaxLength = 8 << 10
	maxNodes  = 1000
)

// Parsed is an expression that is well formed.
type Parsed struct {
	source string
	root   ast.Node
}

// String is the expression as it was written.
func (p *Parsed) String() string { return p.source }

// Error says what is wrong with an expression, and where.
type Error struct {
	Source       string
	Line, Column int // from 1, in characters
	What         string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (at %d:%d of %s)", e.What, e.Line, e.Column, strconv.Quote(e.Source))
}

// Parse reads an expression. The error is an *Error.
func Parse(source string) (*Parsed, error) {
	p := &Parsed{source: source}
	if len(source) > MaxLength {
		return nil, &Error{source[:60] + "…", 1, 1, fmt.Sprintf("it is longer than %d bytes", MaxLength)}
	}
	if !utf8.ValidString(source) {
		return nil, &Error{strings.ToValidUTF8(source, "�"), 1, 1, "it is not UTF-8"}
	}
	tree, err := parser.ParseWithConfig(source, &conf.Config{MaxNodes: maxNodes})
	if bad := (*file.Error)(nil); errors.As(err, &bad) {
		return nil, &Error{source, bad.Line, bad.Column + 1, bad.Message}
	}
	if err != nil || tree.Node == nil {
		return nil, &Error{source, 1, 1, fmt.Sprint("it cannot be read: ", err)}
	}
	p.root = tree.Node
	return p, nil
}

// wrong returns an error about the part of p at a node.
func (p *Parsed) wrong(n ast.Node, format string, args ...any) error {
	line, column, from := 1, 1, 0
	if n != nil {
		from = n.Location().From
	}
	for _, c := range []rune(p.source)[:min(from, utf8.RuneCountInString(p.source))] {
		if column++; c == '\n' {
			line, column = line+1, 1
		}
	}
	return &Error{p.source, line, column, fmt.Sprintf(format, args...)}
}

// Scope are the names that an expression may use, in the order in which they are told
// to people. What a name stands for may be an expression itself.
type Scope struct {
	Names   []string
	Meaning []*Expression
}

// Of returns the columns of t as a Scope.
func Of(t *row.Table) Scope {
	var s Scope
	for i, c := range t.Columns {
		s.Names = append(s.Names, c.Name)
		s.Meaning = append(s.Meaning, Column(t, i))
	}
	return s
}

// Value types p by what its names mean in a scope. The error is an *Error.
func (p *Parsed) Value(s Scope) (*Expression, error) {
	c := compiler{p, s}
	e, err := c.node(p.root)
	if err != nil {
		return nil, err
	}
	if e.typ.class == nothing {
		return nil, p.wrong(p.root, "null alone has no type; expected such as text(null)")
	}
	if e.typ.class == exact && e.typ.own == nil && e.typ.whole+e.typ.scale > maxDigits {
		return nil, p.wrong(p.root, "the number may have %d digits before and %d after the point, more than %d in all; say how many are kept: decimal(…, 38, 6)",
			e.typ.whole, e.typ.scale, maxDigits)
	}
	return e, nil
}

// Condition is Value of what is true or false.
func (p *Parsed) Condition(s Scope) (*Expression, error) {
	e, err := p.Value(s)
	if err != nil {
		return nil, err
	}
	if e.typ.class != truth {
		return nil, p.wrong(p.root, "it is %s; expected a condition, such as %s", e.typ, conditionFor(e.typ))
	}
	return e, nil
}

func conditionFor(t Type) string {
	if t.class == exact {
		return "x != 0"
	}
	return "x != null"
}

type compiler struct {
	*Parsed
	scope Scope
}

// node types one part of the expression.
func (c *compiler) node(n ast.Node) (*Expression, error) {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(Type{nullable: true}, value{null: true}), nil
	case *ast.BoolNode:
		return constant(Type{class: truth}, value{word: wordOf(n.Value)}), nil
	case *ast.IntegerNode:
		return numeral(whole(int64(n.Value))), nil
	case *ast.FloatNode:
		return c.decimalLiteral(n)
	case *ast.StringNode:
		return constant(Type{class: text}, value{data: []byte(n.Value)}), nil
	case *ast.BytesNode:
		return constant(Type{class: binary}, value{data: n.Value}), nil
	case *ast.IdentifierNode:
		return c.name(n, n.Value)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if name, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(name, name.Value, n.Arguments)
		}
	case *ast.ArrayNode:
		return nil, c.wrong(n, "a list may only stand after in")
	}
	return nil, c.wrong(n, "this form is not known here; expressions have names, values, operators, c ? a : b, and functions")
}

func wordOf(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func constant(t Type, v value) *Expression {
	return &Expression{typ: t, column: -1, constant: true, eval: func(*Row) value { return v }}
}

// numeral is a number that stands in an expression.
func numeral(n number) *Expression {
	digits := len(strings.TrimLeft(n.rounded(0).integer().String(), "-"))
	_, word := n.integral()
	return constant(Type{class: exact, whole: digits, scale: n.scale, word: word}, value{num: n})
}

// sureDigits is how many digits of a literal a float keeps.
const sureDigits = 15

// decimalLiteral takes a literal with a point for what is written, and not for the float
// that comes closest.
func (c *compiler) decimalLiteral(n *ast.FloatNode) (*Expression, error) {
	s := strconv.FormatFloat(n.Value, 'f', -1, 64)
	if len(strings.Trim(s, "-0.")) > sureDigits+1 {
		return nil, c.wrong(n, "a number of so many digits is written as text: decimal('…', 38, 10)")
	}
	v, _ := parseNumber([]byte(s))
	return numeral(v), nil
}

// name is what a name stands for.
func (c *compiler) name(n ast.Node, name string) (*Expression, error) {
	i := slices.Index(c.scope.Names, name)
	switch {
	case i >= 0 && c.scope.Meaning[i].eval == nil:
		return nil, c.wrong(n, "expressions cannot do with column %s, of type %s", name, c.scope.Meaning[i].typ.own.Native)
	case i >= 0:
		return c.scope.Meaning[i], nil
	case name == "null" || name == "NULL":
		return constant(Type{nullable: true}, value{null: true}), nil
	}
	return nil, c.wrong(n, "no column is called %s; there are %s", name, few(c.scope.Names))
}

// few are some names, for people.
func few(names []string) string {
	const most = 12
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// made is an expression on others, which it reads.
func made(t Type, eval func(*Row) value, of ...*Expression) *Expression {
	e := &Expression{typ: t, column: -1, eval: eval, constant: true}
	for _, o := range of {
		e.constant = e.constant && o.constant
		for _, col := range o.columns {
			if !slices.Contains(e.columns, col) {
				e.columns = append(e.columns, col)
			}
		}
	}
	return e
}

func nullable(of ...*Expression) bool {
	return slices.ContainsFunc(of, func(e *Expression) bool { return e.typ.nullable })
}

func (c *compiler) unary(n *ast.UnaryNode) (*Expression, error) {
	e, err := c.node(n.Node)
	if err != nil {
		return nil, err
	}
	t := Type{class: e.typ.class, whole: e.typ.whole, scale: e.typ.scale, nullable: e.typ.nullable}
	switch {
	case (n.Operator == "!" || n.Operator == "not") && t.class == truth:
		return made(t, func(r *Row) value {
			v := e.eval(r)
			v.word ^= 1
			return v
		}, e), nil
	case n.Operator == "-" && t.class == exact:
		return made(t, func(r *Row) value {
			v := e.eval(r)
			v.num = v.num.negated()
			return v
		}, e), nil
	case n.Operator == "-" && t.class == floating:
		return made(t, func(r *Row) value {
			v := e.eval(r)
			v.word ^= 1 << 63
			return v
		}, e), nil
	case n.Operator == "+" && (t.class == exact || t.class == floating):
		return e, nil
	}
	return nil, c.wrong(n, "%s does not go with %s", n.Operator, e.typ)
}

// conditional is the one where its condition is true, else the other.
func (c *compiler) conditional(n *ast.ConditionalNode) (*Expression, error) {
	cond, err := c.node(n.Cond)
	if err != nil {
		return nil, err
	}
	if cond.typ.class != truth {
		return nil, c.wrong(n.Cond, "it is %s; expected a condition", cond.typ)
	}
	a, b, t, err := c.either(n, n.Exp1, n.Exp2)
	if err != nil {
		return nil, err
	}
	return made(t, func(r *Row) value {
		if v := cond.eval(r); !v.null && v.word == 1 {
			return a.eval(r)
		}
		return b.eval(r)
	}, cond, a, b), nil
}

// either types two parts of which one is taken.
func (c *compiler) either(n, left, right ast.Node) (a, b *Expression, t Type, err error) {
	if a, err = c.node(left); err != nil {
		return nil, nil, t, err
	}
	if b, err = c.node(right); err != nil {
		return nil, nil, t, err
	}
	if a, b, err = c.alike(n, a, b); err != nil {
		return nil, nil, t, err
	}
	t, ok := joined(a.typ, b.typ)
	if !ok {
		return nil, nil, t, c.wrong(n, "it is %s or %s; expected two of one type", a.typ, b.typ)
	}
	return a, b, t, nil
}
