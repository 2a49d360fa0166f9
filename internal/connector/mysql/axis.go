package mysql

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	bignum "math/big"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// axis is the values of one key column, with which cuts are computed.
type axis interface {
	// between returns up to about n values strictly between lo and hi (nil: the
	// ends of what the table holds), ascending in the column's own order; none
	// when there is nothing between them, or nothing can be computed.
	between(ctx context.Context, lo, hi *literal, n int) ([]literal, error)
	// single returns the only value that rows from lo to hi can have, if there is
	// just one.
	single(lo, hi *literal) (literal, bool)
}

// axis returns the axis of the column after fixed, nil when there are no rows or
// its values cannot be computed with.
func (d *divider) axis(ctx context.Context, fixed []literal) (axis, error) {
	depth := len(fixed)
	where := "1 = 1"
	for i, v := range fixed {
		where += fmt.Sprintf(" AND %s = %s", quoteName(d.columns[i]), v.sql())
	}
	low, err := d.end(ctx, where, depth, "")
	if err != nil || low == nil {
		return nil, err
	}
	high, err := d.end(ctx, where, depth, " DESC")
	if err != nil || high == nil {
		return nil, err
	}
	t := d.table.Columns[d.key[depth]].Type
	if t.Kind == row.Text && t.Charset != "" {
		if !asciiBytes(t.Charset) {
			return nil, nil
		}
		return &textAxis{d, t, *low, *high}, nil
	}
	form, ok := lineOf(t, low.text, high.text)
	if !ok {
		return nil, nil
	}
	a := &lineAxis{form: form}
	var ok1, ok2 bool
	if a.low, ok1 = form.number(low.text); !ok1 {
		return nil, nil
	}
	if a.high, ok2 = form.number(high.text); !ok2 {
		return nil, nil
	}
	a.high.Add(a.high, bignum.NewInt(1))
	return a, nil
}

// end returns the least or greatest value of column depth, where those before it
// are fixed.
func (d *divider) end(ctx context.Context, where string, depth int, direction string) (*literal, error) {
	got, err := d.first(ctx, where, depth+1, direction, 0)
	if err != nil || got == nil {
		return nil, err
	}
	return &got[depth], nil
}

// readLiteral makes a literal of a value as divider.first selects it.
func readLiteral(t row.Type, v []byte) (literal, error) {
	form, _ := literalFormOf(t)
	l := literal{form: form, text: string(v)}
	switch form {
	case litNumber:
		l.text = string(plainDecimal(v))
	case litText, litBytes:
		b, err := hex.DecodeString(string(v))
		if err != nil {
			return l, fault.New(fault.SourceProtocol, "a key is not what was asked for").By(err)
		}
		l.text = string(b)
		if form == litText {
			l.charset = t.Charset
		}
	}
	if err := l.check(); err != nil {
		return l, fault.New(fault.SourceProtocol, "a key of type %s has the value %q", t.Native, clip(string(v), 60)).By(err)
	}
	return l, nil
}

// line maps values of a type to whole numbers in their order and back.
type line struct {
	number func(text string) (*bignum.Int, bool)
	value  func(n *bignum.Int) (literal, bool)
}

// lineAxis computes with numbers.
type lineAxis struct {
	form      line
	low, high *bignum.Int // high is one above the greatest
}

func (a *lineAxis) ends(lo, hi *literal) (*bignum.Int, *bignum.Int) {
	l, h := a.low, a.high
	if lo != nil {
		l, _ = a.form.number(lo.text)
	}
	if hi != nil {
		h, _ = a.form.number(hi.text)
	}
	return l, h
}

func (a *lineAxis) between(_ context.Context, lo, hi *literal, n int) ([]literal, error) {
	l, h := a.ends(lo, hi)
	width := new(bignum.Int).Sub(h, l)
	if width.Cmp(bignum.NewInt(int64(n))) < 0 {
		n = int(max(width.Int64(), 0))
	}
	var out []literal
	last := l
	for i := 1; i < n; i++ {
		at := new(bignum.Int).Mul(width, bignum.NewInt(int64(i)))
		at.Add(at.Quo(at, bignum.NewInt(int64(n))), l)
		if at.Cmp(last) <= 0 || at.Cmp(h) >= 0 {
			continue
		}
		if v, ok := a.form.value(at); ok {
			out = append(out, v)
			last = at
		}
	}
	return out, nil
}

func (a *lineAxis) single(lo, hi *literal) (literal, bool) {
	l, h := a.ends(lo, hi)
	if new(bignum.Int).Sub(h, l).Cmp(bignum.NewInt(1)) != 0 {
		return literal{}, false
	}
	return a.form.value(l)
}

// lineOf returns the line of a type; low and high are the ends in the table.
func lineOf(t row.Type, low, high string) (line, bool) {
	switch t.Kind {
	case row.Int, row.Uint: // not years: the server takes 5 for 2005 where it compares one
		return decimalLine(0), true
	case row.Decimal:
		return decimalLine(t.Scale), true
	case row.Date:
		return momentLine(86_400e6, false), true
	case row.DateTime, row.Timestamp:
		return momentLine(stepOf(t.Scale), true), true
	case row.Bytes:
		return bytesLine(low, high), true
	}
	return line{}, false
}

// stepOf returns the microseconds of one step of a time with so many digits of
// fraction.
func stepOf(digits int) int64 {
	u := int64(1e6)
	for range digits {
		u /= 10
	}
	return u
}

