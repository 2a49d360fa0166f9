package expression

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"godwit/internal/row"
)

// Functions are what expressions may call, for people.
var Functions = []struct{ Use, Help string }{
	{"lower(text)", "small letters"},
	{"upper(text)", "capital letters"},
	{"trim(text)", "without white space at both ends"},
	{"length(text)", "characters of a text, bytes of bytes"},
	{"substr(text, from, characters)", "a part; the first character is 1, and a from below 0 counts from the end"},
	{"replace(text, what, with)", "every `what` replaced"},
	{"concat(a, b, …)", "one after the other, of whatever type"},
	{"sha256(text)", "the checksum, as 64 hex digits; of bytes too"},
	{"text(x)", "any value as text"},
	{"int(x)", "a whole number of 8 bytes, halves away from zero; of a text that is none the row is refused"},
	{"decimal(x, digits, scale)", "a decimal of so many digits in all and after the point"},
	{"float(x)", "a float of 8 bytes"},
	{"round(x, scale)", "a number with so many digits after the point, halves away from zero"},
	{"floor(x)", "the greatest whole number that is not above"},
	{"ceil(x)", "the smallest whole number that is not below"},
	{"abs(x)", "without its sign"},
	{"date(x)", "the day of a datetime or timestamp (in UTC), or of a text such as '2026-11-26'"},
	{"datetime(x)", "a timestamp in UTC, a date at midnight, or a text such as '2026-11-26 14:00:00'"},
	{"timestamp(x)", "a datetime taken as UTC, or a text such as '2026-11-26T14:00:00Z'"},
	{"year(x)", "of a date, datetime or timestamp; so month(x), day(x), hour(x), minute(x) and second(x)"},
	{"column('name')", "a column whose name is no word"},
}

// call is what a function comes to.
func (c *compiler) call(n ast.Node, name string, nodes []ast.Node) (*Expression, error) {
	if name == "column" {
		if s, ok := single(nodes).(*ast.StringNode); ok {
			return c.name(n, s.Value)
		}
		return nil, c.wrong(n, "expected column('name')")
	}
	args := make([]*Expression, len(nodes))
	for i, node := range nodes {
		var err error
		if args[i], err = c.node(node); err != nil {
			return nil, err
		}
	}
	for _, find := range []func(ast.Node, string, []*Expression) (*Expression, error){c.textual, c.numeric, c.temporal} {
		if e, err := find(n, name, args); e != nil || err != nil {
			return e, err
		}
	}
	return nil, c.wrong(n, "no function is called %s", name)
}

func single(nodes []ast.Node) ast.Node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nil
}

// takes checks what a function is given: of each argument the classes it may have.
func (c *compiler) takes(n ast.Node, name string, args []*Expression, of ...[]class) error {
	if len(args) != len(of) {
		return c.wrong(n, "%s takes %d values, not %d", name, len(of), len(args))
	}
	for i, classes := range of {
		ok := args[i].typ.class == nothing
		for _, k := range classes {
			ok = ok || args[i].typ.class == k
		}
		if !ok {
			return c.wrong(n, "%s does not take %s there", name, args[i].typ)
		}
	}
	return nil
}

// of1 is a function of one value that is null for null.
func of1(t Type, a *Expression, f func(*Row, value) value) *Expression {
	t.nullable = t.nullable || a.typ.nullable
	return made(t, func(r *Row) value {
		v := a.eval(r)
		if v.null {
			return v
		}
		return f(r, v)
	}, a)
}

