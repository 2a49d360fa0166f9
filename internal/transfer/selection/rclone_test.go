package selection

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/store"
	"godwit/test/servers/rclone"
)

// casesWanted is how many keys are judged by the real tool at least.
const casesWanted = 10_000

// names and pieces are few, so that globs and keys meet often.
var (
	names  = []string{"a", "b", "ab", "abc", "a.txt", "b.txt", "a.jpg", "x1", "x22", "A", "é", "a b", "a+b", "a,b", "[a]", "{a}", "a*b", "^", "$a", "(b)"}
	pieces = []string{"a", "b", "ab", "*", "?", "*.txt", "*.{txt,jpg}", "[ab]", "[^a]", "[a-c]*", "x[0-9]", `x\d\d`, "{a,ab}", "{a,b{c,}}", "**", "a*", "*b", `\[a\]`, `\{a\}`, `a\*b`, "{{a|b}}", "a+b", "a,b", "^", "$a", "(b)", "é", "[[:alpha:]]", "*.t?t"}
)

func randomGlob(r *rand.Rand) string {
	parts := make([]string, 1+r.IntN(3))
	for i := range parts {
		parts[i] = pieces[r.IntN(len(pieces))]
	}
	glob := strings.Join(parts, "/")
	if r.IntN(3) == 0 {
		glob = "/" + glob
	}
	return glob
}

// tree makes files with random names below dir and returns their keys.
func tree(t *testing.T, r *rand.Rand, dir string, files int) []string {
	keys := map[string]bool{}
	for range files {
		parts := make([]string, 1+r.IntN(3))
		for i := range parts {
			parts[i] = names[r.IntN(len(names))]
		}
		key := strings.Join(parts, "/")
		name := filepath.Join(dir, key)
		if os.MkdirAll(filepath.Dir(name), 0o755) != nil {
			continue // a file is where the folder would be
		}
		if i, err := os.Stat(name); err == nil && i.IsDir() {
			continue
		}
		if err := os.WriteFile(name, make([]byte, r.IntN(30)), 0o644); err != nil {
			t.Fatal(err)
		}
		keys[key] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

// What is chosen agrees with what rclone lists by the same filters.
func TestSelection_when_rclone_judges(t *testing.T) {
	tool, err := rclone.Install(t.Context())
	if err != nil {
		t.Fatalf("rclone, which this test needs as its judge, cannot be had: %v", err)
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	keys := tree(t, r, dir, 400)
	cases, taken := 0, 0
	for cases < casesWanted {
		var rules Rules
		var args []string
		for range r.IntN(3) {
			g := randomGlob(r)
			rules.Exclude, args = append(rules.Exclude, g), append(args, "--filter", "- "+g)
		}
		for range r.IntN(3) {
			g := randomGlob(r)
			rules.Include, args = append(rules.Include, g), append(args, "--filter", "+ "+g)
		}
		if len(rules.Include) > 0 {
			// rclone leaves out whole folders by rules of its own making, which lose
			// b/a/x for "a/x"; not on stores without folders, and not when there is an
			// expression among the globs.
			args = append(args, "--filter", "+ {{no such name}}", "--filter", "- **")
		}
		if r.IntN(3) == 0 {
			rules.SizeMin, rules.SizeMax = int64(r.IntN(10)), int64(10+r.IntN(20))
			args = append(args, fmt.Sprintf("--min-size=%dB", rules.SizeMin), fmt.Sprintf("--max-size=%dB", rules.SizeMax))
		}
		cmd := exec.CommandContext(t.Context(), tool.Path, append([]string{"lsf", "-R", "--files-only", "--config", os.DevNull, dir}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		want := slices.Sorted(strings.Lines(string(out)))
		s := selected(t, rules)
		var got []string
		for _, k := range keys {
			i, err := os.Stat(filepath.Join(dir, k))
			if err != nil {
				t.Fatal(err)
			}
			if s.Chosen(store.Object{Key: k, Size: i.Size(), Modified: i.ModTime()}) {
				got = append(got, k+"\n")
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q\nchosen %q\nrclone %q", seed, args, got, want)
		}
		cases, taken = cases+len(keys), taken+len(got)
	}
	if taken < cases/50 || taken > cases*49/50 {
		t.Errorf("%d of %d were chosen: the cases do not test much", taken, cases)
	}
	t.Logf("%d cases, %d chosen", cases, taken)
}
