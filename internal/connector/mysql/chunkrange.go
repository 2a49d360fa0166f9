package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"godwit/internal/row"
)

// literal is a value of a key column in a form that becomes SQL without loss: the
// server alone compares values, in the column's own order.
type literal struct {
	form    literalForm
	charset string // formText: the server's name of the bytes' encoding
	text    string // the number, the plain text, or the bytes
}

type literalForm byte

const (
	litNumber literalForm = 'n' // digits, sign, point
	litPlain  literalForm = 'p' // times and addresses, as the server prints them
	litText   literalForm = 't' // bytes in charset, as they are stored
	litBytes  literalForm = 'b' // bytes
)

var (
	numberForm  = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	plainForm   = regexp.MustCompile(`^-?[0-9a-fA-F:. ]+(-[0-9a-fA-F:. ]+)*$`) // never the start of a comment
	charsetForm = regexp.MustCompile(`^[a-z0-9_]+$`)
)

// sql returns the literal as an expression. Texts are given as bytes with their
// encoding, so no mode or connection charset touches them; such a literal takes on
// the collation of the column it is compared with.
func (l literal) sql() string {
	switch l.form {
	case litNumber:
		return l.text
	case litText:
		return fmt.Sprintf("_%s x'%x'", l.charset, l.text)
	case litBytes:
		return fmt.Sprintf("x'%x'", l.text)
	}
	return "'" + l.text + "'"
}

// check refuses what sql must not print.
func (l literal) check() error {
	ok := false
	switch l.form {
	case litNumber:
		ok = numberForm.MatchString(l.text)
	case litPlain:
		ok = plainForm.MatchString(l.text)
	case litText:
		ok = charsetForm.MatchString(l.charset)
	case litBytes:
		ok = true
	}
	if !ok {
		return errors.New("a bound is not of its form")
	}
	return nil
}

// literalFormOf returns how a key column's values become literals; ok is false for
// types whose index order is not that of comparisons (enum, set, bit) or whose
// values have no exact text (float).
func literalFormOf(t row.Type) (f literalForm, ok bool) {
	switch t.Kind {
	case row.Int, row.Uint, row.Decimal, row.Year:
		return litNumber, true
	case row.Date, row.Time, row.DateTime, row.Timestamp:
		return litPlain, true
	case row.Bytes:
		return litBytes, t.Size > 0 && t.Size <= 1<<16 // not geometry
	case row.Text:
		if t.Charset == "" {
			return litPlain, true
		}
		return litText, charsetForm.MatchString(t.Charset)
	}
	return 0, false
}

// keyRange is a part of a table's key space: rows at or above lower and below
// upper, both tuples of values of the leading columns. An empty tuple is an open
// end.
type keyRange struct {
	index        string // name of the index in whose order the table was divided; may be empty
	columns      []string
	lower, upper []literal
}

// whole reports whether the range has no ends.
func (r *keyRange) whole() bool { return len(r.lower) == 0 && len(r.upper) == 0 }

// where returns the condition of the range. It is written out by columns, because
// the server uses an index for (a > 1 OR (a = 1 AND b >= 2)) and not for
// (a, b) >= (1, 2).
func (r *keyRange) where() string {
	var parts []string
	if len(r.lower) > 0 {
		if len(r.lower) > 1 {
			parts = append(parts, quoteName(r.columns[0])+" >= "+r.lower[0].sql())
		}
		parts = append(parts, r.side(r.lower, ">", ">="))
	}
	if len(r.upper) > 0 {
		if len(r.upper) > 1 {
			parts = append(parts, quoteName(r.columns[0])+" <= "+r.upper[0].sql())
		}
		parts = append(parts, r.side(r.upper, "<", "<"))
	}
	if len(parts) == 0 {
		return "1 = 1"
	}
	return strings.Join(parts, " AND ")
}

// side writes one end: op for the columns before the last, final for the last.
func (r *keyRange) side(bound []literal, op, final string) string {
	last := len(bound) - 1
	out := quoteName(r.columns[last]) + " " + final + " " + bound[last].sql()
	for i := last - 1; i >= 0; i-- {
		c, v := quoteName(r.columns[i]), bound[i].sql()
		out = fmt.Sprintf("(%s %s %s OR (%s = %s AND %s))", c, op, v, c, v, out)
	}
	return out
}

// rangeVersion is the first byte of the durable form.
const rangeVersion = 1

// maxRange bounds the durable form: 16 columns of two keys of 3,072 bytes.
const maxRange = 128 << 10

// bytes returns the durable form: the version, then index, columns, lower and
// upper; lists and texts with their length before them, a literal as its form,
// charset and text.
func (r *keyRange) bytes() []byte {
	b := []byte{rangeVersion}
	put := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	put(r.index)
	b = binary.AppendUvarint(b, uint64(len(r.columns)))
	for _, c := range r.columns {
		put(c)
	}
	for _, bound := range [][]literal{r.lower, r.upper} {
		b = binary.AppendUvarint(b, uint64(len(bound)))
		for _, l := range bound {
			b = append(b, byte(l.form))
			put(l.charset)
			put(l.text)
		}
	}
	return b
}

// parseRange undoes bytes. What it accepts is safe to become SQL.
func parseRange(b []byte) (keyRange, error) {
	var r keyRange
	if len(b) == 0 || len(b) > maxRange {
		return r, errors.New("wrong length")
	}
	if b[0] != rangeVersion {
		return r, fmt.Errorf("version %d is not known", b[0])
	}
	d := rangeReader{b[1:], nil}
	r.index = d.text()
	for range d.count(16) {
		r.columns = append(r.columns, d.text())
	}
	r.lower, r.upper = d.bound(), d.bound()
	if d.err == nil && len(d.in) != 0 {
		d.err = errors.New("trailing bytes")
	}
	if d.err == nil && max(len(r.lower), len(r.upper)) > len(r.columns) {
		d.err = errors.New("more values than columns")
	}
	return r, d.err
}

type rangeReader struct {
	in  []byte
	err error
}

func (d *rangeReader) count(most uint64) int {
	v, n := binary.Uvarint(d.in)
	if d.err == nil && (n <= 0 || v > most) {
		d.err = errors.New("bad length")
	}
	if d.err != nil {
		return 0
	}
	d.in = d.in[n:]
	return int(v)
}

func (d *rangeReader) text() string {
	n := d.count(maxRange)
	if n > len(d.in) {
		d.err = errors.New("cut short")
		return ""
	}
	s := string(d.in[:n])
	d.in = d.in[n:]
	return s
}

func (d *rangeReader) bound() []literal {
	var out []literal
	for range d.count(16) {
		if len(d.in) == 0 {
			d.err = errors.New("cut short")
			return nil
		}
		l := literal{form: literalForm(d.in[0])}
		d.in = d.in[1:]
		l.charset, l.text = d.text(), d.text()
		if d.err == nil {
			d.err = l.check()
		}
		out = append(out, l)
	}
	return out
}
