package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

func (a *app) verifyCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "verify JOB",
		Short: "Compare source and target, object by object or row by row, and change nothing",
		Example: `  godwit verify media.yaml
  godwit verify shop.yaml --format html --output verified.html`,
		Long: `Of a file job, verify compares every object by the strongest proof that both sides give. Of a table job it compares the values
of all rows with those in each sink, while the job may run. It ends with exit code 4 when something is missing, extra, different,
doubled, or cannot be compared; it copies and deletes nothing.`,
		Args: oneArg("the job file or the job's name"),
		RunE: func(c *cobra.Command, args []string) error { return a.verify(c.Context(), args[0], f) },
	}
	a.reportFlags(c, &f, "text, json, html")
	return c
}

// verifyWriter writes a verification in one of its forms.
type verifyWriter interface {
	difference(d watch.Difference) error
	end(r watch.VerifyReport) error
}

func (a *app) verify(ctx context.Context, arg string, f reportFlags) error {
	spec, verifier, o, err := a.verifiable(ctx, arg)
	if err != nil {
		return err
	}
	out, close, err := a.reportOutput(&f, "text", "json", "html")
	if err != nil {
		return err
	}
	var w verifyWriter = &textVerify{w: out, spec: spec, c: a.outCol}
	switch f.format {
	case "json":
		w = &jsonVerify{a: a, w: out, spec: spec}
	case "html":
		w = &htmlVerify{a: a, w: out, spec: spec}
	}
	var r watch.VerifyReport
	o.Files = watch.NewFiles(watch.Options{Job: spec.Name})
	shown := a.showVerifying(spec, o.Files)
	err = a.act(ctx, func(ctx context.Context) (err error) {
		defer shown()
		r, err = verifier.Verify(ctx, spec, o, func(d watch.Difference) error {
			d.Reason = a.hide(d.Reason)
			return w.difference(d)
		})
		shown()
		if err != nil {
			return err
		}
		return w.end(r)
	})
	if err == nil && r.Differences() > 0 {
		f := fault.New(fault.DifferencesFound, "%s", differencesText(r)).At("%s", spec.Name)
		if r.Tables == nil {
			f = f.Try("godwit run %s copies what is missing, newer or of another size; a copy that differs otherwise needs overwrite: always", spec.File)
		}
		err = f
	}
	return close(err)
}

// verifiable reads a job that can be verified, and who does.
func (a *app) verifiable(ctx context.Context, arg string) (*job.Spec, engine.Verifier, Options, error) {
	spec, err := a.readJob(ctx, arg)
	if err != nil {
		return nil, nil, Options{}, err
	}
	v, ok := a.engine.(engine.Verifier)
	if !ok {
		return nil, nil, Options{}, fault.New(fault.Usage, "jobs of kind %s cannot be verified here", spec.Kind).At("%s", spec.File)
	}
	o, err := a.options(0, spec)
	return spec, v, o, err
}

// verifyFrame is how often the progress of a verification is painted.
const verifyFrame = 500 * time.Millisecond

// showVerifying shows how far a verification is, on a terminal, until the function that
// it returns is called.
func (a *app) showVerifying(spec *job.Spec, record *watch.Files) (stop func()) {
	begun, done, over := a.p.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(verifyFrame)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				a.scr.paint([]string{verifyingText(spec, record.Verified(), a.p.Now().Sub(begun))})
			case <-done:
				a.scr.paint(nil)
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-over })
}

// verifyingText says how far a verification is, and how long it will still take at the
// pace so far.
func verifyingText(spec *job.Spec, v watch.Verified, takes time.Duration) string {
	what := "objects"
	if spec.Kind != job.KindFiles {
		what = "rows"
	}
	n := v.Compared.Objects
	out := spec.Name + "  verifying  " + grouped(n)
	if v.Expected > n {
		out += " of about " + grouped(v.Expected)
	}
	out += " " + what + " read, running " + clockText(takes)
	if v.Expected > n && n > 0 {
		out += ", about " + clockText(time.Duration(float64(takes)*float64(v.Expected-n)/float64(n))) + " left"
	}
	if v.Again > 0 {
		out += ", " + grouped(v.Again) + " to be judged again"
	}
	return out
}

// unitOf is what a report counts.
func unitOf(r watch.VerifyReport) string {
	if r.Tables != nil {
		return "row"
	}
	return "object"
}

func differencesText(r watch.VerifyReport) string {
	s := plural(r.Differences(), unitOf(r)) + " of source and target not proven equal:"
	sep := " "
	for _, k := range []struct {
		n    int64
		word string
	}{{r.Missing, "missing"}, {r.Extra, "extra"}, {r.Different, "different"}, {r.Doubled, "doubled"}, {r.NotComparable, "not comparable"}} {
		if k.n > 0 {
			s += sep + grouped(k.n) + " " + k.word
			sep = ", "
		}
	}
	return s
}

// verdict is what a verification found, in one sentence.
func verdict(r watch.VerifyReport) string {
	if r.Differences() > 0 {
		return differencesText(r)
	}
	return "equal: " + equalText(r)
}

// equalText is how much was found equal.
func equalText(r watch.VerifyReport) string {
	if r.Tables != nil {
		return plural(r.Equal.Objects, "row")
	}
	return objectsText(r.Equal)
}

