package main

import (
	"os"
	"os/exec"
	"path/filepath"
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
		if _, problems := job.Parse(path, text, job.Systems{Registry: all.Registry(), Stores: all.Stores()}, set); len(problems) > 0 {
			t.Errorf("%v", problems.Err())
		}
	}
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
