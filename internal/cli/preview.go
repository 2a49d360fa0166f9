package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// linePreview is the line of one table.
const linePreview = "preview"

type previewLine struct {
	jobHead
	watch.PreviewTable
}

// previewFlags are the flags of preview alone.
type previewFlags struct {
	rows   int
	tables []string
}

// Bounds of a preview.
const (
	previewRows   = 10
	previewTables = 20
	maxPreview    = 1000
)

func (a *app) previewCommand() *cobra.Command {
	f := previewFlags{rows: previewRows}
	c := &cobra.Command{
		Use:   "preview JOB",
		Short: "Show the first rows of tables, and what each sink would get of them",
		Example: `  godwit preview job.yaml
  godwit preview job.yaml --table shop.orders --rows 3`,
		Long: `Preview reads the first rows of each table and applies the rules of the job to them. It writes nothing, neither to
the source nor to a sink.`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error { return a.preview(c.Context(), args[0], f) },
	}
	c.Flags().IntVar(&f.rows, "rows", previewRows, "at most `N` rows of each table")
	c.Flags().StringSliceVar(&f.tables, "table", nil, "only tables that match a `PATTERN`, as the job's tables do (default: the first 20)")
	a.actFlags(c)
	return c
}

func (a *app) preview(ctx context.Context, path string, f previewFlags) error {
	if f.rows < 1 || f.rows > maxPreview {
		return fault.New(fault.Usage, "--rows %d: expected 1 to %d", f.rows, maxPreview)
	}
	tables, ok := a.engine.(engine.Tables)
	if !ok {
		return fault.New(fault.Usage, "this godwit shows no rows")
	}
	spec, r, err := reportOf(ctx, a, path, func(ctx context.Context, s *job.Spec, o Options) (watch.PreviewReport, error) {
		return tables.Preview(ctx, s, o, engine.Preview{Tables: f.tables, Rows: f.rows, Most: previewTables})
	})
	if err != nil {
		return err
	}
	for _, t := range r.Tables {
		if a.json {
			a.emit(previewLine{newJobHead(linePreview, spec.Name, a.p.Now()), t})
			continue
		}
		a.print(previewLines(t, widthOf(a), a.outCol)...)
	}
	if r.More > 0 && !a.json {
		a.print("", fmt.Sprintf("and %s more: --table PATTERN", plural(int64(r.More), "table")))
	}
	return nil
}

// previewLines shows the rows of a table as the source has them, then as each sink would
// get them, row for row.
func previewLines(t watch.PreviewTable, width int, c colours) []string {
	out := append([]string{c.bold(clean(t.Table))}, previewRowLines(t.Columns, t.Rows, nil, width, c)...)
	for _, s := range t.Sinks {
		if s.Table == "" {
			out = append(out, " → "+clean(s.Sink)+"  left out by rules")
			continue
		}
		out = append(out, " → "+c.bold(clean(s.Sink))+"  "+clean(s.Table))
		out = append(out, previewRowLines(s.Columns, s.Rows, s.Refused, width, c)...)
	}
	return append(out, "")
}

func previewRowLines(columns []string, rows []watch.PreviewRow, refused map[int]string, width int, c colours) []string {
	l := listing{head: append([]string{""}, columns...)}
	for i, r := range rows {
		cells := []string{fmt.Sprint(i + 1)}
		switch why, bad := refused[i]; {
		case bad:
			cells = append(cells, "refused: "+why)
		case r == nil:
			cells = append(cells, "left out")
		}
		for _, cell := range r {
			if cell == nil {
				cells = append(cells, "null")
			} else {
				cells = append(cells, *cell)
			}
		}
		for len(cells) < len(l.head) {
			cells = append(cells, "")
		}
		l.rows = append(l.rows, cells)
	}
	if len(rows) == 0 {
		return []string{"   no rows"}
	}
	return l.lines(width, c)
}
