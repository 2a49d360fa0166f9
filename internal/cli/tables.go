package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/watch"
)

func (a *app) tablesCommand() *cobra.Command {
	var f filterFlags
	var q string
	var limit int
	c := &cobra.Command{
		Use:   "tables JOB",
		Short: "List the tables of a table job on a server; pause, resume and retry them",
		Example: `  godwit tables shop-to-lake --status failed,retrying
  godwit tables pause shop-to-lake shop.orders`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := f.filter()
			if err == nil {
				err = limited(limit)
			}
			if err != nil {
				return err
			}
			return a.listTables(c.Context(), args[0], api.ListTablesParams{Q: q, Status: filter.Status}, limit)
		},
	}
	statusFlag(c, &f, "tables")
	c.Flags().StringVar(&q, "q", "", "tables with this `TEXT` in their name")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` tables (default: all, up to 10,000)")
	c.AddCommand(
		a.tablesActCommand(actPause, "Let tables rest while the job goes on"),
		a.tablesActCommand(actResume, "Let tables that were paused go on"),
		a.tablesActCommand(actRetry, "Try tables again at once that failed or wait"))
	return a.serverFlags(a.onJob(c))
}

func (a *app) tablesActCommand(d deed, short string) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   d.word + " JOB TABLE…",
		Short: short,
		Example: fmt.Sprintf(`  godwit tables %[1]s shop-to-lake shop.orders
  godwit tables %[1]s shop-to-lake shop.orders shop.items --reason %[2]q`, d.word, d.why),
		Args: jobAnd("tables of it", 2, 0),
		RunE: func(c *cobra.Command, args []string) error {
			return a.actOnOne(c.Context(), d, args[0], api.Act{Act: api.ActAct(d.word), Tables: args[1:], Reason: reason})
		},
	}
	reasonFlag(c, &reason)
	return a.onJob(c)
}

func (a *app) listTables(ctx context.Context, name string, q api.ListTablesParams, limit int) error {
	a.job = name
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		items, more, err := pages(limit, func(n int, after string) ([]api.Table, string, error) {
			q.Limit, q.After = n, after
			p, err := got(c.ListTablesWithResponse(ctx, name, &q))
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		})
		if err != nil {
			return err
		}
		l := listing{head: []string{"TABLE", "STATUS", "SINCE", "ROWS", "RATE", "NOTE"}, plain: [][]string{}, empty: "no table is planned yet"}
		for _, t := range items {
			if a.json {
				a.emit(jobTableLine{a.jobHead(lineTables, name), t})
				continue
			}
			l.rows = append(l.rows, []string{t.Name, standsText(t.Standing, t.Wish), since(a.p.Now(), t.Standing.Since), tableRows(t), rateText(t.RowsS, "rows/s"), tableNote(t)})
			done, rows := tableCounts(t)
			l.plain = append(l.plain, []string{t.Name, string(t.Standing.Status), desiredOf(t.Wish), stampOf(t.Standing.Since), done, rows,
				number(t.RowsS), strconv.FormatInt(t.Generation, 10), t.Apart, t.Mark, standingNote(t.Standing), strconv.FormatInt(t.DeadLetters, 10)})
		}
		if !a.json {
			a.show(l)
			a.sayMore(more, len(items))
		}
		return nil
	})
}

// tableCounts are the rows that are done and that there are, for programs; empty: not
// known, as of a table that a stream only carries on.
func tableCounts(t api.Table) (done, rows string) {
	if t.Rows >= 0 {
		rows = strconv.FormatInt(t.Rows, 10)
	}
	if t.Rows >= 0 || t.Done > 0 {
		done = strconv.FormatInt(t.Done, 10)
	}
	return done, rows
}

// tableRows says how many rows of how many; statistics are no count.
func tableRows(t api.Table) string {
	switch {
	case t.Rows < 0 && t.Done == 0:
		return "unknown"
	case t.Rows < 0:
		return short(float64(t.Done)) + " rows"
	case t.Done > t.Rows:
		return rowsText(watch.Count{Done: t.Done, Estimated: t.Rows, Kind: watch.Growing})
	}
	return rowsText(watch.Count{Done: t.Done, Total: t.Rows, Kind: watch.Estimate})
}

func tableNote(t api.Table) string {
	switch {
	case t.Mark != "":
		return "needs a resync: " + t.Mark
	case t.Standing.Error != nil:
		return standingNote(t.Standing)
	case t.DeadLetters > 0:
		return plural(t.DeadLetters, "dead letter") + " in this run"
	case t.Apart != "":
		return "apart: " + t.Apart
	}
	return standingNote(t.Standing)
}
