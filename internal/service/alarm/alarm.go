// Package alarm keeps what somebody must look at: raised once, however often it is
// seen, until it is resolved; on disk; and told to a webhook.
package alarm

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/secret"
)

// Kinds of alarms besides those of job.AlarmKind. The first three the board raises by
// itself, see Watch.
const (
	Desired     = "desired is not actual"
	Lag         = "lag"
	Retention   = "retention"
	Differences = "differences" // a verification found some
)

// Bounds of what is kept.
const (
	mostHolding  = 5000
	mostResolved = 1000
	keptFor      = 7 * 24 * time.Hour // after it was resolved
	mostText     = 1000               // bytes, of each text
	mostSilence  = 30 * 24 * time.Hour
)

// Options are what a board is opened with.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: none

	// Webhook is the URL that alarms are posted to (docs/formats/alarm-webhook.md);
	// empty: none. Many are a secret by themselves, so of it only the host is logged.
	Webhook string
	// Secret, if there is one, signs what is posted.
	Secret secret.Text
	// Repeat is after how long an alarm that still holds is posted again; 0: 4 h.
	Repeat time.Duration

	// Lag is how far behind a sink may be; 0: there is no limit.
	Lag time.Duration
	// RetentionLeft is how much time must be left before the source's log loses what a
	// job needs; 0: 6 h. Where a log is kept for less than four times that, it is a
	// quarter of what it is kept for.
	RetentionLeft time.Duration

	// Told, if it is there, is called with every alarm that was raised, resolved,
	// silenced or repeated, or has another text: with one at a time, in the order in
	// which they changed. It may read the board, must not change it, and returns soon.
	Told func(api.Alarm)
}

func (o Options) whole() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Told == nil {
		o.Told = func(api.Alarm) {}
	}
	if o.Repeat <= 0 {
		o.Repeat = 4 * time.Hour
	}
	if o.RetentionLeft <= 0 {
		o.RetentionLeft = 6 * time.Hour
	}
	return o
}

// key is what an alarm is about: at most one of it holds.
type key struct{ job, kind, on string }

// entry is an alarm and what the webhook knows of it.
type entry struct {
	api.Alarm
	knows knowledge
	tried time.Time // when it was last told, or given up; zero: never

	queued int  // happenings of it that wait to be told
	gone   bool // forgotten: it is not stored again
}

// Board is the alarms of a server. It is safe for concurrent use; its table belongs
// to it alone.
type Board struct {
	o    Options
	pace pace
	db   *sql.DB
	hook *hook // nil: there is no webhook
	stop context.CancelFunc
	done chan struct{} // closed when the board's goroutine has ended

	// changing is held by whatever changes alarms, also while they are written to disk,
	// so that Told hears of changes in their order. mu is held for moments only, so that
	// who reads never waits for a disk. changing is taken first.
	changing sync.Mutex
	mu       sync.RWMutex
	holding  map[key]*entry
	counts   map[string]int // of holding, by job
	resolved []*entry       // the latest at the end
	dropped  uint64         // happenings that the webhook was not told
	refused  uint64         // alarms beyond mostHolding
	closed   bool

	queue chan happening // for the webhook
	looks sync.Map       // job → *look
}

// Open reads the alarms in db, whose table it makes if it is missing. What the webhook
// was not told before the last process ended it is told now. db stays the caller's, and
// is closed after the board. A webhook that is no URL gives fault.Usage.
func Open(db *sql.DB, o Options) (*Board, error) { return open(db, o, usualPace()) }

