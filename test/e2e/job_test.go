package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/test/servers/mariadb"
)

// job is a job file and its folders.
type job struct {
	t      testing.TB
	dir    string
	source string // of the source in flow style
	fields map[string]string
}

// newJob makes a job in a new folder that reads server.
func newJob(t testing.TB, server *mariadb.Server, fields ...string) *job {
	t.Helper()
	j := &job{t: t, dir: t.TempDir(), source: fmt.Sprintf("{address: \"%s\", user: %s, password: \"${env:E2E_PASSWORD}\"}", server.Addr(), server.User),
		fields: map[string]string{"tables": `["app.*"]`, "mode": "snapshot_and_changes", "until": "head", "roll": "{size: 64KiB, every: 1s}"}}
	for i := 0; i < len(fields); i += 2 {
		j.fields[fields[i]] = fields[i+1]
	}
	j.write("job.yaml")
	return j
}

func (j *job) lake() string  { return filepath.Join(j.dir, "lake") }
func (j *job) state() string { return filepath.Join(j.dir, "state") }
func (j *job) file() string  { return filepath.Join(j.dir, "job.yaml") }

// write writes the job file; a field whose value is "" is left out.
func (j *job) write(file string) string {
	j.t.Helper()
	var b strings.Builder
	name := j.fields["name"]
	if name == "" {
		name = "crossing"
	}
	fmt.Fprintf(&b, "name: %s\nsource:\n  mysql: %s\n", name, j.source)
	for _, k := range []string{"tables", "mode", "start", "until", "chunk_size", "parallel", "rules"} {
		if v := j.fields[k]; v != "" {
			fmt.Fprintf(&b, "%s: %s\n", k, v)
		}
	}
	url := j.fields["url"]
	if url == "" {
		url = "file://" + j.lake()
	}
	format := j.fields["format"]
	if format == "" {
		format = "csv"
	}
	fmt.Fprintf(&b, "sinks:\n  - name: lake\n    files: {url: \"%s\", format: %s, roll: %s%s}\n", url, format, j.fields["roll"], j.fields["files"])
	if v := j.fields["on_error"]; v != "" {
		fmt.Fprintf(&b, "    on_error: %s\n", v)
	}
	b.WriteString(j.fields["more sinks"])
	for _, other := range strings.Fields(j.fields["sinks"]) {
		fmt.Fprintf(&b, "  - name: %s\n    files: {url: \"file://%s\", roll: %s}\n", other, filepath.Join(j.dir, other), j.fields["roll"])
	}
	path := filepath.Join(j.dir, file)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		j.t.Fatal(err)
	}
	return path
}

// args are those of a run.
func (j *job) args(more ...string) []string {
	return append([]string{"run", j.file(), "--state", j.state(), "--json"}, more...)
}

func (j *job) set(key, value string) {
	j.t.Helper()
	j.fields[key] = value
	j.write("job.yaml")
}
