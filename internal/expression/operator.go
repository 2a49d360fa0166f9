package expression

import (
	"bytes"
	"cmp"
	"math"
	"regexp"

	"github.com/expr-lang/expr/ast"
)

func (c *compiler) binary(n *ast.BinaryNode) (*Expression, error) {
	switch n.Operator {
	case "in":
		return c.among(n)
	case "??":
		return c.coalesced(n)
	}
	a, err := c.node(n.Left)
	if err != nil {
		return nil, err
	}
	b, err := c.node(n.Right)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		return c.logical(n, a, b)
	case "==", "!=", "<", "<=", ">", ">=":
		return c.comparison(n, n.Operator, a, b)
	case "+", "-", "*", "/", "%":
		return c.arithmetic(n, a, b)
	case "contains", "startsWith", "endsWith", "matches":
		return c.pattern(n, a, b)
	}
	return nil, c.wrong(n, "the operator %s is not known here", n.Operator)
}

// logical is and or or of SQL: what is not known decides nothing.
func (c *compiler) logical(n *ast.BinaryNode, a, b *Expression) (*Expression, error) {
	if a.typ.class != truth || b.typ.class != truth {
		return nil, c.wrong(n, "%s stands between %s and %s; expected two conditions", n.Operator, a.typ, b.typ)
	}
	decides := wordOf(n.Operator == "or" || n.Operator == "||")
	return made(Type{class: truth, nullable: nullable(a, b)}, func(r *Row) value {
		v := a.eval(r)
		if !v.null && v.word == decides {
			return v
		}
		w := b.eval(r)
		if v.null && (w.null || w.word != decides) {
			return v
		}
		return w
	}, a, b), nil
}

// comparison compares two of one type. Beside null, == and != ask whether a value is
// known, and are always true or false.
func (c *compiler) comparison(n ast.Node, operator string, a, b *Expression) (*Expression, error) {
	if a.typ.class == nothing || b.typ.class == nothing {
		return c.known(n, operator, a, b)
	}
	a, b, err := c.alike(n, a, b)
	if err != nil {
		return nil, err
	}
	compare := comparer(a.typ.class)
	if a.typ.class != b.typ.class || compare == nil || a.typ.class == truth && operator != "==" && operator != "!=" {
		return nil, c.wrong(n, "%s and %s are not compared%s", a.typ, b.typ, hint(a.typ, b.typ))
	}
	holds := holding(operator)
	return made(Type{class: truth, nullable: nullable(a, b)}, func(r *Row) value {
		v, w := a.eval(r), b.eval(r)
		if v.null || w.null {
			return value{null: true}
		}
		return value{word: wordOf(holds(compare(v, w)))}
	}, a, b), nil
}

// hint says how two types can be compared.
func hint(a, b Type) string {
	for _, t := range []Type{a, b} {
		switch t.class {
		case text:
			return "; say such as int(…), decimal(…, 20, 2) or date(…) of the text"
		case datetime, instant:
			return "; say date(…)"
		}
	}
	return ""
}

func (c *compiler) known(n ast.Node, operator string, a, b *Expression) (*Expression, error) {
	if operator != "==" && operator != "!=" {
		return nil, c.wrong(n, "nothing is below or above null; expected == null or != null")
	}
	of := a
	if a.typ.class == nothing {
		of = b
	}
	want := operator == "=="
	return made(Type{class: truth}, func(r *Row) value { return value{word: wordOf(of.eval(r).null == want)} }, of), nil
}

func holding(operator string) func(int) bool {
	switch operator {
	case "==":
		return func(c int) bool { return c == 0 }
	case "!=":
		return func(c int) bool { return c != 0 }
	case "<":
		return func(c int) bool { return c < 0 }
	case "<=":
		return func(c int) bool { return c <= 0 }
	case ">":
		return func(c int) bool { return c > 0 }
	}
	return func(c int) bool { return c >= 0 }
}

