package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// editFlags are those of edit and rollback.
type editFlags struct {
	reason  string
	version int64
	preview bool
	yes     bool
}

func (f *editFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.reason, "reason", "", "why, a `TEXT` that is kept with the version")
	c.Flags().BoolVar(&f.preview, "preview", false, "only tell what would change")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
}

func (a *app) jobEditCommand() *cobra.Command {
	var f editFlags
	var from editFrom
	var note, group, schedule, verify string
	c := &cobra.Command{
		Use:   "edit NAME [FILE]",
		Short: "Give a job another file; tells first what each change does",
		Example: `  godwit job edit shop-to-lake job.yaml --reason "smaller files"
  godwit job edit shop-to-lake job.yaml --preview
  godwit job edit shop-07 --set host=db7.example`,
		Long: `Edit shows what each change does: taken over as it runs, restarts what it touches, plans anew, or reads a table again. It asks on
a terminal; elsewhere --yes must say that it is meant. A change that is refused changes nothing. With --version the edit counts
only if the job still has the version that was edited. A job of a template has its file from that: --set gives it other values, and a file by
hand needs --detach, after which the template is nothing to it.`,
		Args: from.args,
		RunE: func(c *cobra.Command, args []string) error {
			e := api.EditRequest{Version: f.version, Reason: f.reason}
			if err := from.request(&e); err != nil {
				return err
			}
			e.Note, e.Group = ifGiven(c, "note", &note), ifGiven(c, "group", &group)
			e.Schedule, e.VerifySchedule = ifGiven(c, "schedule", &schedule), ifGiven(c, "verify-schedule", &verify)
			if len(args) == 1 {
				return a.edit(c.Context(), args[0], e, f)
			}
			var err error
			if e.File, err = jobText(args[1]); err != nil {
				return err
			}
			return inFile(a.edit(c.Context(), args[0], e, f), args[1])
		},
	}
	f.add(c)
	from.add(a, c)
	c.Flags().Int64Var(&f.version, "version", 0, "the `N` that was edited (default: the one that lives now)")
	c.Flags().StringVar(&note, "note", "", "another `TEXT` for people; empty: none")
	c.Flags().StringVar(&group, "group", "", "another group, by its `NAME`; empty: none")
	c.Flags().StringVar(&schedule, "schedule", "", "another `CRON` line; empty: none")
	c.Flags().StringVar(&verify, "verify-schedule", "", "another `CRON` line by which source and target are compared; empty: none")
	return a.onJob(c)
}

// ifGiven is the value of a flag, nil where it was not given: an empty one takes away.
func ifGiven(c *cobra.Command, flag string, value *string) *string {
	if !c.Flags().Changed(flag) {
		return nil
	}
	return value
}

func (a *app) jobRollbackCommand() *cobra.Command {
	var f editFlags
	var detach bool
	c := &cobra.Command{
		Use:   "rollback NAME VERSION",
		Short: "Give a job the file of an earlier version again, as a new version",
		Example: `  godwit job rollback shop-to-lake 6 --reason "the smaller files were slower"
  godwit job rollback shop-to-lake 6 --preview`,
		Args: jobAnd("a version of it", 2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			back, err := versionOf(args[1], "godwit job versions "+args[0])
			if err != nil {
				return err
			}
			return a.edit(c.Context(), args[0], api.EditRequest{BackTo: back, Reason: f.reason, Detach: detach}, f)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&detach, "detach", false, "let a job of a template go on by itself with that file")
	return a.onJob(c)
}

// versionOf reads the number of a version; list is the command that lists them.
func versionOf(text, list string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Usage, "%q is no version: expected a number from 1 on", clean(text)).Try("%s lists them", list)
	}
	return n, nil
}

