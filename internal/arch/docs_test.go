package arch

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// broken returns links of the pages below root that lead to no file.
func broken(root fs.FS) ([]string, error) {
	var problems []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == "bin" || name != "." && strings.HasPrefix(path.Base(name), ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			target := path.Join(path.Dir(name), m[1])
			if _, err := fs.Stat(root, target); errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, name+": "+m[1]+" leads nowhere")
			}
		}
		return nil
	})
	return problems, err
}

func TestLinks_when_pages_name_files(t *testing.T) {
	problems, err := broken(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	planted, err := broken(fstest.MapFS{
		"docs/a.md": {Data: []byte("[b](b.md) [c](../c.md#part) [gone](gone.md) [out](https://example.org/x) [here](#here)")},
		"docs/b.md": {}, "c.md": {},
	})
	if err != nil || len(planted) != 1 || planted[0] != "docs/a.md: gone.md leads nowhere" {
		t.Errorf("planted link: %q, %v", planted, err)
	}
}
