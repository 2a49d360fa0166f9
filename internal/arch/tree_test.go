package arch

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"testing"
)

const module = "godwit"

// tree is the parsed source of the module. Folders with a go.mod of their own
// are other modules and not part of it.
type tree struct {
	set   *token.FileSet
	files []file
}

type file struct {
	path string // slash-separated, from the module's root
	pkg  string // its folder, "" for the root
	test bool   // a _test.go file
	text []byte
	ast  *ast.File
}

// kitOrTool reports whether f never becomes part of the binary: everything
// below test/.
func (f file) kitOrTool() bool { return strings.HasPrefix(f.pkg, "test/") }

func (t *tree) at(p token.Pos) string {
	at := t.set.Position(p)
	return fmt.Sprintf("%s:%d", at.Filename, at.Line)
}

func parse(root fs.FS) (*tree, error) {
	t := &tree{set: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(t.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !built(parsed) || ast.IsGenerated(parsed) {
			return nil
		}
		t.files = append(t.files, file{
			path: name, pkg: strings.TrimPrefix(path.Dir(name), "."), text: text, ast: parsed,
			test: strings.HasSuffix(name, "_test.go"),
		})
		return nil
	})
	return t, err
}

func skip(root fs.FS, dir string) error {
	base := path.Base(dir)
	if base == "testdata" || dir != "." && strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(dir, "go.mod")); err == nil && dir != "." {
		return fs.SkipDir
	}
	return nil
}

// built reports whether a file is compiled on this machine without tags.
func built(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			return true
		}
		for _, c := range group.List {
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				continue
			}
			return expr.Eval(func(tag string) bool {
				return tag == runtime.GOOS || tag == runtime.GOARCH || tag == "unix" || strings.HasPrefix(tag, "go1")
			})
		}
	}
	return true
}

// source parses the module that this test is part of.
func source(t *testing.T) *tree {
	t.Helper()
	parsed, err := parse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.files) < 20 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(parsed.files))
	}
	return parsed
}
