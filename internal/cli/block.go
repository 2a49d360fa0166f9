package cli

import (
	"fmt"
	"strings"
	"time"

	"godwit/internal/watch"
)

// view is what a Progress is shown with.
type view struct {
	c     colours
	width int
}

const gap = "   "

// stopAdvice ends the block of a run, of which this process is in charge.
const stopAdvice = "Ctrl-C stops cleanly; run again to go on"

// block shows a job as the lines of a terminal, none wider than v.width.
func (v view) block(p watch.Progress) []string {
	if p.Files != nil {
		return v.fileBlock(p)
	}
	out := []string{v.title(p)}
	if l := v.snapshotLine(p); l != "" {
		out = append(out, l)
	}
	if l := v.streamLine(p); l != "" {
		out = append(out, l)
	}
	out = append(out, v.tableLines(p)...)
	out = append(out, v.markLines(p)...)
	if l := v.sinkLine(p); l != "" {
		out = append(out, l)
	}
	out = append(out, v.troubleLines(p)...)
	return append(out, v.lastLine(p))
}

func modeText(mode string) string {
	if mode == "snapshot_and_changes" {
		return "snapshot, then stream"
	}
	return mode
}

func (v view) title(p watch.Progress) string {
	run := ""
	if p.Run > 0 {
		run = fmt.Sprintf("run %d", p.Run)
		if p.Note != "" {
			run += ": " + clean(p.Note)
		}
	}
	word, detail := stateWords(p)
	return fit(v.width, gap, v.c.bold(p.Job)+"  "+modeText(p.Mode), word+" "+clockText(seconds(p.Elapsed)), detail, run)
}

func stateWords(p watch.Progress) (word, detail string) {
	switch p.Phase {
	case watch.Starting:
		return "starting", "connecting and reading schemas"
	case watch.Planning:
		return "planning", "dividing tables into chunks"
	case watch.Finishing:
		return "finishing", "the last commit"
	}
	return "running", ""
}

func (v view) snapshotLine(p watch.Progress) string {
	if p.Tables.Total == 0 {
		return ""
	}
	lead := " snapshot  "
	if p.Phase != watch.Snapshot && p.Tables.Done == p.Tables.Total {
		return fit(v.width, gap, lead+v.c.green("done"), rowsText(p.Rows), plural(int64(p.Tables.Total), "table"))
	}
	if p.Rows.Percent != nil {
		lead += v.bar(*p.Rows.Percent) + fmt.Sprintf("%6s", percentText(*p.Rows.Percent)) + gap
	}
	return fit(v.width, gap, lead+rowsText(p.Rows), leftText(p), rateText(p.Rate, "rows/s"), byteRateText(p.ByteRate))
}

func (v view) bar(percent float64) string {
	n := 16
	if v.width < 90 {
		n = 8
	}
	full := min(n, int(percent*float64(n)/100))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", n-full) + "]"
}

// rowsText says how many rows of how many, and how well that is known.
func rowsText(c watch.Count) string {
	done := short(float64(c.Done))
	switch c.Kind {
	case watch.Growing:
		return fmt.Sprintf("%s rows, more than estimated (%s)", done, short(float64(c.Estimated)))
	case watch.Estimate:
		return fmt.Sprintf("%s of ~%s rows", done, short(float64(c.Total)))
	}
	return done + " rows"
}

func leftText(p watch.Progress) string {
	if p.Left == nil {
		return ""
	}
	mid, low, high := durationText(seconds(p.Left.Seconds)), durationText(seconds(p.Left.Low)), durationText(seconds(p.Left.High))
	if low == high {
		return "~" + mid + " left " + p.Left.Basis
	}
	return fmt.Sprintf("~%s left %s (%s to %s)", mid, p.Left.Basis, low, high)
}

func rateText(r *float64, unit string) string {
	if r == nil {
		return ""
	}
	return short(*r) + " " + unit
}

func byteRateText(r *float64) string {
	if r == nil {
		return ""
	}
	return bytesText(*r) + "/s"
}

func (v view) streamLine(p watch.Progress) string {
	lead := " stream    "
	if p.Changes == nil || p.Phase != watch.Stream && p.Phase != watch.Finishing && p.Phase != watch.Done {
		if p.Mode == "snapshot" || p.Phase == watch.Starting {
			return ""
		}
		kept := ""
		switch {
		case p.KeptFor != nil:
			kept = "; the log is kept for " + durationText(seconds(*p.KeptFor))
		case p.Reach != nil:
			kept = "; the log reaches back " + durationText(seconds(*p.Reach)) + ", no limit is set"
		}
		return fit(v.width, gap, lead+"waits for the snapshot"+kept)
	}
	c := p.Changes
	parts := []string{lead + v.lagText(c.Lag, len(p.Sinks)), rateText(c.Rate, "changes/s")}
	if c.Falling != nil {
		t := "falling behind by " + durationText(seconds(*c.Falling)) + " a minute"
		if c.LostIn != nil {
			t += "; the log is lost in ~" + durationText(seconds(*c.LostIn))
		}
		parts = append(parts, v.c.yellow(t))
	}
	if c.CatchUp != nil {
		parts = append(parts, "~"+durationText(seconds(*c.CatchUp))+" to the head at this rate")
	}
	if c.Position != "" {
		parts = append(parts, "at "+clean(c.Position))
	}
	if c.Ahead != nil && *c.Ahead > 0 {
		parts = append(parts, "head "+bytesText(float64(*c.Ahead))+" ahead")
	}
	return fit(v.width, gap, parts...)
}

