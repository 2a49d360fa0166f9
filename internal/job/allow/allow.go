// Package allow says what a job may touch of the machine it runs on when somebody
// else wrote it: one that came to a server over the network. What it may is what the
// server was started with, and nothing by default.
//
// A refusal never tells whether the file or variable is there.
package allow

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// Rules are what a server was started with. The zero Rules allow nothing. Folders
// are absolute; links in them are followed anew at each question. They may be used
// concurrently.
type Rules struct {
	Env    []string // variables that ${env:NAME} may name (--allow-env)
	AllEnv bool     // it may name any
	// Secrets are folders (--secrets): of what ${file:PATH} may read, and of files
	// with keys and certificates.
	Secrets []string
	// Data are folders (--data): of all other paths in options, and of files with
	// keys and certificates too.
	Data []string
	// Ambient (--allow-ambient) lets a job use what nobody named: variables of cloud
	// services, files of the server's user, the role of its machine.
	Ambient bool
	// Closed are folders that no path may lie in or hold, whatever Data and Secrets
	// say: the server's state. /proc, /dev and /sys are closed in any case, and to
	// data so are the folders in Secrets.
	Closed []string
}

// Check returns what s would take of this machine and may not: one error for all
// (fault.NotAllowed), which names the first option, its place, and what the server
// would have to be started with. A job is checked when it comes, when it is edited,
// and each time it starts: links may have changed.
func (r Rules) Check(s *job.Spec) error {
	var ps option.Problems
	for _, u := range s.Values().Uses() {
		if p, refused := r.judge(u); refused {
			ps = append(ps, p)
		}
	}
	return ps.Merge().Err()
}

// What a server would have to be started with.
const (
	needsData    = "the server needs --data with a folder that it is in"
	needsSecrets = "the server needs --secrets with a folder that it is in"
)

// judge returns what is wrong with a use, if anything.
func (r Rules) judge(u option.Use) (p option.Problem, refused bool) {
	switch u.Machine {
	case option.DataPath:
		return judgePath(u, needsData, r.Data, slices.Concat(systemFolders, r.Closed, r.Secrets))
	case option.SecretPath:
		return judgePath(u, needsSecrets, slices.Concat(r.Secrets, r.Data), slices.Concat(systemFolders, r.Closed))
	case option.Ambient:
		p = u.Problem(fault.NotAllowed, "takes keys that are not in the job file but on the server's machine: its variables, files or role")
		p.Hint = "give the keys in the job file, best as references; else the server needs --allow-ambient"
		return p, !r.Ambient
	}
	p = u.Problem(fault.NotAllowed, "takes files wherever links lead, which no job of a server may")
	p.Hint = "leave it out, or take another of its values"
	return p, true
}

func judgePath(u option.Use, needs string, roots, closed []string) (p option.Problem, refused bool) {
	_, _, err := within(u.Path, roots, closed)
	if err == nil {
		return p, false
	}
	p = u.Problem(fault.NotAllowed, "%s %v", shown(u.Written), err)
	if errors.Is(err, errOutside) {
		p.Hint = needs
	}
	return p, true
}

// Resolver returns base, asked only for what the rules allow. Paths are absolute.
// What base.File reads is read here: it must be the file that was judged, whatever
// becomes of links meanwhile. A nil function of base refuses its kind.
func (r Rules) Resolver(base option.Resolver) option.Resolver {
	out := option.Resolver{Env: base.Env, Refuse: func(name string) error {
		if r.AllEnv || slices.Contains(r.Env, name) {
			return nil
		}
		return fault.New(fault.NotAllowed, "a job of this server may not use this variable").Try("the server needs --allow-env %s", name)
	}}
	if base.File != nil {
		out.File = r.read
	}
	return out
}

// read returns what a file below Secrets holds, up to a little more than a secret may.
func (r Rules) read(path string) ([]byte, error) {
	root, rest, err := within(path, r.Secrets, slices.Concat(systemFolders, r.Closed))
	if err == nil {
		return readBelow(root, rest)
	}
	f := fault.New(fault.NotAllowed, "%v", err)
	if errors.Is(err, errOutside) {
		f.Hint = needsSecrets
	}
	return nil, f
}

// Getenv returns the variables that stores and systems may ask for by themselves:
// none, and so nothing else of the machine either (store.Env.Getenv), unless
// Ambient is set.
func (r Rules) Getenv(base func(string) (string, bool)) func(string) (string, bool) {
	if r.Ambient {
		return base
	}
	return nil
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Valid returns what is wrong with the rules themselves (fault.Usage): a folder that
// is not there would be whatever somebody puts there later.
func (r Rules) Valid() error {
	for _, c := range r.Closed {
		if !filepath.IsAbs(c) {
			return fault.New(fault.Internal, "the closed folder %s is not an absolute path", shown(c))
		}
	}
	for _, name := range r.Env {
		if !variable.MatchString(name) {
			return fault.New(fault.Usage, "--allow-env %s: not the name of a variable", shown(name))
		}
	}
	for _, flag := range []struct {
		name            string
		folders, closed []string
	}{
		{"--secrets", r.Secrets, slices.Concat(systemFolders, r.Closed)},
		{"--data", r.Data, slices.Concat(systemFolders, r.Closed, r.Secrets)},
	} {
		for _, f := range flag.folders {
			if !filepath.IsAbs(f) {
				return fault.New(fault.Usage, "%s %s: expected an absolute path", flag.name, shown(f))
			}
			if err := open(f, flag.closed); err != nil {
				return fault.New(fault.Usage, "%s %s", flag.name, shown(f)).By(err)
			}
		}
	}
	return nil
}
