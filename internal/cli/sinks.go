package cli

import (
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// troubleLines tell of sinks that failed, and of those that wait: a problem is never
// folded away.
func (v view) troubleLines(p watch.Progress) []string {
	sinks := p.Sinks
	if p.Files != nil {
		sinks = []watch.Sink{{Name: watch.Target, Standing: p.Files.Target}}
	}
	var out []string
	for _, s := range sinks {
		if st := s.Standing; st != nil && inTrouble(st) {
			out = append(out, cut(v.c.yellow(" ! sink "+clean(s.Name)+" "+st.Status.String())+troubleText(st), v.width))
		}
	}
	return out
}

// inTrouble reports whether a sink failed, or waits until something that failed is
// mended.
func inTrouble(s *job.Standing) bool {
	return s.Failure != nil || s.Status == job.Unassigned && s.Reason != ""
}

func troubleText(s *job.Standing) string {
	if f := s.Failure; f != nil {
		return ", attempt " + grouped(int64(s.Attempt)) + ": " + string(f.Code) + ": " + clean(f.What) //nolint:gosec // attempts are few
	}
	return ": " + clean(s.Reason)
}

// sinksPlain tells how all sinks stand where one of them is in trouble; else it is
// empty.
func sinksPlain(p watch.Progress) string {
	var words []string
	trouble := false
	for _, s := range p.Sinks {
		st := s.Standing
		if st == nil {
			continue
		}
		word := s.Name + ":" + st.Status.String()
		if st.Failure != nil {
			word += "/" + string(st.Failure.Code)
		}
		words, trouble = append(words, word), trouble || inTrouble(st)
	}
	if !trouble {
		return ""
	}
	return strings.Join(words, ",")
}

// sinkLines shows the sinks of a job on a server, each with its error, unless that is
// told of the whole job already.
func sinkLines(j api.Job, v view, now time.Time) (out []string) {
	for _, s := range j.Sinks {
		parts := []string{"  sink      " + v.c.bold(clean(s.Name)) + "  " + wordColour(v.c, string(s.Standing.Status)), sinkSince(s.Standing, now)}
		if s.Standing.Reason != "" && s.Standing.Error == nil {
			parts = append(parts, clean(s.Standing.Reason))
		}
		out = append(out, fit(v.width, gap, append(parts, sinkMeasures(s, v, now)...)...))
		if e := faultOf(s.Standing.Error); e != nil && (j.Standing.Error == nil || *j.Standing.Error != *s.Standing.Error) {
			for _, l := range faultLines(e, v.c) {
				out = append(out, "    "+l)
			}
		}
	}
	return out
}

// withoutSinks is the progress of a job whose sinks are told apart.
func withoutSinks(j api.Job) watch.Progress {
	p := *j.Progress
	if len(j.Sinks) == 0 {
		return p // it is of a server that does not tell them
	}
	p.Sinks = nil
	if p.Files != nil {
		f := *p.Files
		f.Target, p.Files = nil, &f
	}
	return p
}

func sinkSince(s api.Standing, now time.Time) string {
	t := "since " + since(now, s.Since)
	if s.Fruitless > 0 {
		t += ", attempt " + grouped(s.Attempt)
	}
	if s.Status == api.StatusRetrying && !s.NextRetryAt.IsZero() {
		t += ", next " + stampOf(s.NextRetryAt)
	}
	return t
}

// sinkMeasures say what was measured of a sink; what is not known is not said.
func sinkMeasures(s api.Sink, v view, now time.Time) (out []string) {
	if l := s.Lag; l != nil {
		out = append(out, v.lagText(watch.Lag{State: string(l.State), Seconds: l.Seconds}, 1))
	}
	if s.Position != "" {
		out = append(out, "at "+clean(s.Position))
	}
	if !s.CommittedAt.IsZero() {
		out = append(out, "committed "+since(now, s.CommittedAt))
	}
	if s.Rows != nil {
		what := "row"
		if s.Commits == nil {
			what = "object"
		}
		out = append(out, plural(*s.Rows, what))
	}
	if s.DeadLetters > 0 {
		out = append(out, plural(s.DeadLetters, "dead letter"))
	}
	if s.QueueBytes != nil && *s.QueueBytes > 0 {
		t := "queue " + bytesText(float64(*s.QueueBytes))
		if s.QueueLimitBytes > 0 {
			t += " of " + bytesText(float64(s.QueueLimitBytes))
		}
		out = append(out, t)
	}
	return out
}
