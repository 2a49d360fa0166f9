package cli

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// cells returns how many columns s takes on a terminal; colour codes take none.
func cells(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if j := escape(s[i:]); j > 0 {
			i += j
			continue
		}
		r, size := decode(s[i:])
		n += runeCells(r)
		i += size
	}
	return n
}

// escape returns the length of the colour code that s begins with, or 0.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}

func decode(s string) (rune, int) {
	for i, r := range s {
		if i > 0 {
			return first(s), i
		}
		_ = r
	}
	return first(s), len(s)
}

func first(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens s to n columns, with … when something is left out. Colours that
// are on at the cut are ended.
func cut(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if cells(s) <= n {
		return s
	}
	used, coloured := 0, false
	for i := 0; i < len(s); {
		if j := escape(s[i:]); j > 0 {
			coloured = s[i:i+j] != plainCode
			i += j
			continue
		}
		r, size := decode(s[i:])
		if used+runeCells(r) > n-1 {
			s = s[:i] + "…"
			break
		}
		used += runeCells(r)
		i += size
	}
	if coloured {
		s += plainCode
	}
	return s
}

// pad fills s with blanks to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-cells(s))) }

// clean makes text from outside fit for a terminal: no control characters, no
// line breaks.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || r == 0x202e || r == 0x2066 || r == 0x2067 || r == 0x2068:
			return '?'
		}
		return r
	}, s)
}

// cleanLines is clean for text of several lines, which it keeps.
func cleanLines(s string) []string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return lines
}

// fit joins parts by gap as long as they fit into n columns. The first part is
// cut rather than left out.
func fit(n int, gap string, parts ...string) string {
	out := ""
	for _, p := range parts {
		switch {
		case p == "":
		case out == "":
			out = cut(p, n)
		case cells(out)+len(gap)+cells(p) <= n:
			out += gap + p
		}
	}
	return out
}
