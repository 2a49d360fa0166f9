package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// deed is something that is asked of jobs, or of tables.
type deed struct {
	word  string
	short string // of jobs
	undo  string // the deed that takes it back; empty: none
	why   string // a reason for it, as an example
}

var (
	actPause  = deed{"pause", "Let jobs rest: they finish their commits and keep their place", "resume", "the source is moved tonight"}
	actResume = deed{"resume", "Let jobs that were paused go on", "pause", "the source has moved"}
	actRetry  = deed{"retry", "Try again at once what failed or waits for its next attempt", "", "its disk has room again"}
	actStop   = deed{"stop", "Stop jobs and let go of what they hold", "start", "the source is moved tonight"}
	actStart  = deed{"start", "Start jobs that were stopped or have finished", "stop", "the source has moved"}
)

func (a *app) jobActCommand(d deed) *cobra.Command {
	var f filterFlags
	var all, yes bool
	var reason string
	c := &cobra.Command{
		Use:   d.word + " NAME…",
		Short: d.short,
		Example: fmt.Sprintf(`  godwit job %[1]s shop-to-lake --reason %[2]q
  godwit job %[1]s --group shop`, d.word, d.why),
		Long: "Jobs are given by their names, or chosen by --all or filters. What is chosen is shown first, and must be confirmed: on a terminal, or by --yes.",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}
			chosen := all || len(filter.Status) > 0 || filter.Q+filter.Group+filter.Template+string(filter.Desired)+string(filter.Kind) != ""
			switch {
			case len(args) > 0 && chosen:
				return fault.New(fault.Usage, "%s takes names or filters, not both", c.CommandPath()).Try("%s --help", c.CommandPath())
			case len(args) == 0 && !chosen:
				return fault.New(fault.Usage, "%s needs names of jobs, a filter or --all", c.CommandPath()).Try("%s", c.UseLine())
			case chosen:
				return a.actOnChosen(c.Context(), d, filter, reason, yes)
			case len(args) == 1:
				return a.actOnOne(c.Context(), d, args[0], api.Act{Act: api.ActAct(d.word), Reason: reason})
			}
			return a.actOnNamed(c.Context(), api.BulkAct{Act: api.BulkActAct(d.word), Names: args, Reason: reason})
		},
	}
	f.add(a, c)
	c.Flags().BoolVar(&all, "all", false, "all jobs of the server")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask for what is chosen by filters")
	reasonFlag(c, &reason)
	return a.onJobs(c)
}

func reasonFlag(c *cobra.Command, reason *string) {
	c.Flags().StringVar(reason, "reason", "", "why, a `TEXT` that is kept with it")
}

// actOnOne asks something of one job, or of tables of it.
func (a *app) actOnOne(ctx context.Context, d deed, name string, act api.Act) error {
	a.job = name
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		j, err := got(c.ActOnJobWithResponse(ctx, name, act))
		if err != nil {
			return err
		}
		if a.json {
			a.emit(jobLine{a.head(lineJob), *j})
			return nil
		}
		of := a.errCol.bold(clean(name))
		if n := len(act.Tables); n > 0 {
			of = plural(int64(n), "table") + " of " + of
		}
		next := "godwit job watch " + name
		if d.undo != "" && len(act.Tables) == 0 {
			next += "; back: godwit job " + d.undo + " " + name
		}
		a.say(of + ": asked to " + d.word + ". Next: " + next)
		return nil
	})
}

