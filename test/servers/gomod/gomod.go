// Package gomod builds programs of others from the Go module proxy into the
// cache of the tests: the tools godwit is measured against and compared with.
// What is built is pinned by a go.mod and a go.sum of the program's own, so that
// nothing of it enters godwit's.
package gomod

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/test/servers/apt"
)

// Program is one program and how it is built.
type Program struct {
	Name string // of the binary, and for people
	// Dir is the folder with the go.mod and go.sum, as seen from the root of
	// godwit's own module.
	Dir     string
	Package string // what is built, as seen from Dir
	Module  string // whose version counts
	Tags    []string
	Cgo     bool // it has parts in C: the machine needs a C compiler
}

// Built is a program that is there.
type Built struct {
	Path    string
	Version string // of Program.Module, as the binary itself says it
}

// Build returns the program, which it builds on first use: some minutes, and
// the sources of what it imports in Go's own caches. Of several processes one
// builds, the others wait. It must run within godwit's module.
func Build(ctx context.Context, p Program) (Built, error) {
	root, err := moduleRoot()
	if err != nil {
		return Built{}, err
	}
	return p.build(ctx, filepath.Join(root, p.Dir))
}

func (p Program) build(ctx context.Context, dir string) (Built, error) {
	sum, err := p.sum(dir)
	if err != nil {
		return Built{}, err
	}
	folder := filepath.Join(apt.Cache(), p.Name+"-"+sum)
	path := filepath.Join(folder, p.Name)
	if err := apt.Once(folder, func(fresh string) error { return p.compile(ctx, dir, filepath.Join(fresh, p.Name)) }); err != nil {
		return Built{}, fmt.Errorf("build %s: %w", p.Name, err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return Built{}, fmt.Errorf("%s: %w", path, err)
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == p.Module {
			return Built{Path: path, Version: m.Version}, nil
		}
	}
	return Built{}, fmt.Errorf("%s has nothing of the module %q", path, p.Module)
}

// sum changes with everything that decides what is built, but for the compiler.
func (p Program) sum(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %v %v\n", p.Package, p.Tags, p.Cgo)
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !(name == "go.sum" && errors.Is(err, os.ErrNotExist)) {
			return "", err
		}
		h.Write(text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:4]), nil
}

func (p Program) compile(ctx context.Context, dir, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-tags", strings.Join(p.Tags, ","), "-o", out, p.Package)
	cmd.Dir = dir
	// The flags of whoever builds godwit are not meant for this.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if p.Cgo {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text[max(0, len(text)-4000):])
	}
	return nil
}

// moduleRoot is found from the folder the process runs in: binaries may be
// built with -trimpath, and a module inside another cannot be embedded.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module godwit\n")) {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("not within godwit's module: its folder has the versions of the programs tests build")
		}
		dir = up
	}
}
