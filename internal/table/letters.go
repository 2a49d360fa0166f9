package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/watch"
)

var _ engine.LetterReader = Engine{}

// Bounds of what one look at letters reads and shows.
const (
	maxLettersRead = 100_000
	maxLetterCells = 40
)

// Letters lists rows that sinks have put aside, without the source: it may be what is
// broken.
func (e Engine) Letters(ctx context.Context, s *job.Spec, o engine.Options, q engine.LetterQuery) (r watch.LetterReport, err error) {
	if q.Sink != "" && !slices.ContainsFunc(s.Sinks, func(k job.Sink) bool { return k.Name == q.Sink }) {
		return r, noSink(s, q.Sink)
	}
	from, mark, ok := strings.Cut(q.After, "/")
	if q.After != "" && (!ok || !slices.ContainsFunc(s.Sinks, func(k job.Sink) bool { return k.Name == from })) {
		return r, fault.New(fault.BadRequest, "%.80q is no page of dead letters", q.After).Try("begin with the first page")
	}
	o = whole(s, o)
	opened := withoutSource(s, e.env(s, o))
	defer func() { err = errors.Join(err, opened.close()) }()
	l := letters{q: q, counts: map[watch.LetterCount]int64{}, report: watch.LetterReport{Letters: []watch.Letter{}}}
	for i := range s.Sinks {
		name := s.Sinks[i].Name
		if from != "" && name != from {
			continue // an earlier page had it
		}
		after := mark
		from, mark = "", ""
		if q.Sink != "" && name != q.Sink {
			continue
		}
		if err := opened.openSink(ctx, &s.Sinks[i]); err != nil {
			return r, err
		}
		box, ok := opened.sink(name).(connector.Letterbox)
		if !ok {
			continue
		}
		err := box.Letters(ctx, after, func(x connector.StoredLetter) error { return l.add(name, x) })
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return r, fault.InSink(name, err)
		}
	}
	return l.end(), nil
}

// noSink says that a job has no sink of a name, and which it has.
func noSink(s *job.Spec, name string) error {
	var known []string
	for _, k := range s.Sinks {
		known = append(known, k.Name)
	}
	hint := "known: " + strings.Join(known, ", ")
	if n := option.Nearest(name, known); n != "" {
		hint = fmt.Sprintf("did you mean %q? ", n) + hint
	}
	return fault.New(fault.BadRequest, "%s has no sink %.80q", s.Name, name).At("%s", s.File).Try("%s", hint)
}

// letters makes a page of what sinks have.
type letters struct {
	q      engine.LetterQuery
	read   int
	counts map[watch.LetterCount]int64 // of sink and table
	last   string                      // the page after the last letter that is on this one, or was passed over
	full   bool                        // the page has all that it may have
	report watch.LetterReport
}

func (l *letters) add(sink string, x connector.StoredLetter) error {
	wanted := l.q.Table == "" || x.Table == l.q.Table
	switch {
	case l.read >= maxLettersRead:
		l.report.AtLeast = true
		l.report.Next = cmp.Or(l.report.Next, l.last)
		return errEnough
	case wanted && l.full:
		l.report.Next = cmp.Or(l.report.Next, l.last)
		if !l.q.Count {
			return errEnough
		}
	case wanted:
		l.report.Letters = append(l.report.Letters, shownLetter(sink, x))
		l.full = len(l.report.Letters) == l.q.Limit
	}
	l.read++
	l.counts[watch.LetterCount{Sink: sink, Table: x.Table}]++
	if l.report.Next == "" {
		l.last = sink + "/" + x.Mark
	}
	return nil
}

// end is the report. Without being asked nothing is counted.
func (l *letters) end() watch.LetterReport {
	if !l.q.Count {
		l.report.AtLeast = false
		return l.report
	}
	l.report.Counts = []watch.LetterCount{}
	for c, n := range l.counts {
		c.Letters = n
		l.report.Counts = append(l.report.Counts, c)
	}
	slices.SortFunc(l.report.Counts, func(a, b watch.LetterCount) int {
		return cmp.Or(cmp.Compare(a.Sink, b.Sink), cmp.Compare(a.Table, b.Table))
	})
	return l.report
}

func shownLetter(sink string, x connector.StoredLetter) watch.Letter {
	return watch.Letter{Sink: sink, Table: x.Table, Op: x.Op, Pos: x.Pos, Key: shownCells(x.Key), Row: shownCells(x.Row),
		Code: x.Code, What: x.What, Hint: x.Hint, Time: x.Time.UTC(), At: x.At}
}

// shownCells are the first columns by name, with texts that are not too long.
func shownCells(cells map[string]*string) map[string]*string {
	if len(cells) == 0 {
		return nil
	}
	out := make(map[string]*string, min(len(cells), maxLetterCells))
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		if len(out) == maxLetterCells {
			break
		}
		out[name] = cells[name]
		if v := cells[name]; v != nil {
			short := shortText(*v)
			out[name] = &short
		}
	}
	return out
}
