package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

func (a *app) verifyCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "verify JOB",
		Short: "Compare source and target of a file job, object by object, and change nothing",
		Example: `  godwit verify media.yaml
  godwit verify media-move --format html --output verified.html`,
		Long: `Verify compares every object by the strongest proof that both sides give. It ends with exit code 4 when something is
missing, extra, different, or cannot be compared; it copies and deletes nothing.`,
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
	spec, files, o, err := a.filesJob(ctx, arg)
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
	err = a.act(ctx, func(ctx context.Context) (err error) {
		r, err = files.Verify(ctx, spec, o, func(d watch.Difference) error {
			d.Reason = a.hide(d.Reason)
			return w.difference(d)
		})
		if err != nil {
			return err
		}
		return w.end(r)
	})
	if err == nil && r.Differences() > 0 {
		err = fault.New(fault.DifferencesFound, "%s", differencesText(r)).At("%s", spec.Name).
			Try("godwit run %s copies what is missing, newer or of another size; a copy that differs otherwise needs overwrite: always", spec.File)
	}
	return close(err)
}

func differencesText(r watch.VerifyReport) string {
	s := plural(r.Differences(), "object") + " of source and target not proven equal:"
	sep := " "
	for _, k := range []struct {
		n    int64
		word string
	}{{r.Missing, "missing"}, {r.Extra, "extra"}, {r.Different, "different"}, {r.NotComparable, "not comparable"}} {
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
	return "equal: " + objectsText(r.Equal)
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
	if r.ExtraUnknown != "" {
		fmt.Fprintf(v.w, "  what only the target has was not looked for: %s\n", clean(r.ExtraUnknown))
	}
	_, err := fmt.Fprint(v.w, "")
	return err
}

// verifyRow is a difference as a row of the page.
func verifyRow(d watch.Difference) []string {
	size := func(s *watch.Side) string {
		if s == nil {
			return ""
		}
		return strconv.FormatInt(s.Size, 10)
	}
	return []string{d.Kind, d.Key, d.Reason, size(d.Source), size(d.Sink)}
}
