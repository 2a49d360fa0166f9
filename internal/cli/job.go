package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

func (a *app) jobCommand() *cobra.Command {
	c := group("job", "Submit jobs to a server, watch, edit, pause and resume them", `  godwit job submit job.yaml
  godwit job list --state /var/lib/godwit`,
		a.jobSubmitCommand(), a.jobListCommand(), a.jobShowCommand(), a.jobWatchCommand(),
		a.jobCheckCommand(), a.jobPlanCommand(), a.jobEditCommand(), a.jobVersionsCommand(), a.jobDiffCommand(), a.jobRollbackCommand(),
		a.jobActCommand(actPause), a.jobActCommand(actResume), a.jobActCommand(actRetry), a.jobActCommand(actStop), a.jobActCommand(actStart),
		a.jobVerifyCommand(), a.jobResyncCommand(), a.jobDeleteCommand(), a.jobResetCommand(),
		a.jobTasksCommand(), a.jobPositionsCommand(), a.jobDeadLettersCommand(), a.jobAuditCommand(), a.jobAlarmsCommand())
	c.Long = `The server is the one of --server; else the one that has the folder of --state; else the one of $GODWIT_SERVER; else the one that has the
usual state folder. While no server has the folder of --state, the command asks the folder itself: it shows what was kept last, and what it is
told has its effect when a server starts.`
	return a.serverFlags(c)
}

func (a *app) jobSubmitCommand() *cobra.Command {
	var in api.Submission
	var paused bool
	var key string
	var from fromTemplate
	c := &cobra.Command{
		Use:   "submit [FILE]",
		Short: "Give a job to the server, which keeps it alive from then on; or many jobs of a template",
		Example: `  godwit job submit job.yaml
  godwit job submit nightly.yaml --schedule "CRON_TZ=Europe/Berlin 0 3 * * *"
  godwit job submit --template shards --set shard=07
  godwit job submit --template shards --values shards.csv --preview`,
		Args: from.args,
		RunE: func(c *cobra.Command, args []string) error {
			if paused {
				in.Desired = api.DesiredPaused
			}
			if from.template != "" {
				return a.makeJobs(c.Context(), from, api.TemplateJobs{Desired: in.Desired, Group: in.Group, Note: in.Note, Schedule: in.Schedule})
			}
			return a.submit(c.Context(), args[0], key, in)
		},
	}
	f := c.Flags()
	f.BoolVar(&paused, "paused", false, "take it in, and do not start it yet")
	f.StringVar(&in.Group, "group", "", "a `NAME` to find it by, with others")
	f.StringVar(&in.Note, "note", "", "a `TEXT` for people")
	f.StringVar(&in.Schedule, "schedule", "", "start it again by this `CRON` line, UTC or with CRON_TZ=ZONE before it (snapshot and file jobs)")
	f.StringVar(&in.VerifySchedule, "verify-schedule", "", "compare source and target by this `CRON` line")
	f.StringVar(&key, "key", "", "a `KEY` that makes a second submission the first one again, for a day (default: one of this call)")
	from.add(a, c)
	completeFiles(c)
	return c
}

func (a *app) submit(ctx context.Context, path, key string, in api.Submission) error {
	text, err := jobText(path)
	if err != nil {
		return err
	}
	in.File = text
	if key == "" {
		key = rand.Text()
	}
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		r, err := c.SubmitJobWithResponse(ctx, &api.SubmitJobParams{IdempotencyKey: key}, in)
		if err := settled(r, err); err != nil {
			return inFile(err, path)
		}
		if r.JSON201 == nil {
			return noneOfOurs(r)
		}
		j := *r.JSON201
		a.job = j.Name
		if a.json {
			a.emit(jobLine{a.head(lineJob), j})
		}
		a.say(fmt.Sprintf("%s is taken in as version %d and wanted %s. Next: godwit job watch %s", a.errCol.bold(j.Name), j.Version, j.Wish.Desired, j.Name))
		return nil
	})
}

// jobText is what the job file holds, as it is: the server reads it.
func jobText(path string) (string, error) {
	text, err := readFile(path)
	if err != nil {
		return "", fault.New(fault.Usage, "the job file cannot be read").At("%s", path).By(err).Try("give the path of a job file; docs/tutorial.md has one to begin with")
	}
	return string(text), nil
}

// filterFlags choose jobs.
type filterFlags struct {
	q, desired, kind, group, template string
	status                            []string
}

