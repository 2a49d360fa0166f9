package selection

import "testing"

func TestReaches_when_rules_leave_a_place_out(t *testing.T) {
	for _, c := range []struct {
		rules      Rules
		prefix     string
		keys, name bool
	}{
		{Rules{}, "out/", true, true},
		{Rules{Exclude: []string{"/out/"}}, "out/", false, false},
		{Rules{Exclude: []string{"out/**"}}, "out/", false, false},
		{Rules{Exclude: []string{"/out"}}, "out/", true, true},
		{Rules{Exclude: []string{"/out/*"}}, "out/", true, true},
		{Rules{Exclude: []string{"/out/*.jpg"}}, "out/", true, true},
		{Rules{Exclude: []string{"/out/a/"}}, "out/", true, true},
		{Rules{Exclude: []string{"/out/"}}, "out/a/b/", false, false},
		{Rules{Exclude: []string{`/out/\**`}}, "out/*", true, true},
		{Rules{Exclude: []string{"/out**"}}, "out", false, false},
		{Rules{Include: []string{"*.jpg"}}, "out/", true, true},
		{Rules{Prefixes: []string{"in/"}}, "out/", false, false},
		{Rules{Prefixes: []string{"out/sub/"}}, "out/", true, true},
		{Rules{Prefixes: []string{"o"}}, "out/", true, true},
		{Rules{Rename: []Rename{{From: "", To: "out/"}}}, "out/", true, true},
		{Rules{Rename: []Rename{{From: "", To: "out/"}}}, "in/", true, false},
		{Rules{Rename: []Rename{{From: "a/", To: "in/"}}, Prefixes: []string{"a/"}, Exclude: []string{"/a/"}}, "in/", false, false},
		{Rules{Rename: []Rename{{From: "a/", To: "in/"}}, Prefixes: []string{"a/"}, Exclude: []string{"/in/"}}, "in/", false, true},
		{Rules{Rename: []Rename{{From: "^x", To: "y", Pattern: true}}, Exclude: []string{"/out/"}}, "out/", false, true},
	} {
		s, err := New(c.rules)
		if err != nil {
			t.Fatal(err)
		}
		if keys, name := s.Reaches(c.prefix), s.ReachesName(c.prefix); keys != c.keys || name != c.name {
			t.Errorf("%+v: %q is reached by keys: %v, by names: %v", c.rules, c.prefix, keys, name)
		}
	}
}

func TestFeedsBack_when_a_job_works_in_its_own_source(t *testing.T) {
	archive := []Rename{{From: "2025/", To: "archive/2025/"}}
	for _, c := range []struct {
		rules  Rules
		prefix string
		back   bool
	}{
		{Rules{}, "", true},
		{Rules{Prefixes: []string{"2025/"}}, "", true},
		{Rules{Rename: archive}, "", true},
		{Rules{Prefixes: []string{"2025/"}, Rename: archive}, "", false},
		{Rules{Prefixes: []string{"2025/", "archive/"}, Rename: archive}, "", true},
		{Rules{Rename: archive, Exclude: []string{"/archive/"}}, "", true}, // keys that no rule matches keep their names
		{Rules{}, "out/", true},
		{Rules{Exclude: []string{"/out/"}}, "out/", false},
		{Rules{Prefixes: []string{"2025/"}}, "out/", false},
		{Rules{Rename: []Rename{{From: "^x", To: "y", Pattern: true}}, Exclude: []string{"/out/"}}, "out/", false},
		{Rules{Rename: []Rename{{From: "^x", To: "y", Pattern: true}}}, "", true},
	} {
		s, err := New(c.rules)
		if err != nil {
			t.Fatal(err)
		}
		if back := s.FeedsBack(c.prefix); back != c.back {
			t.Errorf("%+v at %q: %v", c.rules, c.prefix, back)
		}
	}
}

// What GlobBelow names, it leaves out.
func TestGlobBelow_when_a_name_has_signs_of_globs(t *testing.T) {
	for _, prefix := range []string{"out/", "out", "a b/c/", "[x]{y,z}*?/", `back\slash/`, "é/"} {
		s, err := New(Rules{Exclude: []string{GlobBelow(prefix)}})
		if err != nil {
			t.Fatalf("%q: %v", prefix, err)
		}
		if s.Reaches(prefix) || s.Takes(prefix+"a/b.c") || !s.Takes("other") {
			t.Errorf("%q: %s", prefix, GlobBelow(prefix))
		}
	}
}
