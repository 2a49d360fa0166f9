package selection

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Selection is Rules made ready. It is not changed any more and may be used
// concurrently.
type Selection struct {
	rules            Rules
	prefixes         []string
	include, exclude []*regexp.Regexp
	rename           []renaming
}

type renaming struct {
	from, to string
	pattern  *regexp.Regexp // nil: from is a prefix
}

// New makes rules ready. Its errors (fault.JobValue) name the rule. The cost of
// applying them is linear in the length of a key and the number of rules.
func New(rules Rules) (*Selection, error) {
	s := &Selection{rules: rules, prefixes: outermost(rules.Prefixes)}
	if n := len(rules.Prefixes) + len(rules.Include) + len(rules.Exclude) + len(rules.Rename); n > ruleCount {
		return nil, fault.New(fault.JobValue, "%d rules are more than the %d a job may have", n, ruleCount).Try("a list file names any number of objects")
	}
	var err error
	if s.include, err = compileAll("include", rules.Include); err != nil {
		return nil, err
	}
	if s.exclude, err = compileAll("exclude", rules.Exclude); err != nil {
		return nil, err
	}
	for i, r := range rules.Rename {
		n, err := compileRename(r)
		if err != nil {
			return nil, fault.New(fault.JobValue, "rename: rule %d, %q, does not fit: %v", i+1, r.From, err)
		}
		s.rename = append(s.rename, n)
	}
	if rules.SizeMin < 0 || rules.SizeMax < 0 {
		return nil, fault.New(fault.JobValue, "a size cannot be less than nothing")
	}
	if rules.SizeMax > 0 && rules.SizeMin > rules.SizeMax {
		return nil, fault.New(fault.JobValue, "no object is of at least %d and at most %d bytes", rules.SizeMin, rules.SizeMax)
	}
	if !rules.NewerThan.IsZero() && !rules.OlderThan.IsZero() && !rules.NewerThan.Before(rules.OlderThan) {
		return nil, fault.New(fault.JobValue, "no object is newer than %v and older than %v", rules.NewerThan, rules.OlderThan)
	}
	return s, nil
}

func compileAll(name string, globs []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for i, g := range globs {
		re, err := compile(g)
		if err != nil {
			return nil, fault.New(fault.JobValue, "%s: rule %d, %q, is not a glob: %v", name, i+1, g, err)
		}
		out = append(out, re)
	}
	return out, nil
}

func compileRename(r Rename) (renaming, error) {
	if len(r.From) > globBytes || len(r.To) > globBytes {
		return renaming{}, fmt.Errorf("it is longer than %d bytes", globBytes)
	}
	if !r.Pattern {
		return renaming{from: r.From, to: r.To}, nil
	}
	re, err := regexp.Compile(r.From)
	if err != nil {
		return renaming{}, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return renaming{to: r.To, pattern: re}, nil
}

// outermost sorts prefixes and drops those that lie below another.
func outermost(prefixes []string) []string {
	if len(prefixes) == 0 {
		return []string{""}
	}
	var out []string
	for _, p := range slices.Sorted(slices.Values(prefixes)) {
		if len(out) == 0 || !strings.HasPrefix(p, out[len(out)-1]) {
			out = append(out, p)
		}
	}
	return out
}

// Prefixes returns what is to be listed, in order, none below another; it is never
// empty, and [""] for everything.
func (s *Selection) Prefixes() []string { return slices.Clone(s.prefixes) }

// Chosen reports whether the rules take an object of the source.
func (s *Selection) Chosen(o store.Object) bool {
	r := s.rules
	switch {
	case o.Size < r.SizeMin, r.SizeMax > 0 && o.Size > r.SizeMax:
		return false
	case o.Modified.IsZero():
	case !r.NewerThan.IsZero() && !o.Modified.After(r.NewerThan), !r.OlderThan.IsZero() && !o.Modified.Before(r.OlderThan):
		return false
	}
	return s.Takes(o.Key)
}

// Takes reports whether the rules for keys (prefixes and globs) take key, whatever
// size and age the object has.
func (s *Selection) Takes(key string) bool {
	below := func(p string) bool { return strings.HasPrefix(key, p) }
	matches := func(re *regexp.Regexp) bool { return re.MatchString(key) }
	return slices.ContainsFunc(s.prefixes, below) &&
		!slices.ContainsFunc(s.exclude, matches) &&
		(len(s.include) == 0 || slices.ContainsFunc(s.include, matches))
}

// Name returns what key is called in the target. It is false when a rule leaves
// nothing of the name, or makes it longer than any store takes.
func (s *Selection) Name(key string) (string, bool) {
	for _, r := range s.rename {
		name, ok := r.apply(key)
		if ok {
			return name, name != "" && len(name) <= globBytes
		}
	}
	return key, true
}

func (r renaming) apply(key string) (string, bool) {
	if r.pattern == nil {
		rest, ok := strings.CutPrefix(key, r.from)
		return r.to + rest, ok
	}
	if !r.pattern.MatchString(key) {
		return "", false
	}
	return r.pattern.ReplaceAllString(key, r.to), true
}

// KeepsOrder reports whether names are in the order of their keys within each of
// Stretches, so that two ordered listings can be joined.
func (s *Selection) KeepsOrder() bool {
	return !slices.ContainsFunc(s.rename, func(r renaming) bool { return r.pattern != nil })
}

// Renames reports whether any rule gives objects another name.
func (s *Selection) Renames() bool { return len(s.rename) > 0 }

// Distinct reports whether no two keys that are listed can get one name, whatever
// keys there are. It knows this of prefixes alone: with a pattern it is false.
func (s *Selection) Distinct() bool {
	if !s.Renames() {
		return true
	}
	if !s.KeepsOrder() {
		return false
	}
	images := s.Stretches()
	slices.SortFunc(images, func(a, b Stretch) int { return strings.Compare(a.Name(a.Low), b.Name(b.Low)) })
	for i, t := range images[1:] {
		if end := images[i].End(); end == "" || t.Name(t.Low) < end {
			return false
		}
	}
	return true
}

// Stretch is a part of the key space whose names are its keys with one prefix
// replaced. Keys lie at or above Low and below High (empty: no bound), and all
// begin with From. In order of their keys names are in order too.
type Stretch struct {
	Low, High string
	From, To  string
}

// Key returns the key that name would come from; false: none of this stretch.
func (t Stretch) Key(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, t.To)
	key := t.From + rest
	return key, ok && key >= t.Low && (t.High == "" || key < t.High)
}

