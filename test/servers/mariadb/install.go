// Package mariadb starts real MariaDB servers for tests: fetched on first use,
// ready in under a second. A server that cannot be had fails a test, it never
// skips one.
package mariadb

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"godwit/test/servers/apt"
	"godwit/test/servers/sqlserver"
)

const (
	series  = "10.11"
	pinned  = "1:10.11.19-0+deb12u1"
	account = "root"
	// secret is the password of root; tests look for it where it must not be.
	secret = "Kustschnepfe-7141"
)

// Server is a running MariaDB.
type Server = sqlserver.Server

// Replay carries a server's log into another server.
type Replay = sqlserver.Replay

// Null is what Query gives for SQL NULL.
const Null = sqlserver.Null

// Start starts a server for t, with extra options of mariadbd, and stops it when
// t ends. It fails t when there is none to be had.
func Start(t testing.TB, extra ...string) *Server {
	t.Helper()
	m, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	return sqlserver.Start(t, m, extra...)
}

// Launch starts a server with extra options of mariadbd; the caller must Close it.
func Launch(extra ...string) (*Server, error) {
	m, err := Make()
	if err != nil {
		return nil, err
	}
	return sqlserver.Launch(m, extra...)
}

// NewReplay replays from into a fresh server, which nothing else may write.
func NewReplay(from, into *Server) *Replay { return sqlserver.NewReplay(from, into) }

// Command makes a call of one of the server's programs, such as mariadb-binlog.
// Those that connect are called with the server's Client.
func Command(name string, args ...string) (*exec.Cmd, error) {
	in, err := located()
	if err != nil {
		return nil, err
	}
	return in.command(name, args...)
}

// Tool is Command for a test.
func Tool(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := Command(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// Make returns what is known of MariaDB, which it fetches on first use.
func Make() (sqlserver.Make, error) {
	in, err := located()
	if err != nil {
		return sqlserver.Make{}, err
	}
	return sqlserver.Make{
		Name: "MariaDB", Version: strings.Fields(in.version)[2], Template: in.template, User: account, Password: secret,
		Server: "mariadbd", Client: "mariadb", Dump: "mariadb-dump", Binlog: "mariadb-binlog",
		Options: func(data string) []string {
			return append(in.base(data), "--gtid-strict-mode=ON", "--aria-pagecache-buffer-size=1M",
				"--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci")
		},
		DumpOptions: []string{"--single-transaction", "--skip-dump-date"},
		Command:     in.command,
	}, nil
}

// install is where the server's programs are.
type install struct {
	root     string // "" when installed on the machine
	version  string // what mariadbd prints
	template string // a data folder ready to be copied
}

// located finds the programs once per process: those of the machine when they
// are of the series, else packages unpacked into the cache.
var located = sync.OnceValues(locate)

func locate() (install, error) {
	in := install{}
	version, err := in.serverVersion()
	if err != nil || !strings.Contains(version, " "+series+".") {
		if in.root, err = apt.Root(packages()); err != nil {
			return install{}, fmt.Errorf("no MariaDB %s on this machine and none could be fetched: %w", series, err)
		}
		if version, err = in.serverVersion(); err != nil {
			return install{}, err
		}
	}
	in.version = version
	fields := strings.Fields(version)
	in.template = filepath.Join(apt.Cache(), "mariadb-data-"+templateVersion+"-"+strings.ReplaceAll(fields[2], "/", "_"))
	return in, apt.Once(in.template, in.bootstrap)
}

func packages() apt.Set {
	set := apt.Set{
		Name: "mariadb-" + series,
		Packages: []apt.Package{
			{Name: "mysql-common"},
		},
		Binaries: []string{"usr/sbin/mariadbd", "usr/bin/mariadb", "usr/bin/mariadb-binlog", "usr/bin/mariadb-dump"},
	}
	for _, name := range []string{"mariadb-server-core", "mariadb-server", "mariadb-client-core", "mariadb-client", "mariadb-common", "libmariadb3"} {
		set.Packages = append(set.Packages, apt.Package{Name: name, Version: pinned, Series: "1:" + series + "."})
	}
	return set
}

func (in install) serverVersion() (string, error) {
	cmd, err := in.command("mariadbd", "--no-defaults", "--version")
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mariadbd --version: %w: %s", err, bytes.TrimSpace(out))
	}
	if len(strings.Fields(string(out))) < 3 {
		return "", fmt.Errorf("mariadbd --version printed %q", out)
	}
	return string(out), nil
}

// command makes a call of one of the server's programs.
func (in install) command(name string, args ...string) (*exec.Cmd, error) {
	for _, dir := range []string{"usr/sbin", "usr/bin"} {
		path := filepath.Join("/", in.root, dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cmd := exec.Command(path, args...)
		if in.root != "" {
			cmd.Env = apt.Env(in.root)
		}
		return cmd, nil
	}
	return nil, fmt.Errorf("MariaDB's program %s is not in %s/usr", name, in.root)
}

// base has the options every call of mariadbd needs.
func (in install) base(data string) []string {
	share := filepath.Join("/", in.root, "usr/share/mysql")
	args := []string{
		"--no-defaults", "--datadir=" + data,
		// A server that starts removes what looks like its own old temporary
		// tables: servers that share a folder for them break each other.
		"--tmpdir=" + filepath.Dir(data),
		"--lc-messages-dir=" + share, "--character-sets-dir=" + share + "/charsets",
		"--plugin-dir=" + filepath.Join("/", in.root, "usr/lib/mysql/plugin"),
		"--innodb-log-file-size=8M", "--performance-schema=OFF",
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
	cmd, err := in.command("mariadbd", append(in.base(dir), "--bootstrap", "--innodb-fast-shutdown=0")...)
	if err != nil {
		return err
	}
	script, err := in.bootstrapScript()
	if err != nil {
		return err
	}
	cmd.Stdin = script
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("bootstrap of MariaDB's system tables: %w\n%s", err, tail(out))
	}
	return nil
}

// bootstrapScript joins the server's own scripts; the parser of --bootstrap
// takes one statement a line.
func (in install) bootstrapScript() (io.Reader, error) {
	var b bytes.Buffer
	b.WriteString("create database if not exists mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\n")
	for _, name := range []string{"mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"} {
		text, err := os.ReadFile(filepath.Join("/", in.root, "usr/share/mysql", name))
		if err != nil {
			return nil, err
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	b.WriteString("delete from global_priv where user='' or user='root';\nflush privileges;\n")
	for _, host := range []string{"localhost", "127.0.0.1"} {
		fmt.Fprintf(&b, "create user '%s'@'%s' identified by '%s';\ngrant all on *.* to '%s'@'%s' with grant option;\n",
			account, host, secret, account, host)
	}
	return &b, nil
}

func tail(out []byte) []byte {
	return bytes.TrimSpace(out[max(0, len(out)-4000):])
}
