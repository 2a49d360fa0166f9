package arch

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// leaves may be used by everyone; each imports only those before it.
var leaves = []string{"clock", "limit", "secret", "position", "fault", "row", "option", "http1"}

// rooms is the layout: which of our own packages the code of a package may
// import. A key covers its sub-packages, the longest key counts; "leaves"
// stands for all of them, and "self" for the key and what lies below it. A
// package that no key covers is not in the layout.
var rooms = map[string][]string{
	"internal/arch": {},

	// the contracts
	"internal/connector": {"leaves"},
	"internal/store":     {"leaves"},
	"internal/codec":     {"leaves"},

	// their implementations
	"internal/store/s3":           {"leaves", "internal/store", "self"},
	"internal/store/local":        {"leaves", "internal/store", "internal/store/namesort", "internal/store/staged", "self"},
	"internal/store/hdfs":         {"leaves", "internal/store", "internal/store/namesort", "internal/store/staged", "self"},
	"internal/store/mem":          {"leaves", "internal/store", "self"},
	"internal/codec/text":         {"leaves", "internal/codec", "self"},
	"internal/codec/csv":          {"leaves", "internal/codec", "internal/codec/text", "self"},
	"internal/codec/json":         {"leaves", "internal/codec", "internal/codec/text", "self"},
	"internal/codec/parquet":      {"leaves", "internal/codec", "internal/codec/text", "self"},
	"internal/connector/mysql":    {"leaves", "internal/connector", "internal/connector/tlsmode", "internal/store", "internal/codec", "self"},
	"internal/connector/files":    {"leaves", "internal/connector", "internal/store", "internal/codec", "self"},
	"internal/connector/postgres": {"leaves", "internal/connector", "internal/connector/tlsmode", "self"},

	// what they share
	"internal/store/namesort":    {"leaves"},
	"internal/store/staged":      {"leaves", "internal/store"},
	"internal/connector/tlsmode": {"leaves"},

	// the one line per system
	"internal/connector/all": {"leaves", "internal/connector", "internal/store", "internal/codec"},

	// what must hold for any implementation
	"internal/store/powerfs":        {"leaves", "internal/store", "internal/store/local", "self"},
	"internal/store/storetest":      {"leaves", "internal/store", "internal/store/local", "internal/store/powerfs"},
	"internal/codec/codectest":      {"leaves", "internal/codec"},
	"internal/connector/sourcetest": {"leaves", "internal/connector", "test"},
	"internal/connector/sinktest":   {"leaves", "internal/connector", "internal/store", "internal/codec"},
	"internal/engine/enginetest":    {"leaves", "internal/engine", "internal/job"},

	// what of a table reaches a sink
	"internal/expression": {"leaves"},
	"internal/route":      {"leaves", "internal/connector", "internal/expression"},

	// what is asked, when and where, what moves it
	"internal/job":            {"leaves", "internal/connector", "internal/store", "internal/transfer/selection", "internal/route"},
	"internal/job/allow":      {"leaves", "internal/job"},
	"internal/plan":           {"leaves", "internal/connector", "internal/job"},
	"internal/watch":          {"leaves", "internal/job"},
	"internal/engine":         {"clock", "limit", "secret", "position", "fault", "option", "internal/job", "internal/watch", "self"},
	"internal/flow":           {"leaves", "internal/connector", "internal/watch", "internal/route"},
	"internal/transfer":       {"leaves", "internal/store", "internal/watch", "self"},
	"internal/verify/objects": {"leaves", "internal/store", "internal/watch", "internal/transfer", "self"},
	"internal/verify/rows":    {"leaves", "internal/connector"},
	"internal/file":           {"leaves", "internal/store", "internal/connector", "internal/job", "internal/transfer", "internal/verify", "internal/engine", "internal/watch"},
	"internal/table":          {"leaves", "internal/connector", "internal/job", "internal/plan", "internal/flow", "internal/verify", "internal/engine", "internal/watch", "internal/route"},

	// what lives: its contract, its life, its face
	"internal/api":     {"internal/watch"},
	"internal/service": {"leaves", "self", "internal/api", "internal/connector", "internal/store", "internal/job", "internal/engine", "internal/watch"},
	"internal/server":  {"leaves", "self", "internal/api", "internal/service", "internal/watch"},
	"internal/cli":     {"leaves", "self", "internal/connector", "internal/job", "internal/plan", "internal/engine", "internal/watch", "internal/api", "internal/service", "internal/server"},

	"cmd":  {"*"},
	"test": {"*"},
}

// contracts are packages whose sub-packages are implementations: a rule that
// names one does not open those below it, unless they are named too.
var contracts = []string{"internal/connector", "internal/store", "internal/codec"}

// implementations are what a rule opens with its contract: a system may use any
// store and any codec, never another system.
var implementations = map[string][]string{
	"internal/connector/all":   {"internal/connector", "internal/store", "internal/codec"},
	"internal/connector/files": {"internal/store", "internal/codec"},
	"internal/connector/mysql": {"internal/store", "internal/codec"},
}

