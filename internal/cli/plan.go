package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/job"
	"godwit/internal/watch"
)

func (a *app) planCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "plan JOB",
		Short: "Tell what a run would do, and do nothing",
		Example: `  godwit plan job.yaml
  godwit plan job.yaml --all`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error { return a.plan(c.Context(), args[0], all) },
	}
	c.Flags().BoolVar(&all, "all", false, "also name tables that are done, and list every column")
	a.actFlags(c)
	return c
}

func (a *app) plan(ctx context.Context, path string, all bool) error {
	spec, r, err := reportOf(ctx, a, path, a.engine.Plan)
	if err != nil {
		return err
	}
	r.HideRules(a.hide)
	if a.json {
		fmt.Fprintln(a.out, jsonLine(planLine{newJobHead("plan", spec.Name, a.p.Now()), r}))
		return nil
	}
	if r.Files != nil {
		a.print(filePlanLines(spec, r, a.outCol)...)
		return nil
	}
	a.print(planLines(spec, r, all, a.outCol)...)
	return nil
}

// planLines shows a plan: signs with words, changes only, dangers at the very end.
func planLines(s *job.Spec, r watch.PlanReport, all bool, c colours) []string {
	title := "plan " + c.bold(s.Name) + fmt.Sprintf(" (run %d)", r.Run)
	if r.At != "" {
		title += "      read at " + clean(r.At)
	}
	switch {
	case r.KeptFor > 0:
		title += ", log kept for " + durationText(seconds(r.KeptFor))
	case r.Reach > 0:
		title += ", log reaches back " + durationText(seconds(r.Reach)) + ", no limit is set"
	}
	out := []string{title}
	var dangers []string
	for _, e := range r.Edits {
		line, danger := editLine(e, c)
		if danger {
			dangers = append(dangers, line)
			continue
		}
		out = append(out, line)
	}
	done, made, rows, bytes := 0, 0, int64(0), int64(0)
	for _, t := range r.Tables {
		if t.State == "done" && !all {
			done++
			continue
		}
		if t.State == "new" || t.State == "partly" {
			made++
			rows, bytes = rows+max(t.Rows, 0), bytes+max(t.Bytes, 0)
		}
		out = append(out, planTable(t, all, c)...)
	}
	if done > 0 {
		out = append(out, fmt.Sprintf(" = %s done before, not read again (--all)", plural(int64(done), "table")))
	}
	out = append(out, guarantees(r)...)
	out = append(out, dangers...)
	for _, w := range r.Warnings {
		out = append(out, c.yellow(" ! warning  ")+" "+clean(w.What))
		if w.Hint != "" {
			out = append(out, "             mend "+clean(w.Hint))
		}
	}
	if len(r.Tables) > 0 && r.Tables[0].State == "changes" { // so are all
		return append(out, fmt.Sprintf("%s to follow, no rows to read. Nothing has been done: godwit run %s", plural(int64(len(r.Tables)), "table"), s.File))
	}
	takes := ""
	if r.Takes > 0 {
		takes = fmt.Sprintf(", ~%s at %s/s", durationText(seconds(r.Takes)), bytesText(float64(r.Pace)))
	}
	return append(out, fmt.Sprintf("%s to read, ~%s rows, ~%s%s. Nothing has been done: godwit run %s",
		plural(int64(made), "table"), short(float64(rows)), bytesText(float64(bytes)), takes, s.File))
}

func editLine(e watch.PlanEdit, c colours) (line string, danger bool) {
	sign := " ~ alter   "
	switch job.Effect(e.Effect) {
	case job.Adds:
		sign = " + add     "
	case job.Leaves:
		sign = " - leave   "
	case job.Refused:
		sign, danger = c.red(" ! refused "), true
	}
	return fmt.Sprintf("%s %s: %s → %s (%s)", sign, clean(e.Field), orNone(e.From), orNone(e.To), clean(e.Why)), danger
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return clean(s)
}

func planTable(t watch.PlanTable, all bool, c colours) []string {
	sign := " + read    "
	switch t.State {
	case "partly":
		sign = " > go on   "
	case "done":
		sign = " = done    "
	case "changes":
		sign = " ~ follow  "
	}
	size := "size unknown"
	if t.Rows >= 0 {
		size = "~" + short(float64(t.Rows)) + " rows"
		if t.Bytes >= 0 {
			size += ", ~" + bytesText(float64(t.Bytes))
		}
	}
	key := "no key: one chunk, read again from its beginning after a stop"
	if len(t.Key) > 0 {
		key = "key " + clean(strings.Join(t.Key, ", "))
	}
	head := fmt.Sprintf("%s %s  %s, %s, %s", sign, c.bold(clean(t.Table)), size, plural(int64(t.Chunks), "chunk"), key)
	if t.State == "changes" {
		head = fmt.Sprintf("%s %s  its changes alone", sign, c.bold(clean(t.Table)))
	}
	out := []string{head}
	if t.Note != "" {
		out = append(out, "             "+c.yellow("note")+" "+clean(t.Note))
	}
	for _, g := range t.Targets {
		if g.Guarantee == "" {
			out = append(out, fmt.Sprintf("             → %s  %s", clean(g.Sink), clean(g.Reason)))
			continue
		}
		line := fmt.Sprintf("             → %s  %s  %s: ", clean(g.Sink), clean(g.Target), plural(int64(len(g.Columns)), "column"))
		if !all && len(g.Columns) > 8 {
			line += clean(strings.Join(g.Columns[:8], ", ")) + ", … (--all)"
		} else {
			line += clean(strings.Join(g.Columns, ", "))
		}
		if out = append(out, line); len(g.Rules) > 0 {
			out = append(out, "               by rules: "+clean(strings.Join(g.Rules, "; ")))
		}
	}
	return out
}

// guarantees says once per sink and level what is promised, and why.
func guarantees(r watch.PlanReport) []string {
	var out []string
	tables := map[string]int{}
	var order []watch.PlanTarget
	for _, t := range r.Tables {
		for _, g := range t.Targets {
			if g.Guarantee == "" {
				continue // nothing is written of it
			}
			k := g.Sink + "\x00" + g.Guarantee + "\x00" + g.Reason
			if tables[k]++; tables[k] == 1 {
				order = append(order, g)
			}
		}
	}
	for _, g := range order {
		n := tables[g.Sink+"\x00"+g.Guarantee+"\x00"+g.Reason]
		out = append(out, fmt.Sprintf(" guarantee   %s %s for %s: %s", clean(g.Sink), clean(g.Guarantee), plural(int64(n), "table"), clean(g.Reason)))
	}
	return out
}
