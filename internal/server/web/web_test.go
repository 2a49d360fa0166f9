package web

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// budget is what the sources may weigh: they are sent as they are.
const budget = 240 << 10

func sources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	names, err := fs.Glob(Files, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(Files, name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(text)
	}
	if len(found) < 15 {
		t.Fatalf("only %d files: the test looks at the wrong thing", len(found))
	}
	return found
}

func TestSources_when_weighed(t *testing.T) {
	total := 0
	for _, text := range sources(t) {
		total += len(text)
	}
	if total > budget {
		t.Errorf("%d bytes, at most %d", total, budget)
	}
	t.Logf("%d of %d bytes", total, budget)
}

// rule is what no source may have; planted is a text that it must catch.
type rule struct {
	name    string
	pattern *regexp.Regexp
	in      string // the kind of file; empty: all
	planted string
}

var rules = []rule{
	{"markup made of data", regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTMLUnsafe|createContextualFragment|DOMParser`), "", "a.innerHTML = job.name"},
	{"code made of data", regexp.MustCompile(`\beval\b|new Function|set(?:Timeout|Interval)\(\s*['"\x60]|javascript:`), "", `setTimeout("go()", 1)`},
	{"a host of others", regexp.MustCompile(`(?i)\b(?:https?|wss?):\/\/[a-z0-9]`), "", `import "https://cdn.example.org/x.js"`},
	{"a host of others, by the page's scheme", regexp.MustCompile("(?i)[\"'(`]//[a-z0-9]"), "", `src="//cdn.example.org/x.js"`},
	{"style or code within markup", regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:\s[^>]*)?>\s*[^<\s]`), ".html", `<p style="color:red">`},
	{"a style attribute, which the policy refuses", regexp.MustCompile(`setAttribute\(\s*['"]style`), ".js", `e.setAttribute("style", x)`},
	{"a key of the browser's store that may hold a token", regexp.MustCompile(`(?i)(?:local|session)Storage[^\n]*token`), ".js", `localStorage.setItem("token", t)`},
}

// names are how SVG and its links are told from HTML; nothing is fetched from them.
var namespaces = strings.NewReplacer("http://www.w3.org/2000/svg", "")

func TestSources_when_searched_for_what_is_unsafe(t *testing.T) {
	for name, text := range sources(t) {
		for _, r := range rules {
			if r.in != "" && !strings.HasSuffix(name, r.in) {
				continue
			}
			if at := r.pattern.FindString(namespaces.Replace(text)); at != "" {
				t.Errorf("%s: %s: %s", name, r.name, at)
			}
		}
	}
	for _, r := range rules {
		if !r.pattern.MatchString(r.planted) {
			t.Errorf("%s: %q passed", r.name, r.planted)
		}
	}
}

var imported = regexp.MustCompile(`(?m)(?:^import\s+(?:[^'"]*\sfrom\s+)?|\bimport\(|^\}\s*from\s+)['"]([^'"]+)['"]`)

func TestModules_when_imports_are_followed(t *testing.T) {
	all := sources(t)
	used := map[string]bool{"index.html": true}
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		if link[1] == "#main" {
			continue
		}
		name, ok := strings.CutPrefix(link[1], "/")
		if _, there := all[name]; !ok || !there {
			t.Errorf("index.html: %s leads nowhere", link[1])
		}
		used[name] = true
	}
	for name, text := range all {
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			to, ok := strings.CutPrefix(m[1], "./")
			if _, there := all[to]; !ok || !there {
				t.Errorf("%s imports %s, which is not here", name, m[1])
			}
			used[to] = true
		}
		if strings.Contains(text, "import ") && strings.HasSuffix(name, ".js") && len(imported.FindAllString(text, -1)) == 0 {
			t.Errorf("%s: no import was found in a file that speaks of them", name)
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("%s: nothing uses it", name)
		}
	}
}

var (
	exported = regexp.MustCompile(`(?m)^export (?:async )?(?:function|class|const|let) (\w+)`)
	named    = regexp.MustCompile(`(?ms)^import \{([^}]*)\} from '\./([^']+)'`)
)

func TestModules_when_names_are_imported(t *testing.T) {
	all := sources(t)
	given := map[string][]string{}
	for name, text := range all {
		for _, m := range exported.FindAllStringSubmatch(text, -1) {
			given[name] = append(given[name], m[1])
		}
	}
	taken := 0
	for name, text := range all {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			for _, want := range strings.Split(m[1], ",") {
				want, _, _ = strings.Cut(strings.TrimSpace(want), " as ")
				if want == "" {
					continue
				}
				taken++
				if !slices.Contains(given[m[2]], want) {
					t.Errorf("%s imports %s, which %s does not export", name, want, m[2])
				}
			}
		}
	}
	if taken < 30 {
		t.Errorf("only %d names seen", taken)
	}
}

func TestIcons_when_named_by_modules(t *testing.T) {
	all := sources(t)
	var there []string
	for _, m := range regexp.MustCompile(`<symbol id="([a-z-]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		there = append(there, m[1])
	}
	seen := 0
	for name, text := range all {
		for _, m := range regexp.MustCompile(`\bicon(?:\('|: ')([a-z-]+)'`).FindAllStringSubmatch(text, -1) {
			seen++
			if !slices.Contains(there, m[1]) {
				t.Errorf("%s: no icon %s", name, m[1])
			}
		}
	}
	if seen < 10 || len(there) < 10 {
		t.Errorf("%d icons, named %d times", len(there), seen)
	}
}
