package hdfs

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"godwit/test/servers/apt"
)

// kinit is MIT's, which writes the ticket caches that users have.
var kinit = apt.Set{Name: "krb5-user", Packages: []apt.Package{{Name: "krb5-user"}}, Binaries: []string{"usr/bin/kinit"}}

// InstallKinit returns the folder with kinit, which is fetched on first use.
func InstallKinit() (folder string, err error) { return apt.Root(kinit) }

// Kinit puts a ticket of the user lark, which holds for a time, into a ticket cache of
// type FILE, as kinit does for people. The cluster must have Kerberos.
func (s *Server) Kinit(t testing.TB, cache string, life time.Duration) {
	t.Helper()
	root, err := InstallKinit()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/kinit"), "-k", "-t", s.Keytab(), "-c", "FILE:"+cache,
		"-l", fmt.Sprintf("%ds", int(life.Seconds())), "lark")
	cmd.Env = append(apt.Env(root), "KRB5_CONFIG="+s.Krb5())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kinit: %v\n%s", err, out)
	}
}
