package alarm

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// Times of the rules.
const (
	changingFor  = time.Minute      // what is wanted may take so long
	calmFor      = time.Minute      // a lag must be small again for so long
	fallingFor   = 10 * time.Minute // a peak makes a stream fall behind for some minutes
	fallingUntil = 72 * time.Hour   // a log that lasts longer is not worth waking somebody
	staleAfter   = 30 * time.Second // a progress that is older says nothing of now
	reachSlack   = time.Minute      // how far back a log goes is read every few seconds only
)

// verdict is what a rule finds. What it cannot know leaves the alarm as it is.
type verdict int

const (
	unknown verdict = iota
	fine
	wrong
)

// finding is a verdict, and what an alarm says when it is wrong. The texts do not
// change with every second: each change is written to disk.
type finding struct {
	verdict    verdict
	what, hint string
}

// rule looks at a job once. It raises after it found something wrong for a while, and
// resolves after all was fine for a while.
type rule struct {
	kind        string
	wrong, fine time.Duration
	look        func(*Board, *look, moment) finding
}

// The rules, by index.
const (
	desiredRule = iota
	lagRule
	retentionRule
	ruleCount
)

var rules = [ruleCount]rule{
	desiredRule:   {Desired, changingFor, 0, (*Board).desired},
	lagRule:       {Lag, 0, calmFor, (*Board).lag},
	retentionRule: {Retention, 0, calmFor, (*Board).retention},
}

// look is what is known of a job from earlier looks.
type look struct {
	mu          sync.Mutex
	wrong, fine [ruleCount]time.Time // since when, by rule; zero: it is not
	want        api.Desired
	falling     time.Time // since when the stream falls behind; zero: it does not

	kept  time.Duration // how long the source keeps its log; 0: without limit, or unknown
	asked bool          // that is known
	place time.Time     // when the source wrote what the job needs next; zero: unknown
}

// moment is a job now. p is nil when nothing is known of it.
type moment struct {
	now time.Time
	j   *api.Job
	p   *watch.Progress
}

// Watch looks at a job, and raises and resolves what it finds: Desired, Lag and
// Retention, of the job as a whole. It is called about once a second for each job that
// is there, running or not; p is the job's latest progress, nil if there is none. It
// keeps neither.
func (b *Board) Watch(job string, j api.Job, p *watch.Progress) {
	m := moment{b.now(), &j, p}
	if p != nil && !p.Sampled.IsZero() && m.now.Sub(p.Sampled) > staleAfter {
		m.p = nil
	}
	v, _ := b.looks.LoadOrStore(job, &look{})
	l := v.(*look)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learn(m)
	for i, r := range rules {
		f := r.look(b, l, m)
		switch f.verdict {
		case unknown:
			l.wrong[i], l.fine[i] = time.Time{}, time.Time{}
		case wrong:
			l.fine[i] = time.Time{}
			if since(&l.wrong[i], m.now) >= r.wrong {
				b.Raise(job, r.kind, "", f.what, f.hint)
			}
		case fine:
			l.wrong[i] = time.Time{}
			if since(&l.fine[i], m.now) >= r.fine {
				b.Resolve(job, r.kind, "")
			}
		}
	}
}

// since is for how long something is as it is; it begins now if mark is zero, or the
// clock was put back behind it.
func since(mark *time.Time, now time.Time) time.Duration {
	if mark.IsZero() || now.Before(*mark) {
		*mark = now
	}
	return now.Sub(*mark)
}

