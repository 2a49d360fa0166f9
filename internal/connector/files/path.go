package files

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"godwit/internal/row"
)

// defaultPath is a folder for each table.
const defaultPath = "{database}/{table}"

// pattern says in which folders files lie. Its base is the folder of a table; what
// follows divides the rows of one.
type pattern struct {
	text string
	base []segment
	rest []segment
}

// segment is one part of a path between slashes, with a field at most.
type segment struct {
	before, after string
	field         string // "": none
	column        string // of field column
	form          string // of a time: date, year, month, day or hour; of a column "": its text
}

// Fields of a segment.
const (
	fieldDatabase = "database"
	fieldTable    = "table"
	fieldColumn   = "column"
)

// noPart is where rows lie that have no value for a field: what reads folders as
// columns takes it for null.
const noPart = "__HIVE_DEFAULT_PARTITION__"

var (
	plainSegment = regexp.MustCompile(`^[A-Za-z0-9=.,+-][A-Za-z0-9_=.,+-]*$|^$`)
	// namesGeneration is what a folder within that of a table must not be called.
	namesGeneration = regexp.MustCompile(`^g[0-9]+$`)
)

// maxSegments bounds the depth of folders.
const maxSegments = 16

// parsePath reads a pattern.
func parsePath(text string) (pattern, error) {
	p := pattern{text: text}
	seen := map[string]int{}
	all := strings.Split(text, "/")
	if len(all) > maxSegments {
		return p, fmt.Errorf("at most %d folders deep", maxSegments)
	}
	for _, s := range all {
		g, err := parseSegment(s)
		if err != nil {
			return p, err
		}
		if seen[g.field]++; g.field == fieldDatabase || g.field == fieldTable {
			if len(p.rest) > 0 {
				return p, errors.New("{database} and {table} stand before all that divides the rows of a table")
			}
		} else if seen[fieldDatabase] > 0 && seen[fieldTable] > 0 {
			p.rest = append(p.rest, g)
			continue
		} else if g.field != "" {
			return p, errors.New("{database} and {table} stand before all that divides the rows of a table")
		}
		p.base = append(p.base, g)
	}
	if seen[fieldDatabase] != 1 || seen[fieldTable] != 1 {
		return p, errors.New("{database} and {table} stand in it once each, so that no two tables share a folder")
	}
	if len(p.rest) > 0 && namesGeneration.MatchString(p.rest[0].before) && p.rest[0].field == "" {
		return p, fmt.Errorf("a folder cannot be called %s: that is a generation of a table", p.rest[0].before)
	}
	return p, nil
}

func parseSegment(s string) (segment, error) {
	var g segment
	before, rest, ok := strings.Cut(s, "{")
	if !ok && s == "" || s == "." || s == ".." {
		return g, errors.New("folders have names, with / between them and none at the ends")
	}
	g.before = before
	if ok {
		field, after, closed := strings.Cut(rest, "}")
		if !closed || strings.Contains(after, "{") {
			return g, fmt.Errorf("%s has one field in {} at most", s)
		}
		g.after = after
		if err := g.read(field); err != nil {
			return g, err
		}
	}
	if !plainSegment.MatchString(g.before) || g.after != "" && !plainSegment.MatchString("a"+g.after) || strings.HasPrefix(g.before, ".") {
		return g, fmt.Errorf("%s has other characters than letters, digits and =.,+-_ beside a field, or begins with . or _, which readers take for hidden", s)
	}
	return g, nil
}

// read reads what stands in the braces.
func (g *segment) read(field string) error {
	name, more, _ := strings.Cut(field, ":")
	switch name {
	case fieldDatabase, fieldTable:
		g.field = field
	case "date", "year", "month", "day", "hour":
		g.field, g.form = field, field
	case fieldColumn:
		g.field, g.column = fieldColumn, more
		if i := strings.LastIndexByte(more, ':'); i >= 0 && isForm(more[i+1:]) {
			g.column, g.form = more[:i], more[i+1:]
		}
		if g.column == "" {
			return errors.New("{column:…} needs the name of a column")
		}
		return nil
	}
	if g.field == "" || more != "" {
		return fmt.Errorf("{%s} is none of {database}, {table}, {date}, {year}, {month}, {day}, {hour}, {column:NAME} and {column:NAME:date}", field)
	}
	return nil
}

func isForm(s string) bool {
	switch s {
	case "date", "year", "month", "day", "hour":
		return true
	}
	return false
}