// Name returns the name of a key of this stretch.
func (t Stretch) Name(key string) string { return t.To + strings.TrimPrefix(key, t.From) }

// End returns the least text above all names of the stretch; empty: there is none.
func (t Stretch) End() string {
	if rest, ok := strings.CutPrefix(t.High, t.From); ok && t.High != "" {
		return t.To + rest
	}
	return After(t.To)
}

// startBytes bounds where a listing of other names starts: a name may be longer than
// its key, and too long for a store to take it.
const startBytes = 500

// Start returns where a listing of names that begin with To is to be started, so that
// it has those of all keys after after. It may have others before them.
func (t Stretch) Start(after string) string {
	if after < t.Low {
		after = Before(t.Low)
	}
	rest, ok := strings.CutPrefix(after, t.From)
	if !ok {
		return ""
	}
	if t.From != t.To && len(t.To)+len(rest) > startBytes {
		return letters((t.To + rest)[:startBytes])
	}
	return t.To + rest
}

// under narrows the stretch to the keys that begin with prefix; false: there are none.
func (t Stretch) under(prefix string) (Stretch, bool) {
	if rest, ok := strings.CutPrefix(prefix, t.From); ok {
		t.From, t.To = prefix, t.To+rest
	} else if !strings.HasPrefix(t.From, prefix) {
		return t, false
	}
	t.Low = max(t.Low, prefix)
	if end := After(prefix); t.High == "" || end != "" && end < t.High {
		t.High = end
	}
	return t, t.High == "" || t.Low < t.High
}

// Stretches divides the keys that are listed, in order, where the prefixes and the
// rename rules change. They have a meaning only when KeepsOrder.
func (s *Selection) Stretches() []Stretch { return listed(s.prefixes, stretches(s.rename)) }

// Keys are Stretches for whoever lists the keys themselves: nothing is renamed.
func (s *Selection) Keys() []Stretch { return listed(s.prefixes, []Stretch{{}}) }

func listed(prefixes []string, all []Stretch) []Stretch {
	var out []Stretch
	for _, p := range prefixes {
		for _, t := range all {
			if t, ok := t.under(p); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

// stretches divides all keys where rules, which are prefixes, change.
func stretches(rules []renaming) []Stretch {
	bounds := []string{""}
	for _, r := range rules {
		bounds = append(bounds, r.from)
		if end := After(r.from); end != "" {
			bounds = append(bounds, end)
		}
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	var out []Stretch
	for i, low := range bounds {
		t := Stretch{Low: low}
		if i+1 < len(bounds) {
			t.High = bounds[i+1]
		}
		for _, r := range rules {
			if strings.HasPrefix(low, r.from) {
				t.From, t.To = r.from, r.to
				break
			}
		}
		if n := len(out); n > 0 && out[n-1].From == t.From && out[n-1].To == t.To {
			out[n-1].High = t.High
			continue
		}
		out = append(out, t)
	}
	return out
}

// After returns the least text above all that begin with prefix; empty: there is
// none.
func After(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// Before returns a text below low such that hardly any key lies between: where a
// listing that must begin at low is started. It is valid UTF-8 where low is.
func Before(low string) string {
	if low == "" {
		return ""
	}
	head, last := low[:len(low)-1], low[len(low)-1]
	if last == 0 || last >= utf8.RuneSelf || !utf8.ValidString(low) {
		return letters(head)
	}
	return head + string([]byte{last - 1}) + string(utf8.MaxRune)
}

// letters cuts s before the first byte that is not of a letter in UTF-8.
func letters(s string) string {
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			return s[:i]
		}
	}
	return s
}
