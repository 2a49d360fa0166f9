package route

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/row"
)

// Told says in lines what the rules make of a table, for people: its name, columns, rows
// and values. It has none for a table that stays as it is, or that the rules do not fit.
func (r *Router) Told(t *row.Table) (lines []string) {
	p, err := r.path(t)
	if r == nil || err != nil {
		return nil
	}
	if p.to == nil {
		return []string{"left out"}
	}
	if p.to.Name != t.Name {
		lines = append(lines, "named "+p.to.Name.String())
	}
	if gone := p.leftOut(); len(gone) > 0 {
		lines = append(lines, "without "+strings.Join(gone, ", "))
	}
	for i, e := range p.cells {
		if from := e.Column(); from >= 0 && t.Columns[from].Name != p.to.Columns[i].Name {
			lines = append(lines, fmt.Sprintf("%s as %s", t.Columns[from].Name, p.to.Columns[i].Name))
		}
	}
	for i := range r.rules {
		rule := &r.rules[i]
		if !rule.Tables.Match(t.Name) {
			continue
		}
		for _, s := range rule.Set {
			lines = append(lines, s.Column+" = "+s.Value.String())
		}
		if rule.Where != nil {
			lines = append(lines, "rows where "+rule.Where.String())
		}
	}
	return lines
}

// leftOut are the columns of the source that nothing of the target comes from.
func (p *path) leftOut() (names []string) {
	read := make([]bool, len(p.from.Columns))
	for _, e := range p.cells {
		for _, c := range e.Columns() {
			read[c] = true
		}
	}
	for i, c := range p.from.Columns {
		if !read[i] && !slices.ContainsFunc(p.to.Columns, func(to row.Column) bool { return to.Name == c.Name }) {
			names = append(names, c.Name)
		}
	}
	return names
}