// actOnChosen shows what a filter chooses, asks, and acts on just that.
func (a *app) actOnChosen(ctx context.Context, d deed, filter api.Filter, reason string, yes bool) error {
	act := api.BulkAct{Act: api.BulkActAct(d.word), Filter: &filter, Preview: true, Reason: reason}
	var preview *api.BulkResult
	if err := a.ask(ctx, false, func(ctx context.Context, c *client) (err error) {
		preview, err = got(c.ActOnJobsWithResponse(ctx, act))
		return err
	}); err != nil {
		return err
	}
	a.showActs(d.word, preview)
	var names []string
	for _, r := range preview.Results {
		if r.Outcome == api.BulkResultResultsOutcomeWould {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		a.say("no job is chosen that this would change")
		return nil
	}
	if err := a.agree(yes, fmt.Sprintf("is to %s %s", d.word, plural(int64(len(names)), "job")), "--yes"); err != nil {
		return err
	}
	return a.actOnNamed(ctx, api.BulkAct{Act: act.Act, Names: names, Reason: reason})
}

func (a *app) actOnNamed(ctx context.Context, act api.BulkAct) error {
	return a.ask(ctx, act.Act == api.BulkActActDelete, func(ctx context.Context, c *client) error {
		r, err := got(c.ActOnJobsWithResponse(ctx, act))
		if err != nil {
			return err
		}
		a.showActs(string(act.Act), r)
		a.say(fmt.Sprintf("%d done, %d skipped, %d failed", r.Done, r.Skipped, r.Failed))
		for _, one := range r.Results {
			if one.Outcome == api.BulkResultResultsOutcomeFailed {
				return partly(r, one.Name, faultOf(one.Error))
			}
		}
		return nil
	})
}

// partlyError is an act on several jobs that failed for some of them.
type partlyError struct{ error }

func (e partlyError) Unwrap() error { return e.error }

// partly is the error of the first that failed; when others went well the whole is
// finished and not whole.
func partly(r *api.BulkResult, name string, first *fault.Error) error {
	if first == nil {
		first = fault.New(fault.Internal, "the server gives no reason")
	}
	first.What = fmt.Sprintf("%d of %s failed; the first is %s: %s", r.Failed, plural(int64(len(r.Results)), "job"), name, first.What)
	if r.Done > 0 {
		return partlyError{first}
	}
	return first
}

func (a *app) showActs(word string, r *api.BulkResult) {
	l := listing{head: []string{"NAME", "OUTCOME", "WHY"}, empty: "no job is chosen"}
	for _, one := range r.Results {
		if a.json {
			a.emit(jobActLine{a.jobHead(lineAct, one.Name), word, string(one.Outcome), one.Why, one.Error})
			continue
		}
		why := one.Why
		if one.Error != nil {
			why = one.Error.Code + ": " + one.Error.What
		}
		outcome := string(one.Outcome)
		if one.Outcome == api.BulkResultResultsOutcomeWould {
			outcome = "would " + word
		}
		l.rows = append(l.rows, []string{one.Name, outcome, why})
	}
	if !a.json {
		a.show(l)
	}
}

func (a *app) jobResyncCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "resync NAME TABLE…",
		Short: "Read tables again from their beginning, as a new generation",
		Example: `  godwit job resync shop-to-lake shop.orders
  godwit job resync shop-to-lake shop.orders shop.items --reason "repaired by hand"`,
		Args: jobAnd("tables of it", 2, 0),
		RunE: func(c *cobra.Command, args []string) error {
			return a.actOnOne(c.Context(), deed{word: "resync"}, args[0], api.Act{Act: api.ActActResync, Tables: args[1:], Reason: reason})
		},
	}
	reasonFlag(c, &reason)
	return a.onJob(c)
}

func (a *app) jobDeleteCommand() *cobra.Command {
	var reason string
	var yes bool
	c := &cobra.Command{
		Use:   "delete NAME…",
		Short: "Stop jobs and forget them; what they wrote stays",
		Example: `  godwit job delete shop-to-lake
  godwit job delete shop-to-lake shop-to-pg --confirm --reason "moved"`,
		Args: jobAnd("more of them", 1, 0),
		RunE: func(c *cobra.Command, args []string) error {
			what := fmt.Sprintf("stops %s (%s) and forgets file, versions and state; what was written stays", plural(int64(len(args)), "job"), clean(strings.Join(args[:min(len(args), 20)], ", ")))
			if err := a.agree(yes, what, "--confirm"); err != nil {
				return err
			}
			if len(args) > 1 {
				return a.actOnNamed(c.Context(), api.BulkAct{Act: api.BulkActActDelete, Names: args, Reason: reason})
			}
			return a.deleteOne(c.Context(), args[0], reason)
		},
	}
	c.Flags().BoolVar(&yes, "confirm", false, "it is meant; do not ask")
	reasonFlag(c, &reason)
	return a.onJobs(c)
}

func (a *app) deleteOne(ctx context.Context, name, reason string) error {
	a.job = name
	return a.ask(ctx, true, func(ctx context.Context, c *client) error {
		r, err := c.DeleteJobWithResponse(ctx, name, &api.DeleteJobParams{Reason: reason})
		if err := settled(r, err); err != nil {
			return err
		}
		a.acted("delete", name, "is gone; what it wrote stays")
		return nil
	})
}

// acted tells of an act that answers nothing.
func (a *app) acted(word, name, said string) {
	if a.json {
		a.emit(jobActLine{jobHead: a.jobHead(lineAct, name), Act: word, Outcome: "done"})
		return
	}
	a.say(a.errCol.bold(clean(name)) + " " + said)
}

func (a *app) jobResetCommand() *cobra.Command {
	var confirm, reason string
	c := &cobra.Command{
		Use:   "reset NAME",
		Short: "Make the next start of a stopped job read everything again",
		Example: `  godwit job reset shop-to-lake
  godwit job reset shop-to-lake --confirm shop-to-lake`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			a.job = name
			if err := a.confirm(confirm, name, "makes the next start read every table again"); err != nil {
				return err
			}
			return a.ask(c.Context(), true, func(ctx context.Context, c *client) error {
				r, err := c.ResetPositionsWithResponse(ctx, name, &api.ResetPositionsParams{Confirm: name, Reason: reason})
				if err := settled(r, err); err != nil {
					return err
				}
				a.acted("reset", name, "reads everything again when it starts: godwit job start "+name)
				return nil
			})
		},
	}
	c.Flags().StringVar(&confirm, "confirm", "", "the job's `NAME`")
	reasonFlag(c, &reason)
	return a.onJob(c)
}