// folder returns the folder of a table's files, with a trailing "/".
func (p *pattern) folder(n names, space, table, suffix string) string {
	var b strings.Builder
	for _, g := range p.base {
		b.WriteString(g.before)
		switch g.field {
		case fieldDatabase:
			b.WriteString(n.escape(space))
		case fieldTable:
			b.WriteString(n.escape(table) + suffix)
		}
		b.WriteString(g.after + "/")
	}
	return b.String()
}

// divided reports whether rows of one table lie in several folders.
func (p *pattern) divided() bool { return len(p.rest) > 0 }

// part appends the folder of row i of s within that of its table. committed is the
// commit time of its transaction in microseconds; 0: none is known, as of rows that a
// snapshot read.
func (p *pattern) part(to []byte, n names, b *row.Batch, s *row.Section, i int, committed int64) []byte {
	for k := range p.rest {
		g := &p.rest[k]
		from := len(to)
		to = append(to, g.before...)
		var value []byte
		var buffer [40]byte
		switch g.field {
		case "":
		case fieldColumn:
			value = g.cell(buffer[:0], b, s, i)
		default:
			if committed != 0 {
				at := time.UnixMicro(committed).UTC()
				value = timePart(buffer[:0], g.form, at.Year(), int(at.Month()), at.Day(), at.Hour())
			}
		}
		switch {
		case g.field == "":
		case value == nil:
			to = append(to, noPart...)
		default:
			to = append(to, n.escape(string(value))...)
		}
		to = append(to, g.after...)
		if k == 0 && namesGeneration.Match(to[from:]) {
			to = append(append(to[:from:from], "%67"...), to[from+1:]...)
		}
		to = append(to, '/')
	}
	return to
}

// cell appends the value of the column as the segment wants it; nil: it has none.
func (g *segment) cell(to []byte, b *row.Batch, s *row.Section, i int) []byte {
	at := s.Table.Column(g.column)
	if at < 0 {
		return nil
	}
	words, flags := b.Cells(s, i)
	if flags[at] != row.Value {
		return nil
	}
	t, w := s.Table.Columns[at].Type, words[at]
	if g.form == "" {
		return plainPart(to, t.Kind, w, b)
	}
	year, month, day, hour, ok := moment(t.Kind, w)
	if !ok {
		return nil
	}
	return timePart(to, g.form, year, month, day, hour)
}

// plainPart appends a value whose text names a folder; nil: values of its kind do not.
func plainPart(to []byte, k row.Kind, w uint64, b *row.Batch) []byte {
	switch k {
	case row.Int:
		return fmt.Append(to, int64(w))
	case row.Uint, row.Year, row.Bits:
		return fmt.Append(to, w)
	case row.Decimal, row.Text, row.Enum, row.Labels:
		return append(to, b.Data(w)...)
	case row.Date:
		y, m, d := row.UnpackDate(w)
		return timePart(to, "date", y, m, d, 0)
	}
	return nil
}

// nameable reports whether a segment can be made of values of a kind.
func (g *segment) nameable(k row.Kind) bool {
	if g.form != "" {
		return k == row.DateTime || k == row.Timestamp || k == row.Date && g.form != "hour"
	}
	switch k {
	case row.Int, row.Uint, row.Year, row.Bits, row.Decimal, row.Text, row.Enum, row.Labels, row.Date:
		return true
	}
	return false
}

// moment takes a time apart; false: it is none, or names no day.
func moment(k row.Kind, w uint64) (year, month, day, hour int, ok bool) {
	switch k {
	case row.Date:
		year, month, day = row.UnpackDate(w)
	case row.DateTime:
		var us int64
		year, month, day, us = row.UnpackDateTime(w)
		hour = int(us / int64(time.Hour/time.Microsecond))
	case row.Timestamp:
		if int64(w) == row.ZeroTimestamp {
			return 0, 0, 0, 0, false
		}
		at := time.UnixMicro(int64(w)).UTC()
		year, month, day, hour = at.Year(), int(at.Month()), at.Day(), at.Hour()
	}
	return year, month, day, hour, month > 0 && day > 0
}

func timePart(to []byte, form string, year, month, day, hour int) []byte {
	switch form {
	case "year":
		return fmt.Appendf(to, "%04d", year)
	case "month":
		return fmt.Appendf(to, "%02d", month)
	case "day":
		return fmt.Appendf(to, "%02d", day)
	case "hour":
		return fmt.Appendf(to, "%02d", hour)
	}
	return fmt.Appendf(to, "%04d-%02d-%02d", year, month, day)
}
