package cli

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"godwit/internal/job"
	"godwit/internal/watch"
)

// blockDisplay repaints a block on a terminal.
type blockDisplay struct{ a *app }

// frame is the least time between two frames.
const frame = 100 * time.Millisecond

func (d *blockDisplay) view() view { return view{d.a.errCol, max(20, d.a.scr.width()-1)} }

func (d *blockDisplay) start(watch.Progress)  {}
func (d *blockDisplay) phase(watch.Progress)  {}
func (d *blockDisplay) tables(watch.Progress) {}
func (d *blockDisplay) mark(m watch.Mark) {
	d.a.scr.print(humanLog(slog.LevelWarn, clean(m.Table)+" needs a resync: "+clean(m.Reason), d.a.p.Now(), d.a.errCol))
}
func (d *blockDisplay) log(l slog.Level, line string) {
	d.a.scr.print(humanLog(l, line, d.a.p.Now(), d.a.errCol))
}
func (d *blockDisplay) status(p watch.Progress) { d.a.scr.print(d.view().block(p)...) }
func (d *blockDisplay) tick(p watch.Progress, _ time.Time) time.Duration {
	d.a.scr.paint(d.view().block(p))
	if p.Elapsed < 2 {
		return frame
	}
	return 2 * frame
}
func (d *blockDisplay) end(p watch.Progress, o watch.Outcome, err error) {
	d.a.scr.paint(nil)
	d.a.scr.print(summaryLines(p, o, err, d.a.errCol)...)
}

// lineDisplay prints timed lines: no bars, no repainting.
type lineDisplay struct {
	a     *app
	every time.Duration // 0: 10 s, after a minute 60 s
	last  time.Time
}

func (d *lineDisplay) interval(elapsed float64) time.Duration {
	switch {
	case d.every > 0:
		return d.every
	case d.a.accessible():
		return 30 * time.Second
	case elapsed < 60:
		return 10 * time.Second
	}
	return time.Minute
}

func (d *lineDisplay) line(p watch.Progress) {
	d.last = p.Sampled
	d.a.scr.print(timedLine(p))
}

func (d *lineDisplay) start(p watch.Progress) { d.line(p) }
func (d *lineDisplay) tables(watch.Progress)  {}
func (d *lineDisplay) status(p watch.Progress) {
	d.a.scr.print(view{d.a.errCol, d.a.scr.width()}.block(p)...)
}
func (d *lineDisplay) phase(p watch.Progress) {
	if p.Phase != watch.Starting { // the start said it
		d.line(p)
	}
}
func (d *lineDisplay) mark(m watch.Mark) {
	d.log(slog.LevelWarn, "needs a resync  table="+clean(m.Table)+"  reason="+fmt.Sprintf("%q", m.Reason))
}
func (d *lineDisplay) log(l slog.Level, line string) {
	d.a.scr.print(d.a.p.Now().UTC().Format("2006-01-02T15:04:05Z") + " " + d.a.job + " " + levelWord(l) + "  " + line)
}

func levelWord(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warning"
	}
	return "info"
}

func (d *lineDisplay) tick(p watch.Progress, now time.Time) time.Duration {
	due := d.last.Add(d.interval(p.Elapsed))
	if !now.Before(due) {
		d.line(p)
		due = now.Add(d.interval(p.Elapsed))
	}
	return min(max(due.Sub(now), frame), 5*time.Second)
}
func (d *lineDisplay) end(p watch.Progress, o watch.Outcome, err error) {
	d.line(p)
	d.a.scr.print(summaryLines(p, o, err, d.a.errCol)...)
}

// jsonDisplay prints JSON lines, progress at most once a second.
type jsonDisplay struct {
	a    *app
	spec *job.Spec
	last time.Time
}

func (d *jsonDisplay) out(v any) { fmt.Fprintln(d.a.out, jsonLine(v)) }

func (d *jsonDisplay) head(kind string) jobHead {
	return newJobHead(kind, d.spec.Name, d.a.p.Now())
}