func comparer(of class) func(v, w value) int {
	switch of {
	case truth, date, datetime: // packed dates order as dates do
		return func(v, w value) int { return cmp.Compare(v.word, w.word) }
	case duration, instant:
		return func(v, w value) int { return cmp.Compare(int64(v.word), int64(w.word)) }
	case exact:
		return func(v, w value) int { return v.num.compare(w.num) }
	case floating:
		return func(v, w value) int { return cmp.Compare(math.Float64frombits(v.word), math.Float64frombits(w.word)) }
	case text, binary:
		return func(v, w value) int { return bytes.Compare(v.data, w.data) }
	}
	return nil
}

// alike brings two parts to one type where that needs no word: a literal takes the type
// of what it stands beside, and a number beside a float is one.
func (c *compiler) alike(n ast.Node, a, b *Expression) (*Expression, *Expression, error) {
	var err error
	switch {
	case a.typ.class == b.typ.class:
	case a.typ.class == floating && b.typ.class == exact:
		b = toFloat(b)
	case b.typ.class == floating && a.typ.class == exact:
		a = toFloat(a)
	case b.constant && b.typ.class == text:
		b, err = c.literal(n, b, a.typ.class)
	case a.constant && a.typ.class == text:
		a, err = c.literal(n, a, b.typ.class)
	}
	return a, b, err
}

// literal is a text that stands in an expression as the date, time or bytes it is
// compared with.
func (c *compiler) literal(n ast.Node, e *Expression, of class) (*Expression, error) {
	switch of {
	case binary:
		return constant(Type{class: binary}, e.eval(&Row{})), nil
	case date, duration, datetime, instant:
		v, ok := parseMoment(of, e.eval(&Row{}).data)
		if !ok {
			return nil, c.wrong(n, "%q is not %s; expected such as %s", e.eval(&Row{}).data, of, momentExample(of))
		}
		return constant(Type{class: of}, v), nil
	}
	return e, nil
}

func toFloat(e *Expression) *Expression {
	return made(Type{class: floating, nullable: e.typ.nullable}, func(r *Row) value {
		v := e.eval(r)
		return value{null: v.null, word: math.Float64bits(v.num.float())}
	}, e)
}

// among is in: equal to one of a list.
func (c *compiler) among(n *ast.BinaryNode) (*Expression, error) {
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		return nil, c.wrong(n, "expected a list after in, such as in ['a', 'b']")
	}
	a, err := c.node(n.Left)
	if err != nil {
		return nil, err
	}
	var any *Expression
	for _, item := range list.Nodes {
		b, err := c.node(item)
		if err != nil {
			return nil, err
		}
		same, err := c.comparison(item, "==", a, b)
		if err != nil {
			return nil, err
		}
		if any == nil {
			any = same
		} else if any, err = c.logical(&ast.BinaryNode{Operator: "or"}, any, same); err != nil {
			return nil, err
		}
	}
	return any, nil
}

// coalesced is the first of two that is not null.
func (c *compiler) coalesced(n *ast.BinaryNode) (*Expression, error) {
	a, b, t, err := c.either(n, n.Left, n.Right)
	if err != nil {
		return nil, err
	}
	t.nullable = b.typ.nullable
	return made(t, func(r *Row) value {
		if v := a.eval(r); !v.null || r.absent {
			return v
		}
		return b.eval(r)
	}, a, b), nil
}

// divisionScale is how many digits a quotient has after the point beyond its dividend.
const divisionScale = 4

