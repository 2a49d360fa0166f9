package arch

import (
	"strings"
	"testing"
	"testing/fstest"
)

// rules is what the source is held to; each has planted breaches below.
var rules = map[string]func(*tree) []string{
	"imports": imports, "names": names, "sizes": sizes, "documents": documents, "hidden": hidden, "variables": variables,
}

func TestSource_when_read_as_a_whole(t *testing.T) {
	tree := source(t)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, p := range rule(tree) {
				t.Error(p)
			}
		})
	}
}

// breach is a file, the rule it breaks and what must be said of it.
type breach struct{ rule, path, text, want string }

var breaches = []breach{
	{"imports", "internal/util/x.go", "package util", "not in the layout"},
	{"imports", "internal/connector/oracle/x.go", "package oracle", "not in the layout"},
	{"imports", "internal/position/x.go", `package position; import "godwit/internal/row"`, "may not import internal/row"},
	{"imports", "internal/row/x.go", `package row; import "godwit/internal/connector"`, "may not import internal/connector"},
	{"imports", "internal/connector/x.go", `package connector; import "godwit/internal/connector/mysql"`, "may not import"},
	{"imports", "internal/connector/files/x.go", `package files; import "godwit/internal/connector/mysql"`, "may not import internal/connector/mysql"},
	{"imports", "internal/connector/mysql/x.go", `package mysql; import "godwit/internal/flow"`, "may not import internal/flow"},
	{"imports", "internal/connector/mysql/x.go", `package mysql; import "godwit/internal/job"`, "may not import internal/job"},
	{"imports", "internal/flow/x.go", `package flow; import "godwit/internal/connector/all"`, "may not import internal/connector/all"},
	{"imports", "internal/engine/x.go", `package engine; import "godwit/internal/row"`, "may not import internal/row"},
	{"imports", "internal/engine/local/x.go", `package local; import "godwit/internal/flow"`, "may not import internal/flow"},
	{"imports", "internal/engine/x_test.go", `package engine; import "godwit/internal/row"`, "not even in tests"},
	{"imports", "internal/job/x.go", `package job; import "godwit/internal/engine"`, "may not import internal/engine"},
	{"imports", "internal/cli/x.go", `package cli; import "godwit/internal/connector/mysql"`, "may not import internal/connector/mysql"},
	{"imports", "internal/flow/x.go", `package flow; import "godwit/internal/store/storetest"`, "test kit"},
	{"imports", "internal/store/local/x.go", `package local; import "godwit/internal/store/powerfs"`, "test kit"},
	{"imports", "internal/table/x.go", `package table; import "godwit/internal/connector/files"`, "may not import internal/connector/files"},
	{"imports", "internal/flow/x.go", `package flow; import "godwit/test/servers/mariadb"`, "for tests"},
	{"imports", "internal/flow/x.go", `package flow; import "github.com/spf13/cobra"`, "may not import github.com/spf13/cobra"},
	{"imports", "internal/row/x.go", `package row; import "example.org/x"`, "not among the modules in use"},
	{"names", "internal/store/helper/x.go", "package helper", "says nothing"},
	{"names", "internal/row/x.go", "package row; type batchManager struct{}", `"manager"`},
	{"names", "internal/row/x.go", "package row; type RowInfo struct{}", `"info"`},
	{"sizes", "internal/row/x.go", "package row\n" + strings.Repeat("\n", 801), "802 lines"},
	{"sizes", "internal/row/x.go", "package row\nfunc f() {" + strings.Repeat("\n", 80) + "}", "function f has 81 lines"},
	{"sizes", "internal/row/x.go", "package row; type I interface { a(); b(); c(); d(); e(); f(); g() }", "7 methods"},
	{"sizes", "internal/row/x.go", "package row; type i interface { a(); b(); c(); d(); e(); f(); g(); h(); i() }", "9 methods"},
	{"documents", "internal/row/x.go", "package row", "internal/row: no package comment"},
	{"documents", "internal/row/x.go", "package row\nfunc F() {}", "exported F"},
	{"documents", "internal/row/x.go", "package row\n// T is.\ntype T int\nfunc (*T) M() {}", "exported M"},
	{"documents", "internal/row/x.go", "package row\ntype T int", "exported T"},
	{"documents", "internal/row/x.go", "package row\nconst C = 1", "exported C"},
	{"hidden", "internal/row/x.go", "package row; func init() {}", "init function"},
	{"hidden", "internal/row/x_test.go", `package row; import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
	{"variables", "internal/row/x.go", "package row; var x int; func f() { x = 1 }", "is changed"},
	{"variables", "internal/row/x.go", "package row; import \"strings\"; var b strings.Builder; func f() { b.WriteByte(1) }", "has no value and is called"},
	{"variables", "internal/row/x.go", `package row; import "sync"; var p = sync.Pool{}`, "made to be changed"},
	{"variables", "internal/row/x.go", "package row; var m = make(map[int]int)", "made to be changed"},
	{"variables", "internal/row/x.go", "package row; var m = map[int]int{}; func f() { m[1] = 2 }", "is changed"},
	{"variables", "internal/row/x.go", "package row; var n = 1; func f() { n++ }", "is changed"},
	{"variables", "internal/row/x.go", "package row; type s struct{a int}; var v = s{}; func f() *int { return &v.a }", "is changed"},
	{"variables", "internal/row/x.go", "package row; var m = map[int]int{1: 2}; func f() { delete(m, 1) }", "is changed"},
}

func TestRules_when_broken_on_purpose(t *testing.T) {
	for _, b := range breaches {
		parsed, err := parse(fstest.MapFS{b.path: {Data: []byte(b.text)}})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(rules[b.rule](parsed), "\n")
		if !strings.Contains(got, b.want) {
			t.Errorf("%s: %s\n%.200s\nfound %q, must say %q", b.rule, b.path, b.text, got, b.want)
		}
	}
}

// What the rules must let pass.
var sound = map[string]string{
	"internal/row/a.go":                "// Package row is.\npackage row\nimport (\n\"errors\"\n\"godwit/internal/position\"\n)\n// ErrX is.\nvar ErrX = errors.New(\"x\")\nvar table = [...]int{1}\nvar _ error = ErrX\n// T is.\ntype T int\nfunc (T) String() string { return \"\" }\n",
	"internal/connector/files/a.go":    "// Package files is.\npackage files\nimport (\n_ \"godwit/internal/codec/csv\"\n_ \"godwit/internal/store\"\n_ \"godwit/internal/store/local\"\n)",
	"internal/connector/all/a.go":      "// Package all is.\npackage all\nimport _ \"godwit/internal/connector/mysql\"",
	"internal/engine/local/a.go":       "// Package local is.\npackage local\nimport (\n_ \"godwit/internal/engine\"\n_ \"godwit/internal/job\"\n_ \"modernc.org/sqlite\"\n)",
	"internal/row/table.go":            "package row\nfunc f() []int {\n\treturn []int{" + strings.Repeat("1,\n", 100) + "}\n}",
	"internal/flow/a_test.go":          "package flow\nimport _ \"godwit/internal/connector/sinktest\"\nvar count int",
	"internal/row/other.go":            "//go:build never\n\npackage row\nfunc init() {}",
	"test/e2e/a.go":                    "// Package e2e is.\npackage e2e\nimport \"time\"\nfunc wait() { time.Sleep(1) }",
	"test/tool/go.mod":                 "module other",
	"test/tool/helper.go":              "package helper; func init() {}",
	"internal/row/testdata/init/in.go": "package x; func init() {}",
}

func TestRules_when_kept(t *testing.T) {
	files := fstest.MapFS{}
	for path, text := range sound {
		files[path] = &fstest.MapFile{Data: []byte(text)}
	}
	parsed, err := parse(files)
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range rules {
		for _, p := range rule(parsed) {
			t.Errorf("%s: %s", name, p)
		}
	}
}
