package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

func (a *app) repairCommand() *cobra.Command {
	var confirm string
	c := &cobra.Command{
		Use:   "repair JOB",
		Short: "Make rows of a table job's sinks what the source has, after showing which",
		Example: `  godwit repair shop.yaml
  godwit repair shop.yaml --confirm shop-to-lake`,
		Long: `Repair compares as verify does, shows what differs, and asks. Then it writes only the rows that differ, whatever their
number, some thousands in a commit, and looks at them again. The job must not run. Rows that the source has changed since are left for the next run.`,
		Args: oneArg("the job file or the job's name"),
		RunE: func(c *cobra.Command, args []string) error { return a.repair(c.Context(), args[0], confirm) },
	}
	c.Flags().StringVar(&confirm, "confirm", "", "write without asking; it takes the job's `NAME`")
	a.actFlags(c)
	return c
}

type repairedLine struct {
	jobHead
	watch.RepairReport
}

func (a *app) repair(ctx context.Context, arg, confirm string) error {
	spec, err := a.readJob(ctx, arg)
	if err != nil {
		return err
	}
	if err := misnamed(confirm, spec.Name); err != nil { // told now, not when everything was read
		return err
	}
	r, ok := a.engine.(engine.Repairer)
	if !ok {
		return fault.New(fault.Usage, "jobs of kind %s cannot be repaired here", spec.Kind).At("%s", spec.File)
	}
	o, err := a.options(0, spec)
	if err != nil {
		return err
	}
	var w verifyWriter = &textVerify{w: a.out, spec: spec, c: a.outCol}
	if a.json {
		w = &jsonVerify{a: a, w: a.out, spec: spec}
	}
	o.Files = watch.NewFiles(watch.Options{Job: spec.Name})
	shown := a.showVerifying(spec, o.Files)
	found, done := int64(0), watch.RepairReport{}
	err = a.act(ctx, func(ctx context.Context) (err error) {
		defer shown()
		done, err = r.Repair(ctx, spec, o, func(d watch.Difference) error {
			d.Reason = a.hide(d.Reason)
			return w.difference(d)
		}, func(v watch.VerifyReport) error {
			shown()
			if found = v.Differences(); found == 0 {
				return w.end(v)
			}
			if err := w.end(v); err != nil {
				return err
			}
			return a.confirm(confirm, spec.Name, "writes rows that differ to the sinks of "+spec.Name+", and nothing else")
		})
		return err
	})
	if err != nil && done.Written > 0 {
		a.say(fmt.Sprintf("%s: %s written before it broke off", a.errCol.bold(clean(spec.Name)), plural(done.Written, "row")))
	}
	if err != nil || found == 0 {
		return err
	}
	return a.repaired(spec.Name, done)
}

// repaired tells what a repair did. What is still not equal is an error.
func (a *app) repaired(name string, r watch.RepairReport) error {
	if a.json {
		a.emit(repairedLine{a.jobHead("repaired", name), r})
	}
	t := tableReport(r.After)
	a.say(fmt.Sprintf("%s: %s written, %s left; looked at again: %s", a.errCol.bold(clean(name)), plural(r.Written, "row"), grouped(r.Left), verdict(t)))
	text := plural(r.Left, "row") + " left"
	if t.Differences() > 0 {
		text = differencesText(t)
	}
	if t.Differences() > 0 || r.Left > 0 {
		return fault.New(fault.DifferencesFound, "after the repair: %s", text).At("%s", name).
			Try("run the job and verify it again; what a repair cannot mend needs a resync of the table")
	}
	return nil
}
