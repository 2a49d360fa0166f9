package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"godwit/internal/job"
	"godwit/internal/watch"
)

// This file shows the progress of file jobs: as a block, as a timed line, and at
// the end.

// modeOf is what a job does, in a word.
func modeOf(s *job.Spec) string {
	if s.Kind == job.KindFiles {
		return string(job.KindFiles)
	}
	return string(s.Mode)
}

// fileBlock shows a file job as the lines of a terminal.
func (v view) fileBlock(p watch.Progress) []string {
	o := p.Files
	out := []string{v.fileTitle(p)}
	if o.Round > 0 {
		out = append(out, v.listedLine(p), v.copiedLine(p))
		if o.Failed.Objects > 0 {
			out = append(out, fit(v.width, gap, " "+v.c.red(fmt.Sprintf("failed    %s", grouped(o.Failed.Objects)))+": godwit report "+p.Job+" --failed"))
		}
		if l := v.leftLine(p); l != "" {
			out = append(out, l)
		}
	}
	out = append(out, v.troubleLines(p)...)
	last := " memory    " + bytesText(float64(p.Memory.Used))
	if p.Memory.Limit > 0 {
		last += " of " + bytesText(float64(p.Memory.Limit))
	}
	return append(out, fit(v.width, gap, last, stopAdvice))
}

func (v view) fileTitle(p watch.Progress) string {
	run := ""
	if p.Run > 0 {
		run = fmt.Sprintf("run %d", p.Run)
	}
	if p.Files.Round > 1 {
		run += fmt.Sprintf(", round %d", p.Files.Round)
	}
	if p.Note != "" {
		run += ": " + clean(p.Note)
	}
	what := map[string]string{
		watch.Starting: "connecting", watch.Listing: "copying while listing", watch.Copying: "copying", watch.Resting: "waits for the next round",
		watch.Finishing: "finishing", watch.Done: "done",
	}[p.Phase]
	return fit(v.width, gap, v.c.bold(p.Job)+"  "+what, "running "+clockText(seconds(p.Elapsed)), run)
}

func objectsText(e watch.Ended) string {
	return plural(e.Objects, "object") + ", " + bytesText(float64(e.Bytes))
}

func (v view) listedLine(p watch.Progress) string {
	o := p.Files
	t := " listed    " + objectsText(o.Listed)
	if o.ListedAll {
		return fit(v.width, gap, t)
	}
	t += " so far"
	if o.Ranges > 0 {
		t += fmt.Sprintf(" (%s of %s key ranges)", grouped(int64(o.RangesListed)), grouped(int64(o.Ranges)))
	}
	return fit(v.width, gap, t, rateText(o.ListRate, "objects/s"))
}

func (v view) copiedLine(p watch.Progress) string {
	o := p.Files
	t := " copied    " + objectsText(o.Copied)
	if o.ListedAll && p.Rows.Percent != nil {
		t = " copied    " + v.bar(*p.Rows.Percent) + fmt.Sprintf("%6s", percentText(*p.Rows.Percent)) + gap + objectsText(o.Copied)
	}
	parts := []string{t, rateText(o.Rate, "objects/s"), byteRateText(p.ByteRate)}
	for _, e := range []struct {
		word string
		of   watch.Ended
	}{{"same", o.Same}, {"left as is", o.Skipped}, {"deleted", o.Deleted}, {"gone", o.Gone}} {
		if e.of.Objects > 0 {
			parts = append(parts, e.word+" "+grouped(e.of.Objects)+", "+bytesText(float64(e.of.Bytes)))
		}
	}
	return fit(v.width, gap, parts...)
}

// leftLine says what is left; while listing goes on that is a lower bound, with
// neither a share nor an end.
func (v view) leftLine(p watch.Progress) string {
	o := p.Files
	flying := ""
	if o.Flying.Objects > 0 {
		flying = grouped(o.Flying.Objects) + " in flight"
		if o.Lanes > 0 {
			flying += fmt.Sprintf(", %d lanes", o.Lanes)
		}
	}
	switch {
	case p.Phase == watch.Listing:
		return fit(v.width, gap, " left      at least "+objectsText(o.Left)+": listing goes on, so no % and no end yet", flying)
	case o.Left.Objects > 0:
		return fit(v.width, gap, " left      "+objectsText(o.Left), leftText(p), flying)
	}
	return ""
}

// putFiles writes the fields of a file job's timed line.
func putFiles(p watch.Progress, put func(key, value string)) {
	o := p.Files
	if o.Round > 1 {
		put("round", strconv.Itoa(o.Round))
	}
	sign := ""
	if !o.ListedAll {
		sign = ">="
	}
	put("listed", fmt.Sprintf("%s%d", sign, o.Listed.Objects))
	put("listed_bytes", fmt.Sprintf("%s%d", sign, o.Listed.Bytes))
	put("ranges", fmt.Sprintf("%d/%s%d", o.RangesListed, sign, o.Ranges))
	for _, e := range []struct {
		word string
		of   watch.Ended
	}{{"copied", o.Copied}, {"same", o.Same}, {"skipped", o.Skipped}, {"deleted", o.Deleted}, {"gone", o.Gone}, {"failed", o.Failed}} {
		if e.of.Objects > 0 || e.word == "copied" || e.word == "failed" {
			put(e.word, strconv.FormatInt(e.of.Objects, 10))
		}
	}
	put("copied_bytes", strconv.FormatInt(o.Copied.Bytes, 10))
	put("in_flight", strconv.FormatInt(o.Flying.Objects, 10))
	if o.Rate != nil {
		put("objects_s", strconv.FormatInt(int64(*o.Rate), 10))
	}
}

// fileSummary are the three lines at the end of a file job.
func fileSummary(p watch.Progress, o watch.Outcome, err error, c colours) []string {
	f := p.Files
	end := endText(p, o)
	if o.Stopped {
		end += ": what was copied is recorded; run again to go on"
	}
	rate := ""
	if s := p.Elapsed; s >= 1 {
		rate = fmt.Sprintf(" (%s objects/s, %s/s on average)", short(float64(f.Copied.Objects)/s), bytesText(float64(f.Copied.Bytes)/s))
	}
	counts := []string{"copied " + objectsText(f.Copied)}
	for _, e := range []struct {
		word string
		n    int64
	}{{"same", f.Same.Objects}, {"left as is", f.Skipped.Objects}, {"deleted", f.Deleted.Objects}, {"gone before they were read", f.Gone.Objects}} {
		if e.n > 0 {
			counts = append(counts, e.word+" "+grouped(e.n))
		}
	}
	if f.Failed.Objects > 0 {
		counts = append(counts, c.red("failed "+grouped(f.Failed.Objects)))
	}
	out := []string{
		endWord(o, err, c) + "  " + c.bold(p.Job) + "  " + end,
		"  " + strings.Join(counts, ", ") + " in " + clockText(max(seconds(p.Elapsed), time.Second)) + rate,
	}
	return append(out, whereLines(o)...)
}