func (f *filterFlags) add(a *app, c *cobra.Command) {
	c.Flags().StringVar(&f.q, "q", "", "jobs with this `TEXT` in their name or their way")
	c.Flags().StringSliceVar(&f.status, "status", nil, "jobs of any of these `STATUSES`, such as failed,retrying")
	c.Flags().StringVar(&f.desired, "desired", "", "jobs that are wanted `SO`: running, paused, stopped")
	c.Flags().StringVar(&f.kind, "kind", "", "jobs of a `KIND`: tables, files")
	c.Flags().StringVar(&f.group, "group", "", "jobs of a group, by its `NAME`")
	a.templateFlag(c, &f.template, "jobs that are made from a template, by its `NAME`")
	completeWords(c, "status", statusWords)
	completeWords(c, "desired", desiredWords)
	completeWords(c, "kind", kindWords)
}

var (
	statusWords  = []string{"unassigned", "preparing", "running", "retrying", "stopping", "paused", "stopped", "failed", "finished"}
	desiredWords = []string{"running", "paused", "stopped"}
	kindWords    = []string{"tables", "files"}
	roleWords    = []string{"read", "operate"}
	sortWords    = []string{"health", "name", "status", "since", "rate", "lag", "created"}
)

// filter is what the flags say, checked.
func (f *filterFlags) filter() (api.Filter, error) {
	out := api.Filter{Q: f.q, Desired: api.Desired(f.desired), Kind: api.Kind(f.kind), Group: f.group, Template: f.template}
	for _, s := range f.status {
		if err := oneOf("status", s, statusWords); err != nil {
			return out, err
		}
		out.Status = append(out.Status, api.Status(s))
	}
	if err := oneOf("desired", f.desired, append([]string{""}, desiredWords...)); err != nil {
		return out, err
	}
	return out, oneOf("kind", f.kind, append([]string{""}, kindWords...))
}

// oneOf refuses a word of a flag that is none of those it takes.
func oneOf(flag, word string, words []string) error {
	known := []string{}
	for _, w := range words {
		if w == word {
			return nil
		}
		if w != "" {
			known = append(known, w)
		}
	}
	return fault.New(fault.Usage, "--%s %s: no such word", flag, clean(word)).Try("%s", nearestOf(word, known))
}

// rowsMost bounds what a listing brings unless --limit says; pageMost is the
// server's bound of one page.
const (
	rowsMost = 10_000
	pageMost = 1000
)

// pages collects pages until there are no more, or limit items; 0: rowsMost. more
// says that there are others.
func pages[T any](limit int, page func(n int, after string) (items []T, next string, err error)) (all []T, more bool, err error) {
	if limit == 0 {
		limit = rowsMost
	}
	for after := ""; ; {
		items, next, err := page(min(limit-len(all), pageMost), after)
		if err != nil {
			return nil, false, err
		}
		all = append(all, items...)
		if len(all) >= limit || next == "" || next == after {
			cut := len(all) > limit
			return all[:min(len(all), limit)], cut || next != "", nil
		}
		after = next
	}
}

// limited checks --limit.
func limited(limit int) error {
	if limit < 0 {
		return fault.New(fault.Usage, "--limit %d: expected 0 or more", limit)
	}
	return nil
}

func (a *app) sayMore(more bool, n int) {
	if more {
		a.say(fmt.Sprintf("these are the first %s; there are more: --limit N", grouped(int64(n))))
	}
}

