package mysql

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"
	parsed "github.com/pingcap/tidb/pkg/parser/mysql"
	driver "github.com/pingcap/tidb/pkg/parser/test_driver" // the parser's values
	"github.com/pingcap/tidb/pkg/parser/types"

	"godwit/internal/row"
)

// column turns a definition into a column. added: existing rows get its default.
func (e *editor) column(def *ast.ColumnDef, added bool) (row.Column, error) {
	c := row.Column{Name: def.Name.Name.O, Nullable: true}
	coll := strings.ToLower(def.Tp.GetCollate())
	for _, o := range def.Options {
		switch o.Tp {
		case ast.ColumnOptionNotNull, ast.ColumnOptionPrimaryKey, ast.ColumnOptionAutoIncrement:
			c.Nullable = false
		case ast.ColumnOptionCollate:
			coll = strings.ToLower(o.StrValue)
		}
	}
	charset := strings.ToLower(def.Tp.GetCharset())
	if charset == "binary" {
		charset = ""
	}
	for _, o := range def.Options {
		if v, ok := o.Expr.(ast.ValueExpr); ok && o.Tp == ast.ColumnOptionComment {
			if cs, co, ok := undisguise(v.GetString()); ok {
				charset, coll = cs, co
			}
		}
	}
	text, err := nativeText(def.Tp, e.table.Charset, charset)
	if err != nil {
		return c, err
	}
	charset, coll, err = e.known.resolve(charset, coll, e.table.Charset, e.table.Collation)
	if err != nil {
		return c, err
	}
	if def.Tp.GetFlag()&parsed.BinaryFlag != 0 && def.Tp.GetCharset() != "binary" {
		coll = charset + "_bin"
	}
	if c.Type, err = parseType(text, charset, coll); err != nil {
		return c, err
	}
	if added && e.filler != nil {
		e.filler.fill(&c, def)
	}
	return c, nil
}

// numberWord returns the name of a type of numbers, "" for any other.
func numberWord(t byte) string {
	switch t {
	case parsed.TypeTiny:
		return "tinyint"
	case parsed.TypeShort:
		return "smallint"
	case parsed.TypeInt24:
		return "mediumint"
	case parsed.TypeLong:
		return "int"
	case parsed.TypeLonglong:
		return "bigint"
	case parsed.TypeFloat:
		return "float"
	case parsed.TypeDouble:
		return "double"
	case parsed.TypeNewDecimal:
		return "decimal"
	}
	return ""
}

func numberText(t *types.FieldType, word string) string {
	n, d := t.GetFlen(), t.GetDecimal()
	text := word
	switch {
	case n < 0:
	case d >= 0 && !strings.HasSuffix(word, "int"):
		text += fmt.Sprintf("(%d,%d)", n, d)
	default:
		text += fmt.Sprintf("(%d)", n)
	}
	if t.GetFlag()&parsed.ZerofillFlag != 0 {
		return text + " unsigned zerofill"
	}
	if t.GetFlag()&parsed.UnsignedFlag != 0 {
		return text + " unsigned"
	}
	return text
}

// nativeText returns the type of a definition as the server writes it.
func nativeText(t *types.FieldType, tableCharset, charset string) (string, error) {
	if word := numberWord(t.GetType()); word != "" {
		return numberText(t, word), nil
	}
	n, d, binary := t.GetFlen(), t.GetDecimal(), t.GetCharset() == "binary"
	pick := func(text, bytes string) string {
		if binary {
			return bytes
		}
		return text
	}
	switch t.GetType() {
	case parsed.TypeBit:
		return fmt.Sprintf("bit(%d)", max(n, 1)), nil
	case parsed.TypeYear:
		return "year(4)", nil
	case parsed.TypeDate:
		return "date", nil
	case parsed.TypeDuration, parsed.TypeDatetime, parsed.TypeTimestamp:
		word := map[byte]string{parsed.TypeDuration: "time", parsed.TypeDatetime: "datetime", parsed.TypeTimestamp: "timestamp"}[t.GetType()]
		if d > 0 {
			word += fmt.Sprintf("(%d)", d)
		}
		return word, nil
	case parsed.TypeString:
		return fmt.Sprintf("%s(%d)", pick("char", "binary"), orOne(n)), nil
	case parsed.TypeVarchar, parsed.TypeVarString:
		return fmt.Sprintf("%s(%d)", pick("varchar", "varbinary"), n), nil
	case parsed.TypeTinyBlob:
		return pick("tinytext", "tinyblob"), nil
	case parsed.TypeMediumBlob:
		return pick("mediumtext", "mediumblob"), nil
	case parsed.TypeLongBlob:
		return pick("longtext", "longblob"), nil
	case parsed.TypeBlob:
		return sizedBlob(n, pick("text", "blob"), binary, tableCharset, charset), nil
	case parsed.TypeJSON:
		return "json", nil
	case parsed.TypeEnum:
		if list := t.GetElems(); len(list) == 1 && strings.HasPrefix(list[0], disguised) {
			return list[0][len(disguised):], nil
		}
		return "enum" + labelList(t.GetElems()), nil
	case parsed.TypeSet:
		return "set" + labelList(t.GetElems()), nil
	}
	return "", fmt.Errorf("type %s is not known", t.String())
}

// orOne gives a length that was left out its meaning.
func orOne(n int) int {
	if n < 0 {
		return 1
	}
	return n
}

// sizedBlob returns the type that TEXT(n) and BLOB(n) become: the smallest that
// holds so many characters.
func sizedBlob(n int, word string, binary bool, tableCharset, charset string) string {
	if n < 0 {
		return word
	}
	if !binary {
		if charset == "" {
			charset = tableCharset
		}
		n *= characterBytes(charset)
	}
	switch {
	case n <= 255:
		return "tiny" + word
	case n <= 1<<16-1:
		return word
	case n <= 1<<24-1:
		return "medium" + word
	}
	return "long" + word
}

