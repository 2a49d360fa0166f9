package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/watch"
)

func (a *app) checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check JOB",
		Short: "Look at everything a run will need, and say how to mend what does not fit",
		Example: `  godwit check job.yaml
  godwit check job.yaml --json`,
		Long: `Check connects to the source and the sinks and changes nothing at the source. Of a target it finds out whether a run may write
there, and leaves no file in it; in PostgreSQL it makes the control tables. The job may still be edited. It ends with exit code 3 when something
would stop or spoil a run; a finding has the command that mends it, where there is one.`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.check(c.Context(), args[0])
		},
	}
	a.actFlags(c)
	return c
}

func (a *app) check(ctx context.Context, path string) error {
	_, r, err := reportOf(ctx, a, path, a.engine.Check)
	if err != nil {
		return err
	}
	var failed, warned int
	for _, f := range r.Findings {
		switch {
		case f.Fault != nil && !f.Warn:
			failed++
		case f.Fault != nil:
			warned++
		}
		a.showFinding(f)
	}
	if failed > 0 {
		return fault.New(fault.CheckFailed, "%d of %s did not pass", failed, plural(int64(len(r.Findings)), "check")).At("%s", path).
			Try("mend what is marked failed above, then godwit check %s", path)
	}
	if !a.json && isTerminal(a.out) {
		a.print("", a.outCol.green("all fits")+fmt.Sprintf(": %s, %s. Next: godwit run %s", plural(int64(len(r.Findings)), "check"), plural(int64(warned), "warning"), path))
	}
	return nil
}

func (a *app) showFinding(f watch.Finding) {
	result, word := "ok", a.outCol.green("ok")
	switch {
	case f.Fault != nil && f.Warn:
		result, word = "warning", a.outCol.yellow("warning")
	case f.Fault != nil:
		result, word = "failed", a.outCol.red("failed")
	}
	detail := a.hide(f.Detail)
	switch {
	case a.json:
		l := checkLine{jobHead: newJobHead("check", a.job, a.p.Now()), On: f.On, Name: f.Name, Detail: detail, Result: result}
		if f.Fault != nil {
			e := newErrorLine(masked(f.Fault, a.hide), a.job, a.p.Now())
			l.Error = &e
		}
		fmt.Fprintln(a.out, jsonLine(l))
	case !isTerminal(a.out):
		row := []string{result, f.On, f.Name, detail}
		if f.Fault != nil {
			e := masked(f.Fault, a.hide)
			row = append(row, string(e.Code), e.What, e.Hint, causeText(e))
		}
		a.print(tsv(row...))
	default:
		a.print(pad(word, 9) + pad(clean(f.On), 10) + pad(clean(f.Name), 24) + " " + clean(detail))
		if f.Fault != nil {
			e := masked(f.Fault, a.hide)
			a.print(findingLines(e)...)
		}
	}
}

// findingLines say what is wrong with a finding, why, and how it is mended.
func findingLines(e *fault.Error) []string {
	out := []string{string(e.Code) + ": " + clean(e.What)}
	if e.Cause != nil {
		out = append(out, "cause  "+clean(e.Cause.Error()))
	}
	if e.Hint != "" {
		out = append(out, "mend   "+clean(e.Hint))
	}
	for i := range out {
		out[i] = "           " + out[i]
	}
	return out
}

// causeText is the cause of an error, empty: it has none.
func causeText(e *fault.Error) string {
	if e.Cause == nil {
		return ""
	}
	return e.Cause.Error()
}

// showLog shows log lines of short acts: only what needs care.
func (a *app) showLog(l slog.Level, line string) {
	switch {
	case l < slog.LevelWarn:
	case a.json:
		fmt.Fprintln(a.out, jsonLine(warningLine{jobHead: newJobHead(lineWarning, a.job, a.p.Now()), What: line}))
	default:
		a.scr.print(humanLog(l, line, a.p.Now(), a.errCol))
	}
}
