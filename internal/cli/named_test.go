package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit/internal/job"
)

// TestCommands_when_others_name_them says that commands which the service and the server
// advise people to give are there.
func TestCommands_when_others_name_them(t *testing.T) {
	named := regexp.MustCompile(`godwit (job|template|tables|token|positions) ([a-z]+)`)
	a := newApp(newTry(t).p, job.Systems{}, nil)
	defer a.end()
	root := a.commands()
	found := 0
	for _, dir := range []string{"../service", "../server", "../engine"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range named.FindAllStringSubmatch(string(text), -1) {
				c, _, err := root.Find([]string{m[1]})
				if err != nil {
					t.Fatal(err)
				}
				if found++; !slices.Contains(names(c), m[2]) {
					t.Errorf("%s: godwit %s has no command %s; it has %s", file, m[1], m[2], strings.Join(names(c), ", "))
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands are named", found)
	}
}