func open(db *sql.DB, o Options, p pace) (*Board, error) {
	b := &Board{
		o: o.whole(), pace: p, db: db, done: make(chan struct{}),
		holding: map[key]*entry{}, counts: map[string]int{}, queue: make(chan happening, queueSize),
	}
	if o.Webhook != "" {
		var err error
		if b.hook, err = newHook(o.Webhook, o.Secret, p, b.o.Log); err != nil {
			return nil, err
		}
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.run(ctx)
	return b, nil
}

// Close ends the board: nothing is raised or told any more. What waits to be told is
// told after the next Open. It is idempotent.
func (b *Board) Close() {
	b.changing.Lock()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.changing.Unlock()
	b.stop()
	<-b.done
	if b.hook != nil {
		b.hook.client.CloseIdleConnections()
	}
}

// Raise says that something must be looked at: of which kind it is; on which task,
// table or sink of the job, empty for the job itself; what it is and what to do about
// it. Raised again it is the same alarm, with the newer texts; after it was resolved,
// it is another one. Raise waits for the disk when something is new, and never for the
// webhook. A disk that refuses is logged; the alarm holds all the same.
func (b *Board) Raise(job, kind, on, what, hint string) {
	k := key{cut(job), cut(kind), cut(on)}
	what, hint = cut(what), cut(hint)
	if b.says(k, what, hint) {
		return
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	if e := b.raise(k, what, hint); e != nil {
		b.changed(e)
	}
}

// says reports whether an alarm holds and has these texts.
func (b *Board) says(k key, what, hint string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	e := b.holding[k]
	return e != nil && e.What == what && e.Hint == hint
}

// raise returns the alarm that holds now, nil if none may; b.changing is held.
func (b *Board) raise(k key, what, hint string) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.holding[k]
	switch {
	case b.closed:
		return nil
	case e != nil:
		e.What, e.Hint = what, hint
		return e
	case len(b.holding) >= mostHolding:
		b.refused++
		return nil
	}
	e = &entry{Alarm: api.Alarm{
		ID: strings.ToLower(rand.Text()), Job: k.job, Kind: k.kind, On: k.on, What: what, Hint: hint, Raised: b.now(),
	}}
	b.holding[k] = e
	b.counts[k.job]++
	b.enqueue(raised, e)
	return e
}

// now is a time as it is stored.
func (b *Board) now() time.Time { return b.o.Now().UTC().Round(0) }

// cut bounds a text.
func cut(s string) string {
	if len(s) > mostText {
		s = s[:mostText]
	}
	return strings.ToValidUTF8(s, "")
}

// changed stores an alarm and says that it changed; b.changing is held.
func (b *Board) changed(e *entry) {
	b.save(e)
	b.o.Told(shown(e.Alarm, b.now()))
}

// shown is an alarm as it is shown: a silence that is over is none.
func shown(a api.Alarm, now time.Time) api.Alarm {
	if !now.Before(a.SilencedUntil) {
		a.SilencedUntil, a.SilencedBy = time.Time{}, ""
	}
	return a
}

// Resolve says that what was raised does not hold any more. Where nothing holds it
// does nothing.
func (b *Board) Resolve(job, kind, on string) {
	k := key{cut(job), cut(kind), cut(on)}
	if !b.holds(k) {
		return
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	if e := b.resolve(k); e != nil {
		b.changed(e)
		b.sweep()
	}
}

func (b *Board) holds(k key) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.holding[k] != nil
}

// resolve returns the alarm that held, or nil; b.changing is held.
func (b *Board) resolve(k key) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.holding[k]
	if e == nil || b.closed {
		return nil
	}
	b.release(k, e)
	b.resolved = append(b.resolved, e)
	return e
}

// release takes an alarm from those that hold; b.changing and b.mu are held.
func (b *Board) release(k key, e *entry) {
	e.Resolved = b.now()
	if e.Resolved.Before(e.Raised) { // the clock was put back
		e.Resolved = e.Raised
	}
	delete(b.holding, k)
	if b.counts[k.job]--; b.counts[k.job] == 0 {
		delete(b.counts, k.job)
	}
	b.enqueue(resolved, e)
}