func (c *compiler) arithmetic(n *ast.BinaryNode, a, b *Expression) (*Expression, error) {
	a, b, err := c.alike(n, a, b)
	if err != nil {
		return nil, err
	}
	switch {
	case a.typ.class == text && b.typ.class == text && n.Operator == "+":
		return joinTexts(a, b), nil
	case a.typ.class == floating && b.typ.class == floating && n.Operator != "%":
		return floats(n.Operator, a, b), nil
	case a.typ.class != exact || b.typ.class != exact:
		return nil, c.wrong(n, "%s does not go with %s and %s", n.Operator, a.typ, b.typ)
	}
	t := Type{class: exact, nullable: nullable(a, b), whole: max(a.typ.whole, b.typ.whole) + 1, scale: max(a.typ.scale, b.typ.scale)}
	var do func(v, w number) value
	switch n.Operator {
	case "+":
		do = func(v, w number) value { return value{num: v.plus(w)} }
	case "-":
		do = func(v, w number) value { return value{num: v.plus(w.negated())} }
	case "*":
		t.whole, t.scale = a.typ.whole+b.typ.whole, a.typ.scale+b.typ.scale
		do = func(v, w number) value { return value{num: v.times(w)} }
	case "/":
		scale := a.typ.scale + divisionScale
		t.whole, t.scale, t.nullable = a.typ.whole+b.typ.scale, scale, true
		do = func(v, w number) value {
			if w.sign() == 0 {
				return value{null: true}
			}
			return value{num: v.over(w, scale)}
		}
	default:
		t.whole, t.nullable = b.typ.whole, true
		do = func(v, w number) value {
			if w.sign() == 0 {
				return value{null: true}
			}
			return value{num: v.remainder(w)}
		}
	}
	return made(t, func(r *Row) value {
		v, w := a.eval(r), b.eval(r)
		if v.null || w.null {
			return value{null: true}
		}
		return do(v.num, w.num)
	}, a, b), nil
}

func floats(operator string, a, b *Expression) *Expression {
	return made(Type{class: floating, nullable: nullable(a, b) || operator == "/"}, func(r *Row) value {
		v, w := a.eval(r), b.eval(r)
		if v.null || w.null {
			return value{null: true}
		}
		x, y := math.Float64frombits(v.word), math.Float64frombits(w.word)
		switch operator {
		case "+":
			x += y
		case "-":
			x -= y
		case "*":
			x *= y
		default:
			if y == 0 {
				return value{null: true}
			}
			x /= y
		}
		return value{word: math.Float64bits(x)}
	}, a, b)
}

// joinTexts is one text after the other.
func joinTexts(a, b *Expression) *Expression {
	return made(Type{class: text, nullable: nullable(a, b)}, func(r *Row) value {
		v, w := a.eval(r), b.eval(r)
		if v.null || w.null {
			return value{null: true}
		}
		return r.making(func(to []byte) []byte { return append(append(to, v.data...), w.data...) })
	}, a, b)
}

// maxText bounds a text that is made, in bytes.
const maxText = 64 << 20

// making lets f append a text that is made for the row.
func (r *Row) making(f func(to []byte) []byte) value {
	from := len(r.scratch)
	r.scratch = f(r.scratch)
	if len(r.scratch) > maxText {
		return r.fail("texts of more than %d bytes were made", maxText)
	}
	return value{data: r.scratch[from:len(r.scratch):len(r.scratch)]}
}

// pattern looks for a text in another one.
func (c *compiler) pattern(n *ast.BinaryNode, a, b *Expression) (*Expression, error) {
	if a.typ.class != text || b.typ.class != text {
		return nil, c.wrong(n, "%s stands between %s and %s; expected two texts", n.Operator, a.typ, b.typ)
	}
	find := bytes.Contains
	switch n.Operator {
	case "startsWith":
		find = bytes.HasPrefix
	case "endsWith":
		find = bytes.HasSuffix
	case "matches":
		if !b.constant {
			return nil, c.wrong(n.Right, "expected the pattern itself, such as '^a.*z$'")
		}
		re, err := regexp.Compile(string(b.eval(&Row{}).data))
		if err != nil {
			return nil, c.wrong(n.Right, "%v", err)
		}
		find = func(s, _ []byte) bool { return re.Match(s) }
	}
	return made(Type{class: truth, nullable: nullable(a, b)}, func(r *Row) value {
		v, w := a.eval(r), b.eval(r)
		if v.null || w.null {
			return value{null: true}
		}
		return value{word: wordOf(find(v.data, w.data))}
	}, a, b), nil
}
