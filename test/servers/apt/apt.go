// Package apt fetches packages of the machine's own distribution for tests and
// unpacks them into a cache folder: nothing is installed and no rights are
// needed. It is used for real servers and for the tools godwit is measured
// against.
package apt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Package is one package of a Set.
type Package struct {
	Name string
	// Version is the one wanted. When the archive no longer serves it the newest
	// one that begins with Series is taken; both empty means the newest.
	Version, Series string
}

// Set is what is unpacked into one folder.
type Set struct {
	Name     string // names the folder, for people
	Packages []Package
	// Binaries are paths inside the folder whose shared libraries are fetched
	// too, where the machine lacks them.
	Binaries []string
}

// Cache returns the folder that keeps what tests fetch: $GODWIT_TEST_CACHE, or
// godwit-test in the user's cache folder. Several processes may use it at once.
func Cache() string {
	if dir := os.Getenv("GODWIT_TEST_CACHE"); dir != "" {
		return dir
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("godwit-test-%d", os.Getuid()))
	}
	return filepath.Join(base, "godwit-test")
}

// Root returns the folder with the packages of s, which it fetches on first
// use. A folder is complete or absent: it is made under another name, under a
// lock shared by all processes, and renamed.
func Root(s Set) (string, error) {
	root := filepath.Join(Cache(), s.Name+"-"+s.sum())
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	return root, Once(root, func(fresh string) error { return s.fill(fresh) })
}

// sum changes with everything that decides what is in the folder.
func (s Set) sum() string {
	h := sha256.Sum256(fmt.Appendf(nil, "%v %v", s.Packages, s.Binaries))
	return fmt.Sprintf("%x", h[:4])
}

// Once makes the folder path by fill, unless it exists. fill gets an empty
// folder beside it; of several processes one fills, the others wait.
func Once(path string, fill func(fresh string) error) error {
	return locked(path, func() error {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		fresh := path + ".new"
		if err := os.RemoveAll(fresh); err != nil {
			return err
		}
		if err := os.Mkdir(fresh, 0o755); err != nil {
			return err
		}
		if err := fill(fresh); err != nil {
			return errors.Join(err, os.RemoveAll(fresh))
		}
		return os.Rename(fresh, path)
	})
}

// locked calls f while nobody else, of this process or another, has path's lock.
func locked(path string, f func() error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

// Env returns the process's environment with the libraries unpacked under root
// on the search path.
func Env(root string) []string {
	dirs := libraries(root)
	if old := os.Getenv("LD_LIBRARY_PATH"); old != "" {
		dirs = append(dirs, old)
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(dirs, ":"))
}

// libraries are the folders with shared libraries. PulseAudio's has one that it finds
// by its absolute path, which it does not have here.
func libraries(root string) []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/pulseaudio"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well formed
		dirs = append(dirs, found...)
	}
	return dirs
}

func (s Set) fill(dir string) error {
	for _, tool := range []string{"apt-get", "dpkg", "ldd"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s: tests fetch packages with %s, which this machine has not: %w", s.Name, tool, err)
		}
	}
	err := s.fetch(dir, archive{})
	if err == nil {
		return nil
	}
	// The machine's package lists are missing or too old: fetch lists of our own.
	if clean := empty(dir); clean != nil {
		return errors.Join(err, clean)
	}
	lists := filepath.Join(Cache(), "apt-lists")
	return locked(lists, func() error { // sets that are fetched side by side share them
		own, updated := ownLists(lists)
		if updated != nil {
			return errors.Join(err, updated)
		}
		return s.fetch(dir, own)
	})
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (s Set) fetch(dir string, a archive) error {
	var want []string
	for _, p := range s.Packages {
		v, err := a.choose(p)
		if err != nil {
			return err
		}
		want = append(want, p.Name+"="+v)
	}
	if err := a.unpack(dir, want); err != nil {
		return err
	}
	for range 4 { // a fetched library may need others
		missing, err := s.missing(dir)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			return os.WriteFile(filepath.Join(dir, "packages"), []byte(strings.Join(want, "\n")+"\n"), 0o644)
		}
		var packages []string
		for _, soname := range missing {
			p, err := a.providing(soname)
			if err != nil {
				return err
			}
			packages = append(packages, p)
		}
		if err := a.unpack(dir, packages); err != nil {
			return err
		}
		want = append(want, packages...)
	}
	return fmt.Errorf("%s: shared libraries are still missing", s.Name)
}