// defaultText returns what rows that exist show in a column that is added, nil for null;
// false: the server alone knows it.
func defaultText(c row.Column, given ast.ExprNode) (*string, bool) {
	if given == nil {
		return impliedDefault(c), true
	}
	negative := false
	if u, ok := given.(*ast.UnaryOperationExpr); ok {
		negative, given = u.Op.String() == "minus", u.V
	}
	v, ok := given.(ast.ValueExpr)
	if !ok {
		return nil, false
	}
	if v.GetValue() == nil {
		return nil, true
	}
	text, quoted := fmt.Sprint(v.GetValue()), false
	switch b := v.GetValue().(type) {
	case []byte:
		text, quoted = string(b), true
	case string:
		text, quoted = b, true
	case driver.BinaryLiteral: // b'101', x'ff'
		text, quoted = binaryText(c.Type.Kind, b), true
		if c.Type.Kind == row.Text && !isASCII(b) {
			return nil, false
		}
	default:
		if s := v.GetString(); s != "" {
			text = s
		}
	}
	if c.Type.Kind == row.Bytes && quoted && !isASCII([]byte(text)) {
		if _, raw := v.GetValue().(driver.BinaryLiteral); !raw {
			return nil, false // in the charset of the session
		}
	}
	if negative {
		text = "-" + text
	}
	if text, ok = shown(c.Type, text, quoted); !ok {
		return nil, false
	}
	return &text, true
}

// binaryText is what a literal of bytes is in a column.
func binaryText(kind row.Kind, b []byte) string {
	switch kind {
	case row.Bits, row.Int, row.Uint:
		var n uint64
		for _, x := range b {
			n = n<<8 | uint64(x)
		}
		return strconv.FormatUint(n, 10)
	}
	return string(b)
}

// defaultForm gives a literal the form that the column shows.
func defaultForm(t row.Type, text string) string {
	switch t.Kind {
	case row.Decimal:
		whole, fraction, _ := strings.Cut(text, ".")
		if whole == "" || whole == "-" {
			whole += "0"
		}
		if len(fraction) < t.Scale {
			fraction += strings.Repeat("0", t.Scale-len(fraction))
		}
		if len(fraction) > t.Scale || strings.ContainsAny(text, "eE") {
			return text // rounded by the server: left as it was written
		}
		if t.Scale > 0 {
			return whole + "." + fraction
		}
		return whole
	case row.Int, row.Uint, row.Year, row.Bits:
		return wholeForm(t.Kind, text)
	case row.Text:
		if nativeWord(t.Native) == "char" {
			return strings.TrimRight(text, " ")
		}
	case row.Bytes:
		if nativeWord(t.Native) == "binary" && len(text) < t.Size {
			return text + strings.Repeat("\x00", t.Size-len(text))
		}
	case row.Enum:
		return labelForm(t.Labels, text)
	case row.Labels:
		return labelsForm(t.Labels, text)
	case row.DateTime, row.Timestamp:
		if len(text) == len("2001-02-03") {
			return text + " 00:00:00"
		}
	}
	return text
}

// wholeForm is defaultForm of whole numbers.
func wholeForm(kind row.Kind, text string) string {
	switch strings.ToLower(text) {
	case "true":
		return "1"
	case "false":
		return "0"
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Abs(f) > 1<<53 {
			return text
		}
		n = int64(math.Round(f)) // as the server rounds
	}
	if kind == row.Year && n > 0 && n < 100 {
		n += 1900 + 100*int64(b2i(n < 70))
	}
	return strconv.FormatInt(n, 10)
}

// labelForm returns the label that a text stands for: case and spaces at the end make no
// difference.
func labelForm(labels []string, text string) string {
	if slices.Contains(labels, text) {
		return text
	}
	i := slices.IndexFunc(labels, func(l string) bool { return strings.EqualFold(l, strings.TrimRight(text, " ")) })
	if i < 0 {
		return text
	}
	return labels[i]
}

// labelsForm returns the labels of a set in their order.
func labelsForm(labels []string, text string) string {
	var given, out []string
	for l := range strings.SplitSeq(text, ",") {
		given = append(given, labelForm(labels, l))
	}
	for _, l := range labels {
		if slices.Contains(given, l) {
			out = append(out, l)
		}
	}
	return strings.Join(out, ",")
}

// impliedDefault is what the server puts into a column that may not be null and
// has no default.
func impliedDefault(c row.Column) *string {
	if c.Nullable {
		return nil
	}
	text := ""
	switch c.Type.Kind {
	case row.Int, row.Uint, row.Float32, row.Float64, row.Bits, row.Year:
		text = "0"
	case row.Decimal:
		text = defaultForm(c.Type, "0")
	case row.Date:
		text = "0000-00-00"
	case row.Time:
		text = "00:00:00"
	case row.DateTime, row.Timestamp:
		text = "0000-00-00 00:00:00"
	case row.Text:
		text = map[string]string{"uuid": "00000000-0000-0000-0000-000000000000", "inet6": "::", "inet4": "0.0.0.0"}[nativeWord(c.Type.Native)]
	case row.JSON:
		text = "null" // MariaDB takes such a column where there are no rows only
	case row.Enum:
		if len(c.Type.Labels) > 0 {
			text = c.Type.Labels[0]
		}
	case row.Bytes:
		if word := nativeWord(c.Type.Native); word == "binary" {
			text = strings.Repeat("\x00", c.Type.Size)
		}
	}
	return &text
}
