package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/watch"
)

// maxCompleted bounds how many job names a shell is given.
const maxCompleted = 200

// completeNames completes the names of jobs that have run with the state folder;
// where none fits, the shell completes files.
func (a *app) completeNames(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	folder, err := a.stateFolder()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return jobNames(folder, begun, maxCompleted), cobra.ShellCompDirectiveDefault
}

// jobNames are the names of jobs that have run with a state folder and begin with begun,
// at most that many; none where there is no such folder yet.
func jobNames(folder, begun string, most int) (out []string) {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), begun) && len(out) < most {
			out = append(out, e.Name())
		}
	}
	return out
}

// forShell reports whether a command speaks to a shell, in the shell's words: what
// it completes may have --json in it.
func forShell(c *cobra.Command) bool {
	return c != nil && (c.Name() == cobra.ShellCompRequestCmd || c.Name() == cobra.ShellCompNoDescRequestCmd || c.HasParent() && c.Parent().Name() == "completion")
}

// isFile reports whether a job is given by its file and not by its name. A folder that
// is called as a job is, as its target may be, is no file.
func isFile(given string) bool {
	if strings.ContainsAny(given, "/.") {
		return true
	}
	st, err := os.Stat(given)
	return err == nil && !st.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// maxKnown is how many names of jobs a message lists.
const maxKnown = 20

// noJob says that a word is neither a job file nor a job that has run with a state folder.
func noJob(given, state string, known []string) error {
	e := fault.New(fault.Usage, "there is no job file %q, and no job of that name has run with this state folder", clean(given)).At("%s", state)
	if len(known) == 0 {
		return e.Try("none has run yet: give the path of a job file; docs/tutorial.md has one to begin with")
	}
	return e.Try("%s", nearestOf(given, known[:min(len(known), maxKnown)]))
}

// statusNamed tells how one job of the state folder stands.
func (a *app) statusNamed(ctx context.Context, name string, o Options) (watch.StatusReport, error) {
	var r watch.StatusReport
	err := a.act(ctx, func(ctx context.Context) (err error) {
		r, err = a.engine.Status(ctx, nil, o)
		return err
	})
	if err != nil {
		return r, err
	}
	var known []string
	for _, j := range r.Jobs {
		if j.Job == name {
			return watch.StatusReport{Jobs: []watch.JobStatus{j}}, nil
		}
		known = append(known, j.Job)
	}
	slices.Sort(known)
	return r, noJob(name, o.State, known)
}
