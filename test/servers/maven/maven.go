// Package maven fetches artifacts of Maven's central repository into the cache of
// the tests: servers that are published nowhere else. It needs mvn, and java for
// what it fetches.
package maven

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/test/servers/apt"
)

// Artifact is a thing to fetch, pinned.
type Artifact struct {
	Group, Name, Version string
	Type                 string // "": jar
	Classifier           string // "": none
}

// Set is what is fetched into one folder.
type Set struct {
	Name      string // of the folder, for people
	Artifacts []Artifact
	// Alone leaves out what the artifacts depend on.
	Alone bool
	// Fill makes the folder from the files that were fetched; nil: they are the folder.
	// They are removed afterwards.
	Fill func(files, folder string) error
	// Revision is part of the folder's name: raise it when Fill changes.
	Revision int
}

// Root returns the folder of s, which it makes on first use. Of several processes
// one fetches, the others wait.
func Root(ctx context.Context, s Set) (string, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %d", s.Artifacts, s.Alone, s.Revision))
	root := filepath.Join(apt.Cache(), fmt.Sprintf("%s-%x", s.Name, sum[:4]))
	return root, apt.Once(root, func(fresh string) error {
		if s.Fill == nil {
			return s.fetch(ctx, root+".repository", fresh)
		}
		files, err := os.MkdirTemp(apt.Cache(), s.Name+"-*.fetched")
		if err != nil {
			return err
		}
		defer os.RemoveAll(files)
		if err := s.fetch(ctx, root+".repository", files); err != nil {
			return err
		}
		return s.Fill(files, fresh)
	})
}

// fetch lets Maven copy the artifacts into a folder. Maven's own repository, where its
// plugins are too, is this set's alone, as no two of it may write one, and several sets are
// fetched side by side. It stays if not all could be fetched, for whoever tries again.
func (s Set) fetch(ctx context.Context, repository, folder string) error {
	if err := os.MkdirAll(repository, 0o755); err != nil {
		return err
	}
	pom := filepath.Join(repository, "pom.xml")
	if err := os.WriteFile(pom, []byte(s.project()), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-ntp", "-f", pom, "-Dmaven.repo.local="+repository,
		"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", "-DoutputDirectory="+folder, fmt.Sprintf("-DexcludeTransitive=%t", s.Alone))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn, for %s (needs maven): %w\n%s", s.Name, err, out)
	}
	return os.RemoveAll(repository)
}

func (s Set) project() string {
	var b strings.Builder
	b.WriteString(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>` +
		`<groupId>test</groupId><artifactId>test</artifactId><version>1</version><dependencies>`)
	for _, a := range s.Artifacts {
		fmt.Fprintf(&b, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>", a.Group, a.Name, a.Version)
		if a.Type != "" {
			fmt.Fprintf(&b, "<type>%s</type>", a.Type)
		}
		if a.Classifier != "" {
			fmt.Fprintf(&b, "<classifier>%s</classifier>", a.Classifier)
		}
		b.WriteString("</dependency>")
	}
	b.WriteString("</dependencies></project>\n")
	return b.String()
}
