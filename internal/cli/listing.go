package cli

import "strings"

// cellMost bounds a cell that is not the last of its line.
const cellMost = 48

// listing is rows of cells: a table with a head on a terminal, lines of cells
// between tabs elsewhere.
type listing struct {
	head []string
	rows [][]string
	// plain has the rows for programs: whole numbers and times, never cut; nil: rows.
	plain [][]string
	empty string // said on a terminal when there are no rows
}

// show prints a listing on stdout.
func (a *app) show(l listing) {
	switch {
	case !isTerminal(a.out):
		rows := l.plain
		if rows == nil {
			rows = l.rows
		}
		for _, r := range rows {
			a.print(tsv(r...))
		}
	case len(l.rows) == 0:
		a.print(l.empty)
	default:
		a.print(l.lines(widthOf(a), a.outCol)...)
	}
}

// lines are the head and the rows in columns, none wider than width.
func (l listing) lines(width int, c colours) []string {
	widths := make([]int, len(l.head))
	for _, row := range append([][]string{l.head}, l.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], min(cells(clean(cell)), cellMost))
		}
	}
	out := make([]string, 0, len(l.rows)+1)
	for n, row := range append([][]string{l.head}, l.rows...) {
		var b strings.Builder
		for i, cell := range row {
			cell = clean(cell)
			fill := ""
			if i < len(row)-1 {
				cell = cut(cell, cellMost)
				fill = strings.Repeat(" ", widths[i]-cells(cell)+2)
			}
			switch {
			case n == 0:
				cell = c.bold(cell)
			case i > 0: // the first names something
				cell = wordColour(c, cell)
			}
			b.WriteString(cell + fill)
		}
		out = append(out, cut(strings.TrimRight(b.String(), " "), width))
	}
	return out
}

// wordColour paints the words that say how something stands.
func wordColour(c colours, cell string) string {
	word, rest, _ := strings.Cut(cell, " ")
	var painted string
	switch word {
	case "failed", "refused", "revoked", "expired":
		painted = c.red(word)
	case "retrying", "alarm", "resyncs", "restarts", "re-plans", "skipped":
		painted = c.yellow(word)
	case "finished", "done":
		painted = c.green(word)
	default:
		return cell
	}
	if rest == "" {
		return painted
	}
	return painted + " " + rest
}
