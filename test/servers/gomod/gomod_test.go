package gomod

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func module(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module other\n\ngo 1.26.0\n", "main.go": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuild_when_many_want_it_at_once(t *testing.T) {
	t.Setenv("GODWIT_TEST_CACHE", t.TempDir())
	dir := module(t, "package main\n\nfunc main() { println(greeting) }\n")
	if err := os.WriteFile(filepath.Join(dir, "tagged.go"), []byte("//go:build loud\n\npackage main\n\nconst greeting = \"HERE\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := Program{Name: "tool", Package: ".", Module: "other", Tags: []string{"loud"}}
	var built [3]Built
	var all sync.WaitGroup
	for i := range built {
		all.Go(func() {
			var err error
			if built[i], err = p.build(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	out, err := exec.Command(built[0].Path).CombinedOutput()
	if err != nil || string(out) != "HERE\n" {
		t.Errorf("%q, %v", out, err)
	}
	if built[0].Version == "" || built[0] != built[1] || built[1] != built[2] {
		t.Errorf("%v", built)
	}

	if _, err := (Program{Name: "tool", Package: ".", Module: "another", Tags: p.Tags}).build(t.Context(), dir); err == nil {
		t.Error("a binary without the module it is named for passed")
	}
	first, err := os.Stat(built[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.Stat(again.Path); err != nil || !os.SameFile(first, second) {
		t.Errorf("built anew: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module other\n\ngo 1.26.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if other, err := p.build(t.Context(), dir); err != nil || other.Path == again.Path {
		t.Errorf("other versions, the same binary: %s, %v", other.Path, err)
	}
}

func TestBuild_when_it_does_not_compile(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("GODWIT_TEST_CACHE", cache)
	_, err := Program{Name: "tool", Package: "."}.build(t.Context(), module(t, "package main\n\nfunc main() { no }\n"))
	if err == nil || !strings.Contains(err.Error(), "undefined: no") {
		t.Errorf("%v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "tool-*"))
	if err != nil || len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestModuleRoot_when_outside(t *testing.T) {
	inside, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(inside, "test/servers/gomod/gomod.go")); err != nil {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if dir, err := moduleRoot(); err == nil {
		t.Errorf("found %s", dir)
	}
}
