package selection

import (
	"regexp"
	"slices"
	"strings"
)

// Reaches reports whether the rules may take a key that begins with prefix, whatever
// keys there are. It is false where no prefix of the job leads there, or a glob of
// exclude takes away all that is below.
func (s *Selection) Reaches(prefix string) bool {
	return slices.ContainsFunc(s.Keys(), func(t Stretch) bool { return t.reaches(prefix) && !s.leavesOut(t.from(prefix)) })
}

// ReachesName is Reaches for names in the target. Names that a pattern makes may be any.
func (s *Selection) ReachesName(prefix string) bool {
	return !s.KeepsOrder() ||
		slices.ContainsFunc(s.Stretches(), func(t Stretch) bool { return t.reaches(prefix) && !s.leavesOut(t.from(prefix)) })
}

// FeedsBack reports whether names, with prefix before them, may be keys that the rules
// take: whether a job whose target is at prefix in its source may find there what it
// has written.
func (s *Selection) FeedsBack(prefix string) bool {
	if !s.KeepsOrder() {
		return s.Reaches(prefix)
	}
	return slices.ContainsFunc(s.Stretches(), func(t Stretch) bool { return s.Reaches(prefix + t.To) })
}

// reaches reports whether names of the stretch may begin with prefix.
func (t Stretch) reaches(prefix string) bool {
	end := t.End()
	return (strings.HasPrefix(t.To, prefix) || strings.HasPrefix(prefix, t.To)) && (end == "" || prefix < end)
}

// from returns what the keys begin with whose names begin with prefix.
func (t Stretch) from(prefix string) string {
	if len(prefix) <= len(t.To) {
		return t.From
	}
	return t.From + strings.TrimPrefix(prefix, t.To)
}

// leavesOut reports whether exclude has a glob that matches every key that begins so:
// one that matches what they begin with, and at its end anything.
func (s *Selection) leavesOut(prefix string) bool {
	for i, glob := range s.rules.Exclude {
		open := strings.HasSuffix(glob, "/") || strings.HasSuffix(glob, "**") && !strings.HasSuffix(glob, `\**`)
		if open && s.exclude[i].MatchString(prefix) {
			return true
		}
	}
	return false
}

// GlobBelow returns the glob, for exclude, of every key that begins with prefix.
func GlobBelow(prefix string) string {
	glob := "/" + signs.ReplaceAllString(prefix, `\$0`)
	if !strings.HasSuffix(glob, "/") {
		glob += "**"
	}
	return glob
}

// signs mean something in a glob.
var signs = regexp.MustCompile(`[*?\[\]{},\\]`)
