package cli

import (
	_ "embed"
	"html/template"
	"io"
	"strconv"
	"strings"

	"godwit/internal/job"
	"godwit/internal/watch"
)

//go:embed page.html
var pageText string

// pageRows bounds the tables of a page: a browser must still open it.
const pageRows = 10_000

// page is a report as one page of HTML. Everything in it is escaped by the
// template.
type page struct {
	Title, Verdict string
	Good           bool
	Facts          []fact
	Counts         []fact
	Tables         []tableOnPage
	Of             string // what rows are of
	Heads          []string
	Rows           [][]string
	Note           string // about rows; may be empty
	Left           string // how many rows are left out; empty: none
	None           string // what stands there when there are no rows
	Tasks          []watch.Task
	Audit          []watch.Entry
	Made           string
}

type fact struct{ Name, Value string }

// tableOnPage is what was found of a table in a sink.
type tableOnPage struct {
	On, Table string
	Counts    []string // as the page's heads have them
	Notes     string
}

func (p *page) row(cells []string) {
	if len(p.Rows) < pageRows {
		p.Rows = append(p.Rows, cells)
	}
}

func (p *page) write(w io.Writer, seen int) error {
	if seen > len(p.Rows) {
		p.Left = grouped(int64(seen - len(p.Rows)))
	}
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// htmlReport is godwit report as a page.
type htmlReport struct {
	a    *app
	w    io.Writer
	spec *job.Spec
	page page
	seen int
}

func (h *htmlReport) object(o watch.Object) error {
	h.seen++
	h.page.row([]string{o.Key, o.State, o.Code, o.Error, strconv.FormatInt(o.Size, 10), strconv.Itoa(o.Attempts), timeText(o.At)})
	return nil
}

func (h *htmlReport) end(r watch.FilesReport) error {
	p := &h.page
	p.Title, p.Made = h.spec.Name, timeText(new(h.a.p.Now()))
	p.Good = r.Counts.Failed.Objects == 0 && r.Error == ""
	p.Verdict = "no object failed"
	if !p.Good {
		p.Verdict = plural(r.Counts.Failed.Objects, "object") + " failed"
	}
	p.Facts = []fact{{"way", r.Description}, {"state", r.State}, {"run", strconv.FormatUint(r.Run, 10)}, {"started", timeText(r.Started)}, {"ended", timeText(r.Ended)}, {"error", r.Error}}
	for _, e := range countsOf(r.Counts) {
		p.Counts = append(p.Counts, fact{e.word, objectsText(e.of)})
	}
	p.Heads = []string{"object", "state", "code", "reason", "bytes", "attempts", "at"}
	p.Of, p.None, p.Tasks = "Objects", "No object failed.", r.Tasks
	for _, e := range r.Audit {
		e.What = h.a.hide(e.What)
		p.Audit = append(p.Audit, e)
	}
	return p.write(h.w, h.seen)
}

// htmlVerify is godwit verify as a page.
type htmlVerify struct {
	a    *app
	w    io.Writer
	spec *job.Spec
	page page
	seen int
}

func (h *htmlVerify) difference(d watch.Difference) error {
	h.seen++
	h.page.row(verifyRow(d))
	return nil
}

func (h *htmlVerify) end(r watch.VerifyReport) error {
	p := &h.page
	p.Title, p.Made = h.spec.Name, timeText(new(h.a.p.Now()))
	p.Good, p.Verdict = r.Differences() == 0, verdict(r)
	p.Facts = []fact{{"way", r.Description}, {"started", timeText(&r.Started)}, {"ended", timeText(&r.Ended)}, {"read", bytesText(float64(r.Read))}}
	p.Counts = []fact{{"equal", equalText(r)}, {"missing", grouped(r.Missing)}, {"extra", grouped(r.Extra)}, {"different", grouped(r.Different)}, {"not comparable", grouped(r.NotComparable)}}
	for _, s := range r.By {
		p.Counts = append(p.Counts, fact{"equal by " + s.By, grouped(s.Objects)})
	}
	p.Heads, p.Of, p.None = []string{"kind", "object", "reason", "bytes in the source", "bytes in the target"}, "Objects", "Nothing differs."
	if r.Tables != nil {
		p.Heads, p.Of = []string{"kind", "row", "reason", "values in the source", "values in the sink", "sink", "source at", "sink at"}, "Rows"
		p.Counts = append(p.Counts, fact{"doubled", grouped(r.Doubled)})
		p.Tables = tablesOnPage(r.Tables)
		if len(p.Rows) > 0 {
			p.Note = "The first 1,000 rows of each table that differ are listed; counts are of all."
		}
	}
	return p.write(h.w, h.seen)
}

func tablesOnPage(tables []watch.VerifiedTable) (out []tableOnPage) {
	for _, t := range tables {
		row := tableOnPage{On: t.On, Table: t.Table, Notes: "source at " + t.SourceAt + ", sink at " + t.SinkAt}
		for _, n := range []int64{t.Equal, t.Missing, t.Extra, t.Different, t.Doubled, t.NotComparable} {
			row.Counts = append(row.Counts, grouped(n))
		}
		if t.NotCompared != "" {
			row.Notes = "not compared: " + t.NotCompared
		}
		if len(t.Lossy) > 0 {
			row.Notes += "; compared as the sink holds them: " + strings.Join(t.Lossy, ", ")
		}
		out = append(out, row)
	}
	return out
}
