package table

import (
	"context"
	"fmt"
	"slices"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/watch"
)

// readerPace is what one reader is expected to copy in a second before anything
// was measured: less than most do, so that the log is rather called too short.
const readerPace = 8 << 20

// outlook is what a job needs of its source's log, and how long that stays.
type outlook struct {
	connector.Retention
	known   bool
	need    string        // the place that must stay, in words; empty: none yet
	copying bool          // a snapshot is to be made or finished
	takes   time.Duration // how long that will take; 0 unknown
	basis   string        // of takes: "at …"
	purged  bool          // parts were removed by hand while the job looked on
	apart   bool          // only a table that stands apart needs that place
	lost    []string      // sinks whose snapshot needs what the log no longer has
}

// outlook asks the source about the place that goes first of those the sinks
// need. A source that cannot tell, and a log that is another by now, are not
// known: what reads from the place finds out.
func (o *opened) outlook(ctx context.Context, states []*flow.SinkState) (outlook, error) {
	out := outlook{}
	r, ok := o.source.(connector.Retainer)
	if !ok {
		return out, nil
	}
	all, parts := o.needed(states)
	places := slices.Concat(all, parts)
	if len(places) == 0 {
		places = []position.Position{{}}
	}
	for i, p := range places {
		kept, err := r.Retention(ctx, p)
		if fault.Has(err, fault.SourceDiverged) {
			return outlook{}, nil
		}
		if err != nil {
			return out, err
		}
		if i < len(all) && kept.Lost {
			out.lost = append(out.lost, o.copyingFrom(states, p)...)
		}
		if !out.known || sooner(kept, out.Retention) {
			out.known, out.Retention, out.need, out.apart = true, kept, o.describe(p), i >= max(1, len(all))
		}
	}
	out.copying = o.copies(states)
	return out, nil
}

// sooner reports whether what a needs goes before what b needs.
func sooner(a, b connector.Retention) bool {
	switch {
	case a.Lost != b.Lost:
		return a.Lost
	case a.Left != b.Left:
		return a.Left < b.Left
	}
	return a.Spare < b.Spare
}

// needed returns the places from which the log is read next, for all tables and for
// those that stand apart. Sinks that have come to the end asked for read nothing.
func (o *opened) needed(states []*flow.SinkState) (all, parts []position.Position) {
	for _, s := range states {
		if s.At.IsZero() || o.over(s) {
			continue
		}
		if !slices.Contains(all, s.At) {
			all = append(all, s.At)
		}
		for _, p := range s.Parts {
			parts = append(parts, p.At)
		}
	}
	return all, parts
}

// copies reports whether some sink has a snapshot ahead of it.
func (o *opened) copies(states []*flow.SinkState) bool {
	return o.spec.Mode != job.Changes && slices.ContainsFunc(states, func(s *flow.SinkState) bool {
		return !s.Whole || slices.ContainsFunc(s.Parts, copying)
	})
}

// copyingFrom names the sinks whose snapshot of everything is not whole and whose stream
// stands at a place.
func (o *opened) copyingFrom(states []*flow.SinkState, at position.Position) (names []string) {
	for _, s := range states {
		if o.spec.Mode != job.Changes && !s.Whole && s.At == at && !o.over(s) {
			names = append(names, s.Sink.Name)
		}
	}
	return names
}

// over reports whether a sink has come to the end that the spec asks for, with all
// tables that it chooses.
func (o *opened) over(s *flow.SinkState) bool {
	end := o.endAsked()
	return end != "" && s.Reached == end && !copying(s) && len(s.Parts) == 0 && s.Follows(o.spec.Tables)
}

// estimate fills in how long it takes to copy tables. A table without a key is
// read by one reader.
func (l *outlook) estimate(tables []*row.Table, parallel int) (pace int64) {
	var all, longest int64
	for _, t := range tables {
		all += max(t.Bytes, 0)
		if len(t.Key) == 0 {
			longest = max(longest, t.Bytes)
		}
	}
	pace = readerPace * int64(parallel)
	l.takes = time.Duration(max(float64(all)/float64(pace), float64(longest)/readerPace) * float64(time.Second))
	l.basis = fmt.Sprintf("at %d MiB/s", pace>>20)
	return pace
}