func (c *compiler) textual(n ast.Node, name string, args []*Expression) (*Expression, error) {
	texts := []class{text}
	switch name {
	case "lower", "upper", "trim":
		change := map[string]func([]byte) []byte{"lower": bytes.ToLower, "upper": bytes.ToUpper, "trim": bytes.TrimSpace}[name]
		if err := c.takes(n, name, args, texts); err != nil {
			return nil, err
		}
		return of1(Type{class: text}, args[0], func(_ *Row, v value) value { return value{data: change(v.data)} }), nil
	case "length", "len":
		if err := c.takes(n, name, args, []class{text, binary}); err != nil {
			return nil, err
		}
		count := utf8.RuneCount
		if args[0].typ.class == binary {
			count = func(b []byte) int { return len(b) }
		}
		return of1(Type{class: exact, whole: 10}, args[0], func(_ *Row, v value) value { return value{num: whole(int64(count(v.data)))} }), nil
	case "sha256":
		if err := c.takes(n, name, args, []class{text, binary}); err != nil {
			return nil, err
		}
		return of1(Type{class: text}, args[0], func(r *Row, v value) value {
			sum := sha256.Sum256(v.data)
			return r.making(func(to []byte) []byte { return hex.AppendEncode(to, sum[:]) })
		}), nil
	case "text", "string":
		if len(args) != 1 {
			return nil, c.takes(n, name, args, texts)
		}
		return c.asText(args[0])
	case "concat":
		return c.concat(n, args)
	case "replace":
		if err := c.takes(n, name, args, texts, texts, texts); err != nil {
			return nil, err
		}
		return strict(Type{class: text}, args, func(r *Row, v []value) value {
			return value{data: bytes.ReplaceAll(v[0].data, v[1].data, v[2].data)}
		}), nil
	case "substr":
		if err := c.takes(n, name, args, texts, []class{exact}, []class{exact}); err != nil {
			return nil, err
		}
		return strict(Type{class: text}, args, func(_ *Row, v []value) value {
			from, _ := v[1].num.rounded(0).integral()
			count, _ := v[2].num.rounded(0).integral()
			return value{data: part(v[0].data, from, count)}
		}), nil
	}
	return nil, nil
}

// strict is a function of several values that is null where one of them is.
func strict(t Type, args []*Expression, f func(*Row, []value) value) *Expression {
	t.nullable = t.nullable || nullable(args...)
	return made(t, func(r *Row) value {
		var room [3]value
		vs := room[:0]
		for _, a := range args {
			v := a.eval(r)
			if v.null {
				return v
			}
			vs = append(vs, v)
		}
		return f(r, vs)
	}, args...)
}

// part cuts characters out of s, the first of which is 1.
func part(s []byte, from, count int64) []byte {
	if from < 0 {
		from = max(1, int64(utf8.RuneCount(s))+from+1)
	}
	if from < 1 || count < 1 {
		return nil
	}
	begin := skip(s, from-1)
	return s[begin : begin+skip(s[begin:], count)]
}

// skip returns how many bytes the first so many characters of s have.
func skip(s []byte, characters int64) int {
	at := 0
	for ; characters > 0 && at < len(s); characters-- {
		_, n := utf8.DecodeRune(s[at:])
		at += n
	}
	return at
}

func (c *compiler) concat(n ast.Node, args []*Expression) (*Expression, error) {
	if len(args) == 0 {
		return nil, c.wrong(n, "concat takes one value or more")
	}
	var all *Expression
	for _, a := range args {
		t, err := c.asText(a)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = t
		} else {
			all = joinTexts(all, t)
		}
	}
	return all, nil
}

// asText is any value as a text.
func (c *compiler) asText(a *Expression) (*Expression, error) {
	t := Type{class: text}
	switch of := a.typ.class; of {
	case nothing:
		return constant(Type{class: text, nullable: true}, value{null: true}), nil
	case text:
		return a, nil
	case truth:
		return of1(t, a, func(_ *Row, v value) value { return value{data: strconv.AppendBool(nil, v.word == 1)} }), nil
	case exact:
		return of1(t, a, func(r *Row, v value) value { return r.making(v.num.appendTo) }), nil
	case floating:
		return of1(t, a, func(r *Row, v value) value {
			return r.making(func(to []byte) []byte { return strconv.AppendFloat(to, math.Float64frombits(v.word), 'g', -1, 64) })
		}), nil
	case date, duration, datetime, instant:
		return of1(t, a, func(r *Row, v value) value {
			return r.making(func(to []byte) []byte { return appendMoment(to, of, v.word) })
		}), nil
	}
	return of1(t, a, func(r *Row, v value) value {
		if !utf8.Valid(v.data) {
			return r.fail("the bytes are no UTF-8 text")
		}
		return v
	}), nil
}