// edit shows what an edit does, asks, and does it. Nothing lives that was not shown:
// it counts only for the version it was shown for.
func (a *app) edit(parent context.Context, name string, e api.EditRequest, f editFlags) error {
	a.job = name
	var preview *api.EditResult
	err := a.ask(parent, true, func(ctx context.Context, c *client) error {
		if e.Version == 0 {
			j, err := c.job(ctx, name)
			if err != nil {
				return err
			}
			e.Version = j.Version
		}
		e.Preview = true
		var err error
		preview, err = got(c.EditJobWithResponse(ctx, name, e))
		return err
	})
	if err != nil {
		return err
	}
	a.showChanges(name, preview.Changes)
	if preview.Detached {
		a.say(clean(name) + " will belong to no template any more")
	}
	if err := refusedOf(name, preview.Changes); err != nil || f.preview {
		if err == nil && a.json {
			a.emit(jobEditLine{a.jobHead(lineEdit, name), preview.Version, len(preview.Changes), true, preview.Detached})
		}
		return err
	}
	if err := a.agree(f.yes, fmt.Sprintf("makes %s of the job file live", plural(int64(len(preview.Changes)), "change")), "--yes"); err != nil {
		return err
	}
	return a.ask(parent, true, func(ctx context.Context, c *client) error {
		e.Preview = false
		r, err := got(c.EditJobWithResponse(ctx, name, e))
		if err != nil {
			return err
		}
		if a.json {
			a.emit(jobEditLine{a.jobHead(lineEdit, name), r.Version, len(r.Changes), false, r.Detached})
		}
		a.say(fmt.Sprintf("%s has version %d now. Back: godwit job rollback %s %d", a.errCol.bold(clean(name)), r.Version, name, e.Version))
		return nil
	})
}

// refusedOf is the error of a preview with a change that is refused.
func refusedOf(name string, changes []api.Change) error {
	for _, c := range changes {
		if c.Does == api.ChangeDoesRefused {
			return fault.New(fault.JobEdit, "%s: %s", c.Field, c.Why).At("%s", name).Try("leave it as it was, or submit it as another job")
		}
	}
	return nil
}

func (a *app) showChanges(name string, changes []api.Change) {
	switch {
	case a.json:
		a.emitChanges(name, changes)
	case isTerminal(a.out):
		if len(changes) == 0 {
			a.print("nothing changes in the job file")
		}
		a.print(changeLines(changes, a.outCol)...)
	default:
		for _, c := range changes {
			a.print(tsv(c.Field, c.From, c.To, c.Effect, string(c.Does), c.Why))
		}
	}
}

func (a *app) emitChanges(name string, changes []api.Change) {
	for _, c := range changes {
		a.emit(jobChangeLine{a.jobHead(lineChange, name), c})
	}
}

// changeLines shows changes of a job file to people, the refused ones last.
func changeLines(changes []api.Change, c colours) []string {
	var out, last []string
	for _, x := range changes {
		does := string(x.Does)
		if does == "" {
			does = x.Effect
		}
		line := " ~ " + wordColour(c, pad(does, 11)) + " " + clean(x.Field) + ": " + orNone(x.From) + " → " + orNone(x.To)
		if x.Why != "" {
			line += " (" + clean(x.Why) + ")"
		}
		if x.Does == api.ChangeDoesRefused {
			last = append(last, line)
			continue
		}
		out = append(out, line)
	}
	return append(out, last...)
}

func (a *app) jobVersionsCommand() *cobra.Command {
	return a.onJob(&cobra.Command{
		Use:   "versions NAME",
		Short: "List the versions of a job's file, newest first",
		Example: `  godwit job versions shop-to-lake
  godwit job versions shop-to-lake --json`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				items, err := c.versions(ctx, args[0])
				if err != nil {
					return err
				}
				l := listing{head: []string{"VERSION", "AT", "BY", "CHANGES", "REASON"}, plain: [][]string{}, empty: "no version is kept"}
				for _, v := range items {
					if a.json {
						a.emit(jobVersionLine{a.jobHead(lineVersion, args[0]), v})
						continue
					}
					n := strconv.FormatInt(v.Version, 10)
					l.rows = append(l.rows, []string{n, v.At.Local().Format("2006-01-02 15:04:05"), v.By, changedFields(v.Changes), v.Reason})
					l.plain = append(l.plain, []string{n, stampOf(v.At), v.By, changedFields(v.Changes), v.Reason})
				}
				if !a.json {
					a.show(l)
				}
				return nil
			})
		},
	})
}

