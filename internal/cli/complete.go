package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// completeWait is how long a shell waits for names from a server.
const completeWait = 300 * time.Millisecond

// jobAnd accepts the name of a job and what rest says, least to most arguments in
// all; most 0: any number.
func jobAnd(rest string, least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && least > 0:
			return fault.New(fault.Usage, "%s needs the name of a job", c.CommandPath()).Try("%s", c.UseLine())
		case len(args) < least:
			return fault.New(fault.Usage, "%s needs %s after the name of a job", c.CommandPath(), rest).Try("%s", c.UseLine())
		case most > 0 && len(args) > most:
			return fault.New(fault.Usage, "%s takes the name of a job and %s, not also %q", c.CommandPath(), rest, clean(args[most])).Try("%s", c.UseLine())
		}
		return nil
	}
}

// agree asks a yes-or-no question on a terminal; no answer is no. Elsewhere the flag
// must say that it is meant.
func (a *app) agree(said bool, what, flag string) error {
	switch {
	case said:
		return nil
	case a.noInput || a.json || !isTerminal(a.p.In) || !a.scr.terminal():
		return fault.New(fault.ConfirmNeeded, "this %s", what).Try("say so with %s", flag)
	}
	a.scr.print("This "+what+".", "Go on? [y/N]:")
	line, err := bufio.NewReader(io.LimitReader(a.p.In, 1024)).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	if answer != "y" && answer != "yes" || err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.ConfirmNeeded, "not confirmed; nothing was done").Try("answer y, or say so with %s", flag)
	}
	return nil
}

// onJob completes the first argument with the names of jobs.
func (a *app) onJob(c *cobra.Command) *cobra.Command {
	c.ValidArgsFunction = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			// A file may follow, as in job edit.
			return nil, cobra.ShellCompDirectiveDefault
		}
		return a.jobNames(c.Context(), nil, begun), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// onJobs completes every argument with the names of jobs that are not there yet.
func (a *app) onJobs(c *cobra.Command) *cobra.Command {
	c.ValidArgsFunction = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		return a.jobNames(c.Context(), args, begun), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// jobNames asks the server for names. A server that does not answer at once has none.
func (a *app) jobNames(ctx context.Context, but []string, begun string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	c, err := a.client(false)
	if err != nil {
		return nil
	}
	defer c.wire.close()
	ctx, cancel := context.WithTimeout(ctx, completeWait)
	defer cancel()
	p, err := got(c.ListJobsWithResponse(ctx, &api.ListJobsParams{Q: begun, Sort: api.ListJobsParamsSortName, Limit: maxCompleted}))
	if err != nil {
		return nil
	}
	var out []string
	for _, j := range p.Items {
		if strings.HasPrefix(j.Name, begun) && !slices.Contains(but, j.Name) {
			out = append(out, j.Name)
		}
	}
	return out
}

// completeFiles completes job files.
func completeFiles(c *cobra.Command) {
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// completeWords completes the words of a flag, and of a list of them the last one.
func completeWords(c *cobra.Command, flag string, words []string) {
	err := c.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		at := strings.LastIndexByte(begun, ',') + 1
		var out []string
		for _, w := range words {
			if strings.HasPrefix(w, begun[at:]) {
				out = append(out, begun[:at]+w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic("cli: " + err.Error()) // the flag is not there
	}
}
