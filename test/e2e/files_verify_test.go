package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

func TestFiles_when_verified(t *testing.T) {
	j := newFileJob(t)
	j.fill(rand.New(rand.NewPCG(9, 9)), 200)
	j.put("in/one", []byte("a byte of this"))
	code, said := run(t, "x", j.args("run")...)
	want(t, code, said, 0)
	code, said = run(t, "x", "verify", j.path("job.yaml"), "--state", j.path("state"))
	want(t, code, said, 0, "equal", "201 objects")
	// The copy differs in one byte, is as large, and is newer than its source.
	j.put("out/one", []byte("a bite of this"))
	j.put("out/more", []byte("only here"))
	if err := os.Remove(j.path("in/one")); err != nil {
		t.Fatal(err)
	}
	j.put("in/one", []byte("a byte of this"))
	j.put("in/new", []byte("not copied yet"))
	code, said = run(t, "x", "verify", j.path("job.yaml"), "--state", j.path("state"))
	want(t, code, said, 4, "different", "one", "from offset 3 on", "missing", "new", "extra", "more", "error[DIFFERENCES_FOUND]")
	code, said = run(t, "x", "verify", "media-move", "--state", j.path("state"), "--format", "json")
	want(t, code, said, 4, `"kind":"different","key":"one"`, `"missing":1`, `"extra":1`, `"different":1`)
	if b := tree(t, j.path("out")); string(b["one"]) != "a bite of this" || string(b["more"]) != "only here" {
		t.Error("verify changed the target")
	}
}

func TestFiles_when_an_earlier_run_left_something_behind(t *testing.T) {
	j := newFileJob(t)
	j.put("in/one", []byte("x"))
	code, said := run(t, "x", j.args("run")...)
	want(t, code, said, 0)
	left := j.path("out/.godwit-staging/t-0123456789abcdef01234567")
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(left, []byte("half"), 0o600), os.Chtimes(left, old, old)); err != nil {
		t.Fatal(err)
	}
	code, said = run(t, "x", j.args("run")...)
	want(t, code, said, 0)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
