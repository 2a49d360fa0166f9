package cli

import (
	"context"
	"fmt"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

// lineDryRun is the line of a dry run.
const lineDryRun = "dry_run"

type dryRunLine struct {
	jobHead
	watch.DryRunReport
}

func (a *app) dryRun(ctx context.Context, path string) error {
	tables, ok := a.engine.(engine.Tables)
	if !ok {
		return fault.New(fault.Usage, "this godwit makes no dry runs")
	}
	spec, r, err := reportOf(ctx, a, path, tables.DryRun)
	if err != nil {
		return err
	}
	if a.json {
		a.emit(dryRunLine{newJobHead(lineDryRun, spec.Name, a.p.Now()), r})
		return nil
	}
	a.print(dryRunLines(r, a.outCol)...)
	return nil
}

// dryRunLines says what was read and what sinks would get of it.
func dryRunLines(r watch.DryRunReport, c colours) (out []string) {
	var rows, bytes int64
	for _, t := range r.Tables {
		rows, bytes = rows+t.Rows, bytes+t.Bytes
		out = append(out, fmt.Sprintf("%s  %s, %s", c.bold(clean(t.Table)), plural(t.Rows, "row"), bytesText(float64(t.Bytes))))
		for _, s := range t.Sinks {
			if s.Table == "" {
				out = append(out, " → "+clean(s.Sink)+"  left out by rules")
				continue
			}
			line := fmt.Sprintf(" → %s  %s  %s, %s", clean(s.Sink), clean(s.Table), plural(s.Rows, "row"), bytesText(float64(s.Bytes)))
			if s.Written > 0 {
				line += ", " + bytesText(float64(s.Written)) + " to write"
			}
			if s.Refused > 0 {
				line += ", " + c.yellow(plural(s.Refused, "row")+" refused") + ": " + clean(s.Reason)
			}
			out = append(out, line)
		}
	}
	return append(out, "", fmt.Sprintf("read %s, %s in %s: %s, %s. Nothing was written.", plural(rows, "row"), bytesText(float64(bytes)),
		durationText(seconds(r.Elapsed)), short(float64(rows)/max(r.Elapsed, 0.001))+" rows/s", bytesText(float64(bytes)/max(r.Elapsed, 0.001))+"/s"))
}
