package expression

import (
	"fmt"

	"godwit/internal/row"
)

// class is what values of several kinds have in common: what can be compared and
// computed together.
type class uint8

const (
	nothing class = iota // null, of whatever class
	truth
	exact // whole numbers and decimals
	floating
	text
	binary
	date
	duration
	datetime
	instant
)

var classNames = [...]string{nothing: "null", truth: "true or false", exact: "a number", floating: "a float", text: "text",
	binary: "bytes", date: "a date", duration: "a time", datetime: "a datetime", instant: "a timestamp"}

func (c class) String() string { return classNames[c] }

// Type is the type of an expression.
type Type struct {
	class class
	// Of exact: digits before the point and after it, no fewer than any value has.
	whole, scale int
	word         bool // every value is a whole number of 8 bytes, with a sign
	nullable     bool
	own          *row.Type // of a column that nothing was done to
}

func (t Type) String() string { return t.class.String() }

// maxDigits is how many digits a computed number may have: what every target with
// decimals holds.
const maxDigits = 65

// typeOf is the type of a column; false: expressions cannot do with it.
func typeOf(c *row.Column) (Type, bool) {
	t := Type{nullable: c.Nullable, own: &c.Type}
	switch c.Type.Kind {
	case row.Int, row.Uint:
		t.class, t.whole = exact, intDigits(c.Type)
		t.word = c.Type.Kind == row.Int || t.whole <= smallDigits
	case row.Decimal:
		t.class, t.whole, t.scale = exact, max(c.Type.Digits-c.Type.Scale, 0), c.Type.Scale
	case row.Year:
		t.class, t.whole, t.word = exact, 4, true
	case row.Bits:
		t.class, t.whole = exact, 20
	case row.Float32, row.Float64:
		t.class = floating
	case row.Text, row.JSON, row.Enum, row.Labels:
		t.class = text
	case row.Bytes:
		t.class = binary
	case row.Date:
		t.class = date
	case row.Time:
		t.class = duration
	case row.DateTime:
		t.class = datetime
	case row.Timestamp:
		t.class = instant
	default:
		return t, false
	}
	return t, true
}

// intDigits is how many digits a whole number of so many bytes can have.
func intDigits(t row.Type) int {
	switch t.Size {
	case 1:
		return 3
	case 2:
		return 5
	case 3:
		return 8
	case 4:
		return 10
	}
	if t.Kind == row.Uint {
		return 20
	}
	return 19
}

// row is the type that a column of t has in a table.
func (t Type) row() row.Type {
	if t.own != nil {
		return *t.own
	}
	switch t.class {
	case truth:
		return row.Type{Kind: row.Int, Size: 1, Native: "tinyint(1)"}
	case exact:
		if t.word || t.scale == 0 && t.whole <= smallDigits {
			return row.Type{Kind: row.Int, Size: 8, Native: "bigint"}
		}
		return row.Type{Kind: row.Decimal, Digits: t.whole + t.scale, Scale: t.scale, Native: fmt.Sprintf("decimal(%d,%d)", t.whole+t.scale, t.scale)}
	case floating:
		return row.Type{Kind: row.Float64, Size: 8, Native: "double"}
	case binary:
		return row.Type{Kind: row.Bytes, Native: "longblob"}
	case date:
		return row.Type{Kind: row.Date, Native: "date"}
	case duration:
		return row.Type{Kind: row.Time, Scale: 6, Native: "time(6)"}
	case datetime:
		return row.Type{Kind: row.DateTime, Scale: 6, Native: "datetime(6)"}
	case instant:
		return row.Type{Kind: row.Timestamp, Scale: 6, Native: "timestamp(6)"}
	}
	return row.Type{Kind: row.Text, Native: "longtext"}
}

// joined is the type of what is either a or b; false: there is none.
func joined(a, b Type) (Type, bool) {
	switch {
	case a.class == nothing:
		b.nullable = true
		return b, true
	case b.class == nothing:
		a.nullable = true
		return a, true
	case a.class != b.class:
		return Type{}, false
	}
	out := Type{class: a.class, whole: max(a.whole, b.whole), scale: max(a.scale, b.scale),
		word: a.word && b.word, nullable: a.nullable || b.nullable}
	if a.own != nil && b.own != nil && a.own.Kind == b.own.Kind && a.own.Native == b.own.Native {
		out.own = a.own
	}
	return out, true
}
