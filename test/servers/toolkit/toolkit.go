// Package toolkit runs pt-online-schema-change of the Percona Toolkit for tests: fetched
// on first use, run by the machine's own perl. A tool that cannot be had fails a test,
// it never skips one.
package toolkit

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/test/servers/apt"
	"godwit/test/servers/sqlserver"
)

// Change alters a table of a server as people do with pt-online-schema-change: a copy
// with the new shape is filled while triggers keep it up to date, and then takes the
// table's name. It returns what the tool printed; options are added to those it needs.
func Change(s *sqlserver.Server, database, table, alter string, options ...string) (string, error) {
	root, err := Install()
	if err != nil {
		return "", fmt.Errorf("no Percona Toolkit could be fetched: %w", err)
	}
	dsn := fmt.Sprintf("F=%s,S=%s,D=%s,t=%s", filepath.Join(s.Dir, "client.cnf"), s.Socket, database, table)
	args := append([]string{
		filepath.Join(root, "usr/bin/pt-online-schema-change"), "--alter", alter, "--execute",
		"--no-version-check", "--no-check-replication-filters", "--recursion-method=none", "--charset=utf8mb4",
	}, options...)
	cmd := exec.Command("perl", append(args, dsn)...)
	cmd.Env = append(apt.Env(root), "PERL5LIB="+strings.Join(found(root, "usr/share/perl5", "usr/lib/*/perl5/*"), ":"),
		"MARIADB_PLUGIN_DIR="+strings.Join(found(root, "usr/lib/*/libmariadb3/plugin"), ":"), "HOME="+s.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("pt-online-schema-change: %w\n%s", err, out)
	}
	return string(out), nil
}

// Install returns the folder with the tools, which are fetched on first use.
func Install() (folder string, err error) {
	return apt.Root(apt.Set{
		Name: "percona-toolkit",
		Packages: []apt.Package{
			{Name: "percona-toolkit", Version: "3.2.1-1", Series: "3."},
			{Name: "libdbd-mysql-perl"}, {Name: "libdbi-perl"}, {Name: "libmariadb3"}, {Name: "mysql-common"},
		},
	})
}

// found returns the paths below root that patterns match.
func found(root string, patterns ...string) (paths []string) {
	for _, pattern := range patterns {
		more, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well formed
		paths = append(paths, more...)
	}
	return paths
}
