package main

import (
	"os"
	"testing"

	"godwit/internal/cli"
	"godwit/internal/connector/all"
	"godwit/internal/job"
)

// TestJobReference holds docs/job-reference.md to what the options say. Run with
// GODWIT_UPDATE=1 to write it anew.
func TestJobReference(t *testing.T) {
	const file = "../../docs/job-reference.md"
	want := cli.Reference(job.Systems{Registry: all.Registry(), Stores: all.Stores()})
	if os.Getenv("GODWIT_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatal("docs/job-reference.md is not what the options say: GODWIT_UPDATE=1 go test ./cmd/godwit")
	}
}
