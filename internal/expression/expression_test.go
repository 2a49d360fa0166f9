package expression

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
)

// sample has a column of each class.
var sample = &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Columns: []row.Column{
	{Name: "id", Type: row.Type{Kind: row.Uint, Size: 8, Native: "bigint unsigned"}},
	{Name: "n", Type: row.Type{Kind: row.Int, Size: 4, Native: "int"}},
	{Name: "price", Type: row.Type{Kind: row.Decimal, Digits: 12, Scale: 2, Native: "decimal(12,2)"}},
	{Name: "big", Type: row.Type{Kind: row.Decimal, Digits: 40, Scale: 10, Native: "decimal(40,10)"}},
	{Name: "name", Type: row.Type{Kind: row.Text, Native: "varchar(40)"}, Nullable: true},
	{Name: "raw", Type: row.Type{Kind: row.Bytes, Native: "blob"}, Nullable: true},
	{Name: "day", Type: row.Type{Kind: row.Date, Native: "date"}},
	{Name: "at", Type: row.Type{Kind: row.DateTime, Native: "datetime"}},
	{Name: "ts", Type: row.Type{Kind: row.Timestamp, Native: "timestamp"}},
	{Name: "took", Type: row.Type{Kind: row.Time, Native: "time"}},
	{Name: "f", Type: row.Type{Kind: row.Float64, Native: "double"}},
	{Name: "void", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint"}, Nullable: true},
	{Name: "gone", Type: row.Type{Kind: row.Int, Size: 8, Native: "bigint"}},
	{Name: "odd name", Type: row.Type{Kind: row.Year, Native: "year"}},
	{Name: "strange", Type: row.Type{Kind: 200, Native: "geometry"}},
}}

func sampleRow() (*row.Batch, *Row) {
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{})
	x.Row(sample, row.Insert)
	x.Word(math.MaxUint64)
	x.Int(-7)
	x.String("1234567890.55")
	x.String("-123456789012345678901234567890.0123456789")
	x.String("Größe")
	x.Bytes([]byte{0xff, 0})
	x.Word(row.PackDate(2026, 11, 26))
	x.Word(row.PackDateTime(2026, 11, 26, 14*3600e6+5e5))
	x.Int(1795701600e6) // 2026-11-26T14:00:00Z
	x.Int(-3600e6)
	x.Float64(2.5)
	x.Null()
	x.Absent()
	x.Word(2026)
	x.Word(1)
	b := x.Finish(position.Position{}, 0)
	r := &Row{}
	r.At(b, &b.Sections()[0], 0)
	return b, r
}

// shown is a result as text: its type, then its value.
func shown(e *Expression, b *row.Batch, r *Row) string {
	x := row.NewBuilder(&row.Pool{})
	x.At("p", 1, row.Txn{})
	t := &row.Table{Columns: []row.Column{{Name: "x", Type: e.Type()}}}
	x.Row(t, row.Insert)
	whole, err := e.Append(x, r)
	switch {
	case err != nil:
		return "refused: " + fault.Of(err).What
	case !whole:
		return "unknown"
	}
	out := x.Finish(position.Position{}, 0)
	words, flags := out.Cells(&out.Sections()[0], 0)
	v := "null"
	switch k := e.Type().Kind; {
	case flags[0] == row.Absent:
		v = "absent"
	case flags[0] == row.Null:
	case k.InBytes():
		v = fmt.Sprintf("%q", out.Data(words[0]))
	case k == row.Float64:
		v = fmt.Sprint(math.Float64frombits(words[0]))
	case k == row.Int:
		v = fmt.Sprint(int64(words[0]))
	case k == row.Date, k == row.Time, k == row.DateTime, k == row.Timestamp:
		v = string(appendMoment(nil, e.typ.class, words[0]))
	default:
		v = fmt.Sprint(words[0])
	}
	return e.Type().Native + " " + v
}

