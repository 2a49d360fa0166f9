package cli

import (
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/watch"
)

// timedLine is a job as one line of key=value, for logs and pipes.
func timedLine(p watch.Progress) string {
	var b strings.Builder
	b.WriteString(p.Sampled.UTC().Format("2006-01-02T15:04:05Z") + " " + p.Job)
	put := func(key, value string) {
		if value == "" || strings.ContainsAny(value, " =\"") {
			value = strconv.Quote(value)
		}
		b.WriteString(" " + key + "=" + clean(value))
	}
	put("phase", p.Phase)
	if p.Files != nil {
		putFiles(p, put)
	}
	if p.Tables.Total > 0 {
		put("tables", fmt.Sprintf("%d/%d", p.Tables.Done, p.Tables.Total))
		put("rows", countPlain(p.Rows))
	}
	if p.Rows.Percent != nil && p.Phase == watch.Snapshot {
		put("pct", strings.TrimSuffix(percentText(*p.Rows.Percent), " %"))
	}
	putRate := func(key string, r *float64) {
		if r != nil {
			put(key, strconv.FormatInt(int64(*r), 10))
		}
	}
	if p.Files != nil && p.Rows.Percent != nil {
		put("pct", strings.TrimSuffix(percentText(*p.Rows.Percent), " %"))
	}
	putRate("rows_s", p.Rate)
	putRate("bytes_s", p.ByteRate)
	if l := p.Left; l != nil {
		put("left", fmt.Sprintf("%ds", int64(l.Seconds)))
		put("left_low", fmt.Sprintf("%ds", int64(l.Low)))
		put("left_high", fmt.Sprintf("%ds", int64(l.High)))
	}
	if c := p.Changes; c != nil && p.Phase != watch.Snapshot {
		put("changes", strconv.FormatInt(c.Rows, 10))
		putRate("changes_s", c.Rate)
		put("lag", lagPlain(c.Lag))
		if c.Position != "" {
			put("at", c.Position)
		}
		if c.Ahead != nil {
			put("head_ahead", strconv.FormatInt(*c.Ahead, 10))
		}
		if c.Falling != nil {
			put("falling_s_per_min", fmt.Sprintf("%.1f", *c.Falling))
		}
	}
	if br := p.Brake; br != nil {
		put("brake", strings.TrimPrefix(br.Sink+"."+br.Stage, "."))
	}
	if s := sinksPlain(p); s != "" {
		put("sinks", s)
	}
	if len(p.Marked) > 0 {
		put("resync_needed", strconv.Itoa(len(p.Marked)))
	}
	if p.Memory.Used > 0 {
		put("mem", fmt.Sprintf("%dMiB", p.Memory.Used>>20))
	}
	return b.String()
}

func countPlain(c watch.Count) string {
	done := strconv.FormatInt(c.Done, 10)
	switch c.Kind {
	case watch.Estimate:
		return done + "/~" + strconv.FormatInt(c.Total, 10)
	case watch.Exact:
		return done + "/" + strconv.FormatInt(c.Total, 10)
	}
	return done
}

func lagPlain(l watch.Lag) string {
	switch {
	case l.State == watch.CaughtUp:
		return "0s"
	case l.Seconds != nil:
		return fmt.Sprintf("%.1fs", *l.Seconds)
	}
	return l.State
}
