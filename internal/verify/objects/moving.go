package objects

import "context"

// Moving is what a verification must know of a job that moves objects meanwhile: what
// is on its way is missing, or differs, until it has arrived.
type Moving struct {
	// Now reports whether what differs now may still be on its way. Such an object is
	// judged again at the end, and nobody hears of it before. It is called often.
	Now func() bool
	// Over waits until what was on its way has arrived. It is called once, when all is
	// compared, if something differed then. An error of it ends the verification.
	Over func(ctx context.Context) error
}

// Bounds of what is judged again. A name that long is rare; most have a tenth of it.
const (
	mostSuspects = 100_000
	mostNames    = 16 << 20 // bytes of all names
)

// suspected is what a record calls objects that are to be judged again.
const suspected Verdict = "suspected"

// suspect keeps a subject that differs to be judged again where it may only be on its
// way, and reports whether it did. What there is no room for is no difference, and
// not proven to be equal either: f says so then.
func (j *job) suspect(s subject, f *Finding) bool {
	if j.settled || f.Verdict == Equal || f.Verdict == Unreadable || f.Verdict == Incomparable || !j.Moving.Now() {
		return false
	}
	j.mu.Lock()
	size := len(s.key) + len(s.name) + len(s.origin)
	room := len(j.suspects) < mostSuspects && j.names+size <= mostNames
	if room {
		j.names += size
		j.suspects = append(j.suspects, subject{key: s.key, name: s.name, origin: s.origin, looked: true})
	}
	j.mu.Unlock()
	if !room {
		f.Verdict, f.How, f.Reason = Changing, "", "the job moved objects meanwhile, and too many differed to be looked at again"
		return false
	}
	j.note(suspected, 1, 0)
	return true
}

// note counts an object for whoever watches.
func (j *job) note(v Verdict, objects int, bytes int64) {
	if j.Record != nil {
		j.Record.Ended(string(v), objects, bytes)
	}
}