func TestExpression(t *testing.T) {
	b, r := sampleRow()
	for text, want := range map[string]string{
		// exact numbers
		"id":            "bigint unsigned 18446744073709551615",
		"id + 1":        `decimal(21,0) "18446744073709551616"`,
		"id - id":       `decimal(21,0) "0"`,
		"n * 3":         "bigint -21",
		"-n":            "bigint 7",
		"price * 2":     `decimal(13,2) "2469135781.10"`,
		"price + 0.001": `decimal(14,3) "1234567890.551"`,
		"price / 3":     `decimal(16,6) "411522630.183333"`,
		"n % 4":         "bigint -3",
		"n / 0":         `decimal(14,4) null`,
		"big + big":     `decimal(41,10) "-246913578024691357802469135780.0246913578"`,
		"big == -123456789012345678901234567890.0123456789 ? 1 : 2": "", // too many digits for a literal
		"big < price && price < id":                                 "tinyint(1) 1",
		"id > 18446744073709551614":                                 "", // too large a literal
		"id > decimal('18446744073709551614', 20, 0)":               "tinyint(1) 1",
		"round(price, 1)":                                           `decimal(12,1) "1234567890.6"`,
		"round(-2.5)":                                               "bigint -3",
		"floor(-2.5) + ceil(-2.5)":                                  "bigint -5",
		"abs(n)":                                                    "bigint 7",
		"int('12') + int(f)":                                        `decimal(20,0) "15"`,
		"int('x')":                                                  `refused: "x" is no number`,
		"int(id)":                                                   "refused: the number 18446744073709551615 has more than 19 digits before the point",
		"decimal(price, 11, 1)":                                     `decimal(11,1) "1234567890.6"`,
		"decimal(price, 10, 2)":                                     "refused: the number 1234567890.55 has more than 8 digits before the point",
		"float(price)":                                              "double 1.23456789055e+09",
		"f * 2 + n":                                                 "double -2",
		"f > 2":                                                     "tinyint(1) 1",
		"column('odd name') + 1":                                    "bigint 2027",
		// text
		"lower(name)":                     `longtext "größe"`,
		"upper(name) + '!'":               `longtext "GRÖßE!"`,
		"length(name)":                    "bigint 5",
		"substr(name, 2, 3)":              `longtext "röß"`,
		"substr(name, -2, 9)":             `longtext "ße"`,
		"replace(name, 'ö', 'oe')":        `longtext "Groeße"`,
		"concat(n, '/', price, '/', day)": `longtext "-7/1234567890.55/2026-11-26"`,
		"name | lower() | upper()":        `longtext "GRÖßE"`,
		"sha256('abc')":                   `longtext "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`,
		"name startsWith 'Gr' and name contains 'ö' and name endsWith 'e' and name matches '^G.*e$'": "tinyint(1) 1",
		"name in ['a', 'Größe']": "tinyint(1) 1",
		"name not in ['a', 'b']": "tinyint(1) 1",
		"text(raw)":              "refused: the bytes are no UTF-8 text",
		"length(raw)":            "bigint 2",
		// null and absent
		"void":                  "bigint null",
		"void == null":          "tinyint(1) 1",
		"void != null or n > 0": "tinyint(1) 0",
		"void == 1":             "tinyint(1) null",
		"not (void == 1)":       "tinyint(1) null",
		"void == 1 and n > 0":   "tinyint(1) 0",
		"void == 1 or n < 0":    "tinyint(1) 1",
		"void ?? 0":             "bigint 0",
		"void ?? n":             "bigint -7",
		"void == 1 ? 'a' : 'b'": `longtext "b"`,
		"lower(text(null))":     "longtext null",
		"gone":                  "bigint absent",
		"int(gone + 1)":         "bigint absent",
		"gone + n":              "unknown",
		"n < 0 ? n : gone":      "bigint -7",
		// dates and times
		"day >= '2026-11-26' and day < '2026-12-01'": "tinyint(1) 1",
		"at > '2026-11-26 14:00:00'":                 "tinyint(1) 1",
		"ts == '2026-11-26T15:00:00+01:00'":          "tinyint(1) 1",
		"took < '-00:30:00'":                         "tinyint(1) 1",
		"date(at) == day":                            "tinyint(1) 1",
		"datetime(ts)":                               "datetime(6) 2026-11-26 14:00:00",
		"timestamp(at)":                              "timestamp(6) 2026-11-26T14:00:00.5Z",
		"text(took)":                                 `longtext "-01:00:00"`,
		"year(day) * 100 + month(day)":               "bigint 202611",
		"hour(ts) == 14 and second(at) == 0":         "tinyint(1) 1",
		"date('2026-02-28')":                         "date 2026-02-28",
		"date(concat('2026-02-', n + 35))":           "date 2026-02-28",
		"date(name)":                                 `refused: "Größe" is not a date`,
	} {
		p, err := Parse(text)
		if err == nil {
			var e *Expression
			if e, err = p.Value(Of(sample)); err == nil {
				r.At(b, &b.Sections()[0], 0)
				if got := shown(e, b, r); !strings.HasPrefix(got, want) || want == "" {
					t.Errorf("%s gives %s, expected %s", text, got, want)
				}
				continue
			}
		}
		if want != "" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestExpression_when_it_is_wrong(t *testing.T) {
	for text, want := range map[string]string{
		"amount > 10":                "no column is called amount; there are id, n,",
		"n > ":                       "unexpected token",
		"n >\n  'x'":                 "a number and text are not compared",
		"n":                          "expected a condition, such as x != 0",
		"name && true":               "stands between text and true or false",
		"day == '2026-13-01'":        "is not a date; expected such as '2026-11-26'",
		"ts > '2026-11-26 14:00:00'": "with its zone",
		"day == at":                  "say date(…)",
		"strange == 1":               "cannot do with column strange, of type geometry",
		"lower(n) == 'x'":            "lower does not take a number there",
		"lower() == 'x'":             "lower takes 1 values, not 0",
		"nope(n)":                    "no function is called nope",
		"n in 1..5":                  "expected a list after in",
		"all(n, # > 0)":              "this form is not known here",
		"let x = 1; x > 0":           "this form is not known here",
		"n.a == 1":                   "this form is not known here",
		"name matches n":             "expected two texts",
		"name matches '('":           "missing closing )",
		"name matches name":          "expected the pattern itself",
		"null":                       "null alone has no type",
		"n < null":                   "nothing is below or above null",
		"n > 0 ? 1 : 'a'":            "it is a number or text",
		"big * big * big > 0 ? big * big * big : 0":                 "more than 65 in all",
		"decimal(n, 80, 2) > 0":                                     "a decimal has 1 to 65 digits",
		"n ** 2 > 0":                                                "operator ** is not known",
		strings.Repeat("n > 0 and ", 2000) + "true":                 "longer than",
		strings.Repeat("1+", 600) + "1 > 0":                         "maximum allowed nodes",
		strings.Repeat("(", 4000) + "n" + strings.Repeat(")", 4000): "",
	} {
		p, err := Parse(text)
		if err == nil {
			_, err = p.Condition(Of(sample))
		}
		bad := (*Error)(nil)
		if !errors.As(err, &bad) || !strings.Contains(bad.What, want) {
			t.Errorf("%.80q: %v, expected %q", text, err, want)
		}
	}
	p, _ := Parse("n > 0 and\n  day == 'x'")
	_, err := p.Condition(Of(sample))
	if bad := (*Error)(nil); !errors.As(err, &bad) || bad.Line != 2 || bad.Column != 7 {
		t.Error(err)
	}
}

// Numbers are what math/big says.
func TestNumber_when_compared_with_rationals(t *testing.T) {
	texts := []string{"0", "-0.5", "0.5", "1", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615",
		"0.000000000000000001", "999999999999999999", "-999999999999999.999", "123456789012345678901234567890.12345", "1.10", "1.1", "10", "-7.25"}
	rat := func(s string) *big.Rat { r, _ := new(big.Rat).SetString(s); return r }
	is := func(n number) *big.Rat { return rat(string(n.appendTo(nil))) }
	for _, x := range texts {
		n, ok := parseNumber([]byte(x))
		if !ok || is(n).Cmp(rat(x)) != 0 {
			t.Fatalf("%s was read as %s", x, n.appendTo(nil))
		}
		if f, _ := rat(x).Float64(); n.float() != f {
			t.Errorf("%s as a float is %v", x, n.float())
		}
		for _, y := range texts {
			m, _ := parseNumber([]byte(y))
			for what, pair := range map[string][2]*big.Rat{
				"+": {is(n.plus(m)), new(big.Rat).Add(rat(x), rat(y))},
				"-": {is(n.plus(m.negated())), new(big.Rat).Sub(rat(x), rat(y))},
				"*": {is(n.times(m)), new(big.Rat).Mul(rat(x), rat(y))},
			} {
				if pair[0].Cmp(pair[1]) != 0 {
					t.Errorf("%s %s %s is %s, not %s", x, what, y, pair[0], pair[1])
				}
			}
			if n.compare(m) != rat(x).Cmp(rat(y)) {
				t.Errorf("%s against %s: %d", x, y, n.compare(m))
			}
			if m.sign() == 0 {
				continue
			}
			q := is(n.over(m, 6))
			d := new(big.Rat).Sub(q, new(big.Rat).Quo(rat(x), rat(y)))
			if d.Abs(d).Cmp(big.NewRat(1, 2_000_000)) > 0 {
				t.Errorf("%s / %s is %s", x, y, q)
			}
		}
	}
	for _, bad := range []string{"", "-", ".", "1e5", "x", "1.2.3", "--1", "NaN"} {
		if n, ok := parseNumber([]byte(bad)); ok {
			t.Errorf("%q was read as %s", bad, n.appendTo(nil))
		}
	}
}

func TestExpression_when_rows_are_refused(t *testing.T) {
	p, _ := Parse("int(name) > 0")
	e, err := p.Condition(Of(sample))
	if err != nil {
		t.Fatal(err)
	}
	_, r := sampleRow()
	if _, err := e.Holds(r); fault.Of(err).Code != fault.RowRefused {
		t.Error(err)
	}
}

func TestExpression_when_rows_are_many(t *testing.T) {
	b, r := sampleRow()
	for _, text := range []string{"n < 10 and name != 'void'", "price * 2 > 10.5 or id > 7", "name in ['a', 'b'] or day >= '2026-01-01'", "(void ?? n) == 1"} {
		p, _ := Parse(text)
		e, err := p.Value(Of(sample))
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			r.At(b, &b.Sections()[0], 0)
			e.eval(r)
		}); n > 0 {
			t.Errorf("%s allocates %v times for a row", text, n)
		}
	}
}
