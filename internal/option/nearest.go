package option

import "strings"

// Nearest returns the known word closest to word, or "" when none is close: at
// most a third of its letters (one at least) are missing, added, wrong or
// swapped, or one is the beginning of the other.
func Nearest(word string, known []string) string {
	best, dist := "", -1
	w := strings.ToLower(word)
	if len(w) > 64 {
		return ""
	}
	for _, k := range known {
		d := distance(w, strings.ToLower(k))
		limit := max(1, (max(len(w), len(k))+1)/3)
		if len(w) >= 3 && strings.HasPrefix(strings.ToLower(k), w) {
			limit = max(limit, d)
		}
		if d <= limit && (dist < 0 || d < dist) {
			best, dist = k, d
		}
	}
	return best
}

// distance is the number of edits between a and b, a swap of neighbours counting
// as one (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	older, old, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(y)]
}