// List returns the alarms that hold, the latest first; with q.All also those that were
// resolved in the last days, behind them and the latest first; with q.Job only that
// job's.
func (b *Board) List(_ context.Context, q api.ListAlarmsParams) ([]api.Alarm, error) {
	now := b.now()
	out := []api.Alarm{}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for k, e := range b.holding {
		if q.Job == "" || q.Job == k.job {
			out = append(out, shown(e.Alarm, now))
		}
	}
	slices.SortFunc(out, func(x, y api.Alarm) int {
		return cmp.Or(y.Raised.Compare(x.Raised), cmp.Compare(x.ID, y.ID))
	})
	if !q.All {
		return out, nil
	}
	for _, e := range slices.Backward(b.resolved) {
		if (q.Job == "" || q.Job == e.Job) && now.Sub(e.Resolved) <= keptFor {
			out = append(out, shown(e.Alarm, now))
		}
	}
	return out, nil
}

// Count is how many alarms of a job hold, silenced ones too.
func (b *Board) Count(job string) int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.counts[cut(job)]
}

// Dropped is how many happenings the webhook was not told since the board was opened,
// because it did not take them or because too many waited.
func (b *Board) Dropped() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.dropped
}

// Silence keeps an alarm from being repeated for a while, or until it is resolved; with
// 0 seconds it ends that. who is shown; the reason is for the audit log, which others
// keep. An alarm that nobody knows gives fault.AlarmUnknown, one that is resolved
// fault.NotNow.
func (b *Board) Silence(ctx context.Context, who, id string, in api.Silence) (api.Alarm, error) {
	if in.Seconds < 0 || in.Seconds > int(mostSilence/time.Second) {
		return api.Alarm{}, fault.New(fault.BadRequest, "an alarm cannot be silenced for %d seconds", in.Seconds).At("seconds").
			Try("give 0 to %d", int(mostSilence/time.Second))
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	e, err := b.find(id)
	if err != nil {
		return api.Alarm{}, err
	}
	next := e.Alarm
	next.SilencedUntil, next.SilencedBy = time.Time{}, ""
	if in.Seconds > 0 {
		next.SilencedUntil, next.SilencedBy = b.now().Add(time.Duration(in.Seconds)*time.Second), cut(who)
	}
	if err := b.store(ctx, next, e.knows, e.tried); err != nil {
		return api.Alarm{}, broken(err)
	}
	b.mu.Lock()
	e.Alarm = next
	b.mu.Unlock()
	b.o.Told(next)
	return next, nil
}

// find returns the alarm that holds and has an id.
func (b *Board) find(id string) (*entry, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, fault.New(fault.ServerGone, "the server is stopping")
	}
	for _, e := range b.holding {
		if e.ID == id {
			return e, nil
		}
	}
	if slices.ContainsFunc(b.resolved, func(e *entry) bool { return e.ID == id }) {
		return nil, fault.New(fault.NotNow, "the alarm is resolved: there is nothing to silence")
	}
	return nil, fault.New(fault.AlarmUnknown, "no alarm has the id %.80q", id).At("id").Try("godwit job alarms --all")
}

// Forget drops all alarms of a job that is no more. Those that held are told as
// resolved. The job is not watched any more when it is forgotten.
func (b *Board) Forget(job string) {
	job = cut(job)
	b.looks.Delete(job)
	b.changing.Lock()
	defer b.changing.Unlock()
	held, open := b.forget(job)
	if open {
		b.erase("job", job)
	}
	for _, a := range held {
		b.o.Told(a)
	}
}

// forget returns the alarms that held, and false when the board is closed; b.changing
// is held.
func (b *Board) forget(job string) (held []api.Alarm, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, false
	}
	for k, e := range b.holding {
		if k.job == job {
			e.gone = true
			b.release(k, e)
			held = append(held, shown(e.Alarm, b.now()))
		}
	}
	b.resolved = slices.DeleteFunc(b.resolved, func(e *entry) bool {
		e.gone = e.gone || e.Job == job
		return e.Job == job
	})
	return held, true
}