func (c *client) versions(ctx context.Context, name string) ([]api.Version, error) {
	r, err := c.ListVersionsWithResponse(ctx, name)
	if err := settled(r, err); err != nil {
		return nil, err
	}
	if r.JSON200 == nil {
		return nil, noneOfOurs(r)
	}
	return r.JSON200.Items, nil
}

func changedFields(changes []api.Change) string {
	out := ""
	for i, c := range changes {
		if i > 0 {
			out += ", "
		}
		out += c.Field
	}
	return out
}

func (a *app) jobDiffCommand() *cobra.Command {
	return a.onJob(&cobra.Command{
		Use:   "diff NAME [A] [B]",
		Short: "Show what differs between two versions of a job's file",
		Example: `  godwit job diff shop-to-lake
  godwit job diff shop-to-lake 5 7`,
		Long: "Without versions the newest is held against the one before, with one the newest against that one. The answer is a unified diff.",
		Args: jobAnd("at most two versions", 1, 3),
		RunE: func(c *cobra.Command, args []string) error { return a.diff(c.Context(), args[0], args[1:]) },
	})
}

func (a *app) diff(ctx context.Context, name string, given []string) error {
	a.job = name
	return a.diffVersions(ctx, given, versioned{
		name: name, list: "godwit job versions " + name,
		newest: func(ctx context.Context, c *client) (int64, error) {
			j, err := c.job(ctx, name)
			if err != nil {
				return 0, err
			}
			return j.Version, nil
		},
		text: func(ctx context.Context, c *client, v int64) (string, error) {
			r, err := got(c.ShowVersionWithResponse(ctx, name, v))
			if err != nil {
				return "", err
			}
			return r.File, nil
		},
		line: func(from, to int64, d string) any { return jobDiffLine{a.jobHead(lineDiff, name), from, to, d} },
	})
}

// versioned is something of which the server keeps versions.
type versioned struct {
	name, list string // list is the command that lists them
	newest     func(context.Context, *client) (int64, error)
	text       func(context.Context, *client, int64) (string, error)
	line       func(from, to int64, diff string) any // of --json
}

// diffVersions shows what differs between two versions: those given, where less are
// the newest and the one before.
func (a *app) diffVersions(ctx context.Context, given []string, of versioned) error {
	var between []int64
	for _, g := range given {
		v, err := versionOf(g, of.list)
		if err != nil {
			return err
		}
		between = append(between, v)
	}
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		if len(between) < 2 {
			newest, err := of.newest(ctx, c)
			if err != nil {
				return err
			}
			if len(between) == 0 {
				between = []int64{max(1, newest-1)}
			}
			between = append(between, newest)
		}
		var texts, titles [2]string
		for i, v := range between {
			text, err := of.text(ctx, c, v)
			if err != nil {
				return err
			}
			texts[i], titles[i] = text, fmt.Sprintf("%s version %d", of.name, v)
		}
		d := unified(titles[0], titles[1], texts[0], texts[1])
		if a.json {
			a.emit(of.line(between[0], between[1], d))
			return nil
		}
		a.showDiff(d)
		return nil
	})
}

func (a *app) showDiff(d string) {
	if d == "" {
		a.say("the versions are equal")
		return
	}
	for _, l := range cleanLines(d) {
		switch l[:min(1, len(l))] {
		case "+":
			l = a.outCol.green(l)
		case "-":
			l = a.outCol.red(l)
		}
		a.print(l)
	}
}
