package connector

import (
	"fmt"
	"strings"

	"godwit/internal/row"
)

// Selector chooses tables by patterns such as "shop.*" and "!shop.tmp_*". A
// table is chosen when a plain pattern matches it and no pattern with "!" does.
type Selector struct{ Patterns []string }

// Match reports whether n is chosen.
func (s Selector) Match(n row.Name) bool {
	in := false
	for _, p := range s.Patterns {
		rest, out := strings.CutPrefix(p, "!")
		space, table, _ := strings.Cut(rest, ".")
		if !glob(space, n.Space) || !glob(table, n.Table) {
			continue
		}
		if out {
			return false
		}
		in = true
	}
	return in
}

// ValidPattern returns an error that says what is wrong with a pattern.
func ValidPattern(pattern string) error {
	p := strings.TrimPrefix(pattern, "!")
	space, table, ok := strings.Cut(p, ".")
	if !ok || space == "" || table == "" {
		return fmt.Errorf("%q is not of the form database.table; * and ? stand for any characters", pattern)
	}
	return nil
}

// MatchColumn reports whether a pattern such as "shop.*.placed" matches a column of
// table n.
func MatchColumn(pattern string, n row.Name, column string) bool {
	p := strings.SplitN(pattern, ".", 3)
	return len(p) == 3 && glob(p[0], n.Space) && glob(p[1], n.Table) && glob(p[2], column)
}

// ValidColumn returns an error that says what is wrong with a pattern of columns.
func ValidColumn(pattern string) error {
	p := strings.SplitN(pattern, ".", 3)
	if len(p) < 3 || p[0] == "" || p[1] == "" || p[2] == "" {
		return fmt.Errorf("%q is not of the form database.table.column; * and ? stand for any characters", pattern)
	}
	return nil
}

// glob matches s against a pattern in which * stands for any run of characters
// and ? for one. It takes time proportional to both lengths multiplied.
func glob(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			i, mark = star+1, mark+1
			j = mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
