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
	var out []string
	folder, err := a.stateFolder()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	entries, _ := os.ReadDir(folder) // none yet: nothing to complete
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), begun) && len(out) < maxCompleted {
			out = append(out, e.Name())
		}
	}
	return out, cobra.ShellCompDirectiveDefault
}

// forShell reports whether a command speaks to a shell, in the shell's words: what
// it completes may have --json in it.
func forShell(c *cobra.Command) bool {
	return c != nil && (c.Name() == cobra.ShellCompRequestCmd || c.Name() == cobra.ShellCompNoDescRequestCmd || c.HasParent() && c.Parent().Name() == "completion")
}

// isFile reports whether a job is given by its file and not by its name.
func isFile(given string) bool {
	_, err := os.Stat(given)
	return !errors.Is(err, fs.ErrNotExist) || strings.ContainsAny(given, "/.")
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
	return r, fault.New(fault.Usage, "there is no job file %q, and no job of that name has run with this state folder", clean(name)).
		At("%s", o.State).Try("%s", nearestOf(name, known[:min(len(known), 20)]))
}
