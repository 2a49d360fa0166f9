package main

import (
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector/all"
	"godwit/internal/job"
	"godwit/internal/option"
)

// Every job file under examples/ is one that godwit takes as it is.
func TestExamples_when_parsed(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	set := option.Resolver{
		Env:  func(string) (string, bool) { return "x", true },
		File: func(string) ([]byte, error) { return []byte("x"), nil },
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range jobsOf(t, path, text) {
			if _, problems := job.Parse(path, []byte(file), systems(), set); len(problems) > 0 {
				t.Errorf("%v", problems.Err())
			}
		}
	}
}

func systems() job.Systems { return job.Systems{Registry: all.Registry(), Stores: all.Stores()} }

// jobsOf are the job files that an example stands for: of a template one for each row
// of the values beside it.
func jobsOf(t *testing.T, path string, text []byte) (files []string) {
	t.Helper()
	if !strings.Contains(string(text), "\ntemplate: ") {
		return []string{string(text)}
	}
	template, problems := job.ParseTemplate(path, text, systems())
	if len(problems) > 0 {
		t.Fatal(problems.Err())
	}
	in, err := os.Open(strings.TrimSuffix(path, ".yaml") + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%d rows of values, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		values := map[string]string{}
		for i, cell := range row {
			if cell != "" {
				values[rows[0][i]] = cell
			}
		}
		r, problems := template.Render(values)
		if problems = template.Unknown(values).Merge(problems...); len(problems) > 0 {
			t.Error(problems.Err())
		}
		files = append(files, r.Text)
	}
	return files
}

// What make quickstart does, done whole.
func TestQuickstart_when_run(t *testing.T) {
	t.Chdir("../..")
	q := quickstart{began: time.Now(), godwit: filepath.Join(t.TempDir(), "godwit"), dir: t.TempDir(), password: "Regenpfeifer-5082", seed: uint64(time.Now().UnixNano())}
	if out, err := exec.Command("go", "build", "-o", q.godwit, "./cmd/godwit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := q.run(t.Context()); err != nil {
		t.Fatalf("seed %d: %v", q.seed, err)
	}
}
