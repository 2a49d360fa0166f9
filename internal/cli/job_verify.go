package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// verifyAgain is how often a verification is asked for that is waited for.
const verifyAgain = time.Second

// verifyFlags are those of job verify.
type verifyFlags struct {
	wait, last, cancel bool
	reason, schedule   string
	scheduled          bool // --schedule was given
}

func (a *app) jobVerifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify NAME",
		Short: "Compare source and target of a job on the server, and change neither",
		Example: `  godwit job verify media-move --wait
  godwit job verify media-move --schedule "CRON_TZ=Europe/Berlin 0 4 * * sun"`,
		Long: `Verify begins a verification, which goes on by itself; with --wait it waits for its end and tells what was found, and ends with
exit code 4 when something is missing, extra, different, doubled, or cannot be compared. What a run moves meanwhile is no difference:
objects are judged again when the run is over, and rows are compared beside it. Differences raise an alarm, which holds until a later verification finds everything equal.`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			f.scheduled = c.Flags().Changed("schedule")
			return a.verifyThere(c.Context(), args[0], f)
		},
	}
	c.Flags().BoolVar(&f.wait, "wait", false, "wait for its end and tell what was found")
	c.Flags().BoolVar(&f.last, "last", false, "begin nothing: tell what the last one found; with --wait wait for the one that goes on")
	c.Flags().BoolVar(&f.cancel, "cancel", false, "begin nothing: break off the one that goes on")
	c.Flags().StringVar(&f.schedule, "schedule", "", "begin nothing now: verify the job by this `CRON` line, UTC or with CRON_TZ=ZONE before it; empty: no more")
	reasonFlag(c, &f.reason)
	return a.onJob(c)
}

func (a *app) verifyThere(ctx context.Context, name string, f verifyFlags) error {
	a.job = name
	n := 0
	for _, given := range []bool{f.last, f.cancel, f.scheduled} {
		if given {
			n++
		}
	}
	switch {
	case n > 1 || f.wait && (f.cancel || f.scheduled):
		return fault.New(fault.Usage, "--last, --cancel and --schedule are acts of their own; only --last goes with --wait").Try("godwit job verify --help")
	case f.cancel:
		return a.cancelVerification(ctx, name, f.reason)
	case f.scheduled:
		return a.scheduleVerification(ctx, name, f)
	}
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		if f.last {
			return a.tellLast(ctx, c, name, f.wait)
		}
		r, err := c.StartVerificationWithResponse(ctx, name, &api.StartVerificationParams{Reason: f.reason})
		if err := settled(r, err); err != nil {
			return err
		}
		if r.JSON202 == nil {
			return noneOfOurs(r)
		}
		if f.wait {
			return a.awaitVerification(ctx, c, name, r.JSON202.ID)
		}
		if a.json {
			a.emit(verificationLine{a.head(lineVerification), *r.JSON202})
		}
		a.say(fmt.Sprintf("%s: verification %d begins. Next: godwit job verify %s --last --wait", a.errCol.bold(clean(name)), r.JSON202.ID, name))
		return nil
	})
}

func (a *app) cancelVerification(ctx context.Context, name, reason string) error {
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		r, err := c.CancelVerificationWithResponse(ctx, name, &api.CancelVerificationParams{Reason: reason})
		if err := settled(r, err); err != nil {
			return err
		}
		a.acted("cancel verification", name, "is not verified any more; what was found before still holds")
		return nil
	})
}

// scheduleVerification says when a job is verified from now on.
func (a *app) scheduleVerification(ctx context.Context, name string, f verifyFlags) error {
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		j, err := c.job(ctx, name)
		if err != nil {
			return err
		}
		if _, err := got(c.EditJobWithResponse(ctx, name, api.EditRequest{Version: j.Version, VerifySchedule: &f.schedule, Reason: f.reason})); err != nil {
			return err
		}
		said := "is verified by the schedule " + clean(f.schedule)
		if f.schedule == "" {
			said = "is verified by no schedule any more"
		}
		a.acted("schedule verification", name, said)
		return nil
	})
}

// tellLast tells what the last verification found; wait: after the one that goes on.
func (a *app) tellLast(ctx context.Context, c *client, name string, wait bool) error {
	all, err := got(c.ShowVerificationWithResponse(ctx, name))
	switch {
	case err != nil:
		return err
	case wait && all.Current != nil:
		return a.awaitVerification(ctx, c, name, all.Current.ID)
	case all.Current != nil:
		a.say(currentText(*all.Current))
	}
	if all.Last == nil {
		return fault.New(fault.NotNow, "no verification of %s has ended yet", name).Try("godwit job verify %s --wait", name)
	}
	return a.tellVerification(*all.Last)
}

// currentText says how far a verification is.
func currentText(v api.Verification) string {
	out := fmt.Sprintf("%s: verification %d, %s", clean(v.Job), v.ID, v.State)
	if v.Compared != nil {
		out += ", " + objectsText(watch.Ended{Objects: v.Compared.Objects, Bytes: v.Compared.Bytes}) + " compared"
	}
	for _, k := range []struct {
		n    int64
		text string
	}{{v.Differing, "not equal"}, {v.Again, "to be judged again"}} {
		if k.n > 0 {
			out += ", " + grouped(k.n) + " " + k.text
		}
	}
	if v.WaitsFor != "" {
		out += "; waits for " + clean(v.WaitsFor)
	}
	return out
}