// learn keeps what is needed when nothing is known later: a log loses things also
// while a job is paused, or its source does not answer.
func (l *look) learn(m moment) {
	if want := m.want(); want != l.want {
		l.want = want
		l.wrong[desiredRule] = time.Time{} // what is wanted now has not been waited for yet
	}
	if m.p == nil {
		return
	}
	switch {
	case m.p.KeptFor != nil:
		l.kept, l.asked = seconds(*m.p.KeptFor), true
	case m.p.Reach != nil:
		l.kept, l.asked = 0, true
	}
	behind, known := m.behind()
	switch {
	case known:
		l.place = m.now.Add(-behind)
	case l.place.IsZero() && (m.p.Phase == watch.Planning || m.p.Phase == watch.Snapshot):
		l.place = m.p.Started // the stream begins where the snapshot began
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(math.Min(s, 1e9) * float64(time.Second))
}

// want is what is wanted of the job; where nobody said, that it runs.
func (m moment) want() api.Desired {
	return cmp.Or(m.j.Wish.Desired, api.DesiredRunning)
}

// behind is how far the worst sink is behind the source.
func (m moment) behind() (time.Duration, bool) {
	if m.p == nil || m.p.Changes == nil || m.p.Changes.Lag.Seconds == nil {
		return 0, false
	}
	return seconds(*m.p.Changes.Lag.Seconds), true
}

// desired is the rule that a job becomes within a minute what it is to be. How it
// fails is what other alarms are about.
func (b *Board) desired(_ *look, m moment) finding {
	want, is := m.want(), m.j.Standing.Status
	if !differs(want, is, m.j.Schedule != nil) {
		return finding{verdict: fine}
	}
	f := finding{verdict: wrong, what: fmt.Sprintf("the job is to be %s and is %s, for more than %s", want, is, span(changingFor))}
	switch {
	case want != api.DesiredRunning:
		f.hint = "it ends what it is committing first; the log says which system does not answer. If the server is killed and started again, nothing is lost"
	case is == api.StatusUnassigned:
		f.hint = "nothing has taken it up: the server may have too much to do, or be out of memory"
	default:
		f.hint = "the log says what it waits for; pause it and resume it to begin anew"
	}
	return f
}

func differs(want api.Desired, is api.Status, scheduled bool) bool {
	switch is {
	case api.StatusStopping:
		return true
	case api.StatusPreparing, api.StatusRunning, api.StatusRetrying:
		return want != api.DesiredRunning
	case api.StatusPaused:
		return want != api.DesiredPaused
	case api.StatusStopped, api.StatusUnassigned: // a job with a schedule waits like this
		return want == api.DesiredRunning && !scheduled
	}
	return false // finished and failed are ends, whatever was wanted
}

// rests reports whether a job is not to move anything, or nothing is left to move.
func (m moment) rests() bool {
	return m.want() != api.DesiredRunning || m.j.Standing.Status == api.StatusFinished
}

// lag is the rule that no sink is too far behind, and none falls behind until the log
// is lost.
func (b *Board) lag(l *look, m moment) finding {
	if m.rests() {
		l.falling = time.Time{}
		return finding{verdict: fine}
	}
	if m.p == nil || m.p.Changes == nil {
		return finding{}
	}
	c := m.p.Changes
	behind, known := m.behind()
	falls := c.LostIn != nil && seconds(*c.LostIn) < fallingUntil
	if !falls {
		l.falling = time.Time{}
	}
	const hint = "the job's progress names the brake; a faster target, more memory or fewer tables in the job help"
	switch {
	case falls && since(&l.falling, m.now) >= fallingFor:
		return finding{wrong, fmt.Sprintf("%s falls behind: at this rate the source's log loses what it needs in %s", sinkOf(c), about(seconds(*c.LostIn))), hint}
	case known && b.o.Lag > 0 && behind > b.o.Lag:
		return finding{wrong, fmt.Sprintf("%s is more than %s behind the source", sinkOf(c), span(b.o.Lag)), hint}
	case falls, !known && (b.o.Lag > 0 || c.Lag.State == watch.Unknown):
		return finding{}
	}
	return finding{verdict: fine}
}

func sinkOf(c *watch.Changes) string {
	if c.Lag.Sink == "" {
		return "the target"
	}
	return c.Lag.Sink
}

// retention is the rule that the source's log does not lose what the job needs. It
// holds for paused jobs, too; who stops a job knows.
func (b *Board) retention(l *look, m moment) finding {
	if m.want() == api.DesiredStopped || m.j.Standing.Status == api.StatusFinished {
		return finding{verdict: fine}
	}
	left, known := l.left(m)
	if !known {
		return finding{}
	}
	const hint = "make the source keep its log for longer, now; then see what keeps the job from reading it"
	limit := b.o.RetentionLeft
	if l.kept > 0 {
		limit = min(limit, l.kept/4)
	}
	snapshot := m.snapshot()
	switch {
	case left <= 0:
		return finding{wrong, "the source's log may have lost what the job needs next", "see whether it still reads; if it does not, everything must be read again (resync)"}
	case left < limit:
		return finding{wrong, "the source's log loses what the job needs next in " + about(left), hint}
	case snapshot > left:
		return finding{wrong, fmt.Sprintf("the snapshot needs the source's log for %s more, and it loses what is needed in %s", about(snapshot), about(left)), hint}
	}
	return finding{verdict: fine}
}

// forever is more than any log is kept.
const forever = time.Duration(math.MaxInt64)

// left is how long it takes until the log loses what the job needs next: at its speed,
// if it has one, else if it stays where it is.
func (l *look) left(m moment) (time.Duration, bool) {
	if behind, known := m.behind(); known && m.p.Reach != nil && behind > seconds(*m.p.Reach)+reachSlack {
		return 0, true
	}
	if m.p != nil && m.p.Changes != nil && m.p.Changes.CatchUp != nil {
		return forever, true
	}
	if l.kept == 0 || l.place.IsZero() {
		return forever, l.asked && l.kept == 0
	}
	left := l.kept - m.now.Sub(l.place)
	if m.p != nil && m.p.Changes != nil && m.p.Changes.LostIn != nil {
		left = max(left, seconds(*m.p.Changes.LostIn))
	}
	return left, true
}

// snapshot is how long a snapshot that is under way takes; 0: there is none, or nobody
// knows.
func (m moment) snapshot() time.Duration {
	if m.p == nil || m.p.Phase != watch.Snapshot || m.p.Left == nil {
		return 0
	}
	return seconds(m.p.Left.Seconds)
}

// span is a span of time for people, in two units.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	days, hours, minutes, secs := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	var text string
	switch {
	case days > 0:
		text = fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		text = fmt.Sprintf("%d h %d m", hours, minutes)
	case minutes > 0:
		text = fmt.Sprintf("%d m %d s", minutes, secs)
	default:
		return fmt.Sprintf("%d s", secs)
	}
	for _, nothing := range []string{" 0 h", " 0 m", " 0 s"} {
		text = strings.TrimSuffix(text, nothing)
	}
	return text
}

// about is span, so coarse that it does not change for minutes or hours.
func about(d time.Duration) string {
	switch {
	case d >= 2*time.Hour:
		return "about " + span(d.Truncate(time.Hour))
	case d >= 10*time.Minute:
		return "about " + span(d.Truncate(10*time.Minute))
	}
	return "less than 10 m"
}
