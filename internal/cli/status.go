package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/service"
	"godwit/internal/watch"
)

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status [JOB|NAME]",
		Short: "Tell how jobs stand",
		Example: `  godwit status
  godwit status job.yaml
  godwit status shop-to-lake`,
		Long: `Status lists the jobs of the state folder, or shows one as its target and its state tell it: how the last run of each went, of whoever
ran it. It disturbs no run. What is wanted of the jobs of a server, and whether it is so, says godwit job list.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return oneArg("one job file at most")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.status(c.Context(), args) },
	}
	a.actFlags(c)
	c.ValidArgsFunction = a.completeNames
	return c
}

func (a *app) status(ctx context.Context, args []string) error {
	var spec *job.Spec
	named := len(args) == 1 && !isFile(args[0])
	if len(args) == 1 && !named {
		var err error
		if spec, err = a.readJob(ctx, args[0]); err != nil {
			return err
		}
	}
	o, err := a.options(0, spec)
	if err != nil {
		return err
	}
	var r watch.StatusReport
	if named {
		r, err = a.statusNamed(ctx, args[0], o)
	} else {
		err = a.act(ctx, func(ctx context.Context) (err error) {
			r, err = a.engine.Status(ctx, spec, o)
			return err
		})
	}
	if err != nil {
		return err
	}
	if len(r.Jobs) == 0 && !a.json && isTerminal(a.out) {
		a.print("no job has run with this state folder (" + o.State + "); begin with: godwit run job.yaml")
	}
	for _, j := range r.Jobs {
		a.showStatus(j, spec != nil || named)
	}
	if service.Keeps(o.State) {
		a.say("this is how the last runs went; a server keeps jobs here, and what is wanted of those says: godwit job list --state " + o.State)
	}
	return nil
}

func (a *app) showStatus(j watch.JobStatus, whole bool) {
	j.Error = a.hide(j.Error)
	switch {
	case a.json:
		fmt.Fprintln(a.out, jsonLine(statusLine{newHead("status", a.p.Now()), j}))
		return
	case !isTerminal(a.out):
		a.print(tsv(j.Job, j.State, strconv.FormatUint(j.Run, 10), timeText(j.Since), statusPlace(j), j.Error))
		return
	}
	word := j.State
	switch j.State {
	case "failed":
		word = a.outCol.red(word)
	case "finished":
		word = a.outCol.green(word)
	}
	line := a.outCol.bold(pad(clean(j.Job), 24)) + " " + pad(word, 10) + fmt.Sprintf(" run %d", j.Run)
	if j.Since != nil {
		line += "   since " + j.Since.Local().Format("2006-01-02 15:04:05 -07:00") + " (" + since(a.p.Now(), *j.Since) + ")"
	}
	if p := statusPlace(j); p != "" {
		line += "   at " + p
	}
	a.print(line)
	if j.Error != "" {
		a.print("  " + clean(j.Error))
	}
	if whole && j.Progress != nil {
		a.print(view{a.outCol, widthOf(a)}.block(*j.Progress)...)
		a.print("  as of " + j.Progress.Sampled.Local().Format("15:04:05 -07:00"))
	}
}

func widthOf(a *app) int { return max(40, newScreenWidth(a.out)) }

func newScreenWidth(out any) int {
	f := file(out)
	if f == nil {
		return 120
	}
	return newScreen(f).width()
}

func statusPlace(j watch.JobStatus) string {
	if j.Progress != nil && j.Progress.Files != nil {
		f := j.Progress.Files
		return fmt.Sprintf("round %d, copied %d, same %d, failed %d", f.Round, f.Copied.Objects, f.Same.Objects, f.Failed.Objects)
	}
	if j.Progress == nil || j.Progress.Changes == nil {
		return ""
	}
	return clean(j.Progress.Changes.Position)
}

func timeText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// tsv joins cells for programs: no tabs or line breaks inside.
func tsv(cells ...string) string {
	for i := range cells {
		cells[i] = clean(cells[i])
	}
	return strings.Join(cells, "\t")
}

func (a *app) positionsCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "show JOB",
		Short: "Tell what each sink has committed; disturbs no run",
		Example: `  godwit positions show job.yaml
  godwit positions show job.yaml --json`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error { return a.positions(c.Context(), args[0]) },
	}
	var confirm string
	reset := &cobra.Command{
		Use:   "reset JOB",
		Short: "Make the next run read everything again, as a new generation",
		Example: `  godwit positions reset job.yaml
  godwit positions reset job.yaml --confirm shop-to-lake`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error { return a.reset(c.Context(), args[0], confirm) },
	}
	reset.Flags().StringVar(&confirm, "confirm", "", "the job's `NAME`")
	a.actFlags(show)
	a.actFlags(reset)
	return group("positions", "Show or reset what sinks have committed", `  godwit positions show job.yaml
  godwit positions reset job.yaml`, show, reset)
}

func (a *app) positions(ctx context.Context, path string) error {
	spec, r, err := reportOf(ctx, a, path, a.engine.Positions)
	if err != nil {
		return err
	}
	if len(r.Positions) == 0 && !a.json && isTerminal(a.out) {
		a.print("nothing is committed yet; begin with: godwit run " + path)
	}
	for _, p := range r.Positions {
		switch {
		case a.json:
			fmt.Fprintln(a.out, jsonLine(positionLine{newJobHead("position", spec.Name, a.p.Now()), p}))
		case isTerminal(a.out):
			a.print(a.outCol.bold(pad(clean(p.Sink), 16)) + " " + pad(clean(p.Task), 16) + " " + pad(clean(p.At), 40) + " " + pad(timeText(p.Time), 21) + clean(p.Claim) + "  " + clean(p.Note))
		default:
			a.print(tsv(p.Sink, p.Task, p.At, timeText(p.Time), p.Claim, p.Note))
		}
	}
	return nil
}

func (a *app) reset(ctx context.Context, path, confirm string) error {
	spec, err := a.readJob(ctx, path)
	if err != nil {
		return err
	}
	if err := tablesOnly(spec); err != nil {
		return err
	}
	o, err := a.options(0, spec)
	if err != nil {
		return err
	}
	if err := a.confirm(confirm, spec.Name, "makes the next run read every table again"); err != nil {
		return err
	}
	if err := a.act(ctx, func(ctx context.Context) error { return a.engine.ResetPositions(ctx, spec, o) }); err != nil {
		return err
	}
	if !a.json {
		a.scr.print("done: the next run reads everything again: godwit run " + path)
	}
	return nil
}

func (a *app) explainCommand() *cobra.Command {
	var codes []string
	for _, i := range fault.Catalogue {
		codes = append(codes, string(i.Code))
	}
	return &cobra.Command{
		Use:   "explain CODE",
		Short: "Say what an error code means and what to do",
		Example: `  godwit explain SOURCE_LOST
  godwit explain JOB_FIELD`,
		ValidArgs: codes,
		Args:      oneArg("an error code"),
		RunE: func(_ *cobra.Command, args []string) error {
			code := fault.Code(strings.ToUpper(args[0]))
			for _, i := range fault.Catalogue {
				if i.Code == code {
					a.explain(i)
					return nil
				}
			}
			return fault.New(fault.Usage, "no such error code %q", clean(args[0])).Try("%s", nearestOf(string(code), codes))
		},
	}
}

func (a *app) explain(i fault.Info) {
	if a.json {
		fmt.Fprintln(a.out, jsonLine(explainLine{newHead("explain", a.p.Now()), string(i.Code), i.Class.String(), i.Exit, i.Short, i.Long}))
		return
	}
	a.print(a.outCol.bold(string(i.Code))+": "+i.Short, fmt.Sprintf("class %s, exit code %d", i.Class, i.Exit), "")
	a.print(wrap(i.Long, 100)...)
}

// wrap breaks text into lines of at most n columns, at blanks.
func wrap(text string, n int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && cells(line)+1+cells(w) > n {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(out, line)
}

func (a *app) schemaCommand() *cobra.Command {
	var output bool
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of job files, for editors",
		Example: `  godwit schema > job.schema.json
  godwit schema --output`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			text := Schema(a.sys)
			if output {
				text = OutputSchema()
			}
			_, err := a.out.Write(text)
			return err
		},
	}
	c.Flags().BoolVar(&output, "output", false, "instead, the schema of the lines that --json prints")
	return c
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  godwit version
  godwit version --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				fmt.Fprintln(a.out, jsonLine(versionLine{newHead("version", a.p.Now()), a.version(), goVersion()}))
				return nil
			}
			a.print("godwit "+a.version(), goVersion())
			return nil
		},
	}
}