type differenceLine struct {
	jobHead
	watch.Difference
}

type verifiedLine struct {
	jobHead
	Verdict string `json:"verdict"` // equal, different
	watch.VerifyReport
}

type jsonVerify struct {
	a    *app
	w    io.Writer
	spec *job.Spec
}

func (v *jsonVerify) difference(d watch.Difference) error {
	_, err := fmt.Fprintln(v.w, jsonLine(differenceLine{newJobHead("difference", v.spec.Name, v.a.p.Now()), d}))
	return err
}

func (v *jsonVerify) end(r watch.VerifyReport) error {
	word := "equal"
	if r.Differences() > 0 {
		word = "different"
	}
	_, err := fmt.Fprintln(v.w, jsonLine(verifiedLine{newJobHead("verified", v.spec.Name, v.a.p.Now()), word, r}))
	return err
}

type textVerify struct {
	w    io.Writer
	spec *job.Spec
	c    colours
}

func (v *textVerify) difference(d watch.Difference) error {
	_, err := fmt.Fprintf(v.w, "%s  %s  %s%s\n", v.c.red(pad(d.Kind, 14)), v.c.bold(clean(d.Key)), clean(d.Reason), sidesText(d))
	if d.Row == nil {
		return err
	}
	for _, c := range d.Row.Columns {
		_, err = fmt.Fprintf(v.w, "  %s  source %s  %s %s\n", clean(c.Column), clean(c.Source), clean(d.Row.On), clean(c.Sink))
	}
	return err
}

// sidesText says the sizes where they differ.
func sidesText(d watch.Difference) string {
	if d.Source == nil || d.Sink == nil || d.Source.Size == d.Sink.Size {
		return ""
	}
	return fmt.Sprintf(" (%s in the source, %s in the target)", grouped(d.Source.Size), grouped(d.Sink.Size))
}

func (v *textVerify) end(r watch.VerifyReport) error {
	word := v.c.green("equal")
	if r.Differences() > 0 {
		word = v.c.red("not equal")
	}
	fmt.Fprintf(v.w, "%s  %s  %s\n", word, v.c.bold(v.spec.Name), clean(r.Description))
	fmt.Fprintf(v.w, "  %s; took %s, %s read\n", verdict(r), clockText(r.Ended.Sub(r.Started)), bytesText(float64(r.Read)))
	for _, s := range r.By {
		fmt.Fprintf(v.w, "  equal by %s %s\n", pad(clean(s.By), 10), grouped(s.Objects))
	}
	v.tables(r.Tables)
	if r.ExtraUnknown != "" {
		fmt.Fprintf(v.w, "  what only the target has was not looked for: %s\n", clean(r.ExtraUnknown))
	}
	_, err := fmt.Fprint(v.w, "")
	return err
}

// tables tells of each table what is not plain.
func (v *textVerify) tables(tables []watch.VerifiedTable) {
	for _, t := range tables {
		name := clean(t.On + ": " + t.Table)
		switch bad := t.Missing + t.Extra + t.Different + t.Doubled + t.NotComparable; {
		case t.NotCompared != "":
			fmt.Fprintf(v.w, "  %s not compared: %s\n", v.c.bold(name), clean(t.NotCompared))
			continue
		case bad > 0:
			fmt.Fprintf(v.w, "  %s %s\n", v.c.bold(name), differencesText(tableReport(t)))
		default:
			fmt.Fprintf(v.w, "  %s equal: %s\n", v.c.bold(name), plural(t.Equal, "row"))
		}
		fmt.Fprintf(v.w, "    source at %s, sink at %s\n", clean(t.SourceAt), clean(t.SinkAt))
		if len(t.Lossy) > 0 {
			fmt.Fprintf(v.w, "    compared as the sink holds them: %s\n", clean(strings.Join(t.Lossy, ", ")))
		}
	}
}

// tableReport is what was found of one table as a report of its own.
func tableReport(t watch.VerifiedTable) watch.VerifyReport {
	return watch.VerifyReport{Equal: watch.Ended{Objects: t.Equal}, Missing: t.Missing, Extra: t.Extra, Different: t.Different, Doubled: t.Doubled,
		NotComparable: t.NotComparable, Tables: []watch.VerifiedTable{t}}
}

// rowCells are the values that differ, of both sides.
func rowCells(d watch.Difference) (source, sink string) {
	if d.Row == nil {
		return "", ""
	}
	for i, c := range d.Row.Columns {
		if i > 0 {
			source, sink = source+"\n", sink+"\n"
		}
		source, sink = source+c.Column+" "+c.Source, sink+c.Column+" "+c.Sink
	}
	return source, sink
}

// verifyRow is a difference as a row of the page.
func verifyRow(d watch.Difference) []string {
	if d.Row != nil {
		source, sink := rowCells(d)
		return []string{d.Kind, d.Key, d.Reason, source, sink, d.Row.On, d.Row.SourceAt, d.Row.SinkAt}
	}
	size := func(s *watch.Side) string {
		if s == nil {
			return ""
		}
		return strconv.FormatInt(s.Size, 10)
	}
	return []string{d.Kind, d.Key, d.Reason, size(d.Source), size(d.Sink)}
}
