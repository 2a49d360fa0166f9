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

// texts are the texts in the program below a folder, but for those of tests and of what
// is generated, with where they stand.
func texts(t *testing.T, root string, but ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		for _, name := range but {
			if err == nil && d.IsDir() && filepath.Base(path) == name {
				return filepath.SkipDir
			}
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".gen.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil && strings.Contains(text, "godwit ") {
					out[set.Position(l.Pos()).String()] = text
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
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
