package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

func (a *app) jobTasksCommand() *cobra.Command {
	var f filterFlags
	var table string
	var limit int
	c := &cobra.Command{
		Use:   "tasks NAME",
		Short: "List the tasks of a job, as they were found",
		Example: `  godwit job tasks shop-to-lake
  godwit job tasks shop-to-lake --status failed --json`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := f.filter()
			if err == nil {
				err = limited(limit)
			}
			if err != nil {
				return err
			}
			return a.listTasks(c.Context(), args[0], api.ListTasksParams{Status: filter.Status, Table: table}, limit)
		},
	}
	statusFlag(c, &f, "tasks")
	c.Flags().StringVar(&table, "table", "", "tasks of one `TABLE`")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` tasks (default: all, up to 10,000)")
	return a.onJob(c)
}

func statusFlag(c *cobra.Command, f *filterFlags, of string) {
	c.Flags().StringSliceVar(&f.status, "status", nil, of+" of any of these `STATUSES`, such as failed,retrying")
	completeWords(c, "status", statusWords)
}

func (a *app) listTasks(ctx context.Context, name string, q api.ListTasksParams, limit int) error {
	a.job = name
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		items, more, err := pages(limit, func(n int, after string) ([]api.Task, string, error) {
			q.Limit, q.After = n, after
			p, err := got(c.ListTasksWithResponse(ctx, name, &q))
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		})
		if err != nil {
			return err
		}
		l := listing{head: []string{"TASK", "KIND", "TABLE", "STATUS", "SINCE", "ATTEMPT", "NOTE"}, plain: [][]string{}, empty: "no task is found yet"}
		for _, t := range items {
			if a.json {
				a.emit(jobTaskLine{a.jobHead(lineTask, name), t})
				continue
			}
			n := strconv.FormatInt(t.Standing.Attempt, 10)
			l.rows = append(l.rows, []string{t.ID, string(t.Kind), t.Table, standsText(t.Standing, t.Wish), since(a.p.Now(), t.Standing.Since), n, standingNote(t.Standing)})
			l.plain = append(l.plain, []string{t.ID, string(t.Kind), t.Table, string(t.Standing.Status), desiredOf(t.Wish), stampOf(t.Standing.Since), n, standingNote(t.Standing)})
		}
		if !a.json {
			a.show(l)
			a.sayMore(more, len(items))
		}
		return nil
	})
}

func desiredOf(w *api.Wish) string {
	if w == nil {
		return ""
	}
	return string(w.Desired)
}

// standingNote is the error of what stands so, or the reason.
func standingNote(s api.Standing) string {
	if s.Error != nil {
		return s.Error.Code + ": " + s.Error.What
	}
	return s.Reason
}

func (a *app) jobPositionsCommand() *cobra.Command {
	return a.onJob(&cobra.Command{
		Use:   "positions NAME",
		Short: "Tell what each sink of a job has committed, read from the sinks",
		Example: `  godwit job positions shop-to-lake
  godwit job positions shop-to-lake --json`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			a.job = name
			return a.ask(c.Context(), true, func(ctx context.Context, c *client) error {
				r, err := got(c.PositionsWithResponse(ctx, name))
				if err != nil {
					return err
				}
				l := listing{head: []string{"SINK", "TASK", "AT", "TIME", "CLAIM", "NOTE"}, empty: "nothing is committed yet"}
				for _, p := range r.Positions {
					if a.json {
						a.emit(positionLine{a.jobHead("position", name), p})
						continue
					}
					l.rows = append(l.rows, []string{p.Sink, p.Task, p.At, timeText(p.Time), p.Claim, p.Note})
				}
				if !a.json {
					a.show(l)
				}
				return nil
			})
		},
	})
}

func (a *app) jobAuditCommand() *cobra.Command {
	var q string
	var limit int
	c := &cobra.Command{
		Use:   "audit [NAME]",
		Short: "Tell who changed what, newest first",
		Example: `  godwit job audit
  godwit job audit shop-to-lake --limit 20`,
		Args: jobAnd("nothing else", 0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := limited(limit); err != nil {
				return err
			}
			p := api.AuditParams{Q: q}
			if len(args) == 1 {
				p.Job = args[0]
			}
			return a.audit(c.Context(), p, limit)
		},
	}
	c.Flags().StringVar(&q, "q", "", "entries with this `TEXT`")
	c.Flags().IntVar(&limit, "limit", 100, "at most `N` entries")
	return a.onJob(c)
}

func (a *app) audit(ctx context.Context, q api.AuditParams, limit int) error {
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		items, more, err := pages(limit, func(n int, after string) ([]api.Entry, string, error) {
			q.Limit, q.After = n, after
			p, err := got(c.AuditWithResponse(ctx, &q))
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		})
		if err != nil {
			return err
		}
		l := listing{head: []string{"AT", "BY", "JOB", "WHAT", "OUTCOME", "FROM → TO", "REASON"}, plain: [][]string{}, empty: "nothing was changed yet"}
		for _, e := range items {
			if a.json {
				a.emit(auditLine{a.head(lineAudit), e})
				continue
			}
			outcome := strings.TrimSpace(string(e.Outcome) + " " + e.Code)
			l.rows = append(l.rows, []string{e.At.Local().Format("2006-01-02 15:04:05"), e.By, e.Job, e.What, outcome, fromTo(e.From, e.To), e.Reason})
			l.plain = append(l.plain, []string{stampOf(e.At), e.By, e.Job, e.What, string(e.Outcome), e.Code, e.From, e.To, e.Reason, e.Request})
		}
		if !a.json {
			a.show(l)
			a.sayMore(more, len(items))
		}
		return nil
	})
}

func fromTo(from, to string) string {
	if from == "" && to == "" {
		return ""
	}
	return orNone(from) + " → " + orNone(to)
}

func (a *app) jobAlarmsCommand() *cobra.Command {
	var all bool
	var f silenceFlags
	c := &cobra.Command{
		Use:   "alarms [NAME]",
		Short: "List the alarms that hold; silence one",
		Example: `  godwit job alarms shop-to-lake --all
  godwit job alarms --silence ID --for 2h --reason "the disk comes tonight"`,
		Args: jobAnd("nothing else", 0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if id, in, asked, err := f.asked(c, args); err != nil || asked {
				if err == nil {
					err = a.silenceAlarm(c.Context(), id, in)
				}
				return err
			}
			p := api.ListAlarmsParams{All: all}
			if len(args) == 1 {
				p.Job = args[0]
			}
			return a.alarms(c.Context(), p)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also those that are over")
	f.add(c)
	return a.onJob(c)
}

func (a *app) alarms(ctx context.Context, q api.ListAlarmsParams) error {
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		r, err := c.ListAlarmsWithResponse(ctx, &q)
		if err := settled(r, err); err != nil {
			return err
		}
		if r.JSON200 == nil {
			return noneOfOurs(r)
		}
		l := listing{head: []string{"ID", "KIND", "JOB", "ON", "RAISED", "WHAT"}, plain: [][]string{}, empty: "no alarm holds"}
		for _, x := range r.JSON200.Items {
			if a.json {
				a.emit(alarmLine{a.head(lineAlarm), x})
				continue
			}
			l.rows = append(l.rows, []string{x.ID, x.Kind, x.Job, x.On, since(a.p.Now(), x.Raised), alarmText(x)})
			l.plain = append(l.plain, []string{x.ID, x.Kind, x.Job, x.On, stampOf(x.Raised), stampOf(x.Resolved), stampOf(x.SilencedUntil), x.What, x.Hint})
		}
		if !a.json {
			a.show(l)
		}
		return nil
	})
}

func alarmText(x api.Alarm) string {
	out := x.What
	if x.Hint != "" {
		out += " (" + x.Hint + ")"
	}
	if !x.Resolved.IsZero() {
		out = "over at " + stampOf(x.Resolved) + ": " + out
	}
	if !x.SilencedUntil.IsZero() {
		out += fmt.Sprintf(", silent until %s%s", stampOf(x.SilencedUntil), by(x.SilencedBy))
	}
	return out
}
