package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"godwit/internal/row"
)

// This file says which columns of tables that were made by somebody else hold every
// value of ours, exactly.

// as returns how rows are written to the columns there are; why is not empty when they
// cannot be.
func (g *target) as(columns []column) (fit *target, why string) {
	fit = g
	for i := range g.fields {
		f := &g.fields[i]
		k := slices.IndexFunc(columns, func(c column) bool { return c.name == f.name })
		if k < 0 {
			return nil, "it has no column " + f.quoted
		}
		now, why := f.in(&columns[k], g.table.Columns[i].Type)
		if why != "" {
			return nil, why
		}
		if now.sql == f.sql {
			continue
		}
		if fit == g {
			own := *g
			own.fields = slices.Clone(g.fields)
			fit = &own
		}
		fit.fields[i] = now
	}
	return fit, ""
}

// in returns how a field is kept in a column that may be wider.
func (f *field) in(c *column, t row.Type) (now field, why string) {
	switch {
	case c.made:
		return *f, fmt.Sprintf("column %s has values that the target makes", f.quoted)
	case c.sql == f.printed():
		return *f, ""
	}
	wide, ok := f.wider(c, t)
	if !ok {
		return *f, fmt.Sprintf("column %s is %s, not %s", f.quoted, c.sql, f.sql)
	}
	wide.name, wide.quoted, wide.inKey, wide.nulls, wide.sql = f.name, f.quoted, f.inKey, f.nulls, c.sql
	return wide, ""
}

// wider returns how a field is kept in a column of another type; false: not every value
// would come back as it was.
func (f *field) wider(c *column, t row.Type) (wide field, ok bool) {
	name, args := typeOf(c.sql)
	wide = *f
	switch f.form {
	case asInt2, asInt4:
		size := map[string]int{"integer": 4, "bigint": 8}[name]
		return intField(size), size > 2 && (f.form == asInt2 || size == 8)
	case asNumeric, asUnsigned:
		digits, scale := t.Digits, t.Scale
		if f.form == asUnsigned {
			digits, scale = 20, 0
		}
		return wide, name == "numeric" && (len(args) == 0 || len(args) == 2 && args[0] >= digits && args[1] == scale)
	case asTimestamp:
		return wide, name == "timestamp without time zone" && atLeast(args, t.Scale)
	case asInstant:
		return *f, name == "timestamp with time zone" && atLeast(args, t.Scale)
	case asInterval:
		return wide, name == "interval" && len(args) == 1 && args[0] >= t.Scale
	case asText, asUUID:
		switch name {
		case "text":
			return textField(asText), true
		case "character varying":
			varchar := field{oid: oidVarchar, array: 1015, form: asText}
			n, bounded := charsOf(t)
			return varchar, f.oid != oidJSON && (len(args) == 0 || len(args) == 1 && bounded && args[0] >= n)
		}
	}
	return field{}, false
}

// atLeast reports whether a precision of so many digits is held; none is six.
func atLeast(args []int, digits int) bool {
	return len(args) == 0 || len(args) == 1 && args[0] >= digits
}

var typeText = regexp.MustCompile(`^([a-z ]+?)(?:\(([0-9]+)(?:,(-?[0-9]+))?\))?( with(?:out)? time zone)?$`)

// typeOf takes a type apart as the catalogue prints it: "timestamp(3) with time zone".
func typeOf(sql string) (name string, args []int) {
	m := typeText.FindStringSubmatch(sql)
	if m == nil {
		return sql, nil
	}
	for _, s := range m[2:4] {
		if n, err := strconv.Atoi(s); err == nil {
			args = append(args, n)
		}
	}
	return m[1] + m[4], args
}

var nativeChars = regexp.MustCompile(`^(?:var)?char\(([0-9]+)\)`)

// charsOf returns how many characters a text of the source has at most; false: that is
// not said.
func charsOf(t row.Type) (n int, ok bool) {
	m := nativeChars.FindStringSubmatch(t.Native)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}