func decimalLine(scale int) line {
	return line{
		number: func(s string) (*bignum.Int, bool) {
			whole, frac, _ := strings.Cut(s, ".")
			if len(frac) > scale {
				return nil, false
			}
			return new(bignum.Int).SetString(whole+frac+strings.Repeat("0", scale-len(frac)), 10)
		},
		value: func(n *bignum.Int) (literal, bool) {
			s := new(bignum.Int).Abs(n).String()
			if scale > 0 {
				if pad := scale + 1 - len(s); pad > 0 {
					s = strings.Repeat("0", pad) + s
				}
				s = s[:len(s)-scale] + "." + s[len(s)-scale:]
			}
			if n.Sign() < 0 {
				s = "-" + s
			}
			return literal{form: litNumber, text: s}, true
		},
	}
}

// momentLine counts dates and times in steps of so many microseconds. Zero and
// partial dates count as the nearest real one below; bounds are always real ones.
func momentLine(step int64, clock bool) line {
	return line{
		number: func(s string) (*bignum.Int, bool) {
			v := []byte(s)
			date, ok := parseDate(v)
			var micros int64
			if clock && ok {
				date, micros, ok = parseDateTime(v)
			}
			y, m, day := row.UnpackDate(date)
			n := daysSince1970(y, max(m, 1), max(day, 1))*86_400e6 + micros
			return bignum.NewInt(floorDiv(n, step)), ok
		},
		value: func(n *bignum.Int) (literal, bool) {
			if !n.IsInt64() {
				return literal{}, false
			}
			at := time.UnixMicro(n.Int64() * step).UTC()
			if y := at.Year(); y < 1 || y > 9999 {
				return literal{}, false
			}
			form := "2006-01-02"
			if clock {
				form = "2006-01-02 15:04:05.000000"
			}
			return literal{form: litPlain, text: at.Format(form)}, true
		},
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// bytesLine takes the 8 bytes behind what all values have in common as a number.
func bytesLine(low, high string) line {
	common := 0
	for common < min(len(low), len(high)) && low[common] == high[common] {
		common++
	}
	prefix := low[:common]
	return line{
		number: func(s string) (*bignum.Int, bool) {
			if !strings.HasPrefix(s, prefix) {
				return nil, false
			}
			var b [8]byte
			copy(b[:], s[common:])
			return new(bignum.Int).SetBytes(b[:]), true
		},
		value: func(n *bignum.Int) (literal, bool) {
			if n.BitLen() > 64 {
				return literal{}, false
			}
			var b [8]byte
			n.FillBytes(b[:])
			return literal{form: litBytes, text: prefix + string(b[:])}, true
		},
	}
}

// asciiBytes reports whether every ASCII character is its own byte in a charset,
// and no other character has such a byte.
func asciiBytes(charset string) bool {
	switch charset {
	case "ucs2", "utf16", "utf16le", "utf32", "swe7", "sjis", "cp932", "big5", "gbk", "gb18030":
		return false
	}
	return true
}

// textAxis tries ASCII characters behind what two bounds have in common; the
// server puts the candidates in order, because nobody else knows the collation.
type textAxis struct {
	d         *divider
	t         row.Type
	low, high literal
}

// alphabet is what candidates are made of. Keys in other scripts are walked.
const alphabet = " !#%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz{|}~"

// maxTextBound bounds how long computed bounds grow.
const maxTextBound = 256

func (a *textAxis) between(ctx context.Context, lo, hi *literal, _ int) ([]literal, error) {
	l, h := a.low.text, a.high.text
	if lo != nil {
		l = lo.text
	}
	if hi != nil {
		h = hi.text
	}
	common := 0
	for common < min(len(l), len(h)) && l[common] == h[common] {
		common++
	}
	for common > 0 && common < len(l) && l[common]&0xc0 == 0x80 { // not inside a character
		common--
	}
	if len(l) > maxTextBound {
		return nil, nil
	}
	var tries []string
	for _, prefix := range []string{l[:common], l} {
		for i := range len(alphabet) {
			tries = append(tries, prefix+alphabet[i:i+1])
		}
	}
	return a.sorted(ctx, l, h, tries)
}

// sorted returns those of tries that lie strictly between l and h, in the
// column's order and without equals.
func (a *textAxis) sorted(ctx context.Context, l, h string, tries []string) ([]literal, error) {
	bound := func(s string) string {
		return literal{litText, a.t.Charset, s}.sql() + " COLLATE " + a.t.Collation
	}
	var b strings.Builder
	b.WriteString("SELECT HEX(v) FROM (")
	for i, s := range tries {
		if i > 0 {
			b.WriteString(" UNION SELECT ")
		} else {
			b.WriteString("SELECT ")
		}
		b.WriteString(bound(s) + " AS v")
	}
	b.WriteString(") t WHERE v > " + bound(l) + " AND v < " + bound(h) + " ORDER BY v")
	rows, err := a.d.c.query(ctx, b.String())
	if err != nil {
		return nil, err
	}
	out := make([]literal, 0, len(rows))
	for _, r := range rows {
		v, err := hex.DecodeString(string(bytes.TrimSpace(r[0].bytes)))
		if err != nil {
			return nil, fault.New(fault.SourceProtocol, "a computed bound came back changed").By(err)
		}
		out = append(out, literal{litText, a.t.Charset, string(v)})
	}
	return out, nil
}

func (a *textAxis) single(_, _ *literal) (literal, bool) { return literal{}, false }
