package mysql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/row"
)

// Canonical form of values. Both halves yield exactly this, so that a row is the
// same whether a chunk or the log brought it:
//
//	tinyint … bigint, bool   Int or Uint by signedness; zerofill changes nothing
//	decimal                  scale digits after the point, no sign on zero, no zerofill
//	float, double            the stored bits; float(m,d) too, not its rounded text
//	char                     UTF-8, without trailing spaces
//	varchar, text            UTF-8, trailing spaces kept
//	binary(n)                n bytes, zero padding kept
//	varbinary, blob          as stored
//	json                     the text as stored (a longtext that MariaDB checks with json_valid)
//	date, datetime           zero and partial dates kept
//	time                     signed, up to 838:59:59 with fraction
//	timestamp                UTC; the zero value is row.ZeroTimestamp
//	year                     0 for 0000
//	enum, set                labels in UTF-8; the error value of enum is ''
//	bit(n)                   number
//	uuid, inet4, inet6       Text, as the server prints them
//	geometry and its kin     Bytes: SRID, 4 bytes little-endian, then WKB
//	… compressed             the value; the type is that of a column without it
//
// Generated columns are in the shapes, virtual ones too: row events have every
// column of the table, and with binlog_row_image=FULL the values of virtual ones
// as well. Invisible columns are columns like any other.

var errType = errors.New("not supported")

// maxTypeText bounds the text of a type; 65,535 labels may be in one.
const maxTypeText = 4 << 20

// intSizes has the bytes and the display widths, signed and unsigned, that the
// server prints for each integer type.
func intSize(name string) (bytes, signed, unsigned int) {
	switch name {
	case "tinyint":
		return 1, 4, 3
	case "smallint":
		return 2, 6, 5
	case "mediumint":
		return 3, 9, 8
	case "int":
		return 4, 11, 10
	case "bigint":
		return 8, 20, 20
	}
	return 0, 0, 0
}

// textSize returns the most bytes of a text or blob type.
func textSize(name string) (size int, binary bool) {
	switch name {
	case "tinytext":
		return 1<<8 - 1, false
	case "text":
		return 1<<16 - 1, false
	case "mediumtext":
		return 1<<24 - 1, false
	case "longtext":
		return 1<<32 - 1, false
	case "tinyblob":
		return 1<<8 - 1, true
	case "blob":
		return 1<<16 - 1, true
	case "mediumblob":
		return 1<<24 - 1, true
	case "longblob":
		return 1<<32 - 1, true
	}
	return 0, false
}

// plainName returns the name the server prints for a type name.
func plainName(s string) string {
	switch s {
	case "integer", "int4":
		return "int"
	case "middleint", "int3":
		return "mediumint"
	case "int1":
		return "tinyint"
	case "int2":
		return "smallint"
	case "int8":
		return "bigint"
	case "dec", "numeric", "fixed":
		return "decimal"
	case "real", "double precision", "float8":
		return "double"
	case "float4":
		return "float"
	case "character", "nchar":
		return "char"
	case "character varying", "nvarchar", "varcharacter":
		return "varchar"
	case "long", "long varchar":
		return "mediumtext"
	case "long varbinary":
		return "mediumblob"
	}
	return s
}

// typeText is a type text taken apart.
type typeText struct {
	name     string
	args     []int
	labels   []string
	unsigned bool
	zerofill bool
	note     string // a comment that the server put behind it
}

// parseType reads a type as the server prints it (COLUMN_TYPE), or as a
// statement has it; Native is then what the server would print. charset and
// collation are those of the column and are kept for types of text only. The type
// "json" is what MariaDB keeps as longtext with a check of json_valid.
func parseType(native, charset, collation string) (row.Type, error) {
	p, err := splitType(native)
	if err != nil {
		return row.Type{}, fmt.Errorf("type %s: %w", clip(native, 80), err)
	}
	t, err := p.resolve()
	if err != nil {
		return row.Type{}, fmt.Errorf("type %s: %w", clip(native, 80), err)
	}
	switch t.Kind {
	case row.Enum, row.Labels:
		t.Charset, t.Collation = charset, collation
	case row.Text:
		if !addressLike(p.name) {
			t.Charset, t.Collation = charset, collation
		}
	case row.JSON:
		t.Charset, t.Collation = "utf8mb4", "utf8mb4_bin"
	}
	return t, nil
}

// addressLike reports whether a type is one of those that are printed as text
// and have no character set.
func addressLike(name string) bool { return name == "uuid" || name == "inet4" || name == "inet6" }