// soon is how little of the log's life may be left before that needs care: a
// quarter of it, at most half a day.
func soon(kept time.Duration) time.Duration { return min(kept/4, 12*time.Hour) }

// verdict returns what is wrong, or nil. Only what has the code SOURCE_LOST
// cannot be mended any more.
func (l outlook) verdict() *fault.Error {
	left := l.Left
	if l.need == "" {
		left = l.Kept
	}
	switch {
	case !l.known:
		return nil
	case l.Lost && l.apart:
		return fault.New(fault.SourceLost, "the log no longer has what follows %s, which a table that stands apart needs", l.need).
			Try("%s; then read that table again with `godwit job resync`", l.Longer)
	case l.Lost:
		return fault.New(fault.SourceLost, "the log no longer has what follows %s, which the job needs", l.need).
			Try("%s; then read everything again with `godwit run --again`", l.Longer)
	case l.Kept > 0 && l.copying && l.takes > left:
		return fault.New(fault.SourceSettings, "the snapshot needs the log for about %s (%s), but it may lose what the job needs in %s: it is kept for %s (%s)",
			span(l.takes), l.basis, span(left), span(l.Kept), l.By).Try("%s", l.Longer)
	case l.Kept > 0 && l.need != "" && left < soon(l.Kept):
		return fault.New(fault.SourceSettings, "the log may lose what follows %s in %s: it is kept for %s (%s)", l.need, span(left), span(l.Kept), l.By).Try("%s", l.Longer)
	case l.purged && l.need != "" && l.Behind > 0 && l.Spare <= 1:
		return fault.New(fault.SourceSettings, "the log is removed by hand, close to %s, which the job needs: %s", l.need, spare(l.Spare)).Try("%s", l.Longer)
	}
	return nil
}

func spare(n int) string {
	if n == 0 {
		return "the next part to go is the one it is in"
	}
	return fmt.Sprintf("%d older part is left before it", n)
}

// span is a span of time for people, to the minute, below an hour to the second.
func span(d time.Duration) string {
	switch {
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// checkLog says whether the log will reach back to what the job needs.
func (o *opened) checkLog(ctx context.Context, tables []*row.Table, parallel int) []watch.Finding {
	states, err := o.flow.Find(ctx)
	if err != nil {
		return nil // the sink's own findings say why
	}
	l, err := o.outlook(ctx, states)
	if err != nil || !l.known {
		return nil // the source's own findings say why
	}
	detail := "nothing was begun"
	if l.need != "" {
		detail = "needed from " + l.need + " on"
	}
	if l.copying {
		l.estimate(tables, parallel)
		detail += fmt.Sprintf("; the snapshot takes about %s %s", span(l.takes), l.basis)
	}
	f := l.verdict()
	return []watch.Finding{{On: "source", Name: "log for this job", Detail: detail, Fault: f, Warn: f != nil && f.Code != fault.SourceLost}}
}

// planLog puts into a plan how long the log is kept, how long the copy of what is
// left takes, and whether the one is long enough for the other.
func (o *opened) planLog(ctx context.Context, r *watch.PlanReport, left []*row.Table, states []*flow.SinkState, parallel int) error {
	l, err := o.outlook(ctx, states)
	if fault.Has(err, fault.SourceGrants) || err == nil && !l.known {
		return nil // godwit check says what is missing
	}
	if err != nil {
		return err
	}
	r.KeptFor, r.Reach = l.Kept.Seconds(), l.Reach.Seconds()
	if l.copying {
		r.Pace = l.estimate(left, parallel)
		r.Takes = l.takes.Seconds()
	}
	if f := l.verdict(); f != nil {
		r.Warnings = append(r.Warnings, watch.Warning{What: f.What, Hint: f.Hint})
	}
	return nil
}
