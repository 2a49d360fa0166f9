package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"godwit/internal/job"
	"godwit/internal/service"
)

// walk visits the files of the program below a folder, but for those of tests and what
// is generated.
func walk(t *testing.T, root string, but []string, visit func(*token.FileSet, *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains(but, filepath.Base(path)) {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".gen.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err == nil {
			visit(set, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// texts are the texts in the program below a folder, with where they stand.
func texts(t *testing.T, root string, but ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	walk(t, root, but, func(set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil && strings.Contains(text, "godwit ") {
					out[set.Position(l.Pos()).String()] = text
				}
			}
			return true
		})
	})
	return out
}

// named are the commands that a text names, word by word: up to what ends a command in a
// sentence.
func named(text string) (out [][]string) {
	for _, m := range regexp.MustCompile("godwit ([a-z][^,;:`()\n]*)").FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Fields(m[1]))
	}
	return out
}

// TestCommands_when_others_name_them says that commands which any part of the program
// advises people to give are there, with the flags that are named.
func TestCommands_when_others_name_them(t *testing.T) {
	a := newApp(newTry(t).p, job.Systems{}, nil)
	defer a.end()
	root := a.commands()
	found := 0
	for where, text := range texts(t, "..", "cli") {
		for _, words := range named(text) {
			if wrong := lacks(root, words); wrong != "" {
				t.Errorf("%s: godwit %s: %s", where, strings.Join(words, " "), wrong)
			}
			found++
		}
	}
	if found < 40 {
		t.Errorf("only %d commands are named", found)
	}
}

// prose are words after the program's name that are no command.
var prose = []string{"cannot", "carries", "command", "does", "knows", "makes", "moves", "prepared", "runs", "stops", "writes"}

// lacks says what of a command that is named is not there; empty: nothing.
func lacks(root *cobra.Command, words []string) string {
	if slices.Contains(prose, words[0]) {
		return ""
	}
	c, _, err := root.Find(words[:1])
	if err != nil || c == root {
		return "there is no such command"
	}
	rest := words[1:]
	if c.HasSubCommands() && c.Name() != "tables" {
		if len(rest) == 0 {
			return ""
		}
		sub, _, err := c.Find(rest[:1])
		if err != nil || sub == c {
			return "it has no such command; it has " + strings.Join(names(c), ", ")
		}
		c, rest = sub, rest[1:]
	}
	for _, w := range rest {
		if name, is := strings.CutPrefix(w, "--"); is && c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
			return "it has no flag --" + name
		}
	}
	return ""
}

// TestAdvice_when_jobs_live_on_a_server says that no advice of an engine names commands of
// godwit run where a job lives on a server, and that those it names instead are there.
func TestAdvice_when_jobs_live_on_a_server(t *testing.T) {
	a := newApp(newTry(t).p, job.Systems{}, nil)
	defer a.end()
	root := a.commands()
	file := regexp.MustCompile(`(godwit (?:run|retry|check|plan|report|status)\b[a-z -]*)%s`) // what stands for a job file
	ofRun := []string{"run", "retry", "check", "plan", "report", "status"}                    // verify: what comes next is said by godwit run alone
	found := 0
	for where, text := range texts(t, "..", "cli", "service", "server", "fault", "api") {
		text = file.ReplaceAllString(text, "${1}job.yaml")
		for _, kind := range []job.Kind{job.KindTables, job.KindFiles} {
			advice := service.Advice(text, "shop", kind)
			for _, words := range named(advice) {
				switch wrong := lacks(root, words); {
				case wrong != "":
					t.Errorf("%s: godwit %s: %s", where, strings.Join(words, " "), wrong)
				case slices.Contains(ofRun, words[0]), strings.Contains(advice, "job.yaml"):
					t.Errorf("%s: advice of godwit run under a server: %s", where, advice)
				}
			}
			if advice != text {
				found++
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d texts have advice", found)
	}
}

// TestFaults_when_a_store_fails says that errors which only somebody outside can mend say
// what to do where they are made.
func TestFaults_when_a_store_fails(t *testing.T) {
	hinted := []string{"TargetFailed", "TargetUnreachable", "NoTables"}
	found := 0
	for where, e := range faults(t, "..", "sinktest", "storetest", "powerfs") {
		if !slices.Contains(hinted, e.code) {
			continue
		}
		if found++; !e.hint {
			t.Errorf("%s: a %s without a hint", where, e.code)
		}
	}
	if found < 10 {
		t.Errorf("only %d are made", found)
	}
}

// made is an error where the program makes it.
type made struct {
	code string // as the program names it
	hint bool   // it has one
}

// faults are the errors with a code that the program below a folder makes.
func faults(t *testing.T, root string, but ...string) map[string]made {
	t.Helper()
	out := map[string]made{}
	walk(t, root, but, func(set *token.FileSet, file *ast.File) {
		tried := map[ast.Node]bool{} // what a Try ends
		ast.Inspect(file, func(n ast.Node) bool {
			call, _ := n.(*ast.CallExpr)
			if call == nil {
				return true
			}
			f, _ := call.Fun.(*ast.SelectorExpr)
			if f == nil {
				return true
			}
			tried[f.X] = tried[call] || f.Sel.Name == "Try"
			if pkg, _ := f.X.(*ast.Ident); pkg == nil || pkg.Name != "fault" || f.Sel.Name != "New" {
				return true
			}
			if code, _ := call.Args[0].(*ast.SelectorExpr); code != nil {
				out[set.Position(call.Pos()).String()] = made{code.Sel.Name, tried[call]}
			}
			return true
		})
	})
	return out
}