func splitType(native string) (typeText, error) {
	var p typeText
	if len(native) > maxTypeText {
		return p, errors.New("the text is too long")
	}
	rest := strings.TrimSpace(native)
	end := strings.IndexAny(rest, "(/")
	head := rest
	if end >= 0 {
		head = rest[:end]
	}
	head, p.unsigned, p.zerofill = attributes(strings.ToLower(head))
	p.name = plainName(head)
	if end < 0 {
		return p, nil
	}
	rest = rest[end:]
	if rest[0] == '(' {
		var err error
		if p.name == "enum" || p.name == "set" {
			p.labels, rest, err = splitLabels(rest[1:])
		} else {
			p.args, rest, err = splitArgs(rest[1:])
		}
		if err != nil {
			return p, err
		}
	}
	if at := strings.Index(rest, "/*"); at >= 0 {
		p.note, rest = strings.TrimSpace(rest[at:]), rest[:at]
	}
	left, unsigned, zerofill := attributes(strings.ToLower(rest))
	p.unsigned, p.zerofill = p.unsigned || unsigned, p.zerofill || zerofill
	if left != "" {
		return p, fmt.Errorf("%q is not understood", clip(left, 40))
	}
	return p, nil
}

// attributes takes the words unsigned and zerofill out of s.
func attributes(s string) (left string, unsigned, zerofill bool) {
	var kept []string
	for _, w := range strings.Fields(s) {
		switch w {
		case "unsigned":
			unsigned = true
		case "signed":
		case "zerofill":
			unsigned, zerofill = true, true
		default:
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " "), unsigned, zerofill
}

// splitArgs reads "10,2)".
func splitArgs(s string) (args []int, rest string, err error) {
	inside, rest, ok := strings.Cut(s, ")")
	if !ok {
		return nil, "", errors.New("a parenthesis is not closed")
	}
	for f := range strings.SplitSeq(inside, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(f), 10, 32)
		if err != nil || len(args) == 2 {
			return nil, "", fmt.Errorf("(%s) is not understood", clip(inside, 40))
		}
		args = append(args, int(n))
	}
	return args, rest, nil
}

// splitLabels reads "'a','b')".
func splitLabels(s string) (labels []string, rest string, err error) {
	bad := errors.New("the labels are not understood")
	for {
		s = strings.TrimLeft(s, " ")
		if s == "" || s[0] != '\'' {
			return nil, "", bad
		}
		label, after, ok := unquote(s[1:])
		if !ok || len(labels) == 1<<16-1 {
			return nil, "", bad
		}
		labels = append(labels, label)
		s = strings.TrimLeft(after, " ")
		switch {
		case strings.HasPrefix(s, ","):
			s = s[1:]
		case strings.HasPrefix(s, ")"):
			return labels, s[1:], nil
		default:
			return nil, "", bad
		}
	}
}