// modules says which packages may import a module of others. Modules not named
// are refused outside test/; a _test.go file may import any.
var modules = map[string][]string{
	"github.com/go-mysql-org/go-mysql":         {"internal/connector/mysql"},
	"github.com/pingcap/tidb/pkg/parser":       {"internal/connector/mysql"},
	"github.com/goccy/go-yaml":                 {"internal/option", "internal/job"},
	"github.com/klauspost/compress":            {"internal/codec", "internal/connector", "internal/flow", "internal/transfer"},
	"github.com/minio/minio-go/v7":             {"internal/store/s3"},
	"github.com/jackc/pgx/v5":                  {"internal/connector/postgres"},
	"gopkg.in/ini.v1":                          {"internal/store/s3"},
	"github.com/colinmarc/hdfs/v2":             {"internal/store/hdfs"},
	"github.com/jcmturner/gokrb5/v8":           {"internal/store/hdfs"},
	"google.golang.org/protobuf":               {"internal/store/hdfs"},
	"github.com/zeebo/xxh3":                    {"internal/store", "internal/connector", "internal/codec", "internal/verify"},
	"github.com/expr-lang/expr":                {"internal/expression"},
	"github.com/spf13/cobra":                   {"internal/cli", "cmd"},
	"github.com/spf13/pflag":                   {"internal/cli"},
	"golang.org/x/sys":                         {"internal/store", "internal/cli", "internal/engine", "internal/service", "cmd"},
	"golang.org/x/term":                        {"internal/cli"},
	"golang.org/x/text":                        {"internal/connector/mysql", "internal/cli", "internal/transfer", "internal/verify"},
	"modernc.org/sqlite":                       {"internal/engine/local", "internal/transfer/name", "internal/service"},
	"github.com/oapi-codegen/runtime":          {"internal/api"},
	"github.com/prometheus/client_golang":      {"internal/server"},
	"github.com/getkin/kin-openapi":            {},
	"pgregory.net/rapid":                       {"internal/store/storetest", "internal/codec/codectest", "internal/connector/sourcetest", "internal/connector/sinktest"},
	"github.com/google/go-cmp":                 {"internal/store/storetest", "internal/codec/codectest", "internal/connector/sourcetest", "internal/connector/sinktest"},
	"go.uber.org/goleak":                       {"internal/connector/sourcetest", "internal/connector/sinktest"},
	"github.com/santhosh-tekuri/jsonschema/v6": {},
	"github.com/creack/pty":                    {},
}

// imports returns what breaks the import rules.
func imports(t *tree) []string {
	var problems []string
	for _, f := range t.files {
		key, ok := room(f.pkg)
		if !ok {
			problems = append(problems, f.path+": "+f.pkg+" is not in the layout")
			continue
		}
		for _, spec := range f.ast.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // does not compile either
			}
			if why := refused(f, key, target); why != "" {
				problems = append(problems, t.at(spec.Pos())+": "+why)
			}
		}
	}
	return problems
}

// refused says why f may not import target, or nothing.
func refused(f file, key, target string) string {
	ours, isOurs := strings.CutPrefix(target, module+"/")
	switch {
	case f.test || f.kitOrTool():
		return refusedInTests(f, ours, isOurs)
	case !isOurs && !strings.Contains(strings.Split(target, "/")[0], "."):
		return "" // the standard library
	case !isOurs:
		return refusedModule(f.pkg, target)
	case kit(ours) && !kit(f.pkg):
		return f.pkg + " imports the test kit " + ours
	case strings.HasPrefix(ours, "test/") && !slices.Contains(rooms[key], "test") && !slices.Contains(rooms[key], "*"):
		return f.pkg + " imports " + ours + ", which is for tests"
	case ours == f.pkg || mayImport(f.pkg, key, ours):
		return ""
	}
	return f.pkg + " may not import " + ours + ": " + key + " may import " + strings.Join(rooms[key], ", ")
}

// refusedInTests: tests may use what they need, but the engine's stay free of
// rows and systems.
func refusedInTests(f file, ours string, isOurs bool) string {
	if isOurs && strings.HasPrefix(f.pkg, "internal/engine") && (ours == "internal/row" || strings.HasPrefix(ours, "internal/connector")) {
		return f.pkg + " may not import " + ours + ", not even in tests"
	}
	return ""
}

func refusedModule(pkg, target string) string {
	for m, allowed := range modules {
		if !within(target, m) {
			continue
		}
		for _, a := range allowed {
			if within(pkg, a) {
				return ""
			}
		}
		return pkg + " may not import " + m + ": only " + strings.Join(allowed, ", ") + " may"
	}
	return pkg + " imports " + target + ", which is not among the modules in use"
}

func mayImport(pkg, key, target string) bool {
	leaf := strings.TrimPrefix(target, "internal/")
	if at := slices.Index(leaves, strings.TrimPrefix(pkg, "internal/")); at >= 0 {
		return slices.Contains(leaves[:at], leaf)
	}
	for _, rule := range rooms[key] {
		switch {
		case rule == "*", rule == target, rule == "self" && within(target, key):
			return true
		case rule == "leaves" && slices.Contains(leaves, leaf), slices.Contains(leaves, rule) && leaf == rule:
			return true
		case slices.Contains(contracts, rule):
			if slices.Contains(implementations[key], rule) && within(target, rule) {
				return true
			}
		case within(target, rule):
			return true
		}
	}
	return false
}

// room returns the longest key of rooms that covers pkg.
func room(pkg string) (string, bool) {
	if slices.Contains(leaves, strings.TrimPrefix(pkg, "internal/")) {
		return pkg, true
	}
	best, found := "", false
	for key := range rooms {
		if slices.Contains(contracts, key) && pkg != key {
			continue // an implementation needs a line of its own
		}
		if within(pkg, key) && len(key) >= len(best) {
			best, found = key, true
		}
	}
	return best, found
}

func within(pkg, key string) bool { return pkg == key || strings.HasPrefix(pkg, key+"/") }

// kit reports whether pkg is a conformance kit, such as internal/store/storetest,
// or what only kits use.
func kit(pkg string) bool {
	return pkg == "internal/store/powerfs" || strings.HasPrefix(pkg, "internal/") && strings.HasSuffix(path.Base(pkg), "test")
}
