package cli

import (
	"fmt"
	"strings"
)

// Bounds of a diff.
const (
	diffContext = 3
	diffEdits   = 1000 // beyond it one text replaces the other as a whole
)

// edit is a line of a diff: ' ' in both, '-' only before, '+' only after.
type edit struct {
	sign byte
	line string
}

// unified returns the differences of two texts as a unified diff, empty when there
// are none.
func unified(nameA, nameB, a, b string) string {
	if a == b {
		return ""
	}
	edits := diffLines(splitLines(a), splitLines(b))
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", nameA, nameB)
	for from := 0; from < len(edits); {
		begin, end := hunk(edits, from)
		if begin == len(edits) {
			break
		}
		writeHunk(&out, edits, begin, end)
		from = end
	}
	return out.String()
}

// splitLines cuts a text into lines. That the last one has no end is a difference
// too.
func splitLines(s string) []string {
	lines := strings.SplitAfter(s, "\n")
	last := len(lines) - 1
	if lines[last] == "" {
		return lines[:last]
	}
	lines[last] += "\n\\ No newline at end of file\n"
	return lines
}

// hunk finds the next changes from an index on, with what stands around them.
func hunk(edits []edit, from int) (begin, end int) {
	first := from
	for first < len(edits) && edits[first].sign == ' ' {
		first++
	}
	if first == len(edits) {
		return first, first
	}
	last := first
	for i := first; i < len(edits) && i <= last+2*diffContext; i++ {
		if edits[i].sign != ' ' {
			last = i
		}
	}
	return max(from, first-diffContext), min(len(edits), last+diffContext+1)
}

func writeHunk(out *strings.Builder, edits []edit, begin, end int) {
	lineA, lineB := 1, 1
	for _, e := range edits[:begin] {
		lineA, lineB = step(e, lineA, lineB)
	}
	endA, endB := lineA, lineB
	for _, e := range edits[begin:end] {
		endA, endB = step(e, endA, endB)
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", span(lineA, endA-lineA), span(lineB, endB-lineB))
	for _, e := range edits[begin:end] {
		out.WriteByte(e.sign)
		out.WriteString(e.line)
	}
}

func step(e edit, a, b int) (int, int) {
	if e.sign != '+' {
		a++
	}
	if e.sign != '-' {
		b++
	}
	return a, b
}

// span is a range of lines as diff writes it: an empty one names the line before.
func span(line, n int) string {
	if n == 0 {
		line--
	}
	return fmt.Sprintf("%d,%d", line, n)
}

// diffLines finds a shortest way from one text to another: E. Myers, "An O(ND)
// Difference Algorithm and Its Variations", 1986.
func diffLines(a, b []string) []edit {
	var head, tail []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, edit{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, edit{' ', a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	out := append(head, middle(a, b)...)
	for i := len(tail) - 1; i >= 0; i-- {
		out = append(out, tail[i])
	}
	return out
}

// middle diffs texts that differ at both ends.
func middle(a, b []string) []edit {
	most := min(len(a)+len(b), diffEdits)
	// far[most+k] is how far in a the ways on diagonal k have come.
	far := make([]int, 2*most+2)
	var before [][]int // far as it was before each number of edits
	for d := 0; d <= most; d++ {
		before = append(before, append([]int{}, far...))
		for k := -d; k <= d; k += 2 {
			x := furthest(far, most, k, d)
			for x < len(a) && x-k < len(b) && x-k >= 0 && a[x] == b[x-k] {
				x++
			}
			far[most+k] = x
			if x >= len(a) && x-k >= len(b) {
				return walkBack(a, b, before, most)
			}
		}
	}
	var out []edit
	for _, l := range a {
		out = append(out, edit{'-', l})
	}
	for _, l := range b {
		out = append(out, edit{'+', l})
	}
	return out
}

// furthest is where the d-th edit on diagonal k begins: after a line of b, or of a.
func furthest(far []int, most, k, d int) int {
	if d == 0 {
		return 0
	}
	if k == -d || k != d && far[most+k-1] < far[most+k+1] {
		return far[most+k+1]
	}
	return far[most+k-1] + 1
}

// walkBack reads the way from its end.
func walkBack(a, b []string, before [][]int, most int) []edit {
	x, y := len(a), len(b)
	var back []edit
	for d := len(before) - 1; d >= 0; d-- {
		far, k := before[d], x-y
		start := furthest(far, most, k, d)
		for x > start {
			x, y = x-1, y-1
			back = append(back, edit{' ', a[x]})
		}
		if d == 0 {
			break
		}
		if k == -d || k != d && far[most+k-1] < far[most+k+1] {
			y--
			back = append(back, edit{'+', b[y]})
		} else {
			x--
			back = append(back, edit{'-', a[x]})
		}
	}
	out := make([]edit, len(back))
	for i, e := range back {
		out[len(back)-1-i] = e
	}
	return out
}
