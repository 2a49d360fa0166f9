package codec

import (
	"strings"

	"godwit/internal/row"
)

// Names returns what a file of shape s calls its columns: the meta columns, if
// any, and the table's. A column of the table that has the name of a meta column,
// in any case, gets underscores appended until it differs from all others.
func Names(s Shape) []string {
	names := make([]string, 0, len(MetaColumns)+len(s.Table.Columns))
	if !s.Meta {
		for i := range s.Table.Columns {
			names = append(names, s.Table.Columns[i].Name)
		}
		return names
	}
	names = append(names, MetaColumns...)
	for i := range s.Table.Columns {
		n := s.Table.Columns[i].Name
		for collides(s.Table, names, i, n) {
			n += "_"
		}
		names = append(names, n)
	}
	return names
}

// collides reports whether name n for column i is a meta column's, or has become
// that of another column.
func collides(t *row.Table, names []string, i int, n string) bool {
	for _, m := range MetaColumns {
		if strings.EqualFold(m, n) {
			return true
		}
	}
	if n == t.Columns[i].Name {
		return false
	}
	for k := range t.Columns {
		if k != i && strings.EqualFold(t.Columns[k].Name, n) {
			return true
		}
	}
	for _, m := range names {
		if strings.EqualFold(m, n) {
			return true
		}
	}
	return false
}

// AbsentNames returns what _absent says of a row whose columns, called names in its
// file, are absent where flags say so: the names, joined by commas. In a name, % is
// written %25 and a comma %2C.
func AbsentNames(names []string, flags []row.Flag) string {
	var b strings.Builder
	for i, f := range flags {
		if f != row.Absent {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(names[i], "%", "%25"), ",", "%2C"))
	}
	return b.String()
}
