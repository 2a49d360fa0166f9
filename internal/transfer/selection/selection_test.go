package selection

import (
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

func selected(t *testing.T, r Rules) *Selection {
	t.Helper()
	s, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGlob_when_matched(t *testing.T) {
	for _, c := range []struct{ glob, yes, no string }{
		{"file.jpg", "file.jpg dir/file.jpg", "afile.jpg dir/afile.jpg file.jpg/x fileXjpg"},
		{"/file.jpg", "file.jpg", "dir/file.jpg afile.jpg"},
		{"*.jpg", ".jpg a.jpg d/a.jpg", "a.png a.jpg/b"},
		{"/*.jpg", "a.jpg", "d/a.jpg"},
		{"d/*", "d/a x/d/a", "d d/a/b xd/a"},
		{"d/**", "d/a d/a/b x/d/a", "d xd/a"},
		{"d/", "d/a d/a/b x/d/a", "d xd/a"},
		{"/d/", "d/a d/a/b", "x/d/a"},
		{"/**/x", "a/x a/b/x", "x"},
		{"*.t?t", "a.txt a.t-t", "a.t/t a.tt"},
		{"*.{jpg,png}", "a.jpg a.png", "a.gif"},
		{"{a,b{c,d}}", "a bc x/bd", "b c"},
		{"{a,**/b}", "a x/y/b", "b/c"},
		{"[a-c]x", "ax cx d/bx", "dx"},
		{"[!a-c]x", "dx", "ax"},
		{"[^a-c]x", "dx", "ax"},
		{"[[:digit:]]", "1", "a"},
		{`*.\d\d`, "a.12", "a.1 a.dd"},
		{`a\*b`, "a*b", "axb"},
		{`\[x\]`, "[x]", "x"},
		{"*.{{jpe?g}}", "a.jpg a.jpeg", "a.jpeeg"},
		{"/{{x{2}}}", "xx", "x xxx a/xx"},
		{"a+b", "a+b", "aab"},
		{"ä*", "äx", "ax"},
		{"a,b", "a,b", "a b"},
	} {
		s := selected(t, Rules{Include: []string{c.glob}})
		for _, k := range strings.Fields(c.yes) {
			if !s.Takes(k) {
				t.Errorf("%s does not match %s", c.glob, k)
			}
		}
		for _, k := range strings.Fields(c.no) {
			if s.Takes(k) {
				t.Errorf("%s matches %s", c.glob, k)
			}
		}
	}
}

func TestNew_when_a_rule_is_wrong(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		rules Rules
		want  string
	}{
		{Rules{Include: []string{"a", "b["}}, `include: rule 2, "b["`},
		{Rules{Exclude: []string{"{a"}}, `exclude: rule 1, "{a"`},
		{Rules{Exclude: []string{"***"}}, "3 stars"},
		{Rules{Exclude: []string{""}}, "empty"},
		{Rules{Exclude: []string{"a]"}}, `\]`},
		{Rules{Exclude: []string{"a}"}}, `\}`},
		{Rules{Exclude: []string{`a\`}}, "backslash"},
		{Rules{Exclude: []string{"{{("}}, "not closed"},
		{Rules{Exclude: []string{"{{(}}"}}, "missing closing )"},
		{Rules{Exclude: []string{"{{a)|(b}}"}}, "unexpected )"},
		{Rules{Exclude: []string{strings.Repeat("a", 5000)}}, "longer than"},
		{Rules{Rename: []Rename{{From: "a", To: "b"}, {From: "(", Pattern: true}}}, `rename: rule 2, "("`},
		{Rules{SizeMin: 2, SizeMax: 1}, "at least 2"},
		{Rules{SizeMin: -1}, "less than nothing"},
		{Rules{NewerThan: day, OlderThan: day}, "no object is newer"},
		{Rules{Prefixes: make([]string, 1001)}, "1001 rules"},
	} {
		_, err := New(c.rules)
		if !fault.Has(err, fault.JobValue) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+.80v: %v, want JOB_VALUE with %q", c.rules, err, c.want)
		}
	}
}

func TestChosen_when_size_and_time_are_bounds(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := selected(t, Rules{SizeMin: 10, SizeMax: 20, NewerThan: day, OlderThan: day.Add(48 * time.Hour), Prefixes: []string{"p/", "p/q/"}, Exclude: []string{"*.tmp"}})
	for _, c := range []struct {
		o    store.Object
		want bool
	}{
		{store.Object{Key: "p/a", Size: 10, Modified: day.Add(1)}, true},
		{store.Object{Key: "p/a", Size: 20}, true},
		{store.Object{Key: "p/a", Size: 9}, false},
		{store.Object{Key: "p/a", Size: 21}, false},
		{store.Object{Key: "p/a", Size: 15, Modified: day}, false},
		{store.Object{Key: "p/a", Size: 15, Modified: day.Add(48 * time.Hour)}, false},
		{store.Object{Key: "q/a", Size: 15}, false},
		{store.Object{Key: "p/a.tmp", Size: 15}, false},
	} {
		if got := s.Chosen(c.o); got != c.want {
			t.Errorf("%+v: %v", c.o, got)
		}
	}
	if p := s.Prefixes(); len(p) != 1 || p[0] != "p/" {
		t.Errorf("prefixes %q", p)
	}
}

func TestName_when_rules_rename(t *testing.T) {
	s := selected(t, Rules{Rename: []Rename{{From: "a/", To: "z/"}, {From: `^(\d+)/(?P<rest>.*)$`, To: "$1-${rest}", Pattern: true}, {From: "gone", To: ""}}})
	for key, want := range map[string]string{"a/b": "z/b", "12/x": "12-x", "b": "b", "gone1": "1"} {
		if got, ok := s.Name(key); got != want || !ok {
			t.Errorf("%s becomes %q, %v", key, got, ok)
		}
	}
	if name, ok := s.Name("gone"); ok {
		t.Errorf("nothing is left, yet the name is %q", name)
	}
	if s.KeepsOrder() || !selected(t, Rules{Rename: []Rename{{From: "a", To: "b"}}}).KeepsOrder() {
		t.Error("patterns do not keep the order, prefixes do")
	}
}

// Every key lies in exactly one stretch, which names it as the rules do, in order.
func TestStretches_when_prefixes_nest(t *testing.T) {
	for _, rename := range [][]Rename{
		nil,
		{{From: "", To: "all/"}},
		{{From: "a/", To: "z/"}},
		{{From: "a/b/", To: "x/"}, {From: "a/", To: "y/"}},
		{{From: "a/", To: "y/"}, {From: "a/b/", To: "x/"}},
		{{From: "a", To: ""}, {From: "b", To: "c"}, {From: "\xff", To: "last"}},
	} {
		s := selected(t, Rules{Rename: rename})
		for _, key := range []string{"", "a", "a/", "a/a", "a/b", "a/b/", "a/b/c", "a/b0", "a0", "b", "bb", "c", "é", "\xff", "\xff\xff"} {
			in := 0
			for _, p := range s.Stretches() {
				if key < p.Low || p.High != "" && key >= p.High {
					continue
				}
				in++
				name, _ := s.Name(key)
				if p.Name(key) != name {
					t.Errorf("%v: %q becomes %q in its stretch, %q by the rules", rename, key, p.Name(key), name)
				}
				if back, ok := p.Key(name); !ok || back != key {
					t.Errorf("%v: %q is not found again from %q: %q", rename, key, name, back)
				}
			}
			if in != 1 {
				t.Errorf("%v: %q lies in %d stretches", rename, key, in)
			}
		}
	}
}

// What is listed under prefixes lies in one stretch, the rest in none.
func TestStretches_when_prefixes_limit_them(t *testing.T) {
	rename := []Rename{{From: "a/b/", To: "x/"}, {From: "a/", To: "y/"}}
	for _, prefixes := range [][]string{{"a/"}, {"a/b/c/", "a/c"}, {"", "b"}, {"a"}, {"\xff"}, {"b/", "c/"}} {
		s := selected(t, Rules{Prefixes: prefixes, Rename: rename})
		for _, key := range []string{"a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/", "a/b/c/d", "a/b0", "a/c", "a/cc", "a0", "b", "b/", "c/x", "\xff\xff"} {
			for kind, stretches := range map[string][]Stretch{"keys": s.Keys(), "names": s.Stretches()} {
				in := 0
				for _, p := range stretches {
					if !strings.HasPrefix(p.Low, p.From) || p.High != "" && p.High <= p.Low {
						t.Errorf("%q: %s: %+q", prefixes, kind, p)
					}
					if key < p.Low || p.High != "" && key >= p.High {
						continue
					}
					in++
					want, _ := s.Name(key)
					if kind == "keys" {
						want = key
					}
					if name := p.Name(key); name != want || !strings.HasPrefix(name, p.To) || p.Start("") >= name || p.End() != "" && p.End() <= name {
						t.Errorf("%q: %s: %q becomes %q, want %q, in %+q", prefixes, kind, key, name, want, p)
					}
				}
				if takes := s.Takes(key); in > 1 || (in == 1) != takes {
					t.Errorf("%q: %q lies in %d stretches of %s, taken: %v", prefixes, key, in, kind, takes)
				}
			}
		}
	}
}

func TestDistinct_when_names_meet(t *testing.T) {
	for _, c := range []struct {
		rules string // prefixes: from→to …
		want  bool
	}{
		{":", true},
		{":→all/", true},
		{":a/→z/", false}, // z/ may be there too
		{"a/:a/→z/", true},
		{"a/ z:a/→z/", false},
		{"a/ b/:a/→x/ b/→y/", true},
		{"a/ b/:a/→x/ b/→x/", false},
		{"a/ b/:a/→x/ b/→x/y/", false},
		{"a/ b/:a/→x/1 b/→x/2", true},
		{"a/:a/b/→x/ a/→y/", true},
		{"a/:a/b/→ a/→y/", false},
		{"a/:a/b/→a/b/", true},
		{"a/b/ a/c/:a/b/→a/c/ a/c/→a/b/", true},
		{"a/b/ a/c/:a/b/→a/c/", false},
		{":a/→a/", true},
		{":→\xff", true},
		{"a b:a→\xff b→\xff\xff", false},
		{"a b:a→\xff\xff b→\xfe", true},
	} {
		prefixes, rename, _ := strings.Cut(c.rules, ":")
		r := Rules{Prefixes: strings.Fields(prefixes)}
		for _, n := range strings.Split(rename, " ") {
			from, to, ok := strings.Cut(n, "→")
			if ok {
				r.Rename = append(r.Rename, Rename{From: from, To: to})
			}
		}
		if got := selected(t, r).Distinct(); got != c.want {
			t.Errorf("%q: %v", c.rules, got)
		}
	}
	if selected(t, Rules{Rename: []Rename{{From: "x", To: "y", Pattern: true}}}).Distinct() {
		t.Error("of a pattern nothing is known")
	}
}

func TestStart_when_names_are_long(t *testing.T) {
	long := strings.Repeat("é", 600)
	s := selected(t, Rules{Rename: []Rename{{From: "a/", To: "b/c/"}}}).Stretches()[1]
	key := "a/" + long
	if got := s.Start(key); len(got) > 900 || !strings.HasPrefix(s.Name(key), got) || !strings.HasPrefix(got, s.To) || strings.ToValidUTF8(got, "") != got {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	s = selected(t, Rules{}).Stretches()[0]
	if got := s.Start(key); got != key {
		t.Errorf("a key that keeps its name is cut: %d bytes", len(got))
	}
}

func TestBefore_when_a_listing_begins_there(t *testing.T) {
	for _, low := range []string{"a", "a/", "a0", "\x01", "a\x00", "é", "a\xff", "a\x80é\x00"} {
		if b := Before(low); b >= low {
			t.Errorf("before %q: %q", low, b)
		}
	}
}

func TestLists_when_read(t *testing.T) {
	long := strings.Repeat("x", lineBytes+1)
	for _, c := range []struct{ kind, text, want string }{
		{"lines", "", ""},
		{"lines", "\ufeffa\r\n\nb c\nd", "a|b c|d|"},
		{"lines", "a\n" + long + "\n", "a|list:2: longer"},
		{"lines", "a\nb\x00\n", "a|list:2: a zero byte"},
		{"csv", "key,size\na,1\n\"b\n\",\n", "a=1|b\n|"},
		{"csv", "other,key\n1,a\n2,b\n", "a|b|"},
		{"csv", "name\na\n", `list:1: the header has no column "key"`},
		{"csv", "key,size\na,1\nb,x\n", `a=1|list:3: "x" is not a size`},
		{"csv", "key,size\na,1\nb\n", "a=1|list:3: wrong number of fields"},
		{"csv", "key\na\n\"" + long + "\n", "longer"},
		{"csv", "key,x\n,1\n", "list:2: the key is empty"},
	} {
		seq := Lines("list", strings.NewReader(c.text))
		if c.kind == "csv" {
			seq = CSV("list", strings.NewReader(c.text))
		}
		var got strings.Builder
		for o, err := range seq {
			if err != nil {
				var e *fault.Error
				if !errors.As(err, &e) || e.Code != fault.JobValue {
					t.Errorf("%v is no JOB_VALUE", err)
					continue
				}
				got.WriteString(e.Where + strings.TrimPrefix(e.What, "the list of objects cannot be read"))
				break
			}
			got.WriteString(o.Key)
			if o.Size > 0 {
				got.WriteString("=" + string(rune('0'+o.Size)))
			}
			got.WriteString("|")
		}
		if c.want == "" && got.Len() > 0 || !strings.Contains(got.String(), c.want) {
			t.Errorf("%s %.40q: %.200q, want %q", c.kind, c.text, got.String(), c.want)
		}
	}
}

// Whatever a glob is, it is refused or made ready, and a glob of plain signs
// matches itself.
func FuzzGlob(f *testing.F) {
	for _, g := range []string{"*.jpg", "/a/**", "{a,b{c}}", "[!a-z]", `\d\*`, "{{x{2}}}", "[[:alpha:]]", "a/"} {
		f.Add(g, "a/b.jpg")
	}
	f.Fuzz(func(t *testing.T, glob, key string) {
		re, err := compile(glob)
		if err != nil {
			return
		}
		re.MatchString(key)
		if !strings.ContainsAny(glob, `*?[]{}\`) && !strings.HasSuffix(glob, "/") && strings.ToValidUTF8(glob, "") == glob {
			if !re.MatchString(strings.TrimPrefix(glob, "/")) {
				t.Errorf("%q does not match itself", glob)
			}
		}
	})
}