func (a *app) jobListCommand() *cobra.Command {
	var f filterFlags
	var order string
	var limit int
	var needs bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the jobs of the server, those that need somebody first",
		Example: `  godwit job list
  godwit job list --status failed,retrying --sort -since`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err == nil {
				err = oneOf("sort", strings.TrimPrefix(order, "-"), append([]string{""}, sortWords...))
			}
			if err == nil {
				err = limited(limit)
			}
			if err != nil {
				return err
			}
			q := api.ListJobsParams{Q: filter.Q, Status: filter.Status, Desired: filter.Desired, Kind: filter.Kind, Group: filter.Group, Template: filter.Template,
				NeedsYou: needs, Sort: api.ListJobsParamsSort(order)}
			return a.listJobs(c.Context(), q, limit)
		},
	}
	f.add(a, c)
	c.Flags().BoolVar(&needs, "needs-you", false, "only jobs that somebody must look at")
	c.Flags().StringVar(&order, "sort", "", "by `FIELD`, descending with a - before it: health, name, status, since, rate, lag, created")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` jobs (default: all, up to 10,000)")
	completeWords(c, "sort", sortWords)
	return c
}

func (a *app) listJobs(ctx context.Context, q api.ListJobsParams, limit int) error {
	return a.ask(ctx, false, func(ctx context.Context, c *client) error {
		jobs, more, err := c.jobs(ctx, q, limit)
		if err != nil {
			return err
		}
		if a.json {
			for _, j := range jobs {
				a.emit(jobLine{a.head(lineJob), j})
			}
			return nil
		}
		l := jobListing(jobs, a.p.Now())
		l.empty = "no job here; begin with: godwit job submit job.yaml"
		a.show(l)
		a.sayMore(more, len(jobs))
		return nil
	})
}

// jobs lists jobs, page by page.
func (c *client) jobs(ctx context.Context, q api.ListJobsParams, limit int) ([]api.Job, bool, error) {
	return pages(limit, func(n int, after string) ([]api.Job, string, error) {
		q.Limit, q.After = n, after
		p, err := got(c.ListJobsWithResponse(ctx, &q))
		if err != nil {
			return nil, "", err
		}
		return p.Items, p.Next, nil
	})
}

// jobListing is a list of jobs, for people and for programs.
func jobListing(jobs []api.Job, now time.Time) listing {
	l := listing{head: []string{"NAME", "STATUS", "SINCE", "WAY", "PROGRESS", "RATE", "NOTE"}, plain: [][]string{}}
	for _, j := range jobs {
		l.rows = append(l.rows, []string{j.Name, standsText(j.Standing, &j.Wish), since(now, j.Standing.Since), j.Way, progressText(j.Progress), jobRate(j.Progress), jobNote(j)})
		l.plain = append(l.plain, jobCells(j))
	}
	return l
}

// jobCells is a job for programs: name, status, desired, since, health, kind, way,
// version, percent, rows a second, lag in seconds, alarms, code of the error.
func jobCells(j api.Job) []string {
	percent, rate, lag, code := "", "", "", ""
	if p := j.Progress; p != nil {
		percent, rate = number(p.Rows.Percent), number(p.Rate)
		if p.Changes != nil {
			lag = number(p.Changes.Lag.Seconds)
		}
	}
	if e := j.Standing.Error; e != nil {
		code = e.Code
	}
	return []string{j.Name, string(j.Standing.Status), string(j.Wish.Desired), stampOf(j.Standing.Since), string(j.Health), string(j.Kind), j.Way,
		strconv.FormatInt(j.Version, 10), percent, rate, lag, strconv.Itoa(j.Alarms), code}
}

func number(x *float64) string {
	if x == nil {
		return ""
	}
	return strconv.FormatFloat(watch.Rounded(*x), 'f', -1, 64)
}

// stampOf writes a time for programs; none is empty.
func stampOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// standsText says what is, and what is wanted where that is something else.
func standsText(s api.Standing, w *api.Wish) string {
	if w == nil || settledAt(s.Status, w.Desired) {
		return string(s.Status)
	}
	return string(s.Status) + " → " + string(w.Desired)
}

// settledAt reports whether a status is what is wanted, or the end of it.
func settledAt(s api.Status, d api.Desired) bool {
	switch s {
	case api.StatusFinished, api.StatusFailed:
		return true
	case api.StatusPaused:
		return d == api.DesiredPaused
	case api.StatusStopped:
		return d == api.DesiredStopped
	case api.StatusStopping:
		return false
	}
	return d == api.DesiredRunning
}

// progressText says in a few words how far a job is.
func progressText(p *watch.Progress) string {
	switch {
	case p == nil:
		return ""
	case p.Files != nil:
		return fmt.Sprintf("round %d, %s copied", p.Files.Round, grouped(p.Files.Copied.Objects))
	case p.Phase == watch.Snapshot && p.Rows.Percent != nil:
		return "snapshot " + percentText(*p.Rows.Percent)
	case p.Phase == watch.Snapshot:
		return "snapshot " + short(float64(p.Rows.Done)) + " rows"
	case p.Phase == watch.Stream && p.Changes != nil:
		return view{}.lagText(p.Changes.Lag, 1)
	}
	return p.Phase
}

func jobRate(p *watch.Progress) string {
	switch {
	case p == nil:
		return ""
	case p.Phase == watch.Stream && p.Changes != nil:
		return rateText(p.Changes.Rate, "changes/s")
	case p.Files != nil:
		return byteRateText(p.ByteRate)
	}
	return rateText(p.Rate, "rows/s")
}

// jobNote is what needs somebody, or else why it is as it is.
func jobNote(j api.Job) string {
	switch {
	case j.Standing.Error != nil:
		return j.Standing.Error.Code + ": " + j.Standing.Error.What
	case j.Alarms > 0:
		return plural(int64(j.Alarms), "alarm")
	case j.Standing.Reason != "":
		return j.Standing.Reason
	case j.Schedule != nil && len(j.Schedule.Next) > 0:
		return "next at " + stampOf(j.Schedule.Next[0])
	}
	return j.Note
}

func (a *app) jobShowCommand() *cobra.Command {
	return a.onJob(&cobra.Command{
		Use:   "show NAME",
		Short: "Show one job: what is, what is wanted and by whom, how far it is",
		Example: `  godwit job show shop-to-lake
  godwit job show shop-to-lake --json`,
		Args: oneArg("the name of a job"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), false, func(ctx context.Context, c *client) error {
				j, err := c.job(ctx, args[0])
				if err != nil {
					return err
				}
				switch {
				case a.json:
					a.emit(jobLine{a.head(lineJob), *j})
				case isTerminal(a.out):
					a.print(jobLines(*j, view{a.outCol, widthOf(a)}, a.p.Now())...)
				default:
					a.print(tsv(jobCells(*j)...))
				}
				return nil
			})
		},
	})
}

// job shows one job; its name is what messages are about from then on.
func (c *client) job(ctx context.Context, name string) (*api.Job, error) {
	return got(c.ShowJobWithResponse(ctx, name))
}

// jobLines shows a job to people.
func jobLines(j api.Job, v view, now time.Time) []string {
	s := j.Standing
	out := []string{fit(v.width, gap, v.c.bold(clean(j.Name))+"  "+wordColour(v.c, standsText(s, &j.Wish)),
		"since "+s.Since.Local().Format("2006-01-02 15:04:05 -07:00")+" ("+since(now, s.Since)+")", fmt.Sprintf("version %d", j.Version))}
	put := func(word, text string) {
		if text != "" {
			out = append(out, fit(v.width, gap, "  "+pad(word, 9)+" "+clean(text)))
		}
	}
	put("way", j.Way)
	put("wanted", strings.TrimSpace(string(j.Wish.Desired)+by(j.Wish.By)+", "+since(now, j.Wish.Since)+because(j.Wish.Reason)))
	put("group", j.Group)
	put("note", j.Note)
	if j.Template != "" {
		put("template", strings.TrimSuffix(fmt.Sprintf("%s version %d; %s", j.Template, j.TemplateVersion, behindText(j)), "; "))
		put("values", valuesText(j.Values))
	}
	put("tasks", taskText(j.Tasks))
	if j.Schedule != nil {
		next := make([]string, len(j.Schedule.Next))
		for i, t := range j.Schedule.Next {
			next[i] = stampOf(t)
		}
		put("schedule", j.Schedule.Text+"; next "+strings.Join(next, ", "))
	}
	put("verified", verifiedText(j, now))
	if j.VerifySchedule != nil {
		put("verify at", j.VerifySchedule.Text)
	}
	if s.Status == api.StatusRetrying {
		put("retry", fmt.Sprintf("attempt %d, next %s", s.Attempt, stampOf(s.NextRetryAt)))
	}
	put("reason", s.Reason)
	if j.Alarms > 0 {
		put("alarms", fmt.Sprintf("%d hold: godwit job alarms %s", j.Alarms, j.Name))
	}
	if e := faultOf(s.Error); e != nil {
		for _, l := range faultLines(e, v.c) {
			out = append(out, "  "+l)
		}
	}
	out = append(out, sinkLines(j, v, now)...)
	if j.Progress != nil {
		out = append(out, v.away(withoutSinks(j))...)
		out = append(out, "  as of "+j.Progress.Sampled.Local().Format("15:04:05 -07:00"))
	}
	return out
}

// away is the block of a job that runs elsewhere: nothing here stops it.
func (v view) away(p watch.Progress) []string {
	lines := v.block(p)
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], gap+stopAdvice)
	}
	return lines
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func taskText(t api.TaskCounts) string {
	parts := []string{}
	for _, p := range []struct {
		n    int
		word string
	}{{t.Running, "running"}, {t.Waiting, "waiting"}, {t.Retrying, "retrying"}, {t.Paused, "paused"}, {t.Failed, "failed"}, {t.Finished, "finished"}} {
		if p.n > 0 {
			parts = append(parts, grouped(int64(p.n))+" "+p.word)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return grouped(int64(t.Total)) + ": " + strings.Join(parts, ", ")
}

func (a *app) jobCheckCommand() *cobra.Command {
	var deep bool
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a job file as the server sees it; nothing is kept",
		Example: `  godwit job check job.yaml
  godwit job check job.yaml --deep`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error { return a.checkThere(c.Context(), args[0], deep) },
	}
	c.Flags().BoolVar(&deep, "deep", false, "ask the source and the sinks too, from where the server is")
	completeFiles(c)
	return c
}

func (a *app) checkThere(ctx context.Context, path string, deep bool) error {
	text, err := jobText(path)
	if err != nil {
		return err
	}
	return a.ask(ctx, deep, func(ctx context.Context, c *client) error {
		r, err := got(c.CheckJobWithResponse(ctx, api.Draft{File: text, Deep: deep}))
		if err != nil {
			return inFile(err, path)
		}
		a.job = r.Name
		if len(r.Problems) > 0 {
			return inFile(problemsError{fileProblems(r.Problems)}, path)
		}
		failed := 0
		for _, f := range r.Findings {
			if !f.Ok && !f.Warning {
				failed++
			}
			a.showFinding(findingOf(f))
		}
		switch {
		case failed > 0 || !r.Ok:
			return fault.New(fault.CheckFailed, "%d of %s did not pass", failed, plural(int64(len(r.Findings)), "check")).At("%s", path).
				Try("mend what is marked failed above, then godwit job check %s --deep", path)
		case deep:
			a.say(a.errCol.green("all fits") + ". Next: godwit job submit " + path)
		default:
			a.say("the file is right. Next: godwit job check " + path + " --deep, which asks the systems too")
		}
		return nil
	})
}

func findingOf(f api.Finding) watch.Finding {
	out := watch.Finding{On: f.On, Name: f.Name, Detail: f.Detail, Fault: faultOf(f.Error), Warn: f.Warning}
	if out.Fault == nil && (!f.Ok || f.Warning) {
		out.Fault = fault.New(fault.CheckFailed, "%s", f.Detail)
	}
	return out
}

func (a *app) jobPlanCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Tell what the server would do with a job file, and what it would change",
		Example: `  godwit job plan job.yaml
  godwit job plan job.yaml --json`,
		Args: oneArg("the job file"),
		RunE: func(c *cobra.Command, args []string) error { return a.planThere(c.Context(), args[0], all) },
	}
	c.Flags().BoolVar(&all, "all", false, "also name tables that are done, and list every column")
	completeFiles(c)
	return c
}

func (a *app) planThere(ctx context.Context, path string, all bool) error {
	text, err := jobText(path)
	if err != nil {
		return err
	}
	return a.ask(ctx, true, func(ctx context.Context, c *client) error {
		r, err := got(c.PlanJobWithResponse(ctx, api.Draft{File: text}))
		if err != nil {
			return inFile(err, path)
		}
		spec := &job.Spec{Name: nameIn(text), File: path}
		a.job = spec.Name
		if a.json {
			a.emitChanges(spec.Name, r.Changes)
			a.emit(planLine{a.jobHead("plan", spec.Name), r.Plan})
			return nil
		}
		a.print(changeLines(r.Changes, a.outCol)...)
		r.Plan.Edits = slices.DeleteFunc(r.Plan.Edits, func(e watch.PlanEdit) bool { // said already
			return slices.ContainsFunc(r.Changes, func(c api.Change) bool { return c.Field == e.Field })
		})
		lines := planLines(spec, r.Plan, all, a.outCol)
		if r.Plan.Files != nil {
			lines = filePlanLines(spec, r.Plan, a.outCol)
		}
		next := "godwit job submit " + path
		if len(r.Changes) > 0 {
			next = "godwit job edit " + spec.Name + " " + path
		}
		last := len(lines) - 1
		lines[last] = strings.TrimSuffix(lines[last], "godwit run "+path) + next
		a.print(lines...)
		return nil
	})
}

// nameIn finds the job's name in the text of its file, for messages alone.
func nameIn(text string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "name:"); ok {
			v, _, _ = strings.Cut(v, "#")
			return clean(strings.Trim(strings.TrimSpace(v), `"'`))
		}
	}
	return ""
}