func (d *jsonDisplay) start(p watch.Progress) {
	d.out(startLine{d.head(lineStart), d.a.version(), modeOf(d.spec), d.spec.File, os.Getpid()})
}
func (d *jsonDisplay) progress(kind string, p watch.Progress) {
	for i := range p.Marked {
		p.Marked[i].Reason = d.a.hide(p.Marked[i].Reason)
	}
	d.out(progressLine{newHead(kind, d.a.p.Now()), p})
}
func (d *jsonDisplay) phase(p watch.Progress) { d.progress(linePhase, p) }
func (d *jsonDisplay) tables(p watch.Progress) {
	if now := d.a.p.Now(); now.Sub(d.last) >= time.Second {
		d.last = now
		d.out(tableLine{d.head(lineTable), p.Tables})
	}
}
func (d *jsonDisplay) mark(m watch.Mark) {
	d.out(warningLine{jobHead: d.head(lineWarning), What: "the table needs a resync", Table: m.Table, Reason: m.Reason})
}
func (d *jsonDisplay) log(l slog.Level, line string) {
	if l >= slog.LevelWarn {
		d.out(warningLine{jobHead: d.head(lineWarning), What: line})
	}
}
func (d *jsonDisplay) status(p watch.Progress) { d.progress(lineProgress, p) }
func (d *jsonDisplay) tick(p watch.Progress, now time.Time) time.Duration {
	d.progress(lineProgress, p)
	return time.Second
}
func (d *jsonDisplay) end(p watch.Progress, _ watch.Outcome, _ error) { d.progress(lineProgress, p) }

// summaryLines are the three lines at the end of a run.
func summaryLines(p watch.Progress, o watch.Outcome, err error, c colours) []string {
	if p.Files != nil {
		return fileSummary(p, o, err, c)
	}
	elapsed := seconds(p.Elapsed)
	rate := ""
	if s := p.Elapsed; s >= 1 {
		rate = fmt.Sprintf(" (%s rows/s, %s/s on average)", short(float64(moved(p))/s), bytesText(float64(p.Bytes)/s))
	}
	first := ""
	if p.FirstRow != nil {
		first = fmt.Sprintf("; first row after %d ms", *p.FirstRow)
	}
	out := []string{
		endWord(o, err, c) + "  " + c.bold(p.Job) + "  " + endText(p, o),
		fmt.Sprintf("  %s, %s in %s%s%s", whatMoved(p), bytesText(float64(p.Bytes)), clockText(elapsed), rate, first),
	}
	return append(out, whereLines(o)...)
}

// whereLines says where everything went, and what is useful next.
func whereLines(o watch.Outcome) []string {
	var places []string
	for _, w := range o.Where {
		places = append(places, clean(w))
	}
	line := strings.Join(places, ", ")
	if o.Next != "" {
		line += "   next: " + o.Next
	}
	if line == "" {
		return nil
	}
	return []string{"  " + line}
}

func moved(p watch.Progress) int64 {
	n := p.Rows.Done
	if p.Changes != nil {
		n += p.Changes.Rows
	}
	return n
}

func whatMoved(p watch.Progress) string {
	s := plural(p.Rows.Done, "row") + " of " + plural(int64(p.Tables.Total), "table")
	if p.Changes != nil {
		s += " and " + plural(p.Changes.Rows, "change")
	}
	return s
}

func endWord(o watch.Outcome, err error, c colours) string {
	switch {
	case o.Stopped:
		return c.yellow("stopped")
	case len(o.Marked) > 0 || o.Failed > 0:
		return c.yellow("not whole")
	case err != nil:
		return c.red("failed")
	}
	return c.green("done")
}

func endText(p watch.Progress, o watch.Outcome) string {
	s := fmt.Sprintf("run %d", o.Run)
	if o.Run == 0 {
		s = fmt.Sprintf("run %d", p.Run)
	}
	if o.Nothing {
		s += ": nothing left to do"
	}
	if o.At != "" {
		s += ", complete at " + clean(o.At)
	}
	if o.AtTime != nil {
		s += " (" + o.AtTime.UTC().Format(time.RFC3339) + ")"
	}
	if o.Stopped && p.Files == nil {
		s += ": everything read is committed or will be read again; run again to go on"
	}
	return s
}
