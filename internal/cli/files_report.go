package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// reportWriter writes a report in one of its forms. object is called for each
// object, and end once, with the rest.
type reportWriter interface {
	object(o watch.Object) error
	end(r watch.FilesReport) error
}

// reportFlags are the flags of report and verify.
type reportFlags struct {
	failed bool
	format string
	output string
}

func (a *app) reportFlags(c *cobra.Command, f *reportFlags, formats string) {
	c.Flags().StringVar(&f.format, "format", "text", "the `FORM`: "+formats)
	c.Flags().StringVarP(&f.output, "output", "o", "", "a `FILE` to write to, instead of stdout")
	a.actFlags(c)
}

func (a *app) reportCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "report JOB",
		Short: "Tell how the objects of a file job ended, one by one",
		Example: `  godwit report media.yaml --failed
  godwit report media-move --format html --output report.html`,
		Long: `Report tells of the last round: counts, key ranges, what happened when, and objects with their state and reason. As text it
lists those that failed; json (one object a line) and csv have all of them, or with --failed those alone. docs/formats/report.md
describes both. It disturbs no run.`,
		Args: oneArg("the job file or the job's name"),
		RunE: func(c *cobra.Command, args []string) error { return a.report(c.Context(), args[0], f) },
	}
	c.Flags().BoolVar(&f.failed, "failed", false, "only objects that failed")
	a.reportFlags(c, &f, "text, json, csv, html")
	return c
}

func (a *app) report(ctx context.Context, arg string, f reportFlags) (err error) {
	spec, files, o, err := a.filesJob(ctx, arg)
	if err != nil {
		return err
	}
	out, close, err := a.reportOutput(&f, "text", "json", "csv", "html")
	if err != nil {
		return err
	}
	w := a.reportWriter(out, spec, f)
	err = a.act(ctx, func(ctx context.Context) error {
		// People look for what failed; programs filter themselves.
		few := f.failed || f.format == "text" || f.format == "html"
		r, err := files.Report(ctx, spec, o, few, func(ob watch.Object) error {
			ob.Error = a.hide(ob.Error)
			return w.object(ob)
		})
		if err != nil {
			return err
		}
		r.Error = a.hide(r.Error)
		return w.end(r)
	})
	return close(err)
}

func (a *app) reportWriter(out io.Writer, spec *job.Spec, f reportFlags) reportWriter {
	switch f.format {
	case "json":
		return &jsonReport{a: a, w: out, spec: spec}
	case "csv":
		return newCSVReport(out)
	case "html":
		return &htmlReport{a: a, w: out, spec: spec}
	}
	c := a.outCol
	if f.output != "" {
		c = colours{}
	}
	most := 50
	if f.failed {
		most = 1 << 62
	}
	return &textReport{w: out, spec: spec, c: c, most: most}
}

