package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"godwit/test/servers/apt"
	"godwit/test/servers/process"
)

// Series is the major version that Start starts.
const Series = "15"

const (
	pinned  = "15.20-0+deb12u1"
	account = "postgres"
	// secret is the password of the account; tests look for it where it must not be.
	secret = "Austernfischer-2290"
)

// install is where the server's programs are.
type install struct {
	series   string   // the major version, e.g. "15"
	bin      string   // folder with the programs
	root     string   // "" when installed on the machine
	version  string   // e.g. "15.20"
	template string   // a data folder ready to be copied
	as       *nobody  // who runs the server; nil: this user
	clients  *install // whose client programs are called; nil: its own
}

// nobody is a user of the machine without rights: PostgreSQL refuses to run as root.
type nobody struct{ uid, gid int }

// located finds the programs once per process: those of the machine when they are of
// the series, else packages unpacked into the cache.
var located = sync.OnceValues(locate)

func locate() (install, error) {
	in := install{series: Series, bin: "/usr/lib/postgresql/" + Series + "/bin"}
	if os.Getuid() == 0 {
		in.as = &nobody{65534, 65534}
	}
	var err error
	if in.version, err = in.serverVersion(); err != nil {
		if in.root, err = unpacked(in.as != nil); err != nil {
			return install{}, fmt.Errorf("no PostgreSQL %s on this machine and none could be fetched: %w", Series, err)
		}
		in.bin = filepath.Join(in.root, in.bin)
		if in.version, err = in.serverVersion(); err != nil {
			return install{}, err
		}
	}
	in.template = filepath.Join(apt.Cache(), "postgres-data-"+templateVersion+"-"+in.version)
	return in, apt.Once(in.template, in.initialize)
}

// unpacked returns the folder with the packages. The cache of root is closed to
// nobody, so that a copy of them lies where everyone can go.
func unpacked(open bool) (string, error) {
	root, err := apt.Root(packages())
	if err != nil || !open {
		return root, err
	}
	return opened(root)
}

// opened returns a copy of a folder of the cache where everyone can go.
func opened(root string) (string, error) {
	shared := filepath.Join(os.TempDir(), "godwit-"+filepath.Base(root))
	return shared, apt.Once(shared, func(fresh string) error {
		if out, err := exec.Command("cp", "-a", root+"/.", fresh).CombinedOutput(); err != nil {
			return fmt.Errorf("cp: %w: %s", err, out)
		}
		return os.Chmod(fresh, 0o755)
	})
}

func packages() apt.Set {
	set := apt.Set{Name: "postgres-" + Series}
	for _, name := range []string{"postgresql-15", "postgresql-client-15", "libpq5"} {
		set.Packages = append(set.Packages, apt.Package{Name: name, Version: pinned, Series: Series + "."})
	}
	for _, name := range []string{"postgres", "initdb", "psql", "pg_dump"} {
		set.Binaries = append(set.Binaries, "usr/lib/postgresql/"+Series+"/bin/"+name)
	}
	return set
}

func (in install) serverVersion() (string, error) {
	out, err := in.command("postgres", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("postgres --version: %w", err)
	}
	f := strings.Fields(string(out)) // postgres (PostgreSQL) 15.20 (Debian …)
	if len(f) < 3 || !strings.HasPrefix(f[2], in.series+".") {
		return "", fmt.Errorf("postgres --version printed %q", out)
	}
	return f[2], nil
}

// command makes a call of one of the server's programs.
func (in install) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(in.bin, name), args...)
	cmd.Env = os.Environ()
	if in.root != "" {
		cmd.Env = apt.Env(in.root)
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	return cmd
}

// unprivileged has cmd run as the user that the server runs as.
func (in install) unprivileged(cmd *exec.Cmd) *exec.Cmd {
	if in.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(in.as.uid), Gid: uint32(in.as.gid)}}
	}
	return cmd
}

// give makes the server's user the owner of a folder and all in it.
func (in install) give(dir string) error {
	if in.as == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, in.as.uid, in.as.gid))
	})
}

// templateVersion changes when initialize does, so that old templates are left.
const templateVersion = "1"

// initialize makes a data folder. It is made where the server's user can go, and
// copied.
func (in install) initialize(fresh string) error {
	dir, lock, err := process.Folder("godwit-postgres-")
	if err != nil {
		return err
	}
	defer lock.Close()
	defer os.RemoveAll(dir)
	word := filepath.Join(dir, "word")
	if err := os.WriteFile(word, []byte(secret+"\n"), 0o600); err != nil {
		return err
	}
	if err := in.give(dir); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	cmd := in.unprivileged(in.command("initdb", "-D", data, "-U", account, "--pwfile="+word, "-A", "scram-sha-256",
		"-E", "UTF8", "--locale=C", "--no-sync"))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(out))
	}
	return os.CopyFS(fresh, os.DirFS(data))
}

func tail(out []byte) []byte { return bytes.TrimSpace(out[max(0, len(out)-4000):]) }
