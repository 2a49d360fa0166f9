// Package golden holds durable forms to what the version that made them wrote, so
// that no change of the code changes them unnoticed.
package golden

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write golden files anew")

// Same fails t unless got is what stands in a file, byte for byte. With -update it
// writes the file first: that is for a new form, or a new version of one.
func Same(t *testing.T, file string, got []byte) {
	t.Helper()
	Write(t, file, got)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("the durable form changed:\n%s\nwas\n%s", got, want)
	}
}

// Write writes a file when -update asks for it. It is for forms that may be written
// in other bytes and must still be read, such as packed ones.
func Write(t *testing.T, file string, got []byte) {
	t.Helper()
	if !*update {
		return
	}
	if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // it is part of the source
		t.Fatal(err)
	}
}
