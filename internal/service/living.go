package service

import (
	"database/sql"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// living is a job that lives here. What it has in memory is what is kept of it.
type living struct {
	s    *Service
	name string
	// turn is held by whoever changes what is wanted, or begins a life: one at a time.
	turn sync.Mutex
	// keep is held while something is kept and taken over. Where both are held, turn
	// was taken first.
	keep sync.Mutex

	// telling is held while followers are told, so that the last they hear is how it is.
	telling sync.Mutex

	mu       sync.Mutex // guards what follows, for moments
	card     card
	made     *made // nil: from no template
	state    job.State
	counts   api.TaskCounts
	sinks    []string                // of its job file, by name
	stands   map[string]job.Standing // the sinks in state
	life     *life                   // nil: none goes on
	progress *watch.Progress         // of the life, a second old at most; then of the last one
	again    time.Time               // when a life is tried again by itself; zero: it is not
	tries    int                     // how often it was
	retry    bool                    // the next life does only what the last one left undone
	told     api.Status              // to followers
	toldAt   time.Time               // when they were
	toldOf   *watch.Progress         // and of what progress
	news     bool                    // there is something that they were not told
	keptAt   time.Time               // when the state was kept last
	gone     int64                   // commands up to this one have gone into what is kept
	unkept   bool                    // the state in memory is newer than what is kept
	due      due                     // when its schedule asks for the next run
	takenUp  bool                    // its life was taken up again when the server started
	lives    int                     // how many have begun in this process
	proof    proof                   // of its verifications
}

// show returns the card as it is now.
func (j *living) show() card {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.card
}

func (j *living) stateNow() job.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

func (j *living) lifeNow() *life {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.life
}

// change keeps a changed card, with what more of it somebody relies on, and takes it
// over.
func (j *living) change(edit func(*card), more func(*sql.Tx) error) error {
	j.keep.Lock()
	defer j.keep.Unlock()
	r := j.show()
	edit(&r)
	err := j.s.folder.promise(func(tx *sql.Tx) error {
		if err := putCard(tx, r); err != nil || more == nil {
			return err
		}
		return more(tx)
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.card = r
	j.mu.Unlock()
	j.touched()
	return nil
}

// manyTasks is from how many tasks on a state is not kept at every step: its JSON is
// as long as all of them. What is lost of it is found again.
const manyTasks = 300

// keepState keeps a state that has taken in all commands up to through, and takes it
// over. j.keep is held.
func (j *living) keepState(s job.State, through int64) error {
	j.mu.Lock()
	now := j.s.o.Now()
	if through <= j.gone {
		through = 0
	}
	minor := len(s.Tasks) > manyTasks && through == 0 && now.Sub(j.keptAt) < time.Second && alike(s, j.state)
	j.mu.Unlock()
	if !minor {
		if err := j.s.folder.change(j.s.folder.soft, func(tx *sql.Tx) error { return putState(tx, j.name, s, through) }); err != nil {
			return err
		}
	}
	j.takeOver(s, minor, through, now)
	return nil
}

// takeOver makes s the state that is shown. j.keep is held.
func (j *living) takeOver(s job.State, unkept bool, through int64, now time.Time) {
	counts := countTasks(s)
	j.mu.Lock()
	changed := s.Status != j.state.Status
	j.state, j.counts, j.unkept, j.gone = s, counts, unkept, max(j.gone, through)
	j.stands = standings(j.sinks, &s, j.stands)
	if !unkept {
		j.keptAt = now
	}
	j.mu.Unlock()
	if changed {
		j.tell()
	} else {
		j.touched()
	}
}

// alike reports whether nothing but tasks is another.
func alike(a, b job.State) bool {
	return a.Status == b.Status && a.Desired == b.Desired && a.Spec == b.Spec && a.Ended == b.Ended && a.Floor == b.Floor &&
		len(a.Tasks) == len(b.Tasks) && slices.Equal(a.Tables, b.Tables)
}

// settle keeps the state if it is newer than what is kept.
func (j *living) settle() {
	j.keep.Lock()
	defer j.keep.Unlock()
	j.mu.Lock()
	s, unkept := j.state, j.unkept
	j.mu.Unlock()
	if !unkept {
		return
	}
	if err := j.s.folder.change(j.s.folder.soft, func(tx *sql.Tx) error { return putState(tx, j.name, s, 0) }); err != nil {
		return // the next one may be kept
	}
	j.mu.Lock()
	j.unkept = false
	j.mu.Unlock()
}

// heard returns the state as it is once it has heard of every command that is kept, and
// the number of the last one.
func (j *living) heard() (s job.State, through int64, err error) {
	commands, err := j.s.folder.commands(j.name)
	s = j.stateNow()
	for _, c := range commands {
		s, _ = job.Step(s, c.event(j.s.o.Now()))
		through = c.seq
	}
	return s, through, err
}

// caughtUp is heard with what is wanted of the job as a whole. No life goes on.
func (j *living) caughtUp() (s job.State, through int64, err error) {
	s, through, err = j.heard()
	if err != nil {
		return s, 0, err
	}
	r, now := j.show(), j.s.o.Now()
	if r.wish.Desired != api.DesiredStopped && s.Desired == job.WantStopped { // a start was asked for while it stopped
		s = reborn(s, r.version, now)
	}
	want := command{By: r.wish.By, Why: r.wish.Reason}
	switch {
	case r.wish.Desired == api.DesiredStopped && s.Desired != job.WantStopped:
		want.Do = doStop
	case r.wish.Desired == api.DesiredPaused && s.Desired == job.WantRunning:
		want.Do = doPause
	case r.wish.Desired == api.DesiredRunning && s.Desired == job.WantPaused:
		want.Do = doResume
	}
	if want.Do != "" {
		s, _ = job.Step(s, want.event(now))
	}
	if r.wish.Desired != api.DesiredRunning {
		s, _ = job.Resume(s, now) // nothing may start: what it says needs nobody to do it
	}
	return s, through, nil
}

// reborn is the state of a new life of a job: its attempts are above all that there
// were, and tables that somebody paused or wants to be read again are so still.
func reborn(old job.State, version int64, now time.Time) job.State {
	s := job.New(old.Options, uint64(version), now)
	s.Floor = old.Floor
	for _, t := range old.Tasks {
		s.Floor = max(s.Floor, t.Attempt)
	}
	s.Tasks[0].Attempt = s.Floor
	for _, t := range old.Tables {
		if t.Paused != nil {
			e := command{Do: doPause, By: t.Paused.By, Why: t.Paused.Why, Tables: []string{t.Name}}.event(now)
			s, _ = job.Step(s, e)
		}
	}
	for _, t := range old.Tasks {
		if t.Kind == job.Resync && t.Status != job.Finished {
			s, _ = job.Step(s, command{Do: doResync, Tables: []string{t.Table}}.event(now))
		}
	}
	s, _ = job.Step(s, job.Event{Kind: job.Tick, Now: now})
	return s
}

// follow makes what is follow what is wanted when no life goes on: it ends what is to
// end, and begins a life where one is wanted. j.turn is held.
func (j *living) follow() {
	r := j.show()
	if j.lifeNow() != nil || r.leaving || j.s.closing() {
		return
	}
	s, through, err := j.caughtUp()
	if err == nil {
		j.keep.Lock()
		err = j.keepState(s, through)
		j.keep.Unlock()
	}
	switch {
	case err != nil:
		j.s.o.Log.Error("what is wanted of a job cannot be followed", "job", j.name, "error", err)
	case r.wish.Desired == api.DesiredRunning && r.trouble == nil && !s.Ended && !j.waitsForItsTime(r) && !j.s.o.Still:
		j.begin(r, s)
	case s.Ended:
		j.allClear()
	}
}

// begin begins a life. A job file that cannot be carried out any more, because a
// secret is gone for one, is trouble.
func (j *living) begin(r card, s job.State) {
	v, err := j.s.folder.version(j.name, r.version)
	var spec *job.Spec
	if err == nil {
		spec, err = j.s.parse(v.File)
	}
	if err != nil {
		j.inTrouble(err)
		return
	}
	s, actions := job.Resume(s, j.s.o.Now()) // so that nobody takes for running what ran in an earlier life
	j.keep.Lock()
	err = j.keepState(s, 0)
	j.keep.Unlock()
	if err != nil {
		j.inTrouble(err)
		return
	}
	l := j.newLife(spec)
	j.heldAlarms(actions)
	j.mu.Lock()
	again := j.retry
	j.life, j.again, j.retry, j.progress = l, time.Time{}, false, nil
	j.lives++
	j.mu.Unlock()
	j.s.reckonShare()
	if j.s.closing() {
		j.drain()
	}
	j.tell()
	j.s.running.Go(func() { l.run(spec, s, again) })
}

// lived sees to what follows from the end of a life; drained: it was ended from
// outside.
func (j *living) lived(l *life, out watch.Outcome, err error, drained bool) {
	j.turn.Lock()
	defer j.turn.Unlock()
	p := l.record.Snapshot()
	j.mu.Lock()
	j.life, j.progress = nil, &p
	s, wish := j.state, j.card.wish.Desired
	j.mu.Unlock()
	j.settle()
	if j.s.closing() {
		return
	}
	switch {
	case s.Ended:
		j.ended(out)
		j.lookAgain(out)
	case drained || wish != api.DesiredRunning || j.wasToStop(s):
	case err != nil:
		j.inTrouble(hidden(err, l.hide))
	case j.nothingToDo(s).Ended:
		j.ended(out)
	default:
		j.inTrouble(fault.New(fault.Internal, "the engine came back before the job had ended"))
	}
	j.follow()
	j.tell()
}

// wasToStop reports whether the life that is over was told to end: somebody may have
// asked for another one meanwhile.
func (j *living) wasToStop(s job.State) bool {
	commands, err := j.s.folder.commands(j.name)
	return err != nil || s.Desired == job.WantStopped || slices.ContainsFunc(commands, func(c command) bool { return c.Do == doStop })
}

// nothingToDo ends the state of a job of which the engine found that all was done
// before: it planned, and there was nothing.
func (j *living) nothingToDo(s job.State) job.State {
	now := j.s.o.Now()
	s, _ = job.Resume(s, now)
	for _, t := range s.Tasks {
		if t.Kind == job.Resync {
			return s // something is left after all
		}
	}
	s, _ = job.Step(s, job.Event{Kind: job.Planned, Now: now, ID: job.PlanID, Attempt: s.Tasks[0].Attempt})
	j.keep.Lock()
	defer j.keep.Unlock()
	if err := j.keepState(s, 0); err != nil {
		j.s.o.Log.Error("the end of a job cannot be kept", "job", j.name, "error", err)
	}
	return s
}

// ended notes that a run came to its end.
func (j *living) ended(out watch.Outcome) {
	status := j.stateNow().Status
	e := api.Entry{By: byServer, Job: j.name, What: status.String(), Outcome: api.EntryOutcomeDone}
	err := j.change(func(r *card) { r.ended, r.failed, r.trouble = j.s.o.Now(), out.Failed, nil }, func(tx *sql.Tx) error { return j.s.putEntry(tx, &e) })
	if err != nil {
		j.s.o.Log.Error("the end of a job cannot be kept", "job", j.name, "error", err)
		return
	}
	j.mu.Lock()
	j.tries = 0
	j.mu.Unlock()
	j.s.tellEntry(e)
	j.leftOver(out)
}

// lookAgain begins another run where the one that has ended only carried to its end a
// round that began before the run was called for: what came in between was not looked
// at. j.turn is held.
func (j *living) lookAgain(out watch.Outcome) {
	r := j.show()
	if out.Began == nil || !out.Began.Before(r.began) || r.leaving || r.wish.Desired != api.DesiredRunning {
		return
	}
	if err := j.start(Who{Name: byServer}, "it went on with a round of an earlier run; what came since is looked for"); err != nil {
		j.s.o.Log.Error("another round cannot begin", "job", j.name, "error", err)
	}
}

// mostTries is after how many failures of its beginning a job that is tried again by
// itself makes an alarm.
const mostTries = 3

// inTrouble notes why a job has no life. Where it may go away by itself another one
// is tried after a while.
func (j *living) inTrouble(cause error) {
	f := job.FailureOf(cause)
	e := api.Entry{By: byServer, Job: j.name, What: "gave up", Outcome: api.EntryOutcomeFailed, Code: string(f.Code), Reason: f.What}
	j.mu.Lock()
	j.again, j.tries = time.Time{}, j.tries+1
	if f.Class == fault.Retry {
		j.again = j.s.o.Now().Add(min(time.Minute, time.Second<<min(j.tries-1, 6)))
	}
	loud := f.Class != fault.Retry || j.tries == mostTries
	j.mu.Unlock()
	err := j.change(func(r *card) { r.trouble = f }, func(tx *sql.Tx) error {
		if !loud {
			return nil
		}
		return j.s.putEntry(tx, &e)
	})
	if err != nil {
		j.s.o.Log.Error("the end of a job cannot be kept", "job", j.name, "error", err)
		return
	}
	j.s.o.Log.Warn("a job cannot live", "job", j.name, "code", string(f.Code), "error", f.What)
	if loud {
		j.s.tellEntry(e)
		j.s.parts.board.Raise(j.name, string(job.AlarmJob), "", string(f.Code)+": "+f.What, f.Hint)
	}
	j.tell()
}

// tryAgain takes away the trouble that kept a job from living.
func (j *living) tryAgain() error {
	if j.show().trouble == nil {
		return nil
	}
	j.mu.Lock()
	j.again = time.Time{}
	j.mu.Unlock()
	return j.change(func(r *card) { r.trouble = nil }, nil)
}

// drain ends the life that goes on, if any, after a commit. What follows then is
// seen to by lived.
func (j *living) drain() {
	if l := j.lifeNow(); l != nil {
		l.cancel()
	}
}

// touched says that there is something followers were not told; they are within a
// second.
func (j *living) touched() {
	j.mu.Lock()
	j.news = true
	j.mu.Unlock()
}

// tell tells followers how the job is, at once.
func (j *living) tell() {
	j.telling.Lock()
	defer j.telling.Unlock()
	j.mu.Lock()
	j.news = false
	j.mu.Unlock()
	view := j.view(false)
	j.mu.Lock()
	j.told, j.toldAt, j.toldOf = view.Standing.Status, j.s.o.Now(), view.Progress
	j.mu.Unlock()
	j.s.parts.hub.TellNow("job", j.name, asJSON(view)) // it is held back here already
}

// asJSON is a value as it is sent, made once for all followers.
func asJSON(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return json.RawMessage(b)
}
