package mysql

import (
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"godwit/internal/row"
)

// inOrder reports whether list has the words of part, in the same order.
func inOrder(part, list []string) bool {
	for _, w := range part {
		i := slices.Index(list, w)
		if i < 0 {
			return false
		}
		list = list[i+1:]
	}
	return true
}

// altered tells why values of a column that was changed may be others now, though no row
// was logged; empty: they are what they were. lax: the server makes values fit instead of
// refusing the statement.
func altered(old, now row.Column, lax bool) string {
	switch {
	case old.Nullable && !now.Nullable && (lax || now.Type.Kind == row.Timestamp):
		return "what was null in it is not any more"
	case !keeps(old.Type, now.Type, lax):
		return "it was " + clip(old.Type.Native, 80) + " and is " + clip(now.Type.Native, 80)
	}
	return ""
}

// keeps reports whether each value of a type is the same in another one.
func keeps(old, now row.Type, lax bool) bool {
	was, is := nativeWord(old.Native), nativeWord(now.Native)
	switch {
	case old.Native == now.Native && old.Charset == now.Charset:
		return true
	case isInteger(old) && isInteger(now):
		return !lax || within64(old, now)
	case isInteger(old) && now.Kind == row.Decimal:
		return !lax || now.Digits-now.Scale >= 20 && !strings.Contains(now.Native, "unsigned")
	case old.Kind == row.Float32 && now.Kind == row.Float64:
		return was == old.Native && is == now.Native
	case old.Kind != now.Kind:
		return false
	}
	switch now.Kind {
	case row.Decimal:
		signs := strings.Contains(now.Native, "unsigned") && !strings.Contains(old.Native, "unsigned")
		return now.Scale >= old.Scale && (!lax || !signs && now.Digits-now.Scale >= old.Digits-old.Scale)
	case row.Float32, row.Float64:
		return old.Native == now.Native
	case row.Bits:
		return !lax || now.Size >= old.Size
	case row.Time, row.DateTime, row.Timestamp:
		return now.Scale >= old.Scale
	case row.Date, row.Year, row.JSON:
		return true
	case row.Text:
		return keepsText(old, now, lax)
	case row.Bytes:
		if is == "geometry" {
			return !blobLike(was)
		}
		return blobLike(was) && blobLike(is) && is != "binary" && now.Size >= old.Size
	case row.Enum:
		return !slices.ContainsFunc(old.Labels, func(l string) bool { return !slices.Contains(now.Labels, l) })
	case row.Labels:
		return inOrder(old.Labels, now.Labels)
	}
	return false
}

// keepsText is keeps for text. The server cuts spaces off the end of what becomes a CHAR in
// every mode.
func keepsText(old, now row.Type, lax bool) bool {
	was, is := nativeWord(old.Native), nativeWord(now.Native)
	if old.Charset == "" || !charactersIn(old.Charset, now.Charset) || is == "char" && was != "char" {
		return false
	}
	same, need := old.Charset == now.Charset, old.Size // in characters, but of a TEXT in bytes
	switch bytes := strings.HasSuffix(is, "text"); {
	case bytes && !strings.HasSuffix(was, "text"):
		if need *= characterBytes(now.Charset); same {
			need = min(need, 1<<16-1) // more a row does not hold
		}
	case bytes && !same && lax:
		need *= characterBytes(now.Charset)
	}
	return now.Size >= need || !lax && !strings.HasSuffix(is, "text")
}

func blobLike(word string) bool {
	return strings.HasSuffix(word, "blob") || strings.HasSuffix(word, "binary")
}

// charactersIn reports whether a charset has all characters of another.
func charactersIn(old, now string) bool {
	switch now {
	case old, "utf8mb4", "utf16", "utf16le", "utf32":
		return true
	case "utf8mb3", "ucs2":
		return old == "utf8mb3" || old == "ucs2" || old == "ascii" || old == "latin1"
	}
	return false
}

func isInteger(t row.Type) bool { return t.Kind == row.Int || t.Kind == row.Uint }

// within64 reports whether an integer type holds all numbers of another.
func within64(old, now row.Type) bool {
	switch old.Kind {
	case now.Kind:
		return now.Size >= old.Size
	case row.Uint:
		return now.Size > old.Size
	}
	return false
}

// leavesOut reports whether a statement that ignores what cannot be may leave out rows
// that are there twice.
func leavesOut(specs []*ast.AlterTableSpec) bool {
	for _, s := range specs {
		list := s.NewConstraints
		if s.Constraint != nil {
			list = append(slices.Clip(list), s.Constraint)
		}
		for _, c := range list {
			if c.Tp == ast.ConstraintPrimaryKey || c.Tp == ast.ConstraintUniq || c.Tp == ast.ConstraintUniqKey || c.Tp == ast.ConstraintUniqIndex {
				return true
			}
		}
		for _, def := range s.NewColumns {
			if hasOption(def, ast.ColumnOptionPrimaryKey) || hasOption(def, ast.ColumnOptionUniqKey) {
				return true
			}
		}
	}
	return false
}

func hasOption(def *ast.ColumnDef, tp ast.ColumnOptionType) bool {
	return slices.ContainsFunc(def.Options, func(o *ast.ColumnOption) bool { return o.Tp == tp })
}