// missing returns the names of the shared libraries that Binaries lack.
func (s Set) missing(dir string) ([]string, error) {
	var names []string
	for _, b := range s.Binaries {
		path := filepath.Join(dir, b)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: the packages have no %s", s.Name, b)
		}
		cmd := exec.Command("ldd", path)
		cmd.Env = Env(dir)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", path, err)
		}
		for line := range strings.Lines(string(out)) {
			if name, _, ok := strings.Cut(line, " => not found"); ok {
				names = append(names, strings.TrimSpace(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// archive is the distribution's archive as seen through one set of lists.
type archive struct{ options []string }

// ownLists updates package lists kept in dir, where no rights are needed.
func ownLists(dir string) (archive, error) {
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return archive{}, err
		}
	}
	a := archive{options: []string{
		"-o", "Dir::State=" + filepath.Join(dir, "state"),
		"-o", "Dir::State::lists=" + filepath.Join(dir, "state/lists"),
		"-o", "Dir::State::status=/var/lib/dpkg/status",
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
	}}
	_, err := a.run("", "apt-get", "update", "-q")
	return a, err
}

func (a archive) run(dir, tool string, args ...string) (string, error) {
	cmd := exec.Command(tool, append(slices.Clone(a.options), args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", tool, strings.Join(args, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return out.String(), nil
}

// versions lists what the archive serves of a package, newest first.
func (a archive) versions(name string) ([]string, error) {
	out, err := a.run("", "apt-cache", "madison", name)
	if err != nil {
		return nil, err
	}
	var versions []string
	for line := range strings.Lines(out) {
		if f := strings.Split(line, "|"); len(f) >= 3 {
			versions = append(versions, strings.TrimSpace(f[1]))
		}
	}
	return versions, nil
}

func (a archive) choose(p Package) (string, error) {
	served, err := a.versions(p.Name)
	if err != nil {
		return "", err
	}
	return p.pick(served)
}

// pick chooses among the versions served, newest first.
func (p Package) pick(served []string) (string, error) {
	if p.Version != "" && slices.Contains(served, p.Version) {
		return p.Version, nil
	}
	for _, v := range served {
		if strings.HasPrefix(v, p.Series) {
			return v, nil
		}
	}
	return "", fmt.Errorf("the package archive serves %s in versions %q, not %s nor another %s*", p.Name, served, p.Version, p.Series)
}

// providing returns the package that has a shared library.
func (a archive) providing(soname string) (string, error) {
	for _, name := range candidates(soname) {
		if served, err := a.versions(name); err == nil && len(served) > 0 {
			return name, nil
		}
	}
	return "", fmt.Errorf("no package found for shared library %s: tried %q", soname, candidates(soname))
}

// candidates are the packages that may have a shared library, by Debian's rule
// for naming them: libaio.so.1 is in libaio1 or, since the change to 64-bit
// times, libaio1t64; libglib-2.0.so.0 is in libglib2.0-0; names of packages are in
// small letters and without underscores, those of libraries need not be.
func candidates(soname string) []string {
	base, version, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(soname), "_", "-"), ".so.")
	major, _, _ := strings.Cut(version, ".")
	joint := ""
	if base != "" && base[len(base)-1] >= '0' && base[len(base)-1] <= '9' {
		joint = "-"
	}
	var names []string
	for _, name := range []string{base, strings.Replace(base, "-", "", 1)} {
		names = append(names, name+joint+major, name+joint+major+"t64")
	}
	return names
}

func (a archive) unpack(dir string, packages []string) error {
	debs, err := os.MkdirTemp(dir, "debs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(debs)
	if _, err := a.run(debs, "apt-get", append([]string{"download", "-q"}, packages...)...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) != len(packages) {
		return fmt.Errorf("apt-get download left %d files for %d packages", len(files), len(packages))
	}
	for _, f := range files {
		if _, err := (archive{}).run("", "dpkg", "-x", f, dir); err != nil {
			return err
		}
	}
	return nil
}
