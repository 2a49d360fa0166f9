package transfer

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/mem"
	"godwit/internal/store/powerfs"
	"godwit/internal/transfer/carrier"
	"godwit/internal/transfer/page"
	"godwit/internal/transfer/selection"
)

// bucket is a store that takes any key.
func bucket() *mem.Store {
	return mem.New(mem.Options{Refuse: func(string) string { return "" }})
}

// ways are those in which objects get to a folder. hide takes the capabilities away
// that would be chosen before.
var ways = map[string]struct {
	hide     func(*local.Store) store.Store
	partSize int64
}{
	"batch": {hide: func(s *local.Store) store.Store { return s }},
	"put": {hide: func(s *local.Store) store.Store {
		return struct {
			store.Store
			store.Stat
			store.Timed
		}{s, s, s}
	}},
	"parts": {hide: func(s *local.Store) store.Store { return s }, partSize: 3},
}

// job copies a bucket to a folder, round after round.
type job struct {
	source    store.Store
	target    *local.Store
	way       string
	selection selection.Rules
}

// ended is how an object ended: its state, or the code it failed with.
type ended map[string]string

// round carries out one round and returns how each object of the source ended.
func (j *job) round(t *testing.T) ended {
	t.Helper()
	target := ways[j.way].hide(j.target)
	k := carrier.New(carrier.Config{Source: j.source, Target: target, Dir: t.TempDir(), PartSize: ways[j.way].partSize})
	dir := t.TempDir()
	if err := run(context.Background(), Config{Source: j.source, Target: target, Dir: dir, Selection: j.selection, Carry: k.Carry}); err != nil {
		t.Fatal(err)
	}
	if err := k.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	out := ended{}
	err := Walk(dir, func(_ Range, i page.Item, o *page.Outcome) error {
		out[i.Key] = string(o.State)
		if o.State == page.Failed {
			out[i.Key] = string(o.Code)
			if !strings.Contains(o.Error, ": ") {
				t.Errorf("%q: %s does not say why", i.Key, o.Error)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// holds checks that the target has exactly these objects, whole.
func (j *job) holds(t *testing.T, keys []string) {
	t.Helper()
	have, want := contents(t, j.target), contents(t, j.source)
	s, err := selection.New(j.selection)
	if err != nil {
		t.Fatal(err)
	}
	if len(have) != len(keys) {
		t.Errorf("%d objects, not %d: %.200q", len(have), len(keys), have)
	}
	for _, key := range keys {
		name, _ := s.Name(key)
		if got, ok := have[name]; !ok || got != want[key] {
			t.Errorf("%.80q: %q (there: %v), not %q", key, got, ok, want[key])
		}
	}
}

// names are keys of a bucket, and how they end where the target is a folder.
func names(root string) map[string]struct{ text, ends string } {
	const copied, refused, skipped = "copied", string(fault.NameRefused), "skipped"
	long := strings.Repeat("n", 255)
	longest := strings.Repeat(strings.Repeat("p", 200)+"/", 30)[:4095-len(root)-1]
	return map[string]struct{ text, ends string }{
		"plain":                 {"text", copied},
		"empty":                 {"", copied},
		"/slash first":          {"text", refused},
		"a//b":                  {"text", refused},
		"a///":                  {"text", refused},
		"./here":                {"text", refused},
		"up/../here":            {"text", refused},
		"../out":                {"text", refused},
		"..":                    {"text", refused},
		".":                     {"text", refused},
		"...":                   {"text", copied},
		"with\x00zero":          {"text", refused},
		"control\x01\x7f\n\t":   {"text", copied},
		"not UTF-8 \xff\xc3(":   {"text", copied},
		"colon: *?\"<>|\\":      {"text", copied},
		" spaces ":              {"text", copied},
		long:                    {"text", copied},
		long + "n":              {"text", refused},
		"folder/" + long + "n/": {"text", refused},
		longest:                 {"text", copied},
		longest + "p":           {"text", refused},
		"marker/":               {"", skipped},
		"marker/with/file":      {"text", copied},
		"marker/alone/":         {"", skipped},
		"/":                     {"", skipped},
		"marker of bytes/":      {"text", refused},
		".godwit-staging/x":     {"text", refused},
		".godwit-staging":       {"text", refused},
	}
}

func TestRun_when_keys_of_a_bucket_go_to_a_folder(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			root := t.TempDir() + "/out"
			target, err := local.New(local.OS{}, root, local.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			j := &job{source: bucket(), target: target, way: way}
			var copied []string
			for key, n := range names(root) {
				put(t, j.source, key, n.text)
				if n.ends == "copied" {
					copied = append(copied, key)
				}
			}
			for round := range 2 {
				for key, got := range j.round(t) {
					want := names(root)[key].ends
					if want == "copied" && round > 0 {
						want = "same"
					}
					if got != want {
						t.Errorf("round %d: %.80q: %s, not %s", round, key, got, want)
					}
				}
				j.holds(t, copied)
				nothingBeside(t, root, copied)
			}
		})
	}
}

// nothingBeside checks that a folder has nothing but these files and the folders
// they are in, and that nothing got out of it.
func nothingBeside(t *testing.T, root string, files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+"/")
		if err != nil || path == root || name == ".godwit-staging" {
			return err
		}
		if d.IsDir() && !slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, name+"/") }) || !d.IsDir() && !slices.Contains(files, name) {
			t.Errorf("left: %.80q", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if around, err := os.ReadDir(filepath.Dir(root)); err != nil || len(around) != 1 {
		t.Errorf("beside the target: %v, %v", around, err)
	}
}

// Which of them is copied depends on which comes first; the other fails, round
// after round, and what is there stays.
func TestRun_when_one_key_is_a_folder_of_another(t *testing.T) {
	for way := range ways {
		target, err := local.New(local.OS{}, t.TempDir()+"/out", local.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		j := &job{source: bucket(), target: target, way: way}
		keys := []string{"both", "both/inner"}
		for _, key := range keys {
			put(t, j.source, key, "text of "+key)
		}
		for _, won := range []string{"copied", "same"} {
			got := j.round(t)
			there := slices.IndexFunc(keys, func(k string) bool { return got[k] == won })
			if there < 0 || got[keys[1-there]] != string(fault.NameRefused) {
				t.Fatalf("%s: %v", way, got)
			}
			j.holds(t, keys[there:there+1])
		}
	}
}

// fold ignores what file systems ignore.
func fold(name string) string { return norm.NFD.String(strings.ToLower(name)) }

func TestRun_when_the_target_folds_names(t *testing.T) {
	groups := [][]string{ // of each exactly one can be there
		{"Case.txt", "CASE.txt", "case.TXT"}, {"caf\u00e9", "cafe\u0301"}, {"File", "file/inner"},
		{"Album/1.jpg", "ALBUM/1.jpg"}, {"deep/A/b/1", "deep/a/b/2", "deep/A/B/1"},
	}
	prefix := selection.Rules{Rename: []selection.Rename{{From: "", To: "in/"}}}
	pattern := selection.Rules{Rename: []selection.Rename{{From: "^never", To: "used", Pattern: true}}}
	for way := range ways {
		for name, rules := range map[string]selection.Rules{"joined": {}, "joined under other names": prefix, "looked up": pattern} {
			t.Run(fmt.Sprint(way, " ", name), func(t *testing.T) {
				disk := powerfs.New()
				disk.Name(powerfs.Names{Fold: fold})
				target, err := local.New(disk.Process(), "/out", local.Options{})
				if err != nil {
					t.Fatal(err)
				}
				j := &job{source: bucket(), target: target, way: way, selection: rules}
				put(t, j.source, "alone", "text")
				for _, g := range groups {
					for _, key := range g {
						put(t, j.source, key, "text") // all alike: it must not count as there for that
					}
				}
				for _, won := range []string{"copied", "same", "same"} {
					got := j.round(t)
					there := []string{"alone"}
					for _, g := range groups {
						lost := 0
						for _, key := range g {
							switch got[key] {
							case won:
								there = append(there, key)
							case string(fault.NameClash):
								lost++
							}
						}
						if lost != len(g)-1 {
							t.Errorf("%q: %v", g, got)
						}
					}
					j.holds(t, there)
					// A new process knows nothing.
					if j.target, err = local.New(disk.Process(), "/out", local.Options{}); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