func (c *compiler) numeric(n ast.Node, name string, args []*Expression) (*Expression, error) {
	numbers := []class{exact, floating, text, truth}
	switch name {
	case "int":
		if err := c.takes(n, name, args, numbers); err != nil {
			return nil, err
		}
		e := narrowed(args[0], 19, 0, func(v number) bool { return v.big == nil })
		e.typ.word = true
		return e, nil
	case "decimal":
		if len(args) != 3 || !args[1].constant || !args[2].constant {
			return nil, c.wrong(n, "expected decimal(x, digits, scale) with two numbers, such as decimal(x, 12, 2)")
		}
		if err := c.takes(n, name, args, numbers, []class{exact}, []class{exact}); err != nil {
			return nil, err
		}
		digits, _ := args[1].eval(&Row{}).num.integral()
		scale, _ := args[2].eval(&Row{}).num.integral()
		if digits < 1 || digits > maxDigits || scale < 0 || scale > digits {
			return nil, c.wrong(n, "a decimal has 1 to %d digits, and no more after the point than in all", maxDigits)
		}
		before := int(digits - scale)
		e := narrowed(args[0], before, int(scale), func(v number) bool { return v.fits(before) })
		e.typ.own = &row.Type{Kind: row.Decimal, Digits: int(digits), Scale: int(scale), Native: "decimal(" + strconv.FormatInt(digits, 10) + "," + strconv.FormatInt(scale, 10) + ")"}
		return e, nil
	case "float":
		if err := c.takes(n, name, args, numbers); err != nil {
			return nil, err
		}
		if args[0].typ.class == floating {
			return args[0], nil
		}
		return toFloat(exactly(args[0])), nil
	case "round", "floor", "ceil", "abs":
		return c.rounding(n, name, args)
	}
	return nil, nil
}

// narrowed is a number of no more digits than are given; a row of which it has more is
// refused.
func narrowed(a *Expression, digits, scale int, fits func(number) bool) *Expression {
	t := Type{class: exact, whole: digits, scale: scale}
	return of1(t, exactly(a), func(r *Row, v value) value {
		n := v.num.rounded(scale)
		if !fits(n) {
			return r.fail("the number %s has more than %d digits before the point", v.num.appendTo(nil), digits)
		}
		return value{num: n}
	})
}

// exactly is a value as an exact number.
func exactly(a *Expression) *Expression {
	t := Type{class: exact, whole: maxDigits}
	switch a.typ.class {
	case text:
		return of1(t, a, func(r *Row, v value) value {
			n, ok := parseNumber(bytes.TrimSpace(v.data))
			if !ok {
				return r.fail("%.40q is no number", v.data)
			}
			return value{num: n}
		})
	case floating:
		return of1(t, a, func(r *Row, v value) value {
			n, ok := parseNumber(strconv.AppendFloat(nil, math.Float64frombits(v.word), 'f', -1, 64))
			if !ok {
				return r.fail("%v is no number", math.Float64frombits(v.word))
			}
			return value{num: n}
		})
	case truth:
		return of1(t, a, func(_ *Row, v value) value { return value{num: unsigned(v.word)} })
	}
	return a
}

func (c *compiler) rounding(n ast.Node, name string, args []*Expression) (*Expression, error) {
	scale := int64(0)
	if name == "round" && len(args) == 2 && args[1].constant && args[1].typ.class == exact {
		scale, _ = args[1].eval(&Row{}).num.integral()
		args = args[:1]
	}
	if scale < 0 || scale > maxDigits {
		return nil, c.wrong(n, "a number is rounded to 0 to %d digits after the point", maxDigits)
	}
	if err := c.takes(n, name, args, []class{exact}); err != nil {
		return nil, err
	}
	a := args[0]
	t := Type{class: exact, whole: a.typ.whole + 1}
	switch name {
	case "abs":
		t.whole, t.scale = a.typ.whole, a.typ.scale
		return of1(t, a, func(_ *Row, v value) value {
			if v.num.sign() < 0 {
				v.num = v.num.negated()
			}
			return v
		}), nil
	case "floor":
		return of1(t, a, func(_ *Row, v value) value { return value{num: v.num.floor()} }), nil
	case "ceil":
		return of1(t, a, func(_ *Row, v value) value { return value{num: v.num.negated().floor().negated()} }), nil
	}
	t.scale = int(scale)
	return of1(t, a, func(_ *Row, v value) value { return value{num: v.num.rounded(t.scale)} }), nil
}
