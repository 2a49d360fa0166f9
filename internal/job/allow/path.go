package allow

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"godwit/internal/option"
)

// systemFolders show the insides of processes and devices, not files of data.
var systemFolders = []string{"/proc", "/dev", "/sys"}

// Why a path is refused. The texts go on from the path.
var (
	errForm    = errors.New("is not an absolute path without parts . and ..: a job of a server names files from the root on, and ~ has no meaning")
	errOutside = errors.New("is not in a folder that jobs of this server may use")
	errClosed  = errors.New("is, or holds, or is in a folder that is closed to jobs: the server's own, or one of the system (/proc, /dev, /sys)")
)

// within returns the folder of roots that path lies in, or is, and the way down from
// there, both with all links followed. closed are folders that the path may
// neither be, nor lie in, nor hold. Nothing is looked at but roots and what they lie in
// and hold, so that no answer tells of what lies elsewhere.
func within(path string, roots, closed []string) (root, rest string, err error) {
	if !plain(path) {
		return "", "", errForm
	}
	path = filepath.Clean(path)
	w := walk{closed: closed}
	start := ""
	for _, given := range roots {
		given = filepath.Clean(given)
		real, err := resolve(given)
		if err != nil {
			continue
		}
		w.known = append(w.known, given, real)
		if start == "" && below(path, given) {
			start, rest = real, path[len(given):]
		}
	}
	if start == "" {
		return "", "", errOutside
	}
	leads, err := follow(start, rest, w.may)
	if err != nil {
		return "", "", err
	}
	for i := 1; i < len(w.known); i += 2 {
		if !below(leads, w.known[i]) {
			continue
		}
		if touches(leads, closed) {
			return "", "", errClosed
		}
		rest, err = filepath.Rel(w.known[i], leads)
		return w.known[i], rest, err
	}
	return "", "", errOutside
}

// walk is where a path may lead on its way.
type walk struct {
	known  []string // folders, in pairs: as given, and where that leads
	closed []string
}

// may refuses a step that leaves the known folders and what they lie in, and one into
// a closed folder, where links are not what they seem (/proc/PID/root).
func (w walk) may(next string) error {
	if slices.ContainsFunc(w.closed, func(c string) bool { return below(next, filepath.Clean(c)) }) {
		return errClosed
	}
	if !slices.ContainsFunc(w.known, func(k string) bool { return below(next, k) || below(k, next) }) {
		return errOutside
	}
	return nil
}

// plain reports whether path means the same to everybody.
func plain(path string) bool {
	if !filepath.IsAbs(path) || strings.IndexByte(path, 0) >= 0 {
		return false
	}
	for part := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return true
}

// below reports whether path is folder or lies in it. Both are clean.
func below(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || rest[0] == filepath.Separator || strings.HasSuffix(folder, string(filepath.Separator)))
}

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// resolve returns where an absolute path leads.
func resolve(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", errForm
	}
	return follow(string(filepath.Separator), filepath.Clean(path), func(string) error { return nil })
}

// follow returns where path leads from the folder done. What is not there yet is taken
// as it stands: a target folder is made by the first write. may is asked before each
// step; its error ends the walk.
func follow(done, path string, may func(next string) error) (string, error) {
	const slash = string(filepath.Separator)
	rest := strings.Split(path, slash)
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		next := filepath.Join(done, part) // also of a part that is empty, or .. in a link
		if err := may(next); err != nil {
			return "", err
		}
		target, isLink, err := link(next)
		switch {
		case err != nil:
			return "", err
		case !isLink:
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("leads through too many links")
		}
		if filepath.IsAbs(target) {
			done = slash
		}
		rest = append(strings.Split(target, slash), rest...)
	}
	return done, nil
}

// link returns where the link at path points, and whether there is one.
func link(path string) (target string, isLink bool, err error) {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, errors.New("cannot be followed: " + bare(err).Error())
	case st.Mode()&fs.ModeSymlink == 0:
		return "", false, nil
	}
	target, err = os.Readlink(path)
	if err != nil {
		return "", false, errors.New("cannot be followed: " + bare(err).Error())
	}
	return target, true, nil
}

// touches reports whether path is a folder of closed, lies in one, or holds one. Names
// do not tell where a folder is mounted twice, or case does not count, so the folders
// themselves are compared too.
func touches(path string, closed []string) bool {
	for _, c := range closed {
		real, err := resolve(c)
		if err != nil {
			return true // nobody can say where it is
		}
		if below(path, real) || below(real, path) || above(path, real) || above(real, path) {
			return true
		}
	}
	return false
}

// above reports whether folder is the same as path or as a folder that path lies in,
// as far as both are there.
func above(path, folder string) bool {
	f, err := os.Stat(folder)
	if err != nil {
		return false
	}
	for p := path; ; p = filepath.Dir(p) {
		if st, err := os.Stat(p); err == nil && os.SameFile(st, f) {
			return true
		}
		if p == filepath.Dir(p) {
			return false
		}
	}
}

// open returns why a folder cannot be one that jobs may use.
func open(folder string, closed []string) error {
	st, err := os.Stat(folder)
	if err != nil {
		return bare(err)
	}
	if !st.IsDir() {
		return errors.New("it is not a folder")
	}
	leads, err := resolve(folder)
	if err != nil {
		return err
	}
	for _, c := range closed {
		if real, err := resolve(c); err == nil && (below(leads, real) || above(leads, real)) {
			return errors.New("it is in " + strconv.Quote(c) + ", which is closed to jobs: nothing could be used")
		}
	}
	return nil
}

// readBelow reads the file rest of the folder root. No link put there meanwhile
// leads out of it, and no pipe holds it up.
func readBelow(root, rest string) ([]byte, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, bare(err)
	}
	defer dir.Close()
	f, err := dir.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	text, err := io.ReadAll(io.LimitReader(f, option.MaxBytes+1))
	if err != nil {
		return nil, bare(err)
	}
	return text, nil
}

// bare is the reason of an error that names a path.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// shown quotes a text of a job, cut to a length that a message can bear.
func shown(text string) string {
	const most = 120
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