func (v view) lagText(l watch.Lag, sinks int) string {
	of := ""
	if sinks > 1 {
		of = fmt.Sprintf(" (%d sinks, worst %s)", sinks, l.Sink)
	}
	switch {
	case l.State == watch.CaughtUp:
		return v.c.green("caught up") + of
	case l.State == watch.Behind && l.Seconds != nil:
		return "lag " + durationText(seconds(*l.Seconds)) + of
	case l.State == watch.Behind:
		return "behind" + of
	case l.State == watch.Idle:
		return "idle" + of
	}
	return "lag unknown" + of
}

// maxTableLines bounds what active tables take of the screen.
const maxTableLines = 4

func (v view) tableLines(p watch.Progress) []string {
	if p.Phase != watch.Snapshot {
		return nil
	}
	var out []string
	for i, t := range p.Active {
		if i == maxTableLines {
			break
		}
		percent := "     "
		if t.Rows.Percent != nil {
			percent = fmt.Sprintf("%5s", percentText(*t.Rows.Percent))
		}
		chunk := fmt.Sprintf("chunk %s/%s", grouped(int64(t.ChunksDone)), grouped(int64(t.Chunks)))
		out = append(out, fit(v.width, gap, "   "+pad(cut(clean(t.Name), 32), 20)+" "+percent, rowsText(t.Rows), chunk, rateText(t.Rate, "rows/s")))
	}
	var rest []string
	if n := p.Tables.Active - len(out); n > 0 {
		rest = append(rest, fmt.Sprintf("%d more being read", n))
	}
	if p.Tables.Done > 0 {
		rest = append(rest, plural(int64(p.Tables.Done), "table")+" done")
	}
	if p.Tables.Waiting > 0 {
		rest = append(rest, fmt.Sprintf("%d waiting", p.Tables.Waiting))
	}
	if len(rest) > 0 {
		out = append(out, fit(v.width, gap, "   + "+strings.Join(rest, ", ")))
	}
	return out
}

// markLines names tables that need a resync: a problem is never folded away.
func (v view) markLines(p watch.Progress) []string {
	var out []string
	for i, m := range p.Marked {
		if i == maxTableLines {
			out = append(out, v.c.yellow(fmt.Sprintf(" ! %d more tables need a resync", len(p.Marked)-i)))
			break
		}
		out = append(out, cut(v.c.yellow(" ! "+clean(m.Table)+" needs a resync")+": "+clean(m.Reason), v.width))
	}
	return out
}

func (v view) sinkLine(p watch.Progress) string {
	if len(p.Sinks) == 0 {
		return ""
	}
	parts := []string{}
	for i, s := range p.Sinks {
		t := v.c.bold(s.Name) + "  "
		if i == 0 {
			t = " sinks     " + t
		}
		if s.CommittedAt != nil {
			t += "committed " + durationText(p.Sampled.Sub(*s.CommittedAt)) + " ago"
		} else {
			t += "nothing committed in this run"
		}
		if s.Buried > 0 {
			t += ", " + v.c.yellow(plural(s.Buried, "dead letter"))
		}
		if s.QueueLimit > 0 {
			t += fmt.Sprintf(", queue %s of %s", bytesText(float64(s.Queue)), bytesText(float64(s.QueueLimit)))
		}
		parts = append(parts, t)
	}
	return fit(v.width, gap, parts...)
}

func (v view) lastLine(p watch.Progress) string {
	parts := []string{" brake     " + brakeText(p)}
	if p.Memory.Used > 0 {
		t := "memory " + bytesText(float64(p.Memory.Used))
		if p.Memory.Limit > 0 {
			t += " of " + bytesText(float64(p.Memory.Limit))
		}
		parts = append(parts, t)
	}
	return fit(v.width, gap, append(parts, stopAdvice)...)
}

// brakeText names the stage that is busy while others wait.
func brakeText(p watch.Progress) string {
	b := p.Brake
	switch {
	case b == nil && len(p.Stages) == 0:
		return "not measured yet"
	case b == nil:
		return "nothing here: at the source's speed"
	}
	t := fmt.Sprintf("%s %d %% of the time", b.Stage, int(100*b.Share))
	if b.Sink != "" {
		t = b.Sink + ": " + t
	}
	return t
}

// since is how long ago t was, for people.
func since(now, t time.Time) string { return durationText(now.Sub(t)) + " ago" }
