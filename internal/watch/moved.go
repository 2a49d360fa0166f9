package watch

import "godwit/internal/job"

// Moved reports whether p tells something else than an earlier o, but for the time
// that passes, what follows from it alone (rates, ends) and memory.
func (p *Progress) Moved(o *Progress) bool { return p.mark() != o.mark() }

// mark is what moves in a Progress.
type mark struct {
	run                         uint64
	phase, note, lag            string
	seconds                     int64
	rows, total, bytes, changes int64
	tables                      TableCounts
	marked                      int
	sinkRows, commits           int64
	objects                     [9]Ended
	standing                    int64 // of all sinks, summed up
}

func (p *Progress) mark() mark {
	m := mark{run: p.Run, phase: p.Phase, note: p.Note, rows: p.Rows.Done, total: p.Rows.Total, bytes: p.Bytes, tables: p.Tables, marked: len(p.Marked)}
	if c := p.Changes; c != nil {
		m.changes, m.lag = c.Rows, c.Lag.State
		if c.Lag.Seconds != nil {
			m.seconds = int64(*c.Lag.Seconds)
		}
	}
	for _, s := range p.Sinks {
		m.sinkRows += s.Rows
		m.commits += s.Commits
		m.standing += stood(s.Standing)
	}
	if f := p.Files; f != nil {
		m.objects = [9]Ended{f.Listed, f.Copied, f.Same, f.Skipped, f.Deleted, f.Failed, f.Gone, f.Left, f.Flying}
		m.standing = stood(f.Target)
	}
	return m
}

// stood is another number whenever a sink stands otherwise.
func stood(s *job.Standing) int64 {
	if s == nil {
		return 0
	}
	return s.Since.UnixNano() + int64(s.Status) + int64(s.Attempt) //nolint:gosec // attempts are few
}