// awaitVerification waits for the end of a verification and tells of it. Whoever stops
// waiting does not stop it.
func (a *app) awaitVerification(ctx context.Context, c *client, name string, id int64) error {
	look := time.NewTicker(verifyAgain)
	defer look.Stop()
	for waits := ""; ; {
		all, err := got(c.ShowVerificationWithResponse(ctx, name))
		if err != nil {
			return err
		}
		if v := all.Current; v == nil || v.ID != id {
			return a.tellEnded(all, name, id)
		} else if v.WaitsFor != "" && v.WaitsFor != waits {
			waits = v.WaitsFor
			a.say(currentText(*v))
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellEnded tells of one of the verifications that have ended.
func (a *app) tellEnded(all *api.Verifications, name string, id int64) error {
	if all.Last != nil && all.Last.ID == id {
		return a.tellVerification(*all.Last)
	}
	for _, v := range all.Earlier {
		if v.ID == id {
			return a.tellVerification(v)
		}
	}
	return fault.New(fault.NotNow, "verification %d of %s is not kept any more", id, name).Try("godwit job verify %s --last", name)
}

// tellVerification tells of a verification that has ended. One that differs, or has no
// verdict, is an error.
func (a *app) tellVerification(v api.Verification) error {
	r := verifyReport(v)
	if a.json {
		for _, d := range v.Differences {
			a.emit(differenceLine{a.jobHead("difference", v.Job), d})
		}
		v.Differences = nil
		a.emit(verificationLine{a.head(lineVerification), v})
	} else if v.State == api.VerificationStateFinished {
		a.printVerification(v, r)
	}
	switch {
	case v.State == api.VerificationStateFailed && v.Error != nil:
		return faultOf(v.Error)
	case v.State != api.VerificationStateFinished:
		return fault.New(fault.NotNow, "verification %d of %s was %s: it has no verdict", v.ID, v.Job, v.State).Try("godwit job verify %s --wait", v.Job)
	case r.Differences() > 0:
		f := fault.New(fault.DifferencesFound, "%s", differencesText(r)).At("%s", v.Job)
		if r.Tables != nil {
			return f
		}
		return f.Try("godwit job start %s copies what is missing, newer or of another size; a copy that differs otherwise needs overwrite: always", v.Job)
	}
	return nil
}

func (a *app) printVerification(v api.Verification, r watch.VerifyReport) {
	w := textVerify{w: a.out, spec: &job.Spec{Name: v.Job}, c: a.outCol}
	for _, d := range v.Differences {
		if err := w.difference(d); err != nil {
			return // nobody reads it
		}
	}
	if left := r.Differences() - int64(len(v.Differences)); left > 0 && len(v.Differences) > 0 {
		a.print(fmt.Sprintf("… and %s more", grouped(left)))
	}
	if err := w.end(r); err != nil {
		return // nobody reads it
	}
	for _, n := range v.NotCompared {
		a.print(fmt.Sprintf("  not compared %s: %s", grouped(n.Objects), clean(n.Reason)))
	}
	a.print(fmt.Sprintf("  both sides as of %s to %s%s%s", stampOf(r.Started), stampOf(r.Ended), by(clean(v.By)), clean(because(v.Reason))))
}

// verifyReport is what was found as godwit verify has it.
func verifyReport(v api.Verification) watch.VerifyReport {
	r := watch.VerifyReport{
		Description: v.Way, Started: v.Started, Ended: v.Ended, Missing: v.Missing, Extra: v.Extra, Different: v.Different, NotComparable: v.NotComparable,
		Doubled: v.Doubled, Tables: v.Tables,
		Read: v.BytesRead, ExtraUnknown: v.NotLookedFor, Strength: v.Strength,
	}
	if v.Equal != nil {
		r.Equal = watch.Ended{Objects: v.Equal.Objects, Bytes: v.Equal.Bytes}
	}
	for _, p := range v.EqualBy {
		r.By = append(r.By, watch.Strength{By: p.By, Objects: p.Objects})
	}
	return r
}

// countedOf is what a verification of a job counts.
func countedOf(kind string) string {
	if kind == string(job.KindTables) {
		return "row"
	}
	return "object"
}

// verifiedText says in a few words what is known of a job's verifications; empty:
// nothing.
func verifiedText(j api.Job, now time.Time) string {
	v := j.Verification
	if v == nil {
		return ""
	}
	out := "never to its end"
	switch v.Verdict {
	case api.VerdictEqual:
		out = "equal, " + since(now, v.VerdictAt)
	case api.VerdictDifferent:
		out = fmt.Sprintf("%s not proven equal, %s: godwit job verify %s --last", plural(v.Differences, countedOf(string(j.Kind))), since(now, v.VerdictAt), j.Name)
	}
	if v.State != api.VerificationStateFinished {
		out += fmt.Sprintf("; verification %s is %s", strconv.FormatInt(v.ID, 10), v.State)
	}
	return out
}