// reportOutput is where a report goes: stdout, or a file that appears only whole.
// close takes the error of the report and returns that of both.
func (a *app) reportOutput(f *reportFlags, forms ...string) (out io.Writer, close func(error) error, err error) {
	if a.json && f.output == "" {
		f.format = "json"
	}
	if !contains(forms, f.format) {
		return nil, nil, fault.New(fault.Usage, "--format %s: no such form", clean(f.format)).Try("%s", nearestOf(f.format, forms))
	}
	if f.output == "" {
		return a.out, func(err error) error { return err }, nil
	}
	failed := func(err error) error {
		return fault.New(fault.Usage, "the report cannot be written").At("%s", f.output).By(err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.output), ".godwit-report-*")
	if err != nil {
		return nil, nil, failed(err)
	}
	return tmp, func(err error) error {
		defer os.Remove(tmp.Name()) // it has another name when all went well
		if end := tmp.Close(); err == nil && end != nil {
			err = failed(end)
		}
		if err != nil && fault.Of(err).Code != fault.DifferencesFound {
			return err
		}
		if moved := os.Rename(tmp.Name(), f.output); moved != nil {
			return failed(moved)
		}
		if !a.json {
			a.scr.print("written to " + f.output)
		}
		return err
	}, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// objectLine, taskLine, entryLine and filesReportLine are the lines of a report.
type objectLine struct {
	jobHead
	watch.Object
}

type taskReportLine struct {
	jobHead
	watch.Task
}

type entryLine struct {
	jobHead
	At   string `json:"at"`
	Run  uint64 `json:"run"`
	What string `json:"what"`
}

type filesReportLine struct {
	jobHead
	watch.FilesReport
}

type jsonReport struct {
	a    *app
	w    io.Writer
	spec *job.Spec
}

func (r *jsonReport) line(v any) error {
	_, err := fmt.Fprintln(r.w, jsonLine(v))
	return err
}

func (r *jsonReport) head(kind string) jobHead { return newJobHead(kind, r.spec.Name, r.a.p.Now()) }

func (r *jsonReport) object(o watch.Object) error {
	return r.line(objectLine{r.head("object"), o})
}

func (r *jsonReport) end(f watch.FilesReport) error {
	tasks, audit := f.Tasks, f.Audit
	f.Tasks, f.Audit = nil, nil
	var errs []error
	for _, t := range tasks {
		errs = append(errs, r.line(taskReportLine{r.head("task"), t}))
	}
	for _, e := range audit {
		errs = append(errs, r.line(entryLine{r.head("audit"), stamp(e.At), e.Run, r.a.hide(e.What)}))
	}
	return errors.Join(append(errs, r.line(filesReportLine{r.head("report"), f}))...)
}

// csvColumns are the columns of a report as CSV, version 1: only ever added to, at
// the end.
var csvColumns = []string{"key", "target", "size", "modified", "action", "reason", "state", "code", "error", "how", "checked", "sum", "bytes", "attempts", "erased", "at", "ms", "task"}

type csvReport struct {
	w     *csv.Writer
	begun bool
}

func newCSVReport(w io.Writer) *csvReport { return &csvReport{w: csv.NewWriter(w)} }

func (r *csvReport) begin() error {
	if r.begun {
		return nil
	}
	r.begun = true
	return r.w.Write(csvColumns)
}

func (r *csvReport) object(o watch.Object) error {
	n := func(x int64) string { return strconv.FormatInt(x, 10) }
	return errors.Join(r.begin(), r.w.Write([]string{o.Key, o.Target, n(o.Size), timeText(o.Modified), o.Action, o.Reason, o.State, o.Code, o.Error, o.How, o.Checked, o.Sum,
		n(o.Bytes), strconv.Itoa(o.Attempts), strconv.FormatBool(o.Erased), timeText(o.At), n(o.Millis), o.Task}))
}

func (r *csvReport) end(watch.FilesReport) error {
	err := r.begin()
	r.w.Flush()
	return errors.Join(err, r.w.Error())
}

// textReport is for people: what failed, and then the rest.
type textReport struct {
	w    io.Writer
	spec *job.Spec
	c    colours
	most int // failures to list
	seen int
	why  map[string]int // by code
}

func (r *textReport) line(format string, args ...any) { fmt.Fprintf(r.w, format+"\n", args...) }

func (r *textReport) object(o watch.Object) error {
	if r.why == nil {
		r.why = map[string]int{}
	}
	r.why[o.Code]++
	if r.seen++; r.seen > r.most {
		return nil
	}
	r.line("%s  %s  %s", r.c.red(pad(o.State, 7)), r.c.bold(clean(o.Key)), bytesText(float64(o.Size)))
	why := clean(o.Error)
	if !strings.HasPrefix(why, o.Code) {
		why = o.Code + ": " + why
	}
	r.line("           %s", why)
	return nil
}

func (r *textReport) end(f watch.FilesReport) error {
	if r.seen > r.most {
		r.line("… and %s more: godwit report %s --failed", grouped(int64(r.seen-r.most)), r.spec.File)
	}
	if r.seen > 0 {
		r.line("")
	}
	state := f.State
	if f.Ended != nil {
		state += " " + timeText(f.Ended)
	}
	r.line("%s  %s   run %d  %s", r.c.bold(r.spec.Name), clean(f.Description), f.Run, state)
	if f.Error != "" {
		r.line("  %s", clean(f.Error))
	}
	c := f.Counts
	for _, e := range countsOf(c) {
		if e.of.Objects > 0 || e.word == "copied" || e.word == "failed" {
			r.line("  %s %s", pad(e.word, 11), objectsText(e.of))
		}
	}
	done := 0
	for _, t := range f.Tasks {
		if t.State == "done" {
			done++
		}
	}
	r.line("  %s %d of %d done", pad("key ranges", 11), done, len(f.Tasks))
	for i, e := range f.Audit[max(0, len(f.Audit)-10):] {
		if i == 0 {
			r.line("  lately")
		}
		r.line("    %s  run %d  %s", e.At.Local().Format("2006-01-02 15:04:05 -07:00"), e.Run, clean(e.What))
	}
	_, err := fmt.Fprint(r.w, "")
	return err
}

// counted is a state with its word for people.
type counted struct {
	word string
	of   watch.Ended
}

// countsOf lists the states in the order in which people look for them.
func countsOf(o watch.Objects) []counted {
	return []counted{{"listed", o.Listed}, {"copied", o.Copied}, {"same", o.Same}, {"left as is", o.Skipped}, {"deleted", o.Deleted}, {"gone", o.Gone},
		{"failed", o.Failed}, {"waiting", o.Left}}
}