// unquote reads a text up to its closing quote.
func unquote(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case c == '\'':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '0':
				b.WriteByte(0)
			case 'Z':
				b.WriteByte(26)
			default:
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// quoteLabel writes a label as the server does in COLUMN_TYPE.
func quoteLabel(b *strings.Builder, s string) {
	b.WriteByte('\'')
	for i := range len(s) {
		switch s[i] {
		case 0:
			b.WriteString(`\0`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\\':
			b.WriteString(`\\`)
		case '\'':
			b.WriteString(`''`)
		default:
			b.WriteByte(s[i])
		}
	}
	b.WriteByte('\'')
}

// arg returns argument i, or otherwise when it was not given.
func (p *typeText) arg(i, otherwise int) int {
	if i < len(p.args) {
		return p.args[i]
	}
	return otherwise
}

// resolve gives the text its meaning and Native its form.
func (p *typeText) resolve() (row.Type, error) {
	if strings.Contains(p.note, "COMPRESSED") {
		p.note = "" // how values are stored, not what they are
	}
	if p.name == "bool" || p.name == "boolean" {
		p.name, p.args = "tinyint", []int{1}
	}
	if t, ok := p.number(); ok {
		return t, p.check(t)
	}
	if t, ok := p.moment(); ok {
		if p.note != "" { // an old form of times, still in use where a table was never rebuilt
			t.Native += " " + p.note
		}
		return t, p.check(t)
	}
	if t, ok := p.text(); ok {
		return t, p.check(t)
	}
	return row.Type{}, errType
}

// check refuses what the server would never print.
func (p *typeText) check(t row.Type) error {
	bad := false
	switch t.Kind {
	case row.Decimal:
		bad = t.Digits < 1 || t.Digits > 65 || t.Scale > 38 || t.Scale > t.Digits
	case row.Time, row.DateTime, row.Timestamp:
		bad = t.Scale > 6
	case row.Bits:
		bad = t.Size < 1 || t.Size > 64
	case row.Labels:
		bad = len(t.Labels) == 0 || len(t.Labels) > 64
	case row.Enum:
		bad = len(t.Labels) == 0
	}
	if bad {
		return errors.New("its arguments are out of range")
	}
	return nil
}

func (p *typeText) signs() string {
	switch {
	case p.zerofill:
		return " unsigned zerofill"
	case p.unsigned:
		return " unsigned"
	}
	return ""
}

func (p *typeText) number() (row.Type, bool) {
	if size, signed, unsigned := intSize(p.name); size > 0 {
		t, width := row.Type{Kind: row.Int, Size: size}, signed
		if p.unsigned {
			t.Kind, width = row.Uint, unsigned
		}
		t.Native = fmt.Sprintf("%s(%d)%s", p.name, p.arg(0, width), p.signs())
		return t, true
	}
	switch p.name {
	case "decimal":
		digits := p.arg(0, 10)
		if digits == 0 {
			digits = 10
		}
		t := row.Type{Kind: row.Decimal, Digits: digits, Scale: p.arg(1, 0)}
		t.Native = fmt.Sprintf("decimal(%d,%d)%s", t.Digits, t.Scale, p.signs())
		return t, true
	case "float", "double":
		t := row.Type{Kind: row.Float64, Size: 8, Native: p.name + p.signs()}
		if p.name == "float" && (len(p.args) != 1 || p.args[0] <= 24) {
			t.Kind, t.Size = row.Float32, 4
		} else if p.name == "float" {
			t.Native = "double" + p.signs() // float(25) and more is a double
		}
		if len(p.args) == 2 {
			t.Native = fmt.Sprintf("%s(%d,%d)%s", p.name, p.args[0], p.args[1], p.signs())
		}
		return t, true
	case "bit":
		n := p.arg(0, 1)
		return row.Type{Kind: row.Bits, Size: n, Native: fmt.Sprintf("bit(%d)", n)}, true
	}
	return row.Type{}, false
}

func (p *typeText) moment() (row.Type, bool) {
	t := row.Type{Scale: p.arg(0, 0), Native: p.name}
	switch p.name {
	case "date":
		return row.Type{Kind: row.Date, Native: p.name}, true
	case "year":
		return row.Type{Kind: row.Year, Size: 1, Native: "year(4)"}, true
	case "time":
		t.Kind = row.Time
	case "datetime":
		t.Kind = row.DateTime
	case "timestamp":
		t.Kind = row.Timestamp
	default:
		return row.Type{}, false
	}
	if t.Scale > 0 {
		t.Native = fmt.Sprintf("%s(%d)", p.name, t.Scale)
	}
	return t, true
}

func (p *typeText) text() (row.Type, bool) {
	if size, binary := textSize(p.name); size > 0 {
		t := row.Type{Kind: row.Text, Size: size, Native: p.name}
		if binary {
			t.Kind = row.Bytes
		}
		return t, true
	}
	switch p.name {
	case "char", "varchar":
		n := p.arg(0, 1)
		return row.Type{Kind: row.Text, Size: n, Native: fmt.Sprintf("%s(%d)", p.name, n)}, true
	case "binary", "varbinary":
		n := p.arg(0, 1)
		return row.Type{Kind: row.Bytes, Size: n, Native: fmt.Sprintf("%s(%d)", p.name, n)}, true
	case "json":
		return row.Type{Kind: row.JSON, Size: 1<<32 - 1, Native: "json"}, true
	case "enum", "set":
		t := row.Type{Kind: row.Enum, Labels: p.labels}
		if p.name == "set" {
			t.Kind = row.Labels
		}
		t.Native = p.name + labelList(p.labels)
		return t, true
	case "uuid":
		return row.Type{Kind: row.Text, Size: 36, Native: p.name}, true
	case "inet4":
		return row.Type{Kind: row.Text, Size: 15, Native: p.name}, true
	case "inet6":
		return row.Type{Kind: row.Text, Size: 39, Native: p.name}, true
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return row.Type{Kind: row.Bytes, Size: 1<<32 - 1, Native: p.name}, true
	}
	return row.Type{}, false
}

func labelList(labels []string) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, l := range labels {
		if i > 0 {
			b.WriteByte(',')
		}
		quoteLabel(&b, l)
	}
	b.WriteByte(')')
	return b.String()
}
