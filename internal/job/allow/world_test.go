package allow_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/connector/all"
	"godwit/internal/job"
	"godwit/internal/job/allow"
	"godwit/internal/option"
)

var systems = job.Systems{Registry: all.Registry(), Stores: all.Stores()}

// world is folders, some of which jobs may use. All names are below dir.
type world struct {
	dir   string
	rules allow.Rules
}

// newWorld makes, below a folder without links on its way:
//
//	data/in/file  data/store  data/state  data/keys  secrets/pw  outside/there  outside/file
//	data-like  secrets-like/pw
//
// data/state is the server's own, data/keys has secrets.
func newWorld(t *testing.T) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	w := world{dir: dir}
	for _, d := range []string{"data/in", "data/store", "data/state", "data/keys", "secrets", "outside/there", "data-like", "secrets-like"} {
		must(t, os.MkdirAll(w.at(d), 0o755))
	}
	w.write(t, "data/in/file", "a key\n")
	w.write(t, "secrets/pw", "hidden-inside\n")
	w.write(t, "data/keys/pw", "hidden-keys\n")
	for _, f := range []string{"outside/file", "secrets-like/pw", "data/state/serve.json"} {
		w.write(t, f, "hidden-outside\n")
	}
	w.rules = allow.Rules{Data: []string{w.at("data")}, Secrets: []string{w.at("secrets"), w.at("data/keys")}, Closed: []string{w.at("data/state")}}
	return w
}

func (w world) at(name string) string { return filepath.Join(w.dir, name) }

func (w world) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(w.at(name), []byte(text), 0o600))
}

func (w world) link(t *testing.T, target, name string) {
	t.Helper()
	must(t, os.Symlink(target, w.at(name)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quoted is text as a YAML string.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\x00", `\0`).Replace(text) + `"`
}

// fileJob is a job file whose source is store and whose list is a file in data.
func fileJob(store string) string {
	return "name: a\nkind: files\nsource: " + store + "\nsink: {s3: {bucket: media, endpoint: \"http://127.0.0.1:1\", credentials: anonymous}}\n"
}

// tableJob is a job file with further options of its source.
func tableJob(source string) string {
	return "name: a\nsource: {mysql: {user: u, " + source + "}}\ntables: [a.b]\nsinks: [{name: l, files: {s3: {bucket: lake, credentials: anonymous}}}]\n"
}

// submit is what a server does with a job file.
func submit(rules allow.Rules, text string, base option.Resolver) (*job.Spec, error) {
	s, problems := job.Parse("job.yaml", []byte(text), systems, rules.Resolver(base))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return s, rules.Check(s)
}

func mustSubmit(t *testing.T, rules allow.Rules, text string) *job.Spec {
	t.Helper()
	s, err := submit(rules, text, option.Resolver{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}
